"""The suite needs no program that the README does not name: its helpers run with only Python and sh on the PATH."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from titlecard_console.installation import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HELPERS = """
import os, subprocess, sys
from pathlib import Path
from tests.end_to_end.person import left_behind, ran
from tests.end_to_end.stack import processes
from tests.end_to_end.witness import Witness
from tests.provider import LoopbackProvider

assert any(pid == os.getpid() for pid, _ in processes())
assert left_behind(Path("no-such-state")) == []
assert ran("--version").code == 0
for kind in (LoopbackProvider, Witness):
    with kind() as provider:
        assert provider.base_url.startswith("http://127.0.0.1:")
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose PATH holds only Python and sh."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    (programs / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    return {"PATH": str(programs), "HOME": str(tmp_path)}


def test_every_test_module_is_imported_without_other_programs(bare: dict[str, str]) -> None:
    collected = (*("--collect-only", "-qq", "-p", "no:cacheprovider"), "tests")
    done = _run(bare, "-m", "pytest", *collected)
    assert done.returncode == 0, done.stdout + done.stderr


def test_helpers_of_the_end_to_end_tests_run_without_other_programs(bare: dict[str, str]) -> None:
    done = _run(bare, "-c", HELPERS)
    assert done.returncode == 0, done.stderr


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 -- ours
