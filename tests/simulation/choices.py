"""What a schedule is made of: choices, each with a name, nearly all of which come out as 0, "nothing happens".

A choice's name is who makes it and which of its choices it is, so leaving one out changes as little as possible of the
others. A schedule is its seed; a shrunk one is what is left of its choices.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Name = tuple[str, int]


class Choices:
    """The choices of one schedule: drawn from a seed, or those that were kept.

    Args:
        seed: what they are drawn from.
        kept: the choices that are not 0, when a schedule is replayed.
    """

    def __init__(self, seed: int, kept: Mapping[Name, int] | None = None) -> None:
        self.made: dict[Name, int] = {}
        self._draw = Random(seed).random  # noqa: S311 -- a schedule, no secret
        self._kept = kept
        self._count: dict[str, int] = {}
        self.quiet = False

    def __call__(self, who: str, chance: float, number: int = 2) -> int:
        """Something out of 1 … `number` - 1 with this chance, otherwise 0.

        Args:
            who: makes the choice.
            chance: that it is not 0.
            number: how many ways it can come out.
        """
        if self.quiet or number < 2:
            return 0
        place = self._count.get(who, 0)
        self._count[who] = place + 1
        name = (who, place)
        if self._kept is not None:
            value = self._kept.get(name, 0)
            value = value if value < number else 0
        else:
            drawn = self._draw()
            value = 1 + int(drawn / chance * (number - 1)) if drawn < chance else 0
        if value:
            self.made[name] = value
        return value
