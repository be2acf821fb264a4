"""What a manifest is read into: rows that were accepted, refused or left out, and the limits of reading.

A row's `number` is what a person finds in an editor: the line where the row starts in forms that are read by lines
(JSON Lines, CSV), the element's place, from 1, in the others. It rises within a manifest, no two rows share it, and the
same bytes give the same numbers every time: checkpoints and reports are made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard.domain.video import Video

EXCERPT_CHARACTERS = 160
"""Enough to find a refused row by, and little enough for a report of a million of them."""

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """How much of a manifest is read, whoever sent it. What exceeds a limit is refused with a sentence.

    Attributes:
        row_max_bytes: size of an accepted row, in bytes of its video as JSON. A message of SQS holds 262,144 bytes (SQS
            developer guide, "Message quotas"), and its envelope needs some of them.
        record_max_bytes: size of a row as it stands in the file, with all that is not kept of it: yt-dlp writes up to a
            megabyte of formats and captions for a video.
        total_max_bytes: size of the whole manifest once it is unpacked.
        max_ratio: how many times its packed size a gzipped manifest may unpack to. Judged from `RATIO_GRACE_BYTES` on.
        rows_max: how many rows are read, good or bad.
        number_max: the highest row number that is read; a quoted CSV field may span many lines. A bitmap of row numbers
            takes this many bits.
    """

    row_max_bytes: int = 200_000
    record_max_bytes: int = 2 * MIB
    total_max_bytes: int = 4096 * MIB
    max_ratio: int = 200
    rows_max: int = 2_000_000
    number_max: int = 50_000_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A good row. `record` is what its owner wrote, with all that is not read of it; None where that has no names."""

    number: int
    video: Video
    record: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is left out, with the reason as a sentence and the beginning of the row to find it by."""

    number: int
    reason: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is rightly no talk, such as a break in a schedule or the total of a table: counted, and no mistake."""

    number: int
    reason: str


Row = Accepted | Refused | LeftOut


def excerpt(raw: bytes) -> str:
    """The beginning of a refused row, fit to be printed whatever its bytes are."""
    return raw[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace").strip()[:EXCERPT_CHARACTERS]
