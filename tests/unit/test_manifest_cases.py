"""Files that the readers once did not cope with, found by `python -m tests.fuzz` and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz.verdict import ills

CASES = sorted((Path(__file__).parents[1] / "fuzz" / "cases").glob("*.bin"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_was_found_once_does_not_come_again(case: Path) -> None:
    assert ills(case.read_bytes()) == []
