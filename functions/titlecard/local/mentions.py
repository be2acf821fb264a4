"""Where a description may name a person: runs of capitalised words, cut at words that are surely no names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from titlecard.local.names import CUES, PARTICLES
from titlecard.text import fold, normalise, without_addresses, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard.local.names import Lexicon

LONGEST = 3000
"""Characters of a description that are looked at: presenters who are named later are not found, but nothing is slow."""

LINES = 60
"""Lines of a description that are looked at."""

WIDEST = 600
"""Characters of a line that are looked at."""

# Capitals of Latin, Greek, Cyrillic and Armenian; where capitals and small letters alternate, the whole range.
_UPPER = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0100-\u024f\u1e00-\u1eff\u0386-\u038f\u0391-\u03ab\u0400-\u042f\u0531-\u0556"
_TOKEN = rf"(?:[{_UPPER}]\w?\.(?:[{_UPPER}]\.)*|[{_UPPER}](?:[\w'’\-]*\w)?)"  # noqa: RUF001
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
"""More than initials."""
_TAG = re.compile(r"<[^<>\n]{1,200}>")
_ORDER = re.compile(
    r"\b(?:ignore|disregard|forget|override|do not (?:follow|trust)|don['\u2019]t (?:follow|trust))\b.{0,40}"
    r"\b(?:above|previous|prior|earlier|instructions?|everything|(?:the|this) (?:title|text|description|rules?))\b"
    r"|\b(?:ignor\w+|olvid\w+|oubli\w+|vergiss|vergesst|esquec\w+|игнориру\w+|забуд\w+)\b.{0,40}"
    r"\b(?:anterior\w*|arriba|acima|preced\w+|ci-dessus|obige\w*|vorherige\w*|выше|предыдущ\w+)\b"
    r"|\b(?:new|updated|following|these) (?:instructions?|overrides?)\b\s*(?::|all\b|everything\b)"
    r"|\b(?:note|instructions?|message) (?:to|for) (?:the |any )?(?:ai|llm|assistant|language model|parser)\b"
    r"|\b(?:system prompt|developer mode)\b|^\W*(?:system|assistant)\W*[:#]"
    r"|\byou are (?:now )?(?:a|an) (?:ai|assistant|language model)\b"
)
_IN_ORDERS = (
    *("ignor", "disregard", "forget", "overrid", "not follow", "not trust", "t follow", "t trust", "olvid", "oubli"),
    *("vergiss", "vergesst", "esquec", "игнор", "забуд", "instruction", "note to", "note for", "message to"),
    *("message for", "prompt", "developer mode", "system", "assistant", "you are"),
)
"""One of these is in every text that gives orders: to look for them first is far quicker."""

_LONGEST_NAME = 5  # tokens


class Mention(NamedTuple):
    """A possible name: its text, the number of its line (empty lines do not count), and where it stands in the line."""

    text: str
    line: int
    start: int
    end: int


def lines(description: str) -> list[str]:
    """The lines of a description that are looked at: normalised, not empty, without web addresses and tags.

    A line that gives orders ("ignore the above ...") ends the description: nothing behind it is to be trusted.
    """
    text = _cut(normalise(description[: 2 * LONGEST]), LONGEST)
    wary = _may_give_orders(text)
    found: list[str] = []
    for line in _TAG.sub(" ", without_addresses(text)).split("\n"):
        bare = _cut(line.strip(" *_>#"), WIDEST)
        if not bare:
            continue
        if len(found) == LINES or (wary and gives_orders(bare)):
            break
        found.append(bare)
    return found


def _cut(text: str, most: int) -> str:
    """The beginning of a text, so many characters at most: half a word is no name."""
    return text if len(text) <= most else (text[:most].rsplit(None, 1) or [""])[0]


def gives_orders(text: str) -> bool:
    """Whether a line speaks to the machine that reads it ("ignore the above ...") and not to people."""
    return _may_give_orders(text) and _ORDER.search(fold(text)) is not None


def mentions(line: str, number: int, lexicon: Lexicon) -> Iterator[Mention]:
    """The possible names of one line, in order."""
    for match in _MENTION.finditer(line):
        if match["cjk"]:
            yield Mention(match["cjk"], number, match.start(), match.end())
        elif " " in match["run"]:
            pieces = _pieces(match["run"], number, match.start(), line, lexicon)
            yield from (piece for piece in pieces if _WRITTEN_OUT.search(piece.text))
        elif len(match["run"]) > 1 and not lexicon.is_word(match["run"].rstrip(".")):
            yield Mention(match["run"], number, match.start(), match.end())


def spot_keys(line: str, mention: Mention) -> tuple[str, str]:
    """How the survey counts the place of a mention: by its line and what follows, and by the words before it."""
    before = line[: mention.start]
    lead = before.rstrip()[-1:]
    cue = f"{' '.join(words(before[-30:])[-2:])}{'' if lead.isalnum() else lead}" if mention.start else "^"
    after = line[mention.end :].lstrip()[:1]
    after = "$" if not after else "w" if after.isalnum() else after
    return (f"{min(mention.line, 6)}{'^' if cue == '^' else '~'}{after}", f"c:{cue}")


def _pieces(run: str, number: int, at: int, line: str, lexicon: Lexicon) -> Iterator[Mention]:
    """A run of capitalised words, cut at words; between punctuation ("Will Love | Room 1") it is cut at cues only."""
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


def _may_give_orders(text: str) -> bool:
    folded = fold(text)
    return any(word in folded for word in _IN_ORDERS)
