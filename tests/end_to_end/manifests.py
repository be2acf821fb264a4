"""Manifests for the tests, and the talks that they must give."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard import extraction, manifests
from titlecard.extraction.surveying import survey_batch
from titlecard.manifests import validation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PEOPLE = (
    "Ada Lovelace",
    "Grace Hopper",
    "Alan Kay",
    "Barbara Liskov",
    "Edsger Dijkstra",
    "Radia Perlman",
    "Ken Iverson",
)
SUBJECTS = ("Queues", "Parsers", "Leases", "Ledgers", "Time-outs", "Manifests")


def videos(number: int, mark: str = "", first: int = 1) -> list[dict[str, str]]:
    """Return videos with distinct titles; `mark` is in every title and makes them different videos."""
    return [
        {
            "id": f"v{i}",
            "title": f"{PEOPLE[i % len(PEOPLE)]} - {mark or 'Notes'} on {SUBJECTS[i % len(SUBJECTS)]}, part {i}",
            "description": f"The talk number {i} of a series.",
        }
        for i in range(first, first + number)
    ]


def lines(rows: Iterable[Mapping[str, str]]) -> bytes:
    """Write JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def array(rows: Sequence[Mapping[str, str]]) -> bytes:
    """Write a JSON array."""
    return json.dumps(rows, indent=2).encode()


def answers(content: bytes) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return title and presenters of every accepted row by its id, as the local tier answers in this process.

    The tests' provider returns the local tier's guess, so both tiers give the same answers.
    """
    limits = manifests.ReadingLimits()
    with tempfile.TemporaryDirectory() as scratch:
        counted = validation.validate(
            manifests.read(io.BytesIO(content), limits), scratch=Path(scratch), rejects=io.StringIO(), sample_max=2000
        )
    surveys = survey_batch(counted.sample)
    found = {}
    for row in validation.accepted(manifests.read(io.BytesIO(content), limits), counted.bitmap):
        answer = extraction.parse(row.video, surveys.of(row.number, row.video))
        found[row.video.id] = (answer.title, answer.presenters)
    return found
