"""`infra/dev` sets itself up whatever the caller's folder, paths and settings of pip are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from titlecard_console.installation import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = ("infra/dev", "infra/requirements", "pyproject.toml", "functions/titlecard/__init__.py")

PROGRAMS = ("sh", "cat", "grep", "cksum", "mkdir", "dirname", "cp")
"""The programs that the set-up and the fakes below need."""

PYTHON = f"""#!/bin/sh
case $* in
    *"print(sys.executable)"*) echo "$0" ;;
    *"-m pip --version") ;;
    *"-m pip install"*)
        set -e
        [ "$PIP_USER $PIP_REQUIRE_VIRTUALENV" = "0 0" ]
        mkdir "$CHECKOUT/.uv/bin"
        cp "$CHECKOUT/fake-uv" "$CHECKOUT/.uv/bin/uv"
        ;;
    *) exec "{sys.executable}" "$@" ;;
esac
"""
"""A Python whose pip installs the uv below, unless pip would refuse to."""

UV = """#!/bin/sh
set -e
[ "$PWD" = "$CHECKOUT" ]  # uv reads its settings in the current folder
mkdir -p "$CHECKOUT/.venv/bin"
cp "$CHECKOUT/fake-titlecard" "$CHECKOUT/.venv/bin/titlecard"
cp "$CHECKOUT/fake-titlecard" "$CHECKOUT/.venv/bin/python"
"""
"""A uv that makes the environment of the console."""

TITLECARD = """#!/bin/sh
echo "$PWD $*"
"""


def test_the_set_up_works_whatever_the_callers_folder_and_settings_are(tmp_path: Path) -> None:
    checkout, programs, folder = (tmp_path / name for name in ("check out", "my programs", "folder"))
    programs.mkdir()
    folder.mkdir()
    for name in NEEDED:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    for program in PROGRAMS:
        (programs / program).symlink_to(shutil.which(program) or program)
    for path, script in (
        (programs / "python", PYTHON),
        (checkout / "fake-uv", UV),
        (checkout / "fake-titlecard", TITLECARD),
    ):
        path.write_text(script)
        path.chmod(0o755)
    for module in ("fcntl", "json"):
        (folder / f"{module}.py").write_text("raise SystemExit('a file of the caller was imported')")
    environment = {
        "PATH": str(programs),
        "PYTHON": str(programs / "python"),
        "CHECKOUT": str(checkout),
        "PIP_USER": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
    }
    command: list[str | Path] = [checkout / "infra" / "dev", "parse", "a list"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 -- ours
    assert (done.returncode, done.stdout) == (0, f"{folder} parse a list\n"), done.stderr
