"""What the use cases raise."""

from __future__ import annotations


class EventNotPublished(Exception):
    """The event bus did not take an event; the batch stays open and is tried again."""
