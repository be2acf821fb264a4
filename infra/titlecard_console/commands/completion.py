"""`titlecard completion`: a script that makes a shell complete commands and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # Typer documents this import


class Shell(StrEnum):
    """A shell that supports completion."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="Your shell: bash, zsh or fish.")]) -> None:
    """Print a script that makes your shell complete commands.

    `eval "$(titlecard completion bash)"`

    `eval "$(titlecard completion zsh)"`

    `titlecard completion fish | source`

    To enable completion in every shell, add the line to ~/.bashrc, ~/.zshrc (after compinit) or
    ~/.config/fish/config.fish.
    """
    typer.echo(get_completion_script(prog_name="titlecard", complete_var="_TITLECARD_COMPLETE", shell=shell))
