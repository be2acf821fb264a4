"""Bytes to tokens to micro-dollars."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.money import (
    Amount,
    Billing,
    Measured,
    Rates,
    Unbilled,
    Unmeasured,
    Usage,
    measured,
    worst_case,
)

LUNA = Rates(input=100_000, cached_input=10_000, cache_write=125_000, output=500_000)

prices = st.one_of(st.just(0), st.integers(1_000, 100_000_000))
rates = st.builds(Rates, input=prices, cached_input=prices, cache_write=prices, output=prices)
counts = st.integers(0, 100_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    cached, written, fresh = draw(counts), draw(counts), draw(counts)
    return Usage(
        cached + written + fresh,
        draw(counts),
        draw(st.sampled_from([cached, None])),
        draw(st.sampled_from([written, None])),
    )


def test_the_worst_case_counts_every_byte_as_a_token_at_the_dearest_input_price() -> None:
    assert worst_case(1_436, 400, LUNA) == Amount(1, 1_500, 400, 388)  # 187.5 + 200, rounded up


def test_a_free_model_still_counts_tokens() -> None:
    free = Rates(input=0, cached_input=0, cache_write=0, output=0)
    assert worst_case(36, 10, free) == Amount(1, 100, 10, 0)


def test_cached_and_written_tokens_have_their_own_prices() -> None:
    usage = Usage(3_000_000, 0, cached_tokens=1_000_000, cache_write_tokens=1_000_000)
    assert measured(usage, LUNA).micro_usd == 10_000 + 125_000 + 100_000


def test_tokens_that_a_usage_does_not_specify_are_taken_at_the_dearest_price() -> None:
    assert measured(Usage(1_000_000, 0), LUNA).micro_usd == 125_000


@given(usages(), rates)
def test_a_charge_is_never_below_the_exact_cost(usage: Usage, rates: Rates) -> None:
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    exact = Fraction(
        (usage.input_tokens - cached - written) * rates.input
        + cached * rates.cached_input
        + written * rates.cache_write
        + usage.output_tokens * rates.output,
        1_000_000,
    )
    assert measured(usage, rates).micro_usd >= exact


@given(usages(), rates, st.integers(0, 1_000), st.integers(0, 1_000))
def test_a_usage_within_its_tokens_is_within_its_money(
    usage: Usage, rates: Rates, spare_input: int, spare_output: int
) -> None:
    bound = worst_case(usage.input_tokens + spare_input, usage.output_tokens + spare_output, rates)
    assert not measured(usage, rates).exceeds(bound)


@pytest.mark.parametrize("above", [Amount(2, 5, 5, 5), Amount(1, 6, 5, 5), Amount(1, 5, 6, 5), Amount(1, 5, 5, 6)])
def test_a_charge_exceeds_its_bound_if_any_of_its_numbers_does(above: Amount) -> None:
    assert above.exceeds(Amount(1, 5, 5, 5))


def test_a_charge_does_not_exceed_itself() -> None:
    assert not Amount(1, 5, 5, 5).exceeds(Amount(1, 5, 5, 5))


def test_charges_add_up() -> None:
    assert (Amount(1, 2, 3, 4) + Amount(1, 1, 1, 1)).as_map() == {
        "requests": 2,
        "input_tokens": 3,
        "output_tokens": 4,
        "micro_usd": 5,
    }


def test_an_amount_is_read_as_it_was_stored_and_what_is_missing_is_nothing() -> None:
    amount = Amount(1, 2, 3, 4)
    assert Amount.from_item(amount.as_map()) == amount
    assert Amount.from_item({}) == Amount(0, 0, 0, 0) == Amount()


def test_many_requests_cost_as_many_times_the_amount_of_one() -> None:
    assert Amount(1, 20, 3, 4) * 3 == Amount(3, 60, 9, 12)


BOUND = Amount(1, 9, 9, 9)


@pytest.mark.parametrize(
    ("billing", "charged", "exceeds"),
    [
        (Unbilled(), Amount(), False),
        (Unmeasured(), BOUND, False),
        (Measured(Amount(1, 2, 3, 4)), Amount(1, 2, 3, 4), False),
        (Measured(BOUND), BOUND, False),
        (Measured(Amount(1, 2, 3, 10)), Amount(1, 2, 3, 10), True),
    ],
)
def test_the_charge_is_nothing_the_measured_amount_or_the_bound(
    billing: Billing, charged: Amount, *, exceeds: bool
) -> None:
    assert billing.charged(BOUND) == charged
    assert billing.charged(BOUND).exceeds(BOUND) is exceeds


@pytest.mark.parametrize(
    ("cached", "written", "micro_usd"), [(0, 0, 1_000), (0, None, 2_000), (None, 0, 9_000), (None, None, 9_000)]
)
def test_input_is_taken_at_the_dearest_price_that_the_usage_leaves_open(
    cached: int | None, written: int | None, micro_usd: int
) -> None:
    rates = Rates(input=1_000, cached_input=9_000, cache_write=2_000, output=0)
    assert measured(Usage(1_000_000, 0, cached, written), rates).micro_usd == micro_usd


def test_tokens_are_those_of_the_input_and_of_the_output() -> None:
    assert Amount(1, 200, 30, 4).tokens == 230


def test_a_request_costs_its_exact_price_rounded_up() -> None:
    usage = Usage(2_000_001, 1_000_000, cached_tokens=0, cache_write_tokens=0)
    assert measured(usage, LUNA) == Amount(1, 2_000_001, 1_000_000, 200_001 + 500_000)
