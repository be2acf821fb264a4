"""The price list, by itself and against genai-prices."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from genai_prices.data import providers
from genai_prices.types import TieredPrices
from pydantic import ValidationError

from titlecard.domain.errors import NotAPriceList, Unpriced
from titlecard.domain.money import PriceList, Rates, Usage, measured
from titlecard.llm import ModelTier

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

PRICES = PriceList.packaged()
EVERY_ROW = [(model, tier) for model, row in PRICES.models.items() for tier in row.tiers]


def one_row(**price: object) -> str:
    rates = {"input": 0, "cached_input": 0, "cache_write": 0, "output": 0} | price
    tier = ", ".join(f"{name} = {json.dumps(value)}" for name, value in rates.items())
    return f'models.mine = {{checked = 2026-11-20, source = "our machine", tiers.default = {{{tier}}}}}'


def theirs(model: str, tier: str) -> ModelPrice:
    """Return the price in genai-prices on the day when our row was checked."""
    openai = next(provider for provider in providers if provider.id == "openai")
    info = next(info for info in openai.models if info.id == model)
    checked = PRICES.model(model).checked
    return info.get_prices(datetime(checked.year, checked.month, checked.day, tzinfo=UTC), {"service_tier": tier})


def micro_usd(price: Decimal | TieredPrices | None) -> int:
    """Convert dollars per million tokens to micro-dollars per million tokens."""
    assert price is not None
    micro = (price.base if isinstance(price, TieredPrices) else price) * 1_000_000
    assert micro == int(micro)
    return int(micro)


@pytest.mark.parametrize(("model", "tier"), EVERY_ROW)
def test_every_row_agrees_with_genai_prices(model: str, tier: str) -> None:
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
    with pytest.raises(
        Unpriced, match=r"'gpt-99' has no price, so Titlecard does not ask it\. Models with a price: .*gpt-6-luna"
    ):
        PRICES.rates("gpt-99", "default")


def test_an_unpriced_service_tier_is_refused_with_the_priced_ones() -> None:
    with pytest.raises(Unpriced, match=r"'gpt-5-nano' has no price in the service tier 'priority', only in: default"):
        PRICES.rates("gpt-5-nano", "priority")


def test_an_owners_model_may_be_free() -> None:
    assert PriceList.from_toml(one_row()).rates("mine", "default").input == 0


def test_a_price_is_nothing_or_at_least_a_thousandth_of_a_dollar_a_million() -> None:
    assert PriceList.from_toml(one_row(input=1_000)).rates("mine", "default").input == 1_000
    with pytest.raises(NotAPriceList, match=r"0 or at least 1,000"):
        PriceList.from_toml(one_row(input=999))


def test_an_owners_model_costs_the_same_everywhere_unless_its_row_says_otherwise() -> None:
    there = PriceList.from_toml(one_row(input=1_000)).at("https://eu.api.openai.com/v1")
    assert there.rates("mine", "default").input == 1_000


def test_the_packaged_list_is_read_from_its_file() -> None:
    assert PriceList.packaged() == PRICES


def test_no_price_changes_once_it_is_read() -> None:
    row = PRICES.model("gpt-6-luna")
    for thing, name in ((PRICES, "models"), (row, "tiers"), (row.tiers["default"], "input")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(thing, name, {})


@pytest.mark.parametrize("price", [-1, 0.1, 1, 999, "100", 5, True, 1e6])
def test_a_price_that_is_no_whole_number_of_micro_dollars_a_million_is_refused(price: object) -> None:
    with pytest.raises(NotAPriceList, match="input"):
        PriceList.from_toml(one_row(input=price))


@pytest.mark.parametrize("text", ["models = []", "[", "models.mine = {}", "models.mine = {tiers = {}}"])
def test_text_that_is_not_a_price_list_is_refused(text: str) -> None:
    with pytest.raises(NotAPriceList):
        PriceList.from_toml(text)


# ---------------------------------------------------------------------------------------------------------- by endpoint

NEWER = ("gpt-6-luna", "gpt-6.1-terra", "gpt-5.6-luna", "gpt-5.4-mini", "gpt-5.4-nano")
"""Models released on or after 5 March 2026."""


@pytest.mark.parametrize("region", ["eu", "us", "au", "in", "jp", "EU"])
@pytest.mark.parametrize(("model", "tier"), EVERY_ROW)
def test_a_data_residency_host_costs_a_tenth_more_for_newer_models(model: str, tier: str, region: str) -> None:
    there = PRICES.at(f"https://{region}.api.openai.com/v1").rates(model, tier)
    factor = Fraction(11, 10) if model in NEWER else 1
    for name, price in PRICES.rates(model, tier):
        assert price * factor <= getattr(there, name) < price * factor + 1


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://127.0.0.1:80/v1",
        "http://localhost:1/v1",
        "http://[::1]/v1",
        "http://127.9.9.9",
    ],
)
def test_openais_own_host_and_this_machine_have_the_list_prices(url: str) -> None:
    assert PRICES.at(url) == PRICES


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example/v1",
        "https://api.openai.com.evil.example/v1",
        "https://xx.api.openai.com/v1",
        "https://api.openai.com@gateway.example/v1",
        "http://10.0.0.1/v1",
        "http://localhost.example",
        "https://[::1/v1",
        "",
    ],
)
def test_a_host_with_unknown_prices_is_refused_until_its_factor_is_set(url: str) -> None:
    with pytest.raises(Unpriced, match="set PriceFactor"):
        PRICES.at(url)
    assert PRICES.at(url, Decimal("2.5")).rates("gpt-6-luna", "default").output == 1_250_000
    assert PRICES.at(url, Decimal(0)).rates("gpt-6-luna", "default").output == 0


@pytest.mark.parametrize(
    ("url", "factor"), [("https://api.openai.com/v1", 1), ("https://eu.api.openai.com/v1", Fraction(11, 10))]
)
def test_a_stated_factor_raises_openais_own_prices_and_never_lowers_them(url: str, factor: Fraction) -> None:
    assert PRICES.at(url, Decimal("0.5")).rates("gpt-6-luna", "default").output == 500_000 * factor
    assert PRICES.at(url, Decimal(3)).rates("gpt-6-luna", "default").output == 1_500_000


def test_a_scaled_price_is_rounded_up() -> None:
    assert Rates(input=1_001, cached_input=0, cache_write=1_000, output=1_005).times(Decimal("1.1")) == Rates(
        input=1_102, cached_input=0, cache_write=1_100, output=1_106
    )


@pytest.mark.parametrize("model", NEWER)
def test_a_bill_at_a_data_residency_host_is_within_what_is_charged(model: str) -> None:
    usage, listed = Usage(1_001, 121, 0, 1_001), PRICES.rates(model, "default")
    bill = Fraction(1_001 * listed.cache_write + 121 * listed.output, 1_000_000) * Fraction(11, 10)
    assert measured(usage, PRICES.at("https://eu.api.openai.com/v1").rates(model, "default")).micro_usd >= bill
