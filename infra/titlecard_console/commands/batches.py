"""`titlecard batches`: list the batches."""

from __future__ import annotations

from titlecard.domain.batch import BatchState
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.output import format_usd, print_json, print_table, printable, say
from titlecard_console.results import ResultReader
from titlecard_console.status import Status, charges, with_true_counts


def batches(
    *,
    project: options.OneProject = None,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """List the batches, the oldest first.

    `titlecard batches`

    `titlecard batches --stack titlecard --project pycon --json`

    Each version of an uploaded manifest is one batch.
    """
    stack = stacks.find(stack_name, state)
    results, ledger = ResultReader(stack), stacks.ledger(stack)
    batches = [with_true_counts(results.catalog, batch) for batch in results.all_batches(project)]
    waiting = results.exports.waiting(batches)
    statuses = (Status(batch, waiting[batch.id], None, *charges(ledger, batch)) for batch in batches)
    if as_json:
        for status in statuses:
            print_json(status.content())
    elif shown_statuses := list(statuses):
        print_table(_HEADINGS, [_cells(status) for status in shown_statuses])
        for status in shown_statuses:
            batch = status.batch
            if status.trouble:
                say(f"{batch.id}: {status.trouble}.")
            if batch.state is BatchState.REFUSED:
                say(f"{batch.id} ({printable(batch.upload.key)}) was refused: {batch.reason}")
    else:
        whose = f" of the project {project!r}" if project else ""
        command = f"titlecard upload MANIFEST --project {project or 'PROJECT'}"
        say(f"There are no batches{whose} yet: create one with `{command}`.")


_HEADINGS = ("batch", "project", "state", "created", "videos", "cost>")


def _cells(status: Status) -> tuple[str, ...]:
    """Return a batch as the cells of a table."""
    batch, content = status.batch, status.content()
    numbers = [(content[name], name) for name in ("parsed", "waiting", "dead", "superseded", "cancelled")]
    outcome = ", ".join(f"{number:,} {name}" for number, name in [*numbers, (batch.refused, "rejected")] if number)
    created = f"{batch.created_at:%Y-%m-%d %H:%M}"
    cost = format_usd(status.spent.micro_usd) if status.spent else "?"
    videos = f"{batch.accepted:,}: {outcome}" if outcome else f"{batch.accepted:,}"
    return batch.id, batch.project, batch.state, created, videos, cost
