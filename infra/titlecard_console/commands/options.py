"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from titlecard.domain.batch import project_name
from titlecard.domain.errors import NotABudget
from titlecard.domain.money import cap
from titlecard_console.errors import CommandError
from titlecard_console.input_file import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_STATE = Path(".titlecard")


def in_existing_folder(path: Path | None) -> Path | None:
    """Check that an output file can be created in its folder, before anything is spent.

    Raises:
        typer.BadParameter: the folder does not exist, or may not be written to.
    """
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {str(path.parent)!r}: make it first, or name another file.")
    if path is not None and (path.is_file() or not path.exists()) and not os.access(path.parent, os.W_OK):
        raise typer.BadParameter(f"the folder {str(path.parent)!r} is not writable: name another file.")
    return path


def input_path(argument: str) -> Path:
    """Return the path of a file that can be read; `-` stands for standard input.

    Raises:
        typer.BadParameter: it is not there, is a folder, or may not be read.
    """
    path = Path(argument)
    if argument != STANDARD_INPUT:
        if not path.exists():
            raise typer.BadParameter(f"file {argument!r} does not exist.")
        if path.is_dir():
            raise typer.BadParameter(f"file {argument!r} is a directory.")
        if not os.access(path, os.R_OK):
            raise typer.BadParameter(f"file {argument!r} is not readable.")
    return path


def _project(name: str | None) -> str | None:
    """Check a project's name.

    Raises:
        typer.BadParameter: no project can have this name.
    """
    try:
        return None if name is None else project_name(name)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error


def micro_usd(dollars: str) -> int:
    """Return dollars in micro-dollars.

    Raises:
        typer.BadParameter: the text is not a number of dollars.
    """
    try:
        return cap([f"{dollars}usd"]).micro_usd or 0
    except NotABudget as error:
        raise typer.BadParameter(f"{dollars!r} is not a number of dollars, as in 2 or 0.50.") from error


StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="A stack in AWS, by name or ARN (AWS_PROFILE and AWS_REGION apply). Default: the local cloud.",
    ),
]
State = Annotated[Path, typer.Option("--state", help="The folder of the local cloud.", file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON Lines instead of text.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print JSON Lines on a terminal too.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

Manifest = Annotated[
    Path, typer.Argument(metavar="MANIFEST", parser=input_path, help="A list of videos; - is standard input.")
]
Manifests = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST", parser=input_path, help="Lists of videos; - is standard input.")
]
BatchName = Annotated[str, typer.Argument(metavar="BATCH", help="A batch, as `titlecard batches` lists it.")]
ProjectName = Annotated[
    str, typer.Argument(metavar="PROJECT", callback=_project, help="The project: the first folder under uploads/.")
]
ProjectOrAll = Annotated[
    str | None,
    typer.Argument(metavar="PROJECT", callback=_project, help="The project: the first folder under uploads/."),
]
Project = Annotated[str, typer.Option(callback=_project, help="The project: the first folder under uploads/.")]
OneProject = Annotated[
    str | None, typer.Option("--project", metavar="PROJECT", callback=_project, help="Only this project.")
]
OneBatch = Annotated[str | None, typer.Option("--batch", metavar="BATCH", help="Only this batch.")]
All = Annotated[bool, typer.Option("--all", help="All projects of the stack.")]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PARAMETER=VALUE", help="Override a parameter of template.yaml; may be repeated."),
]

LimitUsd = Annotated[int | None, typer.Option(metavar="USD", parser=micro_usd, help="The highest cost, in dollars.")]
LimitTokens = Annotated[int | None, typer.Option(metavar="NUMBER", min=0, help="The highest cost, in tokens.")]

OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="The file to write; it appears when it is complete. Default: standard output.",
        dir_okay=False,
        callback=in_existing_folder,
    ),
]
CopyFile = Annotated[
    Path | None,
    typer.Option("--copy", help="The new file that holds the copy.", dir_okay=False, callback=in_existing_folder),
]


def refuse_misplaced(context: typer.Context) -> None:
    """Refuse options of a group that are before the name of its command, because the command would ignore them.

    Raises:
        CommandError: there is such an option.
    """
    sources = map(context.get_parameter_source, context.params)
    if any(source is not None and source.name == "COMMANDLINE" for source in sources):
        command = f"{context.command_path} {context.invoked_subcommand}"
        raise CommandError(f"Put the options after the command: {command} ...")


def overrides(settings: Sequence[str] | None, *, model: str | None = None, tier: str | None = None) -> dict[str, str]:
    """Return the parameters that --set, --model and --tier imply, by name.

    Raises:
        CommandError: a setting has no value, or contradicts another option.
    """
    given = {"--tier": ("TierPolicy", tier), "--model": ("Model", model)}
    chosen = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals:
            raise CommandError(f"--set {setting}: write PARAMETER=VALUE, as in --set MaxReceiveCount=6.")
        if option := next((it for it, (known, value) in given.items() if known == name and value), None):
            raise CommandError(f"{option} and --set {name} contradict each other: leave one of them out.")
        chosen[name] = value
    return chosen | {name: value for name, value in given.values() if value}
