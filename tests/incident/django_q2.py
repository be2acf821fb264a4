"""Django-Q2 with its ORM broker on SQLite: its environment, its settings on the scaled clock, and a running cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.incident.provider import SlowProvider

PACKAGES = ("django==5.2.19", "django-q2==1.11.1")

WORKERS = 4
TIMEOUT = 90
CYCLE_SECONDS = 0.05
"""Seconds between polls of the broker and of the guard, unscaled: scaled defaults would keep a core busy."""

POLL_SECONDS = 0.25
LEAVE_SECONDS = 10


@dataclass(frozen=True)
class Work:
    """The work for Django-Q2; seconds are of the scaled clock.

    Attributes:
        one_by_one: whether there is a task per video, instead of one that loops over all of them.
        retry: seconds after which an unacknowledged task is handed out again; Django-Q2's default is 60.
        max_attempts: the most attempts; 0, Django-Q2's default, means no maximum.
    """

    one_by_one: bool
    retry: int
    max_attempts: int = 0


@dataclass(frozen=True)
class Left:
    """The state when a cluster was stopped: tasks that succeeded, and messages still in its queue."""

    succeeded: int
    queued: int


def environment(folder: Path, packages: Sequence[str] = PACKAGES) -> Path:
    """Return the Python of an environment with these packages; create the environment if it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or str(Path(__file__).parents[2] / ".uv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", python.parents[1]], check=True)  # noqa: S603 -- our own command
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)  # noqa: S603 -- as above
    return python


def settings(work: Work, scale: int) -> dict[str, Any]:
    """Return Django-Q2's settings for the scaled clock, except defaults."""
    changed: dict[str, Any] = {
        "orm": "default",
        "workers": WORKERS,
        "timeout": TIMEOUT // scale,  # passed to signal.alarm, which takes whole seconds
        "retry": work.retry / scale,
        "poll": CYCLE_SECONDS,
        "guard_cycle": CYCLE_SECONDS,
    }
    return changed | ({"max_attempts": work.max_attempts} if work.max_attempts else {})


def run(
    work: Work, provider: SlowProvider, bodies: Mapping[str, str], folder: Path, *, scale: int, hours: float
) -> Left:
    """Let a cluster work on the videos until its queue is empty, or this many scaled hours have passed.

    Args:
        work: the work for Django-Q2.
        provider: the provider, already serving.
        bodies: the request about each video.
        folder: the cluster's own folder, which is created anew.
        scale: see `__main__.SCALE`.
        hours: the most scaled hours.
    """
    python = environment(folder.parent / "django-q2")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "requests.json").write_text(json.dumps(bodies), encoding="utf-8")
    order = {
        "database": str(folder / "database.sqlite3"),
        "url": f"{provider.base_url}/responses",
        "requests": str(folder / "requests.json"),
        "q_cluster": settings(work, scale),
        "one_by_one": work.one_by_one,
        "patience": 600 / scale,  # the OpenAI client's default timeout
    }
    (folder / "order.json").write_text(json.dumps(order), encoding="utf-8")
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(  # noqa: S603 -- our own command
            [python, Path(__file__).with_name("cluster.py")],
            env={"PATH": os.environ["PATH"], "ORDER": str(folder / "order.json")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as cluster,
    ):
        try:
            _wait(cluster, provider, folder / "database.sqlite3", deadline=time.monotonic() + hours * 3600 / scale)
            left = _left(folder / "database.sqlite3")
            cluster.terminate()
            with suppress(subprocess.TimeoutExpired):
                cluster.wait(LEAVE_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(cluster.pid, signal.SIGKILL)
    return left


def _wait(cluster: subprocess.Popen[bytes], provider: SlowProvider, database: Path, *, deadline: float) -> None:
    """Wait until the deadline, or until the queue is empty and no request has come for two answers' time.

    Raises:
        RuntimeError: the cluster has ended by itself.
    """
    asked, since = 0, time.monotonic()
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        if cluster.poll() is not None:
            raise RuntimeError(f"Django-Q2 has ended by itself: see {database.with_name('log')}")
        if len(provider.entries) != asked:
            asked, since = len(provider.entries), time.monotonic()
        quiet = time.monotonic() - since > max(2 * provider.delay, 2.0)
        if asked and quiet and not _left(database).queued:
            return


def _left(database: Path) -> Left:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)) as connection:
        (succeeded,) = connection.execute("SELECT count(*) FROM django_q_task WHERE success").fetchone()
        (queued,) = connection.execute("SELECT count(*) FROM django_q_ormq").fetchone()
    return Left(succeeded, queued)
