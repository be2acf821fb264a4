"""Dead letters: their causes, what another attempt can cost, and the attempts that a person allows.

The catalog knows which rows are dead. The dead-letter queues are read once, for the messages' bodies, and compared with
the catalog. A row without a message is read from its manifest. `titlecard.aws.dynamodb.catalog.grants` says in which
order a row is sent again, and what a crash at each point leaves behind.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from titlecard import extraction
from titlecard.aws.dynamodb.catalog import VideoRecord
from titlecard.aws.dynamodb.catalog.grants import AttemptGrant, RowSnapshot
from titlecard.aws.errors import ManifestTooLarge, ObjectDeleted
from titlecard.domain.batch import Message, RowState
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Video, fingerprint
from titlecard.pipeline.ingest import accepted_messages
from titlecard_console import stacks
from titlecard_console.dead_letter_queue import DeadLetterQueue, QueuedMessage
from titlecard_console.errors import CommandError
from titlecard_console.estimate import model_tier, reading_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.catalog.grants import FingerprintHistory
    from titlecard.extraction.survey import Survey
    from titlecard_console.stacks import Stack

TRIES = 3
"""How often a grant is tried when something else is written at the same moment."""

UPLOAD = "upload_not_taken"
MOVED = "moved_by_sqs"
INTERRUPTED = "redrive_interrupted"


class Kind(StrEnum):
    """What a dead letter is.

    `dead`: the catalog says that the row is dead. `strayed`: the row has not ended, but its message is in the
    dead-letter queue (SQS moved it by itself), or a redrive was killed before it sent it. `ended`: the row has ended
    otherwise in the meantime, or waits; its message is of no use. `unreadable`: nothing in the message can be sent.
    `upload`: a message of ingest.
    """

    DEAD = "dead"
    STRAYED = "strayed"
    ENDED = "ended"
    UNREADABLE = "unreadable"
    UPLOAD = "upload"


@dataclass(frozen=True)
class DeadLetter:
    """A dead row with its messages in the queue, or a message without a row.

    `id` is the video's, or the message's if there is no video. `requests` and `worst` are the most that another try can
    cost. `attempts` counts those that were made under the fingerprint that it would be tried with.
    """

    id: str
    kind: Kind
    reason: str
    since: datetime
    messages: tuple[QueuedMessage, ...] = ()
    seen: RowSnapshot | None = None
    batch: Batch | None = None
    video: Video | None = None
    entry: VideoRecord = field(default_factory=VideoRecord)
    fingerprint: str = ""
    attempts: int = 0
    requests: int = 0
    worst: Amount = field(default_factory=Amount)
    closed: str = ""
    """Why it ends without a request when it is sent again; empty if a request is made."""

    @property
    def cause(self) -> str:
        """The reason as a word for programs."""
        return self.reason.partition(":")[0]

    @property
    def charged(self) -> Amount:
        """What the video was charged under the fingerprint that it died with."""
        last: dict[str, Mapping[str, Any]] = {event["token"]: event["charged"] for event in self.entry.history}
        charges = (Amount.from_item(it) for it in last.values())
        return sum(charges, Amount())

    @property
    def names(self) -> frozenset[str]:
        """The ids that a person may use for it: its own, and those of its messages."""
        return frozenset((self.id, *(letter.id for letter in self.messages)))

    @property
    def to_be_sent(self) -> bool:
        """Whether it can be sent to the parser again."""
        return self.kind in (Kind.DEAD, Kind.STRAYED) and self.video is not None

    def figures(self) -> dict[str, Any]:
        """The dead letter for programs; fields are added, never renamed."""
        return {
            "id": self.id,
            "kind": self.kind,
            "cause": self.cause,
            "reason": self.reason,
            "since": self.since.isoformat(),
            "project": self.batch.project if self.batch else None,
            "batch": self.seen.batch if self.seen else None,
            "row": self.seen.row if self.seen else None,
            "title": self.video.title if self.video else None,
            "letters": [letter.id for letter in self.messages],
            "attempts": self.attempts,
            "charged": {"tokens": self.charged.tokens, "micro_usd": self.charged.micro_usd},
            "again": {
                "requests": self.requests,
                "tokens": self.worst.tokens,
                "micro_usd": self.worst.micro_usd,
                "closed": self.closed or None,
            },
        }


@dataclass(frozen=True)
class Selection:
    """Which dead letters a person means; an empty field takes all."""

    causes: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    batches: frozenset[str] = frozenset()
    before: datetime | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant."""
        return (
            (not self.causes or letter.cause in self.causes)
            and (not self.ids or not self.ids.isdisjoint(letter.names))
            and (not self.batches or (letter.seen is not None and letter.seen.batch in self.batches))
            and (self.before is None or letter.since <= self.before)
        )

    def unknown(self, letters: Collection[DeadLetter]) -> list[str]:
        """What it names and no dead letter has, in words."""
        known = {
            "cause": (self.causes, {letter.cause for letter in letters}),
            "id": (self.ids, {name for letter in letters for name in letter.names}),
            "batch": (self.batches, {letter.seen.batch for letter in letters if letter.seen}),
        }
        return [f"the {kind} {name!r}" for kind, (named, there) in known.items() for name in sorted(named - there)]


@dataclass(frozen=True)
class CauseGroup:
    """The dead letters of one cause."""

    cause: str
    letters: int
    oldest: datetime
    attempts: int
    charged: Amount
    requests: int
    worst: Amount

    def figures(self) -> dict[str, Any]:
        """The group for programs."""
        return {
            "cause": self.cause,
            "count": self.letters,
            "oldest": self.oldest.isoformat(),
            "attempts": self.attempts,
            "charged": {"tokens": self.charged.tokens, "micro_usd": self.charged.micro_usd},
            "again": {
                "requests": self.requests,
                "tokens": self.worst.tokens,
                "micro_usd": self.worst.micro_usd,
            },
        }


def groups(letters: Iterable[DeadLetter]) -> list[CauseGroup]:
    """Dead letters by cause, the most frequent first; without those that have ended otherwise."""
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
            requests=sum(letter.requests for letter in its),
            worst=sum((letter.worst for letter in its), Amount()),
        )
        for cause, its in by_cause.items()
    ]
    return sorted(found, key=lambda group: (-group.letters, group.cause))


class RetryTerms:
    """What another try can cost, by the stack's parameters and the parser's own code."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.policy = Policy(parameters["TierPolicy"])
        self._cap = int(parameters["AttemptCap"])
        self._model = model_tier(parameters)

    def fingerprint(self, video: Video) -> str:
        """The fingerprint that a video would be tried with."""
        model = None if self.policy is Policy.LOCAL else self._model.model
        return fingerprint(video, model=model, prompt_version=self._model.prompt_version)

    def requests(self, attempts: int, more: int) -> int:
        """The most requests that can be sent when this many more attempts are allowed."""
        return 0 if self.policy is Policy.LOCAL else max(self._cap, attempts + more) - attempts

    def bound(self, video: Video | None, survey: Survey) -> Amount:
        """The most that one request about a video can cost; nothing if the local tier answers."""
        if video is None:
            return self._model.worst_case
        answer = extraction.parse(video, survey)
        if answer.is_final(self.policy):
            return Amount()
        return self._model.prepare(video, answer, survey.hint()).bound


class Redriver:
    """Lists dead letters, sends them again and discards them.

    Args:
        there: the stack.
        now: returns the time, timezone-aware.
        reading: how the queues are read; see `DeadLetterQueue`.
    """

    def __init__(
        self, there: Stack, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), **reading: int
    ) -> None:
        self._there = there
        self._now = now
        self._stores = stacks.stores(there)
        self._catalog = self._stores.catalog
        self._grants = self._stores.grants
        self._ledger = self._stores.ledger
        sqs, outputs = there.client("sqs"), there.outputs
        self._work = DeadLetterQueue(sqs, outputs["WorkDeadLetterQueueUrl"], outputs["WorkQueueUrl"], **reading)
        self._ingest = DeadLetterQueue(sqs, outputs["IngestDeadLetterQueueUrl"], outputs["IngestQueueUrl"], **reading)
        self._terms = RetryTerms(there.parameters)
        self._surveys: dict[str, Survey] = {}

    def who(self) -> str:
        """The person who allows the attempts, as AWS knows them."""
        return str(self._there.client("sts").get_caller_identity()["Arn"])

    @property
    def hidden(self) -> int:
        """About how many messages `letters` could not read, since others read them, or had when they were killed."""
        return self._work.hidden + self._ingest.hidden

    def letters(self, *, more: int = 1, choice: Selection | None = None, read: bool = False) -> list[DeadLetter]:
        """The dead letters that a person means, the oldest first.

        Args:
            more: how many more attempts would be allowed.
            choice: which are meant; None for all.
            read: whether rows without a message are read from their manifests.

        Raises:
            CommandError: something is dead, and none of it has what the choice names.
        """
        found = [_upload(message) for message in self._ingest.read()]
        messages: dict[tuple[str, int], list[tuple[QueuedMessage, Message]]] = defaultdict(list)
        for queued in self._work.read():
            try:
                message = Message.model_validate_json(queued.body)
            except ValidationError:
                reason = queued.reason or "undecodable: the message is not a row of a manifest"
                found.append(DeadLetter(queued.id, Kind.UNREADABLE, reason, queued.sent_at, (queued,)))
            else:
                messages[message.batch, message.row].append((queued, message))
        found += self._rows(messages)
        chosen = sorted((it for it in found if choice is None or choice.takes(it)), key=lambda it: it.since)
        if choice and found and not chosen and (unknown := choice.unknown(found)):
            causes = ", ".join(f"{group.cause} ({group.letters:,})" for group in groups(found)) or "none"
            raise CommandError(
                f"No dead letter has {' or '.join(unknown)}. The causes are: {causes}. `titlecard dlq list` shows ids "
                "and batches."
            )
        if read:
            chosen = self._with_videos(chosen)
        return self._with_costs(chosen, more)

    def edited(self, letter: DeadLetter, video: Video, *, more: int) -> DeadLetter:
        """A dead letter as it would be sent with another title or description."""
        (edited,) = self._with_costs([replace(letter, video=video)], more)
        return edited

    def bills(self, letters: Iterable[DeadLetter]) -> Iterator[tuple[Batch, Amount]]:
        """The batches of dead letters, each with its charge in all if every request costs its bound."""
        worst: dict[str, Amount] = defaultdict(Amount)
        batches: dict[str, Batch] = {}
        for letter in letters:
            if letter.batch and letter.requests:
                worst[letter.batch.id] += letter.worst
                batches[letter.batch.id] = letter.batch
        for name, batch in batches.items():
            yield batch, self._ledger.spent(name) + worst[name]

    def story(self, letter: DeadLetter) -> list[FingerprintHistory]:
        """All that the catalog knows of a dead letter's video."""
        return (
            self._grants.story(letter.batch.project, letter.seen.video or letter.id)
            if letter.batch and letter.seen
            else []
        )

    # ----------------------------------------------------------------------------------------------- what a person does

    def send_again(
        self, letters: Sequence[DeadLetter], *, more: int, rate: float, by: str
    ) -> Iterator[tuple[DeadLetter, str]]:
        """Send dead letters again, and delete their messages; those that ended otherwise lose only their messages.

        Args:
            more: how many more attempts each video is allowed.
            rate: at most this many messages a second.
            by: who allows it.

        Yields:
            Each dead letter that is done, with what became of it: `sent`, `removed` (its message was of no use) or
            `moved` (it was not sent: something has happened to it since it was read).
        """
        pace = _Pace(rate)
        for letter in letters:
            queue = self._ingest if letter.kind is Kind.UPLOAD else self._work
            if letter.to_be_sent:
                pace.wait()
                if not self._send_row(letter, more, by):
                    yield letter, "moved"
                    continue
            elif letter.kind is Kind.UPLOAD:
                pace.wait()
                queue.send_again(letter.messages[0].body)
            elif letter.kind is not Kind.ENDED:
                continue
            queue.delete(letter.messages)
            yield letter, "removed" if letter.kind is Kind.ENDED else "sent"

    def discard(self, letters: Sequence[DeadLetter], copy: IO[str], *, by: str) -> Iterator[DeadLetter]:
        """Delete the messages of dead letters, and list their rows no more; first a copy of them goes to the disk.

        Yields:
            Each dead letter when it is gone.
        """
        for letter in letters:
            bodies = [message.body for message in letter.messages]
            line = {**letter.figures(), "discarded_by": by, "discarded_at": self._now().isoformat(), "bodies": bodies}
            copy.write(json.dumps(line, ensure_ascii=False) + "\n")
        copy.flush()
        os.fsync(copy.fileno())
        for letter in letters:
            (self._ingest if letter.kind is Kind.UPLOAD else self._work).delete(letter.messages)
            if letter.seen and letter.kind is Kind.DEAD:
                self._grants.put_away(letter.seen, by=by, now=self._now())
            yield letter

    def _send_row(self, letter: DeadLetter, more: int, by: str) -> bool:
        """Allow another try of a row and send its message; False if something has happened to it since it was read."""
        if letter.seen is None or letter.batch is None or letter.video is None:
            raise AssertionError("only rows with a video are sent again")
        allowed = None if letter.closed or not letter.requests else letter.attempts + more
        grant = AttemptGrant(letter.batch.project, letter.video.id, letter.fingerprint, letter.attempts, allowed, by)
        if not self._allow(letter.seen, grant):
            return False
        message = Message(batch=letter.batch.id, project=letter.batch.project, row=letter.seen.row, video=letter.video)
        self._work.send_again(message.model_dump_json())
        self._grants.sent(letter.seen)
        return True

    def _allow(self, seen: RowSnapshot, grant: AttemptGrant) -> bool:
        """Allow another try; again if only the batch has moved, which the try before this one may have opened."""
        for _ in range(TRIES):
            state = self._catalog.batch(seen.batch).state
            if self._grants.allow(seen, grant, state, now=self._now()):
                return True
        return False

    # ---------------------------------------------------------------------------------------------------------- reading

    def _rows(
        self, messages: Mapping[tuple[str, int], Sequence[tuple[QueuedMessage, Message]]]
    ) -> Iterator[DeadLetter]:
        """The dead letters that are rows: dead ones, those with a message, and those that a redrive has not sent."""
        unsent = {(it.batch, it.row) for it in self._grants.unsent()}
        keys = list(dict.fromkeys([*((it.batch, it.row) for it in self._grants.dead()), *messages, *unsent]))
        rows = self._grants.rows(keys)
        batches = {name: self._batch(name) for name in {batch for batch, _ in keys}}
        for key in keys:
            its, seen, batch = messages.get(key, ()), rows.get(key, RowSnapshot(*key)), batches[key[0]]
            queued = tuple(message for message, _ in its)
            if batch is None:
                for message in queued:
                    reason = message.reason or f"unknown_batch: the catalog has no batch {key[0][:80]!r}"
                    yield DeadLetter(message.id, Kind.UNREADABLE, reason, message.sent_at, (message,))
                continue
            kind = _kind(seen)
            is_unsent = kind is Kind.STRAYED and key in unsent and seen.redriven_at != ""
            if kind is not Kind.DEAD and not queued and not is_unsent:  # the index is a moment behind
                continue
            video = its[0][1].video if its else None
            name = (video.id if video else seen.video) or f"{batch.id}#{seen.row}"
            if kind is Kind.DEAD:
                reason, since = seen.reason, datetime.fromisoformat(seen.ended_at)
            elif is_unsent:
                reason, since = _INTERRUPTED, datetime.fromisoformat(seen.redriven_at)
            else:
                reason = next((message.reason for message in queued if message.reason), "")
                since = min(message.sent_at for message in queued)
            yield DeadLetter(name, kind, reason or _MOVED, since, queued, seen, batch, video)

    def _batch(self, name: str) -> Batch | None:
        try:
            return self._catalog.batch(name)
        except KeyError:
            return None

    def _with_costs(self, letters: Sequence[DeadLetter], more: int) -> list[DeadLetter]:
        """Dead letters with their videos' history, and what another try can cost."""
        fingerprints = {id(letter): self._terms.fingerprint(letter.video) if letter.video else "" for letter in letters}
        about = [(letter, letter.batch, letter.seen) for letter in letters]
        keys = [
            (batch.project, letter.id, fingerprint)
            for letter, batch, seen in about
            if batch and seen
            for fingerprint in (fingerprints[id(letter)], seen.fingerprint)
            if fingerprint
        ]
        entries = self._grants.entries(dict.fromkeys(keys))
        newest = self._grants.newest(dict.fromkeys((project, video) for project, video, _ in keys))
        costed = []
        for letter, batch, seen in about:
            if batch is None or seen is None:
                costed.append(letter)
                continue
            none = VideoRecord()
            current = fingerprints[id(letter)] or seen.fingerprint
            entry = entries.get((batch.project, letter.id, current), none)
            died = entries.get((batch.project, letter.id, seen.fingerprint), entry)
            closed = ""
            if batch.cancelled:
                closed = "the batch was cancelled"
            elif newest.get((batch.project, letter.id), "") > batch.upload.order:
                closed = "a newer manifest has this video"
            elif entry.answers(self._terms.policy):
                closed = "the video has been parsed in the meantime"
            requests, worst = 0, Amount()
            if letter.kind in (Kind.DEAD, Kind.STRAYED) and not closed:
                bound = self._terms.bound(letter.video, self._survey(batch))
                requests = self._terms.requests(entry.attempts, more) if bound.requests else 0
                worst = _times(bound, requests)
            costed.append(
                replace(
                    letter,
                    entry=died,
                    fingerprint=current,
                    attempts=entry.attempts,
                    requests=requests,
                    worst=worst,
                    closed=closed,
                )
            )
        return costed

    def _survey(self, batch: Batch) -> Survey:
        if batch.id not in self._surveys:
            self._surveys[batch.id] = self._catalog.survey(batch.id)
        return self._surveys[batch.id]

    def _with_videos(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Dead letters with their videos; those without a message are read from their manifests."""
        wanted: dict[str, tuple[Batch, set[int]]] = {}
        for letter in letters:
            if letter.kind in (Kind.DEAD, Kind.STRAYED) and letter.video is None and letter.seen and letter.batch:
                wanted.setdefault(letter.batch.id, (letter.batch, set()))[1].add(letter.seen.row)
        videos = {
            (batch.id, row): video for batch, rows in wanted.values() for row, video in self._from_manifest(batch, rows)
        }
        return [
            replace(letter, video=videos.get((letter.seen.batch, letter.seen.row)))
            if letter.seen and not letter.video
            else letter
            for letter in letters
        ]

    def _from_manifest(self, batch: Batch, rows: set[int]) -> Iterator[tuple[int, Video]]:
        parameters = self._there.parameters
        limits = reading_limits(parameters)
        uploads = self._stores.uploads
        with tempfile.TemporaryFile() as file:
            try:
                uploads.fetch(batch.upload, file, max_bytes=limits.total_max_bytes)
                for message in accepted_messages(batch, file, uploads, limits):
                    if message.row in rows:
                        yield message.row, message.video
            except (ObjectDeleted, ManifestTooLarge):  # the manifest was deleted: its rows cannot be sent, and say so
                return


_MOVED = f"{MOVED}: SQS moved the message here by itself: its worker crashed or timed out"
_INTERRUPTED = f"{INTERRUPTED}: a redrive was killed before it sent the message"


class _Pace:
    """Keeps to a rate."""

    def __init__(self, rate: float) -> None:
        self._seconds = 1 / rate
        self._next = time.monotonic()

    def wait(self) -> None:
        """Wait until the next message may be sent."""
        now = time.monotonic()
        if self._next > now:
            time.sleep(self._next - now)
        self._next = max(self._next, now) + self._seconds


def _kind(seen: RowSnapshot) -> Kind:
    if seen.state is RowState.DEAD:
        return Kind.DEAD
    return Kind.STRAYED if seen.state in (None, RowState.QUEUED) else Kind.ENDED


def _upload(message: QueuedMessage) -> DeadLetter:
    """A message that ingest could not take."""
    key = ""
    try:
        body = json.loads(message.body)
        key = body["continue"]["key"] if "continue" in body else body["Records"][0]["s3"]["object"]["key"]
    except (ValueError, LookupError, TypeError):  # it is shown as it is
        key = message.body[:80]
    return DeadLetter(message.id, Kind.UPLOAD, f"{UPLOAD}: {key}", message.sent_at, (message,))


def _times(bound: Amount, requests: int) -> Amount:
    """The bound of this many requests."""
    return Amount(
        bound.requests * requests,
        bound.input_tokens * requests,
        bound.output_tokens * requests,
        bound.micro_usd * requests,
    )
