"""Cleans the names that were found: removes titles, expands short forms, removes duplicates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from titlecard.domain.text import fold, words

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

_BEFORE = re.compile(r"^(?:(?:dr|prof|professor|mr|mrs|ms|sir)\b\.?\s+)+", re.IGNORECASE)
_AFTER = re.compile(r",?\s+(?:ph\.?\s?d\.?|md|msc|mba)$", re.IGNORECASE)
_FIRST_IDEOGRAPH = "\u3005"
_AND_OTHERS = (["al"], ["et", "al"], ["others"], ["and", "others"], ["co"])
"""Words that stand for people who are not named."""

_SHORT_NAME, _FULL_NAME = 1, 2
_EDGES = " \t,;:-*_/|"


def clean(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without academic titles, each person once: `Sanjay` is dropped beside `Sanjay Siddhanti`."""
    found: list[tuple[list[str], str]] = []
    for name in names:
        spaced = " ".join(name.split())
        bare = _AFTER.sub("", _BEFORE.sub("", spaced.strip(_EDGES), count=1)).strip(_EDGES)
        tokens = words(bare)
        if tokens and tokens not in _AND_OTHERS and not any(tokens == other for other, _ in found):
            found.append((tokens, bare))
    return tuple(
        name
        for tokens, name in found
        if not any(len(tokens) < len(other) and set(tokens) <= set(other) for other, _ in found)
    )


def joined(pieces: Sequence[tuple[str, str]], given: Container[str]) -> list[str]:
    """Return the names of a title: `NARUSE, Yui` is one name, and `Ada and Tomas Byron` share a surname.

    Args:
        pieces: each name as the title has it, with the kind of delimiter before it.
        given: the folded first names that are known.
    """
    names = [text for text, _ in pieces]
    if len(pieces) == _FULL_NAME:
        (first, _), (second, left) = pieces
        a, b = first.split(), second.split()
        if left == "comma" and len(a) == len(b) == 1 and a[0].isupper() and len(a[0]) > 1 and not b[0].isupper():
            return [f"{first} {second}"]
        same = left == "and" and len(a) == _SHORT_NAME and len(b) == _FULL_NAME
        if same and fold(a[0]) in given and fold(b[0]) in given:
            return [f"{a[0]} {b[1]}", second]
    return names


def is_one_of(name: str, persons: Iterable[str]) -> bool:
    """Return whether a name is one of these people's: in full, or a short form of it (`A. Byron`, `Ada`)."""
    bare = _AFTER.sub("", _BEFORE.sub("", name.strip(_EDGES), count=1))
    tokens = words(bare)
    full = [words(person) for person in persons]
    if not tokens:
        return False
    return any(
        tokens == other or set(tokens) <= set(other) or set(other) <= set(tokens) or _fits(tokens, other)
        for other in full
        if other
    )


def written_out(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Replace each short form (`A. Jacob`, `Yamini`) with the longer name that fits, if exactly one does.

    `known` is everything in the description that looks like a name.
    """
    return [_longer(name, known) if _is_short(words(name)) else name for name in names]


def _is_short(tokens: Sequence[str]) -> bool:
    if "".join(tokens)[:1] >= _FIRST_IDEOGRAPH:
        return False  # Chinese and Japanese count by character: one character is not an initial
    return len(tokens) == 1 or (len(tokens) > 1 and len(tokens[0]) == 1)


def _longer(name: str, known: Sequence[str]) -> str:
    tokens = words(name)
    fitting = {" ".join(words(other)): other for other in known if _fits(tokens, words(other))}
    return next(iter(fitting.values())) if len(fitting) == 1 else name


def _fits(short: Sequence[str], full: Sequence[str]) -> bool:
    """Return whether a short form can stand for a full name."""
    if len(full) < 2 or _is_short(full):  # noqa: PLR2004  # a full name has a first name and a surname
        return False
    if len(short) == 1:
        return short[0] in (full[0], full[-1])
    return full[0].startswith(short[0]) and len(full) >= len(short) and list(full[-len(short) + 1 :]) == list(short[1:])
