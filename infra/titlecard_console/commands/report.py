"""`titlecard report`: write a page for the site's owner."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.output import open_output, pluralize, say
from titlecard_console.results import ResultReader

Subject = Annotated[
    str | None,
    typer.Argument(metavar="BATCH|PROJECT", help="A batch or a project. Default: the only project of the stack."),
]
Target = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="The file to write. Default: report-NAME.html in the current folder.",
        dir_okay=False,
        callback=options.in_existing_folder,
    ),
]


def report(
    subject: Subject = None,
    *,
    output: Target = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Write a page that shows talks before and after.

    `titlecard report pycon --open`

    `titlecard report pycon-2019-0f3a --output talks.html`

    The page is one file that loads nothing else. It shows the uploaded rows beside their talks, the talks to review
    with commands to copy, dead letters by cause, spend against the limit, and rejected rows by reason.
    """
    from titlecard_console.report.content import collect  # noqa: PLC0415 -- only this command draws and renders
    from titlecard_console.report.page import render  # noqa: PLC0415 -- as above

    stack = stacks.find(stack_name, state)
    reader = ResultReader(stack)
    every = reader.all_batches()
    projects = sorted({batch.project for batch in every})
    name = subject or (projects[0] if len(projects) == 1 else "")
    if not name:
        known = f"this stack has {pluralize(len(projects), 'project')}: {', '.join(projects[:10])}" if projects else ""
        raise CommandError(f"Name a batch or a project: {known or 'nothing has been uploaded yet'}.")
    batches = [batch for batch in every if name in (batch.id, batch.project)]
    if not batches:
        raise CommandError(f"There is no batch and no project {name!r}: `titlecard batches` lists both.")
    page = render(collect(stack, reader, batches, name))
    target = output or Path(f"report-{name}.html")
    with open_output(target) as sink:
        sink.write(page)
    say(f"{target}: {pluralize(sum(batch.accepted for batch in batches), 'video')}, {len(page.encode()):,} bytes.")
    if open_page and not webbrowser.open(target.resolve().as_uri()):
        say("No browser could be opened: open the file by hand.")
