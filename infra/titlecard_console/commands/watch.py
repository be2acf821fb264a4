"""`titlecard watch`: follow a batch."""

from __future__ import annotations

import time
from typing import Any

import typer

from titlecard.domain.batch import BatchState
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import ExitCode
from titlecard_console.output import people, print_json, say
from titlecard_console.progress import Display
from titlecard_console.results import ResultReader
from titlecard_console.status import Status, read_status

POLL_SECONDS = 1.0


def watch(
    batch: options.BatchName,
    *,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Follow a batch until it ends or waits for you.

    `titlecard watch pycon-2019-0f3a`

    Ctrl-C stops watching and leaves the batch running. Exit codes: 0 the batch is finished, and every video is parsed
    or superseded; 2 the file is not a manifest; 3 some videos are dead, cancelled, waiting or never answered.
    """
    stack = stacks.find(stack_name, state)
    results, ledger = ResultReader(stack), stacks.ledger(stack)
    with Display(people) as display:
        before: dict[str, Any] | None = None
        while True:
            status = read_status(results.catalog, ledger, results.batch(batch))
            if as_json and (now := status.content()) != before:
                before = now
                print_json(now)
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
    if not status.is_answered:
        raise typer.Exit(ExitCode.UNFINISHED)


def _is_over(status: Status) -> bool:
    """Return whether nothing more happens to the batch without a person."""
    all_wait = status.waiting > 0 and status.until is None and status.ended + status.waiting >= status.batch.accepted
    return status.has_ended or (status.batch.state is BatchState.OPEN and all_wait)
