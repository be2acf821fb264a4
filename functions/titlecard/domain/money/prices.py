"""The models that may be asked, and their prices.

`prices.toml` is the only place that holds prices. A model that is not in it is refused before anything is sent, since a
request without a price has no bound. Owners add a row for a model of their own endpoint; its price may be 0.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from decimal import ROUND_CEILING, Decimal
from importlib import resources
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from titlecard.domain.endpoints import Prices, prices_at, unknown_prices
from titlecard.domain.errors import NotAPriceList, Unpriced

PRICE_MIN = 1_000
"""The lowest price above 0, in micro-dollars per million tokens. No paid model is cheaper; a number below it is a
mistake of units: dollars instead of micro-dollars, or the price of one token instead of a million."""


def _in_micro_usd(price: int) -> int:
    if 0 < price < PRICE_MIN:
        raise ValueError(f"a price must be 0 or at least {PRICE_MIN:,}: write micro-dollars per million tokens")
    return price


Price = Annotated[int, Field(ge=0, strict=True), AfterValidator(_in_micro_usd)]
"""A price in micro-dollars per million tokens."""


class Rates(BaseModel):
    """The prices of a model in one service tier. Cache writes that are not billed separately cost as much as input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Price
    cached_input: Price
    cache_write: Price
    output: Price

    def times(self, factor: Decimal) -> Rates:
        """Return these prices, multiplied by a factor and rounded up."""
        prices = {name: int((price * factor).to_integral_value(ROUND_CEILING)) for name, price in self}
        return self.model_copy(update=prices)  # skips the check of units: the factor may be small


class PricedModel(BaseModel):
    """One model: its prices by service tier, the date they were checked and their source.

    `reasoning_effort` is the lowest that the model accepts; None for models without this setting.
    `data_residency` is the factor of its prices at OpenAI's data-residency hosts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: dt.date
    source: Annotated[str, Field(min_length=1)]
    reasoning_effort: str | None = None
    data_residency: Annotated[Decimal, Field(ge=1, le=10)] = Decimal(1)
    tiers: Annotated[dict[str, Rates], Field(min_length=1)]

    def times(self, factor: Decimal) -> Self:
        """Return this row with every price times a factor."""
        return self.model_copy(update={"tiers": {tier: rates.times(factor) for tier, rates in self.tiers.items()}})


def _factor(base_url: str, row: PricedModel, stated: Decimal | None) -> Decimal:
    """Return the factor from the list prices to an endpoint's; the owner's factor cannot lower OpenAI's own prices."""
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
    """The prices of all models that may be asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, PricedModel]

    @classmethod
    def packaged(cls) -> Self:
        """Return the price list that ships with Titlecard.

        Raises:
            NotAPriceList: the file was edited and is invalid; the message says where.
        """
        return cls.from_toml(resources.files("titlecard.domain.money").joinpath("prices.toml").read_text("utf-8"))

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Parse a price list in the format of `prices.toml`.

        Raises:
            NotAPriceList: the text is invalid; the message says where.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise NotAPriceList(f"prices.toml is not a list of prices: {error}") from error

    def model(self, name: str) -> PricedModel:
        """Return the row of a model.

        Raises:
            Unpriced: the model is not in the list.
        """
        if name not in self.models:
            raise Unpriced(
                f"The model {name!r} has no price, so Titlecard does not ask it. "
                f"Models with a price: {', '.join(self.models)}."
            )
        return self.models[name]

    def at(self, base_url: str, factor: Decimal | None = None) -> Self:
        """Return the prices that apply at an endpoint.

        Args:
            factor: the endpoint's prices as a multiple of the list prices, as its owner states it. It cannot lower
                OpenAI's own prices.

        Raises:
            Unpriced: the endpoint's prices are unknown.
        """
        models = {name: row.times(_factor(base_url, row, factor)) for name, row in self.models.items()}
        return self.model_copy(update={"models": models})

    def rates(self, name: str, tier: str) -> Rates:
        """Return the prices of a model in a service tier.

        Raises:
            Unpriced: the model is not in the list, or not in this tier.
        """
        tiers = self.model(name).tiers
        if tier not in tiers:
            raise Unpriced(
                f"The model {name!r} has no price in the service tier {tier!r}, only in: {', '.join(tiers)}."
            )
        return tiers[tier]
