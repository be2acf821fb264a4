"""`titlecard budget` and `limit`: the most that projects and batches may spend.

A budget is written as in `--daily 5usd --monthly 50usd --daily 2000000tokens`. Days and months are in UTC.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.dynamodb.ledger import EVERY_PROJECT
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.batch import BatchState, project_name
from titlecard.domain.errors import Hold
from titlecard.domain.money import Amount, Budget, Total, cap
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.estimate import BATCH_LIMITS, batch_limits, model_tier, spending_cap
from titlecard_console.output import (
    amounts,
    confirm,
    format_amounts,
    format_caps,
    format_time,
    format_usd,
    pluralize,
    print_json,
    print_table,
    say,
)
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.catalog.limits import LimitIncrease
    from titlecard.domain.money import Cap
    from titlecard_console.stacks import Stack

Amounts = Annotated[
    list[str] | None, typer.Option(metavar="AMOUNT", help="5usd, 0.50usd or 2000000tokens; repeat to cap both units.")
]

budget = typer.Typer(
    no_args_is_help=True,
    help="""Set and show what projects may spend in a day and in a month.

`titlecard budget set djangocon --daily 5usd --monthly 50usd`

`titlecard budget show`
""",
)


@budget.command("set")
def set_budget(
    project: options.ProjectName,
    *,
    daily: Amounts = None,
    monthly: Amounts = None,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Set what a project may spend in a day and in a month.

    `titlecard budget set djangocon --daily 5usd --monthly 50usd`

    `titlecard budget set djangocon --monthly 50usd --monthly 20000000tokens`

    The new budget replaces the old one. Videos that wait for the budget continue within two minutes.
    """
    new = Budget(cap(daily or []), cap(monthly or []))
    project_name(project)
    there = stacks.find(stack, state)
    need = model_tier(there.parameters).worst_case
    for period, window in (("day", new.daily), ("month", new.monthly)):
        if not window.holds(need):
            raise CommandError(
                f"One request can cost {pluralize(need.tokens, 'token')} and {format_usd(need.micro_usd)}, which is "
                f"more than this budget for a {period}: no request would be sent. `titlecard pause {project}` stops a "
                "project."
            )
    ledger, now = stacks.ledger(there), datetime.now(UTC)
    try:
        old = ledger.account(project, now=now).budget
    except LedgerUnavailable as error:  # somebody has edited the budget by hand; this command repairs it
        say(str(error))
        old = None
    ledger.set_budget(project, new, by="person", now=now)
    catalog = ResultReader(there).catalog
    for deferred in catalog.deferred_rows_of({project}):
        if (deferred.row.reason or "").startswith((Hold.BUDGET_DAY, Hold.BUDGET_MONTH)):
            catalog.hasten(deferred, now=now)
    before = f" (before: {_in_words(old)})" if old else ""
    say(f"{project}: {_in_words(new)}{before}")


@budget.command("show")
def show_budgets(
    *, as_json: options.Json = False, stack: options.Stack = None, state: options.State = options.DEFAULT_STATE
) -> None:
    """Show all budgets, and the most that the whole stack can spend.

    `titlecard budget show --stack titlecard`
    """
    ledger, now = stacks.ledger(stacks.find(stack, state)), datetime.now(UTC)
    budgets = {name: it.budget for name, it in ledger.accounts().items() if it.budget}
    lines: list[dict[str, Any]] = []
    for name, it in budgets.items():
        day, month = ledger.window(name, now)
        lines.append(
            {
                "project": name,
                "day": {"charged": amounts(day), "cap": asdict(it.daily)},
                "month": {"charged": amounts(month), "cap": asdict(it.monthly)},
            }
        )
    whole: dict[str, Any] = {
        "project": EVERY_PROJECT,
        "day": _total(it.of_a_day for it in budgets.values()),
        "month": _total(it.of_a_month for it in budgets.values()),
    }
    if as_json:
        for line in [*lines, whole]:
            print_json(line)
    elif not lines:
        say("No project has a budget, so nothing can be spent: `titlecard budget set PROJECT` sets one.")
    else:
        print_table(
            ("project", "today", "of", "this month", "of"),
            [
                (
                    it["project"],
                    *(format_caps(it[period][kind]) for period in ("day", "month") for kind in ("charged", "cap")),
                )
                for it in lines
            ],
        )
        for period in ("day", "month"):
            typer.echo(f"The whole stack can spend at most {format_caps(whole[period])} in a {period}.")


def limit(
    batch: options.BatchName,
    *,
    usd: options.RaiseUsd = None,
    tokens: options.RaiseTokens = None,
    requests: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="Raise it to this many requests in all.")
    ] = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Show a batch's limit and what waits for it, or raise it.

    `titlecard limit pycon-2019-0f3a`

    `titlecard limit pycon-2019-0f3a --usd 2 --tokens 400000 --requests 50`

    Videos that wait for the limit continue by themselves. A limit can only be raised, up to the stack's parameters; use
    `titlecard cancel BATCH` to end a batch. The project's budget also applies.
    """
    wanted = spending_cap(usd, tokens).as_map()
    wanted |= {"requests": requests} if requests is not None else {}
    there = stacks.find(stack, state)
    standing = _Standing.read(there, batch)
    if wanted:
        _raise(there, standing, wanted, yes=yes)
        standing = _Standing.read(there, batch)
    if as_json:
        print_json(standing.content())
    elif not wanted:
        typer.echo("\n".join(standing.lines()))


def limit_command(batch: Batch, charged: Amount) -> str | None:
    """Return the command that raises a batch's limit to allow this total charge; None if the limit allows it."""
    limits = batch.limits.as_map()
    above = {name: number for name, number in amounts(charged).items() if number > limits[name]}
    arguments = [f"--{name} {number}" for name, number in above.items() if name != "micro_usd"]
    if "micro_usd" in above:
        arguments.insert(0, f"--usd {above['micro_usd'] / 1_000_000:.6f}".rstrip("0").rstrip("."))
    return f"titlecard limit {batch.id} {' '.join(arguments)}" if arguments else None


@dataclass(frozen=True)
class _Standing:
    """A batch and its limit; `need` is the most that one more attempt on each of the `waiting` videos can cost."""

    batch: Batch
    charged: Amount
    stack: Total
    waiting: int
    need: Amount
    raised: Sequence[LimitIncrease]

    @classmethod
    def read(cls, there: Stack, name: str) -> _Standing:
        """Read a batch's current charge and limit."""
        results = ResultReader(there)
        batch = results.batch(name)
        rows = [it.row for it in results.catalog.deferred(batch)]
        needs = [it.need for it in rows if (it.reason or "").startswith(Hold.BATCH_LIMIT)]
        return cls(
            batch,
            stacks.ledger(there).spent(name),
            batch_limits(there.parameters),
            len(needs),
            sum(needs, Amount()),
            stacks.stores(there).limits.raised(name),
        )

    def content(self) -> dict[str, Any]:
        """Return the batch and its limit for programs."""
        return {
            "batch": self.batch.id,
            "project": self.batch.project,
            "limit": self.batch.limits.as_map(),
            "charged": amounts(self.charged),
            "waiting": {"videos": self.waiting, "need": amounts(self.need)},
            "stack": self.stack.as_map(),
            "raised": [
                {"at": it.at, "by": it.by, "from": it.before.as_map(), "to": it.after.as_map()} for it in self.raised
            ],
        }

    def lines(self) -> list[str]:
        """Return the batch and its limit as lines for people."""
        lines = [
            f"{self.batch.id} of {self.batch.project}",
            f"  limit    {format_amounts(**self.batch.limits.as_map())}",
            f"  charged  {format_amounts(**amounts(self.charged))}",
            *(f"  raised   {format_time(it.at)} by {it.by}" for it in self.raised),
        ]
        if self.waiting:
            command = limit_command(self.batch, self.charged + self.need)
            next_step = f"`{command}` lets all of them continue" if command else "continuing within a minute or two"
            lines.append(f"  waiting  {pluralize(self.waiting, 'video')}; {next_step}")
        return lines


def _raise(there: Stack, standing: _Standing, wanted: dict[str, int], *, yes: bool) -> None:
    """Show the old and the new limit, ask for confirmation, and raise the limit."""
    batch, before = standing.batch, standing.batch.limits
    after = replace(before, **wanted)
    _check(standing, wanted)
    waits = pluralize(standing.waiting, "video waits", "videos wait")
    more = {name: after.as_map()[name] - spent for name, spent in amounts(standing.charged).items()}
    for line in (
        f"{batch.id} may be charged {format_amounts(**after.as_map())} in all.",
        f"Before: {format_amounts(**before.as_map())}.",
        f"Charged so far: {format_amounts(**amounts(standing.charged))}.",
        f"At most {format_amounts(**more)} can still be charged.",
        f"{waits} at the limit. The budget of {batch.project} is a second limit.",
    ):
        say(line)
    if not yes and not confirm("Raise it?"):
        raise typer.Abort
    limits = stacks.stores(there).limits
    if not limits.raise_limit(batch.id, before, after, by=stacks.caller(there), now=datetime.now(UTC)):
        raise CommandError(f"Somebody else has just changed {batch.id}: look again with `titlecard limit {batch.id}`.")
    say("Raised. Waiting videos continue within a minute or two." if standing.waiting else "Raised.")


def _check(standing: _Standing, wanted: dict[str, int]) -> None:
    """Check that a batch can have a limit.

    Raises:
        CommandError: it cannot; the message says why and what to do instead.
    """
    batch = standing.batch
    if batch.cancelled or batch.state is BatchState.REFUSED:
        raise CommandError(f"{batch.id} is {'cancelled' if batch.cancelled else batch.state}: nothing is spent on it.")
    if batch.state is BatchState.COUNTING:
        raise CommandError(f"Ingest is still reading {batch.id}: try again when it has sent the messages.")
    before, most = batch.limits.as_map(), standing.stack.as_map()
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


def _in_words(budget: Budget) -> str:
    parts = [(period, asdict(it)) for period, it in (("day", budget.daily), ("month", budget.monthly))]
    return ", ".join(
        f"{format_caps(caps)} a {period}" for period, caps in parts if any(it is not None for it in caps.values())
    )


def _total(caps: Iterable[Cap]) -> dict[str, int | None]:
    """Return the sum of caps; None if one of them is unbounded."""
    parts = list(caps)
    return {
        name: None if any(getattr(it, name) is None for it in parts) else sum(getattr(it, name) for it in parts)
        for name in ("tokens", "micro_usd")
    }
