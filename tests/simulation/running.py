"""Runs many schedules, and tallies them, their steps, their faults and their broken promises."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.shrinking import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.simulation.production import Code
    from tests.simulation.shrinking import Outcome


@dataclass
class Tally:
    """The results of schedules. `seconds` is the processor time of all threads."""

    schedules: int = 0
    steps: int = 0
    checks: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def count(self, outcome: Outcome) -> None:
        """Add the result of a schedule."""
        self.schedules += 1
        self.steps += outcome.steps
        self.checks += outcome.checks
        self.faults += outcome.faults
        if outcome.failure:
            self.failed.append(outcome)

    def add(self, part: Tally) -> None:
        """Add the results of other schedules."""
        self.schedules += part.schedules
        self.steps += part.steps
        self.checks += part.checks
        self.seconds += part.seconds
        self.faults += part.faults
        self.failed += part.failed

    def __str__(self) -> str:
        """Return a table for people."""
        lines = [
            (
                f"{self.schedules:,} schedules, {self.steps:,} steps, {self.checks:,} writes checked, "
                f"{self.seconds:,.1f} s of CPU, {self.schedules / max(self.seconds, 1e-9):,.0f} schedules a second; "
                f"{len(self.failed)} failed"
            ),
            *(f"{number:>12,}  {name}" for name, number in sorted(self.faults.items())),
        ]
        return "\n".join(lines)


def through(code: Code, seeds: Iterable[int], *, most_failures: int = 1, like: Mapping[str, Any] = {}) -> Tally:
    """Run schedules until `most_failures` have failed.

    Args:
        like: the fixed parts of their plans, which are not drawn.
    """
    tally = Tally()
    began = time.process_time()
    for seed in seeds:
        tally.count(run(code, seed, like=like))
        if len(tally.failed) == most_failures:
            break
    tally.seconds = time.process_time() - began
    return tally
