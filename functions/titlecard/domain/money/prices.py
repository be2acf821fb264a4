"""The models that may be asked, and what they cost.

`prices.toml` is the one place where a price stands. A model that is not in it is refused before anything is sent, since
what has no price has no bound. Owners add models of their own endpoint in JSON of the same shape.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from importlib import resources
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

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


class PricedModel(BaseModel):
    """One model: its prices, by service tier, when and from where they were taken.

    `reasoning_effort` is the least that the model accepts; None for models that take no such setting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: dt.date
    source: Annotated[str, Field(min_length=1)]
    reasoning_effort: str | None = None
    tiers: Annotated[dict[str, Rates], Field(min_length=1)]


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
        text = resources.files("titlecard.domain.money").joinpath("prices.toml").read_text("utf-8")
        try:
            return cls.model_validate(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise NotAPriceList(f"prices.toml is not a list of prices: {error}") from error

    def including(self, models: str) -> Self:
        """This list with an owner's models added; a model that is in both has the owner's price.

        Args:
            models: a JSON object, model names to rows, as in
                `{"my-model": {"checked": "2026-11-20", "source": "our own machine", "tiers":
                {"default": {"input": 0, "cached_input": 0, "cache_write": 0, "output": 0}}}}`; or an empty string.

        Raises:
            NotAPriceList: the message says where it is wrong.
        """
        if not models.strip():
            return self
        try:
            added = TypeAdapter(dict[str, PricedModel]).validate_json(models)
        except ValidationError as error:
            raise NotAPriceList(f"The added models are not a list of prices: {error}") from error
        return self.model_copy(update={"models": self.models | added})

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
