"""The promises that must hold after a storm, checked from outside: in the tables, queues, bucket and bill."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.chaos.stress import PROJECTS
from tests.simulation.bill import PRICES, Tokens

from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.domain.batch import BatchState, RowState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.stress import Run

    from titlecard.aws.dynamodb.catalog import Row

WAITS_FOR = {"tight": "budget_day", "budgetless": "no_budget"}
"""The reasons for which a project's rows may still wait after the calm."""

MEMORY_GROWTH, MEMORY_SPARE_MB, FILES_SPARE = 1.25, 20.0, 12
"""The most that a footprint may differ from the early one."""


@dataclass(frozen=True)
class Finding:
    """A promise, and the evidence against it, which is empty if it is kept."""

    promise: str
    against: tuple[str, ...]


def judge(run: Run) -> list[Finding]:
    """Check every promise; return the findings in the order of the report."""
    rows = _Rows(run)
    return [
        Finding("every accepted row is parsed, deferred or dead", tuple(run.left)),
        Finding("every row of a finished batch stands in its results once", tuple(rows.published())),
        Finding("every deferred row waits for what its project lacks", tuple(rows.deferred())),
        Finding("every dead row died of what it met, and lies among the dead letters", tuple(rows.dead())),
        Finding("no project is charged less than it was billed", tuple(_billed(run))),
        Finding("no project is charged more than its budget allows", tuple(_charged(run))),
        Finding("nothing is leased any more", tuple(_leases(run))),
        Finding("no function's memory, files or threads have grown", tuple(_growth(run))),
    ]


def table(run: Run) -> str:
    """Format the faults of the run and the outcomes of its rows in Markdown."""
    met = run.storm.met()
    by_kind: Counter[str] = Counter()
    for what, number in met.items():
        by_kind[what.split()[0].replace("_", " ")] += number
    provider = Counter(asked.post.fault for asked in run.provider.asked)
    rows = [row for upload, it in run.uploads if it.accepted for row in run.rows(upload)]
    states = Counter(f"{row.state}" for row in rows)
    deaths = Counter((row.reason or "").partition(":")[0] for row in rows if row.state is RowState.DEAD)
    lines = [
        ("minutes of storm, seconds until all was at rest", f"{run.minutes:g}, {run.settled_after:.0f}"),
        ("uploads, rows accepted", f"{len(run.uploads)}, {sum(it.accepted for _, it in run.uploads):,}"),
        ("rows at the end", ", ".join(f"{number:,} {state}" for state, number in states.most_common())),
        ("reasons of the dead", ", ".join(f"{number:,} {reason}" for reason, number in deaths.most_common())),
        ("processes killed from outside", ", ".join(f"{number} {name}" for name, number in run.killed.items())),
        *((f"calls to AWS: {kind}", f"{number:,}") for kind, number in by_kind.most_common()),
        ("requests to the provider, of them failed", f"{provider.total():,}, {provider.total() - provider['ok']:,}"),
        ("kinds of failures of the provider", f"{len(provider) - 1}"),
        ("time-outs of the functions", f"{run.timed_out():,}"),
        ("outages of the provider", f"{run.provider.outages}"),
        ("runs of the sweeper that were answered", f"{run.swept:,}"),
    ]
    return "\n".join(["| what | how much |", "| --- | --- |", *(f"| {what} | {much} |" for what, much in lines)])


class _Rows:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._faults: dict[str, set[str]] = defaultdict(set)
        for asked in run.provider.asked:
            self._faults[asked.title].add(asked.post.fault)

    def published(self) -> Iterator[str]:
        s3 = self._run.stack.cloud.client("s3")
        for upload, content in self._run.uploads:
            batch = self._run.stack.batch(upload)
            if batch is None or batch.state is not BatchState.FINISHED:
                continue
            key = f"results/{batch.project}/{batch.id}.jsonl"
            lines = s3.get_object(Bucket=upload.bucket, Key=key)["Body"].read().splitlines()
            ids = Counter(json.loads(line)["id"] for line in lines)
            if len(ids) != content.accepted or set(ids.values()) - {1}:
                yield f"{key}: {len(lines)} lines about {len(ids)} of {content.accepted} videos"

    def deferred(self) -> Iterator[str]:
        for project, row in self._in(RowState.DEFERRED):
            if (row.reason or "").partition(":")[0] != WAITS_FOR.get(project):
                yield f"{project} row {row.number}: {row.reason}"

    def dead(self) -> Iterator[str]:
        letters = {(it["batch"], it["row"]) for it in self._letters()}
        killed = self._run.killed["ParserFunction"] + self._run.timed_out()
        killed += sum(number for what, number in self._run.storm.met().items() if what.startswith("killed"))
        for upload, content in self._run.uploads:
            for row in self._run.rows(upload) if content.accepted else ():
                if row.state is not RowState.DEAD:
                    continue
                if (upload.batch, row.number) not in letters:
                    yield f"{upload.key} row {row.number} is not among the dead letters"
                crashed = (row.reason or "").startswith(("receives_used_up", "never_answered"))
                if not (killed if crashed else self._has_failed(row.video)):
                    yield f"{upload.key} row {row.number} died of nothing that it met: {row.reason}"

    def _has_failed(self, video: str) -> bool:
        """Return whether the provider failed a request about a video; titles end with the video's two numbers."""
        number, _, row = video.removeprefix("c").partition("-")
        ending = f"part {int(number)}.{int(row)}"
        return any(faults - {"ok"} for title, faults in self._faults.items() if title.endswith(ending))

    def _in(self, state: RowState) -> Iterator[tuple[str, Row]]:
        for upload, content in self._run.uploads:
            for row in self._run.rows(upload) if content.accepted else ():
                if row.state is state:
                    yield upload.key.split("/")[1], row

    def _letters(self) -> Iterator[dict[str, Any]]:
        for letter in self._run.stack.dead_letters():
            yield json.loads(letter.body)


def _months(run: Run, project: str) -> Iterator[dict[str, Any]]:
    for item in _items(run, "LedgerTable"):
        if item["pk"] == f"project#{project}" and str(item["sk"]).startswith("month#"):
            yield item


def _billed(run: Run) -> Iterator[str]:
    for project in PROJECTS:
        billed: Counter[str] = Counter()
        cost = Fraction(0)
        for asked in run.provider.asked:
            if asked.project == project:
                post = asked.post
                bill = Tokens(post.input_tokens, post.output_tokens).bill(
                    PRICES.get(post.service_tier, PRICES["default"])
                )
                billed["input_tokens"] += bill.input_tokens
                billed["output_tokens"] += bill.output_tokens
                cost += bill.micro_usd
        billed["micro_usd"] = math.ceil(cost)
        for name, number in billed.items():
            charged = sum(int(item.get(name, 0)) for item in _months(run, project))
            if charged < number:
                yield f"{project}: {number:,} {name} billed, {charged:,} charged"


def _charged(run: Run) -> Iterator[str]:
    for project, budget in PROJECTS.items():
        for item in _months(run, project):
            for name, charged in item.items():
                part = name[4:] if name[:1] == "d" and name[1:3].isdigit() else name
                limits = {} if budget is None else (budget.monthly if part == name else budget.daily).as_map()
                limit = 0 if budget is None and part in {"tokens", "micro_usd"} else limits.get(part)
                if limit is not None and int(charged) > limit:
                    yield f"{project}: {name} is {charged}, its limit {limit}"


def _leases(run: Run) -> Iterator[str]:
    now = datetime.now(UTC).isoformat()
    for item in _items(run, "CatalogTable"):
        if str(item.get("lease_until", "")) > now:
            yield f"{item['pk']} {item['sk']} until {item['lease_until']}"


def _items(run: Run, table: str) -> Iterator[dict[str, Any]]:
    pages = convert_values(run.stack.cloud.client("dynamodb")).get_paginator("scan")
    for page in pages.paginate(TableName=run.stack.outputs[table], ConsistentRead=True):
        yield from page["Items"]


def _growth(run: Run) -> Iterator[str]:
    early, late = run.early, run.late
    if early is None or late is None:
        yield "the footprint was not taken"
        return
    if late.memory_mb > early.memory_mb * MEMORY_GROWTH + MEMORY_SPARE_MB:
        yield f"memory: {early.memory_mb:.0f} MB, then {late.memory_mb:.0f} MB"
    for name in ("open_files", "threads"):
        if getattr(late, name) > getattr(early, name) + FILES_SPARE:
            yield f"{name}: {getattr(early, name)}, then {getattr(late, name)}"
