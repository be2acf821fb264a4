"""The mistakes that may survive, by the beginning of their names: why each changes nothing that a promise is about."""

from __future__ import annotations

TOLERATED: dict[str, str] = {}
