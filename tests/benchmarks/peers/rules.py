"""Two rules that read a title without a model.

`rubyevents` does what `YouTube::VideoMetadata` of github.com/rubyevents/rubyevents does (MIT licence,
app/models/youtube/video_metadata.rb as of 2026-08), rule by rule, in our own code. `split` is what most people write
first.
"""

from __future__ import annotations

import re

_PEOPLE = re.compile(r" & |, | and ")
_BY = " by "


def rubyevents(title: str, event: str) -> tuple[str, list[str]]:
    """Remove the event's name; take what follows the last ` by ` as the speakers.

    Without a ` by `, all of it becomes the speakers and the title is empty, as in the original. A keynote keeps its
    whole title; so do lightning talks, which have no speakers.
    """
    bare = _trimmed(re.sub(r"\s+", " ", title.replace(event, "")))
    *before, last = bare.split(_BY)
    if re.search("lightning talks", bare, re.IGNORECASE):
        return _trimmed(bare), []
    people = [name.strip() for name in _PEOPLE.split(last)]
    if re.search("keynote", bare, re.IGNORECASE):
        return _trimmed(bare), people
    return _trimmed(re.sub(r"^\s*-", "", _BY.join(before)).strip()), people


def _trimmed(title: str) -> str:
    """Remove one separator at the start of a title and one at its end."""
    return re.sub(r"[-:,]$", "", re.sub(r"^[-:]?", "", title).strip()).strip()


_SEPARATORS = re.compile(r"\s+[-–—|/]+\s+|\s*\|\s*|\s{2,}|\s+by\s+|:\s+")  # noqa: RUF001 -- dashes that titles have
_NAME = re.compile(r"(?:[A-Z][\w.'’-]*)(?: (?:[a-z]{1,3} )?[A-Z][\w.'’-]*){1,2}")  # noqa: RUF001 -- an apostrophe, too


def split(title: str, event: str) -> tuple[str, list[str]]:
    """Take the first part made of names as the presenters, and the longest of the others as the title.

    Parts that contain a year count as the event.
    """
    del event
    parts = [part.strip() for part in _SEPARATORS.split(title) if part.strip()]
    parts = [part for part in parts if not re.search(r"\b(?:19|20)\d\d\b", part)] or parts
    for part in parts:
        people = [name.strip() for name in _PEOPLE.split(part)]
        if len(parts) > 1 and all(_NAME.fullmatch(name) for name in people):
            return max((it for it in parts if it is not part), key=len), people
    return max(parts, key=len), []


RULES = {"rubyevents": rubyevents, "split": split}
