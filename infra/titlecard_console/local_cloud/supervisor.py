"""The supervisor of a local cloud: the process that starts it, records what was paid for, and stops it.

`cloud.start` starts it in its own session and keeps its standard input open. The request comes in as one line. When the
pipe ends, because a `with` block ended, Ctrl-C was pressed or the console was killed, the supervisor

1. disables the event sources and the schedule, so that no work starts;
2. waits for the running parsers, at most for their timeout: they may be waiting for answers that are already billed;
3. records the last changes, stops MiniStack and everything that it started, and exits.

It does the same when a change cannot be recorded because the disk is full, and says so when the console stops it.

So a killed console loses nothing. A killed supervisor can lose the changes of the last moment (`SYNC_SECONDS`) and the
requests in progress; MiniStack then ends too, because its own standard input ends.
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
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard_console.errors import CloudError
from titlecard_console.local_cloud import deploy, template
from titlecard_console.local_cloud.cloud import Cloud, CloudRequest, State
from titlecard_console.local_cloud.journal import Journal, JournaledTables
from titlecard_console.local_cloud.ministack import MiniStack

if TYPE_CHECKING:
    from collections.abc import Mapping

SYNC_SECONDS = 0.3
DRAIN_POLL_SECONDS = 0.1
SPACE_SECONDS = 5
"""Seconds for which the last changes wait for space on a full disk."""

QUIET_READINGS = 3
"""Consecutive readings of zero after which no parser counts as running: MiniStack briefly leaves out a batch that it
has received and is about to hand over."""


def main() -> int:
    """Supervise one cloud. Return 0 if it was stopped, 1 if it did not start."""
    signal.signal(signal.SIGTERM, _leave)
    request = CloudRequest(**json.loads(sys.stdin.readline()))
    state = State(Path(request.state))
    try:
        with state.hold():
            _log_to(state)
            shutil.rmtree(state.scratch, ignore_errors=True)  # left by a cloud that was killed
            state.scratch.mkdir()
            try:
                _supervise(request, state)
            finally:
                state.forget()
                shutil.rmtree(state.scratch, ignore_errors=True)
    except CloudError as error:
        _tell(error=str(error))
        return 1
    except OSError as error:  # the folder cannot be written, for example
        _tell(error=f"The local cloud has stopped: {error}")
        return 1
    return 0


def _supervise(request: CloudRequest, state: State) -> None:
    _tell(step="starting MiniStack")
    with closing(MiniStack(state.scratch, state.logs / "ministack.log", request.environment)) as ministack:
        _tell(step="deploying template.yaml")
        outputs = deploy.deploy(ministack.cloud, template.load(), request.parameters, Path(request.artefacts))
        cloud = replace(ministack.cloud, outputs=outputs, parameters=request.parameters)
        tables = JournaledTables(cloud, Journal(state.record))
        tables.restore()
        deploy.try_functions(cloud)
        state.announce(cloud)
        _tell(cloud=asdict(cloud))
        with suppress(OSError):  # the disk is full: stop, since what is paid for now could not be recorded
            while not _told_to_stop():
                ministack.check()
                tables.record()
        state.forget()
        deploy.switch_off(cloud)
        _drain(ministack, cloud, float(request.parameters["ParserTimeoutSeconds"]))
        _record_last(tables, state)


def _record_last(tables: JournaledTables, state: State) -> None:
    """Record the last changes; wait a while for space on the disk."""
    deadline = time.monotonic() + SPACE_SECONDS
    while True:
        try:
            return tables.record()
        except OSError as error:
            if time.monotonic() > deadline:
                raise CloudError(
                    f"{state.record} could not be written ({error.strerror}), so the local cloud was stopped. The last "
                    "talks are not recorded, and a new run may pay for them again."
                ) from error
        time.sleep(1)


def _drain(ministack: MiniStack, cloud: Cloud, seconds: float) -> None:
    quiet, deadline = 0, time.monotonic() + seconds
    while quiet < QUIET_READINGS and time.monotonic() < deadline:
        quiet = 0 if ministack.under_way(cloud.outputs["ParserFunction"]) else quiet + 1
        time.sleep(DRAIN_POLL_SECONDS)


def _told_to_stop() -> bool:
    """Wait a moment for the end of standard input; return whether it has ended."""
    ready, _, _ = select.select([sys.stdin], [], [], SYNC_SECONDS)
    return bool(ready)  # the console writes nothing after the request, so readable means ended


def _leave(_signal: int, _frame: object) -> None:
    """Stop as if the console had closed the pipe."""
    with open(os.devnull) as nothing:  # noqa: PTH123 -- a descriptor is needed
        os.dup2(nothing.fileno(), sys.stdin.fileno())


def _log_to(state: State) -> None:
    """Send unexpected errors to the supervisor's log; this cloud alone uses both logs."""
    shutil.rmtree(state.logs, ignore_errors=True)
    state.logs.mkdir()
    with (state.logs / "supervisor.log").open("w") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())


def _tell(**what: str | Mapping[str, object]) -> None:
    with suppress(BrokenPipeError):  # the console may have been killed
        os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
