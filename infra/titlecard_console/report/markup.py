"""Marks the words of a raw text: kept, cut, or the name of a presenter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import groupby, pairwise, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING

from titlecard.domain.text import fold, normalise
from titlecard_console.output import truncate

if TYPE_CHECKING:
    from collections.abc import Sequence

EXCERPT_LINES, EXCERPT_CHARACTERS = 2, 140
"""The most lines of a description that are shown, and the most characters of each."""

DESCRIPTION_CHARACTERS = 10_000
"""The most characters of a description that are searched for names, twice what YouTube allows."""

TITLE_WORDS = 200
"""The most words of a title that are marked, far above any real title's: the comparison takes cubic time at worst."""

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]+")
"""A word, a space or punctuation."""


class Mark(StrEnum):
    """Whether a piece of text was kept, cut, or names a presenter."""

    KEPT = "k"
    CUT = "c"
    NAME = "n"
    PLAIN = "p"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text and its mark."""

    mark: Mark
    text: str


def mark_title(raw: str, title: str, presenters: Sequence[str]) -> list[Piece]:
    """Split a raw title into the parts that the clean title keeps, the presenters' names, and the cut parts.

    What follows its first `TITLE_WORDS` words is plain.
    """
    tokens = _TOKEN.findall(" ".join(normalise(raw).split()))
    words = _places_of_words(tokens)
    compared = words[TITLE_WORDS] if len(words) > TITLE_WORDS else len(tokens)
    kinds = [Mark.CUT] * compared + [Mark.PLAIN] * (len(tokens) - compared)
    words = words[:TITLE_WORDS]
    raw_words = [fold(tokens[it]) for it in words]
    title_words = [fold(it) for it in _words(title)[:TITLE_WORDS]]
    for block in SequenceMatcher(None, raw_words, title_words, autojunk=False).get_matching_blocks():
        for place in words[block.a : block.a + block.size]:
            kinds[place] = Mark.KEPT
    for place in [place for place, kind in enumerate(kinds) if kind is Mark.KEPT]:  # and the punctuation at it: `¿Qué?`
        for beside, joined in ((place - 1, tokens[place - 1 : place + 1]), (place + 1, tokens[place : place + 2])):
            if 0 <= beside < len(tokens) and not tokens[beside].isspace() and "".join(joined) in title:
                kinds[beside] = Mark.KEPT
    for first, last in _named(raw_words, presenters):
        span = words[first : last + 1]
        if not all(kinds[place] is Mark.KEPT for place in span):
            for place in span:
                kinds[place] = Mark.NAME
    return _joined(tokens, kinds)


def mark_description(description: str, presenters: Sequence[str]) -> list[Piece]:
    """Return the lines of a description that name a presenter, with the names marked, or else its first line."""
    searched = normalise(description[:DESCRIPTION_CHARACTERS])
    lines = [" ".join(line.split()) for line in searched.split("\n")]
    marked = [_marked(line, presenters) for line in lines if line]
    named = [pieces for pieces in marked if any(piece.mark is Mark.NAME for piece in pieces)]
    pieces: list[Piece] = []
    for line in (named or marked)[: EXCERPT_LINES if named else 1]:
        pieces += [*([Piece(Mark.PLAIN, "\n")] if pieces else []), *_excerpt(line)]
    return pieces


def layout(pieces: Sequence[Piece]) -> str:
    """Return the layout of a marked title: `cut · name · title`. Rows with one layout often share an error."""
    words = {Mark.KEPT: "title", Mark.NAME: "name", Mark.CUT: "cut"}
    order: list[str] = []
    for piece in pieces:
        if any(character.isalnum() for character in piece.text):
            word = words.get(piece.mark, "title")
            if not order or order[-1] != word:
                order.append(word)
    return " · ".join(order) or "nothing"


def _words(text: str) -> list[str]:
    tokens = _TOKEN.findall(normalise(text))
    return [tokens[place] for place in _places_of_words(tokens)]


def _places_of_words(tokens: Sequence[str]) -> list[int]:
    return [place for place, token in enumerate(tokens) if token[0].isalnum() or token[0] == "_"]


def _named(words: Sequence[str], presenters: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first and the last word of each mention of a presenter, as places among the folded words."""
    found: list[tuple[int, int]] = []
    for presenter in presenters:
        name = [fold(word) for word in _words(presenter)]
        starts = range(len(words) - len(name) + 1) if name else ()
        found += [(it, it + len(name) - 1) for it in starts if list(words[it : it + len(name)]) == name]
    return found


def _marked(line: str, presenters: Sequence[str]) -> list[Piece]:
    tokens = _TOKEN.findall(line)
    words = _places_of_words(tokens)
    kinds = [Mark.PLAIN] * len(tokens)
    for first, last in _named([fold(tokens[place]) for place in words], presenters):
        for place in range(words[first], words[last] + 1):
            kinds[place] = Mark.NAME
    return _joined(tokens, kinds)


def _excerpt(line: Sequence[Piece]) -> list[Piece]:
    """Cut a line to `EXCERPT_CHARACTERS` characters that begin shortly before its first name."""
    before = sum(len(piece.text) for piece in takewhile(lambda piece: piece.mark is not Mark.NAME, line))
    skip = max(before - EXCERPT_CHARACTERS // 2, 0) if before < sum(len(it.text) for it in line) else 0
    left, shown = EXCERPT_CHARACTERS, [Piece(Mark.PLAIN, "…")] if skip else []
    for piece in line:
        text, skip = piece.text[skip:], max(skip - len(piece.text), 0)
        if text and left > 0:
            shown.append(Piece(piece.mark, truncate(text, left)))
            left -= len(text)
    return shown


def _joined(tokens: Sequence[str], kinds: list[Mark]) -> list[Piece]:
    """Join tokens into pieces. A separator between two words of one kind has that kind too."""
    for before, after in pairwise(_places_of_words(tokens)):
        if kinds[before] is kinds[after]:
            kinds[before:after] = [kinds[before]] * (after - before)
    marked = groupby(zip(tokens, kinds, strict=True), key=itemgetter(1))
    return [Piece(kind, "".join(token for token, _ in piece)) for kind, piece in marked]
