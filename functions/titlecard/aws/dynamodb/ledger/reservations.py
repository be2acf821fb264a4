"""Reservations and settlements: the counters that no bill exceeds.

A request's bound is *reserved* before it is sent, and *settled* when the bill is known. In between, and for ever if the
answer is lost, the bound stays charged, so every crash charges too much rather than too little.

::

    reserve: batch ──► project (day and month) ──► send ──► save ──► settle: project, batch
               │                 │                   │        │         └ a lost answer: charged too much
               │                 │                   │        └ a crash: the bound stays charged
               │                 │                   └ a crash: the bound stays charged
               │                 ├ refused: the batch's part is taken back, once; a lost answer leaves it charged
               │                 └ a crash or a lost answer: charged for a request that was never sent
               └ a crash or a lost answer: the same, for the batch alone

Every step adds to the counters of one item, all of them or none, by `Spending._add`:

==========================  ===============  ==========================================  =========================
counters                    item             reserve                                     settle
==========================  ===============  ==========================================  =========================
`COUNTERS`                  batch and month  + need                                      + charged - need
``open_`` and `PARTS`       batch and month  + need                                      - need
``lost_`` and `PARTS`       batch and month                                              + need if unmeasured
``d27_`` and `PARTS`        month            + need                                      + charged - need
``model#M#`` and `PARTS`    month            + need                                      + charged - need
--------------------------  ---------------  ------------------------------------------  -------------------------
the condition                                each stays within its limit; none is        none becomes negative
                                             missing or invalid; batch not cancelled
==========================  ===============  ==========================================  =========================

They are plain conditional updates: with transactions, requests of one project would cancel each other. The client makes
ONE try per call. boto3's default retries were seen to apply one `ADD` three times when answers were lost: on a counter
that is being lowered, this would give back money that was never reserved.

A month's item stays below 1 KB, which is one write unit: the first reservation of a day moves the days before yesterday
into a second item. Those days get no further charges, since AWS refuses clocks that are so far behind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.ledger.items import (
    COUNTERS,
    LOST,
    OPEN,
    PARTS,
    LedgerTable,
    Spent,
    charge_of,
    count,
    item_invalid,
    part_of,
    spent_of,
)
from titlecard.aws.dynamodb.values import item_of_refusal, stamp
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.money import Amount, Total, Unbilled, Unmeasured, Window
from titlecard.domain.money.budget import NUMBER_MAX
from titlecard.domain.reasons import Hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from titlecard.domain.money import Billing, Budget

    Item = Mapping[str, Any]

RAISE_TRIES = 3
"""The most tries of a write that only raises counters: a repetition can only charge too much."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request's reserved bound, and where it is charged. The settlement uses the same window."""

    batch: str
    project: str
    model: str
    window: Window
    need: Amount


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why no request may be sent now; `due` is when one may, None if a person must act."""

    hold: Hold
    sentence: str
    due: datetime | None = None

    @classmethod
    def of_batch(cls) -> Refusal:
        """Return the refusal of a need above the rest of a batch's limit."""
        sentence = "the batch has reached its limit: `titlecard limit BATCH` shows and raises it"
        return cls(Hold.BATCH_LIMIT, sentence)

    @classmethod
    def of_day(cls, window: Window) -> Refusal:
        """Return the refusal of a need above the rest of a day's budget."""
        sentence = f"the project has reached its budget for {window.day} (UTC)"
        return cls(Hold.BUDGET_DAY, sentence, window.next_day)

    @classmethod
    def of_month(cls, window: Window) -> Refusal:
        """Return the refusal of a need above the rest of a month's budget."""
        sentence = f"the project has reached its budget for {window.month}"
        return cls(Hold.BUDGET_MONTH, sentence, window.next_month)

    @property
    def reason(self) -> str:
        """The refusal as a row stores it."""
        return f"{self.hold}: {self.sentence}"

    def for_good(self) -> Refusal:
        """Return the refusal of a need above a whole budget, which a person has to raise."""
        if self.hold is Hold.BATCH_LIMIT:
            return self
        word = self.hold.removeprefix("budget_")
        return Refusal(self.hold, f"one request can cost more than the project's whole budget of a {word}: raise it")


@dataclass(frozen=True, slots=True)
class Month:
    """A project's charges in a month, for each of its days (by number) and for each model."""

    name: str
    spent: Spent
    days: Mapping[int, Total]
    models: Mapping[str, Total]


class Spending(LedgerTable):
    """The charges of batches and of projects."""

    def reserve(
        self, batch: str, project: str, need: Amount, *, limits: Total, budget: Budget, model: str, now: datetime
    ) -> Reservation | Refusal:
        """Reserve the bound of one request, in its batch and in its project's day and month.

        DynamoDB's conditions have no arithmetic, so the room is computed first. A need above a whole limit is refused
        before any write, because `attribute_not_exists` would accept it.

        Raises:
            LedgerUnavailable: the reservation may or may not have been written. If it was, it stays charged.
            LedgerItemInvalid: an item was edited, so the charges are unknown.
        """
        window = Window.at(now)
        reservation = Reservation(batch, project, model, window, need)
        if refusal := _refusal_for_good(need, limits, budget, window):
            return refusal
        if refusal := self._reserve_batch(reservation, limits, now):
            return refusal
        try:
            refusal = self._reserve_project(reservation, budget, now)
        except LedgerUnavailable:
            self._release(reservation)
            raise
        if refusal:
            self._release(reservation)
            return refusal
        return reservation

    def settle(self, reservation: Reservation, billing: Billing) -> None:
        """Replace a reservation with the bill. Only the worker whose save was accepted may call it, and only once.

        The month is lowered before the batch. In the other order, a row could find room in its batch and none in the
        month, and would wait for the next month; what finds no room in its batch is tried again within minutes.

        Raises:
            LedgerUnavailable: part of it may not have been written. Do not repeat the call: the rest stays charged.
        """
        failure: LedgerUnavailable | None = None
        for key, parts in (
            (_month_key(reservation.project, reservation.window), _parts_of_month(reservation)),
            (_batch_key(reservation.batch), ()),
        ):
            try:
                self._settle(key, _settlement_changes(reservation.need, billing, parts))
            except LedgerUnavailable as error:  # the other half is still settled
                failure = error
        if failure:
            raise failure

    def cancel(self, batch: str, *, now: datetime) -> None:
        """Refuse all further reservations for a batch, permanently.

        Raises:
            LedgerUnavailable: it may or may not have been written; the call can be repeated.
        """
        with self._asking():
            self._db.update_item(
                TableName=self._table,
                Key=_batch_key(batch),
                UpdateExpression="SET cancelled_at = if_not_exists(cancelled_at, :now)",
                ExpressionAttributeValues={":now": stamp(now)},
            )

    def spent(self, batch: str) -> Amount:
        """Return a batch's charges so far, including reservations.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        return charge_of(self._item(_batch_key(batch)))

    def spending(self, batch: str) -> Spent:
        """Return a batch's charges so far with their unmeasured parts.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        return spent_of(self._item(_batch_key(batch)))

    def window(self, project: str, now: datetime) -> tuple[Total, Amount]:
        """Return a project's charges in the day and in the month of a moment, including reservations.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        window = Window.at(now)
        item = self._item(_month_key(project, window))
        return part_of(item, _day_prefix(window)), charge_of(item)

    def months(self, project: str) -> Iterator[Month]:
        """Yield a project's charges by month, oldest first.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        items = {str(item["sk"]): item for item in self._items(f"project#{project}")}
        for name in (key.removeprefix(_MONTH) for key in items if key.startswith(_MONTH)):
            item = {**items.get(f"{_DAYS}{name}", {}), **items[f"{_MONTH}{name}"]}
            models = {name.split("#")[1] for name in item if name.startswith("model#")}
            yield Month(
                name=name,
                spent=spent_of(item),
                days={day: part_of(item, f"d{day:02}_") for day in range(1, 32) if f"d{day:02}_requests" in item},
                models={name: part_of(item, f"model#{name}#") for name in sorted(models)},
            )

    # ---------------------------------------------------------------------------------------------------- the writes

    def _reserve_batch(self, reservation: Reservation, limits: Total, now: datetime) -> Refusal | None:
        has_room, room = _room_under(limits.as_map(), reservation.need, COUNTERS)
        not_cancelled = "attribute_not_exists(cancelled_at)"
        written = self._add(
            _batch_key(reservation.batch),
            _reservation_changes(reservation.need, ()),
            f"{has_room} AND {not_cancelled}",
            room,
            {"reserved_at": stamp(now), "project": reservation.project},
        )
        if not isinstance(written, _Refused):
            return None
        if "cancelled_at" in written.item:
            return Refusal(Hold.CANCELLED, "the batch was cancelled")
        _check_counters(written.item, COUNTERS)
        return Refusal.of_batch()

    def _reserve_project(self, reservation: Reservation, budget: Budget, now: datetime) -> Refusal | None:
        need, window = reservation.need, reservation.window
        day = _day_prefix(window)
        of_day = [f"{day}{name}" for name in PARTS]
        month_has_room, room = _room_under(budget.monthly.as_map(), need, COUNTERS)
        day_has_room, room_of_day = _room_under(budget.daily.as_map(), need, of_day, day)
        written = self._add(
            _month_key(reservation.project, window),
            _reservation_changes(need, _parts_of_month(reservation)),
            f"{month_has_room} AND {day_has_room}",
            room | room_of_day,
            {"reserved_at": stamp(now)},
        )
        if not isinstance(written, _Refused):
            self._archive_old_days(written, window)
            return None
        _check_counters(written.item, COUNTERS)
        if any(name in written.item for name in of_day):
            _check_counters(written.item, of_day)
        if not budget.monthly.room(charge_of(written.item)).holds(need):
            return Refusal.of_month(window)
        return Refusal.of_day(window)

    def _settle(self, key: Item, changes: Mapping[str, int]) -> None:
        """Write a settlement once. If the bill is above its bound, write the increases first, with retries."""
        rises = {name: change for name, change in changes.items() if change > 0}
        if not rises.keys().isdisjoint(COUNTERS):
            self._raise(key, rises)
            changes = {name: change for name, change in changes.items() if change < 0}
        self._change(key, changes)

    def _raise(self, key: Item, rises: Mapping[str, int]) -> None:
        for _ in range(RAISE_TRIES - 1):
            try:
                return self._change(key, rises)
            except LedgerUnavailable:
                continue
        return self._change(key, rises)

    def _release(self, reservation: Reservation) -> None:
        """Lower a batch's counters once, by a reservation that its project refused; a lost call leaves it charged."""
        try:
            self._change(_batch_key(reservation.batch), _settlement_changes(reservation.need, Unbilled(), ()))
        except LedgerUnavailable:
            return

    def _change(self, key: Item, changes: Mapping[str, int]) -> None:
        """Change counters of an existing item; refuse a change that makes one negative."""
        least = {name: -change for name, change in changes.items() if change < 0}
        conditions = [
            "attribute_exists(requests)",
            *(f"#{_alias(it)} >= :least_{_alias(it)}" for it in least),
        ]
        values = {f":least_{_alias(name)}": number for name, number in least.items()}
        if isinstance(self._add(key, changes, " AND ".join(conditions), values), _Refused):
            item = f"the ledger's item {key['pk']!r}, {key['sk']!r}"
            raise LedgerUnavailable(f"{item} holds less than the settlement removes: nothing is lowered")

    def _add(
        self,
        key: Item,
        changes: Mapping[str, int],
        condition: str,
        values: Mapping[str, Any],
        noted: Mapping[str, str] = {},
    ) -> Item | _Refused:
        """Add to an item's counters and set texts in it, all or nothing, if a condition holds; return the changed item.

        The condition names a counter by `#` and its `_alias`, because an expression cannot contain a model's name.
        """
        notes = "SET " + ", ".join(f"#{name} = :{name}" for name in noted) if noted else ""
        written: dict[str, Any] = {**changes, **noted}
        words = {name: _alias(name) for name in written}
        try:
            with self._asking():
                done = self._db.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=f"{notes} ADD " + ", ".join(f"#{words[it]} :{words[it]}" for it in changes),
                    ConditionExpression=condition,
                    ExpressionAttributeNames={f"#{word}": name for name, word in words.items()},
                    ExpressionAttributeValues={f":{words[it]}": value for it, value in written.items()} | dict(values),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            return _Refused(item_of_refusal(refusal.response) or key)
        return done["Attributes"]

    def _archive_old_days(self, month: Item, window: Window) -> None:
        """Move the days before yesterday out of a month's item: copy them, then remove the copied values.

        A crash in between leaves both, and the next reservation moves them again. A failure does no harm.
        """
        yesterday = f"d{window.day.day - 1:02}_"
        old = {name: value for name, value in month.items() if _OF_A_DAY.match(name) and name < yesterday}
        if not old:
            return
        names = {f"#{name}": name for name in old}
        values: dict[str, Any] = {f":{name}": value for name, value in old.items()}
        same = [f"#{name} = :{name}" for name in old]
        try:
            with self._asking():
                self._db.update_item(
                    TableName=self._table,
                    Key={"pk": month["pk"], "sk": f"{_DAYS}{window.month}"},
                    UpdateExpression="SET " + ", ".join(same),
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                )
                self._db.update_item(
                    TableName=self._table,
                    Key={"pk": month["pk"], "sk": month["sk"]},
                    UpdateExpression="REMOVE " + ", ".join(names),
                    ConditionExpression=" AND ".join(same),
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                )
        except (LedgerUnavailable, self._db.exceptions.ConditionalCheckFailedException):
            return


@dataclass(frozen=True, slots=True)
class _Refused:
    """The condition of a write does not hold for this item."""

    item: Item


def _refusal_for_good(need: Amount, limits: Total, budget: Budget, window: Window) -> Refusal | None:
    """Return the refusal of a need above a whole limit, which a person has to raise; None if it could ever fit."""
    if need.total.exceeds(limits):
        return Refusal.of_batch()
    for cap, refusal in ((budget.daily, Refusal.of_day(window)), (budget.monthly, Refusal.of_month(window))):
        if not cap.holds(need):
            return refusal.for_good()
    return None


def _room_under(
    limits: Mapping[str, int], need: Amount, counters: Iterable[str], prefix: str = ""
) -> tuple[str, dict[str, Any]]:
    """Return the condition that a need fits beside the charges, and its values.

    Either none of the counters exists, so that an item which has lost some of them does not count as new; or each of
    `PARTS` is a number from zero to its room. A counter without a limit has `NUMBER_MAX`.
    """
    needs = _counters(need)
    room = {f"{prefix}{name}": limits.get(name, NUMBER_MAX) - needs[name] for name in PARTS}
    untouched = " AND ".join(f"attribute_not_exists(#{name})" for name in counters)
    fits = " AND ".join(f"attribute_type(#{it}, :number) AND #{it} BETWEEN :zero AND :room_{it}" for it in room)
    values = {f":room_{name}": number for name, number in room.items()}
    return f"(({untouched}) OR ({fits}))", {":number": "N", ":zero": 0, **values}


def _check_counters(item: Item, names: Iterable[str]) -> None:
    """Refuse an item with missing or invalid counters: its charges are unknown.

    Raises:
        LedgerItemInvalid: a counter is missing or invalid; the sentence names the item.
    """
    for name in names:
        if name not in item:
            raise item_invalid(item, f"has lost its {name}")
        count(item, name)


def _reservation_changes(need: Amount, parts: Iterable[str]) -> dict[str, int]:
    """Return what a reservation adds to an item, and to its parts by their prefixes (see the table above)."""
    needs = _counters(need)
    return needs | _prefixed(OPEN, needs) | {name: it for part in parts for name, it in _prefixed(part, needs).items()}


def _settlement_changes(need: Amount, billing: Billing, parts: Iterable[str]) -> dict[str, int]:
    """Return what a settlement changes in an item, and in its parts by their prefixes."""
    needs, charged = _counters(need), _counters(billing.charged(need))
    change = {name: charged[name] - needs[name] for name in COUNTERS}
    changes = change | _prefixed(OPEN, {name: -it for name, it in needs.items()})
    if isinstance(billing, Unmeasured):
        changes |= _prefixed(LOST, charged)
    for part in parts:
        changes |= _prefixed(part, change)
    return {name: it for name, it in changes.items() if it}


def _prefixed(prefix: str, counters: Mapping[str, int]) -> dict[str, int]:
    return {f"{prefix}{name}": counters[name] for name in PARTS}


def _counters(charge: Amount) -> dict[str, int]:
    return {**charge.as_map(), "tokens": charge.tokens}


def _alias(name: str) -> str:
    """Return the alias of a counter in an expression."""
    return re.sub(r"\W", "_", name)


def _batch_key(batch: str) -> dict[str, str]:
    return {"pk": f"batch#{batch}", "sk": "spend"}


def _month_key(project: str, window: Window) -> dict[str, str]:
    return {"pk": f"project#{project}", "sk": f"{_MONTH}{window.month}"}


def _day_prefix(window: Window) -> str:
    return f"d{window.day.day:02}_"


def _parts_of_month(reservation: Reservation) -> tuple[str, str]:
    """Return the prefixes of the day and of the model in a month's item."""
    return _day_prefix(reservation.window), f"model#{reservation.model}#"


_MONTH, _DAYS = "month#", "days#"
_OF_A_DAY = re.compile(r"d\d\d_")
