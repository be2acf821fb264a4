"""The words of a raw text that are marked as kept, cut or a presenter's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.text import normalise
from titlecard_console.report.markup import (
    DESCRIPTION_CHARACTERS,
    EXCERPT_CHARACTERS,
    TITLE_WORDS,
    layout,
    mark_description,
    mark_title,
)


def pieces(raw: str, title: str, *presenters: str) -> list[tuple[str, str]]:
    return [(str(piece.mark), piece.text) for piece in mark_title(raw, title, presenters)]


def test_words_are_kept_cut_or_a_name() -> None:
    assert pieces("PyCon 2019 - Ada Byron - Compilers in a hurry", "Compilers in a hurry", "Ada Byron") == [
        ("c", "PyCon 2019 - "),
        ("n", "Ada Byron"),
        ("c", " - "),
        ("k", "Compilers in a hurry"),
    ]


def test_a_name_that_the_clean_title_keeps_is_kept() -> None:
    assert pieces("Ada Byron: a life", "Ada Byron: a life", "Ada Byron") == [("k", "Ada Byron: a life")]


def test_punctuation_that_the_title_keeps_at_a_word_is_kept() -> None:
    assert pieces("PyCon: ¿Qué es Python? (Ada Byron)", "¿Qué es Python?", "Ada Byron") == [
        ("c", "PyCon: "),
        ("k", "¿Qué es Python?"),
        ("c", " ("),
        ("n", "Ada Byron"),
        ("c", ")"),
    ]


def test_names_are_found_in_other_letters() -> None:
    assert ("n", "JOSÉ LÓPEZ") in pieces("JOSÉ LÓPEZ | Talk", "Talk", "José López")


def test_only_the_first_words_of_a_very_long_title_are_marked() -> None:
    """Two long titles with the same repeated words would take hours to compare."""
    raw = " ".join(["alpha beta"] * 10_000)
    (mark, kept), *others = pieces(raw, raw)
    assert (mark, len(kept.split()), others[-1][0]) == ("k", TITLE_WORDS, "p")
    assert kept + "".join(text for _, text in others) == raw


def test_only_the_start_of_a_very_long_description_is_searched() -> None:
    description = f"About.\n{'Ada ' * DESCRIPTION_CHARACTERS}\nAda Byron"
    assert [it.text for it in mark_description(description, ["Ada Byron"])] == ["About."]


@pytest.mark.parametrize(
    ("raw", "title", "presenters", "expected"),
    [
        ("PyCon - Ada Byron - Compilers", "Compilers", ("Ada Byron",), "cut · name · title"),
        ("Compilers", "Compilers", (), "title"),
        ("!!!", "x", (), "nothing"),
    ],
)
def test_a_layout_names_the_order_of_the_parts(
    raw: str, title: str, presenters: tuple[str, ...], expected: str
) -> None:
    assert layout(mark_title(raw, title, presenters)) == expected


def test_only_the_lines_of_a_description_that_name_a_presenter_are_shown() -> None:
    shown = mark_description("About computing.\nSpeaker: Ada Byron\nLicence: MIT", ["Ada Byron"])
    assert [(str(it.mark), it.text) for it in shown] == [("p", "Speaker: "), ("n", "Ada Byron")]


def test_a_description_without_a_name_shows_its_first_line() -> None:
    assert [it.text for it in mark_description("\n\nAbout computing.\nMore.", [])] == ["About computing."]


def test_a_name_far_inside_a_line_is_shown() -> None:
    shown = "".join(it.text for it in mark_description("x " * 500 + "by Ada Byron", ["Ada Byron"]))
    assert shown.startswith("…")
    assert "Ada Byron" in shown
    assert len(shown) <= EXCERPT_CHARACTERS + 2


@given(st.text(max_size=60), st.text(max_size=40), st.lists(st.text(max_size=15), max_size=2))
def test_marking_loses_no_character(raw: str, title: str, presenters: list[str]) -> None:
    assert "".join(piece.text for piece in mark_title(raw, title, presenters)) == " ".join(normalise(raw).split())
