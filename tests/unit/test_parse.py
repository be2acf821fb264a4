"""The parser alone: wrong clocks, and what it reports. The tables, the queue and the model path do what a test says.

The functional tests work with the real tables. These notice a clock that is trusted too far, or not far enough.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.stage import NOON, Stage

from titlecard import extraction, telemetry
from titlecard.aws.dynamodb.catalog import Ended, MessageState, RowEnd
from titlecard.domain.batch import Message, RowState
from titlecard.domain.clock import CLOCK_ERROR_SECONDS
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Tier, Video
from titlecard.extraction import LocalParse
from titlecard.pipeline.ask import Asker
from titlecard.pipeline.job import Received
from titlecard.pipeline.outcome_types import DeadLetterRow, Decision, DeferRow, Done, EndRow, Outcome, Redeliver
from titlecard.pipeline.parse import Parser

MICROSECOND = timedelta(microseconds=1)
VISIBILITY = 540
NEED = Amount(1, 900, 100, 500)
MESSAGE = Message(batch="b", project="pycon", row=7, video=Video(id="v1", title="A talk by Grace Hopper"))


class ParserStage(Stage):
    """A parser that records its calls; the local tier is not sure of the row."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.state = MessageState(RowState.QUEUED)
        self.decision: Decision = EndRow(RowState.PARSED, Tier.MODEL)
        self.ends_as: RowState | None = None
        """The state in which the row ended meanwhile."""
        self.left = 10**6
        """The number of the batch's rows that have not ended."""
        self.reported: list[tuple[str, str]] = []
        here: Any = self
        settings: Any = SimpleNamespace(
            tier_policy=Policy.AUTO, model="gpt-6-luna", visibility_seconds=VISIBILITY, max_receive_count=5
        )
        keys: Any = SimpleNamespace(of=lambda _project: "a key")
        monkeypatch.setattr(Asker, "__init__", lambda asker, **_: setattr(asker, "admission", None))
        monkeypatch.setattr(Asker, "ask", lambda *_: self._answered("ask", self.decision))
        monkeypatch.setattr(extraction, "parse", lambda *_: self._answered("parse", unsure()))
        monkeypatch.setattr(telemetry, "deferred", lambda *_, reason, **__: self.reported.append(("deferred", reason)))
        monkeypatch.setattr(telemetry, "died", lambda *_, reason: self.reported.append(("died", reason)))
        self.parser = Parser(
            catalog=here,
            ledger=here,
            queue=here,
            dead_letters=here,
            finisher=here,
            keys=keys,
            model=here,
            settings=settings,
            now=lambda: NOON,
        )

    prompt_version = "2"

    def work(self, first: datetime | None = None, receives: int = 1) -> Outcome:
        """Work on the row, whose message was first received then."""
        one = Received("id", "receipt", receives, MESSAGE.model_dump_json(), first)
        return self.parser.work([one], lambda: 90.0)["id"]

    def _answered(self, name: str, answer: Any) -> Any:  # noqa: ANN401 -- as the test says
        self.call(name)
        return answer

    def batch(self, _name: str) -> Any:  # noqa: ANN401 -- of a batch, what is read
        """Return the batch."""
        return SimpleNamespace(id="b", cancelled=False, left=self.left, upload=SimpleNamespace(order="order"))

    def survey(self, _name: str) -> Any:  # noqa: ANN401 -- likewise
        """Return the survey of the batch."""
        return SimpleNamespace(of=lambda *_: None)

    def look_up(self, asked: list[tuple[Message, str]]) -> list[MessageState]:
        """Return the state of the row."""
        self.call("look up")
        return [self.state for _ in asked]

    def mark_started(self, _message: Message, *, now: datetime, alone: str) -> None:
        """Record the call."""
        self.call("mark", now, alone)

    def mark_survived(self, _message: Message) -> None:
        """Record the call."""
        self.call("survived")

    def end(self, endings: list[RowEnd], *, now: datetime) -> list[Ended]:
        """Record the ends."""
        assert now == NOON
        for ending in endings:
            self.call("end", ending.state, ending.reason)
        return [Ended(ending, self.ends_as or ending.state, new=not self.ends_as) for ending in endings]

    def defer(self, message: Message, _mark: str, *, reason: str, due: datetime | None, **more: object) -> bool:
        """Record the call."""
        assert (message, more["now"]) == (MESSAGE, NOON)
        self.call("defer", reason, due, more["need"])
        return True

    def send(self, body: str, reason: str) -> None:
        """Record a dead letter."""
        assert Message.model_validate_json(body) == MESSAGE
        self.call("letter", reason)

    def count(self, ended: list[Ended], *, now: datetime) -> None:
        """Do nothing."""

    def check(self, _name: str, _remaining: object) -> None:
        """Return None: the table does not answer."""
        self.call("check")


def unsure() -> LocalParse:
    return LocalParse("A talk", ("Grace Hopper",), 0.4, sure=False, source="title")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> ParserStage:
    return ParserStage(monkeypatch)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


# -------------------------------------------------------------------------------------------------------- wrong clocks


@pytest.mark.parametrize("ahead", [seconds(0), seconds(1), seconds(CLOCK_ERROR_SECONDS)])
def test_a_message_from_within_the_tolerated_error_is_worked_on(stage: ParserStage, ahead: timedelta) -> None:
    assert stage.work(first=NOON + ahead) == Done(RowState.PARSED, Tier.MODEL)


def test_a_message_from_the_future_is_left_alone(stage: ParserStage) -> None:
    assert stage.work(first=NOON + seconds(CLOCK_ERROR_SECONDS) + MICROSECOND) == Redeliver()
    assert stage.calls == []


LONGEST = seconds(CLOCK_ERROR_SECONDS + VISIBILITY)


@pytest.mark.parametrize("ago", [seconds(0), LONGEST])
def test_a_request_is_sent_if_the_first_receive_can_be_so_long_ago(stage: ParserStage, ago: timedelta) -> None:
    assert stage.work(first=NOON - ago) == Done(RowState.PARSED, Tier.MODEL)


def test_a_worker_whose_clock_is_ahead_sends_no_request(stage: ParserStage) -> None:
    assert stage.work(first=NOON - LONGEST - MICROSECOND) == Redeliver()
    assert stage.names == ["parse", "look up"]


def test_the_first_receive_of_a_redelivered_message_may_be_long_ago(stage: ParserStage) -> None:
    assert stage.work(first=NOON - 2 * LONGEST, receives=2) == Done(RowState.PARSED, Tier.MODEL)


# ---------------------------------------------------------------------------------------------------- what is reported


def test_a_row_whose_video_is_in_a_newer_manifest_never_reaches_the_model_path(stage: ParserStage) -> None:
    stage.state = MessageState(RowState.QUEUED, newest="p")
    assert stage.work() == Done(RowState.SUPERSEDED)
    assert stage.names == ["parse", "look up", "end"]


def test_a_row_that_the_model_path_defers_is_deferred_with_its_need_and_reported(stage: ParserStage) -> None:
    due = NOON + seconds(60)
    stage.decision = DeferRow("rate_limited: later", due, NEED)
    assert stage.work() == Done(RowState.DEFERRED)
    assert stage.calls[-1] == ("defer", "rate_limited: later", due, NEED)
    assert stage.reported == [("deferred", "rate_limited: later")]


def test_a_row_that_the_model_path_gives_up_is_reported_once_and_gets_its_letter_afterwards(stage: ParserStage) -> None:
    stage.decision = DeadLetterRow("refused: no")
    assert stage.work() == Done(RowState.DEAD)
    assert stage.calls[-2:] == [("end", RowState.DEAD, "refused: no"), ("letter", "refused: no")]
    assert stage.reported == [("died", "refused: no")]


def test_a_row_that_ended_otherwise_meanwhile_gets_no_letter(stage: ParserStage) -> None:
    stage.decision, stage.ends_as = DeadLetterRow("refused: no"), RowState.CANCELLED
    assert stage.work() == Done(RowState.CANCELLED)
    assert ("letter" in stage.names, stage.reported) == (False, [])


def test_a_batch_that_cannot_be_read_at_its_end_is_read_at_the_next_rows_end(stage: ParserStage) -> None:
    stage.left = 1
    assert [stage.work() for _ in range(2)] == [Done(RowState.PARSED, Tier.MODEL)] * 2
    assert stage.names.count("check") == 2
