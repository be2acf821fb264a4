"""A short storm; `python -m tests.chaos --minutes N` throws a long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.stress import chaos
from tests.chaos.verdict import judge, table

from titlecard_console.local_cloud import build as artefact

if TYPE_CHECKING:
    from pathlib import Path

MINUTES = 0.5


def test_every_promise_survives_a_storm(tmp_path: Path) -> None:
    said: list[str] = []
    with chaos(MINUTES, tmp_path, artefact.build(), seed=1, say=said.append) as run:
        findings = judge(run)
        thrown = table(run)
    broken = [f"{finding.promise}: {line}" for finding in findings for line in finding.against]
    assert not broken, "\n".join([*broken, *said, thrown])
