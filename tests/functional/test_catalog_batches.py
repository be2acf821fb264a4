"""The catalog's batches: their opening, their lease, and each way to their end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.functional.world import LIMITS, PROJECT, Cut, Killed, videos

from titlecard.aws.dynamodb.catalog import RowEnd, stamp
from titlecard.aws.errors import BatchItemInvalid, LeaseHeld
from titlecard.domain.batch import BatchState, RowState, Upload, upload_order
from titlecard.domain.money import Total
from titlecard.domain.video import Talk, Tier, Video
from titlecard.extraction.survey import BatchSurvey
from titlecard.extraction.surveying import survey_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functional.world import World

    from titlecard.aws.dynamodb.catalog import Batch, Catalog

UPLOAD = Upload(
    "titlecard-uploads", f"uploads/{PROJECT}/talks.jsonl", "version-1", upload_order("2026-01-05T12:00:00.000Z", "1")
)
LEASE_SECONDS = 60

ROWS = list(enumerate(videos(3), 1))


def opened(world: World, lease: str = "first") -> Batch:
    return world.catalog.open_batch(
        UPLOAD, PROJECT, LIMITS, lease=lease, until=world.clock.after(LEASE_SECONDS), now=world.clock()
    )


def sending(world: World, lease: str = "first", accepted: int = 3) -> Batch:
    batch = opened(world, lease)
    world.catalog.start_sending(
        batch,
        survey_batch(ROWS),
        limits=LIMITS,
        form="JSON Lines",
        accepted=accepted,
        refused=2,
        repeated=1,
        last_row=accepted + 3,
    )
    return world.catalog.batch(batch.id)


def open_(world: World, accepted: int = 3) -> Batch:
    batch = sending(world, accepted=accepted)
    world.catalog.all_sent(batch, now=world.clock())
    return world.catalog.batch(batch.id)


def test_a_new_upload_opens_a_batch(world: World) -> None:
    batch = opened(world)
    assert (batch.state, batch.upload, batch.project, batch.limits) == (BatchState.COUNTING, UPLOAD, PROJECT, LIMITS)


def test_the_opener_of_a_batch_sees_its_own_lease(world: World) -> None:
    assert opened(world, "first").lease == "first"


def test_a_second_opener_sees_the_lease_of_the_first(world: World) -> None:
    opened(world, "first")
    assert opened(world, "second").lease == "first"


def test_an_expired_lease_goes_to_the_second_opener(world: World) -> None:
    opened(world, "first")
    world.clock.forward(LEASE_SECONDS + 1)
    assert opened(world, "second").lease == "second"


def test_a_lease_holds_up_to_its_very_end(world: World) -> None:
    opened(world, "first")
    world.clock.forward(LEASE_SECONDS)
    assert opened(world, "second").lease == "first"


def test_a_takeover_removes_the_recorded_reason(world: World) -> None:
    assert world.catalog.record_reason(opened(world, "first"), "see the log")
    world.clock.forward(LEASE_SECONDS + 1)
    assert opened(world, "second").reason is None


def test_a_refused_batch_has_no_lease(world: World) -> None:
    assert (refused(world).lease, refused(world).lease_until) == (None, "")


def test_a_survey_that_cannot_be_read_says_so(world: World) -> None:
    batch = sending(world)
    item: dict[str, Any] = {"pk": f"batch#{batch.id}", "sk": "survey", "survey": 7}
    world.db.put_item(TableName=world.names["CatalogTable"], Item=item)
    with pytest.raises(BatchItemInvalid, match="survey"):
        world.catalog.survey(batch.id)


def test_a_takeover_keeps_the_checkpoint(world: World) -> None:
    batch = sending(world, "first")
    world.catalog.sent(batch, 2, until=world.clock.after(LEASE_SECONDS), now=world.clock())
    world.clock.forward(LEASE_SECONDS + 1)
    taken = opened(world, "second")
    assert (taken.lease, taken.state, taken.sent_row) == ("second", BatchState.SENDING, 2)


def test_a_takeover_keeps_the_creation_and_so_the_place_among_the_open_batches(world: World) -> None:
    batch = opened(world, "first")
    world.clock.forward(LEASE_SECONDS + 1)
    newer, _ = world.batch(*videos(1))
    world.clock.forward(1)
    assert opened(world, "second").created_at == batch.created_at
    assert [it.id for it in world.catalog.open_batches()] == [batch.id, newer.id]


def test_a_takeover_keeps_the_limits_that_came_with_the_upload(world: World) -> None:
    own = Total(requests=7, tokens=7, micro_usd=7)
    batch = opened(world, "first")
    world.catalog.start_sending(
        batch, BatchSurvey(), limits=own, form="", accepted=1, refused=0, repeated=0, last_row=1
    )
    world.clock.forward(LEASE_SECONDS + 1)
    assert opened(world, "second").limits == own


def test_a_takeover_keeps_the_order_of_the_first_event_whichever_service_forwarded_the_second(world: World) -> None:
    first = opened(world)
    world.clock.forward(901)
    again = replace(first.upload, order=f"{first.upload.order}0", etag="")
    taken_over = world.catalog.open_batch(
        again, PROJECT, LIMITS, lease="second", until=world.clock.after(1), now=world.clock()
    )
    assert (taken_over.lease, taken_over.upload) == ("second", first.upload)


def test_the_same_upload_twice_is_one_batch(world: World) -> None:
    opened(world, "first")
    opened(world, "second")
    assert len(list(world.catalog.open_batches())) == 1


def test_another_version_of_the_same_file_is_another_batch(world: World) -> None:
    opened(world)
    newer = Upload(UPLOAD.bucket, UPLOAD.key, "version-2", UPLOAD.order)
    other = world.catalog.open_batch(
        newer, PROJECT, LIMITS, lease="second", until=world.clock.after(LEASE_SECONDS), now=world.clock()
    )
    assert (other.lease, other.id != UPLOAD.batch) == ("second", True)


def test_a_batch_whose_messages_are_all_sent_is_not_taken_again(world: World) -> None:
    open_(world)
    world.clock.forward(LEASE_SECONDS + 1)
    batch = opened(world, "second")
    assert (batch.state, batch.lease) == (BatchState.OPEN, None)


def test_an_opening_whose_answer_was_lost_holds_the_lease(world: World) -> None:
    world.wire.cut(Cut.LOST_ANSWER)
    assert opened(world, "first").lease == "first"


def test_an_unknown_batch_raises_a_key_error(world: World) -> None:
    with pytest.raises(KeyError):
        world.catalog.batch("talks-000000000000")


def _start_sending(catalog: Catalog, batch: Batch, world: World) -> None:  # noqa: ARG001 -- as the others
    catalog.start_sending(batch, BatchSurvey(), limits=LIMITS, form="", accepted=1, refused=0, repeated=0, last_row=1)


def _sent(catalog: Catalog, batch: Batch, world: World) -> None:
    catalog.sent(batch, 1, until=None, now=world.clock())


def _all_sent(catalog: Catalog, batch: Batch, world: World) -> None:
    catalog.all_sent(batch, now=world.clock())


def _refuse(catalog: Catalog, batch: Batch, world: World) -> None:  # noqa: ARG001 -- as the others
    catalog.refuse(batch, "no manifest")


@pytest.mark.parametrize("step", [_start_sending, _sent, _all_sent, _refuse])
def test_a_worker_that_lost_the_lease_changes_nothing(
    world: World, step: Callable[[Catalog, Batch, World], None]
) -> None:
    mine = sending(world, "first")
    world.clock.forward(LEASE_SECONDS + 1)
    theirs = opened(world, "second")
    with pytest.raises(LeaseHeld):
        step(world.catalog, mine, world)
    assert world.catalog.batch(mine.id) == theirs


@pytest.mark.parametrize(
    ("step", "state"),
    [
        (_start_sending, BatchState.SENDING),
        (_sent, BatchState.SENDING),
        (_all_sent, BatchState.OPEN),
        (_refuse, BatchState.REFUSED),
    ],
)
def test_a_step_whose_answer_was_lost_counts_as_done(
    world: World, step: Callable[[Catalog, Batch, World], None], state: BatchState
) -> None:
    batch = sending(world)
    for at in (1, 2):
        world.wire.cut(Cut.LOST_ANSWER, at)
        step(world.catalog, batch, world)
        world.wire.mend()
        assert world.catalog.batch(batch.id).state is state


def test_an_end_of_pass_2_whose_answer_was_lost_counts_even_if_the_batch_has_been_finished(world: World) -> None:
    batch = sending(world)
    world.catalog.all_sent(batch, now=world.clock())
    assert world.catalog.finish(world.catalog.batch(batch.id))
    world.catalog.all_sent(batch, now=world.clock())
    assert world.catalog.batch(batch.id).state is BatchState.FINISHED


def test_pass_1_ends_with_counts_and_a_survey(world: World) -> None:
    batch = sending(world)
    assert (batch.state, batch.accepted, batch.refused, batch.repeated) == (BatchState.SENDING, 3, 2, 1)
    assert world.catalog.survey(batch.id) == survey_batch(ROWS)


def test_pass_1_stores_the_survey_before_it_ends(world: World) -> None:
    batch = opened(world)
    world.wire.cut(Cut.KILLED_AFTER)
    with pytest.raises(Killed):
        _start_sending(world.catalog, batch, world)
    world.wire.mend()
    assert (world.catalog.batch(batch.id).state, world.catalog.survey(batch.id)) == (BatchState.COUNTING, BatchSurvey())
    assert len(items(world, batch)) == 2


def test_a_batch_without_a_survey_has_an_empty_one(world: World) -> None:
    assert world.catalog.survey(opened(world).id) == BatchSurvey()


def test_a_checkpoint_that_releases_the_lease_lets_the_next_worker_in_at_once(world: World) -> None:
    world.catalog.sent(sending(world, "first"), 2, until=None, now=world.clock())
    assert opened(world, "second").lease == "second"


def test_a_batch_whose_messages_are_all_sent_forgets_the_lease_and_the_restarts_of_its_ingest(world: World) -> None:
    world.catalog.record_audit(sending(world), rounds=2, rows=5, now=world.clock())
    world.catalog.all_sent(opened(world), now=world.clock())
    batch = opened(world, "second")
    assert (batch.state, batch.lease, batch.lease_until) == (BatchState.OPEN, None, "")
    assert (batch.audit_rounds, batch.audited_rows) == (0, 0)


def test_a_refused_batch_has_its_reason_and_is_on_no_agenda(world: World) -> None:
    batch = opened(world)
    world.catalog.refuse(batch, "The file is a PDF.")
    refused = world.catalog.batch(batch.id)
    assert (refused.state, refused.reason) == (BatchState.REFUSED, "The file is a PDF.")
    assert list(world.catalog.open_batches()) == []


def test_a_finished_batch_is_on_no_agenda(world: World) -> None:
    assert world.catalog.finish(open_(world))
    assert list(world.catalog.open_batches()) == []


def test_a_batch_that_is_still_being_sent_cannot_be_finished(world: World) -> None:
    batch = sending(world)
    assert not world.catalog.finish(batch)
    assert world.catalog.batch(batch.id).state is BatchState.SENDING


def test_the_batches_of_these_tests_are_as_ingest_leaves_them(world: World) -> None:
    batch, _ = world.batch(*videos(3))
    shown = items(world, batch)
    for item in shown:
        world.db.delete_item(TableName=world.names["CatalogTable"], Key={"pk": item["pk"], "sk": item["sk"]})
    until = world.clock.after(LEASE_SECONDS)
    taken = world.catalog.open_batch(batch.upload, PROJECT, LIMITS, lease="l", until=until, now=world.clock())
    survey = survey_batch(ROWS)
    world.catalog.start_sending(
        taken, survey, limits=LIMITS, form="JSON Lines", accepted=3, refused=0, repeated=0, last_row=3
    )
    world.catalog.all_sent(taken, now=world.clock())
    assert items(world, batch) == shown


def items(world: World, batch: Batch) -> list[dict[str, Any]]:
    """Return everything that the catalog holds about a batch."""
    found = world.db.query(
        TableName=world.names["CatalogTable"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": f"batch#{batch.id}"},
    )
    return [dict(item) for item in found["Items"]]


def test_open_batches_come_oldest_first(world: World) -> None:
    names = []
    for i in range(3):
        batch, _ = world.batch(*videos(1), name=f"file-{2 - i}.jsonl")
        names.append(batch.id)
    assert [batch.id for batch in world.catalog.open_batches()] == names


def test_a_batch_that_finishes_while_all_are_listed_is_among_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = open_(world)
    read = world.catalog._on_agenda  # noqa: SLF001 -- the moment between the two lists

    def finishing(name: str) -> object:
        found = list(read(name))
        world.catalog.finish(batch)
        return found

    monkeypatch.setattr(world.catalog, "_on_agenda", finishing)
    assert [it.id for it in world.catalog.all_batches()] == [batch.id]


def test_an_audit_is_recorded_once_for_the_state_it_read(world: World) -> None:
    batch = open_(world)
    world.clock.forward(1)
    outcomes = [world.catalog.record_audit(batch, rounds=1, rows=0, now=world.clock()) for _ in range(2)]
    assert outcomes == [True, False]


def test_a_batch_that_has_changed_since_it_was_read_is_neither_finished_nor_explained_nor_marked(
    world: World,
) -> None:
    read = open_(world)
    world.clock.forward(1)
    world.catalog.record_audit(read, rounds=1, rows=0, now=world.clock())
    before = world.catalog.batch(read.id)
    assert [
        world.catalog.finish(read),
        world.catalog.record_reason(read, "gone"),
        world.catalog.mark_counted(read),
    ] == ([False] * 3)
    assert world.catalog.batch(read.id) == before


def test_a_batch_can_be_cancelled_until_it_is_over_and_keeps_the_first_time(world: World) -> None:
    batch = open_(world)
    first = stamp(world.clock())
    assert world.catalog.cancel(batch, now=world.clock())
    world.clock.forward(1)
    assert world.catalog.cancel(batch, now=world.clock())
    assert [it["cancelled_at"] for it in items(world, batch) if it["sk"] == "batch"] == [first]
    assert world.catalog.finish(world.catalog.batch(batch.id))
    assert not world.catalog.cancel(batch, now=world.clock())


def refused(world: World) -> Batch:
    batch = opened(world)
    world.catalog.refuse(batch, "The file is a PDF.")
    return world.catalog.batch(batch.id)


def finished(world: World) -> Batch:
    batch = open_(world)
    world.catalog.finish(batch)
    return world.catalog.batch(batch.id)


def cancelled(world: World) -> Batch:
    batch = open_(world)
    world.catalog.cancel(batch, now=world.clock())
    return world.catalog.batch(batch.id)


@pytest.mark.parametrize(
    ("state", "is_raised"),
    [(opened, False), (sending, True), (open_, True), (finished, True), (refused, False), (cancelled, False)],
)
def test_a_limit_is_raised_only_if_the_batch_may_still_spend(
    world: World, state: Callable[[World], Batch], *, is_raised: bool
) -> None:
    batch = state(world)
    more = replace(LIMITS, requests=LIMITS.requests + 1)
    assert world.catalog.raise_limit(batch.id, batch.limits, more, by="ada", now=world.clock()) is is_raised
    assert world.catalog.batch(batch.id).limits == (more if is_raised else LIMITS)
    assert len(world.catalog.raised(batch.id)) == is_raised


def test_each_increase_of_a_limit_is_recorded(world: World) -> None:
    batch = open_(world)
    limits = [replace(LIMITS, requests=LIMITS.requests + more) for more in range(3)]
    for before, after, by in zip(limits, limits[1:], ("ada", "grace"), strict=False):
        assert world.catalog.raise_limit(batch.id, before, after, by=by, now=world.clock())
    found = [(it.by, it.before, it.after) for it in world.catalog.raised(batch.id)]
    assert found == [("ada", limits[0], limits[1]), ("grace", limits[1], limits[2])]


def test_an_open_batch_is_claimed_once_until_it_changes(world: World) -> None:
    batch = open_(world)
    later = replace(batch, counts=Counter(dead=1))
    assert [world.catalog.claim_finish(it) for it in (batch, batch, later, later)] == [True, False, True, False]
    world.catalog.finish(world.catalog.batch(batch.id))
    assert not world.catalog.claim_finish(batch)


def test_rows_are_counted_as_they_end(world: World) -> None:
    batch, messages = world.batch(*(Video(id=str(i), title="A title") for i in range(4)))
    mark, order, talk = "f" * 32, batch.upload.order, Talk(title="A title", tier=Tier.LOCAL)
    first = [RowEnd(message, order, mark, RowState.PARSED, Tier.LOCAL, talk) for message in messages[:2]]
    world.catalog.end_and_count(first, now=world.clock())
    world.clock.forward(5)
    others = [
        RowEnd(messages[2], order, mark, RowState.PARSED, Tier.MODEL),
        RowEnd(messages[3], order, mark, RowState.DEAD),
    ]
    world.catalog.end_and_count([*first, *others], now=world.clock())
    counted = world.catalog.batch(batch.id)
    assert counted.counts == Counter(parsed_local=2, parsed_model=1, dead=1)
    assert (counted.counted(RowState.PARSED), counted.counted(RowState.PARSED, RowState.DEAD)) == (3, 4)
    assert counted.moved_at == world.clock()
    assert world.catalog.count_rows(batch, RowState.PARSED) == 3
    assert list(world.catalog.numbers_of_rows(batch, RowState.PARSED)) == [1, 2, 3]
    assert list(world.catalog.numbers_of_rows(batch, RowState.PARSED, RowState.DEAD, after=1)) == [2, 3, 4]
