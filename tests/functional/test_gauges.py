"""The sweeper's gauges: how full the budgets are, and how much the open batches are expected to be charged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.functional.world import BUDGET, LIMITS, PROJECT, Cut, videos

from titlecard import telemetry
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.domain.money import Amount, Budget, Cap
from titlecard.pipeline.gauges import TOKENS_PER_ROW, Gauges

if TYPE_CHECKING:
    from tests.functional.world import World

NEED = Amount(1, 300, 400, 90)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Return the reported values by metric name."""
    seen: dict[str, list[float]] = {"budget": [], "expected": []}
    monkeypatch.setattr(telemetry, "budget_used", seen["budget"].append)
    monkeypatch.setattr(telemetry, "tokens_expected", seen["expected"].append)
    return seen


def gauges(world: World) -> Gauges:
    return Gauges(catalog=world.catalog, ledger=world.ledger, now=world.clock)


@pytest.mark.parametrize(
    ("daily", "monthly", "percent"),
    [
        (Cap(tokens=1_400), Cap(tokens=100_000), 50),
        (Cap(tokens=100_000), Cap(tokens=875), 80),
        (Cap(micro_usd=90), Cap(micro_usd=1_000), 100),
        (Cap(tokens=7_000, micro_usd=100), Cap(micro_usd=1_000), 90),
    ],
)
def test_a_budget_is_as_full_as_the_fullest_of_its_limits(
    world: World, measured: dict[str, list[float]], daily: Cap, monthly: Cap, percent: float
) -> None:
    budget = Budget(daily, monthly)
    world.ledger.set_budget(PROJECT, budget, by="person", now=world.clock())
    world.ledger.reserve("b", PROJECT, NEED, limits=LIMITS, budget=budget, model="m", now=world.clock())
    gauges(world).report()
    assert measured["budget"] == [pytest.approx(percent)]


def test_open_batches_are_expected_to_be_charged_so_much_for_each_row_and_no_more_than_their_limits(
    world: World, measured: dict[str, list[float]]
) -> None:
    world.batch(*videos(3))
    world.batch(*videos(2, start="w"), name="more.jsonl", limits=replace(LIMITS, tokens=500))
    gauges(world).report()
    assert measured["expected"] == [3 * TOKENS_PER_ROW + 500]


def test_a_ledger_that_does_not_answer_does_not_stop_a_sweep(world: World, measured: dict[str, list[float]]) -> None:
    world.wire.cut(Cut.OUTAGE)
    gauges(world).report()
    world.wire.mend()
    assert measured == {"budget": [], "expected": []}


def test_an_unexpected_exception_does_not_stop_a_sweep(
    world: World, measured: dict[str, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_ledger: Ledger) -> None:
        raise KeyError("unexpected")

    monkeypatch.setattr(Ledger, "accounts", failing)
    gauges(world).report()
    assert measured == {"budget": [], "expected": []}


@pytest.mark.parametrize(
    ("partition", "name"), [("budgets", "daily_tokens"), ("breakers", "failures"), ("project#zz", "micro_usd")]
)
def test_a_project_with_an_edited_item_hides_no_other_budget(
    world: World, measured: dict[str, list[float]], partition: str, name: str
) -> None:
    world.ledger.set_budget("zz", BUDGET, by="person", now=world.clock())
    world.ledger.set_budget("aa", BUDGET, by="person", now=world.clock())
    world.edit("LedgerTable", partition, "month#2026-01" if "#" in partition else "zz", **{name: "lots"})
    world.batch(*videos(3))
    gauges(world).report()
    assert measured == {"budget": [0.0, 0.0], "expected": [3 * TOKENS_PER_ROW]}
