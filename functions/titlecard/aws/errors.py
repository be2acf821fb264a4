"""What the adapters to AWS raise: one tree, named for what the caller does next.

=====================  ================================================================
exception              what the caller does next
=====================  ================================================================
:class:`TryLater`      leaves everything as it is and lets the message or schedule come again
:class:`UploadRefused` refuses the upload with the message as its reason
others                 let the message go to the dead-letter queue
=====================  ================================================================
"""

from __future__ import annotations


class AwsError(Exception):
    """Titlecard could not do something in AWS."""


class TryLater(AwsError):
    """An AWS service does not answer now, or somebody else is at work: nothing is lost by trying again later."""


class CatalogBusy(TryLater):
    """The table was too crowded for too long: come back soon. It is no fault of any video."""


class LeaseHeld(TryLater):
    """Somebody else has the batch: come again, in so many seconds where that is known."""

    def __init__(self, message: str, seconds: int | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class LedgerUnavailable(TryLater):
    """The ledger could not be read or written: no request may be sent."""


class KeyUnreadable(TryLater):
    """Secrets Manager did not answer, or did not allow it: it is unknown whether the project has a key."""


class MessagesNotSent(TryLater):
    """SQS took some of the messages and not others, several times over: try again later from the checkpoint."""


class UploadRefused(AwsError):
    """An uploaded object cannot be used, however often it is tried; the message says why, for its owner."""


class InvalidLimit(UploadRefused):
    """A limit that came with the upload cannot be read."""


class ManifestTooLarge(UploadRefused):
    """The object is larger than a manifest may be."""


class ObjectDeleted(UploadRefused):
    """The object was deleted before we could read it."""


class UnknownNotification(AwsError):
    """A message is no notification of S3's: it goes to the dead-letter queue, where a person sees it."""
