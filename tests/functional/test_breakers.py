"""The breakers in the ledger: which requests they let through, and what opens and closes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.functional.world import PROJECT, Cut, World

from titlecard.aws.dynamodb.catalog import NEVER, stamp
from titlecard.aws.dynamodb.ledger import Breaker
from titlecard.aws.dynamodb.ledger.breakers import breaker_of, probe_after
from titlecard.aws.errors import LedgerItemInvalid, LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from titlecard.aws.dynamodb.ledger import Ledger

MINUTE = timedelta(minutes=1)


class Case:
    """One project's breaker."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def ledger(self) -> Ledger:
        """The world's ledger."""
        return self.world.ledger

    @property
    def now(self) -> datetime:
        """The current time."""
        return self.world.clock()

    @property
    def breaker(self) -> Breaker:
        """The breaker's current state."""
        return self.ledger.account(PROJECT, now=self.now).breaker

    def open(self, why: str = "a wrong key", after: timedelta | None = timedelta(0)) -> None:
        """Open the breaker; `after` is the time until its probe, None if only a person closes it."""
        probe_at = None if after is None else self.now + after
        self.ledger.open_breaker(PROJECT, why, probe_at=probe_at, now=self.now)

    def take(self, token: str, lasts: timedelta = 2 * MINUTE) -> bool:
        """Take its probe."""
        return self.ledger.take_probe(PROJECT, token=token, until=self.now + lasts, now=self.now)


@pytest.fixture
def case(world: World) -> Case:
    return Case(world)


def test_an_open_breaker_takes_one_probe_at_a_time(case: Case) -> None:
    case.open()
    assert [case.take("one"), case.take("two"), case.take("one")] == [True, False, True]


def test_a_breaker_gives_no_probe_before_its_time(case: Case) -> None:
    case.open(after=MINUTE)
    assert not case.take("early")
    case.world.clock.forward(61)
    assert case.take("in time")


def test_a_breaker_that_a_person_must_close_gives_no_probe(case: Case) -> None:
    case.open(after=None)
    case.world.clock.forward(365 * 86_400)
    assert not case.take("never")


def test_a_closed_breaker_gives_no_probe(case: Case) -> None:
    assert not case.take("nobody asked")


def test_a_probe_makes_way_as_soon_as_its_worker_must_have_ended_and_no_earlier(case: Case) -> None:
    case.open()
    case.take("dead", lasts=MINUTE)
    case.world.clock.forward(60)
    assert not case.take("too early")
    case.world.clock.forward(0.000_001)
    assert case.take("next")


def test_a_probe_that_was_not_sent_makes_way_at_once(case: Case) -> None:
    case.open()
    case.take("one")
    assert case.ledger.release_probe(PROJECT, token="one")  # noqa: S106 -- no password
    assert case.take("two")


def test_a_probe_is_not_given_up_by_another_token(case: Case) -> None:
    case.open()
    case.take("one")
    assert not case.ledger.release_probe(PROJECT, token="two")  # noqa: S106 -- no password
    assert not case.take("two")


def test_the_answer_of_a_probe_closes_the_breaker_and_ends_the_count_of_faults(case: Case) -> None:
    case.ledger.count_failure(PROJECT)
    case.open()
    case.take("one")
    assert case.ledger.count_answer(PROJECT, token="one")  # noqa: S106 -- no password
    assert case.breaker == Breaker()


@pytest.mark.parametrize("token", [None, "another"])
def test_an_answer_that_is_not_the_probes_does_not_close_the_breaker(case: Case, token: str | None) -> None:
    case.open()
    case.take("one")
    assert not case.ledger.count_answer(PROJECT, token=token)
    assert case.breaker.open


def test_the_answer_of_a_probe_from_before_the_breaker_opened_again_does_not_close_it(case: Case) -> None:
    case.open()
    case.take("one")
    case.open(after=None)
    assert not case.ledger.count_answer(PROJECT, token="one")  # noqa: S106 -- no password
    assert case.breaker.open


def test_an_answer_ends_the_count_of_faults_of_a_closed_breaker(case: Case) -> None:
    case.ledger.count_failure(PROJECT)
    case.ledger.count_rejection(PROJECT, code="400", video="v1")
    assert case.ledger.count_answer(PROJECT, token=None)
    assert case.breaker == Breaker()


def test_closing_a_breaker_clears_its_count_its_reason_and_its_probe(case: Case) -> None:
    case.ledger.count_failure(PROJECT)
    case.ledger.count_rejection(PROJECT, code="400", video="v1")
    case.open(after=None)
    case.ledger.close_breaker(PROJECT)
    assert case.breaker == Breaker()


@pytest.mark.parametrize("by_a_person", [True, False])
def test_a_closed_breaker_keeps_nothing_of_its_opening(case: Case, *, by_a_person: bool) -> None:
    case.ledger.count_failure(PROJECT)
    case.ledger.count_rejection(PROJECT, code="400", video="v1")
    case.open()
    case.take("one")
    if by_a_person:
        case.ledger.close_breaker(PROJECT)
    else:
        case.ledger.count_answer(PROJECT, token="one")  # noqa: S106 -- no password
    key = {"pk": "breakers", "sk": PROJECT}
    table = case.world.names["LedgerTable"]
    assert case.world.db.get_item(TableName=table, Key=key)["Item"] == {**key, "state": "closed", "failures": 0}


def test_a_breaker_that_opens_again_after_it_was_closed_opens_at_that_time(case: Case) -> None:
    case.open()
    case.ledger.close_breaker(PROJECT)
    case.world.clock.forward(60)
    case.open()
    assert case.breaker.since == stamp(case.now)


def test_an_answer_ends_the_count_of_faults_of_a_breaker_that_was_closed_before(case: Case) -> None:
    case.open()
    case.ledger.close_breaker(PROJECT)
    case.ledger.count_failure(PROJECT)
    assert case.ledger.count_answer(PROJECT, token=None)
    assert case.breaker == Breaker()


def test_faults_are_counted_one_by_one(case: Case) -> None:
    assert [case.ledger.count_failure(PROJECT) for _ in range(3)] == [1, 2, 3]


def test_a_breaker_keeps_the_time_at_which_it_first_opened(case: Case) -> None:
    case.open()
    first = case.breaker.since
    case.world.clock.forward(60)
    case.open("still a wrong key", MINUTE)
    assert (case.breaker.since, case.breaker.why) == (first, "still a wrong key")


def test_an_open_breaker_may_be_extended_and_never_shortened(case: Case) -> None:
    case.open("for minutes", 5 * MINUTE)
    case.open("for a minute", MINUTE)
    assert (case.breaker.why, case.breaker.probe_at) == ("for minutes", stamp(case.now + 5 * MINUTE))
    case.open("for longer", 6 * MINUTE)
    case.open("for good", None)
    case.open("for longer still", 9 * MINUTE)
    assert (case.breaker.why, case.breaker.probe_at) == ("for good", NEVER)


def test_a_breaker_that_opens_again_until_the_same_time_has_the_newer_reason(case: Case) -> None:
    case.open("a wrong key", MINUTE)
    case.open("no quota", MINUTE)
    assert case.breaker.why == "no quota"


def test_opening_again_ends_the_probe_that_was_in_flight(case: Case) -> None:
    case.open()
    case.take("one")
    case.open()
    assert case.take("two")


@pytest.mark.parametrize(
    ("before", "again"), [(("400", "v1"), False), (("400", "v2"), True), (("mystery", "v2"), False)]
)
def test_a_second_rejection_in_a_row_needs_the_same_code_and_another_video(
    case: Case, before: tuple[str, str], *, again: bool
) -> None:
    assert not case.ledger.count_rejection(PROJECT, code=before[0], video=before[1])
    assert case.ledger.count_rejection(PROJECT, code="400", video="v1") is again


def test_a_rejection_is_compared_with_the_one_just_before_it(case: Case) -> None:
    rejections = [("400", "v1"), ("mystery", "v2"), ("mystery", "v2"), ("mystery", "v1"), ("400", "v2"), ("400", "v1")]
    again = [case.ledger.count_rejection(PROJECT, code=code, video=video) for code, video in rejections]
    assert again == [False, False, False, True, False, True]


@pytest.mark.parametrize(
    "write",
    [
        lambda case: case.take("one"),
        lambda case: case.ledger.release_probe(PROJECT, token=""),
        lambda case: case.open(),
        lambda case: case.ledger.count_failure(PROJECT),
        lambda case: case.ledger.count_rejection(PROJECT, code="400", video="v1"),
        lambda case: case.ledger.count_answer(PROJECT, token=None),
        lambda case: case.ledger.close_breaker(PROJECT),
    ],
    ids=["take", "release", "open", "failure", "rejection", "answer", "close"],
)
def test_a_write_without_an_answer_leaves_the_ledger_unavailable(case: Case, write: Callable[[Case], object]) -> None:
    case.world.wire.cut(Cut.LOST_ANSWER)
    with pytest.raises(LedgerUnavailable):
        write(case)


# ------------------------------------------------------------------------------------------------ as its item is read

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
SPOILT = "its item cannot be read"


@pytest.mark.parametrize(
    ("item", "breaker"),
    [
        ({}, Breaker()),
        ({"failures": 2}, Breaker(failures=2)),
        ({"state": "closed", "rejected_code": "400"}, Breaker(rejected=True)),
        ({"state": "open"}, Breaker(open=True, why=SPOILT, probe_at=NEVER)),
        (
            {"state": "ajar", "failures": 2, "why": "no key"},
            Breaker(open=True, failures=2, why="no key", probe_at=NEVER),
        ),
        ({"state": "open", "rejected_code": "400"}, Breaker(open=True, rejected=True, why=SPOILT, probe_at=NEVER)),
        (
            {"state": "open", "since": stamp(NOON), "why": "no key", "probe_at": "2026-01-05T13:00:00+01:00"},
            Breaker(open=True, since=stamp(NOON), why="no key", probe_at=stamp(NOON)),
        ),
        (
            {"state": "open", "why": "no key", "probe_at": "soon", "probe_until": "0001-01-01T00:00:00+14:00"},
            Breaker(open=True, why="no key", probe_at=NEVER, probe_until=NEVER),
        ),
    ],
)
def test_a_breaker_that_cannot_be_read_is_open_until_a_person_closes_it(
    item: Mapping[str, object], breaker: Breaker
) -> None:
    assert breaker_of(item) == breaker


@pytest.mark.parametrize("state", ["open", "closed"])
def test_a_breaker_whose_count_was_edited_lets_nothing_through(state: str) -> None:
    with pytest.raises(LedgerItemInvalid, match="not a count"):
        breaker_of({"state": state, "failures": -1})


def test_a_breaker_lets_a_request_through_from_its_probe_time_on_while_no_probe_is_in_flight() -> None:
    second = timedelta(seconds=1)
    idle = Breaker(open=True, probe_at=stamp(NOON))
    assert [idle.probes(moment) for moment in (NOON - second, NOON, NOON + second)] == [False, True, True]
    busy = Breaker(open=True, probe_at=stamp(NOON - 2 * second), probe_until=stamp(NOON))
    assert [busy.probes(moment) for moment in (NOON - second, NOON, NOON + second)] == [False, False, True]
    assert not Breaker(probe_at=stamp(NOON)).probes(NOON + second)


def test_a_refused_worker_may_return_when_the_probe_is_due_or_gone() -> None:
    later = NOON + MINUTE
    assert Breaker(open=True, probe_at=stamp(NOON), probe_until=stamp(later)).due == later
    assert Breaker(open=True, probe_at=stamp(later), probe_until=stamp(NOON)).due == later
    assert Breaker(open=True, probe_at=NEVER).due is None
    assert Breaker(open=True, probe_at=stamp(NOON), probe_until=NEVER).due is None


@pytest.mark.parametrize(
    ("failures", "backoff", "seconds"),
    [(1, 60, 60), (2, 60, 60), (3, 60, 120), (5, 60, 480), (6, 60, 900), (60, 60, 900), (6, 10, 160), (60, 10, 160)],
)
def test_probes_are_twice_as_far_apart_each_time_up_to_a_limit(failures: int, backoff: int, seconds: int) -> None:
    assert probe_after(failures, threshold=2, backoff=backoff) == timedelta(seconds=seconds)
