"""The functions' artefacts: kept while a cloud may use them, and removed afterwards."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from titlecard_console.local_cloud import build

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of functions whose build takes no time."""
    for folder in build.FUNCTIONS.values():
        (tmp_path / "functions" / folder).mkdir(parents=True)
    for name in ("build", "requirements.txt"):
        (tmp_path / "functions" / name).touch()

    def run(step: str, folder: str, destination: Path) -> Path:
        destination.mkdir()
        (destination / f"{step}-{folder}").touch()
        return destination

    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "LIBRARY", tmp_path / "functions" / "titlecard")
    monkeypatch.setattr(build, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(build, "_run_build", run)
    monkeypatch.setattr("titlecard_console.local_cloud.environment.set_up", lambda _say: None)
    return tmp_path / "functions"


@pytest.mark.parametrize(("days", "is_kept"), [(1, True), (8, False)])
def test_packages_are_kept_while_a_cloud_may_use_them(functions: Path, days: int, *, is_kept: bool) -> None:
    build.build()
    first = set(build.CACHE.glob("packages-*"))
    for path in build.CACHE.iterdir():
        os.utime(path, (0, 0))
    build.build()  # another cloud starts with them
    assert all(path.stat().st_mtime > time.time() - DAY for path in first)
    for path in build.CACHE.iterdir():
        os.utime(path, (0, time.time() - days * DAY))
    (functions / "requirements.txt").write_text("changed")
    build.build()
    assert all(path.exists() for path in first) is is_kept
    assert set(build.CACHE.glob("packages-*")) - first
