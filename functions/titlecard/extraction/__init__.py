"""The local tier: title and presenters of one video, without a token.

    title ─► pieces ─► labels ─┬─ names in the title ────────────────────┐
                               └─ none: description ─► possible names ─► labels ─► answer ─► confidence

`parse` is pure, never raises on any video, and reads a bounded part of its text, so that a hostile description costs no
more than a long one. Nothing here is a dataclass: importing `dataclasses` would take a sixth of the import time.
"""

from __future__ import annotations

from itertools import islice
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
from titlecard.extraction.people import clean, is_one_of, joined, written_out
from titlecard.extraction.segments import LONGEST
from titlecard.extraction.titles import NAME, TITLE, TitleView, by_convention, completed, title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.domain.video import Policy, Video
    from titlecard.extraction.model import Model
    from titlecard.extraction.survey import Survey

_CERTAINLY = 0.7
"""A title that is only a name counts as a person's name if its chance is above this."""

_MORE_LIKELY_THAN_NOT = 0.5
"""The lowest confidence at which people in the text other than the given presenters are reported."""

_POSSIBLE = 0.1
"""A name that the answer does not use is a candidate if its chance is above this."""

_MOST_CANDIDATES = 5

_LIKELY = 0.4
"""A text may be a name, or the long form of a short one, if its chance to be a name is above this."""

IN_TITLE, IN_DESCRIPTION, NOBODY, GIVEN = "title", "description", "nobody", "given"
"""The sources of an answer: where its presenters are named. `given`: by the row itself, apart from its text."""


class LocalParse(NamedTuple):
    """The local tier's answer about a video.

    `confidence` is the calibrated probability (0 to 1) that title and presenters are both right; `sure` says that it
    passes the threshold of its `source`: `title`, `description` or `nobody` (where the presenters are named). The
    answer to a title that contains an injected instruction ("ignore the above ...") is never sure.

    If the row itself names its presenters (`given`), they are the answer's, and `others` are people whom the text names
    instead, more likely than not. `candidates` are names in the text that the answer does not use, but that may be
    presenters' names.
    """

    title: str
    presenters: tuple[str, ...]
    confidence: float
    sure: bool
    source: str
    others: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()

    def is_final(self, policy: Policy) -> bool:
        """Return whether no model is asked under this policy."""
        return policy == "local" or self.source == GIVEN or (policy == "auto" and self.sure)


def parse(video: Video, survey: Survey) -> LocalParse:
    """Return title and presenters of a video, given what its batch has in common."""
    return parse_with(shipped(), video, survey)


def parse_with(model: Model, video: Video, survey: Survey) -> LocalParse:
    """Parse with a model other than the shipped one."""
    seen = video.model_copy(update={"description": video.description[: 2 * LOOKED_AT]})
    found = read(model, seen.title, seen.description, survey, seen.presenters)
    if seen.presenters:
        return _with_given(model, seen, found)
    if found is None or ungrounded(found.title, found.presenters, seen) is not None:
        passed_over = found.candidates if found else ()
        title = one_line(video.title) or video.title
        return LocalParse(title, (), 0.0, sure=False, source=NOBODY, candidates=passed_over)
    confidence = trust(model, found.evidence)
    trusted = confidence >= model.thresholds[found.source] and not found.is_doubtful
    sure = trusted and not looks_like_injection(one_line(video.title))
    return LocalParse(found.title, found.presenters, confidence, sure, found.source, candidates=found.candidates)


def _with_given(model: Model, video: Video, found: Found | None) -> LocalParse:
    """Return the answer for a row that names its presenters."""
    title = one_line(video.title) or video.title
    if found is None or ungrounded(found.title, (), video) is not None:
        return LocalParse(title, video.presenters, 0.0, sure=False, source=GIVEN)
    confidence = trust(model, found.evidence)
    others = tuple(name for name in found.presenters if not is_one_of(name, video.presenters))
    return LocalParse(
        found.title,
        video.presenters,
        confidence,
        sure=not looks_like_injection(title),
        source=GIVEN,
        others=others if confidence >= _MORE_LIKELY_THAN_NOT else (),
    )


class Found(NamedTuple):
    """An answer before its confidence is known.

    `is_doubtful`: the title is only a name, or nobody is named, although most of the batch has what looks like one
    person's name.
    """

    title: str
    presenters: tuple[str, ...]
    source: str
    evidence: list[str]
    candidates: tuple[str, ...]
    is_doubtful: bool


def read(model: Model, title: str, description: str, survey: Survey, given: Sequence[str] = ()) -> Found | None:
    """Read title and description; return None for a title that is too long, or has no words.

    `given` are the presenters that the row names: a piece of the title that is one of them is not part of the answer's
    title.
    """
    title = one_line(title)
    if len(title) > LONGEST or not words(title):
        return None
    about = lines(description)
    view = TitleView(title, about, survey, model.lexicon)
    decoded = model.titles.decode(view.features(), view.kinds())
    if given:
        decoded = decoded._replace(labels=_with_names(view, decoded.labels, given))
    labels = by_convention(view, decoded, model.titles.labels, anywhere=bool(given))
    cleaned = title_of(title, view.parts, labels)
    if labels[-1] == TITLE:
        cleaned = completed(cleaned, about)
    pieces = [(part.text, part.left) for part, label in zip(view.parts, labels, strict=True) if label == NAME]
    names = joined(pieces, model.lexicon.given) or _whose_title(view, decoded.labels, labels)
    source = IN_TITLE if names else NOBODY
    name_state = model.titles.labels.index(NAME)
    possible = [
        part.text
        for part, row, chance in zip(view.parts, decoded.marginals, view.chances, strict=True)
        if row[name_state] > _POSSIBLE and chance > _LIKELY
    ]
    described = None
    if about:
        mentioned = DescriptionView(about, cleaned, survey, model.lexicon)
        persons = model.mentions.decode(mentioned.features())
        named = presenters_of(mentioned, persons, model.mentions.labels.index(PERSON))
        described = (mentioned, persons, named)
        person_state = model.mentions.labels.index(PERSON)
        possible += [
            mention.text
            for mention, row in zip(mentioned.found, persons.marginals, strict=True)
            if row[person_state] > _POSSIBLE
        ]
        told = clean(mentioned.found[n].text for n in named)
        if names:
            likely = [m.text for m, chance in zip(mentioned.found, mentioned.chances, strict=True) if chance > _LIKELY]
            names = written_out(clean(names), likely)
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
    is_doubtful = cleaned in presenters or (not presenters and view.may_be_of_one_person())
    passed_over = (name for name in clean(possible) if not is_one_of(name, presenters))
    return Found(cleaned, presenters, source, facts, tuple(islice(passed_over, _MOST_CANDIDATES)), is_doubtful)


def _with_names(view: TitleView, labels: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the labels, changed to `NAME` for the pieces that are given presenters."""
    return [
        NAME if len(view.parts) > 1 and part.text and is_one_of(part.text, given) else label
        for part, label in zip(view.parts, labels, strict=True)
    ]


def _whose_title(view: TitleView, before: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Return the names in a title that consists only of names."""
    kept = [n for n, label in enumerate(labels) if label == TITLE]
    is_a_name = all(before[n] == NAME and view.chances[n] > _CERTAINLY for n in kept)
    return [view.parts[n].text for n in kept] if is_a_name else []


def trust(model: Model, facts: list[str]) -> float:
    """Return the probability that an answer with this evidence is right."""
    return model.confidence.decode([facts]).marginals[0][model.confidence.labels.index(RIGHT)]
