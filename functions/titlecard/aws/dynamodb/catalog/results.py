"""What came of the rows of a batch, read as a stream: the row, its video's talk, a person's answer, the pointer.

Results come in the manifest's order, in memory that does not grow with their number. `current` says whether a video's
pointer is at this very row: of the rows that several batches have of one video, one is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.items import Row, VideoRecord, as_row, as_video_record, row_key
from titlecard.aws.dynamodb.catalog.reviews import ReviewedTalk, as_current_talk, as_reviewed_talk, review_key
from titlecard.aws.dynamodb.catalog.rows import DEFERRED
from titlecard.aws.dynamodb.catalog.table import KEYS_PER_GET, NEVER, CatalogTable
from titlecard.domain.batch import RowState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog.items import Batch
    from titlecard.domain.video import Talk

ROWS_PER_GET = KEYS_PER_GET // 3
"""Three items a row are looked up."""


@dataclass(frozen=True)
class RowResult:
    """What came of one row; `changed_at` is a stamp."""

    batch: str
    row: Row
    entry: VideoRecord
    answer: ReviewedTalk | None
    current: bool
    changed_at: str

    @property
    def state(self) -> RowState:
        """Where the row stands. What a person has answered is parsed, whatever the parser made of it."""
        return RowState.PARSED if self.answer and self.row.state is not RowState.SUPERSEDED else self.row.state

    @property
    def talk(self) -> Talk | None:
        """What stands for the row: nothing where it is not parsed, else a person's answer before a tier's."""
        if self.state is not RowState.PARSED:
            return None
        return self.answer.talk if self.answer else self.entry.talk


class BatchResults(CatalogTable):
    """Reads what came of batches."""

    def results(self, batch: Batch, *, after: int = 0) -> Iterator[RowResult]:
        """What came of the rows of a batch that somebody has touched, behind row `after`, in the manifest's order."""
        block: list[Mapping[str, Any]] = []
        for item in self._rows_after(batch.id, after):
            block.append(item)
            if len(block) == ROWS_PER_GET:
                yield from self._looked_up(batch, block)
                block = []
        yield from self._looked_up(batch, block)

    def rows_of(self, batch: str, video: str) -> Iterator[Row]:
        """The rows of a batch that are about one video; reads them all on the table's side."""
        for item in self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :row)",
            FilterExpression="video = :video",
            ExpressionAttributeValues={":pk": f"batch#{batch}", ":row": "row#", ":video": video},
            ConsistentRead=True,
        ):
            yield as_row(item)

    def waiting(self) -> Counter[str]:
        """How many rows of each batch are deferred (read from the index: a moment behind)."""
        found = self._on_agenda(DEFERRED, before=NEVER)
        return Counter(str(item["pk"]).removeprefix("batch#") for item in found)

    def _rows_after(self, batch: str, after: int) -> Iterator[Mapping[str, Any]]:
        first = row_key(batch, after + 1)
        return self._query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": first["pk"],
                ":first": first["sk"],
                ":last": "row#:",
            },  # ":" is behind "9"
            ConsistentRead=True,
        )

    def _looked_up(self, batch: Batch, items: Sequence[Mapping[str, Any]]) -> Iterator[RowResult]:
        keys: dict[tuple[str, str], dict[str, str]] = {}
        wanted = []
        for item in items:
            partition = f"video#{batch.project}#{item['video']}"
            entry = {"pk": partition, "sk": f"fp#{item.get('fingerprint', '')}"}
            three = (entry, {"pk": partition, "sk": "current"}, review_key(batch.project, item["video"]))
            wanted.append(three)
            keys.update({(key["pk"], key["sk"]): key for key in three})
        found = self._get_all(list(keys.values()))
        for item, three in zip(items, wanted, strict=True):
            entry_item, pointer_item, answer_item = (found.get((key["pk"], key["sk"])) for key in three)
            row, answer = as_row(item), as_reviewed_talk(answer_item) if answer_item else None
            pointer = as_current_talk(pointer_item) if pointer_item else None
            moments = [str(item[name]) for name in ("ended_at", "deferred_at", "began") if item.get(name)]
            if answer:
                moments.append(answer.at)
            yield RowResult(
                batch=batch.id,
                row=row,
                entry=as_video_record(entry_item or {}),
                answer=answer,
                current=pointer is not None and (pointer.batch, pointer.row) == (batch.id, row.number),
                changed_at=max(moments, default=""),
            )
