"""`titlecard budget`, `spend`, `pause`, `resume`, `cancel`, `key`: what projects may spend, what they did, the brakes.

A budget is written as it is said: `--daily 5usd --monthly 50usd --daily 2000000tokens`. Days and months are UTC's.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from getpass import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from titlecard.aws.dynamodb.catalog import Catalog, RowEnd
from titlecard.aws.dynamodb.ledger import EVERY_PROJECT, Account, Breaker, Ledger, LedgerUnavailable, Spent
from titlecard.aws.dynamodb.ledger.items import Part
from titlecard.domain.batch import END_STATES, RowState, project_name
from titlecard.domain.errors import CANCELLED, Hold, Reason
from titlecard.domain.money import Amount, Budget, Window, cap
from titlecard_console import plans
from titlecard_console import stack as where
from titlecard_console.output import format_usd, pluralize
from titlecard_console.questions import confirm
from titlecard_console.stack import CommandError, StackOption, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.ledger import Month
    from titlecard.domain.money import Cap
    from titlecard_console.stack import Stack

LEAKED_AFTER = timedelta(minutes=15)
"""Lambda's longest time-out (Lambda quotas): what was reserved before that and is not settled belonged to a worker that
was killed."""

people = Console(stderr=True, highlight=False)

ProjectName = Annotated[str, typer.Argument(metavar="PROJECT", help="The first folder under uploads/.")]
OneOrAll = Annotated[str | None, typer.Argument(metavar="[PROJECT]", help="The first folder under uploads/.")]
All = Annotated[bool, typer.Option("--all", help="Every project of the stack.")]
Json = Annotated[bool, typer.Option("--json", help="JSON Lines instead of text.")]
Amounts = Annotated[list[str] | None, typer.Option(metavar="AMOUNT", help="5usd, 0.50usd or 2000000tokens; or both.")]


def register(app: typer.Typer) -> None:
    """Put the commands into the application."""
    budget = typer.Typer(help=_BUDGET, no_args_is_help=True, rich_markup_mode=None)
    budget.command("set")(set_budget)
    budget.command("show")(show_budgets)
    app.add_typer(budget, name="budget")
    app.command("spend")(spend)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    key = typer.Typer(help=_KEY, no_args_is_help=True, rich_markup_mode=None)
    key.command("set")(set_key)
    app.add_typer(key, name="key")


_BUDGET = """What projects may spend.

titlecard budget set djangocon --daily 5usd --monthly 50usd

titlecard budget show
"""

_KEY = """The projects' keys for the model.

titlecard key set djangocon --stack titlecard < key.txt
"""


# ------------------------------------------------------------------------------------------------------------ budgets


def set_budget(
    project: ProjectName,
    *,
    daily: Amounts = None,
    monthly: Amounts = None,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Say what a project may spend in a day and in a month; it takes the place of what was said before.

    titlecard budget set djangocon --daily 5usd --monthly 50usd

    titlecard budget set djangocon --monthly 50usd --monthly 20000000tokens --stack titlecard
    """
    budget = Budget(cap(daily or []), cap(monthly or []))
    project_name(project)
    there = where.find(stack, state)
    need = plans.model_tier(there.parameters).worst_case
    for word, window in (("day", budget.daily), ("month", budget.monthly)):
        if not window.holds(need):
            raise CommandError(
                f"One request can cost {pluralize(need.tokens, 'token')} and {format_usd(need.micro_usd)}, more than "
                f"this budget for a {word}, so no request would be sent. `titlecard pause {project}` stops a project."
            )
    ledger, now = ledger_of(there), datetime.now(UTC)
    try:
        before = ledger.account(project, now=now).budget
    except LedgerUnavailable as trouble:  # of a budget that was edited by hand, this is the mending
        people.print(str(trouble), markup=False, soft_wrap=True)
        before = None
    ledger.set_budget(project, budget, by="person", now=now)
    catalog = _catalog(there)
    for message, row in catalog.deferred(now=Window.at(now).next_month):
        if message.project == project and (row.reason or "").startswith((Hold.BUDGET_DAY, Hold.BUDGET_MONTH)):
            catalog.hasten(message, due=row.due or "", now=now)
    said = f" (before: {_said(before)})" if before else ""
    people.print(f"{project}: {_said(budget)}{said}", markup=False, soft_wrap=True)


def show_budgets(*, as_json: Json = False, stack: StackOption = None, state: State = where.STATE) -> None:
    """Show every project's budget, what it was charged, and the most that the whole stack can spend.

    titlecard budget show --stack titlecard
    """
    ledger, now = ledger_of(where.find(stack, state)), datetime.now(UTC)
    accounts = {name: it for name, it in ledger.accounts().items() if it.budget}
    lines = []
    for name, account in accounts.items():
        day, month = ledger.window(name, now)
        lines.append(_budget_line(account, day, month))
    whole: dict[str, Any] = {
        "project": EVERY_PROJECT,
        "day": _whole(it.budget.of_a_day for it in accounts.values() if it.budget),
        "month": _whole(it.budget.of_a_month for it in accounts.values() if it.budget),
    }
    if as_json:
        for line in [*lines, whole]:
            _print(line)
        return
    if not lines:
        people.print("No project has a budget: nothing can be spent. `titlecard budget set PROJECT` gives it one.")
        return
    table = [("project", "today", "of", "this month", "of")]
    table += [
        (it["project"], *(_cap_said(it[word][kind]) for word in ("day", "month") for kind in ("charged", "cap")))
        for it in lines
    ]
    _table(table)
    for word in ("day", "month"):
        typer.echo(f"The whole stack can spend in a {word} at most: {_cap_said(whole[word])}.")


def _budget_line(account: Account, day: Amount, month: Amount) -> dict[str, Any]:
    budget = account.budget
    if budget is None:
        raise AssertionError("asked only of projects that have one")
    return {
        "project": account.project,
        "day": {"charged": _amounts(day), "cap": asdict(budget.daily)},
        "month": {"charged": _amounts(month), "cap": asdict(budget.monthly)},
    }


def _whole(caps: Iterable[Cap]) -> dict[str, int | None]:
    """The sum of caps; None where one of them has no end."""
    parts = list(caps)
    return {
        name: None if any(getattr(it, name) is None for it in parts) else sum(getattr(it, name) for it in parts)
        for name in ("tokens", "micro_usd")
    }


# -------------------------------------------------------------------------------------------------------- the brakes


def pause(
    project: OneOrAll = None, *, every: All = False, stack: StackOption = None, state: State = where.STATE
) -> None:
    """Stop a project's model calls, from the next message on; what comes up waits, and nothing is lost.

    titlecard pause djangocon

    titlecard pause --all --stack titlecard

    Without this program: aws dynamodb update-item --table-name LEDGER --key '{"pk": {"S": "pauses"}, "sk": {"S":
    "PROJECT"}}' --update-expression "SET paused_at = :now" --expression-attribute-values '{":now": {"S": "by hand"}}'
    """
    name = _one_or_all(project, every=every)
    there, now = where.find(stack, state), datetime.now(UTC)
    ledger = ledger_of(there)
    ledger.pause(name, now=now)
    whom, goes = ("All projects are", "--all` lets them") if every else (f"{name} is", f"{name}` lets it")
    people.print(f"{whom} paused; `titlecard resume {goes} go on.", markup=False)
    if every or ledger.account(name, now=now).budget or next(_catalog(there).all_batches(name), None):
        return
    others = [it for it in _projects(there) if it != name]  # looked for behind the brake, which cannot wait
    people.print(f"But there is nothing of {name}: is the name right? {_which(others)}", markup=False)


def resume(
    project: OneOrAll = None, *, every: All = False, stack: StackOption = None, state: State = where.STATE
) -> None:
    """Let a paused project go on, and close its breaker; what waited goes on within a minute or two.

    titlecard resume djangocon

    titlecard resume --all
    """
    name = _one_or_all(project, every=every)
    there, now = where.find(stack, state), datetime.now(UTC)
    ledger, catalog = ledger_of(there), _catalog(there)
    accounts = _stopped(ledger, name, now=now)
    if not every and accounts[name] == Account(name, None, None, Breaker()):
        _check_known(there, name)
    for one in accounts:
        ledger.unpause(one)
        if one != EVERY_PROJECT:
            ledger.close_breaker(one)
    said = [sentence for account in accounts.values() for sentence in _freed(account)]
    waiting = 0
    for message, row in catalog.deferred(now=datetime.max.replace(tzinfo=UTC)):
        reason = (row.reason or "").partition(":")[0]
        if message.project in accounts and reason in _STOPPED:
            waiting += reason == Hold.PAUSED or catalog.hasten(message, due=row.due or "", now=now)
    if not every and accounts[name].all_paused:
        said.append(f"{name} is still paused, with all others: `titlecard resume --all`.")
    elif waiting:
        said.append(f"{pluralize(waiting, 'waiting video goes', 'waiting videos go')} on within a minute or two.")
    for sentence in said or ["No project was stopped." if every else f"{name} was not stopped."]:
        people.print(sentence, markup=False, soft_wrap=True)


def _stopped(ledger: Ledger, name: str, *, now: datetime) -> dict[str, Account]:
    """The project that is meant, or all of them and what stands for all."""
    if name != EVERY_PROJECT:
        return {name: ledger.account(name, now=now)}
    return {EVERY_PROJECT: Account(EVERY_PROJECT, None, None, Breaker())} | ledger.accounts()


def _freed(account: Account) -> Iterator[str]:
    """What ends for a project that goes on."""
    if account.paused_at and not account.all_paused:
        whose = "The pause of all projects" if account.project == EVERY_PROJECT else f"The pause of {account.project}"
        yield f"{whose}, since {account.paused_at[:16]}, is over."
    if account.breaker.open:
        breaker = account.breaker
        yield f"The breaker of {account.project}, open since {breaker.since[:16]}, is closed: {breaker.why}"


_STOPPED = {Hold.PAUSED, Hold.BREAKER_OPEN, Reason.ACCOUNT_FAULT}
"""What videos wait for that a brake or a breaker has stopped."""


def cancel(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="As `titlecard batches` lists it.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Stop a batch for good: nothing more is spent on it, and its remaining videos end as cancelled.

    titlecard cancel pycon-2019-0f3a
    """
    there = where.find(stack, state)
    catalog, now = _catalog(there), datetime.now(UTC)
    try:
        found = catalog.batch(batch)
    except KeyError:
        raise CommandError(f"There is no batch {batch!r}: `titlecard batches` lists them.") from None
    left = max(found.accepted - found.counted(*END_STATES), 0)
    left_said = f"{batch}: {left:,} of {pluralize(found.accepted, 'video')} not ended, or about that."
    people.print(left_said, markup=False, soft_wrap=True)
    if not yes and not confirm(people, "End them as cancelled?"):
        raise typer.Abort
    ledger_of(there).cancel(batch, now=now)  # first: from here on nothing more can be reserved
    if not catalog.cancel(found, now=now):
        raise CommandError(f"{batch} is {found.state} already: there is nothing to cancel.")
    ended = 0
    for message, row in catalog.deferred(now=datetime.max.replace(tzinfo=UTC)):
        if message.batch == batch:
            ending = RowEnd(message, found.upload.order, row.fingerprint, RowState.CANCELLED, reason=CANCELLED)
            ended += catalog.end([ending], now=now)[0] is RowState.CANCELLED
    gone = pluralize(ended, "waiting video has", "waiting videos have")
    said = f"Cancelled: nothing more is spent on it. {gone} ended; queued ones do so in turn."
    people.print(said, markup=False, soft_wrap=True)


# --------------------------------------------------------------------------------------------------------------- keys


def set_key(project: ProjectName, *, stack: StackOption = None, state: State = where.STATE) -> None:
    """Store a project's key for the model in Secrets Manager; it is read from a prompt or from standard input.

    titlecard key set djangocon --stack titlecard < key.txt

    A worker that knows an older one uses it for five minutes more.
    """
    project_name(project)
    there = where.find(stack, state)
    key = (getpass(f"The key of {project}: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise CommandError("That is no key: it is empty, or holds characters that no key has.")
    functions = there.client("lambda")
    configuration = functions.get_function_configuration(FunctionName=there.outputs["ParserFunction"])
    name = f"{configuration['Environment']['Variables']['KEY_SECRET_PREFIX']}{project}"
    secrets = there.client("secretsmanager")
    try:
        secrets.create_secret(Name=name, SecretString=key)
    except secrets.exceptions.ResourceExistsException:
        secrets.put_secret_value(SecretId=name, SecretString=key)
    people.print(f"The key of {project} is stored as {name}.", markup=False)


# -------------------------------------------------------------------------------------------------------------- spend


@dataclass
class _Line:
    """What was charged to something; `talks` are those parsed by each tier, where that is known."""

    name: dict[str, str]
    spent: Spent
    local: int = 0
    model: int = 0
    known: bool = True
    """Whether talks and the parts of the charge are known of it."""

    def facts(self, now: datetime) -> dict[str, Any]:
        """As JSON."""
        facts: dict[str, Any] = {**self.name, "charged": _amounts(self.spent.charged)}
        if self.known:
            leaked = self.spent.reserved_at < (now - LEAKED_AFTER).isoformat(timespec="microseconds")
            facts |= {
                "measured": asdict(self.spent.measured),
                "lost_answers": asdict(self.spent.lost),
                "under_way": asdict(Part() if leaked else self.spent.open),
                "leaked": asdict(self.spent.open if leaked else Part()),
            }
        return facts

    def with_talks(self, now: datetime) -> dict[str, Any]:
        """As JSON, with what a talk costs."""
        talks = self.local + self.model
        return self.facts(now) | {
            "talks": {"local": self.local, "model": self.model},
            "kept_locally": round(self.local / talks, 4) if talks else None,
            "micro_usd_per_talk": -(-self.spent.charged.micro_usd // talks) if talks else None,
        }


def spend(
    project: OneOrAll = None,
    *,
    by: Annotated[str, typer.Option(metavar="day|batch|model", help="Break a project's spending down.")] = "",
    as_json: Json = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Show what was charged: how much of it was measured, and how much are bounds of answers that were lost.

    titlecard spend

    titlecard spend djangocon --by day --json

    Leaked is what workers reserved that were killed: it stays charged, since the request may have been billed.
    """
    if by not in {"", "day", "batch", "model"}:
        raise CommandError(f"--by {by}: write day, batch or model.")
    there, now = where.find(stack, state), datetime.now(UTC)
    ledger, catalog = ledger_of(there), _catalog(there)
    batches = list(catalog.all_batches(project))
    names = [project] if project else _projects(there)
    lines = []
    for name in names:
        months = list(ledger.months(name))
        if project and not batches and not months:
            _check_known(there, project)
        if by == "batch":
            lines += [
                _Line({"project": name, "batch": it.id}, ledger.spending(it.id), *_talks([it.counts])).with_talks(now)
                | {"limit": it.limits.model_dump()}
                for it in batches
                if it.project == name
            ]
        elif by:
            lines += [line.facts(now) for line in _broken_down(name, months, by)]
        else:
            counts = [it.counts for it in batches if it.project == name]
            whole = _Line({"project": name}, _sum(it.spent for it in months), *_talks(counts)).with_talks(now)
            lines.append(whole | _limits(ledger, name, now))
    if as_json:
        for line in lines:
            _print(line)
    elif lines:
        _table(_spend_table(lines))
    else:
        people.print("Nothing was spent.")


def _limits(ledger: Ledger, name: str, now: datetime) -> dict[str, Any]:
    """What a project may spend, and whether it may at all."""
    try:
        account = ledger.account(name, now=now)
    except LedgerUnavailable as trouble:
        return {"trouble": str(trouble)}
    day, month = ledger.window(name, now)
    budget = account.budget
    return {
        "day": {"charged": _amounts(day), "cap": asdict(budget.daily) if budget else None},
        "month": {"charged": _amounts(month), "cap": asdict(budget.monthly) if budget else None},
        "paused_at": account.paused_at,
        "breaker": {"open": account.breaker.open, "since": account.breaker.since, "why": account.breaker.why},
    }


def _broken_down(name: str, months: Sequence[Month], by: str) -> Iterator[_Line]:
    if by == "day":
        for month in months:
            for day, part in month.days.items():
                yield _Line({"project": name, "day": f"{month.name}-{day:02}"}, _of_part(part), known=False)
        return
    models: Counter[str] = Counter()
    sums: dict[str, Part] = {}
    for month in months:
        for model, part in month.models.items():
            before = sums.get(model, Part())
            sums[model] = Part(
                before.requests + part.requests, before.tokens + part.tokens, before.micro_usd + part.micro_usd
            )
            models[model] += part.requests
    for model, _ in models.most_common():
        yield _Line({"project": name, "model": model}, _of_part(sums[model]), known=False)


def _spend_table(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Facts as a table; the columns that the first line has."""
    first = lines[0]
    names = [name for name in ("project", "batch", "day", "model") if isinstance(first.get(name), str)]
    headings = [*names, "requests", "tokens", "charged"]
    parts = [name for name in ("measured", "lost_answers", "under_way", "leaked") if name in first]
    rows: list[tuple[str, ...]] = []
    for line in lines:
        charged = line["charged"]
        cells = [*(line[name] for name in names), f"{charged['requests']:,}", f"{charged['tokens']:,}"]
        cells += [format_usd(charged["micro_usd"]), *(format_usd(line[name]["micro_usd"]) for name in parts)]
        if "talks" in first:
            share, cost = line["kept_locally"], line["micro_usd_per_talk"]
            cells += ["-" if cost is None else format_usd(cost), "-" if share is None else f"{share:.1%}"]
        if "limit" in first:
            cells.append(_cap_said(line["limit"]))
        if "month" in first:
            cells += [_window_said(line, "day"), _window_said(line, "month"), _state_said(line)]
        rows.append(tuple(cells))
    headings += [name.replace("_", " ") for name in parts]
    headings += ["a talk", "kept locally"] * ("talks" in first) + ["limit"] * ("limit" in first)
    headings += ["today", "this month", "state"] * ("month" in first)
    return [tuple(headings), *rows]


def _window_said(line: Mapping[str, Any], word: str) -> str:
    if word not in line:
        return "?"
    window = line[word]
    charged = format_usd(window["charged"]["micro_usd"])
    return f"{charged} of {_cap_said(window['cap'])}" if window["cap"] else charged


def _state_said(line: Mapping[str, Any]) -> str:
    if "trouble" in line:
        return str(line["trouble"])
    if line["breaker"]["open"]:
        return f"breaker open since {line['breaker']['since'][:16]}: {line['breaker']['why']}"
    if line["paused_at"]:
        return f"paused since {line['paused_at'][:16]}"
    return "runs" if line["month"]["cap"] else "no budget: local tier only"


def _talks(counts: Iterable[Mapping[str, int]]) -> tuple[int, int]:
    """How many talks each tier made."""
    local = model = 0
    for one in counts:
        local += one.get("parsed_local", 0)
        model += one.get("parsed_model", 0)
    return local, model


def _sum(parts: Iterable[Spent]) -> Spent:
    total = Spent(Amount(), Part(), Part())
    for it in parts:
        total = Spent(
            total.charged + it.charged,
            _add(total.open, it.open),
            _add(total.lost, it.lost),
            max(total.reserved_at, it.reserved_at),
        )
    return total


def _add(one: Part, other: Part) -> Part:
    return Part(one.requests + other.requests, one.tokens + other.tokens, one.micro_usd + other.micro_usd)


def _of_part(part: Part) -> Spent:
    return Spent(Amount(part.requests, part.tokens, 0, part.micro_usd), Part(), Part())


# ------------------------------------------------------------------------------------------------ what commands share


def ledger_of(there: Stack) -> Ledger:
    """A stack's ledger; one try a call, as everybody's."""
    database = there.resource("dynamodb", retries={"total_max_attempts": 1}, read_timeout=30)
    return Ledger(database.meta.client, there.outputs["LedgerTable"])


def _catalog(there: Stack) -> Catalog:
    return Catalog(there.resource("dynamodb").meta.client, there.outputs["CatalogTable"])


def _one_or_all(project: str | None, *, every: bool) -> str:
    if project is not None and every:
        raise CommandError(f"{project} and --all contradict each other: name a project, or say --all.")
    if project is None and not every:
        raise CommandError("Name a project, or say --all.")
    return EVERY_PROJECT if project is None else project_name(project)


def _projects(there: Stack) -> list[str]:
    """Every project that something is known of: a budget, a brake, a breaker, a batch."""
    batches = {batch.project for batch in _catalog(there).all_batches()}
    return sorted({*ledger_of(there).accounts(), *batches} - {EVERY_PROJECT})


def _check_known(there: Stack, project: str) -> None:
    """Refuse a project that nothing is known of: its name is wrong.

    Raises:
        CommandError: it is one.
    """
    known = _projects(there)
    if project not in known:
        raise CommandError(f"The stack knows no project {project!r}. {_which(known)}")


def _which(projects: Sequence[str]) -> str:
    return f"There are: {', '.join(projects)}." if projects else "There are none yet."


def _amounts(charge: Amount) -> dict[str, int]:
    return {"requests": charge.requests, "tokens": charge.tokens, "micro_usd": charge.micro_usd}


def _said(budget: Budget) -> str:
    parts = [(word, asdict(it)) for word, it in (("a day", budget.daily), ("a month", budget.monthly))]
    return ", ".join(f"{_cap_said(caps)} {word}" for word, caps in parts if any(it is not None for it in caps.values()))


def _cap_said(caps: Mapping[str, int | None]) -> str:
    said = [format_usd(caps["micro_usd"])] if caps["micro_usd"] is not None else []
    said += [pluralize(caps["tokens"], "token")] if caps["tokens"] is not None else []
    return " and ".join(said) or "no limit"


def _print(line: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(line, ensure_ascii=False))


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
