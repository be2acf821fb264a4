"""`titlecard` as a person runs it: its output, and the signals that a person can send it.

A command runs in a process of its own where a test kills it, gives it a terminal, or looks at the process. Elsewhere it
runs in this process, because importing the console takes longer than most commands.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, TYPE_CHECKING, Any
from unittest.mock import patch

from tests.end_to_end.stack import KEY, PATIENCE_SECONDS, processes
from typer.testing import CliRunner

from titlecard_console import cli
from titlecard_console.local_cloud.deploy import STACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from titlecard_console.local_cloud.cloud import Cloud

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


@dataclass(frozen=True)
class Operator:
    """A person who works on a stack by its name, with ordinary credentials.

    Args:
        environment: the person's environment variables.
        stack: the name of the stack.
    """

    environment: Mapping[str, str]
    stack: str = STACK

    @classmethod
    def of(cls, cloud: Cloud) -> Operator:
        """Create an operator who has the policy for operators of a cloud's stack and no other permission."""
        iam = cloud.client("iam")
        iam.create_user(UserName="operator")
        iam.attach_user_policy(UserName="operator", PolicyArn=cloud.outputs["OperatorPolicy"])
        key: dict[str, Any] = iam.create_access_key(UserName="operator")["AccessKey"]
        return cls(
            {
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "NO_PROXY": "127.0.0.1",
                "AWS_ENDPOINT_URL": cloud.endpoint_url,
                "AWS_REGION": cloud.region,
                "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            }
        )

    def ran(self, *command: str | Path, text: str = "") -> Ran:
        """Run a command in this process, with `text` as its standard input."""
        return _ran_here(*command, "--stack", self.stack, environment=self.environment, text=text)

    @contextmanager
    def started(self, *command: str, stdin: int = DEVNULL, stdout: int = PIPE) -> Iterator[Popen[str]]:
        """Run a command in another process for the length of a block; kill it if it is still running at the end."""
        with Popen(  # noqa: S603 -- our own command
            [TITLECARD, *command, "--stack", self.stack],
            env=self.environment,
            stdin=stdin,
            stdout=stdout,
            stderr=PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


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
    with Popen(  # noqa: S603 -- our own command
        [TITLECARD, *command],
        env=_environment(base_url),
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


def ran_here(*command: str | Path, base_url: str = "") -> Ran:
    """Run a `titlecard` command in this process; an empty `base_url` means that there is no key."""
    return _ran_here(*command, environment=_environment(base_url))


def _ran_here(*command: str | Path, environment: Mapping[str, str], text: str = "") -> Ran:
    code: object = 0
    with (
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "argv", [str(TITLECARD), *map(str, command)]),
        CliRunner().isolation(input=text) as (data, told, _),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        assert isinstance(code, int)
        return Ran(code, data.getvalue().decode(), told.getvalue().decode())


def _environment(base_url: str = "") -> dict[str, str]:
    """Return the environment of a person with a key for the provider at `base_url`, or without a key."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment["COLUMNS"] = "400"  # so that a message with a path stays in one line
    return environment | ({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url} if base_url else {})


def interrupt(process: Popen[str], signal: int) -> None:
    """Send a signal as a terminal does on Ctrl-C: to the command and every process that it started in its session."""
    os.killpg(process.pid, signal)


def left_behind(state: Path) -> list[str]:
    """Return the command lines of the processes that a cloud on a state folder has left."""
    return [command for _, command in processes() if f"{state.resolve()}/" in command]


def parameters(values: Mapping[str, str]) -> list[str]:
    """Return the options that set these parameters of the template."""
    return [argument for name, value in values.items() for argument in ("--set", f"{name}={value}")]
