"""The field's algorithms, compared with the full sums that they abbreviate."""

from __future__ import annotations

import itertools
import math

import pytest

from titlecard.extraction.crf import Crf
from titlecard.extraction.model import Model
from titlecard.extraction.names import Lexicon

FIELD = Crf(
    labels=("A", "B", "C"),
    features={"x": (120, -30, 0), "y": (-50, 80, 10), "z": (0, 40, 90)},
    transitions=((50, -20, 0), (-100, 30, 40), (10, 0, -60)),
)
SEQUENCE = [["x"], ["y", "z"], ["unknown"], ["z"]]


def score(path: tuple[int, ...]) -> float:
    items = sum(
        FIELD.features[f][state]
        for item, state in zip(SEQUENCE, path, strict=True)
        for f in item
        if f in FIELD.features
    )
    return (items + sum(FIELD.transitions[a][b] for a, b in itertools.pairwise(path))) / 100


PATHS = list(itertools.product(range(3), repeat=len(SEQUENCE)))
TOTAL = sum(math.exp(score(path)) for path in PATHS)


def test_the_best_labelling_is_the_one_with_the_highest_score() -> None:
    best = max(PATHS, key=score)
    assert FIELD.decode(SEQUENCE).labels == [FIELD.labels[state] for state in best]


def test_the_best_labellings_probability_is_its_share_of_all_labellings() -> None:
    assert FIELD.decode(SEQUENCE).probability == pytest.approx(max(math.exp(score(path)) for path in PATHS) / TOTAL)


def test_a_marginal_is_the_share_of_all_labellings_with_that_label() -> None:
    share = sum(math.exp(score(path)) for path in PATHS if path[1] == 2) / TOTAL
    assert FIELD.decode(SEQUENCE).marginals[1][2] == pytest.approx(share)


def test_an_empty_sequence_has_an_empty_labelling() -> None:
    assert FIELD.decode([]).labels == []


def test_huge_weights_do_not_overflow() -> None:
    field = Crf(("A", "B"), {"x": (10**7, -(10**7))}, ((0, 0), (0, 0)))
    assert field.decode([["x"], ["x"]]).probability == 1.0


def test_a_model_comes_back_from_its_file() -> None:
    lexicon = Lexicon({"anna": 6, "the": -9}, {"ova": 4}, frozenset({"anna"}))
    model = Model(lexicon, FIELD, FIELD, FIELD, {"title": 0.9})
    assert Model.from_bytes(model.to_bytes()).to_bytes() == model.to_bytes()
