"""Ten ways around a budget that were found in a widely used gateway; each is closed here.

The list is that of LiteLLM's budget reservations: public issues and fixes of 2025 and 2026. The tests use the real
parser, ledger and model tier; the provider on loopback keeps the bill.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.functional.conftest import MODEL
from tests.functional.test_ledger import BATCH, BILLED, NEED, reserve, reserved
from tests.functional.test_parser_money import DEFERRED, PARSED_BY_MODEL, Losing, Project
from tests.functional.world import PROJECT, Cut, World, received, replaced

from titlecard.aws.dynamodb.ledger import Refusal, Reservation
from titlecard.domain.errors import NotAPriceList, Unpriced
from titlecard.domain.money import Budget, Cap, Measured, PriceList, Total, Unbilled, Usage, measured
from titlecard.llm import ModelTier

if TYPE_CHECKING:
    from tests.provider import LoopbackProvider

pytestmark = pytest.mark.usefixtures("local_tier")

ONE = Budget(Cap(), Cap(NEED.tokens, NEED.micro_usd))


@pytest.fixture
def project(world: World, tier: ModelTier, provider: LoopbackProvider) -> Project:
    return Project(world, tier, provider)


def test_two_concurrent_first_calls_do_not_both_find_an_empty_counter(project: Project) -> None:
    one, two = project.rows(2)
    bound = project.bound(one)
    project.budget(daily=Cap(None, bound.micro_usd))
    outcomes = project.worker.work([received(one), received(two)], lambda: 90)
    assert sorted(outcomes.values(), key=str) == sorted([PARSED_BY_MODEL, DEFERRED], key=str)
    assert len(project.provider.posts) == 1


def test_check_and_record_are_one_write(world: World) -> None:
    before = len(world.wire.calls)
    reserved(world, budget=ONE)
    assert world.wire.calls[before:] == ["UpdateItem", "UpdateItem"]  # the batch's and the project's; nothing was read


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("how", [Cut.LOST_REQUEST, Cut.LOST_ANSWER])
def test_a_reservation_write_that_fails_does_not_let_the_call_through(project: Project, how: Cut, at: int) -> None:
    (message,) = project.rows(1)
    worker = project.world.parser(
        project.tier, clients=replaced(project.world.clients, ledger=Losing(project.world, how, at))
    )
    assert worker.work([received(message)], lambda: 90) == {"message-1": DEFERRED}
    assert project.provider.posts == []


def test_an_unpriced_model_is_not_asked_without_a_reservation(provider: LoopbackProvider) -> None:
    with pytest.raises(Unpriced, match="has no price, so Titlecard does not ask it"):
        ModelTier("gpt-9-nova", prices=PriceList.packaged(), base_url=provider.base_url, max_output_tokens=400)


def test_worst_cases_that_fill_a_budget_are_shown_and_freed_as_answers_settle(world: World) -> None:
    two = Budget(Cap(), Cap(None, 2 * NEED.micro_usd))
    held = [reserved(world, budget=two) for _ in range(2)]
    assert isinstance(reserve(world, budget=two), Refusal)
    (month,) = world.ledger.months(PROJECT)
    assert (month.spent.open.micro_usd, month.spent.measured.micro_usd) == (2 * NEED.micro_usd, 0)
    for reservation in held:
        world.ledger.settle(reservation, Measured(BILLED))
    assert isinstance(reserve(world, budget=two), Reservation)


def test_a_leaked_reservation_stays_charged_and_is_shown_as_leaked(project: Project) -> None:
    one, two = project.rows(2)
    bound = project.bound(one)
    project.budget(daily=Cap(None, bound.micro_usd))

    class Dying(ModelTier):
        def ask(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401 -- it is never called
            raise KeyboardInterrupt

    dying = Dying(MODEL, max_output_tokens=400, prices=PriceList.packaged())
    with pytest.raises(KeyboardInterrupt):
        project.world.parser(dying).work([received(one)], lambda: 90)
    assert project.work(two) == DEFERRED
    (month,) = project.world.ledger.months(PROJECT)
    assert month.spent.open == Total(1, bound.tokens, bound.micro_usd)
    assert (month.spent.lost, month.spent.measured) == (Total(), Total())
    project.world.clock.forward(timedelta(days=1).total_seconds())
    assert project.work(two) == PARSED_BY_MODEL  # a leaked reservation does not burden the next day


@pytest.mark.parametrize("price", [0.1, 1, 100])
def test_a_price_per_token_instead_of_per_million_is_refused(price: float) -> None:
    rates = f"{{input = {price}, cached_input = {price}, cache_write = {price}, output = {price}}}"
    with pytest.raises(NotAPriceList):
        PriceList.from_toml(
            f"models.mine = {{checked = 2026-11-20, source = 'typed by hand', tiers.default = {rates}}}"
        )


def test_an_answer_from_a_dearer_service_tier_is_charged_at_its_own_price(project: Project) -> None:
    (message,) = project.rows(1)
    project.provider.fail("dearer_tier")
    assert project.work(message) == PARSED_BY_MODEL
    (post,) = project.provider.posts
    dearer = PriceList.packaged().rates(MODEL, "priority")
    bill = measured(Usage(post.input_tokens, post.output_tokens, 0, 0), dearer)
    assert project.charged == bill
    assert bill.micro_usd > project.billed.micro_usd


def test_after_a_release_there_is_as_much_room_as_before_and_no_more(world: World) -> None:
    reservation = reserved(world, budget=ONE)
    world.ledger.settle(reservation, Unbilled())
    answers = [reserve(world, budget=ONE) for _ in range(2)]
    assert [type(it) for it in answers] == [Reservation, Refusal]
    assert world.ledger.spent(BATCH) == NEED


def test_a_reservation_is_never_shrunk_to_what_is_left(world: World) -> None:
    nearly_two = Budget(Cap(), Cap(None, 2 * NEED.micro_usd - 1))
    reserved(world, budget=nearly_two)
    assert isinstance(reserve(world, budget=nearly_two), Refusal)
    assert world.ledger.window(PROJECT, world.clock())[1] == NEED
    assert world.ledger.spent(BATCH) == NEED
