"""The audit alone: which batches it touches, when, and what it records. The tables and queues only record their calls.

The functional tests audit with the real tables. These notice a moment that is too early, and a round too many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.stage import NEW, NOON, Stage

from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import Batch, Row, UnreadableBatch, stamp
from titlecard.aws.errors import CatalogBusy, ObjectDeleted
from titlecard.domain.batch import BatchState, Message, RowState, Upload
from titlecard.domain.clock import CLOCKS_APART_SECONDS
from titlecard.domain.money import Total
from titlecard.domain.video import Video
from titlecard.manifests.errors import NotAManifest
from titlecard.manifests.validation import Bitmap
from titlecard.pipeline import audit as module
from titlecard.pipeline.audit import CALL_SECONDS, CLAIM_SECONDS, COUNT_AFTER_SECONDS, ROWS_PER_SECOND, Audit
from titlecard.pipeline.errors import RowsNotEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RESTART, STILL, ROUNDS, LIMIT = 7_000, 3_600, 2, 12
UPLOAD = Upload("bucket", "uploads/pycon/talks.jsonl", "version", "order", "etag")
OPEN = replace(
    NEW,
    upload=UPLOAD,
    state=BatchState.OPEN,
    limits=Total(1, 1, 1),
    accepted=40,
    form="JSON Lines",
    sent_row=40,
    moved_at=NOON - timedelta(seconds=STILL + 1),
    last_row=40,
)
CLAIMED = CLAIM_SECONDS + OPEN.accepted / ROWS_PER_SECOND
"""The seconds for which a batch is left to the call that has claimed it."""

SENDING = replace(OPEN, state=BatchState.SENDING, moved_at=NOON - timedelta(seconds=RESTART + 1), audited_rows=39)


class AuditStage(Stage):
    """An audit whose tables and queues hold what a test puts there, and record what is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.now = NOON
        self.batches: list[Batch | UnreadableBatch] = [OPEN]
        self.ended: list[int] = []
        """The numbers of the rows that have ended."""
        self.deferred: list[int] = []
        self.queued: list[Row] = []
        self.videos: dict[int, str] = {}
        """The ids of the videos of rows that were ended."""
        self.in_queue = 0
        self.is_claimed = self.is_published = True
        self.trouble: Exception | None = None
        self.deleted: tuple[str, ...] = ()
        self.read_up_to = OPEN.last_row
        """The last row that is still accepted when the manifest is read again."""
        self.unreadable: NotAManifest | None = None
        self.settings = SimpleNamespace(
            audit_after_seconds=STILL,
            audit_rounds=ROUNDS,
            ingest_restart_seconds=RESTART,
            manifest_max_bytes=1,
            reading_limits=None,
            sweeper_limit=LIMIT,
        )
        monkeypatch.setattr(module, "accepted_messages", self._accepted)
        monkeypatch.setattr(telemetry, "died", lambda message, **_: self.call("died", message.row))
        monkeypatch.setattr(telemetry, "published", lambda seconds: self.call("published", seconds))
        here: Any = self
        settings: Any = self.settings
        self.audit = Audit(
            catalog=here,
            uploads=here,
            queue=here,
            ingest=here,
            dead_letters=here,
            results=here,
            settings=settings,
            now=lambda: self.now,
        )

    def run(self, in_time: Callable[[], bool] = lambda: True) -> Counter[str]:
        """Audit once."""
        return self.audit.run(in_time)

    # --------------------------------------------------------------------------------------------------- the catalog

    def open_batches(self) -> list[Batch | UnreadableBatch]:
        """Return the batches."""
        return self.batches

    def batch(self, _name: str) -> Batch:
        """Return the first batch."""
        (batch,) = self.batches
        assert isinstance(batch, Batch)
        return batch

    def record_reason(self, _batch: Batch, reason: str) -> bool:
        """Record the call."""
        self.call("reason", reason)
        return True

    def record_audit(self, batch: Batch, *, rounds: int, rows: int, row: int = 0, now: datetime) -> None:
        """Record the call."""
        assert (batch.id, now) == (OPEN.id, self.now)
        self.call("audited", rounds, rows, row)

    def count_rows(self, batch: Batch, *states: RowState) -> int:
        """Count the rows, or fail."""
        self.call("count", batch.marked_at)
        if self.trouble:
            raise self.trouble
        return len(self._in(states))

    def numbers_of_rows(self, _batch: Batch, *states: RowState, after: int) -> Iterator[int]:
        """Yield the numbers of the rows."""
        return (number for number in sorted(self._in(states)) if number > after)

    def _in(self, states: Sequence[RowState]) -> list[int]:
        return (self.ended if RowState.DEAD in states else []) + (self.deferred if RowState.DEFERRED in states else [])

    def rows(self, _batch: Batch) -> list[Row]:
        """Return the queued rows that have an item."""
        return self.queued

    def mark_counted(self, _batch: Batch) -> None:
        """Record the call."""
        self.call("counted")

    def claim_finish(self, _batch: Batch) -> bool:
        """Record the call."""
        self.call("claimed")
        if self.trouble:
            raise self.trouble
        return self.is_claimed

    def finish(self, _batch: Batch, *, reason: str | None) -> bool:
        """Record the call."""
        self.call("finished", reason)
        return True

    def end_and_count(self, endings: Sequence[Any], *, now: datetime) -> list[RowState]:
        """End the rows that have not ended."""
        assert now == self.now
        numbers = [it.message.row for it in endings]
        self.videos |= {it.message.row: it.message.video.id for it in endings}
        self.call("end", numbers, {(it.state, it.reason, it.order, it.row_exists) for it in endings})
        return [RowState.PARSED if number in self.ended else RowState.DEAD for number in numbers]

    # ------------------------------------------------------------------------------------------ the bucket and queues

    def fetch(self, upload: Upload, _file: object, *, max_bytes: int) -> None:
        """Do nothing, unless the manifest is deleted."""
        assert (upload, max_bytes) == (UPLOAD, 1)
        if "manifest" in self.deleted:
            raise ObjectDeleted("talks.jsonl was deleted")

    def _accepted(self, _batch: Batch, *_: object, after: int) -> Iterator[Message]:
        if self.unreadable:
            raise self.unreadable
        for row in range(after + 1, self.read_up_to + 1):
            yield Message(batch=OPEN.id, project="pycon", row=row, video=Video(id=f"v{row}", title="A talk"))

    def read_report(self, _upload: Upload, _name: str) -> bytes:
        """Return the numbers of the accepted rows."""
        if "report" in self.deleted:
            raise ObjectDeleted("the report was deleted")
        accepted = Bitmap()
        for row in range(1, OPEN.last_row + 1):
            accepted.add(row)
        return accepted.to_bytes()

    def size(self) -> int:
        """Return the length of the queue."""
        return self.in_queue

    def send(self, chunk: Sequence[Message]) -> None:
        """Record the call."""
        self.call("send", [message.row for message in chunk])

    def send_all(self, chunk: Sequence[Message], reason: str) -> None:
        """Record the call."""
        self.call("letters", [message.row for message in chunk], reason)

    def send_continuation(self, upload: Upload) -> None:
        """Record the call."""
        self.call("restart", upload)

    def publish(self, _batch: Batch, in_time: Callable[[], bool], reason: str | None, *, complete: bool) -> bool:
        """Record the call."""
        assert in_time()
        self.call("publish", reason, complete)
        if len(self.ended) < OPEN.accepted and complete:
            raise RowsNotEnded(OPEN.id)
        return self.is_published


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> AuditStage:
    return AuditStage(monkeypatch)


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def numbers(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


# --------------------------------------------------------------------------------------------------- which, and when


def test_a_call_begins_no_batch_out_of_time(stage: AuditStage) -> None:
    stage.batches = [replace(SENDING, marked_at=f"{number}") for number in range(3)]
    looks: list[int] = []

    def in_time() -> bool:
        looks.append(1)
        return len(looks) < 3

    assert stage.run(in_time) == {"started again": 2}


@pytest.mark.parametrize(("seconds", "number"), [(CALL_SECONDS, 3), (CALL_SECONDS + 0.001, 1)])
def test_a_call_begins_no_batch_after_its_time_limit(
    stage: AuditStage, monkeypatch: pytest.MonkeyPatch, seconds: float, number: int
) -> None:
    def restart(_upload: Upload) -> None:
        stage.now = NOON + timedelta(seconds=seconds)

    stage.batches = [SENDING, SENDING, SENDING]
    monkeypatch.setattr(stage, "send_continuation", restart)
    assert stage.run() == {"started again": number}


def test_each_batch_that_is_not_audited_is_counted(stage: AuditStage) -> None:
    stage.batches = [UnreadableBatch("a", "KeyError"), UnreadableBatch("b", "KeyError"), OPEN, OPEN]
    stage.trouble = CatalogBusy("throttled")
    assert stage.run() == {"not audited": 4}


RESTARTED = {
    "no worker holds it": (SENDING, True),
    "it has only just stalled": (replace(SENDING, moved_at=ago(RESTART)), False),
    "its lease is over": (replace(SENDING, lease_until=stamp(ago(0.001))), True),
    "its lease ends now": (replace(SENDING, lease_until=stamp(NOON)), False),
    "a person has been told": (replace(SENDING, reason="see the log"), False),
}


@pytest.mark.parametrize("case", sorted(RESTARTED))
def test_ingest_is_restarted_for_a_stalled_batch_without_a_worker(stage: AuditStage, case: str) -> None:
    batch, restarted = RESTARTED[case]
    stage.batches = [batch]
    assert stage.run() == ({"started again": 1} if restarted else {})
    assert stage.calls == ([("restart", UPLOAD), ("audited", 1, 40, 0)] if restarted else [])


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_ingest_without_progress_is_restarted_up_to_the_limit_and_then_left_to_a_person(
    stage: AuditStage, rounds: int
) -> None:
    stage.batches = [replace(SENDING, audited_rows=40, audit_rounds=rounds)]
    if rounds < ROUNDS:
        assert stage.run() == {"started again": 1}
        assert stage.named("audited") == [(rounds + 1, 40, 0)]
    else:
        assert stage.run() == {"left to you": 1}
        (reason,) = stage.named("reason")
        assert "rows up to 40." in reason
        assert stage.named("audited") == []


# ------------------------------------------------------------------------------------------------------- its end


def test_a_batch_whose_rows_have_ended_is_published_then_finished_with_its_reason(stage: AuditStage) -> None:
    stage.batches, stage.ended = [replace(OPEN, reason="a row is lost")], numbers(1, 40)
    assert stage.run() == {"finished": 1}
    assert stage.calls[1:] == [
        ("publish", "a row is lost", True),
        ("finished", "a row is lost"),
        ("published", STILL + 1),
    ]


def test_a_batch_that_could_not_be_published_in_time_is_not_finished(stage: AuditStage) -> None:
    stage.ended, stage.is_published = numbers(1, 40), False
    assert stage.run() == {}
    assert stage.named("finished") == []


QUICK = min(COUNT_AFTER_SECONDS, STILL)
COUNTED_OUT = Counter({"parsed_local": 40})
MOVES = replace(OPEN, moved_at=ago(QUICK))
COUNTS = {
    "it moves": (MOVES, False),
    "it has stalled": (replace(OPEN, moved_at=ago(QUICK + 0.001)), True),
    "it moved a little in the future": (replace(OPEN, moved_at=ago(-CLOCKS_APART_SECONDS)), False),
    "it moved far in the future": (replace(OPEN, moved_at=ago(-CLOCKS_APART_SECONDS - 0.001)), True),
}


@pytest.mark.parametrize("case", sorted(COUNTS))
def test_rows_are_counted_one_by_one_if_they_may_have_ended(stage: AuditStage, case: str) -> None:
    batch, counted = COUNTS[case]
    stage.batches = [batch]
    stage.run()
    assert (len(stage.named("count")), len(stage.named("counted"))) == (int(counted), int(counted))
    stage.batches = [replace(batch, counted_at=batch.progress)]
    stage.run()
    assert len(stage.named("counted")) == int(counted), "once until the batch changes"


@pytest.mark.parametrize("left", [-1, 0, 1])
def test_a_batch_whose_rows_have_ended_by_its_counters_is_counted_while_it_is_published(
    stage: AuditStage, left: int
) -> None:
    batch = replace(MOVES, counts=Counter({"parsed_local": 40 - left}))
    stage.batches, stage.ended = [batch], numbers(1, 39)
    assert stage.run() == {}
    assert [name for name, *_ in stage.calls] == ([] if left > 0 else ["publish", "counted"])
    stage.calls, stage.batches = [], [replace(batch, counted_at=batch.progress)]
    assert (stage.run(), stage.calls) == ({}, [])


@pytest.mark.parametrize(
    ("idle", "left_alone"),
    [(0, True), (CLAIMED, True), (CLAIMED + 0.001, False), (-CLOCKS_APART_SECONDS, True), (-601, False)],
)
def test_a_batch_is_left_for_a_while_to_the_call_that_has_claimed_it(
    stage: AuditStage, idle: float, left_alone: bool
) -> None:
    batch = replace(OPEN, counts=COUNTED_OUT, moved_at=ago(idle))
    stage.batches, stage.ended = [replace(batch, claimed_at=batch.progress)], numbers(1, 40)
    assert stage.run() == ({} if left_alone else {"finished": 1})


def test_a_request_to_finish_claims_the_batch_before_it_publishes(stage: AuditStage) -> None:
    stage.batches, stage.ended = [replace(OPEN, counts=COUNTED_OUT)], numbers(1, 40)
    assert stage.audit.finish("b", lambda: True) == {"finished": 1}
    assert [name for name, *_ in stage.calls] == ["claimed", "publish", "finished", "published"]


def test_a_request_for_a_batch_that_another_call_has_claimed_does_nothing(stage: AuditStage) -> None:
    stage.batches, stage.is_claimed = [replace(OPEN, counts=COUNTED_OUT)], False
    assert stage.audit.finish("b", lambda: True) == {}
    assert [name for name, *_ in stage.calls] == ["claimed"]


def test_a_failed_request_to_finish_leaves_the_batch_to_the_schedule(stage: AuditStage) -> None:
    stage.batches, stage.trouble = [replace(OPEN, counts=COUNTED_OUT)], CatalogBusy("throttled")
    assert stage.audit.finish("b", lambda: True) == {"not audited": 1}


# -------------------------------------------------------------------------------------------------------- lost rows


@pytest.mark.parametrize(
    ("batch", "queue", "audited"),
    [
        (OPEN, LIMIT, True),
        (OPEN, LIMIT + 1, False),
        (replace(OPEN, moved_at=ago(STILL)), LIMIT, False),
        (replace(OPEN, moved_at=ago(1), audit_row=3), LIMIT, True),
        (replace(OPEN, audit_rounds=ROUNDS - 1), LIMIT, True),
        (replace(OPEN, audit_rounds=ROUNDS), 0, True),
        (replace(OPEN, audit_rounds=ROUNDS), 1, False),
    ],
    ids=[
        "it has stalled",
        "long queue",
        "it has only just stalled",
        "in the middle of a round",
        "before the last round",
        "the queue is empty in the last round",
        "a message is in the queue in the last round",
    ],
)
def test_a_stalled_batch_is_audited_if_the_queue_is_short(
    stage: AuditStage, batch: Batch, queue: int, audited: bool
) -> None:
    stage.batches, stage.in_queue = [batch], queue
    stage.run()
    assert bool(stage.named("send") or stage.named("end")) is audited


def test_a_round_sends_unsettled_rows_up_to_the_limit_and_continues_from_there(stage: AuditStage) -> None:
    stage.ended, stage.deferred = [2, 40], [1, 5]
    assert stage.run() == {"sent again": LIMIT}
    assert stage.named("send") == [[3, 4, *numbers(6, 13)], [14, 15]]
    assert stage.named("audited") == [(1, 4, 15)]
    stage.calls, stage.batches = [], [replace(OPEN, audit_rounds=1, audited_rows=4, audit_row=30)]
    assert stage.run() == {"sent again": 9}
    assert stage.named("send") == [numbers(31, 39)]
    assert stage.named("audited") == [(1, 4, 0)]


@pytest.mark.parametrize(("lost", "row"), [(11, 0), (12, 40)])
def test_a_round_is_over_when_fewer_rows_are_lost_than_a_call_may_send(stage: AuditStage, lost: int, row: int) -> None:
    stage.ended = numbers(1, 40 - lost)
    assert stage.run() == {"sent again": lost}
    assert stage.named("audited") == [(1, 40 - lost, row)]


@pytest.mark.parametrize(("first_lost", "row"), [(1, 8), (5, 8), (8, 8), (9, 8), (40, 8)])
def test_a_round_stops_when_time_is_up_and_continues_from_the_last_row_that_it_read(
    stage: AuditStage, first_lost: int, row: int
) -> None:
    stage.ended = numbers(1, first_lost - 1)
    looks = iter([True] * 8)
    sent = numbers(first_lost, 8)
    assert stage.run(lambda: next(looks, False)) == ({"sent again": len(sent)} if sent else {})
    assert (stage.named("send"), stage.named("audited")) == ([sent] if sent else [], [(1, first_lost - 1, row)])


def test_a_last_round_that_runs_out_of_time_before_a_lost_row_ends_none(stage: AuditStage) -> None:
    stage.ended, stage.batches = numbers(1, 39), [replace(OPEN, audit_rounds=ROUNDS, audited_rows=39)]
    looks = iter([True] * 8)
    assert stage.run(lambda: next(looks, False)) == {}
    assert (stage.named("end"), stage.named("audited")) == ([], [(ROUNDS + 1, 39, 8)])


@pytest.mark.parametrize(("before", "rounds"), [(4, 3), (3, 1)])
def test_rounds_count_while_no_row_is_settled(stage: AuditStage, before: int, rounds: int) -> None:
    stage.settings.audit_rounds = 9
    stage.batches, stage.ended = [replace(OPEN, audit_rounds=2, audited_rows=before)], numbers(1, 4)
    stage.run()
    assert stage.named("audited") == [(rounds, 4, 16)]


def test_a_batch_whose_other_rows_are_deferred_is_audited_again_when_it_stalls_again(stage: AuditStage) -> None:
    stage.batches = [replace(OPEN, audit_rounds=1)]
    stage.ended, stage.deferred = numbers(1, 39), [40]
    assert stage.run() == {}
    assert (stage.named("audited"), stage.named("send")) == ([(0, 40, 0)], [])


@pytest.mark.parametrize(("rounds", "given_up"), [(1, False), (2, True)])
def test_rows_are_given_up_after_the_last_round_and_their_dead_letters_are_sent_first(
    stage: AuditStage, rounds: int, given_up: bool
) -> None:
    stage.batches, stage.ended = [replace(OPEN, audit_rounds=rounds, audited_rows=28)], numbers(1, 28)
    assert stage.run() == {"given up" if given_up else "sent again": 12}
    if given_up:
        reason = "never_answered: sent again 2 times, and no worker finished it"
        assert stage.named("letters") == [(numbers(29, 38), reason), ([39, 40], reason)]
        assert stage.named("end")[1] == ([39, 40], {(RowState.DEAD, reason, "order", True)})
        assert [name for name, *_ in stage.calls][-5:] == ["letters", "end", "died", "died", "audited"]
    assert stage.named("audited") == [(rounds + 1, 28, 40)]


# ------------------------------------------------------------------------------------------------ a deleted manifest


def test_lost_rows_of_a_deleted_manifest_become_dead_in_steps(stage: AuditStage) -> None:
    stage.deleted, stage.ended = ("manifest",), numbers(1, 20)
    stage.queued = [Row(OPEN.id, 21, video="v21"), Row(OPEN.id, 22, RowState.DEFERRED, video="v22")]
    assert stage.run() == {"given up": 12}
    assert [rows for rows, _ in stage.named("end")] == [numbers(21, 30), [31, 32]]
    assert stage.named("died") == numbers(21, 32)
    assert (stage.videos[21], stage.videos[22], stage.videos[23]) == ("v21", "", "")
    assert stage.named("reason") == ["rows were never answered, and they cannot be sent again: talks.jsonl was deleted"]
    assert stage.named("audited") == [(1, 20, 32)]
    stage.calls, stage.batches = [], [replace(OPEN, audit_row=32)]
    assert stage.run() == {"given up": 8}
    assert [rows for rows, _ in stage.named("end")] == [numbers(33, 40)]
    assert stage.named("audited") == [(0, 0, 0)]


@pytest.mark.parametrize("unreadable", [NotAManifest("half a file"), None])
@pytest.mark.parametrize("rounds", [ROUNDS - 1, ROUNDS])
def test_lost_rows_that_can_no_longer_be_read_end_after_the_last_round(
    stage: AuditStage, unreadable: NotAManifest | None, rounds: int
) -> None:
    stage.ended, stage.unreadable, stage.read_up_to = numbers(1, 38), unreadable, 38
    stage.batches = [replace(OPEN, audit_rounds=rounds, audited_rows=38)]
    assert stage.run() == ({} if rounds < ROUNDS else {"given up": 2})
    assert stage.named("audited") == [(rounds + 1, 38, 0)]
    assert [rows for rows, _ in stage.named("end")] == ([] if rounds < ROUNDS else [[39, 40]])
    why = "the manifest can no longer be read as it was when it was accepted" + (": half a file" if unreadable else "")
    said = f"rows were never answered, and they cannot be sent again: {why}"
    assert stage.named("reason") == ([] if rounds < ROUNDS else [said])


def test_lost_rows_of_a_deleted_manifest_do_not_end_while_a_message_is_in_the_queue(stage: AuditStage) -> None:
    stage.deleted, stage.in_queue = ("manifest",), 1
    assert stage.run() == {}
    assert (stage.named("end"), stage.named("audited")) == ([], [(1, 0, 0)])


def test_ending_lost_rows_of_a_deleted_manifest_stops_when_time_is_up(stage: AuditStage) -> None:
    stage.deleted, looks = ("manifest",), iter([True])
    assert stage.run(lambda: next(looks, False)) == {"given up": 10}
    assert stage.named("audited") == [(1, 0, 10)]


def test_a_last_round_that_finds_no_more_lost_rows_says_nothing_about_the_manifest(stage: AuditStage) -> None:
    stage.ended, stage.deferred = numbers(1, 39), [40]
    stage.batches = [replace(OPEN, audit_rounds=ROUNDS + 1, audit_row=20)]
    assert stage.run() == {}
    assert (stage.named("reason"), stage.named("audited")) == ([], [(ROUNDS + 1, 0, 0)])


@pytest.mark.parametrize("deferred", [[], [40]])
def test_a_batch_whose_lost_rows_are_unknown_is_finished_once_no_row_is_deferred(
    stage: AuditStage, deferred: list[int]
) -> None:
    stage.deleted, stage.ended, stage.deferred = ("manifest", "report"), numbers(1, 20), deferred
    stage.batches = [replace(OPEN, audit_rounds=1, audited_rows=7)]
    reason = f"{20 - len(deferred)} rows were never answered, and it is no longer known which: talks.jsonl was deleted"
    assert stage.run() == ({} if deferred else {"finished": 1})
    if deferred:
        assert (stage.named("reason"), stage.named("audited")) == ([reason], [(1, 7, 0)])
    else:
        assert (stage.named("publish"), stage.named("finished")) == ([(reason, False)], [reason])
