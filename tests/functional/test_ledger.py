"""The ledger: what is reserved never passes a limit, what is unknown stays charged, and no call is made twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.functional.world import Cut

from titlecard.batch import Limits
from titlecard.ledger import NoAnswer
from titlecard.money import Charge

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functional.world import World

    from titlecard.ledger import Ledger

BATCH = "talks-0123456789ab"
NEED = Charge(requests=1, input_tokens=900, output_tokens=100, micro_usd=500)
BILLED = Charge(requests=1, input_tokens=200, output_tokens=30, micro_usd=70)
ROOMY = Limits(requests=100, tokens=1_000_000, micro_usd=1_000_000)
THREE = Limits(requests=3, tokens=3 * NEED.tokens, micro_usd=3 * NEED.micro_usd)


def test_an_untouched_batch_has_spent_nothing(world: World) -> None:
    assert world.ledger.spent(BATCH) == Charge()


def test_a_reservation_is_charged(world: World) -> None:
    assert world.ledger.reserve(BATCH, NEED, ROOMY)
    assert world.ledger.spent(BATCH) == NEED


def test_reservations_add_up(world: World) -> None:
    for _ in range(2):
        world.ledger.reserve(BATCH, NEED, ROOMY)
    assert world.ledger.spent(BATCH) == NEED + NEED


def test_batches_have_counters_of_their_own(world: World) -> None:
    world.ledger.reserve(BATCH, NEED, ROOMY)
    assert world.ledger.spent("another") == Charge()


def test_a_batch_may_be_charged_exactly_its_limit(world: World) -> None:
    assert [world.ledger.reserve(BATCH, NEED, THREE) for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("tight", ["requests", "tokens", "micro_usd"])
def test_one_more_than_any_one_limit_allows_is_refused(world: World, tight: str) -> None:
    limits = ROOMY.model_copy(update={tight: getattr(THREE, tight)})
    assert [world.ledger.reserve(BATCH, NEED, limits) for _ in range(4)] == [True] * 3 + [False]


def test_a_refused_reservation_is_not_charged(world: World) -> None:
    for _ in range(5):
        world.ledger.reserve(BATCH, NEED, THREE)
    assert world.ledger.spent(BATCH) == NEED + NEED + NEED


@pytest.mark.parametrize("tight", ["requests", "tokens", "micro_usd"])
def test_one_unit_too_little_room_is_too_little(world: World, tight: str) -> None:
    limits = THREE.model_copy(update={tight: getattr(THREE, tight) - 1})
    assert [world.ledger.reserve(BATCH, NEED, limits) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("tight", ["requests", "tokens", "micro_usd"])
def test_a_need_above_the_whole_limit_is_refused_before_anything_is_written(world: World, tight: str) -> None:
    one_too_few = {"requests": 0, "tokens": NEED.tokens - 1, "micro_usd": NEED.micro_usd - 1}[tight]
    before = len(world.wire.calls)
    assert not world.ledger.reserve(BATCH, NEED, ROOMY.model_copy(update={tight: one_too_few}))
    assert len(world.wire.calls) == before


def test_a_need_that_costs_nothing_still_counts_as_a_request(world: World) -> None:
    free = Charge(requests=1, input_tokens=10, output_tokens=10)
    limits = Limits(requests=1, tokens=1_000, micro_usd=0)
    assert [world.ledger.reserve(BATCH, free, limits) for _ in range(2)] == [True, False]


def test_a_limit_that_was_raised_lets_more_through(world: World) -> None:
    for _ in range(4):
        world.ledger.reserve(BATCH, NEED, THREE)
    assert world.ledger.reserve(BATCH, NEED, ROOMY)


def test_settling_lowers_the_charge_to_what_was_billed(world: World) -> None:
    world.ledger.reserve(BATCH, NEED, ROOMY)
    world.ledger.settle(BATCH, NEED, BILLED)
    assert world.ledger.spent(BATCH) == BILLED


def test_settling_makes_room_again(world: World) -> None:
    limits = Limits(requests=100, tokens=NEED.tokens + BILLED.tokens, micro_usd=1_000_000)
    world.ledger.reserve(BATCH, NEED, limits)
    assert not world.ledger.reserve(BATCH, NEED, limits)
    world.ledger.settle(BATCH, NEED, BILLED)
    assert world.ledger.reserve(BATCH, NEED, limits)


def test_settling_above_the_bound_charges_all_of_it(world: World) -> None:
    above = Charge(requests=1, input_tokens=9_000, output_tokens=100, micro_usd=5_000)
    world.ledger.reserve(BATCH, NEED, ROOMY)
    world.ledger.settle(BATCH, NEED, above)
    assert world.ledger.spent(BATCH) == above


def test_settling_what_was_never_reserved_lowers_nothing(world: World) -> None:
    with pytest.raises(NoAnswer):
        world.ledger.settle(BATCH, NEED, Charge())
    assert world.ledger.spent(BATCH) == Charge()


@pytest.mark.parametrize("how", [Cut.OUTAGE, Cut.SILENCE])
def test_a_reservation_without_an_answer_is_none(world: World, how: Cut) -> None:
    world.wire.cut(how)
    with pytest.raises(NoAnswer):
        world.ledger.reserve(BATCH, NEED, ROOMY)


def test_a_reservation_whose_answer_was_lost_stays_charged_once(world: World) -> None:
    world.wire.cut(Cut.SILENCE)
    with pytest.raises(NoAnswer):
        world.ledger.reserve(BATCH, NEED, ROOMY)
    world.wire.mend()
    assert world.ledger.spent(BATCH) == NEED


def test_a_settlement_whose_answer_was_lost_is_written_once(world: World) -> None:
    world.ledger.reserve(BATCH, NEED, ROOMY)
    world.wire.cut(Cut.SILENCE)
    with pytest.raises(NoAnswer):
        world.ledger.settle(BATCH, NEED, BILLED)
    world.wire.mend()
    assert world.ledger.spent(BATCH) == BILLED


def test_a_settlement_that_was_lost_leaves_the_bound_charged(world: World) -> None:
    world.ledger.reserve(BATCH, NEED, ROOMY)
    world.wire.cut(Cut.OUTAGE)
    with pytest.raises(NoAnswer):
        world.ledger.settle(BATCH, NEED, BILLED)
    world.wire.mend()
    assert world.ledger.spent(BATCH) == NEED


@pytest.mark.parametrize("how", [Cut.OUTAGE, Cut.SILENCE])
@pytest.mark.parametrize(
    "call",
    [lambda ledger: ledger.reserve(BATCH, NEED, ROOMY), lambda ledger: ledger.settle(BATCH, NEED, BILLED)],
    ids=["reserve", "settle"],
)
def test_every_call_is_tried_once(world: World, call: Callable[[Ledger], object], how: Cut) -> None:
    world.ledger.reserve(BATCH, NEED, ROOMY)
    before = len(world.wire.calls)
    world.wire.cut(how)
    with pytest.raises(NoAnswer):
        call(world.ledger)
    assert world.wire.calls[before:] == ["UpdateItem"]


def test_a_table_that_is_not_there_is_no_answer(world: World) -> None:
    world.db.delete_table(TableName=world.names["LedgerTable"])
    with pytest.raises(NoAnswer):
        world.ledger.reserve(BATCH, NEED, ROOMY)
