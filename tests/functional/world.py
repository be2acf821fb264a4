"""A small AWS in this process (moto), a wire to it that a test can cut at any call, and a clock that a test sets.

Tables come from `template.yaml`'s own definitions, and so do the numbers of the code under test. moto's conditional
writes are not thread-safe, so the wire carries one request at a time: these tests cannot prove anything about
concurrency and do not try to.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from titlecard import bootstrap
from titlecard.aws.dynamodb.catalog import Batch, Catalog, stamp
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.aws.s3 import UploadsBucket
from titlecard.aws.sqs import DeadLetterSender, WorkQueue
from titlecard.domain.batch import BatchState, Message, Upload, upload_order
from titlecard.domain.money import Budget, Cap, Total
from titlecard.domain.video import Video
from titlecard.extraction.surveying import survey_batch
from titlecard.pipeline.job import Received
from titlecard.settings import IngestSettings, ParserSettings, SweeperSettings
from titlecard_console.local_cloud.template import load

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from mypy_boto3_sqs import SQSClient
    from pydantic_settings import BaseSettings

    from titlecard.bootstrap import AwsClients
    from titlecard.pipeline.ask import Keys, LanguageModel
    from titlecard.pipeline.ingest import Ingest
    from titlecard.pipeline.parse import Parser
    from titlecard.pipeline.requeue import Requeue

TEMPLATE = load()
NUMBERS = {name: int(value) for name, value in TEMPLATE.values({}).items() if TEMPLATE.parameters[name].number}
TABLES = TEMPLATE.resources("AWS::DynamoDB::Table")
QUEUES = TEMPLATE.resources("AWS::SQS::Queue")
FUNCTIONS = TEMPLATE.resources("AWS::Serverless::Function")
PROJECT = "djangocon"

S = TypeVar("S", bound="BaseSettings")

MODEL = "gpt-6-luna"

_NUMBERS = itertools.count(1)
"""All worlds share one emulated AWS; each has its own names."""


class Killed(BaseException):
    """The process was killed here; no `except` of the product catches it."""


class Cut(StrEnum):
    """The fate of a call to AWS."""

    KILLED_BEFORE = "the process is killed before the call"
    KILLED_AFTER = "the process is killed after the call"
    LOST_REQUEST = "the request is lost once"
    LOST_ANSWER = "the call is done and its answer lost once"
    OUTAGE = "from this call on nothing gets through"
    SILENCE = "from this call on everything is done and no answer comes back"


_ONCE = {Cut.LOST_REQUEST, Cut.LOST_ANSWER}

_KILLED = {Cut.KILLED_BEFORE, Cut.KILLED_AFTER}

_READS = {"BatchGetItem", "GetItem", "GetObject", "GetQueueAttributes", "HeadObject", "Query", "Scan"}
"""Requests that change nothing. A kill before or after one equals a kill before the next write."""


class Wire:
    """The connection from boto3 to moto: it carries one request at a time, counts by name, and cuts on demand."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._lock = threading.RLock()
        self._cut: Cut | None = None
        self._call: str | None = None
        self._besides: Container[str] = ()
        self._left = 0
        self.struck = False

    def cut(self, how: Cut, at: int = 1, call: str | None = None, besides: Container[str] = ()) -> None:
        """Make the `at`-th request from now on (of all, or of this name) fail; `how` decides about those after it.

        If the process is killed, requests that only read do not count, unless `call` names them.

        Args:
            how: the fate of the request.
            at: the number of the request, from 1.
            call: the name of the requests to count; None counts all.
            besides: names of requests that do not count.
        """
        self._cut, self._call, self._left, self.struck = how, call, at, False
        self._besides = _READS if how in _KILLED and call is None else besides

    def mend(self) -> None:
        """Let every request through again."""
        self._cut = None

    @contextlib.contextmanager
    def spared(self) -> Iterator[None]:
        """Exempt the test's own calls: they neither fail nor count."""
        cut, calls = self._cut, self.calls
        self._cut, self.calls = None, []
        yield
        self._cut, self.calls = cut, calls

    def carry(self, operation: str, send: Callable[[], Any]) -> Any:  # noqa: ANN401 -- moto's answer, unchanged
        """Carry one request to moto, or fail it."""
        with self._lock:
            self.calls.append(operation)
            how, first = self._cut, not self.struck
            if how is None or (how in _ONCE and self.struck):
                return send()
            if first:
                self._left -= self._call in {None, operation} and operation not in self._besides
                if self._left:
                    return send()
                self.struck = True
            match how:
                case Cut.KILLED_BEFORE:
                    raise Killed(operation)
                case Cut.KILLED_AFTER:
                    if first:  # a dead process makes no further calls
                        send()
                    raise Killed(operation)
                case Cut.LOST_REQUEST | Cut.OUTAGE:
                    raise ConnectTimeoutError(endpoint_url=operation)
                case Cut.LOST_ANSWER | Cut.SILENCE:
                    send()
                    raise ReadTimeoutError(endpoint_url=operation)


class Clock:
    """The time that the code under test reads."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the current time."""
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def after(self, seconds: float) -> datetime:
        """Return the time this many seconds from now."""
        return self.now + timedelta(seconds=seconds)


class World:
    """The template's tables, queues and bucket, with the product's own objects on them."""

    def __init__(self, clients: AwsClients, wire: Wire) -> None:
        self.wire = wire
        self.parameters: dict[str, str] = {}
        """The template's parameters that a test changes."""
        self.clock = Clock()
        self.invoked: list[dict[str, Any]] = []
        """The payloads with which functions were invoked; no function runs by itself."""
        self.clients = replaced(clients, functions=SimpleNamespace(invoke=self._invoke))
        self.db, self.sqs, self.s3 = clients.catalog, clients.sqs, clients.s3
        suffix = f"-{next(_NUMBERS)}"
        self.names: dict[str, str] = {"SweeperFunction": f"SweeperFunction{suffix}"}
        self._make(suffix)
        self.catalog = Catalog(self.db, self.names["CatalogTable"])
        self.ledger = Ledger(clients.ledger, self.names["LedgerTable"])
        self.queue = WorkQueue(self.sqs, self.names["WorkQueue"])
        self.letters = DeadLetterSender(self.sqs, self.names["WorkDeadLetterQueue"])
        self.uploads = UploadsBucket(self.s3)
        self.ledger.set_budget(PROJECT, BUDGET, by="person", now=self.clock())

    def _invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 -- boto3's
        assert (FunctionName, InvocationType) == (self.names["SweeperFunction"], "Event")
        self.invoked.append(json.loads(Payload))
        return {"StatusCode": 202}

    def edit(self, table: str, pk: str, sk: str, **attributes: object) -> None:
        """Edit an item by hand; `...` removes an attribute."""
        key = {"pk": pk, "sk": sk}
        item = dict(self.db.get_item(TableName=self.names[table], Key=key).get("Item", key))
        changed: dict[str, Any] = {name: it for name, it in (item | attributes).items() if it is not ...}
        self.db.put_item(TableName=self.names[table], Item=changed)

    def _make(self, suffix: str) -> None:
        """Make tables, queues and the bucket in moto's own models: requests would take longer than most tests."""
        tables = dynamodb_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]
        queues = sqs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]
        buckets = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for name, given in TABLES.items():
            self.names[name] = name + suffix
            tables.create_table(
                self.names[name],
                schema=given["KeySchema"],
                throughput=None,
                attr=given["AttributeDefinitions"],
                global_indexes=given.get("GlobalSecondaryIndexes", []),
                indexes=[],
                streams=None,
                billing_mode=given["BillingMode"],
                sse_specification=None,
                tags=[],
                deletion_protection_enabled=False,
                warm_throughput=None,
            )
        for name in QUEUES:
            queues.create_queue(name + suffix)
            self.names[name] = f"https://sqs.us-east-1.amazonaws.com/{DEFAULT_ACCOUNT_ID}/{name}{suffix}"
        self.bucket = self.names["UploadsBucket"] = f"titlecard-uploads{suffix}"
        buckets.create_bucket(self.bucket, "us-east-1")
        buckets.put_bucket_versioning(self.bucket, "Enabled")

    def environment(self, function: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Return a function's environment from the template, with these parameters and this world's resources."""
        values = _values(tuple(parameters.items())) | self.names | {"AWS::StackName": "stack"}
        given = FUNCTIONS[function]["Environment"]["Variables"]
        return {name: _resolved(value, values) for name, value in given.items()}

    # ------------------------------------------------------------------------------------------------- uploads

    def put(
        self,
        content: str | bytes,
        *,
        name: str = "talks.jsonl",
        project: str = PROJECT,
        metadata: dict[str, str] | None = None,
    ) -> Upload:
        """Upload a file, one second after the previous one."""
        self.clock.forward(1)
        key = f"uploads/{project}/{name}"
        body = content.encode() if isinstance(content, str) else content
        put = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata or {})
        return Upload(self.bucket, key, put["VersionId"], upload_order(self.clock().isoformat(), "1"))

    def batch(
        self, *videos: Video, name: str = "talks.jsonl", project: str = PROJECT, limits: Total | None = None
    ) -> tuple[Batch, list[Message]]:
        """Return a batch of these videos whose messages have all been sent and received.

        It is written directly in that state: the way there is tested elsewhere, and takes moto longer than most tests.
        """
        upload = self.put(manifest(videos), name=name, project=project)
        now = stamp(self.clock())
        item: dict[str, Any] = {
            "pk": f"batch#{upload.batch}",
            "sk": "batch",
            **asdict(upload),
            "project": project,
            "state": BatchState.OPEN,
            "limits": (limits or LIMITS).as_map(),
            "form": "JSON Lines",
            "accepted": len(videos),
            "refused": 0,
            "repeated": 0,
            "last_row": len(videos),
            "created_at": now,
            "moved_at": now,
            "agenda": "open",
            "due": now,
        }
        table, surveys = self.names["CatalogTable"], survey_batch(list(enumerate(videos, 1)))
        self.db.put_item(TableName=table, Item=item)
        self.db.put_item(TableName=table, Item={"pk": item["pk"], "sk": "survey", **surveys.stored()})
        messages = [
            Message(batch=upload.batch, project=project, row=number, video=video)
            for number, video in enumerate(videos, 1)
        ]
        return self.catalog.batch(upload.batch), messages

    def settings(self, kind: type[S], function: str, **changed: Any) -> S:  # noqa: ANN401 -- each is of its field's kind
        """Return a function's settings: its environment in the template, with some changed; empty means unset."""
        given = {name.lower(): value for name, value in self.environment(function, self.parameters).items() if value}
        assert changed.keys() <= kind.model_fields.keys()
        return kind(**{name: value for name, value in given.items() if name in kind.model_fields} | changed)

    def ingest(self, *, clients: AwsClients | None = None, limits: Total | None = None) -> Ingest:
        """Return ingest, built as its handler builds it."""
        changed = {f"batch_{name.removesuffix('s')}_limit": it for name, it in (limits or LIMITS).as_map().items()}
        settings = self.settings(IngestSettings, "IngestFunction", **changed)
        return bootstrap.ingest(settings, clients or self.clients, now=self.clock)

    def sweeper(self, *, most: int | None = None, **changed: int) -> Requeue:
        """Return the sweeper, built as its handler builds it; `changed` are settings that differ from the template."""
        changed |= {"sweeper_limit": most} if most else {}
        settings = self.settings(SweeperSettings, "SweeperFunction", **changed)
        return bootstrap.sweeper(settings, self.clients, now=self.clock)

    def parser(
        self,
        model: LanguageModel,
        *,
        keys: Keys | None = None,
        clients: AwsClients | None = None,
        **changed: Any,  # noqa: ANN401 -- each is of its field's kind
    ) -> Parser:
        """Return a parser, built as its handler builds it; `changed` are the settings that differ from the template."""
        settings = self.settings(ParserSettings, "ParserFunction", **{"model": MODEL} | changed)
        keys = keys or KeysOfATest("sk-proj-loopback-0123456789")
        return bootstrap.parser(settings, clients or self.clients, keys=keys, model=model, now=self.clock)

    def stand_still(self, seconds: float, rounds: int = 1, *, losing: bool = False) -> list[dict[str, int]]:
        """Let this much time pass without any other change, and run the sweeper; return what it did in each round.

        Args:
            losing: whether the messages that it sends are lost.
        """
        done = []
        for _ in range(rounds):
            self.clock.forward(seconds)
            done.append(dict(self.sweeper().run()))
            if losing:
                self.sent()
        return done

    # ----------------------------------------------------------------------------------------- what lies where

    def taken(self, queue: str) -> list[dict[str, Any]]:
        """Take everything out of a queue, by its name in the template."""
        url, found = self.names[queue], []
        while messages := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.extend(messages)
        return [dict(message) for message in found]

    def sent(self) -> list[Message]:
        """Take the work queue's messages, in the manifest's order."""
        messages = [Message.model_validate_json(it["Body"]) for it in self.taken("WorkQueue")]
        return sorted(messages, key=lambda message: message.row)

    def dead(self) -> list[tuple[str, str]]:
        """Take the dead letters: body and reason."""
        return [
            (it["Body"], it["MessageAttributes"]["reason"]["StringValue"]) for it in self.taken("WorkDeadLetterQueue")
        ]

    def report(self, upload: Upload) -> dict[str, Any]:
        """Return ingest's report on an upload."""
        report: dict[str, Any] = json.loads(self.uploads.read_report(upload, "report.json"))
        return report


class Refusing:
    """An SQS client that refuses the entries of some rows in a SendMessageBatch, each a number of times."""

    def __init__(self, sqs: SQSClient, *, rows: Container[int], times: int) -> None:
        self.asked: list[int] = []
        self._sqs = sqs
        self._rows = rows
        self._times = times
        self._refused: Counter[int] = Counter()

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """Send the entries of the other rows."""
        self.asked.append(len(Entries))
        failed = [entry for entry in Entries if self._refuses(json.loads(entry["MessageBody"])["row"])]
        if taken := [entry for entry in Entries if entry not in failed]:
            self._sqs.send_message_batch(QueueUrl=QueueUrl, Entries=taken)  # type: ignore[arg-type]  # as they came
        return {"Failed": [{"Id": it["Id"], "Message": "refused by the test"} for it in failed]} if failed else {}

    def _refuses(self, row: int) -> bool:
        if row not in self._rows or self._refused[row] == self._times:
            return False
        self._refused[row] += 1
        return True


class KeysOfATest:
    """The same key for every project, or none."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def of(self, _project: str, *, fresh: bool = False) -> str | None:  # noqa: ARG002 -- as `parser.Keys`
        """Return the key."""
        return self._key


LIMITS = Total(
    requests=NUMBERS["BatchRequestLimit"], tokens=NUMBERS["BatchTokenLimit"], micro_usd=NUMBERS["BatchMicroUsdLimit"]
)
BUDGET = Budget(Cap(10**9, 10**9), Cap(10**10, 10**10))
"""The budget of `PROJECT`, which no test exhausts. No other project has one."""


def replaced(clients: AwsClients, **others: object) -> AwsClients:
    """Return the clients, some of them replaced by a test's own."""
    names = ("catalog", "ledger", "sqs", "s3", "events", "functions")
    there: dict[str, object] = {name: getattr(clients, name) for name in names}
    return cast("AwsClients", SimpleNamespace(**there | others))


@cache
def _values(parameters: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return TEMPLATE.values(dict(parameters))


def _resolved(value: Any, values: Mapping[str, str]) -> str:  # noqa: ANN401 -- a value of the template
    match value:
        case {"Ref": name}:
            return values[name]
        case {"Fn::Sub": text}:
            return str(text).replace("${AWS::StackName}", "stack")
    return str(value)


def manifest(videos: Sequence[Video]) -> str:
    """Write videos as JSON Lines."""
    return "".join(f"{video.model_dump_json(exclude_none=True)}\n" for video in videos)


def videos(number: int, start: str = "v") -> list[Video]:
    """Return this many videos, each with its own talk and speaker."""
    return [
        Video(id=f"{start}{i}", title=f"Talk number {i} by Grace Hopper | PyCon 2019") for i in range(1, number + 1)
    ]


def received(message: Message, receives: int = 1) -> Received:
    """Return a message as SQS delivers it; its id tells its row."""
    return Received(f"message-{message.row}", "receipt", receives, message.model_dump_json())
