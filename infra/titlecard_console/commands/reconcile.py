"""`titlecard reconcile`: compare the ledger with what OpenAI billed for a project's key."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from titlecard.domain.endpoints import may_be_key
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.output import pluralize, print_json, print_table, say
from titlecard_console.reconcile import ADMIN_KEY, OPENAI, Charged, UsageClient, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from titlecard.aws.dynamodb.ledger import Month
    from titlecard_console.reconcile import Billed, Day

MOST_DAYS = 366

Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--api-key-id", metavar="ID", help="The id (not the secret) of a key of the project; may be repeated."
    ),
]
OpenAIProjects = Annotated[
    list[str] | None,
    typer.Option("--openai-project", metavar="ID", help="All keys of this OpenAI project; may be repeated."),
]


def reconcile(
    project: options.ProjectName,
    *,
    first: Annotated[datetime, typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="The first day.")],
    last: Annotated[
        datetime | None,
        typer.Option("--to", metavar="DATE", formats=["%Y-%m-%d"], help="The last day. Default: today."),
    ] = None,
    keys: Keys = None,
    openai_projects: OpenAIProjects = None,
    url: Annotated[str, typer.Option("--api", metavar="URL", help="The base URL of OpenAI's API.")] = OPENAI,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Compare the ledger with what OpenAI billed, day by day.

    `titlecard reconcile pycon --from 2026-11-01 --api-key-id key_abc123`

    OPENAI_ADMIN_KEY must hold an admin key. Days are in UTC. "unknown" means billed, but not in the ledger: somebody
    else has the key, or other code uses it. An extra request is unknown too, and so is a model that the project was
    never charged for. "never billed" means charged, but not billed by OpenAI: the bound of a lost answer, or usage that
    OpenAI has not counted yet.

    Exit code 3: something is unknown.
    """
    days = _range(first, last)
    client = _client(url, keys or (), openai_projects or ())
    ledger = stacks.ledger(stacks.find(stack_name, state))
    months = list(ledger.months(project))
    if not months and project not in ledger.accounts():
        raise CommandError(f"The ledger knows no project {project!r}: is the name right?")
    billed = client.billed(days[0] - timedelta(days=1), days[1], keys=keys or (), projects=openai_projects or ())
    compared = compare(Charged.of(months), billed, *days)
    by_day = defaultdict(list)
    for one in billed:
        by_day[one.day].append(one)
    if as_json:
        for day in compared:
            print_json(_content(project, day, by_day[day.day]))
    else:
        _print_days(compared)
    _explain(compared, by_day, [month for month in months if _touches(month, days)])
    if any(day.unknown for day in compared):
        raise typer.Exit(ExitCode.UNFINISHED)


def _range(first: datetime, last: datetime | None) -> tuple[date, date]:
    today = datetime.now(UTC).date()
    begin, end = first.date(), last.date() if last else today
    if not begin <= end <= today:
        raise CommandError(
            f"--from {begin} --to {end}: the last day must be today ({today}, UTC) or earlier, and no earlier than "
            "the first."
        )
    if (end - begin).days >= MOST_DAYS:
        raise CommandError(f"From {begin} to {end} is more than {MOST_DAYS} days: choose fewer.")
    return begin, end


def _client(url: str, keys: Sequence[str], projects: Sequence[str]) -> UsageClient:
    admin = os.environ.get(ADMIN_KEY, "").strip()
    if not keys and not projects:
        raise CommandError(
            "Name the project's key: --api-key-id key_... (its id, from https://platform.openai.com/api-keys), "
            "or --openai-project proj_... for all keys of an OpenAI project."
        )
    if any(it.startswith("sk-") for it in (*keys, *projects)):
        raise CommandError(
            "That is a key itself, not its id, and it is in your shell's history now: consider making a new key."
        )
    if not admin:
        raise CommandError(
            f"{ADMIN_KEY} is not set. Make an admin key that may read usage at "
            "https://platform.openai.com/settings/organization/admin-keys; a project's key may not read it."
        )
    if not may_be_key(admin):
        raise CommandError(f"{ADMIN_KEY} is not a key: it has characters that no key has, such as a line break.")
    return UsageClient(admin, url)


def _touches(month: Month, days: tuple[date, date]) -> bool:
    return f"{days[0]:%Y-%m}" <= month.name <= f"{days[1]:%Y-%m}"


def _content(project: str, day: Day, billed: Iterable[Billed]) -> Mapping[str, object]:
    """Return a day as JSON."""
    counts = ("charged", "billed", "late", "unknown", "unbilled")
    return {
        "project": project,
        "day": day.day.isoformat(),
        **{name: _as_map(getattr(day, name)) for name in counts},
        "by_key": [{"api_key_id": one.key, "model": one.model, **_as_map(one.count)} for one in billed],
    }


def _as_map(count: Counter[str]) -> dict[str, int]:
    return {name: count[name] for name in ("requests", "tokens")}


def _print_days(days: Sequence[Day]) -> None:
    headings = ["day"]
    for heading in ("charged", "billed", "unknown", "never billed"):
        headings += ["requests>", f"{heading}>"]
    total = [sum(counts, Counter[str]()) for counts in zip(*map(_counts, days), strict=True)]
    lines = [*((str(day.day), _counts(day)) for day in days), ("all", total)]
    print_table(
        headings,
        [(name, *(f"{number:,}" for count in counts for number in _as_map(count).values())) for name, counts in lines],
    )


def _counts(day: Day) -> list[Counter[str]]:
    return [day.charged, day.billed, day.unknown, day.unbilled]


def _explain(days: Sequence[Day], billed: Mapping[date, Sequence[Billed]], months: Sequence[Month]) -> None:
    """Explain the numbers."""
    unknown, unbilled, late = (
        sum((getattr(day, name) for day in days), Counter[str]()) for name in ("unknown", "unbilled", "late")
    )
    if not any(day.billed for day in days) and any(day.charged for day in days):
        say("OpenAI billed nothing at all: is the id of the key or of the project right?")
    if unknown:
        say(
            f"UNKNOWN: OpenAI billed {pluralize(unknown['requests'], 'request')} and "
            f"{pluralize(unknown['tokens'], 'token')} that the ledger does not know. Somebody else has the key, or "
            "other code uses it: make a new key for Titlecard alone."
        )
    for day in days:
        for one in billed[day.day] if day.unknown else ():
            count = f"{pluralize(one.count['requests'], 'request')}, {pluralize(one.count['tokens'], 'token')}"
            say(f"  {day.day}  {one.key or 'unknown key'}  {one.model or 'unknown model'}  {count}")
    if unbilled:
        lost = pluralize(sum(month.spent.lost.tokens for month in months), "token")
        unsettled = pluralize(sum(month.spent.open.tokens for month in months), "token")
        say(
            f"Charged and never billed: {pluralize(unbilled['tokens'], 'token')}. They stay charged. Of these months' "
            f"charges, {lost} are bounds of lost answers, and {unsettled} are reserved and not settled."
        )
    if late:
        say(f"Probably sent before midnight and billed after it: {pluralize(late['tokens'], 'token')}.")
    if not unknown:
        say("Everything that OpenAI billed is in the ledger.")
