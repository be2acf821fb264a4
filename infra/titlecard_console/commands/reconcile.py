"""`titlecard reconcile`: the ledger held against what OpenAI billed for a project's key."""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.domain.batch import project_name
from titlecard_console import stack as where
from titlecard_console.output import pluralize
from titlecard_console.reconcile import ADMIN_KEY, OPENAI, Charged, Count, UsageClient, compare
from titlecard_console.stack import CommandError, StackOption, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from titlecard.aws.dynamodb.ledger import Month
    from titlecard_console.reconcile import Billed, Day

UNKNOWN = 3
"""The exit code, as the application's, where something is billed that the ledger does not know."""

MOST_DAYS = 366

WIDE = 1000
"""Of a table that no terminal shows, in characters: nothing of it is cut."""

data = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
people = Console(stderr=True, highlight=False)

Keys = Annotated[
    list[str] | None,
    typer.Option("--api-key-id", metavar="ID", help="The id (not the secret) of the project's key; may be repeated."),
]
OpenAIProjects = Annotated[
    list[str] | None,
    typer.Option("--openai-project", metavar="ID", help="Instead: every key of this project of OpenAI's; likewise."),
]


def register(app: typer.Typer) -> None:
    """Put the command into the application."""
    app.command()(reconcile)


def reconcile(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="The folder under uploads/.")],
    *,
    first: Annotated[datetime, typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="The first day.")],
    last: Annotated[
        datetime | None,
        typer.Option("--to", metavar="DATE", formats=["%Y-%m-%d"], help="The last day; today if left out."),
    ] = None,
    keys: Keys = None,
    openai_projects: OpenAIProjects = None,
    url: Annotated[str, typer.Option("--api", metavar="URL", help="The base of the usage API.")] = OPENAI,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines, one object a day, instead of text.")] = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Hold the ledger against what OpenAI billed, day by day (UTC).

    titlecard reconcile pycon --from 2026-11-01 --api-key-id key_abc123

    It takes an admin key from OPENAI_ADMIN_KEY. unknown is billed, and the ledger does not know it: a key that leaked,
    or somebody else's code. Requests count as much as tokens, and so does a model that the project was never charged
    for. "never billed" is charged, and OpenAI did not bill it: bounds of lost answers, or what OpenAI has not counted
    yet.

    Exit code 3: something is unknown.
    """
    days = _range(first, last)
    api = _api(url, keys or (), openai_projects or ())
    there = where.find(stack, state)
    ledger = Ledger(there.resource("dynamodb").meta.client, there.outputs["LedgerTable"])
    months = list(ledger.months(project_name(project)))
    if not months and project not in ledger.accounts():
        raise CommandError(f"The ledger knows no project {project!r}: is the name right?")
    billed = api.billed(days[0] - timedelta(days=1), days[1], keys=keys or (), projects=openai_projects or ())
    compared = compare(Charged.of(months), billed, *days)
    by_day = defaultdict(list)
    for one in billed:
        by_day[one.day].append(one)
    if as_json:
        for day in compared:
            data.print(json.dumps(_facts(project, day, by_day[day.day])), markup=False, soft_wrap=True)
    else:
        data.print(_table(compared))
    _tell(compared, by_day, [month for month in months if _touches(month, days)])
    if any(day.unknown for day in compared):
        raise typer.Exit(UNKNOWN)


def _range(first: datetime, last: datetime | None) -> tuple[date, date]:
    today = datetime.now(UTC).date()
    begin, end = first.date(), last.date() if last else today
    if not begin <= end <= today:
        raise CommandError(
            f"From {begin} to {end} is no time that has been: it must end today ({today}, UTC) or before."
        )
    if (end - begin).days >= MOST_DAYS:
        raise CommandError(f"From {begin} to {end} is more than {MOST_DAYS} days: ask for less.")
    return begin, end


def _api(url: str, keys: Sequence[str], projects: Sequence[str]) -> UsageClient:
    admin = os.environ.get(ADMIN_KEY, "").strip()
    if not keys and not projects:
        raise CommandError(
            "Which key is the project's? --api-key-id key_... (its id, from https://platform.openai.com/api-keys), or "
            "--openai-project proj_... for every key of a project of OpenAI's."
        )
    if any(it.startswith("sk-") for it in (*keys, *projects)):
        raise CommandError(
            "That is a key itself, and it stands in your shell's history now: consider a new one. Its id is wanted."
        )
    if not admin:
        raise CommandError(
            f"{ADMIN_KEY} is not set. Make an admin key that may read usage at "
            "https://platform.openai.com/settings/organization/admin-keys; the projects' keys cannot."
        )
    return UsageClient(admin, url)


def _touches(month: Month, days: tuple[date, date]) -> bool:
    return f"{days[0]:%Y-%m}" <= month.name <= f"{days[1]:%Y-%m}"


def _facts(project: str, day: Day, billed: Iterable[Billed]) -> Mapping[str, object]:
    """A line of JSON."""
    counts = ("charged", "billed", "late", "unknown", "unbilled")
    return {
        "project": project,
        "day": day.day.isoformat(),
        **{name: asdict(getattr(day, name)) for name in counts},
        "by_key": [{"api_key_id": one.key, "model": one.model, **asdict(one.count)} for one in billed],
    }


def _table(days: Sequence[Day]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("day", no_wrap=True)
    for heading in ("charged", "billed", "unknown", "never billed"):
        table.add_column("requests", justify="right", no_wrap=True)
        table.add_column(heading, justify="right", no_wrap=True)
    total = [sum((count for count in counts), Count()) for counts in zip(*map(_counts, days), strict=True)]
    for name, counts in [*((str(day.day), _counts(day)) for day in days), ("all", total)]:
        table.add_row(name, *(f"{number:,}" for count in counts for number in (count.requests, count.tokens)))
    return table


def _counts(day: Day) -> list[Count]:
    return [day.charged, day.billed, day.unknown, day.unbilled]


def _tell(days: Sequence[Day], billed: Mapping[date, Sequence[Billed]], months: Sequence[Month]) -> None:
    """What the numbers mean, for people."""
    unknown, unbilled, late = (
        sum((getattr(day, name) for day in days), Count()) for name in ("unknown", "unbilled", "late")
    )
    if not any(day.billed for day in days) and any(day.charged for day in days):
        _say("OpenAI billed nothing at all: is the id of the key, or of the project, right?")
    if unknown:
        _say(
            f"UNKNOWN: OpenAI billed {pluralize(unknown.requests, 'request')} and {pluralize(unknown.tokens, 'token')} "
            "that the ledger does not know. The key has leaked, or other code than Titlecard uses it: make a "
            "new key for Titlecard alone."
        )
    for day in days:
        for one in billed[day.day] if day.unknown else ():
            count = f"{pluralize(one.count.requests, 'request')}, {pluralize(one.count.tokens, 'token')}"
            _say(f"  {day.day}  {one.key or 'some key'}  {one.model or 'some model'}  {count}")
    if unbilled:
        lost = pluralize(sum(month.spent.lost.tokens for month in months), "token")
        unsettled = pluralize(sum(month.spent.open.tokens for month in months), "token")
        _say(
            f"Charged and never billed: {pluralize(unbilled.tokens, 'token')}. That stays charged. The ledger holds "
            f"bounds of lost answers of {lost} in these months, and {unsettled} that are reserved and not settled."
        )
    if late:
        _say(f"Sent before midnight and billed after it, as it seems: {pluralize(late.tokens, 'token')}.")
    if not unknown:
        _say("Everything that OpenAI billed is in the ledger.")


def _say(sentence: str) -> None:
    people.print(sentence, markup=False, soft_wrap=True)
