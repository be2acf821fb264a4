"""The catalog's items alone: how minimal items are read, and what the records derive from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.stage import NEW, NOON

from titlecard.aws.dynamodb.catalog import NEVER, Batch, MessageState, Pointer, Row, RowEnd, VideoRecord, stamp
from titlecard.aws.dynamodb.catalog.items import Attempt, as_batch, as_map, as_row, as_video_record
from titlecard.aws.dynamodb.catalog.keys import row_key
from titlecard.aws.errors import RowItemInvalid
from titlecard.domain.batch import BatchState, Message, RowState
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Talk, Tier, Video

LATER = datetime(2026, 1, 5, 13, tzinfo=UTC)
MESSAGE = Message(batch="b", project="pycon", row=7, video=Video(id="v1", title="A talk"))
ITEM: dict[str, Any] = {
    "bucket": "bucket",
    "key": "uploads/pycon/talks.jsonl",
    "version": "version",
    "order": "order",
    "project": "pycon",
    "state": "counting",
    "limits": NEW.limits.as_map(),
    "created_at": stamp(NOON),
    "moved_at": stamp(NOON),
}


def test_a_batch_that_was_just_opened_is_read_with_nothing_done() -> None:
    assert as_batch(ITEM) == NEW
    assert NEW.id == NEW.upload.batch


def test_a_batch_is_neither_cancelled_nor_counted_nor_claimed_unless_it_says_so() -> None:
    fields = {name: getattr(NEW, name) for name in NEW.__dataclass_fields__}
    assert (
        Batch(**{name: it for name, it in fields.items() if name not in {"cancelled", "counted_at", "claimed_at"}})
        == NEW
    )


def test_a_batch_adds_up_its_tallies_and_moved_when_the_last_of_them_did() -> None:
    tallies = [
        {"n_parsed_local": Decimal(3), "n_dead": Decimal(2), "moved_at": stamp(LATER)},
        {"n_dead": Decimal(-1), "moved_at": stamp(NOON)},
    ]
    batch = as_batch(ITEM, *tallies)
    assert (batch.counts, batch.moved_at, batch.marked_at) == (Counter(parsed_local=3, dead=1), LATER, stamp(NOON))
    assert batch.progress == f"{stamp(LATER)} 4"


def test_the_last_row_of_an_older_versions_batch_is_the_number_of_its_rows() -> None:
    rows = {"accepted": Decimal(5), "refused": Decimal(2), "repeated": Decimal(1)}
    assert as_batch(ITEM | rows).last_row == 8
    assert as_batch(ITEM | rows | {"last_row": Decimal(9)}).last_row == 9


@pytest.mark.parametrize(("parsed", "left"), [(2, 1), (3, 0), (4, -1)])
def test_an_open_batch_is_counted_out_when_no_row_is_left(parsed: int, left: int) -> None:
    batch = replace(NEW, state=BatchState.OPEN, accepted=4, counts=Counter(parsed_local=parsed, dead=1))
    assert (batch.left, batch.is_counted_out) == (left, left <= 0)
    assert not replace(batch, state=BatchState.SENDING).is_counted_out
    assert (batch.counted(RowState.PARSED), batch.counted(RowState.DEAD)) == (parsed, 1)


@pytest.mark.parametrize("name", ["video", "fingerprint", "reason"])
def test_a_row_whose_text_was_edited_into_something_else_cannot_be_read(name: str) -> None:
    item: dict[str, Any] = row_key("b", 7) | {"state": "dead", "video": "v1"}
    with pytest.raises(RowItemInvalid, match="edited by hand"):
        as_row(item | {name: {"a": 1}})


def test_a_row_needs_only_its_required_attributes() -> None:
    item = row_key("b", 7) | {"state": "queued", "video": "v1", "due": "an unsent grant's"}
    assert as_row(item) == Row("b", 7, RowState.QUEUED, "v1")


@pytest.mark.parametrize(
    ("due", "found"), [(stamp(NOON), stamp(NOON)), (f"{NEVER}#000000000000500", NEVER), (None, None)]
)
def test_a_deferred_row_has_its_date_or_none_for_a_person(due: str | None, found: str | None) -> None:
    item = (
        row_key("b", 7) | {"state": "deferred", "video": "v1", "deferrals": Decimal(2)} | ({"due": due} if due else {})
    )
    assert as_row(item) == Row("b", 7, RowState.DEFERRED, "v1", due=found, deferrals=2)


def test_a_video_without_a_record_has_no_talk_and_no_attempts() -> None:
    assert as_video_record({}) == VideoRecord() == VideoRecord("", None, 0, "", None, (), 0, ())


def talk(tier: Tier, review: str | None = None) -> Talk:
    return Talk(title="A talk", presenters=(), tier=tier, confidence=0.5, review=review)


@pytest.mark.parametrize("policy", Policy)
def test_a_stored_talk_is_final_unless_the_model_is_asked_about_every_local_one(policy: Policy) -> None:
    assert not VideoRecord().answers(policy)
    assert all(VideoRecord(talk=talk(tier)).answers(policy) for tier in (Tier.MODEL, Tier.GIVEN))
    assert VideoRecord(talk=talk(Tier.LOCAL, "unusable")).answers(policy)
    assert VideoRecord(talk=talk(Tier.LOCAL)).answers(policy) is (policy is not Policy.MODEL)


def test_a_talk_is_stored_with_decimal_numbers() -> None:
    assert as_map(talk(Tier.LOCAL))["confidence"] == Decimal("0.5")


def test_an_attempt_is_concluded_once_its_end_is_recorded() -> None:
    events = ({"at": "12:00", "event": "claimed"}, {"at": "12:01", "event": "timed_out"})
    assert VideoRecord(history=events).concluded_at == "12:01"
    assert VideoRecord(history=events, lease_until="12:10").concluded_at == ""
    assert VideoRecord().concluded_at == ""


def test_a_batch_is_charged_the_last_amount_of_each_attempt_that_it_claimed() -> None:
    def event(token: str, micro_usd: int, batch: str = "") -> dict[str, Any]:
        named = {"batch": batch} if batch else {}
        return {"at": "12:00", "token": token, "charged": Amount(1, 1, 1, micro_usd).as_map(), **named}

    history = (event("a", 100, "b"), event("a", 10), event("c", 200, "d"), event("e", 400, "b"))
    assert VideoRecord(history=history).charged("b") == Amount(2, 2, 2, 410)
    assert VideoRecord(history=history).charged("d") == Amount(1, 1, 1, 200)


def test_an_end_is_counted_by_its_state_and_its_tier() -> None:
    end = RowEnd(MESSAGE, "order", "f" * 32, RowState.PARSED, Tier.LOCAL)
    assert (end.counter, replace(end, state=RowState.DEAD, tier=None).counter) == ("parsed_local", "dead")
    assert (end.pointer, end.row_exists, end.talk, end.reason) == (Pointer.UNKNOWN, False, None, None)


def test_missing_attributes_mean_a_new_row() -> None:
    assert MessageState() == MessageState(None, "", "", "", VideoRecord(), 0)
    assert Row("b", 7) == Row("b", 7, RowState.QUEUED, "", "", None, None, None, Amount(), 0, "", "")
    assert Attempt(MESSAGE, "f" * 32, "token", 1).claim == 0
