"""The cost of a request: from bytes to tokens to micro-dollars.

The bound of a request, its highest cost, is known before it is sent, without a tokenizer: the models' byte-level
byte-pair encoding never makes more tokens than there are bytes, and the request itself caps the output. The actual cost
is computed from the usage that the provider reports. Both are rounded up, once per request, so that a sum of charges is
never below the bill. Tokens whose kind the usage does not say are charged at the highest price that applies.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard.domain.money.prices import Rates

FRAMING_TOKENS = 64
"""The allowance for tokens that the provider adds to a request, such as role markers: a few for each of 2 messages."""

_MILLION = 1_000_000
"""The number of tokens that a price is for: prices are micro-dollars per million tokens."""


@dataclass(frozen=True, slots=True)
class Total:
    """An amount whose input and output tokens are counted together: a batch's limit, or a part of the charges.

    Raises:
        ValueError: one of the numbers is negative.
    """

    requests: int = 0
    tokens: int = 0
    micro_usd: int = 0

    def __post_init__(self) -> None:
        """Validate the numbers."""
        if min(self.requests, self.tokens, self.micro_usd) < 0:
            raise ValueError(f"{self} has a negative number")

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        """Return the total in a DynamoDB item that `as_map` made; its numbers are decimal.

        Raises:
            KeyError: a number is missing.
            ValueError: a number is not whole, or is negative.
        """
        found = cls(**{field.name: int(item[field.name]) for field in fields(cls)})
        if found.as_map() != {name: item[name] for name in found.as_map()}:
            raise ValueError(f"{dict(item)} has a number that is not whole")
        return found

    def __add__(self, other: Total) -> Total:
        """Return the sum of two totals."""
        return Total(self.requests + other.requests, self.tokens + other.tokens, self.micro_usd + other.micro_usd)

    def as_map(self) -> dict[str, int]:
        """Return the three numbers by name, as they are stored."""
        return asdict(self)

    def exceeds(self, bound: Total) -> bool:
        """Return whether any of the three numbers is above the bound's."""
        return any(number > getattr(bound, name) for name, number in self.as_map().items())

    def lowered_by(self, **others: int | None) -> Total:
        """Return the total with each number lowered to the limit of its name; a missing limit, or None, lowers none."""
        return Total(
            **{
                name: number if (other := others.get(name)) is None else min(number, other)
                for name, number in self.as_map().items()
            }
        )


@dataclass(frozen=True, slots=True)
class Amount:
    """The amount reserved or charged for one or more requests, in requests, tokens and micro-dollars."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    micro_usd: int = 0

    @property
    def tokens(self) -> int:
        """Input and output tokens together, as budgets count them."""
        return self.input_tokens + self.output_tokens

    @property
    def total(self) -> Total:
        """The same amount with input and output tokens counted together."""
        return Total(self.requests, self.tokens, self.micro_usd)

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        """Return the amount in a DynamoDB item that `as_map` made: numbers are decimal, and a missing one is 0."""
        return cls(**{field.name: int(item.get(field.name, 0)) for field in fields(cls)})

    def __add__(self, other: Amount) -> Amount:
        """Return the sum of two amounts."""
        return Amount(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.micro_usd + other.micro_usd,
        )

    def __mul__(self, times: int) -> Amount:
        """Return the amount multiplied by `times`."""
        return Amount(
            self.requests * times, self.input_tokens * times, self.output_tokens * times, self.micro_usd * times
        )

    def as_map(self) -> dict[str, int]:
        """Return the four numbers by name, as they are stored."""
        return asdict(self)

    def exceeds(self, bound: Amount) -> bool:
        """Return whether any of the four numbers is above the bound's."""
        return any(number > getattr(bound, name) for name, number in self.as_map().items())


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that a provider says it billed. It has no price yet: `measured` makes it an `Amount`.

    `cached_tokens` and `cache_write_tokens` are parts of `input_tokens`; None if the provider does not report them.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


def worst_case(body_bytes: int, max_output_tokens: int, rates: Rates) -> Amount:
    """Return the most that one request can cost.

    Args:
        body_bytes: the size of the request's body in bytes of UTF-8, or an upper bound of it.
        max_output_tokens: the request's cap on output tokens, reasoning included.
        rates: the prices of the model in its service tier.
    """
    tokens = body_bytes + FRAMING_TOKENS
    dearest = max(rates.input, rates.cached_input, rates.cache_write)
    return Amount(1, tokens, max_output_tokens, _round_up(tokens * dearest + max_output_tokens * rates.output))


def measured(usage: Usage, rates: Rates) -> Amount:
    """Return the cost of one request, from the usage that the provider reports."""
    cached = usage.cached_tokens or 0
    written = usage.cache_write_tokens or 0
    fresh_rate = rates.input
    if usage.cached_tokens is None:
        fresh_rate = max(fresh_rate, rates.cached_input)
    if usage.cache_write_tokens is None:
        fresh_rate = max(fresh_rate, rates.cache_write)
    cost = (
        (usage.input_tokens - cached - written) * fresh_rate
        + cached * rates.cached_input
        + written * rates.cache_write
        + usage.output_tokens * rates.output
    )
    return Amount(1, usage.input_tokens, usage.output_tokens, _round_up(cost))


def _round_up(cost: int) -> int:
    """Convert millionths of micro-dollars to micro-dollars, rounded up."""
    return -(-cost // _MILLION)
