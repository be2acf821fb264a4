"""The parts of the incident's replay: the provider's record of bills, the kills, the scaled settings, the picture."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from tests.incident import django_q2, titlecard_run
from tests.incident.__main__ import FIRST, OURS, RIVALS, SCALE, table
from tests.incident.provider import Entry, SlowProvider, curve, process_at, sums

from titlecard.domain.text import normalise
from titlecard_console.local_cloud import template

TITLE, VIDEO = "Ada Lovelace\u00a0- Notes", "v1"
ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], data=sys.argv[2].encode(), headers={"content-type": "application/json"})
with urllib.request.urlopen(request) as answer:
    answer.read()
"""


def body(title: str) -> str:
    """Return a request about a video with the fields that the provider reads."""
    about = {"title": title, "guess": {"title": "Notes", "presenters": ["Ada Lovelace"]}}
    return json.dumps(
        {
            "model": "gpt-6-luna",
            "service_tier": "default",
            "max_output_tokens": 400,
            "text": {"format": {"type": "json_schema", "strict": True}},
            "input": [{"role": "user", "content": json.dumps(about)}],
        }
    )


def ask(provider: SlowProvider) -> int:
    """Ask about the video from a separate process; return its exit code."""
    command = [sys.executable, "-c", ASK, f"{provider.base_url}/responses", body(normalise(TITLE))]
    return subprocess.run(command, check=False, timeout=60).returncode  # noqa: S603 -- titlecard_run


def test_the_record_says_what_was_billed_for_each_video() -> None:
    with SlowProvider({TITLE: VIDEO}, scale=60, seconds_a_call=0) as provider:
        assert ask(provider) == 0
        bill = provider.bill()
        (entry,) = provider.entries
    assert entry.video == VIDEO
    assert entry.tokens == bill["input_tokens"] + bill["output_tokens"]
    assert list(provider.bodies) == [VIDEO]


def test_a_process_that_asks_about_a_deadly_video_is_killed_after_it_has_paid() -> None:
    with SlowProvider({TITLE: VIDEO}, scale=60, seconds_a_call=0, deadly=[VIDEO]) as provider:
        assert ask(provider) == -signal.SIGKILL
        assert (len(provider.entries), provider.kills) == (1, 1)


def test_a_port_that_no_process_holds_belongs_to_none() -> None:
    with pytest.raises(ProcessLookupError, match="nobody holds port 1"):
        process_at(1)


ENTRIES = [Entry(100.0, "a", 10), Entry(1900.0, "b", 20), Entry(3700.0, "a", 30)]


def test_sums_of_a_record_add_up_its_entries() -> None:
    come_to = sums(ENTRIES)
    assert (come_to.requests, come_to.tokens, come_to.videos) == (3, 60, 2)
    assert (come_to.again, come_to.most, come_to.seconds) == (1, 2, 3600.0)


def test_an_empty_record_has_empty_sums() -> None:
    assert sums([]).tokens == 0
    assert curve([], 10) == []


def test_a_curve_rises_from_the_first_request_to_all_that_was_billed() -> None:
    assert curve(ENTRIES, 10) == [(0.0, 10), (0.5, 30), (1.0, 60)]


@pytest.mark.parametrize("points", [2, 7, 90])
def test_a_curve_has_no_more_points_than_asked_for_and_ends_with_all(points: int) -> None:
    whole = [Entry(float(number), "a", 1) for number in range(1_000)]
    drawn = curve(whole, points)
    assert len(drawn) <= points
    assert drawn[-1][1] == 1_000


@pytest.mark.parametrize("situation", OURS, ids=lambda it: it.name)
def test_the_template_accepts_the_scaled_numbers_for_titlecard(situation: Any) -> None:  # noqa: ANN401 -- a Situation
    scaled = titlecard_run.parameters(dict(situation.changed), SCALE)
    template.load().values({name: str(value) for name, value in scaled.items()})


def test_the_scaled_times_of_django_q2_are_ninety_and_sixty_seconds() -> None:
    (incident, *_), scaled = (
        RIVALS,
        django_q2.settings(RIVALS[0].work or django_q2.Work(one_by_one=True, retry=0), SCALE),
    )
    assert incident.name == "Django-Q2, the incident"
    assert (scaled["timeout"] * SCALE, scaled["retry"] * SCALE) == (90, 60)
    assert "max_attempts" not in scaled


# --------------------------------------------------------------------------------------------------------- the picture


@pytest.fixture
def results() -> dict[str, Any]:
    """Return equal results for every situation: the worst case, in which all labels would overlap."""
    sums_ = {"requests": 3, "tokens": 60, "again": 1, "most": 2, "seconds": 3600.0}
    names = [situation.name for situation in (FIRST, *OURS, *RIVALS)]
    return {
        "videos": 2,
        "hours": 1.5,
        "situations": [{"name": name, "curve": [[0.0, 10], [0.5, 30], [1.0, 60]], **sums_} for name in names],
    }


def test_the_table_has_a_row_for_every_situation(results: dict[str, Any]) -> None:
    rows = table(results).splitlines()
    assert len(rows) == 2 + len(results["situations"])
    assert rows[2] == "| Titlecard | 3 | 60 |  |  | 1 of 2 | 2 | 1.00 h |"
