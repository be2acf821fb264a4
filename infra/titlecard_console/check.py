"""`titlecard check`: the format of a file, how it is read, and which rows cannot be used and why.

It uploads nothing and asks no model. Ingest's own code decides.
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
    """What ingest would make of a manifest.

    Attributes:
        form: what the file is.
        columns: for each field of a video the column that it is read from.
        ignored: the other columns, from which nothing is read.
        accepted: how many rows are good.
        refused: how many rows are not.
        repeated: how many rows say again what an earlier one said.
        left_out: how many rows are rightly no talks, such as breaks in a schedule.
        first_refused: the first of the refused rows, with reasons.
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
    """Reads a manifest as ingest would.

    Args:
        path: the file.
        limits: ingest's; its defaults where there are none.

    Raises:
        NotAManifest: ingest would refuse the file as a whole; the text says why and what is accepted.
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
    """Takes the lines of the report of rejects and keeps the first of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.rows: list[manifests.Refused] = []

    def write(self, line: str, /) -> None:
        if len(self.rows) < self._count:
            entry = json.loads(line)
            self.rows.append(manifests.Refused(entry["row"], entry["reason"], entry["excerpt"]))
