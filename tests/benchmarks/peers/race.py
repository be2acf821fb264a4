"""One contender against one workload: starts it, watches it, stops it in time, and counts its results."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from tests.benchmarks.peers import dataset
from tests.benchmarks.peers.contenders import HERE, Contender
from tests.benchmarks.peers.provider import RaceProvider, Sums
from tests.benchmarks.peers.rules import RULES
from tests.incident.django_q2 import environment

from titlecard.extraction import parse_with
from titlecard.extraction.model import Model, shipped
from titlecard_console import evaluation
from titlecard_console.evaluation import Case, Result
from titlecard_console.local_cloud import build as artefact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.peers.dataset import Row
    from tests.benchmarks.peers.workloads import Workload

    from titlecard.domain.video import Video
    from titlecard.extraction.survey import Survey

MODEL = "gpt-6-luna"
KEY = "sk-of-the-race"
START_SECONDS = 240.0
"""The longest time until a contender is ready, in seconds."""

LEAVE_SECONDS = 60.0
"""The longest time until a contender ends after SIGTERM, in seconds."""

WATCH_SECONDS = 0.25
WEIGHTS = "titlecard/extraction/weights.json.gz"


@dataclass(frozen=True)
class Settings:
    """The settings that all contenders share.

    Attributes:
        concurrency: the number of concurrent requests.
        truth: the share of rows whose answer is the truth.
        requests_a_row: the provider's cap on requests, per row.
        cache: the folder of the environments and of the contenders' results.
        weights: weights of Titlecard's local tier that were trained without the rows; None means the shipped ones.
    """

    concurrency: int
    truth: float
    requests_a_row: int
    cache: Path
    weights: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of one run.

    Attributes:
        finished: rows with a talk.
        failed: rows without a talk, with a reason.
        waiting: unfinished rows that a stopped contender still knows of.
        lost: all other rows.
        right: rows with a talk that equals the known one.
        review: finished rows that are flagged for a person.
        wall: seconds from readiness to the last row's end; None if it did not end by itself.
        peak_mb: the peak memory of all its processes together (proportional set size).
        workers_mb: the same of Titlecard's functions alone.
        stopped: why it was stopped: `deadline`, `cap`, `not ready`, or empty.
        starved: how often one of Titlecard's functions reached its timeout, which happens on a busy machine even before
            the function has started.
        seen: what an operator sees about a failed row.
    """

    finished: int
    failed: int
    waiting: int
    lost: int
    right: int
    review: int
    wall: float | None
    peak_mb: float
    workers_mb: float
    stopped: str
    starved: int
    seen: str
    bill: Sums


class Arena:
    """Runs contenders.

    Args:
        rows: the rows to work on.
        settings: the settings that all contenders share.
    """

    def __init__(self, rows: Sequence[Row], settings: Settings) -> None:
        self._rows, self._settings = rows, settings
        self._manifest = settings.cache / "rows.jsonl"
        self._manifest.write_text("".join(f"{row.manifest_line}\n" for row in rows), encoding="utf-8")
        self._events = dataset.event_names(rows)
        self._artefacts: Path | None = None

    def run(self, contender: Contender, workload: Workload, seed: int) -> Outcome:
        """Run one contender on all rows."""
        if contender.rule:
            return self._by_rule(contender.rule)
        folder = self._settings.cache / "runs" / f"{contender.module}{contender.tier}-{workload.name}-{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        cap = self._settings.requests_a_row * len(self._rows)
        provider = RaceProvider(self._rows, workload, truth=self._settings.truth, seed=seed, cap=cap)
        with provider:
            (folder / "order.json").write_text(json.dumps(self._order(contender, folder, provider)), encoding="utf-8")
            watch = _Watch(self._command(contender, folder), folder, restarted=contender.restarted)
            stopped = watch.until_over(provider, workload.deadline)
            bill = provider.sums
        return self._outcome(folder, watch, stopped, bill)

    def python(self, contender: Contender) -> Path:
        """Return the interpreter of a contender's environment; make the environment if it is missing."""
        if not contender.packages:
            return Path(sys.executable)
        digest = hashlib.sha256(repr((contender.packages, sys.version)).encode()).hexdigest()[:8]
        return environment(self._settings.cache / "environments" / f"{contender.module}-{digest}", contender.packages)

    def _command(self, contender: Contender, folder: Path) -> list[str]:
        order = str(folder / "order.json")
        if contender.tier:
            return [sys.executable, "-m", f"{__package__}.contenders.{contender.module}", order]
        return [str(self.python(contender)), str(HERE / f"{contender.module}.py"), order]

    def _order(self, contender: Contender, folder: Path, provider: RaceProvider) -> dict[str, Any]:
        return {
            "rows": [{"id": row.id, "prompt": row.prompt, "text": row.text} for row in self._rows],
            "instructions": dataset.INSTRUCTIONS_FOR_PEERS,
            "base_url": provider.base_url,
            "key": KEY,
            "model": MODEL,
            "concurrency": self._settings.concurrency,
            "folder": str(folder),
            "tier": contender.tier,
            "manifest": str(self._manifest),
            "artefacts": str(self._built()) if contender.tier else "",
        }

    def _built(self) -> Path:
        """Return the functions' artefacts with this race's weights."""
        if self._artefacts is None:
            self._artefacts = artefact.build()
            if self._settings.weights is not None:
                self._artefacts = _with_weights(
                    self._artefacts, self._settings.weights, self._settings.cache / "artefacts"
                )
        return self._artefacts

    def _by_rule(self, name: str) -> Outcome:
        """Answer every row by a rule, in this process."""
        began, rule = time.perf_counter(), RULES[name]
        talks = [rule(row.title, self._events[row.event]) for row in self._rows]
        wall = time.perf_counter() - began
        right = sum(row.is_right(*talk) for row, talk in zip(self._rows, talks, strict=True))
        nothing = Sums(0, 0, 0, 0, 0, 0, 0, 0, 0, capped=False)
        return Outcome(len(talks), 0, 0, 0, right, 0, wall, 0.0, 0.0, "", 0, "", nothing)

    def _outcome(self, folder: Path, watch: _Watch, stopped: str, bill: Sums) -> Outcome:
        results: dict[str, dict[str, Any]] = {}
        with suppress(FileNotFoundError):
            for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines():
                result = json.loads(line)
                results[result["id"]] = result
        talks = {row: result for row, result in results.items() if "title" in result}
        errors = [result["error"] for result in results.values() if "error" in result]
        told = folder / "operator.txt"
        seen = told.read_text(encoding="utf-8") if told.exists() else ""
        known = [(row, talks[row.id]) for row in self._rows if row.id in talks]
        moments = [folder / name for name in ("ready", "done")]
        wall = None
        if all(moment.exists() for moment in moments):
            ready, done = (float(moment.read_text(encoding="utf-8")) for moment in moments)
            wall = done - ready
        return Outcome(
            finished=len(talks),
            failed=len(errors),
            waiting=sum("waits" in result for result in results.values()),
            lost=len(self._rows) - len(results),
            right=sum(row.is_right(talk["title"], talk["presenters"]) for row, talk in known),
            review=sum(bool(talk.get("review")) for talk in talks.values()),
            wall=wall,
            peak_mb=watch.peak_mb,
            workers_mb=watch.workers_mb,
            stopped=stopped,
            starved=_timeouts(folder / "state" / "log" / "ministack.log"),
            seen=seen.strip() or min(errors, key=lambda error: "500" not in error, default=""),
            bill=bill,
        )


class _Watch:
    """A contender at work: its processes, their memory, and its end."""

    def __init__(self, command: list[str], folder: Path, *, restarted: bool) -> None:
        self._command, self._folder, self._restarted = command, folder, restarted
        self.peak_mb = self.workers_mb = 0.0
        self._began = time.monotonic()

    def until_over(self, provider: RaceProvider, deadline: float) -> str:
        """Wait until it ends by itself, or stop it; return why it was stopped."""
        self._process = self._start()
        try:
            while True:
                time.sleep(WATCH_SECONDS)
                self._weigh(self._process)
                if self._process.poll() is not None:
                    if not self._restarted or self._process.returncode == 0:
                        return ""
                    self._process = self._start()
                if stopped := self._stopped(provider, deadline):
                    self._leave()
                    return stopped
                if _since(self._folder / "done") > LEAVE_SECONDS:
                    self._leave()
                    return ""
        finally:
            _end(self._process)

    def _stopped(self, provider: RaceProvider, deadline: float) -> str:
        """Return why it must be stopped now; empty if it need not."""
        if provider.capped:
            return "cap"
        if (self._folder / "done").exists():
            return ""
        if (self._folder / "ready").exists():
            return "deadline" if _since(self._folder / "ready") > deadline else ""
        return "not ready" if time.monotonic() - self._began > START_SECONDS else ""

    def _leave(self) -> None:
        """Tell it to end, and give it time to write its results."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVE_SECONDS)

    def _start(self) -> subprocess.Popen[bytes]:
        log = (self._folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                self._command,
                cwd=dataset.ROOT,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _weigh(self, process: subprocess.Popen[bytes]) -> None:
        """Measure the memory of all its processes."""
        total = functions = 0.0
        with suppress(psutil.Error):
            root = psutil.Process(process.pid)
            for each in (root, *root.children(recursive=True)):
                with suppress(psutil.Error, OSError):
                    mb = each.memory_full_info().pss / 2**20
                    total += mb
                    functions += mb * ("lambda-" in " ".join(each.cmdline()))
        self.peak_mb, self.workers_mb = max(self.peak_mb, total), max(self.workers_mb, functions)


def _timeouts(log: Path) -> int:
    """Return how often the local cloud ended a function at its timeout."""
    with suppress(FileNotFoundError):
        return log.read_text(encoding="utf-8").count("killing worker")
    return 0


def _since(moment: Path) -> float:
    """Return the seconds since a moment that a contender recorded; None if it has not."""
    with suppress(FileNotFoundError, ValueError):
        return time.time() - float(moment.read_text(encoding="utf-8"))
    return 0.0


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a contender's remaining processes."""
    left: list[psutil.Process] = []
    with suppress(psutil.Error):
        left = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for each in left:
        with suppress(psutil.Error):
            each.kill()
    process.wait()


def _with_weights(built: Path, weights: Path, target: Path) -> Path:
    """Return a copy of the artefacts with other weights."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    content = weights.read_bytes()
    for source in built.glob("*.zip"):
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target / source.name, "w") as new:
            for entry in old.infolist():
                new.writestr(entry, content if entry.filename == WEIGHTS else old.read(entry))
    return target


def tokenless(rows: Sequence[Row], weights: Path | None) -> str:
    """Describe how often the rules and the local tier are exact over all rows, with each event as one batch."""
    names = dataset.event_names(rows)
    right = {
        name: sum(row.is_right(*rule(row.title, names[row.event])) for row in rows) for name, rule in RULES.items()
    }
    cases = [Case(row.video, row.event, "all", row.expected_title, row.expected_presenters) for row in rows]
    model = Model.from_bytes(weights.read_bytes()) if weights else shipped()

    def answer(video: Video, survey: Survey) -> Result:
        found = parse_with(model, video, survey)
        return Result(found.title, found.presenters, found.confidence, found.sure)

    results = evaluation.run(cases, answer)
    right["local tier"] = sum(row.is_right(it.title, it.presenters) for row, it in zip(rows, results, strict=True))
    shares = ", ".join(f"{name} {number / len(rows):.1%}" for name, number in right.items())
    sure = [row.is_right(it.title, it.presenters) for row, it in zip(rows, results, strict=True) if it.sure]
    return f"{shares} of {len(rows):,} rows; sure of {len(sure) / len(rows):.0%}, of which {sum(sure) / len(sure):.1%}"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome for a file."""
    return asdict(outcome)
