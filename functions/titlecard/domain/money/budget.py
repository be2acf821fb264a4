"""A project's budget: by day and by month, in tokens and in micro-dollars; and how people write amounts.

Days and months are in UTC, whatever the machine's time zone, so that all workers use the same windows. The ledger's
reservations (`aws.dynamodb.ledger.reservations`) check a request against a budget.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from titlecard.domain.errors import NotABudget

if TYPE_CHECKING:
    from titlecard.domain.money.amount import Amount, Total

NUMBER_MAX = 10**15
"""The largest number in a budget: a billion dollars in micro-dollars. A larger number is a mistake of units."""

DAYS_OF_A_MONTH = 31
"""The number of days in the longest month."""

_AMOUNT = re.compile(
    r"(?P<dollar>\$)?(?P<number>[0-9][0-9,_]*(?:\.[0-9]+)?)\s*(?P<unit>usd|tokens|token)?", re.IGNORECASE
)
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """The day and month that a request is charged to, fixed when it is reserved."""

    day: date

    @classmethod
    def at(cls, now: datetime) -> Window:
        """Return the window of a time."""
        return cls(now.astimezone(UTC).date())

    @property
    def month(self) -> str:
        """The month, as in `2026-11`."""
        return f"{self.day:%Y-%m}"

    @property
    def next_day(self) -> datetime:
        """The start of the next day."""
        return datetime.combine(self.day + timedelta(days=1), time(), UTC)

    @property
    def next_month(self) -> datetime:
        """The start of the next month."""
        beyond = self.day.replace(day=1) + timedelta(days=DAYS_OF_A_MONTH)
        return datetime.combine(beyond.replace(day=1), time(), UTC)


@dataclass(frozen=True, slots=True)
class Cap:
    """The cap of one window: tokens (input and output together) and micro-dollars; None means no cap.

    A batch's limit is a `Total` instead: it caps requests too, and sets every number.
    """

    tokens: int | None = None
    micro_usd: int | None = None

    def as_map(self) -> dict[str, int]:
        """Return the caps that are set, by the name of their counter."""
        caps = {"tokens": self.tokens, "micro_usd": self.micro_usd}
        return {name: value for name, value in caps.items() if value is not None}

    def room(self, spent: Amount | Total) -> Cap:
        """Return what is left of the cap, at least 0."""
        return Cap(
            None if self.tokens is None else max(self.tokens - spent.tokens, 0),
            None if self.micro_usd is None else max(self.micro_usd - spent.micro_usd, 0),
        )

    def holds(self, need: Amount | Total) -> bool:
        """Return whether the cap covers a need."""
        return (self.tokens is None or need.tokens <= self.tokens) and (
            self.micro_usd is None or need.micro_usd <= self.micro_usd
        )

    def lowest(self, other: Cap) -> Cap:
        """Return the lower of two caps in each unit."""
        return Cap(_lower(self.tokens, other.tokens), _lower(self.micro_usd, other.micro_usd))


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a project may be charged in a day and in a month; at least one of the four caps is set.

    Raises:
        NotABudget: no cap is set, or one is not a whole number from 0 to `NUMBER_MAX`.
    """

    daily: Cap
    monthly: Cap

    def __post_init__(self) -> None:
        """Validate the numbers."""
        numbers = [*self.daily.as_map().values(), *self.monthly.as_map().values()]
        if not numbers:
            raise NotABudget("A budget needs a number: --daily 5usd, --monthly 50usd, --daily 2000000tokens.")
        for number in numbers:
            if type(number) is not int or not 0 <= number <= NUMBER_MAX:
                raise NotABudget(f"{number!r} cannot be a budget: it must be a whole number from 0 to {NUMBER_MAX:,}.")

    @property
    def of_a_day(self) -> Cap:
        """The most that a day can be charged."""
        return self.daily.lowest(self.monthly)

    @property
    def of_a_month(self) -> Cap:
        """The most that a month can be charged: its own cap, or the daily cap times `DAYS_OF_A_MONTH` if lower."""
        days = Cap(
            None if self.daily.tokens is None else self.daily.tokens * DAYS_OF_A_MONTH,
            None if self.daily.micro_usd is None else self.daily.micro_usd * DAYS_OF_A_MONTH,
        )
        return self.monthly.lowest(days)


def cap(amounts: list[str]) -> Cap:
    """Parse a window's cap from a person's amounts: `5usd`, `$5`, `0.50usd`, `2000000tokens`, `2,000,000tokens`.

    Raises:
        NotABudget: a text is not an amount, or two amounts have the same unit.
    """
    found: dict[str, int] = {}
    for text in amounts:
        unit, number = _amount(text)
        if unit in found:
            raise NotABudget(
                f"{text!r} is a second amount in the same unit: give each window at most one in usd and one in tokens."
            )
        found[unit] = number
    return Cap(**found)


def _amount(text: str) -> tuple[str, int]:
    match = _AMOUNT.fullmatch(text.strip())
    unit = (match["unit"] or "").lower() if match else ""
    if not match or bool(match["dollar"]) == bool(unit):  # it has no unit, or two
        raise NotABudget(f"{text!r} is not an amount: write dollars as 5usd or 0.50usd, and tokens as 2000000tokens.")
    number = Decimal(re.sub("[,_]", "", match["number"]))
    units = number if unit.startswith("token") else number * _MICRO
    if units != int(units) or units > NUMBER_MAX:
        raise NotABudget(
            f"{text!r} is not an amount: tokens are whole numbers, dollars have at most six decimals, and "
            f"the most is {NUMBER_MAX // _MICRO:,}usd or {NUMBER_MAX:,}tokens."
        )
    return ("tokens" if unit.startswith("token") else "micro_usd"), int(units)


def _lower(one: int | None, other: int | None) -> int | None:
    there = [it for it in (one, other) if it is not None]
    return min(there) if there else None
