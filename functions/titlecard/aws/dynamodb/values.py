"""The values that both tables store and read: times, and the item that a refused write shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.conversion import as_python

if TYPE_CHECKING:
    from collections.abc import Mapping

NEVER = "9999-12-31"
"""The date of something that waits for a person; it sorts after every other date."""


def stamp(moment: datetime) -> str:
    """Return a time in its stored form: UTC, ISO 8601 with microseconds, so that stamps sort by time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def item_of_refusal(refusal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item of a refusal as Python values; only the items of successful answers are converted before."""
    return as_python(refusal.get("Item", {}))
