"""Celery with a broker that needs no server: the tasks, and the program that starts the worker and sends them.

The program takes the order as its argument; its worker imports this module and reads the order's path from `$ORDER`.
"""

# It runs in a separate environment, which has Celery.
# mypy: ignore-errors

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import ask as client
from celery import Celery
from job import Job

job = Job(os.environ.get("ORDER") or sys.argv[1])
order, folder = job.order, job.folder
app = Celery("race", broker="filesystem://", backend=f"file://{folder}/states")
app.conf.update(
    broker_transport_options={
        "data_folder_in": f"{folder}/queue",
        "data_folder_out": f"{folder}/queue",
        "control_folder": f"{folder}/control",
        "processed_folder": f"{folder}/processed",
        "store_processed": True,
    },
    worker_prefetch_multiplier=1,
)


@app.task(
    name="ask",
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(client.TransientFaultError,),
    retry_backoff=True,
    max_retries=3,
)
def ask(prompt: str) -> dict[str, object]:
    """Ask about one row."""
    return client.ask(order, prompt)


def main() -> None:
    """Start a worker, send every row, and wait for all of them."""
    job.leave_when_told()
    states: dict[str, object] = {}
    for name in ("queue", "control", "processed", "states"):
        (folder / name).mkdir()
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--loglevel", "INFO"),
                *("--concurrency", str(order["concurrency"])),
            ],
            cwd=Path(__file__).parent,
            env={**os.environ, "ORDER": sys.argv[1]},
            stdout=log,
            stderr=log,
        )
    try:
        while " ready." not in (folder / "worker.log").read_text(encoding="utf-8"):
            time.sleep(0.1)
        job.ready()
        states = {row["id"]: ask.apply_async((row["prompt"],), task_id=row["id"]) for row in order["rows"]}
        waiting = dict(states)
        while waiting:
            time.sleep(0.1)
            waiting = {row: state for row, state in waiting.items() if not state.ready()}
        job.done()
    finally:
        report(states)
        worker.kill()


def report(states: dict[str, object]) -> None:
    """Write the result backend's state of every row."""
    for row, state in states.items():
        if state.successful():
            talk = state.result
            job.finished(row, talk["title"], talk["presenters"])
        elif state.failed():
            job.failed(row, f"FAILURE {type(state.result).__name__}: {state.result}")
        elif state.state in ("RETRY", "STARTED") or any((folder / "queue").iterdir()):
            job.waits(row)
    log = (folder / "worker.log").read_text(encoding="utf-8").splitlines()
    job.tell("\n".join(line for line in log if "raised unexpected" in line))


if __name__ == "__main__":
    main()
