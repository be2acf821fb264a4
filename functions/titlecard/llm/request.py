"""A request to the model with its bound, and the model's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from titlecard.domain.money import Amount, Billing


@dataclass(frozen=True)
class Request:
    """One request that has not been sent.

    `bound` is the most that it can cost; it holds because the fuse refuses any body larger than `max_body_bytes`.
    """

    prompt: str
    max_body_bytes: int
    bound: Amount


@dataclass(frozen=True)
class Answer:
    """The model's answer for a video, and its bill. The answer is not yet checked to be grounded."""

    title: str
    presenters: tuple[str, ...]
    billing: Billing
