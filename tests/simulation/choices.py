"""The choices that make up a schedule. Each has a name; nearly all are 0, "nothing happens".

A choice's name consists of its maker and a running number, so that leaving one out changes few of the others. A seed
determines a schedule; a shrunk schedule is the rest of its choices.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Name = tuple[str, int]


class Choices:
    """The choices of one schedule, drawn from a seed or replayed.

    Args:
        seed: the seed of the random numbers.
        kept: the choices of a replayed schedule that are not 0; None draws them.
    """

    def __init__(self, seed: int, kept: Mapping[Name, int] | None = None) -> None:
        self.made: dict[Name, int] = {}
        self._draw = Random(seed).random  # noqa: S311 -- a schedule, no secret
        self._kept = kept
        self._count: dict[str, int] = {}
        self.quiet = False

    def __call__(self, who: str, chance: float, number: int = 2) -> int:
        """Return one of 1 … `number` - 1 with probability `chance`, otherwise 0.

        Args:
            who: the name of the choice's maker.
            chance: the probability of a value other than 0.
            number: the number of possible values.
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
