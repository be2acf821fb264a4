"""The end of a batch: the worker of the last row asks the sweeper to finish it, once, before the schedule does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from tests.functional.finished import Listener, end, ended, file_of, talk
from tests.functional.test_handlers import Handlers, plenty
from tests.functional.world import Killed, manifest, received, videos

from titlecard.aws.dynamodb.catalog import Batch, Catalog, RowEnd
from titlecard.aws.dynamodb.catalog.results import BatchResults
from titlecard.aws.dynamodb.catalog.rows import Ended
from titlecard.aws.errors import CatalogBusy
from titlecard.domain.batch import BatchState, RowState
from titlecard.pipeline import audit
from titlecard.pipeline.finish import LEAST_SECONDS, ROWS_AT_ONCE, ROWS_PER_SECOND, may_have_ended
from titlecard.pipeline.outcome_types import Done

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.functional.world import World

    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.domain.batch import Message
    from titlecard.llm import ModelTier
    from titlecard.pipeline.outcome_types import Outcome
    from titlecard.pipeline.parse import Parser

pytestmark = pytest.mark.usefixtures("local_tier")

MINUTE = 60.0


def work(parser: Parser, messages: Sequence[Message]) -> list[Outcome]:
    return list(parser.work([received(it) for it in messages], lambda: MINUTE).values())


def finish(world: World, batch: Batch) -> dict[str, int]:
    """Finish a batch as the handler does for a worker's request."""
    return dict(world.sweeper().finish(batch.id, lambda: MINUTE))


# ------------------------------------------------------------------------------------------------------- who asks


def test_the_worker_that_ends_the_last_row_asks_for_its_batch(world: World, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(3, "sure"))
    parser = world.parser(tier)
    world.clock.forward(1)
    work(parser, messages[:2])
    assert world.invoked == []
    world.clock.forward(1)
    work(parser, messages[2:])
    assert world.invoked == [{"batch": batch.id}]


def test_a_row_that_ended_before_asks_for_nothing(world: World, tier: ModelTier) -> None:
    _, messages = world.batch(*videos(1, "sure"))
    world.clock.forward(1)
    work(world.parser(tier), messages)
    work(world.parser(tier), messages)
    assert len(world.invoked) == 1


def test_ingest_asks_for_a_batch_whose_rows_end_before_it_is_done(world: World, tier: ModelTier) -> None:
    ingest, parser = world.ingest(), world.parser(tier)
    all_sent = Catalog.all_sent

    def after_the_last_row(catalog: Catalog, batch: Batch, **more: object) -> None:
        work(parser, world.sent())
        assert world.invoked == [], "a batch that is not open yet is not finished"
        all_sent(catalog, batch, **more)  # type: ignore[arg-type]  # passed on as they are

    upload = world.put(manifest(videos(3, "sure")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "all_sent", after_the_last_row)
        assert ingest.take(upload, lambda: MINUTE)
    assert world.invoked == [{"batch": upload.batch}]


def test_ingest_asks_for_a_batch_whose_rows_are_all_refused(world: World) -> None:
    upload = world.put('{"id": "a", "title": ""}')
    assert world.ingest().take(upload, lambda: MINUTE)
    assert world.invoked == [{"batch": upload.batch}]


@pytest.mark.parametrize(
    "trouble",
    [
        CatalogBusy("no"),
        EndpointConnectionError(endpoint_url="lambda"),
        ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "no"}}, "Invoke"),
    ],
    ids=lambda it: type(it).__name__,
)
@pytest.mark.parametrize(
    "call", ["titlecard.aws.functions.SweeperFunction.finish", "tests.functional.world.World._invoke"]
)
def test_rows_end_even_if_the_sweeper_cannot_be_asked(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch, call: str, trouble: Exception
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise trouble

    batch, messages = world.batch(*videos(1, "sure"))
    monkeypatch.setattr(call, refused)
    (outcome,) = work(world.parser(tier), messages)
    assert isinstance(outcome, Done)
    world.clock.forward(MINUTE)
    assert world.sweeper().run() == {"finished": 1}, "by the schedule"
    assert len(file_of(world, batch)) == 1


def test_rows_end_even_if_the_item_of_their_batch_cannot_be_read(world: World, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(1, "sure"))
    read = Catalog.batch
    with pytest.MonkeyPatch.context() as patch:

        def read_once(catalog: Catalog, name: str) -> Batch:
            found = read(catalog, name)
            world.db.update_item(
                TableName=world.names["CatalogTable"],
                Key={"pk": f"batch#{name}", "sk": "batch"},
                UpdateExpression="SET moved_at = :at",
                ExpressionAttributeValues={":at": "2026-01-05T12:00:00"},
            )
            return found

        patch.setattr(Catalog, "batch", read_once)
        (outcome,) = work(world.parser(tier), messages)
    assert isinstance(outcome, Done)
    (row,) = world.catalog.rows(batch)
    assert row.state is RowState.PARSED
    assert world.invoked == []


def test_the_sweeper_is_not_asked_near_the_end_of_an_invocation(world: World, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(1, "sure"))
    (outcome,) = world.parser(tier).work([received(it) for it in messages], lambda: LEAST_SECONDS).values()
    assert (isinstance(outcome, Done), world.invoked) == (True, [])
    upload = world.put('{"id": "a", "title": ""}')
    assert world.ingest().take(upload, lambda: LEAST_SECONDS)
    assert world.invoked == []
    world.clock.forward(MINUTE)
    assert world.sweeper().run() == {"finished": 2}, "by the schedule"
    assert len(file_of(world, batch)) == 1


def test_a_batch_that_cannot_have_ended_is_not_read(world: World, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(2, "sure"))
    _accept(world, batch, ROWS_AT_ONCE + ROWS_PER_SECOND + 2)
    parser = world.parser(tier)
    work(parser, messages[:1])
    calls = world.wire.calls.count("BatchGetItem")
    world.clock.forward(1)
    work(parser, messages[1:])
    assert world.wire.calls.count("BatchGetItem") == calls
    world.clock.forward(1)
    assert may_have_ended(world.catalog.batch(batch.id), 2.0)


def test_a_batch_that_was_just_read_at_its_end_is_not_read_again(world: World, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(3, "sure"))
    _accept(world, batch, ROWS_AT_ONCE + ROWS_PER_SECOND)
    parser, reads = world.parser(tier), []
    for message, seconds in zip(messages, (0, 2, 0.5), strict=True):
        world.clock.forward(seconds)
        work(parser, [message])
        reads.append(world.wire.calls.count("BatchGetItem"))
    assert (reads[1] > reads[0], reads[2]) == (True, reads[1])


@pytest.mark.parametrize(
    ("left", "age", "answer"),
    [
        (500, 0.0, True),
        (501, 0.0, False),
        (501, 0.001, True),
        (10_000, 0.9, False),
        (10_000, -1.0, True),
        (0, 0.0, True),
    ],
)
def test_a_batch_may_have_ended_if_workers_can_end_so_many_rows(
    world: World, left: int, age: float, *, answer: bool
) -> None:
    batch, _ = world.batch(*videos(1))
    assert may_have_ended(replace(batch, accepted=left), age) is answer


# ---------------------------------------------------------------------------------------------------- who finishes


def test_a_batch_is_finished_on_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = ended(world, {"a": talk("Linkers"), "b": RowState.DEAD})
    sweeper = Handlers(world, monkeypatch).load("sweeper")
    assert sweeper({"batch": batch.id}, plenty()) == {"finished": 1}
    assert world.catalog.batch(batch.id).state is BatchState.FINISHED
    assert [it["title"] for it in file_of(world, batch)] == ["Linkers", None]


def test_a_request_to_finish_does_not_count_as_a_scheduled_run(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = ended(world, {"a": talk("Linkers")})
    sweeper = Handlers(world, monkeypatch).load("sweeper")
    sweeper({"batch": batch.id}, plenty())
    assert "SweeperRuns" not in capsys.readouterr().out, "the alarm watches the schedule"
    sweeper({}, plenty())
    assert "SweeperRuns" in capsys.readouterr().out


def test_a_batch_is_finished_while_a_sweep_holds_the_lease(world: World) -> None:
    batch = ended(world, {"a": talk("Linkers")})
    assert world.catalog.take_sweep("another", seen="", until=world.clock.after(15))
    assert finish(world, batch) == {"finished": 1}


def test_a_batch_is_published_once_for_two_requests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, listener = ended(world, {"a": talk("Linkers")}), Listener()
    monkeypatch.setattr(world.clients, "events", listener)
    second: list[dict[str, int]] = []
    read = BatchResults.results

    def meanwhile(results: BatchResults, one: Batch, *, after: int = 0) -> Iterator[RowResult]:
        if not second:
            second.append({})
            second[0] = finish(world, batch)
        return read(results, one, after=after)

    monkeypatch.setattr(BatchResults, "results", meanwhile)
    assert finish(world, batch) == {"finished": 1}
    assert second == [{}]
    assert finish(world, batch) == {}
    assert len(listener.heard()) == 1


def test_a_killed_request_to_finish_leaves_the_batch_to_the_schedule(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = ended(world, {"a": talk("Linkers")})

    def killed(*_: object, **__: object) -> bool:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("titlecard.pipeline.publish.ResultPublisher.publish", killed)
        with pytest.raises(Killed):
            finish(world, batch)
    assert world.sweeper().run() == {}, "the request may still be at work"
    world.clock.forward(audit.CLAIM_SECONDS + 1)
    assert world.sweeper().run() == {"finished": 1}


def test_a_batch_with_rows_left_is_not_finished_on_request(world: World) -> None:
    batch, messages = world.batch(*videos(2))
    end(world, batch, messages[:1], [talk("Linkers")])
    assert finish(world, batch) == {}
    assert world.catalog.batch(batch.id).claimed_at == ""


def test_a_batch_whose_counters_are_too_high_is_not_finished_on_request(world: World) -> None:
    batch, messages = world.batch(*videos(2))
    dead = RowEnd(messages[0], batch.upload.order, "", RowState.DEAD, reason="told by the test")
    for _ in range(2):  # as after a lost answer
        world.catalog.count([Ended(dead, RowState.DEAD, new=True)], now=world.clock())
    assert world.catalog.batch(batch.id).is_counted_out
    assert finish(world, batch) == {}
    assert world.catalog.batch(batch.id).state is BatchState.OPEN
    assert "Contents" not in world.s3.list_objects_v2(Bucket=world.bucket, Prefix="results/")


@pytest.mark.parametrize("batch", ["unknown-0123456789ab", ""])
def test_a_request_for_an_unknown_batch_is_logged(world: World, batch: str) -> None:
    assert dict(world.sweeper().finish(batch, lambda: MINUTE)) == {"not audited": 1}


def _accept(world: World, batch: Batch, rows: int) -> None:
    """Let a batch have this many rows."""
    world.db.update_item(
        TableName=world.names["CatalogTable"],
        Key={"pk": f"batch#{batch.id}", "sk": "batch"},
        UpdateExpression="SET accepted = :rows",
        ExpressionAttributeValues={":rows": rows},
    )
