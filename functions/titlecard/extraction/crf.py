"""A linear-chain conditional random field in plain Python: from weights to the best labels, and how sure they are."""

from __future__ import annotations

import math
from functools import cached_property
from operator import mul
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Decoded(NamedTuple):
    """The best labels, for each item the probability of each label, and the probability of the whole labelling."""

    labels: list[str]
    marginals: list[list[float]]
    probability: float


class Crf:
    """Weights in hundredths of a nat: of features (one a label), and of neighbours (`transitions[from][to]`)."""

    def __init__(
        self, labels: tuple[str, ...], features: Mapping[str, Sequence[int]], transitions: Sequence[Sequence[int]]
    ) -> None:
        self.labels = labels
        self.features = features
        self.transitions = transitions

    def decode(self, sequence: Sequence[Iterable[str]]) -> Decoded:
        """Label a sequence of items, each given by its features; features that training did not see weigh nothing."""
        if not sequence:
            return Decoded([], [], 1.0)
        scores = [self._scores(item) for item in sequence]
        path, best = self._best_path(scores)
        marginals, log_total = self._marginals(scores)
        return Decoded([self.labels[state] for state in path], marginals, math.exp(min(0.0, best - log_total)))

    @cached_property
    def _moves(self) -> list[list[float]]:
        """The transitions in nats."""
        return [[weight / 100 for weight in row] for row in self.transitions]

    @cached_property
    def _arrivals(self) -> list[list[float]]:
        """For each label, the factors by which a step to it from each label counts."""
        return [[math.exp(row[state]) for row in self._moves] for state in range(len(self.labels))]

    @cached_property
    def _departures(self) -> list[list[float]]:
        """For each label, the factors by which a step from it to each label counts."""
        return [[math.exp(move) for move in row] for row in self._moves]

    def _scores(self, item: Iterable[str]) -> list[float]:
        """The sum of an item's weights for each label, in nats."""
        known = self.features
        weights = [known[feature] for feature in item if feature in known]
        return [sum(column) / 100 for column in zip(*weights, strict=True)] if weights else [0.0] * len(self.labels)

    def _best_path(self, scores: list[list[float]]) -> tuple[list[int], float]:
        """Viterbi's algorithm: the states of the best labelling, and its score."""
        states, moves = range(len(self.labels)), self._moves
        best, origins = scores[0], []
        for row in scores[1:]:
            came, scored = [], []
            for state in states:
                ways = [before + move[state] for before, move in zip(best, moves, strict=True)]
                way = max(ways)
                came.append(ways.index(way))
                scored.append(way + row[state])
            best = scored
            origins.append(came)
        last = max(states, key=best.__getitem__)
        path = [last]
        for came in reversed(origins):
            path.append(came[path[-1]])
        return path[::-1], best[last]

    def _marginals(self, scores: list[list[float]]) -> tuple[list[list[float]], float]:
        """The forward-backward algorithm: the probability of each label of each item, and the log of the total.

        What is passed on from item to item is scaled to a sum of one, so that nothing overflows.
        """
        tops = [max(row) for row in scores]
        weights = [[math.exp(score - top) for score in row] for row, top in zip(scores, tops, strict=True)]
        log_total, passed = sum(tops), [1.0] * len(self.labels)
        forward: list[list[float]] = []
        for weight in weights:
            if forward:
                passed = [sum(map(mul, forward[-1], factors)) for factors in self._arrivals]
            reached = list(map(mul, passed, weight))
            scale = sum(reached)
            log_total += math.log(scale)
            forward.append([each / scale for each in reached])
        marginals = [forward[-1]]
        backward = [1.0] * len(self.labels)
        for before, weight in zip(forward[-2::-1], weights[:0:-1], strict=True):
            behind = list(map(mul, backward, weight))
            backward = [sum(map(mul, factors, behind)) for factors in self._departures]
            joint = list(map(mul, before, backward))
            scale = sum(joint)
            marginals.append([each / scale for each in joint])
            scale = sum(backward)
            backward = [each / scale for each in backward]
        return marginals[::-1], log_total
