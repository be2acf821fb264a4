"""What a request was billed, as far as anybody knows.

=================  ===============================================  ==========================
state              what is known                                    what is charged for it
=================  ===============================================  ==========================
`Unbilled`         nothing was sent, or the provider bills nothing  nothing
`Measured`         the provider said what it billed                 that, even above the bound
`Unmeasured`       it may have been billed; the amount is unknown   the whole bound
=================  ===============================================  ==========================
"""

from __future__ import annotations

from dataclasses import dataclass

from titlecard.domain.money.amount import Amount


@dataclass(frozen=True, slots=True)
class Unbilled:
    """Nothing was billed: the reservation is given back."""

    def charged(self, bound: Amount) -> Amount:  # noqa: ARG002 -- one signature for the three states
        """What the request is charged, given the bound that was reserved for it."""
        return Amount()

    def exceeds(self, bound: Amount) -> bool:  # noqa: ARG002 -- one signature for the three states
        """Whether more was billed than the bound."""
        return False


@dataclass(frozen=True, slots=True)
class Measured:
    """The provider said what it billed."""

    amount: Amount

    def charged(self, bound: Amount) -> Amount:  # noqa: ARG002 -- one signature for the three states
        """What the request is charged, given the bound that was reserved for it."""
        return self.amount

    def exceeds(self, bound: Amount) -> bool:
        """Whether more was billed than the bound."""
        return self.amount.exceeds(bound)


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """It may have been billed, and the amount is unknown: the bound stays charged."""

    def charged(self, bound: Amount) -> Amount:
        """What the request is charged, given the bound that was reserved for it."""
        return bound

    def exceeds(self, bound: Amount) -> bool:  # noqa: ARG002 -- one signature for the three states
        """Whether more was billed than the bound."""
        return False


Billing = Unbilled | Measured | Unmeasured
