"""The use cases' exceptions."""

from __future__ import annotations

from titlecard.aws.errors import UploadRefused


class PipelineError(Exception):
    """A use case stopped."""


class EventNotPublished(PipelineError):
    """The event bus refused an event; the batch stays open and is tried again."""


class RowsNotEnded(PipelineError):
    """Fewer rows of a batch have ended than its counters say; nothing is published."""


class NotSent(PipelineError):
    """A table failed with `cause` before anything was sent; the attempt with this token may still be counted."""

    def __init__(self, token: str, cause: Exception) -> None:
        super().__init__("nothing was sent")
        self.token = token
        self.cause = cause


class InvalidLimit(UploadRefused):
    """A limit in the upload's metadata cannot be read."""
