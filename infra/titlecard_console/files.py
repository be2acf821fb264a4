"""Files that a command is to write."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 -- Typer reads a callback's annotations as the program runs

import typer


def in_a_folder(path: Path | None) -> Path | None:
    """An option's callback: the file's folder must be there before anything is done, and not when all is paid for.

    Raises:
        typer.BadParameter: it is not.
    """
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {str(path.parent)!r}: make it first, or name another file.")
    return path
