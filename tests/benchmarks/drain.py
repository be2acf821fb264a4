"""Sweeps that requeue a million deferred rows and publish a million results, on a table modelled in memory.

    .venv/bin/python -m tests.benchmarks.drain [--rows 1000000] [--publish] [--embedded]

The table makes a row's item on request and remembers only which rows were sent and marked, so the peak memory is the
sweeper's own. Queries return pages of the size that production asks for, or of 1 MB. Every call takes the time in
`LATENCY`; threads mark rows concurrently. A sweep runs each minute and ends at its timeout. At the end every row has
been sent once. Only the processor time depends on this machine.

With `--embedded` both run on the local cloud in real time. 20,000 rows are enough there, because each page of a Query
reads every row.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from array import array
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from tests.benchmarks.cost import PROJECT, Meter
from tests.functional.world import TEMPLATE, Wire, World
from tests.simulation import dynamo
from tests.simulation.expressions import holds, updated

from titlecard import bootstrap
from titlecard.aws.dynamodb.catalog import Catalog
from titlecard.aws.dynamodb.catalog.keys import SHARDS, batch_key, dated_list, row_shard
from titlecard.aws.dynamodb.catalog.results import BatchResults
from titlecard.aws.dynamodb.catalog.rows import packed
from titlecard.aws.dynamodb.catalog.upload_progress import UploadProgressTable
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.aws.dynamodb.values import stamp
from titlecard.domain.batch import Message, RowState
from titlecard.domain.money import Amount, Budget, Cap
from titlecard.domain.video import Video
from titlecard.pipeline.publish import ResultPublisher
from titlecard.pipeline.requeue import MARK_THREADS, TIMEOUT_SECONDS
from titlecard.settings import SweeperSettings
from titlecard.telemetry import logger
from titlecard_console.local_cloud.ministack import MiniStack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from titlecard.aws.dynamodb.catalog import Batch

LATENCY = {"query": 0.010, "batch_get_item": 0.010, "update_item": 0.005 / MARK_THREADS, "send_message_batch": 0.015}
"""The duration of a call by operation, in seconds; other operations take `OTHERS`."""

OTHERS = 0.005
PAGE_BYTES = 1024 * 1024
MINUTE = 60.0
BATCH = "examples-0123456789ab"
MARK = "f" * 32
NEED = Amount(1, 1_500, 400, 388)
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


class Clocked(Meter):
    """Meters calls and advances the modelled clock."""

    lock = Lock()
    seconds = 0.0

    def call(self, service: str, operation: str, apply: Callable[[], Any], **_: Any) -> Any:  # noqa: ANN401 -- any call's
        """Make a call."""
        with self.lock:
            self.calls[f"{service}.{operation}"] += 1
            self.seconds += LATENCY.get(operation, OTHERS)
            return apply()


class Rows:
    """The items of a batch's rows and videos, made on each read."""

    def __init__(self, number: int, batch: str = BATCH, now: datetime = NOW) -> None:
        self.number = number
        self._batch, self._now = batch, now
        self.sent = array("B", bytes(number + 1))
        self.marked = bytearray(number + 1)
        self._lists: dict[str, list[int]] = {}
        for row in range(1, number + 1):
            self._lists.setdefault(dated_list(PROJECT, BATCH, row), []).append(row)
        self._first = dict.fromkeys(self._lists, 0)

    def deferred(self, row: int) -> dict[str, Any]:
        """Return a deferred row that is due."""
        due = stamp(self._now - timedelta(seconds=abs(self.number - row) + 1))
        message = Message(batch=self._batch, project=PROJECT, row=row, video=_video(row))
        return self._key(row) | {
            "state": "deferred", "video": f"v{row}", "fingerprint": MARK, "reason": "rate_limited: later",
            "body": packed(message), "agenda": dated_list(PROJECT, self._batch, row), "due": due, "deferred_at": due,
            "deferrals": Decimal(1), "need": {name: Decimal(it) for name, it in NEED.as_map().items()},
        }  # fmt: skip

    def parsed(self, row: int) -> dict[str, Any]:
        """Return a row that has ended."""
        return self._key(row) | {
            "state": "parsed", "video": f"v{row}", "fingerprint": MARK, "tier": "local", "reason": None,
            "ended_at": stamp(self._now),
        }  # fmt: skip

    def about(self, pk: str, sk: str) -> dict[str, Any] | None:
        """Return the talk of a video, or its pointer."""
        row = int(pk.rpartition("#v")[2])
        if sk == "current":
            return {"pk": pk, "sk": sk, "order": "1", "batch": self._batch, "row": Decimal(row), "fingerprint": MARK}
        if sk == "person":
            return None
        talk = {
            "title": _video(row).title, "presenters": [f"Speaker{row % 977} Surname{row % 1013}"], "tier": "local",
            "confidence": Decimal("0.97"), "model": None, "charged": None, "review": None,
        }  # fmt: skip
        return {"pk": pk, "sk": sk, "talk": talk}

    def due(self, agenda: str, after: int, most: int) -> list[dict[str, Any]]:
        """Yield the unmarked rows of a list that follow a row."""
        rows, found = self._lists.get(agenda, []), list[dict[str, Any]]()
        while self._first.get(agenda, 0) < len(rows) and self.marked[rows[self._first[agenda]]]:
            self._first[agenda] += 1
        for row in rows[self._first.get(agenda, 0) :]:
            if row > after and not self.marked[row]:
                found.append(self.deferred(row))
            if len(found) == most:
                break
        return found

    def mark(self, row: int, request: Mapping[str, Any]) -> None:
        """Apply an update to a row.

        Raises:
            ConditionalCheckFailed: the row is already marked.
        """
        names = request.get("ExpressionAttributeNames", {})
        values = {name: _plain(value) for name, value in request["ExpressionAttributeValues"].items()}
        item = {} if self.marked[row] else self.deferred(row)
        if not holds(request["ConditionExpression"], item, names, values):
            raise dynamo.ConditionalCheckFailed({"Error": {"Code": "ConditionalCheckFailedException"}}, "UpdateItem")
        new, _ = updated(request["UpdateExpression"], item, names, values)
        assert new["state"] == "queued", "it is put back"
        assert self.sent[row], "a row is sent before it is marked"
        self.marked[row] = 1

    def _key(self, row: int) -> dict[str, Any]:
        return {"pk": f"rows#{self._batch}#{row_shard(row):02d}", "sk": f"row#{row:012d}"}


class Database(dynamo.Client):
    """DynamoDB with modelled rows; all other items are the simulation's."""

    rows: Rows

    def update_item(self, *, TableName: str, **request: Any) -> dict[str, Any]:  # noqa: N803, ANN401 -- boto3's
        """UpdateItem."""
        if not request["Key"]["pk"].startswith("rows#"):
            return super().update_item(TableName=TableName, **request)
        row = int(request["Key"]["sk"].removeprefix("row#"))
        self._wire.call("catalog", "update_item", lambda: self.rows.mark(row, request), about="", tries=1)
        return {}

    def query(self, *, TableName: str, ExclusiveStartKey: Any = None, **request: Any) -> dict[str, Any]:  # noqa: N803, ANN401 -- boto3's
        """Query, one page."""
        values = request["ExpressionAttributeValues"]
        agenda, partition = str(values.get(":agenda", "")), str(values.get(":pk", ""))
        if not agenda.startswith("deferred#") and not partition.startswith("rows#"):
            return super().query(TableName=TableName, ExclusiveStartKey=ExclusiveStartKey, **request)
        after = int(ExclusiveStartKey["sk"].removeprefix("row#")) if ExclusiveStartKey else 0

        def page() -> dict[str, Any]:
            if agenda:
                items = self.rows.due(agenda, after, request["Limit"])
                more = len(items) == request["Limit"]
            else:
                items = self._of_shard(max(after, int(values[":first"].removeprefix("row#")) - 1), partition)
                more = bool(items) and items[-1]["row"] + SHARDS <= self.rows.number
            last = {name: items[-1][name] for name in ("pk", "sk")} if more else None
            return {"Items": items, "Count": len(items), **({"LastEvaluatedKey": last} if last else {})}

        return self._wire.call("catalog", "query", page, about="", tries=1)

    def _of_shard(self, after: int, partition: str) -> list[dict[str, Any]]:
        """Return a page of a shard's rows that follow a row."""
        shard, size, items = int(partition.rpartition("#")[2]), 0, list[dict[str, Any]]()
        for row in range(after + 1, self.rows.number + 1):
            if row_shard(row) == shard:
                items.append({**self.rows.parsed(row), "row": row})
                size += 300
            if size > PAGE_BYTES:
                break
        return items

    def batch_get_item(self, *, RequestItems: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """BatchGetItem."""
        ((table, wanted),) = RequestItems.items()
        if not str(wanted["Keys"][0]["pk"]).startswith("video#"):
            return super().batch_get_item(RequestItems=RequestItems)
        found = [self.rows.about(key["pk"], key["sk"]) for key in wanted["Keys"]]
        answer = {"Responses": {table: [it for it in found if it]}, "UnprocessedKeys": {}}
        return self._wire.call("catalog", "batch_get_item", lambda: answer, about="", tries=1)


class Queue:
    """The work queue, which counts how often each row was sent."""

    def __init__(self, wire: Clocked, rows: Rows) -> None:
        self._wire, self._rows = wire, rows
        self.exceptions = SimpleNamespace(ClientError=ClientError)

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803, ARG002 -- boto3's
        """SendMessageBatch."""

        def send() -> dict[str, Any]:
            for entry in Entries:
                self._rows.sent[Message.model_validate_json(entry["MessageBody"]).row] += 1
            return {"Successful": [{"Id": entry["Id"]} for entry in Entries], "Failed": []}

        return self._wire.call("sqs", "send_message_batch", send)  # type: ignore[no-any-return]  # theirs

    def get_queue_attributes(self, *, AttributeNames: tuple[str, ...], **_: Any) -> dict[str, Any]:  # noqa: ANN401, N803 -- boto3's
        """Report an empty queue."""
        return {"Attributes": dict.fromkeys(AttributeNames, "0")}


class Bucket:
    """S3, which counts bytes and keeps none."""

    def __init__(self, wire: Clocked) -> None:
        self._wire = wire
        self.parts = Counter[int]()

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:  # noqa: ANN401 -- boto3's
        """CreateMultipartUpload."""
        return {"UploadId": "one"}

    def upload_part(self, *, PartNumber: int, Body: bytes, **_: Any) -> dict[str, str]:  # noqa: N803, ANN401 -- boto3's
        """UploadPart."""
        self.parts[PartNumber] = len(Body)
        return self._wire.call("s3", "upload_part", lambda: {"ETag": f"e{PartNumber}"})  # type: ignore[no-any-return]  # theirs

    def put_object(self, **_: Any) -> dict[str, str]:  # noqa: ANN401 -- boto3's
        """PutObject."""
        return {}

    complete_multipart_upload = put_object


def main() -> None:
    """Measure and print."""
    logger.setLevel("CRITICAL")
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--publish", action="store_true", help="publish results, and drain nothing")
    options.add_argument("--embedded", action="store_true", help="on the local cloud")
    given = options.parse_args()
    if given.embedded:
        on_the_local_cloud(given.rows)
        return
    rows, wire = Rows(given.rows), Clocked()
    store: Any = dynamo.Store("catalog", "ledger")
    catalog, ledger = (Database(store, wire, name) for name in ("catalog", "ledger"))  # type: ignore[arg-type]  # calm
    catalog.rows = ledger.rows = rows
    limit = 10**9
    item = {
        **batch_key(BATCH), "bucket": "b", "key": f"uploads/{PROJECT}/examples.jsonl", "version": "v1", "order": "1",
        "project": PROJECT, "state": "open", "accepted": Decimal(given.rows), "refused": Decimal(0),
        "repeated": Decimal(0), "limits": {"requests": Decimal(limit), "tokens": Decimal(limit * 10),
        "micro_usd": Decimal(limit * 10)}, "created_at": stamp(NOW), "moved_at": stamp(NOW), "agenda": "open",
        "due": stamp(NOW), "last_row": Decimal(given.rows),
    }  # fmt: skip
    store.put("catalog", {"Item": item})
    Ledger(ledger, "ledger").set_budget(  # type: ignore[arg-type]  # the simulation's
        PROJECT, Budget(Cap(limit * 10), Cap(limit * 10)), by="person", now=NOW
    )
    clients = SimpleNamespace(
        catalog=catalog, ledger=ledger, sqs=Queue(wire, rows), s3=Bucket(wire), events=SimpleNamespace(put_events=_told)
    )
    (publish if given.publish else drain)(clients, rows, wire)


def drain(clients: Any, rows: Rows, wire: Clocked) -> None:  # noqa: ANN401 -- as the composition root takes them
    """Sweep each minute until no row is deferred."""
    settings = SweeperSettings(
        catalog_table="catalog", ledger_table="ledger", work_queue_url="work", work_dead_letter_queue_url="work-dead",
        ingest_queue_url="ingest", ingest_visibility_seconds=5400, sweeper_limit=10_000, audit_after_seconds=3600,
        audit_rounds=3, manifest_max_bytes=1 << 28, manifest_max_ratio=200, row_max_bytes=131_072,
    )  # fmt: skip
    began, cpu, before, longest, sweeps = 0.0, time.process_time(), _peak(), 0.0, 0
    sweeper = bootstrap.sweeper(settings, clients, now=lambda: NOW + timedelta(seconds=wire.seconds))
    while sum(rows.marked) < rows.number:
        began = wire.seconds
        done = sweeper.run(lambda since=began: TIMEOUT_SECONDS - (wire.seconds - since))  # type: ignore[misc]  # no argument
        assert done["put back"], f"a sweep that puts nothing back: {done}"
        longest, sweeps = max(longest, wire.seconds - began), sweeps + 1
        wire.seconds = max(wire.seconds, began + MINUTE)
    assert set(rows.sent[1:]) == {1}, "every row is sent once"
    cpu = time.process_time() - cpu
    print(f"{rows.number:,} due rows: {sweeps} sweeps, the longest {longest:.0f} s of {TIMEOUT_SECONDS:.0f}")
    print(f"drained after {wire.seconds / MINUTE:.0f} minutes of the model; every row was sent once and marked")
    print(f"{cpu / rows.number * 1e6:.0f} us of processor a row, the modelled table's part included")
    print(f"peak memory {_peak():.0f} MiB, {before:.0f} MiB of them before the first sweep")
    print({name: f"{number:,}" for name, number in sorted(wire.calls.items())})


def publish(clients: Any, rows: Rows, wire: Clocked) -> None:  # noqa: ANN401 -- likewise
    """Publish the results, one invocation after another."""
    results, progress = BatchResults(clients.catalog, "catalog"), UploadProgressTable(clients.catalog, "catalog")
    publisher = ResultPublisher(results=results, progress=progress, s3=clients.s3, events=clients.events)
    batch = next(iter(Catalog(clients.catalog, "catalog").open_batches()))
    cpu, before, calls = time.process_time(), _peak(), 0

    def in_time() -> bool:
        return wire.seconds < began + TIMEOUT_SECONDS - MINUTE

    finished = False
    while not finished:
        began, calls = wire.seconds, calls + 1
        finished = publisher.publish(batch, in_time)  # type: ignore[arg-type]  # it can be read
    cpu = time.process_time() - cpu
    sizes = clients.s3.parts
    print(f"{rows.number:,} results in {len(sizes)} parts, {sum(sizes.values()) / 1e6:,.0f} MB, {calls} invocations")
    print(f"{wire.seconds:.0f} s of the model's waiting, {cpu / rows.number * 1e6:.0f} us of processor a row")
    print(f"peak memory {_peak():.0f} MiB, {before:.0f} MiB of them before: {_peak() - before:.0f} MiB for publishing")
    print({name: f"{number:,}" for name, number in sorted(wire.calls.items())})


class LocalCloudWorld(World):
    """A world whose tables, queues and bucket are made by requests, since they are not in this process."""

    def _make(self, suffix: str) -> None:
        for name, given in TEMPLATE.resources("AWS::DynamoDB::Table").items():
            self.names[name] = name + suffix
            wanted = ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode")
            self.db.create_table(TableName=self.names[name], **{it: given[it] for it in wanted if it in given})
        for name in TEMPLATE.resources("AWS::SQS::Queue"):
            self.names[name] = self.sqs.create_queue(QueueName=name + suffix)["QueueUrl"]
        self.bucket = self.names["UploadsBucket"] = f"titlecard-uploads{suffix}"
        self.s3.create_bucket(Bucket=self.bucket)
        versioning: Any = {"Status": "Enabled"}
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration=versioning)


def on_the_local_cloud(number: int) -> None:
    """Put rows back and publish as many results on the local cloud."""
    with tempfile.TemporaryDirectory() as folder:
        stack = MiniStack(Path(folder), Path(folder, "log"), {"PATH": os.environ["PATH"]})
        try:
            where = stack.cloud
            os.environ |= {
                "AWS_ENDPOINT_URL": where.endpoint_url, "AWS_DEFAULT_REGION": where.region,
                "AWS_ACCESS_KEY_ID": where.access_key, "AWS_SECRET_ACCESS_KEY": where.secret_key,
            }  # fmt: skip
            world = LocalCloudWorld(bootstrap.AwsClients(), Wire())
            batch, _ = world.batch(*[_video(row) for row in range(1, number + 1)])
            _drained(world, batch, number)
            _published(world, batch, number)
        finally:
            stack.close()


def _drained(world: World, batch: Batch, number: int) -> None:
    rows = Rows(0, batch.id, world.clock())
    _put(world, (rows.deferred(row) for row in range(1, number + 1)))
    began, sweeps, put_back = time.monotonic(), 0, 0
    while put_back < number:
        done = world.sweeper().run()
        put_back, sweeps = put_back + done["put back"], sweeps + 1
        assert done["put back"], f"a sweep that puts nothing back: {done}"
    seconds = time.monotonic() - began
    attributes = world.sqs.get_queue_attributes(
        QueueUrl=world.names["WorkQueue"], AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]
    assert int(attributes["ApproximateNumberOfMessages"]) == number, attributes
    assert world.catalog.count_rows(batch, RowState.QUEUED) == number
    print(f"local cloud: {number:,} due rows sent and marked, each once, in {sweeps} sweeps and {seconds:.0f} s")


def _published(world: World, batch: Batch, number: int) -> None:
    rows = Rows(0, batch.id, world.clock())
    _put(world, (rows.parsed(row) for row in range(1, number + 1)))
    for sort in ("current", f"fp#{MARK}"):
        about = (rows.about(f"video#{PROJECT}#v{row}", sort) for row in range(1, number + 1))
        _put(world, (item for item in about if item))
    world.catalog.mark_moved(batch.id, now=world.clock())
    world.clock.forward(180)  # the rows were not ended by parsers, so no tally counts them
    began = time.monotonic()
    done = world.sweeper().run()
    assert done["finished"] == 1, done
    print(f"local cloud: {number:,} results published and the batch closed in {time.monotonic() - began:.1f} s")


def _put(world: World, items: Iterator[dict[str, Any]]) -> None:
    table = world.names["CatalogTable"]
    while block := list(islice(items, 25)):
        world.db.transact_write_items(TransactItems=[{"Put": {"TableName": table, "Item": it}} for it in block])


def _plain(value: object) -> object:
    """Return text or a number as DynamoDB returns it."""
    return str(value) if isinstance(value, str) else Decimal(value) if isinstance(value, int) else value


def _told(**_: Any) -> dict[str, Any]:  # noqa: ANN401 -- boto3's
    return {"FailedEntryCount": 0, "Entries": [{}]}


def _peak() -> float:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _video(row: int) -> Video:
    title = f"Speaker{row % 977} Surname{row % 1013} - What we learnt from building part {row} - ExampleConf 2026"
    return Video(id=f"v{row}", title=title, description="A talk about building things, and what comes after. " * 12)


if __name__ == "__main__":
    main()
