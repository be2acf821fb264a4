"""Files that the readers once did not cope with, found by `python -m tests.fuzz` and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz.verdict import ills

CASES = sorted((Path(__file__).parents[1] / "fuzz" / "cases").glob("*.bin"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_file_that_once_broke_the_readers_breaks_them_no_more(case: Path) -> None:
    assert ills(case.read_bytes()) == []
