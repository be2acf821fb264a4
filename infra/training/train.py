"""Train the local tier: `python -m training.train DATASET.jsonl ...`, one file per community.

Writes the weights (`functions/titlecard/extraction/weights.json.gz`) and their card (`card.json`): the training data,
the protocol, and the scores of such models on communities that they have never seen. For these scores, a model is
trained on all files but one and measured on that one; its confidence comes from left-out communities too. The card
also has a cross-validation over the series of all files. The same data, seed and packages give the same bytes on the
same machine; another processor may round sums of fractions differently.

Training takes a quarter of an hour on one core. `--quick` trains without measuring. `--keep DIR` keeps what was fitted,
so that a change of decoding, confidence or thresholds is measured in two minutes.

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
from titlecard.extraction.surveying import SurveyedRow, survey_batch, survey_of
from titlecard_console.evaluation import Case, Result, is_right, score, table
from training.dataset import by_event, load, some_of_its_batch, split
from training.fit import Settings, Workshop, calibrated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from titlecard.extraction.model import Model
    from training.dataset import Row

BATCH_SIZES = (1, 3, 10)
"""The sizes of random batches, in which every tenth row is seen again."""

_EVERY = 10

SOURCES = {
    "talks-dev": "first against last versions of the files of github.com/pyvideo/data (CC0 1.0)",
    "talks-ruby": "raw titles against the editors' in github.com/rubyevents/rubyevents (MIT)",
    "talks-cat": "first against last versions of the files of github.com/szabgab/codeandtalk.com (Apache-2.0)",
}

PROTOCOL = (
    "Errors were read in talks-dev and talks-ruby only; talks-cat is trained on and measured, and its errors are "
    "counted, never read. Features, decoding and calibration were judged by communities left out: trained on all files "
    "but one, measured on that one. The thresholds were chosen on these measurements, one set of them for all "
    "communities. Vocabularies, gazetteer and calibration are built inside each fold."
)


@dataclass(frozen=True)
class Judged:
    """An answer of a model that has not seen the row's series, in a batch of some size."""

    community: str
    size: str
    case: Case
    result: Result
    source: str

    @property
    def right(self) -> bool:
        """Whether title and presenters are both right."""
        return is_right(self.result.title, self.result.presenters, self.case.title, self.case.presenters)


def main() -> None:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("datasets", type=Path, nargs="+", metavar="DATASET", help="JSON Lines, one file a community")
    cli.add_argument("--quick", action="store_true", help="train without measuring")
    cli.add_argument("--folds", type=int, default=3, help="folds of the cross-validation over series; 0: none")
    cli.add_argument("--seed", type=int, default=Settings.seed)
    cli.add_argument(
        "--keep", type=Path, help="a folder for lexicons and CRFs: those that are there are not fitted again"
    )
    cli.add_argument("--out", type=Path, default=Path(WEIGHTS))
    args = cli.parse_args()
    settings = Settings(seed=args.seed)
    gc.disable()  # millions of texts live to the end, with hardly any cycles: each collection would take long
    rows = load(*args.datasets)
    workshop = Workshop(settings, args.keep)
    measured = {} if args.quick else never_seen(rows, workshop)
    if args.folds and not args.quick:
        measured["cross_validation"] = cross_validated(rows, args.folds, workshop)
    weights = workshop.fit(rows).to_bytes()
    args.out.write_bytes(weights)
    text = json.dumps(card(args.datasets, rows, settings, weights, measured), indent=2)
    args.out.with_name("card.json").write_text(text + "\n", encoding="utf-8")


def card(
    datasets: Sequence[Path], rows: Sequence[Row], settings: Settings, weights: bytes, measured: dict[str, Any]
) -> dict[str, Any]:
    """Return the card: the weights' training data, protocol, packages and scores."""
    return {
        "datasets": [_of_file(path, [row for row in rows if row.community == path.stem]) for path in datasets],
        "protocol": PROTOCOL,
        "label_noise": json.loads(Path(__file__).with_name("label_noise.json").read_text(encoding="utf-8")),
        "settings": asdict(settings),
        "packages": {name: importlib.metadata.version(name) for name in ("faker", "python-crfsuite")},
        "weights": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()},
        **measured,
    }


def _of_file(path: Path, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "name": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "source": SOURCES.get(path.stem, "unknown"),
        "rows": len(rows),
        "events": len({row.event for row in rows}),
        "series": len({row.series for row in rows}),
    }


def never_seen(rows: Sequence[Row], workshop: Workshop) -> dict[str, Any]:
    """Score models on the community that they have not seen, for each community; return nothing if there is only one.

    Their confidence comes from answers to the other communities, each by a model that had not seen it.
    """
    communities = sorted({row.community for row in rows})
    found: dict[str, Any] = {}
    for name in communities if len(communities) > 1 else ():
        began = time.monotonic()
        others = [each for each in workshop.judged(rows) if each.group != name]
        labelling = workshop.fit_labels([row for row in rows if row.community != name])
        model = calibrated(labelling, others, workshop.settings)
        its_rows = [row for row in rows if row.community == name]
        judged = list(answers(model, its_rows, workshop.settings.seed))
        print(f"{name}, never seen: {time.monotonic() - began:.0f} s", file=sys.stderr)  # noqa: T201  # progress
        found[name] = report(judged) | {"both_as_one_file": as_one_file(model, its_rows)}
    return {"communities_never_seen": found} if found else {}


def cross_validated(rows: Sequence[Row], folds: int, workshop: Workshop) -> dict[str, Any]:
    """Score models of all communities on the series that they have not seen: all rows, and those of each community.

    Their confidence comes from answers to the series of the other folds.
    """
    fold_of = split(rows, folds, workshop.settings.seed)
    every = workshop.judged(rows)
    judged: list[Judged] = []
    for fold in range(folds):
        began = time.monotonic()
        labelling = workshop.fit_labels([row for row in rows if fold_of[row.series] != fold])
        others = [each for each in every if fold_of[each.series] != fold]
        model = calibrated(labelling, others, workshop.settings)
        judged += answers(model, [row for row in rows if fold_of[row.series] == fold], workshop.settings.seed, ())
        print(f"fold {fold + 1} of {folds}: {time.monotonic() - began:.0f} s", file=sys.stderr)  # noqa: T201  # progress
    return {
        "folds": folds,
        "over": "series (the event without its year)",
        **report(judged),
        "communities": {
            name: report([each for each in judged if each.community == name])
            for name in sorted({each.community for each in judged})
        },
    }


def report(judged: Sequence[Judged]) -> dict[str, Any]:
    """Return the figures of answers."""
    of_size: dict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        of_size[each.size].append(each)
    whole = score([each.case for each in of_size["whole"]], [each.result for each in of_size["whole"]])
    print(table(whole), file=sys.stderr)  # noqa: T201
    return {
        "rows": len(of_size["whole"]),
        "figures": whole.figures(),
        "presenter_precision": round(whole.groups["all"].presenter_precision, 4),
        "coverage_at_precision": {wanted: round(share, 4) for wanted, share in whole.coverage.items()},
        "both_by_batch_size": {size: _share(found) for size, found in of_size.items() if size != "whole"},
        "sources": {source: _by_source(of_size["whole"], source) for source in (IN_TITLE, IN_DESCRIPTION, NOBODY)},
        "review": review(of_size["whole"]),
    }


def review(judged: Sequence[Judged]) -> dict[str, float]:
    """Measure the value of a person's review: how many rows are flagged, and how many of these and the rest are wrong.

    `looks_per_mistake` is the number of flagged rows that a person looks at for each wrong one; `right_after` is the
    share of right rows once every flagged row has been corrected.
    """
    flagged = [each for each in judged if not each.result.sure]
    others = [each for each in judged if each.result.sure]
    wrong = sum(not each.right for each in flagged)
    return {
        "flagged": round(len(flagged) / max(1, len(judged)), 4),
        "flagged_wrong": round(wrong / max(1, len(flagged)), 4),
        "unflagged_wrong": round(sum(not each.right for each in others) / max(1, len(others)), 4),
        "looks_per_mistake": round(len(flagged) / max(1, wrong), 2),
        "right_after": round((len(flagged) + sum(each.right for each in others)) / max(1, len(judged)), 4),
    }


def answers(model: Model, rows: Sequence[Row], seed: int, sizes: Sequence[int] = BATCH_SIZES) -> Iterator[Judged]:
    """Yield the answers to rows, each in its whole batch, and every tenth also in random batches of these sizes."""
    chance = random.Random(seed)  # noqa: S311  # samples, not secrets
    for batch in by_event(rows).values():
        readings = {row.id: SurveyedRow.of(row.title, row.description, model.lexicon) for row in batch}
        whole = survey_of([readings[row.id] for row in batch], model)
        for number, row in enumerate(batch):
            surveys = {"whole": whole}
            for size in sizes if number % _EVERY == 0 else ():
                some = some_of_its_batch(row, batch, size, chance)
                surveys[str(size)] = survey_of([readings[each.id] for each in some], model)
            video = Video(id=row.id, title=row.title, description=row.description)
            case = Case(video, row.event, row.kind, row.want_title, row.want_names)
            for name, survey in surveys.items():
                answer = parse_with(model, video, survey)
                result = Result(answer.title, answer.presenters, answer.confidence, answer.sure)
                yield Judged(row.community, name, case, result, answer.source)


def as_one_file(model: Model, rows: Sequence[Row]) -> dict[str, float]:
    """Return the share of right rows if all are in one file, the rows of an event together, with and without events."""
    listed = [(row, event) for event, batch in by_event(rows).items() for row in batch]
    shares = {}
    for name, has_events in (("with events", True), ("without events", False)):
        videos = [
            Video(id=row.id, title=row.title, description=row.description, event=event if has_events else None)
            for row, event in listed
        ]
        surveys = survey_batch(list(enumerate(videos)), model)
        found = [parse_with(model, video, surveys.of(n, video)) for n, video in enumerate(videos)]
        right = [
            is_right(it.title, it.presenters, row.want_title, row.want_names)
            for it, (row, _) in zip(found, listed, strict=True)
        ]
        shares[name] = round(sum(right) / len(right), 4)
    return shares


def _share(judged: Sequence[Judged]) -> float:
    """Return the share of right answers."""
    return round(sum(each.right for each in judged) / max(1, len(judged)), 4)


def _by_source(judged: Sequence[Judged], source: str) -> dict[str, float]:
    """Return the counts for one source: all answers, right ones, kept ones, and kept ones that are right."""
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
