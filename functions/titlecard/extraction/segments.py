"""Split a title into the smallest pieces that can be a title, a name or a label by themselves.

Too many cuts do no harm, because `titles` labels the pieces and joins those of the clean title; a missing cut cannot be
repaired.
"""
# ruff: noqa: RUF001  # this module is about the dashes, bars and quotes that people type

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from titlecard.domain.text import fold, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from titlecard.extraction.names import Lexicon
    from titlecard.extraction.survey import Survey

LONGEST = 400
"""The number of characters of a title that are read. YouTube's own limit is 100 (videos resource, `snippet.title`)."""

MOST = 40
"""The most cuts in a title; the rest is one piece."""

_DELIMITER = re.compile(
    r"""
    (?:(?<!\w)|(?=[\W_]))  # no delimiter begins inside a word; testing this first is far quicker
    (?:
(?P<host> (?:\s?[,;(-])?\s?(?<!\w)
              (?:(?:[Mm]oderated|[Hh]osted|[Cc]haired|[Ii]ntroduced)\ by:?|(?:[Mm]oderators?|[Hh]ost|[Cc]hair):)
              \s+(?=[^\W\d_]) )
  | (?P<by>   (?:\s?[,;])?\s?(?<!^)(?<!\w)
              (?:(?:[Pp]resented|[Gg]iven|[Ll]ed|[Tt]aught)\ by|PRESENTED\ BY|[Bb]y|BY|[Pp]or|[Pp]ar|aka|от)
              :?\s+(?=[^\W\d_]) )
  | (?P<to>   (?:\s|(?<=\s))(?:by|por|par)$ )
  | (?P<with> (?:\s?[,;])?\s(?:with|con|mit|avec|w/|[Ff]eat\.?|[Ff]t\.?|[Ff]eaturing)\s+(?=[^\W\d_])
            | \s?[(\[](?:[Ff]eat\.?|[Ff]t\.?|[Ff]eaturing)\s+(?=[^\W\d_a-z]) )
  | (?P<von>  \s(?:von|de)\s+(?=[^\W\d_]) )
  | (?P<and>  (?:\s?,)?\s(?:&|\+|and|AND|y|e|et|und|en|и)\s+ | \sx\s+(?=[^\W\d_a-z]) )
  | (?P<dash> (?:\s|(?<=[\s)\]"”»』」]))[-–—−‐]+(?:\s+|$) | ^[-–—−]+\s+ | \s?[–—]+\s*
            | (?<=[)\]\w"”?!.])-\s+(?=\S) | \s-(?![a-z]{1,3}(?:\s|$))(?=[^\W\d_]) | (?<=\b(?:19|20)\d\d)-(?=[^\W\d_]) )
  | (?P<pipe> \s?[|｜¦│•·►»~]+\s+ | \s?[|｜¦│•·►]+\s* )
  | (?P<slash>\s/+\s+ )
  | (?P<handle>(?:\s+|(?<=\s)|^)@(?=\w+(?:$|\s*[,)&@/|]|\s+(?:and\s+)?@)) )
  | (?P<on>   (?:['’]s\s+[Tt]alk)?\s(?:on|about|presents|sobre)\s+(?=\S) )
  | (?P<at>   \s?@\s* | \s(?:at|from)\s+(?=[^\W\d_a-z]) )
  | (?P<colon>\s?[:：]+(?:\s+|$) | (?<=[^\W\d_]):(?=[^\W\d_]) )
  | (?P<hash> \s(?=\#\w) )
  | (?P<open> \s?[(\[（【{]\s* )
  | (?P<close>\s?[)\]）】}]\s* )
  | (?P<quote>\s?["“”„«»「」『』]\s* | (?<!\w)['‘] | ['’](?!\w) )
  | (?P<comma>\s?(?:[,;،]\s*,?\s+|[、，；]) | (?<=[^\W\d_]{2}),(?=[^\W\d_a-z]) )
  | (?P<year> (?<=\b(?:19|20)\d\d)\s(?=\S) )
  | (?P<under>(?<=\d)_+ )
  | (?P<wide> (?<![A-Z])\s{2,} )
  | (?P<code> ^\#?\d+(?:[_.-]\d+)*(?:_\s*|[a-z]?[.)]?\s+) | ^[A-Z]{1,2}\d{1,3}[.:)]\s+ )
  | (?P<file> \s?\.(?:mp4|m4v|mov|avi|mkv|webm|flv)\b | \s(?=\d{3,4}[xp]\d*\b) )
  | (?P<label>^(?:Sponsored|SPONSORED)\s+ )
    )
  | (?P<stop> (?<=[^\W\d_]{3})(?<!Prof)(?<!Conf)\.\s+(?=[\W]?[^\W_a-z]) | (?<=[)\]\d?!])\.\s+(?=[^\W_a-z]) )
    """,
    re.VERBOSE,
)
_NICKNAME = re.compile(r"(?:^|[-–—|:] )[^\W\d_a-z]\w+ \(([^\W\d_]{2,15})\) [^\W\d_a-z]\w+(?= [-–—|]|:|$)")
"""A name with a nickname in brackets, between separators."""
_QUOTED = re.compile(r"([^\W\d_][\w.-]*) +[\"“”'‘«](\w{2,15})[\"“”'’»] +([^\W\d_a-z][\w-]+)")
"""Two words with a quoted word between them: a nickname, if the two are a name."""
_TOKEN = re.compile(r"\w{1,40}")
_SPACED = re.compile(r"\S+")
_DIGITS = re.compile(r"\d+")
_YEAR = re.compile(r"(?:19|20)\d\d")
_LONGEST_NAME = 5  # tokens
_LONGEST_AFFIX = 10  # tokens
_SURE_FIRST_NAME = 3
_A_NAME = 0.5
_FULL_NAME = 2
_SURE_WORD = -3
_PAUSES = ("dash", "colon", "pipe", "comma", "wide")
"""Delimiters that mean nothing before `by`: `Compilers - by Ada Byron`."""

_NO_INITIALS = ("A", "I")
"""Words of one letter."""
_FAR = 4
"""How many times more frequent the words at the end must be to be cut off a piece that recurs as a whole."""

_EARLY = 6
"""The number of first words that may include the year of an event."""

_COMMON = 0.4
"""A word in at least this share of the other titles is not part of a name."""

_FEW = 3
"""A batch with more rows than this is evidence about its words."""


class Segment(NamedTuple):
    """A piece of a title: its start and end, its text, and the kinds of delimiter on either side."""

    start: int
    end: int
    text: str
    left: str
    right: str


def segments(line: str, lexicon: Lexicon, survey: Survey | None = None) -> list[Segment]:
    """Return the pieces of a normalised title, in order, without their delimiters.

    Args:
        line: the title.
        lexicon: recognises names; a name at the edge of a longer piece is cut off even without a separator.
        survey: gives further cuts: after the words that many titles of the batch begin with, before those that they end
            with, and around their common phrases. A piece that recurs as a whole in several titles is not cut further,
            unless the words at its end are far more frequent.
    """
    line = line[:LONGEST]
    marks = _marks(line, lexicon)
    pieces = _pieces(line, marks)
    if survey is not None and survey.rows > 1:
        shared = [
            (cut, cut, kind)
            for cut, kind, bound in _shared_cuts(line, survey)
            for piece in pieces
            if piece.start < cut < piece.end and survey.recurring.get(text_key(piece.text), 0) <= bound
        ]
        if shared:
            marks = sorted({*marks, *shared})
            pieces = _pieces(line, marks)
    soft = [(cut, cut, "soft") for piece in pieces for cut in _names_at_the_edges(piece, lexicon, survey)]
    return _pieces(line, sorted(marks + soft)) if soft else pieces


def _marks(line: str, lexicon: Lexicon) -> list[tuple[int, int, str]]:
    """Return the starts, ends and kinds of the delimiters."""
    marks: list[tuple[int, int, str]] = []
    nicknames = _nicknames(line, lexicon)
    for found in _DELIMITER.finditer(line):
        kind = found.lastgroup or ""
        if kind == "code" and "_" not in found.group():  # "12 lessons": a number can be part of the title
            marks.append((found.end(), found.end(), kind))
        elif kind == "year":
            if line.count(" ", 0, found.start()) < _EARLY:
                marks.append((found.end(), found.end(), kind))
        elif kind == "on":
            if _follows_a_name(line, found.start(), lexicon):
                marks.append((found.start(), found.end(), kind))
        elif kind != "von" or _introduces(line, found.start(), lexicon):
            marks.append((found.start(), found.end(), kind))
    marks = [mark for mark in marks[:MOST] if not _inside_a_nickname(mark, nicknames)]
    if any(kind == "wide" for *_, kind in marks):
        marks = [mark for number, mark in enumerate(marks) if not _inside_a_name(line, marks, number, lexicon)]
    return marks


def place(number: int, count: int) -> str:
    """Return the place of one of `count` pieces: only, first, last or mid."""
    if count == 1:
        return "only"
    return "first" if number == 0 else "last" if number == count - 1 else "mid"


def slot_keys(parts: Sequence[Segment], number: int) -> tuple[str, str, str]:
    """Return the survey's keys for the slot of a piece: its place, its place with delimiters, and its number."""
    part, where = parts[number], place(number, len(parts))
    return (where, f"{where}|{part.left}|{part.right}", f"{number}/{min(len(parts), 8)}")


def role_keys(parts: Sequence[Segment], number: int) -> tuple[str, str, str]:
    """Return the survey's keys for the role of a piece: its delimiters, and its place from either end."""
    part = parts[number]
    start, end = min(number, 3), min(len(parts) - 1 - number, 3)
    return (
        f"{min(start, 2)}{min(end, 2)}|{part.left}|{part.right}",
        f"s{start}|{part.left}|{parts[0].right if number else part.right}",
        f"e{end}|{part.left}|{part.right}",
    )


def text_key(text: str) -> str:
    """Return a text as the survey counts it: folded words, with numbers unified."""
    return _DIGITS.sub("0", plain(text))


def affix_words(title: str) -> list[str]:
    """Return the words of a title as in heads, tails and phrases: folded, numbers unified, years as `0000`."""
    return [
        "0000" if _YEAR.fullmatch(token) else _DIGITS.sub("0", fold(token)) if not token.isalpha() else fold(token)
        for token in _TOKEN.findall(title)
    ]


def raw_words(title: str) -> list[str]:
    """Return the same words as the title writes them."""
    return _TOKEN.findall(title)


def _nicknames(line: str, lexicon: Lexicon) -> list[tuple[int, int]]:
    """Return the positions of nicknames inside names."""
    found = [match.span(1) for match in _NICKNAME.finditer(line)] if "(" in line else []
    for match in _QUOTED.finditer(line):
        edges = match[1], match[3]
        named = any(lexicon.score(word) > 0 or fold(word) in lexicon.given for word in edges)
        if named and not any(lexicon.is_word(word) for word in edges):
            found.append(match.span(2))
    return found


def _inside_a_nickname(mark: tuple[int, int, str], nicknames: Sequence[tuple[int, int]]) -> bool:
    """Return whether a bracket or a quote is inside a name (`Ada (Addie) Byron`)."""
    return any(
        start - 3 <= mark[0] and mark[1] <= end + 3 and mark[2] in ("open", "close", "quote")
        for start, end in nicknames
    )


def _inside_a_name(line: str, marks: Sequence[tuple[int, int, str]], number: int, lexicon: Lexicon) -> bool:
    """Return whether several spaces are inside one name (`Ada  Byron`) and not between two pieces."""
    start, end, kind = marks[number]
    if kind != "wide":
        return False
    left = line[marks[number - 1][1] if number else 0 : start].split()
    right = line[end : marks[number + 1][0] if number + 1 < len(marks) else len(line)].split()
    initialled = len(left) == len("AB") and len(left[1].strip(".")) == 1
    if end - start > len("  ") or len(right) != 1 or not (len(left) == 1 or initialled):
        return False
    seen = lexicon.nameness(" ".join(left + right))
    return seen.chance > _A_NAME and seen.least > _SURE_WORD


def _introduces(line: str, at: int, lexicon: Lexicon) -> bool:
    """Return whether the word at a position ("von") is between a title and a name, and not inside a name."""
    before = line[:at].split()[-1:]
    return bool(before) and lexicon.is_word(before[0].strip("\"'.,?!()"))


def _follows_a_name(line: str, at: int, lexicon: Lexicon) -> bool:
    """Return whether the words before a position ("on") are a name."""
    before = line[:at].split()[-_FULL_NAME:]
    return len(before) == _FULL_NAME and lexicon.nameness(" ".join(before)).chance > _A_NAME


def _shared_cuts(line: str, survey: Survey) -> Iterator[tuple[int, str, float]]:
    """Yield the cuts around the words that many titles have, unless more titles have the whole piece."""
    tokens = list(_TOKEN.finditer(line))
    shown = affix_words(line)
    squeezed = ""
    for number in range(min(len(tokens) - 1, _LONGEST_AFFIX)):
        squeezed += shown[number]
        if squeezed in survey.squeezed_heads:
            yield tokens[number].end(), "head", 0
    squeezed = ""
    for number in range(len(tokens) - 1, max(0, len(tokens) - 1 - _LONGEST_AFFIX), -1):
        squeezed = shown[number] + squeezed
        if squeezed in survey.squeezed_tails:
            yield tokens[number].start(), "tail", survey.squeezed_tails[squeezed] / _FAR
    for phrase, count in survey.phrases.items():
        size = phrase.count(" ") + 1
        for at in range(len(tokens) - size + 1):
            if shown[at] == phrase[: len(shown[at])] and " ".join(shown[at : at + size]) == phrase:
                yield tokens[at].start(), "phrase", count / _FAR
                yield tokens[at + size - 1].end(), "phrase", count / _FAR


def _pieces(line: str, marks: Sequence[tuple[int, int, str]]) -> list[Segment]:
    """Return the text between the marks; the kinds of adjacent delimiters are joined by `+`."""
    found: list[Segment] = []
    start, left = 0, ""
    for begin, end, kind in marks:
        text = line[start:begin].strip()
        if text:
            at = line.index(text, start)
            found.append(Segment(at, at + len(text), text, left, kind))
            left = kind
        else:
            if kind in ("by", "host") and left in _PAUSES:
                left = kind
            elif not left.endswith(kind):
                left = f"{left}+{kind}" if left else kind
            if found:
                found[-1] = found[-1]._replace(right=left)
        start = max(start, end)
    text = line[start:].strip()
    if text:
        at = line.index(text, start)
        found.append(Segment(at, at + len(text), text, left, ""))
    return found


def _names_at_the_edges(piece: Segment, lexicon: Lexicon, survey: Survey | None) -> list[int]:
    """Return the cuts for a name that begins or ends a longer piece."""
    tokens = list(_SPACED.finditer(piece.text))
    if len(tokens) <= 2:  # noqa: PLR2004  # a first name and a surname: nothing is left to cut off
        return []
    like = [_like_a_name(token.group(), lexicon) for token in tokens]
    if survey is not None and survey.rows > _FEW:
        like = [
            each and survey.common.get(_folded(token.group()), 0) - 1 < _COMMON * (survey.rows - 1)
            for each, token in zip(like, tokens, strict=True)
        ]
    if not like[0] and not any(like[-2:]):
        return []
    length = _name_length(tokens, like, lexicon) if like[0] else 0
    if length == len(tokens) or all(token.group().strip("'()").isdigit() for token in tokens[length:]):
        return []  # "Rocky Mountain 2031" is an event
    if length > 1:
        return [piece.start + tokens[length - 1].end()]
    for length in range(min(_LONGEST_NAME, len(tokens) - 1), 1, -1):
        if not like[-length - 1] and _name_length(tokens[-length:], like[-length:], lexicon) == length:
            return [piece.start + tokens[-length].start()]
    return []


def _folded(token: str) -> str:
    """Return a word with its punctuation as the survey counts it."""
    return "".join(affix_words(token)[:1])


def _like_a_name(token: str, lexicon: Lexicon) -> bool:
    seen = lexicon.nameness(token)
    return seen.shape in ("I", "p") or (seen.shape in ("C", "U", "M") and seen.first > _SURE_WORD)


def _name_length(tokens: Sequence[re.Match[str]], like: Sequence[bool], lexicon: Lexicon) -> int:
    """Return how many of the first tokens are a name that begins with a known first name or an initial."""
    seen = lexicon.nameness(tokens[0].group())
    if tokens[0].group() in _NO_INITIALS:
        return 0
    if seen.shape != "I" and not (seen.shape in ("C", "U") and (seen.first >= _SURE_FIRST_NAME or seen.given)):
        return 0
    length = 1
    while length < min(len(tokens), _LONGEST_NAME) and like[length]:
        length += 1
    while length > 1 and lexicon.nameness(tokens[length - 1].group()).shape in ("p", "I"):
        length -= 1  # "Jane Doe A Web App": no name ends in a particle, and few in an initial
    return length
