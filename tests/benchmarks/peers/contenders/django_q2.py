"""Django-Q2 as its author repaired it after the incident: the task, the cluster, and the program that starts both.

The program takes the order as its argument; its cluster imports this module and reads the order's path from `$ORDER`.
"""

# It runs in a separate environment, which has Django-Q2.
# mypy: ignore-errors

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time

import ask as client
import django
from django.conf import settings
from django.core.management import call_command
from job import Job

TIMEOUT_SECONDS, RETRY_SECONDS = 9, 12
CYCLE_SECONDS = 0.05

job = Job(os.environ.get("ORDER") or sys.argv[1])
order, folder = job.order, job.folder


def ask(prompt: str) -> dict[str, object]:
    """Ask about one row."""
    return client.ask(order, prompt)


def configure() -> None:
    """Set Django up."""
    settings.configure(
        SECRET_KEY="of the race",  # noqa: S106 -- Django-Q2 signs its tasks with it
        USE_TZ=True,
        INSTALLED_APPS=["django_q"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / "database.sqlite3"),
                # Several processes write: they wait for each other instead of failing.
                "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
            }
        },
        Q_CLUSTER={
            "orm": "default",
            "workers": order["concurrency"],
            "timeout": TIMEOUT_SECONDS,
            "retry": RETRY_SECONDS,
            "max_attempts": 3,
            "queue_limit": order["concurrency"],  # `retry` counts from when a task is fetched, so few are fetched early
            "poll": CYCLE_SECONDS,
            "guard_cycle": CYCLE_SECONDS,
            "save_limit": 0,
        },
    )
    django.setup()


def main() -> None:
    """Start a cluster, send every row, and wait until its queue is empty."""
    configure()
    if "ORDER" in os.environ:
        importlib.import_module("django_q2")  # before it forks; otherwise every worker would load it again
        call_command("qcluster")
        return
    job.leave_when_told()
    call_command("migrate", verbosity=0)
    with (folder / "cluster.log").open("w") as log:
        cluster = subprocess.Popen(
            [sys.executable, __file__, sys.argv[1]], env={**os.environ, "ORDER": sys.argv[1]}, stdout=log, stderr=log
        )
    from django_q.models import OrmQ, Task  # noqa: PLC0415 -- it wants Django to be set up
    from django_q.tasks import async_task  # noqa: PLC0415 -- likewise

    rows = {}
    try:
        while " running" not in (folder / "cluster.log").read_text(encoding="utf-8"):
            time.sleep(0.1)
        job.ready()
        rows = {async_task("django_q2.ask", row["prompt"]): row["id"] for row in order["rows"]}
        while OrmQ.objects.exists():
            time.sleep(0.1)
        while Task.objects.count() < len(rows) and cluster.poll() is None:
            time.sleep(0.1)
        job.done()
    finally:
        for task in Task.objects.all():
            if task.success:
                job.finished(rows[task.id], task.result["title"], task.result["presenters"])
            else:
                job.failed(rows[task.id], task.result)
        for queued in OrmQ.objects.all():
            if not Task.objects.filter(id=queued.task_id()).exists():
                job.waits(rows[queued.task_id()])
        job.tell("\n".join(str(task.result) for task in Task.objects.filter(success=False)[:1]))
        cluster.kill()


if __name__ == "__main__":
    main()
