"""The local tier: title and presenters of one video, without a token.

    title ─► pieces ─► labels ─┬─ names in the title ────────────────────┐
                               └─ none: description ─► possible names ─► labels ─► answer ─► confidence

`parse` is pure, never raises on any video, and looks at a bounded part of its text, so that a hostile description costs
no more than a long one. Nothing here is a dataclass: `dataclasses` would be a sixth of what is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from titlecard.domain.grounding import ungrounded
from titlecard.domain.injection import looks_like_injection
from titlecard.domain.text import one_line, words
from titlecard.extraction.confidence import RIGHT, evidence
from titlecard.extraction.description import PERSON, DescriptionView
from titlecard.extraction.description import presenters as presenters_of
from titlecard.extraction.mentions import LONGEST as LOOKED_AT
from titlecard.extraction.mentions import lines
from titlecard.extraction.model import shipped
from titlecard.extraction.people import clean, written_out
from titlecard.extraction.segments import LONGEST
from titlecard.extraction.titles import NAME, TITLE, TitleView, by_convention, title_of

if TYPE_CHECKING:
    from titlecard.domain.video import Video
    from titlecard.extraction.model import Model
    from titlecard.extraction.survey import Survey

_LIKELY = 0.4
"""The chance from which on a possible name may be what a short form stands for."""

IN_TITLE, IN_DESCRIPTION, NOBODY = "title", "description", "nobody"
"""The sources of an answer: where its presenters are named."""


class LocalParse(NamedTuple):
    """What the local tier makes of a video.

    `confidence` is the calibrated probability (0 to 1) that title and presenters are both right; `sure` says that it
    passes the threshold of its `source`: `title`, `description` or `nobody` (where the presenters are named). The
    answer to a title that gives orders ("ignore the above ...") is never sure.
    """

    title: str
    presenters: tuple[str, ...]
    confidence: float
    sure: bool
    source: str


def parse(video: Video, survey: Survey) -> LocalParse:
    """Title and presenters of a video, given what its batch has in common."""
    return parse_with(shipped(), video, survey)


def parse_with(model: Model, video: Video, survey: Survey) -> LocalParse:
    """The same with a model that is not the shipped one."""
    seen = video.model_copy(update={"description": video.description[: 2 * LOOKED_AT]})
    found = read(model, seen.title, seen.description, survey)
    if found is None or ungrounded(found.title, found.presenters, seen) is not None:
        return LocalParse(one_line(video.title) or video.title, (), 0.0, sure=False, source=NOBODY)
    confidence = trust(model, found.evidence)
    sure = confidence >= model.thresholds[found.source] and not looks_like_injection(one_line(video.title))
    return LocalParse(found.title, found.presenters, confidence, sure, found.source)


class Found(NamedTuple):
    """An answer before anybody has said how far it is to be trusted."""

    title: str
    presenters: tuple[str, ...]
    source: str
    evidence: list[str]


def read(model: Model, title: str, description: str, survey: Survey) -> Found | None:
    """What title and description say; None for a title that is too long, or has no words."""
    title = one_line(title)
    if len(title) > LONGEST or not words(title):
        return None
    about = lines(description)
    view = TitleView(title, about, survey, model.lexicon)
    decoded = model.titles.decode(view.features())
    labels = by_convention(view, decoded, model.titles.labels.index(TITLE))
    cleaned = title_of(title, view.parts, labels)
    names = [part.text for part, label in zip(view.parts, labels, strict=True) if label == NAME]
    source = IN_TITLE if names else NOBODY
    described = None
    if about:
        mentioned = DescriptionView(about, cleaned, survey, model.lexicon)
        persons = model.mentions.decode(mentioned.features())
        named = presenters_of(mentioned, persons, model.mentions.labels.index(PERSON))
        described = (mentioned, persons, named)
        told = clean(mentioned.found[n].text for n in named)
        if names:
            likely = [m.text for m, chance in zip(mentioned.found, mentioned.chances, strict=True) if chance > _LIKELY]
            names = written_out(clean(names), likely, told)
        elif told:
            names, source = list(told), IN_DESCRIPTION
    presenters = clean(names)
    facts = evidence(
        source=source,
        names=presenters,
        labels=labels,
        survey=survey,
        title=(view, decoded),
        description=described,
    )
    return Found(cleaned, presenters, source, facts)


def trust(model: Model, facts: list[str]) -> float:
    """The probability that an answer with this evidence is right."""
    return model.confidence.decode([facts]).marginals[0][model.confidence.labels.index(RIGHT)]
