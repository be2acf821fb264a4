"""The parser's work on one video: how its row ends, what it costs, and when its message returns.

The model tier is the real one, against a provider on loopback that keeps its own bill. The local tier is real too,
except for its confidence: it is sure of exactly the videos whose id begins with "sure".
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from tests.functional.conftest import MODEL
from tests.functional.world import LIMITS, NUMBERS, KeysOfATest, Killed, World, received, videos

from titlecard import extraction, telemetry
from titlecard.aws.dynamodb.catalog import NEVER, Attempt, Catalog, Row, RowEnd, VideoRecord, stamp
from titlecard.aws.dynamodb.catalog.rows import LOCALLY
from titlecard.aws.errors import CatalogBusy, KeyUnreadable
from titlecard.aws.sqs import DeadLetterSender, WorkQueue
from titlecard.domain.batch import Message, RowState
from titlecard.domain.money import Amount, PriceList, Usage, measured
from titlecard.domain.reasons import Review
from titlecard.domain.video import Policy, Tier, Video, fingerprint
from titlecard.llm import ModelTier
from titlecard.pipeline.job import Received
from titlecard.pipeline.outcome_types import Done, Outcome, Redeliver, Replaced

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tests.provider import LoopbackProvider

    from titlecard.aws.dynamodb.catalog import Batch, Ended
    from titlecard.extraction import LocalParse
    from titlecard.llm import Answer, Request
    from titlecard.pipeline.ask import LanguageModel

pytestmark = pytest.mark.usefixtures("local_tier")

RATES = PriceList.packaged().rates(MODEL, "default")

CAP = NUMBERS["AttemptCap"]
BACKOFF = NUMBERS["RetryBackoffSeconds"]
PARSED_BY_MODEL = Done(RowState.PARSED, Tier.MODEL)
PARSED_LOCALLY = Done(RowState.PARSED, Tier.LOCAL)
DEFERRED = Done(RowState.DEFERRED)
DEAD = Done(RowState.DEAD)
SUPERSEDED = Done(RowState.SUPERSEDED)


def work(
    world: World,
    tier: LanguageModel,
    message: Message | Received,
    receives: int = 1,
    *,
    left: float = 90,
    key: str | None = "sk-proj-loopback-0123456789",
    **rules: Any,  # noqa: ANN401 -- each is of its field's kind
) -> Outcome:
    """Work on one message and return its outcome."""
    one = message if isinstance(message, Received) else received(message, receives)
    return world.parser(tier, keys=KeysOfATest(key), **rules).work([one], lambda: left)[one.id]


def mark(message: Message, model: str | None = MODEL) -> str:
    return fingerprint(message.video, model=model, prompt_version=ModelTier.prompt_version)


def entry(world: World, message: Message, model: str | None = MODEL) -> VideoRecord:
    return world.catalog.look_up([(message, mark(message, model))])[0].entry


def row(world: World, message: Message) -> Row:
    (found,) = (it for it in world.catalog.rows(world.catalog.batch(message.batch)) if it.number == message.row)
    return found


def bound(world: World, message: Message) -> Amount:
    """Return the bound that the first claim reserved."""
    claimed = entry(world, message).history[0]["charged"]
    return Amount.from_item(claimed)


def billed(provider: LoopbackProvider) -> Amount:
    """Return the provider's own bill."""
    paid = [Usage(post.input_tokens, post.output_tokens, 0, 0) for post in provider.posts if post.input_tokens]
    return sum((measured(usage, RATES) for usage in paid), Amount())


def point_at_newer(world: World, message: Message) -> Batch:
    """Make a newer batch with the message's video."""
    newer, (again,) = world.batch(message.video)
    world.catalog.move_pointer(again, mark(again), newer.upload.order)
    return newer


@pytest.fixture
def message(world: World) -> Message:
    """Return a row that needs the model."""
    return world.batch(*videos(1))[1][0]


@pytest.fixture
def sure(world: World) -> Message:
    """Return a row that the local tier is sure of."""
    return world.batch(*videos(1, "sure"))[1][0]


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """Return the copies of messages that the parser sends to the work queue."""
    sent: list[Message] = []

    def send_again(_queue: WorkQueue, body: str, _seconds: int) -> None:
        sent.append(Message.model_validate_json(body))

    monkeypatch.setattr(WorkQueue, "send_again", send_again)
    return sent


def sends_the_letter(world: World, tier: ModelTier, copies: list[Message]) -> None:
    """Check that there is one copy of a message, and that its first receive sends the dead letter."""
    (copy,) = copies
    assert copy.letter_owed
    assert work(world, tier, copy, attempt_cap=1) == DEAD
    assert [body for body, _ in world.dead()] == [copy.without_notes().model_dump_json()]


# -------------------------------------------------------------------------------------------------------- who answers


def test_a_sure_answer_of_the_local_tier_costs_nothing(
    world: World, provider: LoopbackProvider, tier: ModelTier, sure: Message
) -> None:
    assert work(world, tier, sure) == PARSED_LOCALLY
    assert (provider.posts, world.ledger.spent(sure.batch)) == ([], Amount())


def test_the_model_answers_if_the_local_tier_is_not_sure(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    assert work(world, tier, message) == PARSED_BY_MODEL
    talk = entry(world, message).talk
    assert talk is not None
    assert (talk.tier, talk.model, talk.review, len(provider.posts)) == (Tier.MODEL, MODEL, None, 1)


def test_the_model_is_told_the_template_of_the_rows_own_event(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints: list[str] = []
    prepare = tier.prepare

    def recorded(video: Video, local: LocalParse, hint: str) -> Request:
        hints.append(hint)
        return prepare(video, local, hint)

    monkeypatch.setattr(tier, "prepare", recorded)
    first = [it.model_copy(update={"event": "PyCon 2019"}) for it in videos(6)]
    second = [Video(id=f"d{n}", title=f"DevConf: topic {n}", event="DevConf") for n in range(6)]
    _, messages = world.batch(*(video for pair in zip(first, second, strict=True) for video in pair))
    assert [work(world, tier, message) for message in messages[:2]] == [PARSED_BY_MODEL] * 2
    assert ["pycon" in hint for hint in hints] == [True, False]
    assert ["devconf" in hint for hint in hints] == [False, True]


def test_an_answer_is_charged_what_the_provider_billed(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    work(world, tier, message)
    assert world.ledger.spent(message.batch) == billed(provider)
    assert entry(world, message).charged(message.batch) == billed(provider)


def test_a_talk_says_what_its_answer_cost(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    work(world, tier, message)
    talk, bill = entry(world, message).talk, billed(provider)
    assert talk is not None
    assert (talk.tokens.input, talk.tokens.output) == (bill.input_tokens, bill.output_tokens)
    assert talk.cost_micro_usd == bill.micro_usd


def test_without_a_key_the_local_tier_answers_and_flags_what_it_is_not_sure_of(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    assert work(world, tier, message, key=None) == PARSED_LOCALLY
    talk = entry(world, message, model=None).talk
    assert talk is not None
    assert (talk.review, provider.posts) == (Review.LOW_CONFIDENCE, [])


def test_an_unsure_local_answer_is_replaced_once_a_model_is_available(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    work(world, tier, message, key=None)
    _, (again,) = world.batch(message.video)
    assert work(world, tier, again) == PARSED_BY_MODEL
    assert len(provider.posts) == 1


def test_the_model_is_not_asked_under_the_local_policy(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    assert work(world, tier, message, tier_policy=Policy.LOCAL) == PARSED_LOCALLY
    assert provider.posts == []


def test_the_model_is_asked_about_everything_under_the_model_policy(
    world: World, provider: LoopbackProvider, tier: ModelTier, sure: Message
) -> None:
    assert work(world, tier, sure, tier_policy=Policy.MODEL) == PARSED_BY_MODEL
    assert len(provider.posts) == 1


def test_a_sure_local_talk_is_answered_again_under_the_model_policy(
    world: World, provider: LoopbackProvider, tier: ModelTier, sure: Message
) -> None:
    work(world, tier, sure)
    _, (again,) = world.batch(sure.video)
    assert work(world, tier, again, tier_policy=Policy.MODEL) == PARSED_BY_MODEL
    assert len(provider.posts) == 1


def test_a_flagged_talk_from_the_model_is_not_paid_for_again_under_the_model_policy(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("refusal")
    work(world, tier, message)
    _, (again,) = world.batch(message.video)
    assert work(world, tier, again, tier_policy=Policy.MODEL) == PARSED_LOCALLY
    assert len(provider.posts) == 1


# ------------------------------------------------------------------------------------------------ not paid for twice


def test_a_stored_talk_costs_nothing(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    work(world, tier, message)
    again_batch, (again,) = world.batch(message.video)
    assert work(world, tier, again) == PARSED_BY_MODEL
    assert len(provider.posts) == 1
    assert world.ledger.spent(again_batch.id) == entry(world, again).charged(again_batch.id) == Amount()


def test_the_same_message_again_costs_nothing(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    work(world, tier, message)
    assert work(world, tier, message) == Done(RowState.PARSED)
    assert len(provider.posts) == 1


def test_the_same_message_twice_at_once_is_one_request(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    twins = [received(message), replace(received(message), id="its twin")]
    outcomes = world.parser(tier).work(twins, lambda: 90)
    assert PARSED_BY_MODEL in outcomes.values()
    assert len(provider.posts) == 1


def test_a_sure_message_twice_at_once_ends_once(
    world: World, tier: ModelTier, sure: Message, local_tier: list[str]
) -> None:
    twins = [received(sure), replace(received(sure), id="its twin")]
    assert set(world.parser(tier).work(twins, lambda: 90).values()) == {PARSED_LOCALLY}
    assert local_tier == [sure.video.id] * 2


def test_a_newer_batch_supersedes_a_row_before_anything_is_paid(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    point_at_newer(world, message)
    assert work(world, tier, message) == SUPERSEDED
    assert (provider.posts, entry(world, message).attempts) == ([], 0)


def test_a_batch_that_became_newer_since_the_look_up_supersedes_a_row_before_anything_is_paid(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = world.catalog.look_up

    def slow(asked: Sequence[tuple[Message, str]]) -> object:
        found = look_up(asked)
        monkeypatch.undo()
        point_at_newer(world, message)
        return found

    parser = world.parser(tier, tier_policy=Policy.MODEL)
    monkeypatch.setattr(Catalog, "look_up", lambda _, *args, **kwargs: slow(*args, **kwargs))
    assert parser.work([received(message)], lambda: 90) == {"message-1": SUPERSEDED}
    assert provider.posts == []


# ------------------------------------------------------------------------------------------------------ not now: 0


@pytest.mark.parametrize("fault", ["rate_limit", "unauthorized", "forbidden", "insufficient_quota", "spend_limit"])
def test_an_unbilled_fault_defers_the_row_without_a_charge_or_an_attempt(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, fault: str
) -> None:
    provider.fail(fault)
    assert work(world, tier, message) == DEFERRED
    assert (entry(world, message).attempts, world.ledger.spent(message.batch)) == (0, Amount())


def test_a_row_waits_for_an_unreachable_provider(world: World, message: Message) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with closing(ModelTier(MODEL, max_output_tokens=400, prices=PriceList.packaged(), base_url=nowhere)) as tier:
        assert work(world, tier, message) == DEFERRED
    assert (entry(world, message).attempts, world.ledger.spent(message.batch)) == (0, Amount())


def test_a_rate_limit_is_waited_for_as_long_as_it_says(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("rate_limit")
    work(world, tier, message)
    assert row(world, message).due == stamp(world.clock.after(7))


def test_an_account_fault_is_probed_after_fifteen_minutes(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("unauthorized")
    work(world, tier, message)
    assert row(world, message).due == stamp(world.clock.after(15 * 60))


def test_a_deferred_row_has_its_reason(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("rate_limit")
    work(world, tier, message)
    assert (row(world, message).reason or "").startswith("rate_limited: The provider said 429")


def test_a_row_that_waited_is_answered_when_it_comes_again(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("rate_limit")
    work(world, tier, message)
    world.clock.forward(7)
    world.sweeper().run()
    (again,) = world.sent()
    assert work(world, tier, again) == PARSED_BY_MODEL
    assert (entry(world, message).attempts, world.ledger.spent(message.batch)) == (1, billed(provider))


def test_waiting_never_uses_up_attempts(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail(*["rate_limit"] * (CAP + 2))
    for _ in range(CAP + 2):
        assert work(world, tier, message) == DEFERRED
        world.clock.forward(NUMBERS["VisibilitySeconds"])
        world.sweeper().run()
        (message,) = world.sent()
    assert work(world, tier, message) == PARSED_BY_MODEL


# --------------------------------------------------------------------------------------------- it may have been billed


@pytest.mark.parametrize(
    "fault", ["server_error", "request_timeout", "reset", "half_body", "html", "failed_without_usage"]
)
def test_a_fault_that_may_have_been_billed_is_charged_its_bound_and_retried(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, fault: str
) -> None:
    provider.fail(fault)
    assert isinstance(work(world, tier, message), Redeliver)
    assert entry(world, message).attempts == 1
    assert world.ledger.spent(message.batch) == entry(world, message).charged(message.batch) == bound(world, message)


def test_a_hanging_request_ends_at_the_deadline_and_is_charged_its_bound(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("hang")
    assert isinstance(work(world, tier, message, request_deadline_seconds=4), Redeliver)
    assert world.ledger.spent(message.batch) == bound(world, message)


def test_an_answer_that_failed_is_charged_the_usage_that_it_came_with(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("failed")
    assert isinstance(work(world, tier, message), Redeliver)
    assert world.ledger.spent(message.batch) == billed(provider)


def test_the_back_off_doubles_from_attempt_to_attempt(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("server_error", "server_error")
    for attempt in (1, 2):
        outcome = work(world, tier, message, attempt)
        longest = BACKOFF * 2 ** (attempt - 1)
        assert isinstance(outcome, Redeliver)
        assert outcome.seconds is not None
        assert longest / 2 <= outcome.seconds <= longest


def test_the_back_off_never_hides_a_message_for_longer_than_its_queue_does(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("server_error")
    outcome = work(world, tier, message, retry_backoff_seconds=10_000)
    assert isinstance(outcome, Redeliver)
    assert (outcome.seconds or 0) <= NUMBERS["VisibilitySeconds"]


def test_at_the_cap_a_video_is_dead_with_the_last_reason(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail(always="server_error")
    outcomes = [work(world, tier, message, receives) for receives in range(1, CAP + 1)]
    assert outcomes[-1] == DEAD
    ((body, reason),) = world.dead()
    assert (body, reason) == (message.model_dump_json(), row(world, message).reason)
    assert reason.startswith("provider_error: The provider said 500")


def test_there_are_no_more_requests_than_the_cap_and_each_is_charged(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail(always="server_error")
    for receives in range(1, CAP + 3):
        work(world, tier, message, receives)
    assert len(provider.posts) == CAP
    one = bound(world, message)
    assert world.ledger.spent(message.batch) == sum([one] * CAP, Amount())


def test_another_upload_grants_no_further_attempts(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail(always="server_error")
    for receives in range(1, CAP + 1):
        work(world, tier, message, receives)
    _, (again,) = world.batch(message.video)
    assert work(world, tier, again) == DEAD
    assert len(provider.posts) == CAP
    assert (row(world, again).reason or "").startswith("attempts_used_up: 3 attempts")


# --------------------------------------------------------------------------------------------- it would never go well


NO_USE = {
    "refusal": "refused",
    "content_filter": "refused",
    "truncated": "truncated",
    "wrong_schema": "wrong_schema",
    "prose": "wrong_schema",
    "ungrounded": Review.UNGROUNDED,
}


@pytest.mark.parametrize("fault", NO_USE)
def test_an_unusable_answer_leaves_the_local_one_for_review_and_is_paid_for_once(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, fault: str
) -> None:
    provider.fail(fault)
    assert work(world, tier, message) == PARSED_LOCALLY
    talk = entry(world, message).talk
    assert talk is not None
    assert (talk.tier, talk.review, len(provider.posts)) == (Tier.LOCAL, NO_USE[fault], 1)
    assert world.ledger.spent(message.batch) == billed(provider)


@pytest.mark.parametrize("fault", ["invalid_prompt", "filtered_prompt", "context_too_long"])
def test_a_rejection_of_this_rows_text_leaves_the_local_answer_for_review(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, fault: str
) -> None:
    provider.fail(fault)
    assert work(world, tier, message) == PARSED_LOCALLY
    talk = entry(world, message).talk
    assert talk is not None
    assert (talk.tier, talk.review, len(provider.posts)) == (
        Tier.LOCAL,
        "context_too_long" if fault == "context_too_long" else "refused",
        1,
    )
    assert (world.ledger.spent(message.batch), world.dead()) == (bound(world, message), [])


def test_an_answer_without_a_usage_is_kept_and_charged_its_bound(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("no_usage")
    assert work(world, tier, message) == PARSED_BY_MODEL
    talk = entry(world, message).talk
    assert talk is not None
    assert talk.tokens.input == bound(world, message).input_tokens
    assert world.ledger.spent(message.batch) == bound(world, message)


def test_a_usage_above_the_bound_is_charged_in_full(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("usage_above_bound")
    assert work(world, tier, message) == PARSED_BY_MODEL
    assert world.ledger.spent(message.batch) == billed(provider)
    assert billed(provider).exceeds(bound(world, message))


# ---------------------------------------------------------------------------------------------------- the batch's limit


def test_at_the_batchs_limit_the_rest_waits_for_a_person(
    world: World, provider: LoopbackProvider, tier: ModelTier
) -> None:
    batch, messages = world.batch(*videos(3), limits=replace(LIMITS, requests=2))
    outcomes = [work(world, tier, message) for message in messages]
    assert outcomes == [PARSED_BY_MODEL, PARSED_BY_MODEL, DEFERRED]
    waits = next(world.catalog.deferred(batch)).row
    assert (waits.number, waits.due, (waits.reason or "").split(":")[0]) == (3, NEVER, "batch_limit")
    assert len(provider.posts) == 2


def test_a_row_that_the_limit_refused_has_lost_no_attempt(world: World, tier: ModelTier) -> None:
    _, (message,) = world.batch(*videos(1), limits=replace(LIMITS, requests=0))
    work(world, tier, message)
    assert entry(world, message).attempts == 0


@pytest.mark.parametrize("tight", ["tokens", "micro_usd"])
def test_a_limit_below_one_requests_bound_lets_nothing_through(
    world: World, provider: LoopbackProvider, tier: ModelTier, tight: str
) -> None:
    _, (message,) = world.batch(*videos(1), limits=replace(LIMITS, **{tight: 1}))
    assert work(world, tier, message) == DEFERRED
    assert provider.posts == []


def test_retries_come_out_of_the_batchs_limit(world: World, provider: LoopbackProvider, tier: ModelTier) -> None:
    _, (message,) = world.batch(*videos(1), limits=replace(LIMITS, requests=1))
    provider.fail("server_error")
    assert isinstance(work(world, tier, message, 1), Redeliver)
    assert work(world, tier, message, 2) == DEFERRED
    assert len(provider.posts) == 1


def test_ten_at_once_stay_within_the_batchs_limit(world: World, provider: LoopbackProvider, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(10), limits=replace(LIMITS, requests=4))
    outcomes = world.parser(tier).work([received(message) for message in messages], lambda: 90)
    assert Counter(outcomes.values()) == {DEFERRED: 6, Done(RowState.PARSED, Tier.MODEL): 4}
    assert (len(provider.posts), world.ledger.spent(batch.id)) == (4, billed(provider))


def test_local_answers_need_no_room(world: World, tier: ModelTier) -> None:
    nothing = replace(LIMITS, requests=0, tokens=0, micro_usd=0)
    _, (message,) = world.batch(*videos(1, "sure"), limits=nothing)
    assert work(world, tier, message) == PARSED_LOCALLY


def test_without_the_ledger_nothing_is_sent_and_the_row_waits(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    assert world.parser(tier, ledger_table="no-such-table").work([received(message)], lambda: 90) == {
        "message-1": DEFERRED
    }
    assert (provider.posts, entry(world, message).attempts) == ([], 0)
    assert (row(world, message).reason or "").startswith("ledger_unreachable: the ledger did not answer")


def test_a_key_that_cannot_be_read_defers_only_its_projects_rows(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    class Unreadable:
        def of(self, project: str, *, fresh: bool = False) -> str | None:
            del fresh
            if project == message.project:
                raise KeyUnreadable(project)
            return None

    _, (_, neighbour) = world.batch(*videos(2), project="pycon")
    outcomes = world.parser(tier, keys=Unreadable()).work([received(message), received(neighbour)], lambda: 90)
    assert outcomes == {"message-1": DEFERRED, "message-2": PARSED_LOCALLY}
    assert (row(world, message).reason or "").startswith("key_unreadable")
    assert provider.posts == []


def test_a_row_whose_key_cannot_be_read_is_tried_again_after_the_visibility_timeout(
    world: World, tier: ModelTier, message: Message
) -> None:
    class Unreadable(KeysOfATest):
        def of(self, _project: str, *, fresh: bool = False) -> str | None:  # noqa: ARG002 -- as `Keys`
            raise KeyUnreadable("denied")

    world.parser(tier, keys=Unreadable(None)).work([received(message)], lambda: 90)
    assert row(world, message).due == stamp(world.clock.after(NUMBERS["VisibilitySeconds"]))


def test_a_row_that_has_ended_is_not_deferred_for_an_unreadable_key(
    world: World, tier: ModelTier, sure: Message
) -> None:
    class Unreadable(KeysOfATest):
        def of(self, _project: str, *, fresh: bool = False) -> str | None:  # noqa: ARG002 -- as `Keys`
            raise KeyUnreadable("denied")

    assert work(world, tier, sure) == PARSED_LOCALLY
    last = NUMBERS["MaxReceiveCount"]
    outcomes = world.parser(tier, keys=Unreadable(None)).work([received(sure, last)], lambda: 90)
    assert (outcomes, row(world, sure).state) == ({"message-1": Done(RowState.PARSED)}, RowState.PARSED)


# ------------------------------------------------------------------------------------------------- leases and receives


def claim(world: World, message: Message, seconds: float, holder: str = "") -> Attempt | VideoRecord:
    """Claim the message's video for another worker."""
    return world.catalog.claim(
        message,
        mark(message),
        token=holder or uuid4().hex,
        cap=CAP,
        policy=Policy.AUTO,
        bound=Amount(1, 1, 1, 1),
        until=world.clock.after(seconds),
        now=world.clock(),
    )


def test_a_message_that_meets_a_live_lease_is_never_acknowledged(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    claim(world, message, 60)
    assert work(world, tier, message) == Redeliver()
    assert provider.posts == []


def test_under_the_model_policy_a_sure_local_talk_is_no_end_while_another_worker_asks(
    world: World, tier: ModelTier, sure: Message
) -> None:
    assert work(world, tier, sure) == PARSED_LOCALLY
    _, (again,) = world.batch(sure.video)
    world.catalog.claim(
        again,
        mark(again),
        token="another's",  # noqa: S106 -- no password
        cap=CAP,
        policy=Policy.MODEL,
        bound=Amount(1, 1, 1, 1),
        until=world.clock.after(60),
        now=world.clock(),
    )
    assert work(world, tier, again, tier_policy="model") == Redeliver()


def test_at_the_cap_a_live_lease_is_still_waited_for(world: World, tier: ModelTier, message: Message) -> None:
    for _ in range(CAP):
        claim(world, message, 60)
        world.clock.forward(61)
    world.clock.forward(-30)
    assert work(world, tier, message) == Redeliver()


def test_a_crashed_attempt_counts_and_stays_charged(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    claim(world, message, 60)
    world.clock.forward(61)
    assert work(world, tier, message, 2) == PARSED_BY_MODEL
    assert entry(world, message).attempts == 2
    assert entry(world, message).charged(message.batch) == billed(provider) + Amount(1, 1, 1, 1)


def test_a_lease_ends_before_the_queue_shows_the_message_again(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "ask", _killed)
    with pytest.raises(Killed):
        work(world, tier, message, left=100_000)
    shown_again = world.clock.after(NUMBERS["VisibilitySeconds"])
    assert entry(world, message).lease_until < stamp(shown_again)


def test_a_lease_lasts_longer_than_the_invocation(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "ask", _killed)
    with pytest.raises(Killed):
        work(world, tier, message, left=90)
    assert entry(world, message).lease_until > stamp(world.clock.after(90))


@pytest.mark.parametrize("fault", ["ok", "refusal", "failed", "rate_limit"])
def test_a_worker_that_was_overtaken_settles_nothing(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, fault: str
) -> None:
    provider.fail(fault)
    work(world, Overtaken(tier, world, message), message)
    assert world.ledger.spent(message.batch) == bound(world, message)


def test_a_worker_that_was_overtaken_stores_nothing(world: World, tier: ModelTier, message: Message) -> None:
    assert work(world, Overtaken(tier, world, message), message) == Redeliver()
    assert entry(world, message).talk is None


def test_with_too_little_time_left_nothing_is_claimed(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    left = NUMBERS["RequestDeadlineSeconds"] + NUMBERS["SettleMarginSeconds"] - 0.1
    assert work(world, tier, message, left=left) == Redeliver(0)
    assert (provider.posts, entry(world, message).history) == ([], ())


def test_with_just_enough_time_left_the_model_is_asked(world: World, tier: ModelTier, message: Message) -> None:
    left = NUMBERS["RequestDeadlineSeconds"] + NUMBERS["SettleMarginSeconds"]
    assert work(world, tier, message, left=left) == PARSED_BY_MODEL


def test_a_lease_outlasts_the_invocation_by_the_most_that_two_clocks_differ(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "ask", _killed)
    with pytest.raises(Killed):
        work(world, tier, message, left=90)
    assert entry(world, message).lease_until == stamp(world.clock.after(90 + 2 * 300))


@pytest.mark.parametrize(
    ("receives", "left", "outcome"),
    [
        (NUMBERS["MaxReceiveCount"] - 2, 90, Redeliver()),
        (NUMBERS["MaxReceiveCount"] - 1, 90, Replaced()),
        (NUMBERS["MaxReceiveCount"] - 1, 1, Replaced()),
    ],
)
def test_a_message_whose_receives_are_nearly_used_up_in_waiting_for_another_worker_or_for_time_is_replaced(
    world: World,
    tier: ModelTier,
    message: Message,
    *,
    monkeypatch: pytest.MonkeyPatch,
    receives: int,
    left: float,
    outcome: Outcome,
) -> None:
    copies: list[tuple[str, int]] = []
    monkeypatch.setattr(WorkQueue, "send_again", lambda _queue, body, seconds: copies.append((body, seconds)))
    claim(world, message, 60)
    assert work(world, tier, message, receives, left=left) == outcome
    copy = message.model_copy(update={"letter_owed": True})  # an earlier receive may have recorded its death
    assert copies == [(copy.model_dump_json(), BACKOFF)] * (outcome == Replaced())


def test_a_message_whose_copy_cannot_be_sent_stays_in_the_queue(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="sqs")

    monkeypatch.setattr(WorkQueue, "send_again", unanswered)
    claim(world, message, 60)
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"] - 1) == Redeliver()


@pytest.mark.parametrize("is_suspect", [True, False])
def test_a_suspect_whose_answer_cannot_be_saved_is_replaced_since_its_row_is_marked(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch, *, is_suspect: bool
) -> None:
    def unanswered(*_: object, **__: object) -> None:
        raise EndpointConnectionError(endpoint_url="dynamodb")

    if is_suspect:
        claim(world, message, 60)
        world.clock.forward(61)
    monkeypatch.setattr(Catalog, "answer", unanswered)
    assert (work(world, tier, message, 2) == Replaced()) is is_suspect


def test_a_suspect_for_which_there_is_too_little_time_comes_back_as_it_is(
    world: World, tier: ModelTier, message: Message
) -> None:
    claim(world, message, 60)
    world.clock.forward(61)
    assert work(world, tier, message, 2, left=1) == Redeliver(0)


@pytest.mark.parametrize("waited", [0, NUMBERS["VisibilitySeconds"]])
def test_a_row_that_survived_the_local_tier_and_had_no_time_left_is_not_dead_at_its_last_receive(
    world: World, tier: ModelTier, message: Message, waited: int
) -> None:
    assert work(world, tier, message, 2, left=1) == Redeliver(0)
    world.clock.forward(waited)
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"]) == DEFERRED


def test_a_row_whose_request_kills_every_worker_alone_is_dead_at_its_last_receive(
    world: World, tier: ModelTier, message: Message
) -> None:
    deadly = Deadly(tier, "Talk number 1")
    for receives in range(1, NUMBERS["MaxReceiveCount"]):
        with pytest.raises(Killed):
            work(world, deadly, message, receives, attempt_cap=10)
        world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"], attempt_cap=10) == DEAD
    assert (row(world, message).reason or "").startswith("receives_used_up: ")


def test_a_suspect_whose_attempt_failed_with_a_recorded_fault_is_not_dead_at_its_last_receive(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    claim(world, message, 60)
    world.clock.forward(61)
    provider.fail("server_error")
    assert isinstance(work(world, tier, message, 2, attempt_cap=10), Redeliver)
    world.clock.forward(NUMBERS["VisibilitySeconds"])
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"], attempt_cap=10) == DEFERRED


@pytest.mark.parametrize("marked", [True, False])
def test_a_row_that_crashed_only_beside_others_is_not_dead_at_its_last_receive(
    world: World, tier: ModelTier, message: Message, *, marked: bool
) -> None:
    if marked:  # by a worker that was alone with it and claimed nothing
        world.catalog.mark_started(message, now=world.clock(), alone="theirs")
    claim(world, message, 60)  # and its worker died, of whatever it had in hand
    world.clock.forward(61)
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"]) == DEFERRED
    assert world.dead() == []


def test_the_last_receive_does_no_work(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, local_tier: list[str]
) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone=LOCALLY)
    world.clock.forward(NUMBERS["VisibilitySeconds"])
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"]) == DEAD
    assert (provider.posts, local_tier) == ([], [])


def test_the_last_receive_records_the_row_as_dead_with_its_reason(
    world: World, tier: ModelTier, message: Message
) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone=LOCALLY)
    world.clock.forward(NUMBERS["VisibilitySeconds"])
    work(world, tier, message, NUMBERS["MaxReceiveCount"])
    ((body, reason),) = world.dead()
    assert (body, reason) == (message.model_dump_json(), row(world, message).reason)
    assert reason.startswith("receives_used_up: received 6 times")


def test_a_last_receive_while_another_worker_parses_the_row_does_not_end_it_as_dead(
    world: World, tier: ModelTier, message: Message
) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone=LOCALLY)
    world.clock.forward(NUMBERS["ParserTimeoutSeconds"])
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"]) == DEFERRED
    assert world.dead() == []


def test_a_last_receive_soon_after_a_copy_killed_its_worker_waits_until_the_copy_is_acknowledged(
    world: World, tier: ModelTier, message: Message
) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone=LOCALLY)
    world.clock.forward(NUMBERS["VisibilitySeconds"] // 2 - 1)
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"]) == DEFERRED
    world.clock.forward(NUMBERS["VisibilitySeconds"] // 2 + 1)  # SQS redelivers the copy
    world.sweeper().run()
    assert world.sent() == []
    assert work(world, tier, message, 2) == DEFERRED
    assert row(world, message).deferrals == 1


@pytest.mark.parametrize(("waited", "outcome"), [(59, DEFERRED), (61, DEAD)])
def test_a_last_receive_ends_a_row_only_after_the_lease_of_the_worker_that_asks_about_it(
    world: World, tier: ModelTier, message: Message, waited: int, outcome: Outcome
) -> None:
    world.catalog.mark_started(message, now=world.clock(), alone="theirs")
    claim(world, message, 60, "theirs")
    world.clock.forward(waited)
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"]) == outcome


def test_a_message_that_was_never_worked_on_alone_is_deferred_at_its_last_receive(
    world: World, tier: ModelTier, message: Message
) -> None:
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"]) == DEFERRED
    assert row(world, message).due == stamp(world.clock.after(BACKOFF))
    world.clock.forward(BACKOFF)
    world.sweeper().run()
    (again,) = world.sent()
    assert work(world, tier, again) == PARSED_BY_MODEL
    assert world.dead() == []


def test_a_message_whose_mark_may_be_written_is_replaced(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Catalog.mark_started

    def lost(catalog: Catalog, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 -- the mark's
        """Write the mark and lose its answer."""
        begin(catalog, *arguments, **more)
        raise EndpointConnectionError(endpoint_url="dynamodb")

    monkeypatch.setattr(Catalog, "mark_started", lost)
    assert work(world, tier, message, 2) == Replaced()


def test_the_receive_before_the_last_still_does_work(world: World, tier: ModelTier, message: Message) -> None:
    assert work(world, tier, message, NUMBERS["MaxReceiveCount"] - 1) == PARSED_BY_MODEL


def test_the_last_receive_of_an_answered_video_does_not_end_it_as_dead(
    world: World, tier: ModelTier, message: Message
) -> None:
    work(world, tier, message)
    _, (again,) = world.batch(message.video)
    assert work(world, tier, again, NUMBERS["MaxReceiveCount"]) == PARSED_BY_MODEL
    assert world.dead() == []


@pytest.mark.parametrize("body", ["no JSON", "{}", '{"batch":"b","project":"p","row":"x","video":{}}'])
def test_an_undecodable_message_is_a_dead_letter(world: World, tier: ModelTier, body: str) -> None:
    assert work(world, tier, Received("odd", "receipt", 1, body)) == DEAD
    assert [(it, reason.split(":")[0]) for it, reason in world.dead()] == [(body, "undecodable")]


def test_a_row_of_an_unknown_batch_is_a_dead_letter(world: World, tier: ModelTier, message: Message) -> None:
    stray = message.model_copy(update={"batch": "never-heard-of"})
    assert work(world, tier, stray) == DEAD
    assert [reason.split(":")[0] for _, reason in world.dead()] == ["unknown_batch"]


def test_a_message_without_a_row_counts_as_dead(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[tuple[Message | None, str]] = []
    monkeypatch.setattr(telemetry, "died", lambda message, reason: died.append((message, reason.split(":")[0])))
    stray = message.model_copy(update={"batch": "never-heard-of"})
    odd = Received("odd", "receipt", 1, "no JSON")
    world.parser(tier).work([odd, received(stray)], lambda: 90)
    assert died == [(None, "undecodable"), (stray, "unknown_batch")]


def test_malformed_messages_do_not_affect_others(world: World, tier: ModelTier, sure: Message) -> None:
    odd = Received("odd", "receipt", 1, "no JSON")
    stray = replace(received(sure.model_copy(update={"batch": "never-heard-of"})), id="stray")
    outcomes = world.parser(tier).work([odd, stray, received(sure)], lambda: 90)
    assert outcomes == {"odd": DEAD, "stray": DEAD, "message-1": PARSED_LOCALLY}


@pytest.mark.parametrize("change", [("batch", "accepted", "many"), ("batch", "limits", 5), ("survey", "survey", "{}")])
def test_a_row_of_an_unreadable_batch_waits_and_does_not_stop_others(
    world: World, tier: ModelTier, message: Message, change: tuple[str, str, Any]
) -> None:
    item, name, value = change
    _, (odd,) = world.batch(*videos(1, "odd"), name="odd.jsonl")
    world.db.update_item(
        TableName=world.names["CatalogTable"],
        Key={"pk": f"batch#{odd.batch}", "sk": item},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": value},
    )
    both = [Received("odd", "receipt", 1, odd.model_dump_json()), received(message)]
    outcomes = world.parser(tier).work(both, lambda: 90)
    assert [outcomes[it.id] for it in both] == [Redeliver(), PARSED_BY_MODEL]
    assert world.dead() == []


def test_a_dead_row_without_its_dead_letter_gets_it(world: World, tier: ModelTier, message: Message) -> None:
    batch = world.catalog.batch(message.batch)
    death = RowEnd(message, batch.upload.order, mark(message), RowState.DEAD, reason="the worker died here")
    world.catalog.end_and_count([death], now=world.clock())
    assert work(world, tier, message, 2) == DEAD
    assert [body for body, _ in world.dead()] == [message.model_dump_json()]


def test_a_row_is_recorded_as_dead_before_a_copy_of_the_message_sends_its_dead_letter(
    world: World,
    provider: LoopbackProvider,
    tier: ModelTier,
    message: Message,
    copies: list[Message],
) -> None:
    provider.fail("server_error")

    def unanswered(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="sqs")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeadLetterSender, "send", unanswered)
        assert work(world, tier, message, attempt_cap=1) == Replaced()
    assert (row(world, message).state, world.dead()) == (RowState.DEAD, [])
    sends_the_letter(world, tier, copies)


def test_a_row_that_another_worker_has_parsed_meanwhile_gets_no_dead_letter(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    class Late(Deadly):
        def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
            order = world.catalog.batch(message.batch).upload.order
            world.catalog.end([RowEnd(message, order, mark(message), RowState.PARSED)], now=world.clock())
            return super().ask(request, key=key, deadline_seconds=deadline_seconds)

    provider.fail("server_error")
    assert work(world, Late(tier), message, attempt_cap=1) == Done(RowState.PARSED)
    assert world.dead() == []


def test_a_dead_rows_message_that_is_delivered_for_the_first_time_is_no_second_letter(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message
) -> None:
    provider.fail("server_error")
    assert [work(world, tier, message, attempt_cap=1) for _ in range(2)] == [DEAD, DEAD]
    assert len(world.dead()) == 1


@pytest.mark.parametrize("written", [True, False])
def test_a_copy_of_the_message_sends_the_dead_letter_if_the_write_was_not_answered(
    world: World,
    tier: ModelTier,
    message: Message,
    copies: list[Message],
    *,
    written: bool,
) -> None:
    end = Catalog.end

    def end_without_an_answer(catalog: Catalog, ends: Sequence[RowEnd], *, now: datetime) -> list[Ended]:
        if not ends or written:
            ended = end(catalog, ends, now=now)
        if ends:
            raise EndpointConnectionError(endpoint_url="dynamodb")
        return ended

    claim(world, message, 60)
    world.clock.forward(61)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "end", end_without_an_answer)
        assert work(world, tier, message, 2, attempt_cap=1) == Replaced()
    assert world.dead() == []
    sends_the_letter(world, tier, copies)


def test_the_letter_of_a_dead_row_is_tried_again_until_the_queue_answers(
    world: World,
    provider: LoopbackProvider,
    tier: ModelTier,
    message: Message,
    copies: list[Message],
) -> None:
    def unanswered(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="sqs")

    provider.fail("server_error")
    assert work(world, tier, message, attempt_cap=1) == DEAD
    world.dead()
    last = NUMBERS["MaxReceiveCount"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeadLetterSender, "send", unanswered)
        assert work(world, tier, message, last, attempt_cap=1) == Replaced()
    sends_the_letter(world, tier, copies)


@pytest.fixture
def no_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the dead-letter queue refuse one letter."""
    send, left = DeadLetterSender.send, ["refused"]

    def refused(sender: DeadLetterSender, body: str, reason: str) -> None:
        if left:
            left.clear()
            raise EndpointConnectionError(endpoint_url="sqs")
        send(sender, body, reason)

    monkeypatch.setattr(DeadLetterSender, "send", refused)


@pytest.mark.usefixtures("no_letter")
def test_an_owed_letter_is_sent_after_the_key_was_removed(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, copies: list[Message]
) -> None:
    provider.fail("server_error")
    assert work(world, tier, message, attempt_cap=1) == Replaced()
    (copy,) = copies
    assert work(world, tier, copy, key=None) == DEAD
    assert len(world.dead()) == 1


@pytest.mark.usefixtures("no_letter")
def test_an_owed_letter_of_a_row_that_killed_a_worker_in_the_local_tier_is_sent_without_parsing_the_row(
    world: World, tier: ModelTier, sure: Message, copies: list[Message], local_tier: list[str]
) -> None:
    world.catalog.mark_started(sure, now=world.clock(), alone=LOCALLY)
    world.clock.forward(NUMBERS["VisibilitySeconds"])
    assert work(world, tier, sure, NUMBERS["MaxReceiveCount"]) == Replaced()
    (copy,) = copies
    assert work(world, tier, copy) == DEAD
    assert (len(world.dead()), local_tier) == (1, [])


def test_a_row_that_killed_a_worker_and_could_not_be_recorded_as_dead_is_worked_after_its_neighbours(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch, copies: list[Message], local_tier: list[str]
) -> None:
    def unanswered(_catalog: Catalog, ends: Sequence[RowEnd], **_: object) -> list[Ended]:
        if ends:
            raise EndpointConnectionError(endpoint_url="dynamodb")
        return []

    _, (killer, neighbour) = world.batch(*videos(2, "sure"))
    world.catalog.mark_started(killer, now=world.clock(), alone=LOCALLY)
    world.clock.forward(NUMBERS["VisibilitySeconds"])
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "end", unanswered)
        assert work(world, tier, killer, NUMBERS["MaxReceiveCount"]) == Replaced()
    (copy,) = copies
    outcomes = world.parser(tier).work([received(copy), received(neighbour)], lambda: 90)
    assert set(outcomes.values()) == {PARSED_LOCALLY}
    assert local_tier == ["sure2", "sure1"]


def test_a_message_that_cannot_be_replaced_sends_its_letter_itself(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="sqs")

    provider.fail("server_error")
    with monkeypatch.context() as patch:
        patch.setattr(DeadLetterSender, "send", unanswered)
        patch.setattr(WorkQueue, "send_again", unanswered)
        assert isinstance(work(world, tier, message, attempt_cap=1), Redeliver)
    assert work(world, tier, message, 2, attempt_cap=1) == DEAD
    assert [body for body, _ in world.dead()] == [message.model_dump_json()]


TROUBLE = [
    CatalogBusy("throttled"),
    EndpointConnectionError(endpoint_url="dynamodb"),
    ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, "AnyCall"),
]


@pytest.mark.parametrize("call", ["batch", "look_up", "end"])
@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: type(trouble).__name__)
def test_a_message_that_a_table_leaves_unfinished_comes_back_in_seconds(
    world: World, tier: ModelTier, sure: Message, monkeypatch: pytest.MonkeyPatch, *, call: str, trouble: Exception
) -> None:
    def unanswered(*_: object, **__: object) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, call, unanswered)
        outcome = work(world, tier, sure, 1 if call == "end" else 2)
    assert isinstance(outcome, Redeliver)
    assert 10 <= (outcome.seconds or 0) <= 20
    assert work(world, tier, sure, 2) == PARSED_LOCALLY


@pytest.mark.parametrize(
    "trouble",
    [
        EndpointConnectionError(endpoint_url="dynamodb"),
        ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, "UpdateItem"),
    ],
    ids=lambda it: type(it).__name__,
)
def test_rows_that_could_not_be_counted_have_still_ended(
    world: World, tier: ModelTier, sure: Message, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def unanswered(*_: object, **__: object) -> None:
        raise trouble

    monkeypatch.setattr(Catalog, "count", unanswered)
    assert work(world, tier, sure) == PARSED_LOCALLY


# ----------------------------------------------------------------------------------------------- those that may kill


def _killed(*_: object, **__: object) -> Answer:
    raise Killed("in the request")


class Deadly:
    """The model tier, except that the requests of some rows kill the worker."""

    prompt_version = ModelTier.prompt_version

    def __init__(self, tier: ModelTier, *titles: str) -> None:
        self._tier = tier
        self._titles = titles

    def load(self) -> None:
        """Load the tier."""
        self._tier.load()

    def prepare(self, video: Video, answer: LocalParse, hint: str) -> Request:
        """Prepare a request as the tier does."""
        return self._tier.prepare(video, answer, hint)

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Ask as the tier does, or die."""
        if any(title in request.prompt for title in self._titles):
            raise Killed(request.prompt)
        return self._tier.ask(request, key=key, deadline_seconds=deadline_seconds)


class Overtaken(Deadly):
    """A model tier so slow that another worker claims the video before it answers."""

    def __init__(self, tier: ModelTier, world: World, message: Message) -> None:
        super().__init__(tier)
        self._world = world
        self._message = message

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Ask as the tier does, but too late."""
        try:
            return super().ask(request, key=key, deadline_seconds=deadline_seconds)
        finally:
            self._world.clock.forward(NUMBERS["VisibilitySeconds"])
            claim(self._world, self._message, 60)


class SideBySide(Deadly):
    """A model tier that, after its first answer, answers only when this many requests are sent at once."""

    def __init__(self, tier: ModelTier, parties: int) -> None:
        super().__init__(tier)
        self._barrier = threading.Barrier(parties, timeout=60)
        self._answered = False

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Answer when all requests have arrived; a worker's first request is sent alone."""
        if self._answered:
            self._barrier.wait()
        self._answered = True
        return super().ask(request, key=key, deadline_seconds=deadline_seconds)


def test_a_crash_while_the_client_loads_leaves_no_claim_and_no_reservation(
    world: World, tier: ModelTier, message: Message
) -> None:
    class Unloadable(Deadly):
        def load(self) -> None:
            raise Killed("in the import")

    with pytest.raises(Killed):
        work(world, Unloadable(tier), message)
    assert (entry(world, message).attempts, world.ledger.spent(message.batch)) == (0, Amount())


def test_first_deliveries_are_worked_before_redeliveries(world: World, tier: ModelTier, local_tier: list[str]) -> None:
    _, messages = world.batch(*videos(3, "sure"))
    world.parser(tier).work([received(messages[0], 3), received(messages[1]), received(messages[2])], lambda: 90)
    assert local_tier == ["sure2", "sure3", "sure1"]


def test_each_message_of_a_mixed_delivery_gets_its_own_outcome(world: World, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(4, "sure"), *videos(2))
    odd = Received("odd", "receipt", 1, "no JSON")
    receives = [1, 1, 2, 3, 1, 2]
    delivered = [received(message, number) for message, number in zip(messages, receives, strict=True)]
    outcomes = world.parser(tier).work([odd, *delivered], lambda: 90)
    local = {f"message-{number}": PARSED_LOCALLY for number in range(1, 5)}
    assert outcomes == {"odd": DEAD} | local | {"message-5": PARSED_BY_MODEL, "message-6": PARSED_BY_MODEL}
    assert world.catalog.batch(batch.id).counts == {"parsed_local": 4, "parsed_model": 2}


def test_a_message_that_was_begun_before_is_worked_last(world: World, tier: ModelTier, local_tier: list[str]) -> None:
    _, messages = world.batch(*videos(3, "sure"))
    world.catalog.mark_started(messages[0], now=world.clock(), alone=LOCALLY)
    world.parser(tier).work([received(message, 3) for message in messages], lambda: 90)
    assert local_tier == ["sure2", "sure3", "sure1"]


def test_a_message_whose_attempt_never_ended_is_worked_last(
    world: World, tier: ModelTier, local_tier: list[str]
) -> None:
    _, messages = world.batch(*videos(3))
    claim(world, messages[0], 60)
    world.clock.forward(61)
    world.parser(tier).work([received(message, 2) for message in messages], lambda: 90)
    assert local_tier == ["v2", "v3", "v1"]


def test_a_redelivered_message_is_marked_before_it_is_worked(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch, message: Message
) -> None:
    monkeypatch.setattr("titlecard.extraction.parse", _killed)
    with pytest.raises(Killed):
        work(world, tier, message, 2)
    assert world.catalog.look_up([(message, mark(message))])[0].began


def test_a_row_that_kills_the_local_tier_does_not_harm_its_neighbours(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, messages = world.batch(*videos(4, "sure"))

    def deadly(video: Video, survey: object) -> LocalParse:
        if video.id == "sure1":
            raise Killed(video.id)
        return parse(video, survey)  # type: ignore[arg-type]  # as it came

    parse = extraction.parse
    monkeypatch.setattr(extraction, "parse", deadly)
    for receives in (1, 2, 3):
        with pytest.raises(Killed):
            world.parser(tier).work([received(message, receives) for message in messages], lambda: 90)
    states = {it.number: it.state for it in world.catalog.rows(world.catalog.batch(messages[0].batch))}
    assert states == {1: RowState.QUEUED, 2: RowState.PARSED, 3: RowState.PARSED, 4: RowState.PARSED}


def test_a_request_that_kills_the_worker_does_not_harm_its_neighbours(
    world: World, provider: LoopbackProvider, tier: ModelTier
) -> None:
    _, messages = world.batch(*videos(4))
    deadly = Deadly(tier, "Talk number 1")
    for receives in (1, 2):
        with pytest.raises(Killed):
            world.parser(deadly).work([received(message, receives) for message in messages], lambda: 90)
        world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
    states = {it.number: it.state for it in world.catalog.rows(world.catalog.batch(messages[0].batch))}
    assert states == {1: RowState.QUEUED, 2: RowState.PARSED, 3: RowState.PARSED, 4: RowState.PARSED}
    assert len(provider.posts) == 3


def test_a_suspect_is_asked_about_after_its_neighbours_are_stored(world: World, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(4))
    claim(world, messages[0], 60)
    world.clock.forward(61)
    seen: list[dict[int, RowState]] = []

    class Looking(Deadly):
        def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
            if "Talk number 1" in request.prompt:
                seen.append({it.number: it.state for it in world.catalog.rows(batch) if it.number > 1})
            return super().ask(request, key=key, deadline_seconds=deadline_seconds)

    world.parser(Looking(tier)).work([received(message, 2) for message in messages], lambda: 90)
    assert seen == [dict.fromkeys((2, 3, 4), RowState.PARSED)]


def test_two_rows_that_kill_their_worker_do_not_harm_their_neighbours(world: World, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(4))
    deadly = Deadly(tier, "Talk number 1", "Talk number 2")
    for message in messages:  # the first time, they were asked side by side and the worker died
        claim(world, message, 60)
    world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
    for receives in range(2, NUMBERS["MaxReceiveCount"]):
        with contextlib.suppress(Killed):
            world.parser(deadly).work([received(message, receives) for message in messages], lambda: 90)
        world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
    states = {it.number: it.state for it in world.catalog.rows(batch)}
    assert (states[3], states[4]) == (RowState.PARSED, RowState.PARSED)


def test_a_row_that_always_kills_its_worker_is_dead_at_the_last_receive_and_within_the_cap(
    world: World, tier: ModelTier, message: Message
) -> None:
    deadly = Deadly(tier, "Talk number 1")
    for receives in range(1, NUMBERS["MaxReceiveCount"]):
        with pytest.raises(Killed):
            work(world, deadly, message, receives)
        world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
        if receives == CAP:
            break
    assert work(world, tier, message, CAP + 1) == DEAD
    assert entry(world, message).attempts == CAP
    assert (row(world, message).reason or "") == "attempts_used_up: 3 attempts, the last ended with claimed"


def test_requests_that_failed_are_concurrent_the_next_time_too(
    world: World, provider: LoopbackProvider, tier: ModelTier
) -> None:
    _, (first, *messages) = world.batch(*videos(5))
    parser = world.parser(SideBySide(tier, 4))
    parser.work([received(first)], lambda: 90)
    provider.fail(*["server_error"] * 8)
    for receives in (1, 2, 3):
        outcomes = parser.work([received(message, receives) for message in messages], lambda: 90)
        world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
    assert set(outcomes.values()) == {PARSED_BY_MODEL}


# ----------------------------------------------------------------------------------------------------------- counting


def test_new_rows_that_are_sure_locally_take_one_call(world: World, tier: ModelTier) -> None:
    _, messages = world.batch(*videos(9, "sure"))
    parser = world.parser(tier)
    parser.work([received(messages[0])], lambda: 90)  # from here on, the batch and its survey are known
    before = len(world.wire.calls)
    parser.work([received(message) for message in messages[1:]], lambda: 90)
    inserts = ["BatchExecuteStatement"] * 2  # talks and pointers, rows
    assert world.wire.calls[before:] == [*inserts, "UpdateItem", "BatchGetItem"]  # the last: has the batch ended?


def test_a_repeated_manifest_is_looked_up_and_not_parsed(world: World, tier: ModelTier) -> None:
    _, messages = world.batch(*videos(9, "sure"))
    _, again = world.batch(*videos(9, "sure"))
    parser = world.parser(tier)
    parser.work([received(message) for message in messages], lambda: 90)
    parser.work([received(again[0])], lambda: 90)  # its talk is stored, so the manifest counts as known from here on
    before = len(world.wire.calls)
    outcomes = parser.work([received(message) for message in again[1:]], lambda: 90)
    assert set(outcomes.values()) == {Done(RowState.PARSED, Tier.LOCAL)}
    pointers = ["PutItem"] * 8
    calls = world.wire.calls[before:]
    assert calls == ["BatchGetItem", *pointers, "BatchExecuteStatement", "UpdateItem", "BatchGetItem"]


def test_the_batch_counts_the_rows_that_have_ended(world: World, provider: LoopbackProvider, tier: ModelTier) -> None:
    batch, messages = world.batch(*videos(3), *videos(2, "sure"))
    provider.fail(by_text={"Talk number 2": "invalid_prompt", "Talk number 3": "rate_limit"})
    parser = world.parser(tier)
    parser.work([received(message) for message in messages[:3]], lambda: 90)
    parser.work([received(message) for message in messages[3:]], lambda: 90)
    counts = world.catalog.batch(batch.id).counts
    assert counts == {"parsed_model": 1, "parsed_local": 3}


def test_a_row_that_had_ended_and_been_counted_is_not_counted_again(
    world: World, tier: ModelTier, sure: Message
) -> None:
    work(world, tier, sure)
    work(world, tier, sure)
    assert world.catalog.batch(sure.batch).counts == {"parsed_local": 1}


def test_a_repeated_message_is_not_counted_and_does_not_move_the_batch(
    world: World, tier: ModelTier, message: Message
) -> None:
    before = world.catalog.batch(message.batch)
    world.clock.forward(5)
    work(world, tier, message, left=1)
    assert world.catalog.batch(message.batch) == before
