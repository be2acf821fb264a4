"""What is put right in a row's text before it becomes a video: escapes of HTML, wrong encodings, what was cut off.

Only what is certain is changed; the rest of a text is as its owner wrote it.
"""

from __future__ import annotations

import html
import re

from titlecard.domain.mojibake import repair

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
"""With its semicolon: browsers know a few without, but `&copy_from` is code, and `?a=1&para=2` an address."""

_LIVE_DATE = re.compile(r"\s\d{4}-\d\d-\d\d \d\d:\d\d$")
"""What yt-dlp puts behind the title of a live video (yt_dlp/YoutubeDL.py, `process_video_result`)."""

_CUT_OFF = ("...", "…")

TITLE_CHARACTERS = 100
"""How long a title on YouTube is at most (YouTube Data API, `snippet.title`)."""

_CUT_FROM = 60
"""A shorter title that ends in an ellipsis ends so on purpose."""

_WHOLE_CHARACTERS = 300
_ALIKE_CHARACTERS = 20
"""So much of a title must stand in the description before the rest of it is taken from there."""

_LINES = 60
_BEGINNINGS = re.compile("^|\\s[-\u2013—|:/·•]\\s|:\\s|[|\u2013—]\\s?")
_ENDS = re.compile("(?<=[a-z)\\d][.!?])\\s|\\s[-|\u2013—]\\s")


def unescaped(text: str) -> str:
    """The text without HTML's escapes, decoded once."""
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text


def mended(text: str, *, escaped: bool) -> str:
    """A text in the encoding and with the characters that were meant."""
    return repair(unescaped(text) if escaped else text)


def without_live_date(title: str) -> str:
    """The title without the date and time that yt-dlp puts behind it."""
    return _LIVE_DATE.sub("", title).rstrip()


def whole_title(title: str, description: str) -> str:
    """The title that YouTube cut off at its limit, with the rest of it from the description, where it stands there."""
    dotted = title.endswith(_CUT_OFF)
    bare = title.removesuffix("...").removesuffix("…").rstrip() if dotted else title
    if len(title) < (_CUT_FROM if dotted else TITLE_CHARACTERS - 1) or not description:
        return title
    lines = [line.strip() for line in description.splitlines()[:_LINES]]
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


def _rest(line: str, start: int) -> str:
    """What follows in the line, up to the end of a sentence where it is long."""
    rest = line[start:]
    end = _ENDS.search(rest)
    if end:
        rest = rest[: end.start()].removesuffix(".")
    return rest if len(rest) <= _WHOLE_CHARACTERS else ""
