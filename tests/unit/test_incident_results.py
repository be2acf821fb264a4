"""The replay's committed results keep their promises, and the README's picture shows them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.incident.__main__ import HERE, MANIFEST, OURS, RIVALS


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    return found


def test_the_picture_shows_these_results() -> None:
    digest = hashlib.sha256((HERE / "results.json").read_bytes()).hexdigest()
    assert digest in (HERE / "incident.svg").read_text(encoding="utf-8")


def test_the_results_have_every_situation(results: dict[str, Any]) -> None:
    assert len(results["situations"]) == 1 + len(RIVALS) + len(OURS)


def test_titlecard_was_never_billed_more_than_it_charged_nor_charged_more_than_its_limit(
    results: dict[str, Any],
) -> None:
    measured = [one for one in results["situations"] if "charged" in one]
    assert len(measured) == 1 + len(OURS)
    for one in measured:
        for what in ("requests", "tokens"):
            assert one[what] <= one["charged"][what] <= one["limit"][what], one["name"]
        assert one["most"] <= 3, one["name"]


def test_the_replay_used_the_sample(results: dict[str, Any]) -> None:
    assert results["videos"] == len(Path(MANIFEST).read_text(encoding="utf-8").splitlines())
