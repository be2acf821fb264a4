"""Thousands of schedules of the production code in a simulated world keep every promise at every step.

`python -m tests.simulation --schedules 1000000` runs more of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.simulation import production
from tests.simulation.edits import EDITS
from tests.simulation.mutants import MUTANTS
from tests.simulation.plan import AMPLE, COST, DAYS_END
from tests.simulation.provider import FAULTS
from tests.simulation.running import Tally, through
from tests.simulation.shrinking import first_failure, run, shrunk, told
from tests.simulation.unvisited import UNVISITED
from tests.simulation.wire import Fate

from titlecard.domain.money import Cap
from titlecard.domain.video import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.production import Branch

SCHEDULES = 2_000
RARE: tuple[Mapping[str, Any], ...] = (
    {"later": Policy.MODEL, "newer": ("same",) * 12, "newer_after": 65.0, "later_at": 60.0, "rows": ("sure",) * 3},
    {"start": DAYS_END, "monthly": Cap(None, COST + 3), "rows": ("unsure",) * 3, "priced": True},
    {"asked_badly": 0.6, "threshold": 1, "rows": ("unsure",) * 4},
    {"chance": 0.15, "busy": 500, "rows": ("unsure",) * 8, "budgeted": True, "room": 100, "daily": AMPLE},
)
"""The fixed parts of plans that visit the branches that random schedules rarely visit."""

RARE_SCHEDULES = 120
"""The number of schedules for each of `RARE`."""

MUTANT_SCHEDULES = 600
"""The most schedules within which a mistake must be found; ten suffice for most."""


@dataclass
class Run:
    """The schedules of these tests, and the branches that they visited."""

    tally: Tally
    code: production.Code
    visited: dict[tuple[str, str, str], set[bool]] = field(default_factory=lambda: defaultdict(set))


@pytest.fixture(scope="module")
def done() -> Run:
    """Run all schedules, with the branches of production counted."""
    visited: dict[tuple[str, str, str], set[bool]] = defaultdict(set)

    def visit(module: str, function: str, text: str) -> production.Told:
        outcomes = visited[module, function, text]

        def told(value: bool) -> bool:
            outcomes.add(bool(value))
            return value

        return told

    code = production.counted(visit)
    tally = through(code, range(SCHEDULES))
    for like in RARE:
        tally.add(through(code, range(RARE_SCHEDULES), like=like))
    return Run(tally, code, visited)


def test_no_schedule_breaks_a_promise(done: Run) -> None:
    assert not done.tally.failed, told(done.code, done.tally.failed[0])


def test_every_fault_befell_some_schedule(done: Run) -> None:
    calls = {f"catalog: {fate.name.lower()}" for fate in Fate if fate} | {
        f"ledger: {fate.name.lower()}" for fate in Fate if fate
    }
    others = {"catalog: statement throttled", "catalog: hot partition", "odd"}
    others |= {"sqs: entry failed", "keys: not readable", "provider: killed after"}
    others |= {"clock: ahead", "clock: behind", *(f"ledger edited: {item}" for item, _, _ in EDITS)}
    missing = (calls | others | set(FAULTS)) - set(done.tally.faults)
    assert not missing


def test_every_function_and_branch_of_what_decides_was_visited(done: Run) -> None:
    missing = {
        (branch, outcome)
        for branch, outcomes in production.all_branches().items()
        for outcome in outcomes - done.visited[branch.module, branch.function, branch.text]
    }
    unexpected = {(branch, outcome) for branch, outcome in missing if not _excused(branch, outcome)}
    assert not unexpected, "\n".join(
        f"{it.module}: {it.function}: {it.text} is {how}" for it, how in sorted(unexpected)
    )


def test_every_branch_excused_from_the_visit_exists() -> None:
    there = production.all_branches()
    stale = [it for it in UNVISITED if not any(_named(branch, it) for branch in there)]
    assert not stale


@pytest.mark.parametrize("name", MUTANTS)
def test_this_mistake_is_found(name: str) -> None:
    mutant = MUTANTS[name]
    assert first_failure(production.patched(mutant.patches), range(MUTANT_SCHEDULES), mutant.breaks, mutant.like)


def test_a_seed_is_a_schedule() -> None:
    code = production.as_it_is()
    seed = 11
    first, second = run(code, seed, tell=True), run(code, seed, tell=True)
    assert first.trace == second.trace
    assert first.choices == second.choices


def test_a_failing_schedule_is_shrunk_to_a_short_one() -> None:
    code = production.patched(MUTANTS["boto retries on at the ledger"].patches)
    failed = first_failure(code, range(MUTANT_SCHEDULES))
    assert failed is not None
    short = shrunk(code, failed)
    assert short.kind == failed.kind
    assert len(short.choices) <= len(failed.choices) // 2


def _excused(branch: Branch, outcome: bool) -> bool:
    return any(_named(branch, it) and outcome in UNVISITED[it][0] for it in UNVISITED)


def _named(branch: Branch, name: tuple[str, str, str]) -> bool:
    """Return whether a name, whose text may be `*` for the whole function, names a branch."""
    module, function, text = name
    return (module, function) == (branch.module, branch.function) and text in {"*", branch.text}
