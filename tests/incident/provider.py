"""A provider that records the amount, video and time of each bill, on a clock that runs faster than real time.

It can also kill the process that asks about certain videos, after billing the request and before sending the answer, as
an out-of-memory killer would kill a worker that has just paid.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from tests.provider import LoopbackProvider

from titlecard.domain.text import normalise

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tests.provider import Fault


@dataclass(frozen=True)
class Entry:
    """One billed request: its time (scaled seconds after the provider's start), its video, its amount."""

    second: float
    video: str
    tokens: int


@dataclass(frozen=True)
class Sums:
    """The totals of a provider's bill."""

    requests: int
    tokens: int
    videos: int
    """The number of videos that were paid for."""
    again: int
    """The number of videos that were paid for more than once."""
    most: int
    """The most requests about one video."""
    seconds: float
    """Scaled seconds from the first request to the last."""


class SlowProvider(LoopbackProvider):
    """A slow provider on a scaled clock, with its bill.

    Args:
        videos: the id of each video by its title.
        scale: how many seconds of its clock pass in one real second.
        seconds_a_call: the duration of each answer, on its clock.
        deadly: the ids of the videos for which it kills the asking process.
    """

    def __init__(
        self, videos: Mapping[str, str], *, scale: int, seconds_a_call: float, deadly: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.delay = seconds_a_call / scale
        self.bodies: dict[str, bytes] = {}
        """The first request about each video."""
        self.kills = 0
        self._videos = {normalise(title): video for title, video in videos.items()}
        self._scale = scale
        self._deadly = frozenset(deadly)
        self._entries: list[Entry] = []
        self._writing = threading.Lock()
        self._started = time.monotonic()

    @property
    def entries(self) -> list[Entry]:
        """Everything billed so far, in order."""
        with self._writing:
            return list(self._entries)

    def serve(self, content: bytes, key: str) -> tuple[Fault, bytes, str]:
        """Bill a request and record it."""
        answer = super().serve(content, key)
        usage, video = json.loads(answer[1])["usage"], self._video(content)
        with self._writing:
            second = (time.monotonic() - self._started) * self._scale
            self._entries.append(Entry(second, video, usage["input_tokens"] + usage["output_tokens"]))
            self.bodies.setdefault(video, content)
        return answer

    def before_answer(self, content: bytes, port: int) -> None:
        """Kill the asking process if the video is deadly."""
        if self._video(content) not in self._deadly:
            return
        with suppress(ProcessLookupError):
            asker = process_at(port)
            if asker != os.getpid():
                self.kills += 1  # before anybody can see that the process died
                os.kill(asker, signal.SIGKILL)

    def _video(self, content: bytes) -> str:
        return self._videos[json.loads(json.loads(content)["input"][-1]["content"])["title"]]


def sums(entries: Sequence[Entry]) -> Sums:
    """Return the totals of a bill's entries."""
    times = Counter(entry.video for entry in entries)
    return Sums(
        requests=len(entries),
        tokens=sum(entry.tokens for entry in entries),
        videos=len(times),
        again=sum(number > 1 for number in times.values()),
        most=max(times.values(), default=0),
        seconds=entries[-1].second - entries[0].second if entries else 0.0,
    )


def curve(entries: Sequence[Entry], points: int) -> list[tuple[float, int]]:
    """Return the tokens billed over time, in hours since the first request, in at most this many points."""
    if not entries:
        return []
    whole = [
        ((entry.second - entries[0].second) / 3600, tokens)
        for entry, tokens in zip(entries, accumulate(entry.tokens for entry in entries), strict=True)
    ]
    every = -(-len(whole) // points)
    thinned = whole[::every]
    return thinned if thinned[-1] == whole[-1] else [*thinned[: points - 1], whole[-1]]


def process_at(port: int) -> int:
    """Return the process that holds the local end of a TCP connection on 127.0.0.1; Linux only.

    Raises:
        ProcessLookupError: no process holds it any more.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == f"0100007F:{port:04X}" and row[9] != "0"}
    for process in Path("/proc").glob("[0-9]*"):
        if sockets & _open_files(process):
            return int(process.name)
    raise ProcessLookupError(f"nobody holds port {port}")


def _open_files(process: Path) -> set[str]:
    found = set()
    with suppress(OSError):  # it has ended meanwhile, or belongs to another user
        for descriptor in (process / "fd").iterdir():
            with suppress(FileNotFoundError):  # it has been closed meanwhile
                found.add(str(descriptor.readlink()))
    return found
