"""What several unit tests share: a batch that was just opened, and a stage that records its calls."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from titlecard.aws.dynamodb.catalog import Batch, stamp
from titlecard.domain.batch import BatchState, Upload
from titlecard.domain.money import Total

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)

NEW = Batch(
    upload=Upload("bucket", "uploads/pycon/talks.jsonl", "version", "order", ""),
    project="pycon",
    state=BatchState.COUNTING,
    limits=Total(1, 2, 3),
    accepted=0,
    refused=0,
    repeated=0,
    form="",
    reason=None,
    sent_row=0,
    counts=Counter(),
    created_at=NOON,
    moved_at=NOON,
    marked_at=stamp(NOON),
    lease=None,
    lease_until="",
    audit_rounds=0,
    audited_rows=0,
    audit_row=0,
    last_row=0,
    cancelled=False,
    counted_at="",
    claimed_at="",
)
"""A batch whose rows have not been read yet."""


class Stage:
    """Stands in for the tables and queues of a test, and records how they are called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    @property
    def names(self) -> list[str]:
        """The names of the calls, in their order."""
        return [name for name, *_ in self.calls]

    def named(self, name: str) -> list[Any]:
        """Return what the calls of this name were made with."""
        return [more[0] if len(more) == 1 else tuple(more) for one, *more in self.calls if one == name]

    def call(self, *call: Any) -> bool:  # noqa: ANN401 -- any call
        """Record a call: its name and its arguments. Return True, as a write does that took place."""
        self.calls.append(call)
        return True
