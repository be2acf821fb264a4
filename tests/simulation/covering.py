"""The schedules that visit every branch and meet every fault between them.

A few that are chosen visit what some thousands do. `covering.json` holds them; `python -m tests.simulation.covering`
chooses them again. The tests run these first, and then the others until nothing is missing: after a change to the code
they may take longer, and visit no less.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulation import production
from tests.simulation.edits import EDITS
from tests.simulation.plan import AMPLE, COST, DAYS_END
from tests.simulation.provider import FAULTS
from tests.simulation.running import Tally
from tests.simulation.shrinking import run
from tests.simulation.unvisited import UNVISITED
from tests.simulation.wire import Fate

from titlecard.domain.money import Cap
from titlecard.domain.video import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.simulation.production import Branch

ANY = "any"

PLANS: Mapping[str, Mapping[str, Any]] = {
    "stored talks under another policy": {
        "later": Policy.MODEL,
        "later_at": 60.0,
        "newer": ("same",) * 12,
        "newer_after": 65.0,
        "rows": ("sure",) * 3,
    },
    "little left of a month that ends": {
        "start": DAYS_END,
        "monthly": Cap(None, COST + 3),
        "rows": ("unsure",) * 3,
        "priced": True,
    },
    "a breaker that opens at once": {"asked_badly": 0.6, "threshold": 1, "rows": ("unsure",) * 4},
    "many faults and much money": {
        "chance": 0.15,
        "busy": 500,
        "rows": ("unsure",) * 8,
        "budgeted": True,
        "room": 100,
        "daily": AMPLE,
    },
    "deaths that have no answer": {
        "chance": 0.2,
        "cap": 1,
        "rows": ("unsure",) * 4,
        "budgeted": True,
        "room": 100,
        "daily": AMPLE,
    },
    "slow tables": {"slow": 0.5, "rows": ("unsure",) * 3, "budgeted": True, "room": 100, "daily": AMPLE},
    "many faults and slow tables": {
        "chance": 0.15,
        "busy": 500,
        "slow": 0.1,
        "rows": ("unsure",) * 8,
        "budgeted": True,
        "room": 100,
        "daily": AMPLE,
    },
    ANY: {},
}
"""The fixed parts of plans, by what they are about. All but the last visit branches that are rarely visited."""

SCHEDULES = dict.fromkeys(PLANS, 120) | {"many faults and slow tables": 400, ANY: 2_000}
"""The number of schedules for each plan from which some are chosen."""

CHOSEN = Path(__file__).with_name("covering.json")
VISITS = 3
"""The number of chosen schedules that visit a branch or meet a fault, if that many do."""

RANDOM = 100
"""The number of schedules that always run, whatever they visit."""

BLOCK = 50
"""The number of other schedules that run before the next look at what is missing."""

Seed = tuple[str, int]
"""A schedule: its plan's name, and its seed."""


class Visits:
    """Schedules, and the branches that they visited."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.branches: set[str] = set()
        self.code = production.counted(self._visit)

    def run(self, seeds: Iterable[Seed]) -> None:
        """Run schedules until one fails."""
        for plan, seed in seeds:
            if not self.tally.failed:
                self.tally.count(run(self.code, seed, like=PLANS[plan]))

    def missing(self) -> set[str]:
        """Return the branches that nothing visited, and the faults that nothing met."""
        return (every_branch() - self.branches) | (every_fault() - self.tally.faults.keys())

    def _visit(self, module: str, function: str, text: str) -> production.Told:
        names = {value: f"{module}: {function}: {text} is {value}" for value in (True, False)}

        def told(value: bool) -> bool:
            self.branches.add(names[bool(value)])
            return value

        return told


def everything() -> Visits:
    """Run the chosen schedules and some random ones; if they leave something out, run others until they do not."""
    chosen = {(plan, seed) for plan, seeds in json.loads(CHOSEN.read_text("utf-8")).items() for seed in seeds}
    first = chosen | {(ANY, seed) for seed in range(RANDOM)}
    others = [it for it in _every_schedule() if it not in first]
    visits = Visits()
    visits.run(sorted(first))
    while others and not visits.tally.failed and visits.missing():
        visits.run(others[:BLOCK])
        del others[:BLOCK]
    return visits


def every_branch() -> set[str]:
    """Return the names of all branches with their outcomes, without those that no schedule needs to visit."""
    return {
        f"{branch.module}: {branch.function}: {branch.text} is {outcome}"
        for branch, outcomes in production.all_branches().items()
        for outcome in outcomes
        if not any(is_named(branch, it) and outcome in UNVISITED[it][0] for it in UNVISITED)
    }


def every_fault() -> set[str]:
    """Return the names of all faults."""
    calls = {f"{table}: {fate.name.lower()}" for table in ("catalog", "ledger") for fate in Fate if fate}
    others = {"catalog: statement throttled", "catalog: hot partition", "odd"}
    others |= {"sqs: entry failed", "keys: not readable", "provider: killed after"}
    others |= {"clock: ahead", "clock: behind", *(f"ledger edited: {item}" for item, _, _ in EDITS)}
    return calls | others | set(FAULTS)


def is_named(branch: Branch, name: tuple[str, str, str]) -> bool:
    """Return whether a name, whose text may be `*` for the whole function, names a branch."""
    module, function, text = name
    return (module, function) == (branch.module, branch.function) and text in {"*", branch.text}


def main() -> None:
    """Run all schedules, and write down which are chosen."""
    visits, wanted = Visits(), every_branch() | every_fault()
    met: dict[Seed, set[str]] = {}
    for it in _every_schedule():
        visits.branches, faults = set(), visits.tally.faults.copy()
        visits.run([it])
        if visits.tally.failed:  # the others still run
            sys.stderr.write(f"\nnot chosen: {it} failed: {visits.tally.failed.pop().failure}\n")
            continue
        met[it] = (visits.branches | (visits.tally.faults - faults).keys()) & wanted
        sys.stderr.write(f"\r{len(met):,} schedules ")
    chosen: dict[str, list[int]] = defaultdict(list)
    for plan, seed in sorted(_few(met)):
        chosen[plan].append(seed)
    CHOSEN.write_text(json.dumps(chosen) + "\n", encoding="utf-8")


def _every_schedule() -> list[Seed]:
    return [(plan, seed) for plan, number in SCHEDULES.items() for seed in range(number)]


def _few(met: Mapping[Seed, set[str]]) -> list[Seed]:
    """Choose few schedules, `VISITS` for each thing that they met: always the one that meets most of the missing."""
    there = Counter(thing for things in met.values() for thing in things)
    missing = Counter({thing: min(number, VISITS) for thing, number in there.items()})
    chosen, left = [], dict(met)
    while missing:
        best = max(left, key=lambda it: len(left[it] & missing.keys()))
        chosen.append(best)
        missing -= Counter(left.pop(best))
    return chosen


if __name__ == "__main__":
    main()
