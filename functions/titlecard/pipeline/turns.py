"""One question finds out what would meet them all: the first of a worker's questions for a project goes alone.

A wrong key, a model that is not there or a tier that is not allowed fails every question alike. Where ten are asked
side by side, ten find it out. So the others wait until one has come back with anything else, and find an open breaker
where it has not. A worker that has just been answered does not wait.
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
"""For how long an outcome shows that the account is well: as long as a breaker waits that it has opened."""

POLL_SECONDS = 0.02


class Turns:
    """Whose turn it is in one worker; safe to be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alone: set[str] = set()
        self._ended: dict[str, datetime] = {}

    @contextmanager
    def turn(self, project: str, now: Callable[[], datetime]) -> Iterator[None]:
        """Wait for a turn, and have it.

        Args:
            now: the time, timezone-aware.
        """
        while (alone := self._take(project, now())) is None:
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            if alone:
                with self._lock:
                    self._alone.discard(project)

    def end(self, project: str, now: datetime) -> None:
        """End the turns of a project: its questions are asked side by side for a while."""
        with self._lock:
            self._ended = dict(list(self._ended.items())[-100:]) | {project: now}

    def _take(self, project: str, now: datetime) -> bool | None:
        """Whether a question goes alone; None where another one does, and this one has to wait."""
        with self._lock:
            ended = self._ended.get(project)
            if ended is not None and ended <= now < ended + BELIEVED:
                return False
            if project in self._alone:
                return None
            self._alone.add(project)
            return True
