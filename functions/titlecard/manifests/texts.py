"""Repairs of a row's texts before they become a video: HTML escapes, wrong encodings, truncation.

Only certain repairs are made; the rest of a text stays as its owner wrote it.
"""

from __future__ import annotations

import html
import re
from html.entities import html5
from typing import TYPE_CHECKING

from titlecard.domain.mojibake import repair

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
"""An escape with its semicolon: browsers accept some without, but `&copy_from` is code, `?a=1&para=2` an address."""

_LIVE_DATE = re.compile(r"\s\d{4}-\d\d-\d\d \d\d:\d\d$")
"""The date that yt-dlp appends to the title of a live video (yt_dlp/YoutubeDL.py, `process_video_result`)."""

_CUT_OFF = ("...", "…")

TITLE_CHARACTERS = 100
"""The most characters of a title on YouTube (YouTube Data API, `snippet.title`)."""

_CUT_FROM = 60
"""The fewest characters of a title whose ellipsis means truncation; a shorter title ends with one on purpose."""

_WHOLE_CHARACTERS = 300
"""The most characters of a title that may have been cut off, and of its rest: a bound on the time that it takes."""

_ALIKE_CHARACTERS = 20
"""The fewest characters of a title that the description must repeat before the title's rest is taken from it."""

_LINES = 60
_BEGINNINGS = re.compile("^|\\s[-\u2013—|:/·•]\\s|:\\s|[|\u2013—]\\s?")
_ENDS = re.compile("(?<=[a-z)\\d][.!?])\\s|\\s[-|\u2013—]\\s")
_LEAD = re.compile(
    '(?:<[^<>]{1,20}>|[\\s"\u201c\u201e«*•>-])*+(?:(?:talk|title|session|titel|titre|t[ií]tulo|titolo|vortrag) ?: ?)?'
    '["\u201c\u201e«]?',
    re.IGNORECASE,
)
"""What may stand before a title in a description: a tag, a bullet, a label, a quotation mark."""

_CLOSERS = {'"': '"', "\u201c": "\u201d", "\u201e": "\u201c", "«": "»", ">": "<"}


def unescaped(text: str) -> str:
    """Return the text with HTML escapes decoded once."""
    return _ENTITY.sub(_decoded, text) if "&" in text else text


def _decoded(entity: re.Match[str]) -> str:
    """Return the character of an escape; a name that HTML does not have stays, even if it begins like another."""
    known = entity[0].startswith("&#") or entity[0][1:] in html5
    return html.unescape(entity[0]) if known else entity[0]


def mended(text: str, *, escaped: bool) -> str:
    """Return a text in its intended encoding and characters."""
    return repair(unescaped(text) if escaped else text)


def without_live_date(title: str) -> str:
    """Return the title without the date and time that yt-dlp appends."""
    cut = _LIVE_DATE.sub("", title)
    return cut.rstrip(" -|\u2013") if cut != title else title


def whole_title(title: str, description: str) -> str:
    """Complete a title that YouTube truncated from the description, if that has the rest."""
    dotted = title.endswith(_CUT_OFF)
    least = _CUT_FROM if dotted else TITLE_CHARACTERS - 1
    if not least <= len(title) <= _WHOLE_CHARACTERS or not description:
        return title
    bare = title.removesuffix("...").removesuffix("…").rstrip() if dotted else title
    lines = list(_lines(description))
    for beginning in _BEGINNINGS.finditer(bare):
        known = bare[beginning.end() :]
        if len(known) < _ALIKE_CHARACTERS:
            break
        for line in lines:
            if len(line) > len(known) and line[: len(known)].casefold() == known.casefold():
                rest = _rest(line, len(known))
                if dotted or (rest[:1].isalnum() and known[-1:].isalnum()):
                    return bare[: beginning.end()] + line[: len(known)] + rest
    return title


def _lines(description: str) -> Iterator[str]:
    """Yield the first lines of a description, each also without the text around a title in it."""
    for line in map(str.strip, description.splitlines()[:_LINES]):
        yield line
        lead = _LEAD.match(line)
        if lead and lead[0]:
            yield line[lead.end() :].partition(_CLOSERS.get(lead[0][-1], "\n"))[0].strip()


def _rest(line: str, start: int) -> str:
    """Return the rest of the line, up to the end of a sentence if it is long."""
    rest = line[start:]
    end = _ENDS.search(rest)
    if end:
        rest = rest[: end.start()].removesuffix(".")
    return rest if len(rest) <= _WHOLE_CHARACTERS else ""
