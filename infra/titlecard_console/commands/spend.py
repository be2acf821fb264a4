"""`titlecard spend`: show what projects were charged, by day, by batch and by model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.dynamodb.ledger import Ledger, Spent
from titlecard.aws.errors import LedgerItemInvalid, LedgerUnavailable
from titlecard.domain.money import Amount, Total
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.output import amounts, format_caps, format_usd, print_json, print_table, say
from titlecard_console.projects import check_known, known_projects
from titlecard_console.results import ResultReader
from titlecard_console.status import with_true_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.ledger import Month

KILLED_AFTER = timedelta(minutes=15)
"""Lambda's longest timeout (Lambda quotas). A reservation older than this that is not settled belonged to a worker that
was killed."""


class Breakdown(StrEnum):
    """How to break down a project's spending."""

    DAY = "day"
    BATCH = "batch"
    MODEL = "model"


def spend(
    project: options.ProjectOrAll = None,
    *,
    by: Annotated[Breakdown | None, typer.Option(help="Break each project's spending down.")] = None,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Show what projects were charged, and for what.

    `titlecard spend`

    `titlecard spend djangocon --by day --json`

    "measured" is what the provider counted. "lost answers" are the bounds of requests whose answer was lost. "leaked"
    are the bounds that killed workers reserved and never settled. All of it stays charged, because the provider may
    have billed it.
    """
    stack, now = stacks.find(stack_name, state), datetime.now(UTC)
    ledger = stacks.ledger(stack)
    reader = ResultReader(stack)
    batches = [with_true_counts(reader.catalog, batch) for batch in reader.all_batches(project)]
    lines: list[dict[str, Any]] = []
    for name in [project] if project else known_projects(stack):
        its_batches = [batch for batch in batches if batch.project == name]
        try:
            months = list(ledger.months(name))
            if project and not its_batches and not months:
                check_known(stack, project)
            lines += _lines(ledger, name, months, its_batches, by=by, now=now)
        except LedgerItemInvalid as error:
            lines.append({"project": name, "trouble": str(error)})
    if as_json:
        for content in lines:
            print_json(content)
        return
    for line in lines:
        if "charged" not in line:
            say(f"{line['trouble']}.")
    if charged := [line for line in lines if "charged" in line]:
        print_table(*_table(charged))
    elif not lines:
        say("Nothing was spent.")


def _lines(
    ledger: Ledger, name: str, months: Sequence[Month], batches: Sequence[Batch], *, by: Breakdown | None, now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the lines of one project, broken down as requested."""
    match by:
        case Breakdown.BATCH:
            for batch in batches:
                yield {"project": name, "batch": batch.id} | _of_batch(ledger, batch, now)
        case Breakdown.DAY:
            for month in months:
                for day, part in month.days.items():
                    yield {"project": name, "day": f"{month.name}-{day:02}", "charged": asdict(part)}
        case Breakdown.MODEL:
            for model, part in _by_model(months):
                yield {"project": name, "model": model, "charged": asdict(part)}
        case None:
            spent = sum((month.spent for month in months), Spent(Amount(), Total(), Total()))
            spending = _spending(spent, [batch.counts for batch in batches], now)
            yield {"project": name} | spending | _limits(ledger, name, now)


def _of_batch(ledger: Ledger, batch: Batch, now: datetime) -> dict[str, Any]:
    try:
        spending = _spending(ledger.spending(batch.id), [batch.counts], now)
    except LedgerItemInvalid as error:
        return {"trouble": str(error)}
    return spending | {"limit": batch.limits.as_map()}


def _by_model(months: Sequence[Month]) -> list[tuple[str, Total]]:
    """Return the charges of each model, the one with the most requests first."""
    sums: dict[str, Total] = defaultdict(Total)
    for month in months:
        for model, part in month.models.items():
            sums[model] += part
    return sorted(sums.items(), key=lambda it: -it[1].requests)


def _spending(spent: Spent, counts: Sequence[Mapping[str, int]], now: datetime) -> dict[str, Any]:
    """Return a charge and its parts, and the number and the cost of its talks, from the counts of its batches."""
    leaked = spent.reserved_at < (now - KILLED_AFTER).isoformat(timespec="microseconds")
    local = sum(one.get("parsed_local", 0) + one.get("parsed_given", 0) for one in counts)
    model = sum(one.get("parsed_model", 0) for one in counts)
    talks = local + model
    return {
        "charged": amounts(spent.charged),
        "measured": asdict(spent.measured),
        "lost_answers": asdict(spent.lost),
        "under_way": asdict(Total() if leaked else spent.open),
        "leaked": asdict(spent.open if leaked else Total()),
        "talks": {"local": local, "model": model},
        "kept_locally": round(local / talks, 4) if talks else None,
        "micro_usd_per_talk": -(-spent.charged.micro_usd // talks) if talks else None,
    }


def _limits(ledger: Ledger, name: str, now: datetime) -> dict[str, Any]:
    """Return what a project may spend, and whether it is stopped."""
    try:
        account = ledger.account(name, now=now)
        day, month = ledger.window(name, now)
    except LedgerUnavailable as error:
        return {"trouble": str(error)}
    budget = account.budget
    return {
        "day": {"charged": amounts(day), "cap": asdict(budget.daily) if budget else None},
        "month": {"charged": amounts(month), "cap": asdict(budget.monthly) if budget else None},
        "paused_at": account.paused_at,
        "breaker": {"open": account.breaker.open, "since": account.breaker.since, "why": account.breaker.why},
    }


def _table(lines: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return headings and rows. The first line decides which columns there are, except those of the limits."""
    first = lines[0]
    has_windows = any("month" in line or "trouble" in line for line in lines)  # trouble: its limits cannot be read
    names = [name for name in ("project", "batch", "day", "model") if isinstance(first.get(name), str)]
    headings = [*names, "requests>", "tokens>", "charged>"]
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
            cells.append(format_caps(line["limit"]))
        if has_windows:
            cells += [_window(line, "day"), _window(line, "month"), _state(line)]
        rows.append(tuple(cells))
    headings += [f"{name.replace('_', ' ')}>" for name in parts]
    headings += ["a talk>", "kept locally>"] * ("talks" in first) + ["limit"] * ("limit" in first)
    headings += ["today", "this month", "state"] * has_windows
    return headings, rows


def _window(line: Mapping[str, Any], word: str) -> str:
    if word not in line:
        return "?"
    window = line[word]
    charged, caps = format_usd(window["charged"]["micro_usd"]), window["cap"] or {}
    return charged if set(caps.values()) <= {None} else f"{charged} of {format_caps(caps)}"


def _state(line: Mapping[str, Any]) -> str:
    if "trouble" in line:
        return str(line["trouble"])
    if line["breaker"]["open"]:
        return f"breaker open since {line['breaker']['since'][:16]}: {line['breaker']['why']}"
    if line["paused_at"] is not None:
        return f"paused since {line['paused_at'][:16]}" if line["paused_at"] else "paused"
    return "runs" if line["month"]["cap"] else "no budget: local tier only"
