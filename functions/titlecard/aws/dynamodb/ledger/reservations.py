"""Reservations and settlements: the counters that no bill passes.

A worst case is *reserved* before a request is sent, and *settled* when it is known what was billed. In between, and for
ever where an answer is lost, the worst case stays charged: every crash errs on that side.

::

    reserve: batch ──► project (day and month) ──► send ──► save ──► settle: batch, project
               │                 │                   │        │         └ a lost answer: charged too much
               │                 │                   │        └ a crash: the bound stays charged
               │                 │                   └ a crash: the bound stays charged
               │                 ├ refused: the batch's part is taken back, once; a lost answer leaves it charged
               │                 └ a crash or a lost answer: charged for a request that was never sent
               └ a crash or a lost answer: the same, of the batch alone

They are plain conditional updates: in a transaction, requests of one project would cancel each other. The client makes
ONE try per call. boto3's default retries were seen to apply one `ADD` three times when answers were lost: on a counter
that is lowered, that would be money given back that was never there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.table import plain, stamp
from titlecard.aws.dynamodb.ledger.items import (
    COUNTERS,
    LOST,
    OPEN,
    PARTS,
    LedgerTable,
    Part,
    Spent,
    charge_of,
    count,
    item_invalid,
    part_of,
    spent_of,
)
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.errors import Hold
from titlecard.domain.money import Amount, Unbilled, Unmeasured, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from titlecard.domain.batch import BatchLimits
    from titlecard.domain.money import Billing, Budget, Cap

RAISES = 3
"""How often a write that only raises counters is tried: the worst that a repetition does is to charge too much."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money put aside for one request, and where. The window is fixed here and carried to the settlement."""

    batch: str
    project: str
    model: str
    window: Window
    need: Amount


@dataclass(frozen=True, slots=True)
class Refusal:
    """There is no room; `due` is when there will be, None where a person has to make some."""

    hold: Hold
    sentence: str
    due: datetime | None = None

    @classmethod
    def of_batch(cls) -> Refusal:
        """What a need meets that a batch's limit does not hold."""
        sentence = "the batch has been charged what it was allowed: `titlecard limit BATCH` shows that, and raises it"
        return cls(Hold.BATCH_LIMIT, sentence)

    @classmethod
    def of_day(cls, window: Window) -> Refusal:
        """What a need meets that the budget of a day does not hold."""
        sentence = f"the project has been charged what its budget allows for {window.day} (UTC)"
        return cls(Hold.BUDGET_DAY, sentence, window.next_day)

    @classmethod
    def of_month(cls, window: Window) -> Refusal:
        """What a need meets that the budget of a month does not hold."""
        sentence = f"the project has been charged what its budget allows for {window.month}"
        return cls(Hold.BUDGET_MONTH, sentence, window.next_month)

    def for_good(self) -> Refusal:
        """What a need meets that a budget would not even hold if nothing had been spent; a person has to raise it."""
        if self.hold is Hold.BATCH_LIMIT:
            return self
        word = self.hold.removeprefix("budget_")
        return Refusal(self.hold, f"one request can cost more than the project's whole budget of a {word}: raise it")


@dataclass(frozen=True, slots=True)
class Month:
    """What a project was charged in a month, on each of its days (by number) and for each model."""

    name: str
    spent: Spent
    days: Mapping[int, Part]
    models: Mapping[str, Part]


class Spending(LedgerTable):
    """What was charged, to batches and to projects."""

    def reserve(
        self, batch: str, project: str, need: Amount, *, limits: BatchLimits, budget: Budget, model: str, now: datetime
    ) -> Reservation | Refusal:
        """Put the worst case of one request aside, in its batch and in its project's day and month.

        DynamoDB's conditions have no arithmetic, so the room is worked out first. A need above a whole limit is refused
        before anything is written: `attribute_not_exists` would let it through.

        Raises:
            LedgerUnavailable: the reservation may or may not have been written. If it was, it stays charged.
            Unreadable: an item was edited, and it cannot be said what was spent.
        """
        window = Window.at(now)
        reservation = Reservation(batch, project, model, window, need)
        if hopeless := _hopeless(need, limits, budget, window):
            return hopeless
        if refusal := self._reserve_batch(reservation, limits, now):
            return refusal
        try:
            refusal = self._reserve_project(reservation, budget, now)
        except LedgerUnavailable:
            self._take_back(reservation)
            raise
        if refusal:
            self._take_back(reservation)
            return refusal
        return reservation

    def settle(self, reservation: Reservation, billing: Billing) -> None:
        """Replace a reservation by what was billed. Only the worker whose save was accepted may call it, and only once.

        Args:
            reservation: what `reserve` gave.
            billing: what was billed, as far as is known.

        Raises:
            LedgerUnavailable: part of it may not have been written. Do not repeat the call: what is left stays charged.
        """
        trouble: LedgerUnavailable | None = None
        for key, changes in (
            (_batch_key(reservation.batch), _batch_changes),
            (_month_key(reservation.project, reservation.window), _month_changes),
        ):
            try:
                self._settle(key, changes(reservation, billing))
            except LedgerUnavailable as error:  # the other half is settled all the same
                trouble = error
        if trouble:
            raise trouble

    def cancel(self, batch: str, *, now: datetime) -> None:
        """Let nothing more be reserved for a batch, from now on and for good.

        Raises:
            LedgerUnavailable: it is unknown whether it was written; it may be repeated.
        """
        with self._asking():
            self._db.update_item(
                TableName=self._table,
                Key=_batch_key(batch),
                UpdateExpression="SET cancelled_at = if_not_exists(cancelled_at, :now)",
                ExpressionAttributeValues={":now": stamp(now)},
            )

    def spent(self, batch: str) -> Amount:
        """What a batch has been charged so far, reservations included.

        Raises:
            LedgerUnavailable: it cannot be read.
        """
        return charge_of(self._item(_batch_key(batch)))

    def spending(self, batch: str) -> Spent:
        """The same, and how much of it is no measurement.

        Raises:
            LedgerUnavailable: it cannot be read.
        """
        return spent_of(self._item(_batch_key(batch)))

    def window(self, project: str, now: datetime) -> tuple[Amount, Amount]:
        """What a project has been charged in the day and in the month of a moment, reservations included.

        Raises:
            LedgerUnavailable: it cannot be read.
        """
        window = Window.at(now)
        item = self._item(_month_key(project, window))
        day = part_of(item, _day_prefix(window))
        return Amount(day.requests, day.tokens, 0, day.micro_usd), charge_of(item)

    def months(self, project: str) -> Iterator[Month]:
        """What a project was charged, month by month, the first one first.

        Raises:
            LedgerUnavailable: it cannot be read.
        """
        for item in self._items(f"project#{project}"):
            models = {name.split("#")[1] for name in item if name.startswith("model#")}
            yield Month(
                name=str(item["sk"]).removeprefix("month#"),
                spent=spent_of(item),
                days={day: part_of(item, f"d{day:02}_") for day in range(1, 32) if f"d{day:02}_requests" in item},
                models={name: part_of(item, f"model#{name}#") for name in sorted(models)},
            )

    # ------------------------------------------------------------------------------------------------ raising writes

    def _reserve_batch(self, reservation: Reservation, limits: BatchLimits, now: datetime) -> Refusal | None:
        needs = _counters(reservation.need)
        room = {name: limit - needs[name] for name, limit in limits.model_dump().items()}
        untouched = _none_of(COUNTERS)
        fits = " AND ".join(_within(name, f":room_{name}") for name in room)
        not_cancelled = "attribute_not_exists(cancelled_at)"
        old = self._raise(
            _batch_key(reservation.batch),
            _raised(needs, reservation.need),
            f"({untouched} OR ({fits})) AND {not_cancelled}",
            {**_NUMBER, **{f":room_{name}": value for name, value in room.items()}},
            {"reserved_at": stamp(now), "project": reservation.project},
        )
        if old is None:
            return None
        if "cancelled_at" in old:
            return Refusal(Hold.CANCELLED, "the batch was cancelled")
        _check_whole(old, COUNTERS)
        return Refusal.of_batch()

    def _reserve_project(self, reservation: Reservation, budget: Budget, now: datetime) -> Refusal | None:
        need, window = reservation.need, reservation.window
        needs, day = _counters(need), _day_prefix(window)
        untouched = _none_of(COUNTERS)
        monthly, month_values = _fits("", budget.monthly, need)
        untouched_day = _none_of(f"{day}{name}" for name in PARTS)
        daily, day_values = _fits(day, budget.daily, need)
        raised = _raised(needs, need) | _prefixed(day, needs) | _prefixed(f"model#{reservation.model}#", needs)
        old = self._raise(
            _month_key(reservation.project, window),
            raised,
            f"({untouched} OR ({monthly})) AND (({untouched_day}) OR ({daily}))",
            {**_NUMBER, **month_values, **day_values},
            {"reserved_at": stamp(now)},
        )
        if old is None:
            return None
        _check_whole(old, COUNTERS)
        if any(f"{day}{name}" in old for name in PARTS):
            _check_whole(old, [f"{day}{name}" for name in PARTS])
        if not budget.monthly.room(charge_of(old)).holds(need):
            return Refusal.of_month(window)
        return Refusal.of_day(window)

    def _raise(
        self,
        key: Mapping[str, str],
        raised: Mapping[str, int],
        condition: str,
        values: Mapping[str, Any],
        noted: Mapping[str, str],
    ) -> Mapping[str, Any] | None:
        """Raise counters under a condition; None where it held, the item that stands there where it did not."""
        change, names, added = _added(raised)
        notes = ", ".join(f"#{name} = :{name}" for name in noted)
        try:
            with self._asking():
                self._db.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=f"SET {notes} {change}",
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names | {f"#{name}": name for name in noted},
                    ExpressionAttributeValues=added | dict(values) | {f":{name}": it for name, it in noted.items()},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            return plain(refusal.response) or key
        return None

    # ----------------------------------------------------------------------------------------------- lowering writes

    def _settle(self, key: Mapping[str, str], changes: Mapping[str, int]) -> None:
        """Change counters: what rises first, and as often as it takes; then what falls, once."""
        rises = {name: change for name, change in changes.items() if change > 0}
        falls = {name: change for name, change in changes.items() if change < 0}
        if rises and falls:
            # Together, as one lowering write, unless the bill is above the bound: then nothing may be missing of it.
            above = any(name in rises for name in COUNTERS)
            if not above:
                self._change(key, changes)
                return
        if rises:
            self._repeated(key, rises)
        if falls:
            self._change(key, falls)

    def _repeated(self, key: Mapping[str, str], rises: Mapping[str, int]) -> None:
        for left in reversed(range(RAISES)):
            try:
                self._change(key, rises)
            except LedgerUnavailable:
                if not left:
                    raise
            else:
                return

    def _take_back(self, reservation: Reservation) -> None:
        """Lower a batch's counters by a reservation that its project refused: once; a lost call leaves it charged."""
        changes = _batch_changes(reservation, Unbilled())
        try:
            self._change(_batch_key(reservation.batch), changes)
        except LedgerUnavailable:
            return

    def _change(self, key: Mapping[str, str], changes: Mapping[str, int]) -> None:
        """Change counters, none of them to below nothing."""
        change, names, added = _added(changes)
        falls = {f":least{i}": -number for i, number in enumerate(changes.values()) if number < 0}
        enough = [f"#a{i} >= :least{i}" for i, number in enumerate(changes.values()) if number < 0]
        reserved = "attribute_exists(requests)"
        try:
            with self._asking():
                self._db.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=change,
                    ConditionExpression=" AND ".join([reserved, *enough]),
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=added | falls,
                )
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            message = (
                f"the ledger's item {key['pk']!r}, {key['sk']!r} holds less than is to be settled: nothing is lowered"
            )
            raise LedgerUnavailable(message) from refusal


def _hopeless(need: Amount, limits: BatchLimits, budget: Budget, window: Window) -> Refusal | None:
    """The refusal of a need that would not even fit where nothing was spent; a person has to raise the limit."""
    needs = _counters(need)
    if any(needs[name] > limit for name, limit in limits.model_dump().items()):
        return Refusal.of_batch()
    for cap, refusal in ((budget.daily, Refusal.of_day(window)), (budget.monthly, Refusal.of_month(window))):
        if not cap.holds(need):
            return refusal.for_good()
    return None


def _fits(prefix: str, cap: Cap, need: Amount) -> tuple[str, dict[str, int]]:
    """The condition that counters of a window have room for a need; and none of them is an odd one."""
    needs, caps = _counters(need), cap.as_map()
    conditions = [_within(f"{prefix}{name}", f":{prefix}room_{name}" if name in caps else None) for name in PARTS]
    return " AND ".join(conditions), {f":{prefix}room_{name}": most - needs[name] for name, most in caps.items()}


def _within(name: str, room: str | None) -> str:
    """The condition that a counter is a number, is not below nothing, and has room; None: there is no limit."""
    return f"attribute_type({name}, :number) AND " + (
        f"{name} BETWEEN :zero AND {room}" if room else f"{name} >= :zero"
    )


_NUMBER = {":number": "N", ":zero": 0}


def _none_of(names: Iterable[str]) -> str:
    """The condition that an item has none of these: one that has lost but some of them is not taken for a new one."""
    return " AND ".join(f"attribute_not_exists({name})" for name in names)


def _check_whole(item: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse an item of which somebody took or spoilt a part: what was spent cannot be said.

    Raises:
        Unreadable: with a sentence that names the item.
    """
    for name in names:
        if name not in item:
            raise item_invalid(item, f"has lost its {name}")
        count(item, name)


def _batch_changes(reservation: Reservation, billing: Billing) -> dict[str, int]:
    """What a settlement changes of a batch's counters."""
    before, after = _counters(reservation.need), _counters(billing.charged(reservation.need))
    changes = {name: after[name] - before[name] for name in COUNTERS}
    changes |= {f"{OPEN}{name}": -before[name] for name in PARTS}
    if isinstance(billing, Unmeasured):
        changes |= _prefixed(LOST, after)
    return {name: change for name, change in changes.items() if change}


def _month_changes(reservation: Reservation, billing: Billing) -> dict[str, int]:
    """The same of a project's month, with its day and its model."""
    before, after = _counters(reservation.need), _counters(billing.charged(reservation.need))
    change = {name: after[name] - before[name] for name in PARTS}
    changes = _batch_changes(reservation, billing)
    for prefix in (_day_prefix(reservation.window), f"model#{reservation.model}#"):
        changes |= {name: number for name, number in _prefixed(prefix, change).items() if number}
    return changes


def _raised(needs: Mapping[str, int], need: Amount) -> dict[str, int]:
    """What a reservation adds: to what is charged, and to what is not settled."""
    return {**needs, **_prefixed(OPEN, _counters(need))}


def _prefixed(prefix: str, counters: Mapping[str, int]) -> dict[str, int]:
    return {f"{prefix}{name}": counters[name] for name in PARTS}


def _added(changes: Mapping[str, int]) -> tuple[str, dict[str, str], dict[str, Any]]:
    """`ADD` of so many numbers; every attribute has an alias, since a model's name is no word of an expression."""
    change = "ADD " + ", ".join(f"#a{i} :a{i}" for i in range(len(changes)))
    return (
        change,
        {f"#a{i}": name for i, name in enumerate(changes)},
        {f":a{i}": it for i, it in enumerate(changes.values())},
    )


def _counters(charge: Amount) -> dict[str, int]:
    return {**charge.as_map(), "tokens": charge.tokens}


def _batch_key(batch: str) -> dict[str, str]:
    return {"pk": f"batch#{batch}", "sk": "spend"}


def _month_key(project: str, window: Window) -> dict[str, str]:
    return {"pk": f"project#{project}", "sk": f"month#{window.month}"}


def _day_prefix(window: Window) -> str:
    return f"d{window.day.day:02}_"
