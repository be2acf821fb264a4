"""Hatchling's hook for the wheel: adds the files that `titlecard run` and `titlecard up` deploy.

`titlecard_console.installation` finds them there. An editable installation uses the checkout and needs no copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = ("template.yaml", "functions", "infra/requirements")
TARGET = "titlecard_console/project"


class ProjectFiles(BuildHookInterface):  # type: ignore[type-arg]  # hatchling does not document its type parameter
    """Adds template.yaml, the functions' sources, their build script and the locks to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to add besides the packages, with their places in the wheel."""
        if version == "editable":
            return
        root = Path(self.root)
        found = (path for name in CARRIED for path in (root / name, *(root / name).rglob("*")))
        for path in found:
            place = path.relative_to(root)
            if path.is_file() and "__pycache__" not in place.parts and place.parts[:2] != ("functions", "titlecard"):
                build_data["force_include"][str(path)] = f"{TARGET}/{place.as_posix()}"
