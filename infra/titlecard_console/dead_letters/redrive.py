"""Lists dead letters, sends them again with the attempts that an operator allows, and discards them.

The catalog knows which rows are dead. The dead-letter queues are read once, for the messages' bodies, and compared with
the catalog. A row without a message is read from its manifest. `titlecard.aws.dynamodb.catalog.grants` documents the
order of a redrive's steps, and what a crash at each point leaves behind.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from pydantic import ValidationError

from titlecard.aws.dynamodb.catalog import Batch, Row, UnreadableBatch
from titlecard.aws.dynamodb.catalog.grants import AttemptGrant
from titlecard.aws.errors import BatchItemInvalid, ManifestTooLarge, ObjectDeleted
from titlecard.domain.batch import Message, RowState
from titlecard.domain.money import Amount
from titlecard.manifests.errors import NotAManifest
from titlecard.pipeline.ingest import accepted_messages
from titlecard_console import stacks
from titlecard_console.dead_letters.cost import RetryCosts
from titlecard_console.dead_letters.letter import DeadLetter, Kind, Selection, groups
from titlecard_console.dead_letters.queue import DeadLetterQueue, QueuedMessage
from titlecard_console.errors import CommandError
from titlecard_console.manifest import reading_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog import VideoRecord
    from titlecard.domain.video import Video
    from titlecard_console.stacks import Stack

TRIES = 3
"""The most times that a grant is tried while other writes interfere."""

NAME_CHARACTERS = 200
"""The most characters of a batch's name that is looked up; no batch has a longer one. DynamoDB refuses a key of more
than 2,048 bytes, and with it the whole call."""

UPLOAD = "upload_not_taken"
MOVED = "moved_by_sqs"
INTERRUPTED = "redrive_interrupted"
UNREADABLE_ROW = "unreadable_row"


class Redriver:
    """Lists dead letters, sends them again and discards them.

    Args:
        now: returns the current time, timezone-aware.
        reading: how to read the queues; see `DeadLetterQueue`.
    """

    def __init__(
        self, stack: Stack, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), **reading: int
    ) -> None:
        self._stack = stack
        self._now = now
        self._stores = stacks.stores(stack)
        self._catalog = self._stores.catalog
        self._grants = self._stores.grants
        self._ledger = self._stores.ledger
        sqs, outputs = stack.client("sqs"), stack.outputs
        self._work = DeadLetterQueue(sqs, outputs["WorkDeadLetterQueueUrl"], outputs["WorkQueueUrl"], **reading)
        self._ingest = DeadLetterQueue(sqs, outputs["IngestDeadLetterQueueUrl"], outputs["IngestQueueUrl"], **reading)
        self._costs = RetryCosts(self._stores, stack.parameters)

    def who(self) -> str:
        """Return the person who allows the attempts, as AWS knows them."""
        return stacks.caller(self._stack)

    @property
    def hidden(self) -> int:
        """About how many messages `letters` could not read: another process reads them, or was killed."""
        return self._work.hidden + self._ingest.hidden

    def letters(self, *, more: int = 1, choice: Selection | None = None, read: bool = False) -> list[DeadLetter]:
        """Return the selected dead letters, oldest first.

        Args:
            more: the number of further attempts that would be allowed.
            choice: the selection; None selects all.
            read: whether to read rows without a message from their manifests.

        Raises:
            CommandError: there are dead letters, but none has what the selection names.
        """
        found = [_upload_letter(message) for message in self._ingest.read()]
        messages: dict[tuple[str, int], list[tuple[QueuedMessage, Message]]] = defaultdict(list)
        for queued in self._work.read():
            try:
                message = Message.model_validate_json(queued.body)
            except ValidationError:
                reason = queued.reason or "undecodable: the message is not a row of a manifest"
                found.append(DeadLetter(queued.id, Kind.UNREADABLE, reason, queued.sent_at, (queued,)))
                continue
            if len(message.batch) > NAME_CHARACTERS:
                found.append(_unknown_batch(queued, message.batch))
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
        return self._costs.added_to(chosen, more)

    def edited(self, letter: DeadLetter, video: Video, *, more: int) -> DeadLetter:
        """Return a dead letter with an edited title or description.

        Raises:
            CommandError: the video is larger than a row of a manifest can be.
        """
        size, most = len(video.model_dump_json().encode()), reading_limits(self._stack.parameters).row_max_bytes
        if size > most:
            raise CommandError(f"The video has {size:,} bytes now, more than the {most:,} of RowMaxBytes: shorten it.")
        (edited,) = self._costs.added_to([replace(letter, video=video)], more)
        return edited

    def worst_by_batch(self, letters: Iterable[DeadLetter]) -> Iterator[tuple[Batch, Amount]]:
        """Yield the batches of dead letters, each with the cost of all their requests if each costs its bound."""
        worst: dict[str, Amount] = defaultdict(Amount)
        batches: dict[str, Batch] = {}
        for letter in letters:
            if letter.batch and letter.worst.requests:
                worst[letter.batch.id] += letter.worst
                batches[letter.batch.id] = letter.batch
        for name, batch in batches.items():
            yield batch, worst[name]

    def spent(self, batch: Batch) -> Amount:
        """Return a batch's charges so far.

        Raises:
            LedgerUnavailable: they cannot be read.
        """
        return self._ledger.spent(batch.id)

    def records(self, letter: DeadLetter) -> list[VideoRecord]:
        """Return everything that the catalog knows about a dead letter's video."""
        return (
            self._grants.records(letter.batch.project, letter.seen.video or letter.id)
            if letter.batch and letter.seen
            else []
        )

    # ----------------------------------------------------------------------------------------------- what a person does

    def send_again(
        self, letters: Sequence[DeadLetter], *, more: int, rate: float, by: str
    ) -> Iterator[tuple[DeadLetter, str]]:
        """Send dead letters again, and delete their messages; if a row has ended otherwise, only delete its messages.

        Args:
            more: the number of further attempts that each video is allowed.
            rate: the most messages to send per second.
            by: the person who allows it.

        Yields:
            Each finished dead letter, with its outcome: `sent`, `removed` (its message was useless and is deleted) or
            `moved` (not sent, because it has changed since it was read).
        """
        limit = _RateLimit(rate)
        for letter in letters:
            queue = self._ingest if letter.kind is Kind.UPLOAD else self._work
            if letter.to_be_sent:
                limit.wait()
                if not self._send_row(letter, more, by):
                    yield letter, "moved"
                    continue
            elif letter.kind is Kind.UPLOAD:
                limit.wait()
                queue.send_again(letter.messages[0].body)
            elif letter.kind is not Kind.ENDED:
                continue
            queue.delete(letter.messages)
            yield letter, "removed" if letter.kind is Kind.ENDED else "sent"

    def discard(self, letters: Sequence[DeadLetter], copy: IO[str], *, by: str) -> Iterator[tuple[DeadLetter, str]]:
        """Write a copy of dead letters to the disk, then make their rows dead permanently and delete their messages.

        The row comes first: after a crash in between, its message is still listed. In the other order, the audit would
        send a row again that had not ended.

        Yields:
            Each dead letter, with its outcome: `discarded`, `kept` (its row cannot be read) or `moved` (kept, because
            it has changed since it was read).
        """
        for letter in letters:
            bodies = [message.body for message in letter.messages]
            line = {**letter.figures(), "discarded_by": by, "discarded_at": self._now().isoformat(), "bodies": bodies}
            copy.write(json.dumps(line, ensure_ascii=False) + "\n")
        copy.flush()
        os.fsync(copy.fileno())
        for letter in letters:
            if letter.seen and letter.kind in (Kind.DEAD, Kind.STRAYED):
                seen = replace(letter.seen, video=letter.seen.video or letter.id, fingerprint=letter.fingerprint)
                if not self._grants.discard(seen, by=by, now=self._now()):
                    yield letter, "moved"
                    continue
            if letter.seen and letter.seen.error:
                yield letter, "kept"
                continue
            (self._ingest if letter.kind is Kind.UPLOAD else self._work).delete(letter.messages)
            yield letter, "discarded"

    def _send_row(self, letter: DeadLetter, more: int, by: str) -> bool:
        """Allow another try of a row and send its message; return False if the row has changed since it was read."""
        if letter.seen is None or letter.batch is None or letter.video is None:
            raise AssertionError("only rows with a video are sent again")
        allowed = None if letter.closed or not letter.worst.requests else letter.attempts + more
        grant = AttemptGrant(letter.batch.project, letter.video.id, letter.fingerprint, letter.attempts, allowed, by)
        if not self._allow(letter.seen, grant):
            return False
        batch, row = letter.batch, letter.seen.number
        message = Message(batch=batch.id, project=batch.project, row=row, video=letter.video)
        self._work.send_again(message.model_dump_json())
        self._grants.sent(letter.seen)
        return True

    def _allow(self, seen: Row, grant: AttemptGrant) -> bool:
        """Allow another try; repeat if only the batch has changed, which a previous try may have reopened."""
        for _ in range(TRIES):
            batch = self._batch(seen.batch)
            if isinstance(batch, Batch) and self._grants.allow(seen, grant, batch.state, now=self._now()):
                return True
        return False

    # ---------------------------------------------------------------------------------------------------------- reading

    def _rows(
        self, messages: Mapping[tuple[str, int], Sequence[tuple[QueuedMessage, Message]]]
    ) -> Iterator[DeadLetter]:
        """Yield the dead letters that are rows: dead ones, those with a message, and those left unsent by a redrive."""
        unsent = set(self._grants.unsent())
        keys = list(dict.fromkeys([*self._grants.dead(), *messages, *unsent]))
        rows = self._grants.rows(keys)
        batches = {name: self._batch(name) for name in {batch for batch, _ in keys}}
        for key in keys:
            its, seen, found = messages.get(key, ()), rows.get(key, Row(*key)), batches[key[0]]
            queued = tuple(message for message, _ in its)
            if found is None:
                yield from (_unknown_batch(message, key[0]) for message in queued)
                continue
            batch, error = (found, seen.error) if isinstance(found, Batch) else (None, seen.error or found.error)
            kind = _kind_of(seen)
            is_unsent = kind is Kind.STRAYED and key in unsent and seen.redriven_at != ""
            if not (queued or seen.error or is_unsent or kind is Kind.DEAD):  # the index was not up to date
                continue
            video = its[0][1].video if its else None
            name = (video.id if video else seen.video) or f"{seen.batch}#{seen.number}"
            reason, since = self._reason(seen, queued, is_unsent=is_unsent)
            yield DeadLetter(name, kind, reason, since, queued, seen, batch, video, error=error)

    def _reason(self, seen: Row, queued: Sequence[QueuedMessage], *, is_unsent: bool) -> tuple[str, datetime]:
        """Return why a row is a dead letter, and since when."""
        since = min((message.sent_at for message in queued), default=self._now())
        if seen.error:
            return f"{UNREADABLE_ROW}: {seen.error}", since
        if seen.state is RowState.DEAD:
            return seen.reason or _MOVED, datetime.fromisoformat(seen.ended_at)
        if is_unsent:
            return _INTERRUPTED, datetime.fromisoformat(seen.redriven_at)
        return next((message.reason for message in queued if message.reason), _MOVED), since

    def _batch(self, name: str) -> Batch | UnreadableBatch | None:
        try:
            return self._catalog.batch(name)
        except BatchItemInvalid as error:
            return UnreadableBatch(name, str(error))
        except KeyError:
            return None

    def _with_videos(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Return dead letters with their videos; read those without a message from their manifests."""
        wanted: dict[str, tuple[Batch, set[int]]] = {}
        for letter in letters:
            if letter.kind in (Kind.DEAD, Kind.STRAYED) and letter.video is None and letter.seen and letter.batch:
                wanted.setdefault(letter.batch.id, (letter.batch, set()))[1].add(letter.seen.number)
        videos = {
            (batch.id, row): video for batch, rows in wanted.values() for row, video in self._from_manifest(batch, rows)
        }
        return [
            replace(letter, video=videos.get((letter.seen.batch, letter.seen.number)))
            if letter.seen and not letter.video
            else letter
            for letter in letters
        ]

    def _from_manifest(self, batch: Batch, rows: set[int]) -> Iterator[tuple[int, Video]]:
        parameters = self._stack.parameters
        limits = reading_limits(parameters)
        uploads = self._stores.uploads
        with tempfile.TemporaryFile() as file:
            try:
                uploads.fetch(batch.upload, file, max_bytes=limits.total_max_bytes)
                for message in accepted_messages(batch, file, uploads, limits):
                    if message.row in rows:
                        yield message.row, message.video
            except (
                ObjectDeleted,
                ManifestTooLarge,
                NotAManifest,
            ):  # without its manifest a row cannot be sent, and its line says so
                return


_MOVED = f"{MOVED}: SQS moved the message here by itself: its worker crashed or timed out"
_INTERRUPTED = f"{INTERRUPTED}: a redrive was killed before it sent the message"


class _RateLimit:
    """Limits the number of messages sent per second."""

    def __init__(self, rate: float) -> None:
        self._seconds = 1 / rate
        self._next = time.monotonic()

    def wait(self) -> None:
        """Wait until the next message may be sent."""
        now = time.monotonic()
        if self._next > now:
            time.sleep(self._next - now)
        self._next = max(self._next, now) + self._seconds


def _kind_of(seen: Row) -> Kind:
    if seen.error:
        return Kind.UNREADABLE
    if seen.state is RowState.DEAD:
        return Kind.DEAD
    return Kind.STRAYED if seen.state is RowState.QUEUED else Kind.ENDED


def _unknown_batch(message: QueuedMessage, batch: str) -> DeadLetter:
    """Return the dead letter of a message whose batch the catalog does not have."""
    reason = message.reason or f"unknown_batch: the catalog has no batch {batch[:80]!r}"
    return DeadLetter(message.id, Kind.UNREADABLE, reason, message.sent_at, (message,))


def _upload_letter(message: QueuedMessage) -> DeadLetter:
    """Return the dead letter of a message that ingest could not process."""
    key = ""
    try:
        body = json.loads(message.body)
        key = body["continue"]["key"] if "continue" in body else body["Records"][0]["s3"]["object"]["key"]
    except (ValueError, LookupError, TypeError):  # show it unchanged
        key = message.body[:80]
    return DeadLetter(message.id, Kind.UPLOAD, f"{UPLOAD}: {key}", message.sent_at, (message,))
