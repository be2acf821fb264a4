"""Which stack a command is about: one in AWS (`--stack NAME`), or the local cloud that is running on a state folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from titlecard_console import cloud

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = Path(".titlecard")

Stack = Annotated[str | None, typer.Option("--stack", help="A stack in AWS; without it, the local cloud.")]
State = Annotated[Path, typer.Option(help="The local cloud's folder.", file_okay=False)]


class Refused(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


class Where(Protocol):
    """A deployed stack."""

    @property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of template.yaml."""

    def client(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- a client's type depends on the name
        """A boto3 client for it; `config` goes to botocore's `Config`."""

    def resource(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- as for `client`
        """A boto3 resource for it, likewise."""


def find(stack: str | None, state: Path) -> Where:
    """The stack that a command is about.

    Raises:
        Refused: there is no such stack, or no local cloud is running.
    """
    if stack is not None:
        raise Refused(
            "--stack is for stacks in AWS, which this command cannot reach yet: use the local cloud (`titlecard up`)."
        )
    running = cloud.find(state)
    if running is None:
        raise Refused(f"No cloud is running on {state}: start one with `titlecard up`, or name a stack with --stack.")
    return running
