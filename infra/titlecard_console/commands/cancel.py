"""`titlecard cancel`: cancel a batch permanently."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from titlecard.aws.dynamodb.catalog import RowEnd
from titlecard.domain.batch import END_STATES, RowState
from titlecard.domain.reasons import CANCELLED
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.output import confirm, pluralize, say
from titlecard_console.results import ResultReader


def cancel(
    batch: options.BatchName,
    *,
    yes: options.Yes = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Cancel a batch permanently.

    `titlecard cancel pycon-2019-0f3a`

    Its unfinished videos get the state cancelled, and nothing more is spent on it.
    """
    stack, now = stacks.find(stack_name, state), datetime.now(UTC)
    results = ResultReader(stack)
    found, catalog = results.batch(batch), results.catalog
    left = max(found.accepted - found.counted(*END_STATES), 0)
    say(f"{batch}: about {left:,} of {pluralize(found.accepted, 'video')} have not ended.")
    if not yes and not confirm("End them as cancelled?"):
        raise typer.Abort
    stacks.ledger(stack).cancel(batch, now=now)  # first, so that nothing more can be reserved
    if not catalog.cancel(found, now=now):
        raise CommandError(f"{batch} is already {found.state}: there is nothing to cancel.")
    ended = 0
    for deferred in catalog.deferred(found):
        ending = RowEnd(
            deferred.message,
            found.upload.order,
            deferred.row.fingerprint,
            RowState.CANCELLED,
            reason=CANCELLED,
            row_exists=True,
        )
        ended += catalog.end_and_count([ending], now=now)[0] is RowState.CANCELLED
    waiting = pluralize(ended, "waiting video has", "waiting videos have")
    say(
        f"Cancelled: nothing more is spent on it. {waiting} ended; a video in the queue ends when a worker receives it."
    )
