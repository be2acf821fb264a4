"""The model path alone: each outcome's writes in their order. Catalog, ledger and model only record their calls.

The functional tests ask with the real tables and a provider. These notice a write that is left out, repeated or made
with another amount, in milliseconds.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import Attempt, MessageState, VideoRecord, stamp
from titlecard.aws.dynamodb.ledger import Account, Refusal, Reservation
from titlecard.aws.dynamodb.ledger.breakers import Breaker
from titlecard.aws.errors import KeyUnreadable, LedgerUnavailable
from titlecard.domain.batch import Message, RowState
from titlecard.domain.money import Amount, Budget, Cap, Measured, Total, Unbilled, Unmeasured, Window
from titlecard.domain.reasons import CANCELLED, Hold, Reason
from titlecard.domain.video import Policy, Talk, Tier, Video
from titlecard.extraction import LocalParse
from titlecard.llm import Answer, Request
from titlecard.llm.errors import DeadLetter, Defer, Fault, Rejected, Retry, Unusable
from titlecard.pipeline.ask import Asker
from titlecard.pipeline.canary import CanaryGate
from titlecard.pipeline.errors import NotSent
from titlecard.pipeline.job import Job, Received
from titlecard.pipeline.outcome_types import DeadLetterRow, Decision, DeferRow, EndRow, Redeliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
QUARTER = 15 * 60
CAP, BACKOFF, VISIBILITY, DEADLINE, MARGIN = 3, 60, 540, 30, 10
BOUND, BILL = Amount(1, 1_000, 400, 300), Amount(1, 800, 50, 100)
LIMITS, BUDGET = Total(10, 100_000, 50_000), Budget(Cap(1, 2), Cap(3, 4))
VIDEO = Video(id="v1", title="A talk by Grace Hopper")
QUESTION = Request("a prompt", 900, BOUND)
TABLE_DOES_NOT_ANSWER = [
    ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, "UpdateItem"),
    ReadTimeoutError(endpoint_url="dynamodb"),
]


class Stage:
    """An asker whose tables, keys and model record their calls, and do what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {}
        """What a call returns or raises, by its name."""
        self.breaker = Breaker()
        self.token = ""
        self.remaining: list[float] = []
        """The seconds that are left at each look; then 90."""
        monkeypatch.setattr(random, "uniform", self._longest)
        monkeypatch.setattr(CanaryGate, "enter", self._enter)
        monkeypatch.setattr(CanaryGate, "release", lambda _gate, batch, now: self._call("release", batch, now))
        self.settings: Any = SimpleNamespace(
            attempt_cap=CAP,
            breaker_threshold=3,
            model="gpt-6-luna",
            request_deadline_seconds=DEADLINE,
            retry_backoff_seconds=BACKOFF,
            settle_margin_seconds=MARGIN,
            visibility_seconds=VISIBILITY,
        )
        here: Any = self
        self.asker = Asker(catalog=here, ledger=here, keys=here, model=here, settings=here.settings, now=lambda: NOON)

    prompt_version = "2"

    def ask_about(self, job: Job) -> Decision:
        """Let the asker ask about a row."""
        return self.asker.ask(job, self._remaining)

    def after(self, name: str) -> list[tuple[Any, ...]]:
        """Return the calls after the last one of this name."""
        last = max(place for place, call in enumerate(self.calls) if call[0] == name)
        return self.calls[last + 1 :]

    @property
    def names(self) -> list[str]:
        """The names of the calls."""
        return [call[0] for call in self.calls]

    def _remaining(self) -> float:
        return self.remaining.pop(0) if self.remaining else 90.0

    @staticmethod
    def _longest(low: float, high: float) -> float:
        assert low == high / 2
        return high

    @contextmanager
    def _enter(self, batch: str, _now: Callable[[], datetime]) -> Iterator[None]:
        self._call("enter", batch)
        yield

    def _call(self, name: str, *arguments: Any, default: Any = None) -> Any:  # noqa: ANN401 -- any call
        self.calls.append((name, *arguments))
        answer = self.answers.get(name, default)
        if isinstance(answer, Exception):
            raise answer
        return answer

    # ---------------------------------------------------------------------------------------------- the model and keys

    def load(self) -> None:
        """Record the call."""
        self._call("load")

    def prepare(self, video: Video, answer: LocalParse, hint: str) -> Request:
        """Return the request."""
        assert (video, answer.title, hint) == (VIDEO, "A talk", "a hint")
        return QUESTION

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Answer or raise as told."""
        assert request is QUESTION
        answer: Answer = self._call("ask", key, deadline_seconds)
        return answer

    def of(self, project: str, *, fresh: bool = False) -> str | None:
        """Return the key that is stored now."""
        key: str | None = self._call("key", project, fresh, default="a new key")
        return key

    # ------------------------------------------------------------------------------------------------------ the catalog

    def move_pointer(self, message: Message, fingerprint: str, order: str) -> bool:
        """Record the call."""
        return bool(self._call("move_pointer", message.row, fingerprint, order, default=True))

    def mark_started(self, message: Message, *, now: datetime, alone: str) -> None:
        """Record the call."""
        self.token = alone
        self._call("mark_started", message.row, now)

    def claim(self, message: Message, fingerprint: str, *, token: str, **more: Any) -> Attempt | VideoRecord:  # noqa: ANN401 -- of several kinds
        """Return the first attempt, or as told."""
        assert self.token in {"", token}
        self.token = token
        first = Attempt(message, fingerprint, token, 1)
        claimed = self._call("claim", *(more[it] for it in ("cap", "policy", "bound", "until", "now")), default=first)
        return Attempt(message, fingerprint, token, claimed) if isinstance(claimed, int) else claimed

    def answer(self, attempt: Attempt, talk: Talk, *, charged: Amount, now: datetime) -> bool:
        """Record the call."""
        assert (attempt.token, now, talk.cost_micro_usd) == (self.token, NOON, charged.micro_usd)
        return bool(self._call("answer", talk.tier, talk.review, charged, default=True))

    def fail(self, attempt: Attempt, *, reason: str, charged: Amount, now: datetime) -> bool:
        """Record the call."""
        assert (attempt.token, now) == (self.token, NOON)
        return bool(self._call("fail", reason, charged, default=True))

    def give_back(self, attempt: Attempt) -> bool:
        """Record the call."""
        assert attempt.token == self.token
        return bool(self._call("give_back", default=True))

    # ------------------------------------------------------------------------------------------------------- the ledger

    def account(self, project: str, *, now: datetime) -> Account:
        """Return the account, which has a budget."""
        account = Account(project, BUDGET, None, self.breaker)
        found: Account = self._call("account", project, now, default=account)
        return found

    def reserve(self, batch: str, project: str, need: Amount, **more: Any) -> Reservation | Refusal:  # noqa: ANN401 -- likewise
        """Reserve, or refuse as told."""
        terms = tuple(more[it] for it in ("limits", "budget", "model", "now"))
        reservation = Reservation(batch, project, more["model"], Window.at(NOON), need)
        found: Reservation | Refusal = self._call("reserve", batch, project, need, *terms, default=reservation)
        return found

    def settle(self, reservation: Reservation, billing: object) -> None:
        """Record the call."""
        assert reservation == Reservation("b", "pycon", "gpt-6-luna", Window.at(NOON), BOUND)
        self._call("settle", billing)

    def take_probe(self, project: str, *, token: str, until: datetime, now: datetime) -> bool:
        """Record the call."""
        self.token = token
        return bool(self._call("take_probe", project, until, now, default=True))

    def release_probe(self, project: str, *, token: str) -> bool:
        """Record the call."""
        assert token == self.token
        return bool(self._call("release_probe", project, default=True))

    def open_breaker(self, project: str, _why: str, *, probe_at: datetime | None, now: datetime) -> None:
        """Record the call."""
        assert now == NOON
        self._call("open_breaker", project, probe_at)

    def count_failure(self, project: str) -> int:
        """Return the number of faults in a row."""
        return int(self._call("count_failure", project, default=1))

    def count_rejection(self, project: str, *, code: str, video: str) -> bool:
        """Record the call."""
        return bool(self._call("count_rejection", project, code, video, default=False))

    def count_answer(self, project: str, *, token: str | None) -> bool:
        """Record the call."""
        assert token in {None, self.token}
        return bool(self._call("count_answer", project, token is not None, default=True))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def job(
    *,
    receives: int = 1,
    deferrals: int = 0,
    began: str = "",
    policy: Policy = Policy.AUTO,
    is_crashed: bool = False,
    entry: VideoRecord = VideoRecord(),  # noqa: B008 -- it does not change
) -> Job:
    message = Message(batch="b", project="pycon", row=7, video=VIDEO)
    batch: Any = SimpleNamespace(id="b", cancelled=False, limits=LIMITS, upload=SimpleNamespace(order="order"))
    survey: Any = SimpleNamespace(hint=lambda: "a hint")
    state = MessageState(RowState.QUEUED, began, entry=entry, deferrals=deferrals)
    received = Received("id", "receipt", receives, "")
    one = Job(received, message, batch, survey, policy, "a key", "f" * 32, state, is_crashed=is_crashed)
    one.local = LocalParse("A talk", ("Grace Hopper",), 0.4, sure=False, source="title")
    return one


def answered(billing: Any = Measured(BILL)) -> Answer:  # noqa: ANN401, B008 -- one of the three, which do not change
    return Answer("A talk", ("Grace Hopper",), billing)


def seconds(number: float) -> datetime:
    return NOON + timedelta(seconds=number)


def due_probe(*, failures: int = 0) -> Breaker:
    return Breaker(open=True, failures=failures, why="a wrong key", probe_at=stamp(seconds(-1)))


def talk(tier: Tier, review: str | None = None) -> Talk:
    return Talk(title="A talk", presenters=(), tier=tier, confidence=0.5, review=review)


# ------------------------------------------------------------------------------------------------- before the request


def test_a_request_follows_the_order_of_writes(stage: Stage) -> None:
    stage.answers["ask"] = answered()
    assert stage.ask_about(job()) == EndRow(RowState.PARSED, Tier.MODEL)
    assert stage.calls == [
        ("load",),
        ("move_pointer", 7, "f" * 32, "order"),
        ("enter", "b"),
        ("account", "pycon", NOON),
        ("claim", CAP, Policy.AUTO, BOUND, seconds(VISIBILITY - 1), NOON),
        ("reserve", "b", "pycon", BOUND, LIMITS, BUDGET, "gpt-6-luna", NOON),
        ("ask", "a key", DEADLINE),
        ("answer", Tier.MODEL, None, BILL),
        ("settle", Measured(BILL)),
        ("release", "b", NOON),
    ]


@pytest.mark.parametrize("crashed", [True, False])
def test_a_suspect_is_marked_with_its_claims_token_before_anything_else_is_written(stage: Stage, crashed: bool) -> None:
    stage.answers["ask"] = answered()
    stage.ask_about(job(is_crashed=True) if crashed else job(receives=2, began=stamp(NOON)))
    assert stage.calls[3:5] == [("mark_started", 7, NOON), ("account", "pycon", NOON)]
    assert stage.token


@pytest.mark.parametrize(("visibility", "until"), [(5_000, 690), (690, 689), (60, 59)])
def test_a_lease_outlasts_the_worker_and_ends_before_the_message_is_redelivered(
    stage: Stage, visibility: int, until: int
) -> None:
    stage.settings.visibility_seconds = visibility
    stage.answers["ask"] = answered()
    stage.breaker = due_probe()
    stage.ask_about(job())
    (claim,) = (call for call in stage.calls if call[0] == "claim")
    (probe,) = (call for call in stage.calls if call[0] == "take_probe")
    assert (claim[4], probe[2]) == (seconds(until), seconds(until))


ENOUGH, TOO_LITTLE = float(DEADLINE + MARGIN), DEADLINE + MARGIN - 0.001


@pytest.mark.parametrize(
    ("left", "last"),
    [
        ([TOO_LITTLE], "load"),
        ([ENOUGH, TOO_LITTLE], "enter"),
        ([ENOUGH] * 3 + [TOO_LITTLE], "settle"),
        ([ENOUGH] * 4, "release"),
    ],
)
def test_the_remaining_time_is_checked_before_each_step_that_costs_something(
    stage: Stage, left: list[float], last: str
) -> None:
    stage.answers["ask"] = answered()
    stage.remaining = left
    decision = stage.ask_about(job())
    assert stage.names[-1] == last
    if last == "release":
        assert decision == EndRow(RowState.PARSED, Tier.MODEL)
    else:
        assert (decision, "ask" in stage.names) == (Redeliver(0), False)


@pytest.mark.parametrize("ours", [True, False])
def test_an_attempt_without_time_to_send_is_undone(stage: Stage, ours: bool) -> None:
    stage.answers["give_back"] = ours
    stage.breaker = due_probe()
    stage.remaining = [ENOUGH] * 3 + [TOO_LITTLE]
    assert stage.ask_about(job()) == Redeliver(0)
    undone: list[tuple[Any, ...]] = [("release_probe", "pycon"), ("give_back",), ("settle", Unbilled())]
    assert stage.after("key") == (undone if ours else undone[:2])


def test_a_row_with_a_newer_manifest_is_superseded_before_anything_is_claimed(stage: Stage) -> None:
    stage.answers["move_pointer"] = False
    decision = stage.ask_about(job())
    assert isinstance(decision, EndRow)
    assert (decision.state, stage.names) == (RowState.SUPERSEDED, ["load", "move_pointer"])


NOT_ASKED = {
    "paused": (Account("pycon", BUDGET, "", Breaker()), Hold.PAUSED, None),
    "no budget": (Account("pycon", None, None, Breaker()), Hold.NO_BUDGET, None),
    "unreachable": (LedgerUnavailable("it does not answer"), Hold.LEDGER_UNREACHABLE, BACKOFF),
}


@pytest.mark.parametrize("case", sorted(NOT_ASKED))
def test_a_request_without_a_permit_waits_and_claims_nothing(stage: Stage, case: str) -> None:
    stage.answers["account"], hold, wait = NOT_ASKED[case]
    decision = stage.ask_about(job())
    assert isinstance(decision, DeferRow)
    assert decision.reason.startswith(f"{hold}: ")
    assert (decision.due, decision.need) == (None if wait is None else seconds(wait), BOUND)
    assert stage.names[-1] == "account"


EVENT = {"at": stamp(seconds(-60)), "event": "timed_out"}
CLAIMS: dict[str, tuple[VideoRecord, Policy, Decision]] = {
    "the model has answered": (VideoRecord(talk=talk(Tier.MODEL)), Policy.AUTO, EndRow(RowState.PARSED, Tier.MODEL)),
    "a weak local talk is stored": (VideoRecord(talk=talk(Tier.LOCAL)), Policy.MODEL, Redeliver()),
    "a flagged local talk is stored": (
        VideoRecord(talk=talk(Tier.LOCAL, "refused")),
        Policy.MODEL,
        EndRow(RowState.PARSED, Tier.LOCAL),
    ),
    "another worker has it": (VideoRecord(attempts=1, lease_until=stamp(seconds(9))), Policy.AUTO, Redeliver()),
    "another worker makes the last attempt": (
        VideoRecord(attempts=CAP, lease_until=stamp(seconds(9)), history=(EVENT,)),
        Policy.AUTO,
        Redeliver(),
    ),
    "all attempts are used up": (
        VideoRecord(attempts=CAP, history=(EVENT,)),
        Policy.AUTO,
        DeadLetterRow(f"attempts_used_up: {CAP} attempts, the last ended with timed_out"),
    ),
    "all are used up, and nothing is known": (
        VideoRecord(attempts=CAP + 1, lease_until=stamp(seconds(-9))),
        Policy.AUTO,
        DeadLetterRow(f"attempts_used_up: {CAP + 1} attempts, the last ended with nothing known"),
    ),
    "a person has allowed more": (
        VideoRecord(attempts=CAP, allowed=CAP + 1, history=(EVENT,)),
        Policy.AUTO,
        Redeliver(),
    ),
    "one attempt is left": (VideoRecord(attempts=CAP - 1, history=(EVENT,)), Policy.AUTO, Redeliver()),
}


@pytest.mark.parametrize("probe", [True, False])
@pytest.mark.parametrize("case", sorted(CLAIMS))
def test_a_refused_claim_gives_the_permit_back_and_reserves_nothing(stage: Stage, case: str, probe: bool) -> None:
    stage.answers["claim"], policy, decision = CLAIMS[case]
    stage.breaker = due_probe() if probe else Breaker()
    assert stage.ask_about(job(policy=policy)) == decision
    assert stage.after("claim") == ([("release_probe", "pycon")] if probe else [])


DUE = seconds(4_000)
REFUSALS: dict[str, tuple[object, Decision]] = {
    "the day": (Refusal(Hold.BUDGET_DAY, "used up", DUE), DeferRow("budget_day: used up", DUE, BOUND)),
    "the batch": (Refusal(Hold.BATCH_LIMIT, "used up"), DeferRow("batch_limit: used up", None, BOUND)),
    "cancelled": (Refusal(Hold.CANCELLED, "by hand"), EndRow(RowState.CANCELLED, reason=CANCELLED)),
    "unknown": (LedgerUnavailable("no answer"), DeferRow("ledger_unreachable: no answer", seconds(4 * BACKOFF), BOUND)),
}


@pytest.mark.parametrize("probe", [True, False])
@pytest.mark.parametrize("case", sorted(REFUSALS))
def test_a_refused_reservation_gives_back_permit_and_attempt(stage: Stage, case: str, probe: bool) -> None:
    stage.answers["reserve"], decision = REFUSALS[case]
    stage.breaker = due_probe() if probe else Breaker()
    assert stage.ask_about(job(deferrals=2)) == decision
    assert stage.after("reserve") == [*([("release_probe", "pycon")] if probe else []), ("give_back",)]


@pytest.mark.parametrize("trouble", TABLE_DOES_NOT_ANSWER, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("call", ["claim", "reserve", "give_back"])
def test_a_table_that_does_not_answer_before_the_request_names_the_token(
    stage: Stage, call: str, trouble: Exception
) -> None:
    stage.answers |= {"reserve": Refusal(Hold.BATCH_LIMIT, "used up")} if call == "give_back" else {}
    stage.answers[call] = trouble
    with pytest.raises(NotSent) as caught:
        stage.ask_about(job())
    assert (caught.value.token, "ask" in stage.names) == (stage.token, False)


def test_a_probe_asks_with_the_key_that_is_stored_now(stage: Stage) -> None:
    stage.answers |= {"key": "a new key", "ask": answered()}
    stage.breaker = due_probe()
    stage.ask_about(job())
    assert stage.after("reserve")[:2] == [("key", "pycon", True), ("ask", "a new key", DEADLINE)]


UNREADABLE = [(KeyUnreadable("denied"), "denied"), (None, "the key of pycon was removed")]


@pytest.mark.parametrize(("stored", "why"), UNREADABLE)
def test_a_probe_without_a_readable_key_is_undone_and_its_row_waits(stage: Stage, stored: object, why: str) -> None:
    stage.answers["key"] = stored
    stage.breaker = due_probe()
    assert stage.ask_about(job()) == DeferRow(f"key_unreadable: {why}", seconds(VISIBILITY), BOUND)
    assert stage.after("key") == [("release_probe", "pycon"), ("give_back",), ("settle", Unbilled())]


# ------------------------------------------------------------------------------------------------- after the request

Calls = list[tuple[Any, ...]]
RELEASED = ("release", "b", NOON)
FAILED = ("count_failure", "pycon")

OUTCOMES: dict[str, tuple[Answer | Fault, Calls, Calls, Decision]] = {
    "an answer": (
        answered(),
        [("answer", Tier.MODEL, None, BILL), ("settle", Measured(BILL))],
        [RELEASED],
        EndRow(RowState.PARSED, Tier.MODEL),
    ),
    "an answer without a usage": (
        answered(Unmeasured()),
        [("answer", Tier.MODEL, None, BOUND), ("settle", Unmeasured())],
        [RELEASED],
        EndRow(RowState.PARSED, Tier.MODEL),
    ),
    "an unusable answer": (
        Unusable(Reason.REFUSED, "no", billing=Measured(BILL)),
        [("answer", Tier.LOCAL, Reason.REFUSED, BILL), ("settle", Measured(BILL))],
        [RELEASED],
        EndRow(RowState.PARSED, Tier.LOCAL),
    ),
    "a rate limit": (
        Defer(Reason.RATE_LIMITED, "later", retry_after=7),
        [("give_back",), ("settle", Unbilled())],
        [RELEASED],
        DeferRow("rate_limited: later", seconds(7), BOUND),
    ),
    "a rate limit that is over": (
        Defer(Reason.RATE_LIMITED, "later", retry_after=0),
        [("give_back",), ("settle", Unbilled())],
        [RELEASED],
        DeferRow("rate_limited: later", NOON, BOUND),
    ),
    "a rate limit without a date": (
        Defer(Reason.RATE_LIMITED, "later"),
        [("give_back",), ("settle", Unbilled())],
        [RELEASED],
        DeferRow("rate_limited: later", seconds(BACKOFF), BOUND),
    ),
    "an account fault": (
        Defer(Reason.ACCOUNT_FAULT, "401", retry_after=7),
        [("give_back",), ("settle", Unbilled())],
        [("open_breaker", "pycon", seconds(QUARTER))],
        DeferRow("account_fault: 401", seconds(QUARTER), BOUND),
    ),
    "no connection": (
        Defer(Reason.PROVIDER_UNREACHABLE, "no"),
        [("give_back",), ("settle", Unbilled())],
        [FAILED, RELEASED],
        DeferRow("provider_unreachable: no", seconds(BACKOFF), BOUND),
    ),
    "a lost answer": (
        Retry(Reason.TIMED_OUT, "it hung"),
        [("fail", Reason.TIMED_OUT, BOUND), ("settle", Unmeasured())],
        [FAILED, RELEASED],
        Redeliver(BACKOFF),
    ),
    "a failure with its usage": (
        Retry(Reason.PROVIDER_ERROR, "failed", billing=Measured(BILL)),
        [("fail", Reason.PROVIDER_ERROR, BILL), ("settle", Measured(BILL))],
        [FAILED, RELEASED],
        Redeliver(BACKOFF),
    ),
    "a request that the fuse refuses": (
        DeadLetter(Reason.REFUSED_AT_THE_WIRE, "tools", billing=Unbilled()),
        [("fail", Reason.REFUSED_AT_THE_WIRE, Amount()), ("settle", Unbilled())],
        [RELEASED],
        DeadLetterRow("refused_at_the_wire: tools"),
    ),
}


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("case", sorted(OUTCOMES))
def test_an_outcome_is_recorded_then_settled_if_recorded_then_reported(stage: Stage, case: str, ours: bool) -> None:
    outcome, stored, reported, decision = OUTCOMES[case]
    stage.answers |= {"ask": outcome} | dict.fromkeys(("answer", "fail", "give_back"), ours)
    if not ours and isinstance(outcome, Answer | Unusable):
        decision = Redeliver()
    assert stage.ask_about(job()) == decision
    assert stage.after("ask") == (stored if ours else stored[:1]) + reported


@pytest.mark.parametrize("call", ["answer", "fail", "give_back"])
def test_an_outcome_that_cannot_be_recorded_is_reported_anyway(stage: Stage, call: str) -> None:
    outcome = {"answer": "an answer", "fail": "a lost answer", "give_back": "an account fault"}[call]
    answer, stored, reported, _ = OUTCOMES[outcome]
    stage.answers |= {"ask": answer, call: TABLE_DOES_NOT_ANSWER[0]}
    with pytest.raises(ClientError):
        stage.ask_about(job())
    assert stage.after("ask") == stored[:1] + reported


def test_a_settlement_that_fails_is_counted_not_repeated_and_changes_no_decision(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(telemetry, "not_settled", lambda message: counted.append(message.row))
    stage.answers |= {"ask": answered(), "settle": LedgerUnavailable("no answer")}
    assert stage.ask_about(job()) == EndRow(RowState.PARSED, Tier.MODEL)
    assert (stage.names.count("settle"), counted) == (1, [7])


ABOVE = [Amount(1, 1_001, 0, 0), Amount(1, 0, 401, 0), Amount(1, 0, 0, 301), Amount(2, 0, 0, 0)]


@pytest.mark.parametrize("bill", [*ABOVE, BOUND])
def test_a_bill_above_the_bound_in_any_unit_is_settled_in_full_and_opens_the_breaker_until_a_person_closes_it(
    stage: Stage, bill: Amount
) -> None:
    stage.answers["ask"] = answered(Measured(bill))
    assert stage.ask_about(job()) == EndRow(RowState.PARSED, Tier.MODEL)
    opened: Calls = [] if bill == BOUND else [("open_breaker", "pycon", None)]
    assert stage.after("answer") == [("settle", Measured(bill)), *opened, RELEASED]


@pytest.mark.parametrize(
    ("number", "allowed", "decision"),
    [
        (1, 0, Redeliver(BACKOFF)),
        (2, 0, Redeliver(2 * BACKOFF)),
        (2, 2, Redeliver(2 * BACKOFF)),
        (3, 0, DeadLetterRow("timed_out: it hung")),
        (3, 2, DeadLetterRow("timed_out: it hung")),
        (3, 4, Redeliver(4 * BACKOFF)),
        (4, 9, Redeliver(8 * BACKOFF)),
        (5, 9, Redeliver(VISIBILITY)),
        (9, 9, DeadLetterRow("timed_out: it hung")),
    ],
)
def test_a_failed_attempt_is_followed_by_another_up_to_the_cap_or_what_a_person_allowed(
    stage: Stage, number: int, allowed: int, decision: Decision
) -> None:
    stage.answers |= {"ask": Retry(Reason.TIMED_OUT, "it hung"), "claim": number}
    assert stage.ask_about(job(entry=VideoRecord(allowed=allowed))) == decision


@pytest.mark.parametrize(("deferrals", "wait"), [(0, BACKOFF), (1, 2 * BACKOFF), (3, 8 * BACKOFF), (4, VISIBILITY)])
def test_a_wait_without_a_date_doubles_with_each_deferral(stage: Stage, deferrals: int, wait: int) -> None:
    stage.answers["ask"] = Defer(Reason.PROVIDER_UNREACHABLE, "no")
    decision = stage.ask_about(job(deferrals=deferrals))
    assert isinstance(decision, DeferRow)
    assert decision.due == seconds(wait)


@pytest.mark.parametrize(("backoff", "wait"), [(0, 1), (1, 1), (2, 2)])
def test_a_wait_is_never_shorter_than_a_second(stage: Stage, backoff: int, wait: int) -> None:
    stage.settings.retry_backoff_seconds = backoff
    stage.answers["ask"] = Retry(Reason.TIMED_OUT, "it hung")
    assert stage.ask_about(job()) == Redeliver(wait)


def test_every_attempt_is_reported_with_its_bound_and_its_bill(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[dict[str, Any]] = []
    monkeypatch.setattr(telemetry, "attempted", lambda message, **more: reported.append({"row": message.row} | more))
    for outcome, reason in ((answered(), "answered"), (Retry(Reason.TIMED_OUT, "it hung"), Reason.TIMED_OUT)):
        stage.token = ""
        stage.answers |= {"ask": outcome, "claim": 2}
        stage.ask_about(job())
        expected = {"attempt": 2, "bound": BOUND, "billing": outcome.billing, "reason": reason}
        assert reported.pop() == {"row": 7, "model": "gpt-6-luna"} | expected


REJECTED = Rejected(Reason.BAD_REQUEST, "400", code="odd")
AGAIN: Calls = [("fail", Reason.BAD_REQUEST, BOUND), ("settle", Unmeasured())]
ENOUGH_OF_IT: Calls = [("answer", Tier.LOCAL, Reason.BAD_REQUEST, BOUND), ("settle", Unmeasured())]


@pytest.mark.parametrize(
    ("number", "events", "stored", "decision"),
    [
        (1, [], AGAIN, Redeliver(BACKOFF)),
        (2, ["claimed", "timed_out"], AGAIN, Redeliver(2 * BACKOFF)),
        (2, ["claimed", "bad_request"], ENOUGH_OF_IT, EndRow(RowState.PARSED, Tier.LOCAL)),
        (CAP, ["claimed", "timed_out"], ENOUGH_OF_IT, EndRow(RowState.PARSED, Tier.LOCAL)),
    ],
)
def test_a_rejection_of_one_row_is_charged_and_tried_once_more(
    stage: Stage, number: int, events: list[str], stored: Calls, decision: Decision
) -> None:
    history = tuple({"at": stamp(NOON), "event": event} for event in events)
    stage.answers |= {"ask": REJECTED, "claim": number}
    assert stage.ask_about(job(entry=VideoRecord(history=history))) == decision
    assert stage.after("ask") == [("count_rejection", "pycon", "odd", "v1"), *stored]


@pytest.mark.parametrize("probe", [True, False])
def test_a_rejection_of_every_row_is_an_account_fault_and_costs_nothing(stage: Stage, probe: bool) -> None:
    stage.answers |= {"ask": REJECTED, "count_rejection": not probe}
    stage.breaker = due_probe() if probe else Breaker()
    assert stage.ask_about(job()) == DeferRow("account_fault: 400", seconds(QUARTER), BOUND)
    assert stage.after("count_rejection") == [
        ("give_back",),
        ("settle", Unbilled()),
        ("open_breaker", "pycon", seconds(QUARTER)),
    ]


@pytest.mark.parametrize("failures", [0, 2])
def test_the_answer_of_a_probe_is_reported_with_its_token(stage: Stage, failures: int) -> None:
    stage.answers["ask"] = answered()
    stage.breaker = due_probe(failures=failures)
    assert stage.ask_about(job()) == EndRow(RowState.PARSED, Tier.MODEL)
    assert stage.after("settle") == [("count_answer", "pycon", True), RELEASED]


def test_an_overtaken_probe_settles_nothing_and_is_reported(stage: Stage) -> None:
    stage.answers |= {"ask": answered(), "answer": False}
    stage.breaker = due_probe()
    assert stage.ask_about(job()) == Redeliver()
    assert stage.after("answer") == [("count_answer", "pycon", True), RELEASED]
