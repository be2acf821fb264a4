"""Budgets: their notation, their windows, and the room that they leave."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.errors import NotABudget
from titlecard.domain.money import Amount, Budget, Cap, Window, cap
from titlecard.domain.money.budget import NUMBER_MAX


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
def test_amounts_are_read_as_people_write_them(text: str, expected: Cap) -> None:
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
def test_text_that_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(NotABudget):
        cap([text])


def test_dollars_that_would_have_to_be_rounded_are_refused() -> None:
    with pytest.raises(NotABudget):
        cap(["0.0000015usd"])


def test_the_largest_amount_is_a_billion_dollars_and_as_many_tokens() -> None:
    most = 10**15
    assert cap(["1,000,000,000usd", f"{most}tokens"]) == Cap(most, most)
    assert Budget(Cap(most, most), Cap()).of_a_day == Cap(most, most)
    for text in ("1000000000.000001usd", f"{most + 1}tokens"):
        with pytest.raises(NotABudget):
            cap([text])


def test_a_budget_of_zero_is_valid() -> None:
    assert Budget(Cap(0, 0), Cap(0, 0)).of_a_month == Cap(0, 0)


def test_two_amounts_of_one_unit_are_refused() -> None:
    with pytest.raises(NotABudget, match="second amount"):
        cap(["5usd", "$6"])


def test_a_budget_without_a_number_is_refused() -> None:
    with pytest.raises(NotABudget):
        Budget(Cap(), Cap())


@pytest.mark.parametrize("number", [-1, NUMBER_MAX + 1, True, 1.5])
def test_a_budget_with_an_impossible_number_is_refused(number: int) -> None:
    with pytest.raises(NotABudget):
        Budget(Cap(number, None), Cap())


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-14, 14))
def test_a_window_is_the_same_in_every_time_zone(moment: datetime, hours: int) -> None:
    if date(2, 1, 1) < moment.date() < date(9998, 1, 1):
        assert Window.at(moment.astimezone(timezone(timedelta(hours=hours)))) == Window.at(moment)


@given(st.dates(date(1970, 1, 1), date(9000, 1, 1)))
def test_the_next_day_and_month_begin_when_this_one_ends(day: date) -> None:
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


@pytest.mark.parametrize("spent", [Amount(1, 6, 4, 7), Amount(9, 60, 40, 70)])
def test_a_used_up_cap_has_no_room(spent: Amount) -> None:
    room = Cap(10, 7).room(spent)
    assert room == Cap(0, 0)
    assert room.holds(Amount(1, 0, 0, 0))
    assert not room.holds(Amount(0, 1, 0, 0))
    assert not room.holds(Amount(0, 0, 0, 1))


def test_an_uncapped_window_has_room_for_everything() -> None:
    assert Cap().room(Amount(1, 2, 3, 4)) == Cap()
    assert Cap().holds(Amount(10**9, 10**9, 10**9, 10**9))


def test_a_need_fits_into_a_cap_of_the_same_size() -> None:
    assert Cap(10, 7).holds(Amount(1, 6, 4, 7))


@given(caps, charges)
def test_the_remaining_room_is_never_negative(most: Cap, spent: Amount) -> None:
    assert all(left >= 0 for left in most.room(spent).as_map().values())


def test_a_month_without_a_cap_is_bounded_by_its_days() -> None:
    budget = Budget(Cap(10, None), Cap(None, 7))
    assert (budget.of_a_day, budget.of_a_month) == (Cap(10, 7), Cap(310, 7))
    other = Budget(Cap(10, 5), Cap(100, 1_000))
    assert (other.of_a_day, other.of_a_month) == (Cap(10, 5), Cap(100, 155))


def test_a_month_is_named_by_its_year_and_number() -> None:
    assert Window(date(2026, 3, 9)).month == "2026-03"
