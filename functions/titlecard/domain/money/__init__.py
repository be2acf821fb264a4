"""Money arithmetic: the most that a request can cost, and its actual cost. Pure; integer micro-dollars throughout."""

from __future__ import annotations

from titlecard.domain.money.amount import Amount, Total, Usage, measured, worst_case
from titlecard.domain.money.billing import Billing, Measured, Unbilled, Unmeasured
from titlecard.domain.money.budget import Budget, Cap, Window, cap
from titlecard.domain.money.prices import PriceList, Rates

__all__ = [
    "Amount",
    "Billing",
    "Budget",
    "Cap",
    "Measured",
    "PriceList",
    "Rates",
    "Total",
    "Unbilled",
    "Unmeasured",
    "Usage",
    "Window",
    "cap",
    "measured",
    "worst_case",
]
