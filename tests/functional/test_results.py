"""The results of a finished batch: the file first, then the event, each at least once."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from threading import Barrier
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from tests.functional.finished import Listener, end, ended, exports, file_of, results, say, talk
from tests.functional.world import PROJECT, Cut, Killed, World, videos

from titlecard.aws.dynamodb.catalog import keys, stamp
from titlecard.aws.dynamodb.catalog.keys import UNSHARDED_ROWS
from titlecard.aws.dynamodb.catalog.table import READ_THREADS, read_ahead
from titlecard.aws.dynamodb.catalog.upload_progress import UploadProgress, UploadProgressTable
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.video import Tier
from titlecard.pipeline import publish as module
from titlecard.pipeline.errors import EventNotPublished, RowsNotEnded
from titlecard.pipeline.requeue import TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.video import Talk


def always() -> bool:
    return True


def large(world: World, rows: int = 12) -> Batch:
    """Make a batch of this many rows."""
    batch, messages = world.batch(*videos(rows))
    for start in range(0, rows, 20):
        end(world, batch, messages[start : start + 20], [talk(f"Talk {it.row}") for it in messages[start : start + 20]])
    return world.catalog.batch(batch.id)


def moved(world: World, batch: Batch) -> Batch:
    """Return the batch after some of its rows were redriven."""
    return replace(batch, marked_at=stamp(world.clock.after(60)))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit parts to a few rows each."""
    monkeypatch.setattr(module, "PART_BYTES", 1000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 100)
    upload_part = S3Backend.upload_part

    def known(backend: S3Backend, bucket: str, upload: str, *rest: Any) -> Any:  # noqa: ANN401 -- as moto's
        """Answer as S3 does if an upload is unknown; moto raises an internal error instead."""
        if upload not in backend.get_bucket(bucket).multiparts:
            raise NoSuchUpload(upload_id=upload)
        return upload_part(backend, bucket, upload, *rest)

    monkeypatch.setattr(S3Backend, "upload_part", known)


# ----------------------------------------------------------------------------------------------------------- the file


def test_every_row_is_a_line_in_the_manifests_order(world: World) -> None:
    batch = ended(world, {"b": talk("Linkers"), "a": RowState.DEAD, "c": talk("Loaders")})
    assert results(world).publish(batch, always)
    assert [(it["id"], it["state"], it["title"]) for it in file_of(world, batch)] == [
        ("b", "parsed", "Linkers"),
        ("a", "dead", None),
        ("c", "parsed", "Loaders"),
    ]


def test_a_line_has_the_fields_of_run_and_those_that_only_the_catalog_knows(world: World) -> None:
    batch = ended(world, {"a": talk("Linkers", "Ada Byron", review="low_confidence")})
    results(world).publish(batch, always)
    assert file_of(world, batch) == [
        {
            "id": "a",
            "title": "Linkers",
            "presenters": ["Ada Byron"],
            "state": "parsed",
            "tier": "local",
            "confidence": 0.97,
            "review": "low_confidence",
            "tokens": {"input": 0, "output": 0},
            "cost_micro_usd": 0,
            "reason": None,
            "batch": batch.id,
            "current": True,
            "changed_at": world.clock().isoformat(timespec="microseconds"),
        }
    ]


def test_a_row_that_a_newer_batch_has_is_not_current(world: World) -> None:
    older = ended(world, {"a": talk("Linkers")})
    ended(world, {"a": talk("Linkers, again")}, mark="e" * 32)
    results(world).publish(older, always)
    assert [(it["title"], it["current"]) for it in file_of(world, older)] == [("Linkers", False)]


def test_of_two_rows_of_one_video_one_is_current(world: World) -> None:
    batch, messages = world.batch(*videos(2))
    same = [message.model_copy(update={"video": messages[0].video}) for message in messages]
    end(world, batch, same, [talk("Linkers"), talk("Linkers")])
    results(world).publish(world.catalog.batch(batch.id), always)
    assert sorted(it["current"] for it in file_of(world, batch)) == [False, True]


def test_a_row_has_changed_when_a_worker_has_begun_it(world: World) -> None:
    batch, (message,) = world.batch(*videos(1))
    world.catalog.mark_started(message, now=world.clock(), alone="locally")
    (found,) = exports(world).results(world.catalog.batch(batch.id))
    assert found.changed_at == stamp(world.clock())


def test_a_persons_answer_replaces_a_talk(world: World) -> None:
    batch = ended(world, {"a": talk("Linkers", review="low_confidence"), "b": RowState.DEAD})
    say(world, "a", "Linkers and Loaders", "Ada Byron")
    say(world, "b", "Loaders")
    results(world).publish(batch, always)
    told = [(it["state"], it["title"], it["presenters"], it["tier"], it["review"]) for it in file_of(world, batch)]
    assert told == [
        ("parsed", "Linkers and Loaders", ["Ada Byron"], Tier.PERSON, None),
        ("parsed", "Loaders", [], Tier.PERSON, None),
    ]


def test_the_file_is_utf_8(world: World) -> None:
    batch = ended(world, {"a": talk("Übersetzer")})
    results(world).publish(batch, always)
    body = world.s3.get_object(Bucket=world.bucket, Key=f"results/{PROJECT}/{batch.id}.jsonl")["Body"].read()
    assert '"title": "Übersetzer"'.encode() in body


def test_a_batch_without_rows_has_an_empty_file(world: World) -> None:
    batch = ended(world, {})
    assert results(world).publish(batch, always)
    assert file_of(world, batch) == []


# ---------------------------------------------------------------------------------------------------------- the event


def test_the_event_names_the_file_and_the_counts(world: World) -> None:
    listener = Listener()
    talks: dict[str, Talk | RowState] = {
        "a": talk(),
        "b": talk(review="low_confidence"),
        "e": talk(review="low_confidence"),
        "c": RowState.DEAD,
        "d": RowState.SUPERSEDED,
    }
    batch = ended(world, talks)
    results(world, listener).publish(batch, always, "one was given up")
    assert listener.heard() == [
        {
            "id": f"{batch.id}@{batch.marked_at}",
            "batch": batch.id,
            "project": PROJECT,
            "manifest": f"uploads/{PROJECT}/talks.jsonl",
            "results": {"bucket": world.bucket, "key": f"results/{PROJECT}/{batch.id}.jsonl"},
            "counts": {
                "accepted": 5,
                "refused": 0,
                "repeated": 0,
                "parsed": 3,
                "superseded": 1,
                "dead": 1,
                "cancelled": 0,
                "review": 2,
            },
            "reason": "one was given up",
        }
    ]


def test_results_that_are_announced_twice_have_one_id(world: World) -> None:
    listener = Listener()
    batch = ended(world, {"a": talk()})
    for _ in range(2):
        results(world, listener).publish(batch, always)
    assert [it["id"] for it in listener.heard()] == [f"{batch.id}@{batch.marked_at}"] * 2


def test_results_after_a_redrive_are_announced_under_another_id(world: World) -> None:
    listener = Listener()
    batch = ended(world, {"a": talk()})
    results(world, listener).publish(batch, always)
    results(world, listener).publish(moved(world, batch), always)
    assert len({it["id"] for it in listener.heard()}) == 2


class FullBus:
    """An event bus that refuses every event."""

    @staticmethod
    def put_events(*, Entries: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:  # noqa: N803 -- boto3's
        """Refuse the events."""
        refused = {"ErrorCode": "ThrottlingException", "ErrorMessage": "later"}
        return {"FailedEntryCount": len(Entries), "Entries": [refused]}


def test_an_event_that_is_refused_is_an_error_that_names_the_batch(world: World) -> None:
    batch = ended(world, {"a": talk()})
    with pytest.raises(EventNotPublished, match=f"{batch.id}: ThrottlingException: later"):
        results(world, FullBus()).publish(batch, always)


# ------------------------------------------------------------------------------------------------------ in many parts


@pytest.mark.usefixtures("small_parts")
def test_a_batch_of_many_parts_is_one_file(world: World) -> None:
    batch = large(world)
    assert results(world).publish(batch, always)
    assert [it["title"] for it in file_of(world, batch)] == [f"Talk {number}" for number in range(1, 13)]
    assert world.wire.calls.count("UploadPart") > 2


@pytest.mark.usefixtures("small_parts")
def test_results_too_large_for_one_call_are_continued_in_the_next(world: World) -> None:
    listener, batch = Listener(), large(world)
    calls = 0
    while not results(world, listener).publish(batch, iter([True, False]).__next__):
        assert listener.heard() == []
        calls += 1
    assert calls > 2
    assert len(file_of(world, batch)) == 12
    assert [it["counts"]["parsed"] for it in listener.heard()] == [12]


@pytest.mark.usefixtures("small_parts")
def test_two_concurrent_writers_make_one_complete_file(world: World) -> None:
    batch = large(world)
    done = [False, False]
    while not all(done):
        done = [results(world).publish(batch, iter([True, False]).__next__) for _ in range(2)]
    assert [it["title"] for it in file_of(world, batch)] == [f"Talk {number}" for number in range(1, 13)]


@pytest.mark.usefixtures("small_parts")
def test_an_aborted_multipart_upload_is_started_again(world: World) -> None:
    batch = large(world)
    assert not results(world).publish(batch, iter([True, False]).__next__)
    (upload,) = world.s3.list_multipart_uploads(Bucket=world.bucket)["Uploads"]
    world.s3.abort_multipart_upload(Bucket=world.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    assert not results(world).publish(batch, always)
    assert results(world).publish(batch, always)
    assert len(file_of(world, batch)) == 12


CALLS = 60
"""More calls than publishing these results makes."""


@pytest.mark.usefixtures("small_parts")
def test_the_call_after_a_crash_at_any_point_writes_the_whole_file_and_announces_it(world: World) -> None:
    listener, whole = Listener(), large(world, 7)
    for at in range(1, CALLS):
        batch = replace(whole, marked_at=stamp(world.clock.after(at)))
        world.s3.delete_object(Bucket=world.bucket, Key=f"results/{PROJECT}/{batch.id}.jsonl")
        world.wire.cut(Cut.KILLED_AFTER, at)
        try:
            results(world, listener).publish(batch, always)
        except Killed:
            pass
        finally:
            world.wire.mend()
        tries = 0
        while not results(world, listener).publish(batch, always):
            tries += 1
            assert tries < 3
        assert [it["title"] for it in file_of(world, batch)] == [f"Talk {number}" for number in range(1, 8)]
        assert {it["id"] for it in listener.heard()} == {f"{batch.id}@{batch.marked_at}"}
        if not world.wire.struck:
            break
    else:
        pytest.fail(f"results that take more than {CALLS} calls")


@pytest.mark.usefixtures("small_parts")
def test_a_change_under_a_slower_clock_starts_the_parts_anew(world: World) -> None:
    batch = large(world)
    assert not results(world).publish(batch, iter([True, False]).__next__)
    earlier = replace(batch, marked_at=stamp(world.clock.after(-240)))
    assert results(world).publish(earlier, always)
    assert len(file_of(world, earlier)) == 12


@pytest.mark.usefixtures("small_parts")
def test_rows_that_end_after_a_count_that_was_too_high_are_in_the_file(world: World) -> None:
    batch, messages = world.batch(*videos(12))
    end(world, batch, messages[1:], [talk(f"Talk {it.row}") for it in messages[1:]])
    read = world.catalog.batch(batch.id)
    with pytest.raises(RowsNotEnded):
        results(world).publish(read, always)
    assert "Uploads" not in world.s3.list_multipart_uploads(Bucket=world.bucket)
    end(world, batch, messages[:1], [talk("Talk 1")])
    assert results(world).publish(read, always)
    assert [it["title"] for it in file_of(world, batch)] == [f"Talk {number}" for number in range(1, 13)]


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_another_writer_has_replaced_starts_the_upload_again(world: World) -> None:
    batch = large(world)
    assert not results(world).publish(batch, iter([True, False]).__next__)
    (upload,) = world.s3.list_multipart_uploads(Bucket=world.bucket)["Uploads"]
    other = b"{}" * 600
    world.s3.upload_part(Bucket=world.bucket, Key=upload["Key"], UploadId=upload["UploadId"], PartNumber=1, Body=other)
    assert not results(world).publish(batch, always)
    assert results(world).publish(batch, always)
    assert len(file_of(world, batch)) == 12


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("calls_in_time", [1, 100])
def test_any_other_answer_of_s3_is_an_error_and_keeps_the_progress(world: World, calls_in_time: int) -> None:
    batch = large(world)
    assert not results(world).publish(batch, iter([True, False]).__next__)
    before = UploadProgressTable(world.db, world.names["CatalogTable"]).read(batch.id, batch.marked_at)
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "UploadPart")
    s3: Any = SimpleNamespace(upload_part=Mock(side_effect=denied))
    publisher = replace(results(world), s3=s3)
    with pytest.raises(ClientError, match="AccessDenied"):
        publisher.publish(batch, iter([True] * calls_in_time + [False]).__next__)
    assert before == UploadProgressTable(world.db, world.names["CatalogTable"]).read(batch.id, batch.marked_at)


@pytest.mark.usefixtures("small_parts")
def test_a_writer_that_comes_second_aborts_its_own_upload(world: World) -> None:
    batch, read = large(world), UploadProgressTable.read

    def read_before_another_began(table: UploadProgressTable, name: str, version: str) -> UploadProgress | None:
        found = read(table, name, version)
        patch.undo()
        results(world).publish(batch, iter([True, False]).__next__)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UploadProgressTable, "read", read_before_another_began)
        assert not results(world).publish(batch, always)
    assert len(world.s3.list_multipart_uploads(Bucket=world.bucket)["Uploads"]) == 1


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("number", [0, 1, 12])
def test_no_file_of_an_incomplete_batch_appears(world: World, number: int) -> None:
    listener, batch = Listener(), replace(large(world, number), accepted=number + 1)
    with pytest.raises(RowsNotEnded, match="1 rows have not ended"):
        results(world, listener).publish(batch, always)
    with pytest.raises(RowsNotEnded):
        results(world, listener).publish(batch, always)
    assert "Contents" not in world.s3.list_objects_v2(Bucket=world.bucket, Prefix="results/")
    assert listener.heard() == []
    assert results(world, listener).publish(batch, always, complete=False)
    assert len(file_of(world, batch)) == number


@pytest.mark.usefixtures("small_parts")
def test_a_row_that_only_a_person_has_answered_has_not_ended(world: World) -> None:
    batch, messages = world.batch(*videos(2))
    end(world, batch, messages[:1], [talk()])
    world.catalog.defer(messages[1], "f" * 32, reason="budget_batch: no", due=None, now=world.clock())
    say(world, messages[1].video.id, "Linkers")
    with pytest.raises(RowsNotEnded):
        results(world).publish(world.catalog.batch(batch.id), always)


def test_unfinished_results_from_before_a_redrive_are_not_continued(world: World, small_parts: None) -> None:
    assert small_parts is None
    batch = large(world)
    assert not results(world).publish(batch, iter([True, False]).__next__)
    assert results(world).publish(moved(world, batch), always)
    assert len(file_of(world, batch)) == 12


# ---------------------------------------------------------------------------------------------- and then it is finished


def test_the_sweeper_publishes_results_and_finishes_the_batch(world: World) -> None:
    batch = ended(world, {"a": talk("Linkers")})
    assert world.sweeper().run() == {"finished": 1}
    assert [it["title"] for it in file_of(world, batch)] == ["Linkers"]


@pytest.mark.parametrize("call", ["PutObject", "PutEvents"])
def test_a_batch_with_unpublished_results_is_not_finished_until_the_next_sweep(world: World, call: str) -> None:
    batch = ended(world, {"a": talk("Linkers")})
    world.wire.cut(Cut.KILLED_BEFORE, call=call)
    with pytest.raises(Killed):
        world.sweeper().run()
    world.wire.mend()
    assert world.catalog.batch(batch.id).state is BatchState.OPEN
    world.clock.forward(TIMEOUT_SECONDS)
    assert world.sweeper().run() == {"finished": 1}
    assert [it["title"] for it in file_of(world, batch)] == ["Linkers"]


def test_a_batch_whose_rows_are_redriven_meanwhile_stays_open(world: World) -> None:
    batch = ended(world, {"a": RowState.DEAD})
    world.clock.forward(60)
    world.catalog.record_audit(batch, rounds=0, rows=0, now=world.clock())  # this moves the batch, as a redrive does
    assert not world.catalog.finish(batch)
    assert world.catalog.batch(batch.id).state is BatchState.OPEN


# ---------------------------------------------------------------------------------------------------- many rows


def test_reads_run_concurrently_and_come_in_order() -> None:
    all_begun = Barrier(READ_THREADS)

    def read(number: int) -> int:
        all_begun.wait(timeout=60)  # fails if fewer calls run at a time
        return number

    assert list(read_ahead(read, range(3 * READ_THREADS))) == list(range(3 * READ_THREADS))


def test_few_reads_are_ahead_of_their_reader() -> None:
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        for number in count():
            asked.append(number)
            yield number

    reader = read_ahead(int, numbers())
    assert [next(reader) for _ in range(100)] == list(range(100))
    assert len(asked) <= 100 + READ_THREADS


def test_a_batch_in_many_shards_is_counted_without_its_items(world: World) -> None:
    batch = replace(large(world, 30), last_row=UNSHARDED_ROWS + 1)  # then all shards are asked
    answers: list[dict[str, Any]] = []
    world.db.meta.events.register("after-call.dynamodb.Query", lambda parsed, **_: answers.append(parsed))
    assert world.catalog.count_rows(batch, RowState.PARSED) == 30
    assert world.catalog.count_rows(batch, RowState.DEAD, RowState.CANCELLED) == 0
    assert len(answers) == 2 * keys.SHARDS
    assert not any("Items" in it for it in answers)


def test_progress_that_has_changed_since_it_was_read_is_not_replaced(world: World) -> None:
    table = UploadProgressTable(world.db, world.names["CatalogTable"])
    stored = UploadProgress("version", "upload", ("etag",), row=5)
    further = replace(stored, row=9)
    assert table.begin("batch", stored)
    assert not table.advance("batch", replace(stored, row=4), further)
    assert not table.advance("batch", replace(stored, upload="another"), further)
    assert table.advance("batch", stored, further)
