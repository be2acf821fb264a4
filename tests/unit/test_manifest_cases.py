"""Files that the readers once failed on, found and kept by `python -m tests.fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz.verdict import ills

CASES = sorted((Path(__file__).parents[1] / "fuzz" / "cases").glob("*.bin"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_file_that_once_broke_the_readers_is_read(case: Path) -> None:
    assert ills(case.read_bytes()) == []
