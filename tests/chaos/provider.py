"""The loopback provider with random faults: it fails now and then, degrades, stops, and comes back."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.provider import FAULTS, LoopbackProvider, Post

if TYPE_CHECKING:
    from tests.provider import Fault

DECLARED = {"usage_above_bound"}
"""The declared exception to charged <= limit, which has its own tests."""

SLOW = {"hang", "trickle"}
"""Faults that use up a request's deadline; rare, so that they do not take up the whole run."""

ACCOUNT = {
    *("unauthorized", "payment_required", "forbidden", "not_found", "insufficient_quota"),
    *("credit_balance_exhausted", "spend_limit", "usage_limit"),
    *("budget_of_a_gateway", "no_credit_behind_success"),
}
"""Faults that open the breaker for fifteen minutes; rarer still, and one of them lasts until a person closes it."""

ORDINARY = sorted(set(FAULTS) - DECLARED - SLOW - ACCOUNT - {"ok"})


@dataclass(frozen=True)
class Asked:
    """One request: its video, by title, and its bill."""

    project: str
    title: str
    post: Post


class ChaoticProvider:
    """A provider at one address that can stop and restart; its bill continues.

    Args:
        projects: words that stand in every title of a project and identify its requests.
        seed: the seed of its faults.
    """

    def __init__(self, projects: tuple[str, ...], seed: int) -> None:
        self._projects = projects
        self._random = random.Random(seed)  # noqa: S311 -- faults, not secrets
        self.faulty = 0.0
        self.asked: list[Asked] = []
        self.outages = 0
        self.lock = threading.Lock()
        self._server = _Server(self, 0)
        self.base_url = self._server.base_url
        self._server.__enter__()

    def start(self) -> None:
        """Listen again at the same address."""
        self._server = _Server(self, int(self.base_url.rpartition(":")[2].partition("/")[0]))
        self._server.__enter__()

    def stop(self) -> None:
        """Accept no more connections; cut off hanging requests."""
        self._server.__exit__(None, None, None)

    def fault(self) -> str:
        """Draw the next request's fault."""
        drawn = self._random.random()
        if drawn >= self.faulty:
            return "ok"
        if drawn < self.faulty * 0.01:
            return self._random.choice(sorted(ACCOUNT))
        return self._random.choice(sorted(SLOW)) if drawn < self.faulty * 0.08 else self._random.choice(ORDINARY)

    def about(self, content: bytes) -> tuple[str, str]:
        """Return a request's project and its video's title."""
        title = str(json.loads(json.loads(content)["input"][-1]["content"])["title"])
        return next(project for project in self._projects if project in title.lower()), title


class _Server(LoopbackProvider):
    def __init__(self, weather: ChaoticProvider, port: int) -> None:
        super().__init__(port)
        self._weather = weather

    def serve(self, content: bytes, key: str) -> tuple[Fault, bytes, str]:
        with self._weather.lock:  # one at a time, so that the last post is this request's
            served = super().serve(content, key)
            self._weather.asked.append(Asked(*self._weather.about(content), self._posts[-1]))
        return served

    def _next_fault(self, content: bytes) -> str:
        del content
        return self._weather.fault()
