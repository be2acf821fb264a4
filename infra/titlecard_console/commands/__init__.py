"""The commands, one module a theme; each has a function `register` that puts its commands into the application."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

MODULES: tuple[str, ...] = ("evaluate", "batches", "export", "review", "dlq", "money", "limit", "estimate", "reconcile")
"""In the order of `titlecard --help`."""


def register(app: typer.Typer) -> None:
    """Put every module's commands into the application."""
    for name in MODULES:
        import_module(f"{__name__}.{name}").register(app)
