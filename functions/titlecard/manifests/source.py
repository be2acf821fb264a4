"""The bytes of a manifest: decompressed, counted and cut into lines, within limits.

Nothing here holds more than one chunk and one record. Exceeding a limit, or truncated gzip data, raises `Broken` at
that point: everything read before it is good.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import sys
import zlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from titlecard.manifests.errors import Broken
from titlecard.manifests.rows import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed import WriteableBuffer

    from titlecard.manifests.rows import ReadingLimits

CHUNK_BYTES = 64 * 1024

HEAD_BYTES = MIB
"""The bytes used to recognise a manifest: enough for the first line of `yt-dlp --dump-json`."""

RATIO_GRACE_BYTES = 64 * MIB
"""Up to this many bytes, any compression ratio is allowed: small repetitive manifests shrink a thousandfold."""

_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_XML_DECLARATION = re.compile(rb"\A\s*<\?xml[^>]*\?>")
_MISREAD_BOM = b"\xc3\xaf\xc2\xbb\xc2\xbf"
"""The byte order mark after it was read as Latin-1 and written as UTF-8."""


class Piece(NamedTuple):
    """One record of the file in its raw form; `data` is only its beginning if it is not `whole`."""

    data: bytes
    whole: bool


class Source:
    """A manifest's bytes, decompressed if they are gzipped, in UTF-8, and without their byte order mark.

    UTF-16 with a byte order mark, which Excel calls Unicode text, becomes UTF-8.

    Attributes:
        head: the first `HEAD_BYTES` of them.
        gzipped: whether they had to be decompressed.
        broken: why they cannot be read any further, once that is known.
    """

    def __init__(self, stream: BinaryIO, limits: ReadingLimits) -> None:
        self._limits = limits
        self._packed = _Counted(stream)
        buffered = io.BufferedReader(self._packed, CHUNK_BYTES)
        self.gzipped = buffered.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
        self._plain = gzip.GzipFile(fileobj=buffered, mode="rb") if self.gzipped else buffered
        self._total = 0
        self._first: bytes | None = b""  # the first bytes, until they are enough to tell the encoding
        self._decoder: codecs.IncrementalDecoder | None = None
        self.broken: Broken | None = None
        head = self._gather(HEAD_BYTES).removeprefix(_UTF8_BOM).removeprefix(_MISREAD_BOM)
        self.head = self._without_declaration(head)

    def chunks(self) -> Iterator[bytes]:
        """Yield all the bytes, once.

        Raises:
            Broken: the data are truncated or damaged, or a limit is exceeded.
        """
        yield from (self.head[start : start + CHUNK_BYTES] for start in range(0, len(self.head), CHUNK_BYTES))
        while not self.broken and (chunk := self._gather(CHUNK_BYTES)):
            yield chunk
        if self.broken:
            raise self.broken

    def _gather(self, size: int) -> bytes:
        """Return at least `size` bytes, or the rest: hostile gzip data can come out byte by byte."""
        parts: list[bytes] = []
        gathered = 0
        try:
            while gathered < size and (chunk := self._read()):
                part = self._in_utf8(chunk)
                parts.append(part)
                gathered += len(part)
            if gathered < size:
                parts.append(self._in_utf8(b""))
        except Broken as broken:
            self.broken = broken
        return b"".join(parts)

    def _in_utf8(self, chunk: bytes) -> bytes:
        """Return the bytes in UTF-8; no more bytes mean the end."""
        if self._first is not None:
            self._first += chunk
            if chunk and len(self._first) < len(codecs.BOM_UTF32_LE):
                return b""  # too few bytes to tell the byte order marks apart
            chunk, self._first = self._first, None
            if chunk.startswith(_UTF16_BOMS) and not chunk.startswith(codecs.BOM_UTF32_LE):
                self._decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
        if self._decoder is None:
            return chunk
        try:
            return self._decoder.decode(chunk, final=not chunk).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise Broken("The UTF-16 ends in the middle of a character here: the file was cut off.") from error

    def _without_declaration(self, head: bytes) -> bytes:
        """Return the beginning without XML's declaration if that names UTF-16, which the bytes are no longer in."""
        return head if self._decoder is None else _XML_DECLARATION.sub(b"", head)

    def _read(self) -> bytes:
        try:
            chunk = self._plain.read1(CHUNK_BYTES)  # read() would lose what was decompressed before the damage
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Broken(
                "The gzip data end early or are damaged here; nothing after this can be read. "
                "Pack the file again and upload it again."
            ) from error
        room = self._limits.total_max_bytes - self._total
        self._total += len(chunk)
        if room < 0 or (chunk and room == 0):  # below 0 if the end of the last chunk was held back
            raise Broken(
                f"The manifest is larger than {self._limits.total_max_bytes:,} bytes; nothing after this is read. "
                "Split it into several files."
            )
        allowed = max(RATIO_GRACE_BYTES, self._packed.count * self._limits.max_ratio)
        if self.gzipped and self._total > allowed:
            raise Broken(
                f"The file unpacks to more than {self._limits.max_ratio} times its size; nothing after this is read. "
                "If it is genuine, upload it unpacked."
            )
        return chunk[:room]


BLOCK_BYTES = 16 * 1024


class Blocks:
    """The bytes of a manifest as a file for a parser: whole blocks, however the chunks were cut.

    Args:
        max_bytes: the most bytes that may be read without a row.
    """

    def __init__(self, chunks: Iterable[bytes], max_bytes: int) -> None:
        self._chunks = iter(chunks)
        self._max_bytes = max_bytes + 2 * BLOCK_BYTES  # parsers read ahead
        self._size = 0
        self._rest = b""

    def read(self, _: int = -1) -> bytes:
        """Return the next block, shorter only at the end.

        Raises:
            Broken: there were too many bytes without a row.
        """
        while len(self._rest) < BLOCK_BYTES and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        block, self._rest = self._rest[:BLOCK_BYTES], self._rest[BLOCK_BYTES:]
        self._size += len(block)
        if self._size > self._max_bytes:
            raise Broken(f"There are more than {self._max_bytes:,} bytes without a row; nothing after this is read.")
        return block

    def row_ended(self) -> None:
        """Reset the count of bytes."""
        self._size = 0


def lines(chunks: Iterable[bytes], max_bytes: int, number_max: int = sys.maxsize) -> Iterator[tuple[int, Piece]]:
    """Yield the lines with their numbers from 1, without line ends; of one above `max_bytes`, only the beginning.

    Raises:
        Broken: there are more than `number_max` lines.
    """
    number = 0
    rest = b""  # of a line whose end is not known yet; at most a chunk more than `max_bytes`
    for chunk in chunks:
        *complete, tail = chunk.split(b"\n")
        for part in complete:
            line = (rest + part).removeprefix(_UTF8_BOM)  # of a file that was appended to another
            rest = b""
            number += 1
            if number > number_max:
                raise Broken(f"The manifest has more than {number_max:,} lines; nothing after this is read.")
            yield number, Piece(line[:max_bytes], len(line) <= max_bytes)
        if len(rest) <= max_bytes:
            rest += tail
    if rest := rest.removeprefix(_UTF8_BOM):
        yield number + 1, Piece(rest[:max_bytes], len(rest) <= max_bytes)


class _Counted(io.RawIOBase):
    """A stream that only calls `read(n)`, and counts the bytes.

    It reads in blocks that do not depend on the network's cuts, so a limit always applies at the same row.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        filled = 0
        while data := self._stream.read(len(view) - filled):
            view[filled : filled + len(data)] = data
            filled += len(data)
        self.count += filled
        return filled
