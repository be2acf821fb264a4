"""`titlecard dlq`: dead letters seen, sent again, mended and put away."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from titlecard.domain.money import Amount
from titlecard.domain.text import one_line
from titlecard.domain.video import Video
from titlecard_console import stack as where
from titlecard_console.commands.limit import raising
from titlecard_console.files import in_a_folder
from titlecard_console.output import format_amounts, format_usd, pluralize, truncate
from titlecard_console.questions import confirm
from titlecard_console.redrive import DeadLetter, Kind, Redriver, Selection, groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from titlecard.aws.dynamodb.catalog.grants import FingerprintHistory

UNFINISHED = 3
"""The exit code where something is dead, or was not sent."""

SHOWN_CHARACTERS, SHOWN_IN_A_STORY, SHOWN_IDS = 60, 400, 10
"""Of a stranger's text in a table, and in a story, what a terminal shows; and of the ids of each cause in a plan."""

WIDE = 10_000
"""Of a table that no terminal shows, in characters: nothing of it is cut or folded."""

AROUND = timedelta(minutes=15)
"""What is shown of the log before and after a death."""

data = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
people = Console(stderr=True, highlight=False)
dlq = typer.Typer(rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line instead of a table.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Causes = Annotated[
    list[str] | None,
    typer.Option("--cause", metavar="CAUSE", help="Only of this cause, as `titlecard dlq` names it; may be repeated."),
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", metavar="ID", help="Only this video or message; may be repeated.")
]
Batches = Annotated[
    list[str] | None, typer.Option("--batch", metavar="BATCH", help="Only of this batch; may be repeated.")
]
OlderThan = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only dead for longer than that: 90s, 30m, 12h, 7d.")
]
All = Annotated[bool, typer.Option("--all", help="Whatever is dead.")]
More = Annotated[
    int, typer.Option("--attempts", metavar="N", min=1, max=20, help="How many attempts more each video is allowed.")
]
Rate = Annotated[float, typer.Option(metavar="N", min=0.1, max=1000, help="Messages a second, at the most.")]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="A video's id, or a message's, as `titlecard dlq list` shows it.")
]


def register(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.add_typer(dlq, name="dlq")


@dlq.callback(invoke_without_command=True)
def summary(
    context: typer.Context,
    *,
    stack: where.StackOption = None,
    state: where.State = where.STATE,
    as_json: AsJson = False,
) -> None:
    """Dead letters: see what died of what, what another try can cost, and send it again.

    titlecard dlq

    titlecard dlq list --cause bad_request

    titlecard dlq show dQw4w9WgXcQ

    titlecard dlq redrive --cause bad_request --older-than 1h --rate 5

    Without a command: by cause, with what was charged, and the most that a redrive could cost.

    Exit code 3: something is dead.
    """
    if context.invoked_subcommand:
        if stack or as_json or state != where.STATE:
            raise where.CommandError(
                f"Put the options behind the command: titlecard dlq {context.invoked_subcommand} …"
            )
        return
    cases = Redriver(where.find(stack, state)).cases()
    found = groups(cases)
    if as_json:
        _print_lines(group.figures() for group in found)
    elif found:
        table = _table("cause", "count>", "oldest", "attempts>", "tokens>", "charged>", "again, at most>")
        for it in found:
            worst = f"{pluralize(it.requests, 'request')}, {format_usd(it.worst.micro_usd)}"
            figures = (f"{it.attempts:,}", f"{it.charged.tokens:,}", format_usd(it.charged.micro_usd), worst)
            table.add_row(it.cause, f"{it.cases:,}", _ago(it.oldest), *figures)
        data.print(table)
    for sentence in _compared(cases):
        _say(sentence)
    if not found:
        _say("Nothing is dead.")
        return
    raise typer.Exit(UNFINISHED)


@dlq.command(name="list")
def list_cases(
    *,
    stack: where.StackOption = None,
    state: where.State = where.STATE,
    causes: Causes = None,
    ids: Ids = None,
    batches: Batches = None,
    older_than: OlderThan = None,
    as_json: AsJson = False,
) -> None:
    """Every dead letter and every dead row.

    titlecard dlq list --batch list-0f3a --json | jq .id

    Exit codes: 2 nothing that is dead has what you named; 3 there are some.
    """
    choice = _choice(causes, ids, batches, older_than)
    cases = Redriver(where.find(stack, state)).cases(choice=choice)
    if as_json:
        _print_lines(case.figures() for case in cases)
    elif cases:
        table = _table("id", "batch", "row>", "since", "attempts>", "reason")
        for it in cases:
            row = f"{it.seen.row:,}" if it.seen else ""
            ended = f"{it.seen.state} since; it was " if it.kind is Kind.ENDED and it.seen else ""
            reason = one_line(ended + it.reason)
            if data.is_terminal:
                reason = truncate(reason, SHOWN_CHARACTERS)
            table.add_row(
                one_line(it.id), it.seen.batch if it.seen else "", row, _ago(it.since), str(it.attempts), reason
            )
        data.print(table)
    if cases:
        raise typer.Exit(UNFINISHED)
    _say(_nothing(choice))


@dlq.command()
def show(name: Id, stack: where.StackOption = None, state: where.State = where.STATE, as_json: AsJson = False) -> None:
    """A dead letter with the whole story of its video: every attempt, its fault, its charge; and the log of that time.

    titlecard dlq show dQw4w9WgXcQ
    """
    there = where.find(stack, state)
    office = Redriver(there)
    for case in _named(office, name):
        story = office.story(case)
        log = there.log(
            "IngestFunction" if case.kind is Kind.UPLOAD else "ParserFunction", case.since - AROUND, case.since + AROUND
        )
        if as_json:
            _print_lines([_told(case, story, log)])
        else:
            data.print("\n".join(_pages(case, story, log)), markup=False, soft_wrap=True)


@dlq.command()
def redrive(
    *,
    stack: where.StackOption = None,
    state: where.State = where.STATE,
    causes: Causes = None,
    ids: Ids = None,
    batches: Batches = None,
    older_than: OlderThan = None,
    everything: All = False,
    more: More = 1,
    rate: Rate = 10.0,
    yes: Yes = False,
) -> None:
    """Send dead letters again: what is sent, and the most that it can cost, is shown first.

    titlecard dlq redrive --cause bad_request

    titlecard dlq redrive --batch list-0f3a --older-than 1h --attempts 2 --rate 5

    titlecard dlq redrive --all --yes

    What has been parsed since is not sent. Killed and run again, it goes on; nobody is allowed an attempt twice. Who
    allowed it, and when, is in the catalog (`titlecard dlq show`).

    Exit codes: 2 nothing that is dead has what you named; 3 some could not be sent, or have moved since they were read.
    """
    choice = _some(_choice(causes, ids, batches, older_than), everything)
    office = Redriver(where.find(stack, state))
    cases = office.cases(more=more, choice=choice, read=True)
    if not cases:
        _say(_nothing(choice))
        return
    _send(office, cases, more=more, rate=rate, yes=yes)


@dlq.command()
def edit(
    name: Id,
    *,
    title: Annotated[str | None, typer.Option(help="The right title.")] = None,
    description: Annotated[str | None, typer.Option(help="The right description.")] = None,
    stack: where.StackOption = None,
    state: where.State = where.STATE,
    more: More = 1,
    yes: Yes = False,
) -> None:
    """Mend a dead video's title or description, and send it again; without an option, in $EDITOR.

    titlecard dlq edit dQw4w9WgXcQ --title "A talk by Grace Hopper"

    The manifest stays as it is: mend it as well, or the next upload brings the old words back.
    """
    office = Redriver(where.find(stack, state))
    cases = [case for case in _named(office, name, read=True) if case.to_be_sent]
    if len(cases) != 1 or cases[0].video is None:
        sentence = "is dead in more than one batch: say which letter" if cases else "has no row that could be sent"
        raise where.CommandError(f"{name!r} {sentence}; see `titlecard dlq list --id {name}`.")
    mended = _mended(cases[0].video, title, description)
    if mended == cases[0].video:
        raise where.CommandError("Nothing was changed, so nothing is sent.")
    for field in ("title", "description"):
        before, after = getattr(cases[0].video, field), getattr(mended, field)
        if before != after:
            _say(f"{field}:\n- {one_line(before)}\n+ {one_line(after)}")
    _send(office, [office.edited(cases[0], mended, more=more)], more=more, rate=1.0, yes=yes)


@dlq.command()
def discard(
    *,
    stack: where.StackOption = None,
    state: where.State = where.STATE,
    causes: Causes = None,
    ids: Ids = None,
    batches: Batches = None,
    older_than: OlderThan = None,
    everything: All = False,
    copy: Annotated[
        Path | None, typer.Option(help="Where the copy goes, a new file.", dir_okay=False, callback=in_a_folder)
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete dead letters; asks twice, and keeps a copy on disk (JSON Lines).

    titlecard dlq discard --id dQw4w9WgXcQ

    titlecard dlq discard --cause undecodable --copy undecodable.jsonl

    The rows stay dead in the catalog, and are not listed any more.
    """
    choice = _some(_choice(causes, ids, batches, older_than), everything)
    office = Redriver(where.find(stack, state))
    cases = office.cases(choice=choice)
    if not cases:
        _say(_nothing(choice))
        return
    copy = copy or Path(f"dead-letters-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl")
    if copy.exists():
        raise where.CommandError(f"There is a file {str(copy)!r} already: name another one with --copy.")
    for sentence in _which(cases):
        _say(sentence)
    if not yes and not (
        confirm(people, f"Delete {pluralize(len(cases), 'dead letter')}? A copy goes to {copy}.")
        and confirm(people, f"They cannot be sent again afterwards. Write {len(cases)} to go on:", word=str(len(cases)))
    ):
        raise typer.Abort
    with copy.open("x", encoding="utf-8") as file:
        gone = sum(1 for _ in office.discard(cases, file, by=office.who()))
    _say(f"{gone:,} deleted; the copy is {copy}.")


# ---------------------------------------------------------------------------------------------------- what they share


def _choice(
    causes: Sequence[str] | None, ids: Sequence[str] | None, batches: Sequence[str] | None, older_than: str | None
) -> Selection:
    before = datetime.now(UTC) - _time(older_than) if older_than else None
    return Selection(frozenset(causes or ()), frozenset(ids or ()), frozenset(batches or ()), before)


def _some(choice: Selection, everything: bool) -> Selection:
    if everything and choice != Selection():
        raise where.CommandError("--all is whatever is dead: leave it out, or --cause, --id, --batch and --older-than.")
    if not everything and choice == Selection():
        raise where.CommandError("Say which: --cause, --id, --batch, --older-than, or --all for whatever is dead.")
    return choice


def _nothing(choice: Selection) -> str:
    """What is said where no case is meant, and nothing is wrong with the choice."""
    return "Nothing is dead." if choice == Selection() else "Nothing that is dead is all of that."


def _time(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not found:
        raise where.CommandError(f"--older-than {text}: write a number and s, m, h or d, as in --older-than 12h.")
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
    return timedelta(seconds=int(found[1]) * seconds)


def _named(office: Redriver, name: str, *, read: bool = False) -> list[DeadLetter]:
    cases = office.cases(choice=Selection(ids=frozenset({name})), read=read)
    if not cases:
        raise where.CommandError(f"Nothing is dead, and so nothing with the id {name!r}.")
    return cases


def _which(cases: Iterable[DeadLetter]) -> Iterator[str]:
    """Which cases they are, by cause."""
    by_cause: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        by_cause[case.cause].append(one_line(case.id))
    for cause, ids in by_cause.items():
        more = f" and {len(ids) - SHOWN_IDS:,} more" if len(ids) > SHOWN_IDS else ""
        yield f"  {cause} ({len(ids):,}): {', '.join(ids[:SHOWN_IDS])}{more}"


def _send(office: Redriver, cases: Sequence[DeadLetter], *, more: int, rate: float, yes: bool) -> None:
    """Show what would be sent and what it can cost, ask, and send it."""
    can = [case for case in cases if case.to_be_sent or case.kind in (Kind.UPLOAD, Kind.ENDED)]
    for sentence in (*_plan(cases), *_short(office, cases)):
        _say(sentence)
    if not can:
        raise typer.Exit(UNFINISHED)
    if not yes and not confirm(people, "Go on?"):
        raise typer.Abort
    done: Counter[str] = Counter()
    for _, what in office.send_again(cases, more=more, rate=rate, by=office.who()):
        done[what] += 1
    missed = len(can) - done.total()
    for number, sentence in (
        (done["sent"], "sent"),
        (done["removed"], "only taken out of the queue"),
        (done["moved"], "not sent: something has happened to it since the plan"),
        (missed, "not sent: its letter is in somebody else's hands for the moment, so run the same again"),
    ):
        if number:
            _say(f"{number:,} {sentence}.")
    if done["moved"] or missed or len(can) < len(cases):
        raise typer.Exit(UNFINISHED)


def _plan(cases: Sequence[DeadLetter]) -> Iterator[str]:
    """Which cases would be sent again, what that can cost, and which would not and why."""
    rows = [case for case in cases if case.to_be_sent]
    asked = [case for case in rows if case.requests]
    if rows:
        worst = sum((case.worst for case in rows), Amount())
        most = format_amounts(sum(case.requests for case in rows), worst.tokens, worst.micro_usd)
        videos = pluralize(len(rows), "video is", "videos are")
        yield f"{videos} sent again. At most {most} can be charged, for {len(asked):,} of them:"
        yield from _which(rows)
    closed = Counter(case.closed for case in rows if case.closed)
    uploads = [case for case in cases if case.kind is Kind.UPLOAD]
    lost = [case for case in cases if case.kind in (Kind.DEAD, Kind.STRAYED) and case.video is None]
    counts = Counter(case.kind for case in cases)
    for number, sentence in (
        (len(rows) - len(asked) - closed.total(), "of them to be answered locally, at no cost"),
        *((number, f"of them to end without a request: {why}") for why, number in closed.items()),
        (counts[Kind.ENDED], "not to be sent, having succeeded since, or waiting: only the letter is deleted"),
        (len(lost), "not to be sent: there is no letter any more, and the manifest was deleted"),
        (counts[Kind.UNREADABLE], "not to be sent, since nobody can read it: `titlecard dlq show ID`, `dlq discard`"),
        (len(uploads), "to be sent to ingest again; an upload's batch has limits of its own"),
    ):
        if number:
            yield f"{number:,} {sentence}."
    yield from (f"  {one_line(case.reason)}" for case in uploads)


def _short(office: Redriver, cases: Sequence[DeadLetter]) -> Iterator[str]:
    """Which batches' limits may not hold all of that, and how they are raised."""
    for batch, charged in office.bills(case for case in cases if case.to_be_sent):
        if command := raising(batch, charged):
            yield f"The limit of {batch.id} may not hold all of that: the rest would wait, until `{command}`."


def _compared(cases: Sequence[DeadLetter]) -> list[str]:
    """Where the catalog and the queue do not say the same."""
    bare = sum(case.kind is Kind.DEAD and not case.letters for case in cases)
    counts = Counter(case.kind for case in cases)
    sentences = (
        (bare, "dead row", "without a letter in the queue: a redrive reads it from its manifest again"),
        (counts[Kind.STRAYED], "letter", "of a row that has not ended: SQS moved it, or a redrive was killed"),
        (counts[Kind.ENDED], "letter", "of a row that has succeeded since, or waits: a redrive deletes it"),
    )
    return [f"{pluralize(number, what)} {sentence}." for number, what, sentence in sentences if number]


def _told(case: DeadLetter, story: Sequence[FingerprintHistory], log: str) -> dict[str, Any]:
    """A case and its story for machines."""
    chapters = [
        {
            "fingerprint": it.fingerprint,
            "attempts": it.entry.attempts,
            "allowed": it.allowed or None,
            "talk": it.entry.talk.model_dump(mode="json") if it.entry.talk else None,
            "history": [dict(event) for event in it.entry.history],
            "redrives": [dict(event) for event in it.redrives],
        }
        for it in story
    ]
    return {
        **case.figures(),
        "video": case.video.model_dump() if case.video else None,
        "bodies": [letter.body for letter in case.letters],
        "story": chapters,
        "log": log,
    }


def _pages(case: DeadLetter, story: Sequence[FingerprintHistory], log: str) -> list[str]:
    """The same for people."""
    lines = [f"{one_line(case.id)}: {one_line(case.reason)}"]
    if case.seen and case.batch:
        lines.append(f"  row {case.seen.row} of {case.seen.batch} (project {case.batch.project}), {case.seen.state}")
    lines.append(f"  since {_moment(case.since)}; letters: {', '.join(it.id for it in case.letters) or 'none'}")
    if case.video:
        lines.append(f"  title: {_shown(case.video.title)}")
        lines.append(f"  description: {_shown(case.video.description) or 'none'}")
    else:
        lines += [f"  message: {_shown(letter.body)}" for letter in case.letters]
    for chapter in story:
        allowed = f", {chapter.allowed} allowed" if chapter.allowed else ""
        lines.append(f"  fingerprint {chapter.fingerprint}: {pluralize(chapter.entry.attempts, 'attempt')}{allowed}")
        happened = [
            *((str(it["at"]), f"{it['event']}, charged {_charge(it['charged'])}") for it in chapter.entry.history),
            *((str(it["at"]), f"sent again by {it['by']}") for it in chapter.redrives),
        ]
        lines += [f"    {at[:19].replace('T', ' ')}  {one_line(what)}" for at, what in sorted(happened)]
        if chapter.entry.talk:
            lines.append(f"    talk: {_shown(chapter.entry.talk.title)}")
    if case.to_be_sent or case.kind is Kind.DEAD:
        again = case.closed or f"at most {pluralize(case.requests, 'request')}, {format_usd(case.worst.micro_usd)}"
        lines.append(f"  sent again: {again}")
    return [*lines, f"  log: {log}"]


def _charge(charged: dict[str, Any]) -> str:
    charge = Amount.from_item(charged)
    return f"{pluralize(charge.tokens, 'token')}, {format_usd(charge.micro_usd)}"


def _mended(video: Video, title: str | None, description: str | None) -> Video:
    if title is None and description is None:
        title, description = _in_editor(video)
    changed = {"title": title, "description": description}
    try:
        return Video.model_validate(video.model_dump() | {name: it for name, it in changed.items() if it is not None})
    except ValidationError as error:
        raise where.CommandError(f"That is no video: {error.errors()[0]['msg']}.") from error


def _in_editor(video: Video) -> tuple[str, str]:
    """Title and description as the person leaves them: the first line, and what follows the empty one."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise where.CommandError("$EDITOR is not set: set it, or give --title or --description.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "video.txt")
        file.write_text(f"{video.title}\n\n{video.description}", encoding="utf-8")
        if subprocess.run([*shlex.split(editor), str(file)], check=False).returncode:  # noqa: S603 -- the person's own
            raise where.CommandError("The editor failed, so nothing is sent.")
        title, _, description = file.read_text(encoding="utf-8").partition("\n")
    return title, description.removeprefix("\n")


def _table(*headings: str) -> Table:
    """A table; a heading that ends in `>` is of numbers."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        right = heading.endswith(">")
        table.add_column(heading.rstrip(">"), justify="right" if right else "left", overflow="fold")
    return table


def _print_lines(lines: Iterable[dict[str, Any]]) -> None:
    for line in lines:
        print(json.dumps(line, ensure_ascii=False, default=int))  # noqa: T201 -- data; DynamoDB's numbers are decimal


def _say(sentence: str) -> None:
    people.print(sentence, markup=False, soft_wrap=True)


def _shown(text: str) -> str:
    return truncate(one_line(text), SHOWN_IN_A_STORY)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _ago(moment: datetime) -> str:
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0)
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"
