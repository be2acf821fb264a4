"""A linear-chain conditional random field in plain Python: from weights to the best labels, and how sure they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Decoded:
    """The best labels, for each item the probability of each label, and the probability of the whole labelling."""

    labels: list[str]
    marginals: list[list[float]]
    probability: float


@dataclass(frozen=True)
class Crf:
    """Weights in hundredths of a nat: of features (one a label), and of neighbours (`transitions[from][to]`)."""

    labels: tuple[str, ...]
    features: Mapping[str, Sequence[int]]
    transitions: Sequence[Sequence[int]]

    def decode(self, sequence: Sequence[Iterable[str]]) -> Decoded:
        """Label a sequence of items, each given by its features; features that training did not see weigh nothing."""
        if not sequence:
            return Decoded([], [], 1.0)
        scores = [self._scores(item) for item in sequence]
        path, best = self._best_path(scores)
        marginals, log_total = self._marginals(scores)
        return Decoded([self.labels[state] for state in path], marginals, math.exp(min(0.0, best - log_total)))

    def _scores(self, item: Iterable[str]) -> list[float]:
        """The sum of an item's weights for each label, in nats."""
        total = [0] * len(self.labels)
        for feature in item:
            weights = self.features.get(feature)
            if weights is not None:
                for state, weight in enumerate(weights):
                    total[state] += weight
        return [weight / 100 for weight in total]

    def _moves(self) -> list[list[float]]:
        """The transitions in nats."""
        return [[weight / 100 for weight in row] for row in self.transitions]

    def _best_path(self, scores: list[list[float]]) -> tuple[list[int], float]:
        """Viterbi's algorithm: the states of the best labelling, and its score."""
        states, moves = range(len(self.labels)), self._moves()
        best, origins = scores[0], []
        for row in scores[1:]:
            came = [max(states, key=lambda j, k=k, best=best: best[j] + moves[j][k]) for k in states]  # type: ignore[misc]  # bound now
            best = [best[came[k]] + moves[came[k]][k] + row[k] for k in states]
            origins.append(came)
        last = max(states, key=best.__getitem__)
        path = [last]
        for came in reversed(origins):
            path.append(came[path[-1]])
        return path[::-1], best[last]

    def _marginals(self, scores: list[list[float]]) -> tuple[list[list[float]], float]:
        """The forward-backward algorithm: the probability of each label of each item, and the log of the total."""
        states, moves = range(len(self.labels)), self._moves()
        forward = [scores[0]]
        for row in scores[1:]:
            before = forward[-1]
            forward.append([_log_sum([before[j] + moves[j][k] for j in states]) + row[k] for k in states])
        backward = [[0.0] * len(self.labels)]
        for row in reversed(scores[1:]):
            after = backward[-1]
            backward.append([_log_sum([moves[j][k] + row[k] + after[k] for k in states]) for j in states])
        backward.reverse()
        log_total = _log_sum(forward[-1])
        pairs = zip(forward, backward, strict=True)
        return [[math.exp(min(0.0, a[k] + b[k] - log_total)) for k in states] for a, b in pairs], log_total


def _log_sum(values: list[float]) -> float:
    """The logarithm of a sum of exponentials, without overflow."""
    top = max(values)
    return top + math.log(sum([math.exp(value - top) for value in values]))
