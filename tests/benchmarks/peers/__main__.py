"""The race: `python -m tests.benchmarks.peers [--data DATASET]`, from the root of the checkout, on Linux.

All contenders work on the same rows, in interleaved rounds: in each round every contender meets every workload once,
and the order of the contenders is rotated by one. The provider runs in this process. Environments are made once, under
`--cache`. Runs with the same settings are kept there too and are not repeated, so an interrupted race continues;
`--fresh` starts again.

Without `--data` the rows are those of events/sample.jsonl. A data set has one line of JSON per row, with `id`, `title`,
`description`, `event` and `expected` {`title`, `presenters`}; only figures of it reach the page. If Titlecard's local
tier was trained on that data set, `--weights` gives it weights that were not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.peers import dataset, race, report
from tests.benchmarks.peers.contenders import CONTENDERS, Contender
from tests.benchmarks.peers.race import Arena, Settings, as_json
from tests.benchmarks.peers.workloads import WORKLOADS, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK_ROWS, QUICK_WORKLOADS = 40, ("healthy", "faults")
ALL = 10**9
PROVIDER = (
    "it answers with the truth for {:.0%} of the rows, drawn anew for each round; for the rest with the title left as "
    "it is, a presenter missing, or one invented"
)
BOUNDS = "a run is stopped after {:.0f} s (killed workers: {:.0f} s), or {} requests a row"
LOAD = "{:.1f} to {:.1f} (one-minute average after a run)"
DRAWING = Contender("the plot", "plot", "", "", packages=("matplotlib==3.11.2",))


def main() -> None:
    """Run the race; write the page and its plot."""
    given = _options().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no contender is left behind
    cache = given.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    rows = dataset.load(given.data, QUICK_ROWS if given.quick else given.rows, given.seed)
    settings = Settings(given.concurrency, given.truth, given.requests_a_row, cache, given.weights)
    arena = Arena(rows, settings)
    kept = cache / ("quick.json" if given.quick else "runs.json")
    asked = f"{given.data} {given.weights} {len(rows)} {given.seed} {settings.concurrency} {settings.truth}"
    runs = _kept(kept, asked) if not (given.fresh or given.quick) else []
    pythons = {one.name: arena.python(one) for one in (*CONTENDERS, DRAWING)}
    began = time.monotonic()
    for number, workload, contender in () if given.page else _plan(given):
        if any(
            (it["contender"], it["workload"], it["round"]) == (contender.name, workload.name, number) for it in runs
        ):
            continue
        outcome = as_json(arena.run(contender, workload, given.seed + number))
        run = {
            "contender": contender.name,
            "workload": workload.name,
            "round": number,
            "latency": workload.latency,
            "ideal": workload.latency * len(rows) / settings.concurrency,
            "load": os.getloadavg()[0],
            **outcome,
        }
        runs.append(run)
        sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {_line(run)}\n")
        kept.write_text(json.dumps({"asked": asked, "runs": runs}, indent=1, ensure_ascii=False), encoding="utf-8")
    if given.quick or given.only or given.workload:
        return
    loads = [run["load"] for run in runs]
    about = {
        "rounds": str(max(run["round"] for run in runs) + 1),
        "Rows": _rows(given, len(dataset.event_names(rows))),
        "Exact without a token, over the whole data set": race.tokenless(
            dataset.load(given.data, ALL, given.seed), given.weights
        ),
        "Provider": PROVIDER.format(settings.truth),
        "Concurrency": f"{settings.concurrency} requests",
        "Bounds": BOUNDS.format(WORKLOADS[0].deadline, WORKLOADS[2].deadline, settings.requests_a_row),
        "Load of the machine": LOAD.format(min(loads), max(loads)),
    }
    report.write(report.Race(runs, rows, about, pythons), pythons[DRAWING.name])


def _plan(given: argparse.Namespace) -> Iterator[tuple[int, Workload, Contender]]:
    """Return the runs to make, in order."""
    contenders = [one for one in CONTENDERS if not given.only or any(word in one.name for word in given.only)]
    wanted = QUICK_WORKLOADS if given.quick else [one.name for one in WORKLOADS]
    for number in range(1 if given.quick else given.rounds):
        shift = number % len(contenders)
        for workload in WORKLOADS:
            if workload.name not in (given.workload or wanted):
                continue
            for contender in contenders[shift:] + contenders[:shift]:
                yield number, workload.quick() if given.quick else workload, contender


def _kept(path: Path, asked: str) -> list[dict[str, Any]]:
    """Return the earlier runs with the same settings."""
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    return list(found["runs"]) if found["asked"] == asked else []


def _rows(given: argparse.Namespace, events: int) -> str:
    """Describe where the rows come from."""
    if given.data is None:
        return f"events/sample.jsonl, {events} events; Titlecard's authors knew it, so its exactness flatters them"
    unseen = (
        "the local tier's weights were trained without that data set"
        if given.weights
        else ("the local tier was trained on that data set, so its exactness flatters it")
    )
    return f"drawn by seed {given.seed} from the data set `{given.data.name}`, {events} events; {unseen}"


def _line(run: dict[str, Any]) -> str:
    """Describe a run in one line."""
    bill = run["bill"]
    wall = f"{run['wall']:.1f} s" if run["wall"] is not None else "no end"
    return (
        f"{run['workload']:8} {run['contender']:28} {run['finished']} finished, {run['failed']} failed, "
        f"{run['waiting']} waiting, {run['lost']} lost, {run['right']} right, {bill['requests']} requests "
        f"(worst {bill['worst']}), {bill['again']} ({bill['again_after_an_answer']}) paid twice, "
        f"{bill['vanished']} vanished, {wall}, {run['peak_mb']:.0f} MB, {bill['kills']} kills {run['stopped']}"
    )


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--data", type=Path, help="a data set of known answers")
    options.add_argument("--weights", type=Path, help="weights of the local tier that have not seen the data set")
    options.add_argument("--rows", type=int, default=150)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--concurrency", type=int, default=20, help="concurrent requests; Titlecard always has 20")
    options.add_argument(
        "--truth", type=float, default=0.9, help="the share of rows that the provider answers correctly"
    )
    options.add_argument(
        "--requests-a-row", type=int, default=10, help="the provider's cap on requests, times the rows"
    )
    options.add_argument("--only", action="append", help="only contenders whose name has this word; writes no page")
    options.add_argument("--workload", action="append", help="only these workloads; writes no page")
    options.add_argument("--page", action="store_true", help="write the page from the kept runs, without a new one")
    options.add_argument("--fresh", action="store_true", help="forget what was raced before")
    options.add_argument("--quick", action="store_true", help="40 rows, one round, two workloads; no page is written")
    options.add_argument("--cache", type=Path, default=dataset.ROOT / ".tools" / "peers")
    return options


if __name__ == "__main__":
    main()
