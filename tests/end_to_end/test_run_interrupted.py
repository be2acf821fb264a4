"""An interrupted run, a killed run and a complete run: nothing is left behind, and nothing is paid for twice.

All tests use the same three runs: the same command on the same manifest and the same state folder.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.end_to_end.manifests import answers, lines, videos
from tests.end_to_end.person import Ran, ended, interrupt, left_behind, parameters, ran_here, started
from tests.end_to_end.stack import until

from titlecard_console.local_cloud import cloud

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.witness import Witness

ROWS = 80

MODEL = ("--tier", "model", *parameters({"MaxConcurrency": "2"}))
"""Two workers, with ten requests each at a time."""

MANIFEST = lines(videos(ROWS))


@dataclass(frozen=True)
class Story:
    """Three runs, and what the first two left behind; `asked` counts the model's requests after each."""

    interrupted: Ran
    left_by_interrupted: list[str]
    killed: Ran
    whole: Ran
    asked: tuple[int, int, int]


@pytest.fixture(scope="module")
def story(artefacts: Path, provider: Witness, tmp_path_factory: pytest.TempPathFactory) -> Story:  # noqa: ARG001 -- built
    folder = tmp_path_factory.mktemp("interrupted")
    state = folder / "state"
    (folder / "list.jsonl").write_bytes(MANIFEST)
    command: tuple[str | Path, ...] = ("run", folder / "list.jsonl", "--state", state, *MODEL)
    provider.fail(delay=2)
    with started(*command, base_url=provider.base_url) as process:
        until(lambda: provider.asked() or process.poll() is not None, "the model is asked")
        interrupt(process, signal.SIGINT)
        interrupted = ended(process)
    left = left_behind(state)
    first = provider.asked().total()
    with started(*command, base_url=provider.base_url) as process:
        until(lambda: provider.asked().total() > first or process.poll() is not None, "the model is asked again")
        interrupt(process, signal.SIGKILL)
        killed = ended(process)
    until(lambda: not left_behind(state), "everything that the killed run had started has left")
    second = provider.asked().total()
    provider.fail()
    whole = ran_here(*command, base_url=provider.base_url)
    return Story(interrupted, left, killed, whole, (first, second, provider.asked().total()))


def test_ctrl_c_ends_a_run_with_130_and_without_a_traceback(story: Story) -> None:
    assert (story.interrupted.code, story.interrupted.data) == (130, "")
    assert "Traceback" not in story.interrupted.told


def test_ctrl_c_leaves_no_process_behind(story: Story) -> None:
    assert story.left_by_interrupted == []


def test_interrupted_and_killed_runs_keep_what_they_paid_for(story: Story) -> None:
    first, second, third = story.asked
    assert (story.killed.code, story.killed.data) == (-signal.SIGKILL, "")
    assert 0 < first < second < third == ROWS


@pytest.mark.usefixtures("story")
def test_no_video_is_asked_about_twice(provider: Witness) -> None:
    assert list(provider.asked().values()) == [1] * ROWS


def test_the_run_that_ends_gives_every_talk(story: Story) -> None:
    found = {line["id"]: (line["title"], tuple(line["presenters"])) for line in story.whole.lines}
    assert story.whole.code == 0
    assert list(found) == [video["id"] for video in videos(ROWS)]
    assert found == answers(MANIFEST)


def test_the_run_that_ends_is_charged_only_for_what_it_asked(story: Story) -> None:
    charged = [line for line in story.whole.lines if line["tokens"]["input"] and line["cost_micro_usd"]]
    _, second, third = story.asked
    assert len(charged) == third - second


@pytest.mark.usefixtures("artefacts")
def test_ctrl_c_while_the_cloud_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "list.jsonl").write_bytes(MANIFEST)
    with started("run", tmp_path / "list.jsonl", "--state", state) as process:
        until(lambda: left_behind(state) or process.poll() is not None, "the cloud is starting")
        interrupt(process, signal.SIGINT)
        stopped = ended(process)
    assert (stopped.code, stopped.data) == (130, "")
    assert "Traceback" not in stopped.told
    assert not left_behind(state)
    assert cloud.find(state) is None
