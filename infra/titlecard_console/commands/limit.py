"""`titlecard limit`: the most that a batch may spend, and what waits for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.domain.batch import BatchState
from titlecard.domain.money import Amount, Total
from titlecard.domain.reasons import Hold, code_of
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.limits import BATCH_LIMITS, batch_limits, limit_command
from titlecard_console.output import (
    amounts,
    confirm,
    format_charge,
    format_time,
    format_usd,
    pluralize,
    print_json,
    say,
)
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.catalog.items import LimitIncrease
    from titlecard_console.stacks import Stack


def limit(
    batch: options.BatchName,
    *,
    usd: Annotated[
        int | None,
        typer.Option(metavar="USD", parser=options.micro_usd, help="Raise it to this many dollars in all."),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=0, help="Raise it to this many tokens in all.")
    ] = None,
    requests: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="Raise it to this many requests in all.")
    ] = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Show a batch's limit and the videos it stops, or raise it.

    `titlecard limit pycon-2019-0f3a`

    `titlecard limit pycon-2019-0f3a --usd 2 --tokens 400000 --requests 50`

    Videos that wait for the limit continue within two minutes. A limit can only be raised, up to the stack's
    parameters; use `titlecard cancel BATCH` to end a batch. The project's budget also applies.
    """
    given = {"tokens": tokens, "micro_usd": usd, "requests": requests}
    wanted = {name: number for name, number in given.items() if number is not None}
    stack = stacks.find(stack_name, state)
    current = _BatchLimit.read(stack, batch)
    if wanted:
        _raise(stack, current, wanted, yes=yes)
        current = _BatchLimit.read(stack, batch)
    if as_json:
        print_json(current.content())
    elif not wanted:
        typer.echo("\n".join(current.lines()))


@dataclass(frozen=True)
class _BatchLimit:
    """A batch and its limit.

    `most` is the highest limit that the stack allows. `need` is the most that one more attempt on each of the `waiting`
    videos can cost.
    """

    batch: Batch
    charged: Amount
    most: Total
    waiting: int
    need: Amount
    raised: Sequence[LimitIncrease]

    @classmethod
    def read(cls, stack: Stack, name: str) -> _BatchLimit:
        """Read a batch's current charge and limit."""
        results = ResultReader(stack)
        batch = results.batch(name)
        rows = [it.row for it in results.catalog.deferred(batch)]
        needs = [it.need for it in rows if code_of(it.reason) == Hold.BATCH_LIMIT]
        return cls(
            batch,
            stacks.ledger(stack).spent(name),
            batch_limits(stack.parameters),
            len(needs),
            sum(needs, Amount()),
            results.catalog.raised(name),
        )

    def content(self) -> dict[str, Any]:
        """Return the batch and its limit for programs."""
        return {
            "batch": self.batch.id,
            "project": self.batch.project,
            "limit": self.batch.limits.as_map(),
            "charged": amounts(self.charged),
            "waiting": {"videos": self.waiting, "need": amounts(self.need)},
            "stack": self.most.as_map(),
            "raised": [
                {"at": it.at, "by": it.by, "from": it.before.as_map(), "to": it.after.as_map()} for it in self.raised
            ],
        }

    def lines(self) -> list[str]:
        """Return the batch and its limit as lines for people."""
        lines = [
            f"{self.batch.id} of {self.batch.project}",
            f"  limit    {format_charge(self.batch.limits)}",
            f"  charged  {format_charge(self.charged)}",
            *(f"  raised   {format_time(it.at)} by {it.by}" for it in self.raised),
        ]
        if self.waiting:
            command = limit_command(self.batch, self.charged + self.need)
            next_step = f"`{command}` lets all of them continue" if command else "continuing within two minutes"
            lines.append(f"  waiting  {pluralize(self.waiting, 'video')}; {next_step}")
        return lines


def _raise(stack: Stack, current: _BatchLimit, wanted: dict[str, int], *, yes: bool) -> None:
    """Show the old and the new limit, ask for confirmation, and raise the limit."""
    batch, before = current.batch, current.batch.limits
    after = replace(before, **wanted)
    _check(current, wanted)
    waits = pluralize(current.waiting, "video waits", "videos wait")
    spent = current.charged
    left = Total(**{name: max(number - getattr(spent, name), 0) for name, number in after.as_map().items()})
    say(
        f"{batch.id} may be charged {format_charge(after)} in all.",
        f"Before: {format_charge(before)}.",
        f"Charged so far: {format_charge(spent)}.",
        f"At most {format_charge(left)} can still be charged.",
        f"{waits} at the limit. The budget of {batch.project} is a second limit.",
    )
    if not yes and not confirm("Raise it?"):
        raise typer.Abort
    catalog = stacks.stores(stack).catalog
    if not catalog.raise_limit(batch.id, before, after, by=stacks.caller(stack), now=datetime.now(UTC)):
        raise CommandError(f"Somebody else has just changed {batch.id}: look again with `titlecard limit {batch.id}`.")
    say("Raised. Waiting videos continue within two minutes." if current.waiting else "Raised.")


def _check(current: _BatchLimit, wanted: dict[str, int]) -> None:
    """Check that a batch can have a limit.

    Raises:
        CommandError: it cannot; the message says why and what to do instead.
    """
    batch = current.batch
    if batch.cancelled or batch.state is BatchState.REFUSED:
        raise CommandError(f"{batch.id} is {'cancelled' if batch.cancelled else batch.state}: nothing is spent on it.")
    if batch.state is BatchState.COUNTING:
        raise CommandError(f"Ingest is still reading {batch.id}: try again when it has sent the messages.")
    before, most = batch.limits.as_map(), current.most.as_map()
    for name, number in wanted.items():
        if number < before[name]:
            raise CommandError(
                f"The limit of {batch.id} is {_in_unit(name, before[name])}, and a limit is never lowered: `titlecard "
                f"cancel {batch.id}` ends the batch, `titlecard pause {batch.project}` stops its project."
            )
        if number > most[name]:
            raise CommandError(
                f"The stack allows a batch at most {_in_unit(name, most[name])}: deploy it with a greater "
                f"{BATCH_LIMITS[name]} first (`sam deploy --parameter-overrides`, `titlecard up --set`)."
            )
    if wanted.items() <= before.items():
        raise CommandError(f"{batch.id} already has this limit.")


def _in_unit(name: str, number: int) -> str:
    return format_usd(number) if name == "micro_usd" else pluralize(number, name.removesuffix("s"))
