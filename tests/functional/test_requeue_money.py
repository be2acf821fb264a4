"""The sweeper and money: it requeues only rows that can be paid for, oldest first, and none of a stopped project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.functional.conftest import MODEL
from tests.functional.test_parser_money import DEFERRED, PARSED_BY_MODEL, Project
from tests.functional.world import PROJECT, World, received

from titlecard.aws.dynamodb.catalog import NEVER, stamp
from titlecard.aws.dynamodb.ledger.breakers import ACCOUNT_PROBE_SECONDS
from titlecard.domain.batch import RowState
from titlecard.domain.money import Amount, Cap, Window

if TYPE_CHECKING:
    from tests.provider import LoopbackProvider

    from titlecard.domain.batch import Message
    from titlecard.llm import ModelTier

pytestmark = pytest.mark.usefixtures("local_tier")

NEED = Amount(1, 900, 100, 500)


@pytest.fixture
def project(world: World, tier: ModelTier, provider: LoopbackProvider) -> Project:
    return Project(world, tier, provider)


def deferred(project: Project, number: int, *, reason: str = "rate_limited: later") -> list[Message]:
    """Make rows that each need so much, due one after the other, all of them by now."""
    messages = project.rows(number)
    for message in messages:
        due = project.world.clock.after(message.row - number)
        project.world.catalog.defer(message, "f" * 32, reason=reason, due=due, now=project.world.clock(), need=NEED)
    return messages


def charge(project: Project, message: Message, need: Amount) -> None:
    """Reserve so much for a row, as another request would."""
    ledger, now = project.world.ledger, project.world.clock()
    budget, limits = ledger.account(project.name, now=now).budget, project.world.catalog.batch(message.batch).limits
    assert budget is not None
    ledger.reserve(message.batch, project.name, need, limits=limits, budget=budget, model=MODEL, now=now)


@pytest.mark.parametrize(
    ("daily", "monthly"),
    [
        (Cap(2 * NEED.tokens + 1, None), Cap()),
        (Cap(None, 3 * NEED.micro_usd - 1), Cap()),
        (Cap(), Cap(2 * NEED.tokens, None)),
    ],
)
def test_a_sweep_requeues_the_oldest_rows_that_the_budget_can_pay_for(
    project: Project, daily: Cap, monthly: Cap
) -> None:
    deferred(project, 5)
    project.budget(daily=daily, monthly=monthly)
    assert project.world.sweeper().run() == {"put back": 2}
    assert [it.row for it in project.world.sent()] == [1, 2]


def test_an_earlier_charge_lowers_what_can_be_requeued(project: Project) -> None:
    (paid,) = project.rows(1, "paid")
    assert project.work(paid) == PARSED_BY_MODEL
    deferred(project, 3)
    project.budget(daily=Cap(None, project.charged.micro_usd + NEED.micro_usd))
    assert project.world.sweeper().run()["put back"] == 1


@pytest.mark.parametrize("tight", ["requests", "tokens", "micro_usd"])
def test_a_sweep_requeues_no_more_than_the_batchs_limit_leaves(project: Project, tight: str) -> None:
    messages = project.rows(3, **{tight: 2 * getattr(NEED, tight)})
    for message in messages:
        project.world.catalog.defer(
            message, "f" * 32, reason="rate_limited", due=project.world.clock(), now=project.world.clock(), need=NEED
        )
    assert project.world.sweeper().run() == {"put back": 2}


@pytest.mark.parametrize("tight", ["requests", "tokens", "micro_usd"])
def test_a_row_that_waits_at_any_limit_of_its_batch_is_left_alone(project: Project, tight: str) -> None:
    (message,) = project.rows(1, "v", **{tight: 0})
    assert project.work(message) == DEFERRED
    assert project.world.sweeper().run() == {}
    assert project.row(message).due == NEVER


def test_a_row_that_exceeds_the_limit_of_its_batch_waits_for_a_person_and_says_so(project: Project) -> None:
    one, two = project.rows(2, tokens=NEED.tokens)
    for message in (one, two):
        now = project.world.clock()
        project.world.catalog.defer(message, "f" * 32, reason="rate_limited: later", due=now, now=now, need=NEED)
    charge(project, one, NEED)
    assert project.world.sweeper().run() == {"postponed": 2}
    assert project.row(two).due == NEVER
    assert (project.row(two).reason or "").startswith("batch_limit: ")


def test_a_row_that_exceeds_the_budget_of_the_day_waits_for_the_next_day_and_says_so(project: Project) -> None:
    first, second = deferred(project, 2)
    project.budget(daily=Cap(NEED.tokens, None), monthly=Cap(NEED.tokens * 9, None))
    charge(project, first, NEED)
    assert project.world.sweeper().run() == {"postponed": 2}
    assert project.row(second).due == stamp(Window.at(project.world.clock()).next_day)
    assert (project.row(second).reason or "").startswith("budget_day: ")


def test_a_row_that_exceeds_the_budget_of_the_month_waits_for_the_next_month_and_says_so(project: Project) -> None:
    first, second = deferred(project, 2)
    project.budget(daily=Cap(NEED.tokens * 9, None), monthly=Cap(NEED.tokens, None))
    charge(project, first, NEED)
    assert project.world.sweeper().run() == {"postponed": 2}
    assert project.row(second).due == stamp(Window.at(project.world.clock()).next_month)
    assert (project.row(second).reason or "").startswith("budget_month: ")


def test_yesterdays_charges_do_not_count_for_today(project: Project) -> None:
    first, _ = deferred(project, 2)
    project.budget(daily=Cap(2 * NEED.tokens, None), monthly=Cap(NEED.tokens * 9, None))
    charge(project, first, NEED)
    project.world.clock.forward(86_400)
    assert project.world.sweeper().run() == {"put back": 2}


def test_a_row_that_needs_no_money_continues_without_a_budget(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    (message,) = Project(world, tier, provider, "pycon").rows(1)
    now = world.clock()
    world.catalog.defer(message, "f" * 32, reason="not_reached: later", due=now, now=now)
    assert world.sweeper().run() == {"put back": 1}


def test_a_sweep_postpones_no_more_rows_than_it_may_send(project: Project) -> None:
    deferred(project, 5)
    project.world.ledger.pause(PROJECT, now=project.world.clock())
    assert [project.world.sweeper(most=2).run() for _ in range(4)] == [
        {"postponed": 2},
        {"postponed": 2},
        {"postponed": 1},
        {},
    ]


@pytest.mark.parametrize("tight", ["daily", "monthly"])
def test_a_row_that_needs_more_than_a_whole_budget_waits_for_a_person(project: Project, tight: str) -> None:
    (message,) = deferred(project, 1)
    project.budget(**{tight: Cap(NEED.tokens - 1, None)})
    assert project.world.sweeper().run() == {"postponed": 1}
    assert (project.row(message).due, "raise it" in (project.row(message).reason or "")) == (NEVER, True)


def test_rows_requeued_in_the_same_call_postpone_no_other_row(project: Project) -> None:
    deferred(project, 3)
    project.budget(daily=Cap(NEED.tokens, None))
    assert project.world.sweeper().run() == {"put back": 1}


def test_an_empty_budget_does_not_delay_other_projects(project: Project) -> None:
    deferred(project, 2)
    project.budget(daily=Cap(None, 0))
    other = Project(project.world, project.tier, project.provider, "pycon")
    other.budget(daily=Cap(None, 10**6))
    deferred(other, 2)
    project.world.sweeper().run()
    assert [it.project for it in project.world.sent()] == ["pycon", "pycon"]


def test_a_younger_row_that_needs_less_does_not_overtake(project: Project) -> None:
    messages = deferred(project, 3)
    small = Amount(1, 1, 1, 1)
    now = project.world.clock()
    project.world.catalog.defer(messages[2], "f" * 32, reason="rate_limited", due=now, now=now, need=small)
    project.budget(daily=Cap(NEED.tokens, None))
    assert project.world.sweeper().run() == {"put back": 1}
    assert [it.row for it in project.world.sent()] == [1]


@pytest.mark.parametrize("whom", [PROJECT, "*"])
def test_a_paused_projects_due_rows_wait_for_a_person_without_a_stale_date(project: Project, whom: str) -> None:
    messages = deferred(project, 2)
    project.world.ledger.pause(whom, now=project.world.clock())
    assert project.world.sweeper().run() == {"postponed": 2}
    assert [(project.row(it).due, (project.row(it).reason or "")[:7]) for it in messages] == [(NEVER, "paused:")] * 2
    assert project.world.sweeper().run() == {}
    project.world.ledger.unpause(whom)
    assert project.world.sweeper().run() == {"put back": 2}


def test_no_row_of_a_project_without_a_budget_is_requeued(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    deferred(Project(world, tier, provider, "pycon"), 2)
    assert world.sweeper().run() == {"postponed": 2}
    assert world.sweeper().run() == {}


def test_under_an_open_breaker_rows_stay_until_the_probe_is_due_and_then_one_continues(project: Project) -> None:
    project.provider.fail("unauthorized")
    project.work(project.rows(1, "opening")[0])
    deferred(project, 3)
    assert project.world.sweeper().run() == {}
    project.world.clock.forward(ACCOUNT_PROBE_SECONDS + 1)
    assert project.world.sweeper().run() == {"put back": 1}
    (probe,) = project.world.sent()
    assert project.work(probe) == PARSED_BY_MODEL
    assert project.world.sweeper().run() == {"put back": 3}


def test_while_the_ledger_does_not_answer_nothing_is_requeued_and_the_audit_continues(project: Project) -> None:
    deferred(project, 2)
    (over,) = project.rows(1, "sure")
    project.work(over)
    project.world.db.delete_table(TableName=project.world.names["LedgerTable"])
    assert project.world.sweeper().run() == {"finished": 1}
    assert project.world.sent() == []


def test_rows_of_a_cancelled_batch_are_requeued_whatever_the_budget_is(project: Project) -> None:
    one, two = deferred(project, 2)
    project.budget(daily=Cap(None, 0))
    project.world.catalog.cancel(project.world.catalog.batch(one.batch), now=project.world.clock())
    assert project.world.sweeper().run() == {"put back": 2}
    for message in (one, two):
        project.parser().work([received(message)], lambda: 90)
    assert [project.row(it).state for it in (one, two)] == [RowState.CANCELLED] * 2


def test_rows_of_a_cancelled_batch_that_wait_for_a_person_are_requeued_even_if_the_project_is_paused(
    project: Project,
) -> None:
    messages, now = project.rows(2), project.world.clock()
    for message in messages:
        project.world.catalog.defer(message, "f" * 32, reason="batch_limit: full", due=None, now=now, need=NEED)
    project.world.ledger.pause(PROJECT, now=now)
    assert project.world.sweeper().run() == {}
    project.world.catalog.cancel(project.world.catalog.batch(messages[0].batch), now=now)
    assert project.world.sweeper().run() == {"put back": 2}


def test_under_an_open_breaker_only_the_rows_of_a_cancelled_batch_are_requeued(
    project: Project,
) -> None:
    project.provider.fail("unauthorized")
    project.work(project.rows(1, "opening")[0])
    deferred(project, 1)
    one, _ = deferred(project, 2)
    assert project.world.sweeper().run() == {}
    project.world.catalog.cancel(project.world.catalog.batch(one.batch), now=project.world.clock())
    assert project.world.sweeper().run() == {"put back": 2}


def test_a_row_that_waits_for_a_person_but_not_at_our_own_limit_stays(project: Project) -> None:
    (message,) = project.rows(1)
    now = project.world.clock()
    project.world.catalog.defer(message, "f" * 32, reason="by a hand: later", due=None, now=now, need=NEED)
    assert project.world.sweeper().run() == {}
    assert project.row(message).due == NEVER


def test_a_row_continues_when_its_limit_has_room_again(project: Project) -> None:
    (message,) = project.rows(1)
    now = project.world.clock()
    project.world.catalog.defer(message, "f" * 32, reason="batch_limit: full", due=None, now=now, need=NEED)
    assert project.world.sweeper().run() == {"put back": 1}


def test_a_row_that_waits_for_a_person_does_not_overtake_a_due_one_that_needs_more(project: Project) -> None:
    (due,) = deferred(project, 1)
    (waiting,), now = project.rows(1, "w"), project.world.clock()
    small = Amount(1, 1, 1, 1)
    project.world.catalog.defer(waiting, "f" * 32, reason="batch_limit: full", due=None, now=now, need=small)
    project.budget(daily=Cap(2 * NEED.tokens - 1, None))
    (first,) = project.rows(1, "first")
    earlier = project.world.clock.after(-60)
    project.world.catalog.defer(first, "f" * 32, reason="rate_limited: later", due=earlier, now=earlier, need=NEED)
    assert project.world.sweeper().run() == {"put back": 1}
    assert [it.batch for it in project.world.sent()] == [first.batch]
    assert [project.row(it).state for it in (due, waiting)] == [RowState.DEFERRED] * 2


def test_the_row_that_needs_the_least_continues_first(project: Project) -> None:
    now, small = project.world.clock(), Amount(1, 1, 1, 1)
    first, second = project.rows(2)
    for message, need in ((first, NEED), (second, small)):
        project.world.catalog.defer(message, "f" * 32, reason="batch_limit: full", due=None, now=now, need=need)
    project.world.sweeper(most=1).run()
    assert [it.row for it in project.world.sent()] == [2]
