"""The catalog's batches: their limits, raised by a person.

What a person was shown before the upload bounds a batch's bill; only a person can say that it may be more, and who said
so stands in the batch. A limit is never lowered: a worker that knows the old one a moment longer would go past it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.keys import batch_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable, stamp
from titlecard.domain.batch import BatchLimits, BatchState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True)
class LimitIncrease:
    """That a limit was raised: when (a stamp), by whom, and from what to what."""

    at: str
    by: str
    before: BatchLimits
    after: BatchLimits


class BatchLimitTable(CatalogTable):
    """The limits of batches."""

    def raised(self, batch: str) -> list[LimitIncrease]:
        """How often a batch's limit was raised, the first time first."""
        item: Mapping[str, Any] = self._get(batch_key(batch)) or {}
        return [
            LimitIncrease(
                it["at"], it["by"], BatchLimits.model_validate(it["before"]), BatchLimits.model_validate(it["after"])
            )
            for it in item.get("raised", ())
        ]

    def raise_limit(self, batch: str, before: BatchLimits, after: BatchLimits, *, by: str, now: datetime) -> bool:
        """Raise a batch's limit; False where it is not as it was read, or the batch takes none.

        It takes none while ingest counts its rows, since ingest writes the limit then; nor after it was refused or
        cancelled.

        Args:
            before: the limit as it was read; `after` is nowhere below it.
            by: who raises it.
        """
        as_read = "limits = :before"
        counted = "#state IN (:sending, :open, :finished)"
        going = "attribute_not_exists(cancelled_at)"
        given = {"at": stamp(now), "by": by, "before": before.model_dump(), "after": after.model_dump()}
        return self._accepted(
            batch_key(batch),
            "SET limits = :after, raised = list_append(if_not_exists(raised, :none), :given)",
            f"{as_read} AND {counted} AND {going}",
            {
                ":before": before.model_dump(),
                ":after": after.model_dump(),
                ":none": [],
                ":given": [given],
                ":sending": BatchState.SENDING,
                ":open": BatchState.OPEN,
                ":finished": BatchState.FINISHED,
            },
        )
