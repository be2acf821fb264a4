"""Ingest: one message per video of an upload, whatever the file contains and wherever ingest crashes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from tests.functional.world import LIMITS, NUMBERS, PROJECT, Cut, Killed, Refusing, World, manifest, replaced, videos

from titlecard import __version__, telemetry
from titlecard.aws.dynamodb.catalog import Catalog
from titlecard.aws.errors import LeaseHeld, MessagesNotSent
from titlecard.aws.s3 import UploadsBucket
from titlecard.aws.sqs import SEND_TRIES, WorkQueue
from titlecard.domain.batch import OUTSIDE, BatchState
from titlecard.domain.money import Total
from titlecard.extraction.surveying import survey_batch
from titlecard.manifests.validation import Bitmap
from titlecard.pipeline.ingest import LEASE_SPARE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from tests.functional.world import Wire

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.bootstrap import AwsClients
    from titlecard.domain.batch import Message, Upload
    from titlecard.extraction.survey import BatchSurvey

INVOCATION_SECONDS = NUMBERS["IngestTimeoutSeconds"]
MIXED = """\
{"id": "a", "title": "First"}
{broken
{"id": "b", "title": "Second"}
{"id": "a", "title": "Another first"}
{"id": "b", "title": "Second"}
{"id": "c"}
{"id": "d", "title": "Last"}
"""
"""Rows 1, 3 and 7 are good; 2, 4 and 6 are refused; 5 repeats 3."""


def plenty() -> float:
    """Return the remaining seconds of an invocation that has just begun."""
    return INVOCATION_SECONDS


def taken(world: World, upload: Upload, **ingest: Any) -> bool:  # noqa: ANN401 -- of any kind
    return world.ingest(**ingest).take(upload, plenty)


def batch_of(world: World, upload: Upload) -> Batch:
    return world.catalog.batch(upload.batch)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a checkpoint after every chunk, without reading ahead."""
    monkeypatch.setattr("titlecard.pipeline.ingest.CHUNKS_IN_FLIGHT", 1)
    monkeypatch.setattr("titlecard.pipeline.ingest.ROWS_BETWEEN_CHECKPOINTS", 10)


# ------------------------------------------------------------------------------------------------------ what is sent


def test_every_video_of_an_upload_becomes_a_message(world: World) -> None:
    upload = world.put(manifest(videos(25)))
    assert taken(world, upload)
    sent = world.sent()
    assert [(it.row, it.video) for it in sent] == list(enumerate(videos(25), 1))
    assert {(it.batch, it.project) for it in sent} == {(upload.batch, PROJECT)}


def test_the_batch_is_open_and_counted_once_all_rows_are_sent(world: World) -> None:
    upload = world.put(MIXED)
    taken(world, upload)
    batch = batch_of(world, upload)
    assert (batch.state, batch.accepted, batch.refused, batch.repeated) == (BatchState.OPEN, 3, 3, 1)


def test_a_json_array_is_a_manifest_too(world: World) -> None:
    upload = world.put(json.dumps([video.model_dump() for video in videos(3)]), name="talks.json")
    taken(world, upload)
    assert [it.video for it in world.sent()] == videos(3)


def test_good_rows_are_parsed_although_others_are_refused(world: World) -> None:
    taken(world, world.put(MIXED))
    assert [(it.row, it.video.title) for it in world.sent()] == [(1, "First"), (3, "Second"), (7, "Last")]


def test_the_survey_is_written_before_the_first_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = world.put(manifest(videos(5)))
    seen: list[BatchSurvey] = []

    monkeypatch.setattr(WorkQueue, "send", lambda _queue, chunk: seen.append(world.catalog.survey(chunk[0].batch)))
    taken(world, upload)
    assert seen == [survey_batch(list(enumerate(videos(5), 1)))]


def test_a_file_of_refused_rows_only_is_a_batch_without_messages(world: World) -> None:
    upload = world.put('{"id": "a"}\n{"id": "b"}\n')
    assert taken(world, upload)
    assert (batch_of(world, upload).state, batch_of(world, upload).accepted, world.sent()) == (BatchState.OPEN, 0, [])


# ---------------------------------------------------------------------------------------------------------- once only


def test_the_same_event_twice_sends_nothing_twice(world: World) -> None:
    upload = world.put(manifest(videos(3)))
    assert [taken(world, upload), taken(world, upload)] == [True, True]
    assert len(world.sent()) == 3


def test_the_same_file_uploaded_again_is_a_batch_of_its_own(world: World) -> None:
    first, second = (world.put(manifest(videos(3))) for _ in range(2))
    taken(world, first)
    taken(world, second)
    assert {it.batch for it in world.sent()} == {first.batch, second.batch}


def test_each_event_reads_its_own_version(world: World) -> None:
    older = world.put(manifest(videos(1, "older")))
    newer = world.put(manifest(videos(1, "newer")))
    taken(world, older)
    assert [it.video.id for it in world.sent()] == ["older1"]
    taken(world, newer)
    assert [it.video.id for it in world.sent()] == ["newer1"]


def test_a_later_upload_has_a_later_order(world: World) -> None:
    older, newer = (world.put(manifest(videos(1))) for _ in range(2))
    assert older.order < newer.order


def test_a_second_worker_learns_how_long_the_first_may_work(world: World) -> None:
    upload = world.put(manifest(videos(3)))
    opened(world, upload, seconds=100)
    with pytest.raises(LeaseHeld) as contended:
        taken(world, upload)
    assert contended.value.seconds == 101


def test_a_second_worker_retries_soon_if_the_first_releases_the_lease_meanwhile(world: World) -> None:
    upload = world.put(manifest(videos(3)))
    until = world.clock.after(900)
    batch = world.catalog.open_batch(upload, PROJECT, LIMITS, lease="first", until=until, now=world.clock())
    read = Catalog.batch
    with pytest.MonkeyPatch.context() as patch:

        def released_first(catalog: Catalog, name: str) -> Batch:
            catalog.release(batch)
            return read(catalog, name)

        patch.setattr(Catalog, "batch", released_first)
        with pytest.raises(LeaseHeld) as held:
            world.ingest().take(upload, lambda: 900)
    assert held.value.seconds == 1


def test_a_worker_that_lost_its_lease_does_not_end_the_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = world.put(manifest(videos(3)))

    def send_slowly(_queue: WorkQueue, _pack: Sequence[Message]) -> None:
        world.clock.forward(INVOCATION_SECONDS + 60)
        opened(world, upload, seconds=100)

    monkeypatch.setattr(WorkQueue, "send", send_slowly)
    with pytest.raises(LeaseHeld):
        taken(world, upload)
    assert (batch_of(world, upload).state, batch_of(world, upload).lease) == (BatchState.SENDING, "another's")


def opened(world: World, upload: Upload, seconds: float) -> None:
    """Open the batch for another worker."""
    until = world.clock.after(seconds)
    world.catalog.open_batch(upload, PROJECT, LIMITS, lease="another's", until=until, now=world.clock())


# ------------------------------------------------------------------------------------------------------------ reports


def test_the_report_says_what_became_of_the_rows(world: World) -> None:
    upload = world.put(MIXED)
    taken(world, upload)
    assert world.report(upload) == {
        "batch": upload.batch,
        "project": PROJECT,
        "manifest": upload.key,
        "titlecard": __version__,
        "version": upload.version,
        "state": "accepted",
        "form": "JSON Lines",
        "accepted": 3,
        "refused": 3,
        "repeated": 1,
        "left_out": 0,
    }


def test_every_refused_row_is_reported_with_its_number_and_reason(world: World) -> None:
    upload = world.put(MIXED)
    taken(world, upload)
    rejects = [json.loads(line) for line in world.uploads.read_report(upload, "rejects.jsonl").splitlines()]
    assert [it["row"] for it in rejects] == [2, 4, 6]
    assert all(it["reason"] for it in rejects)


def test_a_file_without_refused_rows_has_an_empty_report_of_them(world: World) -> None:
    upload = world.put(manifest(videos(2)))
    taken(world, upload)
    assert world.uploads.read_report(upload, "rejects.jsonl") == b""


def test_the_accepted_rows_are_kept_as_a_bitmap(world: World) -> None:
    upload = world.put(MIXED)
    taken(world, upload)
    assert list(Bitmap.from_bytes(world.uploads.read_report(upload, "accepted.bin"))) == [1, 3, 7]


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Return the refused uploads that are reported to the log and the metrics."""
    told: list[dict[str, str]] = []
    monkeypatch.setattr(telemetry, "refused", lambda **about: told.append(about))
    return told


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "empty"), (b"%PDF-1.7", "PDF"), (b"PK\x03\x04", "zip"), (b"Just some prose.", "neither JSON nor a table")],
)
def test_a_file_that_is_not_a_manifest_is_refused_with_a_report(
    world: World, refusals: list[dict[str, str]], content: bytes, says: str
) -> None:
    upload = world.put(content)
    assert taken(world, upload)
    batch, report = batch_of(world, upload), world.report(upload)
    assert (batch.state, report["state"], world.sent()) == (BatchState.REFUSED, "refused", [])
    assert says in report["message"]
    assert "Accepted formats" in report["message"]
    assert batch.reason == report["message"]
    assert refusals == [{"batch": batch.id, "reason": "NotAManifest"}]


@pytest.mark.parametrize(("content", "write"), [(MIXED, 3), ("%PDF-1.7", 2)], ids=["all sent", "refused"])
def test_a_lost_answer_to_the_last_write_is_not_mistaken_for_another_worker(
    world: World, content: str, write: int
) -> None:
    upload = world.put(content)
    world.wire.cut(Cut.LOST_ANSWER, write, call="UpdateItem")
    assert taken(world, upload)
    assert world.wire.struck
    assert world.wire.calls.count("UpdateItem") == write + 1


def test_a_refused_file_is_not_read_again(world: World) -> None:
    upload = world.put(b"%PDF-1.7")
    taken(world, upload)
    before = len(world.wire.calls)
    assert taken(world, upload)
    assert "GetObject" not in world.wire.calls[before:]


@pytest.mark.parametrize("key", ["uploads/talks.jsonl", "uploads/my talks/a.jsonl", "uploads/\u202etalks/a.jsonl"])
def test_a_file_outside_any_projects_folder_is_a_refused_batch_of_no_project(
    world: World, refusals: list[dict[str, str]], key: str
) -> None:
    upload = replace(world.put(manifest(videos(1))), key=key)
    assert taken(world, upload)
    assert "outside any project's folder" in world.report(upload)["message"]
    batch = batch_of(world, upload)
    assert (batch.state, batch.project) == (BatchState.REFUSED, OUTSIDE)
    assert "uploads/<project>/<file>" in str(batch.reason)
    assert refusals == [{"batch": batch.id, "reason": "OutsideAnyProject"}]
    assert [it.id for it in world.catalog.all_batches()] == [batch.id]
    assert world.sent() == []


def test_an_upload_that_was_deleted_before_it_was_read_is_refused(world: World) -> None:
    upload = world.put(manifest(videos(1)))
    world.s3.delete_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
    assert taken(world, upload)
    assert batch_of(world, upload).state is BatchState.REFUSED
    assert "deleted" in world.report(upload)["message"]


def test_a_file_that_is_too_large_is_refused(world: World) -> None:
    world.parameters["ManifestMaxBytes"] = "100"
    upload = world.put(manifest(videos(10)))
    assert taken(world, upload)
    assert "split it" in world.report(upload)["message"]


# ------------------------------------------------------------------------------------------------- an upload's limits


def test_an_upload_may_lower_its_limits(world: World) -> None:
    upload = world.put(manifest(videos(1)), metadata={"limit-requests": "5", "limit-micro-usd": "0"})
    taken(world, upload)
    assert batch_of(world, upload).limits == Total(requests=5, tokens=LIMITS.tokens, micro_usd=0)


def test_an_upload_cannot_raise_its_limits(world: World) -> None:
    upload = world.put(manifest(videos(1)), metadata={"limit-requests": "999999999"})
    taken(world, upload)
    assert batch_of(world, upload).limits == LIMITS


def test_an_unreadable_limit_does_not_count_as_missing(world: World) -> None:
    upload = world.put(manifest(videos(1)), metadata={"limit-requests": "five"})
    assert taken(world, upload)
    assert (batch_of(world, upload).state, world.sent()) == (BatchState.REFUSED, [])
    assert "'five'" in world.report(upload)["message"]


# --------------------------------------------------------------------------------------------------- not all at once


def test_messages_that_sqs_refuses_are_sent_again(world: World) -> None:
    refusing = Refusing(world.sqs, rows={3, 14}, times=SEND_TRIES - 1)
    assert taken(world, world.put(manifest(videos(25))), clients=replaced(world.clients, sqs=refusing))
    assert [it.row for it in world.sent()] == list(range(1, 26))


@pytest.mark.usefixtures("small_steps")
def test_the_checkpoint_is_kept_and_the_lease_released_while_sqs_keeps_refusing(world: World) -> None:
    upload = world.put(manifest(videos(25)))
    with pytest.raises(MessagesNotSent):
        taken(world, upload, clients=replaced(world.clients, sqs=Refusing(world.sqs, rows={14}, times=SEND_TRIES)))
    batch = batch_of(world, upload)
    assert (batch.state, batch.sent_row, batch.lease_until) == (BatchState.SENDING, 10, "")


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("service", "call"), [(WorkQueue, "send"), (UploadsBucket, "fetch"), (UploadsBucket, "write_report")]
)
def test_the_next_receive_need_not_wait_for_the_lease_after_a_service_did_not_answer(
    world: World, service: type, call: str
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise EndpointConnectionError(endpoint_url="aws")

    upload = world.put(manifest(videos(30)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, call, failing)
        with pytest.raises(EndpointConnectionError):
            world.ingest().take(upload, lambda: 900)
    assert world.ingest().take(upload, lambda: 900)
    assert len({it.row for it in world.sent()}) == 30


def test_rows_that_sqs_refused_are_sent_when_the_upload_comes_again(world: World) -> None:
    upload = world.put(manifest(videos(25)))
    with pytest.raises(MessagesNotSent):
        taken(world, upload, clients=replaced(world.clients, sqs=Refusing(world.sqs, rows={14}, times=SEND_TRIES)))
    world.sent()
    assert taken(world, upload)
    assert [it.row for it in world.sent()] == list(range(11, 26))


@pytest.mark.usefixtures("small_steps")
def test_an_ingest_that_runs_out_of_time_leaves_the_rest_to_a_continuation(world: World) -> None:
    upload = world.put(manifest(videos(45)))
    assert not world.ingest().take(upload, running_out(after=3))
    assert batch_of(world, upload).sent_row < 45


@pytest.mark.usefixtures("small_steps")
def test_continuations_start_at_the_checkpoint_and_send_nothing_twice(world: World) -> None:
    upload = world.put(manifest(videos(45)))
    calls = 1
    while not world.ingest().take(upload, running_out(after=3)):
        calls += 1
    assert calls > 1
    assert [it.row for it in world.sent()] == list(range(1, 46))


@pytest.mark.usefixtures("small_steps")
def test_every_continuation_makes_progress_however_little_time_it_has(world: World) -> None:
    upload = world.put(manifest(videos(25)))
    for _ in range(10):
        if world.ingest().take(upload, running_out(after=2)):
            break
    assert batch_of(world, upload).state is BatchState.OPEN


@pytest.mark.usefixtures("small_steps")
def test_the_lease_outlasts_the_invocation_and_is_renewed_at_each_checkpoint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases: list[tuple[int, datetime | None]] = []
    open_batch, sent = Catalog.open_batch, Catalog.sent

    def opened(catalog: Catalog, *about: Any, until: datetime, **more: Any) -> Batch:  # noqa: ANN401 -- the call's
        leases.append((0, until))
        return open_batch(catalog, *about, until=until, **more)

    def checked(catalog: Catalog, batch: Batch, row: int, *, until: datetime | None, now: datetime) -> None:
        leases.append((row, until))
        sent(catalog, batch, row, until=until, now=now)

    monkeypatch.setattr(Catalog, "open_batch", opened)
    monkeypatch.setattr(Catalog, "sent", checked)
    assert world.ingest().take(world.put(manifest(videos(45))), lambda: 400)
    assert leases == [(row, world.clock.after(400 + LEASE_SPARE_SECONDS)) for row in (0, 10, 20, 30, 40)]


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("whole", "left", "complete"), [(400, 30, True), (400, 29.9, False), (40, 10, True), (40, 9.9, False)]
)
def test_ingest_stops_half_a_minute_or_a_quarter_of_its_time_before_the_end(
    world: World, whole: float, left: float, *, complete: bool
) -> None:
    looks = iter([whole, whole])
    assert world.ingest().take(world.put(manifest(videos(25))), lambda: next(looks, left)) is complete


def running_out(after: int) -> Callable[[], float]:
    """Return a clock with plenty of time that has hardly any left after this many readings."""
    looks: Iterator[float] = iter([INVOCATION_SECONDS] * after)
    return lambda: next(looks, 1.0)


# ------------------------------------------------------------------------------------------------- dying at every call


MANIFESTS = {"good rows and bad": manifest(videos(12)) + MIXED, "no manifest": "%PDF-1.7"}
CALLS = 40
"""More calls than an ingest of these files makes."""


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS)
@pytest.mark.parametrize("how", [Cut.KILLED_AFTER, Cut.LOST_ANSWER, Cut.OUTAGE])
def test_every_accepted_row_is_sent_when_the_upload_comes_again_after_any_fault(
    clients: AwsClients, wire: Wire, how: Cut, content: str
) -> None:
    for at in range(1, CALLS):
        world = World(clients, wire)
        upload = world.put(content)
        struck = interrupted(world, upload, how, at)
        while not taken(world, upload):
            pass
        batch = batch_of(world, upload)
        assert {it.row for it in world.sent()} == set(Bitmap.from_bytes(_accepted(world, upload)))
        assert batch.state is (BatchState.REFUSED if content.startswith("%") else BatchState.OPEN)
        assert world.report(upload)["state"] == ("refused" if content.startswith("%") else "accepted")
        if not struck:
            break
    else:
        pytest.fail(f"an ingest of more than {CALLS} calls")


def interrupted(world: World, upload: Upload, how: Cut, at: int) -> bool:
    """Run an ingest with a failure; return False if it ended before the failure. Then let its lease expire."""
    world.wire.cut(how, at)
    try:
        taken(world, upload)
    except (Killed, BotoCoreError, ClientError):
        pass
    finally:
        world.wire.mend()
    world.clock.forward(INVOCATION_SECONDS + 60)
    return world.wire.struck


def _accepted(world: World, upload: Upload) -> bytes:
    if batch_of(world, upload).state is BatchState.REFUSED:
        return b""
    return world.uploads.read_report(upload, "accepted.bin")


def test_a_batch_whose_bitmap_is_deleted_before_it_is_sent_is_left_to_the_audit(world: World) -> None:
    upload = world.put(manifest(videos(5)))
    world.wire.cut(Cut.KILLED_BEFORE, call="SendMessageBatch")
    with pytest.raises(Killed):
        world.ingest().take(upload, lambda: 900)
    world.wire.mend()
    world.s3.delete_object(Bucket=world.bucket, Key=f"reports/{upload.batch}/accepted.bin")
    world.clock.forward(1_000)
    assert world.ingest().take(upload, lambda: 900)
    batch = world.catalog.batch(upload.batch)
    assert batch.state is BatchState.OPEN
    assert "accepted.bin" in (batch.reason or "")


def test_a_batch_whose_manifest_is_deleted_while_it_is_sent_stays_open_for_its_rows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titlecard.pipeline.ingest.CHUNKS_IN_FLIGHT", 1)
    upload = world.put(manifest(videos(25)))
    world.wire.cut(Cut.KILLED_AFTER, call="SendMessageBatch")
    with pytest.raises(Killed):
        taken(world, upload)
    world.wire.mend()
    world.clock.forward(INVOCATION_SECONDS + 60)
    world.s3.delete_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
    assert taken(world, upload)
    batch = batch_of(world, upload)
    assert (batch.state, "deleted" in (batch.reason or "")) == (BatchState.OPEN, True)
