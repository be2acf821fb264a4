"""A line of text cut into the smallest pieces that can be a title, a name or a label of their own."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 1000
"""Characters of a title that are looked at. YouTube's own limit is 100 (videos resource, `snippet.title`)."""

_DELIMITER = re.compile(
    r"""
    (?P<by>   \s+\(?(?:presented\ by|by|por|par|von)\s+(?=[^\W\d_]) | ^(?:presented\ by|by|por|par|von)\s+(?=[^\W\d_]) )
  | (?P<and>  \s+(?:&|and|y|et|und|и)\s+ )
  | (?P<dash> \s+[-–—−]+(?:\s+|$) | ^[-–—−]+\s+ | \s*[–—]\s* )
  | (?P<pipe> \s*[|｜¦│•·]\s* )
  | (?P<slash>\s+/+\s+ )
  | (?P<at>   \s*@\s* )
  | (?P<colon>\s*[:：](?:\s+|$) )
  | (?P<open> \s*[(\[（【] )
  | (?P<close>[)\]）】]\s* )
  | (?P<quote>\s*["“”„«»「」『』]\s* )
  | (?P<comma>\s*(?:[,;]\s+|[、，；]) )
  | (?P<wide> \s{2,} )
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Segment(NamedTuple):
    """A piece of a line: where it starts and ends, its text, and the kinds of delimiter on either side."""

    start: int
    end: int
    text: str
    left: str
    right: str


def segments(line: str) -> list[Segment]:
    """The pieces of a normalised line, in order; delimiters are not part of any."""
    line = line[:LONGEST]
    found: list[Segment] = []
    start, left = 0, ""
    for match in _DELIMITER.finditer(line):
        kind = match.lastgroup or ""
        if line[start : match.start()].strip():
            found.append(Segment(start, match.start(), line[start : match.start()], left, kind))
            left = kind
        else:
            left = f"{left}+{kind}" if left else kind
            if found:
                found[-1] = found[-1]._replace(right=left)
        start = match.end()
    if line[start:].strip():
        found.append(Segment(start, len(line), line[start:], left, ""))
    return found
