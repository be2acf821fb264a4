"""Runs MiniStack in this process; started by `ministack.py` with the embedded AWS's own interpreter.

That interpreter has no packages. MiniStack's are put on the path of this process alone, so that the functions, which
MiniStack starts with the same interpreter, have the standard library and their artefact and nothing else.

Standard input is the leash: a line with a function's name is answered, on standard output, by how many of its
invocations are under way; its end, for whatever reason, ends this process and everything that it started, at once.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import TextIO

COLLECTED_AFTER = (100_000, 20, 100)
"""Garbage is looked for more rarely than by default (the `gc` module's thresholds): tables live in this process, as
millions of small objects, and walking through them again and again holds up every request."""

WAKE_GAP_SECONDS = 0.005
"""For how long MiniStack's event sources sleep when they were woken for nothing (50 ms by default): every write to a
table that has a stream wakes them, and the next batch of messages waited for that long."""


PACKAGES_OF = ".packages"
"""The file of an artefact that holds the path of the folder with its packages."""


def main() -> None:
    """Serve until standard input ends."""
    sys.path.append(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever MiniStack prints goes to its log
    app = importlib.import_module("ministack.app")  # only now is it on the path
    gc.set_threshold(*COLLECTED_AFTER)
    functions = importlib.import_module("ministack.services.lambda_svc")
    functions._ESM_IDLE_WAKE_GAP_SECONDS = WAKE_GAP_SECONDS  # type: ignore[attr-defined] # noqa: SLF001 -- no setting
    _unpack_once()
    threading.Thread(target=_follow, args=(answers,), daemon=True).start()
    sys.argv = ["ministack"]
    app.main()


def _unpack_once() -> None:
    """Let all workers of a function share one copy of its code, with its packages linked into place.

    MiniStack unpacks an artefact for each worker, and the parser's has thousands of files. As in AWS, where it is on a
    disk that cannot be written to, no function writes to its code.
    """
    unpack, one_at_a_time = zipfile.ZipFile.extractall, threading.Lock()
    copies: dict[frozenset[tuple[str, int]], Path] = {}

    def share(packed: zipfile.ZipFile, path: str) -> None:
        content = frozenset((entry.filename, entry.CRC) for entry in packed.infolist())
        with one_at_a_time:
            if content not in copies:
                copy = Path(tempfile.mkdtemp(prefix="code-"))
                unpack(packed, copy)
                link_packages(copy)
                copies[content] = copy
        Path(path).rmdir()
        Path(path).symlink_to(copies[content])

    functions = importlib.import_module("ministack.core.lambda_runtime")
    functions.zipfile.ZipFile.extractall = share


def link_packages(code: Path) -> None:
    """Link the packages that an artefact names beside its code, so that an import finds both in one folder."""
    named = code / PACKAGES_OF
    if named.exists():
        for package in Path(named.read_text(encoding="utf-8")).iterdir():
            (code / package.name).symlink_to(package)


def _follow(answers: TextIO) -> None:
    functions = importlib.import_module("ministack.services.lambda_svc")
    for line in sys.stdin:
        _, under_way = functions.executions_in_flight()
        print(
            sum(count for key, count in under_way.items() if key.endswith(f":{line.strip()}")), file=answers, flush=True
        )
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
