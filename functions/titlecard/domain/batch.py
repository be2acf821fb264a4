"""Batches and messages: a batch is one version of one manifest, and a message carries one of its rows.

Pure data and names: the batch of an upload, the body of a message, the states of batches and rows.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator

from titlecard.domain.video import Video

if TYPE_CHECKING:
    from collections.abc import Mapping

UPLOADS = "uploads/"
"""The folder for manifests: `uploads/<project>/<anything>`."""

REPORTS = "reports/"
"""The folder for ingest's reports: `reports/<batch>/<name>`."""

OUTSIDE = "?"
"""The project of an upload outside any project's folder; no real project can have this name."""

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BatchState(StrEnum):
    """The state of a batch.

    `counting` (pass 1: validate) → `sending` (pass 2: one message per video) → `open` (all are sent) → `finished`
    (every row is in an end state); or `refused`: the file is not a manifest.
    """

    COUNTING = "counting"
    SENDING = "sending"
    OPEN = "open"
    FINISHED = "finished"
    REFUSED = "refused"


class RowState(StrEnum):
    """The state of a row. A row without an item in the catalog is queued; the last four are end states."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    PARSED = "parsed"
    SUPERSEDED = "superseded"
    DEAD = "dead"
    CANCELLED = "cancelled"


END_STATES = (RowState.PARSED, RowState.SUPERSEDED, RowState.DEAD, RowState.CANCELLED)


class Message(BaseModel):
    """The body of one SQS message: one accepted row of a batch.

    Unknown fields are ignored: after a roll-back, the queue still holds messages of the newer version.

    `deferrals` is the number of times the row had been deferred when the message was sent. The sweeper sends a deferred
    row with its current number, so a message with a lower number is an old copy, whatever any clock says.

    `unsent` is the token of an attempt that sent nothing because a table did not answer. It must not be counted.
    `letter_owed` says that the row may be dead without its dead letter: a table or a queue did not answer, or the
    message that this copy replaces had been received before.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)  # an error may be logged

    batch: str
    project: str
    row: int
    video: Video
    deferrals: int = 0
    unsent: str = ""
    letter_owed: bool = False

    @field_validator("video", mode="before")
    @classmethod
    def _known_fields(cls, video: Any) -> Any:  # noqa: ANN401 -- a message may hold any value
        if not isinstance(video, dict):
            return video
        return {name: value for name, value in video.items() if name in Video.model_fields}

    def without_notes(self) -> Message:
        """Return the message without `unsent` and `letter_owed`, which are true only of the copy that has them."""
        return self.model_copy(update={"unsent": "", "letter_owed": False})


@dataclass(frozen=True)
class Upload:
    """One version of one object under `uploads/`.

    `order` increases from one upload to the next: the event's time, then S3's sequencer, which orders the versions of
    one key (S3 user guide, "Event message structure"). `etag` is the content's, empty if the event has none.
    """

    bucket: str
    key: str
    version: str
    order: str
    etag: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Upload:
        """Return the upload that a message names; unknown fields are ignored, as in `Message`."""
        return cls(**{name: value for name, value in fields.items() if name in cls.__dataclass_fields__})

    @property
    def is_versioned(self) -> bool:
        """Whether the content stays readable after another upload to the same key.

        If the bucket's versioning is off or suspended, it does not: every upload to a key replaces the previous one,
        and has the version "null" or none.
        """
        return self.version not in {"", "null"}

    @property
    def project(self) -> str | None:
        """The first folder under `uploads/`; None if the object is outside any project's folder."""
        folder, _, name = self.key.removeprefix(UPLOADS).partition("/")
        return folder if self.key.startswith(UPLOADS) and name and _PROJECT.fullmatch(folder) else None

    @property
    def batch(self) -> str:
        """The name of this version's batch, the same for every delivery of its event: a readable part and a hash.

        Without versions, the sequencer and the ETag distinguish uploads.
        """
        parts = [self.bucket, self.key, self.version]
        if not self.is_versioned:
            parts += [self.order.rpartition("#")[2], self.etag]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        name = re.sub(r"[^a-z0-9]+", "-", PurePosixPath(self.key).name.lower().split(".")[0]).strip("-")[:40]
        return f"{name or 'batch'}-{digest[:12]}"


def project_name(name: str) -> str:
    """Check the name of a project, and return it.

    Raises:
        ValueError: the name cannot be a folder under `uploads/`; the message says which names can.
    """
    if not _PROJECT.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a project's name: use 1 to 64 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or a digit"
        )
    return name


def upload_order(event_time: str, sequencer: str) -> str:
    """Return a string that sorts uploads by their arrival.

    Args:
        event_time: `eventTime` of the S3 event, ISO 8601 in UTC.
        sequencer: a hexadecimal number of variable length, padded on the left with zeros to compare (S3 user guide).
    """
    return f"{event_time}#{sequencer.rjust(32, '0')}"
