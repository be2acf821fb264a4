"""The sweeper's lease: one sweeper works at a time, and a dead one delays the next by seconds, whatever the clocks."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.functional.world import Cut

from titlecard.pipeline import lease as leases
from titlecard.pipeline.lease import LEASE, POLLS, RENEW_SECONDS, Lease

if TYPE_CHECKING:
    from datetime import datetime

    from tests.functional.world import World


def lease(world: World, ahead: float = 0) -> Lease:
    """Return a sweeper's lease; its clock is ahead by this many seconds."""

    def now() -> datetime:
        return world.clock() + timedelta(seconds=ahead)

    return Lease(world.catalog, now)


@pytest.fixture
def waits(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the waits for a lease, in seconds; each moves the world's clock on."""
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        world.clock.forward(seconds)

    monkeypatch.setattr(leases, "time", SimpleNamespace(sleep=sleep))
    return waited


def test_a_free_lease_is_taken_at_once(world: World, waits: list[float]) -> None:
    assert lease(world).take()
    assert waits == []


def test_a_lease_that_was_given_back_is_free(world: World, waits: list[float]) -> None:
    one = lease(world)
    assert one.take()
    with one.renewed():
        pass
    assert lease(world).take()
    assert waits == []


@pytest.mark.parametrize("ahead", [-600, 0, 600])
def test_a_dead_sweepers_lease_is_taken_over_after_seconds_whatever_the_clock_shows(
    world: World, waits: list[float], ahead: float
) -> None:
    assert lease(world).take()
    assert lease(world, ahead).take()
    assert waits == [RENEW_SECONDS] * POLLS


@pytest.mark.parametrize("ahead", [-600, 0, 600])
def test_a_lease_that_is_renewed_is_left_alone_whatever_the_clock_shows(
    world: World, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    assert lease(world).take()
    holder = str(world.db.get_item(TableName=world.names["CatalogTable"], Key=leases_key())["Item"]["holder"])

    def renew(seconds: float) -> None:
        world.clock.forward(seconds)
        world.catalog.renew_sweep(holder, until=world.clock() + LEASE)

    monkeypatch.setattr(leases, "time", SimpleNamespace(sleep=renew))
    assert not lease(world, ahead).take()


def leases_key() -> dict[str, str]:
    return {"pk": "sweeper", "sk": "lease"}


def test_only_one_of_two_sweepers_takes_over_a_dead_ones_lease(world: World, waits: list[float]) -> None:
    assert lease(world).take()
    seen = world.catalog.sweep_lease()
    until = world.clock() + LEASE
    assert [world.catalog.take_sweep(name, seen=seen, until=until + LEASE) for name in ("one", "two")] == [True, False]
    assert waits == []


@pytest.mark.usefixtures("waits")
def test_a_sweeper_that_cannot_renew_stops_before_another_takes_over(world: World) -> None:
    one = lease(world)
    assert one.take()
    assert one.is_held
    world.clock.forward(LEASE.total_seconds() - 1)
    assert one.is_held
    world.clock.forward(1)
    assert not one.is_held


@pytest.mark.usefixtures("waits")
def test_a_sweeper_that_lost_its_lease_does_not_release_it(world: World) -> None:
    one, two = lease(world), lease(world)
    assert one.take()
    assert two.take()
    with one.renewed():
        pass
    assert world.catalog.sweep_lease() != ""


def test_a_lease_is_renewed_while_it_is_held(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    one = lease(world)
    assert one.take()
    before = world.catalog.sweep_lease()
    with one.renewed():
        world.clock.forward(10)
        for _ in range(3_000):
            if world.catalog.sweep_lease() != before:
                break
        else:
            pytest.fail("it is not renewed")
    assert world.catalog.sweep_lease() == ""


def test_a_renewal_that_fails_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    one = lease(world)
    assert one.take()
    before = world.catalog.sweep_lease()
    with one.renewed():
        world.wire.cut(Cut.OUTAGE, call="UpdateItem")
        world.clock.forward(10)
        world.wire.mend()
        for _ in range(3_000):
            if world.catalog.sweep_lease() != before:
                break
        else:
            pytest.fail("it is not renewed")


def test_a_late_copy_of_a_renewal_changes_nothing(world: World) -> None:
    one = lease(world)
    assert one.take()
    holder = str(world.db.get_item(TableName=world.names["CatalogTable"], Key=leases_key())["Item"]["holder"])
    older, newer = (world.clock() + LEASE + timedelta(seconds=seconds) for seconds in (3, 6))
    assert world.catalog.renew_sweep(holder, until=newer)
    renewed = world.catalog.sweep_lease()
    assert not world.catalog.renew_sweep(holder, until=older)
    assert world.catalog.sweep_lease() == renewed
