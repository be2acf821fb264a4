"""The run of manifests through a stack: upload them, follow their batches to the end, read their talks.

It does what a person could do by hand with an upload and queries of the tables, except that it invokes the sweeper
instead of waiting for the schedule's minute.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog import Batch
from titlecard.aws.dynamodb.ledger.accounts import RUN
from titlecard.domain.batch import END_STATES, BatchState, Upload
from titlecard.domain.money import Budget, Cap, Total
from titlecard_console import stacks
from titlecard_console.status import Status, read_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.domain.money import Amount
    from titlecard_console.local_cloud.cloud import Cloud

POLL_SECONDS = 0.5
SWEEP_SECONDS = 2.0
SWEEPER_TIMEOUT = 310
"""Seconds to wait for the sweeper, longer than its timeout: it takes long to write the results of many rows."""

PATIENCE_SECONDS = 180
"""The longest wait in seconds. Rows that wait longer, or are overdue by more, are left to a later run."""

IDLE_SECONDS = 3 * SWEEP_SECONDS
"""Seconds without any change after which the run gives up rows that wait for a limit; until then, a settlement may free
part of the limit."""

LOG_CHARACTERS = 400
"""The most characters of a log line that are shown."""

QUIET_SECONDS = 20.0
"""Seconds without any change after which the functions' logs are searched for the reason."""


@dataclass(frozen=True)
class Sent:
    """An uploaded manifest, and the person's name for it."""

    name: str
    upload: Upload


class Run:
    """A run of manifests through a stack.

    Args:
        remedy: what a person does after removing the cause of an open breaker.
    """

    def __init__(self, cloud: Cloud, remedy: str = "run the same command again") -> None:
        self.remedy = remedy
        self._cloud = cloud
        self._lambda = cloud.client("lambda", read_timeout=SWEEPER_TIMEOUT)
        stores = stacks.stores(cloud)
        self._catalog, self._ledger, self._results = stores.catalog, stores.ledger, stores.results
        self._logs = cloud.client("logs")
        self._swept = 0.0

    def upload(self, manifest: Path, project: str, name: str, limits: Total | None, shown: str = "") -> Sent:
        """Put a manifest into the uploads bucket, with the limits that the person agreed to.

        Args:
            name: the object's name in the project's folder.
            limits: the limits of its batch; None means the stack's.
            shown: the person's name for the manifest. Default: its path.
        """
        return Sent(shown or str(manifest), stacks.upload(self._cloud, manifest, f"{project}/{name}", limits))

    def allow(self, project: str, agreed: Sequence[Total]) -> None:
        """Give the project a budget of the agreed limits, in addition to what it was charged in this day and month.

        The part of the present budget that open batches still need stays, because a person agreed to it for a run that
        is still working. A budget that a person has set stays unchanged, and may be lower.
        """
        if not agreed or self._ledger.budget_is_a_persons(project):
            return
        now = datetime.now(UTC)
        more, needed = sum(agreed, Total()), self._needed(project)
        present = self._ledger.account(project, now=now).budget or Budget(Cap(0, 0), Cap(0, 0))
        day, month = self._ledger.window(project, now)
        budget = Budget(_raised(present.daily, day, needed, more), _raised(present.monthly, month, needed, more))
        self._ledger.set_budget(project, budget, by=RUN, now=now)

    def _needed(self, project: str) -> Total:
        """Return the most that the project's open batches may still be charged."""
        needed = Total()
        for batch in self._catalog.open_batches():
            if isinstance(batch, Batch) and batch.project == project:
                spent = self._ledger.spent(batch.id)
                tokens, micro_usd = batch.limits.tokens - spent.tokens, batch.limits.micro_usd - spent.micro_usd
                needed += Total(tokens=max(tokens, 0), micro_usd=max(micro_usd, 0))
        return needed

    def follow(
        self,
        sent: Sequence[Sent],
        show: Callable[[str, Status], None],
        warn: Callable[[str], None],
        opened: Callable[[], None] = lambda: None,
    ) -> dict[Sent, Batch]:
        """Wait until the batches cannot change any more without a person.

        Args:
            show: called repeatedly with the status of each batch.
            warn: called with a sentence that says why videos wait; also if nothing changes and a function has logged an
                error.
            opened: called once ingest has opened all batches, perhaps repeatedly.
        """
        ended: dict[Sent, Batch] = {}
        before: dict[Sent, Status | None] = {}
        told: set[str] = set()
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
                    self._warn_of_waits(one, status, told, warn)
                    if self._is_over(status) and (status.has_ended or time.monotonic() - moved > IDLE_SECONDS):
                        ended[one] = status.batch
            if all(map(before.get, sent)):
                opened()
            if time.monotonic() - moved > QUIET_SECONDS:
                moved = time.monotonic()
                for error in self._logged_errors(began):
                    warn(error)
            self._sweep()
        return ended

    def _warn_of_waits(self, one: Sent, status: Status, told: set[str], warn: Callable[[str], None]) -> None:
        """Say why videos wait, once for each cause; `told` holds the causes that were said."""
        for wait in status.waits:
            if wait.cause not in told:
                told.add(wait.cause)
                warn(f"{one.name}: {wait.sentence(self.remedy)}")

    def results(self, batch: Batch) -> Iterator[RowResult]:
        """Yield the results of a batch's rows in the manifest's order."""
        return self._results.results(batch)

    def status(self, batch: Batch) -> Status:
        """Return the current status of a batch."""
        return read_status(self._catalog, self._ledger, batch)

    def _status(self, sent: Sent) -> Status | None:
        try:
            return self.status(self._catalog.batch(sent.upload.batch))
        except KeyError:  # ingest has not been notified yet
            return None

    def _is_over(self, status: Status) -> bool:
        batch = status.batch
        if status.has_ended:
            return True
        if batch.state is not BatchState.OPEN or status.ended + status.waiting < batch.accepted or not status.waiting:
            return False
        if status.until and abs(status.until - datetime.now(UTC)) < timedelta(seconds=PATIENCE_SECONDS):
            return False
        ended = sum(row.state in END_STATES for row in self._catalog.rows(batch))
        return ended + status.waiting >= batch.accepted

    def _logged_errors(self, since: datetime) -> Iterator[str]:
        """Yield the last error in the log of each function."""
        for name in ("IngestFunction", "ParserFunction"):
            function = self._lambda.get_function_configuration(FunctionName=self._cloud.outputs[name])
            found = self._logs.filter_log_events(
                logGroupName=function["LoggingConfig"]["LogGroup"],
                startTime=int(since.timestamp() * 1000),
                filterPattern='"ERROR"',
            )["events"]
            if found:
                yield f"{name} has logged an error: {_error(found[-1]['message'])}"

    def _sweep(self) -> None:
        if time.monotonic() - self._swept >= SWEEP_SECONDS:
            self._swept = time.monotonic()
            self._lambda.invoke(FunctionName=self._cloud.outputs["SweeperFunction"], Payload=json.dumps({}).encode())


def _raised(cap: Cap, charged: Amount | Total, needed: Total, more: Total) -> Cap:
    """Return the cap for what was charged, for the part of the present cap that is still needed, and for more."""
    kept = cap.room(charged).lowest(Cap(needed.tokens, needed.micro_usd))
    return Cap(
        charged.tokens + (kept.tokens or 0) + more.tokens,
        charged.micro_usd + (kept.micro_usd or 0) + more.micro_usd,
    )


def _error(message: str) -> str:
    """Return the error in a log line; the functions log JSON, the runtime does not."""
    try:
        record = json.loads(message)
    except ValueError:
        return message.strip()[:LOG_CHARACTERS]
    said = f"{record['message']}: {record.get('stack_trace', {}).get('value', '')}"
    return said.strip(": ")[:LOG_CHARACTERS]
