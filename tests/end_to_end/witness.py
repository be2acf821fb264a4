"""The loopback provider with a memory of the titles that it was asked about, and of the times."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.provider import LoopbackProvider

if TYPE_CHECKING:
    from tests.provider import Fault


LATELY_SECONDS = 2
"""Seconds for which a request counts as recent: below every deadline here by the time that a kill takes."""


class Witness(LoopbackProvider):
    """A provider that records the titles it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self._requests: list[tuple[str, float]] = []

    def serve(self, content: bytes, key: str) -> tuple[Fault, bytes, str]:
        """Record the request's title, and serve the request."""
        title = json.loads(json.loads(content)["input"][-1]["content"])["title"]
        self._requests.append((title, time.monotonic()))
        return super().serve(content, key)

    def asked(self, mark: str = "") -> Counter[str]:
        """Count the requests about each title that contains a text."""
        return Counter(title for title, _ in list(self._requests) if mark in title)

    def asked_of_late(self, mark: str) -> bool:
        """Return whether a request about a title with this text is so recent that its worker may still wait for it."""
        return any(mark in title and time.monotonic() - when < LATELY_SECONDS for title, when in list(self._requests))

    def asked_at(self, title: str) -> list[float]:
        """Return the times of the requests about a title, in seconds."""
        return [when for asked, when in list(self._requests) if asked == title]
