"""The local tier on every core: real worker processes, the order of their answers, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING

import psutil
import pytest

from titlecard import extraction
from titlecard.domain.video import Video
from titlecard.extraction import surveying
from titlecard.extraction.surveying import survey_batch
from titlecard_console import local_tier
from titlecard_console.errors import ConsoleError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Start = Callable[[str], subprocess.Popen[str]]
    """Starts the command with a start method of multiprocessing."""

PATIENCE_SECONDS = 300

ROWS, CHUNK_ROWS = 250, 10
"""The talks are larger than a pipe's buffer, so the command runs until somebody reads them."""

COMMAND = f"""
import multiprocessing, sys
from titlecard_console import cli, local_tier

multiprocessing.set_start_method(sys.argv.pop(1))
local_tier.cores = lambda: 2  # whatever this machine has
local_tier.PARALLEL_ROWS, local_tier.CHUNK_ROWS = {ROWS}, {CHUNK_ROWS}
cli.main()
"""


def _video(number: int) -> Video:
    title = f"PyCon 2019 - Ada Byron{number % 7} - Part {number}"
    about, event = "About it. " * 9, f"Event {number % 3}"  # each is surveyed by itself
    return Video(id=f"v{number}".ljust(250, "_"), title=title, description=about, event=event)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.jsonl"
    rows = [_video(number).model_dump(include={"id", "title", "description", "event"}) for number in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def start(manifest: Path) -> Iterator[Start]:
    """Start `titlecard parse` with two workers, in its own session as in a terminal; end it with the test."""
    with ExitStack() as running:

        def begin(method: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-W", "error", "-c", COMMAND, method, "parse", str(manifest)]
            started = subprocess.Popen(  # noqa: S603 -- our own
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
            )
            running.enter_context(started)
            running.callback(started.kill)  # before the pipes are closed
            return started

        yield begin


def _processes_of(command: subprocess.Popen[str]) -> dict[psutil.Process, str]:
    """Return all processes that a command has started, with their command lines, once it has written the first talk."""
    assert command.stdout is not None
    assert command.stdout.readline()
    started = psutil.Process(command.pid).children(recursive=True)
    assert len(started) >= 2
    return {process: " ".join(process.cmdline()) for process in started}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_give_the_talks_of_one_process_in_order(method: str, start: Start) -> None:
    written, complaints = start(method).communicate(timeout=PATIENCE_SECONDS)
    assert complaints == ""
    assert [(row["id"], row["title"], row["presenters"]) for row in map(json.loads, written.splitlines())] == _talks()


@cache
def _talks() -> list[tuple[str, str, list[str]]]:
    """Return the talks of the manifest, parsed in this process."""
    rows = [(number, _video(number)) for number in range(ROWS)]
    surveys = survey_batch(rows)
    parses = [(video.id, extraction.parse(video, surveys.of(number, video))) for number, video in rows]
    return [(name, parse.title, list(parse.presenters)) for name, parse in parses]


def test_small_manifest_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_tier, "ProcessPoolExecutor", None)
    monkeypatch.setattr(local_tier, "PARALLEL_ROWS", ROWS)
    rows = [(number, _video(number)) for number in range(local_tier.PARALLEL_ROWS - 1)]
    assert [row for row, _ in local_tier.parses(rows, local_tier.survey(rows), len(rows))] == rows


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_worker_killed_during_the_survey_is_reported_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_tier, "cores", lambda: 2)
    monkeypatch.setattr(local_tier, "PARALLEL_ROWS", ROWS)
    monkeypatch.setattr(surveying, "_survey", _die)
    rows = [(number, _video(number)) for number in range(ROWS)]
    with pytest.raises(ConsoleError, match="A worker process was killed before a row was parsed"):
        local_tier.survey(rows)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_interrupt_ends_the_workers_without_a_traceback(method: str, start: Start) -> None:
    command = start(method)
    processes = _processes_of(command)
    os.killpg(command.pid, signal.SIGINT)
    _, complaints = command.communicate(timeout=PATIENCE_SECONDS)
    assert command.returncode == ExitCode.INTERRUPTED
    assert complaints.startswith("Interrupted.")
    assert len(complaints.splitlines()) == 1
    _wait_for_the_end(processes)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_end_when_the_command_is_killed(method: str, start: Start) -> None:
    command = start(method)
    processes = _processes_of(command)
    command.kill()
    command.communicate(timeout=PATIENCE_SECONDS)
    _wait_for_the_end(processes)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_killed_worker_is_reported_in_a_sentence(method: str, start: Start) -> None:
    command = start(method)
    worker = next(process for process, line in _processes_of(command).items() if "resource_tracker" not in line)
    worker.kill()
    _, complaints = command.communicate(timeout=PATIENCE_SECONDS)
    assert command.returncode == ExitCode.FAILED
    assert complaints.startswith("A worker process was killed after ")
    assert len(complaints.splitlines()) == 1


def test_manifest_is_read_no_further_than_the_workers_need() -> None:
    program = f"""
import multiprocessing
from titlecard.domain.video import Video
from titlecard.extraction.survey import BatchSurvey
from titlecard_console import local_tier

local_tier.cores = lambda: 2
local_tier.PARALLEL_ROWS, local_tier.CHUNK_ROWS = {ROWS}, {CHUNK_ROWS}
read = []

def rows():
    for number in range({ROWS}):
        read.append(number)
        yield number, Video(id=str(number), title=f"Part {{number}}")

for seen, _ in enumerate(local_tier.parses(rows(), BatchSurvey(), {ROWS})):
    ahead = local_tier.CHUNK_ROWS * (2 * local_tier.CHUNKS_AHEAD + 1)
    assert len(read) <= seen + ahead, (seen, len(read))
assert seen == {ROWS} - 1
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)  # noqa: S603 -- ours
    assert done.returncode == 0, done.stderr


def _wait_for_the_end(processes: Iterable[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
    assert not alive
