"""yt-dlp's log lines, which `2>&1` puts among its JSON: no line of JSON begins like them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_COLOUR = rb"(?:\x1b\[[\d;]*m)?"
_LOG_LINE = (
    rb"%b(?:(?:WARNING|ERROR|Deprecated Feature|DeprecationWarning):%b |\[[A-Za-z][\w:.+ -]{0,60}\] {1,4}[^\s\]])"
    rb"| {9}(?!true|false|null)[A-Za-z]"  # the next line of yt-dlp's warning
    rb"|[^\s:]{1,60}\.py:\d+: \w{0,30}Warning:|  (?:warnings\.warn\(|import \w|from \w)"  # Python's, on two lines
    % (_COLOUR, _COLOUR)
)
_BEGINNING = re.compile(_LOG_LINE)
_ANYWHERE = re.compile(rb"^(?:%b)" % _LOG_LINE, re.MULTILINE)
_FAULT = re.compile(r"ERROR: \[[^\]]+\] ([\w-]+): (.+)")

_ENOUGH = 80
"""The bytes of a line that are enough to recognise a log line."""


def is_log_line(line: bytes) -> bool:
    """Return whether a line is a log line."""
    return _BEGINNING.match(line) is not None


def has_log_lines(head: bytes) -> bool:
    """Return whether any of these lines is a log line."""
    return _ANYWHERE.search(head) is not None


def fault(line: bytes) -> str | None:
    """Return why yt-dlp could not list a video, from a log line; None if the line gives no such reason."""
    found = _FAULT.match(line.decode("utf-8", "replace").strip())
    return f"yt-dlp could not read the video {found[1]:.40}: {found[2]:.200}" if found else None


def without_log_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes without the log lines; only the beginning of a line is ever held back."""
    rest = b""  # of a line that is still too short to recognise
    within: bool | None = None  # whether the current line is kept (True), left out (False), or not known yet
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
    """Split into lines at line feeds alone."""
    *whole, last = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([last] if last else [])
