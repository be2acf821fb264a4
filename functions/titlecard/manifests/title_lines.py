"""The lines of a list of titles, perhaps each with the id or the address of its video.

People write the address before or behind the title, as a link in Markdown, or let yt-dlp print both (`--print`); its
files have the id in their names.
"""

from __future__ import annotations

import re

from titlecard.manifests.errors import NoTalk

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
"""The characters at the end of a line that are searched for an id and for an address."""

_BULLET = re.compile(r"^(?:[-\u2022][ \t]+|\*[ \t]+(?!.*\*))(?=\S)")

_HEADING = re.compile(r"#{1,6}[ \t]+\S")
"""A heading or remark in a list in Markdown; a title such as `#noestimates` has no space there."""

_MISSING = "NA"
"""What yt-dlp prints in place of an unknown title."""


def title_line(line: str, *, ids: bool) -> dict[str, str | None]:
    """Return the title in a line, with the `id` or `url` of its video; the title itself if there is neither.

    Args:
        ids: whether the lines of this list contain ids. An English word of eleven letters has the form of YouTube's
            ids, so a single line does not prove that.

    Raises:
        NoTalk: the line is a heading.
    """
    if line.startswith("#") and _HEADING.match(line):
        raise NoTalk("A heading in the list of titles.")
    text = _BULLET.sub("", line, count=1)
    if "://" in text and (found := title_and_address(text)):
        return {"title": _known(found[0]), "url": found[1]}
    if ids and (found := title_and_id(line.strip())):
        return {"title": _known(found[0]), "id": found[1]}
    return {"title": text, "id": text}


def title_and_address(text: str) -> tuple[str, str] | None:
    """Return the title and the address in a line; None if it has no address beside a title."""
    text = text.strip()
    if text.startswith("[") and text.endswith(")"):  # a link in Markdown
        title, _, address = text[1:-1].rpartition("](")
        if title and _ADDRESS.fullmatch(address):
            return title, address
    if found := _ADDRESS_FIRST.match(text):
        return text[found.end() :], found[1]
    found = _ADDRESS_LAST.search(text, max(0, len(text) - _ADDRESS_LAST_CHARACTERS))
    title = _before(text, found)
    return (title, found[1]) if found and title else None


def title_and_id(text: str) -> tuple[str, str] | None:
    """Return the title and the id in a line; None if neither its first nor its last word has the form of an id."""
    if found := _ID_FIRST.match(text):
        return text[found.end() :], found[1]
    found = _ID_LAST.search(text, max(0, len(text) - _ID_LAST_CHARACTERS))
    title = _before(text, found)
    return (title, next(filter(None, found.groups()))) if found and title else None


def _before(text: str, found: re.Match[str] | None) -> str:
    """Return the title before what was found, without the mark between them."""
    return text[: found.start()].rstrip(" \t|,;").removesuffix(" -").rstrip() if found else ""


def _known(title: str) -> str | None:
    return title if title != _MISSING else None
