"""The turns of one worker's questions: who goes alone, who waits, and for how long an outcome is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from titlecard.pipeline.turns import Turns

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
MOMENT = timedelta(microseconds=1)


class Waits(Exception):
    """The question has to wait for its turn."""


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    """Return turns for which nobody waits in vain."""

    def sleep(_seconds: float) -> None:
        raise Waits

    monkeypatch.setattr("titlecard.pipeline.turns.time", SimpleNamespace(sleep=sleep))
    return Turns()


def waits(turns: Turns, batch: str = "a", now: datetime = NOON) -> bool:
    try:
        with turns.turn(batch, lambda: now):
            return False
    except Waits:
        return True


def test_the_first_question_of_a_batch_goes_alone_until_it_has_returned(turns: Turns) -> None:
    with turns.turn("a", lambda: NOON):
        assert (waits(turns, "a"), waits(turns, "b")) == (True, False)
    assert not waits(turns, "a")


def test_a_question_that_fails_lets_the_next_one_go(turns: Turns) -> None:
    with pytest.raises(ZeroDivisionError), turns.turn("a", lambda: NOON):
        raise ZeroDivisionError
    with turns.turn("a", lambda: NOON):
        assert waits(turns)


@pytest.mark.parametrize(
    ("after", "is_believed"),
    [(-MOMENT, False), (timedelta(0), True), (QUARTER - MOMENT, True), (QUARTER, False)],
)
def test_an_outcome_lets_the_batchs_questions_go_side_by_side_for_a_quarter_of_an_hour(
    turns: Turns, after: timedelta, *, is_believed: bool
) -> None:
    turns.end("a", NOON)
    with turns.turn("a", lambda: NOON + after):
        assert waits(turns, now=NOON + after) is not is_believed


def test_an_outcome_counts_for_its_own_batch(turns: Turns) -> None:
    turns.end("a", NOON)
    with turns.turn("b", lambda: NOON):
        assert waits(turns, "b")


def test_the_outcomes_of_a_hundred_batches_are_remembered_beside_a_new_one(turns: Turns) -> None:
    for number in range(101):
        turns.end(str(number), NOON)
    with turns.turn("0", lambda: NOON), turns.turn("100", lambda: NOON):
        assert not waits(turns, "0")
        assert not waits(turns, "100")
