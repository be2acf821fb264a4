"""`titlecard`: the application, its groups of commands and its exit codes. The commands are in `commands`."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]  # Typer documents this import

from titlecard import __version__
from titlecard.aws.errors import AwsError, LedgerUnavailable
from titlecard.domain.errors import Unpriced
from titlecard.manifests.errors import NotAManifest
from titlecard_console.commands import (
    batches,
    budget,
    cancel,
    check,
    completion,
    convert,
    dlq,
    doctor,
    estimate,
    evaluate,
    export,
    key,
    limit,
    parse,
    pause,
    reconcile,
    rejects,
    report,
    review,
    run,
    show,
    spend,
    up,
    upload,
    watch,
)
from titlecard_console.errors import AWS_ERRORS, CommandError, ConsoleError, ExitCode, explain
from titlecard_console.output import say

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "titlecard"
"""The program's name. Shells ask for completions through `_TITLECARD_COMPLETE`, which derives from it."""

HELP = "Turn lists of conference videos into clean titles and presenters' names, at a cost that is capped in advance."

EXIT_CODES = (
    "Exit codes: 0 success; 1 something went wrong; 2 bad usage, or a file is not a manifest; 3 some videos are dead, "
    "waiting or rejected (each command's help says which); 130 interrupted. Data goes to standard output, messages for "
    "people to standard error."
)

app = typer.Typer(
    help=HELP,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,  # Typer's own options complete only for the current shell; see `completion`
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _titlecard(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


COMMANDS: dict[str, tuple[Callable[..., None] | typer.Typer, ...]] = {
    "Start here": (run.run, parse.parse, check.check, estimate.estimate, up.up),
    "Batches and talks": (
        *(upload.upload, batches.batches, watch.watch, show.show, rejects.rejects),
        *(review.review, report.report, export.export),
    ),
    "Money": (
        *(budget.budget, limit.limit, spend.spend, pause.pause, pause.resume, cancel.cancel),
        *(key.key, reconcile.reconcile),
    ),
    "Dead letters": (dlq.dlq,),
    "Tools": (doctor.doctor, convert.convert, evaluate.evaluate, completion.completion),
}
"""The commands under each heading of `titlecard --help`; an application is a command with commands of its own."""

for heading, commands in COMMANDS.items():
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, rich_help_panel=heading)
        else:  # in an application of its own, since Typer lists an application's commands before its groups
            single = typer.Typer()
            single.command("eval" if command is evaluate.evaluate else None, rich_help_panel=heading)(command)
            app.add_typer(single)
completion_init()


def main() -> None:
    """Run a command; report an error that the user can fix in one sentence, without a traceback."""
    try:
        _prepare_output()
        code = app(prog_name=PROGRAM, standalone_mode=False)
        if code == ExitCode.INTERRUPTED:
            say("Interrupted. What a stack has done is kept, and the same command continues from it.")
        sys.exit(code or 0)
    except typer.Abort:
        _exit(ExitCode.FAILED, "Not confirmed, so nothing was done.")
    except typer.TyperException as error:  # bad usage, or a missing command: the message is the help
        context = getattr(error, "ctx", None)
        message = " ".join(error.format_message().replace("Value error, ", "").split())
        hint = f"{'' if message.endswith(('.', '?')) else '.'} See `{context.command_path} --help`." if context else ""
        if re.match(r"No such option: -\w", message):
            hint += " Put `--` before an id that begins with a dash."
        _exit(ExitCode.BAD_USAGE, f"{message}{hint}" if message else "")
    except AWS_ERRORS as error:  # before ValueError, because some of them are ValueErrors too
        _exit(ExitCode.FAILED, explain(error))
    except (NotAManifest, CommandError, Unpriced, ValueError) as error:
        _exit(ExitCode.BAD_USAGE, str(error))
    except LedgerUnavailable as error:
        cause = error.__cause__
        _exit(ExitCode.FAILED, explain(cause) if isinstance(cause, AWS_ERRORS) else str(error))
    except (ConsoleError, AwsError) as error:
        _exit(ExitCode.FAILED, str(error))
    except OSError as error:
        words = f"{error.strerror or error}."
        _exit(ExitCode.FAILED, f"{error.filename}: {words}" if error.filename else words)
    finally:
        _finish_output()


def _prepare_output() -> None:
    """Write UTF-8 to files and pipes, whatever the locale; a terminal shows a question mark for what it cannot show.

    Raises:
        CommandError: standard output is closed.
    """
    if sys.stdout is None:
        raise CommandError("Standard output is closed: redirect it to a file, or to /dev/null.")
    for stream in filter(None, (sys.stdout, sys.stderr)):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:  # a file's name may hold bytes that are not text
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _finish_output() -> None:
    """Write what is still buffered, and report a failure as a sentence; Python at its exit would give a traceback."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again at its exit
        if not isinstance(error, BrokenPipeError):  # a reader such as `head` has seen enough
            _exit(ExitCode.FAILED, f"Standard output: {error.strerror}.")


def _exit(code: ExitCode, sentence: str) -> None:
    if sentence:
        say(sentence)
    sys.exit(code)
