"""`titlecard dlq`: list, redrive, correct and discard dead letters."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from titlecard.domain.text import normalise, one_line
from titlecard.domain.video import Video
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.dead_letters.letter import DeadLetter, Kind, Selection, groups
from titlecard_console.dead_letters.plan import differences, errors, limits_reached, plan, plan_of_discard
from titlecard_console.dead_letters.queue import HIDDEN_SECONDS, MESSAGES_PER_SECOND
from titlecard_console.dead_letters.redrive import Redriver
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.history import history_content, history_lines
from titlecard_console.output import (
    confirm,
    counted,
    format_age,
    format_time,
    format_usd,
    pluralize,
    print_json,
    print_table,
    printable,
    say,
    truncate,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from titlecard.aws.dynamodb.catalog import VideoRecord

REASON_CHARACTERS = 60
"""The most characters of a reason in a table."""

OLDEST_SECONDS = 10 * 366 * 86400
"""The highest age that `--older-than` uses, in seconds: no dead letter is ten years old."""

AROUND = timedelta(minutes=15)
"""The span of log shown before and after a row became dead."""

dlq = typer.Typer(name="dlq")

Causes = Annotated[
    list[str] | None,
    typer.Option("--cause", metavar="CAUSE", help="Only this cause, as `titlecard dlq` names it; may be repeated."),
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", metavar="ID", help="Only this video or message; may be repeated.")
]
Batches = Annotated[
    list[str] | None, typer.Option("--batch", metavar="BATCH", help="Only this batch; may be repeated.")
]
OlderThan = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only dead letters older than this: 90s, 30m, 12h, 7d.")
]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]
More = Annotated[
    int, typer.Option("--attempts", metavar="N", min=1, max=20, help="How many more attempts to grant to a video.")
]
Rate = Annotated[float, typer.Option(metavar="N", min=0.1, max=1000, help="At most this many messages a second.")]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="A video's id, or a message's, as `titlecard dlq list` shows it.")
]


@dlq.callback(invoke_without_command=True)
def summary(
    context: typer.Context,
    *,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """List, retry, correct or discard dead letters.

    `titlecard dlq`

    `titlecard dlq list --cause bad_request`

    `titlecard dlq show dQw4w9WgXcQ`

    `titlecard dlq redrive --cause bad_request --older-than 1h --rate 5`

    Without a command, it shows the charge of each cause and the most that a redrive of it can cost.

    Exit code 3: there are dead letters.
    """
    if context.invoked_subcommand:
        options.refuse_misplaced(context)
        return
    letters = Redriver(stacks.find(stack_name, state)).letters()
    found = groups(letters)
    if as_json:
        for group in found:
            print_json(group.figures())
    elif found:
        print_table(
            ("cause", "count>", "oldest", "attempts>", "tokens>", "charged>", "a redrive, at most>"),
            [
                (
                    it.cause,
                    f"{it.letters:,}",
                    format_age(it.oldest),
                    f"{it.attempts:,}",
                    f"{it.charged.tokens:,}",
                    format_usd(it.charged.micro_usd),
                    f"{pluralize(it.worst.requests, 'request')}, {format_usd(it.worst.micro_usd)}",
                )
                for it in found
            ],
        )
    say(*differences(letters))
    if not found:
        say("Nothing is dead.")
        return
    raise typer.Exit(ExitCode.UNFINISHED)


@dlq.command(name="list")
def list_letters(
    *,
    causes: Causes = None,
    ids: Ids = None,
    batches: Batches = None,
    older_than: OlderThan = None,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """List every dead letter and every dead row.

    `titlecard dlq list --batch list-0f3a --json | jq .id`

    Exit codes: 2 no dead letter has such an id, batch or cause; 3 some dead letters match.
    """
    selection = _selection(causes, ids, batches, older_than)
    letters = Redriver(stacks.find(stack_name, state)).letters(choice=selection)
    if as_json:
        for letter in letters:
            print_json(letter.figures())
    elif letters:
        print_table(("id", "batch", "row>", "since", "attempts>", "reason"), map(_cells, letters))
    say(*errors(letters))
    if letters:
        raise typer.Exit(ExitCode.UNFINISHED)
    say(_no_match(selection))


@dlq.command()
def show(
    name: Id,
    *,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Show a dead letter, its video's attempts, and its log.

    `titlecard dlq show dQw4w9WgXcQ`
    """
    stack = stacks.find(stack_name, state)
    redriver = Redriver(stack)
    for letter in _letters(redriver, name):
        records = redriver.records(letter)
        function = "IngestFunction" if letter.kind is Kind.UPLOAD else "ParserFunction"
        log = stack.log(function, letter.since - AROUND, letter.since + AROUND)
        if as_json:
            print_json(_content(letter, records, log))
        else:
            typer.echo("\n".join(_lines(letter, records, log)))


@dlq.command()
def redrive(
    *,
    causes: Causes = None,
    ids: Ids = None,
    batches: Batches = None,
    older_than: OlderThan = None,
    everything: All = False,
    more: More = 1,
    rate: Rate = 10.0,
    yes: options.Yes = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Redrive dead letters, after showing what that can cost.

    `titlecard dlq redrive --cause bad_request`

    `titlecard dlq redrive --batch list-0f3a --older-than 1h --attempts 2`

    `titlecard dlq redrive --all --yes`

    Videos that have been parsed in the meantime are not sent. If a redrive is killed, run it again: it continues, and
    grants no attempt twice. The catalog records who granted each attempt, and when (`titlecard dlq show`).

    Exit codes: 2 no dead letter has such an id, batch or cause; 3 some could not be sent, or have changed since they
    were read.
    """
    selection = _not_everything(_selection(causes, ids, batches, older_than), everything)
    redriver = Redriver(stacks.find(stack_name, state))
    letters = redriver.letters(more=more, choice=selection, read=True)
    if not letters:
        say(_no_match(selection))
        _report_hidden(redriver)
        return
    _send(redriver, letters, more=more, rate=rate, yes=yes)


@dlq.command()
def edit(
    name: Id,
    *,
    title: Annotated[str | None, typer.Option(help="The corrected title.")] = None,
    description: Annotated[str | None, typer.Option(help="The corrected description.")] = None,
    more: More = 1,
    yes: options.Yes = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Correct a dead video's title or description and send it.

    `titlecard dlq edit dQw4w9WgXcQ --title "A talk by Grace Hopper"`

    Without --title and --description it opens $EDITOR. The manifest does not change: correct it too, or the next upload
    brings the old text back.
    """
    redriver = Redriver(stacks.find(stack_name, state))
    letters = [letter for letter in _letters(redriver, name, read=True) if letter.to_be_sent]
    if len(letters) != 1 or letters[0].video is None:
        problem = "is dead in several batches: give a message id" if letters else "has no row that can be sent"
        raise CommandError(f"{name!r} {problem}; see `titlecard dlq list --id {name}`.")
    edited = _edited(letters[0].video, title, description)
    if edited == letters[0].video:
        raise CommandError("Nothing was changed, so nothing is sent.")
    for field in ("title", "description"):
        before, after = getattr(letters[0].video, field), getattr(edited, field)
        if before != after:
            say(f"{field}:\n- {one_line(before)}\n+ {one_line(after)}")
    _send(redriver, [redriver.edited(letters[0], edited, more=more)], more=more, rate=1.0, yes=yes)


@dlq.command()
def discard(
    *,
    causes: Causes = None,
    ids: Ids = None,
    batches: Batches = None,
    older_than: OlderThan = None,
    everything: All = False,
    copy: options.CopyFile = None,
    yes: options.Yes = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Delete dead letters, and keep a copy of them on disk.

    `titlecard dlq discard --id dQw4w9WgXcQ`

    `titlecard dlq discard --cause undecodable --copy undecodable.jsonl`

    It asks twice. In the catalog, their rows stay dead and are no longer listed. A row that has been parsed or deferred
    in the meantime stays as it is.

    Exit code 3: some have changed since they were read, and are kept.
    """
    selection = _not_everything(_selection(causes, ids, batches, older_than), everything)
    redriver = Redriver(stacks.find(stack_name, state))
    letters = redriver.letters(choice=selection)
    if not letters:
        say(_no_match(selection))
        return
    copy = copy or Path(f"dead-letters-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl")
    if copy.exists():
        raise CommandError(f"The file {str(copy)!r} already exists: name another one with --copy.")
    say(*plan_of_discard(letters))
    if not yes and not (
        confirm(f"Continue? A copy goes to {copy}.")
        and confirm(f"They cannot be sent again afterwards. Type {len(letters)} to continue:", word=str(len(letters)))
    ):
        raise typer.Abort
    with copy.open("x", encoding="utf-8") as file:
        done = Counter(what for _, what in redriver.discard(letters, file, by=redriver.who()))
    say(f"{done['discarded']:,} deleted; the copy is in {copy}.")
    say(
        *counted(
            (done["moved"], "kept: it has changed since it was read"),
            (done["kept"], "kept: its row cannot be read"),
        )
    )
    if done["moved"] or done["kept"]:
        raise typer.Exit(ExitCode.UNFINISHED)


# ---------------------------------------------------------------------------------------------------------- selection


def _selection(
    causes: Sequence[str] | None, ids: Sequence[str] | None, batches: Sequence[str] | None, older_than: str | None
) -> Selection:
    before = _before(older_than) if older_than else None
    return Selection(frozenset(causes or ()), frozenset(ids or ()), frozenset(batches or ()), before)


def _not_everything(selection: Selection, everything: bool) -> Selection:
    """Refuse a selection that takes everything without --all."""
    if everything and selection != Selection():
        raise CommandError("--all means all dead letters: leave out --all, or --cause, --id, --batch, --older-than.")
    if not everything and selection == Selection():
        raise CommandError("Choose dead letters: --cause, --id, --batch, --older-than, or --all for all of them.")
    return selection


def _no_match(selection: Selection) -> str:
    return "Nothing is dead." if selection == Selection() else "No dead letter matches all of these options."


def _before(age: str) -> datetime:
    """Return the moment at which dead letters of this age were sent."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", age)
    if not found:
        raise CommandError(f"--older-than {age}: write a number and s, m, h or d, as in --older-than 12h.")
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
    return datetime.now(UTC) - timedelta(seconds=min(seconds, OLDEST_SECONDS))


def _letters(redriver: Redriver, name: str, *, read: bool = False) -> list[DeadLetter]:
    letters = redriver.letters(choice=Selection(ids=frozenset({name})), read=read)
    if not letters:
        raise CommandError(f"Nothing is dead, so there is no dead letter {name!r}.")
    return letters


# ------------------------------------------------------------------------------------------------------------ redrive


def _send(redriver: Redriver, letters: Sequence[DeadLetter], *, more: int, rate: float, yes: bool) -> None:
    """Show what a redrive sends and the most it can cost, ask for confirmation, and send it."""
    sendable = [letter for letter in letters if letter.to_be_sent or letter.kind in (Kind.UPLOAD, Kind.ENDED)]
    say(*plan(letters), *limits_reached(redriver, letters))
    if not sendable:
        raise typer.Exit(ExitCode.UNFINISHED)
    if not yes and not confirm("Continue?"):
        raise typer.Abort
    done = Counter(what for _, what in redriver.send_again(letters, more=more, rate=rate, by=redriver.who()))
    say(
        *counted(
            (done["sent"], "sent"),
            (done["removed"], "deleted from the queue without being sent"),
            (done["moved"], "not sent: it has changed since it was read"),
        )
    )
    _report_hidden(redriver)
    if done["moved"] or len(sendable) < len(letters):
        raise typer.Exit(ExitCode.UNFINISHED)


def _report_hidden(redriver: Redriver) -> None:
    """Report how many messages could not be read, and until when; the command is then unfinished."""
    if redriver.hidden:
        seconds = HIDDEN_SECONDS + redriver.hidden // MESSAGES_PER_SECOND
        back = format_time(datetime.now(UTC) + timedelta(seconds=seconds))
        messages = pluralize(redriver.hidden, "message is", "messages are")
        say(f"About {messages} being read by another command, or by one that was killed: run this again after {back}.")
        raise typer.Exit(ExitCode.UNFINISHED)


def _edited(video: Video, title: str | None, description: str | None) -> Video:
    if title is None and description is None:
        title, description = _from_editor(video)
    changes = {"title": title, "description": description}
    try:
        return Video.model_validate(video.model_dump() | {name: it for name, it in changes.items() if it is not None})
    except ValidationError as error:
        raise CommandError(f"That is not a video: {error.errors()[0]['msg']}.") from error


def _from_editor(video: Video) -> tuple[str, str]:
    """Return the title and description from the person's editor: the first line, and the text after the blank line.

    A text that is equal after normalisation counts as unchanged: editors add a line end, and some change the others.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise CommandError("$EDITOR is not set: set it, or give --title or --description.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "video.txt")
        file.write_text(f"{one_line(video.title)}\n\n{video.description}", encoding="utf-8")
        if subprocess.run([*shlex.split(editor), str(file)], check=False).returncode:  # noqa: S603 -- the person's own
            raise CommandError("The editor failed, so nothing is sent.")
        title, _, description = file.read_text(encoding="utf-8").partition("\n")
    return (
        video.title if one_line(title) == one_line(video.title) else title,
        video.description if normalise(description) == normalise(video.description) else description.removeprefix("\n"),
    )


# ------------------------------------------------------------------------------------------------------------ content


def _cells(letter: DeadLetter) -> tuple[str, ...]:
    """Return a dead letter as the cells of a table."""
    since = f"{letter.seen.state} since; before: " if letter.kind is Kind.ENDED and letter.seen else ""
    reason = one_line(since + letter.reason)
    if sys.stdout.isatty():
        reason = truncate(reason, REASON_CHARACTERS)
    batch, row = (letter.seen.batch, f"{letter.seen.number:,}") if letter.seen else ("", "")
    return one_line(letter.id), batch, row, format_age(letter.since), str(letter.attempts), reason


def _content(letter: DeadLetter, records: Sequence[VideoRecord], log: str) -> dict[str, Any]:
    """Return a dead letter and its video's history for programs."""
    return {
        **letter.figures(),
        "video": letter.video.model_dump() if letter.video else None,
        "bodies": [letter.body for letter in letter.messages],
        "story": [history_content(history) for history in records],
        "log": log,
    }


def _lines(letter: DeadLetter, records: Sequence[VideoRecord], log: str) -> Iterator[str]:
    """Yield a dead letter and its video's history as lines for people."""
    yield f"{one_line(letter.id)}: {one_line(letter.reason)}"
    if letter.seen and letter.batch:
        yield f"  row {letter.seen.number} of {letter.seen.batch} (project {letter.batch.project}), {letter.seen.state}"
    yield f"  since {format_time(letter.since)}; letters: {', '.join(it.id for it in letter.messages) or 'none'}"
    if letter.video:
        yield f"  title: {printable(letter.video.title)}"
        yield f"  description: {printable(letter.video.description) or 'none'}"
    else:
        yield from (f"  message: {printable(letter.body)}" for letter in letter.messages)
    for history in records:
        yield from (f"  {line}" for line in history_lines(history))
    if letter.to_be_sent or letter.kind is Kind.DEAD:
        most = f"at most {pluralize(letter.worst.requests, 'request')}, {format_usd(letter.worst.micro_usd)}"
        instead = f"not now: {letter.error}" if letter.error else letter.closed and f"no request, since {letter.closed}"
        yield f"  a redrive: {instead or most}"
    yield f"  log: {log}"
