"""The exceptions of the AWS adapters: one tree, named for what the caller does next.

======================  ==================================================================
exception               what the caller does next
======================  ==================================================================
:class:`TryLater`       changes nothing and waits for the next delivery or scheduled run
:class:`UploadRefused`  refuses the upload, with the exception's message as the reason
others                  leaves the message to the dead-letter queue
======================  ==================================================================
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

REFUSALS = {
    "InvalidMessageContents",
    "InvalidParameterValue",
    "ItemCollectionSizeLimitExceededException",
    "SerializationException",
    "ValidationError",
    "ValidationException",
}
"""The codes of errors that refuse the content of a call, so every repetition is refused too (API references of
DynamoDB, "Common errors" and "BatchStatementError", and of SQS, "SendMessage"). A call that fails with any other error
of AWS may succeed later, sometimes only after a person has repaired a permission or a table."""


def is_retryable(error: Exception) -> bool:
    """Return whether a later try may succeed: AWS did not answer, or the cause may go away."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code") not in REFUSALS
    return isinstance(error, TryLater | BotoCoreError)


class AwsError(Exception):
    """Titlecard could not do something in AWS."""


class TryLater(AwsError):
    """An AWS service does not answer, or another worker holds the work: a later try loses nothing."""


class CatalogBusy(TryLater):
    """DynamoDB throttled the catalog's table in every try: retry soon. It is not a fault of any video."""


UNAVAILABLE = (CatalogBusy, BotoCoreError, ClientError)
"""The errors of a table, a queue or a bucket that does not answer."""


class ItemInvalid(TryLater):
    """An item of the catalog differs from what this version reads: it waits for a person, or for another version."""


class BatchItemInvalid(ItemInvalid):
    """A batch's item cannot be read: its rows wait."""


class RowItemInvalid(ItemInvalid):
    """A row's item, or that of its video, cannot be read: the row waits."""


class LeaseHeld(TryLater):
    """Another worker holds the batch's lease: retry after `seconds`, or at any time if it is None."""

    def __init__(self, message: str, seconds: int | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class LedgerUnavailable(TryLater):
    """The ledger cannot be read or written: no request may be sent."""


class LedgerItemInvalid(LedgerUnavailable):
    """The ledger's item differs from what this package writes: no request may be sent until a person repairs it."""


class KeyUnreadable(TryLater):
    """Secrets Manager did not answer or denied access: it is unknown whether the project has a key."""


class MessagesNotSent(TryLater):
    """SQS refused some of the messages in every try: retry later from the checkpoint."""


class UploadRefused(AwsError):
    """An uploaded object can never be used; the message tells its owner why."""


class ManifestTooLarge(UploadRefused):
    """The object is larger than a manifest may be."""


class ObjectDeleted(UploadRefused):
    """The object was deleted before ingest could read it."""


class UnknownNotification(AwsError):
    """A message is not an S3 notification: it goes to the dead-letter queue, where an operator sees it."""
