"""From an answer to a talk: provenance, flags, and ungrounded words."""

from __future__ import annotations

from titlecard.domain.money import Amount, Measured
from titlecard.domain.reasons import Review
from titlecard.domain.video import Tier, Tokens, Video
from titlecard.extraction import LocalParse
from titlecard.llm import Answer
from titlecard.pipeline.talks import (
    DISAGREES_FROM,
    GARBLED_CONFIDENCE,
    by_local_tier,
    by_model,
)

VIDEO = Video(id="1", title="Compilers by Grace Hopper | PyCon 2019", description="With Ada Lovelace.")
SURE = LocalParse("Compilers", ("Grace Hopper",), 0.97, sure=True, source="title")
UNSURE = LocalParse("Compilers", ("Grace Hopper",), 0.4, sure=False, source="title")
INVENTED = LocalParse("Interpreters", ("Nobody Atall",), 0.97, sure=True, source="title")
CHARGE = Amount(requests=1, input_tokens=200, output_tokens=30, micro_usd=70)


def test_a_sure_local_answer_is_a_talk_without_a_flag() -> None:
    talk = by_local_tier(VIDEO, SURE)
    assert (talk.title, talk.presenters, talk.tier, talk.review) == ("Compilers", ("Grace Hopper",), Tier.LOCAL, None)


def test_an_unsure_local_answer_is_flagged() -> None:
    assert by_local_tier(VIDEO, UNSURE).review == Review.LOW_CONFIDENCE


def test_a_talk_of_text_that_lost_characters_is_flagged_and_not_trusted() -> None:
    video = Video(id="1", title="Warteschlangen f\ufffdr alle by Grace Hopper")
    answer = LocalParse("Warteschlangen f\ufffdr alle", ("Grace Hopper",), 0.97, sure=True, source="title")
    talk = by_local_tier(video, answer)
    assert (talk.review, talk.confidence) == (Review.GARBLED, GARBLED_CONFIDENCE)


def test_a_row_that_names_its_presenters_makes_a_given_talk() -> None:
    video = VIDEO.model_copy(update={"presenters": ("Barbara Liskov",)})
    given = LocalParse("Compilers", ("Barbara Liskov",), 0.97, sure=True, source="given")
    talk = by_local_tier(video, given)
    assert (talk.presenters, talk.tier, talk.review) == (("Barbara Liskov",), Tier.GIVEN, None)


def test_a_text_that_names_others_than_the_given_presenters_is_flagged() -> None:
    video = VIDEO.model_copy(update={"presenters": ("Barbara Liskov",)})
    given = LocalParse("Compilers", ("Barbara Liskov",), 0.97, sure=True, source="given", others=("Grace Hopper",))
    talk = by_local_tier(video, given)
    assert (talk.presenters, talk.review) == (("Barbara Liskov",), Review.PRESENTERS_DISAGREE)


def test_a_local_answer_costs_nothing() -> None:
    talk = by_local_tier(VIDEO, SURE)
    assert (talk.tokens, talk.cost_micro_usd, talk.model) == (Tokens(), 0, None)


def test_a_local_answer_that_replaces_a_models_is_flagged_with_the_reason() -> None:
    assert by_local_tier(VIDEO, SURE, flaw="refused").review == "refused"


def test_a_local_answer_that_replaces_a_models_has_that_answers_cost() -> None:
    talk = by_local_tier(VIDEO, UNSURE, flaw="refused", charged=CHARGE, model="gpt-6-luna")
    assert (talk.tokens, talk.cost_micro_usd, talk.model) == (Tokens(input=200, output=30), 70, "gpt-6-luna")


def test_the_given_title_stays_if_even_the_local_answer_is_ungrounded() -> None:
    talk = by_local_tier(VIDEO, INVENTED)
    assert (talk.title, talk.presenters, talk.review) == (VIDEO.title, (), Review.UNGROUNDED)


def test_a_grounded_model_answer_becomes_a_model_talk() -> None:
    talk = by_model(
        VIDEO, UNSURE, Answer("Compilers", ("Ada Lovelace",), Measured(CHARGE)), "gpt-6-luna", charged=CHARGE
    )
    assert (talk.presenters, talk.tier, talk.model, talk.review) == (
        ("Ada Lovelace",),
        Tier.MODEL,
        "gpt-6-luna",
        None,
    )


def test_different_people_from_a_confident_local_tiers_are_flagged() -> None:
    local = UNSURE._replace(confidence=DISAGREES_FROM)
    talk = by_model(
        VIDEO, local, Answer("Compilers", ("Ada Lovelace",), Measured(CHARGE)), "gpt-6-luna", charged=CHARGE
    )
    assert (talk.presenters, talk.tier, talk.review) == (("Ada Lovelace",), Tier.MODEL, Review.TIERS_DISAGREE)


def test_different_people_from_an_unsure_local_tiers_are_a_correction() -> None:
    local = UNSURE._replace(confidence=DISAGREES_FROM - 0.01)
    assert (
        by_model(
            VIDEO, local, Answer("Compilers", ("Ada Lovelace",), Measured(CHARGE)), "gpt-6-luna", charged=CHARGE
        ).review
        is None
    )


def test_the_same_people_in_another_spelling_or_order_are_no_disagreement() -> None:
    local = SURE._replace(presenters=("Grace Hopper", "Ada Lovelace"))
    answer = Answer("Compilers", ("ada lovelace", "Grace  Hopper"), Measured(CHARGE))
    assert by_model(VIDEO, local, answer, "gpt-6-luna", charged=CHARGE).review is None


def test_a_different_title_is_no_disagreement() -> None:
    answer = Answer("Compilers by Grace Hopper", ("Grace Hopper",), Measured(CHARGE))
    assert by_model(VIDEO, SURE, answer, "gpt-6-luna", charged=CHARGE).review is None


def test_a_model_talk_says_what_it_cost() -> None:
    talk = by_model(VIDEO, UNSURE, Answer("Compilers", (), Measured(CHARGE)), "gpt-6-luna", charged=CHARGE)
    assert (talk.tokens, talk.cost_micro_usd) == (Tokens(input=200, output=30), 70)


def test_a_title_invented_by_the_model_is_never_in_a_talk() -> None:
    talk = by_model(VIDEO, UNSURE, Answer("Something Invented", (), Measured(CHARGE)), "gpt-6-luna", charged=CHARGE)
    assert (talk.title, talk.tier, talk.review) == ("Compilers", Tier.LOCAL, Review.UNGROUNDED)


def test_a_presenter_invented_by_the_model_is_never_in_a_talk() -> None:
    talk = by_model(
        VIDEO, UNSURE, Answer("Compilers", ("Nobody Atall",), Measured(CHARGE)), "gpt-6-luna", charged=CHARGE
    )
    assert (talk.presenters, talk.tier, talk.review) == (("Grace Hopper",), Tier.LOCAL, Review.UNGROUNDED)


def test_an_ungrounded_answer_is_still_paid_for() -> None:
    talk = by_model(VIDEO, UNSURE, Answer("Something Invented", (), Measured(CHARGE)), "gpt-6-luna", charged=CHARGE)
    assert (talk.tokens, talk.cost_micro_usd) == (Tokens(input=200, output=30), 70)
