"""Shrinks a failing schedule: leaves choices out as long as the same promise stays broken."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation.world import World

from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping

    from tests.simulation.choices import Name
    from tests.simulation.production import Code

REPLAYS = 600
"""The most schedules that shrinking runs."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a schedule; `failure` is None if all promises were kept."""

    seed: int
    failure: BaseException | None
    steps: int
    checks: int
    choices: Mapping[Name, int]
    faults: Counter[str]
    trace: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of the failure: its message without names and numbers that vary between schedules."""
        return f"{type(self.failure).__name__}: {re.sub(r'[^ ]*[0-9][^ ]*', '', str(self.failure))}"

    @property
    def promise(self) -> str:
        """The broken promise, or the type of another error."""
        kind = type(self.failure).__name__
        return str(self.failure).split(":", maxsplit=1)[0] if kind == "Violation" else kind


def run(
    code: Code,
    seed: int,
    kept: Mapping[Name, int] | None = None,
    *,
    tell: bool = False,
    like: Mapping[str, Any] = {},
) -> Outcome:
    """Run one schedule.

    Args:
        code: the driven modules.
        seed: the seed of the schedule.
        kept: the choices of a replayed schedule.
        tell: whether to keep the trace.
        like: the fixed parts of the plan, which are not drawn.
    """
    world = World(code, seed, kept, tell=tell, like=like)
    failure, level = None, logger.log_level
    logger.setLevel(logging.CRITICAL)  # a schedule discards its log
    try:
        world.run()
    except Exception as error:  # noqa: BLE001 -- any exception is the schedule's outcome
        failure = error
    finally:
        logger.setLevel(level)
    faults = world.wire.fates + world.provider.faults
    trace = (str(world.plan), *world.wire.trace) if world.wire.trace is not None else ()
    return Outcome(seed, failure, world.wire.steps, world.invariants.checks, world.choices.made, faults, trace)


def first_failure(code: Code, seeds: Iterable[int], promise: str = "", like: Mapping[str, Any] = {}) -> Outcome | None:
    """Return the first schedule that breaks a promise beginning with `promise`, not shrunk; None if there is none."""
    outcomes = (run(code, seed, like=like) for seed in seeds)
    return next((it for it in outcomes if it.failure and it.promise.startswith(promise)), None)


def shrunk(code: Code, failed: Outcome) -> Outcome:
    """Return the same failure with as few choices as possible, and its trace."""
    kept = dict(failed.choices)
    left, size = REPLAYS, max(len(kept) // 2, 1)
    while size and left > 0:
        found = False
        for start in range(0, len(kept), size):
            names = list(kept)[start : start + size]
            outcome = run(code, failed.seed, {name: value for name, value in kept.items() if name not in names})
            left -= 1
            if names and outcome.failure and outcome.kind == failed.kind:
                kept, found = dict(outcome.choices), True  # drops the choices that this one did not ask for
        if not found or size > 1:
            size = size // 2 if size > 1 or not found else 1
    return run(code, failed.seed, kept, tell=True)


def told(code: Code, failed: Outcome) -> str:
    """Describe a failing schedule for people: the failure, how to repeat it, and the short trace."""
    short = shrunk(code, failed)
    choices = ", ".join(f"{who} #{place}: {value}" for (who, place), value in short.choices.items())
    return "\n".join(
        [
            f"schedule {failed.seed}: {type(failed.failure).__name__}: {failed.failure}",
            f"shrunk from {len(failed.choices)} choices and {failed.steps} steps",
            f"to {len(short.choices)} and {short.steps}:",
            f"{type(short.failure).__name__}: {short.failure}",
            f"choices: {choices}",
            *short.trace,
        ]
    )
