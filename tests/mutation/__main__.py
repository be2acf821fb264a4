"""`python -m tests.mutation [--sample] [--tests-only] [--share 0.1] [--only domain.money]`: lists surviving mistakes.

`--share` is the part of all mistakes to try: the same ones every time, drawn by their names. The exit code is 1 if more
than `MOST_SURVIVING` of the mistakes that are not tolerated survive.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutation.coverage import Kept, package_of
from tests.mutation.operators import mistakes, replacement
from tests.mutation.sample import SAMPLE
from tests.mutation.tolerated import TOLERATED
from tests.mutation.trial import Bench, Fate, Trial

import titlecard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tests.mutation.coverage import Coverage
    from tests.mutation.operators import Mistake
    from tests.mutation.sample import Sampled

ROOT = Path(titlecard.__file__).parents[2]

PARTS = (
    "domain.money",
    "aws.dynamodb.values",
    "aws.dynamodb.ledger",
    *(
        f"aws.dynamodb.catalog.{name}"
        for name in ("attempts", "batches", "grants", "items", "results", "rows", "table")
    ),
    "aws.dynamodb.catalog.upload_progress",
    *(f"aws.{name}" for name in ("functions", "notifications", "s3", "secrets", "sqs")),
    *(f"pipeline.{name}" for name in ("batch_limits", "gauges", "ingest", "publish", "requeue")),
    *(
        f"pipeline.{name}"
        for name in ("admission", "ask", "audit", "canary", "finish", "job", "lease", "outcome_types", "parse")
    ),
    "llm",
    "preflight",
)
"""The modules and packages of `titlecard` in which mistakes are made."""

TESTS = (
    *(
        f"tests/unit/test_{name}.py"
        for name in ("admission", "ask", "audit", "batch", "budget", "canary", "errors", "fuse", "job")
    ),
    *(f"tests/unit/test_{name}.py" for name in ("lease", "model_prompt", "model_provider", "model_tier", "money")),
    *(
        f"tests/unit/test_{name}.py"
        for name in ("network", "parse", "prices", "requeue", "response", "response_body", "settings")
    ),
    *(f"tests/unit/test_catalog_{name}.py" for name in ("items", "table")),
    *(f"tests/functional/test_{name}.py" for name in ("alarms", "audit", "batches", "breakers", "gauges", "grants")),
    *(f"tests/functional/test_{name}.py" for name in ("catalog_attempts", "catalog_batches", "catalog_rows", "finish")),
    *(f"tests/functional/test_{name}.py" for name in ("ingest", "ledger", "parser", "parser_crashes", "parser_money")),
    *(f"tests/functional/test_{name}.py" for name in ("lease", "money_commands", "queues", "redrive", "requeue")),
    *(f"tests/functional/test_{name}.py" for name in ("parser_errors", "requeue_money", "results", "review")),
    *(f"tests/functional/test_{name}.py" for name in ("s3", "ways_around_a_budget")),
    "tests/template/test_preflight.py",
)
"""The tests that should notice them."""

SECONDS, SECONDS_OF_ONE = 40.0, 5.0
"""The most seconds that the chosen tests take without a mistake, and those for a mistake of the sample."""

MOST_SURVIVING = 0.03


def main() -> int:
    """Make the mistakes; return 1 if too many survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--share", type=float, default=1.0, help="the part of all mistakes to try, 0 to 1")
    parser.add_argument("--from", dest="after", type=float, default=0.0, help="skip this part of them first, 0 to 1")
    parser.add_argument("--only", default=",".join(PARTS), help="modules and packages, separated by commas")
    parser.add_argument("--tests", default=",".join(TESTS), help="test files, separated by commas")
    parser.add_argument("--workers", type=int, default=1, help="the number of concurrent processes")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="the most seconds of tests against one mistake")
    parser.add_argument("--tests-only", action="store_true", help="skip the simulation, which takes longest")
    parser.add_argument("--sample", action="store_true", help="try the fixed sample, each mistake against its own test")
    asked = parser.parse_args()
    if unknown := sorted(set(_modules(asked.only.split(","))) - set(_modules(PARTS))):
        parser.error(f"no test is recorded for {', '.join(unknown)}: add it to PARTS")
    with tempfile.TemporaryDirectory(prefix="titlecard-mutation-") as folder:
        benches = [Bench(ROOT, Path(folder).resolve() / str(number)) for number in range(asked.workers)]
        if asked.sample:
            chosen = [Trial(_sampled(it, benches[0]), [it.test], SECONDS_OF_ONE) for it in SAMPLE]
            number = len(chosen)
        else:
            modules = sorted(_modules(asked.only.split(",")))
            every = [it for module in modules for it in mistakes(module, benches[0].file(module).read_bytes())]
            number = len(every)
            recorded = sorted(_modules(PARTS))
            kept = Kept(ROOT, map(benches[0].file, recorded))
            covered = benches[0].coverage(recorded, asked.tests.split(","), kept)
            chosen = [
                _trial(it, covered, asked.seconds) for it in every if asked.after <= it.draw < asked.after + asked.share
            ]
        fates: dict[Mistake, Fate] = {}
        is_driven = (lambda _: False) if asked.sample or asked.tests_only else _is_driven
        for mistake, fate in _side_by_side(benches, chosen, is_driven):
            fates[mistake] = fate
            if fate is Fate.SURVIVED:
                sys.stderr.write(f"\n{mistake.module}:{mistake.line} {mistake.name}\n")
            survived = sum(fate is Fate.SURVIVED for fate in fates.values())
            sys.stderr.write(f"\r{len(fates)} of {len(chosen)} mistakes, {survived} survived ")
    return _report(number, fates, 0.0 if asked.sample else MOST_SURVIVING)


def _trial(mistake: Mistake, covered: Coverage, seconds: float) -> Trial:
    # What has no function of its own, as many dataclasses, is used by its neighbours' tests.
    place = mistake.statement if mistake.is_inside else package_of(mistake.module)
    names = covered.of(place, seconds)
    return Trial(mistake, names, sum(covered.tests[name].seconds for name in names))


def _sampled(it: Sampled, bench: Bench) -> Mistake:
    return replacement(it.module, bench.file(it.module).read_bytes(), it.before, it.after, it.claim)


def _side_by_side(
    benches: Sequence[Bench], trials: Sequence[Trial], is_driven: Callable[[str], bool]
) -> Iterator[tuple[Mistake, Fate]]:
    """What became of the mistakes, in the order of knowing; each bench has a process that tries its part of them."""
    reading, writing = os.pipe()
    for first, bench in enumerate(benches):
        if os.fork() == 0:
            try:
                mine = trials[first :: len(benches)]
                numbers = {trial.mistake: number for number, trial in enumerate(trials)}
                for mistake, fate in bench.fates(mine, is_driven):
                    os.write(writing, f"{numbers[mistake]} {fate.name}\n".encode())
            finally:
                os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        for line in told:
            number, name = line.split()
            yield trials[int(number)].mistake, Fate[name]
    for _ in benches:
        os.wait()


def _report(number: int, fates: Mapping[Mistake, Fate], most: float) -> int:
    survivors = [it for it, fate in fates.items() if fate is Fate.SURVIVED]
    tolerated = {it: why for it in survivors for name, why in TOLERATED.items() if it.name.startswith(name)}
    bad = [it for it in survivors if it not in tolerated]
    by_module: dict[str, Counter[str]] = defaultdict(Counter)
    for mistake, fate in fates.items():
        what = fate.name.lower() if fate is not Fate.SURVIVED or mistake in bad else "tolerated"
        by_module[mistake.module][what] += 1
    columns = [fate.name.lower() for fate in Fate]
    columns.insert(-1, "tolerated")
    sys.stdout.write(f"\n{len(fates)} of {number} mistakes tried\n")
    sys.stdout.write(f"{'module':<32}{'mistakes':>10}{''.join(f'{name:>11}' for name in columns)}\n")
    for module, counts in [*sorted(by_module.items()), ("all", sum(by_module.values(), Counter()))]:
        numbers = "".join(f"{counts[name]:>11}" for name in columns)
        sys.stdout.write(f"{module:<32}{counts.total():>10}{numbers}\n")
    counted = len(fates) - len(tolerated)
    sys.stdout.write(f"{len(bad) / max(counted, 1):.1%} of the mistakes that are not tolerated survive\n")
    sys.stdout.writelines(f"survived   {it.line}: {it.name}\n" for it in bad)
    sys.stdout.writelines(f"tolerated  {it.name}: {why}\n" for it, why in tolerated.items())
    return int(len(bad) > most * counted)


def _modules(parts: Iterable[str]) -> Iterator[str]:
    root = ROOT / "functions" / "titlecard"
    for part in parts:
        path = root.joinpath(*part.split("."))
        if path.is_dir():
            yield from (f"{part}.{file.stem}" for file in path.glob("*.py") if file.name != "__init__.py")
        elif path.with_suffix(".py").exists():
            yield part
        else:
            raise SystemExit(f"there is no module {part}")


def _is_driven(module: str) -> bool:
    from tests.simulation.production import DRIVEN  # noqa: PLC0415 -- this process's copy; the trials import their own

    return module in DRIVEN


if __name__ == "__main__":
    sys.exit(main())
