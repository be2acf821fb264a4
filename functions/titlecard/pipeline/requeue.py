"""The sweeper requeues deferred rows when they are due and can be paid for.

It sends rows first and marks them afterwards, on the condition that they are unchanged since they were read:

::

    read a row ──► send its message ──► mark it as queued
                     │                     └ refused: the row has changed by itself
                     └ a crash: the next sweep sends it a second time, and it ends once

In the opposite order, a crash would lose the row. The message carries the number of the deferral, so that no worker
mistakes it for an earlier stray copy.

A sweep is a stream. It sends while it reads, oldest first, and stops at its limit or shortly before its time is up, so
that a million due rows take several sweeps instead of failing all of them. Each row gets one verdict: it continues, or
it gets another date, or it waits for a person. The next sweep does not read them again:

=====================  =========================================================================================
a project that         rows with a date                                rows that wait for a person
=====================  =========================================================================================
may ask                are read up to the current time                 one is read from each of a batch's shards,
                                                                       and more only while they can continue
is paused, or has no   are set to wait for a person, once each         are not read
budget
has an open breaker,   are not read until its next probe; then one     are not read
or no readable ledger  continues
=====================  =========================================================================================
"""

from __future__ import annotations

import heapq
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog import NO_PROJECT, Batch, DeferredRow, UnreadableRow
from titlecard.aws.dynamodb.ledger import Refusal
from titlecard.aws.errors import UNAVAILABLE, BatchItemInvalid, LedgerUnavailable, MessagesNotSent
from titlecard.aws.sqs import chunk_messages
from titlecard.domain.money import Cap, Total, Window
from titlecard.domain.reasons import Hold, code_of
from titlecard.pipeline.admission import usable_budget
from titlecard.pipeline.lease import Lease
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Catalog
    from titlecard.aws.dynamodb.ledger import Ledger
    from titlecard.aws.sqs import WorkQueue
    from titlecard.domain.batch import Message
    from titlecard.pipeline.audit import Audit

TIMEOUT_SECONDS = 300.0
"""The sweeper's timeout."""

STOP_SECONDS = 60
"""Seconds before the end of the invocation (or a quarter of it, if less) at which no new work starts."""

MARK_THREADS = 8
"""Threads that mark rows; an update mostly waits."""

MOST_PASSED = 10_000
"""The most waiting rows that a sweep reads past in search of a cancelled batch's: some twenty pages of the index."""

UNREADABLE_SECONDS = 86_400
"""Seconds until another look at a row that this version cannot read: a newer version may be deployed by then."""


@dataclass(frozen=True, kw_only=True)
class Requeue:
    """Requeues deferred rows, then audits open batches.

    Args:
        most: the most rows that one sweep requeues, and the most rows that it gives another date.
    """

    catalog: Catalog
    ledger: Ledger
    queue: WorkQueue
    audit: Audit
    most: int
    now: Callable[[], datetime]

    def run(self, remaining: Callable[[], float] = lambda: TIMEOUT_SECONDS) -> Counter[str]:
        """Requeue the due rows, then audit the open batches; return the number of each kind of work done.

        Args:
            remaining: returns the seconds that this invocation has left; by default all of them.
        """
        done: Counter[str] = Counter()
        lease = Lease(self.catalog, self.now)
        if not lease.take():
            done["left to another sweep"] += 1
            return done
        stop = min(STOP_SECONDS, remaining() / 4)

        def in_time() -> bool:
            return remaining() > stop and lease.is_held

        with lease.renewed():
            done += self._requeue_rows(in_time)
            done += self.audit.run(in_time)
        return done

    def finish(self, batch: str, remaining: Callable[[], float]) -> Counter[str]:
        """Finish one batch whose last row has ended; return the number of each kind of work done."""
        stop = min(STOP_SECONDS, remaining() / 4)
        return self.audit.finish(batch, lambda: remaining() > stop)

    def _requeue_rows(self, in_time: Callable[[], bool]) -> Counter[str]:
        """Send the rows that can continue, as far as budgets can pay for them; record why the others cannot, once."""
        sweep = _Sweep(self.catalog, self.queue, _Headroom(self.ledger, self.now()), self.most, self.now, in_time)
        try:
            batches = [it for it in self.catalog.open_batches() if isinstance(it, Batch)]  # the audit reports others
            sweep.send(sweep.due_rows(batches))
            for batch in batches:
                if in_time():
                    sweep.send(sweep.rows_for_a_person(batch))
        except (MessagesNotSent, *UNAVAILABLE) as error:
            logger.warning(_CUT_SHORT, error=type(error).__name__)
            sweep.done["cut short"] += 1
        except Exception:  # noqa: BLE001 -- whatever it is, the batches are still audited
            logger.exception(_CUT_SHORT)
            sweep.done["cut short"] += 1
        return sweep.done


_CUT_SHORT = "not all due rows were requeued"


# ------------------------------------------------------------------------------------------- the verdict on a row


class Verdict(Enum):
    """The verdict on a row; a `Refusal` instead is recorded as its reason, with the date until which it waits."""

    GO = auto()
    """The row continues now."""
    STAY = auto()
    """The row keeps its date: nothing is known, or it depends on the rows that continue."""


@dataclass
class _Remaining:
    """What is left of a budget or a limit after charges and promises; budgets do not count requests."""

    refusal: Refusal
    cap: Cap
    charged: Total
    requests: int | None = None
    promised: Total = field(default_factory=Total)

    def holds(self, need: Total) -> bool:
        """Return whether a need fits beside the charges and promises."""
        return self._has_room(self.charged + self.promised, need)

    def refuses(self, need: Total) -> bool:
        """Return whether a need would not fit even without promises."""
        return not self._has_room(self.charged, need)

    def _has_room(self, spent: Total, need: Total) -> bool:
        one_more = self.requests is None or spent.requests + need.requests <= self.requests
        return one_more and self.cap.room(spent).holds(need)


@dataclass
class _ProjectHeadroom:
    """What is left of a project's budgets: nothing if `is_used_up`, one request if `is_probe`."""

    budgets: list[_Remaining]
    is_probe: bool
    is_used_up: bool = False


class _Headroom:
    """What can be paid for, less this sweep's promises; each project and each batch is read once."""

    def __init__(self, ledger: Ledger, now: datetime) -> None:
        self._ledger = ledger
        self._now = now
        self._projects: dict[str, _ProjectHeadroom | Refusal] = {}
        self._limits: dict[str, _Remaining | Refusal] = {}

    def of_project(self, name: str) -> _ProjectHeadroom | Refusal:
        """Return what a project may ask."""
        if name not in self._projects:
            self._projects[name] = self._project(name)
        return self._projects[name]

    def verdict(self, deferred: DeferredRow, batch: Batch) -> Verdict | Refusal:
        """Return the verdict on a row; if it continues, subtract its need."""
        need = deferred.row.need.total
        if batch.cancelled or need == Total():  # it only needs an end, or never got as far as the model
            return Verdict.GO
        project, limit = self.of_project(batch.project), self._limit(batch)
        if isinstance(project, Refusal):
            return project if project.due is None else Verdict.STAY
        if isinstance(limit, Refusal):
            return Verdict.STAY
        for left in (limit, *project.budgets):
            if left.refuses(need):
                return left.refusal if left.cap.holds(need) else left.refusal.for_good()
        return self._promise(project, limit, need)

    @staticmethod
    def _promise(project: _ProjectHeadroom, limit: _Remaining, need: Total) -> Verdict:
        """Subtract a need if it fits beside this sweep's other promises."""
        if project.is_used_up or not limit.holds(need):
            return Verdict.STAY
        fits = all(left.holds(need) for left in project.budgets)
        project.is_used_up = project.is_probe or not fits  # one probe only, and no smaller, younger row goes first
        if not fits:
            return Verdict.STAY
        for left in (limit, *project.budgets):
            left.promised += need
        return Verdict.GO

    def _limit(self, batch: Batch) -> _Remaining | Refusal:
        if batch.id not in self._limits:
            limits = batch.limits
            try:
                spent = self._ledger.spent(batch.id).total
            except LedgerUnavailable as error:
                self._limits[batch.id] = self._unreachable(error)
            else:
                cap = Cap(limits.tokens, limits.micro_usd)
                self._limits[batch.id] = _Remaining(Refusal.of_batch(), cap, spent, limits.requests)
        return self._limits[batch.id]

    def _project(self, name: str) -> _ProjectHeadroom | Refusal:
        try:
            account = self._ledger.account(name, now=self._now)
            budget = usable_budget(account, self._now)
            if isinstance(budget, Refusal):
                return budget
            day, month = self._ledger.window(name, self._now)
        except LedgerUnavailable as error:
            return self._unreachable(error)
        window = Window.at(self._now)
        budgets = [
            _Remaining(Refusal.of_month(window), budget.monthly, month.total),
            _Remaining(Refusal.of_day(window), budget.daily, day),
        ]
        return _ProjectHeadroom(budgets, account.breaker.open)

    def _unreachable(self, error: LedgerUnavailable) -> Refusal:
        """Return the refusal of rows whose budget or charges cannot be read now."""
        return Refusal(Hold.LEDGER_UNREACHABLE, str(error), self._now)


@dataclass
class _Sweep:
    """One sweep, with what it has sent and recorded so far."""

    _catalog: Catalog
    _queue: WorkQueue
    _headroom: _Headroom
    _most: int
    _now: Callable[[], datetime]
    _in_time: Callable[[], bool]
    _batches: dict[str, Batch] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    def due_rows(self, batches: Iterable[Batch]) -> Iterator[DeferredRow]:
        """Yield the due rows of all projects that can continue, oldest first; record why the others cannot."""
        self._batches.update({batch.id: batch for batch in batches})
        projects = sorted({batch.project for batch in self._batches.values()})
        streams = [self._rows_that_continue(self._due_of(project)) for project in projects]
        streams.append(self._rows_that_continue(self._catalog.due(NO_PROJECT, now=self._now())))
        return heapq.merge(*streams, key=attrgetter("row.due"))

    def _due_of(self, project: str) -> Iterator[DeferredRow | UnreadableRow]:
        """Yield a project's due rows that can be decided; while the project waits, only those of cancelled batches.

        Cancelled rows behind more than `MOST_PASSED` others wait with them.
        """
        account = self._headroom.of_project(project)
        cancelled = {it.id for it in self._batches.values() if it.cancelled and it.project == project}
        if _waits(account) and not cancelled:
            return
        passed = 0
        for found in self._catalog.due(project, now=self._now()):
            if not _waits(account) or found.batch in cancelled:
                yield found
                continue
            passed += 1
            if not cancelled or passed > MOST_PASSED or not self._in_time():
                return

    def _rows_that_continue(self, rows: Iterable[DeferredRow | UnreadableRow]) -> Iterator[DeferredRow]:
        """Yield the rows that can continue; record why the others cannot."""
        stay = 0
        for found in rows:
            if self._is_over or stay >= self._most:
                return
            verdict = self._verdict(found)
            if isinstance(found, DeferredRow) and verdict is Verdict.GO:
                yield found
            elif isinstance(found, DeferredRow) and isinstance(verdict, Refusal):
                self._postpone(found, verdict)
            stay += verdict is Verdict.STAY

    def rows_for_a_person(self, batch: Batch) -> Iterator[DeferredRow]:
        """Yield the rows of a batch that waited for a person and can continue now, smallest need first.

        The first row that stays as it is ends the search, because the rows after it need more.
        """
        if not batch.cancelled and not isinstance(self._headroom.of_project(batch.project), _ProjectHeadroom):
            return
        for found in self._catalog.waiting(batch):
            if self._is_over:
                return
            verdict = self._verdict(found)
            if isinstance(found, UnreadableRow):
                continue
            hold = code_of(found.row.reason)
            if hold not in set(Hold):  # not one of our own limits, so the end of its wait is not known
                continue
            if verdict is Verdict.GO:
                yield found
            elif isinstance(verdict, Refusal) and (verdict.due is not None or verdict.hold != hold):
                self._postpone(found, verdict)
            else:
                return

    def _verdict(self, found: DeferredRow | UnreadableRow) -> Verdict | Refusal | None:
        """Return the verdict on a row; if it or its batch cannot be read, postpone it and return None."""
        if isinstance(found, DeferredRow):
            try:
                batch = self._batch(found)
            except (KeyError, BatchItemInvalid):
                found = UnreadableRow(found.batch, found.row.number, "its batch cannot be read", str(found.row.due))
            else:
                return self._headroom.verdict(found, batch)
        logger.error("a deferred row cannot be read", batch=found.batch, row=found.number, error=found.error)
        until = self._now() + timedelta(seconds=UNREADABLE_SECONDS)
        self.done["unreadable"] += self._catalog.postpone_unreadable(found, until=until)
        return None

    def _postpone(self, deferred: DeferredRow, why: Refusal) -> None:
        self.done["postponed"] += self._catalog.postpone(deferred, reason=why.reason, until=why.due)

    def send(self, rows: Iterable[DeferredRow]) -> None:
        """Send rows as they come, as many as the sweep may still send, and mark them.

        A row is sent once, although the index may list it at its previous date and at its new one. Each batch is marked
        as moved before its rows are sent: otherwise the audit of a stalled batch would give up rows whose new messages
        it cannot see.
        """
        moved: set[str] = set()
        sent: dict[tuple[str, int], DeferredRow] = {}

        def messages() -> Iterator[Message]:
            for row in islice(rows, max(self._most - self.done["put back"], 0)):
                if (row.batch, row.message.row) not in sent:
                    sent[row.batch, row.message.row] = row
                    yield row.message

        with ThreadPoolExecutor(MARK_THREADS, thread_name_prefix="mark") as pool:
            for chunk in chunk_messages(messages()):
                for batch in {it.batch for it in chunk} - moved:
                    self._catalog.mark_moved(batch, now=self._now())
                    moved.add(batch)
                self._queue.send(chunk)
                marked = pool.map(self._catalog.mark_requeued, [sent.pop((it.batch, it.row)) for it in chunk])
                self.done["put back"] += sum(marked)

    def _batch(self, deferred: DeferredRow) -> Batch:
        if deferred.batch not in self._batches:
            self._batches[deferred.batch] = self._catalog.batch(deferred.batch)
        return self._batches[deferred.batch]

    @property
    def _is_over(self) -> bool:
        """Whether the time is up, or enough rows have another date."""
        return self.done["postponed"] >= self._most or not self._in_time()


def _waits(account: _ProjectHeadroom | Refusal) -> bool:
    """Return whether a project can ask nothing more in this sweep, and no person is needed to change that."""
    return account.is_used_up if isinstance(account, _ProjectHeadroom) else account.due is not None
