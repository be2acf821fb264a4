"""The three handlers, each loaded afresh with its environment from the template."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote_plus

import pytest
from botocore.exceptions import EndpointConnectionError
from tests.functional.conftest import MODEL
from tests.functional.world import LIMITS, NUMBERS, PROJECT, Cut, manifest, videos

from titlecard.aws.s3 import UploadsBucket
from titlecard.aws.sqs import IngestQueue, WorkQueue
from titlecard.domain.batch import BatchState, RowState, Upload, upload_order
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Tier, Video, fingerprint
from titlecard.llm import PROMPT_VERSION
from titlecard_console.installation import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.functional.world import World
    from tests.provider import LoopbackProvider

    from titlecard.domain.batch import Message

    Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}


@dataclass
class Context:
    """An invocation's context; `left` holds the remaining seconds that successive calls return."""

    left: Iterator[float]
    function_name: str = "function"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "request"

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time, as Lambda's context does."""
        return int(next(self.left) * 1000)


def plenty() -> Context:
    return Context(iter(lambda: 90.0, None))


def hardly_any(after: int) -> Context:
    """Return the context of an invocation that is nearly over after `after` calls."""
    return Context(iter([90.0] * after + [1.0] * 1000))


@dataclass
class Handlers:
    """Loads handlers."""

    world: World
    patch: pytest.MonkeyPatch

    def load(self, name: str, **parameters: str) -> Handler:
        """Load `functions/<name>/app.py` as at cold start; parameters are those of the template."""
        for variable, value in self.world.environment(f"{name.title()}Function", parameters).items():
            self.patch.setenv(variable, value)
        spec = importlib.util.spec_from_file_location(f"{name}_app", ROOT / "functions" / name / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        handler: Handler = module.handler
        return handler


@pytest.fixture
def handlers(world: World, monkeypatch: pytest.MonkeyPatch) -> Handlers:
    """Return a loader for the real time, since handlers read the machine's clock."""
    world.clock.now = datetime.now(UTC) - timedelta(
        minutes=1
    )  # the world's uploads move its clock on; they must not be in the future
    return Handlers(world, monkeypatch)


def received(world: World, queue: str) -> dict[str, Any]:
    """Return the messages of a queue as the event that Lambda passes to a handler."""
    found = world.sqs.receive_message(
        QueueUrl=world.names[queue],
        MaxNumberOfMessages=10,
        MessageSystemAttributeNames=["ApproximateReceiveCount"],
    )
    return {
        "Records": [
            {
                "messageId": it["MessageId"],
                "receiptHandle": it["ReceiptHandle"],
                "body": it["Body"],
                "attributes": it["Attributes"],
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{queue}",
                "awsRegion": "us-east-1",
            }
            for it in found.get("Messages", ())
        ]
    }


def notified(world: World, body: dict[str, Any] | str) -> dict[str, Any]:
    """Return an event of the ingest queue."""
    text = body if isinstance(body, str) else json.dumps(body)
    world.sqs.send_message(QueueUrl=world.names["IngestQueue"], MessageBody=text)
    return received(world, "IngestQueue")


def notification(upload: Upload) -> dict[str, Any]:
    """Return S3's notification of an upload."""
    time, sequencer = upload.order.split("#")
    thing = {"key": quote_plus(upload.key, safe="/"), "versionId": upload.version, "sequencer": sequencer.lstrip("0")}
    return {"Records": [{"eventTime": time, "s3": {"bucket": {"name": upload.bucket}, "object": thing}}]}


def queued(world: World, messages: Sequence[Message]) -> dict[str, Any]:
    """Return an event of the work queue."""
    world.queue.send(messages)
    return received(world, "WorkQueue")


@pytest.mark.parametrize("event", [{}, {"key1": "value1"}, {"Records": []}])
@pytest.mark.parametrize("name", ["ingest", "parser"])
def test_an_event_without_records_does_nothing(
    world: World, handlers: Handlers, name: str, event: dict[str, Any]
) -> None:
    handler = handlers.load(name)
    before = len(world.wire.calls)
    assert handler(event, plenty()) == NOTHING_FAILED
    assert len(world.wire.calls) == before


@pytest.mark.parametrize("name", ["ingest", "parser", "sweeper"])
def test_the_template_sets_everything_that_a_handler_needs(handlers: Handlers, name: str) -> None:
    handlers.load(name)


# ------------------------------------------------------------------------------------------------------------- ingest


def test_ingest_makes_messages_of_a_notification(world: World, handlers: Handlers) -> None:
    upload = world.put(manifest(videos(3)))
    handler = handlers.load("ingest")
    assert handler(notified(world, notification(upload)), plenty()) == NOTHING_FAILED
    assert [it.video for it in world.sent()] == videos(3)


@pytest.mark.parametrize("name", ["my talks.jsonl", "ünï+code & more.jsonl", "a/folder/talks.jsonl"])
def test_ingest_reads_a_key_as_s3_writes_it(world: World, handlers: Handlers, name: str) -> None:
    upload = world.put(manifest(videos(1)), name=name)
    handlers.load("ingest")(notified(world, notification(upload)), plenty())
    assert len(world.sent()) == 1


NO_UPLOADS = {
    "s3's test": {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "titlecard-uploads"},
    "an object that was deleted": {"Records": [{"eventName": "ObjectRemoved:Delete", "s3": {}}]},
    "the same through EventBridge": {"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}},
    "a folder's marker": notification(
        Upload("titlecard-uploads", f"uploads/{PROJECT}/", "v1", upload_order("2026", "1"))
    ),
}


def through_sns(body: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-central-1:1:uploads", "Message": json.dumps(body)}


def through_eventbridge(body: dict[str, Any]) -> dict[str, Any]:
    (record,) = body["Records"]
    thing = record["s3"]["object"]
    named = {"key": unquote_plus(thing["key"]), "version-id": thing["versionId"], "sequencer": thing["sequencer"]}
    detail = {"bucket": record["s3"]["bucket"], "object": {**named, "size": 5}}
    return {"source": "aws.s3", "detail-type": "Object Created", "time": record["eventTime"], "detail": detail}


WRAPPINGS = {
    "SNS": through_sns,
    "EventBridge": through_eventbridge,
    "EventBridge and SNS": lambda body: through_sns(through_eventbridge(body)),
    "another queue": lambda body: {"Records": [{"messageId": "1", "body": json.dumps(body)}]},
    "a store that writes s3: before its events": lambda body: {
        "Records": [{**record, "eventName": "s3:ObjectCreated:Put"} for record in body["Records"]]
    },
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_ingest_takes_an_upload_whose_notification_was_passed_on(
    world: World, handlers: Handlers, wrap: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    upload = world.put(manifest(videos(2)), name="100 % Ü+x.jsonl")
    assert handlers.load("ingest")(notified(world, wrap(notification(upload))), plenty()) == NOTHING_FAILED
    assert len(world.sent()) == 2


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"Records": [{"x": 1}]}, {"Records": [{"body": "no JSON"}]}),
        {"Type": "Notification", "Message": "no JSON"},
        {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "detail": {"eventName": "PutObject"}},
    ],
)
def test_ingest_returns_a_message_that_is_not_a_notification(
    world: World, handlers: Handlers, body: dict[str, Any]
) -> None:
    assert handlers.load("ingest")(notified(world, body), plenty()) != NOTHING_FAILED


@pytest.mark.parametrize("body", NO_UPLOADS.values(), ids=NO_UPLOADS)
def test_ingest_ignores_an_event_that_is_not_an_upload(world: World, handlers: Handlers, body: dict[str, Any]) -> None:
    assert handlers.load("ingest")(notified(world, body), plenty()) == NOTHING_FAILED


def test_ingest_leaves_an_upload_that_another_worker_holds_to_a_delayed_copy(
    world: World, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, now = world.put(manifest(videos(3))), datetime.now(UTC)
    world.catalog.open_batch(upload, PROJECT, LIMITS, lease="another's", until=now + timedelta(seconds=200), now=now)
    copies: list[tuple[Upload, dict[str, int]]] = []
    monkeypatch.setattr(IngestQueue, "send_continuation", lambda _, copy, **how: copies.append((copy, how)))
    event = notified(world, {"continue": asdict(upload), "rounds": 3})
    assert handlers.load("ingest")(event, plenty()) == NOTHING_FAILED
    ((copy, how),) = copies
    assert (copy, how["rounds"], world.sent()) == (upload, 3, [])
    assert 150 < how["delay"] <= 201


def test_ingest_takes_the_other_uploads_of_a_message_although_one_fails(
    world: World, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied, other = (world.put(manifest(videos(2)), name=f"{name}.jsonl") for name in "ab")
    fetch = UploadsBucket.fetch

    def fetched(bucket: UploadsBucket, upload: Upload, *how: Any, **more: Any) -> dict[str, str]:  # noqa: ANN401
        if upload == denied:
            raise EndpointConnectionError(endpoint_url="aws")
        return fetch(bucket, upload, *how, **more)

    monkeypatch.setattr(UploadsBucket, "fetch", fetched)
    both = {"Records": [it["Records"][0] for it in map(notification, (denied, other))]}
    assert handlers.load("ingest")(notified(world, both), plenty()) != NOTHING_FAILED
    assert {it.batch for it in world.sent()} == {other.batch}


def test_ingest_waits_three_times_as_long_after_each_failure(
    world: World, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[int] = []
    monkeypatch.setattr(IngestQueue, "change_visibility", lambda _queue, _receipt, seconds: delays.append(seconds))
    handler, event = handlers.load("ingest"), notified(world, "no JSON")
    for receives in (1, 2, 3, 4, 5, 1_000):
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(receives)
        assert handler(event, plenty()) != NOTHING_FAILED
    assert delays == [60, 180, 540, 1_620, 3_600, 3_600]


def test_ingest_returns_a_message_that_it_cannot_decode(world: World, handlers: Handlers) -> None:
    event = notified(world, "no JSON")
    failed = {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert handlers.load("ingest")(event, plenty()) == failed


def test_ingest_sends_itself_a_continuation_when_the_time_is_nearly_up(
    world: World, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titlecard.pipeline.ingest.CHUNKS_IN_FLIGHT", 1)
    upload = world.put(manifest(videos(25)))
    assert handlers.load("ingest")(notified(world, notification(upload)), hardly_any(after=2)) == NOTHING_FAILED
    (body,) = [it["body"] for it in received(world, "IngestQueue")["Records"]]
    assert json.loads(body) == {"continue": asdict(upload), "rounds": 1}


def test_ingest_continues_with_a_continuation(
    world: World, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titlecard.pipeline.ingest.CHUNKS_IN_FLIGHT", 1)
    upload = world.put(manifest(videos(25)))
    handler = handlers.load("ingest")
    handler(notified(world, notification(upload)), hardly_any(after=2))
    assert handler(received(world, "IngestQueue"), plenty()) == NOTHING_FAILED
    assert [it.row for it in world.sent()] == list(range(1, 26))
    assert world.catalog.batch(upload.batch).state is BatchState.OPEN


# ------------------------------------------------------------------------------------------------------------- parser


def test_the_parser_answers_without_a_key(world: World, handlers: Handlers) -> None:
    batch, messages = world.batch(*videos(3))
    assert handlers.load("parser")(queued(world, messages), plenty()) == NOTHING_FAILED
    assert [(it.state, it.tier) for it in world.catalog.rows(batch)] == [(RowState.PARSED, Tier.LOCAL)] * 3


def test_the_parser_asks_the_model_if_there_is_a_key(
    world: World, handlers: Handlers, provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-loopback-0123456789")
    batch, messages = world.batch(*videos(2))
    handler = handlers.load("parser", TierPolicy="model", Model=MODEL, OpenAIBaseUrl=provider.base_url)
    assert handler(queued(world, messages), plenty()) == NOTHING_FAILED
    assert [it.tier for it in world.catalog.rows(batch)] == [Tier.MODEL] * 2
    assert len(provider.posts) == world.ledger.spent(batch.id).requests == 2


@pytest.fixture
def with_key(provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the parameters of a stack that asks the model about everything."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-loopback-0123456789")
    return {"TierPolicy": "model", "Model": MODEL, "OpenAIBaseUrl": provider.base_url}


def test_the_parser_reports_exactly_the_messages_to_redeliver_as_failed(
    world: World, handlers: Handlers, provider: LoopbackProvider, with_key: dict[str, str]
) -> None:
    _, messages = world.batch(*videos(4))
    provider.fail(by_text={"Talk number 2": "server_error", "Talk number 4": "server_error"})
    event = queued(world, messages)
    event["Records"].append(event["Records"][0] | {"messageId": "odd", "body": "no JSON"})
    assert handlers.load("parser", **with_key)(event, plenty()) == ids_of(event, 2, 4)


def test_the_parser_sets_the_delay_of_a_message_if_it_is_known(
    world: World, handlers: Handlers, provider: LoopbackProvider, with_key: dict[str, str]
) -> None:
    _, messages = world.batch(*videos(2))
    provider.fail(by_text={"Talk number 2": "server_error"})
    event = queued(world, messages)
    before = len(world.wire.calls)
    handlers.load("parser", **with_key)(event, plenty())
    assert world.wire.calls[before:].count("ChangeMessageVisibility") == 1


def test_the_parser_leaves_a_message_without_a_known_delay_to_its_queue(
    world: World, handlers: Handlers, with_key: dict[str, str]
) -> None:
    _, (message,) = world.batch(*videos(1))
    mark = fingerprint(message.video, model=MODEL, prompt_version=PROMPT_VERSION)
    lease(world, message, mark)
    event = queued(world, [message])
    before = len(world.wire.calls)
    assert handlers.load("parser", **with_key)(event, plenty()) == ids_of(event, 1)
    assert "ChangeMessageVisibility" not in world.wire.calls[before:]


def test_a_silent_queue_costs_the_parser_one_call_and_no_acknowledgement(
    world: World,
    handlers: Handlers,
    provider: LoopbackProvider,
    with_key: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, messages = world.batch(*videos(2))
    provider.fail(always="server_error")
    calls: list[str] = []

    def silent(_queue: WorkQueue, receipt: str, _seconds: int) -> None:
        calls.append(receipt)
        raise EndpointConnectionError(endpoint_url="sqs")

    monkeypatch.setattr(WorkQueue, "change_visibility", silent)
    event = queued(world, messages)
    assert handlers.load("parser", **with_key)(event, plenty()) == ids_of(event, 1, 2)
    assert len(calls) == 1


def test_no_message_is_acknowledged_while_the_catalog_does_not_answer(world: World, handlers: Handlers) -> None:
    _, messages = world.batch(*videos(2))
    handler, event = handlers.load("parser"), queued(world, messages)
    world.wire.cut(Cut.OUTAGE)
    answer = handler(event, plenty())
    world.wire.mend()
    assert {it["itemIdentifier"] for it in answer["batchItemFailures"]} == {it["messageId"] for it in event["Records"]}


def lease(world: World, message: Message, mark: str) -> None:
    """Claim the message's video for another worker."""
    until = world.clock.after(3600)
    world.catalog.claim(
        message,
        mark,
        token="x",  # noqa: S106 -- no password
        cap=3,
        policy=Policy.AUTO,
        bound=Amount(),
        until=until,
        now=world.clock(),
    )


def ids_of(event: dict[str, Any], *rows: int) -> dict[str, Any]:
    """Return the response that names the messages of these rows as failed."""
    wanted = [it for it in event["Records"] if it["body"].startswith("{") and json.loads(it["body"])["row"] in rows]
    return {"batchItemFailures": [{"itemIdentifier": it["messageId"]} for it in wanted]}


# ------------------------------------------------------------------------------------------------------------- resume


def test_the_sweeper_logs_what_it_did(world: World, handlers: Handlers) -> None:
    _, (message, other) = world.batch(*videos(2))
    for it in (message, other):
        world.catalog.defer(it, "f" * 32, reason="rate_limited", due=world.clock(), now=world.clock())
    assert handlers.load("sweeper")({}, plenty()) == {"put back": 2}
    assert world.sent() == [it.model_copy(update={"deferrals": 1}) for it in (message, other)]


def test_the_sweeper_logs_nothing_if_it_did_nothing(world: World, handlers: Handlers) -> None:
    assert handlers.load("sweeper")({}, plenty()) == {}
    assert world.sent() == []


# ----------------------------------------------------------------------------------------------------- sample events


def sample(name: str) -> dict[str, Any]:
    """Return an event of `events/`."""
    event: dict[str, Any] = json.loads((ROOT / "events" / name).read_text("utf-8"))
    return event


def test_ingest_accepts_the_sample_event_of_an_upload(world: World, handlers: Handlers) -> None:
    upload = world.put(manifest(videos(2)), name="sample.jsonl")
    event = sample("s3-object-created-via-sqs.json")
    body = json.loads(event["Records"][0]["body"])
    body["Records"][0]["s3"]["bucket"]["name"] = upload.bucket
    body["Records"][0]["s3"]["object"]["versionId"] = upload.version
    event["Records"][0]["body"] = json.dumps(body)
    assert handlers.load("ingest")(event, plenty()) == NOTHING_FAILED
    assert [it.video for it in world.sent()] == videos(2)


def test_the_parser_accepts_the_sample_message(world: World, handlers: Handlers) -> None:
    event = sample("work-message.json")
    body = json.loads(event["Records"][0]["body"])
    batch, _ = world.batch(Video.model_validate(body["video"]))
    event["Records"][0]["body"] = json.dumps(body | {"batch": batch.id})
    assert handlers.load("parser")(event, plenty()) == NOTHING_FAILED
    assert [it.state for it in world.catalog.rows(batch)] == [RowState.PARSED]


def test_the_sweeper_accepts_the_sample_event_of_the_schedule(handlers: Handlers) -> None:
    assert handlers.load("sweeper")(sample("sweeper-schedule.json"), plenty()) == {}


# ------------------------------------------------------------------------------------------------ one after the other


def test_an_upload_passes_all_three_handlers(world: World, handlers: Handlers) -> None:
    upload = world.put(manifest(videos(12)))
    handlers.load("ingest")(notified(world, notification(upload)), plenty())
    parser = handlers.load("parser")
    while (event := received(world, "WorkQueue"))["Records"]:
        assert parser(event, plenty()) == NOTHING_FAILED
    assert handlers.load("sweeper")({}, plenty()) == {"finished": 1}
    assert [it.state for it in world.catalog.rows(world.catalog.batch(upload.batch))] == [RowState.PARSED] * 12
    assert NUMBERS["BatchRequestLimit"] == world.catalog.batch(upload.batch).limits.requests
