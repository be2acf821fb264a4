"""The supervisor of a local cloud: the process that starts it, records what was paid for, and stops it.

`cloud.start` starts it in a session of its own and holds on to its standard input: the request comes in as one line,
and when that pipe ends, by the end of a `with` block, by Ctrl-C or because the console was killed, the supervisor

1. switches the event sources and the schedule off, so that nothing new begins;
2. waits for the parsers that are under way, at most for their time-out: they may be waiting for answers already billed;
3. writes the last changes down, stops MiniStack with all it started, and leaves.

So a killed console costs nothing but the wait. A killed supervisor can cost the changes of the last moment
(`SYNC_SECONDS`) and the requests under way; MiniStack ends with it, because its own standard input ends.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard_console.local_cloud import deploy, template
from titlecard_console.local_cloud.cloud import Cloud, CloudRequest, State, connect
from titlecard_console.local_cloud.errors import LocalCloudError
from titlecard_console.local_cloud.journal import Journal, JournaledTables
from titlecard_console.local_cloud.ministack import MiniStack

if TYPE_CHECKING:
    from collections.abc import Mapping

SYNC_SECONDS = 0.3
DRAIN_POLL_SECONDS = 0.1
QUIET_READINGS = 3
"""Consecutive looks that must see no parser before none is taken to be under way: a batch that MiniStack has received
and is about to hand over is not counted for a moment."""


def main() -> int:
    """Supervise one cloud. Return 0 when it was stopped, 1 if it did not start."""
    signal.signal(signal.SIGTERM, _leave)
    request = CloudRequest(**json.loads(sys.stdin.readline()))
    state = State(Path(request.state))
    try:
        with state.hold():
            _log_to(state)
            shutil.rmtree(state.scratch, ignore_errors=True)  # of one that was killed
            state.scratch.mkdir()
            try:
                _supervise(request, state)
            finally:
                state.forget()
                shutil.rmtree(state.scratch, ignore_errors=True)
    except LocalCloudError as error:
        _tell(error=str(error))
        return 1
    return 0


def _supervise(request: CloudRequest, state: State) -> None:
    _tell(step="starting the embedded AWS")
    with closing(MiniStack(state.scratch, state.logs / "ministack.log", request.environment)) as ministack:
        _tell(step="deploying template.yaml")
        endpoint = connect(ministack.endpoint, {})
        outputs = deploy.deploy(endpoint, template.load(), request.parameters, Path(request.artefacts))
        cloud = connect(ministack.endpoint, outputs)
        tables = JournaledTables(cloud, Journal(state.record))
        tables.restore()
        deploy.try_functions(cloud)
        state.announce(cloud)
        _tell(cloud=asdict(cloud))
        while not _told_to_stop():
            ministack.check()
            tables.record()
        state.forget()
        deploy.switch_off(cloud)
        _drain(ministack, cloud, float(request.parameters["ParserTimeoutSeconds"]))
        tables.record()


def _drain(ministack: MiniStack, cloud: Cloud, seconds: float) -> None:
    quiet, deadline = 0, time.monotonic() + seconds
    while quiet < QUIET_READINGS and time.monotonic() < deadline:
        quiet = 0 if ministack.under_way(cloud.outputs["ParserFunction"]) else quiet + 1
        time.sleep(DRAIN_POLL_SECONDS)


def _told_to_stop() -> bool:
    """Wait a moment for the end of standard input."""
    ready, _, _ = select.select([sys.stdin], [], [], SYNC_SECONDS)
    return bool(ready)  # nothing is ever written to it after the request


def _leave(_signal: int, _frame: object) -> None:
    """Stop as if the console had closed the pipe."""
    with open(os.devnull) as nothing:  # noqa: PTH123 -- a descriptor is wanted
        os.dup2(nothing.fileno(), sys.stdin.fileno())


def _log_to(state: State) -> None:
    """Send unexpected errors to the supervisor's log; both logs are of this cloud alone."""
    shutil.rmtree(state.logs, ignore_errors=True)
    state.logs.mkdir()
    with (state.logs / "supervisor.log").open("w") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())


def _tell(**what: str | Mapping[str, object]) -> None:
    with suppress(BrokenPipeError):  # a console that was killed is not told
        os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
