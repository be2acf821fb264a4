"""The end of a batch: the worker that ends its last row asks the sweeper to finish it at once.

Each side writes first and reads afterwards, consistently, so the later of them sees both writes:

::

    parser      count the ended rows ──► read the batch ──► all have ended: ask the sweeper
    ingest      mark it as all sent  ──► read the batch ──► all have ended: ask the sweeper
                                     └ a crash, or a lost request: the sweeper's next scheduled run finishes it

Several workers may ask at the same time; the sweeper finishes a batch once (`Audit.finish`). A function that watched
the open batches instead would be billed while it waits, and a batch can begin and end between two scheduled runs.
Lambda keeps a request that the account's concurrency quota refuses, and tries again (developer guide, "Invoking a
Lambda function asynchronously").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from titlecard.aws.errors import UNAVAILABLE, BatchItemInvalid
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from titlecard.aws.dynamodb.catalog import Batch, Catalog
    from titlecard.aws.functions import SweeperFunction

ROWS_AT_ONCE, ROWS_PER_SECOND = 500, 10_000
"""The most rows that all workers process at once, and more rows than they end in a second: fifty workers with ten rows
each end 8,300 (`tests/unit/test_partitions.py`). With faster workers, some batches would wait for the scheduled run."""

LEAST_SECONDS = 15
"""The least time, in seconds, that an invocation must have left to ask the sweeper: even a request that hangs must not
cost the worker its report to SQS."""


@dataclass(frozen=True, kw_only=True)
class Finisher:
    """Asks the sweeper to finish batches whose rows have all ended."""

    catalog: Catalog
    sweeper: SweeperFunction

    def check(self, name: str, remaining: Callable[[], float]) -> Batch | None:
        """Read a batch, and ask the sweeper to finish it if all its rows have ended; return None if a call failed.

        Args:
            remaining: returns the seconds that this invocation has left. Near its end, the schedule finishes the batch.
        """
        try:
            batch = self.catalog.batch(name)
            if batch.is_counted_out and remaining() > LEAST_SECONDS:
                self.sweeper.finish(name)
        except (KeyError, BatchItemInvalid, *UNAVAILABLE) as error:
            logger.warning("a batch that may have ended waits for the sweeper", batch=name, error=type(error).__name__)
            return None
        return batch


def may_have_ended(batch: Batch, age_seconds: float) -> bool:
    """Return whether all rows of a batch can have ended since it was read; a negative age counts as a positive one."""
    return batch.left <= ROWS_AT_ONCE + abs(age_seconds) * ROWS_PER_SECOND
