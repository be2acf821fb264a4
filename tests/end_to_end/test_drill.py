"""A drill: the model breaks, videos die, the model is repaired, and an operator's redrive is killed halfway.

The command reaches the stack as it would in AWS: by name, with ordinary credentials, and with only the permissions that
the stack's own policy for operators gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.end_to_end.manifests import lines, videos
from tests.end_to_end.person import Operator, Ran
from tests.end_to_end.stack import KEY, Stack, running

from titlecard.domain.batch import RowState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.witness import Witness

    from titlecard.domain.batch import Upload

UNHURRIED = {
    "TierPolicy": "model",
    "ParserTimeoutSeconds": "20",
    "RequestDeadlineSeconds": "5",
    "SettleMarginSeconds": "2",
    "VisibilitySeconds": "120",
    "BatchingWindowSeconds": "0",
    "RetryBackoffSeconds": "1",
    "BreakerThreshold": "1000",
}
"""Times that suit a busy machine, and no breaker: every death here comes from the model's faults."""

WORN, BAD = 3, 7
"""The number of videos that die of a lasting transient fault, and of those that die of a refused request."""

CAP = 3


@dataclass(frozen=True)
class Drill:
    """The record of the drill."""

    stack: Stack
    provider: Witness
    upload: Upload
    summary: Ran
    story: Ran
    refused: Ran
    left: int
    """The number of rows that were still dead when the first redrive was killed."""
    again: Ran
    operator: Operator


@pytest.fixture(scope="module")
def stack(artefacts: Path, tmp_path_factory: pytest.TempPathFactory, provider: Witness) -> Iterator[Stack]:
    settings = UNHURRIED | {"AttemptCap": str(CAP)}
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    with running(tmp_path_factory.mktemp("drill") / "state", settings, artefacts, environment) as there:
        yield there


@pytest.fixture(scope="module")
def drill(stack: Stack, provider: Witness) -> Drill:
    """Break the model, let videos die, repair it, kill the redrive halfway, and run it again."""
    provider.fail(always="half_body", by_text={"Worn": "server_error"})
    upload = stack.put("drill/list.jsonl", lines([*videos(WORN, "Worn"), *videos(BAD, "Bad", first=WORN + 1)]))
    stack.until(lambda: stack.states(upload)[RowState.DEAD] == WORN + BAD, "all are dead")
    operator = Operator.of(stack.cloud)
    summary, story = operator.ran("dlq", "--json"), operator.ran("dlq", "show", "v1", "--json")
    refused = operator.ran("dlq", "redrive", "--all")
    provider.fail()
    with operator.started("dlq", "redrive", "--all", "--yes", "--rate", "3") as process:
        stack.until(lambda: stack.states(upload)[RowState.DEAD] <= WORN + BAD - 4, "some are sent again")
        process.kill()
    left = stack.states(upload)[RowState.DEAD]
    again = operator.ran("dlq", "redrive", "--all", "--yes", "--rate", "50")
    stack.finished(upload)
    return Drill(stack, provider, upload, summary, story, refused, left, again, operator)


def test_the_summary_groups_every_dead_letter_by_cause(drill: Drill) -> None:
    assert drill.summary.code == 3, drill.summary.told
    counts = {group["cause"]: (group["count"], group["attempts"]) for group in drill.summary.lines}
    assert counts == {"connection_lost": (BAD, BAD * CAP), "provider_error": (WORN, WORN * CAP)}


def test_the_history_of_a_video_has_every_attempt_with_its_fault(drill: Drill) -> None:
    (told,) = drill.story.lines
    events = [event["event"] for chapter in told["story"] for event in chapter["history"]]
    assert events == ["claimed", "provider_error"] * CAP


def test_a_redrive_without_yes_is_refused_and_warns_of_charges(drill: Drill) -> None:
    assert (drill.refused.code, "add --yes" in drill.refused.told) == (2, True)
    assert "can be charged" in drill.refused.told


def test_the_first_redrive_was_killed_halfway(drill: Drill) -> None:
    assert 0 < drill.left < WORN + BAD


def test_everything_is_parsed_after_the_second_redrive(drill: Drill) -> None:
    assert drill.stack.states(drill.upload) == {RowState.PARSED: WORN + BAD}, drill.again.told


def test_no_video_had_an_attempt_beyond_the_grant_and_each_was_answered_once(drill: Drill) -> None:
    rows = drill.stack.rows(drill.upload)
    attempts = [drill.stack.attempts("drill", row) for row in rows.values()]
    assert attempts == [CAP + 1] * (WORN + BAD)
    assert sum(drill.provider.asked().values()) == sum(attempts)


def test_the_remaining_letters_belong_to_parsed_videos(drill: Drill) -> None:
    parsed = {video for video, talk in drill.stack.talks(drill.upload).items() if talk}
    assert {letter.video for letter in drill.stack.dead_letters()} <= parsed


@pytest.mark.parametrize("command", ["spend", "export --project drill"])
def test_the_policy_for_operators_is_enough_for_the_other_commands(drill: Drill, command: str) -> None:
    ran = drill.operator.ran(*command.split())
    assert (ran.code, bool(ran.data)) == (0, True), ran.told
