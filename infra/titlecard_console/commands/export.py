"""`titlecard export`: write talks to files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from titlecard_console import export as formats
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.export import Format
from titlecard_console.output import open_output, pluralize, say
from titlecard_console.results import ResultReader


def export(
    *,
    batch: options.OneBatch = None,
    project: options.OneProject = None,
    form: Annotated[
        Format, typer.Option("--format", metavar="FORMAT", help="jsonl, csv, pyvideo or django-fixture.")
    ] = Format.JSONL,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only changes since this time (ISO 8601; without an offset it is UTC)."),
    ] = None,
    output: options.OutputFile = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model of the Django fixture. Default: the one of the manifest, else titlecard.talk."),
    ] = None,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Write talks of a batch or a project to a file.

    `titlecard export --project pycon > talks.jsonl`

    `titlecard export --project pycon --since 2026-05-01 --format csv`

    `titlecard export --batch pycon-2019-0f3a --format django-fixture`

    With --project it writes the current talks of all its batches. The order is always the same. jsonl has a line for
    every row, with the same fields as `titlecard run`, and also batch, current (whether the video's newest talk comes
    from this row) and changed_at. The other formats contain only talks. In CSV, a cell that a spreadsheet would treat
    as a formula begins with an apostrophe. pyvideo and django-fixture keep the speakers and the fields of a manifest in
    the same format.
    """
    moment = _moment(since)
    results = ResultReader(stacks.find(stack_name, state))
    batches = results.batches(batch, project)
    current = project is not None
    left_out = 0
    with open_output(output) as sink:
        if form in {Format.PYVIDEO, Format.DJANGO_FIXTURE}:
            pairs = results.with_rows(batches, current=current, since=moment)
            if form is Format.PYVIDEO:
                left_out = formats.pyvideo(pairs, sink)
            else:
                formats.fixture(pairs, sink, model)
        else:
            rows = results.results(batches, current=current, since=moment)
            if form is Format.JSONL:
                formats.json_lines(rows, sink)
            else:
                formats.table(rows, sink)
    if left_out:
        talks = pluralize(left_out, "talk was", "talks were")
        say(f"{talks} left out: pyvideo needs an address, and the manifest has none.")


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(since)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:  # an offset may lead out of the calendar
        raise CommandError(
            f"--since {since}: write a date or a time, as in 2026-05-01 or 2026-05-01T12:00:00Z."
        ) from error
