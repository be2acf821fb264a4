"""The catalog: what became of every video, in one DynamoDB table.

======================  ===================  ====================================================================
partition key           sort key             what it holds
======================  ===================  ====================================================================
``video#PROJECT#ID``    ``fp#FINGERPRINT``   the talk; the attempts, the lease and token of the one under way; history
``video#PROJECT#ID``    ``current``          which fingerprint is the current one, and of which batch it is
``video#PROJECT#ID``    ``person``           what a person says of the video, which no parse overwrites
``batch#BATCH``         ``batch``            the batch: its upload, its state, its limits
``tally#BATCH#T``       ``tally``            how many rows have ended, by state and tier; a worker adds to one of a few
``batch#BATCH``         ``survey``           what its rows have in common
``rows#BATCH#SHARD``    ``row#NUMBER``       the state of one row; a row without an item is queued
``batch#BATCH``         ``results``          how far its results have been written, where that takes more than one call
``sweeper``             ``lease``            who sweeps
======================  ===================  ====================================================================

The sparse index ``agenda`` lists what somebody must come back to, by the date due: open batches, the deferred rows of
each project, the rows of each batch that wait for a person, dead rows; and batches that are over, so that they can be
listed. All keys and lists are made in `keys`, which says how they are spread over partitions.

Every write is conditional on what its writer believes, and each condition is named where it is made. A refusal is an
answer and no error: the methods say what stands there instead. boto3 repeats a call whose answer was lost; that is safe
here, since each write would be refused, or would write the same again, the second time. (The ledger, where it would not
be safe, has a client of its own.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog.attempts import Attempts
from titlecard.aws.dynamodb.catalog.batches import Batches
from titlecard.aws.dynamodb.catalog.items import (
    Attempt,
    Batch,
    MessageState,
    Pointer,
    Row,
    RowEnd,
    UnreadableBatch,
    VideoRecord,
)
from titlecard.aws.dynamodb.catalog.keys import NEVER
from titlecard.aws.dynamodb.catalog.rows import DeferredRow, Ended, Rows, UnreadableRow
from titlecard.aws.dynamodb.catalog.sweep import SweepLease
from titlecard.aws.dynamodb.catalog.table import KEYS_PER_GET, UNCHECKED, stamp
from titlecard.aws.errors import CatalogBusy, LeaseHeld

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = (
    "KEYS_PER_GET",
    "NEVER",
    "UNCHECKED",
    "Attempt",
    "Batch",
    "Catalog",
    "CatalogBusy",
    "DeferredRow",
    "Ended",
    "LeaseHeld",
    "MessageState",
    "Pointer",
    "Row",
    "RowEnd",
    "UnreadableBatch",
    "UnreadableRow",
    "VideoRecord",
    "stamp",
)


class Catalog(Batches, Rows, Attempts, SweepLease):
    """The catalog's table: its batches, their rows, the attempts on their videos, and who sweeps."""

    def deferred_rows_of(self, projects: Container[str]) -> Iterator[DeferredRow]:
        """The deferred rows of projects' open batches (read from the index: a moment behind)."""
        for batch in self.open_batches():
            if isinstance(batch, Batch) and batch.project in projects:
                yield from self.deferred(batch)
