"""`titlecard budget`: the most that projects may spend.

A budget is written as in `--daily 5usd --monthly 50usd --daily 2000000tokens`. Days and months are in UTC.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.dynamodb.ledger import EVERY_PROJECT, Account, UnreadableAccount
from titlecard.aws.errors import LedgerItemInvalid, LedgerUnavailable
from titlecard.domain.money import Budget, cap
from titlecard.domain.reasons import Hold, code_of
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.estimate import model_tier
from titlecard_console.output import (
    amounts,
    format_caps,
    format_usd,
    pluralize,
    print_json,
    print_table,
    say,
)
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from titlecard.domain.money import Cap

Amounts = Annotated[
    list[str] | None, typer.Option(metavar="AMOUNT", help="5usd, 0.50usd or 2000000tokens; repeat to cap both units.")
]

budget = typer.Typer(
    name="budget",
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
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Set what a project may spend in a day and in a month.

    `titlecard budget set djangocon --daily 5usd --monthly 50usd`

    `titlecard budget set djangocon --monthly 50usd --monthly 20000000tokens`

    The new budget replaces the old one. Videos that wait for the budget continue within two minutes.
    """
    new = Budget(cap(daily or []), cap(monthly or []))
    stack = stacks.find(stack_name, state)
    need = model_tier(stack.parameters).worst_case
    for period, window in (("day", new.daily), ("month", new.monthly)):
        if not window.holds(need):
            raise CommandError(
                f"One request can cost {pluralize(need.tokens, 'token')} and {format_usd(need.micro_usd)}, which is "
                f"more than this budget for a {period}: no request would be sent. `titlecard pause {project}` stops a "
                "project."
            )
    ledger, now = stacks.ledger(stack), datetime.now(UTC)
    try:
        old = ledger.account(project, now=now).budget
    except LedgerUnavailable as error:  # somebody has edited the budget by hand; this command repairs it
        say(str(error))
        old = None
    ledger.set_budget(project, new, by="person", now=now)
    catalog = ResultReader(stack).catalog
    for deferred in catalog.deferred_rows_of({project}):
        if code_of(deferred.row.reason) in {Hold.BUDGET_DAY, Hold.BUDGET_MONTH}:
            catalog.make_due(deferred, now=now)
    before = f" (before: {_in_words(old)})" if old else ""
    say(f"{project}: {_in_words(new)}{before}")


@budget.command("show")
def show_budgets(
    *, as_json: options.Json = False, stack_name: options.StackName = None, state: options.State = options.DEFAULT_STATE
) -> None:
    """Show all budgets, and the most that the whole stack can spend.

    `titlecard budget show --stack titlecard`
    """
    ledger, now = stacks.ledger(stacks.find(stack_name, state)), datetime.now(UTC)
    accounts = ledger.accounts()
    errors = {name: it.error for name, it in accounts.items() if isinstance(it, UnreadableAccount)}
    budgets = {name: it.budget for name, it in accounts.items() if isinstance(it, Account) and it.budget}
    lines: list[dict[str, Any]] = []
    for name, it in budgets.items():
        try:
            day, month = ledger.window(name, now)
        except LedgerItemInvalid as invalid:
            errors[name] = str(invalid)
            continue
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
        for line in [*lines, *({"project": name, "trouble": error} for name, error in errors.items()), whole]:
            print_json(line)
        return
    for name, error in errors.items():
        say(f"{name}: {error}.")
    if not lines and not errors:
        say("No project has a budget, so nothing can be spent: `titlecard budget set PROJECT` sets one.")
    if lines:
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
