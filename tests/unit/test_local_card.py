"""The card beside the weights: their training data, their protocol, and their scores on unseen communities."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from titlecard.extraction.model import WEIGHTS, shipped
from training.train import PROTOCOL

CARD: dict[str, Any] = json.loads(Path(WEIGHTS).with_name("card.json").read_text(encoding="utf-8"))
COMMUNITIES = ("talks-dev", "talks-ruby", "talks-cat")
SMALL_ENOUGH = 600_000
"""The most bytes of weights."""

LEAST = {"all.both": 0.94, "kept": 0.85, "kept_precision": 0.97}
"""The lowest scores that training may reach, on each community that a model has never seen."""

MOST_INVENTED = 0.015
"""The highest share of rows with an invented name there."""


def test_the_card_describes_the_weights_beside_it() -> None:
    data = Path(WEIGHTS).read_bytes()
    assert CARD["weights"] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_the_weights_are_small() -> None:
    assert CARD["weights"]["bytes"] <= SMALL_ENOUGH


def test_the_card_states_the_protocol_and_the_data() -> None:
    assert CARD["protocol"] == PROTOCOL
    assert [each["name"] for each in CARD["datasets"]] == [f"{name}.jsonl" for name in COMMUNITIES]
    assert all(len(each["sha256"]) == 64 for each in CARD["datasets"])


def test_the_card_states_how_many_errors_come_from_the_labels() -> None:
    noise = CARD["label_noise"]
    assert (noise["dataset"], noise["read"]) == ("talks-dev", 100)
    assert 0 <= noise["fault_of_the_label"] <= noise["read"]


def test_every_community_is_measured_by_a_model_that_has_never_seen_it() -> None:
    measured = CARD["communities_never_seen"]
    rows = {each["name"].removesuffix(".jsonl"): each["rows"] for each in CARD["datasets"]}
    assert {name: figures["rows"] for name, figures in measured.items()} == rows


@pytest.mark.parametrize("community", COMMUNITIES)
def test_a_community_never_seen_is_answered_well(community: str) -> None:
    figures = CARD["communities_never_seen"][community]["figures"]
    assert {name: figures[name] for name, least in LEAST.items() if figures[name] < least} == {}
    assert figures["all.invented"] <= MOST_INVENTED


@pytest.mark.parametrize("community", COMMUNITIES)
@pytest.mark.parametrize("rows", ["with events", "without events"])
def test_a_community_in_one_file_is_answered_nearly_as_well_as_by_event(community: str, rows: str) -> None:
    measured = CARD["communities_never_seen"][community]
    assert measured["both_as_one_file"][rows] >= measured["figures"]["all.both"] - 0.01


def test_series_never_seen_of_known_communities_are_measured_beside_them() -> None:
    measured = CARD["cross_validation"]
    assert measured["rows"] == sum(each["rows"] for each in CARD["datasets"])
    for part in (measured, *measured.get("communities", {}).values()):
        assert {name: part["figures"][name] for name, least in LEAST.items() if part["figures"][name] < least} == {}
        assert part["figures"]["all.invented"] <= MOST_INVENTED


@pytest.mark.parametrize("community", COMMUNITIES)
def test_the_card_states_what_a_review_improves(community: str) -> None:
    review = CARD["communities_never_seen"][community]["review"]
    assert review["flagged_wrong"] > review["unflagged_wrong"]
    assert review["right_after"] >= CARD["communities_never_seen"][community]["figures"]["all.both"]


def test_the_thresholds_are_those_of_three_sources() -> None:
    assert shipped().thresholds.keys() == {"title", "description", "nobody"}
