"""The sweeper: it requeues deferred rows when they are due, and audits stalled batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from tests.functional.finished import talk
from tests.functional.world import LIMITS, NUMBERS, Cut, Killed, World, manifest, received, videos

from titlecard.aws.dynamodb.catalog import Catalog, RowEnd
from titlecard.aws.dynamodb.catalog.keys import batch_key, row_key, video_record_key
from titlecard.aws.dynamodb.catalog.results import BatchResults
from titlecard.aws.errors import CatalogBusy, MessagesNotSent
from titlecard.aws.sqs import WorkQueue
from titlecard.domain.batch import BatchState, Message, RowState
from titlecard.domain.money import Amount
from titlecard.pipeline.lease import LEASE
from titlecard.pipeline.outcome_types import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.functional.world import Wire
    from tests.provider import LoopbackProvider

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.bootstrap import AwsClients
    from titlecard.llm import ModelTier

MARK = "f" * 32
STILL = NUMBERS["AuditAfterSeconds"] + 1
ROUNDS = NUMBERS["AuditRounds"]

TROUBLE = [
    CatalogBusy("throttled"),
    MessagesNotSent("refused"),
    EndpointConnectionError(endpoint_url="aws"),
    ClientError({"Error": {"Code": "InternalError", "Message": "no"}}, "AnyCall"),
]
"""What a table or a queue that does not answer raises."""


def ingested(world: World, rows: int = 3, prefix: str = "v") -> tuple[Batch, list[Message]]:
    """Make a batch as ingest leaves it, with its messages taken out of the queue."""
    upload = world.put(manifest(videos(rows, prefix)))
    world.ingest().take(upload, lambda: 900)
    return world.catalog.batch(upload.batch), world.sent()


def end(world: World, messages: Sequence[Message], state: RowState = RowState.PARSED) -> None:
    """End rows, and count them."""
    batch = world.catalog.batch(messages[0].batch)
    world.catalog.end_and_count([RowEnd(it, batch.upload.order, MARK, state) for it in messages], now=world.clock())


def defer(world: World, message: Message, seconds: float | None) -> None:
    due = None if seconds is None else world.clock.after(seconds)
    world.catalog.defer(message, MARK, reason="rate_limited: later", due=due, now=world.clock())


def state(world: World, message: Message) -> RowState | None:
    return world.catalog.look_up([(message, MARK)])[0].row


def sent_again(world: World) -> list[Message]:
    """Return the messages in the queue as they were before their rows were deferred."""
    return [it.model_copy(update={"deferrals": 0}) for it in world.sent()]


# ---------------------------------------------------------------------------------------------------------- requeued


def test_a_due_row_is_sent_and_queued(world: World) -> None:
    _, (message, *_) = ingested(world)
    defer(world, message, 60)
    world.clock.forward(61)
    assert world.sweeper().run() == {"put back": 1}
    assert (sent_again(world), state(world, message)) == ([message], RowState.QUEUED)


def test_a_row_that_is_not_due_stays(world: World) -> None:
    _, (message, *_) = ingested(world)
    defer(world, message, 60)
    world.clock.forward(59)
    assert world.sweeper().run() == {}
    assert (world.sent(), state(world, message)) == ([], RowState.DEFERRED)


def test_a_row_that_waits_for_a_person_stays(world: World) -> None:
    _, messages = ingested(world)
    for message in messages:
        defer(world, message, None)
    assert world.stand_still(STILL, ROUNDS + 2) == [{}] * (ROUNDS + 2)
    assert world.sent() == []


def test_a_requeued_row_is_not_requeued_again(world: World) -> None:
    _, (message, *_) = ingested(world)
    defer(world, message, 60)
    world.clock.forward(61)
    world.sweeper().run()
    assert world.sweeper().run() == {}
    assert len(world.sent()) == 1


def test_one_call_requeues_the_oldest_rows_up_to_its_limit(world: World) -> None:
    _, messages = ingested(world)
    for message, seconds in zip(messages, (30, 10, 20), strict=True):
        defer(world, message, seconds)
    world.clock.forward(60)
    world.sweeper(most=2).run()
    assert [it.row for it in world.sent()] == [2, 3]


@pytest.mark.parametrize(("left", "stop"), [(300, 60), (40, 10)])
def test_a_sweep_stops_a_minute_or_a_quarter_before_its_time_is_up(world: World, left: float, stop: float) -> None:
    _, messages = world.batch(*videos(25))
    for message in messages:
        defer(world, message, 60)
    world.clock.forward(61)
    done = world.sweeper().run(lambda: stop if "SendMessageBatch" in world.wire.calls else left)
    assert done == {"put back": 11}  # the first ten, and the one that was read before they were sent


def test_a_sweep_whose_lease_is_over_sends_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, messages = world.batch(*videos(25))
    for message in messages:
        defer(world, message, 60)
    world.clock.forward(61)
    send = WorkQueue.send

    def slow(queue: WorkQueue, chunk: Sequence[Message]) -> None:
        send(queue, chunk)
        world.clock.forward(LEASE.total_seconds())

    monkeypatch.setattr(WorkQueue, "send", slow)
    assert world.sweeper().run() == {"put back": 11}


def test_an_unreadable_row_does_not_delay_others_and_is_read_again_a_day_later(world: World) -> None:
    batch, messages = world.batch(*videos(2))
    for message in messages:
        defer(world, message, 60)
    world.db.update_item(
        TableName=world.names["CatalogTable"],
        Key=row_key(batch.id, 1),
        UpdateExpression="SET body = :b",
        ExpressionAttributeValues={":b": "{"},
    )
    world.clock.forward(61)
    assert world.sweeper().run() == {"put back": 1, "unreadable": 1}
    end(world, messages[1:])
    world.clock.forward(86_399)
    assert world.sweeper().run()["unreadable"] == 0
    world.clock.forward(1)
    assert world.sweeper().run()["unreadable"] == 1


@pytest.mark.parametrize("broken", ["unreadable", "deleted"])
def test_a_due_row_of_an_unreadable_batch_does_not_delay_others(world: World, broken: str) -> None:
    bad, (lost,) = world.batch(*videos(1, "bad"), name="bad.jsonl")
    _, (message,) = world.batch(*videos(1))
    for it in (lost, message):
        defer(world, it, 60)
    table, key = world.names["CatalogTable"], {"pk": f"batch#{bad.id}", "sk": "batch"}
    if broken == "deleted":
        world.db.delete_item(TableName=table, Key=key)
    else:
        change: dict[str, Any] = {"UpdateExpression": "SET accepted = :a", "ExpressionAttributeValues": {":a": "many"}}
        world.db.update_item(TableName=table, Key=key, **change)
    world.clock.forward(61)
    done = world.sweeper().run()
    assert (done["put back"], done["unreadable"]) == (1, 1)
    assert [it.row for it in sent_again(world)] == [1]
    assert state(world, lost) is RowState.DEFERRED


@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: type(trouble).__name__)
def test_a_queue_or_a_table_that_does_not_answer_does_not_stop_the_audit(
    world: World, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    _, over = world.batch(*videos(1, "over"), name="over.jsonl")
    end(world, over)
    _, (message,) = world.batch(*videos(1))
    defer(world, message, 60)
    world.clock.forward(61)

    def unanswered(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(WorkQueue, "send", unanswered)
    assert world.sweeper().run() == {"cut short": 1, "finished": 1}
    assert state(world, message) is RowState.DEFERRED


def test_a_crash_between_sending_and_marking_sends_twice_and_loses_nothing(world: World) -> None:
    _, (message, *_) = ingested(world)
    defer(world, message, 60)
    world.clock.forward(61)
    world.wire.cut(Cut.KILLED_AFTER, call="SendMessageBatch")
    with pytest.raises(Killed):
        world.sweeper().run()
    world.wire.mend()
    assert state(world, message) is RowState.DEFERRED
    world.sweeper().run()
    assert sent_again(world) == [message, message]


def test_a_message_that_was_sent_twice_ends_once(
    world: World, provider: LoopbackProvider, tier: ModelTier, local_tier: list[str]
) -> None:
    _, (message, *_) = ingested(world)
    parser = world.parser(tier)
    provider.fail("rate_limit")
    parser.work([received(message)], lambda: 90)
    world.clock.forward(10)
    world.wire.cut(Cut.KILLED_AFTER, call="SendMessageBatch")
    with pytest.raises(Killed):
        world.sweeper().run()
    world.wire.mend()
    world.sweeper().run()
    for twin in world.sent():
        parser.work([received(twin)], lambda: 90)
    assert [it.fault for it in provider.posts] == ["rate_limit", "ok"]
    assert (state(world, message), local_tier) == (RowState.PARSED, ["v1", "v1"])


# --------------------------------------------------------------------------------------------------------- finishing


def test_a_batch_whose_rows_have_all_ended_is_finished(world: World) -> None:
    batch, messages = ingested(world)
    end(world, messages)
    assert world.sweeper().run() == {"finished": 1}
    assert world.catalog.batch(batch.id).state is BatchState.FINISHED


def test_every_end_state_is_an_end(world: World) -> None:
    batch, messages = ingested(world)
    for message, it in zip(messages, (RowState.PARSED, RowState.SUPERSEDED, RowState.DEAD), strict=True):
        end(world, [message], it)
    world.sweeper().run()
    assert world.catalog.batch(batch.id).state is BatchState.FINISHED


def test_a_batch_with_a_row_in_flight_is_not_finished(world: World) -> None:
    batch, messages = ingested(world)
    end(world, messages[:2])
    assert world.sweeper().run() == {}
    assert world.catalog.batch(batch.id).state is BatchState.OPEN


def test_a_deferred_row_keeps_its_batch_open(world: World) -> None:
    batch, messages = ingested(world)
    end(world, messages[:2])
    defer(world, messages[2], None)
    assert world.stand_still(STILL) == [{}]
    assert world.catalog.batch(batch.id).state is BatchState.OPEN


def test_a_batch_without_good_rows_is_finished(world: World) -> None:
    upload = world.put('{"id": "a"}\n{"id": "b"}\n')
    world.ingest().take(upload, lambda: 900)
    assert world.sweeper().run() == {"finished": 1}


def test_a_batch_that_is_still_being_sent_is_left_to_ingest(world: World) -> None:
    upload = world.put(manifest(videos(3)))
    until = world.clock.after(60)
    world.catalog.open_batch(upload, "djangocon", LIMITS, lease="ingest's", until=until, now=world.clock())
    assert world.stand_still(STILL) == [{}]


def test_rows_that_a_dead_worker_ended_without_counting_them_are_counted_after_two_minutes(world: World) -> None:
    batch, messages = ingested(world)
    world.catalog.end([RowEnd(it, batch.upload.order, MARK, RowState.PARSED) for it in messages], now=world.clock())
    world.clock.forward(120)
    assert world.sweeper().run() == {}
    world.clock.forward(1)
    assert world.sweeper().run() == {"finished": 1}


def test_uncounted_rows_are_counted_even_if_the_audit_runs_more_often_than_every_two_minutes(world: World) -> None:
    batch, messages = ingested(world)
    world.catalog.end([RowEnd(it, batch.upload.order, MARK, RowState.PARSED) for it in messages], now=world.clock())
    sweeper = world.sweeper(audit_after_seconds=45)
    world.clock.forward(46)
    assert sweeper.run() == {"finished": 1}


def test_rows_whose_counters_are_too_high_are_counted_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, (first, second) = ingested(world, 2)
    ended = world.catalog.end([RowEnd(first, batch.upload.order, MARK, RowState.PARSED)], now=world.clock())
    for _ in range(2):  # boto3 repeats the write after a lost answer
        world.catalog.count(ended, now=world.clock())
    world.catalog.defer(second, MARK, reason="budget_batch: no", due=None, now=world.clock())
    counts: list[str] = []
    read = BatchResults.results

    def counting(results: BatchResults, batch: Batch, *, after: int = 0) -> Iterator[RowResult]:
        counts.append(batch.id)
        return read(results, batch, after=after)

    monkeypatch.setattr(BatchResults, "results", counting)
    for _ in range(3):
        assert world.sweeper().run() == {}
        world.clock.forward(60)
    assert counts == [batch.id]
    end(world, [second], RowState.DEAD)
    assert world.sweeper().run() == {"finished": 1}


def test_rows_are_counted_in_a_batch_that_a_clock_a_day_ahead_has_moved(world: World) -> None:
    batch, messages = ingested(world)
    ended = world.catalog.end(
        [RowEnd(it, batch.upload.order, MARK, RowState.PARSED) for it in messages], now=world.clock()
    )
    world.catalog.count(ended[:1], now=world.clock.after(86_400))  # and its worker died before it counted the others
    assert world.sweeper().run() == {"finished": 1}


def test_a_stalled_batch_is_counted_once(world: World) -> None:
    ingested(world)
    world.clock.forward(121)
    reads = []
    for _ in range(3):
        before = len(world.wire.calls)
        assert world.sweeper().run() == {}
        reads.append(world.wire.calls[before:].count("Query"))
    assert reads[0] > reads[1] == reads[2]


def test_a_batch_whose_counters_are_too_high_is_not_finished(world: World) -> None:
    batch, messages = ingested(world)
    ended = world.catalog.end([RowEnd(messages[0], batch.upload.order, MARK, RowState.PARSED)], now=world.clock())
    for _ in messages:  # boto3 repeats a call whose answer was lost
        world.catalog.count(ended, now=world.clock())
    assert world.sweeper().run() == {}
    assert world.catalog.batch(batch.id).state is BatchState.OPEN


# ---------------------------------------------------------------------------------------------------------- the audit


def test_a_batch_that_moves_is_not_audited(world: World) -> None:
    ingested(world)
    world.clock.forward(STILL - 2)
    assert world.sweeper().run() == {}


def test_the_audit_sends_exactly_the_lost_rows_of_a_stalled_batch_again(world: World) -> None:
    _, messages = ingested(world, 6)
    end(world, [messages[0]])
    end(world, [messages[1]], RowState.DEAD)
    defer(world, messages[2], None)
    world.catalog.mark_started(messages[3], now=world.clock(), alone="locally")  # queued, and known to be
    assert world.stand_still(STILL) == [{"sent again": 3}]
    assert [it.row for it in world.sent()] == [4, 5, 6]


def test_rows_are_sent_again_as_they_were_first_sent(world: World) -> None:
    _, messages = ingested(world)
    world.stand_still(STILL)
    assert world.sent() == messages


def test_an_audit_counts_as_a_change_of_the_batch(world: World) -> None:
    ingested(world)
    world.stand_still(STILL)
    assert world.sweeper().run() == {}


def test_one_call_resends_no_more_rows_than_its_limit(world: World) -> None:
    ingested(world)
    world.clock.forward(STILL)
    assert world.sweeper(most=2).run() == {"sent again": 2}


def test_after_the_rounds_lost_rows_are_dead_with_the_reason(world: World) -> None:
    batch, _ = ingested(world)
    sent_and_given_up = [{"sent again": 3}] * ROUNDS + [{"given up": 3}]
    assert world.stand_still(STILL, ROUNDS + 1, losing=True) == sent_and_given_up
    rows = list(world.catalog.rows(batch))
    assert [it.state for it in rows] == [RowState.DEAD] * 3
    assert {(it.reason or "").split(":")[0] for it in rows} == {"never_answered"}


def test_a_batch_whose_lost_rows_were_given_up_is_finished(world: World) -> None:
    batch, _ = ingested(world)
    world.stand_still(STILL, ROUNDS + 1, losing=True)
    assert world.stand_still(STILL) == [{"finished": 1}]
    assert world.catalog.batch(batch.id).state is BatchState.FINISHED


def test_rows_that_end_between_audits_restart_the_rounds(world: World) -> None:
    _, messages = ingested(world)
    world.stand_still(STILL, ROUNDS, losing=True)
    end(world, [messages[0]])
    assert world.stand_still(STILL, ROUNDS, losing=True) == [{"sent again": 2}] * ROUNDS


def test_a_row_that_ends_while_it_is_given_up_keeps_its_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, messages = ingested(world)
    world.stand_still(STILL, ROUNDS, losing=True)
    catalog_end = world.catalog.end

    def late(*args: object, **kwargs: object) -> object:
        monkeypatch.undo()
        end(world, [messages[0]])
        return catalog_end(*args, **kwargs)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Catalog, "end", lambda _, *args, **kwargs: late(*args, **kwargs))
    assert world.stand_still(STILL) == [{"given up": 2}]
    assert state(world, messages[0]) is RowState.PARSED


def test_a_batch_without_its_bitmap_is_finished_and_does_not_delay_others(world: World) -> None:
    batch, _ = ingested(world)
    _, others = ingested(world)
    key = f"reports/{batch.id}/accepted.bin"
    world.s3.delete_object(Bucket=batch.upload.bucket, Key=key)
    assert world.stand_still(STILL) == [{"finished": 1, "sent again": 3}]
    assert world.sent() == others


CALLS = 40
"""More calls than a requeue of this batch makes."""


def test_a_crash_of_the_sweeper_at_any_call_loses_no_row(
    clients: AwsClients, wire: Wire, tier: ModelTier, local_tier: list[str]
) -> None:
    assert local_tier == []
    for at in range(1, CALLS):
        world = World(clients, wire)
        batch, messages = ingested(world)
        defer(world, messages[0], 60)
        world.clock.forward(STILL)
        world.wire.cut(Cut.KILLED_AFTER, at)
        try:
            world.sweeper().run()
        except Killed:
            pass
        finally:
            world.wire.mend()
        world.stand_still(STILL, 2)
        parser = world.parser(tier, tier_policy="local")
        for message in world.sent():
            assert isinstance(parser.work([received(message)], lambda: 90)["message-" + str(message.row)], Done)
        assert {it.number: it.state for it in world.catalog.rows(batch)} == dict.fromkeys((1, 2, 3), RowState.PARSED)
        if not world.wire.struck:
            break
    else:
        pytest.fail(f"a resume of more than {CALLS} calls")


def test_the_audit_does_not_give_up_a_row_that_was_just_requeued(world: World) -> None:
    batch, (message,) = world.batch(*videos(1))
    world.catalog.defer(message, MARK, reason="rate_limited", due=world.clock.after(60), now=world.clock())
    world.s3.delete_object(Bucket=batch.upload.bucket, Key=batch.upload.key, VersionId=batch.upload.version)
    world.clock.forward(NUMBERS["AuditAfterSeconds"] + 3600)
    assert world.sweeper().run() == {"put back": 1}
    world.clock.forward(60)
    assert world.sweeper().run() == {}


# ----------------------------------------------------------------------------------------------------- unreadable items


def _edit(world: World, key: dict[str, str], change: str, **values: object) -> None:
    """Change an item as a person does in the console of AWS."""
    names = {name: name[1:] for name in change.replace(",", " ").split() if name.startswith("#")}
    more: dict[str, Any] = {"ExpressionAttributeNames": names} if names else {}
    if values:
        more["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
    world.db.update_item(TableName=world.names["CatalogTable"], Key=key, UpdateExpression=change, **more)


def _newer_talk(world: World, batch: Batch) -> None:
    newer = {"title": "x", "presenters": [], "tier": "of a newer version", "confidence": 1}
    ended(world, batch)
    _edit(world, video_record_key(batch.project, "v1", MARK), "SET talk = :talk", talk=newer)


def _no_video(world: World, batch: Batch) -> None:
    ended(world, batch)
    _edit(world, row_key(batch.id, 1), "REMOVE video")


def _no_time_zone(world: World, batch: Batch) -> None:
    _edit(world, batch_key(batch.id), "SET moved_at = :at", at="2026-01-05T11:59:00")


def _number_as_version(world: World, batch: Batch) -> None:
    _edit(world, batch_key(batch.id), "SET version = :version", version=5)


def _negative_need(world: World, batch: Batch) -> None:
    deferred(world, batch)
    _edit(world, row_key(batch.id, 1), "SET need = :need", need={"requests": 1, "micro_usd": -5})


def _queued_by_hand(world: World, batch: Batch) -> None:
    deferred(world, batch)
    _edit(world, row_key(batch.id, 1), "SET #state = :state", state="queued")


def ended(world: World, batch: Batch) -> None:
    """End the first two rows of a batch with a talk."""
    endings = [RowEnd(it, batch.upload.order, MARK, RowState.PARSED, talk=talk("Linkers")) for it in of(batch, 2)]
    world.catalog.end_and_count(endings, now=world.clock())


def deferred(world: World, batch: Batch) -> None:
    """Defer the first two rows of a batch until now."""
    for message in of(batch, 2):
        need = Amount(1, 1, 1, 1)
        world.catalog.defer(message, MARK, reason="budget_day: no", due=world.clock(), now=world.clock(), need=need)


def of(batch: Batch, rows: int) -> list[Message]:
    """Return the first messages of a batch."""
    return [
        Message(batch=batch.id, project=batch.project, row=row, video=video)
        for row, video in enumerate(videos(rows), start=1)
    ]


@pytest.mark.parametrize(
    "edit", [_newer_talk, _no_video, _no_time_zone, _number_as_version, _negative_need, _queued_by_hand]
)
def test_an_item_that_this_version_cannot_read_stops_no_other_batch(
    world: World, edit: Callable[[World, Batch], None]
) -> None:
    odd, _ = ingested(world, 2)
    edit(world, odd)
    world.clock.forward(1)
    other, messages = ingested(world, 1, "other")
    end(world, messages)
    due, (message,) = ingested(world, 1, "due")
    world.catalog.defer(message, MARK, reason="budget_day: no", due=world.clock(), now=world.clock())
    world.clock.forward(1)
    world.sweeper().run()
    assert world.catalog.batch(other.id).state is BatchState.FINISHED
    assert message.video in {it.video for it in world.sent() if it.batch == due.id}
    world.sweeper().run()
    assert world.sent() == [] or edit is _negative_need
