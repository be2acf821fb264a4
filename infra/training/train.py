"""Train the local tier: `python -m training.train DATASET.jsonl`.

Writes the weights (`functions/titlecard/extraction/weights.json.gz`) and the card beside them (`card.json`): what they
were trained on, and how such a model scores on series that it has never seen. The score is a cross-validation over
series in which everything (vocabularies, gazetteer, models, calibration, thresholds) is built inside each fold. The
same data, seed and packages make the same bytes. Takes a quarter of an hour on one core; `--folds 0` trains without
measuring, `--keep DIR` measures a change of decoding, confidence or thresholds in two minutes.

Needs the dependency group `training`.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib.metadata
import json
import random
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from titlecard.domain.video import Video
from titlecard.extraction import IN_DESCRIPTION, IN_TITLE, NOBODY, parse_with
from titlecard.extraction.model import WEIGHTS
from titlecard.extraction.survey import Reading, Survey
from titlecard_console.evaluation import Case, Result, is_right, score, table
from training.dataset import by_event, load, some_of_its_batch, split
from training.fit import Settings, fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from titlecard.extraction.model import Model
    from training.dataset import Row

BATCH_SIZES = (1, 2, 5, 20, 60)


@dataclass(frozen=True)
class Judged:
    """An answer of a model that has not seen the row's series, in a batch of some size."""

    size: str
    case: Case
    result: Result
    source: str

    @property
    def right(self) -> bool:
        """Whether title and presenters are both right."""
        return is_right(self.result.title, self.result.presenters, self.case.title, self.case.presenters)


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("dataset", type=Path)
    cli.add_argument("--folds", type=int, default=5, help="folds of the cross-validation; 0: none")
    cli.add_argument("--seed", type=int, default=Settings.seed)
    cli.add_argument(
        "--keep", type=Path, help="a folder for lexicons and CRFs: those that are there are not fitted again"
    )
    cli.add_argument("--out", type=Path, default=Path(WEIGHTS))
    args = cli.parse_args()
    settings = Settings(seed=args.seed)
    gc.disable()  # millions of texts that live to the end, and next to no cycles: to go through them again takes long
    rows = load(args.dataset)
    measured = cross_validated(rows, args.folds, settings, args.keep) if args.folds else None
    weights = fit(rows, settings, args.keep).to_bytes()
    args.out.write_bytes(weights)
    text = json.dumps(card(args.dataset, rows, settings, weights, measured), indent=2)
    args.out.with_name("card.json").write_text(text + "\n", encoding="utf-8")


def card(
    dataset: Path, rows: Sequence[Row], settings: Settings, weights: bytes, measured: dict[str, Any] | None
) -> dict[str, Any]:
    """What the weights were trained on, with what, and how they score."""
    return {
        "dataset": {
            "name": dataset.name,
            "sha256": hashlib.sha256(dataset.read_bytes()).hexdigest(),
            "source": "first against last versions of the files of github.com/pyvideo/data (CC0 1.0)",
            "rows": len(rows),
            "events": len({row.event for row in rows}),
            "series": len({row.series for row in rows}),
        },
        "settings": asdict(settings),
        "packages": {name: importlib.metadata.version(name) for name in ("faker", "python-crfsuite")},
        "weights": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()},
        "caveat": (
            "The synthetic templates, the features, the conventions and the wanted precision were chosen with the "
            "errors on this data set in view: on conferences that nobody here has seen, expect somewhat less."
        ),
        "cross_validation": measured,
    }


def cross_validated(rows: Sequence[Row], folds: int, settings: Settings, keep: Path | None = None) -> dict[str, Any]:
    """How models score on the series that they have not seen: whole batches, and random batches of each size."""
    fold_of = split(rows, folds, settings.seed)
    judged: list[Judged] = []
    for fold in range(folds):
        began = time.monotonic()
        model = fit([row for row in rows if fold_of[row.series] != fold], settings, keep)
        judged += answers(model, [row for row in rows if fold_of[row.series] == fold], settings.seed)
        print(f"fold {fold + 1} of {folds}: {time.monotonic() - began:.0f} s", file=sys.stderr)  # noqa: T201  # progress
    return report(judged, folds)


def report(judged: Sequence[Judged], folds: int) -> dict[str, Any]:
    """The figures of a cross-validation."""
    of_size: dict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        of_size[each.size].append(each)
    whole = score([each.case for each in of_size["whole"]], [each.result for each in of_size["whole"]])
    print(table(whole), file=sys.stderr)  # noqa: T201
    return {
        "folds": folds,
        "over": "series (the event without its year)",
        "figures": whole.figures(),
        "presenter_precision": round(whole.groups["all"].presenter_precision, 4),
        "coverage_at_precision": whole.coverage,
        "both_by_batch_size": {size: _share(found) for size, found in of_size.items() if size != "whole"},
        "sources": {source: _by_source(of_size["whole"], source) for source in (IN_TITLE, IN_DESCRIPTION, NOBODY)},
    }


def answers(model: Model, rows: Sequence[Row], seed: int) -> Iterator[Judged]:
    """The answers to rows, each in its whole batch and in random batches."""
    chance = random.Random(seed)  # noqa: S311  # samples, not secrets
    for batch in by_event(rows).values():
        readings = {row.id: Reading.of(row.title, row.description, model.lexicon) for row in batch}
        whole = Survey.combine([readings[row.id] for row in batch])
        for row in batch:
            surveys = {"whole": whole}
            for size in BATCH_SIZES:
                some = some_of_its_batch(row, batch, size, chance)
                surveys[str(size)] = Survey.combine([readings[each.id] for each in some])
            video = Video(id=row.id, title=row.title, description=row.description)
            case = Case(video, row.event, row.kind, row.want_title, row.want_names)
            for name, survey in surveys.items():
                answer = parse_with(model, video, survey)
                result = Result(answer.title, answer.presenters, answer.confidence, answer.sure)
                yield Judged(name, case, result, answer.source)


def _share(judged: Sequence[Judged]) -> float:
    """The share of right answers."""
    return round(sum(each.right for each in judged) / max(1, len(judged)), 4)


def _by_source(judged: Sequence[Judged], source: str) -> dict[str, float]:
    """Of the answers from one source: how many, how many right, how many kept, how many of these right."""
    found = [each for each in judged if each.source == source]
    kept = [each for each in found if each.result.sure]
    return {
        "rows": len(found),
        "right": _share(found),
        "kept": round(len(kept) / max(1, len(found)), 4),
        "kept_right": _share(kept),
    }


if __name__ == "__main__":
    main()
