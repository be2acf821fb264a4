"""`titlecard spend`: show what projects were charged, by day, by batch and by model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.dynamodb.ledger import Ledger, Spent
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.money import Amount, Total
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.commands.projects import check_known, known_projects
from titlecard_console.output import amounts, format_caps, format_usd, print_json, print_table, say
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Show what projects were charged, and for what.

    `titlecard spend`

    `titlecard spend djangocon --by day --json`

    "measured" is what the provider counted. "lost answers" are the bounds of requests whose answer was lost. "leaked"
    was reserved by workers that were killed. All of it stays charged, because the provider may have billed it.
    """
    there, now = stacks.find(stack, state), datetime.now(UTC)
    ledger = stacks.ledger(there)
    batches = list(ResultReader(there).catalog.all_batches(project))
    lines: list[dict[str, Any]] = []
    for name in [project] if project else known_projects(there):
        months = list(ledger.months(name))
        its_batches = [batch for batch in batches if batch.project == name]
        if project and not its_batches and not months:
            check_known(there, project)
        lines += _project_lines(ledger, name, months, its_batches, by=by, now=now)
    if as_json:
        for content in lines:
            print_json(content)
    elif lines:
        print_table(*_table(lines))
    else:
        say("Nothing was spent.")


@dataclass
class _Line:
    """A line of the output: an amount that was charged, and the number of talks from each tier."""

    name: dict[str, str]
    spent: Spent
    local: int = 0
    model: int = 0
    known: bool = True
    """Whether the number of talks and the parts of the charge are known."""

    def content(self, now: datetime) -> dict[str, Any]:
        """Return the line as JSON."""
        content: dict[str, Any] = {**self.name, "charged": amounts(self.spent.charged)}
        if self.known:
            leaked = self.spent.reserved_at < (now - KILLED_AFTER).isoformat(timespec="microseconds")
            content |= {
                "measured": asdict(self.spent.measured),
                "lost_answers": asdict(self.spent.lost),
                "under_way": asdict(Total() if leaked else self.spent.open),
                "leaked": asdict(self.spent.open if leaked else Total()),
            }
        return content

    def with_talks(self, now: datetime) -> dict[str, Any]:
        """Return the line as JSON, with the number of talks and the cost of a talk."""
        talks = self.local + self.model
        return self.content(now) | {
            "talks": {"local": self.local, "model": self.model},
            "kept_locally": round(self.local / talks, 4) if talks else None,
            "micro_usd_per_talk": -(-self.spent.charged.micro_usd // talks) if talks else None,
        }


def _project_lines(
    ledger: Ledger, name: str, months: Sequence[Month], batches: Sequence[Batch], *, by: Breakdown | None, now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the lines of one project, broken down as requested."""
    match by:
        case Breakdown.BATCH:
            for batch in batches:
                line = _Line({"project": name, "batch": batch.id}, ledger.spending(batch.id), *_talks([batch.counts]))
                yield line.with_talks(now) | {"limit": batch.limits.as_map()}
        case Breakdown.DAY:
            yield from (line.content(now) for line in _by_day(name, months))
        case Breakdown.MODEL:
            yield from (line.content(now) for line in _by_model(name, months))
        case None:
            talks = _talks([batch.counts for batch in batches])
            line = _Line({"project": name}, _sum(month.spent for month in months), *talks)
            yield line.with_talks(now) | _limits(ledger, name, now)


def _limits(ledger: Ledger, name: str, now: datetime) -> dict[str, Any]:
    """Return what a project may spend, and whether it is stopped."""
    try:
        account = ledger.account(name, now=now)
    except LedgerUnavailable as error:
        return {"trouble": str(error)}
    day, month = ledger.window(name, now)
    budget = account.budget
    return {
        "day": {"charged": amounts(day), "cap": asdict(budget.daily) if budget else None},
        "month": {"charged": amounts(month), "cap": asdict(budget.monthly) if budget else None},
        "paused_at": account.paused_at,
        "breaker": {"open": account.breaker.open, "since": account.breaker.since, "why": account.breaker.why},
    }


def _by_day(name: str, months: Sequence[Month]) -> Iterator[_Line]:
    for month in months:
        for day, part in month.days.items():
            yield _Line({"project": name, "day": f"{month.name}-{day:02}"}, _spent(part), known=False)


def _by_model(name: str, months: Sequence[Month]) -> list[_Line]:
    """Return one line for each model, the one with the most requests first."""
    sums: dict[str, Total] = {}
    for month in months:
        for model, part in month.models.items():
            sums[model] = sums.get(model, Total()) + part
    ordered = sorted(sums.items(), key=lambda it: -it[1].requests)
    return [_Line({"project": name, "model": model}, _spent(part), known=False) for model, part in ordered]


def _table(lines: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return headings and rows; the first line decides which columns there are."""
    first = lines[0]
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
        if "month" in first:
            cells += [_window(line, "day"), _window(line, "month"), _state(line)]
        rows.append(tuple(cells))
    headings += [f"{name.replace('_', ' ')}>" for name in parts]
    headings += ["a talk>", "kept locally>"] * ("talks" in first) + ["limit"] * ("limit" in first)
    headings += ["today", "this month", "state"] * ("month" in first)
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


def _talks(counts: Iterable[Mapping[str, int]]) -> tuple[int, int]:
    """Return how many talks the local tier and the model tier made."""
    local = model = 0
    for one in counts:
        local += one.get("parsed_local", 0) + one.get("parsed_given", 0)
        model += one.get("parsed_model", 0)
    return local, model


def _sum(parts: Iterable[Spent]) -> Spent:
    total = Spent(Amount(), Total(), Total())
    for it in parts:
        total = Spent(
            total.charged + it.charged,
            total.open + it.open,
            total.lost + it.lost,
            max(total.reserved_at, it.reserved_at),
        )
    return total


def _spent(part: Total) -> Spent:
    return Spent(Amount(part.requests, part.tokens, 0, part.micro_usd), Total(), Total())
