"""From rows to a model: lexicon, the two CRFs, the confidence and its thresholds.

Everything that looks at answers is cross-fitted over series: a row's features come from a lexicon that has not seen
its series, and the confidence learns from answers of models that have not seen the row's series. So what the parts say
of a training row is as good, and as bad, as what they will say of a stranger's.
"""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pycrfsuite  # type: ignore[import-untyped]  # python-crfsuite ships no types

from titlecard.extraction import IN_DESCRIPTION, IN_TITLE, NOBODY, read, trust
from titlecard.extraction.confidence import RIGHT, WRONG
from titlecard.extraction.crf import Crf
from titlecard.extraction.model import Model
from titlecard.extraction.names import Lexicon
from titlecard_console.evaluation import is_right
from training import lexicon as lexicons
from training import synthetic
from training.dataset import split
from training.examples import Example, of_descriptions, of_titles, surveyed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.dataset import Row

_NOTHING = Crf((WRONG, RIGHT), {}, [[0, 0], [0, 0]])


@dataclass(frozen=True)
class Settings:
    """What training can be told.

    `folds` is the number of parts in which training rows are cross-fitted; `title_batches` and `description_batches`
    are the synthetic batches of each part; `precision` is wanted of the cross-fitted answers that are kept, and at most
    `slack` less of those of one source.
    """

    seed: int = 5
    folds: int = 6
    title_batches: int = 180
    description_batches: int = 200
    l1: float = 0.05
    l2: float = 0.3
    precision: float = 0.9725
    slack: float = 0.01


@dataclass(frozen=True)
class Judged:
    """An answer of a model that has not seen the row's series, in the row's whole batch or in a small one."""

    series: str
    whole: bool
    source: str
    evidence: list[str]
    right: bool


@dataclass(frozen=True)
class Fitted:
    """Lexicons and CRFs: `apart` those that have not seen a fold's series, for each fold, `whole` those of all rows."""

    apart: list[Model]
    whole: Model


def fit(rows: Sequence[Row], settings: Settings, kept: Path | None = None) -> Model:
    """The model of these rows. The same rows and settings make the same model.

    `kept` is a folder in which lexicons and CRFs are kept, and from which they are taken: whoever changes the decoding,
    the confidence or the thresholds need not fit them again. Whoever changes what they learn from (features, templates,
    cuts) takes another folder.
    """
    return _calibrated(_fitted(rows, settings) if kept is None else _kept(rows, settings, kept), rows, settings)


def _kept(rows: Sequence[Row], settings: Settings, folder: Path) -> Fitted:
    """Lexicons and CRFs from a folder; they are made and put there where it has none of these rows."""
    learnt_from = {**asdict(settings), "precision": 0, "slack": 0, "rows": [row.id for row in rows]}
    key = hashlib.sha256(json.dumps(learnt_from, sort_keys=True).encode()).hexdigest()[:16]
    paths = [folder / f"{key}-{name}.json.gz" for name in (*range(settings.folds), "whole")]
    if not all(path.exists() for path in paths):
        fitted = _fitted(rows, settings)
        folder.mkdir(parents=True, exist_ok=True)
        for path, model in zip(paths, (*fitted.apart, fitted.whole), strict=True):
            path.write_bytes(model.to_bytes())
    *apart, whole = (Model.from_bytes(path.read_bytes()) for path in paths)
    return Fitted(apart, whole)


def _fitted(rows: Sequence[Row], settings: Settings) -> Fitted:
    """The lexicons and CRFs of these rows."""
    fold_of = split(rows, settings.folds, settings.seed)
    invented = lexicons.invented_names(400, random.Random(settings.seed))  # noqa: S311  # samples, not secrets
    titles: list[list[Example]] = []
    descriptions: list[list[Example]] = []
    partial: list[Lexicon] = []
    for fold, part in enumerate(_parts(rows, settings)):
        seed = settings.seed * 1000 + fold
        chance = random.Random(seed)  # noqa: S311
        lexicon = lexicons.learn([row for row in rows if fold_of[row.series] != fold])
        partial.append(lexicon)
        more = synthetic.titles(part, settings.title_batches, invented, chance)
        titles.append([*of_titles(part, lexicon, seed), *of_titles(more, lexicon, seed)])
        more = synthetic.descriptions(part, settings.description_batches, invented, chance)
        descriptions.append([*of_descriptions(part, lexicon, seed), *of_descriptions(more, lexicon, seed)])
    apart = []
    for fold in range(settings.folds):
        others = [n for n in range(settings.folds) if n != fold]
        of_others = [_crf([examples[n] for n in others], settings) for examples in (titles, descriptions)]
        apart.append(Model(partial[fold], of_others[0], of_others[1], _NOTHING, {}))
    whole = Model(lexicons.learn(rows), _crf(titles, settings), _crf(descriptions, settings), _NOTHING, {})
    return Fitted(apart, whole)


def _calibrated(fitted: Fitted, rows: Sequence[Row], settings: Settings) -> Model:
    """The model with its confidence and thresholds, learnt from answers to series that the CRFs have not seen."""
    judged: list[Judged] = []
    for fold, part in enumerate(_parts(rows, settings)):
        judged += judge(fitted.apart[fold], part, settings.seed + fold)
    thresholds = _thresholds(judged, split(rows, settings.folds, settings.seed), settings)
    return fitted.whole._replace(confidence=_confidence(judged), thresholds=thresholds)


def _parts(rows: Sequence[Row], settings: Settings) -> list[list[Row]]:
    """The rows of each fold."""
    fold_of = split(rows, settings.folds, settings.seed)
    return [[row for row in rows if fold_of[row.series] == fold] for fold in range(settings.folds)]


def judge(model: Model, rows: Sequence[Row], seed: int) -> list[Judged]:
    """The answers of a model to rows in their whole batches and in small ones."""
    found = []
    for row, survey, whole in surveyed(rows, model.lexicon, seed):
        answer = read(model, row.title, row.description, survey)
        if answer is not None:
            right = is_right(answer.title, answer.presenters, row.want_title, row.want_names)
            found.append(Judged(row.series, whole, answer.source, answer.evidence, right))
    return found


def _crf(parts: Sequence[Sequence[Example]], settings: Settings) -> Crf:
    """The CRF of labelled sequences; features of a single series are left out, they are that conference's quirks."""
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
        {"c1": settings.l1, "c2": settings.l2, "max_iterations": 120, "feature.possible_transitions": True}
    )
    return _trained(trainer)


def _series_of(part: Sequence[Example]) -> Counter[str]:
    """For each feature, the number of the part's series that have it; no series is in two parts."""
    seen: dict[str, set[str]] = defaultdict(set)
    for example in part:
        for item in example.features:
            for feature in item:
                seen[feature].add(example.series)
    return Counter({feature: len(series) for feature, series in seen.items()})


def _confidence(judged: Sequence[Judged]) -> Crf:
    """A logistic regression: a CRF over sequences of one item."""
    trainer = pycrfsuite.Trainer(verbose=False)
    for each in judged:
        trainer.append([each.evidence], [RIGHT if each.right else WRONG])
    trainer.set_params({"c1": 0.0, "c2": 3.0, "max_iterations": 200})
    return _trained(trainer)


def _trained(trainer: pycrfsuite.Trainer) -> Crf:
    """Train, and take the weights out in hundredths, which is how they are shipped."""
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


def _thresholds(judged: Sequence[Judged], fold_of: dict[str, int], settings: Settings) -> dict[str, float]:
    """For each source, the least confidence at which the answers that are kept are right often enough.

    Measured on rows in their whole batches, with confidences of models that have not seen the row's fold.
    """
    scored: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for fold in range(settings.folds):
        confidence = _confidence([each for each in judged if fold_of[each.series] != fold])
        model = _EMPTY._replace(confidence=confidence)
        for each in judged:
            if fold_of[each.series] == fold and each.whole:
                scored[each.source].append((trust(model, each.evidence), each.right))
    common = _threshold([each for found in scored.values() for each in found], settings.precision)
    return {
        source: round(max(common, _threshold(scored[source], settings.precision - settings.slack)), 4)
        for source in (IN_TITLE, IN_DESCRIPTION, NOBODY)
    }


def _threshold(scored: list[tuple[float, bool]], precision: float) -> float:
    """The least confidence from which on the share of right answers is at least `precision`."""
    least, right = 1.0, 0
    for count, (confidence, is_correct) in enumerate(sorted(scored, reverse=True), 1):
        right += is_correct
        if right >= precision * count:
            least = confidence
    return least


_EMPTY = Model(Lexicon(), _NOTHING, _NOTHING, _NOTHING, {})
