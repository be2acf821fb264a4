"""The catalog's attempts: the claim with its cap, lease and token, and the charges of a batch for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.functional.world import Cut, World, videos

from titlecard.aws.dynamodb.catalog import Attempt, RowEnd, VideoRecord, stamp
from titlecard.domain.batch import RowState
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Talk, Tier

if TYPE_CHECKING:
    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.batch import Message

MARK = "f" * 32
CAP = 3
LEASE_SECONDS = 120
BOUND = Amount(requests=1, input_tokens=900, output_tokens=400, micro_usd=1_000)
BILLED = Amount(requests=1, input_tokens=200, output_tokens=30, micro_usd=70)
TALK = Talk(title="Talk number 1", tier=Tier.MODEL, model="gpt-6-luna", confidence=0.5)
SURE = Talk(title="Talk number 1", tier=Tier.LOCAL, confidence=0.99)


@pytest.fixture
def batch(world: World) -> Batch:
    return world.batch(*videos(1))[0]


@pytest.fixture
def message(world: World) -> Message:
    return world.batch(*videos(1))[1][0]


def claim(
    world: World, message: Message, name: str = "mine", *, cap: int = CAP, policy: Policy = Policy.AUTO
) -> Attempt | VideoRecord:
    until = world.clock.after(LEASE_SECONDS)
    return world.catalog.claim(
        message, MARK, token=name, cap=cap, policy=policy, bound=BOUND, until=until, now=world.clock()
    )


def claimed(world: World, message: Message, name: str = "mine") -> Attempt:
    attempt = claim(world, message, name)
    assert isinstance(attempt, Attempt)
    return attempt


def entry(world: World, message: Message) -> VideoRecord:
    return world.catalog.look_up([(message, MARK)])[0].entry


def store(world: World, message: Message, talk: Talk) -> None:
    """Store a talk without an attempt."""
    world.catalog.end_and_count([RowEnd(message, "", MARK, RowState.PARSED, talk.tier, talk)], now=world.clock())


def fail(world: World, attempt: Attempt, charged: Amount = BOUND) -> bool:
    return world.catalog.fail(attempt, reason="provider_error", charged=charged, now=world.clock())


# ---------------------------------------------------------------------------------------------------------- claiming


def test_the_first_claim_is_attempt_one(world: World, message: Message) -> None:
    assert claim(world, message) == Attempt(message, MARK, "mine", 1)


def test_a_copy_of_a_claim_that_arrives_after_the_attempt_was_given_back_is_refused(
    world: World, message: Message
) -> None:
    one = claim(world, message, "one")
    assert isinstance(one, Attempt)
    assert world.catalog.give_back(one)
    assert isinstance(claim(world, message, "one"), VideoRecord)
    assert isinstance(claim(world, message, "two"), Attempt)


def test_a_claim_that_failed_lets_the_next_one_count_on(world: World, message: Message) -> None:
    fail(world, claimed(world, message, "first"))
    assert claimed(world, message, "second").number == 2


def test_a_live_lease_refuses_a_claim(world: World, message: Message) -> None:
    claimed(world, message, "first")
    world.clock.forward(LEASE_SECONDS - 1)
    refused = claim(world, message, "second")
    assert isinstance(refused, VideoRecord)
    assert (refused.token, refused.attempts) == ("first", 1)


def test_a_lease_holds_up_to_its_very_end(world: World, message: Message) -> None:
    claim(world, message, "dead")
    world.clock.forward(LEASE_SECONDS)
    assert isinstance(claim(world, message, "too early"), VideoRecord)
    world.clock.forward(0.000_001)
    assert isinstance(claim(world, message, "next"), Attempt)


def test_a_video_whose_lease_expired_may_be_claimed_and_the_attempt_counts(world: World, message: Message) -> None:
    claimed(world, message, "first")
    world.clock.forward(LEASE_SECONDS + 1)
    assert claimed(world, message, "second").number == 2


def test_the_cap_refuses_a_claim(world: World, message: Message) -> None:
    for i in range(CAP):
        fail(world, claimed(world, message, str(i)))
    refused = claim(world, message, "one too many")
    assert isinstance(refused, VideoRecord)
    assert refused.attempts == CAP


def test_the_cap_counts_crashed_attempts_too(world: World, message: Message) -> None:
    for i in range(CAP):
        claimed(world, message, str(i))
        world.clock.forward(LEASE_SECONDS + 1)
    assert isinstance(claim(world, message, "one too many"), VideoRecord)


def test_the_cap_holds_across_batches(world: World, message: Message) -> None:
    for i in range(CAP):
        fail(world, claimed(world, message, str(i)))
    _, (again,) = world.batch(*videos(1))
    assert isinstance(claim(world, again, "another upload"), VideoRecord)


def test_another_fingerprint_has_attempts_of_its_own(world: World, message: Message) -> None:
    fail(world, claimed(world, message, "first"))
    other = world.catalog.claim(
        message,
        "0" * 32,
        token="second",  # noqa: S106 -- a claim's token is no password
        cap=CAP,
        policy=Policy.AUTO,
        bound=BOUND,
        until=world.clock.after(LEASE_SECONDS),
        now=world.clock(),
    )
    assert isinstance(other, Attempt)
    assert other.number == 1


def test_a_refused_claim_with_our_token_counts_as_claimed(world: World, message: Message) -> None:
    assert claimed(world, message, "mine") == claimed(world, message, "mine")
    assert entry(world, message).attempts == 1


def test_a_claim_whose_answer_was_lost_counts(world: World, message: Message) -> None:
    world.wire.cut(Cut.LOST_ANSWER)
    assert claimed(world, message).number == 1


def test_a_token_of_an_attempt_that_has_ended_is_no_success(world: World, message: Message) -> None:
    world.catalog.answer(claimed(world, message, "mine"), TALK, charged=BILLED, now=world.clock())
    assert isinstance(claim(world, message, "mine"), VideoRecord)


def test_an_answered_video_is_not_claimed(world: World, message: Message) -> None:
    world.catalog.answer(claimed(world, message, "first"), TALK, charged=BILLED, now=world.clock())
    refused = claim(world, message, "second")
    assert isinstance(refused, VideoRecord)
    assert refused.talk == TALK


def test_a_sure_local_talk_is_claimed_under_the_model_policy(world: World, message: Message) -> None:
    store(world, message, SURE)
    assert isinstance(claim(world, message, policy=Policy.MODEL), Attempt)


def test_a_sure_local_talk_is_not_claimed_otherwise(world: World, message: Message) -> None:
    store(world, message, SURE)
    assert isinstance(claim(world, message, policy=Policy.AUTO), VideoRecord)


def test_a_flagged_local_talk_is_not_claimed_under_the_model_policy(world: World, message: Message) -> None:
    store(world, message, replace_review(SURE))
    assert isinstance(claim(world, message, policy=Policy.MODEL), VideoRecord)


def test_a_model_talk_is_not_claimed_under_the_model_policy(world: World, message: Message) -> None:
    store(world, message, TALK)
    assert isinstance(claim(world, message, policy=Policy.MODEL), VideoRecord)


def test_the_model_talk_replaces_a_sure_local_one(world: World, message: Message) -> None:
    store(world, message, SURE)
    attempt = claim(world, message, policy=Policy.MODEL)
    assert isinstance(attempt, Attempt)
    world.catalog.answer(attempt, TALK, charged=BILLED, now=world.clock())
    assert entry(world, message).talk == TALK


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize(
    "talk",
    [
        None,
        SURE,
        SURE.model_copy(update={"review": "low_confidence"}),
        SURE.model_copy(update={"tier": Tier.GIVEN}),
        TALK,
    ],
)
def test_a_claim_is_refused_exactly_if_the_stored_talk_answers(
    world: World, message: Message, talk: Talk | None, policy: Policy
) -> None:
    if talk:
        store(world, message, talk)
    answers = entry(world, message).answers(policy)
    assert isinstance(claim(world, message, policy=policy), VideoRecord) is answers


# ---------------------------------------------------------------------------------------------------------- its end


def test_an_answer_stores_the_talk_and_ends_the_lease(world: World, message: Message) -> None:
    assert world.catalog.answer(claimed(world, message), TALK, charged=BILLED, now=world.clock())
    found = entry(world, message)
    assert (found.talk, found.lease_until, found.attempts) == (TALK, "", 1)


def test_an_attempt_has_concluded_once_its_end_is_recorded(world: World, message: Message) -> None:
    assert entry(world, message).concluded_at == ""
    attempt = claimed(world, message)
    assert entry(world, message).concluded_at == ""
    world.clock.forward(5)
    fail(world, attempt)
    assert entry(world, message).concluded_at == stamp(world.clock())


def test_a_failure_counts_and_says_why(world: World, message: Message) -> None:
    assert fail(world, claimed(world, message))
    found = entry(world, message)
    assert (found.attempts, found.lease_until, found.history[-1]["event"]) == (1, "", "provider_error")


def test_an_attempt_that_is_given_back_does_not_count(world: World, message: Message) -> None:
    assert world.catalog.give_back(claimed(world, message))
    assert entry(world, message).attempts == 0


def test_an_attempt_that_has_ended_is_not_given_back(world: World, message: Message) -> None:
    attempt = claimed(world, message)
    assert fail(world, attempt)
    assert not world.catalog.give_back(attempt)
    assert entry(world, message).attempts == 1


def test_an_attempt_that_is_given_back_removes_no_other_event_from_the_history(world: World, message: Message) -> None:
    fail(world, claimed(world, message))
    attempt = claimed(world, message, "again")
    assert not world.catalog.give_back(replace(attempt, claim=0))
    assert (entry(world, message).attempts, len(entry(world, message).history)) == (2, 3)


def test_an_attempt_that_is_given_back_leaves_no_trace_so_that_waiting_fills_no_item(
    world: World, message: Message
) -> None:
    fail(world, claimed(world, message, "failed"))
    for number in range(3):
        world.catalog.give_back(claimed(world, message, f"waited {number}"))
    assert [event["token"] for event in entry(world, message).history] == ["failed", "failed"]


def test_an_unsent_attempt_is_uncounted_once_after_another_claim(world: World, message: Message) -> None:
    unsent = claimed(world, message, "unsent")
    world.clock.forward(LEASE_SECONDS + 1)
    other = claimed(world, message, "other")
    assert [world.catalog.uncount(unsent) for _ in range(2)] == [True, False]
    found = entry(world, message)
    assert (found.attempts, found.token, found.lease_until != "") == (1, "other", True)
    assert [(it["event"], it["token"]) for it in found.history] == [("unsent", "unsent"), ("claimed", "other")]
    assert Amount.from_item(found.history[0]["charged"]) == Amount()
    assert world.catalog.give_back(other)
    assert entry(world, message).attempts == 0


def test_an_attempt_that_failed_is_not_uncounted(world: World, message: Message) -> None:
    failed = claimed(world, message, "failed")
    fail(world, failed)
    claimed(world, message, "other")
    before = entry(world, message)
    assert not world.catalog.uncount(replace(failed, claim=1))
    assert not world.catalog.uncount(replace(failed, claim=2))
    assert entry(world, message) == before


def test_an_attempt_without_a_later_claim_is_not_uncounted(world: World, message: Message) -> None:
    attempt = claimed(world, message)
    assert not world.catalog.uncount(attempt)
    assert entry(world, message).attempts == 1


def test_giving_an_attempt_back_ends_its_lease(world: World, message: Message) -> None:
    world.catalog.give_back(claimed(world, message, "first"))
    assert claimed(world, message, "second").number == 1


@pytest.mark.parametrize("end", ["answer", "fail", "give_back"])
def test_an_attempt_that_lost_its_lease_ends_nothing(world: World, message: Message, end: str) -> None:
    late = claimed(world, message, "late")
    world.clock.forward(LEASE_SECONDS + 1)
    claimed(world, message, "next")
    before = entry(world, message)
    assert not _ended(world, late, end)
    assert entry(world, message) == before


@pytest.mark.parametrize("end", ["answer", "fail", "give_back"])
def test_an_attempt_ends_once(world: World, message: Message, end: str) -> None:
    attempt = claimed(world, message)
    _ended(world, attempt, end)
    before = entry(world, message)
    assert not _ended(world, attempt, end)
    assert entry(world, message) == before


@pytest.mark.parametrize("end", ["answer", "fail", "give_back"])
def test_an_end_whose_answer_was_lost_is_written_once(world: World, message: Message, end: str) -> None:
    attempt = claimed(world, message)
    world.wire.cut(Cut.LOST_ANSWER)
    _ended(world, attempt, end)
    found = entry(world, message)
    assert (len(found.history), found.attempts) == ((0, 0) if end == "give_back" else (2, 1))


def test_an_attempt_may_end_after_its_lease_expired_if_no_worker_claimed_the_video(
    world: World, message: Message
) -> None:
    attempt = claimed(world, message)
    world.clock.forward(LEASE_SECONDS + 1)
    assert world.catalog.answer(attempt, TALK, charged=BILLED, now=world.clock())


# ------------------------------------------------------------------------------------------------- what was charged


def test_a_claim_without_an_end_is_charged_its_bound(world: World, message: Message) -> None:
    claimed(world, message)
    assert entry(world, message).charged(message.batch) == BOUND


def test_an_answer_is_charged_what_was_billed(world: World, message: Message) -> None:
    world.catalog.answer(claimed(world, message), TALK, charged=BILLED, now=world.clock())
    assert entry(world, message).charged(message.batch) == BILLED


def test_an_attempt_that_is_given_back_is_charged_nothing(world: World, message: Message) -> None:
    world.catalog.give_back(claimed(world, message))
    assert entry(world, message).charged(message.batch) == Amount()


def test_attempts_add_up(world: World, message: Message) -> None:
    fail(world, claimed(world, message, "lost"))
    claimed(world, message, "crashed")
    world.clock.forward(LEASE_SECONDS + 1)
    world.catalog.give_back(claimed(world, message, "limited"))
    world.catalog.answer(claimed(world, message, "good"), TALK, charged=BILLED, now=world.clock())
    assert entry(world, message).charged(message.batch) == BOUND + BOUND + BILLED


def test_each_batch_is_charged_for_its_own_attempts(world: World, message: Message) -> None:
    fail(world, claimed(world, message, "first batch"))
    _, (again,) = world.batch(*videos(1))
    world.catalog.answer(claimed(world, again, "second batch"), TALK, charged=BILLED, now=world.clock())
    found = entry(world, again)
    assert (found.charged(message.batch), found.charged(again.batch)) == (BOUND, BILLED)


def test_a_batch_that_found_a_stored_talk_is_charged_nothing(world: World, message: Message, batch: Batch) -> None:
    world.catalog.answer(claimed(world, message), TALK, charged=BILLED, now=world.clock())
    assert entry(world, message).charged(batch.id) == Amount()


def _ended(world: World, attempt: Attempt, end: str) -> bool:
    if end == "answer":
        return world.catalog.answer(attempt, TALK, charged=BILLED, now=world.clock())
    if end == "fail":
        return fail(world, attempt)
    return world.catalog.give_back(attempt)


def replace_review(talk: Talk) -> Talk:
    return talk.model_copy(update={"review": "low_confidence"})
