"""Videos that kill their worker, and their neighbours in the same batch.

The parser's artefact is poisoned: one title makes the local tier hang until the function's timeout kills it, another
kills the process at once, as the kernel does when memory runs out. None of our code can catch either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.end_to_end.manifests import answers, lines, videos
from tests.end_to_end.poison import poisoned
from tests.end_to_end.stack import Stack, running

from titlecard.domain.batch import RowState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from titlecard.domain.batch import Upload

RECEIVES = 5
"""The fewest receives that a queue may allow."""

TIMES = {
    "ParserTimeoutSeconds": "8",
    "RequestDeadlineSeconds": "1",
    "SettleMarginSeconds": "1",
    "BatchingWindowSeconds": "0",
    "VisibilitySeconds": "48",
    "RetryBackoffSeconds": "1",
    "MaxReceiveCount": str(RECEIVES),
}
"""Times in which a busy machine can start a worker and parse the neighbours."""

REDELIVERED_AFTER = 26
"""Seconds after which a message comes again: sooner than the template allows, and so late that the parser takes the
worker before it for dead, which is half of `VisibilitySeconds`."""

POISON = """

import os as _os
import signal as _signal
import time as _time

from titlecard import extraction as _local

_handled, _parsed = handler, _local.parse


def handler(event, context):
    for record in SQSEvent(event).records:
        for poison in ("hangs", "kills"):
            if f"talk that {poison}" in record.body:
                with open("{notes}/" + poison, "a") as notes:
                    print(record.attributes.approximate_receive_count, file=notes)
    return _handled(event, context)


def _poisonous(video, survey):
    if "hangs" in video.title:
        _time.sleep(3600)
    if "kills" in video.title:
        _os.kill(_os.getpid(), _signal.SIGKILL)
    return _parsed(video, survey)


_local.parse = _poisonous
"""
"""Appended to the parser's entry point."""


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where the parser counts the receives of each poison."""
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def stack(artefacts: Path, tmp_path_factory: pytest.TempPathFactory, notes: Path) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("poison")
    code = POISON.replace("{notes}", str(notes))
    changed = poisoned(artefacts, folder / "artefacts", "ParserFunction", "parser/app.py", code)
    with running(folder / "state", TIMES, changed) as there:
        there.redeliver_after("WorkQueueUrl", REDELIVERED_AFTER)
        yield there


@pytest.fixture(scope="module")
def poisons(stack: Stack) -> dict[str, Upload]:
    """Upload two batches of ten, each with a poison in the middle, each received as a whole by one worker."""
    uploads = {}
    with stack.held("ParserFunction"):
        for poison in ("hangs", "kills"):  # the second only after the first is sent, so that they do not mix
            uploads[poison] = stack.put(f"{poison}/list.jsonl", _manifest(poison))
            stack.until(lambda: stack.waiting("WorkQueueUrl") == 10 * len(uploads), "its messages are sent")
    for upload in uploads.values():
        stack.settled(upload, 10)
    return uploads


@pytest.mark.parametrize("poison", ["hangs", "kills"])
def test_the_poison_is_dead_after_exactly_the_receives_that_the_queue_allows(
    stack: Stack, poisons: dict[str, Upload], notes: Path, poison: str
) -> None:
    dead = stack.rows(poisons[poison])["v5"]
    assert (dead.state, (dead.reason or "").partition(":")[0]) == (RowState.DEAD, "receives_used_up")
    assert (notes / poison).read_text().split() == [str(receive) for receive in range(1, RECEIVES + 1)]


@pytest.mark.parametrize("poison", ["hangs", "kills"])
def test_the_poison_is_in_the_dead_letter_queue_with_the_catalogs_reason(
    stack: Stack, poisons: dict[str, Upload], poison: str
) -> None:
    reasons = [letter.reason for letter in stack.dead_letters() if poison in letter.body]
    assert reasons == [stack.rows(poisons[poison])["v5"].reason]


@pytest.mark.parametrize("poison", ["hangs", "kills"])
def test_the_nine_neighbours_of_a_poison_are_parsed_correctly(
    stack: Stack, poisons: dict[str, Upload], poison: str
) -> None:
    found = stack.talks(poisons[poison])
    right = answers(_manifest(poison))
    assert stack.states(poisons[poison]) == {RowState.PARSED: 9, RowState.DEAD: 1}
    assert {video: (talk.title, talk.presenters) for video, talk in found.items() if talk} == {
        video: answer for video, answer in right.items() if video != "v5"
    }


def _manifest(poison: str) -> bytes:
    rows = videos(10)
    rows[4]["title"] = f"A talk that {poison}"
    return lines(rows)
