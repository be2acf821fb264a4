"""The use cases' errors."""

from __future__ import annotations


class EventNotPublished(Exception):
    """The event bus refused an event; the batch stays open and is tried again."""
