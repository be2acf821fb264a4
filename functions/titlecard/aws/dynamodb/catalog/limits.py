"""The limits of the catalog's batches, and their increases.

The number shown before the upload bounds a batch's bill. Only a person can raise it, and the batch records who did. A
limit is never lowered: a worker that still knows the old limit would exceed the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.keys import batch_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable, stamp
from titlecard.domain.batch import BatchState
from titlecard.domain.money import Total

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True)
class LimitIncrease:
    """An increase of a limit: when (a stamp), by whom, and from what to what."""

    at: str
    by: str
    before: Total
    after: Total


class BatchLimitTable(CatalogTable):
    """The limits of batches."""

    def raised(self, batch: str) -> list[LimitIncrease]:
        """Return the increases of a batch's limit, oldest first."""
        item: Mapping[str, Any] = self._get(batch_key(batch)) or {}
        return [
            LimitIncrease(it["at"], it["by"], Total.from_item(it["before"]), Total.from_item(it["after"]))
            for it in item.get("raised", ())
        ]

    def raise_limit(self, batch: str, before: Total, after: Total, *, by: str, now: datetime) -> bool:
        """Raise a batch's limit; return False if it has changed since it was read, or cannot be raised now.

        It cannot be raised while ingest counts the rows, since ingest then writes the limit, nor after the batch was
        refused or cancelled.

        Args:
            before: the limit as it was read; no field of `after` is lower.
            by: the person who raises it.
        """
        as_read = "limits = :before"
        counted = "#state IN (:sending, :open, :finished)"
        going = "attribute_not_exists(cancelled_at)"
        given = {"at": stamp(now), "by": by, "before": before.as_map(), "after": after.as_map()}
        return self._update(
            batch_key(batch),
            "SET limits = :after, raised = list_append(if_not_exists(raised, :none), :given)",
            f"{as_read} AND {counted} AND {going}",
            {
                ":before": before.as_map(),
                ":after": after.as_map(),
                ":none": [],
                ":given": [given],
                ":sending": BatchState.SENDING,
                ":open": BatchState.OPEN,
                ":finished": BatchState.FINISHED,
            },
        )
