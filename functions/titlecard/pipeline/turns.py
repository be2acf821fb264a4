"""Turns: the first of a worker's questions for a batch goes alone, so that one question finds a common fault.

A wrong key, a missing model or a forbidden service tier fails every question alike, and ten concurrent questions would
all find it out. So the others wait until the first has returned. If it found such a fault, they find an open breaker. A
worker that has just had an answer for this batch does not wait.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

BELIEVED = timedelta(minutes=15)
"""How long an outcome counts as proof of a working account: as long as an open breaker waits."""

POLL_SECONDS = 0.02


class Turns:
    """The turns of one worker's threads; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alone: set[str] = set()
        self._ended: dict[str, datetime] = {}

    @contextmanager
    def turn(self, batch: str, now: Callable[[], datetime]) -> Iterator[None]:
        """Wait for a turn, and hold it for the length of a block.

        Args:
            batch: the id of the batch.
            now: returns the current time, timezone-aware.
        """
        while (alone := self._take(batch, now())) is None:
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            if alone:
                with self._lock:
                    self._alone.discard(batch)

    def end(self, batch: str, now: datetime) -> None:
        """End the turns of a batch: its questions are asked concurrently for a while."""
        with self._lock:
            self._ended = dict(list(self._ended.items())[-100:]) | {batch: now}

    def _take(self, batch: str, now: datetime) -> bool | None:
        """Return whether a question goes alone; None if another one does and this one has to wait."""
        with self._lock:
            ended = self._ended.get(batch)
            if ended is not None and ended <= now < ended + BELIEVED:
                return False
            if batch in self._alone:
                return None
            self._alone.add(batch)
            return True
