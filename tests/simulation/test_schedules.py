"""Schedules of the production code in a simulated world keep every promise at every step, and visit every branch.

`python -m tests.simulation --schedules 1000000` runs more of them.
"""

from __future__ import annotations

import pytest
from tests.simulation import production
from tests.simulation.covering import Visits, every_branch, every_fault, everything, is_named
from tests.simulation.mutants import MUTANTS
from tests.simulation.shrinking import first_failure, run, shrunk, told
from tests.simulation.unvisited import UNVISITED

MUTANT_SCHEDULES = 600
"""The most schedules within which a mistake must be found; ten suffice for most."""


@pytest.fixture(scope="module")
def done() -> Visits:
    """Run schedules that visit every branch between them, with the branches of production counted."""
    return everything()


def test_no_schedule_breaks_a_promise(done: Visits) -> None:
    assert not done.tally.failed, told(done.code, done.tally.failed[0])


def test_every_fault_occurs_in_some_schedule(done: Visits) -> None:
    assert not every_fault() - done.tally.faults.keys()


def test_every_function_and_branch_of_what_decides_was_visited(done: Visits) -> None:
    missing = every_branch() - done.branches
    assert not missing, "\n".join(sorted(missing))


def test_every_branch_excused_from_the_visit_exists() -> None:
    there = production.all_branches()
    assert not [it for it in UNVISITED if not any(is_named(branch, it) for branch in there)]


@pytest.mark.parametrize("name", MUTANTS)
def test_the_simulation_finds_this_mistake(name: str) -> None:
    mutant = MUTANTS[name]
    code = production.patched(mutant.patches)
    assert first_failure(code, mutant.seeds(MUTANT_SCHEDULES), mutant.breaks, mutant.like)


def test_a_seed_gives_one_schedule() -> None:
    code = production.as_it_is()
    seed = 11
    first, second = run(code, seed, tell=True), run(code, seed, tell=True)
    assert first.trace == second.trace
    assert first.choices == second.choices


def test_a_failing_schedule_is_shrunk_to_a_short_one() -> None:
    mutant = MUTANTS["boto retries on at the ledger"]
    code = production.patched(mutant.patches)
    failed = first_failure(code, mutant.seeds(MUTANT_SCHEDULES))
    assert failed is not None
    short = shrunk(code, failed)
    assert short.kind == failed.kind
    assert len(short.choices) <= len(failed.choices) // 2
