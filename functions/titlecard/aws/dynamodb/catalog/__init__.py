"""The catalog: what became of every video, in one DynamoDB table.

======================  ===================  ====================================================================
partition key           sort key             what it holds
======================  ===================  ====================================================================
``video#PROJECT#ID``    ``fp#FINGERPRINT``   the talk; the attempts, the lease and token of the one under way; history
``video#PROJECT#ID``    ``current``          which fingerprint is the current one, and of which batch it is
``video#PROJECT#ID``    ``person``           what a person says of the video, which no parse overwrites
``batch#BATCH``         ``batch``            the batch: its upload, its state, its limits
``tally#BATCH``         ``T``                how many rows a worker has ended, by state and tier
``batch#BATCH``         ``survey``           what its rows have in common
``batch#BATCH``         ``row#NUMBER``       the state of one row; a row without an item is queued
``batch#BATCH``         ``results``          how far its results have been written, where that takes more than one call
======================  ===================  ====================================================================

The sparse index ``agenda`` lists what somebody must come back to, by the date due: open batches, deferred rows and dead
ones; and batches that are over, so that they can be listed.

Every write is conditional on what its writer believes, and each condition is named where it is made. A refusal is an
answer and no error: the methods say what stands there instead. boto3 repeats a call whose answer was lost; that is safe
here, since each write would be refused, or would write the same again, the second time. (The ledger, where it would not
be safe, has a client of its own.)
"""

from __future__ import annotations

from titlecard.aws.dynamodb.catalog.attempts import Attempts
from titlecard.aws.dynamodb.catalog.batches import Batches
from titlecard.aws.dynamodb.catalog.items import Attempt, Batch, LeaseHeld, MessageState, Row, RowEnd, VideoRecord
from titlecard.aws.dynamodb.catalog.rows import ROWS_PER_TRANSACTION, Rows
from titlecard.aws.dynamodb.catalog.table import KEYS_PER_GET, NEVER, UNCHECKED, stamp

__all__ = (
    "KEYS_PER_GET",
    "NEVER",
    "ROWS_PER_TRANSACTION",
    "UNCHECKED",
    "Attempt",
    "Batch",
    "Catalog",
    "LeaseHeld",
    "MessageState",
    "Row",
    "RowEnd",
    "VideoRecord",
    "stamp",
)


class Catalog(Batches, Rows, Attempts):
    """The catalog's table: its batches, their rows, and the attempts on their videos."""
