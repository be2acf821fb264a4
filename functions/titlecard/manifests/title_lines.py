"""The lines of a list of titles, perhaps each with the id or the address of its video.

People write the address before or after the title, or as a link in Markdown, or let yt-dlp print both (`--print`). The
names of yt-dlp's files contain the id.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from titlecard.manifests.column_names import looks_like_an_id
from titlecard.manifests.errors import NoTalk

if TYPE_CHECKING:
    from collections.abc import Sequence

_BETWEEN = r"[ \t]*[|,;\t][ \t]*|:?[ \t]+(?:- )?"
_ID_FIRST = re.compile(rf"([A-Za-z0-9_-]{{11}})(?:{_BETWEEN})(?=\S)")
_ID_LAST = re.compile(
    r"(?:(?<=[\s|,;])([A-Za-z0-9_-]{11})|[\[(]([A-Za-z0-9_-]{11})[\])](?:\.\w{2,5})*"
    r"|[-_ ]([A-Za-z0-9_-]{11})\.(?:mp4|mkv|webm|avi|mov|flv|m4a|mp3|json|vtt|srt))$"
)
_ADDRESS_FIRST = re.compile(rf"<?(https?://[^\s<>|;,]+)>?(?:{_BETWEEN})(?=\S)")
_ADDRESS_LAST = re.compile(r"(?:(?<=[\s|,;])|[<(])(https?://[^\s<>|;,]+?)[>)]?$")
_ADDRESS = re.compile(r"https?://[^\s<>]+")

_ID_LAST_CHARACTERS, _ADDRESS_LAST_CHARACTERS = 60, 2_000
"""The number of characters at the end of a line that are searched for an id, and for an address."""

_BULLET = re.compile(r"^(?:[-\u2022][ \t]+|\*[ \t]+(?!.*\*))(?:\[[ xX]\][ \t]+)?(?=\S)")

_NUMBER = r"(\d{1,4})[.)][ \t]+(?=\S)"
_TIME = r"[(\[]?(?:\d{1,2}:)?\d{1,2}:\d\d[)\]]?(?:[ \t]*[-\u2013\u2014|])?[ \t]+(?=\S)"
_PLACE = re.compile(f"{_NUMBER}|{_TIME}")
"""The number of a line in its list, or the time at which a part of a video begins."""

_LINK = re.compile(r"\[([^\[\]]{1,300})\]\((https?://[^\s()]{1,2000})\)")
"""A link in Markdown."""

_LINK_LABELS = frozenset({"video", "youtube", "vimeo", "watch", "recording", "link", "slides"})
"""The texts of links that are not part of a title; the last one does not lead to the video."""

_EMPTIED = re.compile(r"[ \t]{0,5}(?:\([\W_]{0,20}\)|\[[\W_]{0,20}\])")
"""Brackets without a word."""

_HEADING = re.compile(r"#{1,6}[ \t]+\S")
"""A heading or remark in a list in Markdown; a title such as `#noestimates` has no space there."""

_MISSING = "NA"
"""What yt-dlp prints in place of an unknown title."""


def title_line(line: str, *, ids: bool, numbered: bool) -> dict[str, str | None]:
    """Return the title in a line, with the `id` or `url` of its video; the title itself if there is neither.

    Args:
        ids: whether the lines of this list contain ids. An English word of eleven letters has the form of YouTube's
            ids, so a single line does not prove that.
        numbered: whether the lines of this list begin with numbers or times, by `are_numbered`.

    Raises:
        NoTalk: the line is a heading.
    """
    if is_heading(line):
        raise NoTalk("A heading in the list of titles.")
    line = without_number(line) if numbered else line
    text = _BULLET.sub("", line, count=1)
    if "://" in text and (found := title_and_address(text)):
        return {"title": _known(found[0]), "url": found[1]}
    if ids and (found := title_and_id(line.strip())):
        return {"title": _known(found[0]), "id": found[1]}
    return {"title": text, "id": text}


def is_heading(line: str) -> bool:
    """Return whether a line is a heading of Markdown."""
    return line.startswith("#") and _HEADING.match(line) is not None


def are_numbered(written: Sequence[str]) -> bool:
    """Return whether all these lines begin with a time, or with numbers that count the lines."""
    begun = [_PLACE.match(line) for line in written if not is_heading(line)]
    numbers = [int(it[1]) for it in begun if it and it[1]]
    counted = all(number in {1, before + 1} for before, number in pairwise(numbers))  # from 1 again in each section
    return len(begun) > 1 and all(begun) and counted and len(numbers) in {0, len(begun)}


def without_number(line: str) -> str:
    """Return a line without the number or time at its beginning."""
    place = _PLACE.match(line)
    return line[place.end() :] if place else line


def title_and_address(text: str) -> tuple[str, str] | None:
    """Return the title and the address in a line; None if it has no address beside a title."""
    text = text.strip()
    if text.startswith("[") and text.endswith(")"):  # a link in Markdown
        title, _, address = text[1:-1].rpartition("](")
        if title and _ADDRESS.fullmatch(address):
            return title, address
    if "](" in text and (links := [it.groups() for it in _LINK.finditer(text)]):
        title = _EMPTIED.sub("", _LINK.sub(_text_of_link, text)).strip(" \t-|,:\u2013\u2014\u00b7")
        addresses = [address for label, address in links if label.casefold() != "slides"]
        return (title, addresses[0]) if title and addresses else None
    if found := _ADDRESS_FIRST.match(text):
        return text[found.end() :], found[1]
    found = _ADDRESS_LAST.search(text, max(0, len(text) - _ADDRESS_LAST_CHARACTERS))
    title = _before(text, found)
    return (title, found[1]) if found and title else None


def title_and_id(text: str) -> tuple[str, str] | None:
    """Return the title and the id in a line; None if neither its first nor its last word has the form of an id."""
    first = _ID_FIRST.match(text)
    last = _ID_LAST.search(text, max(0, len(text) - _ID_LAST_CHARACTERS))
    at_end = next(filter(None, last.groups())) if last else ""
    if first and (looks_like_an_id(first[1]) or not looks_like_an_id(at_end)):
        return text[first.end() :], first[1]
    title = _before(text, last)
    return (title, at_end) if title else None


def _before(text: str, found: re.Match[str] | None) -> str:
    """Return the title before what was found, without the mark between them."""
    return text[: found.start()].rstrip(" \t|,;").removesuffix(" -").rstrip() if found else ""


def _text_of_link(link: re.Match[str]) -> str:
    return "" if link[1].casefold() in _LINK_LABELS else link[1]


def _known(title: str) -> str | None:
    return title if title != _MISSING else None
