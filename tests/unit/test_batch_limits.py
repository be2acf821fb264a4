"""An upload's own limits, in its metadata."""

from __future__ import annotations

import pytest

from titlecard.domain.money import Total
from titlecard.pipeline.batch_limits import own_limits
from titlecard.pipeline.errors import InvalidLimit

STACK = Total(requests=100, tokens=10_000, micro_usd=1_000)


def test_an_upload_without_its_own_limits_gets_the_stacks() -> None:
    assert own_limits(STACK, {"other": "x"}) == STACK


def test_an_upload_lowers_each_limit_by_itself() -> None:
    own = {"limit-requests": "7", "limit-tokens": "99999"}
    assert own_limits(STACK, own) == Total(requests=7, tokens=10_000, micro_usd=1_000)


@pytest.mark.parametrize(
    "name", ["limit-usds", "limit_usd", "limit_requests", "limit-micro_usd", "limit-microusd", "limits", "Limit-Token"]
)
def test_a_limit_with_a_misspelt_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidLimit, match=rf"{name.lower()}.* is not a known limit: use .*limit-usd"):
        own_limits(STACK, {name: "5"})


@pytest.mark.parametrize(("value", "micro_usd"), [("0.0005", 500), ("0", 0), ("0.0000019", 1), ("7", 1_000)])
def test_a_limit_may_be_in_dollars(value: str, micro_usd: int) -> None:
    assert own_limits(STACK, {"limit-usd": value}).micro_usd == micro_usd


def test_a_micro_dollar_is_a_millionth_of_a_dollar() -> None:
    assert own_limits(Total(micro_usd=10**9), {"limit-usd": "123.456789"}).micro_usd == 123_456_789


def test_the_lower_of_two_money_limits_applies() -> None:
    assert own_limits(STACK, {"limit-usd": "0.0005", "limit-micro-usd": "700"}).micro_usd == 500
    assert own_limits(STACK, {"limit-usd": "0.0005", "limit-micro-usd": "300"}).micro_usd == 300


@pytest.mark.parametrize("value", ["", "-1", "$1", "1e3", "1,5", "nan", "0.5 "])
def test_dollars_that_cannot_be_read_are_refused(value: str) -> None:
    with pytest.raises(InvalidLimit, match=r"limit-usd is .* dollars, as in 0\.50"):
        own_limits(STACK, {"limit-usd": value})


@pytest.mark.parametrize("value", ["", "-1", "1.5", "ten", "1_000", "١٢", " 5", "9" * 19])
def test_a_limit_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(InvalidLimit, match=r"limit-tokens is .* whole number"):
        own_limits(STACK, {"limit-tokens": value})
