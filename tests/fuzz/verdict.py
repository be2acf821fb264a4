"""The properties that must hold for any uploaded bytes."""

from __future__ import annotations

import io
import json
import re
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from titlecard import manifests
from titlecard.domain.batch import Message
from titlecard.extraction.survey import BatchSurvey
from titlecard.extraction.surveying import survey_batch
from titlecard.manifests import EXCERPT_CHARACTERS, Accepted, LeftOut, ReadingLimits, Refused, validation
from titlecard.manifests.errors import NotAManifest

if TYPE_CHECKING:
    from titlecard.domain.video import Video

TIGHT = ReadingLimits(
    row_max_bytes=120, record_max_bytes=80, total_max_bytes=3_000, max_ratio=2, rows_max=12, number_max=40
)
"""Limits so low that small files exceed every one of them."""

NOT_FOR_SQS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that SQS refuses in a message (SQS API reference, `SendMessage`)."""

GZIP = b"\x1f\x8b"

_Rows = list[Accepted | Refused | LeftOut]


def ills(data: bytes) -> list[str]:
    """Describe what is wrong with reading a file, in sentences; empty if nothing is.

    Every exception except `NotAManifest` propagates to the caller.
    """
    found: list[str] = []
    for limits in (ReadingLimits(), TIGHT):
        try:
            rows = list(manifests.read(io.BytesIO(data), limits))
        except NotAManifest as refusal:
            found += _of_text(str(refusal))
            continue
        found += _of_rows(rows, limits)
        found += _of_another_reading(data, rows, limits)
        found += _of_the_validation(data, rows, limits)
    return found


def _of_rows(rows: _Rows, limits: ReadingLimits) -> list[str]:
    found = []
    if any(later.number <= earlier.number for earlier, later in pairwise(rows)):
        found.append("the numbers of the rows do not rise")
    for row in rows:
        if isinstance(row, Refused):
            found += _of_text(row.reason) + _of_text(row.excerpt or "-")
            if len(row.excerpt) > EXCERPT_CHARACTERS:
                found.append(f"row {row.number} has a long excerpt")
            continue
        if isinstance(row, LeftOut):
            found += _of_text(row.reason)
            continue
        message = Message(batch="b", project="p", row=row.number, video=row.video)
        body = message.model_dump_json()
        if Message.model_validate_json(body) != message:
            found.append(f"row {row.number} is not what its message says")
        if NOT_FOR_SQS.search(body):
            found.append(f"SQS refuses row {row.number}")
        if len(row.video.model_dump_json().encode()) > limits.row_max_bytes:
            found.append(f"row {row.number} is too large")
    return found


def _of_another_reading(data: bytes, rows: _Rows, limits: ReadingLimits) -> list[str]:
    """Check that the same rows are good however the file is cut into chunks.

    Damaged gzip data lose only the last chunk before the damage, however large it is.
    """
    if data.startswith(GZIP):
        return []
    for size in (1, 7):
        with patch("titlecard.manifests.source.CHUNK_BYTES", size):
            try:
                same = _good(list(manifests.read(io.BytesIO(data), limits))) == _good(rows)
            except NotAManifest:
                same = False
            if not same:
                return [f"it is read otherwise in chunks of {size} bytes"]
    return []


def _good(rows: _Rows) -> dict[int, Video | None]:
    """Return each row's video, or None if the row was refused."""
    return {row.number: row.video if isinstance(row, Accepted) else None for row in rows}


def _of_the_validation(data: bytes, rows: _Rows, limits: ReadingLimits) -> list[str]:
    """Check that pass 1 accounts for every row, and that pass 2 reads the rows that pass 1 has accepted."""
    rejects = io.StringIO()
    with tempfile.TemporaryDirectory() as scratch:
        reading = manifests.read(io.BytesIO(data), limits)
        counted = validation.validate(reading, scratch=Path(scratch), rejects=rejects, sample_max=5)
    found = []
    if counted.accepted + counted.refused + counted.repeated + counted.left_out != len(rows):
        found.append("the validation report does not account for every row")
    again = list(validation.accepted(manifests.read(io.BytesIO(data), limits), counted.bitmap))
    if again != [row for row in rows if row.number in counted.bitmap]:
        found.append("pass 2 does not read what pass 1 has accepted")
    if len([json.loads(line) for line in rejects.getvalue().splitlines()]) != counted.refused:
        found.append("the report of rejects does not have a line for each of them")
    surveys = survey_batch(counted.sample)
    if BatchSurvey.from_stored(surveys.whole.to_json(), surveys.parts_to_bytes()) != surveys:
        found.append("the surveys are not read as they were stored")
    return found


def _of_text(text: str) -> list[str]:
    """Check that a sentence for people can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return ["a sentence cannot be written down"]
    return [] if text.strip() else ["a sentence is empty"]
