"""The functions' artefacts for this machine: built by `functions/build`, as `sam build` builds them, and kept.

An artefact is built again only when something that goes into it changes, and what no longer counts is
removed after a while.
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

from titlecard_console.local_cloud.template import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

FUNCTIONS = {
    "IngestFunction": "ingest",
    "ParserFunction": "parser",
    "SweeperFunction": "sweeper",
    "PreflightFunction": "preflight",
}
"""The folder under `functions/` of each function of the template."""

PYTHON = ROOT / ".ministack" / "bin" / "python"
"""The interpreter that the functions meet in the local cloud: one without any package."""

CACHE = ROOT / ".titlecard" / "artefacts"

KEPT_SECONDS = 3600
"""For how long an artefact outlives a change of the functions: somebody may be about to deploy it."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip file can tell; the same for every file, so that the same files make the same zip."""


class BuildError(Exception):
    """An artefact could not be built; the message says why."""


def build(cache: Path = CACHE) -> Path:
    """A folder with one zip file per function, `IngestFunction.zip` and so on, for this machine.

    Raises:
        BuildError: with what `functions/build` said.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        functions = sorted(path for path in (ROOT / "functions").rglob("*") if path.is_file())
        built = cache / f"functions-{_key(path for path in functions if '__pycache__' not in path.parts)}"
        if not built.is_dir():
            packages = {folder: _packages(cache, folder) for folder in FUNCTIONS.values()}
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                for function, folder in FUNCTIONS.items():
                    code = _made("code", folder, Path(scratch) / folder)
                    pack(Path(scratch) / f"zips/{function}.zip", packages[folder], code)
                (Path(scratch) / "zips").rename(built)
            for old in set(cache.iterdir()) - {built, *packages.values()}:
                if old.is_dir() and old.stat().st_mtime < time.time() - KEPT_SECONDS:
                    shutil.rmtree(old)
    return built


def pack(target: Path, *folders: Path) -> None:
    """Write folders' files as one zip file, always the same for the same files; not compressed, since it stays here."""
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
                    entry.external_attr = 0o644 << 16
                    packed.writestr(entry, path.read_bytes())


def _packages(cache: Path, folder: str) -> Path:
    """A function's packages; they take long to unpack and to compile, and change seldom."""
    functions = ROOT / "functions"
    own = functions / folder / "requirements.txt"
    unpacked = cache / f"packages-{_key((functions / 'build', own if own.exists() else functions / own.name))}"
    if not unpacked.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _made("packages", folder, Path(scratch) / folder).rename(unpacked)
    return unpacked


def _made(step: str, folder: str, destination: Path) -> Path:
    environment = os.environ | {
        "PATH": os.pathsep.join((os.environ.get("PATH", os.defpath), str(ROOT / ".uv" / "bin"))),
        "RUNTIME": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "ARCHITECTURE": "host",
        "PYTHON": str(PYTHON),
    }
    command = ["sh", str(ROOT / "functions" / "build"), step, folder, str(destination)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 -- our own
    if done.returncode:
        raise BuildError(f"The function in functions/{folder} could not be built:\n{done.stderr.strip()}")
    return destination


def _key(inputs: Iterable[Path]) -> str:
    """What is made of files on this machine with this Python depends on, in 16 hexadecimal digits."""
    digest = hashlib.sha256(f"{sys.implementation.name} {sys.version} {platform.platform()}".encode())
    for path in inputs:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
