"""The list of prices, by itself and against genai-prices."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from genai_prices.data import providers
from genai_prices.types import TieredPrices

from titlecard.domain.money import NotAPriceList, PriceList, Unpriced
from titlecard.llm import ModelTier

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ModelPrice

PRICES = PriceList.packaged()
EVERY_ROW = [(model, tier) for model, row in PRICES.models.items() for tier in row.tiers]


def one_row(**price: object) -> str:
    rates = {"input": 0, "cached_input": 0, "cache_write": 0, "output": 0} | price
    tier = ", ".join(f"{name} = {json.dumps(value)}" for name, value in rates.items())
    return f'models.mine = {{checked = 2026-11-20, source = "our machine", tiers.default = {{{tier}}}}}'


def theirs(model: str, tier: str) -> ModelPrice:
    """What genai-prices says, on the day on which our row was checked."""
    openai = next(provider for provider in providers if provider.id == "openai")
    info = next(info for info in openai.models if info.id == model)
    checked = PRICES.model(model).checked
    return info.get_prices(datetime(checked.year, checked.month, checked.day, tzinfo=UTC), {"service_tier": tier})


def micro_usd(price: Decimal | TieredPrices | None) -> int:
    """Micro-dollars per million tokens, from dollars per million tokens."""
    assert price is not None
    micro = (price.base if isinstance(price, TieredPrices) else price) * 1_000_000
    assert micro == int(micro)
    return int(micro)


@pytest.mark.parametrize(("model", "tier"), EVERY_ROW)
def test_a_row_is_what_genai_prices_says(model: str, tier: str) -> None:
    ours, price = PRICES.rates(model, tier), theirs(model, tier)
    assert (ours.input, ours.cached_input, ours.cache_write, ours.output) == (
        micro_usd(price.input_mtok),
        micro_usd(price.cache_read_mtok),
        micro_usd(price.cache_write_mtok or price.input_mtok),
        micro_usd(price.output_mtok),
    )


@pytest.mark.parametrize(("model", "tier"), EVERY_ROW)
def test_no_request_of_ours_is_long_enough_for_another_price(model: str, tier: str) -> None:
    worst = ModelTier(model, max_output_tokens=400, prices=PRICES, service_tier=tier).worst_case
    for price in vars(theirs(model, tier)).values():
        if isinstance(price, TieredPrices):
            assert all(worst.input_tokens < step.start for step in price.tiers)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Unpriced, match=r"'gpt-99' has no price, so it is not asked\. Priced are: .*gpt-6-luna"):
        PRICES.rates("gpt-99", "default")


def test_an_unpriced_service_tier_is_refused_with_the_priced_ones() -> None:
    with pytest.raises(Unpriced, match=r"'gpt-5-nano' has no price in the service tier 'priority', only in: default"):
        PRICES.rates("gpt-5-nano", "priority")


def test_an_owners_model_may_be_free() -> None:
    assert PriceList.from_toml(one_row()).rates("mine", "default").input == 0


@pytest.mark.parametrize("price", [-1, 0.1, "100", 5, True, 1e6])
def test_a_price_that_is_no_whole_number_of_micro_dollars_a_million_is_refused(price: object) -> None:
    with pytest.raises(NotAPriceList, match="input"):
        PriceList.from_toml(one_row(input=price))


@pytest.mark.parametrize("text", ["models = []", "[", "models.mine = {}", "models.mine = {tiers = {}}"])
def test_a_text_that_is_no_list_of_prices_is_refused(text: str) -> None:
    with pytest.raises(NotAPriceList):
        PriceList.from_toml(text)
