"""A provider on loopback: real HTTP, the Responses API, every way of going wrong, and a bill of its own."""

from __future__ import annotations

from tests.provider.faults import FAULTS, Fault
from tests.provider.server import LoopbackProvider, Post

__all__ = ["FAULTS", "Fault", "LoopbackProvider", "Post"]
