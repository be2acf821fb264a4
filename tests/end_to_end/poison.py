"""Artefacts with code that fails where a test wants it to."""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def poisoned(artefacts: Path, into: Path, function: str, entry: str, code: str) -> Path:
    """Copy artefacts and append lines to an entry point in the copy.

    Args:
        artefacts: the folder of the artefacts, which does not change.
        into: the folder of the copy; an existing copy is changed.
        function: the function whose artefact is changed.
        entry: the entry point's file in it.
        code: the lines.
    """
    if not into.exists():
        shutil.copytree(artefacts, into)
    compiled = entry.rpartition("/")[0] + "/__pycache__/"  # would be loaded without a check against its source
    clean = into / f"{function}.zip"
    with zipfile.ZipFile(artefacts / f"{function}.zip") as old, zipfile.ZipFile(clean, "w") as new:
        for item in old.infolist():
            if not item.filename.startswith(compiled):
                content = old.read(item)
                new.writestr(item, content + code.encode() if item.filename == entry else content)
    return into
