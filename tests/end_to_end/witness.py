"""The loopback provider with a memory: not only how often it was asked, but about what, and when."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.provider import LoopbackProvider

if TYPE_CHECKING:
    from tests.provider import Fault


LATELY_SECONDS = 2
"""Less than any request's deadline in these tests, by what it takes to kill somebody."""


class Witness(LoopbackProvider):
    """A provider that knows the titles it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self._requests: list[tuple[str, float]] = []

    def serve(self, content: bytes, key: str) -> tuple[Fault, bytes, str]:
        """Note what the request is about, and serve it."""
        title = json.loads(json.loads(content)["input"][-1]["content"])["title"]
        self._requests.append((title, time.monotonic()))
        return super().serve(content, key)

    def asked(self, mark: str = "") -> Counter[str]:
        """How often it was asked about each title that holds a text."""
        return Counter(title for title, _ in list(self._requests) if mark in title)

    def asked_of_late(self, mark: str) -> bool:
        """Whether it was asked about a title that holds a text so lately that it may be waited for still."""
        return any(mark in title and time.monotonic() - when < LATELY_SECONDS for title, when in list(self._requests))

    def asked_at(self, title: str) -> list[float]:
        """When it was asked about a title, in seconds."""
        return [when for asked, when in list(self._requests) if asked == title]
