"""The functions' artefacts for this machine: built by `functions/build`, as `sam build` builds them, and kept.

A zip file holds a function's code and the name of the folder with its packages, which are most of its size. MiniStack
links the packages into place instead of unpacking them for every cloud. An artefact is built again only when one of its
inputs changes, and unused artefacts are removed after a while.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard_console.errors import CloudError
from titlecard_console.installation import LIBRARY, ROOT, cache_folder
from titlecard_console.local_cloud import environment
from titlecard_console.local_cloud.environment import PYTHON
from titlecard_console.local_cloud.ministack_main import PACKAGES_OF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FUNCTIONS = {
    "IngestFunction": "ingest",
    "ParserFunction": "parser",
    "SweeperFunction": "sweeper",
    "PreflightFunction": "preflight",
}
"""The folder under `functions/` for each function of the template."""

CACHE = cache_folder("artefacts")

KEPT_SECONDS = 7 * 86_400
"""Seconds that an artefact is kept after a cloud last started with it: a cloud that is up needs its packages."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip file can hold, used for every file so that equal files make equal zips."""


def build(say: Callable[[str], None] = lambda _step: None) -> Path:
    """Return a folder with one zip file per function, `IngestFunction.zip` and so on, for this machine.

    Args:
        say: takes a sentence for people before each slow step.

    Raises:
        CloudError: the build failed; the message has the output of `functions/build`. Or MiniStack, whose interpreter
            compiles the artefacts, cannot be set up.
    """
    environment.set_up(say)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = {path for folder in (ROOT / "functions", LIBRARY) for path in folder.rglob("*") if path.is_file()}
        built = CACHE / f"functions-{_key(sorted(path for path in sources if '__pycache__' not in path.parts))}"
        if not built.is_dir():
            say("building the functions")
        packages = {folder: _packages(folder) for folder in FUNCTIONS.values()}
        if not built.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                for function, folder in FUNCTIONS.items():
                    code = _run_build("code", folder, Path(scratch) / folder)
                    pack(Path(scratch) / f"zips/{function}.zip", code, packages[folder])
                (Path(scratch) / "zips").rename(built)
            for old in set(CACHE.iterdir()) - {built, *packages.values()}:
                if old.is_dir() and old.stat().st_mtime < time.time() - KEPT_SECONDS:
                    shutil.rmtree(old)
        for used in {built, *packages.values()}:
            os.utime(used)
    return built


def pack(target: Path, code: Path, packages: Path) -> None:
    """Write an artefact: a function's code, and the folder of its packages. The same code makes the same file."""
    target.parent.mkdir(exist_ok=True)
    files = {path.relative_to(code).as_posix(): path.read_bytes() for path in code.rglob("*") if path.is_file()}
    files[PACKAGES_OF] = str(packages).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:  # not compressed, since it stays here
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, content)


def _packages(folder: str) -> Path:
    """Return the folder of a function's packages, kept because they are slow to compile and rarely change."""
    functions = ROOT / "functions"
    own = functions / folder / "requirements.txt"
    unpacked = CACHE / f"packages-{_key((functions / 'build', own if own.exists() else functions / own.name))}"
    if not unpacked.is_dir():
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            _run_build("packages", folder, Path(scratch) / folder).rename(unpacked)
    return unpacked


def _run_build(step: str, folder: str, destination: Path) -> Path:
    surroundings = os.environ | {
        "PATH": environment.search_path(),
        "LIBRARY": str(LIBRARY),
        "RUNTIME": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "ARCHITECTURE": "host",
        "PYTHON": str(PYTHON),
    }
    command = ["sh", str(ROOT / "functions" / "build"), step, folder, str(destination)]
    done = subprocess.run(command, env=surroundings, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 -- our own
    if done.returncode:
        raise CloudError(f"The function in functions/{folder} could not be built:\n{done.stderr.strip()}")
    return destination


def _key(inputs: Iterable[Path]) -> str:
    """Return a digest of all an artefact's inputs: files, this machine, this Python; 16 hexadecimal digits."""
    digest = hashlib.sha256(f"{sys.implementation.name} {sys.version} {platform.platform()}".encode())
    for path in inputs:
        digest.update(str(path).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
