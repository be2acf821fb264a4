"""Budgets: how they are written, which windows they have, and what they leave."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.money import Amount, Budget, Cap, NotABudget, Window, cap
from titlecard.domain.money.budget import MOST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5usd", Cap(None, 5_000_000)),
        ("$5", Cap(None, 5_000_000)),
        ("0.50USD", Cap(None, 500_000)),
        ("$0.000001", Cap(None, 1)),
        ("2000000tokens", Cap(2_000_000, None)),
        ("2,000,000 tokens", Cap(2_000_000, None)),
        ("1 token", Cap(1, None)),
        ("0usd", Cap(None, 0)),
    ],
)
def test_an_amount_is_written_as_it_is_said(text: str, expected: Cap) -> None:
    assert cap([text]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "-5usd",
        "+5usd",
        "five",
        "nanusd",
        "infusd",
        "1e3usd",
        "$5usd",
        "5 euro",
        "5.5tokens",
        "\N{ARABIC-INDIC DIGIT FIVE}usd",
        "usd5",
    ],
)
def test_a_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(NotABudget):
        cap([text])


def test_dollars_that_would_have_to_be_rounded_are_refused() -> None:
    with pytest.raises(NotABudget):
        cap(["0.0000015usd"])


def test_two_amounts_of_one_unit_are_refused() -> None:
    with pytest.raises(NotABudget, match="second amount"):
        cap(["5usd", "$6"])


def test_a_budget_without_a_number_is_none() -> None:
    with pytest.raises(NotABudget):
        Budget(Cap(), Cap())


@pytest.mark.parametrize("number", [-1, MOST + 1, True, 1.5])
def test_a_budget_of_an_odd_number_is_none(number: int) -> None:
    with pytest.raises(NotABudget):
        Budget(Cap(number, None), Cap())


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-14, 14))
def test_a_window_is_the_same_in_every_time_zone(moment: datetime, hours: int) -> None:
    if date(2, 1, 1) < moment.date() < date(9998, 1, 1):
        assert Window.at(moment.astimezone(timezone(timedelta(hours=hours)))) == Window.at(moment)


@given(st.dates(date(1970, 1, 1), date(9000, 1, 1)))
def test_the_next_day_and_month_begin_at_midnight_and_are_the_next(day: date) -> None:
    window = Window(day)
    assert Window.at(window.next_day).day == day + timedelta(days=1)
    assert Window.at(window.next_day - timedelta(microseconds=1)) == window
    assert window.next_month.day == 1
    assert Window.at(window.next_month - timedelta(microseconds=1)).month == window.month


counts = st.integers(0, 1_000)
caps = st.builds(Cap, st.none() | counts, st.none() | counts)
charges = st.builds(Amount, counts, counts, counts, counts)


@given(caps, charges, charges)
def test_a_charge_that_fits_the_remaining_room_never_passes_the_cap(most: Cap, spent: Amount, need: Amount) -> None:
    if most.holds(spent) and most.room(spent).holds(need):
        assert most.holds(spent + need)


@given(caps, charges)
def test_the_remaining_room_is_never_negative(most: Cap, spent: Amount) -> None:
    assert all(left >= 0 for left in most.room(spent).as_map().values())


def test_the_most_of_a_month_without_a_cap_is_that_of_its_days() -> None:
    budget = Budget(Cap(10, None), Cap(None, 7))
    assert (budget.of_a_day, budget.of_a_month) == (Cap(10, 7), Cap(310, 7))
