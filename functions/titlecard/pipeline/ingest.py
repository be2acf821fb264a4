"""Ingest: an upload becomes one message per video.

Pass 1 reads the manifest, validates its rows, learns the survey and writes the reports. Pass 2 reads it again and sends
the accepted rows, with regular checkpoints. Each pass gives the same result when it is repeated, so a killed ingest
continues where it stopped.

::

    open_batch ─► pass 1 ─► reports, bitmap, survey ─► start_sending ─► pass 2 ─► sent … sent ─► all_sent
     (lease)       crash: repeat all of it               crash: continue from the last checkpoint

Messages sent between a checkpoint and a crash are sent again; their rows end once.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from titlecard import __version__, manifests, telemetry
from titlecard.aws.dynamodb.values import stamp
from titlecard.aws.errors import UNAVAILABLE, LeaseHeld, UploadRefused
from titlecard.aws.sqs import chunk_messages
from titlecard.domain.batch import OUTSIDE, BatchState, Message, Upload
from titlecard.extraction.surveying import survey_batch
from titlecard.manifests import validation
from titlecard.manifests.errors import NotAManifest
from titlecard.pipeline.batch_limits import own_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from titlecard.aws.dynamodb.catalog import Batch, Catalog
    from titlecard.aws.s3 import UploadsBucket
    from titlecard.aws.sqs import WorkQueue
    from titlecard.pipeline.finish import Finisher
    from titlecard.settings import IngestSettings

REPORT, REJECTS, ACCEPTED = "report.json", "rejects.jsonl", "accepted.bin"
"""The reports of a batch: a summary, its rejected rows, and a bitmap of its accepted ones, for pass 2 and audits."""

SEND_THREADS = 8
"""The number of threads that send; a SendMessageBatch call mostly waits."""

CHUNKS_IN_FLIGHT = 4 * SEND_THREADS
"""The most chunks that are read ahead of the oldest unsent one; this bounds the memory."""

ROWS_BETWEEN_CHECKPOINTS = 2_000

LEASE_SPARE_SECONDS = 30
"""Seconds by which a lease outlasts its invocation. A clock that is off by more does no harm: two concurrent ingests
send every message twice, and only the holder of the lease moves the checkpoint."""

UNVERSIONED = (
    "The bucket keeps no versions. If this key is uploaded again before the batch is finished, rows that were lost on "
    "the way cannot be sent again: enable versioning."
)

STOP_SENDING_SECONDS = 30
"""Seconds before the invocation's end (or a quarter of it, if less) at which the rest is left to a continuation."""


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """Works on one upload at a time.

    Args:
        now: returns the current time, timezone-aware.
    """

    catalog: Catalog
    uploads: UploadsBucket
    queue: WorkQueue
    finisher: Finisher
    settings: IngestSettings
    now: Callable[[], datetime]

    def take(self, upload: Upload, remaining: Callable[[], float]) -> bool:
        """Work on an upload until it is done (True) or the time is nearly up (False: send a continuation).

        Args:
            remaining: returns the seconds that this invocation has left.

        Raises:
            LeaseHeld: another invocation holds the lease, for at most `seconds`.
            MessagesNotSent: SQS refuses messages. As after any error, the checkpoint is stored and the lease released.
        """
        lease = uuid4().hex
        batch = self.catalog.open_batch(
            upload,
            upload.project or OUTSIDE,
            self.settings.batch_limits,
            lease=lease,
            until=self.now() + timedelta(seconds=remaining() + LEASE_SPARE_SECONDS),
            now=self.now(),
        )
        if batch.state not in (BatchState.COUNTING, BatchState.SENDING):
            return True
        if batch.lease != lease:
            until = batch.lease_until or stamp(self.now())  # empty if it was released in the meantime
            lasts = datetime.fromisoformat(until) - self.now()
            message = f"another invocation is working on batch {batch.id}"
            raise LeaseHeld(message, max(int(lasts.total_seconds()), 0) + 1)
        if upload.project is None:
            self._report(upload, "refused", message=_OUTSIDE)
            self.catalog.refuse(batch, _OUTSIDE)
            telemetry.refused(batch=batch.id, reason="OutsideAnyProject")
            return True
        stop = min(STOP_SENDING_SECONDS, remaining() / 4)
        with tempfile.TemporaryFile() as file:
            try:
                metadata = self.uploads.fetch(upload, file, max_bytes=self.settings.manifest_max_bytes)
                if batch.state is BatchState.COUNTING:
                    batch = self._count(batch, file, metadata)
                return self._send(batch, file, remaining, stop)
            except (UploadRefused, NotAManifest) as refusal:
                batch = self.catalog.batch(batch.id)  # its state may have changed
                if batch.state is BatchState.SENDING:
                    # Some rows have been sent, and may be deferred. An open batch keeps them; its audit ends the rest.
                    self.catalog.record_reason(batch, str(refusal))
                    self.catalog.all_sent(batch, now=self.now())
                    return True
                self._report(upload, "refused", message=str(refusal))
                self.catalog.refuse(batch, str(refusal))
                telemetry.refused(batch=batch.id, reason=type(refusal).__name__)
                return True
            except Exception:  # raised again: the next receive need not wait until the lease ends
                with suppress(LeaseHeld, *UNAVAILABLE):
                    self.catalog.release(batch)
                raise

    def _count(self, batch: Batch, file: BinaryIO, metadata: dict[str, str]) -> Batch:
        """Do pass 1."""
        limits = own_limits(self.settings.batch_limits, metadata)
        with tempfile.TemporaryDirectory() as scratch:
            rejects = Path(scratch, REJECTS)
            with rejects.open("w", encoding="utf-8") as sink:
                counted = validation.validate(
                    manifests.read(file, self.settings.reading_limits),
                    scratch=Path(scratch),
                    rejects=sink,
                    sample_max=self.settings.survey_sample_rows,
                )
            with rejects.open("rb") as content:
                self.uploads.write_report(batch.upload, REJECTS, content)
        self.uploads.write_report(batch.upload, ACCEPTED, counted.bitmap.to_bytes())
        counts = {"accepted": counted.accepted, "refused": counted.refused, "repeated": counted.repeated}
        warning = {} if batch.upload.is_versioned else {"warning": UNVERSIONED}
        self._report(batch.upload, "accepted", form=counted.form, left_out=counted.left_out, **counts, **warning)
        self.catalog.start_sending(
            batch, survey_batch(counted.sample), limits=limits, form=counted.form, last_row=counted.last, **counts
        )
        return self.catalog.batch(batch.id)

    def _send(self, batch: Batch, file: BinaryIO, remaining: Callable[[], float], stop: float) -> bool:
        """Do pass 2, from the checkpoint on."""
        checkpoint = last = batch.sent_row
        complete = False
        under_way: deque[tuple[int, Future[None]]] = deque()
        try:
            with ThreadPoolExecutor(SEND_THREADS, thread_name_prefix="send") as pool:
                for chunk in chunk_messages(
                    accepted_messages(batch, file, self.uploads, self.settings.reading_limits, after=last)
                ):
                    under_way.append((chunk[-1].row, pool.submit(self.queue.send, chunk)))
                    if len(under_way) < CHUNKS_IN_FLIGHT:
                        continue
                    last = _first_sent(under_way)
                    if last - checkpoint >= ROWS_BETWEEN_CHECKPOINTS:
                        checkpoint = last
                        until = self.now() + timedelta(seconds=remaining() + LEASE_SPARE_SECONDS)
                        self.catalog.sent(batch, last, until=until, now=self.now())
                    if remaining() < stop:
                        break
                else:
                    complete = True
                while under_way:
                    last = _first_sent(under_way)
        except Exception:  # raised again: only the checkpoint is stored, whatever it was
            with suppress(LeaseHeld, *UNAVAILABLE):
                self.catalog.sent(batch, last, until=None, now=self.now())
            raise
        if complete:
            self.catalog.all_sent(batch, now=self.now())
            self.finisher.check(batch.id, remaining)
        else:
            self.catalog.sent(batch, last, until=None, now=self.now())
        return complete

    def _report(self, upload: Upload, state: str, **content: str | int) -> None:
        about = {"batch": upload.batch, "project": upload.project, "manifest": upload.key, "version": upload.version}
        report = about | {"titlecard": __version__, "state": state} | content
        text = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
        self.uploads.write_report(upload, REPORT, text.encode())


def accepted_messages(
    batch: Batch, file: BinaryIO, uploads: UploadsBucket, limits: manifests.ReadingLimits, *, after: int = 0
) -> Iterator[Message]:
    """Yield the messages of a batch's accepted rows after row `after`, read again from a copy of its manifest."""
    file.seek(0)
    bitmap = validation.Bitmap.from_bytes(uploads.read_report(batch.upload, ACCEPTED))
    for row in validation.accepted(manifests.read(file, limits), bitmap, after=after):
        yield Message(batch=batch.id, project=batch.project, row=row.number, video=row.video)


def _first_sent(under_way: deque[tuple[int, Future[None]]]) -> int:
    """Wait for the oldest chunk in progress; return its last row's number."""
    row, sending = under_way.popleft()
    sending.result()
    return row


_OUTSIDE = (
    "The file is outside any project's folder. Upload it to uploads/<project>/<file>, where the project's name has "
    "1 to 64 letters, digits, dots, dashes or underscores."
)
