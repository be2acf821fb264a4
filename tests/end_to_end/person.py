"""`titlecard` as a person runs it: a process of its own, with what a person sees of it and can do to it."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, TYPE_CHECKING, Any

from tests.end_to_end.stack import KEY, processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TITLECARD = Path(sys.executable).with_name("titlecard")

RUN_SECONDS = 400
"""When a test gives a run up. It starts a cloud, which takes a few seconds where nothing else is going on."""

FIELDS = ["id", "title", "presenters", "state", "tier", "confidence", "review", "tokens", "cost_micro_usd", "reason"]
"""What every line of `run` and `parse` has, in this order: others script against it."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended: its exit code, its standard output and its standard error."""

    code: int
    data: str
    told: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output, which is JSON Lines and nothing else."""
        return [json.loads(line) for line in self.data.splitlines()]


@contextmanager
def started(
    *command: str | Path, base_url: str = "", stdin: int = DEVNULL, stderr: int | IO[str] = PIPE
) -> Iterator[Popen[str]]:
    """A `titlecard` command under way, for the length of a block; it is killed where it has not ended by then.

    Args:
        command: its arguments.
        base_url: the provider; without one there is no key.
        stdin: the descriptor of its standard input.
        stderr: where its standard error goes, for who wants to read it meanwhile.
    """
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment["COLUMNS"] = "400"  # what is told of a path stays in one line
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
    data, told = process.communicate(timeout=RUN_SECONDS)
    return Ran(process.returncode, data, told or "")


def ran(*command: str | Path, base_url: str = "", stdin: int = DEVNULL) -> Ran:
    """Run a `titlecard` command to its end."""
    with started(*command, base_url=base_url, stdin=stdin) as process:
        return ended(process)


def interrupt(process: Popen[str], signal: int) -> None:
    """Do what a terminal does on Ctrl-C: the signal goes to the command and to all that it started in its session."""
    os.killpg(process.pid, signal)


def left_behind(state: Path) -> list[str]:
    """The command lines of the processes that a cloud on a state folder has left."""
    return [command for _, command in processes() if f"{state.resolve()}/" in command]


def parameters(values: Mapping[str, str]) -> list[str]:
    """Options that set parameters of the template."""
    return [argument for name, value in values.items() for argument in ("--set", f"{name}={value}")]
