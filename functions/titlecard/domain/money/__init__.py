"""Money arithmetic: what a request can cost at most, and what it did cost. Pure; integer micro-dollars throughout."""

from __future__ import annotations

from titlecard.domain.money.bound import Charge, Usage, cut, measured, worst_case
from titlecard.domain.money.budget import Budget, Cap, NotABudget, Window, cap
from titlecard.domain.money.prices import NotAPriceList, PriceList, Rates, Unpriced

__all__ = [
    "Budget",
    "Cap",
    "Charge",
    "NotABudget",
    "NotAPriceList",
    "PriceList",
    "Rates",
    "Unpriced",
    "Usage",
    "Window",
    "cap",
    "cut",
    "measured",
    "worst_case",
]
