"""A dead letter: a dead row with its messages, or a message that cannot be used."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog import VideoRecord
from titlecard.domain.money import Amount
from titlecard.domain.reasons import code_of
from titlecard_console.output import amounts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Batch, Row
    from titlecard.domain.video import Video
    from titlecard_console.dead_letters.queue import QueuedMessage


class Kind(StrEnum):
    """The kind of a dead letter.

    `dead`: the catalog says that the row is dead. `strayed`: the row has not ended, but its message is in the
    dead-letter queue (SQS moved it by itself), or a redrive was killed before it sent the message. `ended`: the row has
    since ended in another way, or waits, so its message is useless. `unreadable`: the message has no content to send,
    or the row's item cannot be read. `upload`: a message of ingest.
    """

    DEAD = "dead"
    STRAYED = "strayed"
    ENDED = "ended"
    UNREADABLE = "unreadable"
    UPLOAD = "upload"


@dataclass(frozen=True)
class DeadLetter:
    """A dead row with its messages in the queue, or a message without a row.

    `id` is the video's id, or the message's if there is no video. `worst` bounds the cost of another try. `attempts`
    counts the attempts under the fingerprint that the next attempt would use.
    """

    id: str
    kind: Kind
    reason: str
    since: datetime
    messages: tuple[QueuedMessage, ...] = ()
    seen: Row | None = None
    batch: Batch | None = None
    video: Video | None = None
    entry: VideoRecord = field(default_factory=VideoRecord)
    fingerprint: str = ""
    attempts: int = 0
    worst: Amount = field(default_factory=Amount)
    closed: str = ""
    """Why a redriven row would end without a request; empty if a request would be made."""
    error: str = ""
    """Why the row cannot be redriven for now: an item of the catalog cannot be read; empty if it can."""

    @property
    def cause(self) -> str:
        """The reason as a word for programs."""
        return code_of(self.reason)

    @property
    def charged(self) -> Amount:
        """What the video was charged under the fingerprint of its dead row."""
        return self.entry.charged()

    @property
    def names(self) -> frozenset[str]:
        """The ids that a person may use for it: its own, and those of its messages."""
        return frozenset((self.id, *(letter.id for letter in self.messages)))

    @property
    def to_be_sent(self) -> bool:
        """Whether it can be sent to the parser again."""
        return self.kind in (Kind.DEAD, Kind.STRAYED) and self.video is not None and not self.error

    def figures(self) -> dict[str, Any]:
        """Return the dead letter for programs; fields are added, never renamed."""
        return {
            "id": self.id,
            "kind": self.kind,
            "cause": self.cause,
            "reason": self.reason,
            "since": self.since.isoformat(),
            "project": self.batch.project if self.batch else None,
            "batch": self.seen.batch if self.seen else None,
            "row": self.seen.number if self.seen else None,
            "title": self.video.title if self.video else None,
            "letters": [letter.id for letter in self.messages],
            "attempts": self.attempts,
            "charged": amounts(self.charged),
            "again": amounts(self.worst) | {"closed": self.closed or None},
            "error": self.error or None,
        }


@dataclass(frozen=True)
class Selection:
    """The dead letters that a person selects; an empty field selects all."""

    causes: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    batches: frozenset[str] = frozenset()
    before: datetime | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Return whether the selection takes a dead letter."""
        return (
            (not self.causes or letter.cause in self.causes)
            and (not self.ids or not self.ids.isdisjoint(letter.names))
            and (not self.batches or (letter.seen is not None and letter.seen.batch in self.batches))
            and (self.before is None or letter.since <= self.before)
        )

    def unknown(self, letters: Collection[DeadLetter]) -> list[str]:
        """Describe the parts of the selection that match no dead letter."""
        known = {
            "cause": (self.causes, {letter.cause for letter in letters}),
            "id": (self.ids, {name for letter in letters for name in letter.names}),
            "batch": (self.batches, {letter.seen.batch for letter in letters if letter.seen}),
        }
        return [f"the {kind} {name!r}" for kind, (named, stack) in known.items() for name in sorted(named - stack)]


@dataclass(frozen=True)
class CauseGroup:
    """The dead letters of one cause."""

    cause: str
    letters: int
    oldest: datetime
    attempts: int
    charged: Amount
    worst: Amount

    def figures(self) -> dict[str, Any]:
        """Return the group for programs."""
        return {
            "cause": self.cause,
            "count": self.letters,
            "oldest": self.oldest.isoformat(),
            "attempts": self.attempts,
            "charged": amounts(self.charged),
            "again": amounts(self.worst),
        }


def groups(letters: Iterable[DeadLetter]) -> list[CauseGroup]:
    """Group dead letters by cause, the most frequent first; leave out those that have ended in another way."""
    by_cause: dict[str, list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        if letter.kind is not Kind.ENDED:
            by_cause[letter.cause].append(letter)
    found = [
        CauseGroup(
            cause,
            letters=len(its),
            oldest=min(letter.since for letter in its),
            attempts=sum(letter.attempts for letter in its),
            charged=sum((letter.charged for letter in its), Amount()),
            worst=sum((letter.worst for letter in its), Amount()),
        )
        for cause, its in by_cause.items()
    ]
    return sorted(found, key=lambda group: (-group.letters, group.cause))
