"""The catalog: the state of every video, row and batch, in one DynamoDB table.

======================  ===================  ====================================================================
partition key           sort key             content
======================  ===================  ====================================================================
``video#PROJECT#ID``    ``fp#FINGERPRINT``   the talk, the attempts, the current attempt's lease and token, the history
``video#PROJECT#ID``    ``current``          the video's current fingerprint, and the batch and row that set it
``video#PROJECT#ID``    ``person``           a person's answer, which no parse overwrites
``batch#BATCH``         ``batch``            the batch: its upload, its state, its limits
``tally#BATCH#T``       ``tally``            a count of ended rows by state and tier; each worker adds to one tally
``batch#BATCH``         ``survey``           what the batch's rows have in common
``rows#BATCH#SHARD``    ``row#NUMBER``       the state of one row; a row without an item is queued
``batch#BATCH``         ``results``          the progress of writing results that take more than one call
``sweeper``             ``lease``            the sweeper's lease
======================  ===================  ====================================================================

The sparse index ``agenda`` lists by due date what is still to be done: open batches, the deferred rows of each project,
the rows of each batch that wait for a person, and dead rows. It also lists closed batches. `keys` makes all keys and
list names and spreads them over partitions.

Every write is conditional on the state that its writer expects, and each condition has a name. A refused write is a
result, not an error: the method returns what is stored instead. boto3 repeats a call whose answer was lost. That is
safe here, since the second write is refused or writes the same again. (It is not safe in the ledger, which has its own
client.)
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
from titlecard.aws.dynamodb.catalog.keys import NO_PROJECT
from titlecard.aws.dynamodb.catalog.rows import DeferredRow, Ended, Rows, UnreadableRow
from titlecard.aws.dynamodb.catalog.sweep import SweepLease
from titlecard.aws.dynamodb.catalog.table import CATALOG_CONFIG
from titlecard.aws.dynamodb.values import NEVER, stamp

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = (
    "CATALOG_CONFIG",
    "NEVER",
    "NO_PROJECT",
    "Attempt",
    "Batch",
    "Catalog",
    "DeferredRow",
    "Ended",
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
    """What the functions do with the catalog's table: batches, rows, attempts, and the sweeper's lease.

    There is one class per theme. Each inherits the client, the conditional writes and the queries from `CatalogTable`.
    This class joins the four themes that the parser, the sweeper and the audit all need: as separate objects they would
    be four parameters everywhere, or be forwarded method by method. The others (`BatchResults`, `Grants`, `Reviews`,
    `UploadProgressTable`) are built where they are used.
    """

    def deferred_rows_of(self, projects: Container[str]) -> Iterator[DeferredRow]:
        """Yield the deferred rows of the projects' open batches (an eventually consistent read of the index)."""
        for batch in self.open_batches():
            if isinstance(batch, Batch) and batch.project in projects:
                yield from self.deferred(batch)
