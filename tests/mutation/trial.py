"""One mistake against the tests: in a copy of the tree, in a process that is forked for it and thrown away."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest
from tests.mutation.coverage import Coverage, noting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.mutation.operators import Mistake

HEAVY = ("boto3", "moto", "pydantic_ai.models.openai", "openai", "typer", "rich.table", "yaml", "psutil")
"""What takes long to import and is not the project's: imported once, before the forks."""

TRIAL_SECONDS = 120
"""After this a trial counts as noticed: a mistake that makes a test hang would be seen."""


class Fate(StrEnum):
    """What became of a mistake."""

    NOTICED = "noticed by a test"
    SIMULATED = "noticed by the simulation"
    HUNG = "noticed by a test that hung"
    SURVIVED = "survived"


class Bench:
    """A copy of the tree with the heavy imports done.

    Args:
        root: the tree.
        copy: an empty folder for the copy.
    """

    def __init__(self, root: Path, copy: Path) -> None:
        for part in ("functions", "infra", "tests", "events"):
            shutil.copytree(root / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for name in ("pyproject.toml", "template.yaml", "samconfig.toml", "README.md"):
            shutil.copy(root / name, copy / name)
        self._copy = copy
        sys.dont_write_bytecode = True
        for name in HEAVY:
            importlib.import_module(name)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(copy / "functions"), str(copy / "infra"), str(copy)])

    def file(self, module: str) -> Path:
        """A module's source in the copy."""
        path = self._copy.joinpath("functions", "titlecard", *module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def coverage(self, modules: Iterable[str], tests: Sequence[str]) -> Coverage:
        """Run the tests once, without a mistake.

        Raises:
            SystemExit: one of them fails.
        """
        plugin, clean = Coverage(), {module: self.file(module).read_text("utf-8") for module in modules}
        for module, source in clean.items():
            self.file(module).write_text(noting(module, source), "utf-8")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._inside()
            plugin.begin()
            pytest.main([*_QUIET, *tests], plugins=[plugin])
            with os.fdopen(writing, "w") as told:
                for (module, line), names in plugin.tests.items():
                    told.writelines(f"line\t{module}\t{line}\t{name}\n" for name in names)
                told.writelines(f"seconds\t{name}\t{seconds}\n" for name, seconds in plugin.seconds.items())
                told.writelines(f"failed\t{name}\n" for name in plugin.failed)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            for text in told:
                match text.rstrip("\n").split("\t"):
                    case ["line", module, number, name]:
                        plugin.tests[module, int(number)].add(name)
                    case ["seconds", name, seconds]:
                        plugin.seconds[name] = float(seconds)
                    case ["failed", name]:
                        plugin.failed.append(name)
        os.waitpid(child, 0)
        for module, source in clean.items():
            self.file(module).write_text(source, "utf-8")
        if plugin.failed or not plugin.seconds:
            raise SystemExit(f"these tests fail without a mistake: {', '.join(plugin.failed) or 'none was run'}")
        return plugin

    def tried(self, mistake: Mistake, tests: Sequence[str], simulate: Callable[[], bool] | None) -> Fate:
        """Make a mistake, run tests, and take it back.

        Args:
            tests: the names of those that execute its line.
            simulate: runs schedules and says whether one broke a promise; None where the simulation does not drive it.
        """
        file = self.file(mistake.module)
        clean = file.read_bytes()
        file.write_bytes(mistake.made(clean))
        try:
            if tests:
                status = self._forked(lambda: int(pytest.main([*_QUIET, "-x", *tests])) != 0)
                if status is None or status:
                    return Fate.HUNG if status is None else Fate.NOTICED
            if simulate is not None:
                status = self._forked(simulate)
                if status is None or status:
                    return Fate.HUNG if status is None else Fate.SIMULATED
            return Fate.SURVIVED
        finally:
            file.write_bytes(clean)

    def _forked(self, work: Callable[[], bool]) -> bool | None:
        """What some work says in a process of its own; True where it fails; None where it does not end."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setpgrp()
                self._inside()
                status = int(work())
            finally:
                os._exit(status)
        ends = time.monotonic() + TRIAL_SECONDS
        while time.monotonic() < ends:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) != 0
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None

    def _inside(self) -> None:
        """Work in the copy, and say nothing."""
        os.chdir(self._copy)
        for name in [name for name in sys.modules if name.split(".")[0] in _OURS]:
            del sys.modules[name]
        sys.path[:0] = [str(self._copy / "functions"), str(self._copy / "infra"), str(self._copy)]
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)


_OURS = {"titlecard", "titlecard_console", "tests"}

_QUIET = ("-q", "-p", "no:cacheprovider", "--tb=no", "-W", "ignore:Module already imported")


def in_order(tests: Iterable[str], seconds: Mapping[str, float], most: int) -> list[str]:
    """The tests that are quickest to notice something: the shortest first, and not too many."""
    return sorted((name for name in tests if name in seconds), key=lambda name: seconds[name])[:most]
