"""The sweeper's lease alone: who holds it, and until when. A test sets the catalog's answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from titlecard.pipeline import lease as module
from titlecard.pipeline.lease import LEASE, POLLS, RENEW_SECONDS, Lease

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Stage:
    """A clock that moves while a sweeper waits, and the stored lease."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOON
        self.stored: list[str] = []
        """The lease at each look; the last one stays."""
        self.is_taken = self.is_renewed = True
        self.taken: list[tuple[str, datetime]] = []
        self.renewed: list[datetime] = []
        self.takes = 0.0
        """The seconds that a renewal takes."""
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=self._pass))
        catalog: Any = self
        self.lease = Lease(catalog, lambda: self.now)

    def _pass(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def renew(self, *times: float) -> None:
        """Renew in the background, after the given pauses in seconds."""
        waits = iter(times)

        def wait(_seconds: float) -> bool:
            if (seconds := next(waits, None)) is None:
                return True
            self._pass(seconds)
            return False

        self.lease._over = SimpleNamespace(wait=wait)  # type: ignore[assignment]  # noqa: SLF001 -- instead of a thread
        self.lease._renew()  # noqa: SLF001 -- likewise

    def is_held_after(self, seconds: float) -> bool:
        """Return whether the lease is held this many seconds after noon."""
        self.now = NOON + timedelta(seconds=seconds)
        return self.lease.is_held

    def sweep_lease(self) -> str:
        """Return the stored lease."""
        return self.stored.pop(0) if len(self.stored) > 1 else "".join(self.stored)

    def take_sweep(self, _holder: str, *, seen: str, until: datetime) -> bool:
        """Record the call."""
        self.taken.append((seen, until))
        return self.is_taken

    def renew_sweep(self, _holder: str, *, until: datetime) -> bool:
        """Record the call, which takes its time."""
        self.renewed.append(until)
        self._pass(self.takes)
        if self.takes < 0:
            raise ReadTimeoutError(endpoint_url="dynamodb")
        return self.is_renewed


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_free_lease_is_taken_at_once_unless_another_takes_it_first(stage: Stage, is_taken: bool) -> None:
    stage.is_taken = is_taken
    assert stage.lease.take() is is_taken
    assert (stage.taken, stage.now) == ([("", NOON + LEASE)], NOON)


@pytest.mark.parametrize("is_taken", [True, False])
def test_an_unchanged_lease_is_taken_over_after_its_length_by_the_sweepers_own_clock(
    stage: Stage, is_taken: bool
) -> None:
    stage.stored, stage.is_taken = ["a stamp"], is_taken
    assert stage.lease.take() is is_taken
    assert stage.now == NOON + timedelta(seconds=POLLS * RENEW_SECONDS)
    assert stage.taken == [("a stamp", stage.now + LEASE)]


@pytest.mark.parametrize("looks", range(1, POLLS + 1))
def test_a_changed_lease_is_left_alone_as_soon_as_the_change_is_seen(stage: Stage, looks: int) -> None:
    stage.stored = ["a stamp"] * looks + ["a later one"]
    assert stage.lease.take() is False
    assert (stage.taken, stage.now) == ([], NOON + timedelta(seconds=looks * RENEW_SECONDS))


def test_a_lease_is_held_for_its_length(stage: Stage) -> None:
    stage.lease.take()
    length = LEASE.total_seconds()
    assert [stage.is_held_after(seconds) for seconds in (0, length - 0.1, length)] == [True, True, False]


def test_a_renewal_counts_from_the_moment_before_it_was_sent(stage: Stage) -> None:
    stage.takes = 10.0
    stage.renew(3)
    assert stage.renewed == [NOON + timedelta(seconds=3) + LEASE]
    assert [stage.is_held_after(seconds) for seconds in (17.9, 18)] == [True, False]


def test_a_lost_lease_is_neither_renewed_again_nor_held_for_longer(stage: Stage) -> None:
    stage.is_renewed = False
    stage.renew(3, 3)
    assert len(stage.renewed) == 1
    assert [stage.is_held_after(seconds) for seconds in (14.9, 15)] == [True, False]


def test_a_renewal_without_an_answer_is_retried_and_does_not_extend_the_lease(stage: Stage) -> None:
    stage.takes = -1e-6
    stage.renew(3, 3)
    assert len(stage.renewed) == 2
    assert [stage.is_held_after(seconds) for seconds in (14.9, 15)] == [True, False]
