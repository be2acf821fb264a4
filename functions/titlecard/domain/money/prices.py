"""The models that may be asked, and what they cost.

`prices.toml` is the one place where a price stands. A model that is not in it is refused before anything is sent, since
what has no price has no bound. Owners add a row for a model of their own endpoint; its price may be 0.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from decimal import ROUND_CEILING, Decimal
from importlib import resources
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from titlecard.domain.endpoints import Prices, prices_at, unknown_prices

SMALLEST = 1_000
"""Micro-dollars per million tokens. Nothing on the market is cheaper but what is free; a number between is a slip of
units: dollars instead of micro-dollars, or the price of one token instead of a million."""


class Unpriced(ValueError):
    """The model has no price in this service tier, so no request to it has a bound."""


class NotAPriceList(ValueError):
    """The text is not a list of prices."""


def _not_a_slip_of_units(price: int) -> int:
    if 0 < price < SMALLEST:
        raise ValueError(f"a price is 0 or at least {SMALLEST:,}: write micro-dollars per million tokens")
    return price


Price = Annotated[int, Field(ge=0, strict=True), AfterValidator(_not_a_slip_of_units)]
"""Micro-dollars per million tokens."""


class Rates(BaseModel):
    """The prices of a model in one service tier. Where cache writes are not billed, they cost what input costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Price
    cached_input: Price
    cache_write: Price
    output: Price

    def times(self, factor: Decimal) -> Rates:
        """These prices times a factor, rounded up."""
        prices = {name: int((price * factor).to_integral_value(ROUND_CEILING)) for name, price in self}
        return self.model_copy(update=prices)  # not checked for a slip of units: the factor may be small


class PricedModel(BaseModel):
    """One model: its prices, by service tier, when and from where they were taken.

    `reasoning_effort` is the least that the model accepts; None for models that take no such setting.
    `data_residency` is the factor of its prices at OpenAI's data-residency hosts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: dt.date
    source: Annotated[str, Field(min_length=1)]
    reasoning_effort: str | None = None
    data_residency: Annotated[Decimal, Field(ge=1, le=10)] = Decimal(1)
    tiers: Annotated[dict[str, Rates], Field(min_length=1)]

    def times(self, factor: Decimal) -> Self:
        """This row with every price times a factor."""
        return self.model_copy(update={"tiers": {tier: rates.times(factor) for tier, rates in self.tiers.items()}})


def _factor(base_url: str, row: PricedModel, stated: Decimal | None) -> Decimal:
    """What an endpoint's prices are, times the list's; what its owner states cannot lower OpenAI's own."""
    prices = prices_at(base_url)
    if prices is Prices.OPENAI:
        return max(Decimal(1), stated or Decimal(0))
    if prices is Prices.DATA_RESIDENCY:
        return max(row.data_residency, stated or Decimal(0))
    if stated is not None:
        return stated
    if prices is Prices.LOOPBACK:
        return Decimal(1)
    raise Unpriced(unknown_prices(base_url))


class PriceList(BaseModel):
    """All models that may be asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, PricedModel]

    @classmethod
    def packaged(cls) -> Self:
        """The list that comes with Titlecard.

        Raises:
            NotAPriceList: the file was edited and is wrong; the message says where.
        """
        return cls.from_toml(resources.files("titlecard.domain.money").joinpath("prices.toml").read_text("utf-8"))

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """A list from its text, in the shape of `prices.toml`.

        Raises:
            NotAPriceList: the text is wrong; the message says where.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise NotAPriceList(f"prices.toml is not a list of prices: {error}") from error

    def model(self, name: str) -> PricedModel:
        """The row of a model.

        Raises:
            Unpriced: it is not in the list.
        """
        if name not in self.models:
            raise Unpriced(
                f"The model {name!r} has no price, so it is not asked. Priced are: {', '.join(self.models)}."
            )
        return self.models[name]

    def at(self, base_url: str, factor: Decimal | None = None) -> Self:
        """These prices as they hold at an endpoint.

        Args:
            base_url: the endpoint's address.
            factor: what its owner states: its prices are so many times the list's. It cannot lower OpenAI's own.

        Raises:
            Unpriced: nobody knows what the endpoint charges.
        """
        models = {name: row.times(_factor(base_url, row, factor)) for name, row in self.models.items()}
        return self.model_copy(update={"models": models})

    def rates(self, name: str, tier: str) -> Rates:
        """The prices of a model in a service tier.

        Raises:
            Unpriced: the model is not in the list, or not in this tier.
        """
        tiers = self.model(name).tiers
        if tier not in tiers:
            raise Unpriced(
                f"The model {name!r} has no price in the service tier {tier!r}, only in: {', '.join(tiers)}."
            )
        return tiers[tier]
