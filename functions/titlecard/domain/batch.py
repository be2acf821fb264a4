"""A batch is one version of one manifest being worked through; a message carries one of its rows.

Pure data and names: which batch an upload makes, what a message says, which states a batch and a row go through.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from titlecard.domain.video import Video

if TYPE_CHECKING:
    from collections.abc import Mapping

UPLOADS = "uploads/"
"""Where owners put manifests: `uploads/<project>/<anything>`."""

REPORTS = "reports/"
"""Where ingest says what it made of them: `reports/<batch>/<name>`."""

OUTSIDE = "?"
"""Stands for the project of an upload that lies outside any project's folder; no project can be called so."""

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BatchState(StrEnum):
    """What ingest has done of a batch.

    `counting` (pass 1: validate) → `sending` (pass 2: one message per video) → `open` (all are sent) → `finished`
    (every row is in an end state); or `refused`: the file is no manifest.
    """

    COUNTING = "counting"
    SENDING = "sending"
    OPEN = "open"
    FINISHED = "finished"
    REFUSED = "refused"


class RowState(StrEnum):
    """Where a row stands. A row that the catalog does not know is queued; the last four are end states."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    PARSED = "parsed"
    SUPERSEDED = "superseded"
    DEAD = "dead"
    CANCELLED = "cancelled"


END_STATES = (RowState.PARSED, RowState.SUPERSEDED, RowState.DEAD, RowState.CANCELLED)


class BatchLimits(BaseModel):
    """The most that one batch may be charged: HTTP requests, tokens (input and output together), micro-dollars."""

    model_config = ConfigDict(frozen=True)

    requests: Annotated[int, Field(ge=0)]
    tokens: Annotated[int, Field(ge=0)]
    micro_usd: Annotated[int, Field(ge=0)]

    def lowered_by(self, **upload: int | None) -> BatchLimits:
        """The lower of these and of the limits that came with the upload (None: no limit of its own)."""
        own = {name: value for name, value in upload.items() if value is not None}
        return BatchLimits(**{name: min(value, own.get(name, value)) for name, value in self.model_dump().items()})


class Message(BaseModel):
    """The body of one SQS message: one accepted row of a batch.

    Fields that are not known are ignored: after a roll-back, messages of the newer version are still there.

    `deferrals` is how often the row had been deferred when the message was sent. A deferred row is the sweeper's, which
    sends it with its number; a message with a lower number is a stray copy from before, whatever any clock says.

    `unsent` is the token of an attempt for which nothing was sent, since a table did not answer; it is not to count.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)  # an error may be logged

    batch: str
    project: str
    row: int
    video: Video
    deferrals: int = 0
    unsent: str = ""

    @field_validator("video", mode="before")
    @classmethod
    def _known_fields(cls, video: Any) -> Any:  # noqa: ANN401 -- whatever a message holds
        if not isinstance(video, dict):
            return video
        return {name: value for name, value in video.items() if name in Video.model_fields}


@dataclass(frozen=True)
class Upload:
    """One version of one object under `uploads/`.

    `order` rises from one upload to the next: the event's time, then S3's sequencer, which orders the versions of one
    key (S3 user guide, "Event message structure"). `etag` is that of the content, empty where the event has none.
    """

    bucket: str
    key: str
    version: str
    order: str
    etag: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Upload:
        """The upload that a message names; fields that are not known are left out, as `Message` does."""
        return cls(**{name: value for name, value in fields.items() if name in cls.__dataclass_fields__})

    @property
    def is_versioned(self) -> bool:
        """Whether its content can still be read when another upload has the same key.

        In a bucket whose versioning is off or suspended, it cannot: every upload to a key replaces the one before, and
        has the version "null", or none.
        """
        return self.version not in {"", "null"}

    @property
    def project(self) -> str | None:
        """The first folder under `uploads/`, None where the object lies outside any project's folder."""
        folder, _, name = self.key.removeprefix(UPLOADS).partition("/")
        return folder if self.key.startswith(UPLOADS) and name and _PROJECT.fullmatch(folder) else None

    @property
    def batch(self) -> str:
        """The batch that this version makes, however often its event is delivered: a readable part and a hash.

        Where there are no versions, the sequencer and the ETag tell one upload from the next.
        """
        parts = [self.bucket, self.key, self.version]
        if not self.is_versioned:
            parts += [self.order.rpartition("#")[2], self.etag]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        name = re.sub(r"[^a-z0-9]+", "-", PurePosixPath(self.key).name.lower().split(".")[0]).strip("-")[:40]
        return f"{name or 'batch'}-{digest[:12]}"


def project_name(name: str) -> str:
    """The name of a project, checked.

    Raises:
        ValueError: it cannot be a folder under `uploads/`, with a sentence that says what can.
    """
    if not _PROJECT.fullmatch(name):
        message = (
            f"{name!r} cannot be a project's name: use 1 to 64 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or a digit"
        )
        raise ValueError(message)
    return name


def upload_order(event_time: str, sequencer: str) -> str:
    """A string that sorts as the uploads came.

    Args:
        event_time: `eventTime` of the S3 event, ISO 8601 in UTC.
        sequencer: hexadecimal, of no fixed length: compared after padding with zeros on the left (S3 user guide).
    """
    return f"{event_time}#{sequencer.rjust(32, '0')}"
