"""`titlecard show`: show a video's talk, its rows and its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.dynamodb.catalog.reviews import VideoSummary
from titlecard.domain.text import normalise
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.history import history_content, history_lines
from titlecard_console.output import format_time, print_json, printable, printable_names
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def show(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video's id, as in its manifest.")],
    *,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Show a video's talk, its batches and every attempt.

    `titlecard show dQw4w9WgXcQ --project pycon`
    """
    stack = stacks.find(stack_name, state)
    results = ResultReader(stack)
    summary = results.reviews.summary(project, video)
    pointer = summary.pointer
    rows = [
        {
            "batch": batch,
            "row": row.number,
            "state": row.state,
            "reason": row.reason,
            "due": row.due,
            "fingerprint": row.fingerprint,
            "current": pointer is not None and (pointer.batch, pointer.row) == (batch, row.number),
        }
        for batch, row in results.rows_of(project, video)
    ]
    if summary == VideoSummary() and not rows:
        raise CommandError(f"Nothing is known about {video!r} in the project {project!r}: is --project right?")
    records = stacks.stores(stack).grants.records(project, video)
    if as_json:
        answer = summary.answer
        print_json(
            {
                "id": video,
                "project": project,
                "talk": summary.talk.model_dump(mode="json") if summary.talk else None,
                "person": {"by": answer.by, "at": answer.at} if answer else None,
                "fingerprint": summary.fingerprint or None,
                "rows": rows,
                "fingerprints": [history_content(record) for record in records],
            }
        )
        return
    typer.echo(f"{video} of {project}")
    typer.echo("\n".join(_lines(summary, rows)))
    for record in records:
        typer.echo("\n".join(history_lines(record, current=summary.fingerprint)))


def _lines(summary: VideoSummary, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a video's talk and its rows as lines for people."""
    if talk := summary.talk:
        yield f"  title       {printable(talk.title)}"
        yield f"  presenters  {printable_names(talk.presenters)}"
        review = f", to be reviewed: {talk.review}" if talk.review else ""
        yield f"  by          {talk.tier}, confidence {talk.confidence:.2f}{review}"
    else:
        yield "  no talk"
    if summary.answer:
        yield f"  reviewed    by {summary.answer.by}, {format_time(summary.answer.at)}"
    yield "rows"
    for row in rows:
        current = "  (current)" if row["current"] else ""
        reason = f": {normalise(row['reason'])}" if row["reason"] else ""
        yield f"  {row['batch']} row {row['row']}  {row['state']}{reason}{current}"
