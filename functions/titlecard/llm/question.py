"""A question to the model, ready to be paid for, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from titlecard.domain.money import Amount, Billing


@dataclass(frozen=True)
class Question:
    """One request that has not been sent.

    `bound` is the most that it can cost; it holds because the wire lets no body through that is larger than
    `max_body_bytes`.
    """

    prompt: str
    max_body_bytes: int
    bound: Amount


@dataclass(frozen=True)
class Answer:
    """What the model made of a video, and what that was billed. Nobody has checked yet whether it is grounded."""

    title: str
    presenters: tuple[str, ...]
    billing: Billing
