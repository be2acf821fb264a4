"""Manual edits of the ledger by a person, who later corrects them."""

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
"""The item, the attribute and the value of each edit; `MISSING` removes the attribute."""


@dataclass(frozen=True)
class Edited:
    """An attribute that a person edited at `since`, in seconds of the schedule."""

    key: Key
    name: str
    was: object
    spoilt: object
    since: float

    def stands(self, item: Item | None) -> bool:
        """Return whether the edit is still in the item; a write of the whole item also corrects it."""
        found = (item or {}).get(self.name, MISSING)
        return found == self.spoilt or (self.spoilt is MISSING and self.key[0] != "budgets")


def edit(store: Store, number: int, project: str, day: datetime, since: float) -> Edited | None:
    """Make one of `EDITS`; return None if there is nothing to edit yet."""
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
    """Correct an edit: add a removed counter's old value to what it has counted since."""
    item = store.tables["ledger"][edited.key]
    right = edited.was
    if isinstance(right, Decimal) and edited.spoilt is MISSING:
        right += item.get(edited.name, Decimal(0))
    store.by_hand("ledger", edited.key, _with(item, edited.name, right))


def _with(item: Item, name: str, value: object) -> Item:
    rest = {other: it for other, it in item.items() if other != name}
    return rest if value is MISSING else rest | {name: value}
