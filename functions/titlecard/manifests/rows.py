"""The rows of a manifest: accepted, refused or left out, and the limits of reading.

A row's `number` is what a person finds in an editor: the line where the row starts in formats that are read by lines
(JSON Lines, CSV), the element's position, from 1, in all others. Numbers ascend within a manifest, are unique, and the
same bytes always give the same numbers: checkpoints and reports depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard.domain.video import Video

EXCERPT_CHARACTERS = 160
"""Characters enough to find a rejected row, but few enough for a report of a million of them."""

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """The limits of reading a manifest. Anything above a limit is refused with a sentence.

    Attributes:
        row_max_bytes: the most bytes of an accepted row, as the JSON of its video. An SQS message has at most 262,144
            bytes (SQS developer guide, "Message quotas"), and its envelope needs some of them.
        record_max_bytes: the most bytes of a row in the file, including everything that is not kept: yt-dlp writes up
            to a megabyte of formats and captions for a video.
        total_max_bytes: the most bytes of the whole manifest, decompressed.
        max_ratio: the most times its compressed size that a gzipped manifest may unpack to. It applies only above
            `RATIO_GRACE_BYTES`.
        rows_max: the most rows that are read, good or bad.
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
    """A good row. `record` is its owner's object with all unread fields; None if the form has no names."""

    number: int
    video: Video
    record: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A rejected row, with the reason as a sentence and the beginning of the row to find it by."""

    number: int
    reason: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not meant to be a talk, such as a break or the total of a table: counted, but not a mistake."""

    number: int
    reason: str


Row = Accepted | Refused | LeftOut


def excerpt(raw: bytes) -> str:
    """Return the beginning of a rejected row, printable whatever its bytes are."""
    return raw[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace").strip()[:EXCERPT_CHARACTERS]
