"""The plan of a schedule, drawn from its first choices; 0 is always the simplest alternative."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from tests.simulation.edits import EDITS
from tests.simulation.provider import BOUND
from tests.simulation.versions import CHANGES

from titlecard.domain.money import Cap
from titlecard.domain.video import Policy

if TYPE_CHECKING:
    from tests.simulation.choices import Choices

Option = TypeVar("Option")

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
DAYS_END = datetime(2026, 1, 15, 23, 59, 59, tzinfo=UTC)
MONTHS_END = datetime(2026, 1, 31, 23, 59, 58, tzinfo=UTC)
AMPLE = Cap(10**9, 10**9)

COST, TOKENS = int(BOUND.micro_usd), BOUND.input_tokens + BOUND.output_tokens
"""The most that one request costs, in micro-dollars and in tokens."""


@dataclass(frozen=True)
class Plan:
    """The plan of a schedule; times in seconds of the schedule."""

    start: datetime
    policy: Policy
    keyed: bool
    priced: bool
    cap: int
    room: int
    rows: tuple[str, ...]
    other: tuple[str, ...]
    other_after: float
    newer: tuple[str, ...]
    newer_after: float
    chance: float
    deadly: float
    asked_badly: float
    busy: int
    page: int
    off_until: float
    redrives_at: float
    rubbish: float
    daily: Cap
    monthly: Cap
    budgeted: bool
    threshold: int
    paused_at: float
    cancelled_at: float
    raised_at: float
    lowered_at: float
    mended_at: float
    redriven_at: float
    purged_at: float
    removed_at: float
    removed: bool
    later: Policy | None
    later_at: float
    small: bool
    ingest_dies: int
    declared: bool
    most: int
    every: bool
    wrong_clocks: float
    edited_at: float
    edit: int
    edit_mended_after: float
    apart: float
    """The largest error of a clock that AWS accepts, in seconds."""
    changed_at: float
    change: str
    """How waiting messages turn into those of another version at `changed_at`: see `versions`."""
    unversioned: bool
    """Whether the bucket keeps only one version of an object: a newer upload then replaces the manifest before it."""
    hot: int
    """The most writes that a partition accepts per second; 0 for no limit."""
    slow: float = 0.0
    """The probability that a call that succeeds takes ten seconds. No plan draws it; those of `covering.py` set it."""


def draw_plan(choices: Choices) -> Plan:
    """Draw a plan from a schedule's first choices."""

    def maybe(chance: float) -> bool:
        return bool(choices("plan", chance))

    def one(*options: Option, chance: float = 0.5) -> Option:
        return options[choices("plan", chance, len(options))]

    kinds = ("unsure", "sure", "unsure", "sure", "unsure", "unsure", "poison", "deadly", "large")
    rows = tuple(one(*kinds, chance=0.4) for _ in range(one(1, 2, 3, 2, 4, 3, 2, 12, chance=0.8)))
    newer = tuple(one("same", "other", "sure", chance=0.5) for _ in range(one(0, len(rows), 1, chance=0.4)))
    later = one(None, Policy.MODEL, Policy.AUTO, chance=0.15)
    dies = one(0, *range(1, 25), chance=0.06)
    return Plan(
        start=one(NOON, DAYS_END, MONTHS_END),
        policy=one(Policy.AUTO, Policy.MODEL, Policy.LOCAL, chance=0.3),
        keyed=not maybe(0.03),
        priced=not maybe(0.1),
        cap=one(3, 2, 1, chance=0.3),
        room=one(100, 1, 2, 3, 0, chance=0.4),
        rows=rows,
        newer=newer or (("same",) * len(rows) if later else ()),  # uploads stored videos again under another policy
        newer_after=65.0 if later else one(5.0, 0.0, 0.1, 65.0, 700.0, chance=0.8),
        chance=one(0.0, 0.01, 0.05, 0.15, chance=0.8),
        deadly=one(0.0, 0.005, 0.02, 0.08, chance=0.6),
        asked_badly=one(0.0, 0.2, 0.6, 1.0, chance=0.8),
        busy=one(100, 200, 500, chance=0.5),
        page=one(50, 1, 3, chance=0.3),
        off_until=one(0.0, 2.0, 70.0, 20_000.0, 500_000.0, chance=0.1),
        redrives_at=one(0.0, 3000.0, 20_000.0, chance=0.05),
        rubbish=one(0.0, 1.0, chance=0.05),
        daily=one(AMPLE, *(Cap(None, COST * n + 3) for n in (1, 2)), Cap(TOKENS * 2 + 9), Cap(3), chance=0.3),
        monthly=one(AMPLE, *(Cap(None, COST * n + 3) for n in (2, 1)), Cap(TOKENS * 3), chance=0.2),
        budgeted=not maybe(0.03),
        threshold=one(5, 2, 1),
        paused_at=one(0.0, 0.1, 0.5, 2.0, 300.0, chance=0.15),
        cancelled_at=one(0.0, 0.1, 0.5, 2.0, 300.0, chance=0.1),
        raised_at=one(0.0, 3.0, 4000.0, chance=0.15),
        mended_at=one(0.0, 900.0, 40_000.0, chance=0.3),
        redriven_at=one(0.0, 700.0, 3000.0, 20_000.0, chance=0.15),
        purged_at=one(0.0, 0.3, 5.0, 700.0, chance=0.05),
        removed_at=one(0.0, 0.3, 5.0, 700.0, chance=0.06),
        removed=maybe(0.3),
        later=later,
        later_at=one(60.0, 0.0, 1.0, 100.0),
        small=maybe(0.1) or bool(dies),
        ingest_dies=dies,
        declared=maybe(0.3),
        most=one(1000, 1, 2, chance=0.2),
        every=maybe(0.3),
        wrong_clocks=one(0.0, 0.1, 0.4, chance=0.15),
        edited_at=one(0.0, 0.5, 2.0, 20.0, 700.0, chance=0.15),
        edit=one(*range(len(EDITS)), chance=1.0),
        edit_mended_after=one(30.0, 900.0, 3000.0),
        other=tuple(one("unsure", "sure", "deadly", chance=0.4) for _ in range(one(0, 1, 3, chance=0.3))),
        other_after=one(0.0, 1.0, 65.0, chance=0.7),
        lowered_at=one(0.0, 0.5, 3.0, 700.0, chance=0.1),
        apart=one(3.0, 30.0, 120.0, 200.0, 290.0, chance=0.3),
        changed_at=one(0.0, 0.3, 3.0, 700.0, chance=0.15),
        change=one(*CHANGES, chance=0.6),
        unversioned=maybe(0.1),
        hot=one(0, 12, 4, chance=0.1),
    )
