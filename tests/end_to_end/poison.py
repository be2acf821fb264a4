"""Artefacts with something in them that goes wrong where a test wants it to."""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def poisoned(artefacts: Path, into: Path, function: str, entry: str, code: str) -> Path:
    """A copy of artefacts in which an entry point ends with some more lines.

    Args:
        artefacts: a folder of them, which stays as it is.
        into: the folder of the copy; where it is there already, it is changed.
        function: whose artefact is changed.
        entry: the entry point's file in it.
        code: the lines.
    """
    if not into.exists():
        shutil.copytree(artefacts, into)
    compiled = entry.rpartition("/")[0] + "/__pycache__/"  # not held against its source when it is loaded
    clean = into / f"{function}.zip"
    with zipfile.ZipFile(artefacts / f"{function}.zip") as old, zipfile.ZipFile(clean, "w") as new:
        for item in old.infolist():
            if not item.filename.startswith(compiled):
                content = old.read(item)
                new.writestr(item, content + code.encode() if item.filename == entry else content)
    return into
