"""Pass 1 of ingest: going through a manifest once and writing down which rows are good.

What comes of it is small whatever the manifest's size: counts, one bit a row, and a sample for the survey. With the
bits, pass 2 and the audit read the manifest again and know its accepted rows without looking for duplicates a second
time. The same bytes give the same report, however often a run was interrupted.
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
"""2^64 divided by the golden ratio. Multiples of it, modulo 2^64, lie evenly between 0 and 2^64 however many there are
(Knuth, The Art of Computer Programming 3, section 6.4), so the rows whose multiple is small lie evenly in the file."""

_LINE_ENDS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}
"""What JSON leaves as it is, and what readers of lines may take for the end of one (Unicode Standard Annex 14)."""

_SAMPLE_TEXT_CHARACTERS = 4_000
"""What the survey sees of a title or a description, so that a sample of huge rows is no huge sample."""


class Bitmap:
    """A set of row numbers, one bit each."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._bits = bytearray()
        for number in numbers:
            self.add(number)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The bitmap that `to_bytes` wrote."""
        bitmap = cls()
        bitmap._bits = bytearray(data)
        return bitmap

    def to_bytes(self) -> bytes:
        """Row n is bit n % 8, counted from the lowest, of byte n // 8."""
        return bytes(self._bits)

    def add(self, number: int) -> None:
        """Puts a row number in."""
        place, bit = divmod(number, 8)
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        self._bits[place] |= 1 << bit

    def missing(self, there: Container[int]) -> Iterator[int]:
        """The row numbers that are in this bitmap and not in `there`, rising."""
        return (number for number in self if number not in there)

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

    __hash__ = None  # type: ignore[assignment]  # it changes


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What pass 1 found.

    Attributes:
        form: what the manifest is, for people.
        accepted: how many rows are good and the first of their id.
        refused: how many rows are in the report of rejects.
        repeated: how many rows say again, word for word, what an earlier row said; neither accepted nor refused.
        left_out: how many rows are rightly no talks, such as breaks; likewise.
        last: the number of the last row, 0 where there is none.
        sample: some accepted videos from all over the manifest, in its order; long texts are cut.
        bitmap: the numbers of the accepted rows.
    """

    form: str
    accepted: int
    refused: int
    repeated: int
    left_out: int
    last: int
    sample: tuple[Video, ...]
    bitmap: Bitmap


def validate(reading: Reading, *, scratch: Path, rejects: SupportsWrite[str], sample_max: int) -> ValidationReport:
    """Goes through a manifest once.

    Args:
        reading: the manifest, not yet read from.
        scratch: a folder on disk. A file in it takes some 60 bytes a row meanwhile; one that a killed run left is
            replaced.
        rejects: takes a line of JSON, {"row", "reason", "excerpt"}, for every refused row.
        sample_max: how many videos the sample holds at most.
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
    return ValidationReport(reading.form, len(bitmap), refused, repeated, left_out, last, sample.videos(), bitmap)


def accepted(reading: Reading, bitmap: Container[int], after: int = 0) -> Iterator[Accepted]:
    """Pass 2: the accepted rows of a manifest that is read again, from a checkpoint on.

    Args:
        reading: the same bytes as were validated, with the same limits, not yet read from.
        bitmap: the numbers of the accepted rows.
        after: the checkpoint: the number of the last row that is not wanted any more.
    """
    return reading.only(_After(bitmap, after))


class _After:
    def __init__(self, rows: Container[int], after: int) -> None:
        self._rows = rows
        self._after = after

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number > self._after and number in self._rows


class _FirstRows:
    """Where each id stood first, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        # It is thrown away in any case, so nothing of it needs to survive a crash. The cache is 16 MiB.
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
        """The row where its id is new, None where it repeats an earlier row, refused where it contradicts one."""
        video = row.video
        content = hashlib.blake2b(f"{video.title}\0{video.description}".encode(), digest_size=16).digest()
        new = self._database.execute(
            "INSERT INTO first_rows VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (video.id, row.number, content)
        )
        if new.rowcount:
            return row
        query = "SELECT number, content FROM first_rows WHERE id = ?"
        number, first_content = self._database.execute(query, (video.id,)).fetchone()
        if content == first_content:
            return None
        reason = f"Duplicate id with other content than row {number}; the first one is kept."
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

    def videos(self) -> tuple[Video, ...]:
        return tuple(video for _, _, video in sorted(self._heap, key=lambda entry: entry[1]))


def _shortened(video: Video) -> Video:
    if len(video.title) + len(video.description) <= _SAMPLE_TEXT_CHARACTERS:
        return video
    cut = {name: getattr(video, name)[:_SAMPLE_TEXT_CHARACTERS] for name in ("title", "description")}
    return video.model_copy(update=cut)


def _reject_line(row: Refused) -> str:
    text = json.dumps({"row": row.number, "reason": row.reason, "excerpt": row.excerpt}, ensure_ascii=False)
    return text.translate(_LINE_ENDS) + "\n"
