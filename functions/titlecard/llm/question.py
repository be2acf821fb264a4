"""A question to the model, ready to be paid for, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from titlecard.domain.money import Charge


@dataclass(frozen=True)
class Question:
    """One request that has not been sent.

    `bound` is the most that it can cost; it holds because the wire lets no body through that is larger than
    `max_body_bytes`.
    """

    prompt: str
    max_body_bytes: int
    bound: Charge


@dataclass(frozen=True)
class Answer:
    """What the model made of a video. Nobody has checked yet whether it is grounded.

    `charge` is what it cost by the provider's count, or the bound where the provider did not say (`usage_known` is
    False then). `above_bound` is the declared exception: it cost more than the bound, and the breaker has to open.
    """

    title: str
    presenters: tuple[str, ...]
    charge: Charge
    usage_known: bool = True
    above_bound: bool = False
