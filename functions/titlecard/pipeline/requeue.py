"""Resume: what waits is put back when its date has come and it can be paid for; then the open batches are audited.

It sends first and marks afterwards, conditional on the state it read: a crash in between sends a message twice, and its
row ends once. The other way round it would lose one. What waits for a person gets a date first, once the person has
acted, so that no worker takes its message for a stray one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.ledger import LedgerUnavailable, Refusal
from titlecard.aws.sqs import chunk_messages
from titlecard.domain.errors import Hold
from titlecard.domain.money import Amount, Cap, Window
from titlecard.pipeline.admission import denied

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Catalog, Row
    from titlecard.aws.dynamodb.ledger import Ledger
    from titlecard.aws.sqs import WorkQueue
    from titlecard.domain.batch import Message
    from titlecard.pipeline.admission import Denied
    from titlecard.pipeline.audit import Audit


class Requeue:
    """Puts deferred videos back and has the open batches audited.

    Args:
        most: how many messages one call puts back at the most.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        ledger: Ledger,
        queue: WorkQueue,
        audit: Audit,
        most: int,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._queue = queue
        self._audit = audit
        self._most = most
        self._now = now

    def run(self) -> Counter[str]:
        """Do both; say how many rows were put back, and how many batches were finished, audited or given up."""
        done: Counter[str] = Counter()
        self._put_back(done)
        self._audit.run(done)
        return done

    def _put_back(self, done: Counter[str]) -> None:
        """Send the oldest due rows, no more than the budgets can pay for; then date those that a person has freed.

        What is due and meets a budget or a limit that is used up gets its date and says so, as if it had been sent.
        """
        purse = _Headroom(self._catalog, self._ledger, self._now())
        waiting: list[tuple[Message, Row]] = []
        for message, row in self._catalog.deferred(now=self._now()):
            if len(waiting) < self._most and purse.pays(message, row):
                waiting.append((message, row))
            else:
                self._postpone(message, row, purse.refuses(message, row), done)
        rows = {(message.batch, message.row): row for message, row in waiting}
        for pack in chunk_messages(message for message, _ in waiting):
            self._queue.send(pack)
            for message in pack:
                done["put back"] += self._catalog.requeued(message, rows[message.batch, message.row])
        for message, row in self._catalog.for_a_person():
            if not _holds(row):
                continue
            if purse.pays(message, row):
                done["freed"] += self._catalog.hasten(message, due=row.due or "", now=self._now())
            elif (why := purse.denied(message) or purse.refuses(message, row)) and not _says(row, why):
                self._postpone(message, row, why, done)

    def _postpone(self, message: Message, row: Row, why: Denied | Refusal | None, done: Counter[str]) -> None:
        if why and done["postponed"] < self._most:
            reason = f"{why.hold}: {why.sentence}"
            done["postponed"] += self._catalog.postpone(message, due=row.due or "", reason=reason, until=why.due)


@dataclass
class _Remaining:
    """What a budget or a limit leaves, by what was charged and promised so far; budgets do not count requests."""

    refusal: Refusal
    cap: Cap
    charged: Amount
    requests: int | None = None
    promised: Amount = field(default_factory=Amount)

    def holds(self, need: Amount) -> bool:
        """Whether a need fits beside what was charged and promised."""
        return self._has_room(self.charged + self.promised, need)

    def refuses(self, need: Amount) -> bool:
        """Whether a need would not even fit if nothing were promised."""
        return not self._has_room(self.charged, need)

    def _has_room(self, spent: Amount, need: Amount) -> bool:
        one_more = self.requests is None or spent.requests + need.requests <= self.requests
        return one_more and self.cap.room(spent).holds(need)


class _Headroom:
    """What can be paid for, with what this run has promised taken off; each project and each batch is read once."""

    def __init__(self, catalog: Catalog, ledger: Ledger, now: datetime) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._now = now
        self._projects: dict[str, list[_Remaining] | None] = {}
        self._batches: dict[str, list[_Remaining] | None] = {}
        self._closed: dict[str, Denied] = {}
        self._probes: set[str] = set()
        self._over: set[str] = set()

    def pays(self, message: Message, row: Row) -> bool:
        """Whether a row can go on now; where it can, its need is taken off."""
        if row.need == Amount():  # nobody knows whether it needs anything: it never came as far as the model
            return True
        batch = self._of_batch(message.batch)
        if batch == []:
            return True
        project = self._of_project(message.project)
        if not batch or not project or message.project in self._over or not all(it.holds(row.need) for it in batch):
            return False
        fits = all(left.holds(row.need) for left in project)
        if not fits or message.project in self._probes:
            self._over.add(message.project)  # no younger row that needs less overtakes it; and of probes, one
        if fits:
            for left in (*batch, *project):
                left.promised += row.need
        return fits

    def denied(self, message: Message) -> Denied | None:
        """Why a row's project may ask nothing now."""
        self._of_project(message.project)
        return self._closed.get(message.project)

    def refuses(self, message: Message, row: Row) -> Refusal | None:
        """What a row meets that cannot be paid for, whatever else this run has promised."""
        lefts = [*(self._of_batch(message.batch) or []), *(self._of_project(message.project) or [])]
        for left in lefts:
            if left.refuses(row.need):
                return left.refusal if left.cap.holds(row.need) else left.refusal.for_good()
        return None

    def _of_batch(self, name: str) -> list[_Remaining] | None:
        """What a batch's limit leaves; None where that cannot be read, nothing where its rows only need an end."""
        if name not in self._batches:
            self._batches[name] = self._batch(name)
        return self._batches[name]

    def _of_project(self, name: str) -> list[_Remaining] | None:
        """What a project's budget leaves of the month and of the day; None where it may ask nothing now."""
        if name not in self._projects:
            self._projects[name] = self._project(name)
        return self._projects[name]

    def _batch(self, name: str) -> list[_Remaining] | None:
        try:
            batch = self._catalog.batch(name)
        except KeyError:
            return []
        if batch.cancelled:
            return []
        try:
            limits, spent = batch.limits, self._ledger.spent(name)
            return [_Remaining(Refusal.of_batch(), Cap(limits.tokens, limits.micro_usd), spent, limits.requests)]
        except LedgerUnavailable:
            return None

    def _project(self, name: str) -> list[_Remaining] | None:
        try:
            account = self._ledger.account(name, now=self._now)
            if no := denied(account, self._now):
                self._closed[name] = no
            if no or account.budget is None:
                return None
            if account.breaker.open:
                self._probes.add(name)
            day, month = self._ledger.window(name, self._now)
        except LedgerUnavailable:
            return None
        budget, window = account.budget, Window.at(self._now)
        return [
            _Remaining(Refusal.of_month(window), budget.monthly, month),
            _Remaining(Refusal.of_day(window), budget.daily, day),
        ]


def _says(row: Row, why: Denied | Refusal) -> bool:
    return (row.reason or "").startswith(f"{why.hold}:")


def _holds(row: Row) -> bool:
    """Whether it is one of our own limits that a row waits for."""
    return (row.reason or "").partition(":")[0] in set(Hold)
