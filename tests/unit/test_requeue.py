"""The sweep of deferred rows alone: the verdict on each row, and the writes. The tables only record their calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from tests.unit.stage import NEW, NOON, Stage

from titlecard.aws.dynamodb.catalog import NEVER, NO_PROJECT, Batch, DeferredRow, Row, UnreadableRow, stamp
from titlecard.aws.dynamodb.ledger import Account
from titlecard.aws.dynamodb.ledger.breakers import Breaker
from titlecard.aws.errors import BatchItemInvalid, CatalogBusy, LedgerUnavailable, MessagesNotSent
from titlecard.domain.batch import BatchState, Message, RowState
from titlecard.domain.money import Amount, Budget, Cap, Total
from titlecard.domain.video import Video
from titlecard.pipeline.requeue import UNREADABLE_SECONDS, Requeue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TOMORROW, NEXT_MONTH = datetime(2026, 1, 6, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
NEED = Amount(1, 900, 100, 500)
AMPLE = Budget(Cap(10**9, 10**9), Cap(10**9, 10**9))
LIMITS = Total(10**6, 10**9, 10**9)


def batch(name: str = "b", project: str = "pycon", limits: Total = LIMITS, *, cancelled: bool = False) -> Batch:
    upload: Any = SimpleNamespace(batch=name)  # only its name is read
    state = BatchState.OPEN
    return replace(NEW, upload=upload, project=project, state=state, limits=limits, accepted=9, cancelled=cancelled)


def row(
    number: int,
    *,
    of: str = "b",
    project: str = "pycon",
    need: Amount = NEED,
    due: datetime | None = NOON,
    reason: str = "rate_limited: later",
) -> DeferredRow:
    message = Message(batch=of, project=project, row=number, video=Video(id=f"v{number}", title="A talk"))
    date = stamp(due) if due else NEVER
    return DeferredRow(message, Row(of, number, RowState.DEFERRED, due=date, need=need, reason=reason, deferrals=1))


class SweepStage(Stage):
    """A sweep whose tables and queue hold what a test puts there, and record what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = [batch()]
        self.rows: list[DeferredRow | UnreadableRow] = []
        self.accounts: dict[str, Account | Exception] = {}
        self.spent_by: dict[str, Total | Exception] = {}
        self.spent_today, self.spent_this_month = Total(), Total()
        self.read: list[str] = []
        """The lists of which rows were read."""
        self.trouble: dict[str, Exception] = {}
        self.lease_is_free = True

    def sweep(self, most: int = 100, remaining: Callable[[], float] = lambda: 300.0) -> Counter[str]:
        """Sweep once."""
        return self.requeue(most).run(remaining)

    def requeue(self, most: int = 100) -> Requeue:
        """Return the sweeper."""
        here: Any = self
        audit: Any = SimpleNamespace(
            run=lambda _in_time: Counter(audited=self.call("audit") - 1),
            finish=lambda name, in_time: Counter({name: int(in_time())}),
        )
        return Requeue(catalog=here, ledger=here, queue=here, audit=audit, most=most, now=lambda: NOON)

    def call(self, *call: Any) -> bool:  # noqa: ANN401 -- any call
        """Record a call; raise what the test says."""
        super().call(*call)
        if call[0] in self.trouble:
            raise self.trouble[call[0]]
        return True

    @property
    def sent(self) -> list[int]:
        """The numbers of the rows that were sent, in their order."""
        return [number for name, *more in self.calls if name == "send" for number in more[0]]

    @property
    def postponed(self) -> list[tuple[Any, ...]]:
        """The rows that were given another date: number, word of the reason, date."""
        return [call[1:] for call in self.calls if call[0] == "postpone"]

    # ----------------------------------------------------------------------------------------------------- the tables

    def sweep_lease(self) -> str:
        """Return nothing: there is no other sweeper."""
        return ""

    def take_sweep(self, *_: object, **__: object) -> bool:
        """Return whether the lease is free."""
        return self.lease_is_free

    def release_sweep(self, _holder: str) -> None:
        """Do nothing."""

    def open_batches(self) -> list[Batch]:
        """Return the batches."""
        return self.batches

    def batch(self, name: str) -> Batch:
        """Return a batch that the index does not list."""
        if name in self.trouble:
            raise self.trouble[name]
        return batch(name)

    def due(self, project: str, *, now: datetime) -> Iterator[DeferredRow | UnreadableRow]:
        """Yield the due rows of a project, or those that need no money, oldest first."""
        assert now == NOON
        for one in sorted((it for it in self.rows if _list_of(it) == project), key=_date):
            if _date(one) <= stamp(now):
                self.read.append(project)
                yield one

    def waiting(self, of: Batch) -> Iterator[DeferredRow | UnreadableRow]:
        """Yield the rows of a batch that wait for a person."""
        yield from (it for it in self.rows if it.batch == of.id and _date(it) == NEVER)

    def mark_moved(self, name: str, *, now: datetime) -> None:
        """Record the call."""
        assert now == NOON
        self.call("mark_moved", name)

    def send(self, chunk: Sequence[Message]) -> None:
        """Record the rows' numbers."""
        self.call("send", [message.row for message in chunk])

    def mark_requeued(self, deferred: DeferredRow) -> bool:
        """Record the call."""
        return self.call("mark_requeued", deferred.row.number)

    def postpone(self, deferred: DeferredRow, *, reason: str, until: datetime | None) -> bool:
        """Record the call."""
        return self.call("postpone", deferred.row.number, reason.partition(":")[0], until)

    def postpone_unreadable(self, found: UnreadableRow, *, until: datetime) -> bool:
        """Record the call."""
        return self.call("postpone_unreadable", found.batch, found.number, until)

    def account(self, project: str, *, now: datetime) -> Account:
        """Return a project's account; by default it may ask."""
        assert now == NOON
        account: Account = _or_raised(self.accounts.get(project, Account(project, AMPLE, None, Breaker())))
        return account

    def window(self, _project: str, now: datetime) -> tuple[Total, Amount]:
        """Return the charges of the day and of the month."""
        assert now == NOON
        month = self.spent_this_month
        return self.spent_today, Amount(month.requests, month.tokens, 0, month.micro_usd)

    def spent(self, name: str) -> Amount:
        """Return the charges of a batch."""
        spent: Total = _or_raised(self.spent_by.get(name, Total()))
        return Amount(spent.requests, spent.tokens, 0, spent.micro_usd)


def _or_raised(it: Any) -> Any:  # noqa: ANN401 -- what a test has put there
    if isinstance(it, Exception):
        raise it
    return it


def _list_of(it: DeferredRow | UnreadableRow) -> str:
    if isinstance(it, UnreadableRow):
        return NO_PROJECT
    return it.message.project if it.row.need != Amount() else NO_PROJECT


def _date(it: DeferredRow | UnreadableRow) -> str:
    return str(it.due if isinstance(it, UnreadableRow) else it.row.due)


@pytest.fixture
def stage() -> SweepStage:
    return SweepStage()


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def times(number: int, **more: int) -> Total:
    """Return this many needs, and some more."""
    total = (NEED * number).total
    return Total(**{name: value + more.get(name, 0) for name, value in total.as_map().items()})


# ------------------------------------------------------------------------------------------------------ what goes first


def test_due_rows_of_all_projects_are_sent_oldest_first_and_marked_afterwards(stage: SweepStage) -> None:
    stage.batches = [batch(), batch("d", "djangocon")]
    stage.rows = [row(1), row(2, due=minutes(-3)), row(3, of="d", project="djangocon", due=minutes(-2))]
    stage.rows += [row(4, need=Amount(), due=minutes(-1)), row(5, due=minutes(1))]
    assert stage.sweep() == {"put back": 4}
    assert sorted(stage.calls[:2]) == [("mark_moved", "b"), ("mark_moved", "d")]
    assert stage.calls[2] == ("send", [2, 3, 4, 1])
    assert sorted(stage.calls[3:-1]) == [("mark_requeued", number) for number in (1, 2, 3, 4)]
    assert stage.calls[-1] == ("audit",)


def test_a_sweep_sends_no_more_than_it_may(stage: SweepStage) -> None:
    stage.rows = [row(number, due=minutes(number - 60)) for number in range(1, 40)]
    assert (stage.sweep(most=12)["put back"], stage.sent) == (12, list(range(1, 13)))


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5])
def test_rows_with_a_date_and_rows_that_wait_for_a_person_share_what_a_sweep_may_send(
    stage: SweepStage, most: int
) -> None:
    stage.batches = [batch(), batch("d"), batch("e")]
    stage.rows = [row(1), row(2)]
    stage.rows += [row(number, of=name, due=None, reason="paused: by hand") for name in "bde" for number in (3, 4)]
    assert stage.sweep(most=most) == {"put back": most}
    assert len(stage.sent) == most


def test_a_batch_is_marked_as_moved_once_in_a_sweep_before_its_rows_are_sent(stage: SweepStage) -> None:
    stage.rows = [row(number) for number in range(1, 40)]
    stage.sweep()
    assert [name for name, *_ in stage.calls if name in {"mark_moved", "send"}] == ["mark_moved", *["send"] * 4]


def test_a_sweep_without_the_lease_does_nothing(stage: SweepStage) -> None:
    stage.rows, stage.lease_is_free = [row(1)], False
    assert (stage.sweep(), stage.calls) == ({"left to another sweep": 1}, [])


@pytest.mark.parametrize(("whole", "left", "sent"), [(300, 61, [1, 2]), (300, 60, []), (40, 11, [1, 2]), (40, 10, [])])
def test_a_sweep_stops_a_minute_or_a_quarter_of_its_time_before_the_end(
    stage: SweepStage, whole: float, left: float, sent: list[int]
) -> None:
    stage.rows = [row(1, due=minutes(-1)), row(2)]
    seconds = iter([whole])
    stage.sweep(remaining=lambda: next(seconds, left))
    assert stage.sent == sent


@pytest.mark.parametrize(("whole", "left", "goes_on"), [(300, 61, 1), (300, 60, 0), (40, 10.1, 1), (40, 10, 0)])
def test_finishing_a_batch_on_request_stops_at_the_same_time(
    stage: SweepStage, whole: float, left: float, goes_on: int
) -> None:
    seconds = iter([whole])
    assert stage.requeue().finish("b", lambda: next(seconds, left)) == {"b": goes_on}


TROUBLE = [
    ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, "UpdateItem"),
    ReadTimeoutError(endpoint_url="sqs"),
    CatalogBusy("throttled"),
    MessagesNotSent("refused"),
    KeyError("unexpected"),
]


@pytest.mark.parametrize("call", ["send", "mark_moved", "mark_requeued", "postpone"])
@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda it: type(it).__name__)
def test_batches_are_audited_whatever_does_not_answer(stage: SweepStage, call: str, trouble: Exception) -> None:
    stage.trouble[call] = trouble
    stage.rows = [row(1)]
    if call == "postpone":
        stage.accounts["pycon"] = Account("pycon", AMPLE, "", Breaker())
    assert stage.sweep()["cut short"] == 1
    assert stage.calls[-1] == ("audit",)


# ------------------------------------------------------------------------------------------------- what can be paid for

TIGHT = {
    "tokens of the day": (Cap(times(2).tokens, None), Cap(), LIMITS),
    "dollars of the day": (Cap(None, times(3).micro_usd - 1), Cap(), LIMITS),
    "tokens of the month": (Cap(), Cap(times(3).tokens - 1, None), LIMITS),
    "dollars of the month": (Cap(), Cap(None, times(2).micro_usd), LIMITS),
    "requests of the batch": (Cap(), Cap(10**9, None), Total(2, 10**9, 10**9)),
    "tokens of the batch": (Cap(), Cap(10**9, None), Total(10**6, times(3).tokens - 1, 10**9)),
    "dollars of the batch": (Cap(), Cap(10**9, None), Total(10**6, 10**9, times(2).micro_usd)),
}


@pytest.mark.parametrize("tight", sorted(TIGHT))
def test_only_rows_that_can_be_paid_for_continue_and_the_others_keep_their_dates(stage: SweepStage, tight: str) -> None:
    daily, monthly, limits = TIGHT[tight]
    stage.accounts["pycon"] = Account("pycon", Budget(daily, monthly), None, Breaker())
    stage.batches = [batch(limits=limits)]
    stage.rows = [row(number, due=minutes(number - 9)) for number in range(1, 5)]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([1, 2], [])


REFUSED = {
    "the day, until tomorrow": (Cap(times(2).tokens, None), Cap(), LIMITS, ("budget_day", TOMORROW)),
    "the month, until the next": (Cap(), Cap(None, times(2).micro_usd), LIMITS, ("budget_month", NEXT_MONTH)),
    "the batch, until a person raises it": (Cap(), Cap(10**9, None), times(2), ("batch_limit", None)),
    "the whole day": (Cap(times(1).tokens - 1, None), Cap(), LIMITS, ("budget_day", None)),
    "the whole month": (Cap(), Cap(None, times(1).micro_usd - 1), LIMITS, ("budget_month", None)),
    "the whole batch": (Cap(), Cap(10**9, None), Total(10**6, times(1).tokens - 1, 10**9), ("batch_limit", None)),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_row_without_room_beside_earlier_charges_records_the_reason_and_the_date(
    stage: SweepStage, case: str
) -> None:
    daily, monthly, limits, (word, until) = REFUSED[case]
    stage.accounts["pycon"] = Account("pycon", Budget(daily, monthly), None, Breaker())
    stage.batches = [batch(limits=limits)]
    stage.spent_today = stage.spent_this_month = times(2, tokens=-999, micro_usd=-499)
    stage.spent_by["b"] = times(2, requests=-1, tokens=-999, micro_usd=-499)
    stage.rows = [row(1)]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([], [(1, word, until)])


def test_charges_before_today_count_only_for_the_month(stage: SweepStage) -> None:
    stage.accounts["pycon"] = Account("pycon", Budget(Cap(None, 500), Cap(None, 2_000)), None, Breaker())
    stage.spent_this_month = times(2)
    stage.rows = [row(1)]
    stage.sweep()
    assert stage.sent == [1]


def test_a_younger_row_that_needs_less_does_not_overtake(stage: SweepStage) -> None:
    stage.accounts["pycon"] = Account("pycon", Budget(Cap(), Cap(None, 1_200)), None, Breaker())
    small = Amount(1, 9, 1, 100)
    stage.rows = [row(1, due=minutes(-9)), row(2, need=NEED * 2, due=minutes(-8)), row(3, need=small)]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([1], [])


def test_a_batch_at_its_limit_does_not_delay_other_batches_of_its_project(stage: SweepStage) -> None:
    stage.batches = [batch(limits=times(1)), batch("d")]
    stage.rows = [row(1, due=minutes(-9)), row(2, due=minutes(-8)), row(3, of="d"), row(4, of="d")]
    stage.sweep()
    assert (sorted(stage.sent), stage.postponed) == ([1, 3, 4], [])


# --------------------------------------------------------------------------------------- projects that may not ask now

STOPPED = {
    "paused": Account("pycon", AMPLE, "", Breaker()),
    "no_budget": Account("pycon", None, None, Breaker()),
    "breaker_open": Account("pycon", AMPLE, None, Breaker(open=True, probe_at=NEVER)),
}


@pytest.mark.parametrize("word", sorted(STOPPED))
def test_rows_of_a_project_that_only_a_person_can_free_wait_for_that_person(stage: SweepStage, word: str) -> None:
    stage.accounts["pycon"] = STOPPED[word]
    stage.batches = [batch(), batch("d", "djangocon")]
    stage.rows = [row(1), row(2), row(3, of="d", project="djangocon"), row(4, need=Amount())]
    stage.rows += [row(5, due=None, reason="paused: by hand")]
    stage.sweep()
    assert sorted(stage.sent) == [3, 4]
    assert stage.postponed == [(1, word, None), (2, word, None)]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5])
def test_no_more_rows_get_another_date_than_a_sweep_may_send(stage: SweepStage, most: int) -> None:
    stage.accounts |= dict.fromkeys(("pycon", "djangocon"), STOPPED["paused"])
    stage.accounts["europython"] = Account("europython", Budget(Cap(), Cap(None, 499)), None, Breaker())
    stage.batches = [batch(), batch("d", "djangocon"), batch("e", "europython"), batch("f", "europython")]
    stage.rows = [row(number) for number in (1, 2)]
    stage.rows += [row(number, of="d", project="djangocon") for number in (1, 2)]
    stage.rows += [row(1, of=name, project="europython", due=None, reason="paused: by hand") for name in "ef"]
    assert (stage.sweep(most=most)["postponed"], len(stage.postponed)) == (most, most)


ON_ITS_OWN: dict[str, Account | Exception] = {
    "an open breaker": Account("pycon", AMPLE, None, Breaker(open=True, probe_at=stamp(minutes(1)))),
    "a probe under way": Account(
        "pycon", AMPLE, None, Breaker(open=True, probe_at=stamp(NOON), probe_until=stamp(minutes(1)))
    ),
    "an unreadable ledger": LedgerUnavailable("no answer"),
}


@pytest.mark.parametrize("case", sorted(ON_ITS_OWN))
def test_rows_of_a_project_that_continues_without_a_person_are_not_read(stage: SweepStage, case: str) -> None:
    stage.accounts["pycon"] = ON_ITS_OWN[case]
    stage.rows = [row(1), row(2, need=Amount()), row(3, due=None, reason="budget_day: used up")]
    stage.sweep()
    assert (stage.read, stage.sent, stage.postponed) == ([NO_PROJECT], [2], [])


def test_one_row_continues_under_a_breaker_whose_probe_is_due(stage: SweepStage) -> None:
    stage.accounts["pycon"] = Account("pycon", AMPLE, None, Breaker(open=True, probe_at=stamp(NOON)))
    stage.rows = [row(number, due=minutes(number - 9)) for number in range(1, 4)]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([1], [])


def test_a_row_whose_batchs_charges_cannot_be_read_keeps_its_date(stage: SweepStage) -> None:
    stage.batches = [batch(), batch("d")]
    stage.spent_by["b"] = LedgerUnavailable("no answer")
    stage.rows = [row(1, due=minutes(-1)), row(2, of="d")]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([2], [])


@pytest.mark.parametrize("spent", [LedgerUnavailable("no answer"), times(1)], ids=["unknown", "all but one"])
def test_no_more_rows_that_keep_their_dates_are_read_than_a_sweep_may_send(
    stage: SweepStage, spent: Total | LedgerUnavailable
) -> None:
    stage.batches, stage.spent_by["b"] = [batch(limits=times(2))], spent
    stage.rows = [row(number, due=minutes(number - 9)) for number in range(1, 9)]
    stage.sweep(most=3)
    assert len(stage.read) - len(stage.sent) == 3 + 1, "one more, to look at nothing but the limit"


@pytest.mark.parametrize("case", [*sorted(STOPPED), *sorted(ON_ITS_OWN)])
def test_rows_of_a_cancelled_batch_are_requeued_whatever_their_project_may_do(stage: SweepStage, case: str) -> None:
    stage.accounts["pycon"] = (STOPPED | ON_ITS_OWN)[case]
    stage.batches = [batch(cancelled=True)]
    stage.rows = [row(1), row(2, due=None, reason="paused: by hand")]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([1, 2], [])


@pytest.mark.parametrize("case", sorted(ON_ITS_OWN))
def test_rows_of_a_cancelled_batch_pass_rows_that_wait(stage: SweepStage, case: str) -> None:
    stage.accounts["pycon"] = ON_ITS_OWN[case]
    stage.batches = [batch(), batch("c", cancelled=True)]
    stage.rows = [*(row(number, due=minutes(-9)) for number in range(1, 6)), row(6, of="c"), row(7, of="c")]
    stage.sweep(most=2)
    assert (stage.sent, stage.postponed) == ([6, 7], [])


@pytest.mark.parametrize(("passed", "sent"), [(3, [9]), (4, [])])
def test_rows_of_a_cancelled_batch_pass_a_limited_number_of_rows(
    stage: SweepStage, monkeypatch: pytest.MonkeyPatch, passed: int, sent: list[int]
) -> None:
    monkeypatch.setattr("titlecard.pipeline.requeue.MOST_PASSED", 3)
    stage.accounts["pycon"] = ON_ITS_OWN["an open breaker"]
    stage.batches = [batch(), batch("c", cancelled=True)]
    stage.rows = [*(row(number, due=minutes(-9)) for number in range(1, passed + 1)), row(9, of="c")]
    stage.sweep()
    assert (stage.sent, len(stage.read)) == (sent, 4)


def test_rows_of_a_cancelled_batch_wait_with_the_others_when_time_is_up(stage: SweepStage) -> None:
    stage.accounts["pycon"] = ON_ITS_OWN["an open breaker"]
    stage.batches = [batch(), batch("c", cancelled=True)]
    stage.rows = [row(1, due=minutes(-9)), row(2, due=minutes(-8)), row(3, of="c")]
    seconds = iter([300, 300])
    stage.sweep(remaining=lambda: next(seconds, 60))
    assert (stage.sent, len(stage.read)) == ([], 2)


def test_rows_of_a_cancelled_batch_pass_rows_beyond_the_budget(stage: SweepStage) -> None:
    stage.accounts["pycon"] = Account("pycon", Budget(Cap(None, 500), Cap()), None, Breaker())
    stage.batches = [batch(), batch("c", cancelled=True)]
    stage.rows = [*(row(number, due=minutes(-9)) for number in range(1, 6)), row(6, of="c"), row(7, of="c")]
    stage.sweep()
    assert (len(stage.sent), stage.sent[-2:], stage.postponed) == (3, [6, 7], [])


# ------------------------------------------------------------------------------------------ rows that wait for a person


def test_only_rows_that_wait_for_our_own_limits_continue_when_there_is_room(stage: SweepStage) -> None:
    reasons = ["batch_limit: used up", "waits_for: somebody", "paused: by hand", "no_budget: none"]
    stage.rows = [row(number, due=None, reason=reason) for number, reason in enumerate(reasons, 1)]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([1, 3, 4], [])


def test_a_waiting_row_records_a_new_reason_once(stage: SweepStage) -> None:
    stage.accounts["pycon"] = Account("pycon", Budget(Cap(), Cap(None, 499)), None, Breaker())
    stage.rows = [row(1, due=None, reason="batch_limit: used up"), row(2, due=None, reason="budget_month: whole")]
    stage.rows += [row(3, due=None, reason="paused: by hand")]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([], [(1, "budget_month", None)])


def test_a_waiting_row_gets_a_date_if_there_is_one(stage: SweepStage) -> None:
    stage.accounts["pycon"] = Account("pycon", Budget(Cap(None, 500), Cap()), None, Breaker())
    stage.spent_today = stage.spent_this_month = times(1)
    stage.rows = [row(1, due=None, reason="budget_day: whole"), row(2, due=None, reason="paused: by hand")]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([], [(1, "budget_day", TOMORROW), (2, "budget_day", TOMORROW)])


def test_a_waiting_row_does_not_overtake_a_due_one(stage: SweepStage) -> None:
    stage.accounts["pycon"] = Account("pycon", Budget(Cap(), Cap(None, 500)), None, Breaker())
    stage.rows = [row(1), row(2), row(3, due=None, need=Amount(1, 9, 1, 1), reason="budget_day: whole")]
    stage.sweep()
    assert (stage.sent, stage.postponed) == ([1], [])


# ----------------------------------------------------------------------------------------------- what cannot be read

A_DAY_LATER = NOON + timedelta(seconds=UNREADABLE_SECONDS)


def test_an_unreadable_row_is_postponed_for_a_day_and_does_not_delay_others(stage: SweepStage) -> None:
    stage.rows = [UnreadableRow("b", number, "KeyError", stamp(minutes(-1))) for number in (1, 4)]
    stage.rows += [row(2, need=Amount()), row(3)]
    assert stage.sweep() == {"unreadable": 2, "put back": 2}
    assert stage.calls[0] == ("postpone_unreadable", "b", 1, A_DAY_LATER)


def test_an_unreadable_row_that_waits_for_a_person_does_not_delay_others(stage: SweepStage) -> None:
    stage.rows = [UnreadableRow("b", 1, "KeyError", NEVER), row(2, due=None, reason="paused: by hand")]
    assert stage.sweep() == {"unreadable": 1, "put back": 1}


@pytest.mark.parametrize("trouble", [KeyError("gone"), BatchItemInvalid("edited")], ids=lambda it: type(it).__name__)
def test_a_row_of_an_unreadable_batch_is_postponed_too(stage: SweepStage, trouble: Exception) -> None:
    stage.trouble["gone"] = trouble
    stage.rows = [row(1, of="gone", due=minutes(-1)), row(2)]
    assert stage.sweep() == {"unreadable": 1, "put back": 1}
    assert (stage.calls[0], stage.sent) == (("postpone_unreadable", "gone", 1, A_DAY_LATER), [2])


@pytest.mark.parametrize("case", ["paused", "unreadable", "cannot be paid for", "waiting"])
def test_a_sweep_whose_time_is_up_reads_no_further_although_nothing_is_sent(stage: SweepStage, case: str) -> None:
    stage.rows = [row(number) for number in range(1, 9)]
    if case == "paused":
        stage.accounts["pycon"] = Account("pycon", AMPLE, "", Breaker())
    elif case == "unreadable":
        stage.rows = [UnreadableRow("b", number, "KeyError", stamp(NOON)) for number in range(1, 9)]
    else:
        stage.batches, stage.spent_by["b"] = [batch(limits=times(1))], times(1)
    if case == "waiting":
        stage.rows = [UnreadableRow("b", number, "KeyError", NEVER) for number in range(1, 9)]
    seconds = iter([300, 300, 300])
    stage.sweep(remaining=lambda: next(seconds, 60))
    assert len(stage.calls) <= 3
    assert stage.calls[-1] == ("audit",)


def test_a_row_that_the_index_lists_twice_is_sent_once(stage: SweepStage) -> None:
    stage.rows = [row(1, due=minutes(-1)), row(1, need=Amount()), row(2)]
    assert stage.sweep() == {"put back": 2}
    assert stage.sent == [1, 2]
