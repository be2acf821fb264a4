"""Two ways to read a title without asking anybody.

`rubyevents` does what `YouTube::VideoMetadata` of github.com/rubyevents/rubyevents does (MIT licence,
app/models/youtube/video_metadata.rb as of 2026-08), rule by rule, written anew. `split` is what most people write
first.
"""

from __future__ import annotations

import re

_PEOPLE = re.compile(r" & |, | and ")
_BY = " by "


def rubyevents(title: str, event: str) -> tuple[str, list[str]]:
    """The event's name goes; what follows the last ` by ` is the speakers.

    Without a ` by ` the whole is taken for the speakers and the title is empty, as there. A keynote keeps its whole
    title; so do lightning talks, which have no speakers.
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
    """A title without one separator at its start and one at its end."""
    return re.sub(r"[-:,]$", "", re.sub(r"^[-:]?", "", title).strip()).strip()


_SEPARATORS = re.compile(r"\s+[-–—|/]+\s+|\s*\|\s*|\s{2,}|\s+by\s+|:\s+")  # noqa: RUF001 -- dashes that titles have
_NAME = re.compile(r"(?:[A-Z][\w.'’-]*)(?: (?:[a-z]{1,3} )?[A-Z][\w.'’-]*){1,2}")  # noqa: RUF001 -- an apostrophe, too


def split(title: str, event: str) -> tuple[str, list[str]]:
    """The first part that is made of names is the presenters; the longest of the others is the title.

    Parts that hold a year are taken for the event.
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
