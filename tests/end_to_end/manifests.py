"""Manifests for the tests, and what is to come out of them."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard import extraction, manifests
from titlecard.extraction.survey import Survey
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
    """So many videos, each with a title of its own; `mark` stands in every title, and makes others of them."""
    return [
        {
            "id": f"v{i}",
            "title": f"{PEOPLE[i % len(PEOPLE)]} - {mark or 'Notes'} on {SUBJECTS[i % len(SUBJECTS)]}, part {i}",
            "description": f"The talk number {i} of a series.",
        }
        for i in range(first, first + number)
    ]


def lines(rows: Iterable[Mapping[str, str]]) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def array(rows: Sequence[Mapping[str, str]]) -> bytes:
    """A JSON array."""
    return json.dumps(rows, indent=2).encode()


def answers(content: bytes) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Title and presenters of every accepted row by its id, as the local tier answers in this process.

    The provider of the tests gives the local tier's guess back, so it is the same for both tiers.
    """
    limits = manifests.ReadingLimits()
    with tempfile.TemporaryDirectory() as scratch:
        counted = validation.validate(
            manifests.read(io.BytesIO(content), limits), scratch=Path(scratch), rejects=io.StringIO(), sample_max=2000
        )
    survey = Survey.learn(counted.sample)
    found = {}
    for row in validation.accepted(manifests.read(io.BytesIO(content), limits), counted.bitmap):
        answer = extraction.parse(row.video, survey)
        found[row.video.id] = (answer.title, answer.presenters)
    return found
