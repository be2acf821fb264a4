"""MiniStack's environment: an empty virtual environment, with MiniStack's packages in a folder beside it.

The functions run with that environment's interpreter. MiniStack's packages are outside it, so that none of them can
stand in for a package that an artefact lacks.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from titlecard_console.errors import CloudError
from titlecard_console.installation import LOCKS, ROOT, cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT = cache_folder("ministack")

PYTHON = ENVIRONMENT / "bin" / "python"
"""The interpreter that runs the functions in the local cloud; it has no packages."""

PACKAGES = ENVIRONMENT / "packages"

UV = cache_folder("uv")
"""The folder of our own uv, used if the PATH has none."""

CACHE_REMEDY = "Set XDG_CACHE_HOME to a folder that you may write to."

_STAMP = ENVIRONMENT / "stamp"


def set_up(say: Callable[[str], None] = lambda _step: None) -> None:
    """Create the environment if it is missing or its lock has changed.

    Args:
        say: takes a sentence for people before each slow step.

    Raises:
        CloudError: uv is missing, or the packages cannot be installed.
    """
    lock = LOCKS / "ministack.txt"
    wanted = hashlib.sha256(lock.read_bytes() + f"{sys.version} {sys.executable}".encode()).hexdigest()
    if _is(wanted):
        return
    try:
        ENVIRONMENT.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CloudError(f"{ENVIRONMENT.parent} cannot be created: {error.strerror}. {CACHE_REMEDY}") from error
    with ENVIRONMENT.with_name(f"{ENVIRONMENT.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if _is(wanted):
            return
        uv = find_uv(say)
        say("setting up MiniStack, once")
        _run(uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(ENVIRONMENT))
        into = ("--python", str(PYTHON), "--target", str(PACKAGES))
        options = ("--quiet", "--no-deps", "--require-hashes")  # the lock is complete and overrides bounds
        _run(uv, "pip", "install", *options, *into, "--requirement", str(lock))
        _STAMP.write_text(wanted, encoding="utf-8")


def find_uv(say: Callable[[str], None] = lambda _step: None) -> str:
    """Return the path of uv: the PATH's, or our own, installed by this Python's pip.

    Raises:
        CloudError: there is no uv, and pip is missing or fails.
    """
    if found := shutil.which("uv", path=search_path()):
        return found
    if importlib.util.find_spec("pip") is None:
        raise CloudError(
            "The local cloud needs uv, and the PATH has none: install it (https://docs.astral.sh/uv/), then try again."
        )
    say("getting uv, once")
    lock = str(LOCKS / "uv.txt")
    options = ("--quiet", "--disable-pip-version-check", "--no-warn-conflicts", "--upgrade", "--target", str(UV))
    _run(sys.executable, "-m", "pip", "install", *options, "--require-hashes", "--requirement", lock)
    return str(UV / "bin" / "uv")


def search_path() -> str:
    """Return the PATH, followed by the folder of our own uv."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), str(UV / "bin")))


def _is(wanted: str) -> bool:
    return PYTHON.exists() and _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == wanted


def _run(*command: str) -> None:
    surroundings = os.environ | {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0"}  # they contradict --target
    done = subprocess.run(command, env=surroundings, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 -- uv or pip
    if done.returncode:
        raise CloudError(f"MiniStack could not be set up:\n{done.stderr.strip()}")
