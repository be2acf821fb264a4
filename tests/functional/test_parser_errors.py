"""Whatever stops the work on one row does not stop other rows, and nothing is retried without end.

An error that may pass, or an item that this version cannot read, lets the row wait. Any other exception uses up the
receives of the message, which then becomes a dead letter.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError
from tests.functional.conftest import MODEL
from tests.functional.test_parser import (
    DEAD,
    DEFERRED,
    PARSED_BY_MODEL,
    PARSED_LOCALLY,
    Deadly,
    copies,
    entry,
    mark,
    message,
    row,
    sure,
    work,
)
from tests.functional.world import NUMBERS, PROJECT, KeysOfATest, Killed, World, received, videos

from titlecard import extraction, telemetry
from titlecard.aws.dynamodb.catalog import Catalog, RowEnd
from titlecard.aws.errors import KeyUnreadable
from titlecard.aws.sqs import DeadLetterSender, WorkQueue
from titlecard.domain.batch import Message, RowState
from titlecard.pipeline.ask import Asker
from titlecard.pipeline.job import Received
from titlecard.pipeline.outcome_types import Done, EndRow, Outcome, Redeliver, Replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.provider import LoopbackProvider

    from titlecard.domain.video import Video
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import Survey
    from titlecard.llm import Answer, ModelTier, Request
    from titlecard.pipeline.ask import LanguageModel

__all__ = ("copies", "message", "sure")  # fixtures

pytestmark = pytest.mark.usefixtures("local_tier", "provider")  # the provider without the faults of other tests

LAST = NUMBERS["MaxReceiveCount"]
REFUSED = ClientError({"Error": {"Code": "ValidationException", "Message": "too long"}}, "AnyCall")


class Unreadable(KeysOfATest):
    """The keys of projects while Secrets Manager does not answer."""

    def __init__(self) -> None:
        super().__init__(None)

    def of(self, _project: str, *, fresh: bool = False) -> str | None:  # noqa: ARG002 -- as `Keys`
        """Raise."""
        raise KeyUnreadable("denied")


def together(world: World, tier: LanguageModel, *messages: Message, receives: int = 1) -> list[Outcome]:
    """Work on some messages in one invocation, and return their outcomes in this order."""
    delivered = [received(it, receives) for it in messages]
    outcomes = world.parser(tier).work(delivered, lambda: 90)
    return [outcomes[it.id] for it in delivered]


def is_dead_of(world: World, message: Message, error: str) -> bool:
    """Return whether a row is dead with a letter that names this error."""
    found, letters = row(world, message), world.dead()
    (found_reason, (body, reason)) = (found.reason or "", letters[0])
    assert (found.state, len(letters), body) == (RowState.DEAD, 1, message.model_dump_json())
    return reason == found_reason and reason.startswith("failed: ") and reason.endswith(error)


# -------------------------------------------------------------------------------- items that this version cannot read


def spoil_talk(world: World, message: Message) -> None:
    """Store a talk of a tier that this version does not know, as a newer version may have done."""
    world.db.put_item(
        TableName=world.names["CatalogTable"],
        Item={
            "pk": f"video#{PROJECT}#{message.video.id}",
            "sk": f"fp#{mark(message, MODEL)}",
            "talk": {"title": "x", "presenters": [], "tier": "ensemble", "confidence": 1, "review": None},
        },
    )


def spoil_row(world: World, message: Message) -> None:
    """Put a row into a state that this version does not know."""
    world.db.put_item(
        TableName=world.names["CatalogTable"],
        Item={"pk": f"rows#{message.batch}#00", "sk": f"row#{message.row:012}", "state": "held", "video": "v"},
    )


@pytest.mark.parametrize("start", ["sure", "v"])
@pytest.mark.parametrize("spoil", [spoil_talk, spoil_row])
def test_a_row_whose_item_cannot_be_read_waits_and_stops_no_other(
    world: World, tier: ModelTier, copies: list[Message], spoil: Callable[[World, Message], None], start: str
) -> None:
    batch, (odd, *others) = world.batch(*videos(3, start))
    spoil(world, odd)
    ended = PARSED_LOCALLY if start == "sure" else PARSED_BY_MODEL
    assert together(world, tier, odd, *others) == [Redeliver(), ended, ended]
    assert world.catalog.batch(batch.id).counts.total() == len(others)
    for receives in (LAST - 1, LAST):
        assert together(world, tier, odd, receives=receives) == [Replaced()]
    assert ([copy.row for copy in copies], world.dead()) == ([odd.row] * 2, [])


# ------------------------------------------------------------------------------------------------ unforeseen exceptions


class Failing(Deadly):
    """The model tier, except that the requests of some rows raise an unexpected exception."""

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Ask as the tier does, or fail."""
        if any(title in request.prompt for title in self._titles):
            raise ArithmeticError(request.prompt)
        return self._tier.ask(request, key=key, deadline_seconds=deadline_seconds)


@pytest.mark.parametrize(("receives", "outcome"), [(1, Redeliver()), (LAST - 2, Redeliver()), (LAST - 1, DEAD)])
def test_an_exception_about_one_request_leaves_the_outcomes_of_its_neighbours(
    world: World, tier: ModelTier, receives: int, outcome: Outcome
) -> None:
    _, messages = world.batch(*videos(4))
    outcomes = together(world, Failing(tier, "Talk number 2"), *messages, receives=receives)
    assert outcomes == [PARSED_BY_MODEL, outcome, PARSED_BY_MODEL, PARSED_BY_MODEL]
    assert outcome != DEAD or is_dead_of(world, messages[1], "ArithmeticError")


@pytest.mark.parametrize("receives", [1, 2])
@pytest.mark.parametrize("start", ["sure", "v"])
def test_an_exception_in_the_local_tier_stops_no_other_row(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch, receives: int, start: str
) -> None:
    _, messages = world.batch(*videos(3, start))
    parse = extraction.parse

    def failing(video: Video, survey: Survey) -> LocalParse:
        if video.id == f"{start}2":
            raise RecursionError(video.title)
        return parse(video, survey)

    monkeypatch.setattr(extraction, "parse", failing)
    ended = PARSED_LOCALLY if start == "sure" else PARSED_BY_MODEL
    assert together(world, tier, *messages, receives=receives) == [ended, Redeliver(), ended]
    assert together(world, tier, messages[1], receives=LAST - 1) == [DEAD]
    assert is_dead_of(world, messages[1], "RecursionError")


@pytest.mark.parametrize("receives", [1, 2])
def test_an_exception_about_one_of_two_rows_is_reported_and_the_other_row_is_counted(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch, receives: int
) -> None:
    batch, messages = world.batch(*videos(2, "sure"))
    parse, failed = extraction.parse, list[Message | None]()

    def failing(video: Video, survey: Survey) -> LocalParse:
        if video.id == "sure1":
            raise RecursionError(video.title)
        return parse(video, survey)

    monkeypatch.setattr(extraction, "parse", failing)
    monkeypatch.setattr(telemetry, "work_failed", lambda message, _error: failed.append(message))
    assert together(world, tier, *messages, receives=receives) == [Redeliver(), PARSED_LOCALLY]
    assert (failed, world.catalog.batch(batch.id).counts) == ([messages[0]], {"parsed_local": 1})


# ------------------------------------------------------------------------------- calls that AWS refuses


@pytest.mark.parametrize("call", ["look_up", "end", "claim", "defer"])
def test_a_row_whose_write_is_refused_stops_no_other_and_ends_in_the_dead_letter_queue(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch, copies: list[Message], call: str
) -> None:
    _, (odd, *others) = world.batch(*videos(3))
    called = getattr(Catalog, call)

    def refused(catalog: Catalog, about: Any, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 -- the call's
        asked = about if isinstance(about, list) else [about]
        about_odd = [it for it in asked if odd.row in {getattr(it, "row", 0), getattr(_message(it), "row", 0)}]
        if about_odd and getattr(asked[0], "state", None) is not RowState.DEAD:
            raise REFUSED
        return called(catalog, about, *arguments, **more)

    keys = Unreadable() if call == "defer" else None
    monkeypatch.setattr(Catalog, call, refused)
    outcomes = world.parser(tier, keys=keys).work([received(it) for it in (odd, *others)], lambda: 90)
    ended = DEFERRED if call == "defer" else PARSED_BY_MODEL
    assert list(map(outcomes.get, ("message-1", "message-2", "message-3"))) == [Redeliver(), ended, ended]
    world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
    last = world.parser(tier, keys=keys).work([received(odd, LAST - 1)], lambda: 90)
    assert (list(last.values()), copies) == ([DEAD], [])
    monkeypatch.undo()
    assert is_dead_of(world, odd, "ClientError")


def _message(of: Any) -> Message | None:  # noqa: ANN401 -- what a call is about
    found = of[0] if isinstance(of, tuple) else getattr(of, "message", None)
    return found if isinstance(found, Message) else None


def test_a_message_whose_batch_cannot_be_looked_up_ends_in_the_dead_letter_queue(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch, copies: list[Message]
) -> None:
    def refused(*_: object) -> None:
        raise REFUSED

    monkeypatch.setattr(Catalog, "batch", refused)
    outcomes = [work(world, tier, message, receives) for receives in range(1, LAST)]
    assert (outcomes, copies) == ([Redeliver()] * (LAST - 2) + [DEAD], [])
    assert [reason.split(":")[0] for _, reason in world.dead()] == ["failed"]


@pytest.mark.parametrize("recorded", [True, False])
def test_a_death_that_a_queue_or_a_table_refuses_uses_up_the_receives(
    world: World,
    provider: LoopbackProvider,
    tier: ModelTier,
    message: Message,
    *,
    monkeypatch: pytest.MonkeyPatch,
    copies: list[Message],
    recorded: bool,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise REFUSED

    provider.fail(always="server_error")
    if recorded:
        monkeypatch.setattr(DeadLetterSender, "send", refused)
    else:
        monkeypatch.setattr(Catalog, "end", refused)
    outcomes = [work(world, tier, message, receives, attempt_cap=1) for receives in (1, LAST - 1, LAST)]
    assert (outcomes, copies) == ([Redeliver()] * 3, [])


def test_an_error_that_a_person_can_repair_is_waited_for(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch, copies: list[Message]
) -> None:
    def denied(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "BatchGetItem")

    monkeypatch.setattr(Catalog, "batch", denied)
    assert [work(world, tier, message, receives) for receives in (LAST - 1, LAST)] == [Replaced()] * 2
    assert ([copy.row for copy in copies], world.dead()) == ([message.row] * 2, [])


# ------------------------------------------------------------------------------------------ the last of the receives


def test_a_worker_whose_clock_is_behind_replaces_a_message_at_its_last_receive(
    world: World, tier: ModelTier, message: Message, copies: list[Message]
) -> None:
    late = replace(received(message, LAST), first=world.clock() + timedelta(seconds=301))
    assert work(world, tier, late) == Replaced()
    assert [copy.row for copy in copies] == [message.row]


def test_an_undecodable_message_whose_letter_cannot_be_sent_is_replaced_as_it_is(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="sqs")

    sent: list[str] = []
    monkeypatch.setattr(DeadLetterSender, "send", unanswered)
    monkeypatch.setattr(WorkQueue, "send_again", lambda _queue, body, _seconds: sent.append(body))
    assert work(world, tier, Received("odd", "receipt", LAST, "no JSON")) == Replaced()
    assert sent == ["no JSON"]


@pytest.mark.parametrize("receives", [LAST - 1, LAST])
def test_a_row_that_ends_while_it_is_deferred_at_its_last_receive_is_replaced(
    world: World,
    tier: ModelTier,
    message: Message,
    monkeypatch: pytest.MonkeyPatch,
    *,
    copies: list[Message],
    receives: int,
) -> None:
    defer = Catalog.defer

    def late(catalog: Catalog, *arguments: Any, **more: Any) -> bool:  # noqa: ANN401 -- the call's
        order = world.catalog.batch(message.batch).upload.order
        death = RowEnd(message, order, mark(message), RowState.DEAD, reason="by another worker, which then crashed")
        world.catalog.end([death], now=world.clock())
        return defer(catalog, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "defer", late)
        outcomes = world.parser(tier, keys=Unreadable()).work([received(message, receives)], lambda: 90)
    assert list(outcomes.values()) == [Replaced()]
    (copy,) = copies
    assert work(world, tier, copy) == DEAD
    assert [body for body, _ in world.dead()] == [message.model_dump_json()]


def test_a_death_whose_letter_was_never_sent_is_not_forgotten_when_its_message_is_replaced(
    world: World, tier: ModelTier, message: Message, monkeypatch: pytest.MonkeyPatch, copies: list[Message]
) -> None:
    order = world.catalog.batch(message.batch).upload.order
    death = RowEnd(message, order, mark(message), RowState.DEAD, reason="the worker died here")
    world.catalog.end([death], now=world.clock())

    def unanswered(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="dynamodb")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "look_up", unanswered)
        assert work(world, tier, message, LAST - 1) == Replaced()
    (copy,) = copies
    assert work(world, tier, copy) == DEAD
    assert len(world.dead()) == 1


# ------------------------------------------------------------------------------------------ a key that cannot be read


def test_a_cancelled_batch_ends_although_its_projects_key_cannot_be_read(
    world: World, tier: ModelTier, message: Message
) -> None:
    assert world.catalog.cancel(world.catalog.batch(message.batch), now=world.clock())
    assert world.parser(tier, keys=Unreadable()).work([received(message)], lambda: 90) == {
        "message-1": Done(RowState.CANCELLED)
    }


def test_a_row_that_needs_no_key_ends_although_its_projects_key_cannot_be_read(
    world: World, provider: LoopbackProvider, tier: ModelTier, message: Message, sure: Message
) -> None:
    assert work(world, tier, message) == PARSED_BY_MODEL
    again, (stored,) = world.batch(message.video)
    parser = world.parser(tier, keys=Unreadable())
    assert parser.work([received(stored)], lambda: 90) == {"message-1": PARSED_BY_MODEL}
    assert parser.work([received(message)], lambda: 90) == {"message-1": Done(RowState.PARSED)}
    assert parser.work([received(sure)], lambda: 90) == {"message-1": PARSED_LOCALLY}
    assert len(provider.posts) == 1
    assert world.catalog.batch(again.id).counts == {"parsed_model": 1}


def test_an_owed_letter_is_sent_although_the_projects_key_cannot_be_read(
    world: World, tier: ModelTier, message: Message
) -> None:
    order = world.catalog.batch(message.batch).upload.order
    death = RowEnd(message, order, mark(message), RowState.DEAD, reason="the worker died here")
    world.catalog.end([death], now=world.clock())
    copy = message.model_copy(update={"letter_owed": True})
    assert world.parser(tier, keys=Unreadable()).work([received(copy)], lambda: 90) == {"message-1": DEAD}
    assert len(world.dead()) == 1


# ---------------------------------------------------------------------------------------------- notes, and the counters


def test_a_deferred_row_and_a_dead_letter_keep_no_note_for_another_worker(
    world: World, tier: ModelTier, message: Message
) -> None:
    noted = message.model_copy(update={"unsent": "a token", "letter_owed": True})
    assert world.parser(tier, keys=Unreadable()).work([received(noted)], lambda: 90) == {"message-1": DEFERRED}
    world.clock.forward(NUMBERS["VisibilitySeconds"])
    world.sweeper().run()
    (sent,) = world.sent()
    assert sent == message.model_copy(update={"deferrals": 1})
    order = world.catalog.batch(message.batch).upload.order
    world.catalog.end([RowEnd(message, order, mark(message), RowState.DEAD, reason="why")], now=world.clock())
    assert work(world, tier, noted) == DEAD
    assert [body for body, _ in world.dead()] == [message.model_dump_json()]


@pytest.mark.parametrize("replaced", [True, False])
def test_a_death_whose_letter_is_owed_is_counted_once(
    world: World,
    provider: LoopbackProvider,
    tier: ModelTier,
    message: Message,
    *,
    monkeypatch: pytest.MonkeyPatch,
    copies: list[Message],
    replaced: bool,
) -> None:
    def unanswered(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="sqs")

    provider.fail("server_error")
    with monkeypatch.context() as patch:
        patch.setattr(DeadLetterSender, "send", unanswered)
        if not replaced:
            patch.setattr("titlecard.aws.sqs.WorkQueue.send_again", unanswered)
        outcome = work(world, tier, message, attempt_cap=1)
    assert isinstance(outcome, Replaced if replaced else Redeliver)
    assert world.catalog.batch(message.batch).counts == {"dead": 1}
    again, receives = (copies[0], 1) if replaced else (message, 2)
    assert work(world, tier, again, receives, attempt_cap=1) == DEAD
    assert world.catalog.batch(message.batch).counts == {"dead": 1}
    assert len(world.dead()) == 1


# --------------------------------------------------------------------------------------- those that may kill come last


@pytest.mark.parametrize("is_suspect", [True, False])
def test_a_row_that_may_kill_its_worker_is_parsed_after_its_neighbours_are_asked_about_saved_and_counted(
    world: World, provider: LoopbackProvider, tier: ModelTier, monkeypatch: pytest.MonkeyPatch, *, is_suspect: bool
) -> None:
    batch, (killer, *others) = world.batch(*videos(4))
    parse = extraction.parse

    def deadly(video: Video, survey: Survey) -> LocalParse:
        if video.id == "v1":
            raise Killed(video.id)
        return parse(video, survey)

    monkeypatch.setattr(extraction, "parse", deadly)
    if is_suspect:
        with pytest.raises(Killed):
            work(world, tier, killer, 2)
        world.clock.forward(NUMBERS["VisibilitySeconds"])
    receives = [3, 2, 1, 1] if is_suspect else [2, 1, 1, 1]
    delivered: Sequence[Received] = [received(*it) for it in zip((killer, *others), receives, strict=True)]
    with pytest.raises(Killed):
        world.parser(tier).work(delivered, lambda: 90)
    assert [entry(world, it).talk is not None for it in others] == [True] * 3
    assert (len(provider.posts), world.catalog.batch(batch.id).counts) == (3, {"parsed_model": 3})


# ------------------------------------------------------------------------------------------- a table that hangs


@pytest.mark.parametrize("start", ["sure", "v"])
@pytest.mark.parametrize(("call", "receives"), [("batch", 1), ("look_up", 2), ("mark_started", 2), ("end", 2)])
def test_a_silent_table_costs_an_invocation_one_call(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch, *, call: str, receives: int, start: str
) -> None:
    messages = [world.batch(*videos(1, f"{start}{name}"), name=f"{name}.jsonl")[1][0] for name in "abc"]
    calls: list[str] = []

    def silent(_catalog: Catalog, about: object, *_: object, **__: object) -> list[object]:
        if not about:  # nothing to end
            return []
        calls.append(call)
        raise ConnectTimeoutError(endpoint_url="dynamodb")

    monkeypatch.setattr(Catalog, call, silent)
    if call == "end":
        monkeypatch.setattr(Asker, "ask", lambda *_: EndRow(RowState.PARSED))
    delivered = [replace(received(it, receives), id=it.batch) for it in messages]
    outcomes = world.parser(tier).work(delivered, lambda: 90)
    assert len(outcomes) == 3
    assert all(isinstance(it, Replaced) or (isinstance(it, Redeliver) and it.seconds) for it in outcomes.values())
    assert len(calls) == 1 or (call, start) == ("end", "v"), "those that ask the model end their rows concurrently"


def test_rows_that_ended_before_a_table_fell_silent_are_left_to_the_audit_to_count(
    world: World, tier: ModelTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, (first, second) = world.batch(*videos(2, "sure"))

    def silent(*_: object) -> None:
        raise ConnectTimeoutError(endpoint_url="dynamodb")

    monkeypatch.setattr(Catalog, "look_up", silent)
    delivered = [received(first), received(second, 2)]
    outcomes = world.parser(tier).work(delivered, lambda: 90)
    assert outcomes[delivered[0].id] == PARSED_LOCALLY
    assert isinstance(outcomes[delivered[1].id], Redeliver)
    assert world.catalog.batch(batch.id).counts == {}
