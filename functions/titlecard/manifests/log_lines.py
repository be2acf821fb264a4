"""What yt-dlp says while it works, which `2>&1` puts among its JSON: no line of JSON begins so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LOG_LINE = rb"(?:WARNING|ERROR|Deprecated Feature|DeprecationWarning): |\[[A-Za-z][\w:.+ -]{0,60}\] [^\s\]]"
_BEGINNING = re.compile(_LOG_LINE)
_ANYWHERE = re.compile(rb"^(?:%b)" % _LOG_LINE, re.MULTILINE)
_FAULT = re.compile(r"ERROR: \[[^\]]+\] ([\w-]+): (.+)")

_ENOUGH = 80
"""So many bytes of a line tell whether it is one."""


def is_log_line(line: bytes) -> bool:
    """Whether a line is one of the log."""
    return _BEGINNING.match(line) is not None


def has_log_lines(head: bytes) -> bool:
    """Whether there are any among these lines."""
    return _ANYWHERE.search(head) is not None


def fault(line: bytes) -> str | None:
    """Why yt-dlp could not list a video, by a line of its log; None where it does not tell of one."""
    found = _FAULT.match(line.decode("utf-8", "replace").strip())
    return f"yt-dlp could not read the video {found[1]:.40}: {found[2]:.200}" if found else None


def without_log_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes without the lines of the log; only the beginning of a line is ever held back."""
    rest = b""  # of a line that is too short yet to be judged
    within: bool | None = None  # whether the line we are in goes on (True), is left out (False), or is not known yet
    for chunk in chunks:
        data, kept = rest + chunk, []
        rest = b""
        for part in _lines(data):
            ended = part.endswith(b"\n")
            if within is None and not ended and len(part) < _ENOUGH:
                rest = part
                break
            if within is None:
                within = not is_log_line(part)
            if within:
                kept.append(part)
            if ended:
                within = None
        yield b"".join(kept)
    if rest and not is_log_line(rest):
        yield rest


def _lines(data: bytes) -> list[bytes]:
    """The lines by line feeds alone."""
    *whole, last = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([last] if last else [])
