"""The format of numbers and amounts of money for people."""

from __future__ import annotations

import pytest

from titlecard_console.output import format_usd, pluralize, truncate


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 videos"), (1, "1 video"), (2, "2 videos"), (12_345, "12,345 videos")]
)
def test_one_is_singular_and_all_else_is_plural(number: int, said: str) -> None:
    assert pluralize(number, "video") == said


def test_a_noun_may_have_a_plural_of_its_own() -> None:
    assert [pluralize(number, "video is", "videos are") for number in (1, 2)] == ["1 video is", "2 videos are"]


@pytest.mark.parametrize(
    ("micro_usd", "said"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (9_999, "$0.009999"),
        (10_000, "$0.01"),
        (14_900, "$0.02"),
        (10**10, "$10,000.00"),
    ],
)
def test_no_sum_is_rounded_down(micro_usd: int, said: str) -> None:
    assert format_usd(micro_usd) == said


def test_a_cut_text_ends_in_an_ellipsis() -> None:
    assert [truncate("abcdef", most) for most in (6, 5)] == ["abcdef", "abcd…"]
