"""A drill: the model breaks, videos die, the model is repaired, and an operator's redrive is killed halfway.

The command reaches the stack as it would in AWS: by name, with ordinary credentials, and with only the permissions that
the stack's own policy for operators gives.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING, Any

import pytest
from tests.end_to_end.manifests import lines, videos
from tests.end_to_end.person import TITLECARD, Ran
from tests.end_to_end.stack import KEY, PATIENCE_SECONDS, Stack, running
from tests.end_to_end.witness import Witness

from titlecard.domain.batch import RowState
from titlecard_console.local_cloud.deploy import STACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

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
class Operator:
    """A stack's operator, with their own access key."""

    environment: Mapping[str, str]

    @contextmanager
    def started(self, *command: str) -> Iterator[Popen[str]]:
        """Run a command on the stack for the length of a block; kill it if it is still running at the end."""
        arguments = [TITLECARD, *command, "--stack", STACK]
        streams = {"stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE}
        with Popen(arguments, env=self.environment, text=True, **streams) as process:  # type: ignore[call-overload]  # noqa: S603 -- ours
            try:
                yield process
            finally:
                process.kill()

    def ran(self, *command: str) -> Ran:
        """Run a command on the stack to its end."""
        with self.started(*command) as process:
            data, told = process.communicate(timeout=PATIENCE_SECONDS)
            return Ran(process.returncode, data, told)


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
def provider() -> Iterator[Witness]:
    with Witness() as witness:
        yield witness


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
    operator = _operator(stack)
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


def test_the_summary_knows_all_that_died_by_cause(drill: Drill) -> None:
    assert drill.summary.code == 3, drill.summary.told
    counts = {group["cause"]: (group["count"], group["attempts"]) for group in drill.summary.lines}
    assert counts == {"connection_lost": (BAD, BAD * CAP), "provider_error": (WORN, WORN * CAP)}


def test_the_story_of_a_video_has_every_attempt_with_its_fault(drill: Drill) -> None:
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


def _operator(stack: Stack) -> Operator:
    """Create an operator who has the stack's policy for operators and no other permission."""
    iam = stack.cloud.client("iam")
    iam.create_user(UserName="operator")
    iam.attach_user_policy(UserName="operator", PolicyArn=stack.outputs["OperatorPolicy"])
    key: dict[str, Any] = iam.create_access_key(UserName="operator")["AccessKey"]
    return Operator(
        {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "NO_PROXY": "127.0.0.1",
            "AWS_ENDPOINT_URL": stack.cloud.endpoint_url,
            "AWS_REGION": stack.cloud.region,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
    )
