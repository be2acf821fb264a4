"""A linear-chain conditional random field in plain Python: from weights to the best labels and their probabilities."""

from __future__ import annotations

import math
from functools import cached_property
from operator import mul
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Decoded(NamedTuple):
    """The best labels, the probability of each label of each item, and the probability of the whole labelling."""

    labels: list[str]
    marginals: list[list[float]]
    probability: float


class _Step(NamedTuple):
    """The weights of a step from label to label: in nats, and as factors by target label and by source label."""

    moves: list[list[float]]
    arrivals: list[list[float]]
    departures: list[list[float]]


def _step(moves: list[list[float]]) -> _Step:
    departures = [[math.exp(move) for move in row] for row in moves]
    return _Step(moves, [list(column) for column in zip(*departures, strict=True)], departures)


class Crf:
    """Weights in hundredths of a nat.

    There are weights for features (one per label), for neighbouring labels (`transitions[from][to]`), and additional
    ones for neighbours with a delimiter of some kind between them (`edges[kind][from][to]`).
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        features: Mapping[str, Sequence[int]],
        transitions: Sequence[Sequence[int]],
        edges: Mapping[str, Sequence[Sequence[int]]] = {},
    ) -> None:
        self.labels = labels
        self.features = features
        self.transitions = transitions
        self.edges = edges

    def decode(self, sequence: Sequence[Iterable[str]], kinds: Sequence[str] = ()) -> Decoded:
        """Label a sequence of items, each given by its features; features that training has not seen weigh nothing.

        `kinds` are the kinds of the delimiters before each item.
        """
        if not sequence:
            return Decoded([], [], 1.0)
        scores = [self._scores(item) for item in sequence]
        steps = self._steps(len(sequence), kinds)
        path, best = self._best_path(scores, steps)
        marginals, log_total = self._marginals(scores, steps)
        return Decoded([self.labels[state] for state in path], marginals, math.exp(min(0.0, best - log_total)))

    def labels_of(self, sequence: Sequence[Iterable[str]], kinds: Sequence[str] = ()) -> list[str]:
        """Return only the best labels, in half the time."""
        if not sequence:
            return []
        path, _ = self._best_path([self._scores(item) for item in sequence], self._steps(len(sequence), kinds))
        return [self.labels[state] for state in path]

    def _steps(self, length: int, kinds: Sequence[str]) -> list[_Step]:
        """Return the steps between the items of a sequence."""
        if not kinds:
            return [self._by_kind[""]] * (length - 1)
        return [self._by_kind.get(kind, self._by_kind[""]) for kind in kinds[1:]]

    @cached_property
    def _by_kind(self) -> dict[str, _Step]:
        """The weights of a step for each kind of delimiter; `""` stands for any other kind."""
        plain = [[weight / 100 for weight in row] for row in self.transitions]
        found = {"": _step(plain)}
        for kind, more in self.edges.items():
            found[kind] = _step(
                [[a + b / 100 for a, b in zip(row, extra, strict=True)] for row, extra in zip(plain, more, strict=True)]
            )
        return found

    def _scores(self, item: Iterable[str]) -> list[float]:
        """Return the sum of an item's weights for each label, in nats."""
        known = self.features
        weights = [known[feature] for feature in item if feature in known]
        return [sum(column) / 100 for column in zip(*weights, strict=True)] if weights else [0.0] * len(self.labels)

    def _best_path(self, scores: list[list[float]], steps: list[_Step]) -> tuple[list[int], float]:
        """Viterbi's algorithm: return the states of the best labelling, and its score."""
        states = range(len(self.labels))
        best, origins = scores[0], []
        for row, step in zip(scores[1:], steps, strict=True):
            moves = step.moves
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

    def _marginals(self, scores: list[list[float]], steps: list[_Step]) -> tuple[list[list[float]], float]:
        """The forward-backward algorithm: return the probability of each label of each item, and the log of the total.

        The values passed from item to item are scaled to a sum of one, so that nothing overflows.
        """
        tops = [max(row) for row in scores]
        weights = [[math.exp(score - top) for score in row] for row, top in zip(scores, tops, strict=True)]
        log_total, passed = sum(tops), [1.0] * len(self.labels)
        forward: list[list[float]] = []
        for number, weight in enumerate(weights):
            if forward:
                passed = [sum(map(mul, forward[-1], factors)) for factors in steps[number - 1].arrivals]
            reached = list(map(mul, passed, weight))
            scale = sum(reached)
            log_total += math.log(scale)
            forward.append([each / scale for each in reached])
        marginals = [forward[-1]]
        backward = [1.0] * len(self.labels)
        for before, weight, step in zip(forward[-2::-1], weights[:0:-1], steps[::-1], strict=True):
            behind = list(map(mul, backward, weight))
            backward = [sum(map(mul, factors, behind)) for factors in step.departures]
            joint = list(map(mul, before, backward))
            scale = sum(joint)
            marginals.append([each / scale for each in joint])
            scale = sum(backward)
            backward = [each / scale for each in backward]
        return marginals[::-1], log_total
