"""From a tier's answer to a talk, and whether a person must review it.

An answer that is not grounded in the video's own text never becomes a talk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.domain.grounding import ungrounded
from titlecard.domain.mojibake import is_garbled
from titlecard.domain.money import Amount
from titlecard.domain.reasons import Review
from titlecard.domain.text import words
from titlecard.domain.video import Talk, Tier, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from titlecard.domain.video import Video
    from titlecard.extraction import LocalParse
    from titlecard.llm import Answer

GARBLED_CONFIDENCE = 0.5
"""The highest confidence in a talk with a garbled text, because its words are not the original ones."""

DISAGREES_FROM = 0.5
"""With at least this local confidence, a different answer of the model is a disagreement, not a correction."""


def by_local_tier(
    video: Video,
    answer: LocalParse,
    *,
    flaw: str | None = None,
    charged: Amount | None = None,
    model: str | None = None,
) -> Talk:
    """Return the local tier's answer as a talk; if it is not grounded, the given title without presenters.

    If the row itself names its presenters, the tier is `given`, and a text that names others is a reason for review.

    Args:
        flaw: why the model's answer could not be used, if the model was asked; it goes into `review`.
        charged: the cost of asking the model.
        model: the model that was asked.
    """
    charged = charged or Amount()
    title, presenters = answer.title, answer.presenters
    review = flaw or (Review.PRESENTERS_DISAGREE if answer.others else None if answer.sure else Review.LOW_CONFIDENCE)
    confidence = answer.confidence
    if ungrounded(title, presenters, video):
        title, presenters, review = video.title, video.presenters, Review.UNGROUNDED
    if _is_garbled(title, presenters):
        review, confidence = flaw or Review.GARBLED, min(confidence, GARBLED_CONFIDENCE)
    return Talk(
        title=title,
        presenters=presenters,
        tier=Tier.GIVEN if video.presenters else Tier.LOCAL,
        confidence=confidence,
        review=review,
        model=model,
        tokens=Tokens(input=charged.input_tokens, output=charged.output_tokens),
        cost_micro_usd=charged.micro_usd,
    )


def by_model(video: Video, local: LocalParse, answer: Answer, model: str, *, charged: Amount) -> Talk:
    """Return the model's answer as a talk; if it is not grounded, the local tier's, flagged.

    The model is asked to correct what the local tier was not sure of, so most differences between the two are intended,
    and flagging each would flag nearly all talks. A talk is flagged if the local tier was more likely right than wrong
    (its confidence is calibrated) and the model still names other people: then either may be wrong, and a site cannot
    see that a name is wrong. Titles differ by an editor's taste and are not flagged.
    """
    if ungrounded(answer.title, answer.presenters, video):
        return by_local_tier(video, local, flaw=Review.UNGROUNDED, charged=charged, model=model)
    disagree = local.confidence >= DISAGREES_FROM and _people(local.presenters) != _people(answer.presenters)
    garbled = _is_garbled(answer.title, answer.presenters)
    return Talk(
        title=answer.title,
        presenters=tuple(answer.presenters),
        tier=Tier.MODEL,
        confidence=min(local.confidence, GARBLED_CONFIDENCE) if garbled else local.confidence,
        review=Review.GARBLED if garbled else Review.TIERS_DISAGREE if disagree else None,
        model=model,
        tokens=Tokens(input=charged.input_tokens, output=charged.output_tokens),
        cost_micro_usd=charged.micro_usd,
    )


def _is_garbled(title: str, presenters: Iterable[str]) -> bool:
    return is_garbled(title) or any(map(is_garbled, presenters))


def _people(names: Iterable[str]) -> set[tuple[str, ...]]:
    """Return names in a form for comparison: without case, accents, punctuation and order."""
    return {tuple(words(name)) for name in names}
