"""Accidents between an upload and its talks: killed processes, a queue that refuses messages, two versions at once.

All of them hit one stack, one after the other, in the fixtures, so that the slow parts (leases and visibility timeouts
that expire) run for all of them together. After each accident, every accepted row ends, and ends once, and the provider
is asked once about each video, except for the request in flight when its worker was killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.end_to_end.manifests import answers, lines, videos
from tests.end_to_end.poison import poisoned
from tests.end_to_end.stack import KEY, Stack, running

from titlecard.domain.batch import RowState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.witness import Witness

    from titlecard.domain.batch import Upload

TIMES = {
    "ParserTimeoutSeconds": "10",
    "RequestDeadlineSeconds": "6",
    "SettleMarginSeconds": "1",
    "BatchingWindowSeconds": "0",
    "VisibilitySeconds": "60",
    "RetryBackoffSeconds": "1",
    "AttemptCap": "5",
    "IngestTimeoutSeconds": "10",
    "ManifestMaxBytes": "10485760",
    "IngestVisibilitySeconds": "60",
}
"""Times short enough to wait for, but long enough for a worker to load the model's client."""

LARGE = 2_000
"""Bytes of the description in a row whose message a queue for small messages refuses."""

POISON = """

import os as _os
import pathlib as _pathlib
import signal as _signal

from titlecard.aws.dynamodb.catalog import Catalog
from titlecard.aws.sqs import WorkQueue
from titlecard.pipeline import ingest as _ingest

_ingest.CHUNKS_IN_FLIGHT = 2
_ingest.ROWS_BETWEEN_CHECKPOINTS = 20
_started, _sent = Catalog.start_sending, WorkQueue.send


def _die_once(name):
    try:
        _pathlib.Path("{notes}", name).touch(exist_ok=False)
    except FileExistsError:
        return
    _os.kill(_os.getpid(), _signal.SIGKILL)


def _start(self, batch, *args, **kwargs):
    _started(self, batch, *args, **kwargs)
    if batch.id.startswith("between-"):
        _die_once("between")


def _send(self, chunk):
    _sent(self, chunk)
    if chunk[0].batch.startswith("sending-") and chunk[0].row > 40:
        _die_once("sending")


Catalog.start_sending, WorkQueue.send = _start, _send
"""
"""Appended to ingest's entry point: kills it once between the passes, and once in the middle of sending."""


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where ingest records how it died."""
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def stack(artefacts: Path, tmp_path_factory: pytest.TempPathFactory, notes: Path, provider: Witness) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("accidents")
    code = POISON.replace("{notes}", str(notes))
    changed = poisoned(artefacts, folder / "artefacts", "IngestFunction", "ingest/app.py", code)
    model = {"TierPolicy": "model", "MaxConcurrency": "2"}
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    with running(folder / "state", TIMES | model, changed, environment) as there:
        yield there


# ---------------------------------------------------------------------------------------------------------- accidents


@pytest.fixture(scope="module")
def killed_parser(stack: Stack, provider: Witness) -> Upload:
    """Upload a batch of ten whose worker is killed while it waits for the last answer."""
    provider.fail(by_text={"Fatal": "hang"})
    with stack.held("ParserFunction"):
        upload = stack.put("fatal/list.jsonl", _with_a_fatal_one())
        stack.until(lambda: stack.waiting("WorkQueueUrl") == 10, "its messages are sent")
    stack.until(lambda: stack.ended(upload) == 9 and provider.asked_of_late("Fatal"), "nine are done, one is asked")
    assert stack.kill_workers("ParserFunction")
    provider.fail()
    return upload


@pytest.fixture(scope="module")
def refused_briefly(stack: Stack, killed_parser: Upload) -> Upload:  # noqa: ARG001 -- for the order
    """Upload a manifest; the work queue refuses one of its messages until it is retried."""
    with stack.held("ParserFunction"):
        stack.take_at_most("WorkQueueUrl", 1_024)
        upload = stack.put("briefly/list.jsonl", _with_a_large_one("Briefly"))
        stack.until(lambda: stack.waiting("WorkQueueUrl") == 9, "nine are taken")
        stack.take_at_most("WorkQueueUrl", 1_048_576)
    return upload


@pytest.fixture(scope="module")
def refused_for_long(stack: Stack, refused_briefly: Upload) -> Upload:  # noqa: ARG001 -- as above
    """Upload a manifest; the work queue refuses one of its messages until ingest gives up for now."""
    stack.take_at_most("WorkQueueUrl", 1_024)
    upload = stack.put("for-long/list.jsonl", _with_a_large_one("For long"))

    def gave_up() -> bool:
        batch = stack.batch(upload)
        return batch is not None and batch.accepted == 10 and not batch.lease_until

    stack.until(gave_up, "ingest gives up for now")
    stack.take_at_most("WorkQueueUrl", 1_048_576)
    return upload


@pytest.fixture(scope="module")
def killed_ingest(stack: Stack, refused_for_long: Upload, notes: Path) -> dict[str, Upload]:  # noqa: ARG001 -- as above
    """Upload two manifests whose ingest is killed: between the passes, and in the middle of sending."""
    uploads = {
        "between": stack.put("between/between.jsonl", lines(videos(20, "Between"))),
        "sending": stack.put("sending/sending.jsonl", lines(videos(60, "Sending"))),
    }
    for name in uploads:
        stack.until((notes / name).exists, f"ingest is killed: {name}")
    return uploads


@pytest.fixture(scope="module")
def race(stack: Stack, killed_ingest: dict[str, Upload], provider: Witness) -> list[Upload]:  # noqa: ARG001 -- as above
    """Upload two versions of a file at once, the second with ten more rows; slow requests make them overlap."""
    provider.fail(delay=0.5)
    uploads = [stack.put("race/list.jsonl", lines(videos(number, "Race"))) for number in (20, 30)]
    stack.until(lambda: len(provider.asked("Race")) == 30, "every video is asked about")
    provider.fail()
    return uploads


@pytest.fixture(scope="module", autouse=True)
def _all_has_happened(race: list[Upload]) -> None:
    """Let all accidents happen before the first test."""


# --------------------------------------------------------------------------------------------------- what came of it


def test_neighbours_of_a_killed_request_are_not_asked_about_again(
    stack: Stack, provider: Witness, killed_parser: Upload
) -> None:
    stack.settled(killed_parser, 10)
    assert list(provider.asked("Deadly").values()) == [1] * 9


def test_a_batch_whose_worker_was_killed_ends_correctly(stack: Stack, killed_parser: Upload) -> None:
    stack.settled(killed_parser, 10)
    assert _talks(stack, killed_parser) == answers(_with_a_fatal_one())


def test_the_request_that_was_in_flight_stays_charged(stack: Stack, provider: Witness, killed_parser: Upload) -> None:
    stack.settled(killed_parser, 10)
    asked = provider.asked("Fatal").total()
    assert asked > 1
    assert stack.ledger.spent(killed_parser.batch).requests == 9 + asked


def test_an_ingest_that_is_killed_between_the_passes_sends_every_row(
    stack: Stack, provider: Witness, killed_ingest: dict[str, Upload]
) -> None:
    stack.settled(killed_ingest["between"], 20)
    assert stack.states(killed_ingest["between"]) == {RowState.PARSED: 20}
    assert list(provider.asked("Between").values()) == [1] * 20


def test_an_ingest_that_is_killed_while_it_sends_continues_from_its_checkpoint(
    stack: Stack, provider: Witness, killed_ingest: dict[str, Upload]
) -> None:
    stack.settled(killed_ingest["sending"], 60)
    assert stack.catalog.batch(killed_ingest["sending"].batch).sent_row > 0
    assert stack.states(killed_ingest["sending"]) == {RowState.PARSED: 60}
    assert list(provider.asked("Sending").values()) == [1] * 60


def test_a_message_that_the_queue_refuses_for_a_moment_is_sent_again(
    stack: Stack, provider: Witness, refused_briefly: Upload
) -> None:
    stack.settled(refused_briefly, 10)
    assert _talks(stack, refused_briefly) == answers(_with_a_large_one("Briefly"))
    assert list(provider.asked("Briefly").values()) == [1] * 10


def test_a_message_that_the_queue_refuses_for_long_is_sent_when_ingest_runs_again(
    stack: Stack, provider: Witness, refused_for_long: Upload
) -> None:
    stack.settled(refused_for_long, 10)
    assert _talks(stack, refused_for_long) == answers(_with_a_large_one("For long"))
    assert list(provider.asked("For long").values()) == [1] * 10


def test_two_versions_uploaded_at_once_end_with_the_newer(stack: Stack, race: list[Upload]) -> None:
    older, newer = race
    stack.settled(older, 20)
    stack.settled(newer, 30)
    assert set(stack.states(older)) <= {RowState.PARSED, RowState.SUPERSEDED}
    assert stack.states(newer) == {RowState.PARSED: 30}
    assert {stack.pointed_at("race", f"v{number}") for number in range(1, 31)} == {newer.batch}


def test_two_versions_uploaded_at_once_pay_once(stack: Stack, provider: Witness, race: list[Upload]) -> None:
    for upload, rows in zip(race, (20, 30), strict=True):
        stack.settled(upload, rows)
    assert list(provider.asked("Race").values()) == [1] * 30


# ----------------------------------------------------------------------------------------------------------- pieces


def _with_a_fatal_one() -> bytes:
    rows = videos(10, "Deadly")
    rows[4]["title"] = "Grace Hopper - A Fatal Request"
    return lines(rows)


def _with_a_large_one(mark: str) -> bytes:
    rows = videos(10, mark)
    rows[4]["description"] = "long " * (LARGE // 5)
    return lines(rows)


def _talks(stack: Stack, upload: Upload) -> dict[str, tuple[str, tuple[str, ...]] | None]:
    return {video: (talk.title, talk.presenters) if talk else None for video, talk in stack.talks(upload).items()}
