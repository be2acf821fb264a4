"""The audit: it restarts unfinished ingests and sends lost rows again in rounds, and nothing is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from tests.functional.world import LIMITS, NUMBERS, PROJECT, Cut, Killed, World, manifest, videos

from titlecard.aws.dynamodb.catalog import Catalog, RowEnd
from titlecard.aws.errors import CatalogBusy, ManifestTooLarge, MessagesNotSent
from titlecard.domain.batch import BatchState, Message, RowState, Upload
from titlecard.manifests.errors import NotAManifest
from titlecard.pipeline import audit
from titlecard.pipeline.errors import EventNotPublished
from titlecard.pipeline.requeue import TIMEOUT_SECONDS
from titlecard.settings import REDELIVERY_SPARE_SECONDS

if TYPE_CHECKING:
    from tests.functional.world import Wire

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.bootstrap import AwsClients

MARK = "f" * 32
STILL = max(NUMBERS["AuditAfterSeconds"], NUMBERS["IngestVisibilitySeconds"] + REDELIVERY_SPARE_SECONDS) + 1
ROUNDS = NUMBERS["AuditRounds"]


def told(world: World) -> list[Upload]:
    """Return what ingest was told to continue with; take its messages."""
    return [Upload(**json.loads(it["Body"])["continue"]) for it in world.taken("IngestQueue")]


def killed(world: World, rows: int = 3, *, while_it: str = "sends") -> Upload:
    """Make an upload whose ingest was killed, and whose message is gone after too many receives."""
    upload = world.put(manifest(videos(rows)))
    world.wire.cut(Cut.KILLED_AFTER, call={"counts": "GetObject", "sends": "SendMessageBatch"}[while_it])
    with pytest.raises(Killed):
        world.ingest().take(upload, lambda: 900)
    world.wire.mend()
    world.sent()
    return upload


def ingest_what_is_told(world: World) -> None:
    for upload in told(world):
        world.ingest().take(upload, lambda: 900)


# ----------------------------------------------------------------------------------- batches that ingest did not finish


@pytest.mark.parametrize("while_it", ["counts", "sends"])
def test_the_audit_restarts_ingest_for_a_batch_that_no_worker_holds(world: World, while_it: str) -> None:
    upload = killed(world, while_it=while_it)
    assert world.stand_still(STILL) == [{"started again": 1}]
    assert told(world) == [upload]


@pytest.mark.parametrize("while_it", ["counts", "sends"])
def test_ingest_continues_the_uploads_that_the_audit_sends(world: World, while_it: str) -> None:
    upload = killed(world, while_it=while_it)
    world.stand_still(STILL)
    ingest_what_is_told(world)
    assert world.catalog.batch(upload.batch).state is BatchState.OPEN
    assert [it.video for it in world.sent()] == videos(3)


@pytest.mark.parametrize("how", [Cut.KILLED_AFTER, Cut.LOST_ANSWER])
def test_ingest_continues_after_a_crash_of_the_audit_at_any_call(clients: AwsClients, wire: Wire, how: Cut) -> None:
    for at in range(1, 20):
        world = World(clients, wire)
        upload = killed(world)
        world.clock.forward(STILL)
        wire.cut(how, at, besides={"Query"})
        try:
            world.sweeper().run()
        except Killed:
            pass
        finally:
            wire.mend()
        world.stand_still(STILL)
        ingest_what_is_told(world)
        assert world.catalog.batch(upload.batch).state is BatchState.OPEN
        assert {it.row for it in world.sent()} == {1, 2, 3}
        if not wire.struck:
            break
    else:
        pytest.fail("a resume of more than 20 calls")


def test_a_batch_whose_message_may_still_be_redelivered_is_left_alone(world: World) -> None:
    killed(world)
    world.clock.forward(NUMBERS["IngestVisibilitySeconds"])
    assert world.sweeper().run() == {}


def test_a_batch_that_a_worker_holds_is_left_alone(world: World) -> None:
    upload = world.put(manifest(videos(3)))
    until = world.clock.after(2 * STILL)
    world.catalog.open_batch(upload, PROJECT, LIMITS, lease="another's", until=until, now=world.clock())
    assert world.stand_still(STILL) == [{}]


def test_the_audit_gives_ingest_time_before_it_restarts_it_again(world: World) -> None:
    killed(world)
    world.stand_still(STILL)
    assert world.sweeper().run() == {}


def test_after_some_rounds_a_batch_that_ingest_cannot_finish_is_left_to_a_person_with_a_reason(world: World) -> None:
    upload = killed(world)
    assert world.stand_still(STILL, ROUNDS + 3) == [{"started again": 1}] * ROUNDS + [{"left to you": 1}, {}, {}]
    batch = world.catalog.batch(upload.batch)
    assert batch.state is BatchState.SENDING
    assert (batch.reason or "").startswith("Ingest did not finish this manifest, although it was restarted 3 times")


def test_a_batch_left_to_a_person_continues_when_its_message_is_moved_back(world: World) -> None:
    upload = killed(world)
    world.stand_still(STILL, ROUNDS + 1)
    world.ingest().take(upload, lambda: 900)
    batch = world.catalog.batch(upload.batch)
    assert (batch.state, batch.reason) == (BatchState.OPEN, None)
    assert [it.video for it in world.sent()] == videos(3)


@pytest.mark.usefixtures("small_steps")
def test_an_ingest_that_makes_progress_is_restarted_without_limit(world: World) -> None:
    upload = killed(world, 60)
    for _ in range(ROUNDS + 1):
        assert world.stand_still(STILL) == [{"started again": 1}]
        world.wire.cut(Cut.KILLED_AFTER, at=2, call="SendMessageBatch")
        with pytest.raises(Killed):
            ingest_what_is_told(world)
        world.wire.mend()
    assert world.catalog.batch(upload.batch).reason is None


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a checkpoint after every chunk, without reading ahead."""
    monkeypatch.setattr("titlecard.pipeline.ingest.CHUNKS_IN_FLIGHT", 1)
    monkeypatch.setattr("titlecard.pipeline.ingest.ROWS_BETWEEN_CHECKPOINTS", 10)


# -------------------------------------------------------------------------------------------------- rounds of lost rows


def opened(world: World, rows: int) -> tuple[Batch, list[Message]]:
    """Make a batch as ingest leaves it, with its messages lost."""
    upload = world.put(manifest(videos(rows)))
    world.ingest().take(upload, lambda: 900)
    return world.catalog.batch(upload.batch), world.sent()


def end(world: World, batch: Batch, messages: list[Message]) -> None:
    endings = [RowEnd(it, batch.upload.order, MARK, RowState.PARSED) for it in messages]
    world.catalog.end_and_count(endings, now=world.clock())


def test_a_round_continues_in_the_next_call_where_the_last_one_stopped(world: World) -> None:
    opened(world, 45)
    world.clock.forward(STILL)
    sent = []
    for _ in range(4):
        world.sweeper(most=20).run()
        sent.append([it.row for it in world.sent()])
    assert sent == [[*range(1, 21)], [*range(21, 41)], [*range(41, 46)], []]


def test_a_round_continues_even_if_rows_end_meanwhile(world: World) -> None:
    batch, messages = opened(world, 30)
    world.clock.forward(STILL)
    world.sweeper(most=10).run()
    end(world, batch, messages[:10])
    end(world, batch, messages[15:20])
    assert world.sweeper(most=10).run() == {"sent again": 10}
    assert [it.row for it in world.sent()] == [*range(1, 16), *range(21, 26)]


def test_a_crash_between_sending_and_marking_sends_twice_and_loses_nothing(world: World) -> None:
    _, messages = opened(world, 3)
    world.clock.forward(STILL)
    world.wire.cut(Cut.KILLED_AFTER, call="SendMessageBatch")
    with pytest.raises(Killed):
        world.sweeper().run()
    world.wire.mend()
    world.clock.forward(TIMEOUT_SECONDS)
    assert world.sweeper().run() == {"sent again": 3}
    assert world.sent() == sorted([*messages, *messages], key=lambda it: it.row)


def test_rows_do_not_count_as_lost_while_the_queue_is_long(world: World) -> None:
    _, messages = opened(world, 12)
    world.queue.send(messages[:10])
    world.queue.send(messages[10:])
    world.clock.forward(STILL)
    assert world.sweeper(most=11).run() == {}
    assert world.sweeper(most=12).run() == {"sent again": 12}


def test_rows_are_not_given_up_while_a_message_is_in_the_queue(world: World) -> None:
    opened(world, 3)
    assert world.stand_still(STILL, ROUNDS + 2) == [*[{"sent again": 3}] * ROUNDS, {}, {}]
    world.sent()
    assert world.sweeper().run() == {"given up": 3}


def test_a_sweep_that_runs_out_of_time_starts_nothing_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(world, 3)
    opened(world, 3)
    world.clock.forward(STILL)
    marked = world.catalog.record_audit

    def slowly(*args: object, **kwargs: object) -> bool:
        world.clock.forward(audit.CALL_SECONDS + 1)
        return marked(*args, **kwargs)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Catalog, "record_audit", lambda _, *args, **kwargs: slowly(*args, **kwargs))
    assert [world.sweeper().run() for _ in range(3)] == [{"sent again": 3}, {"sent again": 3}, {}]


def test_the_batch_that_was_audited_least_recently_comes_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [opened(world, 3)[0].id for _ in range(2)]
    audited: list[str] = []
    record = world.catalog.record_audit

    def slowly(_: Catalog, batch: Batch, **more: Any) -> bool:  # noqa: ANN401 -- as it came
        audited.append(batch.id)
        world.clock.forward(audit.CALL_SECONDS + 1)
        return record(batch, **more)

    monkeypatch.setattr(Catalog, "record_audit", slowly)
    world.stand_still(STILL, 2)
    assert audited == names


# ------------------------------------------------------------------------------------------------------------ giving up


def test_rows_that_are_given_up_get_dead_letters(world: World) -> None:
    _, messages = opened(world, 3)
    world.stand_still(STILL, ROUNDS + 1, losing=True)
    bodies, reasons = zip(*world.dead(), strict=True)
    assert sorted(bodies) == sorted(it.model_dump_json() for it in messages)
    assert set(reasons) == {f"never_answered: sent again {ROUNDS} times, and no worker finished it"}


def test_a_crash_while_rows_are_recorded_as_dead_loses_no_dead_letter(clients: AwsClients, wire: Wire) -> None:
    for at in range(1, 20):
        world = World(clients, wire)
        batch, messages = opened(world, 3)
        world.catalog.record_audit(batch, rounds=ROUNDS, rows=0, now=world.clock())
        world.clock.forward(STILL)
        wire.cut(Cut.KILLED_AFTER, at)
        try:
            world.sweeper().run()
        except Killed:
            pass
        finally:
            wire.mend()
        world.stand_still(STILL, 2)
        assert {body for body, _ in world.dead()} == {it.model_dump_json() for it in messages}
        assert {it.state for it in world.catalog.rows(batch)} == {RowState.DEAD}
        if not wire.struck:
            break
    else:
        pytest.fail("a resume of more than 20 calls")


def test_rows_of_a_manifest_that_was_deleted_are_dead_with_the_reason(world: World) -> None:
    batch, messages = opened(world, 3)
    end(world, batch, messages[:1])
    world.s3.delete_object(Bucket=batch.upload.bucket, Key=batch.upload.key, VersionId=batch.upload.version)
    assert world.stand_still(STILL) == [{"given up": 2}]
    assert [it.state for it in world.catalog.rows(batch)] == [RowState.PARSED, RowState.DEAD, RowState.DEAD]
    assert "deleted" in str([it.reason for it in world.catalog.rows(batch)][1])


def test_a_batch_whose_manifest_was_deleted_is_finished_and_says_so(world: World) -> None:
    batch, _ = opened(world, 3)
    world.s3.delete_object(Bucket=batch.upload.bucket, Key=batch.upload.key, VersionId=batch.upload.version)
    world.stand_still(STILL)
    assert world.sweeper().run() == {"finished": 1}
    assert "deleted" in (world.catalog.batch(batch.id).reason or "")


def test_a_row_that_is_dead_without_its_manifest_keeps_the_id_that_is_known(world: World) -> None:
    batch, messages = opened(world, 2)
    world.catalog.mark_started(messages[1], now=world.clock(), alone="locally")
    world.s3.delete_object(Bucket=batch.upload.bucket, Key=batch.upload.key, VersionId=batch.upload.version)
    world.stand_still(STILL)
    assert [(it.state, it.video) for it in world.catalog.rows(batch)] == [(RowState.DEAD, ""), (RowState.DEAD, "v2")]


def test_rows_of_a_deleted_manifest_are_given_up_in_steps(world: World) -> None:
    batch, _ = opened(world, 5)
    world.s3.delete_object(Bucket=batch.upload.bucket, Key=batch.upload.key, VersionId=batch.upload.version)
    world.clock.forward(STILL)
    done = [world.sweeper(most=2).run() for _ in range(4)]
    assert done == [{"given up": 2}, {"given up": 2}, {"given up": 1}, {"finished": 1}]


# ----------------------------------------------------------------------------------------------------------- neighbours


def test_a_failed_audit_does_not_stop_other_batches(world: World) -> None:
    broken, _ = opened(world, 3)
    _, others = opened(world, 3)
    world.db.update_item(
        TableName=world.names["CatalogTable"],
        Key={"pk": f"batch#{broken.id}", "sk": "batch"},
        UpdateExpression="SET #bucket = :bucket",
        ExpressionAttributeNames={"#bucket": "bucket"},
        ExpressionAttributeValues={":bucket": "no name of a bucket"},
    )
    assert world.stand_still(STILL) == [{"sent again": 3, "not audited": 1}]
    assert world.sent() == others


def test_a_manifest_that_became_too_large_does_not_delay_others(world: World) -> None:
    large, _ = opened(world, 30)
    _, others = opened(world, 3)
    world.parameters["ManifestMaxBytes"] = "1000"
    assert world.stand_still(STILL) == [{"sent again": 3}]
    assert world.sent() == others
    assert world.catalog.batch(large.id).state is BatchState.OPEN


def test_lost_rows_of_a_manifest_that_became_too_large_become_dead_after_all_rounds(world: World) -> None:
    batch, _ = opened(world, 30)
    world.parameters["ManifestMaxBytes"] = "1000"
    done = world.stand_still(STILL, ROUNDS + 2)
    assert done == [*[{}] * ROUNDS, {"given up": 30}, {"finished": 1}]
    (reason,) = {row.reason for row in world.catalog.rows(batch)}
    assert (reason or "").startswith(
        "never_answered: it cannot be sent again: the manifest can no longer be read as it was when it was accepted: "
    )


def test_a_lost_row_that_is_rejected_when_it_is_read_again_becomes_dead_after_all_rounds(world: World) -> None:
    long = [video.model_copy(update={"description": "About it. " * 30}) for video in videos(3)]
    upload = world.put(manifest(long))
    world.ingest().take(upload, lambda: 900)
    assert len(world.sent()) == 3
    world.parameters["RowMaxBytes"] = "256"
    assert world.stand_still(STILL, ROUNDS + 2) == [*[{}] * ROUNDS, {"given up": 3}, {"finished": 1}]
    assert world.catalog.batch(upload.batch).reason == (
        "rows were never answered, and they cannot be sent again: "
        "the manifest can no longer be read as it was when it was accepted"
    )
    assert world.sent() == []


@pytest.mark.parametrize(
    "trouble",
    [
        EndpointConnectionError(endpoint_url="aws"),
        ClientError({"Error": {"Code": "InternalError", "Message": "no"}}, "AnyCall"),
        CatalogBusy("throttled"),
        ManifestTooLarge("too large"),
        NotAManifest("a PDF"),
        MessagesNotSent("refused"),
        EventNotPublished("refused"),
        OSError("the disk is full"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
def test_a_failure_with_one_batch_does_not_delay_others(
    world: World, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    broken, _ = opened(world, 3)
    _, others = opened(world, 3)
    counted = Catalog.count_rows

    def count_rows(catalog: Catalog, batch: Batch, *states: RowState) -> int:
        if batch.id == broken.id:
            raise trouble
        return counted(catalog, batch, *states)

    monkeypatch.setattr(Catalog, "count_rows", count_rows)
    assert world.stand_still(STILL) == [{"sent again": 3, "not audited": 1}]
    assert world.sent() == others


def test_an_unreadable_batch_does_not_delay_others(world: World) -> None:
    broken, _ = opened(world, 3)
    opened(world, 3)
    world.db.update_item(
        TableName=world.names["CatalogTable"],
        Key={"pk": f"batch#{broken.id}", "sk": "batch"},
        UpdateExpression="SET accepted = :a",
        ExpressionAttributeValues={":a": "many"},
    )
    assert world.stand_still(STILL) == [{"sent again": 3, "not audited": 1}]
