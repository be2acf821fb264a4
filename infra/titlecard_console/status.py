"""The status of a batch, and why its videos wait: since when, until when, and the remedy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog import NEVER
from titlecard.aws.errors import LedgerItemInvalid, LedgerUnavailable
from titlecard.domain.batch import END_STATES, BatchState, RowState
from titlecard.domain.reasons import Hold, Reason, code_of
from titlecard.domain.text import one_line
from titlecard_console.output import format_time, format_usd, pluralize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.aws.dynamodb.catalog import Batch, Catalog, Row
    from titlecard.aws.dynamodb.ledger import Ledger
    from titlecard.domain.money import Amount

SHOWN_WAITS = 5
"""The most reasons for waiting that are shown, the most frequent first."""

_BREAKER = {Hold.BREAKER_OPEN, Reason.ACCOUNT_FAULT}


@dataclass(frozen=True)
class Wait:
    """Videos that wait for one reason.

    Attributes:
        cause: the reason as a word for programs, a `Hold` or a `Reason`.
        why: the reason for people.
        until: when the first of them continues; None if a person has to act first.
        since: when the project's breaker opened, if that is the cause.
    """

    videos: int
    cause: str
    why: str
    until: datetime | None
    since: str = ""

    def sentence(self, remedy: str) -> str:
        """Describe the wait for people.

        Args:
            remedy: what a person does after removing the cause of an open breaker.
        """
        until = f"until {self.until.astimezone(UTC):%H:%M:%S} UTC" if self.until else "for you"
        sentence = f"{pluralize(self.videos, 'video waits', 'videos wait')} {until}: {self.cause}: {self.why}"
        if not self.since:
            return sentence
        opened = f"The breaker has been open since {format_time(self.since)}: remove the cause, then {remedy}."
        return f"{sentence.rstrip('.')}. {opened}"


@dataclass(frozen=True)
class Status:
    """The status of a batch.

    `until` is when the first of its waiting rows continues. `spent` is None if its charges cannot be read, and
    `trouble` then says why.
    """

    batch: Batch
    waiting: int
    until: datetime | None
    spent: Amount | None
    trouble: str | None = None
    waits: tuple[Wait, ...] = ()

    @property
    def ended(self) -> int:
        """The number of rows in an end state, from counters that may be slightly off."""
        return min(self.batch.counted(*END_STATES), self.batch.accepted)

    @property
    def has_ended(self) -> bool:
        """Whether the batch has ended, or ingest could not finish it and has given the reason."""
        given_up = self.batch.state in (BatchState.COUNTING, BatchState.SENDING) and self.batch.reason is not None
        return given_up or self.batch.state in (BatchState.FINISHED, BatchState.REFUSED)

    @property
    def is_answered(self) -> bool:
        """Whether the batch is finished, and every video is parsed or superseded."""
        answered = self.batch.counted(RowState.PARSED, RowState.SUPERSEDED)
        return self.batch.state is BatchState.FINISHED and answered >= self.batch.accepted

    def sentence(self) -> str:
        """Describe the batch in one line."""
        batch, counts = self.batch, self.batch.counts
        if batch.state is BatchState.COUNTING:
            return "reading the manifest"
        left = max(batch.accepted - self.ended - self.waiting, 0)
        numbers = [
            (batch.refused, "rejected"),
            (left, "never answered" if batch.state is BatchState.FINISHED else "queued"),
            (counts["parsed_given"], "with given presenters"),
            (counts["parsed_local"], "parsed locally"),
            (counts["parsed_model"], "by the model"),
            (counts[RowState.SUPERSEDED], "superseded"),
            (batch.counted(RowState.DEAD), "dead"),
            (counts[RowState.CANCELLED], "cancelled"),
        ]
        parts = [f"{number:,} {name}" for number, name in numbers if number]
        if self.waiting:
            parts.append(f"{self.waiting:,} waiting {f'until {self.until:%H:%M:%S}' if self.until else 'for you'}")
        if self.spent and self.spent.requests:
            parts.append(f"{pluralize(self.spent.tokens, 'token')}, {format_usd(self.spent.micro_usd)}")
        if self.trouble:
            parts.append(self.trouble)
        return ", ".join(parts)

    def content(self) -> dict[str, Any]:
        """Return a batch for programs; fields are added, never renamed."""
        batch, counts = self.batch, self.batch.counts
        return {
            "batch": batch.id,
            "project": batch.project,
            "manifest": batch.upload.key,
            "version": batch.upload.version,
            "state": batch.state,
            "created_at": batch.created_at.isoformat(),
            "moved_at": batch.moved_at.isoformat(),
            "accepted": batch.accepted,
            "refused": batch.refused,
            "repeated": batch.repeated,
            "parsed": batch.counted(RowState.PARSED),
            "parsed_given": counts["parsed_given"],
            "parsed_local": counts["parsed_local"],
            "parsed_model": counts["parsed_model"],
            "superseded": batch.counted(RowState.SUPERSEDED),
            "dead": batch.counted(RowState.DEAD),
            "cancelled": batch.counted(RowState.CANCELLED),
            "waiting": self.waiting,
            "requests": self.spent.requests if self.spent else None,
            "tokens": self.spent.tokens if self.spent else None,
            "cost_micro_usd": self.spent.micro_usd if self.spent else None,
            "reason": batch.reason,
            "trouble": self.trouble,
        }


def with_true_counts(catalog: Catalog, batch: Batch) -> Batch:
    """Return a batch; count its rows one by one if it is finished and its counters do not say so.

    A worker that was killed after it had ended a row has not counted it.
    """
    if batch.state is not BatchState.FINISHED or batch.left == 0:
        return batch
    return replace(batch, counts=catalog.counts_of_rows(batch))


def read_status(catalog: Catalog, ledger: Ledger, batch: Batch) -> Status:
    """Read the current status of a batch."""
    batch = with_true_counts(catalog, batch)
    rows = [it.row for it in catalog.deferred(batch)]
    waits = _waits(rows, ledger, batch.project) if rows else ()
    return Status(batch, len(rows), _due(rows[0]) if rows else None, *charges(ledger, batch), waits)


def charges(ledger: Ledger, batch: Batch) -> tuple[Amount | None, str | None]:
    """Return a batch's charges; or None, and why they cannot be read."""
    try:
        return ledger.spent(batch.id), None
    except LedgerItemInvalid as error:
        return None, str(error)


def _waits(rows: Sequence[Row], ledger: Ledger, project: str) -> tuple[Wait, ...]:
    """Return why rows wait, the most frequent reason first; the row that is due first comes first in `rows`."""
    causes = Counter(code_of(row.reason) for row in rows)
    since = _open_since(ledger, project) if any(cause in _BREAKER for cause in causes) else ""
    waits = []
    for cause, number in causes.most_common(SHOWN_WAITS):
        first = next(row for row in rows if code_of(row.reason) == cause)
        why = one_line((first.reason or "").partition(":")[2])
        waits.append(Wait(number, cause, why, _due(first), since if cause in _BREAKER else ""))
    return tuple(waits)


def _open_since(ledger: Ledger, project: str) -> str:
    """Return when a project's breaker opened; empty if it is closed, or cannot be read now."""
    try:
        breaker = ledger.account(project, now=datetime.now(UTC)).breaker
    except LedgerUnavailable:
        return ""
    return breaker.since if breaker.open else ""


def _due(row: Row) -> datetime | None:
    return datetime.fromisoformat(row.due) if row.due and row.due != NEVER else None
