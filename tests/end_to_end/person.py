"""`titlecard` as a person runs it: a separate process, its output, and the signals that a person can send it."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, TYPE_CHECKING, Any

from tests.end_to_end.stack import KEY, PATIENCE_SECONDS, processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TITLECARD = Path(sys.executable).with_name("titlecard")

FIELDS = ["id", "title", "presenters", "state", "tier", "confidence", "review", "tokens", "cost_micro_usd", "reason"]
"""The fields of every line of `run` and `parse`, in this order: users' scripts depend on them."""


@dataclass(frozen=True)
class Ran:
    """A finished command: its exit code, its standard output and its standard error."""

    code: int
    data: str
    told: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Parse standard output, which must be JSON Lines and nothing else."""
        return [json.loads(line) for line in self.data.splitlines()]


@contextmanager
def started(
    *command: str | Path, base_url: str = "", stdin: int = DEVNULL, stderr: int | IO[str] = PIPE
) -> Iterator[Popen[str]]:
    """Run a `titlecard` command for the length of a block; kill it if it is still running at the end.

    Args:
        command: its arguments.
        base_url: the provider's base URL; empty means that there is no key.
        stdin: the descriptor of its standard input.
        stderr: the destination of its standard error, for a test that reads it during the run.
    """
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment["COLUMNS"] = "400"  # so that a message with a path stays in one line
    if base_url:
        environment |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url}
    with Popen(  # noqa: S603 -- our own command
        [TITLECARD, *command],
        env=environment,
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: Popen[str]) -> Ran:
    """Wait for the end of a command."""
    data, told = process.communicate(timeout=PATIENCE_SECONDS)
    return Ran(process.returncode, data, told or "")


def ran(*command: str | Path, base_url: str = "", stdin: int = DEVNULL) -> Ran:
    """Run a `titlecard` command to its end."""
    with started(*command, base_url=base_url, stdin=stdin) as process:
        return ended(process)


def interrupt(process: Popen[str], signal: int) -> None:
    """Send a signal as a terminal does on Ctrl-C: to the command and every process that it started in its session."""
    os.killpg(process.pid, signal)


def left_behind(state: Path) -> list[str]:
    """Return the command lines of the processes that a cloud on a state folder has left."""
    return [command for _, command in processes() if f"{state.resolve()}/" in command]


def parameters(values: Mapping[str, str]) -> list[str]:
    """Return the options that set these parameters of the template."""
    return [argument for name, value in values.items() for argument in ("--set", f"{name}={value}")]
