"""A job alone: whether its row is new, whether it may have killed a worker, and how it ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from titlecard.aws.dynamodb.catalog import MessageState, Pointer, RowEnd, VideoRecord
from titlecard.aws.dynamodb.catalog.rows import LOCALLY
from titlecard.domain.batch import Message, RowState
from titlecard.domain.video import Policy, Talk, Tier, Video
from titlecard.extraction import LocalParse
from titlecard.pipeline.job import Job, Received

VIDEO = Video(id="v1", title="A talk by Grace Hopper")
MINE, OTHER = "0123", "4567"
EARLY, LATE = "2026-01-05T12:00:00", "2026-01-05T13:00:00"


def job(
    receives: int = 1,
    *,
    deferrals: int = 0,
    cancelled: bool = False,
    policy: Policy = Policy.AUTO,
    state: MessageState = MessageState(),  # noqa: B008 -- it does not change
    unsent: str = "",
    letter_owed: bool = False,
    is_crashed: bool = False,
    mark_is_old: bool = False,
) -> Job:
    message = Message(
        batch="b", project="pycon", row=7, video=VIDEO, deferrals=deferrals, unsent=unsent, letter_owed=letter_owed
    )
    batch: Any = SimpleNamespace(cancelled=cancelled, upload=SimpleNamespace(order="order"))
    survey: Any = None
    received = Received("id", "receipt", receives, message.model_dump_json())
    return Job(received, message, batch, survey, policy, "a key", "f" * 32, state, is_crashed, mark_is_old)


def leased(alone: str = "") -> MessageState:
    """Return the state of a row whose video is claimed."""
    return MessageState(RowState.QUEUED, EARLY, alone, entry=VideoRecord(token=MINE, lease_until=LATE))


def marked(alone: str = LOCALLY, began: str = LATE) -> MessageState:
    """Return the state of a row that was marked after its last attempt had ended."""
    ended = ({"at": EARLY, "event": "timed_out"},)
    return MessageState(RowState.QUEUED, began, alone, entry=VideoRecord(token=MINE, history=ended))


def test_a_row_is_new_on_its_first_receive_unless_it_was_sent_again_or_its_batch_is_cancelled() -> None:
    assert job().is_new
    assert not job(2).is_new
    assert not job(deferrals=1).is_new
    assert not job(unsent=MINE).is_new
    assert not job(letter_owed=True).is_new
    assert not job(cancelled=True).is_new


def test_a_message_is_returned_if_an_earlier_receive_may_have_killed_its_worker_or_owes_a_letter() -> None:
    assert not job().is_returned
    assert not job(unsent=MINE).is_returned
    assert job(2).is_returned
    assert job(letter_owed=True).is_returned


@pytest.mark.parametrize("sure", [True, False])
def test_the_local_answer_is_final_as_the_policy_says(sure: bool) -> None:
    for policy, final in ((Policy.LOCAL, True), (Policy.AUTO, sure), (Policy.MODEL, False)):
        one = job(policy=policy)
        one.local = LocalParse("A talk", ("Grace Hopper",), 0.9, sure=sure, source="title")
        assert one.is_sure is final


SUSPECTS = {
    "an attempt whose lease is over": (job(state=leased(), is_crashed=True), True, False),
    "an attempt whose lease is over, made alone": (job(state=leased(MINE), is_crashed=True), True, True),
    "an attempt whose lease is over, after another's alone": (job(state=leased(OTHER), is_crashed=True), True, False),
    "an attempt with a live lease": (job(3, state=leased()), False, False),
    "an attempt with a live lease, made alone": (job(3, state=leased(MINE)), False, False),
    "an old mark under a live lease": (job(3, state=leased(LOCALLY), mark_is_old=True), False, False),
    "a young mark": (job(2, state=marked()), True, False),
    "an old mark": (job(2, state=marked(), mark_is_old=True), True, True),
    "an old mark on the first receive": (job(1, state=marked(), mark_is_old=True), False, False),
    "an old mark of a row that survived its step": (job(2, state=marked(""), mark_is_old=True), True, False),
    "a mark from before the recorded end": (job(2, state=marked(began=EARLY), mark_is_old=True), False, False),
    "no mark": (job(5, state=marked("", ""), mark_is_old=True), False, False),
    "nothing": (job(5, mark_is_old=True), False, False),
}


@pytest.mark.parametrize("case", sorted(SUSPECTS))
def test_a_suspect_is_distinguished_from_a_message_that_alone_killed_a_worker(case: str) -> None:
    one, is_suspect, killed_alone = SUSPECTS[case]
    assert (one.is_suspect, one.killed_alone) == (is_suspect, killed_alone)


TALK = Talk(title="A talk", presenters=("Grace Hopper",), tier=Tier.MODEL, confidence=0.5)


def test_an_end_names_its_row_its_talk_and_what_is_known_to_exist() -> None:
    known = MessageState(RowState.QUEUED, newest="an order")
    for state, pointer, row_exists in ((MessageState(), Pointer.UNKNOWN, False), (known, Pointer.THERE, True)):
        one = job(state=state)
        expected = RowEnd(one.message, "order", "f" * 32, RowState.PARSED, Tier.MODEL, TALK, None, pointer, row_exists)
        assert one.ending(RowState.PARSED, TALK) == expected
    one = job(state=known)
    assert one.ending(RowState.PARSED, tier=Tier.LOCAL, pointer=Pointer.SET) == RowEnd(
        one.message, "order", "f" * 32, RowState.PARSED, Tier.LOCAL, None, None, Pointer.SET, row_exists=True
    )
    assert one.ending(RowState.DEAD, reason="attempts_used_up").reason == "attempts_used_up"
