"""The lines of a list of titles, perhaps each with the id or the address of its video.

People write the address before or behind the title, as a link in Markdown, or let yt-dlp print both (`--print`); its
files have the id in their names.
"""

from __future__ import annotations

import re

from titlecard.manifests.errors import NoTalk

_ID = r"[A-Za-z0-9_-]{11}"
_ADDRESS = r"https?://[^\s<>|;,]+"
_MARK = r"[ \t]*[|,;\t][ \t]*"

_ID_FIRST = re.compile(rf"({_ID})(?:{_MARK}|:?[ \t]+(?:- )?)(\S.*)")
_ID_LAST = re.compile(
    rf"(\S.*?)(?:{_MARK}({_ID})|[ \t]+(?:- )?({_ID})|[ \t]*[\[(]({_ID})[\])](?:\.\w{{2,5}})*"
    rf"|[-_ ]({_ID})\.(?:mp4|mkv|webm|avi|mov|flv|m4a|mp3|json|vtt|srt))"
)
_ADDRESS_FIRST = re.compile(rf"<?({_ADDRESS})>?(?:{_MARK}|[ \t]+(?:- )?)(\S.*)")
_ADDRESS_LAST = re.compile(
    rf"\[(.+)\]\((https?://[^\s<>]+?)\)\s*|(\S.*?)(?:{_MARK}|[ \t]+(?:- )?)[<(]?({_ADDRESS}?)[>)]?\s*"
)

_BULLET = re.compile(r"^(?:[-\u2022][ \t]+|\*[ \t]+(?!.*\*))(?=\S)")

_HEADING = re.compile(r"#{1,6}[ \t]+\S")
"""A heading or remark in a list in Markdown; a title such as `#noestimates` has no space there."""

_MISSING = "NA"
"""What yt-dlp prints in place of an unknown title."""


def title_line(line: str, *, ids: bool) -> dict[str, str | None]:
    """Return the title in a line, with the `id` or `url` of its video; the title itself if there is neither.

    Args:
        line: the line.
        ids: whether the lines of this list contain ids. An English word of eleven letters has the form of YouTube's
            ids, so a single line does not prove that.

    Raises:
        NoTalk: the line is a heading.
    """
    if _HEADING.match(line):
        raise NoTalk("A heading in the list of titles.")
    text = _BULLET.sub("", line, count=1)
    if found := title_and_address(text):
        return {"title": _known(found[0]), "url": found[1]}
    if ids and (found := title_and_id(line.strip())):
        return {"title": _known(found[0]), "id": found[1]}
    return {"title": text, "id": text}


def title_and_address(text: str) -> tuple[str, str] | None:
    """Return the title and the address in a line; None if it has no address beside a title."""
    if found := _ADDRESS_FIRST.fullmatch(text):
        return found[2].strip(), found[1]
    if found := _ADDRESS_LAST.fullmatch(text):
        return (found[1], found[2]) if found[1] else (found[3], found[4])
    return None


def title_and_id(text: str) -> tuple[str, str] | None:
    """Return the title and the id in a line; None if neither its first nor its last word has the form of an id."""
    if found := _ID_FIRST.fullmatch(text):
        return found[2], found[1]
    if found := _ID_LAST.fullmatch(text):
        return found[1], next(filter(None, found.groups()[1:]))
    return None


def _known(title: str) -> str | None:
    return title if title != _MISSING else None
