"""The audit: it finishes batches whose rows have all ended, and restarts batches that have stalled.

The audit guarantees that nothing is lost even if none of our code saw the loss: a message that SQS dropped or moved to
a dead-letter queue by itself, or a worker that never started.

=========================================  ===========================================================================
a batch that                               what the audit does
=========================================  ===========================================================================
ingest did not finish, without a worker    restart ingest
likewise, after `AuditRounds`              leave it to a person, with a reason
has all its rows ended                     publish the results, then close it
has not moved for `AuditAfterSeconds`      a round: resend the unfinished rows, `SweeperLimit` per call, each from
                                           where the last one stopped (`audit_row`, 0 when a round is over)
likewise, after `AuditRounds`              record these rows as dead, and send dead letters, once the queue is empty
likewise, and they cannot be read again    record these rows as dead, once the queue is empty
likewise, and these rows are unknown       publish what is known, then close it with a reason
moves, or has a long queue                 nothing
=========================================  ===========================================================================

::

    send ─► mark the batch        crash: the next call sends them again, and a row sent twice ends once
    dead letter ─► end the row    crash: a second dead letter

One call does a bounded amount of work. It logs a failure with one batch and continues with the others.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import RowEnd, UnreadableBatch, stamp
from titlecard.aws.errors import ManifestTooLarge, ObjectDeleted
from titlecard.aws.sqs import ENTRIES_PER_SEND, chunk_messages
from titlecard.domain.batch import END_STATES, BatchState, Message, RowState
from titlecard.domain.clock import CLOCKS_APART_SECONDS
from titlecard.domain.video import Video
from titlecard.manifests.errors import NotAManifest
from titlecard.manifests.validation import Bitmap
from titlecard.pipeline.errors import RowsNotEnded
from titlecard.pipeline.ingest import ACCEPTED, accepted_messages
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Batch, Catalog
    from titlecard.aws.s3 import UploadsBucket
    from titlecard.aws.sqs import DeadLetterSender, IngestQueue, WorkQueue
    from titlecard.pipeline.publish import ResultPublisher
    from titlecard.settings import SweeperSettings

CALL_SECONDS = 30
"""Seconds after which a call starts no further batch. A batch in progress may use all the remaining time: reaching the
first lost row of a large JSON array takes minutes, and stopping would mean reading all the rows before it again."""

COUNT_AFTER_SECONDS = 120
"""Seconds without a change after which a batch's rows are counted one by one: a worker that crashed may have ended rows
without counting them. A batch that is audited sooner is counted before each audit, because an audit changes it."""

CLAIM_SECONDS, ROWS_PER_SECOND = 60, 1_000
"""Seconds for which the sweeper leaves a batch to the call that has claimed its finish, plus one second for this many
rows, whose results take a second or less."""

_NOT_FOUND = "the manifest can no longer be read as it was when it was accepted"

SETTLED = (RowState.DEFERRED, *END_STATES)
"""The states of a row that is not lost: it has ended, or the sweeper will requeue it."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Looks after the unfinished batches."""

    catalog: Catalog
    uploads: UploadsBucket
    queue: WorkQueue
    ingest: IngestQueue
    dead_letters: DeadLetterSender
    results: ResultPublisher
    settings: SweeperSettings
    now: Callable[[], datetime]

    def run(self, in_time: Callable[[], bool]) -> Counter[str]:
        """Look after every unfinished batch, least recently audited first.

        Args:
            in_time: returns whether there is time to continue with a batch.

        Returns:
            The numbers of batches that were finished, restarted, left to a person or not audited, and of rows that were
            sent again or given up.
        """
        done: Counter[str] = Counter()
        end = self.now() + timedelta(seconds=CALL_SECONDS)
        readable: list[Batch] = []
        for found in self.catalog.open_batches():
            if isinstance(found, UnreadableBatch):
                logger.error("a batch cannot be read", batch=found.id, error=found.error)
                done["not audited"] += 1
            else:
                readable.append(found)
        for batch in sorted(readable, key=lambda batch: batch.marked_at):
            if self.now() > end or not in_time():
                break
            try:
                done += self._audit(batch, in_time) if batch.state is BatchState.OPEN else self._restart_ingest(batch)
            except Exception:  # noqa: BLE001 -- an item may hold anything, and the next batch does not wait
                logger.exception("a batch could not be audited", batch=batch.id)
                done["not audited"] += 1
        return done

    def finish(self, name: str, in_time: Callable[[], bool]) -> Counter[str]:
        """Finish a batch whose last row has ended by its counters, unless another call has begun to.

        This sends no message, so it needs no lease and cannot make the functions call each other in a loop. Publishing
        twice leaves one file.

        Returns:
            The numbers of batches that were finished or not audited.
        """
        try:
            batch = self.catalog.batch(name)
            if batch.is_counted_out and self.catalog.claim_finish(batch):
                return self._finish(batch, in_time, batch.reason)
        except Exception:  # noqa: BLE001 -- as in `run`; the next scheduled run tries again
            logger.exception("a batch could not be finished", batch=name)
            return Counter({"not audited": 1})
        return Counter()

    # ------------------------------------------------------------------------------ batches that ingest did not finish

    def _restart_ingest(self, batch: Batch) -> Counter[str]:
        """Restart ingest for a batch that no worker holds."""
        still = self.now() - batch.moved_at > timedelta(seconds=self.settings.ingest_restart_seconds)
        if not still or batch.lease_until >= stamp(self.now()) or batch.reason is not None:
            return Counter()
        rounds = batch.audit_rounds + 1 if batch.sent_row == batch.audited_rows else 1
        if rounds > self.settings.audit_rounds:
            return Counter({"left to you": int(self.catalog.record_reason(batch, self._unfinished(batch)))})
        self.ingest.send_continuation(batch.upload)
        self.catalog.record_audit(batch, rounds=rounds, rows=batch.sent_row, now=self.now())
        return Counter({"started again": 1})

    def _unfinished(self, batch: Batch) -> str:
        how_far = f"it has sent the rows up to {batch.sent_row:,}" if batch.sent_row else "it has sent no rows"
        rounds = self.settings.audit_rounds
        return (
            f"Ingest did not finish this manifest, although it was restarted {rounds} times: {how_far}. "
            "Its log says why. When the cause is repaired, upload the file again, or move its message from ingest's "
            "dead-letter queue back to ingest's queue: ingest then continues from there."
        )

    # -------------------------------------------------------------------------------------------------- open batches

    def _audit(self, batch: Batch, in_time: Callable[[], bool]) -> Counter[str]:
        """Finish a batch whose rows have all ended; audit one that has stalled, or whose audit is incomplete."""
        if self._may_have_ended(batch):
            return self._finish(batch, in_time, batch.reason)
        still = self.now() - batch.moved_at > timedelta(seconds=self.settings.audit_after_seconds)
        settled = batch.audited_rows
        rounds = batch.audit_rounds if batch.audit_row else batch.audit_rounds + 1
        # The last round records rows as dead, so the queue must be empty: a message in it may be for one of them.
        most = 0 if rounds > self.settings.audit_rounds else self.settings.sweeper_limit
        if not (batch.audit_row or still) or self.queue.size() > most:
            return Counter()  # the batch moves, or its rows may be in the queue
        if not batch.audit_row:
            settled = self.catalog.count_rows(batch, *SETTLED)
            rounds = rounds if settled == batch.audited_rows else 1
            if settled >= batch.accepted:  # the rest is deferred: checked at the next standstill
                self.catalog.record_audit(batch, rounds=0, rows=settled, now=self.now())
                return Counter()
        is_last = rounds > self.settings.audit_rounds
        try:
            row, done = self._send_again(batch, rounds, in_time)
            gone = "" if row or done or not is_last else _NOT_FOUND
        except (NotAManifest, ManifestTooLarge) as error:
            logger.warning("a manifest that was accepted cannot be read", batch=batch.id, error=str(error))
            row, done, gone = 0, Counter(), f"{_NOT_FOUND}: {error}" if is_last else ""
        except ObjectDeleted as error:  # the manifest is gone: only messages may still have its rows
            row, done, gone = 0, Counter(), "" if self.queue.size() else str(error)
        if gone:
            try:
                accepted = Bitmap.from_bytes(self.uploads.read_report(batch.upload, ACCEPTED))
            except ObjectDeleted:
                return self._finish_incomplete(batch, gone, in_time)
            row, done = self._end_unsendable(batch, accepted, gone, in_time)
        self.catalog.record_audit(batch, rounds=rounds, rows=settled, row=row, now=self.now())
        return done

    def _may_have_ended(self, batch: Batch) -> bool:
        """Return whether all rows of a batch have ended, or whether its counters say so.

        Counters may stay too low, so the rows of a batch that has stalled, or whose last change has a time in the
        future, are counted one by one, once per change of the batch. Counters may also be too high, so the publication
        counts the rows that it reads.
        """
        if batch.counted_at == batch.progress:
            return False
        idle = (self.now() - batch.moved_at).total_seconds()
        longest = CLAIM_SECONDS + batch.accepted / ROWS_PER_SECOND
        if batch.claimed_at == batch.progress and -CLOCKS_APART_SECONDS <= idle <= longest:
            return False
        if batch.left <= 0:
            return True
        still = not -CLOCKS_APART_SECONDS <= idle <= min(COUNT_AFTER_SECONDS, self.settings.audit_after_seconds)
        if still and self.catalog.count_rows(batch, *END_STATES) >= batch.accepted:
            return True
        if still:
            self.catalog.mark_counted(batch)
        return False

    def _finish(
        self, batch: Batch, in_time: Callable[[], bool], reason: str | None, *, complete: bool = True
    ) -> Counter[str]:
        """Publish a batch's results, then close it; if time runs out, the next call continues."""
        try:
            if not self.results.publish(batch, in_time, reason, complete=complete):
                return Counter()
        except RowsNotEnded:
            self.catalog.mark_counted(batch)
            return Counter()
        finished = self.catalog.finish(batch, reason=reason)
        telemetry.published((self.now() - batch.moved_at).total_seconds())
        return Counter({"finished": int(finished)})

    def _send_again(self, batch: Batch, rounds: int, in_time: Callable[[], bool]) -> tuple[int, Counter[str]]:
        """Send some of a batch's lost rows again, or give them up after enough rounds.

        Returns:
            The last row that was looked at, 0 if the batch has no more; and the number of rows sent again or given up.
        """
        done: Counter[str] = Counter()
        last = 0

        def messages() -> Iterator[Message]:
            nonlocal last
            for message in accepted_messages(
                batch, file, self.uploads, self.settings.reading_limits, after=batch.audit_row
            ):
                yield message
                if not in_time():  # all rows of a long manifest may be settled but the last
                    last = message.row
                    return

        with tempfile.TemporaryFile() as file:
            self.uploads.fetch(batch.upload, file, max_bytes=self.settings.manifest_max_bytes)
            settled = self.catalog.numbers_of_rows(batch, *SETTLED, after=batch.audit_row)
            seen = 0
            for chunk in chunk_messages(islice(_without(messages(), settled), self.settings.sweeper_limit)):
                if rounds > self.settings.audit_rounds:
                    done["given up"] += self._give_up(batch, chunk)
                else:
                    self.queue.send(chunk)
                    done["sent again"] += len(chunk)
                seen += len(chunk)
                if seen >= self.settings.sweeper_limit:
                    return chunk[-1].row, done
        return last, done

    def _give_up(self, batch: Batch, chunk: list[Message]) -> int:
        reason = f"never_answered: sent again {self.settings.audit_rounds} times, and no worker finished it"
        self.dead_letters.send_all(chunk, reason)
        return self._end_as_dead(batch, chunk, reason)

    def _finish_incomplete(self, batch: Batch, why: str, in_time: Callable[[], bool]) -> Counter[str]:
        """Finish a batch whose lost rows are unknown, once none of its rows is deferred."""
        lost = batch.accepted - self.catalog.count_rows(batch, *SETTLED)
        reason = f"{lost:,} rows were never answered, and it is no longer known which: {why}"
        if not self.catalog.count_rows(batch, RowState.DEFERRED):
            return self._finish(batch, in_time, reason, complete=False)
        self.catalog.record_reason(batch, reason)
        self.catalog.record_audit(batch, rounds=batch.audit_rounds, rows=batch.audited_rows, now=self.now())
        return Counter()

    def _end_unsendable(
        self, batch: Batch, accepted: Bitmap, why: str, in_time: Callable[[], bool]
    ) -> tuple[int, Counter[str]]:
        """Record as dead the lost rows that cannot be sent again.

        Without the manifest their videos are unknown, so there are no dead letters to send.

        Returns:
            As for `_send_again`.
        """
        reason = f"never_answered: it cannot be sent again: {why}"
        came_back = {row.number: row.video for row in self.catalog.rows(batch) if row.state is RowState.QUEUED}
        settled = self.catalog.numbers_of_rows(batch, *SETTLED, after=batch.audit_row)
        messages = (
            # Only the video's id is known, and only if a worker had begun the row.
            Message(batch=batch.id, project=batch.project, row=row, video=_unknown(came_back.get(row, "")))
            for row in accepted
            if row > batch.audit_row
        )
        some = list(islice(_without(messages, settled), self.settings.sweeper_limit))
        if some:
            self.catalog.record_reason(batch, f"rows were never answered, and they cannot be sent again: {why}")
        done: Counter[str] = Counter()
        for start in range(0, len(some), ENTRIES_PER_SEND):
            chunk = some[start : start + ENTRIES_PER_SEND]
            done["given up"] += self._end_as_dead(batch, chunk, reason)
            if not in_time():
                return chunk[-1].row, done
        return (some[-1].row if len(some) == self.settings.sweeper_limit else 0), done

    def _end_as_dead(self, batch: Batch, chunk: list[Message], reason: str) -> int:
        """End rows as dead; return how many had not ended before."""
        endings = [RowEnd(it, batch.upload.order, "", RowState.DEAD, reason=reason, row_exists=True) for it in chunk]
        states = self.catalog.end_and_count(endings, now=self.now())
        died = [message for message, state in zip(chunk, states, strict=True) if state is RowState.DEAD]
        for message in died:
            telemetry.died(message, reason=reason)
        return len(died)


def _without(messages: Iterable[Message], settled: Iterator[int]) -> Iterator[Message]:
    """Yield the messages of the rows that are not settled; both inputs ascend by row number."""
    number = next(settled, None)
    for message in messages:
        while number is not None and number < message.row:
            number = next(settled, None)
        if number != message.row:
            yield message


def _unknown(name: str) -> Video:
    return Video.model_construct(id=name, title="")
