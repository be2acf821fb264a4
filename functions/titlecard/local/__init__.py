"""The local tier: title and presenters of one video, without a token.

`parse` is pure, never raises on any video, and looks at a bounded part of its text, so that a hostile description costs
no more than a long one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from titlecard.local.segments import LONGEST, Segment, segments
from titlecard.text import normalise, without_addresses, words

if TYPE_CHECKING:
    from titlecard.survey import Survey
    from titlecard.video import Video

_DESCRIPTION = 4000
_NAME = re.compile(r"(?:(?:[^\W\d_a-zа-яà-þ][^\W\d_]*['’.-]?)+|de|da|do|del|la|van|von|der|den|di|bin|al|el)")
_EVENT = re.compile(r"\b(?:19|20)\d\d\b|conf\b|^py|meetup|summit|day \d", re.IGNORECASE)
_CUE = re.compile(r"(?im)^\W*(?:speakers?|presenters?|presented by|by|por|par|von)\b[\s:,]*(?P<names>[^\n]{3,200})")
_CONFIDENCE = {"title": 0.85, "description": 0.8, "nobody": 0.8}


@dataclass(frozen=True)
class LocalAnswer:
    """What the local tier makes of a video.

    `confidence` is the calibrated probability (0 to 1) that title and presenters are both right; `sure` says that it
    passes the threshold of its `source`: `title`, `description` or `nobody` (where the names were found).
    """

    title: str
    presenters: tuple[str, ...]
    confidence: float
    sure: bool
    source: str


def parse(video: Video, survey: Survey) -> LocalAnswer:
    """Title and presenters of a video, given what its batch has in common."""
    title = normalise(video.title)
    if len(title) > LONGEST or not words(title):
        return LocalAnswer(title or video.title, (), 0.0, sure=False, source="nobody")
    parts = segments(title)
    kept = [part for part in parts if not _shared(part, survey)] or parts
    names = [part for part in (kept[0], *kept[1:][-3:]) if len(kept) > 1 and _is_name(part.text)]
    rest = [part for part in kept if part not in names] or parts
    presenters = tuple(part.text.strip() for part in names)
    source = "title" if presenters else "nobody"
    if not presenters:
        presenters = _described(normalise(video.description[:_DESCRIPTION]))
        source = "description" if presenters else "nobody"
    confidence = _CONFIDENCE[source]
    return LocalAnswer(title[rest[0].start : rest[-1].end].strip(), presenters, confidence, sure=False, source=source)


def _shared(part: Segment, survey: Survey) -> bool:
    """Whether a segment belongs to the event and not to the talk."""
    often = survey.recurring.get(" ".join(words(part.text)), 0)
    return often > max(2, survey.rows * 0.3) or (part.right == "" and bool(_EVENT.search(part.text)))


def _is_name(text: str) -> bool:
    parts = text.split()
    return 2 <= len(parts) <= 4 and all(_NAME.fullmatch(part) for part in parts)  # noqa: PLR2004  # first, middle, last


def _described(description: str) -> tuple[str, ...]:
    """The names on the first line that announces speakers."""
    match = _CUE.search(without_addresses(description))
    if not match:
        return ()
    return tuple(part.text.strip() for part in segments(match["names"]) if _is_name(part.text))
