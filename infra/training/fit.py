"""Fits a model to rows: lexicon, the two CRFs and the confidence.

Uploads come from communities that are not in the training data, so the confidence learns from answers to unseen
communities: a model of the other communities answers each one. If there is only one community, its series form folds
instead.

Within a model everything is cross-fitted over series: a row's features come from a lexicon that has not seen its
series, and its batch's labels at first sight from a CRF that has not seen it either. So the parts are as reliable on a
training row as they will be on a stranger's.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pycrfsuite  # type: ignore[import-untyped]  # python-crfsuite ships no types

from titlecard.extraction import IN_DESCRIPTION, IN_TITLE, NOBODY, read
from titlecard.extraction.confidence import RIGHT, WRONG
from titlecard.extraction.crf import Crf
from titlecard.extraction.model import Model
from titlecard_console.evaluation import is_right
from training import lexicon as lexicons
from training import synthetic
from training.dataset import split
from training.examples import Example, of_descriptions, of_titles, surveyed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.extraction.names import Lexicon
    from training.dataset import Row

_CONFIDENCE_L2 = 50.0
"""The L2 penalty on the confidence's weights: the quirks of one community should not count."""

_WEIGHT = 5
"""The weight of a label pair's overall share, in observed pairs, which smooths the share at a rare delimiter."""

_LEAST, _MOST = -4.0, 1.0
"""The least and the most nats that a delimiter adds to a pair of labels."""

_NOTHING = Crf((WRONG, RIGHT), {}, [[0, 0], [0, 0]])


@dataclass(frozen=True)
class Settings:
    """The settings of training.

    `folds` is the number of folds in which training rows are cross-fitted. There is one synthetic batch of titles for
    every `title_rows` rows, and one of descriptions for every `description_rows`. `edges` is the fraction of the
    observed effect of a delimiter on label pairs that is added to the CRF, for kinds of delimiters that occur in at
    least `edges_from` places. An answer is kept from the confidence in `thresholds` for its source. These numbers
    were chosen on the communities left out: each keeps at least 85 % of its rows, at least 97 % of them right.
    """

    seed: int = 5
    folds: int = 3
    title_rows: int = 14
    description_rows: int = 12
    l1: float = 0.05
    l2: float = 0.3
    iterations: int = 100
    edges: float = 0.7
    edges_from: int = 100
    thresholds: dict[str, float] = field(default_factory=lambda: {IN_TITLE: 0.88, IN_DESCRIPTION: 0.80, NOBODY: 0.80})


@dataclass(frozen=True)
class Judged:
    """An answer of a model that has not seen the row's community, in the row's whole batch or in a small one."""

    group: str
    series: str
    evidence: list[str]
    right: bool


class Workshop:
    """Fits models to rows. The same rows and settings give the same model, and nothing is fitted twice.

    Args:
        settings: the settings of training.
        folder: keeps lexicons and CRFs for later runs; None keeps them only in memory. After a change of the decoding,
            the confidence or the thresholds they can be reused. After a change of what they learn from (features,
            templates, cuts), use another folder.
    """

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        self.settings = settings
        self._folder = folder
        self._fitted: dict[str, Model] = {}
        self._judged: dict[tuple[str, str], list[Judged]] = {}

    def fit(self, rows: Sequence[Row]) -> Model:
        """Return the model of these rows, with its confidence and thresholds."""
        return calibrated(self.fit_labels(rows), self.judged(rows), self.settings)

    def judged(self, rows: Sequence[Row]) -> list[Judged]:
        """Return the answers to each community (or fold of series) from a model of the others."""
        found = []
        for group, part in _groups(rows, self.settings).items():
            inside = {row.id for row in part}
            others = [row for row in rows if row.id not in inside]
            key = (_key(others, self.settings), _key(part, self.settings))
            if key not in self._judged:
                self._judged[key] = judge(self.fit_labels(others), part, group, self.settings.seed)
            found += self._judged[key]
        return found

    def fit_labels(self, rows: Sequence[Row]) -> Model:
        """Return the lexicon and the CRFs of these rows, with an empty confidence."""
        key = _key(rows, self.settings)
        path = self._folder / f"{key}.json.gz" if self._folder else None
        if key not in self._fitted and path and path.exists():
            self._fitted[key] = Model.from_bytes(path.read_bytes())
        if key not in self._fitted:
            # Read back as shipped, so that a model from a folder does not differ from one that was just fitted.
            data = _labelling(rows, self.settings).to_bytes()
            self._fitted[key] = Model.from_bytes(data)
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return self._fitted[key]


def calibrated(model: Model, judged: Sequence[Judged], settings: Settings) -> Model:
    """Return a model with the confidence learned from these answers, and the thresholds."""
    return model._replace(confidence=_confidence(judged), thresholds=settings.thresholds)


def judge(model: Model, rows: Sequence[Row], group: str, seed: int) -> list[Judged]:
    """Return a model's answers to rows in their whole batches and in small ones."""
    found = []
    for row, survey in surveyed(rows, model.lexicon, seed, model, every=3):
        answer = read(model, row.title, row.description, survey)
        if answer is not None:
            right = is_right(answer.title, answer.presenters, row.want_title, row.want_names)
            found.append(Judged(group, row.series, answer.evidence, right))
    return found


def _key(rows: Sequence[Row], settings: Settings) -> str:
    """Return a key of everything that lexicons and CRFs depend on."""
    learnt_from = {**asdict(settings), "thresholds": {}, "rows": [row.id for row in rows]}
    return hashlib.sha256(json.dumps(learnt_from, sort_keys=True).encode()).hexdigest()[:16]


def _groups(rows: Sequence[Row], settings: Settings) -> dict[str, list[Row]]:
    """Group the rows by community, or by folds of series if there is only one community."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.community].append(row)
    if len(found) > 1:
        return dict(found)
    return {str(number): part for number, part in enumerate(_parts(rows, settings)) if part}


def _labelling(rows: Sequence[Row], settings: Settings) -> Model:
    """Fit the lexicon and the CRFs of these rows.

    The titles are used twice: as seen at first sight, and as seen once the batch has been labelled.
    """
    fold_of = split(rows, settings.folds, settings.seed)
    invented = lexicons.invented_names(400, random.Random(settings.seed))  # noqa: S311  # samples, not secrets
    titles: list[list[Example]] = []
    descriptions: list[list[Example]] = []
    partial: list[Lexicon] = []
    lent: list[list[Row]] = []
    for fold, part in enumerate(_parts(rows, settings)):
        seed = settings.seed * 1000 + fold
        chance = random.Random(seed)  # noqa: S311
        lexicon = lexicons.learn([row for row in rows if fold_of[row.series] != fold])
        partial.append(lexicon)
        more = synthetic.titles(part, 1 + len(part) // settings.title_rows, invented, chance)
        lent.append([*part, *more])
        titles.append(list(of_titles(lent[fold], lexicon, seed)))
        more = synthetic.descriptions(part, 1 + len(part) // settings.description_rows, invented, chance)
        descriptions.append(list(of_descriptions([*part, *more], lexicon, seed)))
    for fold, first in enumerate([_crf(_others(titles, n), settings) for n in range(settings.folds)]):
        seed = settings.seed * 1000 + fold
        model = Model(partial[fold], first, _NOTHING, _NOTHING, {})
        titles[fold] += of_titles(lent[fold], partial[fold], seed, model)
    return Model(lexicons.learn(rows), _crf(titles, settings), _crf(descriptions, settings), _NOTHING, {})


def _others(parts: Sequence[list[Example]], fold: int) -> list[list[Example]]:
    """Return the examples of the other folds."""
    return [part for number, part in enumerate(parts) if number != fold]


def _parts(rows: Sequence[Row], settings: Settings) -> list[list[Row]]:
    """Return the rows of each fold."""
    fold_of = split(rows, settings.folds, settings.seed)
    return [[row for row in rows if fold_of[row.series] == fold] for fold in range(settings.folds)]


def _crf(parts: Sequence[Sequence[Example]], settings: Settings) -> Crf:
    """Fit a CRF to labelled sequences; leave out features of a single series, which are that conference's quirks."""
    seen: Counter[str] = Counter()
    for part in parts:
        seen.update(_series_of(part))
    examples = [example for part in parts for example in part]
    common = {feature for feature, series in seen.items() if series > 1}
    trainer = pycrfsuite.Trainer(verbose=False)
    for example in examples:
        trainer.append(
            [[feature for feature in item if feature in common] for item in example.features], example.labels
        )
    trainer.set_params(
        {
            "c1": settings.l1,
            "c2": settings.l2,
            "max_iterations": settings.iterations,
            "feature.possible_transitions": True,
        }
    )
    crf = _trained(trainer)
    return Crf(crf.labels, crf.features, crf.transitions, _edges(examples, crf.labels, settings))


def _edges(examples: Sequence[Example], labels: Sequence[str], settings: Settings) -> dict[str, list[list[int]]]:
    """Measure how much more or less likely labels follow each other across a kind of delimiter than elsewhere.

    The unit is hundredths of a nat.
    """
    seen: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    every: Counter[tuple[str, str]] = Counter()
    for example in examples:
        for number, kind in enumerate(example.kinds):
            if number:
                pair = example.labels[number - 1], example.labels[number]
                every[pair] += 1
                if kind:
                    seen[kind][pair] += 1

    def weight(pairs: Counter[tuple[str, str]], before: str, after: str) -> int:
        usual = (every[before, after] + 1) / (sum(every[before, label] for label in labels) + len(labels))
        here = (pairs[before, after] + _WEIGHT * usual) / (sum(pairs[before, label] for label in labels) + _WEIGHT)
        return round(100 * settings.edges * max(_LEAST, min(_MOST, math.log(here / usual))))

    return {
        kind: [[weight(pairs, before, after) for after in labels] for before in labels]
        for kind, pairs in sorted(seen.items())
        if sum(pairs.values()) >= settings.edges_from
    }


def _series_of(part: Sequence[Example]) -> Counter[str]:
    """Return for each feature the number of the part's series that have it; no series is in two parts."""
    seen: dict[str, set[str]] = defaultdict(set)
    for example in part:
        for item in example.features:
            for feature in item:
                seen[feature].add(example.series)
    return Counter({feature: len(series) for feature, series in seen.items()})


def _confidence(judged: Sequence[Judged]) -> Crf:
    """Fit a logistic regression: a CRF over sequences of one item."""
    trainer = pycrfsuite.Trainer(verbose=False)
    for each in judged:
        trainer.append([each.evidence], [RIGHT if each.right else WRONG])
    trainer.set_params({"c1": 0.0, "c2": _CONFIDENCE_L2, "max_iterations": 200})
    return _trained(trainer)


def _trained(trainer: pycrfsuite.Trainer) -> Crf:
    """Train, and return the weights in hundredths, the unit in which they are shipped."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model")
        trainer.train(path)
        tagger = pycrfsuite.Tagger()
        tagger.open(path)
        info = tagger.info()
        labels = tuple(sorted(info.labels, key=lambda label: int(info.labels[label])))
        weights: dict[str, list[int]] = {}
        for (feature, label), weight in info.state_features.items():
            weights.setdefault(feature, [0] * len(labels))[labels.index(label)] = round(100 * weight)
        moves = [[round(100 * info.transitions.get((a, b), 0.0)) for b in labels] for a in labels]
        tagger.close()
    return Crf(labels, {feature: row for feature, row in weights.items() if any(row)}, moves)
