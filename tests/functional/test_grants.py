"""The grants of dead rows: one transaction, what it changes, and what makes it write nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.functional.world import PROJECT, World, videos

from titlecard.aws.dynamodb.catalog import Row, RowEnd
from titlecard.aws.dynamodb.catalog.grants import AttemptGrant, Grants
from titlecard.aws.dynamodb.catalog.keys import row_key
from titlecard.aws.errors import CatalogBusy
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy

if TYPE_CHECKING:
    from titlecard.aws.dynamodb.catalog import Batch

MARK = "f" * 32
ONE_MORE = AttemptGrant(PROJECT, "v1", MARK, attempts=0, allowed=1, by="grace")


class Dead:
    """A finished batch with one dead row, whose video has had no attempt."""

    def __init__(self, world: World) -> None:
        self.world = world
        batch, (self.message,) = world.batch(*videos(1))
        death = RowEnd(self.message, batch.upload.order, MARK, RowState.DEAD, reason="a crash")
        world.catalog.end_and_count([death], now=world.clock())
        world.catalog.record_audit(batch, rounds=2, rows=1, row=1, now=world.clock())
        assert world.catalog.finish(self.batch, reason="a row is dead")
        self.grants = Grants(world.db, world.names["CatalogTable"])
        world.clock.forward(60)

    @property
    def batch(self) -> Batch:
        """Its batch in its current state."""
        return self.world.catalog.batch(self.message.batch)

    @property
    def seen(self) -> Row:
        """The row in its current state."""
        (found,) = self.grants.rows([(self.message.batch, 1)]).values()
        return found

    @property
    def item(self) -> dict[str, Any]:
        """The row's item."""
        key = row_key(self.message.batch, 1)
        return dict(self.world.db.get_item(TableName=self.world.names["CatalogTable"], Key=key)["Item"])

    def claim(self, cap: int = 1) -> object:
        """Claim the next attempt on the video."""
        return self.world.catalog.claim(
            self.message,
            MARK,
            token=str(self.world.clock.now),
            cap=cap,
            policy=Policy.AUTO,
            bound=Amount(1, 1, 1, 1),
            until=self.world.clock.after(1),
            now=self.world.clock(),
        )

    def allow(
        self, seen: Row | None = None, grant: AttemptGrant = ONE_MORE, state: BatchState = BatchState.FINISHED
    ) -> bool:
        """Grant another attempt."""
        return self.grants.allow(seen or self.seen, grant, state, now=self.world.clock())


@pytest.fixture
def dead(world: World) -> Dead:
    return Dead(world)


def test_a_grant_queues_the_row_as_unsent_and_removes_the_reason(dead: Dead) -> None:
    assert dead.allow()
    assert (dead.seen.state, dead.seen.ended_at, dead.seen.reason) == (RowState.QUEUED, "", None)
    assert not dead.item.keys() & {"ended_at", "reason", "tier"}
    assert list(dead.grants.unsent()) == [(dead.message.batch, 1)]
    assert list(dead.grants.dead()) == []


def test_a_grant_reopens_its_batch_for_a_new_audit_and_uncounts_the_dead_row(dead: Dead) -> None:
    assert dead.batch.counted(RowState.DEAD) == 1
    assert dead.allow()
    batch = dead.batch
    assert (batch.state, batch.reason, batch.counted(RowState.DEAD)) == (BatchState.OPEN, None, 0)
    assert (batch.audit_rounds, batch.audited_rows, batch.audit_row) == (0, 0, 0)
    assert batch.moved_at == dead.world.clock()
    assert [it.id for it in dead.world.catalog.open_batches()] == [batch.id]


def test_a_batch_that_a_grant_opens_again_keeps_its_place_among_the_open_ones(dead: Dead) -> None:
    dead.world.clock.forward(1)
    newer, _ = dead.world.batch(*videos(1), name="newer.jsonl")
    assert dead.allow()
    assert [it.id for it in dead.world.catalog.open_batches()] == [dead.batch.id, newer.id]


def test_a_grant_stops_an_audit_that_has_counted_the_rows_from_finishing_the_batch(dead: Dead) -> None:
    assert dead.allow()
    read = dead.batch
    dead.world.clock.forward(1)
    queued = dead.seen
    assert dead.allow(queued, state=BatchState.OPEN)
    assert not dead.world.catalog.finish(read)


def test_a_grant_is_made_once_for_the_dead_row_that_was_read(dead: Dead) -> None:
    seen = dead.seen
    assert dead.allow(seen)
    assert not dead.allow(seen, state=BatchState.OPEN)
    assert dead.batch.counted(RowState.DEAD) == 0


@pytest.mark.parametrize("later", ["attempt", "death", "state"])
def test_a_grant_for_what_has_changed_since_it_was_seen_writes_nothing(dead: Dead, later: str) -> None:
    seen, state, before = dead.seen, BatchState.FINISHED, dead.item
    if later == "attempt":
        dead.claim()
    elif later == "death":
        seen = replace(seen, ended_at="2026-01-01T00:00:00.000000+00:00")
    else:
        state = BatchState.OPEN
    assert not dead.allow(seen, state=state)
    assert (dead.item, dead.batch.state, dead.batch.counted(RowState.DEAD)) == (before, BatchState.FINISHED, 1)


def test_a_grant_allows_as_many_attempts_as_it_says(dead: Dead) -> None:
    taken = []
    dead.allow(grant=replace(ONE_MORE, allowed=2))
    for _ in range(3):
        taken.append(type(dead.claim(cap=0)).__name__)
        dead.world.clock.forward(2)
    assert taken == ["Attempt", "Attempt", "VideoRecord"]


def cancelled(dead: Dead, monkeypatch: pytest.MonkeyPatch, code: str, times: int) -> list[int]:
    """Cancel this many transactions for a reason; return the list to which every try is added."""
    tries: list[int] = []
    real = dead.world.db.transact_write_items

    def transact(**call: Any) -> Any:  # noqa: ANN401 -- as the client's
        tries.append(1)
        if len(tries) > times:
            return real(**call)
        reasons = [{"Code": "None"}, {"Code": code}, {}, {}]
        answer: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
        raise dead.world.db.exceptions.TransactionCanceledException(answer, "TransactWriteItems")

    monkeypatch.setattr(dead.world.db, "transact_write_items", transact)
    return tries


def test_a_grant_that_conflicts_with_other_writers_is_retried(dead: Dead, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = cancelled(dead, monkeypatch, "TransactionConflict", 2)
    assert dead.allow()
    assert (len(tries), dead.seen.state) == (3, RowState.QUEUED)


def test_a_grant_that_always_conflicts_with_other_writers_raises_catalog_busy(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled(dead, monkeypatch, "TransactionConflict", 100)
    with pytest.raises(CatalogBusy):
        dead.allow()


def test_a_grant_that_a_condition_refuses_is_not_tried_again(dead: Dead, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = cancelled(dead, monkeypatch, "ConditionalCheckFailed", 100)
    assert not dead.allow()
    assert len(tries) == 1


def test_a_sent_message_takes_its_row_off_the_list_unless_the_row_has_moved_on(dead: Dead) -> None:
    assert dead.allow()
    unsent = dead.seen
    dead.grants.sent(unsent)
    assert (list(dead.grants.unsent()), dead.item.keys() & {"agenda", "due"}) == ([], set())
    now = dead.world.clock()
    dead.world.catalog.defer(dead.message, MARK, reason="rate_limited", due=now, now=now)
    dead.grants.sent(unsent)
    assert [it.row.number for it in dead.world.catalog.deferred(dead.batch)] == [1]


def test_a_discarded_row_stays_dead_and_is_listed_no_more(dead: Dead) -> None:
    seen = dead.seen
    assert dead.grants.discard(seen, by="grace", now=dead.world.clock())
    assert (dead.seen.state, list(dead.grants.dead())) == (RowState.DEAD, [])
    assert dead.item["discarded_by"] == "grace"


def test_a_row_that_was_queued_again_is_not_discarded(dead: Dead) -> None:
    seen = dead.seen
    assert dead.allow()
    assert not dead.grants.discard(seen, by="grace", now=dead.world.clock())
    assert list(dead.grants.unsent()) == [(dead.message.batch, 1)]


def test_a_row_that_died_again_is_not_discarded(dead: Dead) -> None:
    before = replace(dead.seen, ended_at="2026-01-01T00:00:00.000000+00:00")
    assert not dead.grants.discard(before, by="grace", now=dead.world.clock())
    assert list(dead.grants.dead()) == [(dead.message.batch, 1)]


def test_each_grant_is_recorded_with_its_video(dead: Dead) -> None:
    assert dead.allow()
    assert dead.allow(grant=replace(ONE_MORE, allowed=2, by="ada"), state=BatchState.OPEN)
    (record,) = dead.grants.records(PROJECT, "v1")
    assert [(it["by"], it["allowed"]) for it in record.redrives] == [("grace", 1), ("ada", 2)]
