"""The shipped weights on the development data set: a drop below the committed baseline fails.

The weights were trained on these very rows, so the figures do not measure the tier's quality on a new conference. Those
figures are in `functions/titlecard/extraction/card.json`, measured on communities that a model has never seen
(`tests/unit/test_local_card.py` checks them). This test is a fence: a change of the code or the weights shows at once
its effect on thousands of rows.

After an improvement, `python tests/evals/test_local_quality.py` writes the new baseline.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import pytest

from titlecard_console.evaluation import Case, Scores, by_local_tier, drops, run, score, table

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "talks-dev.jsonl"
BASELINE = Path(__file__).with_name("baseline.json")

needs_data = pytest.mark.skipif(not DATA.exists(), reason="did not run: ../shared/data/talks-dev.jsonl is not there")


@cache
def scored() -> Scores:
    """Return the score of the shipped weights on the whole data set (some ten seconds)."""
    with DATA.open(encoding="utf-8") as lines:
        cases = [Case.of(json.loads(line)) for line in lines if line.strip()]
    return score(cases, run(cases, by_local_tier))


@needs_data
def test_no_score_is_below_the_baseline() -> None:
    assert drops(scored(), json.loads(BASELINE.read_text(encoding="utf-8"))) == []


@needs_data
def test_the_kept_answers_are_precise_enough() -> None:
    assert scored().kept_precision >= 0.975


if __name__ == "__main__":
    sys.stdout.write(table(scored()) + "\n")
    BASELINE.write_text(json.dumps(scored().figures(), indent=2) + "\n", encoding="utf-8")
