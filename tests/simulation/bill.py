"""The provider's own accounts: prices, bounds and bills, computed without production's arithmetic.

Production rounds up to whole micro-dollars, charges unknown parts at the highest price, and reads usage from a
response. Accounts that shared this code would share its mistakes, so they have their own prices and exact fractions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

FRAMING = 64
"""The most tokens that the provider may add to a request."""


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, which is micro-dollars per token."""

    fresh: Fraction
    cached: Fraction
    written: Fraction
    output: Fraction

    @property
    def dearest_input(self) -> Fraction:
        """The most that one input token can cost."""
        return max(self.fresh, self.cached, self.written)


PRICES = {
    "default": Price(Fraction("0.10"), Fraction("0.01"), Fraction("0.125"), Fraction("0.50")),
    "flex": Price(Fraction("0.05"), Fraction("0.005"), Fraction("0.0625"), Fraction("0.25")),
    "priority": Price(Fraction("0.20"), Fraction("0.02"), Fraction("0.25"), Fraction("1.00")),
}
"""The prices of `gpt-6-luna` by service tier, from OpenAI's price page of 2026-10-12."""

GRATIS = Price(Fraction(0), Fraction(0), Fraction(0), Fraction(0))


@dataclass(frozen=True)
class Bill:
    """The bill for one or more requests. `micro_usd` is exact."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    micro_usd: Fraction = Fraction(0)

    def __add__(self, other: Bill) -> Bill:
        """Return the sum of two bills."""
        return Bill(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.micro_usd + other.micro_usd,
        )

    def part(self, counter: str) -> Fraction:
        """Return the part of this bill that a counter of the ledger counts, by the end of the counter's name."""
        for name in ("requests", "input_tokens", "output_tokens", "micro_usd"):
            if counter.endswith(name):
                return Fraction(getattr(self, name))
        if counter.endswith("tokens"):
            return Fraction(self.input_tokens + self.output_tokens)
        raise KeyError(counter)

    def exceeds(self, bound: Bill) -> bool:
        """Return whether a part of this bill exceeds the bound's."""
        return any(self.part(name) > bound.part(name) for name in ("input_tokens", "output_tokens", "micro_usd"))


@dataclass(frozen=True)
class Tokens:
    """The tokens that the provider counted for one request; `cached` and `written` are parts of `input`."""

    input: int
    output: int
    cached: int = 0
    written: int = 0

    def bill(self, price: Price) -> Bill:
        """Return the bill for these tokens."""
        fresh = self.input - self.cached - self.written
        dollars = (
            fresh * price.fresh + self.cached * price.cached + self.written * price.written + self.output * price.output
        )
        return Bill(1, self.input, self.output, dollars)


def bound(body_bytes: int, output_tokens: int, price: Price) -> Bill:
    """Return the most that one request can be billed, in whole micro-dollars."""
    tokens = body_bytes + FRAMING
    return Bill(
        1, tokens, output_tokens, Fraction(math.ceil(tokens * price.dearest_input + output_tokens * price.output))
    )
