"""The parts of the race of peers that need no contender: the rules, the rows, the provider and its bill."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from tests.benchmarks.peers import dataset, report, rules
from tests.benchmarks.peers.contenders import CONTENDERS, HERE, ask
from tests.benchmarks.peers.provider import RaceProvider
from tests.benchmarks.peers.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = dataset.load(None, 58, seed=1)
QUICK = Workload("quick", latency=0.0)


def provider(workload: Workload = QUICK, *, truth: float = 1.0, rows: Sequence[dataset.Row] = ROWS) -> RaceProvider:
    return RaceProvider(rows, workload, truth=truth, seed=7, cap=1000)


def post(there: RaceProvider, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(f"{there.base_url}{path}", data=json.dumps(body).encode())  # noqa: S310 -- loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- likewise
        return dict(json.load(answer))


def order(there: RaceProvider) -> dict[str, Any]:
    return {"model": "m", "instructions": dataset.INSTRUCTIONS_FOR_PEERS, "base_url": there.base_url, "key": "sk-x"}


@pytest.mark.parametrize(
    ("title", "event", "expected"),
    [
        ("RubyConf AU 2013: From Stubbies to Longnecks by Geoffrey Giesemann", "RubyConf AU 2013",
         ("From Stubbies to Longnecks", ["Geoffrey Giesemann"])),
        ("RailsConf 2022 - Spacecraft! The care of a legacy ... by Annie Lydens & Jenny Allar", "RailsConf 2022",
         ("Spacecraft! The care of a legacy ...", ["Annie Lydens", "Jenny Allar"])),
        ("RubyConf AU 2017 - Writing a Gameboy emulator in Ruby, by Colby Swandale", "RubyConf AU 2017",
         ("Writing a Gameboy emulator in Ruby", ["Colby Swandale"])),
        ("RubyConf AU 2013: Lightning Talks", "RubyConf AU 2013", ("Lightning Talks", [])),
    ],
)  # fmt: skip
def test_the_rules_read_what_their_authors_test(title: str, event: str, expected: tuple[str, list[str]]) -> None:
    assert rules.rubyevents(title, event) == expected


def test_split_takes_the_part_made_of_names_for_the_presenters() -> None:
    assert rules.split("Carl Meyer - Type-checked Python - PyCon 2018", "") == ("Type-checked Python", ["Carl Meyer"])


def test_every_row_of_the_sample_has_an_answer_and_a_title_of_its_own() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS) == 58


def test_every_contender_has_its_program() -> None:
    assert all(one.rule or (HERE / f"{one.module}.py").exists() for one in CONTENDERS)


def test_the_provider_answers_in_the_form_that_is_asked_for() -> None:
    row = ROWS[0]
    turn = [{"role": "user", "content": row.prompt}]
    with provider() as there:
        call = post(there, "/responses", {"model": "m", "input": turn, "tools": [{"name": "talk"}]})["output"][0]
        tools = [{"type": "function", "function": {"name": "Talk"}}]
        chat = post(there, "/chat/completions", {"model": "m", "messages": turn, "tools": tools})["choices"][0]
        asked = [{"role": "user", "content": f"Instructions\nQ: {row.text}\nA: "}]
        document = post(there, "/chat/completions", {"model": "m", "messages": asked})["choices"][0]["message"]
        plain = ask.ask(order(there), row.prompt)
    wanted = {"title": row.expected_title, "presenters": list(row.expected_presenters)}
    found = json.loads(document["content"])["extractions"]
    assert json.loads(call["arguments"]) == wanted
    assert json.loads(chat["message"]["tool_calls"][0]["function"]["arguments"]) == wanted
    assert [it["title"] for it in found if "title" in it] == [row.expected_title]
    assert plain == wanted


def test_a_row_that_is_asked_about_again_was_paid_twice_with_the_answer_in_hand() -> None:
    with provider() as there:
        for row in (ROWS[0], ROWS[0], ROWS[1]):
            ask.ask(order(there), row.prompt)
        bill = there.sums
    assert (bill.requests, bill.billed, bill.worst, bill.again, bill.again_after_an_answer) == (3, 3, 2, 1, 1)


def test_two_contenders_meet_the_same_faults() -> None:
    def fates() -> list[str]:
        met = []
        with provider(Workload("faults", latency=0.0, passing=0.4, poison=0.1)) as there:
            for row in ROWS[:30]:
                try:
                    met.append(str(ask.ask(order(there), row.prompt)))
                except (ValueError, ask.TransientFaultError) as error:
                    met.append(type(error).__name__)
        return met

    assert fates() == fates()


def test_a_storm_bills_nothing() -> None:
    with provider(Workload("storm", latency=0.0, storm=60.0)) as there:
        with pytest.raises(ask.TransientFaultError, match="429"):
            ask.ask(order(there), ROWS[0].prompt)
        assert (there.sums.requests, there.sums.billed) == (1, 0)


def test_the_provider_answers_right_for_the_configured_share() -> None:
    with provider(truth=0.5) as there:
        talks = [ask.ask(order(there), row.prompt) for row in ROWS]
    right = sum(row.is_right(it["title"], it["presenters"]) for row, it in zip(ROWS, talks, strict=True))
    assert 0.3 * len(ROWS) < right < 0.7 * len(ROWS)


def test_no_text_of_a_row_is_on_the_page() -> None:
    row = ROWS[0]
    said = (
        f"failed: {row.id} ({row.title}, {row.expected_title}) by {row.expected_presenters[0]} in /tmp/some/where/x.py"
    )
    assert report.masked(said, ROWS) == "failed: VIDEO (TITLE, TITLE) by NAME in …/x.py"


def run(contender: str, workload: str = "healthy", **changed: object) -> dict[str, Any]:
    bill = {"requests": 10, "tokens": 1000, "worst": 1, "again": 0, "again_after_an_answer": 0, "kills": 0}
    usual = {"finished": 10, "failed": 0, "waiting": 0, "lost": 0, "right": 9, "review": 0, "wall": 20.0, "stopped": ""}
    figures = {
        "peak_mb": 100.0,
        "workers_mb": 0.0,
        "starved": 0,
        "latency": 0.5,
        "ideal": 5.0,
        "round": 0,
        "bill": bill,
    }
    return {"contender": contender, "workload": workload, **usual, **figures, **changed}


def test_the_page_says_where_a_peer_is_better() -> None:
    runs = [run("Titlecard (cascade)"), run("Celery", wall=9.0), run("LangExtract", right=3)]
    page = "\n".join(report.better(report.Race(runs, ROWS, {}, {})))
    assert "- A healthy provider: wall, s 20.0, but Celery 9.0." in page
    assert "LangExtract" not in page
    runs[0] = run("Titlecard (cascade)", wall=None)
    page = "\n".join(report.better(report.Race(runs, ROWS, {}, {})))
    assert "wall, s no end, but LangExtract 20.0, Celery 9.0." in page


def test_the_page_shows_medians_and_spreads_and_who_was_stopped() -> None:
    runs = [run("Celery", wall=wall) for wall in (9.0, 11.0, 30.0)]
    runs.append(run("LangExtract", wall=None, stopped="deadline"))
    runs += [run("Django-Q2 (repaired)", wall=wall) for wall in (None, 8.8, None)]
    page = "\n".join(report.tables(report.Race(runs, ROWS, {}, {})))
    assert "11.0 (9.0\u201330.0)" in page
    assert "| no end | no end |" in page
    assert "| no end (8.8\u2013no end) |" in page, "a run without an end is longer than any other"
    assert "LangExtract did not end by itself in 1 of 1 runs (deadline)." in page
    assert "| Titlecard (cascade) | not raced |" in page


def test_a_request_about_no_row_is_refused_and_counted() -> None:
    with provider() as there:
        with pytest.raises(urllib.error.HTTPError, match="400") as refusal:
            post(there, "/responses", {"model": "m", "input": "nothing"})
        refusal.value.close()
        assert there.sums.unknown == 1
