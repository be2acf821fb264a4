"""The fixed sample of mistakes: each is noticed by its test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.mutation.operators import StaleMistake, replacement
from tests.mutation.sample import SAMPLE, Sampled

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("sampled", SAMPLE, ids=lambda it: it.claim)
def test_mistake_of_the_sample_can_still_be_made(sampled: Sampled) -> None:
    source = ROOT.joinpath("functions", "titlecard", *sampled.module.split(".")).with_suffix(".py").read_bytes()
    made = replacement(sampled.module, source, sampled.before, sampled.after, sampled.claim).made(source)
    compile(made, sampled.module, "exec")
    assert made != source
    file, name = sampled.test.partition("[")[0].split("::")
    assert f"def {name}(" in (ROOT / file).read_text("utf-8"), "the test that notices it has another name"


def test_a_text_that_occurs_never_or_twice_is_refused() -> None:
    for source in (b"", b"here, here"):
        with pytest.raises(StaleMistake, match="does not hold this text once: 'here'"):
            replacement("module", source, "here", "there", "a claim")


def test_every_mistake_of_the_sample_is_noticed() -> None:
    tried = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "--sample"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert tried.returncode == 0, tried.stdout + tried.stderr
