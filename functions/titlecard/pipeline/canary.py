"""Canaries: a worker's first request for a batch is sent alone, so that a fault they all share costs one request.

A wrong key, a missing model or a forbidden service tier fails every request, and ten concurrent requests would all
fail. So the others wait until the first, the canary, has returned. If it found such a fault, they find an
open breaker. A worker that has just had an answer for this batch does not wait.
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

VALID = timedelta(minutes=15)
"""How long an outcome proves that the account works: as long as an open breaker waits."""

POLL_SECONDS = 0.02


class CanaryGate:
    """Holds back the requests of one worker's threads while a canary is in flight; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: set[str] = set()
        self._released: dict[str, datetime] = {}

    @contextmanager
    def enter(self, batch: str, now: Callable[[], datetime]) -> Iterator[None]:
        """Wait while a canary of the batch is in flight; the block is one request, perhaps the next canary.

        Args:
            now: returns the current time, timezone-aware.
        """
        while (is_canary := self._take(batch, now())) is None:
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            if is_canary:
                with self._lock:
                    self._in_flight.discard(batch)

    def release(self, batch: str, now: datetime) -> None:
        """Record that a request shows a working account: for a while, the batch's requests are sent concurrently."""
        with self._lock:
            self._released = dict(list(self._released.items())[-100:]) | {batch: now}

    def _take(self, batch: str, now: datetime) -> bool | None:
        """Return whether a request is a canary; None if another one is and this one has to wait."""
        with self._lock:
            released = self._released.get(batch)
            if released is not None and released <= now < released + VALID:
                return False
            if batch in self._in_flight:
                return None
            self._in_flight.add(batch)
            return True
