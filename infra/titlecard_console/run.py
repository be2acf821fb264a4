"""`titlecard run`: manifests through the whole stack, and the talks back.

Uploads, follows the batches until nothing more will happen by itself, and gives the lines. It calls `resume` instead of
waiting for the schedule's minute. It does nothing that an upload by hand and a look into the tables would not do.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog import NEVER, Catalog
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.aws.s3 import LIMIT_METADATA
from titlecard.domain.batch import END_STATES, UPLOADS, BatchLimits, BatchState, Upload
from titlecard.domain.money import Budget, Cap
from titlecard_console.progress import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from titlecard.aws.dynamodb.catalog import Batch, Row, VideoRecord
    from titlecard_console.local_cloud.cloud import Cloud

POLL_SECONDS = 0.5
RESUME_SECONDS = 2.0
RESUME_AT_MOST = 310
"""Longer than resume's own time-out: results of many rows take it minutes."""

PATIENCE_SECONDS = 180
"""What waits longer than this, or is long overdue, is left to a later run, which starts where this one ends."""

FREED_SECONDS = 3 * RESUME_SECONDS
"""How long nothing has to move before what waits for a limit is given up: an answer that was settled may make room."""

LOG_CHARACTERS = 400
"""Of a log line, at most."""

QUIET_SECONDS = 20.0
"""After so long without movement the functions' logs are looked at for the reason."""


@dataclass(frozen=True)
class Sent:
    """A manifest that was uploaded, and what the person called it."""

    name: str
    upload: Upload


class Work:
    """The console's view of a stack that works on manifests."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._s3 = cloud.client("s3")
        self._lambda = cloud.client("lambda", read_timeout=RESUME_AT_MOST)
        dynamodb = cloud.resource("dynamodb").meta.client
        self._catalog = Catalog(dynamodb, cloud.outputs["CatalogTable"])
        self._ledger = Ledger(dynamodb, cloud.outputs["LedgerTable"])
        self._logs = cloud.client("logs")
        self._resumed = 0.0

    def upload(self, manifest: Path, project: str, name: str, limits: BatchLimits | None) -> Sent:
        """Put a manifest into the uploads bucket, with the limits that were agreed for it."""
        bucket, key = self._cloud.outputs["UploadsBucket"], f"{UPLOADS}{project}/{name}"
        agreed = limits.model_dump() if limits else {}
        metadata = {LIMIT_METADATA[what]: str(most) for what, most in agreed.items()}
        with manifest.open("rb") as body:
            version = self._s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)["VersionId"]
        return Sent(str(manifest), Upload(bucket, key, version, order=""))

    def allow(self, project: str, agreed: Sequence[BatchLimits]) -> None:
        """Make what was agreed on the project's budget as well, above what it was charged before in day and month.

        A budget that a person has set stays as it is, and may be the lower one.
        """
        if not agreed or self._ledger.budget_is_a_persons(project):
            return
        now = datetime.now(UTC)
        tokens, micro_usd = sum(it.tokens for it in agreed), sum(it.micro_usd for it in agreed)
        day, month = (Cap(it.tokens + tokens, it.micro_usd + micro_usd) for it in self._ledger.window(project, now))
        self._ledger.set_budget(project, Budget(day, month), by="run", now=now)

    def follow(
        self, sent: Sequence[Sent], show: Callable[[str, Status], None], warn: Callable[[str], None]
    ) -> dict[Sent, Batch]:
        """Wait until nothing more will happen to the batches by itself.

        Args:
            show: is told how each batch stands, all the time.
            warn: is told what the functions complain of while nothing moves.
        """
        ended: dict[Sent, Batch] = {}
        before: dict[Sent, Status | None] = {}
        moved, began = time.monotonic(), datetime.now(UTC)
        while len(ended) < len(sent):
            time.sleep(POLL_SECONDS)
            for one in sent:
                if one in ended:
                    continue
                status = self._status(one)
                if before.get(one) != status:
                    before[one], moved = status, time.monotonic()
                if status:
                    show(one.name, status)
                    if _all_rows_ended(status):
                        self._resumed = 0.0  # all that is missing is that it says so
                    if self._is_over(status) and (_has_ended(status) or time.monotonic() - moved > FREED_SECONDS):
                        ended[one] = status.batch
            if time.monotonic() - moved > QUIET_SECONDS:
                moved = time.monotonic()
                for complaint in self._complaints(began):
                    warn(complaint)
            self._resume()
        return ended

    def rows(self, batch: Batch) -> Iterator[tuple[Row, VideoRecord]]:
        """The rows of a batch in the manifest's order, with what is known of their videos."""
        return self._catalog.talks(batch.project, self._catalog.rows(batch.id))

    def status(self, batch: Batch) -> Status:
        """How a batch stands now."""
        waiting = self._catalog.waiting(batch.id)
        due = waiting[0].due if waiting and waiting[0].due != NEVER else None
        until = datetime.fromisoformat(due) if due else None
        return Status(batch, len(waiting), until, self._ledger.spent(batch.id))

    def _status(self, sent: Sent) -> Status | None:
        try:
            return self.status(self._catalog.batch(sent.upload.batch))
        except KeyError:  # its notification is on the way
            return None

    def _is_over(self, status: Status) -> bool:
        batch = status.batch
        if _has_ended(status):
            return True
        if batch.state is not BatchState.OPEN or status.ended + status.waiting < batch.accepted or not status.waiting:
            return False
        if status.until and abs(status.until - datetime.now(UTC)) < timedelta(seconds=PATIENCE_SECONDS):
            return False
        ended = sum(row.state in END_STATES for row in self._catalog.rows(batch.id))
        return ended + status.waiting >= batch.accepted

    def _complaints(self, since: datetime) -> Iterator[str]:
        """The last error in the log of each function."""
        for name in ("IngestFunction", "ParserFunction"):
            function = self._lambda.get_function_configuration(FunctionName=self._cloud.outputs[name])
            found = self._logs.filter_log_events(
                logGroupName=function["LoggingConfig"]["LogGroup"],
                startTime=int(since.timestamp() * 1000),
                filterPattern='"ERROR"',
            )["events"]
            if found:
                yield f"{name} complains: {_error(found[-1]['message'])}"

    def _resume(self) -> None:
        if time.monotonic() - self._resumed >= RESUME_SECONDS:
            self._resumed = time.monotonic()
            self._lambda.invoke(FunctionName=self._cloud.outputs["SweeperFunction"], Payload=json.dumps({}).encode())


def _has_ended(status: Status) -> bool:
    """Whether nothing more happens to a batch: also one that ingest could not finish, and says so."""
    batch = status.batch
    given_up = batch.state in (BatchState.COUNTING, BatchState.SENDING) and batch.reason is not None
    return given_up or batch.state in (BatchState.FINISHED, BatchState.REFUSED)


def _all_rows_ended(status: Status) -> bool:
    return status.batch.state is BatchState.OPEN and status.ended >= status.batch.accepted


def _error(message: str) -> str:
    """What a log line says went wrong; the functions log JSON, the runtime does not."""
    try:
        record = json.loads(message)
    except ValueError:
        return message.strip()[:LOG_CHARACTERS]
    said = f"{record['message']}: {record.get('stack_trace', {}).get('value', '')}"
    return said.strip(": ")[:LOG_CHARACTERS]
