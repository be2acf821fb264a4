"""`titlecard limit`: what a batch may be charged, and how a person raises it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from titlecard.aws.dynamodb.catalog.limits import BatchLimitTable
from titlecard.domain.batch import BatchLimits, BatchState
from titlecard.domain.errors import Hold
from titlecard.domain.money import Amount, cap
from titlecard_console import stack as where
from titlecard_console.commands.money import ledger_of
from titlecard_console.output import format_amounts, format_usd, pluralize
from titlecard_console.questions import confirm
from titlecard_console.results import ResultReader
from titlecard_console.stack import CommandError, StackOption, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.catalog.limits import LimitIncrease
    from titlecard_console.stack import Stack

PARAMETERS = {"requests": "BatchRequestLimit", "tokens": "BatchTokenLimit", "micro_usd": "BatchMicroUsdLimit"}
"""What the stack allows any batch, by the limit's name."""

people = Console(stderr=True, highlight=False)


def register(app: typer.Typer) -> None:
    """Put the command into the application."""
    app.command()(limit)


def limit(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="As `titlecard batches` lists it.")],
    *,
    usd: Annotated[str | None, typer.Option(metavar="USD", help="Raise it to so many dollars, in all.")] = None,
    tokens: Annotated[str | None, typer.Option(metavar="NUMBER", help="Raise it to so many tokens, in all.")] = None,
    requests: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="Raise it to so many requests, in all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Show what a batch may be charged, what it was charged, and what waits at its limit; or raise the limit.

    titlecard limit pycon-2019-0f3a

    titlecard limit pycon-2019-0f3a --usd 2 --tokens 400000 --requests 50

    What waits goes on by itself. A limit is never lowered (`titlecard cancel BATCH` ends a batch), and no batch may
    have more than the stack's parameters allow any. The project's budget is a second limit.
    """
    wanted = cap([f"{it}{unit}" for it, unit in ((usd, "usd"), (tokens, "tokens")) if it is not None]).as_map()
    wanted |= {"requests": requests} if requests is not None else {}
    there = where.find(stack, state)
    stands = _Standing.of(there, batch)
    if wanted:
        _raise(there, stands, wanted, yes=yes)
        stands = _Standing.of(there, batch)
    if as_json:
        typer.echo(json.dumps(stands.facts(), ensure_ascii=False))
    elif not wanted:
        typer.echo("\n".join(stands.lines()))


@dataclass(frozen=True)
class _Standing:
    """How a batch stands with its limit.

    `need` is what one more try of each of the `waiting` videos, which wait at it, can cost.
    """

    batch: Batch
    charged: Amount
    stack: BatchLimits
    waiting: int
    need: Amount
    raised: Sequence[LimitIncrease]

    @classmethod
    def of(cls, there: Stack, name: str) -> _Standing:
        """It, as it is now."""
        outcomes = ResultReader(there)
        batch = outcomes.batch(name)
        needs = [it.need for it in outcomes.catalog.waiting(name) if (it.reason or "").startswith(Hold.BATCH_LIMIT)]
        return cls(
            batch,
            ledger_of(there).spent(name),
            BatchLimits(**{name: int(there.parameters[parameter]) for name, parameter in PARAMETERS.items()}),
            len(needs),
            sum(needs, Amount()),
            BatchLimitTable(outcomes.database, there.outputs["CatalogTable"]).raised(name),
        )

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "batch": self.batch.id,
            "project": self.batch.project,
            "limit": self.batch.limits.model_dump(),
            "charged": _numbers(self.charged),
            "waiting": {"videos": self.waiting, "need": _numbers(self.need)},
            "stack": self.stack.model_dump(),
            "raised": [
                {"at": it.at, "by": it.by, "from": it.before.model_dump(), "to": it.after.model_dump()}
                for it in self.raised
            ],
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"{self.batch.id} of {self.batch.project}",
            f"  limit    {format_amounts(**self.batch.limits.model_dump())}",
            f"  charged  {format_amounts(**_numbers(self.charged))}",
            *(f"  raised   {it.at[:19].replace('T', ' ')} UTC by {it.by}" for it in self.raised),
        ]
        if self.waiting:
            command = raising(self.batch, self.charged + self.need)
            goes = f"`{command}` would let all of that go on" if command else "going on within a minute or two"
            lines.append(f"  waiting  {pluralize(self.waiting, 'video')}; {goes}")
        return lines


def raising(batch: Batch, charged: Amount) -> str | None:
    """The command that raises a batch's limit so far that so much can be charged in all; None where it is no lower."""
    limits = batch.limits.model_dump()
    above = {name: number for name, number in _numbers(charged).items() if number > limits[name]}
    options = [f"--{name} {number}" for name, number in above.items() if name != "micro_usd"]
    if "micro_usd" in above:
        options.insert(0, f"--usd {above['micro_usd'] / 1_000_000:.6f}".rstrip("0").rstrip("."))
    return f"titlecard limit {batch.id} {' '.join(options)}" if options else None


def _raise(there: Stack, stands: _Standing, wanted: dict[str, int], *, yes: bool) -> None:
    """Show what rises to what, ask, and raise it."""
    batch, before = stands.batch, stands.batch.limits
    after = before.model_copy(update=wanted)
    _check(stands, wanted)
    more = {name: after.model_dump()[name] - spent for name, spent in _numbers(stands.charged).items()}
    waits = pluralize(stands.waiting, "video waits", "videos wait")
    for line in (
        f"{batch.id} may be charged {format_amounts(**after.model_dump())} in all.",
        f"Before: {format_amounts(**before.model_dump())}.",
        f"Charged so far: {format_amounts(**_numbers(stands.charged))}.",
        f"At most {format_amounts(**more)} can still be charged.",
        f"{waits} at the limit. What the budget of {batch.project} allows is a second one.",
    ):
        people.print(line, markup=False, soft_wrap=True)
    if not yes and not confirm(people, "Raise it?"):
        raise typer.Abort
    outcomes = ResultReader(there)
    by = str(there.client("sts").get_caller_identity()["Arn"])
    limits = BatchLimitTable(outcomes.database, there.outputs["CatalogTable"])
    if not limits.raise_limit(batch.id, before, after, by=by, now=datetime.now(UTC)):
        raise CommandError(
            f"Somebody else has changed {batch.id} in between: look again with `titlecard limit {batch.id}`."
        )
    people.print("Raised. What waits goes on within a minute or two." if stands.waiting else "Raised.", markup=False)


def _check(stands: _Standing, wanted: dict[str, int]) -> None:
    """Refuse a limit that a batch cannot be given.

    Raises:
        CommandError: with why, and what to do instead.
    """
    batch = stands.batch
    if batch.cancelled or batch.state is BatchState.REFUSED:
        raise CommandError(f"{batch.id} is {'cancelled' if batch.cancelled else batch.state}: nothing is spent on it.")
    if batch.state is BatchState.COUNTING:
        raise CommandError(f"Ingest is still reading {batch.id}: try again when its messages are sent.")
    before, most = batch.limits.model_dump(), stands.stack.model_dump()
    for name, number in wanted.items():
        if number < before[name]:
            raise CommandError(
                f"The limit of {batch.id} is {_said(name, before[name])}, and a limit is never lowered: `titlecard "
                f"cancel {batch.id}` ends the batch, `titlecard pause {batch.project}` stops its project."
            )
        if number > most[name]:
            raise CommandError(
                f"The stack allows no batch more than {_said(name, most[name])}: deploy it with a greater "
                f"{PARAMETERS[name]} first (`sam deploy --parameter-overrides`, `titlecard up --set`)."
            )
    if wanted.items() <= before.items():
        raise CommandError(f"That is the limit of {batch.id} already.")


def _numbers(charge: Amount) -> dict[str, int]:
    return {"requests": charge.requests, "tokens": charge.tokens, "micro_usd": charge.micro_usd}


def _said(name: str, number: int) -> str:
    return format_usd(number) if name == "micro_usd" else pluralize(number, name.removesuffix("s"))
