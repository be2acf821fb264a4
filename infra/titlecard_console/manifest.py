"""A manifest on this machine: read as a stack's ingest reads it, and parsed by the local tier."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard.manifests import LIST_OF_TITLES, ReadingLimits, Refused, read, validation
from titlecard.manifests.errors import NotAManifest
from titlecard.pipeline.talks import by_local_tier
from titlecard_console import local_tier
from titlecard_console.input_file import readable_again
from titlecard_console.output import pluralize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from titlecard.domain.video import Talk, Video
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import BatchSurvey

FIRST_REFUSED = 20
"""The most rejected rows of a manifest that are kept, with their reasons."""

REMARKED_ROWS = 5
"""The most rejected rows that `Manifest.remarks` names."""


@dataclass(frozen=True)
class Manifest:
    """A manifest that has been read to its end.

    Attributes:
        path: the file, as the person named it.
        file: the file with its bytes: a copy if the person named standard input or a pipe.
        limits: the reading limits that were applied.
        report: the result of validation.
        columns: for each field of a video, the column that it is read from.
        ignored: the columns that are not read.
        first_refused: the first rejected rows, with reasons.
    """

    path: Path
    file: Path
    limits: ReadingLimits
    report: validation.ValidationReport
    columns: dict[str, str]
    ignored: tuple[str, ...]
    first_refused: tuple[Refused, ...]

    @cached_property
    def survey(self) -> BatchSurvey:
        """The survey of the manifest's rows."""
        return local_tier.survey(self.report.sample)

    def videos(self) -> Iterator[tuple[int, Video]]:
        """Yield the accepted rows with their numbers, in order."""
        with self.file.open("rb") as file:
            for row in validation.accepted(read(file, self.limits), self.report.bitmap):
                yield row.number, row.video

    def parses(self) -> Iterator[tuple[tuple[int, Video], LocalParse]]:
        """Yield each accepted row, its number and its video, with the local tier's answer, in order."""
        return local_tier.parses(self.videos(), self.survey, self.report.accepted)

    def talks(self) -> Iterator[tuple[Video, Talk]]:
        """Yield each accepted row with the talk that the local tier alone gives it, in order."""
        for (_, video), parse in self.parses():
            yield video, by_local_tier(video, parse)

    def remarks(self) -> Iterator[str]:
        """Yield what a person should know before the talks: text read as a list of titles, and rejected rows."""
        if self.report.form == LIST_OF_TITLES:
            yield f"{self.path}: read as a list of titles, one per line."
        named = self.first_refused[:REMARKED_ROWS]
        yield from (f"{self.path}:{row.number}: {row.reason}" for row in named)
        if more := self.report.refused - len(named):
            yield f"{self.path}: {pluralize(more, 'more row is', 'more rows are')} rejected"


def read_manifest(path: Path, parameters: Mapping[str, str]) -> Manifest:
    """Read a manifest as a stack's ingest does; this uploads nothing and asks no model.

    Args:
        path: the file, `-` for standard input, or a pipe, which is copied into a temporary file.

    Raises:
        NotAManifest: ingest would refuse the whole file; the message names it, and says why.
        OSError: the file cannot be read.
    """
    limits, rejects = reading_limits(parameters), _FirstRejects()
    file = readable_again(path, limits.total_max_bytes)
    with path_in_errors(path), file.open("rb") as stream, tempfile.TemporaryDirectory() as scratch:
        reading = read(stream, limits)
        report = validation.validate(
            reading, scratch=Path(scratch), rejects=rejects, sample_max=int(parameters["SurveySampleRows"])
        )
    return Manifest(path, file, limits, report, reading.columns, reading.ignored, tuple(rejects.rows))


def reading_limits(parameters: Mapping[str, str]) -> ReadingLimits:
    """Return the reading limits of a stack, from its parameters."""
    return ReadingLimits(
        row_max_bytes=int(parameters["RowMaxBytes"]),
        total_max_bytes=int(parameters["ManifestMaxBytes"]),
        max_ratio=int(parameters["ManifestMaxRatio"]),
    )


@contextmanager
def path_in_errors(path: Path) -> Iterator[None]:
    """Prefix NotAManifest errors with the file's path."""
    try:
        yield
    except NotAManifest as refusal:
        raise NotAManifest(f"{path}: {refusal}") from refusal


class _FirstRejects:
    """A sink for the report of rejected rows that keeps only the first ones."""

    def __init__(self) -> None:
        self.rows: list[Refused] = []

    def write(self, line: str, /) -> None:
        if len(self.rows) < FIRST_REFUSED:
            reject = json.loads(line)
            self.rows.append(Refused(reject["row"], reject["reason"], reject["excerpt"]))
