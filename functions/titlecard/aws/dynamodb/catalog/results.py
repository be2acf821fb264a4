"""The results of a batch as a stream: each row with its video's talk, a person's answer and the pointer.

Results come in the manifest's order and take constant memory. `current` says whether the video's pointer names this
row: if several batches have rows of one video, one of these rows is current.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.items import Row, VideoRecord, as_row, as_video_record
from titlecard.aws.dynamodb.catalog.keys import (
    NO_PROJECT,
    batch_of_row,
    current_key,
    dated_lists,
    review_key,
    video_record_key,
    waiting_lists,
)
from titlecard.aws.dynamodb.catalog.reviews import ReviewedTalk, as_current_talk, as_reviewed_talk
from titlecard.aws.dynamodb.catalog.table import KEYS_PER_GET, CatalogTable, batched, read_ahead
from titlecard.domain.batch import RowState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog.items import Batch
    from titlecard.domain.video import Talk

ROWS_PER_GET = KEYS_PER_GET // 3
"""The number of rows looked up in one BatchGetItem, three items a row."""


@dataclass(frozen=True)
class RowResult:
    """The result of one row; `changed_at` is a stamp."""

    batch: str
    row: Row
    entry: VideoRecord
    answer: ReviewedTalk | None
    current: bool
    changed_at: str

    @property
    def state(self) -> RowState:
        """The row's state. A row that a person has answered is parsed, whatever its own item says."""
        return RowState.PARSED if self.answer and self.row.state is not RowState.SUPERSEDED else self.row.state

    @property
    def talk(self) -> Talk | None:
        """The row's valid talk: none unless it is parsed; a person's answer takes precedence over a tier's."""
        if self.state is not RowState.PARSED:
            return None
        return self.answer.talk if self.answer else self.entry.talk


class BatchResults(CatalogTable):
    """Reads the results of batches."""

    def results(self, batch: Batch, *, after: int = 0) -> Iterator[RowResult]:
        """Yield the results of a batch's rows that have an item, after row `after`, in the manifest's order."""
        chunks = batched(self._rows_between(batch.id, batch.last_row, after=after), ROWS_PER_GET)
        for found in read_ahead(partial(self._looked_up, batch), chunks):
            yield from found

    def rows_of(self, batch: Batch, video: str) -> Iterator[Row]:
        """Yield the rows of a batch that are about one video; DynamoDB reads, and bills, all rows of the batch."""
        wanted: dict[str, Any] = {"FilterExpression": "video = :video", "ExpressionAttributeValues": {":video": video}}
        return map(as_row, self._rows_between(batch.id, batch.last_row, **wanted))

    def waiting(self, batches: Iterable[Batch]) -> Counter[str]:
        """Count the deferred rows of each of these batches (an eventually consistent read of the index)."""
        batches = list(batches)
        lists = [name for it in batches for name in waiting_lists(it.id, it.last_row)]
        projects = {NO_PROJECT, *(it.project for it in batches)}
        lists += [name for project in sorted(projects) for name in dated_lists(project)]
        found = Counter(batch_of_row(item) for item in self._on_agenda(*lists))
        return Counter({it.id: found[it.id] for it in batches if it.id in found})

    def _looked_up(self, batch: Batch, items: Sequence[Mapping[str, Any]]) -> list[RowResult]:
        keys, results = [], []
        name = batch.id
        rows = [as_row(item) for item in items]
        for row in rows:
            about = batch.project, row.video
            record = video_record_key(*about, row.fingerprint)
            keys.append((record, current_key(*about), review_key(*about)))
        for item, row, found in zip(items, rows, self._get_groups(keys), strict=True):
            entry_item, pointer_item, answer_item = found
            answer = as_reviewed_talk(answer_item)
            pointer = as_current_talk(pointer_item) if pointer_item else None
            moments = [str(item[name]) for name in ("ended_at", "deferred_at", "began") if item.get(name)]
            if answer:
                moments.append(answer.at)
            is_current = pointer is not None and (pointer.batch, pointer.row) == (name, row.number)
            entry, changed_at = as_video_record(entry_item), max(moments, default="")
            results.append(RowResult(name, row, entry, answer, is_current, changed_at))
        return results
