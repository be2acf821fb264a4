"""`titlecard eval`: it asks the model at most once per row, and never for more than it has shown."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from titlecard.domain.reasons import Reason
from titlecard.domain.video import Policy, Tier, Video
from titlecard.extraction.surveying import take_survey
from titlecard_console import evaluation
from titlecard_console.cli import app
from titlecard_console.errors import CommandError
from titlecard_console.evaluation import Case, score

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.provider import LoopbackProvider

    from titlecard.domain.money import Amount
    from titlecard.extraction.survey import Survey
    from titlecard.llm import ModelTier

KEY = "sk-of-the-tests"


def cases(number: int = 6) -> list[Case]:
    """Return rows of one event; `local_tier` is sure of the even ones."""
    return [
        Case(
            Video(id=f"{'unsure' if n % 2 else 'sure'}-{n}", title=f"Talk number {n} by Grace Hopper | PyCon 2019"),
            "pycon",
            "names_in_title",
            f"Talk number {n}",
            ("Grace Hopper",),
        )
        for n in range(number)
    ]


def lines(path: Path, given: list[Case]) -> Path:
    """Write the cases as a data set."""
    content = [
        {
            "id": it.video.id,
            "title": it.video.title,
            "event": it.event,
            "kind": it.kind,
            "expected": {"title": it.title, "presenters": list(it.presenters)},
        }
        for it in given
    ]
    path.write_text("".join(json.dumps(it) + "\n" for it in content), encoding="utf-8")
    return path


def asked(tier: ModelTier, given: list[Case], policy: Policy = Policy.AUTO, at_once: int = 1) -> evaluation.ModelRun:
    return evaluation.ask(evaluation.plan(given, tier, policy), tier, key=KEY, deadline=60, at_once=at_once)


@pytest.mark.usefixtures("local_tier")
def test_auto_asks_about_rows_that_the_local_tier_is_unsure_of(tier: ModelTier, provider: LoopbackProvider) -> None:
    done = asked(tier, cases())
    assert [it.tier for it in done.results] == [Tier.LOCAL, Tier.MODEL] * 3
    assert len(provider.posts) == 3
    assert done.faults == {}


@pytest.mark.usefixtures("local_tier")
def test_model_asks_about_every_row(tier: ModelTier, provider: LoopbackProvider) -> None:
    asked(tier, cases(), Policy.MODEL, at_once=4)
    assert len(provider.posts) == 6


@pytest.mark.usefixtures("local_tier")
def test_the_scores_include_the_bill(tier: ModelTier, provider: LoopbackProvider) -> None:
    given = cases()
    scores = score(given, asked(tier, given).results)
    assert scores.sent_to_model == 3
    assert scores.input_tokens == sum(post.input_tokens for post in provider.posts)
    assert scores.output_tokens == sum(post.output_tokens for post in provider.posts)
    assert scores.cost_micro_usd > 0


@pytest.mark.usefixtures("local_tier")
def test_a_row_without_a_kind_is_counted_once(tier: ModelTier) -> None:
    given = [replace(it, kind="all") for it in cases()]
    assert {name: group.rows for name, group in score(given, asked(tier, given).results).groups.items()} == {"all": 6}


@pytest.mark.usefixtures("local_tier")
def test_a_charge_is_at_most_the_bound(tier: ModelTier, provider: LoopbackProvider) -> None:
    planned = evaluation.plan(cases(), tier, Policy.AUTO)
    provider.fail(always="bad_gateway")
    results = evaluation.ask(planned, tier, key=KEY, deadline=60, at_once=2).results
    charged = sum(it.cost_micro_usd for it in results)
    assert 0 < charged <= planned.bound.micro_usd


@pytest.mark.usefixtures("local_tier")
def test_a_row_without_an_answer_keeps_the_local_one_and_is_counted(
    tier: ModelTier, provider: LoopbackProvider
) -> None:
    given = cases()
    provider.fail("server_error", "refusal")
    done = asked(tier, given)
    assert done.faults == {Reason.PROVIDER_ERROR: 1, Reason.REFUSED: 1}
    assert [it.title for it in done.results] == [it.title for it in given]


@pytest.mark.usefixtures("local_tier")
def test_a_fault_of_the_account_ends_the_asking(tier: ModelTier, provider: LoopbackProvider) -> None:
    provider.fail(always="unauthorized")
    done = asked(tier, cases())
    assert done.faults == {Reason.ACCOUNT_FAULT: 1, evaluation.NOT_ASKED: 2}
    assert len(provider.posts) == 1


@pytest.mark.usefixtures("local_tier")
def test_an_interrupt_sends_no_further_requests(tier: ModelTier, provider: LoopbackProvider) -> None:
    def interrupt(_done: int, _charged: Amount) -> None:
        raise KeyboardInterrupt

    planned = evaluation.plan(cases(60), tier, Policy.AUTO)
    with pytest.raises(KeyboardInterrupt):
        evaluation.ask(planned, tier, key=KEY, deadline=60, at_once=1, on_progress=interrupt)
    assert len(provider.posts) < len(planned.requests)


def test_each_event_is_surveyed_as_one_batch(tier: ModelTier, monkeypatch: pytest.MonkeyPatch) -> None:
    surveyed: list[list[Video]] = []

    def recorded(videos: Iterable[Video]) -> Survey:
        surveyed.append(list(videos))
        return take_survey(surveyed[-1])

    monkeypatch.setattr(evaluation, "take_survey", recorded)
    other = Case(Video(id="9", title="Alone"), "elsewhere", "no_names", "Alone", ())
    evaluation.plan([*cases(2), other], tier, Policy.LOCAL)
    assert [len(videos) for videos in surveyed] == [2, 1]


# ------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def dataset(tmp_path: Path, local_tier: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    assert local_tier == []
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return lines(tmp_path / "talks.jsonl", cases())


def test_the_bound_is_shown_first_and_the_bill_last(dataset: Path, provider: LoopbackProvider) -> None:
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    done = CliRunner().invoke(app, ["eval", str(dataset), "--tier", "auto", "--yes"], env=environment)
    assert done.exit_code == 0, done.output
    assert "6 rows, 3 of them for gpt-6-luna. At most 3 requests" in done.stderr
    assert "sent to the model: 3 rows" in done.stdout


def test_without_confirmation_the_model_is_not_asked(dataset: Path, provider: LoopbackProvider) -> None:
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    done = CliRunner().invoke(app, ["eval", str(dataset), "--tier", "auto"], env=environment)
    assert isinstance(done.exception, CommandError)
    assert "--yes" in str(done.exception)
    assert provider.posts == []


def test_an_interrupt_says_that_the_answers_are_lost(
    dataset: Path, provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "ask", interrupted)
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    done = CliRunner().invoke(app, ["eval", str(dataset), "--tier", "auto", "--yes"], env=environment)
    assert (done.exit_code, "their answers are lost" in done.stderr) == (130, True)


def test_the_model_needs_a_key(dataset: Path) -> None:
    done = CliRunner().invoke(app, ["eval", str(dataset), "--tier", "model"])
    assert isinstance(done.exception, CommandError)
    assert "OPENAI_API_KEY" in str(done.exception)


def test_the_model_is_not_asked_by_default(dataset: Path, provider: LoopbackProvider) -> None:
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    done = CliRunner().invoke(app, ["eval", str(dataset), "--json"], env=environment)
    assert json.loads(done.stdout)["all.both"] == 1
    assert provider.posts == []


def test_rows_without_an_answer_end_with_code_three(dataset: Path, provider: LoopbackProvider) -> None:
    provider.fail("server_error")
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    done = CliRunner().invoke(app, ["eval", str(dataset), "--tier", "auto", "--yes"], env=environment)
    assert done.exit_code == 3
    assert "1 row has the local answer: provider_error" in done.stderr


def test_a_drop_below_the_baseline_ends_with_code_three(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "baseline.json").write_text('{"all.invented": -1}', encoding="utf-8")
    done = CliRunner().invoke(app, ["eval", str(dataset), "--baseline", str(tmp_path / "baseline.json")])
    assert done.exit_code == 3
    assert "all.invented was -1.0000" in done.stderr


@pytest.mark.parametrize("content", [b"<html>", b"\xff", b'{"all.title": "high"}'])
def test_a_baseline_without_scores_is_refused(dataset: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "baseline.json").write_bytes(content)
    refusal = CliRunner().invoke(app, ["eval", str(dataset), "--baseline", str(tmp_path / "baseline.json")]).exception
    assert isinstance(refusal, CommandError)
    assert "baseline.json does not hold scores" in str(refusal)


def test_a_parameter_can_be_set(dataset: Path, provider: LoopbackProvider) -> None:
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    command = ["eval", str(dataset), "--tier", "auto", "--yes", "--set", "ServiceTier=priority"]
    done = CliRunner().invoke(app, command, env=environment)
    assert done.exit_code == 0, done.output
    assert {post.service_tier for post in provider.posts} == {"priority"}


ROW = '{"id": "a", "title": "A talk", "event": "pycon", "expected": {"title": %s, "presenters": %s}}'


@pytest.mark.parametrize(
    "line",
    [
        *('{"id": "a", "title": "A talk"}', "{not json", "[]", "\udcff"),
        *(ROW % ("null", "[]"), ROW % ('"A talk"', '"Ada"'), ROW % ('"A talk"', "[1]"), "[" * 100_000),
    ],
    ids=lambda line: f"{line:.80}",
)
def test_a_line_without_a_right_answer_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    dataset = lines(tmp_path / "talks.jsonl", cases(1))
    dataset.write_bytes(dataset.read_bytes() + line.encode("utf-8", "surrogateescape"))
    refusal = CliRunner().invoke(app, ["eval", str(dataset)]).exception
    assert isinstance(refusal, CommandError)
    assert f"{dataset}, line 2 is not a video with its right answer" in str(refusal)
