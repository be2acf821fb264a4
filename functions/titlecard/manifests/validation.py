"""Pass 1 of ingest: reads a manifest once and records which rows are good.

Its result is small for a manifest of any size: counts, one bit per row, and a sample for the survey. With the bits,
pass 2 and the audit read the manifest again and know its accepted rows without another search for duplicates. The same
bytes give the same report, however often a run was interrupted.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from titlecard.manifests import EXCERPT_CHARACTERS, Accepted, LeftOut, Refused

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from pathlib import Path

    from _typeshed import SupportsWrite

    from titlecard.domain.video import Video
    from titlecard.manifests import Reading

_SCRATCH_NAME = "validation.sqlite"

_SPREAD = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio. Any number of its multiples modulo 2^64 spread evenly between 0 and 2^64 (Knuth,
The Art of Computer Programming 3, section 6.4), so the rows with small multiples spread evenly over the file."""

_LINE_ENDS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}
"""Characters that JSON leaves unescaped and that readers may take for a line end (Unicode Standard Annex 14)."""

_SAMPLE_TEXT_CHARACTERS = 4_000
"""The most characters of a title or a description in the survey, so that a sample of huge rows stays small."""


class Bitmap:
    """A set of row numbers, one bit each."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._bits = bytearray()
        for number in numbers:
            self.add(number)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the bitmap that `to_bytes` wrote."""
        bitmap = cls()
        bitmap._bits = bytearray(data)
        return bitmap

    def to_bytes(self) -> bytes:
        """Return the bytes; row n is bit n % 8, counted from the lowest, of byte n // 8."""
        return bytes(self._bits)

    def add(self, number: int) -> None:
        """Add a row number."""
        place, bit = divmod(number, 8)
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        self._bits[place] |= 1 << bit

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or number < 0:
            return False
        place, bit = divmod(number, 8)
        return place < len(self._bits) and bool(self._bits[place] >> bit & 1)

    def __iter__(self) -> Iterator[int]:
        for place, byte in enumerate(self._bits):
            if byte:
                yield from (place * 8 + bit for bit in range(8) if byte >> bit & 1)

    def __len__(self) -> int:
        return int.from_bytes(self._bits, "little").bit_count()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bitmap) and self._bits == other._bits

    __hash__ = None  # type: ignore[assignment]  # it is mutable


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The result of pass 1.

    Attributes:
        form: the manifest's format for people.
        accepted: the number of good rows, each the first with its id.
        refused: the number of rows in the report of rejects.
        repeated: the number of rows that repeat an earlier row word for word; neither accepted nor refused.
        left_out: the number of rows that are not meant to be talks, such as breaks; neither accepted nor refused.
        last: the number of the last row, 0 if there is none.
        sample: some accepted rows from all over the manifest, in its order: number and video, with long texts cut.
        bitmap: the numbers of the accepted rows.
    """

    form: str
    accepted: int
    refused: int
    repeated: int
    left_out: int
    last: int
    sample: tuple[tuple[int, Video], ...]
    bitmap: Bitmap


def validate(reading: Reading, *, scratch: Path, rejects: SupportsWrite[str], sample_max: int) -> ValidationReport:
    """Read a manifest once.

    Args:
        reading: the manifest, not yet read from.
        scratch: a folder on disk. A file in it takes some 60 bytes per row during the pass, and replaces the file of a
            killed run.
        rejects: takes a line of JSON, {"row", "reason", "excerpt"}, for every rejected row.
        sample_max: the most rows in the sample.
    """
    bitmap = Bitmap()
    sample = _Sample(sample_max)
    refused = repeated = left_out = last = 0
    with closing(_FirstRows(scratch / _SCRATCH_NAME)) as first_rows:
        for row in reading:
            last = row.number
            if isinstance(row, LeftOut):
                left_out += 1
                continue
            verdict = row if isinstance(row, Refused) else first_rows.judge(row)
            if isinstance(verdict, Refused):
                refused += 1
                rejects.write(_reject_line(verdict))
            elif verdict is None:
                repeated += 1
            else:
                bitmap.add(row.number)
                sample.offer(verdict)
    return ValidationReport(reading.form, len(bitmap), refused, repeated, left_out, last, sample.rows(), bitmap)


def accepted(reading: Reading, bitmap: Container[int], after: int = 0) -> Iterator[Accepted]:
    """Yield the accepted rows for pass 2, from a second reading, after a checkpoint.

    Args:
        reading: the validated bytes with the same limits, not yet read from.
        bitmap: the numbers of the accepted rows.
        after: the checkpoint: the number of the last row to skip.
    """
    return reading.only(lambda number: number > after and number in bitmap)


class _FirstRows:
    """The first place of each id, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        # The file is always thrown away, so it need not survive a crash. The cache is 16 MiB.
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            PRAGMA locking_mode = EXCLUSIVE;
            PRAGMA cache_size = -16384;
            CREATE TABLE first_rows (id TEXT PRIMARY KEY, number INTEGER, content BLOB) WITHOUT ROWID;
            BEGIN;
            """
        )

    def judge(self, row: Accepted) -> Accepted | Refused | None:
        """Return the row if its id is new, None if it repeats an earlier row, a refusal if it contradicts one."""
        video = row.video
        told = "\0".join((video.title, video.description, *video.presenters))
        content = hashlib.blake2b(told.encode(), digest_size=16).digest()
        new = self._database.execute(
            "INSERT INTO first_rows VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (video.id, row.number, content)
        )
        if new.rowcount:
            return row
        query = "SELECT number, content FROM first_rows WHERE id = ?"
        number, first_content = self._database.execute(query, (video.id,)).fetchone()
        if content == first_content:
            return None
        reason = f"Duplicate id, with content that differs from row {number}; the first one is kept."
        return Refused(row.number, reason, f"{video.id}: {video.title}"[:EXCERPT_CHARACTERS])

    def close(self) -> None:
        self._database.close()
        self._path.unlink(missing_ok=True)


class _Sample:
    """Keeps the videos whose row numbers come first in a fixed order that is spread over the manifest."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, int, Video]] = []  # the last in that order is on top

    def offer(self, row: Accepted) -> None:
        place = row.number * _SPREAD % 2**64
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (-place, row.number, _shortened(row.video)))
        elif self._heap and -place > self._heap[0][0]:
            heapq.heapreplace(self._heap, (-place, row.number, _shortened(row.video)))

    def rows(self) -> tuple[tuple[int, Video], ...]:
        return tuple((number, video) for _, number, video in sorted(self._heap, key=lambda entry: entry[1]))


def _shortened(video: Video) -> Video:
    if len(video.title) + len(video.description) <= _SAMPLE_TEXT_CHARACTERS:
        return video
    cut = {name: getattr(video, name)[:_SAMPLE_TEXT_CHARACTERS] for name in ("title", "description")}
    return video.model_copy(update=cut)


def _reject_line(row: Refused) -> str:
    text = json.dumps({"row": row.number, "reason": row.reason, "excerpt": row.excerpt}, ensure_ascii=False)
    return text.translate(_LINE_ENDS) + "\n"
