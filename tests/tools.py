"""Programs that the tests run in their own environments, because their packages clash with ours.

Each is installed once, in `.tools/<name>`, from its lock `infra/requirements/<name>.txt`.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

from titlecard_console.installation import LOCKS, ROOT
from titlecard_console.local_cloud.environment import find_uv

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = ROOT / ".tools"


def program(name: str) -> Path:
    """Return the path of a program; create its environment if it is missing or its lock has changed."""
    environment, lock = TOOLS / name, LOCKS / f"{name}.txt"
    found, stamp = environment / "bin" / name, environment / "stamp"
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (found.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
            uv = find_uv()
            _run(uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(environment))
            python = str(environment / "bin" / "python")
            # The lock is complete, and overrides what the packages require.
            options = ("--quiet", "--no-deps", "--require-hashes", "--python", python)
            _run(uv, "pip", "install", *options, "--requirement", str(lock))
            stamp.write_text(wanted, encoding="utf-8")
    return found


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- uv
