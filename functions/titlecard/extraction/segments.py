"""A title cut into the smallest pieces that can be a title, a name or a label of their own.

Too many cuts do no harm (the labelling joins what belongs together), one too few cannot be mended.
"""
# ruff: noqa: RUF001  # the dashes, bars and quotes that people type are the subject of this module

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from titlecard.domain.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from titlecard.extraction.names import Lexicon

LONGEST = 400
"""Characters of a title that are looked at. YouTube's own limit is 100 (videos resource, `snippet.title`)."""

MOST = 40
"""Cuts that are made in a title: what follows is one piece."""

_DELIMITER = re.compile(
    r"""
    (?:(?<!\w)|(?=[\W_]))  # none begins inside a word: to look at this first is far quicker
    (?:
    (?P<by>   (?:\s?[,;])?\s?(?<!^)(?<!\w)
              (?:[Pp]resented\ by|PRESENTED\ BY|[Bb]y|BY|[Pp]or|[Pp]ar|aka|от):?\s+(?=[^\W\d_]) )
  | (?P<to>   (?:\s|(?<=\s))(?:by|por|par)$ )
  | (?P<with> (?:\s?[,;])?\s(?:with|con|mit|avec|w/)\s+(?=[^\W\d_]) )
  | (?P<von>  \s(?:von|de)\s+(?=[^\W\d_]) )
  | (?P<and>  (?:\s?,)?\s(?:&|\+|and|AND|y|e|et|und|en|и)\s+ )
  | (?P<dash> (?:\s|(?<=[\s)\]"”»』」]))[-–—−‐]+(?:\s+|$) | ^[-–—−]+\s+ | \s?[–—]+\s*
            | (?<=[)\]\w"”?!.])-\s+(?=\S) | \s-(?=[^\W\d_]) )
  | (?P<pipe> \s?[|｜¦│•·►»~]+\s+ | \s?[|｜¦│•·►]+\s* )
  | (?P<slash>\s/+\s+ )
  | (?P<at>   \s?@\s* | \s(?:at|from)\s+(?=[^\W\d_a-z]) )
  | (?P<colon>\s?[:：]+(?:\s+|$) | (?<=[^\W\d_]):(?=[^\W\d_]) )
  | (?P<hash> \s(?=\#\w) )
  | (?P<open> \s?[(\[（【{]\s* )
  | (?P<close>\s?[)\]）】}]\s* )
  | (?P<quote>\s?["“”„«»「」『』]\s* | (?<!\w)['‘] | ['’](?!\w) )
  | (?P<comma>\s?(?:[,;،]\s*,?\s+|[、，；]) )
  | (?P<under>(?<=\d)_+ )
  | (?P<wide> (?<![A-Z])\s{2,} )
  | (?P<code> ^\#?\d+(?:[_.-]\d+)*(?:_\s*|[a-z]?[.)]?\s+) )
  | (?P<label>^(?:Sponsored|SPONSORED)\s+ )
    )
    """,
    re.VERBOSE,
)
_NICKNAME = re.compile(r"(?:^|[-–—|:] )[^\W\d_a-z]\w+ \(([^\W\d_]{2,15})\) [^\W\d_a-z]\w+(?= [-–—|]|:|$)")
"""A name with a nickname in brackets, between separators."""
_TOKEN = re.compile(r"\w{1,40}")
_SPACED = re.compile(r"\S+")
_DIGITS = re.compile(r"\d+")
_LONGEST_NAME = 5  # tokens
_SURE_FIRST_NAME = 3
_SURE_WORD = -3
_FAR = 4
"""How many times as frequent words at the end must be to be cut off a piece that recurs as well."""

_NONE: Mapping[str, int] = {}


class Segment(NamedTuple):
    """A piece of a title: where it starts and ends, its text, and the kinds of delimiter on either side."""

    start: int
    end: int
    text: str
    left: str
    right: str


def segments(
    line: str,
    lexicon: Lexicon,
    heads: Mapping[str, int] = _NONE,
    tails: Mapping[str, int] = _NONE,
    whole: Mapping[str, int] = _NONE,
) -> list[Segment]:
    """The pieces of a normalised title, in order; delimiters are not part of any.

    Args:
        line: the title.
        lexicon: a cut is made where a name stands at the edge of a longer piece without any separator.
        heads: words that many titles of the batch begin with, with their number; a cut is made behind them.
        tails: words that many titles of the batch end with, with their number; a cut is made before them.
        whole: the keys of pieces that stand in several titles of the batch, with their number; they are not cut any
            further, unless the words at their end are by far more frequent.
    """
    line = line[:LONGEST]
    marks: list[tuple[int, int, str]] = []
    nicknames = [match.span(1) for match in _NICKNAME.finditer(line)] if "(" in line else []
    for found in _DELIMITER.finditer(line):
        kind = found.lastgroup or ""
        if kind == "code" and "_" not in found.group():  # "12 lessons": a number can be part of the title
            marks.append((found.end(), found.end(), kind))
        elif kind != "von" or _introduces(line, found.start(), lexicon):
            marks.append((found.start(), found.end(), kind))
    marks = [mark for mark in marks[:MOST] if not _inside_a_nickname(line, mark, nicknames)]
    pieces = _pieces(line, marks)
    shared = [
        (cut, cut, kind)
        for cut, kind, bound in _shared_cuts(line, heads, tails)
        for piece in pieces
        if piece.start < cut < piece.end and whole.get(text_key(piece.text), 0) <= bound
    ]
    if shared:
        marks = sorted(marks + shared)
        pieces = _pieces(line, marks)
    soft = [(cut, cut, "soft") for piece in pieces for cut in _names_at_the_edges(piece, lexicon)]
    return _pieces(line, sorted(marks + soft)) if soft else pieces


def place(number: int, count: int) -> str:
    """Where one of `count` pieces stands: only, first, last or mid."""
    if count == 1:
        return "only"
    return "first" if number == 0 else "last" if number == count - 1 else "mid"


def slot_keys(parts: Sequence[Segment], number: int) -> tuple[str, str, str]:
    """How the survey counts the place of a piece: by its place, also with its delimiters, and by its number."""
    part, where = parts[number], place(number, len(parts))
    return (where, f"{where}|{part.left}|{part.right}", f"{number}/{min(len(parts), 8)}")


def text_key(text: str) -> str:
    """A text as the survey counts it: folded words, all numbers alike."""
    return _DIGITS.sub("0", plain(text))


def affix_words(title: str) -> list[str]:
    """The words of a title as heads and tails have them."""
    return _TOKEN.findall(title)


def _inside_a_nickname(line: str, mark: tuple[int, int, str], nicknames: Sequence[tuple[int, int]]) -> bool:
    """Whether a bracket stands inside a name (`Ada (Addie) Byron`)."""
    return any(
        start - 2 <= mark[0] and mark[1] <= end + 2 and line[mark[0] : mark[1]].strip() in "()"
        for start, end in nicknames
    )


def _introduces(line: str, at: int, lexicon: Lexicon) -> bool:
    """Whether the word at a place ("von") stands between a title and a name, and not inside a name."""
    before = line[:at].split()[-1:]
    return bool(before) and lexicon.is_word(before[0].strip("\"'.,?!()"))


def _shared_cuts(line: str, heads: Mapping[str, int], tails: Mapping[str, int]) -> Iterator[tuple[int, str, float]]:
    """Where the words that many titles begin or end with are cut off, if no more titles than this have the piece."""
    tokens = list(_TOKEN.finditer(line)) if heads or tails else []
    shown = [token.group() for token in tokens]
    for head in heads:
        size = head.count(" ") + 1
        if size < len(tokens) and " ".join(shown[:size]) == head:
            yield tokens[size - 1].end(), "head", 0
    for tail in tails:
        size = tail.count(" ") + 1
        if size < len(tokens) and " ".join(shown[-size:]) == tail:
            yield tokens[-size].start(), "tail", tails[tail] / _FAR


def _pieces(line: str, marks: Sequence[tuple[int, int, str]]) -> list[Segment]:
    """What lies between the marks; kinds of delimiters with nothing between them are joined by `+`."""
    found: list[Segment] = []
    start, left = 0, ""
    for begin, end, kind in marks:
        text = line[start:begin].strip()
        if text:
            at = line.index(text, start)
            found.append(Segment(at, at + len(text), text, left, kind))
            left = kind
        else:
            if not left.endswith(kind):
                left = f"{left}+{kind}" if left else kind
            if found:
                found[-1] = found[-1]._replace(right=left)
        start = max(start, end)
    text = line[start:].strip()
    if text:
        at = line.index(text, start)
        found.append(Segment(at, at + len(text), text, left, ""))
    return found


def _names_at_the_edges(piece: Segment, lexicon: Lexicon) -> list[int]:
    """Where a name that begins or ends a longer piece would be cut off."""
    tokens = list(_SPACED.finditer(piece.text))
    if len(tokens) <= 2:  # noqa: PLR2004  # a first name and a surname: nothing is left to be cut off
        return []
    like = [_like_a_name(token.group(), lexicon) for token in tokens]
    length = _name_length(tokens, like, lexicon)
    if length == len(tokens):
        return []
    if length > 1:
        return [piece.start + tokens[length - 1].end()]
    for length in range(min(_LONGEST_NAME, len(tokens) - 1), 1, -1):
        if not like[-length - 1] and _name_length(tokens[-length:], like[-length:], lexicon) == length:
            return [piece.start + tokens[-length].start()]
    return []


def _like_a_name(token: str, lexicon: Lexicon) -> bool:
    seen = lexicon.nameness(token)
    return seen.shape in ("I", "p") or (seen.shape in ("C", "U", "M") and seen.first > _SURE_WORD)


def _name_length(tokens: Sequence[re.Match[str]], like: Sequence[bool], lexicon: Lexicon) -> int:
    """How many of the first tokens are a name that begins with a known first name or an initial."""
    seen = lexicon.nameness(tokens[0].group())
    if seen.shape != "I" and not (seen.shape in ("C", "U") and (seen.first >= _SURE_FIRST_NAME or seen.given)):
        return 0
    length = 1
    while length < min(len(tokens), _LONGEST_NAME) and like[length]:
        length += 1
    while length > 1 and lexicon.nameness(tokens[length - 1].group()).shape in ("p", "I"):
        length -= 1  # "Jane Doe A Web App": no name ends in a particle, and few in an initial
    return length
