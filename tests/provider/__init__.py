"""A provider on loopback: real HTTP, the Responses API, every kind of fault, and its own bill."""

from __future__ import annotations

from tests.provider.faults import FAULTS, Fault
from tests.provider.server import LoopbackProvider, Post

__all__ = ["FAULTS", "Fault", "LoopbackProvider", "Post"]
