"""The figures of the score table, on answers made for these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from titlecard.domain.video import Tier, Video
from titlecard_console.evaluation import Case, Result, by_local_tier, drops, norm, run, score, table

if TYPE_CHECKING:
    from titlecard.extraction.survey import Survey


def case(
    number: int, title: str = "Compilers", names: tuple[str, ...] = ("Ada Byron",), kind: str = "names_in_title"
) -> Case:
    return Case(Video(id=str(number), title=f"{title} - {' '.join(names)}"), "devconf", kind, title, names)


def result(title: str = "Compilers", names: tuple[str, ...] = ("Ada Byron",), confidence: float = 0.9) -> Result:
    return Result(title, names, confidence, sure=confidence > 0.5)


def test_punctuation_accents_and_case_make_no_difference() -> None:
    assert norm("  Zoë's “Talk”! ") == norm("zoe s talk")


def test_a_row_is_right_if_its_title_and_its_presenters_are() -> None:
    answers = [result(), result(title="Linkers"), result(names=()), result(names=("ADA BYRON",))]
    scores = score([case(n) for n in range(4)], answers)
    assert (scores.groups["all"].title, scores.groups["all"].presenters, scores.groups["all"].both) == (0.75, 0.75, 0.5)


def test_an_unexpected_name_counts_as_invented() -> None:
    scores = score([case(1, names=(), kind="no_names"), case(2)], [result(names=("Eve Mallory",)), result()])
    assert (scores.groups["no_names"].invented, scores.groups["names_in_title"].invented) == (1.0, 0.0)


def test_presenters_have_precision_and_recall() -> None:
    group = score(
        [case(1, names=("Ada Byron", "Omar Haddad"))], [result(names=("Ada Byron", "Eve", "Bob", "Carol"))]
    ).groups["all"]
    assert (group.presenter_precision, group.presenter_recall) == (0.25, 0.5)


def test_coverage_keeps_the_most_confident_rows_while_they_are_right() -> None:
    answers = [
        result(confidence=0.9),
        result(confidence=0.8),
        result(title="x", confidence=0.7),
        result(confidence=0.6),
    ]
    assert score([case(n) for n in range(4)], answers).coverage["0.99"] == 0.5


def test_rows_of_equal_confidence_are_kept_or_left_together() -> None:
    answers = [result(confidence=0.8), result(title="x", confidence=0.8)]
    assert score([case(n) for n in range(2)], answers).coverage["0.9"] == 0.0


def test_only_sure_answers_count_as_kept() -> None:
    scores = score([case(1), case(2)], [result(confidence=0.9), result(title="x", confidence=0.1)])
    assert (scores.kept, scores.kept_precision) == (0.5, 1.0)


def test_tokens_and_cost_are_added_up() -> None:
    answers = [
        Result("Compilers", (), 0.9, tier=Tier.MODEL, input_tokens=300, output_tokens=40, cost_micro_usd=120)
    ] * 2
    scores = score([case(1), case(2)], answers)
    assert (scores.sent_to_model, scores.input_tokens, scores.output_tokens, scores.cost_micro_usd) == (2, 600, 80, 240)


def test_a_data_set_without_rows_has_no_score() -> None:
    with pytest.raises(ValueError, match="no rows"):
        score([], [])


def test_a_fall_below_the_baseline_is_named_with_both_figures() -> None:
    scores = score([case(1), case(2)], [result(), result(title="x")])
    assert drops(scores, {"all.both": 0.9}) == ["all.both was 0.9000 and is 0.5000."]


def test_more_invented_names_count_as_a_fall() -> None:
    assert drops(score([case(1)], [result(names=("Eve",))]), {"all.invented": 0.0}) == [
        "all.invented was 0.0000 and is 1.0000."
    ]


def test_a_rise_above_the_baseline_is_not_reported() -> None:
    assert drops(score([case(1)], [result()]), {"all.both": 0.5, "all.invented": 0.5}) == []


def test_each_event_is_surveyed_as_one_batch() -> None:
    seen: list[Survey] = []

    def answer(_: Video, survey: Survey) -> Result:
        seen.append(survey)
        return result()

    other = Case(Video(id="9", title="Alone"), "elsewhere", "no_names", "Alone", ())
    run([case(1), other, case(2)], answer)
    assert [survey.rows for survey in seen] == [2, 1, 2]


def test_a_line_of_a_data_set_becomes_a_case() -> None:
    row = {
        "id": "1",
        "title": "A - B",
        "description": None,
        "event": "e",
        "kind": "k",
        "expected": {"title": "A", "presenters": ["B"]},
    }
    assert Case.of(row) == Case(Video(id="1", title="A - B"), "e", "k", "A", ("B",))


def test_the_table_shows_every_group() -> None:
    answers = run([case(1)], by_local_tier)
    assert "names_in_title" in table(score([case(1)], answers))
