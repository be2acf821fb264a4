"""The cost of a run: never more than the amount that it shows first, whatever the provider does."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.end_to_end.manifests import lines, videos
from tests.end_to_end.person import FIELDS, Ran, parameters, ran, ran_here

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.witness import Witness

SHOWN = re.compile(r"At most (?P<requests>[\d,]+) requests, (?P<tokens>[\d,]+) tokens and \$(?P<dollars>[\d,.]*\d)")

FAILURES = ("server_error", "reset", "server_error", "half_body", "ok", "html", "server_error", "failed", "bad_gateway")
"""All of these but one cost the whole bound and yield nothing."""


# ----------------------------------------------------------------------------- a provider that fails most of the time


@dataclass(frozen=True)
class Failed:
    """A run against such a provider: its result, the amount that it showed first, and the provider's bill."""

    ran: Ran
    shown: dict[str, float]
    billed: int
    """The bill in tokens, input plus output."""


@pytest.fixture(scope="module")
def failed(artefacts: Path, provider: Witness, tmp_path_factory: pytest.TempPathFactory) -> Failed:  # noqa: ARG001 -- built
    provider.fail(*FAILURES * 20)
    folder = tmp_path_factory.mktemp("failing")
    (folder / "list.jsonl").write_bytes(lines(videos(15, "Failing")))
    done = ran_here(
        *("run", folder / "list.jsonl", "--state", folder / "state", "--tier", "model"),
        *parameters({"RetryBackoffSeconds": "1", "MaxConcurrency": "2", "BreakerThreshold": "1000"}),
        base_url=provider.base_url,
    )
    match = SHOWN.search(" ".join(done.told.split()))
    assert match, done.told
    shown = {name: float(number.replace(",", "")) for name, number in match.groupdict().items()}
    bill = provider.bill()
    provider.reset()
    return Failed(done, shown, bill["input_tokens"] + bill["output_tokens"])


def test_a_failing_provider_is_asked_no_more_often_than_was_shown(provider: Witness, failed: Failed) -> None:
    assert 15 < provider.asked("Failing").total() <= failed.shown["requests"]


def test_a_failing_provider_bills_no_more_than_is_charged_and_that_is_no_more_than_was_shown(failed: Failed) -> None:
    charged = sum(line["tokens"]["input"] + line["tokens"]["output"] for line in failed.ran.lines)
    assert 0 < failed.billed <= charged <= failed.shown["tokens"]


def test_a_failing_provider_costs_no_more_than_was_shown(failed: Failed) -> None:
    assert 0 < sum(line["cost_micro_usd"] for line in failed.ran.lines) <= failed.shown["dollars"] * 1_000_000


@pytest.mark.usefixtures("failed")
def test_no_video_is_asked_about_more_often_than_its_cap_allows(provider: Witness) -> None:
    assert 1 < max(provider.asked("Failing").values()) <= 3


def test_every_line_of_a_failed_run_has_its_reason(failed: Failed) -> None:
    reasons = {(line["state"], (line["reason"] or "").partition(":")[0]) for line in failed.ran.lines}
    assert failed.ran.code == 3
    assert len(failed.ran.lines) == 15
    assert {state for state, _ in reasons} <= {"parsed", "deferred", "dead"}
    # The month's budget is the amount shown as well, and settling lowers the batch's charge before the month's.
    assert {reason for state, reason in reasons if state == "deferred"} <= {"batch_limit", "budget_month"}


# ------------------------------------------------------------------------------------------------ a limit of requests


@pytest.fixture(scope="module")
def limited(artefacts: Path, provider: Witness, tmp_path_factory: pytest.TempPathFactory) -> Ran:  # noqa: ARG001 -- built
    """Run eight rows with a limit of four requests, at a terminal; the provider refuses one of the rows."""
    provider.fail(by_text={"Unbearable": "invalid_prompt"})
    folder = tmp_path_factory.mktemp("limited")
    rows = videos(8, "Limited")
    rows[0]["title"] = "Alan Kay - The Unbearable Limited Talk"
    (folder / "list.jsonl").write_bytes(lines(rows))
    ours, theirs = os.openpty()
    done = ran(
        *("run", folder / "list.jsonl", "--state", folder / "state", "--tier", "model", "--yes"),
        *parameters({"BatchRequestLimit": "4", "MaxConcurrency": "2"}),
        base_url=provider.base_url,
        stdin=theirs,
    )
    os.close(ours)
    os.close(theirs)
    return done


def test_a_run_at_its_limit_of_requests_ends_with_3(limited: Ran, provider: Witness) -> None:
    assert limited.code == 3
    assert provider.asked("Limited").total() == 4


def test_yes_skips_the_confirmation_at_a_terminal(limited: Ran) -> None:
    assert "At most 4 requests" in " ".join(limited.told.split())
    assert "Continue?" not in limited.told


def test_every_line_has_the_state_of_its_video_and_the_reason(limited: Ran) -> None:
    reasons = Counter((line["state"], (line["reason"] or "").partition(":")[0]) for line in limited.lines)
    assert [line["id"] for line in limited.lines] == [f"v{number}" for number in range(1, 9)]
    assert all(list(line) == FIELDS for line in limited.lines)
    assert reasons[("deferred", "batch_limit")] == 4
    assert reasons[("parsed", "")] == 4


def test_only_videos_that_the_model_was_asked_about_cost_anything(limited: Ran) -> None:
    paid = [line["id"] for line in limited.lines if line["cost_micro_usd"] and line["tokens"]["output"]]
    assert paid == [line["id"] for line in limited.lines if line["state"] != "deferred"]


# ----------------------------------------------------------------------------------------------- an open breaker


@pytest.mark.usefixtures("artefacts")
def test_a_run_says_why_it_waits_while_it_waits_and_when_it_ends(provider: Witness, tmp_path: Path) -> None:
    provider.reset()
    provider.fail(always="unauthorized")
    (tmp_path / "list.jsonl").write_bytes(lines(videos(3, "Waiting")))
    done = ran_here(
        *("run", tmp_path / "list.jsonl", "--state", tmp_path / "state", "--tier", "model"),
        base_url=provider.base_url,
    )
    assert done.code == 3, done.told
    told = " ".join(done.told.split())
    assert told.count("The breaker has been open since") >= 2, done.told
    assert "(401)" in told or " 401" in told, done.told
    assert "remove the cause, then run the same command again." in told, done.told
