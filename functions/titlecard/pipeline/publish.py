"""The results of a batch: a file in the uploads bucket and an event, before the batch is closed as finished.

::

    every row has ended ─► file: part … part, complete ─► event ─► closed as finished (by the caller)
                             crash: continue after the      crash: file and event again,
                             last recorded part             the event with the same id

So a receiver of the event finds the file, and every batch has at least one event. A small batch is one PutObject. One
that does not fit into an invocation is written in parts, and the progress is recorded after each. A part's size alone
decides where it ends, so a part that is written twice has the same rows. No file appears before its rows are counted:
a batch's counters may be too high, and counting the rows beforehand would mean reading them twice.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from titlecard.aws.dynamodb.catalog.upload_progress import UploadProgress
from titlecard.domain.batch import END_STATES
from titlecard.pipeline.errors import EventNotPublished, RowsNotEnded
from titlecard.pipeline.lines import of_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.catalog.results import BatchResults
    from titlecard.aws.dynamodb.catalog.upload_progress import UploadProgressTable

RESULTS = "results/"
"""The prefix of the stack's results: `results/<project>/<batch>.jsonl`."""

SOURCE, FINISHED = "titlecard", "Titlecard batch finished"
"""The event's source and detail type."""

PART_BYTES = 5 * 1024 * 1024
"""The least size of a part except the last, in bytes (S3 user guide, "Amazon S3 multipart upload limits")."""

_LOST = {"NoSuchUpload", "InvalidPart"}


class EventBus(Protocol):
    """The methods of EventBridge's client that are used here."""

    def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:  # noqa: N803 -- boto3's
        """Put events on the default bus."""


@dataclass(frozen=True)
class _Part:
    """Rows up to `row` as lines; `last` says that no rows follow."""

    body: bytes
    row: int
    counts: Counter[str]
    last: bool


@dataclass(frozen=True, kw_only=True)
class ResultPublisher:
    """Publishes the results of batches."""

    results: BatchResults
    progress: UploadProgressTable
    s3: S3Client
    events: EventBus

    def publish(
        self, batch: Batch, in_time: Callable[[], bool], reason: str | None = None, *, complete: bool = True
    ) -> bool:
        """Write a batch's file and publish its event; return False if time ran out and the call must be repeated.

        Args:
            in_time: returns whether there is time for another part: some 20,000 rows, at a second or less per thousand.
            reason: why rows of the batch were given up, if any were.
            complete: whether every accepted row must have ended.

        Raises:
            RowsNotEnded: an accepted row has not ended.
            EventNotPublished: the event was refused.
        """
        counts = self._write(batch, in_time, batch.accepted if complete else 0)
        if counts is None:
            return False
        self._announce(batch, counts, reason)
        return True

    def _write(self, batch: Batch, in_time: Callable[[], bool], rows: int) -> Counter[str] | None:
        """Write the file if at least `rows` rows have ended; return its counts, or None if it is not complete yet."""
        progress = self.progress.read(batch.id, batch.marked_at)
        while in_time():
            part = self._part(batch, after=progress.row if progress else 0)
            if progress is None and part.last:
                _check_ended(part.counts, rows)
                self.s3.put_object(**_object(batch), Body=part.body, ContentType=_LINES)
                return part.counts
            try:
                progress = self._add(batch, progress or self._begin(batch), part)
                if part.last and progress:
                    self._complete(batch, progress, rows)
                    return progress.counts
            except ClientError as error:
                if progress is None or error.response["Error"].get("Code") not in _LOST:
                    raise
                self.progress.forget(batch.id, progress)  # the upload is gone, or another writer wrote one of its parts
                return None
            if progress is None:
                return None
        return None

    def _part(self, batch: Batch, *, after: int) -> _Part:
        lines: list[bytes] = []
        size, row = 0, after
        counts: Counter[str] = Counter()
        for result in self.results.results(batch, after=after):
            lines.append(json.dumps(of_result(result), ensure_ascii=False).encode() + b"\n")
            size += len(lines[-1])
            row = result.row.number
            counts[result.state] += 1
            counts[_ENDED] += result.row.state in END_STATES
            if result.talk and result.talk.review:
                counts["review"] += 1
            if size >= PART_BYTES:
                return _Part(b"".join(lines), row, counts, last=False)
        return _Part(b"".join(lines), row, counts, last=True)

    def _begin(self, batch: Batch) -> UploadProgress:
        upload = self.s3.create_multipart_upload(**_object(batch), ContentType=_LINES)["UploadId"]
        return UploadProgress(batch.marked_at, upload)

    def _add(self, batch: Batch, progress: UploadProgress, part: _Part) -> UploadProgress | None:
        """Add a part after the others and record it; return None if another writer has made progress meanwhile."""
        etags = progress.etags
        if part.body:
            number = len(etags) + 1
            put = self.s3.upload_part(**_object(batch), UploadId=progress.upload, PartNumber=number, Body=part.body)
            etags = (*etags, put["ETag"])
        further = replace(progress, etags=etags, row=part.row, counts=progress.counts + part.counts)
        if part.last:  # the last part needs no record: the file is completed at once, or the part is made again
            return further
        if not progress.etags:
            if self.progress.begin(batch.id, further):
                return further
            self.s3.abort_multipart_upload(**_object(batch), UploadId=progress.upload)
            return None
        return further if self.progress.advance(batch.id, progress, further) else None

    def _complete(self, batch: Batch, progress: UploadProgress, rows: int) -> None:
        """Complete an upload if at least `rows` of its rows have ended; else forget it, since its rows still change."""
        try:
            _check_ended(progress.counts, rows)
        except RowsNotEnded:
            self.progress.forget(batch.id, progress)
            self.s3.abort_multipart_upload(**_object(batch), UploadId=progress.upload)
            raise
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": etag} for number, etag in enumerate(progress.etags, 1)
        ]
        self.s3.complete_multipart_upload(**_object(batch), UploadId=progress.upload, MultipartUpload={"Parts": parts})

    def _announce(self, batch: Batch, counts: Counter[str], reason: str | None) -> None:
        """Publish the event. A repeated event has the same `id`; after a redrive of dead rows the `id` differs."""
        detail = {
            "id": f"{batch.id}@{batch.marked_at}",
            "batch": batch.id,
            "project": batch.project,
            "manifest": batch.upload.key,
            "results": {"bucket": batch.upload.bucket, "key": results_key(batch.project, batch.id)},
            "counts": {
                "accepted": batch.accepted,
                "refused": batch.refused,
                "repeated": batch.repeated,
                **{name: counts[name] for name in (*END_STATES, "review")},
            },
            "reason": reason,
        }
        entry = {"Source": SOURCE, "DetailType": FINISHED, "Detail": json.dumps(detail, ensure_ascii=False)}
        done = self.events.put_events(Entries=[entry])
        if done["FailedEntryCount"]:
            refused = done["Entries"][0]
            raise EventNotPublished(f"batch {batch.id}: {refused.get('ErrorCode')}: {refused.get('ErrorMessage')}")


_LINES = "application/x-ndjson"
_ENDED = "ended"


def _check_ended(counts: Counter[str], rows: int) -> None:
    if counts[_ENDED] < rows:
        raise RowsNotEnded(f"{rows - counts[_ENDED]:,} rows have not ended")


def results_key(project: str, batch: str) -> str:
    """Return the S3 key of a batch's results in the uploads bucket."""
    return f"{RESULTS}{project}/{batch}.jsonl"


def _object(batch: Batch) -> dict[str, Any]:
    return {"Bucket": batch.upload.bucket, "Key": results_key(batch.project, batch.id)}
