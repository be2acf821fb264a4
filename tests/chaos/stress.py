"""The run: a storm on one stack, with an outage in the middle, and the calm afterwards."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import psutil
from botocore.exceptions import BotoCoreError, ClientError
from tests.chaos.manifests import Manifest, manifest, rubbish
from tests.chaos.provider import ChaoticProvider
from tests.chaos.storm import CALM, STORM, Storm
from tests.end_to_end.stack import KEY, Stack, processes, running, until

from titlecard.domain.batch import END_STATES, RowState, Upload
from titlecard.domain.money import Budget, Cap
from titlecard.domain.reasons import Hold, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from titlecard.aws.dynamodb.catalog import Row

PARAMETERS = {
    "ParserTimeoutSeconds": "10",
    "RequestDeadlineSeconds": "5",
    "SettleMarginSeconds": "3",
    "BatchingWindowSeconds": "0",
    "VisibilitySeconds": "60",
    "RetryBackoffSeconds": "1",
    "IngestTimeoutSeconds": "10",
    "IngestVisibilitySeconds": "60",
    "ManifestMaxBytes": "8388608",
    "AuditAfterSeconds": "30",
    "AuditRounds": "12",
    "MaxConcurrency": "3",
    "TierPolicy": "model",
}
"""The template's times, 6 to 120 times shorter: a row whose message is lost is sent again after 30 seconds."""

AMPLE = Budget(Cap(), Cap(micro_usd=10**9))
TIGHT = Budget(Cap(micro_usd=12_000), Cap(micro_usd=10**9))
"""A daily budget that a few dozen requests use up; the remaining rows wait for the next day."""

PROJECTS: Mapping[str, Budget | None] = {"ample": AMPLE, "tight": TIGHT, "budgetless": None}

ROWS = 24
"""The number of videos in a manifest."""

PHASES = (("storm", 0.25), ("degraded", 0.45), ("outage", 0.62), ("recovered", 1.0))
"""The phases of a storm, each with its end as a fraction. In the outage the provider is stopped."""

EARLY = 0.3
"""The fraction until which the early footprint is taken: by then all functions have worked, not just started."""

UPLOADS_A_MINUTE = 10
KILLS_A_SECOND = 0.12

CALM_SECONDS = 900.0
"""The most seconds that rows may take to settle after the storm, on a busy machine: a few visibility timeouts and
rounds of the audit."""

LOOK_SECONDS = 5
"""Seconds between two checks for settled rows."""

BUSY = 0.5
"""Seconds between two steps of the run."""


@dataclass(frozen=True)
class Footprint:
    """The resources of the functions' processes, the largest of each; and entries of the cloud's temporary folder."""

    memory_mb: float
    open_files: int
    threads: int
    files: int

    def largest(self, other: Footprint | None) -> Footprint:
        """Return the larger of each figure of this footprint and another."""
        return self if other is None else Footprint(*map(max, astuple(self), astuple(other)))


@dataclass
class Run:
    """The record of a run: the faults, the uploads, and the final state of the stack."""

    stack: Stack
    provider: ChaoticProvider
    storm: Storm
    state: Path
    minutes: float
    uploads: list[tuple[Upload, Manifest]] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    swept: int = 0
    early: Footprint | None = None
    late: Footprint | None = None
    settled_after: float = 0.0
    left: list[str] = field(default_factory=list)

    def timed_out(self) -> int:
        """Return how often the platform killed a function at its timeout, from the cloud's own log."""
        logs = [path.read_text("utf-8", errors="replace") for path in (self.state / "log").iterdir() if path.is_file()]
        return sum(text.count("timed out after") for text in logs)

    def unsettled(self) -> list[str]:
        """Return the rows that are neither in an end state nor deferred until a later day or until a person acts."""
        found = []
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        for upload, content in self.uploads:
            rows = self.rows(upload) if content.accepted else []
            found += [
                f"{upload.key} row {row.number}: {row.state}, {row.reason}, due {row.due}"
                for row in rows
                if row.state not in END_STATES and not (row.state is RowState.DEFERRED and (row.due or "9") >= tomorrow)
            ]
            if len(rows) < content.accepted:
                found.append(f"{upload.key}: no worker has begun {content.accepted - len(rows)} rows")
        return found

    def rows(self, upload: Upload) -> list[Row]:
        """Return the rows of an upload that a function has touched; none until ingest has read the upload."""
        try:
            return list(self.stack.catalog.rows(self.stack.catalog.batch(upload.batch)))
        except KeyError:
            return []


@contextmanager
def chaos(minutes: float, folder: Path, built: Path, *, seed: int, say: Callable[[str], None]) -> Iterator[Run]:
    """Run a storm on a separate stack and let it calm down; the stack runs for the length of the block.

    Args:
        minutes: the length of the storm.
        folder: an empty folder for all files.
        built: the functions' artefacts.
        seed: the seed of uploads, kills and the provider's faults; the functions' own faults are not seeded.
        say: takes a sentence for people about each step.
    """
    provider = ChaoticProvider(tuple(PROJECTS), seed)
    storm = Storm(folder / "storm")
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    try:
        with running(folder / "state", PARAMETERS, storm.artefacts(built), environment) as stack:
            run = Run(stack, provider, storm, folder / "state", minutes)
            Stress(run, Random(seed), say).endure()  # noqa: S311 -- faults, not secrets
            yield run
    finally:
        provider.stop()


class Stress:
    """Runs the storm and the calm."""

    def __init__(self, run: Run, random: Random, say: Callable[[str], None]) -> None:
        self._run = run
        self._random = random
        self._say = say
        self._s3 = run.stack.cloud.client("s3")
        self._sweeping: threading.Thread | None = None

    def endure(self) -> None:
        """Run all phases."""
        run, seconds = self._run, self._run.minutes * 60
        for project, budget in PROJECTS.items():
            if budget:
                run.stack.ledger.set_budget(project, budget, by="person", now=datetime.now(UTC))
        for _ in PROJECTS:  # the storm begins when everything has worked once
            self._upload()
        until(lambda: run.provider.asked, "the first request to the provider", every=BUSY)
        began = time.monotonic()
        phase, uploads = "", int(run.minutes * UPLOADS_A_MINUTE) + len(PROJECTS)
        while (part := (time.monotonic() - began) / seconds) < 1.0:
            now = next(name for name, end in PHASES if part < end)
            if now != phase:
                self._turn(phase, now)
                phase = now
            if len(run.uploads) < uploads * min(part / 0.85, 1.0):
                self._upload()
            if run.early is None or part < EARLY:
                run.early = self._footprint().largest(run.early)
            self._hurt()
            self._sweep()
            time.sleep(BUSY)
        self._turn(phase, "calm")
        self._come_to_rest()
        run.late = self._footprint()

    def _turn(self, before: str, phase: str) -> None:
        """Change the weather; as a person would, close the breakers that stay open from before."""
        run = self._run
        self._say(f"{phase}: {len(run.uploads)} uploads, {len(run.provider.asked)} requests so far")
        if before == "outage":
            run.provider.start()
        if phase == "outage":
            run.provider.stop()
            run.provider.outages += 1
        run.provider.faulty = {"degraded": 0.5, "calm": 0.0}.get(phase, 0.12)
        run.storm.turn(CALM if phase == "calm" else STORM)
        self._close_breakers()

    def _close_breakers(self) -> None:
        for project in PROJECTS:
            self._run.stack.ledger.close_breaker(project)

    def _resume(self) -> None:
        """Do what `titlecard resume` does: close the breakers, and let the rows that wait for them continue."""
        self._close_breakers()
        catalog = self._run.stack.catalog
        for deferred in catalog.deferred_rows_of(PROJECTS):
            if (deferred.row.reason or "").startswith((Reason.ACCOUNT_FAULT, Hold.BREAKER_OPEN)):
                catalog.make_due(deferred, now=datetime.now(UTC))

    def _upload(self) -> None:
        run, number = self._run, len(self._run.uploads)
        project = list(PROJECTS)[number % len(PROJECTS)]
        if number % 13 == 12:
            content = rubbish(number)
        elif number % 7 == 6:
            content = manifest(number - 3, project, ROWS, again=True)  # replaces the one before, of the same project
        else:
            content = manifest(number, project, ROWS)
        bucket, key = run.stack.outputs["UploadsBucket"], f"uploads/{project}/{content.name}"
        version = self._s3.put_object(Bucket=bucket, Key=key, Body=content.content)["VersionId"]
        run.uploads.append((Upload(bucket, key, version, order=""), content))

    def _hurt(self) -> None:
        """Kill a function's processes now and then."""
        run, drawn = self._run, self._random.random()
        if drawn < KILLS_A_SECOND * BUSY:
            function = self._random.choice(("ParserFunction", "ParserFunction", "IngestFunction", "SweeperFunction"))
            run.killed[function] += run.stack.kill_workers(function)

    def _sweep(self) -> None:
        """Invoke the sweeper as its schedule would, again as soon as it has answered."""
        if self._sweeping is None or not self._sweeping.is_alive():
            self._sweeping = threading.Thread(target=self._call_sweeper, daemon=True)
            self._sweeping.start()

    def _call_sweeper(self) -> None:
        with suppress(AssertionError, BotoCoreError, ClientError):  # the storm kills it like the others
            self._run.stack.resume()
            self._run.swept += 1
        time.sleep(2)

    def _come_to_rest(self) -> None:
        run, began = self._run, time.monotonic()
        run.left = run.unsettled()
        while run.left and time.monotonic() - began < CALM_SECONDS:
            self._resume()  # a request of the storm may have opened a breaker since
            self._sweep()
            time.sleep(LOOK_SECONDS)
            run.left = run.unsettled()
        if self._sweeping:
            self._sweeping.join()
        run.settled_after = time.monotonic() - began
        self._say(f"at rest after {run.settled_after:.0f} s; {len(run.left)} rows are not")

    def _footprint(self) -> Footprint:
        mine = [pid for pid, command in processes() if f"{self._run.state}/" in command and "lambda-" in command]
        memory, files, threads = [0.0], [0], [0]
        for pid in mine:
            with suppress(psutil.Error):  # it has ended meanwhile
                process = psutil.Process(pid)
                memory.append(process.memory_info().rss / 2**20)
                files.append(process.num_fds())
                threads.append(process.num_threads())
        temporary = self._run.state / "run" / "tmp"
        there = sum(1 for _ in temporary.iterdir()) if temporary.exists() else 0
        return Footprint(max(memory), max(files), max(threads), there)
