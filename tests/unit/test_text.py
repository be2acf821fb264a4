"""The properties of normalising and folding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.text import fold, normalise, one_line, without_addresses, words


@pytest.mark.parametrize(
    "hidden",
    ["\u200b", "\u200d", "\u00ad", "\ufeff", "\u202e", "\u2066", "\u200f", "\U000e0041"],
    ids=["zero-width space", "joiner", "soft hyphen", "byte order mark", "override", "isolate", "mark", "tag"],
)
def test_invisible_characters_are_removed(hidden: str) -> None:
    assert normalise(f"Gra{hidden}ce Hopper") == "Grace Hopper"


def test_every_kind_of_space_and_control_character_becomes_a_plain_space() -> None:
    assert normalise("a\u00a0b\u2009c\td\x07e\u3000f") == "a b c d e f"


@pytest.mark.parametrize(
    "sequence",
    ["\x1b[31m", "\x1b[0m", "\x1b[2J", "\x1b[38;5;196m", "\x1b[2 q", "\x1b]0;a window's title\x07", "\x1b]8;;x\x1b\\"],
)
def test_terminal_control_sequences_are_removed_whole(sequence: str) -> None:
    assert normalise(f"Gra{sequence}ce {sequence}Hopper") == "Grace Hopper"


def test_an_escape_that_begins_no_sequence_removes_no_text() -> None:
    assert normalise("one \x1bTwo \x1b]three [31m") == "one  Two  ]three [31m"


def test_runs_of_spaces_stay_because_two_spaces_can_separate_a_name() -> None:
    assert normalise("Grace Hopper  Compilers") == "Grace Hopper  Compilers"


def test_line_ends_of_all_systems_become_line_feeds() -> None:
    assert normalise("a\r\nb\rc\nd") == "a\nb\nc\nd"


def test_a_title_is_one_line() -> None:
    assert one_line("Compilers\r\nfor all") == "Compilers for all"


def test_decomposed_letters_are_composed() -> None:
    assert normalise("Zoe\u0308") == "Zo\u00eb"


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert normalise("a\ud83db").encode() == b"a?b"


def test_folding_removes_accents_and_case() -> None:
    assert fold("Łukasz ŽIŽEK Straße") == "łukasz zizek strasse"


def test_words_are_folded_and_without_punctuation() -> None:
    assert words("Ágnes O'Brien-Smith, PhD!") == ["agnes", "o", "brien", "smith", "phd"]


def test_chinese_and_japanese_count_by_the_character() -> None:
    assert words("王小明 talks") == ["王", "小", "明", "talks"]


def test_web_addresses_are_removed_whole() -> None:
    assert without_addresses("see https://example.org/ada-lovelace now") == "see   now"


@given(st.text())
def test_normalising_twice_is_the_same_as_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
