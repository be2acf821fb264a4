"""The page and its plot: the results of all runs, with medians and spreads, and where a peer is better."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import statistics
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from tests.benchmarks.peers.contenders import CONTENDERS, Contender
from tests.benchmarks.peers.workloads import TITLES, WORKLOADS

from titlecard import __version__
from titlecard_console.output import pluralize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.benchmarks.peers.dataset import Row

HERE = Path(__file__).parent
PAGE, PLOT = HERE.parent / "peers.md", HERE.parent / "peers.svg"
RULES_ASK_NOBODY = (
    "The title rules and the split are left out here: they ask nobody, so they take milliseconds, cost nothing and "
    "cannot lose a row, and pay for it with exactness."
)
QUOTED_CHARACTERS = 420

HEAD = """<!-- Written by `python -m tests.benchmarks.peers`; do not edit. -->
# A race of Titlecard and its peers

![What became of {rows} rows, and the tokens billed for a finished talk](peers.svg)

{date}, {cores} cores, {memory:.0f} GB, {system}, Python {python}. {rows} rows, the same loopback provider for all,
interleaved rounds: {rounds}. A figure is the median of the rounds; in brackets stand the least and the most.

{about}

What the columns mean:

- Finished: the row has a talk. Failed, and said so: it has none, and a record of the contender says why. Still
  waiting: the contender was stopped and still knew of the row. Lost: none of these.
- Paid twice: rows that were billed more than once, whoever is to blame. With the answer in hand: a whole answer had
  reached the contender before.
- Tokens: an error response is not billed; an answer that is lost on its way is. A token is four bytes of the request,
  or four characters of the answer.
- Wall: from the moment when everything is started to the last row's end. Titlecard's functions start cold after that
  moment, and its memory is that of the whole local cloud with it.
- Exact: title and presenters are both the known ones, in percent of all rows. Titlecard can be exact where the provider
  is wrong: it refuses an answer with a name that the text does not hold, and keeps the local tier's talk.
"""

TABLE = """Latency {latency:g} s; the ideal is {ideal:.1f} s (latency x rows / concurrency) if every row is asked about
once. {runs} of each contender.{killed}
"""

Run = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A column of the tables.

    Attributes:
        title: its heading.
        of: returns the figure of one run; None if it has none.
        shown: the format of a value.
        more: whether more is better; None if neither is.
    """

    title: str
    of: Callable[[Run], float | None]
    shown: str = "{:.0f}"
    more: bool | None = False

    def text(self, value: float) -> str:
        """Return a value as it is shown."""
        return "no end" if math.isinf(value) else self.shown.format(value)


def _wall(run: Run) -> float:
    """Return the seconds until a run's last row ended; infinity if one did not end."""
    return math.inf if run["wall"] is None else float(run["wall"])


def _a_talk(name: str) -> Callable[[Run], float | None]:
    return lambda run: run["bill"][name] / run["finished"] if run["finished"] else None


def _rows(run: Run) -> int:
    return int(run["finished"] + run["failed"] + run["waiting"] + run["lost"])


FIGURES = (
    Figure("finished", lambda run: run["finished"], more=True),
    Figure("failed, and said so", lambda run: run["failed"], more=None),
    Figure("still waiting", lambda run: run["waiting"], more=None),
    Figure("lost", lambda run: run["lost"]),
    Figure("paid twice", lambda run: run["bill"]["again"]),
    Figure("… with the answer in hand", lambda run: run["bill"]["again_after_an_answer"]),
    Figure("requests a finished talk", _a_talk("requests"), "{:.2f}"),
    Figure("tokens a finished talk", _a_talk("tokens")),
    Figure("worst video's requests", lambda run: run["bill"]["worst"]),
    Figure("wall, s", _wall, "{:.1f}"),
    Figure("wall / ideal", lambda run: _wall(run) / run["ideal"], "{:.1f}", more=None),
    Figure("peak memory, MB", lambda run: run["peak_mb"] or None),
    Figure("exact, %", lambda run: 100 * run["right"] / _rows(run), more=True),
)


@dataclass(frozen=True)
class Race:
    """The content of the page.

    Attributes:
        runs: all runs.
        rows: the rows that all contenders worked on.
        about: the settings for people, by name.
        pythons: the interpreter of each contender.
    """

    runs: Sequence[Run]
    rows: Sequence[Row]
    about: Mapping[str, str]
    pythons: Mapping[str, Path]

    def of(self, contender: str, workload: str) -> list[Run]:
        """Return the runs of a contender under a workload."""
        return [run for run in self.runs if run["contender"] == contender and run["workload"] == workload]

    def middle(self, contender: str, workload: str, figure: Figure) -> float | None:
        """Return the median of a figure; None if no run has one."""
        values = self.values(contender, workload, figure)
        return statistics.median(values) if values else None

    def values(self, contender: str, workload: str, figure: Figure) -> list[float]:
        """Return the figure of each run that has one."""
        return [value for run in self.of(contender, workload) if (value := figure.of(run)) is not None]


def write(race: Race, python: Path) -> None:
    """Write the page and the plot.

    Args:
        python: an interpreter with matplotlib.
    """
    PAGE.write_text("\n".join([*_head(race), *tables(race), *better(race), *_failures(race), *_settings(race)]) + "\n")
    medians = {
        "workloads": [[one.name, TITLES[one.name]] for one in WORKLOADS],
        "contenders": [one.name for one in CONTENDERS],
        "rows": len(race.rows),
        "runs": [
            {
                **{
                    name: run[name]
                    for name in ("contender", "workload", "finished", "failed", "waiting", "lost", "right")
                },
                "tokens": _a_talk("tokens")(run) or 0.0,
            }
            for run in race.runs
        ],
    }
    subprocess.run([python, HERE / "plot.py", PLOT], input=json.dumps(medians), text=True, check=True)


def _head(race: Race) -> list[str]:
    text = HEAD.format(
        rows=len(race.rows),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        cores=os.cpu_count(),
        memory=psutil.virtual_memory().total / 2**30,
        system=platform.system(),
        python=platform.python_version(),
        rounds=race.about["rounds"],
        about="\n".join(f"- {name}: {value}." for name, value in race.about.items() if name != "rounds"),
    )
    return [text]


def tables(race: Race) -> list[str]:
    lines: list[str] = []
    for workload in WORKLOADS:
        some = [run for run in race.runs if run["workload"] == workload.name]
        if not some:
            continue
        kills = [run["bill"]["kills"] for run in some if run["bill"]["requests"]]
        killed = f" {min(kills)} to {max(kills)} workers were killed in a run." if workload.kill_every else ""
        lines += [
            f"## {TITLES[workload.name]}",
            "",
            TABLE.format(
                latency=some[0]["latency"], ideal=some[0]["ideal"], runs=_runs(race, workload.name), killed=killed
            ),
            "| | " + " | ".join(figure.title for figure in FIGURES) + " |",
            "| --- |" + " ---: |" * len(FIGURES),
        ]
        for contender in CONTENDERS:
            if race.of(contender.name, workload.name):
                cells = (_cell(race, contender.name, workload.name, figure) for figure in FIGURES)
                lines.append(f"| {contender.name} | " + " | ".join(cells) + " |")
            else:
                lines.append(f"| {contender.name} | not raced |" + " |" * (len(FIGURES) - 1))
        lines += ["", *_remarks(race, workload.name)]
    return lines


def _runs(race: Race, workload: str) -> str:
    """Describe how many runs each contender had per workload."""
    numbers = sorted({len(race.of(one.name, workload)) for one in CONTENDERS} - {0})
    return f"{numbers[0]} to {numbers[-1]} runs" if len(numbers) > 1 else pluralize(numbers[0], "run")


def _cell(race: Race, contender: str, workload: str, figure: Figure) -> str:
    values = race.values(contender, workload, figure)
    if not values:
        return ""
    shown, least, most = map(figure.text, (statistics.median(values), min(values), max(values)))
    return shown if least == most else f"{shown} ({least}–{most})"  # noqa: RUF001 -- a range


def _remarks(race: Race, workload: str) -> list[str]:
    """Describe what the tables omit: stopped runs, answers that reached nobody, talks flagged for review."""
    said = []
    for contender in CONTENDERS:
        runs = race.of(contender.name, workload)
        stopped = [run["stopped"] for run in runs if run["stopped"]]
        if stopped:
            why = " and ".join(sorted(set(stopped)))
            said.append(f"{contender.name} did not end by itself in {len(stopped)} of {len(runs)} runs ({why}).")
        elif broken := sum(run["wall"] is None for run in runs):
            said.append(f"{contender.name} ended before its last row in {broken} of {len(runs)} runs.")
        if any(run["workers_mb"] for run in runs):
            functions = statistics.median(run["workers_mb"] for run in runs)
            said.append(f"{contender.name}: of its memory, the functions took {functions:.0f} MB.")
        if starved := sum(run["starved"] for run in runs):
            said.append(
                f"{contender.name}: its functions reached their own time-out {starved} times in {len(runs)} runs."
            )
        if any(run["review"] for run in runs):
            flagged = statistics.median(run["review"] for run in runs)
            wrong = statistics.median(run["finished"] - run["right"] for run in runs)
            said.append(
                f"{contender.name} flagged {flagged:.0f} talks for review; {wrong:.0f} of its talks are not exact."
            )
    return [f"- {sentence}" for sentence in said] + ([""] if said else [])


def better(race: Race) -> list[str]:
    """Describe where a peer's median is better than Titlecard's."""
    lines = ["## Where a peer is better", ""]
    for ours in (one.name for one in CONTENDERS if one.tier):
        lines += [f"Medians that are better than those of **{ours}**:", ""]
        for workload in WORKLOADS:
            found = [sentence for figure in FIGURES if (sentence := _beaten(race, workload.name, figure, ours))]
            lines += [f"- {TITLES[workload.name]}: {'; '.join(found)}."] if found else []
        lines.append("")
    return [*lines, RULES_ASK_NOBODY, ""]


def _beaten(race: Race, workload: str, figure: Figure, ours: str) -> str:
    """Name the peers whose median of a figure is better than Titlecard's; empty if there is none."""
    mine = race.middle(ours, workload, figure)
    if mine is None or figure.more is None:
        return ""
    better = []
    for contender in CONTENDERS:
        theirs = race.middle(contender.name, workload, figure)
        if not (contender.tier or contender.rule) and theirs is not None and (theirs - mine) * (figure.more or -1) > 0:
            better.append(f"{contender.name} {figure.text(theirs)}")
    return f"{figure.title} {figure.text(mine)}, but {', '.join(better)}" if better else ""


def _failures(race: Race) -> list[str]:
    """Quote what an operator sees of a failed row in each contender, without the rows' own text."""
    lines = [
        "## What an operator sees of a failed row",
        "",
        "From the run with poison, shortened, without the rows' own text.",
        "",
    ]
    for contender in CONTENDERS:
        lines.append(f"**{contender.name}.** {contender.trail}")
        seen = next((run["seen"] for run in reversed(race.of(contender.name, "faults")) if run["seen"]), "")
        if seen:
            lines += ["", "```text", masked(seen, race.rows), "```"]
        lines.append("")
    return lines


def masked(text: str, rows: Sequence[Row]) -> str:
    """Remove the rows' own text from a contender's words."""
    for row in rows:
        text = text.replace(row.id, "VIDEO").replace(row.title, "TITLE").replace(row.expected_title, "TITLE")
        for name in row.expected_presenters:
            text = text.replace(name, "NAME")
    text = re.sub(r"(?:/[\w.-]+){2,}/([\w.-]+)", r"…/\1", text)
    text = "\n".join(line.rstrip() for line in text.strip().splitlines()).replace("```", "'''")
    return (
        text
        if len(text) <= QUOTED_CHARACTERS
        else text[: QUOTED_CHARACTERS // 3] + "\n…\n" + text[-QUOTED_CHARACTERS * 2 // 3 :]
    )


def _settings(race: Race) -> list[str]:
    lines = ["## Settings and versions", ""]
    for contender in CONTENDERS:
        versions = _versions(contender, race.pythons.get(contender.name))
        lines.append(f"- **{contender.name}.** {contender.settings}{f' {versions}.' if versions else ''}")
    return lines


def _versions(contender: Contender, python: Path | None) -> str:
    """Return the installed versions of a contender's packages."""
    if contender.tier:
        return f"titlecard {__version__}"
    names = [re.split(r"[\[=]", package)[0] for package in contender.packages]
    if python is None or not names:
        return ""
    code = (
        "import importlib.metadata as m, sys\n"
        "for n in sys.argv[1:]:\n"
        " try: print(n, m.version(n))\n"
        " except m.PackageNotFoundError: pass\n"
    )
    asked = [str(python), "-c", code, *names, "openai", "pydantic"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    return ", ".join(dict.fromkeys(done.stdout.split("\n")[:-1]))
