"""`titlecard export`: talks, as files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from titlecard_console import export as formats
from titlecard_console import stack as stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.export import Format
from titlecard_console.output import open_output, pluralize, say
from titlecard_console.results import ResultReader

OfBatch = Annotated[str | None, typer.Option("--batch", metavar="BATCH", help="The talks of one batch.")]
OfProject = Annotated[
    str | None, typer.Option("--project", metavar="PROJECT", help="The current talks of all batches of a project.")
]


def export(
    *,
    batch: OfBatch = None,
    project: OfProject = None,
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.JSONL,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only what has changed since then: ISO 8601; UTC without an offset."),
    ] = None,
    output: options.OutputFile = None,
    model: Annotated[str, typer.Option(help="The model of the Django fixture.")] = formats.MODEL,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Write talks of a batch or a project to a file.

    `titlecard export --project pycon > talks.jsonl`

    `titlecard export --project pycon --since 2026-05-01 --format csv`

    `titlecard export --batch pycon-2019-0f3a --format django-fixture`

    The order is always the same. jsonl has a line for every row, with the fields of `titlecard run` and: batch, current
    (whether the video's newest talk is from this row), changed_at. The other formats hold talks alone. In CSV, cells
    that a spreadsheet would take for a formula begin with an apostrophe.
    """
    moment = _moment(since)
    results = ResultReader(stacks.find(stack, state))
    batches = results.batches(batch, project)
    current = project is not None
    left_out = 0
    with open_output(output) as sink:
        if form is Format.PYVIDEO:
            left_out = formats.pyvideo(results.with_videos(batches, current=current, since=moment), sink)
        else:
            rows = results.results(batches, current=current, since=moment)
            if form is Format.JSONL:
                formats.json_lines(rows, sink)
            elif form is Format.CSV:
                formats.table(rows, sink)
            else:
                formats.fixture(rows, sink, model)
    if left_out:
        talks = pluralize(left_out, "talk was", "talks were")
        say(f"{talks} left out: pyvideo needs an address, and the manifest has none.")


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(since)
    except ValueError as error:
        raise CommandError(
            f"--since {since}: write a date or a time, as in 2026-05-01 or 2026-05-01T12:00:00Z."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
