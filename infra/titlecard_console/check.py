"""`titlecard check`: report a file's format, how ingest reads it, and which rows it refuses and why.

The check runs ingest's own code. It uploads nothing and asks no model.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from titlecard import manifests
from titlecard.manifests import validation

FIRST_REFUSED = 20


@dataclass(frozen=True, slots=True)
class Report:
    """How ingest would read a manifest.

    Attributes:
        form: the file's format.
        columns: for each field of a video, the column that it is read from.
        ignored: the columns that are not read.
        accepted: the number of accepted rows.
        refused: the number of refused rows.
        repeated: the number of rows that repeat an earlier row.
        left_out: the number of rows that are not talks, such as breaks in a schedule.
        first_refused: the first refused rows, with reasons.
    """

    form: str
    columns: dict[str, str]
    ignored: tuple[str, ...]
    accepted: int
    refused: int
    repeated: int
    left_out: int
    first_refused: tuple[manifests.Refused, ...]


def check(path: Path, limits: manifests.ReadingLimits | None = None) -> Report:
    """Read a manifest as ingest would.

    Args:
        path: the file.
        limits: ingest's reading limits; None means the defaults.

    Raises:
        NotAManifest: ingest would refuse the whole file; the message says why and which formats it accepts.
        OSError: the file cannot be opened or read.
    """
    rejects = _First(FIRST_REFUSED)
    with path.open("rb") as stream, tempfile.TemporaryDirectory() as scratch:
        reading = manifests.read(stream, limits or manifests.ReadingLimits())
        counted = validation.validate(reading, scratch=Path(scratch), rejects=rejects, sample_max=0)
    return Report(
        form=counted.form,
        columns=reading.columns,
        ignored=reading.ignored,
        accepted=counted.accepted,
        refused=counted.refused,
        repeated=counted.repeated,
        left_out=counted.left_out,
        first_refused=tuple(rejects.rows),
    )


class _First:
    """A sink for the report of refused rows that keeps only the first lines."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.rows: list[manifests.Refused] = []

    def write(self, line: str, /) -> None:
        if len(self.rows) < self._count:
            entry = json.loads(line)
            self.rows.append(manifests.Refused(entry["row"], entry["reason"], entry["excerpt"]))
