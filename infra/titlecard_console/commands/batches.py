"""`titlecard batches`, `watch`, `show` and `rejects`: the state of batches, and the outcomes of their videos."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.s3 import report_key
from titlecard.domain.batch import BatchState, RowState, project_name
from titlecard.domain.text import normalise
from titlecard.pipeline.ingest import REJECTS
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.output import (
    format_usd,
    people,
    pluralize,
    print_json,
    print_table,
    say,
)
from titlecard_console.progress import Display, Pace, PacedStatus
from titlecard_console.results import ResultReader
from titlecard_console.status import Status, read_status
from titlecard_console.story import VideoStory, shown

if TYPE_CHECKING:
    from titlecard.aws.dynamodb.ledger import Ledger

POLL_SECONDS = 1.0


def batches(
    *,
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help="Only the batches of one project.")] = None,
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """List the batches, the oldest first.

    `titlecard batches`

    `titlecard batches --stack titlecard --project pycon --json`

    Each version of an uploaded manifest is one batch.
    """
    there = stacks.find(stack, state)
    results, ledger = ResultReader(there), stacks.ledger(there)
    batches = list(results.catalog.all_batches(project))
    waiting = results.exports.waiting(batches)
    statuses = (Status(batch, waiting[batch.id], None, ledger.spent(batch.id)) for batch in batches)
    if as_json:
        for status in statuses:
            print_json(_content(status))
    elif shown_statuses := list(statuses):
        print_table(_HEADINGS, [_cells(status) for status in shown_statuses])
        for batch in (status.batch for status in shown_statuses):
            if batch.state is BatchState.REFUSED:
                say(f"{batch.id} ({shown(batch.upload.key)}) was refused: {batch.reason}")
    else:
        whose = f" of the project {project!r}" if project else ""
        say(f"There are no batches{whose} yet: `titlecard upload MANIFEST --project {project or 'PROJECT'}` makes one.")


def watch(
    batch: options.BatchName,
    *,
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Follow a batch until it ends or waits for you.

    `titlecard watch pycon-2019-0f3a`

    Ctrl-C stops watching and leaves the batch running. Exit codes: 0 the batch is finished, and every video is parsed
    or superseded; 2 the file is not a manifest; 3 some videos are dead or waiting.
    """
    there = stacks.find(stack, state)
    results, ledger, pace = ResultReader(there), stacks.ledger(there), Pace()
    with Display(people) as display:
        before: dict[str, Any] | None = None
        while True:
            status = _paced_status(results, ledger, batch, pace)
            if as_json and (content := _content(status)) != before:
                before = content
                print_json(content)
            elif not as_json:
                display.show(batch, status)
            if _is_over(status):
                break
            time.sleep(POLL_SECONDS)
    if not as_json:
        typer.echo(f"{batch}: {status.batch.state}: {status.sentence() or 'no videos'}")
    if status.batch.reason:
        say(f"{batch}: {status.batch.reason}")
    for wait in status.waits:
        say(f"{batch}: {wait.sentence(f'`titlecard resume {status.batch.project}`')}")
    if status.batch.state is BatchState.REFUSED:
        raise typer.Exit(ExitCode.BAD_USAGE)
    if status.waiting or status.batch.counted(RowState.DEAD):
        raise typer.Exit(ExitCode.UNFINISHED)


def show(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video's id, as in its manifest.")],
    *,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Show a video's talk, its batches and every attempt.

    `titlecard show dQw4w9WgXcQ --project pycon`
    """
    there = stacks.find(stack, state)
    results = ResultReader(there)
    summary = results.reviews.story(project_name(project), video)
    rows = list(results.rows_of(project, video))
    if summary is None and not rows:
        raise CommandError(f"Nothing is known of {video!r} in the project {project!r}: is --project right?")
    histories = stacks.stores(there).grants.story(project, video)
    story = VideoStory(project, video, summary, rows, histories)
    if as_json:
        print_json(story.content())
    else:
        typer.echo("\n".join(story.lines()))


def rejects(
    batch: options.BatchName,
    *,
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """List the rows of a batch that could not be used, and why.

    `titlecard rejects pycon-2019-0f3a`

    `titlecard rejects pycon-2019-0f3a --json | jq -r .row`
    """
    there = stacks.find(stack, state)
    upload = ResultReader(there).batch(batch).upload
    s3 = there.client("s3")
    try:
        body = s3.get_object(Bucket=upload.bucket, Key=report_key(batch, REJECTS))["Body"]
    except s3.exceptions.NoSuchKey as missing:
        raise CommandError(
            f"{batch} has no {REJECTS}: ingest is still reading its file, or the file is not a manifest."
        ) from missing
    found = 0
    with body:
        for line in body.iter_lines():
            found += 1
            if as_json:
                typer.echo(line.decode())
            else:
                reject = json.loads(line)
                typer.echo(f"{reject['row']}: {normalise(reject['reason'])}")
                typer.echo(f"    {normalise(reject['excerpt'])}")
    say(f"{pluralize(found, 'row')} of {upload.key} could not be used." if found else "Every row could be used.")


# ----------------------------------------------------------------------------------------------------------- progress


def _paced_status(results: ResultReader, ledger: Ledger, name: str, pace: Pace) -> PacedStatus:
    status = read_status(results.catalog, ledger, results.batch(name))
    rate = pace.rate(status.ended, time.monotonic())
    rest = max(status.batch.accepted - status.ended - status.waiting, 0)
    left = rest / rate if rate and rest else None
    return PacedStatus(**vars(status), rate=rate, left=left)


def _is_over(status: Status) -> bool:
    """Return whether nothing more happens to the batch without a person."""
    batch = status.batch
    if batch.state in {BatchState.FINISHED, BatchState.REFUSED}:
        return True
    all_wait = status.waiting > 0 and status.until is None and status.ended + status.waiting >= batch.accepted
    return batch.state is BatchState.OPEN and all_wait


# ------------------------------------------------------------------------------------------------------------ content


def _content(status: Status) -> dict[str, Any]:
    """Return a batch for programs; fields are added, never renamed."""
    batch, counts = status.batch, status.batch.counts
    return {
        "batch": batch.id,
        "project": batch.project,
        "manifest": batch.upload.key,
        "version": batch.upload.version,
        "state": batch.state,
        "created_at": batch.created_at.isoformat(),
        "moved_at": batch.moved_at.isoformat(),
        "accepted": batch.accepted,
        "refused": batch.refused,
        "repeated": batch.repeated,
        "parsed": batch.counted(RowState.PARSED),
        "parsed_given": counts["parsed_given"],
        "parsed_local": counts["parsed_local"],
        "parsed_model": counts["parsed_model"],
        "superseded": batch.counted(RowState.SUPERSEDED),
        "dead": batch.counted(RowState.DEAD),
        "cancelled": batch.counted(RowState.CANCELLED),
        "waiting": status.waiting,
        "requests": status.spent.requests,
        "tokens": status.spent.tokens,
        "cost_micro_usd": status.spent.micro_usd,
        "reason": batch.reason,
    }


_HEADINGS = ("batch", "project", "state", "made", "videos", "cost>")


def _cells(status: Status) -> tuple[str, ...]:
    """Return a batch as the cells of a table."""
    batch, content = status.batch, _content(status)
    numbers = [(content[name], name) for name in ("parsed", "waiting", "dead", "superseded", "cancelled")]
    outcome = ", ".join(f"{number:,} {name}" for number, name in [*numbers, (batch.refused, "rejected")] if number)
    made = f"{batch.created_at:%Y-%m-%d %H:%M}"
    cost = format_usd(status.spent.micro_usd)
    videos = f"{batch.accepted:,}: {outcome}" if outcome else f"{batch.accepted:,}"
    return batch.id, batch.project, batch.state, made, videos, cost
