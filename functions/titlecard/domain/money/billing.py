"""What is known of the bill for a request, and what is charged for it.

=================  ===============================================  =====================================
state              what is known                                    what is charged
=================  ===============================================  =====================================
`Unbilled`         nothing was sent, or the provider bills nothing  nothing
`Measured`         the provider reported the billed amount          that amount, even if above the bound
`Unmeasured`       it may have been billed; the amount is unknown   the whole bound
=================  ===============================================  =====================================
"""

from __future__ import annotations

from dataclasses import dataclass

from titlecard.domain.money.amount import Amount


@dataclass(frozen=True, slots=True)
class Unbilled:
    """Nothing was billed: the reservation is released."""

    def charged(self, bound: Amount) -> Amount:  # noqa: ARG002 -- one signature for the three states
        """Return the charge for the request, given its reserved bound."""
        return Amount()


@dataclass(frozen=True, slots=True)
class Measured:
    """The provider reported the billed amount."""

    amount: Amount

    def charged(self, bound: Amount) -> Amount:  # noqa: ARG002 -- one signature for the three states
        """Return the charge for the request, given its reserved bound."""
        return self.amount


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """The request may have been billed, and the amount is unknown: the bound stays charged."""

    def charged(self, bound: Amount) -> Amount:
        """Return the charge for the request, given its reserved bound."""
        return bound


Billing = Unbilled | Measured | Unmeasured
