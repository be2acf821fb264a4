"""What came of the videos of a stack, as commands read it: by batch or by project, as a stream, in an order that stays.

A project's batches come in the order in which they were made, a batch's rows in the manifest's. Of a video that several
batches have, the row counts that its pointer is at.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from titlecard import manifests as manifest
from titlecard.aws.dynamodb.catalog import Catalog, stamp
from titlecard.aws.dynamodb.catalog.results import BatchResults
from titlecard.aws.dynamodb.catalog.reviews import Reviews
from titlecard.aws.s3 import ObjectDeleted, UploadsBucket
from titlecard.manifests import Accepted
from titlecard_console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Batch, Row
    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.domain.video import Talk, Video
    from titlecard_console.stack import Stack

_READING = ("RowMaxBytes", "ManifestMaxBytes", "ManifestMaxRatio")
"""The parameters that say what the stack takes for a manifest."""


@dataclass(frozen=True)
class Flagged:
    """A talk that a person should look at; `video` is the row as its owner gave it, None where that was deleted."""

    result: RowResult
    talk: Talk
    video: Video | None


class ResultReader:
    """Reads a stack's catalog, and its manifests where the videos' own text is wanted."""

    def __init__(self, there: Stack) -> None:
        self.database = there.resource("dynamodb", parameter_validation=False).meta.client
        table = there.outputs["CatalogTable"]
        self.catalog = Catalog(self.database, table)
        self.exports = BatchResults(self.database, table)
        self.reviews = Reviews(self.database, table)
        self._uploads = UploadsBucket(there.client("s3"))
        self._there = there

    def batch(self, name: str) -> Batch:
        """A batch by its name.

        Raises:
            CommandError: there is none.
        """
        try:
            return self.catalog.batch(name)
        except KeyError as unknown:
            raise CommandError(f"There is no batch {name!r}: `titlecard batches` lists them.") from unknown

    def batches(self, batch: str | None, project: str | None) -> list[Batch]:
        """One batch, or those of a project.

        Raises:
            CommandError: both or neither is asked for, or there is nothing of the name.
        """
        if batch is not None and project is not None:
            raise CommandError("--batch and --project contradict each other: a batch is of one project.")
        if batch is not None:
            return [self.batch(batch)]
        if project is None:
            raise CommandError("Say which talks: either --batch BATCH or --project PROJECT.")
        found = list(self.catalog.all_batches(project))
        if not found:
            raise CommandError(f"The project {project!r} has no batches: `titlecard batches` lists what there is.")
        return found

    def all_batches(self) -> list[Batch]:
        """Those of every project."""
        return list(self.catalog.all_batches())

    def flagged(self, batches: Iterable[Batch]) -> Iterator[Flagged]:
        """The current talks of batches that a person should look at, beside what was uploaded."""
        for batch in batches:
            results = self._of(batch, current=True, since=None)
            for result, video in self._beside(batch, (it for it in results if it.talk and it.talk.review)):
                if result.talk:
                    yield Flagged(result, result.talk, video)

    def rows_of(self, project: str, video: str) -> Iterator[tuple[str, Row]]:
        """Every row of a project's batches that is about a video, with its batch; the table goes through all rows."""
        for batch in self.catalog.all_batches(project):
            for row in self.exports.rows_of(batch.id, video):
                yield batch.id, row

    def results(self, batches: Iterable[Batch], *, current: bool, since: datetime | None = None) -> Iterator[RowResult]:
        """What came of the rows of batches.

        Args:
            current: only the rows that their videos' pointers are at.
            since: only what has changed since then.
        """
        for batch in batches:
            yield from self._of(batch, current=current, since=since)

    def with_videos(
        self, batches: Iterable[Batch], *, current: bool, since: datetime | None = None
    ) -> Iterator[tuple[RowResult, Video | None]]:
        """The same beside the row as its owner gave it, read from the manifest; None where that was deleted."""
        for batch in batches:
            yield from self._beside(batch, self._of(batch, current=current, since=since))

    def _of(self, batch: Batch, *, current: bool, since: datetime | None) -> Iterator[RowResult]:
        earliest = stamp(since) if since else ""
        for result in self.exports.results(batch):
            if result.changed_at >= earliest and (result.current or not current):
                yield result

    def _beside(self, batch: Batch, results: Iterator[RowResult]) -> Iterator[tuple[RowResult, Video | None]]:
        """Results and rows side by side: both rise by their numbers."""
        first = next(results, None)
        if first is None:
            return
        numbers = {name: int(self._there.parameters[name]) for name in _READING}
        limits = manifest.ReadingLimits(
            row_max_bytes=numbers["RowMaxBytes"],
            total_max_bytes=numbers["ManifestMaxBytes"],
            max_ratio=numbers["ManifestMaxRatio"],
        )
        with tempfile.TemporaryFile() as file:
            try:
                self._uploads.fetch(batch.upload, file, max_bytes=numbers["ManifestMaxBytes"])
            except ObjectDeleted:
                yield first, None
                yield from ((result, None) for result in results)
                return
            rows = (row for row in manifest.read(file, limits) if isinstance(row, Accepted))
            row = next(rows, None)
            for result in chain([first], results):
                while row is not None and row.number < result.row.number:
                    row = next(rows, None)
                yield result, row.video if row and row.number == result.row.number else None
