"""The cost of AWS without the tokens: calls, units and bytes of a video on each path, and dollars for a million.

    .venv/bin/python -m tests.benchmarks.cost [--rows 300]

The production code runs on the simulation's DynamoDB and queues without faults, and the benchmark meters every call as
AWS bills it. A write is billed by the larger of the item before and after, in KB; twice in a transaction; and again for
an item that enters, leaves or changes in the index. A consistent read is billed by 4 KB, with at least one unit for a
missing item (DynamoDB developer guide, "Capacity unit consumption"). An SQS request is billed by 64 KB. The model path
is measured on the first and on the last day of a month, because the ledger's item of the month grows with its days.
`aws_prices.json` holds the prices, their source and their date. The function's time is this machine's processor time,
at 1,769 MB for one core (Lambda developer guide, "Configure Lambda function memory"), plus one second of the provider
for a request. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.simulation import dynamo, queues

from titlecard import bootstrap
from titlecard.aws.dynamodb.catalog import Catalog
from titlecard.aws.dynamodb.catalog.keys import batch_key, survey_key
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.aws.sqs import ENTRIES_PER_SEND
from titlecard.domain.batch import Message
from titlecard.domain.money import Budget, Cap, Measured, PriceList, Total
from titlecard.domain.video import Video
from titlecard.extraction.surveying import take_survey
from titlecard.llm import ModelTier
from titlecard.llm.request import Answer
from titlecard.pipeline.job import Received
from titlecard.settings import ParserSettings, SweeperSettings
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PRICES = json.loads(Path(__file__).with_name("aws_prices.json").read_text(encoding="utf-8"))
MILLION = 1_000_000
KB = 1024
READ_BYTES = 4 * KB
SQS_BYTES = 64 * KB
CORE_MB, FUNCTION_MB = 1_769, 1_024
PROVIDER_SECONDS = 1.0
SQS_CALLS = 3
"""A message is sent, received and deleted; each call takes ten messages."""

MINUTES_A_MONTH = 43_200
UNSURE = 0.22
"""The share of rows that the local tier is not sure of: 762 of 3,404 in the Python set (`titlecard estimate`)."""

FIRST_DAY, LAST_DAY = (datetime(2026, 3, day, 12, 0, tzinfo=UTC) for day in (1, 31))

MODEL, PROJECT = "gpt-6-luna", "djangocon"


def size_of(value: Any) -> int:  # noqa: ANN401 -- a value of DynamoDB
    """Return the size of a value in bytes (DynamoDB developer guide, "DynamoDB item sizes and formats")."""
    if isinstance(value, str | bytes):
        return len(value.encode() if isinstance(value, str) else value)
    if isinstance(value, bool) or value is None:
        return 1
    if isinstance(value, Decimal | int):
        return len(str(value).strip("-0.")) // 2 + 2
    if isinstance(value, dict):
        return 3 + sum(1 + size_of(name) + size_of(inner) for name, inner in value.items())
    return 3 + sum(1 + size_of(inner) for inner in value)


def item_bytes(item: Mapping[str, Any] | None) -> int:
    """Return the size of an item in bytes."""
    return sum(size_of(name) + size_of(value) for name, value in (item or {}).items())


@dataclass
class Meter:
    """Records calls and their bills; also the faultless wire between production code and the simulated services."""

    calls: Counter[str] = field(default_factory=Counter)
    write_units: Counter[str] = field(default_factory=Counter)
    index_units: int = 0
    written: int = 0
    read_units: float = 0
    fates: Counter[str] = field(default_factory=Counter)
    chance: float = 0
    operation: str = ""

    def __post_init__(self) -> None:
        """Set no fault and no delay."""
        worker = SimpleNamespace(unsigned=False, skew=0.0, name="meter")
        self.scheduler: Any = SimpleNamespace(
            now=0.0,
            step=lambda: None,
            sleep=lambda _seconds: None,
            choices=lambda *_: 0,
            current=SimpleNamespace(name="meter", worker=worker, notes=None),
        )
        self.scheduler.choices = type("Calm", (), {"quiet": True, "__call__": lambda *_: 0})()

    def call(self, service: str, operation: str, apply: Callable[[], Any], **_: Any) -> Any:  # noqa: ANN401 -- any call's
        """Make a call and meter it."""
        self.calls[f"{service}.{operation}"] += 1
        self.operation = operation
        answer = apply()
        if operation == "get_item":
            self._read([answer["Item"]] if "Item" in answer else [], 1)
        elif operation == "batch_get_item":
            (items,) = answer["Responses"].values()
            self._read(items, self.asked)
        elif operation == "query":
            self.read_units += (
                max(ceil(sum(map(item_bytes, answer.get("Items", []))) / READ_BYTES), 1) * self.consistent
            )
        return answer

    asked = 0
    consistent = 1.0

    def _read(self, items: Sequence[Mapping[str, Any]], asked: int) -> None:
        self.read_units += sum(ceil(item_bytes(it) / READ_BYTES) for it in items) + asked - len(items)

    def wrote(self, table: str, _key: object, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
        """Meter a write."""
        size = max(item_bytes(old), item_bytes(new))
        times = 2 if self.operation == "transact_write_items" else 1
        self.write_units[table] += ceil(size / KB) * times
        self.written += item_bytes(new)
        listed = [(it.get("agenda"), it.get("due")) if it and "agenda" in it else None for it in (old, new)]
        if listed[0] and listed[1] and listed[0] != listed[1]:
            self.index_units += ceil(item_bytes(old) / KB) + ceil(item_bytes(new) / KB)
        elif any(listed) and old != new:
            self.index_units += ceil(size / KB)

    @property
    def units(self) -> int:
        """All write units."""
        return self.write_units.total() + self.index_units


class Database(dynamo.Client):
    """The simulation's client, which reports the number of requested keys and whether an index is read."""

    meter: Meter

    def batch_get_item(self, *, RequestItems: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """BatchGetItem."""
        self.meter.asked = sum(len(it["Keys"]) for it in RequestItems.values())
        return super().batch_get_item(RequestItems=RequestItems)

    def query(self, *, TableName: str, ExclusiveStartKey: Any = None, **request: Any) -> dict[str, Any]:  # noqa: N803, ANN401 -- boto3's
        """Query, one page."""
        self.meter.consistent = 1.0 if request.get("ConsistentRead") else 0.5
        return super().query(TableName=TableName, ExclusiveStartKey=ExclusiveStartKey, **request)


class Answering(ModelTier):
    """The model tier with a provider that answers what the local tier says."""

    def load(self) -> None:
        """Load nothing, because no provider is asked."""

    def ask(self, request: Any, *, key: str, deadline_seconds: float) -> Answer:  # noqa: ANN401, ARG002 -- as the tier's
        """Answer."""
        return Answer("What we learnt from building a part", ("Ana Lima",), Measured(request.bound))


class Stack:
    """The stack's tables and queue, metered."""

    def __init__(self, rows: int, now: datetime) -> None:
        self.meter = Meter()
        self.now = now
        self.store = dynamo.Store("catalog", "ledger", watch=self.meter.wrote)
        wire: Any = self.meter
        catalog, ledger = (Database(self.store, wire, name) for name in ("catalog", "ledger"))
        catalog.meter = ledger.meter = self.meter
        work = {name: queues.Queue(name, 720, 345_600, lambda _: None) for name in ("work", "work-dead", "ingest")}
        self.work = work["work"]
        self.clients: Any = SimpleNamespace(
            catalog=catalog,
            ledger=ledger,
            sqs=queues.Client(work, wire),
            s3=None,
            events=None,
        )
        self.catalog = Catalog(catalog, "catalog")  # type: ignore[arg-type]  # the simulation's
        self.ledger = Ledger(ledger, "ledger")  # type: ignore[arg-type]  # the simulation's
        self.messages = self._batch(rows)
        self._earlier_days()

    def _batch(self, rows: int) -> list[Message]:
        videos = [_video(number) for number in range(1, rows + 1)]
        batch = "examples-0123456789ab"
        item = {
            **batch_key(batch), "bucket": "b", "key": f"uploads/{PROJECT}/examples.jsonl", "version": "v1",
            "order": "2026-03-31T12:00:00#1", "project": PROJECT, "state": "open", "accepted": Decimal(MILLION),
            "limits": Total(requests=10**6, tokens=10**9, micro_usd=10**9).as_map(),
            "created_at": "2026-03-01T12:00:00.000000+00:00", "moved_at": "2026-03-01T12:00:00.000000+00:00",
            "agenda": "open", "due": "2026-03-31T12:00:00+00:00", "last_row": Decimal(rows),
        }  # fmt: skip
        self.store.put("catalog", {"Item": item})
        self.store.put("catalog", {"Item": {**survey_key(batch), "survey": take_survey(videos).to_json()}})
        self.ledger.set_budget(PROJECT, Budget(Cap(10**9, 10**9), Cap(10**9, 10**9)), by="person", now=self.now)
        return [Message(batch=batch, project=PROJECT, row=n, video=it) for n, it in enumerate(videos, 1)]

    def _earlier_days(self) -> None:
        """Charge something on every earlier day of the month."""
        limits, budget = Total(requests=10**6, tokens=10**9, micro_usd=10**9), Budget(Cap(10**9), Cap(10**9))
        bound = Answering(MODEL, prices=PriceList.packaged(), max_output_tokens=400).worst_case
        for day in range(1, self.now.day):
            when = self.now - timedelta(days=day)
            self.ledger.reserve("old", PROJECT, bound, limits=limits, budget=budget, model=MODEL, now=when)

    def parser(self, policy: str) -> Any:  # noqa: ANN401 -- what the handler makes
        """Return a parser as its handler makes it."""
        settings = ParserSettings(
            catalog_table="catalog", ledger_table="ledger", work_queue_url="work",
            work_dead_letter_queue_url="work-dead", sweeper_function="sweeper", tier_policy=policy, model=MODEL,
            service_tier="default",
            max_output_tokens=400, key_secret_prefix="t/",  # noqa: S106 -- the beginning of names, no secret
            max_receive_count=6, attempt_cap=3, visibility_seconds=720,
            request_deadline_seconds=30, settle_margin_seconds=10, retry_backoff_seconds=60, breaker_threshold=10,
        )  # fmt: skip
        model = Answering(MODEL, prices=PriceList.packaged(), max_output_tokens=400)
        keys = SimpleNamespace(of=lambda _project, *, fresh=False: "sk-none")  # noqa: ARG005 -- as the original's
        return bootstrap.parser(settings, self.clients, keys=keys, model=model, now=lambda: self.now)

    def sweeper(self) -> Any:  # noqa: ANN401 -- what the handler makes
        """Return a sweeper as its handler makes it."""
        settings = SweeperSettings(
            catalog_table="catalog", ledger_table="ledger", work_queue_url="work",
            work_dead_letter_queue_url="work-dead", ingest_queue_url="ingest", ingest_visibility_seconds=5400,
            sweeper_limit=10_000, audit_after_seconds=3600, audit_rounds=3, manifest_max_bytes=1 << 28,
            manifest_max_ratio=200, row_max_bytes=131_072,
        )  # fmt: skip
        return bootstrap.sweeper(settings, self.clients, now=lambda: self.now)


@dataclass(frozen=True)
class PathCost:
    """The cost of a path for one video."""

    name: str
    write_units: float
    read_units: float
    calls: float
    written: float
    sqs_requests: float
    seconds: float

    def usd_per_million(self) -> dict[str, float]:
        """Return dollars for a million videos, by service."""
        price = {name: it["usd_per_million"] for name, it in PRICES["prices"].items()}
        return {
            "DynamoDB": self.write_units * price["write_units"] + self.read_units * price["read_units"],
            "SQS": self.sqs_requests * price["sqs_requests"],
            "Lambda": price["lambda_requests"] / ENTRIES_PER_SEND
            + self.seconds * FUNCTION_MB / 1024 * price["lambda_gb_seconds"],
        }


def measure(name: str, policy: str, rows: int, now: datetime) -> PathCost:
    """Parse rows in invocations of ten, and return their metered cost."""
    stack = Stack(rows, now)
    parser = stack.parser(policy)
    warm, messages = stack.messages[:10], stack.messages[10:]
    parser.work([_received(it) for it in warm], lambda: 90)
    meter = stack.meter
    before = copy(meter)
    before.calls, before.write_units = meter.calls.copy(), meter.write_units.copy()
    began = time.process_time()
    for start in range(0, len(messages), 10):
        parser.work([_received(it) for it in messages[start : start + 10]], lambda: 90)
    spent = time.process_time() - began
    number = len(messages)
    bodies = sum(len(it.model_dump_json().encode()) for it in messages) / number * ENTRIES_PER_SEND
    asked = policy == "model"
    return PathCost(
        name=name,
        write_units=(meter.units - before.units) / number,
        read_units=(meter.read_units - before.read_units) / number,
        calls=(meter.calls - before.calls).total() / number,
        written=(meter.written - before.written) / number,
        sqs_requests=SQS_CALLS * ceil(bodies / SQS_BYTES) / ENTRIES_PER_SEND,
        seconds=spent / number * CORE_MB / FUNCTION_MB + asked * PROVIDER_SECONDS / ENTRIES_PER_SEND,
    )


def measure_sweep(rows: int) -> float:
    """Return the read units of one sweep while this many rows wait for a person."""
    stack = Stack(max(rows, 10), FIRST_DAY)
    now = stack.now
    stack.ledger.pause(PROJECT, now=now)
    for message in stack.messages[:rows]:
        need = Answering(MODEL, prices=PriceList.packaged(), max_output_tokens=400).worst_case
        stack.catalog.defer(message, "f" * 32, reason="paused: by hand", due=None, now=now, need=need)
    sweeper = stack.sweeper()
    before = stack.meter.read_units
    sweeper.run()
    return stack.meter.read_units - before


def main() -> None:
    """Measure and print."""
    logger.setLevel("CRITICAL")
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=510)
    options.add_argument("--waiting", type=int, default=2_000)
    given = options.parse_args()
    paths = [
        measure("local", "local", given.rows, LAST_DAY),
        measure("model, first day", "model", given.rows, FIRST_DAY),
        measure("model, last day", "model", given.rows, LAST_DAY),
    ]
    print(f"prices: {PRICES['region']}, {PRICES['date']}; {given.rows:,} videos on each path\n")
    print("path              write units  read units  calls  bytes written  DynamoDB    SQS  Lambda  AWS, $ a million")
    for path in paths:
        usd = path.usd_per_million()
        print(
            f"{path.name:<17} {path.write_units:>11.2f} {path.read_units:>11.2f} {path.calls:>6.2f}"
            f" {path.written:>14,.0f} {usd['DynamoDB']:>9.2f} {usd['SQS']:>6.2f} {usd['Lambda']:>7.2f}"
            f" {sum(usd.values()):>17.2f}"
        )
    local, *models = (sum(path.usd_per_million().values()) for path in paths)
    mixed = (1 - UNSURE) * local + UNSURE * sum(models) / len(models)
    print(f"mixed   with the local tier, {UNSURE:.0%} asked about: ${mixed:.2f} of AWS a million")
    price = PRICES["prices"]["read_units"]["usd_per_million"]
    for waiting in (0, given.waiting):
        units = measure_sweep(waiting)
        month = units * MINUTES_A_MONTH * price / MILLION
        print(f"idle    {waiting:>6,} rows wait for a person: {units:g} read units a sweep, ${month:.2f} a month")


def _video(number: int) -> Video:
    title = (
        f"Speaker{number % 977} Surname{number % 1013} - What we learnt from building part {number} - ExampleConf 2026"
    )
    return Video(id=f"v{number}", title=title, description="A talk about building things, and what comes after. " * 12)


def _received(message: Message) -> Received:
    return Received(f"m{message.row}", "receipt", 1, message.model_dump_json())


if __name__ == "__main__":
    main()
