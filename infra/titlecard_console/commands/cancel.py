"""`titlecard cancel`: cancel a batch permanently.

::

    catalog: the batch is cancelled ──► ledger: nothing more is reserved ──► end the waiting rows
     │ the batch is over: refused,       └ a crash: the same command          └ a crash: the same command
     │ nothing has changed                 continues                            continues, or the sweeper does
     └ a crash: a worker that knows the batch may ask for half a minute more; the same command continues
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from titlecard.aws.dynamodb.catalog import RowEnd
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.reasons import CANCELLED
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.output import confirm, pluralize, say
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from titlecard.aws.dynamodb.catalog import Batch


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
    stack = stacks.find(stack_name, state)
    results = ResultReader(stack)
    found, catalog = results.batch(batch), results.catalog
    if _is_over(found):
        raise _over(found)
    say(_left(found))
    if not yes and not found.cancelled and not confirm("End them as cancelled?"):
        raise typer.Abort
    now = datetime.now(UTC)
    is_cancelled = catalog.cancel(found, now=now)
    found = results.batch(batch)  # it may have changed while the person read the question
    if not is_cancelled and not found.cancelled:
        raise _over(found)
    stacks.ledger(stack).cancel(batch, now=now)
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


def _is_over(batch: Batch) -> bool:
    """Return whether a batch can no longer be cancelled; one that is already cancelled may need the other writes."""
    return batch.state in (BatchState.FINISHED, BatchState.REFUSED) and not batch.cancelled


def _over(batch: Batch) -> CommandError:
    return CommandError(f"{batch.id} is already {batch.state}: there is nothing to cancel.")


def _left(batch: Batch) -> str:
    """Describe what a cancellation ends, from counters that may be slightly off."""
    if batch.state is BatchState.COUNTING:
        return f"{batch.id}: ingest is still reading the manifest, so the number of its videos is not known yet."
    left = min(max(batch.left, 0), batch.accepted)
    already = " It is already cancelled." if batch.cancelled else ""
    return f"{batch.id}: about {left:,} of {pluralize(batch.accepted, 'video')} have not ended.{already}"
