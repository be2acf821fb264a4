"""Possible names in a description: runs of capitalised words, cut at words that are certainly not names."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from titlecard.domain.injection import text_before_injection
from titlecard.domain.text import fold, normalise, without_addresses, words
from titlecard.extraction.names import CUES, PARTICLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard.extraction.names import Lexicon

LONGEST = 3000
"""The number of characters of a description that are read: later presenters are not found, but parsing stays fast."""

LINES = 60
"""The number of lines of a description that are read."""

WIDEST = 600
"""The number of characters of a line that are read."""

# Capitals of Latin, Greek, Cyrillic and Armenian; where capitals and small letters alternate, the whole range.
_UPPER = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0100-\u024f\u1e00-\u1eff\u0386-\u038f\u0391-\u03ab\u0400-\u042f\u0531-\u0556"
_TOKEN = rf"[{_UPPER}](?:\w?\.(?:[{_UPPER}]\.)*|(?:[\w'’\-]*\w)?)"  # noqa: RUF001
_PARTICLE = "(?:" + "|".join(sorted(PARTICLES - {"y", "e"}, key=lambda p: (-len(p), p))) + ")"
_IDEOGRAPH = r"[\u3005\u30a0-\u30ff\u3400-\u9fff]"
_NO_LETTER_BEFORE = r"(?<![\w\u3040-\u30ff\u3400-\u9fff])"
_NO_LETTER_AFTER = r"(?![\w\u3040-\u30ff\u3400-\u9fff])"
_MENTION = re.compile(
    rf"(?<![\w@#.\-])(?P<run>{_TOKEN}(?:\ +(?:{_PARTICLE}\ +){{0,2}}{_TOKEN}){{0,6}})"
    rf"|{_NO_LETTER_BEFORE}(?P<cjk>{_IDEOGRAPH}{{2,5}}(?:\ {_IDEOGRAPH}{{1,4}})?){_NO_LETTER_AFTER}"
)
_SPACED = re.compile(r"\S+")
_WRITTEN_OUT = re.compile(r"\w[\w'\u2019-]")
"""A token with more than initials."""
_UNSPOKEN = re.compile(
    r"<!--.*?-->|<(?P<code>script|style)\b.*?</(?P=code)>|</?[a-z][^<>]{0,400}>|<[^<>\n]{1,200}>"
    r"|\b(?:[\w-]+\.)+[a-z]{2,}/[!-~]*",
    re.DOTALL | re.IGNORECASE,
)
"""Comments, scripts, tags, and addresses without `https:`."""
_LONGEST_NAME = 5  # tokens


class Mention(NamedTuple):
    """A possible name: its text, the number of its line (without empty lines), and its position in the line."""

    text: str
    line: int
    start: int
    end: int


def lines(description: str) -> list[str]:
    """Return the lines of a description that are read: normalised, not empty, without web addresses and markup.

    A line with an injected instruction ("ignore the above ...") ends the description: nothing after it is trusted.
    """
    text = _cut(normalise(description[: 2 * LONGEST]), LONGEST)
    trusted = text_before_injection(_UNSPOKEN.sub(" ", without_addresses(text)))
    bare = (_cut(line.strip(" *_>#"), WIDEST) for line in trusted.split("\n"))
    return list(islice(filter(None, bare), LINES))


def _cut(text: str, most: int) -> str:
    """Return the first characters of a text, without a broken word at the end."""
    return text if len(text) <= most else (text[:most].rsplit(None, 1) or [""])[0]


def mentions(line: str, number: int, lexicon: Lexicon) -> Iterator[Mention]:
    """Yield the possible names of one line, in order."""
    for match in _MENTION.finditer(line):
        if match["cjk"]:
            yield Mention(match["cjk"], number, match.start(), match.end())
        elif " " in match["run"]:
            pieces = _pieces(match["run"], number, match.start(), line, lexicon)
            yield from (piece for piece in pieces if _WRITTEN_OUT.search(piece.text))
        elif len(match["run"]) > 1 and not lexicon.is_word(match["run"].rstrip(".")):
            yield Mention(match["run"], number, match.start(), match.end())


def spot_keys(line: str, mention: Mention) -> tuple[str, str]:
    """Return the survey's keys for a mention's place: its line with the following text, and the words before it."""
    before = line[: mention.start]
    lead = before.rstrip()[-1:]
    cue = f"{' '.join(words(before[-30:])[-2:])}{'' if lead.isalnum() else lead}" if mention.start else "^"
    after = line[mention.end :].lstrip()[:1]
    after = "$" if not after else "w" if after.isalnum() else after
    return (f"{min(mention.line, 6)}{'^' if cue == '^' else '~'}{after}", f"c:{cue}")


def _pieces(run: str, number: int, at: int, line: str, lexicon: Lexicon) -> Iterator[Mention]:
    """Cut a run of capitalised words at words, or between punctuation ("Will Love | Room 1") at cues only."""
    before, after = line[:at].rstrip(), line[at + len(run) :].lstrip()
    introduced = not before or not before[-1].isalnum() or before.rsplit(None, 1)[-1].lower() in ("by", "por", "par")
    alone = introduced and not after[:1].isalnum() and run.count(" ") < _LONGEST_NAME
    start = end = -1
    for token in _SPACED.finditer(run):
        text = token.group().rstrip(".")
        if text.islower():
            continue
        if fold(text) in CUES if alone else lexicon.is_word(text):
            if end - start > 1:
                yield Mention(run[start:end], number, at + start, at + end)
            start = end = -1
            continue
        start, end = token.start() if start < 0 else start, token.end()
        if text.endswith(("'s", "’s")):  # noqa: RUF001
            yield Mention(run[start : end - 2], number, at + start, at + end - 2)
            start = end = -1
    if end - start > 1:
        yield Mention(run[start:end], number, at + start, at + end)
