"""The catalog's rows: their ends, the pointer to the current fingerprint, deferral and return."""

from __future__ import annotations

import gzip
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.functional.world import PROJECT, Cut, Killed, World, videos

from titlecard.aws.dynamodb.catalog import (
    Attempt,
    Batch,
    DeferredRow,
    MessageState,
    RowEnd,
    UnreadableRow,
    VideoRecord,
    stamp,
)
from titlecard.aws.dynamodb.catalog.grants import Grants
from titlecard.aws.dynamodb.catalog.keys import NO_PROJECT, row_key, video_record_key
from titlecard.aws.dynamodb.catalog.rows import packed, unpacked
from titlecard.aws.dynamodb.catalog.table import KEYS_PER_GET, STATEMENTS_PER_CALL
from titlecard.aws.errors import CatalogBusy, RowItemInvalid
from titlecard.domain.batch import END_STATES, Message, RowState
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Talk, Tier, Video

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MARK = "f" * 32
TALK = Talk(title="Talk number 1", presenters=("Grace Hopper",), confidence=0.9)
OTHER_TALK = Talk(title="Another", presenters=(), confidence=0.1)


@pytest.fixture
def batch(world: World) -> Batch:
    return world.batch(*videos(3))[0]


@pytest.fixture
def message(batch: Batch) -> Message:
    return Message(batch=batch.id, project=PROJECT, row=1, video=videos(1)[0])


def parsed(batch: Batch, message: Message, talk: Talk | None = TALK) -> RowEnd:
    return RowEnd(message, batch.upload.order, MARK, RowState.PARSED, Tier.LOCAL, talk)


def dead(batch: Batch, message: Message) -> RowEnd:
    return RowEnd(message, batch.upload.order, MARK, RowState.DEAD, reason="bad_request: it said no")


def standing(world: World, message: Message, mark: str = MARK) -> MessageState:
    return world.catalog.look_up([(message, mark)])[0]


def end(world: World, *endings: RowEnd) -> list[RowState]:
    return world.catalog.end_and_count(endings, now=world.clock())


def defer(world: World, message: Message, seconds: float | None = 60, reason: str = "rate_limited: later") -> bool:
    due = None if seconds is None else world.clock.after(seconds)
    return world.catalog.defer(message, MARK, reason=reason, due=due, now=world.clock())


# ---------------------------------------------------------------------------------------------------------- the end


def test_an_end_stores_talk_pointer_and_row(world: World, batch: Batch, message: Message) -> None:
    assert end(world, parsed(batch, message)) == [RowState.PARSED]
    assert standing(world, message) == MessageState(
        RowState.PARSED, began="", alone="", newest=batch.upload.order, entry=VideoRecord(MARK, TALK)
    )


@pytest.mark.parametrize("how", [Cut.KILLED_BEFORE, Cut.KILLED_AFTER, Cut.OUTAGE, Cut.SILENCE])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_end_that_stops_anywhere_is_completed_by_the_next_one(
    world: World, batch: Batch, message: Message, how: Cut, at: int
) -> None:
    world.wire.cut(how, at)
    with pytest.raises((Killed, BotoCoreError)):
        end(world, parsed(batch, message))
    world.wire.mend()
    found = standing(world, message)
    if found.row is RowState.PARSED:
        assert (found.newest, found.entry.talk) == (batch.upload.order, TALK)
    assert end(world, parsed(batch, message)) == [RowState.PARSED]
    assert standing(world, message).entry.talk == TALK


def test_the_same_end_twice_is_one_end(world: World, batch: Batch, message: Message) -> None:
    end(world, parsed(batch, message))
    before = standing(world, message), list(world.catalog.rows(batch))
    assert end(world, parsed(batch, message)) == [RowState.PARSED]
    assert (standing(world, message), list(world.catalog.rows(batch))) == before


def test_an_end_whose_answer_was_lost_counts(world: World, batch: Batch, message: Message) -> None:
    world.wire.cut(Cut.LOST_ANSWER)
    assert end(world, parsed(batch, message)) == [RowState.PARSED]


def test_a_row_that_has_ended_stays_as_it_is(world: World, batch: Batch, message: Message) -> None:
    end(world, dead(batch, message))
    before = list(world.catalog.rows(batch))
    assert end(world, parsed(batch, message)) == [RowState.DEAD]
    assert list(world.catalog.rows(batch)) == before


def test_a_refused_ending_does_not_spoil_the_others(world: World, batch: Batch) -> None:
    messages = [Message(batch=batch.id, project=PROJECT, row=i, video=it) for i, it in enumerate(videos(3), 1)]
    end(world, dead(batch, messages[1]))
    outcomes = end(world, *(parsed(batch, message) for message in messages))
    assert outcomes == [RowState.PARSED, RowState.DEAD, RowState.PARSED]


def test_more_endings_than_a_call_takes_all_end(world: World) -> None:
    batch, messages = world.batch(*videos(STATEMENTS_PER_CALL + 1))
    outcomes = end(world, *(parsed(batch, message) for message in messages))
    assert outcomes == [RowState.PARSED] * len(messages)


def test_the_same_row_twice_in_one_go_ends_once_and_spoils_nothing(
    world: World, batch: Batch, message: Message
) -> None:
    other = Message(batch=batch.id, project=PROJECT, row=2, video=videos(2)[1])
    outcomes = end(world, *(parsed(batch, it) for it in (message, other, message)))
    assert outcomes == [RowState.PARSED] * 3


def test_a_call_holds_one_statement_for_an_item(
    world: World, batch: Batch, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, keys = world.db.batch_execute_statement, list[tuple[str, str]]()

    def noted(*, Statements: Any) -> object:  # noqa: N803, ANN401 -- boto3's name and kind
        keys.extend(tuple(it["Parameters"][:2]) for it in Statements)
        return real(Statements=Statements)

    monkeypatch.setattr(world.db, "batch_execute_statement", noted)
    end(world, parsed(batch, message), parsed(batch, message))
    assert len(keys) == len(set(keys)) == 3  # the talk, the pointer and the row


def test_rows_of_two_batches_with_one_video_end_in_one_go(world: World) -> None:
    older, old = world.batch(*videos(1))
    newer, new = world.batch(*videos(1))
    outcomes = end(world, parsed(newer, new[0]), parsed(older, old[0]))
    assert outcomes == [RowState.PARSED, RowState.SUPERSEDED]


def test_a_dead_row_has_its_reason(world: World, batch: Batch, message: Message) -> None:
    end(world, dead(batch, message))
    (row,) = world.catalog.rows(batch)
    assert (row.state, row.reason, row.due) == (RowState.DEAD, "bad_request: it said no", None)


def test_a_dead_row_leaves_the_pointer_alone(world: World, batch: Batch, message: Message) -> None:
    end(world, dead(batch, message))
    assert standing(world, message).newest == ""


def test_a_row_that_is_known_to_exist_ends_as_any_other(world: World, batch: Batch, message: Message) -> None:
    defer(world, message)
    assert end(world, replace(dead(batch, message), row_exists=True)) == [RowState.DEAD]
    assert (standing(world, message).row, world.catalog.batch(batch.id).counts) == (RowState.DEAD, {"dead": 1})


def test_a_row_that_is_made_due_keeps_its_reason(world: World, message: Message) -> None:
    defer(world, message, reason="paused: by hand")
    (found,) = world.catalog.deferred(world.catalog.batch(message.batch))
    assert world.catalog.make_due(found, now=world.clock())
    assert [it.row.reason for it in world.catalog.deferred(world.catalog.batch(message.batch))] == ["paused: by hand"]


def test_an_end_without_a_talk_writes_no_record_of_its_video(world: World, batch: Batch, message: Message) -> None:
    end(world, dead(batch, message), parsed(batch, message, talk=None))
    key = video_record_key(PROJECT, message.video.id, MARK)
    assert "Item" not in world.db.get_item(TableName=world.names["CatalogTable"], Key=key)


def test_a_talk_is_stored_beside_the_attempts_on_its_video(world: World, batch: Batch, message: Message) -> None:
    now, bound = world.clock(), Amount(1, 1, 1, 1)
    claim: dict[str, Any] = {"token": "t", "cap": 1, "policy": Policy.AUTO, "bound": bound, "until": now, "now": now}
    assert isinstance(world.catalog.claim(message, MARK, **claim), Attempt)
    assert end(world, parsed(batch, message)) == [RowState.PARSED]
    entry = standing(world, message).entry
    assert (entry.talk, entry.attempts, entry.token) == (TALK, 1, "t")


def test_a_stored_talk_is_not_replaced(world: World, batch: Batch, message: Message) -> None:
    end(world, parsed(batch, message))
    newer, (again,) = world.batch(*videos(1))
    assert end(world, parsed(newer, again, OTHER_TALK)) == [RowState.PARSED]
    assert standing(world, again).entry.talk == TALK


def test_a_row_whose_video_has_a_talk_has_the_tier_of_that_talk(world: World, batch: Batch, message: Message) -> None:
    end(world, parsed(batch, message))
    newer, (again,) = world.batch(*videos(1))
    end(world, replace(parsed(newer, again, OTHER_TALK), tier=Tier.MODEL))
    assert [it.tier for it in world.catalog.rows(newer)] == [Tier.LOCAL]
    assert world.catalog.batch(newer.id).counts == {"parsed_local": 1}


def test_a_row_of_an_older_batch_is_superseded_and_has_no_tier(world: World) -> None:
    older, old = world.batch(*videos(1))
    newer, new = world.batch(*videos(1))
    end(world, parsed(newer, new[0]))
    assert end(world, parsed(older, old[0])) == [RowState.SUPERSEDED]
    assert [(it.tier, it.reason) for it in world.catalog.rows(older)] == [(None, "a newer manifest has this video")]


def test_the_pointer_never_moves_back_to_an_older_batch(world: World) -> None:
    older, old = world.batch(*videos(1))
    newer, new = world.batch(*videos(1))
    end(world, parsed(newer, new[0]))
    end(world, replace(parsed(older, old[0], OTHER_TALK), fingerprint="0" * 32))
    assert standing(world, old[0]).newest == newer.upload.order
    assert not world.catalog.move_pointer(old[0], "0" * 32, older.upload.order)


def test_a_newer_batch_moves_the_pointer(world: World) -> None:
    older, old = world.batch(*videos(1))
    end(world, parsed(older, old[0]))
    newer, new = world.batch(*videos(1))
    assert world.catalog.move_pointer(new[0], MARK, newer.upload.order)
    assert standing(world, old[0]).newest == newer.upload.order


def test_two_projects_share_no_video(world: World, batch: Batch, message: Message) -> None:
    end(world, parsed(batch, message))
    _, (stranger,) = world.batch(*videos(1), project="pycon")
    assert standing(world, stranger).entry == VideoRecord()


def test_a_talk_comes_back_as_it_was_stored(world: World, batch: Batch, message: Message) -> None:
    talk = Talk(
        title="Ünïcode “quotes”", presenters=("José García", "王芳"), confidence=0.123456, review="low_confidence"
    )
    end(world, parsed(batch, message, talk))
    assert standing(world, message).entry.talk == talk


# -------------------------------------------------------------------------------------------------- looking them up


def test_a_look_up_answers_in_the_order_that_was_asked(world: World) -> None:
    batch, messages = world.batch(*videos(5))
    end(world, *(dead(batch, message) for message in messages[::2]))
    asked = [messages[i] for i in (3, 0, 4, 1, 2)]
    found = world.catalog.look_up([(message, MARK) for message in asked])
    assert [it.row for it in found] == [None, RowState.DEAD, RowState.DEAD, None, RowState.DEAD]


SPOILT: dict[str, Callable[[Message], dict[str, Any]]] = {
    "a row in an unknown state": lambda message: {**row_key(message.batch, message.row), "state": "held"},
    "a row with an unknown number of deferrals": lambda message: {
        **row_key(message.batch, message.row),
        "deferrals": "many",
    },
    "a talk of an unknown tier": lambda message: {
        **video_record_key(PROJECT, message.video.id, MARK),
        "talk": {"title": "x", "presenters": [], "tier": "ensemble", "confidence": 1, "review": None},
    },
    "an attempt without a date": lambda message: {
        **video_record_key(PROJECT, message.video.id, MARK),
        "history": [{"event": "claimed"}],
    },
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_look_up_names_the_item_that_this_version_cannot_read(world: World, message: Message, spoilt: str) -> None:
    item = SPOILT[spoilt](message)
    world.db.put_item(TableName=world.names["CatalogTable"], Item=item)
    with pytest.raises(RowItemInvalid, match=f"'{item['pk']}', '{item['sk']}' cannot be read"):
        world.catalog.look_up([(message, MARK)])


def test_an_end_finds_a_talk_that_this_version_cannot_read_before_any_row_has_ended(
    world: World, batch: Batch, message: Message
) -> None:
    other = message.model_copy(update={"row": 2, "video": Video(id="another", title="Another talk")})
    world.db.put_item(TableName=world.names["CatalogTable"], Item=SPOILT["a talk of an unknown tier"](message))
    with pytest.raises(RowItemInvalid):
        world.catalog.end([parsed(batch, other), parsed(batch, message)], now=world.clock())
    assert list(world.catalog.rows(batch)) == []


def test_a_row_in_a_state_that_this_version_does_not_know_stays_as_it_is(
    world: World, batch: Batch, message: Message
) -> None:
    item = SPOILT["a row in an unknown state"](message)
    world.db.put_item(TableName=world.names["CatalogTable"], Item=item)
    (ended,) = world.catalog.end([parsed(batch, message)], now=world.clock())
    assert (ended.state, ended.new) == (RowState.QUEUED, False)
    assert world.db.get_item(TableName=world.names["CatalogTable"], Key=row_key(batch.id, message.row))["Item"] == item


def test_a_look_up_of_nothing_makes_no_call(world: World) -> None:
    before = len(world.wire.calls)
    assert world.catalog.look_up([]) == []
    assert len(world.wire.calls) == before


def test_a_look_up_of_more_than_one_get_takes_finds_all(world: World) -> None:
    batch, messages = world.batch(*videos(KEYS_PER_GET // 3 + 1))
    end(world, *(dead(batch, message) for message in messages))
    found = world.catalog.look_up([(message, MARK) for message in messages])
    assert [it.row for it in found] == [RowState.DEAD] * len(messages)


def test_a_look_up_takes_as_many_gets_as_it_needs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titlecard.aws.dynamodb.catalog.table.KEYS_PER_GET", 1)
    batch, messages = world.batch(*videos(3))
    end(world, *(dead(batch, message) for message in messages))
    assert [it.row for it in world.catalog.look_up([(it, MARK) for it in messages])] == [RowState.DEAD] * 3


def test_a_look_up_in_a_table_that_stays_throttled_raises_catalog_busy(
    world: World, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def nothing(*, RequestItems: dict[str, object]) -> object:  # noqa: N803 -- boto3's name
        asked.append(1)
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    monkeypatch.setattr(world.db, "batch_get_item", nothing)
    with pytest.raises(CatalogBusy):
        standing(world, message)
    assert len(asked) == 6


def test_a_look_up_that_makes_progress_is_asked_as_often_as_it_needs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titlecard.aws.dynamodb.catalog.table.KEYS_PER_GET", 1)
    monkeypatch.setattr("titlecard.aws.dynamodb.catalog.table.BACKOFF_SECONDS", 0)
    batch, messages = world.batch(*videos(3))
    end(world, *(dead(batch, message) for message in messages))
    real, asked = world.db.batch_get_item, list[int]()

    def every_second_time(*, RequestItems: Any) -> object:  # noqa: N803, ANN401 -- boto3's name and kind
        asked.append(1)
        return real(RequestItems=RequestItems) if len(asked) % 2 else {"Responses": {}, "UnprocessedKeys": RequestItems}

    monkeypatch.setattr(world.db, "batch_get_item", every_second_time)
    assert [it.row for it in world.catalog.look_up([(it, MARK) for it in messages])] == [RowState.DEAD] * 3


def test_a_look_up_asks_again_for_keys_that_were_not_processed(
    world: World, batch: Batch, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(world, parsed(batch, message))
    real = world.db.batch_get_item

    def one_key_at_a_time(*, RequestItems: dict[str, dict[str, list[object]]]) -> object:  # noqa: N803 -- boto3's name
        ((table, asked),) = RequestItems.items()
        first, *rest = asked["Keys"]
        answer = real(RequestItems={table: {**asked, "Keys": [first]}})  # type: ignore[dict-item]  # as it was asked
        return {**answer, "UnprocessedKeys": {table: {"Keys": rest}} if rest else {}}

    monkeypatch.setattr(world.db, "batch_get_item", one_key_at_a_time)
    assert standing(world, message) == MessageState(
        RowState.PARSED, began="", alone="", newest=batch.upload.order, entry=VideoRecord(MARK, TALK)
    )


def test_ends_are_counted_once(world: World) -> None:
    batch, messages = world.batch(*videos(3))
    for _ in range(2):
        end(world, *(parsed(batch, message) for message in messages))
    assert world.catalog.batch(batch.id).counts == {"parsed_local": 3}


THROTTLED = ["InternalServerError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "ThrottlingError"]
"""DynamoDB API reference, "BatchStatementError"."""


@pytest.mark.parametrize("code", [*THROTTLED, "TransactionConflict"])
def test_a_statement_that_is_throttled_is_tried_again(
    world: World, batch: Batch, message: Message, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    real, refused = world.db.batch_execute_statement, [True, True, False] * 3

    def throttled(*, Statements: list[Any]) -> object:  # noqa: N803 -- boto3's name
        if refused.pop(0):
            return {"Responses": [{"Error": {"Code": code, "Message": "slow down"}}] * len(Statements)}
        return real(Statements=Statements)

    monkeypatch.setattr(world.db, "batch_execute_statement", throttled)
    assert end(world, parsed(batch, message)) == [RowState.PARSED]


def test_a_table_that_stays_throttled_raises_catalog_busy(
    world: World, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowded = {"Error": {"Code": "ThrottlingError", "Message": "slow down"}}
    answer = lambda Statements: {"Responses": [crowded for _ in Statements]}  # noqa: E731, N803 -- boto3's name
    monkeypatch.setattr(world.db, "batch_execute_statement", answer)
    with pytest.raises(CatalogBusy):
        end(world, parsed(batch, Message(batch=batch.id, project=PROJECT, row=1, video=videos(1)[0])))


def test_a_statement_that_dynamodb_refuses_is_an_error(
    world: World, batch: Batch, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {"Error": {"Code": "AccessDenied", "Message": "no"}}
    answer = lambda Statements: {"Responses": [refused for _ in Statements]}  # noqa: E731, N803 -- boto3's name
    monkeypatch.setattr(world.db, "batch_execute_statement", answer)
    with pytest.raises(ClientError, match="AccessDenied"):
        end(world, parsed(batch, message))


def test_rows_come_in_the_manifests_order(world: World) -> None:
    numbers = [100, 9, 11, 1_000_000, 2, 10, *range(995, 1040, 3)]
    batch = replace(world.batch(*videos(1))[0], last_row=1_000_000)
    for number in numbers:
        end(
            world,
            dead(batch, Message(batch=batch.id, project=PROJECT, row=number, video=Video(id=str(number), title="A"))),
        )
    assert [row.number for row in world.catalog.rows(batch)] == sorted(numbers)


# -------------------------------------------------------------------------------------------------- marks and waiting


def due(world: World) -> list[DeferredRow]:
    """Return the due rows of all projects."""
    found = [it for name in (PROJECT, NO_PROJECT) for it in world.catalog.due(name, now=world.clock())]
    return [it for it in found if isinstance(it, DeferredRow)]


def test_a_row_that_its_worker_survived_is_no_longer_marked_as_alone(world: World, message: Message) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone="token")
    world.catalog.mark_survived(message)
    assert (standing(world, message).began, standing(world, message).alone) == (stamp(world.clock()), "")


@pytest.mark.parametrize("size", [10, 5_000, 350_000])
def test_a_row_of_any_size_can_be_deferred(world: World, batch: Batch, size: int) -> None:
    text = "".join(random.Random(1).choices('abcdefghijklmnopqrstuvwxyz\n"', k=size))  # noqa: S311 -- no secret
    video = Video(id="v1", title="A talk", description=text)
    message = Message(batch=batch.id, project=PROJECT, row=1, video=video)
    assert defer(world, message)
    assert _waiting(world, batch).message.video == video


PACKED = gzip.compress(b"a message" * 200, mtime=0)


@pytest.mark.parametrize(
    "change",
    [
        {"body": "{"},
        {"body": 5},
        {"body": b"\x1f\x8b no gzip at all"},
        {"body": PACKED[:20]},
        {"body": PACKED[:12] + b"\xff" * 10 + PACKED[22:]},
        {"need": 500},
        {"need": None},
        {"need": {"micro_usd": "a lot"}},
        {"tier": "oracle"},
        {"deferrals": []},
    ],
    ids=str,
)
def test_an_unreadable_row_is_recognised_and_postponed(world: World, batch: Batch, change: dict[str, Any]) -> None:
    messages = [Message(batch=batch.id, project=PROJECT, row=i, video=it) for i, it in enumerate(videos(2), 1)]
    _defer_all(world, messages, [10, 20])
    ((name, value),) = change.items()
    world.db.update_item(
        TableName=world.names["CatalogTable"],
        Key=row_key(batch.id, 1),
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": value},
    )
    world.clock.forward(60)
    bad, good = world.catalog.due(NO_PROJECT, now=world.clock())
    assert isinstance(bad, UnreadableRow)
    assert isinstance(good, DeferredRow)
    assert world.catalog.postpone_unreadable(bad, until=world.clock.after(60))
    assert [it.row.number for it in due(world)] == [2]


def test_a_long_message_is_stored_compressed_and_a_short_one_as_it_is() -> None:
    short, long = (
        Message(batch="b", project=PROJECT, row=1, video=Video(id="v", title=it)) for it in ("a", "a" * 5_000)
    )
    assert packed(short) == short.model_dump_json()
    assert len(packed(long)) < 500
    assert [unpacked(packed(it)) for it in (short, long)] == [it.model_dump_json() for it in (short, long)]


def test_an_unreadable_row_that_waits_for_a_person_can_be_postponed(world: World, batch: Batch) -> None:
    (message,) = (Message(batch=batch.id, project=PROJECT, row=1, video=it) for it in videos(1))
    assert defer(world, message, None)
    change: dict[str, Any] = {"UpdateExpression": "SET body = :b", "ExpressionAttributeValues": {":b": "{"}}
    world.db.update_item(TableName=world.names["CatalogTable"], Key=row_key(batch.id, 1), **change)
    (bad,) = world.catalog.waiting(batch)
    assert isinstance(bad, UnreadableRow)
    assert world.catalog.postpone_unreadable(bad, until=world.clock.after(60))
    assert list(world.catalog.waiting(batch)) == []
    assert not world.catalog.postpone_unreadable(bad, until=world.clock.after(60))
    world.clock.forward(60)
    (again,) = world.catalog.due(NO_PROJECT, now=world.clock())
    assert isinstance(again, UnreadableRow)


def test_a_message_with_a_field_of_a_newer_version_is_read(message: Message) -> None:
    newer = message.model_dump_json()[:-1] + ',"language":"en"}'
    assert Message.model_validate_json(newer) == message


def test_a_requeued_row_is_marked(world: World, message: Message) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone="locally")
    found = standing(world, message)
    assert (found.row, found.began) == (RowState.QUEUED, stamp(world.clock()))


def test_the_mark_is_removed_when_the_row_ends(world: World, batch: Batch, message: Message) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone="locally")
    end(world, parsed(batch, message))
    assert standing(world, message).began == ""


def test_the_mark_is_removed_when_the_row_is_deferred(world: World, message: Message) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone="locally")
    defer(world, message)
    found = standing(world, message)
    assert (found.row, found.began, found.alone) == (RowState.DEFERRED, "", "")


def test_deferrals_are_counted(world: World, message: Message) -> None:
    assert [(defer(world, message), standing(world, message).deferrals) for _ in range(3)] == [
        (True, 1),
        (True, 2),
        (True, 3),
    ]


@pytest.mark.parametrize("state", END_STATES)
def test_a_mark_never_changes_a_row_that_has_ended(
    world: World, batch: Batch, message: Message, state: RowState
) -> None:
    end(world, RowEnd(message, batch.upload.order, MARK, state))
    before = list(world.catalog.rows(batch))
    world.catalog.mark_started(message, now=world.clock(), alone="locally")
    found = standing(world, message)
    assert (found.row, found.began, found.alone, list(world.catalog.rows(batch))) == (state, "", "", before)


def test_a_row_is_marked_again_at_each_receive(world: World, message: Message) -> None:
    for alone in ("one", "two"):
        world.clock.forward(1)
        world.catalog.mark_started(message, now=world.clock(), alone=alone)
        found = standing(world, message)
        assert (found.began, found.alone) == (stamp(world.clock()), alone)


def test_a_mark_never_requeues_a_deferred_row(world: World, message: Message) -> None:
    defer(world, message)
    world.catalog.mark_started(message, now=world.clock(), alone="locally")
    assert standing(world, message).row is RowState.DEFERRED


def test_a_deferred_row_waits_with_reason_and_date(world: World, batch: Batch, message: Message) -> None:
    assert defer(world, message, 60, "rate_limited: later")
    (row,) = world.catalog.rows(batch)
    assert (row.state, row.reason, row.due) == (RowState.DEFERRED, "rate_limited: later", stamp(world.clock.after(60)))


def test_a_row_that_has_ended_is_not_deferred(world: World, batch: Batch, message: Message) -> None:
    end(world, parsed(batch, message))
    assert not defer(world, message)
    assert standing(world, message).row is RowState.PARSED


def test_a_deferred_row_that_ends_waits_no_more(world: World, batch: Batch, message: Message) -> None:
    defer(world, message)
    end(world, parsed(batch, message))
    assert list(world.catalog.deferred(batch)) == []


def test_a_due_row_comes_back_with_its_message(world: World, message: Message) -> None:
    defer(world, message, 60)
    world.clock.forward(61)
    assert [it.message for it in due(world)] == [message.model_copy(update={"deferrals": 1})]


def test_a_row_that_is_not_due_does_not_come_back(world: World, message: Message) -> None:
    defer(world, message, 60)
    world.clock.forward(59)
    assert due(world) == []


def test_a_row_that_waits_for_a_person_never_comes_back_by_itself(world: World, message: Message) -> None:
    defer(world, message, None)
    world.clock.forward(86_400 * 100_000)
    assert due(world) == []


def test_due_rows_come_back_oldest_first(world: World) -> None:
    _, messages = world.batch(*videos(3))
    _defer_all(world, messages, [30, 10, 20])
    world.clock.forward(60)
    assert [it.row.number for it in due(world)] == [2, 3, 1]


def test_due_rows_of_many_batches_come_back_oldest_first(world: World) -> None:
    batches = [world.batch(*videos(2, f"of{number}-")) for number in range(4)]
    for number, (_, messages) in enumerate(batches):
        _defer_all(world, messages, [10 + number, 30 - number])
    world.clock.forward(60)
    assert [it.row.due for it in due(world)] == sorted(str(it.row.due) for it in due(world))
    assert len(list(due(world))) == 8


def test_a_row_that_is_postponed_stays_on_its_projects_list(world: World, message: Message) -> None:
    need = Amount(requests=1, input_tokens=10, output_tokens=10, micro_usd=5)
    now = world.clock()
    world.catalog.defer(message, MARK, reason="rate_limited: later", due=now, now=now, need=need)
    (deferred,) = world.catalog.due(PROJECT, now=now)
    assert isinstance(deferred, DeferredRow)
    assert world.catalog.postpone(deferred, reason="budget_day: later", until=now)
    assert list(world.catalog.due(NO_PROJECT, now=now)) == []
    assert [it.row.reason for it in world.catalog.due(PROJECT, now=now) if isinstance(it, DeferredRow)] == [
        "budget_day: later"
    ]


def test_waiting_lists_the_rows_of_one_batch_the_first_due_first(world: World) -> None:
    _, others = world.batch(*videos(1, "w"))
    batch, messages = world.batch(*videos(3))
    _defer_all(world, others, [5])
    _defer_all(world, messages, [30, None, 20])
    assert [it.row.number for it in world.catalog.deferred(batch)] == [3, 1, 2]


def test_a_requeued_row_is_queued_and_no_longer_deferred(world: World, batch: Batch, message: Message) -> None:
    defer(world, message)
    assert world.catalog.mark_requeued(_waiting(world, batch))
    (row,) = world.catalog.rows(batch)
    assert (row.state, row.due, row.reason) == (RowState.QUEUED, None, None)
    assert list(world.catalog.deferred(batch)) == []


def test_a_requeued_row_keeps_nothing_of_its_deferral(world: World, batch: Batch, message: Message) -> None:
    defer(world, message)
    world.catalog.mark_requeued(_waiting(world, batch))
    key = row_key(batch.id, message.row)
    item = world.db.get_item(TableName=world.names["CatalogTable"], Key=key)["Item"]
    assert item.keys() - key.keys() == {"state", "video", "fingerprint", "deferred_at", "deferrals"}


def test_a_row_that_was_deferred_again_meanwhile_keeps_its_new_date(
    world: World, batch: Batch, message: Message
) -> None:
    defer(world, message, 60)
    waiting = _waiting(world, batch)
    defer(world, message, 120)
    assert not world.catalog.postpone(waiting, reason="paused: by hand", until=None)
    assert not world.catalog.make_due(waiting, now=world.clock())
    assert _waiting(world, batch).row.due == stamp(world.clock.after(120))


def test_states_and_counts_are_read_consistently(world: World, batch: Batch, message: Message) -> None:
    reads: list[bool] = []

    def read(params: dict[str, Any], **_: object) -> None:
        reads.extend(asked["ConsistentRead"] for asked in params.get("RequestItems", {"": params}).values())

    names = ("GetItem", "BatchGetItem", "Query")
    for name in names:
        world.db.meta.events.register(f"provide-client-params.dynamodb.{name}", read, unique_id=f"read {name}")
    try:
        world.catalog.look_up([(message, MARK)])
        world.catalog.batch(batch.id)
        world.catalog.survey(batch.id)
        list(world.catalog.rows(batch))
        world.catalog.count_rows(batch, RowState.PARSED)
        world.catalog.sweep_lease()
        Grants(world.db, world.names["CatalogTable"]).records(PROJECT, message.video.id)
    finally:
        for name in names:
            world.db.meta.events.unregister(f"provide-client-params.dynamodb.{name}", unique_id=f"read {name}")
    assert len(reads) >= 7
    assert all(reads)


@pytest.mark.parametrize("seconds", [60, 120])
def test_a_row_that_was_deferred_again_meanwhile_is_not_marked_as_requeued(
    world: World, batch: Batch, message: Message, seconds: int
) -> None:
    defer(world, message, 60)
    waiting = _waiting(world, batch)
    defer(world, message, seconds)
    assert not world.catalog.mark_requeued(waiting)
    assert standing(world, message).row is RowState.DEFERRED


def test_a_row_that_ended_meanwhile_is_not_marked_as_requeued(world: World, batch: Batch, message: Message) -> None:
    defer(world, message)
    waiting = _waiting(world, batch)
    end(world, parsed(batch, message))
    assert not world.catalog.mark_requeued(waiting)
    assert standing(world, message).row is RowState.PARSED


def _defer_all(world: World, messages: Sequence[Message], seconds: Sequence[float | None]) -> None:
    for message, wait in zip(messages, seconds, strict=True):
        defer(world, message, wait)


def _waiting(world: World, batch: Batch) -> DeferredRow:
    (deferred,) = world.catalog.deferred(batch)
    return deferred


# ------------------------------------------------------------------------------------------------------------ stamps


def test_stamps_sort_by_time_to_the_microsecond_whatever_the_time_zone() -> None:
    moment = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
    later = [moment + timedelta(microseconds=number) for number in range(3)]
    zones = [timezone(timedelta(hours=hours)) for hours in (-11, 0, 14)]
    stamps = [stamp(it.astimezone(zone)) for it, zone in zip(later, zones, strict=True)]
    assert stamps == sorted(set(stamps))
    assert [datetime.fromisoformat(it) for it in stamps] == later
