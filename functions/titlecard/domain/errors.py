"""The domain's exceptions, and the safe quotation of a stranger's text in a message."""

from __future__ import annotations

import re

from titlecard.domain.text import normalise

EXCERPT_MAX = 200
"""The most characters of a stranger's text that a message may quote."""

_KEY = re.compile(r"\b(?:sk|key)-[\w*.-]{4,}")
"""The pattern of a provider's keys, including those that it masks with asterisks in a message about a wrong key."""


class DomainError(ValueError):
    """A value cannot be used; the message says why."""


class Unpriced(DomainError):
    """The model has no price in this service tier, so no request to it has a bound."""


class NotAPriceList(DomainError):
    """The text is not a valid price list."""


class NotABudget(DomainError):
    """The text is not an amount, or the amounts are not a budget; the message says what is valid."""


class AnswerTooLong(DomainError):
    """A person's answer for a video is too long to be stored."""


def excerpt(text: str, key: str = "") -> str:
    """Return a stranger's text, safe to quote and to store: one line of visible text, without the key, cut to length.

    It has at most `EXCERPT_MAX` characters, and none that DynamoDB or SQS refuses.
    """
    text = normalise(text)
    if key:
        text = text.replace(key, "[key]")
    text = " ".join(_KEY.sub("[key]", text).split())
    return text if len(text) <= EXCERPT_MAX else text[: EXCERPT_MAX - 1] + "…"
