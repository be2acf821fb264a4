"""Seconds from the last talk of a batch to its finish, by the functions and the schedule alone.

    .venv/bin/python -m tests.benchmarks.finish [--rows 10000] [--runs 3]

The local cloud runs the template; nobody invokes the sweeper. The batch is finished when its item says so, after its
results are written and announced. The last talk is the row with the latest `ended_at`, a time that its parser takes
before it saves ten rows at once; the batch's counters have the talk once it is saved. Both cores of a small machine are
shared with the local cloud, which needs as much processor time for about 340 reads as the sweeper. The calls of a
publication are those of `python -m tests.benchmarks.drain --publish --rows 10000`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.pipeline import WARM_UP_ROWS, row

from titlecard.domain.batch import BatchState
from titlecard_console import stacks
from titlecard_console.local_cloud import build, cloud
from titlecard_console.run import Run

if TYPE_CHECKING:
    from titlecard_console.local_cloud.cloud import Cloud

POLL_SECONDS = 0.1


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        cloud.start(Path(folder, "state"), {"TierPolicy": "local"}, os.environ, artefacts=build.build()) as there,
    ):
        finished_after(there, Path(folder, "warm.jsonl"), range(WARM_UP_ROWS))
        for run in range(1, given.runs + 1):
            numbers = range(run * given.rows, (run + 1) * given.rows)
            ended, counted = finished_after(there, Path(folder, f"{run}.jsonl"), numbers)
            after = f"finished {ended:.1f} s after the last talk, {counted:.1f} s after it was counted"
            print(f"{given.rows:,} rows: {after}", flush=True)


def finished_after(there: Cloud, manifest: Path, numbers: range) -> tuple[float, float]:
    """Upload rows; return the seconds from their last talk, and from its count, until their batch is finished."""
    manifest.write_text("".join(map(row, numbers)), encoding="utf-8")
    upload = Run(there).upload(manifest, "benchmark", manifest.name, None).upload
    catalog = stacks.stores(there).catalog
    counted: datetime | None = None
    while True:
        time.sleep(POLL_SECONDS)
        try:
            batch = catalog.batch(upload.batch)
        except KeyError:  # ingest has not been notified yet
            continue
        if counted is None and batch.accepted and batch.left <= 0:
            counted = datetime.now(UTC)
        if counted is not None and batch.state is BatchState.FINISHED:
            finished = datetime.now(UTC)
            last = max(datetime.fromisoformat(it.ended_at) for it in catalog.rows(batch))
            return (finished - last).total_seconds(), (finished - counted).total_seconds()


if __name__ == "__main__":
    main()
