"""Training on a data set of a few made-up conferences: small, but with every step of the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from titlecard.domain.video import Video
from titlecard.extraction import parse_with
from titlecard.extraction.model import Model, shipped
from titlecard.extraction.surveying import SurveyedRow, survey_of
from training.dataset import load
from training.examples import title_labels
from training.fit import Judged, Settings, Workshop

if TYPE_CHECKING:
    from training.dataset import Row

TEMPLATES = ["{t} - {n}", "{n}: {t}", "{t} | {n} | DevConf", "{t}", "{t} by {n}", "DevConf: {t}"]
TALKS = ["Compilers for All", "Linking Without Tears", "The Parser Says No", "Queues and Caches", "Testing in the Dark"]
NAMES = ["Ada Byron", "Omar Haddad", "Julia Fischer", "Peter Novak", "Laura Rossi"]
SMALL = Settings(folds=2)
INFRA = Path(__file__).parents[2] / "infra"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of six conferences of five talks, in the data set's format."""
    path: Path = tmp_path_factory.mktemp("data") / "talks.jsonl"
    lines = []
    for series, template in enumerate(TEMPLATES):
        for number, (talk, name) in enumerate(zip(TALKS, NAMES, strict=True)):
            in_title, in_description = "{n}" in template, series == 3
            body = f"Speaker: {name}" if in_description else "All about the things that we do every day at work. " * 3
            row = {
                "id": f"{series}-{number}",
                "event": f"conf{series}-203{series}",
                "kind": "names_in_title" if in_title else "names_in_description" if in_description else "no_names",
                "title": template.format(t=talk, n=name),
                "description": body,
                "expected": {"title": talk, "presenters": [name] if in_title or in_description else []},
            }
            lines.append(json.dumps(row))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def rows(path: Path) -> list[Row]:
    return load(path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that keeps what the weights were fitted to."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def weights(rows: list[Row], kept: Path) -> bytes:
    return Workshop(SMALL, kept).fit(rows).to_bytes()


def test_kept_models_make_the_same_weights(rows: list[Row], weights: bytes, kept: Path) -> None:
    assert list(kept.iterdir())
    assert Workshop(SMALL, kept).fit(rows).to_bytes() == weights


def test_a_process_that_orders_sets_differently_fits_the_same_weights(path: Path, weights: bytes) -> None:
    script = (
        "import sys; from pathlib import Path; from training.dataset import load; from training.fit import *; "
        "sys.stdout.buffer.write(Workshop(Settings(folds=2)).fit(load(Path(sys.argv[1]))).to_bytes())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True, env=env, cwd=INFRA)  # noqa: S603
    assert other.stdout == weights


def test_the_weights_answer_what_they_were_trained_on(rows: list[Row], weights: bytes) -> None:
    model = Model.from_bytes(weights)
    batch = [row for row in rows if row.series == "conf0"]
    survey = survey_of([SurveyedRow.of(row.title, row.description, model.lexicon) for row in batch])
    answer = parse_with(model, Video(id="1", title=batch[0].title), survey)
    assert (answer.title, answer.presenters) == (TALKS[0], (NAMES[0],))


def test_no_community_is_answered_by_a_model_that_was_trained_on_it(
    rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol: confidence and thresholds come from left-out communities."""
    seen: list[tuple[set[str], set[str]]] = []
    trained: dict[int, set[str]] = {}

    def fit_labels(_: Workshop, part: list[Row]) -> Model:
        model = shipped()._replace(thresholds={})
        trained[id(model)] = {row.community for row in part}
        keep.append(model)
        return model

    def judge(model: Model, part: list[Row], _group: str, _seed: int) -> list[Judged]:
        seen.append((trained[id(model)], {row.community for row in part}))
        return []

    keep: list[Model] = []
    monkeypatch.setattr(Workshop, "fit_labels", fit_labels)
    monkeypatch.setattr("training.fit.judge", judge)
    of_three = [replace(row, community=f"c{number % 3}") for number, row in enumerate(rows)]
    Workshop(SMALL).judged(of_three)
    assert [(len(others), len(answered), others & answered) for others, answered in seen] == [(2, 1, set())] * 3


def test_the_years_of_a_conference_are_one_series(rows: list[Row]) -> None:
    assert {row.series for row in rows} == {f"conf{n}" for n in range(len(TEMPLATES))}


def test_a_title_that_is_not_a_run_of_pieces_gives_no_example(rows: list[Row]) -> None:
    assert title_labels("Something else", [], rows[0]) is None
