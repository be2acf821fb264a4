"""The provider's own book: prices, bounds and bills, computed without any arithmetic of production's.

Production rounds up to whole micro-dollars, takes unknown parts at the dearest price, and reads usage from a response.
A mistake in one of these must not hide in the measure, so that the book has prices of its own, and exact fractions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

FRAMING = 64
"""Tokens that the provider may add around a request (DESIGN: worst case of one request)."""


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
"""Of `gpt-6-luna`, by service tier, as OpenAI's price page stood on 2026-10-12."""

GRATIS = Price(Fraction(0), Fraction(0), Fraction(0), Fraction(0))


@dataclass(frozen=True)
class Bill:
    """What one request, or many, were billed. `micro_usd` is exact."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    micro_usd: Fraction = Fraction(0)

    def __add__(self, other: Bill) -> Bill:
        """The sum of two bills."""
        return Bill(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.micro_usd + other.micro_usd,
        )

    def part(self, counter: str) -> Fraction:
        """What of this a counter of the ledger counts, by the end of the counter's name."""
        for name in ("requests", "input_tokens", "output_tokens", "micro_usd"):
            if counter.endswith(name):
                return Fraction(getattr(self, name))
        if counter.endswith("tokens"):
            return Fraction(self.input_tokens + self.output_tokens)
        raise KeyError(counter)

    def exceeds(self, bound: Bill) -> bool:
        """Whether a part of this is above a bound's."""
        return any(self.part(name) > bound.part(name) for name in ("input_tokens", "output_tokens", "micro_usd"))


@dataclass(frozen=True)
class Tokens:
    """What the provider counted for one request; `cached` and `written` are parts of `input`."""

    input: int
    output: int
    cached: int = 0
    written: int = 0

    def bill(self, price: Price) -> Bill:
        """What these cost."""
        fresh = self.input - self.cached - self.written
        dollars = (
            fresh * price.fresh + self.cached * price.cached + self.written * price.written + self.output * price.output
        )
        return Bill(1, self.input, self.output, dollars)


def bound(body_bytes: int, output_tokens: int, price: Price) -> Bill:
    """The most that one request can be billed, in whole micro-dollars."""
    tokens = body_bytes + FRAMING
    return Bill(
        1, tokens, output_tokens, Fraction(math.ceil(tokens * price.dearest_input + output_tokens * price.output))
    )
