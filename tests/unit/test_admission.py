"""Admission alone: which requests it permits, and what it reports to the breaker. The ledger only records its calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from titlecard.aws.dynamodb.catalog import NEVER, stamp
from titlecard.aws.dynamodb.ledger import Account, Refusal
from titlecard.aws.dynamodb.ledger.breakers import Breaker
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.money import Budget, Cap, Unbilled
from titlecard.domain.reasons import Hold, Reason
from titlecard.llm.errors import DeadLetter, Defer, Fault, Rejected, Retry, Unusable
from titlecard.pipeline.admission import Admission, Permit

if TYPE_CHECKING:
    from titlecard.aws.dynamodb.ledger import Ledger

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
BEFORE, LATER = NOON - timedelta(minutes=1), NOON + timedelta(minutes=7)
UNTIL = NOON + timedelta(seconds=90)
QUARTER = timedelta(minutes=15)
BUDGET = Budget(Cap(1, 2), Cap(3, 4))
THRESHOLD, BACKOFF = 3, 60
PROBE = "0123"


class RecordingLedger:
    """Answers each call as a test sets it, and records those that write; `broken` makes these fail."""

    def __init__(self, account: Account, *, failures: int = 1, broken: bool = False, **answers: bool) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._account = account
        self._failures = failures
        self._broken = broken
        self._answers = answers

    def account(self, project: str, *, now: datetime) -> Account:
        """Return the account."""
        assert (project, now) == ("pycon", NOON)
        return self._account

    def _wrote(self, *call: Any) -> bool:  # noqa: ANN401 -- any call's arguments
        self.calls.append(call)
        if self._broken:
            raise LedgerUnavailable("it does not answer")
        return self._answers.get(call[0], True)

    def take_probe(self, project: str, *, token: str, until: datetime, now: datetime) -> bool:
        """Record the call."""
        return self._wrote("take_probe", project, token, until, now)

    def release_probe(self, project: str, *, token: str) -> bool:
        """Record the call."""
        return self._wrote("release_probe", project, token)

    def open_breaker(self, project: str, why: str, *, probe_at: datetime | None, now: datetime) -> None:
        """Record the call."""
        self._wrote("open_breaker", project, why, probe_at, now)

    def count_failure(self, project: str) -> int:
        """Record the call, and return the number of faults in a row."""
        self._wrote("count_failure", project)
        return self._failures

    def count_rejection(self, project: str, *, code: str, video: str) -> bool:
        """Record the call."""
        return self._wrote("count_rejection", project, code, video)

    def count_answer(self, project: str, *, token: str | None) -> bool:
        """Record the call."""
        return self._wrote("count_answer", project, token)


def account(
    breaker: Breaker = Breaker(),  # noqa: B008 -- it does not change
    budget: Budget | None = BUDGET,
    paused_at: str | None = None,
    *,
    all_paused: bool = False,
) -> Account:
    return Account("pycon", budget, paused_at, breaker, all_paused)


def open_breaker(probe_at: datetime = BEFORE, **more: Any) -> Breaker:  # noqa: ANN401 -- each is of its field's kind
    return Breaker(open=True, why="a wrong key", probe_at=stamp(probe_at), **more)


def admission(ledger: RecordingLedger) -> Admission:
    return Admission(cast("Ledger", ledger), threshold=THRESHOLD, backoff=BACKOFF, now=lambda: NOON)


def permit(*, probe: bool = False, faults_before: bool = False) -> Permit:
    return Permit("pycon", BUDGET, faults_before, PROBE if probe else None)


def told(fault: Fault | None, given: Permit, *, above_bound: bool = False, failures: int = 1) -> list[tuple[Any, ...]]:
    """Return the calls that an outcome makes to the ledger."""
    ledger = RecordingLedger(account(), failures=failures)
    admission(ledger).record_outcome(given, fault, above_bound=above_bound)
    return ledger.calls


# ------------------------------------------------------------------------------------------------ before the request


@pytest.mark.parametrize(
    ("breaker", "faults_before"),
    [(Breaker(), False), (Breaker(failures=1), True), (Breaker(rejected=True), True)],
)
def test_a_permit_under_a_closed_breaker_is_no_probe_and_records_earlier_faults(
    breaker: Breaker, faults_before: bool
) -> None:
    ledger = RecordingLedger(account(breaker))
    given = admission(ledger).admit("pycon", token=PROBE, until=UNTIL)
    assert (given, ledger.calls) == (Permit("pycon", BUDGET, faults_before, None), [])


@pytest.mark.parametrize("failures", [0, 1])
def test_a_due_breaker_gives_a_probe_that_lasts_as_long_as_its_worker(failures: int) -> None:
    ledger = RecordingLedger(account(open_breaker(failures=failures)))
    given = admission(ledger).admit("pycon", token=PROBE, until=UNTIL)
    assert given == Permit("pycon", BUDGET, failures > 0, PROBE)
    assert ledger.calls == [("take_probe", "pycon", PROBE, UNTIL, NOON)]


def test_a_worker_without_the_probe_waits_until_it_has_ended() -> None:
    refusal = admission(RecordingLedger(account(open_breaker()), take_probe=False)).admit(
        "pycon", token=PROBE, until=UNTIL
    )
    assert isinstance(refusal, Refusal)
    assert (refusal.hold, refusal.due) == (Hold.BREAKER_OPEN, UNTIL)
    assert "a wrong key" in refusal.sentence


REFUSED: dict[str, tuple[Account, Hold, datetime | None, str]] = {
    "paused": (account(paused_at=stamp(NOON)), Hold.PAUSED, None, "titlecard resume pycon"),
    "paused by an item without a date": (account(paused_at=""), Hold.PAUSED, None, "titlecard resume pycon"),
    "all are paused": (account(paused_at="", all_paused=True), Hold.PAUSED, None, "titlecard resume --all"),
    "paused with a due breaker": (account(open_breaker(), paused_at=""), Hold.PAUSED, None, "resume"),
    "no budget": (account(budget=None), Hold.NO_BUDGET, None, "titlecard budget set pycon"),
    "no budget with a due breaker": (account(open_breaker(), budget=None), Hold.NO_BUDGET, None, "budget set"),
    "open for a while": (account(open_breaker(LATER)), Hold.BREAKER_OPEN, LATER, "a wrong key"),
    "a probe is under way": (
        account(open_breaker(probe_until=stamp(LATER))),
        Hold.BREAKER_OPEN,
        LATER,
        "a wrong key",
    ),
    "open until a person closes it": (
        account(Breaker(open=True, why="a bound", probe_at=NEVER)),
        Hold.BREAKER_OPEN,
        None,
        "a bound",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_refusal_has_a_reason_and_a_date_and_takes_no_probe(case: str) -> None:
    given, hold, due, said = REFUSED[case]
    ledger = RecordingLedger(given)
    refusal = admission(ledger).admit("pycon", token=PROBE, until=UNTIL)
    assert isinstance(refusal, Refusal)
    assert (refusal.hold, refusal.due, ledger.calls) == (hold, due, [])
    assert said in refusal.sentence


def test_a_probe_that_may_or_may_not_be_taken_gives_no_permit() -> None:
    with pytest.raises(LedgerUnavailable):
        admission(RecordingLedger(account(open_breaker()), broken=True)).admit("pycon", token=PROBE, until=UNTIL)


def test_only_a_probe_is_given_back() -> None:
    for probe, calls in ((True, [("release_probe", "pycon", PROBE)]), (False, [])):
        ledger = RecordingLedger(account())
        admission(ledger).withdraw(permit(probe=probe, faults_before=True))
        assert ledger.calls == calls


# ------------------------------------------------------------------------------------------------- after the request

PERMITS = [permit(probe=probe, faults_before=before) for probe in (False, True) for before in (False, True)]
PASSING = [
    Retry(Reason.TIMED_OUT, "it hung"),
    Retry(Reason.PROVIDER_ERROR, "500"),
    Retry(Reason.CONNECTION_LOST, "reset"),
    Retry(Reason.UNREADABLE_BODY, "html"),
    Defer(Reason.PROVIDER_UNREACHABLE, "no connection"),
]
"""The faults of a provider that is down."""

NOT_SENT = [
    Defer(Reason.NOT_SENT_IN_TIME, "no time"),
    DeadLetter(Reason.REFUSED_AT_THE_WIRE, "tools", billing=Unbilled()),
]

WELL = [
    None,
    Defer(Reason.RATE_LIMITED, "too many", retry_after=1),
    Unusable(Reason.REFUSED, "no"),
    Unusable(Reason.TRUNCATED, "cut off"),
    Unusable(Reason.WRONG_SCHEMA, "prose"),
    Unusable(Reason.CONTEXT_TOO_LONG, "too long"),
    Unusable(Reason.BAD_REQUEST, "400 of this row alone"),
]
"""The outcomes that show a working provider and account."""

EVERY = [*PASSING, *NOT_SENT, *WELL, Defer(Reason.ACCOUNT_FAULT, "no quota"), Retry(Reason.BAD_REQUEST, "400")]


def name_of(it: Fault | Permit | None) -> str:
    if isinstance(it, Permit):
        return f"{'a probe' if it.probe else 'no probe'}{' after faults' if it.faults_before else ''}"
    return it.reason if it else "answered"


@pytest.mark.parametrize("given", PERMITS, ids=name_of)
@pytest.mark.parametrize("fault", EVERY, ids=name_of)
def test_a_usage_above_its_bound_with_any_outcome_opens_the_breaker_until_a_person_closes_it(
    fault: Fault | None, given: Permit
) -> None:
    ((call, project, why, probe_at, now),) = told(fault, given, above_bound=True, failures=THRESHOLD)
    assert (call, project, probe_at, now) == ("open_breaker", "pycon", None, NOON)
    assert "above its bound" in why


@pytest.mark.parametrize("given", PERMITS, ids=name_of)
def test_an_account_fault_opens_the_breaker_for_fifteen_minutes(given: Permit) -> None:
    fault = Defer(Reason.ACCOUNT_FAULT, "no quota", retry_after=5)
    assert told(fault, given) == [("open_breaker", "pycon", "no quota", NOON + QUARTER, NOON)]


@pytest.mark.parametrize("given", PERMITS, ids=name_of)
@pytest.mark.parametrize("fault", PASSING, ids=name_of)
def test_a_provider_fault_is_counted_and_opens_the_breaker_after_a_probe_or_at_the_threshold(
    fault: Fault, given: Permit
) -> None:
    counted = ("count_failure", "pycon")
    for failures, seconds in ((1, BACKOFF), (THRESHOLD - 1, BACKOFF), (THRESHOLD, 60), (THRESHOLD + 1, 120)):
        opened = ("open_breaker", "pycon", str(fault), NOON + timedelta(seconds=seconds), NOON)
        opens = bool(given.probe) or failures >= THRESHOLD
        assert told(fault, given, failures=failures) == ([counted, opened] if opens else [counted])


@pytest.mark.parametrize("given", PERMITS, ids=name_of)
@pytest.mark.parametrize("fault", NOT_SENT, ids=name_of)
def test_an_unsent_request_only_gives_its_probe_back(fault: Fault, given: Permit) -> None:
    assert told(fault, given) == ([("release_probe", "pycon", PROBE)] if given.probe else [])


@pytest.mark.parametrize("given", PERMITS, ids=name_of)
@pytest.mark.parametrize("fault", WELL, ids=name_of)
def test_an_outcome_of_a_working_account_is_written_if_it_changes_anything(fault: Fault | None, given: Permit) -> None:
    changes = bool(given.probe) or given.faults_before
    assert told(fault, given) == ([("count_answer", "pycon", given.probe)] if changes else [])


@pytest.mark.parametrize("given", PERMITS, ids=name_of)
def test_a_rejection_that_is_retried_changes_nothing_else(given: Permit) -> None:
    assert told(Retry(Reason.BAD_REQUEST, "400"), given, failures=THRESHOLD) == []


@pytest.mark.parametrize("given", PERMITS, ids=name_of)
@pytest.mark.parametrize("again", [True, False])
def test_a_rejection_is_an_account_fault_if_another_video_or_a_probe_met_it(given: Permit, again: bool) -> None:
    ledger = RecordingLedger(account(), count_rejection=again)
    rejected = Rejected(Reason.BAD_REQUEST, "400", code="odd")
    assert admission(ledger).rejected_for_all(given, rejected, video="v1") is (again or bool(given.probe))
    assert ledger.calls == [("count_rejection", "pycon", "odd", "v1")]


@pytest.mark.parametrize("given", PERMITS, ids=name_of)
@pytest.mark.parametrize("fault", EVERY, ids=name_of)
def test_a_breaker_that_cannot_be_written_stops_no_worker(fault: Fault | None, given: Permit) -> None:
    for above_bound in (False, True):
        ledger = RecordingLedger(account(), broken=True)
        admission(ledger).record_outcome(given, fault, above_bound=above_bound)
        assert len(ledger.calls) <= 1
    admission(ledger).withdraw(given)
    rejected = Rejected(Reason.BAD_REQUEST, "400", code="odd")
    assert admission(ledger).rejected_for_all(given, rejected, video="v1") is bool(given.probe)
