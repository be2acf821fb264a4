"""Titlecard on the local cloud, as a contender: `python -m tests.benchmarks.peers.contenders.titlecard_stack ORDER`.

Its order also holds `tier` (the policy), `artefacts` (the folder of the built functions) and `manifest` (a path).
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.peers.contenders.job import Job

from titlecard.aws.dynamodb.catalog import Catalog
from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.money import Budget, Cap
from titlecard_console.local_cloud import cloud
from titlecard_console.run import Run

if TYPE_CHECKING:
    from titlecard.aws.dynamodb.catalog import Batch

PROJECT = "race"

PARAMETERS = {
    "MaxConcurrency": "2",  # of ten messages each; AWS allows no less
    "RequestDeadlineSeconds": "8",
    "SettleMarginSeconds": "4",
    "ParserTimeoutSeconds": "20",
    "VisibilitySeconds": "120",
    "BatchingWindowSeconds": "0",
    "RetryBackoffSeconds": "2",
    "AuditAfterSeconds": "240",
}


def main() -> None:
    """Deploy, upload the manifest, wait for its end, and record the outcome of every row."""
    job = Job()
    job.leave_when_told()
    order = job.order
    environment = {**os.environ, "OPENAI_API_KEY": order["key"], "OPENAI_BASE_URL": order["base_url"]}
    parameters = PARAMETERS | {"TierPolicy": order["tier"]}
    state = job.folder / "state"
    with cloud.start(state, parameters, environment, artefacts=Path(order["artefacts"])) as there:
        database = convert_values(there.client("dynamodb"))
        ledger = Ledger(database, there.outputs["LedgerTable"])
        ledger.set_budget(PROJECT, Budget(Cap(), Cap(micro_usd=10**9)), by="person", now=datetime.now(UTC))
        run = Run(there)
        catalog = Catalog(database, there.outputs["CatalogTable"])
        job.ready()
        sent = run.upload(Path(order["manifest"]), PROJECT, "rows.jsonl", None)
        try:
            run.follow([sent], lambda _name, _status: None, lambda _sentence: None)
            job.done()
        finally:
            _report(run, catalog.batch(sent.upload.batch), job)
            job.tell(_dead_letters(state))


def _report(run: Run, batch: Batch, job: Job) -> None:
    """Record the state of every row. While the batch is open, the audit sends an unfinished row again."""
    for result in run.results(batch):
        row, talk = result.row, result.talk
        if talk is not None:
            job.finished(row.video, talk.title, list(talk.presenters), review=talk.review)
        elif row.state is RowState.DEAD:
            job.failed(row.video, f"{row.state}: {row.reason}")
    if batch.state is BatchState.OPEN:
        for left in job.rows:
            job.waits(left["id"])


def _dead_letters(state: Path) -> str:
    """Return what `titlecard dlq` prints."""
    command = [str(Path(sys.executable).with_name("titlecard")), "dlq", "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout or done.stderr


if __name__ == "__main__":
    main()
