"""The results of a stack's videos, by batch or by project, read as a stream in a stable order.

A project's batches come in the order of their creation, a batch's rows in the manifest's order. If several batches hold
the same video, only the row that gave its current talk counts.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from titlecard import manifests
from titlecard.aws.dynamodb.catalog import UnreadableBatch, stamp
from titlecard.aws.errors import ObjectDeleted
from titlecard.manifests import Accepted
from titlecard_console import stacks
from titlecard_console.errors import CommandError
from titlecard_console.manifest import reading_limits
from titlecard_console.output import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Batch, Row
    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.domain.video import Talk, Video
    from titlecard_console.stacks import Stack


@dataclass(frozen=True)
class Flagged:
    """A talk that needs a person; `video` is the row as it was uploaded, None if the manifest was deleted."""

    result: RowResult
    talk: Talk
    video: Video | None


class ResultReader:
    """Reads a stack's catalog, and its manifests if the videos' own text is needed."""

    def __init__(self, stack: Stack) -> None:
        self._stores = stacks.stores(stack)
        self.catalog = self._stores.catalog
        self.exports = self._stores.results
        self.reviews = self._stores.reviews
        self._stack = stack

    def batch(self, name: str) -> Batch:
        """Return a batch by its name.

        Raises:
            CommandError: there is no such batch.
        """
        try:
            return self.catalog.batch(name)
        except KeyError as unknown:
            raise CommandError(
                f"There is no batch {name!r}: `titlecard batches` lists them. New ones appear after some seconds."
            ) from unknown

    def batches(self, batch: str | None, project: str | None) -> list[Batch]:
        """Return one batch, or all batches of a project.

        Raises:
            CommandError: both or neither are given, or there is no such batch or project.
        """
        if batch is not None and project is not None:
            raise CommandError("--batch and --project contradict each other: give one of them.")
        if batch is not None:
            return [self.batch(batch)]
        if project is None:
            raise CommandError("Choose talks: --batch BATCH or --project PROJECT.")
        found = self.all_batches(project)
        if not found:
            raise CommandError(
                f"The project {project!r} has no batches: `titlecard batches` lists the batches of all projects."
            )
        return found

    def all_batches(self, project: str | None = None) -> list[Batch]:
        """Return the batches of one project, or of all; report those that cannot be read and leave them out."""
        found = []
        for batch in self.catalog.all_batches(project):
            if isinstance(batch, UnreadableBatch):
                say(f"{batch.error}; it is left out.")
            else:
                found.append(batch)
        return found

    def flagged(self, batches: Iterable[Batch]) -> Iterator[Flagged]:
        """Yield the batches' current talks that need a person, with their rows as uploaded."""
        for batch in batches:
            results = self.results([batch], current=True)
            for result, row in self._beside(batch, (it for it in results if it.talk and it.talk.review)):
                if result.talk:
                    yield Flagged(result, result.talk, row.video if row else None)

    def rows_of(self, project: str, video: str) -> Iterator[tuple[str, Row]]:
        """Yield every row about a video in a project's batches, with the batch's name; this reads all rows."""
        for batch in self.all_batches(project):
            for row in self.exports.rows_of(batch, video):
                yield batch.id, row

    def results(self, batches: Iterable[Batch], *, current: bool, since: datetime | None = None) -> Iterator[RowResult]:
        """Yield the results of the rows of batches.

        Args:
            current: whether to yield only the rows of current talks.
            since: yield only results that have changed since this time.
        """
        earliest = stamp(since) if since else ""
        for result in chain.from_iterable(map(self.exports.results, batches)):
            if result.changed_at >= earliest and (result.current or not current):
                yield result

    def with_rows(
        self, batches: Iterable[Batch], *, current: bool, since: datetime | None = None
    ) -> Iterator[tuple[RowResult, Accepted | None]]:
        """Yield the same as `results`, each with its row of the manifest, or None if the manifest was deleted."""
        for batch in batches:
            yield from self._beside(batch, self.results([batch], current=current, since=since))

    def _beside(self, batch: Batch, results: Iterator[RowResult]) -> Iterator[tuple[RowResult, Accepted | None]]:
        """Pair results with rows; both come in ascending row order."""
        first = next(results, None)
        if first is None:
            return
        limits = reading_limits(self._stack.parameters)
        with tempfile.TemporaryFile() as file:
            try:
                self._stores.uploads.fetch(batch.upload, file, max_bytes=limits.total_max_bytes)
            except ObjectDeleted:
                yield first, None
                yield from ((result, None) for result in results)
                return
            rows = (row for row in manifests.read(file, limits) if isinstance(row, Accepted))
            row = next(rows, None)
            for result in chain([first], results):
                while row is not None and row.number < result.row.number:
                    row = next(rows, None)
                yield result, row if row and row.number == result.row.number else None
