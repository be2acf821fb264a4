"""`python -m tests.mutation [--share 0.1] [--only domain.money]`: makes mistakes, and lists those that survive.

`--share` is the part of all mistakes that is tried: the same ones every time, drawn by their names. The exit code is 1
where more than `MOST_SURVIVING` of those that are not tolerated survive.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutation.operators import Mistake, mistakes
from tests.mutation.tolerated import TOLERATED
from tests.mutation.trial import Bench, Fate, in_order

import titlecard

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(titlecard.__file__).parents[2]

_MONEY = ("tests/unit/test_money.py", "tests/unit/test_prices.py", "tests/unit/test_budget.py")
_LLM = ("tests/unit/test_model_tier.py", "tests/unit/test_model_prompt.py", "tests/unit/test_fuse.py")
_LEDGER = ("tests/functional/test_ledger.py", "tests/functional/test_ways_around_a_budget.py")
_CATALOG = ("tests/functional/test_catalog_attempts.py", "tests/functional/test_catalog_rows.py")
_PARSER = ("tests/functional/test_parser_money.py", "tests/functional/test_parser_crashes.py")
_REQUEUE = ("tests/functional/test_requeue.py", "tests/functional/test_requeue_money.py")

PARTS = {
    "domain.money": (*_MONEY, *_LLM, *_LEDGER),
    "aws.dynamodb.ledger": (*_LEDGER, *_PARSER, *_REQUEUE),
    "aws.dynamodb.catalog.attempts": (*_CATALOG, *_PARSER),
    "aws.dynamodb.catalog.rows": (*_CATALOG, "tests/functional/test_parser.py", *_REQUEUE),
    "aws.dynamodb.catalog.items": (*_CATALOG, *_PARSER),
    "aws.dynamodb.catalog.table": (*_CATALOG, *_PARSER),
    "pipeline.admission": (*_PARSER, *_REQUEUE),
    "pipeline.ask": (*_PARSER, "tests/functional/test_ways_around_a_budget.py"),
    "pipeline.outcomes": _PARSER,
    "pipeline.parse": ("tests/functional/test_parser.py", *_PARSER),
    "pipeline.requeue": _REQUEUE,
    "llm": (*_LLM, "tests/unit/test_model_provider.py"),
}
"""The modules and packages of `titlecard` in which mistakes are made, and the tests that are to notice them."""

TESTS_OF_ONE = 40
"""How many tests are run against one mistake at the most: the quickest of those that execute its line."""

SCHEDULES = 150
"""How many schedules of the simulation are run where those noticed nothing."""

MOST_SURVIVING = 0.03


def main() -> int:
    """Make the mistakes; 1 if too many survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--share", type=float, default=1.0, help="the part of all mistakes that is tried, 0 to 1")
    parser.add_argument("--only", default="", help="modules and packages, with commas between them")
    parser.add_argument("--from", dest="after", type=float, default=0.0, help="leave this part of them out before")
    asked = parser.parse_args()
    parts = asked.only.split(",") if asked.only else list(PARTS)
    tests = sorted({test for part in parts for of, them in PARTS.items() if part.startswith(of) for test in them})
    with tempfile.TemporaryDirectory(prefix="titlecard-mutation-") as copy:
        bench = Bench(ROOT, Path(copy).resolve())
        modules = sorted(_modules(parts))
        covered = bench.coverage(modules, tests)
        fates: Counter[Fate] = Counter()
        survivors: list[Mistake] = []
        every = [it for module in modules for it in mistakes(module, bench.file(module).read_bytes())]
        chosen = [it for it in every if asked.after <= it.draw < asked.after + asked.share]
        for number, mistake in enumerate(chosen, 1):
            names = in_order(covered.of(mistake.module, mistake.statement), covered.seconds, TESTS_OF_ONE)
            fate = bench.tried(mistake, names, _simulated if _is_driven(mistake.module) else None)
            fates[fate] += 1
            if fate is Fate.SURVIVED:
                survivors.append(mistake)
                sys.stderr.write(f"\n{mistake.module}:{mistake.line} {mistake.name}\n")
            sys.stderr.write(f"\r{number} of {len(chosen)} mistakes, {len(survivors)} survived ")
    return _report(len(every), fates, survivors)


def _report(every: int, fates: Counter[Fate], survivors: Iterable[Mistake]) -> int:
    tolerated = {it.name: why for it in survivors for name, why in TOLERATED.items() if it.name.startswith(name)}
    bad = [it for it in survivors if it.name not in tolerated]
    counted = fates.total() - len(tolerated)
    sys.stdout.write(f"\n{fates.total()} of {every} mistakes tried\n")
    sys.stdout.writelines(f"{number:>6}  {fate}\n" for fate, number in fates.most_common())
    sys.stdout.write(f"{len(tolerated):>6}  of the survivors are tolerated\n")
    sys.stdout.write(f"{len(bad) / max(counted, 1):>6.1%}  of the others survive\n")
    sys.stdout.writelines(f"survived   {it.name}\n" for it in bad)
    sys.stdout.writelines(f"tolerated  {name}: {why}\n" for name, why in tolerated.items())
    return int(len(bad) > MOST_SURVIVING * counted)


def _modules(parts: Iterable[str]) -> Iterable[str]:
    root = ROOT / "functions" / "titlecard"
    for part in parts:
        path = root.joinpath(*part.split("."))
        if path.is_dir():
            yield from (f"{part}.{file.stem}" for file in path.glob("*.py") if file.name != "__init__.py")
        elif path.with_suffix(".py").exists():
            yield part


def _is_driven(module: str) -> bool:
    from tests.simulation.production import DRIVEN  # noqa: PLC0415 -- of this process; the trials have their own

    return module in DRIVEN


def _simulated() -> bool:
    """Whether a schedule breaks a promise; in a trial's process, with its modules."""
    from tests.simulation import production  # noqa: PLC0415 -- the copy's, with the mistake in it
    from tests.simulation.running import through  # noqa: PLC0415 -- likewise

    return bool(through(production.as_it_is(), range(SCHEDULES)).failed)


if __name__ == "__main__":
    sys.exit(main())
