"""A file that a person named, where `-` is standard input: its bytes, or a file that can be read again."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from titlecard_console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD_INPUT = "-"
"""The name of standard input as an argument."""

COPY_NAME = "stdin"
"""The file name of a copy."""

_BLOCK_BYTES = 1024 * 1024


def read_bytes(path: Path) -> bytes:
    """Return all bytes of a file, of a pipe, or of standard input (`-`).

    Raises:
        CommandError: standard input is closed.
        OSError: the file cannot be read.
    """
    with _opened(path) as stream:
        return stream.read()


def readable_again(path: Path, max_bytes: int) -> Path:
    """Return the path of a file that can be opened and read any number of times.

    That is the file itself, or a copy of what standard input (`-`) or a pipe holds, since they can be read only once.
    The copy is deleted when the process ends.

    Args:
        max_bytes: the most bytes that are read. One more byte is copied, so that a reader with this limit notices.

    Raises:
        CommandError: standard input is closed.
        OSError: the file cannot be read, or there is no room for the copy.
    """
    if str(path) != STANDARD_INPUT and path.is_file():
        return path
    folder = Path(tempfile.mkdtemp(prefix="titlecard-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy, left = folder / COPY_NAME, max_bytes + 1
    with _opened(path) as stream, copy.open("wb") as sink:
        while left and (block := stream.read(min(left, _BLOCK_BYTES))):
            sink.write(block)
            left -= len(block)
    return copy


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) != STANDARD_INPUT:
        with path.open("rb") as stream:
            yield stream
    elif sys.stdin is None:
        raise CommandError("Standard input is closed: name a file, or pipe one in.")
    else:
        yield sys.stdin.buffer
