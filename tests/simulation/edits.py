"""What somebody writes into the ledger by hand, and puts right later."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.simulation.expressions import MISSING

if TYPE_CHECKING:
    from datetime import datetime

    from tests.simulation.dynamo import Key, Store
    from tests.simulation.expressions import Item

EDITS: tuple[tuple[str, str, object], ...] = (
    ("budget", "daily_micro_usd", "5usd"),
    ("budget", "monthly_tokens", Decimal(-1)),
    ("budget", "set_at", "yesterday"),
    ("budget", "monthly_micro_usd", MISSING),
    ("breaker", "failures", "many"),
    ("batch", "tokens", "plenty"),
    ("batch", "micro_usd", Decimal(-1)),
    ("batch", "requests", MISSING),
    ("month", "tokens", MISSING),
    ("month", "micro_usd", "plenty"),
    ("month", "requests", Decimal(-5)),
    ("day", "micro_usd", Decimal(-5)),
)
"""Into which item, which attribute, and what; `MISSING` takes it away."""


@dataclass(frozen=True)
class Edited:
    """An attribute that was written by hand, `since` a second of the schedule; no writer of production made it."""

    key: Key
    name: str
    was: object
    spoilt: object
    since: float

    def stands(self, item: Item | None) -> bool:
        """Whether it is still there: to write the whole item anew puts it right as well."""
        found = (item or {}).get(self.name, MISSING)
        return found == self.spoilt or (self.spoilt is MISSING and self.key[0] != "budgets")


def edit(store: Store, number: int, project: str, day: datetime, since: float) -> Edited | None:
    """Make one of `EDITS`; None where there is nothing to be edited yet."""
    what, name, value = EDITS[number]
    ledger = store.tables["ledger"]
    key = {
        "budget": ("budgets", project),
        "breaker": ("breakers", project),
        "batch": next((key for key, item in ledger.items() if item.get("project") == project), ("", "")),
    }.get(what, (f"project#{project}", f"month#{day:%Y-%m}"))
    name = f"d{day:%d}_{name}" if what == "day" else name
    item = ledger.get(key, {"pk": key[0], "sk": key[1]} if what == "breaker" else {})
    if not item or (name not in item and what != "breaker"):
        return None
    edited = Edited(key, name, item.get(name, MISSING), value, since)
    store.by_hand("ledger", key, _with(item, name, value))
    return edited


def put_right(store: Store, edited: Edited) -> None:
    """Write what should stand there: a counter that was taken away may have begun anew in between."""
    item = store.tables["ledger"][edited.key]
    right = edited.was
    if isinstance(right, Decimal) and edited.spoilt is MISSING:
        right += item.get(edited.name, Decimal(0))
    store.by_hand("ledger", edited.key, _with(item, edited.name, right))


def _with(item: Item, name: str, value: object) -> Item:
    rest = {other: it for other, it in item.items() if other != name}
    return rest if value is MISSING else rest | {name: value}
