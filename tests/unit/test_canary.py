"""Canaries: which request is sent alone, which ones wait, and for how long an outcome is valid."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from titlecard.pipeline.canary import CanaryGate

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
MOMENT = timedelta(microseconds=1)


class Waits(Exception):
    """The request has to wait for the canary."""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> CanaryGate:
    """Return a gate at which waiting fails at once."""

    def sleep(_seconds: float) -> None:
        raise Waits

    monkeypatch.setattr("titlecard.pipeline.canary.time", SimpleNamespace(sleep=sleep))
    return CanaryGate()


def waits(gate: CanaryGate, batch: str = "a", now: datetime = NOON) -> bool:
    try:
        with gate.enter(batch, lambda: now):
            return False
    except Waits:
        return True


def test_the_first_request_of_a_batch_is_sent_alone_until_it_has_returned(gate: CanaryGate) -> None:
    with gate.enter("a", lambda: NOON):
        assert (waits(gate, "a"), waits(gate, "b")) == (True, False)
    assert not waits(gate, "a")


def test_a_failed_request_lets_the_next_one_start(gate: CanaryGate) -> None:
    with pytest.raises(ZeroDivisionError), gate.enter("a", lambda: NOON):
        raise ZeroDivisionError
    with gate.enter("a", lambda: NOON):
        assert waits(gate)


@pytest.mark.parametrize(
    ("after", "is_valid"),
    [(-MOMENT, False), (timedelta(0), True), (QUARTER - MOMENT, True), (QUARTER, False)],
)
def test_an_outcome_lets_the_batchs_requests_be_concurrent_for_fifteen_minutes(
    gate: CanaryGate, after: timedelta, *, is_valid: bool
) -> None:
    gate.release("a", NOON)
    with gate.enter("a", lambda: NOON + after):
        assert waits(gate, now=NOON + after) is not is_valid


def test_a_request_that_outlives_the_outcome_does_not_free_the_next_canary(gate: CanaryGate) -> None:
    gate.release("a", NOON)
    late = NOON + QUARTER
    with ExitStack() as canary:
        with gate.enter("a", lambda: NOON):
            canary.enter_context(gate.enter("a", lambda: late))
        assert waits(gate, now=late)
    assert not waits(gate, now=late)


def test_an_outcome_counts_for_its_own_batch(gate: CanaryGate) -> None:
    gate.release("a", NOON)
    with gate.enter("b", lambda: NOON):
        assert waits(gate, "b")


def test_the_outcomes_of_a_hundred_batches_are_remembered_beside_a_new_one(gate: CanaryGate) -> None:
    for number in range(101):
        gate.release(str(number), NOON)
    with gate.enter("0", lambda: NOON), gate.enter("100", lambda: NOON):
        assert not waits(gate, "0")
        assert not waits(gate, "100")
