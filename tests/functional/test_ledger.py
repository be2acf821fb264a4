"""The ledger: reservations never exceed a limit, unknown charges stay, and a lowering write is sent once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from tests.functional.world import BUDGET, NUMBERS, PROJECT, Cut

from titlecard.aws.dynamodb.catalog import stamp
from titlecard.aws.dynamodb.ledger import Account, Ledger, Refusal, Reservation
from titlecard.aws.dynamodb.ledger.items import count
from titlecard.aws.errors import LedgerItemInvalid, LedgerUnavailable
from titlecard.domain.clock import CLOCKS_APART_SECONDS
from titlecard.domain.money import Amount, Budget, Cap, Measured, Total, Unbilled, Unmeasured
from titlecard.domain.reasons import Hold

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from tests.functional.world import World

BATCH = "talks-0123456789ab"
MODEL = "gpt-6-luna"
NEED = Amount(requests=1, input_tokens=900, output_tokens=100, micro_usd=500)
BILLED = Amount(requests=1, input_tokens=200, output_tokens=30, micro_usd=70)
ROOMY = Total(requests=100, tokens=1_000_000, micro_usd=1_000_000)
THREE = Total(requests=3, tokens=3 * NEED.tokens, micro_usd=3 * NEED.micro_usd)
FREE = Cap()
OF_THREE = {"tokens": Cap(3 * NEED.tokens, None), "micro_usd": Cap(None, 3 * NEED.micro_usd)}


def reserve(
    world: World, limits: Total = ROOMY, budget: Budget = BUDGET, need: Amount = NEED, batch: str = BATCH
) -> Reservation | Refusal:
    return world.ledger.reserve(batch, PROJECT, need, limits=limits, budget=budget, model=MODEL, now=world.clock())


def reserved(world: World, limits: Total = ROOMY, budget: Budget = BUDGET, need: Amount = NEED) -> Reservation:
    reservation = reserve(world, limits, budget, need)
    assert isinstance(reservation, Reservation)
    return reservation


def fits(world: World, limits: Total = ROOMY, budget: Budget = BUDGET) -> bool:
    return isinstance(reserve(world, limits, budget), Reservation)


def day(world: World) -> Total:
    return world.ledger.window(PROJECT, world.clock())[0]


def month(world: World) -> Amount:
    return world.ledger.window(PROJECT, world.clock())[1]


# ------------------------------------------------------------------------------------------------------ reservations


def test_an_untouched_batch_and_project_have_spent_nothing(world: World) -> None:
    assert (world.ledger.spent(BATCH), day(world), month(world)) == (Amount(), Total(), Amount())


def test_a_reservation_is_charged_to_batch_day_and_month(world: World) -> None:
    assert fits(world)
    assert (world.ledger.spent(BATCH), day(world), month(world)) == (NEED, NEED.total, NEED)


def test_a_reservation_is_charged_to_the_day_in_utc_whatever_the_clocks_time_zone(world: World) -> None:
    world.clock.now = datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    reservation = reserved(world)
    assert (reservation.window.day.isoformat(), day(world)) == ("2026-01-31", NEED.total)
    assert world.ledger.window(PROJECT, datetime(2026, 2, 1, tzinfo=UTC)) == (Total(), Amount())


def test_a_batch_and_a_month_record_the_time_of_their_last_reservation(world: World) -> None:
    reserve(world)
    world.clock.forward(5)
    reserve(world)
    (month,) = world.ledger.months(PROJECT)
    assert (world.ledger.spending(BATCH).reserved_at, month.spent.reserved_at) == (stamp(world.clock()),) * 2


def test_reservations_add_up(world: World) -> None:
    for _ in range(2):
        reserve(world)
    assert (world.ledger.spent(BATCH), month(world)) == (NEED + NEED, NEED + NEED)


def test_batches_have_counters_of_their_own_and_share_their_projects(world: World) -> None:
    reserve(world)
    reserve(world, batch="another")
    assert world.ledger.spent("another") == NEED
    assert month(world) == NEED + NEED


def test_projects_have_counters_of_their_own(world: World) -> None:
    reserve(world)
    assert world.ledger.window("pycon", world.clock()) == (Total(), Amount())


def test_a_reservation_needs_two_plain_updates_and_no_transaction(world: World) -> None:
    before = len(world.wire.calls)
    reserve(world)
    assert world.wire.calls[before:] == ["UpdateItem"] * 2


# ---------------------------------------------------------------------------------------------------- a batch's limit


def test_a_batch_may_be_charged_exactly_its_limit(world: World) -> None:
    assert [fits(world, THREE) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("tight", ["requests", "tokens", "micro_usd"])
def test_a_reservation_above_any_single_limit_is_refused(world: World, tight: str) -> None:
    limits = replace(ROOMY, **{tight: getattr(THREE, tight)})
    assert [fits(world, limits) for _ in range(4)] == [True] * 3 + [False]


def test_a_reservation_that_the_batch_refuses_is_charged_nowhere(world: World) -> None:
    for _ in range(5):
        reserve(world, THREE)
    assert (world.ledger.spent(BATCH), month(world)) == (NEED + NEED + NEED, NEED + NEED + NEED)


@pytest.mark.parametrize("tight", ["requests", "tokens", "micro_usd"])
def test_a_reservation_with_one_unit_too_little_room_is_refused(world: World, tight: str) -> None:
    limits = replace(THREE, **{tight: getattr(THREE, tight) - 1})
    assert [fits(world, limits) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("tight", ["requests", "tokens", "micro_usd"])
def test_a_need_above_the_whole_limit_is_refused_before_any_write(world: World, tight: str) -> None:
    one_too_few = {"requests": 0, "tokens": NEED.tokens - 1, "micro_usd": NEED.micro_usd - 1}[tight]
    before = len(world.wire.calls)
    assert reserve(world, replace(ROOMY, **{tight: one_too_few})) == Refusal.of_batch()
    assert len(world.wire.calls) == before


def test_a_need_that_costs_nothing_still_counts_as_a_request(world: World) -> None:
    free = Amount(requests=1, input_tokens=10, output_tokens=10)
    limits = Total(requests=1, tokens=1_000, micro_usd=0)
    answers = [reserve(world, limits, need=free) for _ in range(2)]
    assert [type(it) for it in answers] == [Reservation, Refusal]


def test_a_limit_that_was_raised_lets_more_through(world: World) -> None:
    for _ in range(4):
        reserve(world, THREE)
    assert fits(world, ROOMY)


def test_a_batch_that_could_not_hold_a_request_at_all_waits_for_a_person_as_any_other_at_its_limit() -> None:
    refusal = Refusal.of_batch()
    assert (refusal.for_good(), refusal.due) == (refusal, None)


def test_a_batch_at_its_limit_waits_for_a_person(world: World) -> None:
    answers = [reserve(world, THREE) for _ in range(4)]
    last = answers[-1]
    assert isinstance(last, Refusal)
    assert (last.hold, last.due) == (Hold.BATCH_LIMIT, None)


# ------------------------------------------------------------------------------------------------ a project's budget


@pytest.mark.parametrize("cap", OF_THREE.values(), ids=OF_THREE)
def test_a_day_may_be_charged_exactly_its_budget(world: World, cap: Cap) -> None:
    assert [fits(world, budget=Budget(cap, FREE)) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("cap", OF_THREE.values(), ids=OF_THREE)
def test_a_month_may_be_charged_exactly_its_budget(world: World, cap: Cap) -> None:
    assert [fits(world, budget=Budget(FREE, cap)) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("less", [Cap(3 * NEED.tokens - 1, None), Cap(None, 3 * NEED.micro_usd - 1)])
def test_a_budget_of_one_unit_less_allows_one_request_fewer(world: World, less: Cap) -> None:
    assert [fits(world, budget=Budget(less, FREE)) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("cap", OF_THREE.values(), ids=OF_THREE)
def test_a_reservation_that_the_budget_refuses_is_taken_back_from_the_batch(world: World, cap: Cap) -> None:
    for _ in range(5):
        reserve(world, budget=Budget(cap, FREE))
    assert world.ledger.spent(BATCH) == month(world) == NEED + NEED + NEED
    assert world.ledger.spending(BATCH).open == Total(3, 3 * NEED.tokens, 3 * NEED.micro_usd)


def test_a_day_that_is_used_up_is_waited_for_until_the_next(world: World) -> None:
    answers = [reserve(world, budget=Budget(OF_THREE["tokens"], FREE)) for _ in range(4)]
    last = answers[-1]
    assert isinstance(last, Refusal)
    assert (last.hold, last.due) == (Hold.BUDGET_DAY, datetime(2026, 1, 6, tzinfo=UTC))


def test_a_month_that_is_used_up_is_waited_for_until_the_next(world: World) -> None:
    answers = [reserve(world, budget=Budget(OF_THREE["tokens"], OF_THREE["tokens"])) for _ in range(4)]
    last = answers[-1]
    assert isinstance(last, Refusal)
    assert (last.hold, last.due) == (Hold.BUDGET_MONTH, datetime(2026, 2, 1, tzinfo=UTC))


def test_the_next_day_has_its_budget_and_the_month_remembers(world: World) -> None:
    budget = Budget(Cap(3 * NEED.tokens, None), Cap(5 * NEED.tokens, None))
    today = [fits(world, budget=budget) for _ in range(4)]
    world.clock.forward(86_400)
    assert today + [fits(world, budget=budget) for _ in range(3)] == [True, True, True, False, True, True, False]


def test_the_next_month_has_its_budget(world: World) -> None:
    budget = Budget(FREE, Cap(NEED.tokens, None))
    assert fits(world, budget=budget)
    assert not fits(world, budget=budget)
    world.clock.forward(31 * 86_400)
    assert fits(world, budget=budget)


@pytest.mark.parametrize(
    ("budget", "hold"),
    [
        (Budget(Cap(NEED.tokens - 1, None), FREE), Hold.BUDGET_DAY),
        (Budget(Cap(None, NEED.micro_usd - 1), FREE), Hold.BUDGET_DAY),
        (Budget(FREE, Cap(None, NEED.micro_usd - 1)), Hold.BUDGET_MONTH),
    ],
)
def test_a_need_above_the_whole_budget_is_refused_before_any_write(world: World, budget: Budget, hold: Hold) -> None:
    before = len(world.wire.calls)
    refusal = reserve(world, budget=budget)
    assert isinstance(refusal, Refusal)
    assert (refusal.hold, refusal.due) == (hold, None)
    assert len(world.wire.calls) == before


def test_a_charge_stays_with_its_day_when_the_next_has_begun(world: World) -> None:
    reservation = reserved(world)
    yesterday = world.clock()
    world.clock.forward(86_400)
    world.ledger.settle(reservation, Measured(BILLED))
    assert world.ledger.window(PROJECT, yesterday)[0] == BILLED.total
    assert day(world) == Total()


def test_a_reservation_of_last_month_is_settled_in_last_month(world: World) -> None:
    world.clock.now = datetime(2026, 1, 31, 23, 59, 50, tzinfo=UTC)
    before = world.clock()
    reservation = reserved(world)
    world.clock.forward(20)
    other = reserved(world)
    world.ledger.settle(reservation, Measured(BILLED))
    assert world.ledger.window(PROJECT, before)[1] == BILLED
    assert month(world) == other.need


def test_a_month_has_charges_by_day_and_by_model(world: World) -> None:
    world.ledger.settle(reserved(world), Measured(BILLED))
    world.clock.forward(86_400)
    world.ledger.settle(reserved(world), Measured(BILLED))
    (one,) = world.ledger.months(PROJECT)
    part = Total(1, BILLED.tokens, BILLED.micro_usd)
    assert (one.name, one.spent.charged, dict(one.days)) == ("2026-01", BILLED + BILLED, {5: part, 6: part})
    assert dict(one.models) == {MODEL: Total(2, 2 * BILLED.tokens, 2 * BILLED.micro_usd)}


# -------------------------------------------------------------------------------------------------------- settlements


def test_settling_lowers_the_charge_to_what_was_billed(world: World) -> None:
    world.ledger.settle(reserved(world), Measured(BILLED))
    assert (world.ledger.spent(BATCH), day(world), month(world)) == (BILLED, BILLED.total, BILLED)


def test_settling_makes_room_again(world: World) -> None:
    limits = Total(requests=100, tokens=NEED.tokens + BILLED.tokens, micro_usd=1_000_000)
    reservation = reserved(world, limits)
    assert not fits(world, limits)
    world.ledger.settle(reservation, Measured(BILLED))
    assert fits(world, limits)


def test_settling_above_the_bound_charges_all_of_it(world: World) -> None:
    above = Amount(requests=1, input_tokens=9_000, output_tokens=50, micro_usd=5_000)
    world.ledger.settle(reserved(world), Measured(above))
    assert world.ledger.spent(BATCH) == month(world) == above


def test_settling_what_was_never_reserved_lowers_nothing(world: World) -> None:
    other = reserved(world)
    with pytest.raises(LedgerUnavailable):
        world.ledger.settle(Reservation("another", PROJECT, MODEL, other.window, NEED), Unbilled())
    assert world.ledger.spent("another") == Amount()


def test_a_bill_above_the_bound_of_what_was_never_reserved_makes_no_counters(world: World) -> None:
    world.ledger.cancel("another", now=world.clock())
    window = reserved(world).window
    with pytest.raises(LedgerUnavailable):
        world.ledger.settle(Reservation("another", "pycon", MODEL, window, NEED), Measured(NEED + NEED))
    assert world.ledger.spent("another") == world.ledger.window("pycon", world.clock())[1] == Amount()


def test_settling_twice_by_mistake_lowers_nothing_below_what_others_reserved(world: World) -> None:
    reservation = reserved(world)
    world.ledger.settle(reservation, Unbilled())
    with pytest.raises(LedgerUnavailable):
        world.ledger.settle(reservation, Unbilled())
    assert world.ledger.spent(BATCH) == month(world) == Amount()


def test_a_release_leaves_nothing_charged(world: World) -> None:
    world.ledger.settle(reserved(world), Unbilled())
    assert (world.ledger.spent(BATCH), day(world), month(world)) == (Amount(), Total(), Amount())


def test_open_reservations_are_counted_apart_from_measured_charges(world: World) -> None:
    reserved(world)
    world.ledger.settle(reserved(world), Measured(BILLED))
    spent = world.ledger.spending(BATCH)
    assert spent.open == Total(1, NEED.tokens, NEED.micro_usd)
    assert spent.measured == Total(1, BILLED.tokens, BILLED.micro_usd)


def test_the_bound_of_a_lost_answer_is_counted_apart_from_open_and_measured_charges(world: World) -> None:
    world.ledger.settle(reserved(world), Unmeasured())
    spent = world.ledger.spending(BATCH)
    assert (spent.charged, spent.open, spent.measured) == (NEED, Total(), Total())
    assert spent.lost == Total(1, NEED.tokens, NEED.micro_usd)


# --------------------------------------------------------------------------------------------------------- cancelling


def test_a_cancelled_batch_gets_no_reservation(world: World) -> None:
    reserve(world)
    world.ledger.cancel(BATCH, now=world.clock())
    refusal = reserve(world)
    assert isinstance(refusal, Refusal)
    assert refusal.hold is Hold.CANCELLED
    assert world.ledger.spent(BATCH) == month(world) == NEED


def test_a_batch_can_be_cancelled_before_it_spends_anything(world: World) -> None:
    world.ledger.cancel(BATCH, now=world.clock())
    assert not fits(world)
    assert (world.ledger.spent(BATCH), month(world)) == (Amount(), Amount())


def test_a_batchs_item_has_its_project_and_the_time_of_its_first_cancellation(world: World) -> None:
    reserve(world)
    first = stamp(world.clock())
    for _ in range(2):
        world.ledger.cancel(BATCH, now=world.clock())
        world.clock.forward(1)
    item = dict(world.db.get_item(TableName=world.names["LedgerTable"], Key=SPEND)["Item"])
    assert (str(item["project"]), str(item["cancelled_at"])) == (PROJECT, first)


def test_an_earlier_reservation_of_a_cancelled_batch_is_settled(world: World) -> None:
    reservation = reserved(world)
    world.ledger.cancel(BATCH, now=world.clock())
    world.ledger.settle(reservation, Measured(BILLED))
    assert world.ledger.spent(BATCH) == BILLED


# --------------------------------------------------------------------------------------------------- answers get lost


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("how", [Cut.LOST_REQUEST, Cut.LOST_ANSWER])
def test_a_reservation_without_an_answer_allows_no_request(world: World, how: Cut, at: int) -> None:
    world.wire.cut(how, at)
    with pytest.raises(LedgerUnavailable):
        reserve(world)


def test_a_reservation_whose_answer_was_lost_stays_charged_once(world: World) -> None:
    world.wire.cut(Cut.LOST_ANSWER)
    with pytest.raises(LedgerUnavailable):
        reserve(world)
    assert (world.ledger.spent(BATCH), month(world)) == (NEED, Amount())


def test_a_projects_reservation_whose_answer_was_lost_stays_charged_and_the_batchs_is_taken_back(world: World) -> None:
    world.wire.cut(Cut.LOST_ANSWER, 2)
    with pytest.raises(LedgerUnavailable):
        reserve(world)
    assert (world.ledger.spent(BATCH), month(world)) == (Amount(), NEED)


@pytest.mark.parametrize(("how", "left"), [(Cut.LOST_ANSWER, Amount()), (Cut.LOST_REQUEST, NEED)])
def test_a_refused_reservation_is_lowered_once_and_a_lost_call_leaves_it_charged(
    world: World, how: Cut, left: Amount
) -> None:
    budget = Budget(Cap(NEED.tokens, None), FREE)
    world.ledger.settle(reserved(world, budget=budget), Unmeasured())
    before = len(world.wire.calls)
    world.wire.cut(how, 3)
    assert isinstance(reserve(world, budget=budget), Refusal)
    assert world.wire.calls[before:] == ["UpdateItem"] * 3
    assert world.ledger.spent(BATCH) == NEED + left


@pytest.mark.parametrize("at", [1, 2])
def test_a_settlement_whose_answer_was_lost_is_written_once(world: World, at: int) -> None:
    reservation = reserved(world)
    world.wire.cut(Cut.LOST_ANSWER, at)
    with pytest.raises(LedgerUnavailable):
        world.ledger.settle(reservation, Measured(BILLED))
    assert world.ledger.spent(BATCH) == month(world) == BILLED


@pytest.mark.parametrize(("at", "left"), [(1, (BILLED, NEED)), (2, (NEED, BILLED))], ids=["month", "batch"])
def test_a_settlement_that_was_lost_leaves_the_bound_charged_and_the_other_is_settled(
    world: World, at: int, left: tuple[Amount, Amount]
) -> None:
    reservation = reserved(world)
    world.wire.cut(Cut.LOST_REQUEST, at)
    with pytest.raises(LedgerUnavailable):
        world.ledger.settle(reservation, Measured(BILLED))
    assert (world.ledger.spent(BATCH), month(world)) == left


@pytest.mark.parametrize("how", [Cut.OUTAGE, Cut.SILENCE])
@pytest.mark.parametrize(
    ("call", "tries"),
    [
        (lambda world, _: reserve(world), 1),
        (lambda world, it: world.ledger.settle(it, Measured(BILLED)), 2),
        (lambda world, _: world.ledger.account(PROJECT, now=world.clock()), 1),
    ],
    ids=["reserve", "settle", "account"],
)
def test_every_call_is_tried_once(
    world: World, call: Callable[[World, Reservation], object], tries: int, how: Cut
) -> None:
    reservation = reserved(world)
    before = len(world.wire.calls)
    world.wire.cut(how)
    with pytest.raises(LedgerUnavailable):
        call(world, reservation)
    assert len(world.wire.calls) - before == tries


def test_a_call_that_hangs_ends_within_the_time_for_settling(world: World) -> None:
    config: Any = world.clients.ledger.meta.config
    assert config.connect_timeout + config.read_timeout < NUMBERS["SettleMarginSeconds"]


def test_a_bill_above_the_bound_is_written_despite_lost_answers(world: World) -> None:
    above = Amount(requests=1, input_tokens=9_000, output_tokens=100, micro_usd=5_000)
    reservation = reserved(world)
    world.wire.cut(Cut.LOST_REQUEST)
    world.ledger.settle(reservation, Measured(above))
    assert world.ledger.spent(BATCH) == month(world) == above


class Unreliable:
    """The ledger's client; the given number of its first writes do not arrive."""

    def __init__(self, client: DynamoDBClient, losses: int) -> None:
        self._client = client
        self._losses = losses

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- as the client's
        return getattr(self._client, name)

    def update_item(self, **call: Any) -> Any:  # noqa: ANN401 -- as the client's
        """Write, or lose the request."""
        self._losses -= 1
        if self._losses >= 0:
            raise ConnectTimeoutError(endpoint_url="update_item")
        return self._client.update_item(**call)


ONE_ABOVE = NEED + Amount(0, 1, 0, 1)


def test_a_bill_above_the_bound_by_one_is_written_by_the_third_try(world: World) -> None:
    reservation = reserved(world)
    client: Any = Unreliable(world.clients.ledger, 2)
    Ledger(client, world.names["LedgerTable"]).settle(reservation, Measured(ONE_ABOVE))
    assert world.ledger.spent(BATCH) == month(world) == ONE_ABOVE
    assert world.ledger.spending(BATCH).open == Total()


def test_a_bill_above_the_bound_that_no_try_writes_is_reported_and_the_batch_is_still_charged(
    world: World,
) -> None:
    reservation = reserved(world)
    client: Any = Unreliable(world.clients.ledger, 3)
    with pytest.raises(LedgerUnavailable):
        Ledger(client, world.names["LedgerTable"]).settle(reservation, Measured(ONE_ABOVE))
    assert (world.ledger.spent(BATCH), month(world)) == (ONE_ABOVE, NEED)


def test_a_missing_table_is_an_error(world: World) -> None:
    world.db.delete_table(TableName=world.names["LedgerTable"])
    for call in (lambda: reserve(world), lambda: world.ledger.account(PROJECT, now=world.clock())):
        with pytest.raises(LedgerUnavailable, match="ResourceNotFound"):
            call()


# ------------------------------------------------------------------------------------------------ items edited by hand


def edit(world: World, key: dict[str, str], **attributes: object) -> None:
    world.edit("LedgerTable", key["pk"], key["sk"], **attributes)


SPEND = {"pk": f"batch#{BATCH}", "sk": "spend"}
JANUARY = {"pk": f"project#{PROJECT}", "sk": "month#2026-01"}
ODD = [("tokens", "plenty"), ("micro_usd", -1), ("tokens", ...), ("requests", ...), ("micro_usd", None)]


@pytest.mark.parametrize("key", [SPEND, JANUARY], ids=["batch", "month"])
@pytest.mark.parametrize(("name", "value"), ODD)
def test_a_counter_that_was_edited_by_hand_lets_nothing_through(
    world: World, key: dict[str, str], name: str, value: object
) -> None:
    world.ledger.settle(reserved(world), Measured(BILLED))
    edit(world, key, **{name: value})
    with pytest.raises(LedgerItemInvalid, match=rf"{key['sk']}.*{name}.*repair it by hand"):
        reserve(world)


@pytest.mark.parametrize("value", [True, -1, Decimal("1.5"), "7", None])
def test_a_count_is_a_whole_number_from_zero_on(value: object) -> None:
    with pytest.raises(LedgerItemInvalid, match="not a count"):
        count({"tokens": value}, "tokens")
    assert [count(item, "tokens") for item in ({}, {"tokens": 0}, {"tokens": Decimal(7)})] == [0, 0, 7]


@pytest.mark.parametrize("value", ["plenty", -5, ...])
def test_a_days_counter_that_was_edited_by_hand_lets_nothing_through(world: World, value: object) -> None:
    world.ledger.settle(reserved(world), Measured(BILLED))
    edit(world, JANUARY, d05_micro_usd=value)
    with pytest.raises(LedgerItemInvalid, match="d05_micro_usd"):
        reserve(world)


def test_a_reservation_that_an_edited_month_refuses_is_taken_back_from_the_batch(world: World) -> None:
    world.ledger.settle(reserved(world), Measured(BILLED))
    edit(world, JANUARY, tokens="plenty")
    with pytest.raises(LedgerItemInvalid):
        reserve(world)
    assert world.ledger.spent(BATCH) == BILLED


LIMITS_EDITED = [
    {"daily_micro_usd": "5usd"},
    {"daily_micro_usd": -1},
    {"daily_tokens": Decimal("1.5")},
    {"set_at": "2026-01-05T12:00:00"},
    {"monthly_tokens": ...},
    {"daily_tokens": None, "daily_micro_usd": None, "monthly_tokens": None, "monthly_micro_usd": None},
    {"set_at": "yesterday"},
    {"set_at": ...},
]


@pytest.mark.parametrize("edits", LIMITS_EDITED)
def test_a_budget_that_was_edited_by_hand_is_invalid(world: World, edits: dict[str, object]) -> None:
    edit(world, {"pk": "budgets", "sk": PROJECT}, **edits)
    with pytest.raises(LedgerItemInvalid, match="budgets"):
        world.ledger.account(PROJECT, now=world.clock())


def test_a_clock_that_is_behind_the_budgets_day_is_reported(world: World) -> None:
    world.clock.forward(-86_400)
    with pytest.raises(LedgerItemInvalid, match="clock says 2026-01-04"):
        world.ledger.account(PROJECT, now=world.clock())


def test_clocks_that_differ_as_much_as_aws_accepts_stop_no_project(world: World) -> None:
    world.clock.forward(-CLOCKS_APART_SECONDS)
    assert world.ledger.account(PROJECT, now=world.clock()).budget == BUDGET
    world.clock.forward(-0.000_001)
    with pytest.raises(LedgerItemInvalid, match="clock"):
        world.ledger.account(PROJECT, now=world.clock())


# ------------------------------------------------------------------------------------------------- budgets and pauses


def test_a_project_has_the_budget_that_it_was_given(world: World) -> None:
    budget = Budget(Cap(1_000, None), Cap(None, 2_000))
    world.ledger.set_budget("pycon", budget, by="person", now=world.clock())
    assert world.ledger.account("pycon", now=world.clock()).budget == budget


def test_a_project_without_a_budget_has_none(world: World) -> None:
    account = world.ledger.account("pycon", now=world.clock())
    assert (account.budget, account.paused_at, account.breaker.open) == (None, None, False)


@pytest.mark.parametrize(("by", "is_a_persons"), [("person", True), ("run", False), ("", True)])
def test_a_run_replaces_only_the_budget_of_a_run(world: World, by: str, is_a_persons: bool) -> None:
    assert not world.ledger.budget_is_a_persons("pycon")
    world.ledger.set_budget("pycon", Budget(FREE, Cap(7, None)), by=by, now=world.clock())
    assert world.ledger.budget_is_a_persons("pycon") is is_a_persons
    assert world.ledger.set_budget("pycon", Budget(FREE, Cap(8, None)), by="run", now=world.clock()) is not is_a_persons
    assert world.ledger.account("pycon", now=world.clock()).budget == Budget(FREE, Cap(7 if is_a_persons else 8, None))


def test_a_budget_replaces_the_previous_one(world: World) -> None:
    world.ledger.set_budget(PROJECT, Budget(FREE, Cap(7, None)), by="person", now=world.clock())
    assert world.ledger.account(PROJECT, now=world.clock()).budget == Budget(FREE, Cap(7, None))


class Unread(Unreliable):
    """The ledger's client; it leaves one item of an account unread, as DynamoDB does when it is throttled."""

    def __init__(self, client: DynamoDBClient, partition: str) -> None:
        super().__init__(client, 0)
        self._partition = partition

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> Any:  # noqa: ANN401, N803 -- as the client's
        """Read the other items."""
        ((table, asked),) = RequestItems.items()
        left = [key for key in asked["Keys"] if key["pk"] == self._partition]
        read = [key for key in asked["Keys"] if key not in left]
        answer = self._client.batch_get_item(RequestItems={table: asked | {"Keys": read}})
        return {**answer, "UnprocessedKeys": {table: {"Keys": left}}}


@pytest.mark.parametrize("partition", ["budgets", "pauses", "breakers"])
def test_an_account_that_was_read_only_in_part_is_unknown(world: World, partition: str) -> None:
    client: Any = Unread(world.clients.ledger, partition)
    with pytest.raises(LedgerUnavailable, match="throttled"):
        Ledger(client, world.names["LedgerTable"]).account(PROJECT, now=world.clock())


def test_charges_and_accounts_are_read_consistently(world: World) -> None:
    reads: list[bool] = []

    def read(params: dict[str, Any], **_: object) -> None:
        reads.extend(asked["ConsistentRead"] for asked in params.get("RequestItems", {"": params}).values())

    events = world.clients.ledger.meta.events
    for name in ("GetItem", "BatchGetItem", "Query"):
        events.register(f"provide-client-params.dynamodb.{name}", read, unique_id=f"read {name}")
    try:
        world.ledger.account(PROJECT, now=world.clock())
        world.ledger.window(PROJECT, world.clock())
        world.ledger.spent(BATCH)
        world.ledger.spending(BATCH)
        world.ledger.accounts()
        list(world.ledger.months(PROJECT))
        world.ledger.budget_is_a_persons(PROJECT)
    finally:
        for name in ("GetItem", "BatchGetItem", "Query"):
            events.unregister(f"provide-client-params.dynamodb.{name}", unique_id=f"read {name}")
    assert reads == [True] * 9


def account_in_list(world: World, project: str) -> Account:
    account = world.ledger.accounts()[project]
    assert isinstance(account, Account)
    return account


def test_the_pause_of_all_projects_is_distinguished_from_that_of_one(world: World) -> None:
    world.ledger.pause(PROJECT, now=world.clock())
    assert not world.ledger.account(PROJECT, now=world.clock()).all_paused
    assert not account_in_list(world, PROJECT).all_paused
    world.ledger.pause("*", now=world.clock())
    assert world.ledger.account(PROJECT, now=world.clock()).all_paused


@pytest.mark.parametrize("what", [PROJECT, "*"])
def test_a_pause_holds_until_it_is_lifted(world: World, what: str) -> None:
    world.ledger.pause(what, now=world.clock())
    assert world.ledger.account(PROJECT, now=world.clock()).paused_at
    world.ledger.unpause(what)
    assert not world.ledger.account(PROJECT, now=world.clock()).paused_at


@pytest.mark.parametrize("what", [PROJECT, "*"])
@pytest.mark.parametrize("attributes", [{}, {"paused_at": ""}, {"paused_at": "by hand"}, {"note": "see ticket"}])
def test_a_pause_written_by_hand_holds_whatever_it_says(world: World, what: str, attributes: dict[str, str]) -> None:
    world.db.put_item(TableName=world.names["LedgerTable"], Item={"pk": "pauses", "sk": what, **attributes})
    assert world.ledger.account(PROJECT, now=world.clock()).paused
    world.ledger.unpause(what)
    assert not world.ledger.account(PROJECT, now=world.clock()).paused


def test_the_pause_of_one_project_is_not_that_of_another(world: World) -> None:
    world.ledger.pause("pycon", now=world.clock())
    assert not world.ledger.account(PROJECT, now=world.clock()).paused_at


def test_every_project_with_a_budget_a_pause_or_a_breaker_is_listed(world: World) -> None:
    world.ledger.pause("*", now=world.clock())
    world.ledger.open_breaker("pycon", "a wrong key", probe_at=None, now=world.clock())
    assert list(world.ledger.accounts()) == ["*", PROJECT, "pycon"]
    assert account_in_list(world, PROJECT).budget == BUDGET
    assert account_in_list(world, "pycon").breaker.open


# --------------------------------------------------------------------------------------------------- days that are over


def month_item(world: World) -> dict[str, Any]:
    return dict(world.db.get_item(TableName=world.names["LedgerTable"], Key=JANUARY)["Item"])


def days_of(item: dict[str, Any]) -> set[str]:
    return {name[:3] for name in item if re.match(r"d\d\d_", name)}


def test_a_months_item_holds_today_and_yesterday_and_its_days_are_all_known(world: World) -> None:
    for _ in range(4):
        world.ledger.settle(reserved(world), Measured(BILLED))
        world.clock.forward(86_400)
    last = reserved(world)
    (one,) = world.ledger.months(PROJECT)
    part = Total(1, BILLED.tokens, BILLED.micro_usd)
    assert days_of(month_item(world)) == {"d08", "d09"}
    assert one.days == {5: part, 6: part, 7: part, 8: part, 9: Total(1, NEED.tokens, NEED.micro_usd)}
    assert month(world) == BILLED + BILLED + BILLED + BILLED + last.need


def test_a_full_month_by_an_earlier_version_is_made_small_by_the_next_reservation(world: World) -> None:
    reserve(world)
    world.clock.now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    counters = {
        f"d{number:02}_{name}": number for number in range(1, 31) for name in ("requests", "tokens", "micro_usd")
    }
    edit(world, JANUARY, **counters)
    assert fits(world)
    (one,) = world.ledger.months(PROJECT)
    assert days_of(month_item(world)) == {"d30", "d31"}
    assert [one.days[number] for number in range(1, 31)] == [Total(it, it, it) for it in range(1, 31)]
    assert one.days[31] == Total(1, NEED.tokens, NEED.micro_usd)


def test_a_day_that_a_crash_left_in_both_items_is_read_from_the_months_own(world: World) -> None:
    reserve(world)
    old = {"d05_requests": 9, "d05_tokens": 9, "d05_micro_usd": 9}
    edit(world, {"pk": f"project#{PROJECT}", "sk": "days#2026-01"}, **old)
    (one,) = world.ledger.months(PROJECT)
    assert one.days == {5: Total(1, NEED.tokens, NEED.micro_usd)}


def test_a_charge_that_a_late_settlement_changed_while_days_are_moved_is_kept(world: World) -> None:
    late = reserved(world)
    world.clock.forward(2 * 86_400)

    class Meanwhile(Unreliable):
        """The ledger's client; a settlement comes between the copy of old days and their removal."""

        def update_item(self, **call: Any) -> Any:  # noqa: ANN401 -- as the client's
            if call["UpdateExpression"].startswith("REMOVE"):
                world.ledger.settle(late, Measured(BILLED))
            return self._client.update_item(**call)

    client: Any = Meanwhile(world.clients.ledger, 0)
    ledger = Ledger(client, world.names["LedgerTable"])
    ledger.reserve(BATCH, PROJECT, NEED, limits=ROOMY, budget=BUDGET, model=MODEL, now=world.clock())
    (one,) = world.ledger.months(PROJECT)
    assert one.days[5] == Total(1, BILLED.tokens, BILLED.micro_usd)


@pytest.mark.parametrize("how", [Cut.LOST_REQUEST, Cut.LOST_ANSWER])
@pytest.mark.parametrize("at", [3, 4])
def test_a_call_that_is_lost_while_days_are_moved_changes_no_charge(world: World, how: Cut, at: int) -> None:
    for _ in range(2):
        world.ledger.settle(reserved(world), Measured(BILLED))
        world.clock.forward(86_400)
    world.wire.cut(how, at)
    assert fits(world)
    part = Total(1, BILLED.tokens, BILLED.micro_usd)
    for charged in (NEED, NEED + NEED):
        (one,) = world.ledger.months(PROJECT)
        assert (one.days[5], one.days[6], day(world)) == (part, part, charged.total)
        assert month(world) == BILLED + BILLED + charged
        reserve(world)


def test_yesterdays_counters_are_settled_after_midnight(world: World) -> None:
    world.ledger.settle(reserved(world), Measured(BILLED))
    world.clock.now = datetime(2026, 1, 6, 23, 59, 59, tzinfo=UTC)
    late = reserved(world)
    world.clock.now = datetime(2026, 1, 7, 0, 0, 30, tzinfo=UTC)
    reserve(world)
    world.ledger.settle(late, Measured(BILLED))
    (one,) = world.ledger.months(PROJECT)
    assert one.days[6] == Total(1, BILLED.tokens, BILLED.micro_usd)
