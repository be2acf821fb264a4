"""`titlecard export`: talks, as files."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from titlecard_console import export as forms
from titlecard_console import stack as where
from titlecard_console.export import Format
from titlecard_console.files import in_a_folder
from titlecard_console.output import pluralize
from titlecard_console.results import ResultReader
from titlecard_console.stack import CommandError, StackOption, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

OfBatch = Annotated[str | None, typer.Option("--batch", metavar="BATCH", help="The talks of one batch.")]
OfProject = Annotated[
    str | None, typer.Option("--project", metavar="PROJECT", help="The current talks of all batches of a project.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        help="Where it goes instead of standard output; replaced when all is there.",
        dir_okay=False,
        callback=in_a_folder,
    ),
]


def register(app: typer.Typer) -> None:
    """Put the command into the application."""
    app.command(name="export")(export)


def export(
    *,
    batch: OfBatch = None,
    project: OfProject = None,
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.JSONL,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only what has changed since: ISO 8601, UTC if no offset is given."),
    ] = None,
    output: Output = None,
    model: Annotated[str, typer.Option(help="The model of the Django fixture.")] = forms.MODEL,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Get talks out, by batch or by project, in an order that stays the same.

    titlecard export --project pycon > talks.jsonl

    titlecard export --project pycon --since 2026-05-01 --format csv --output changed.csv

    titlecard export --stack titlecard --batch pycon-2019-0f3a --format django-fixture > talks.json

    jsonl has one line per row, whatever became of it, with the fields of `titlecard run` and: batch, current (whether
    the video's newest talk is of this row), changed_at. The other formats hold talks alone. In CSV, cells that a
    spreadsheet would take for a formula begin with an apostrophe.
    """
    moment = _moment(since)
    outcomes = ResultReader(where.find(stack, state))
    batches = outcomes.batches(batch, project)
    current = project is not None
    left_out = 0
    with _writing(output) as sink:
        if form is Format.PYVIDEO:
            left_out = forms.pyvideo(outcomes.with_videos(batches, current=current, since=moment), sink)
        else:
            results = outcomes.results(batches, current=current, since=moment)
            if form is Format.JSONL:
                forms.json_lines(results, sink)
            elif form is Format.CSV:
                forms.table(results, sink)
            else:
                forms.fixture(results, sink, model)
    if left_out:
        many_out = pluralize(left_out, "talk was", "talks were")
        typer.echo(f"{many_out} left out: pyvideo wants an address, and the manifest gives none.", err=True)


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(since)
    except ValueError as error:
        raise CommandError(
            f"--since {since}: write a date or a time as in 2026-05-01 or 2026-05-01T12:00:00Z."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextmanager
def _writing(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears when it is complete."""
    if output is None:
        yield sys.stdout
        return
    unfinished = output.with_name(f"{output.name}.unfinished")
    with unfinished.open("w", encoding="utf-8", newline="") as sink:
        yield sink
    unfinished.replace(output)
