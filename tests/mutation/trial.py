"""Runs the tests against each mistake: in a copy of the tree, in a process forked for the mistake.

For a mistake inside a function, a process that has collected the tests is forked; it exchanges the function's code and
runs the tests at once. A mistake outside functions takes effect on import, so its process imports everything again.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import os
import resource
import shutil
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings
from tests.mutation.coverage import Coverage, Kept, Noting, noting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.mutation.operators import Mistake

    Functions = dict[tuple[str, str], list[FunctionType]]

    Tell = Callable[[int, "Fate"], object]
    """Receives the number of a trial and the fate of its mistake."""

HEAVY = ("boto3", "moto", "pydantic_ai.models.openai", "openai", "typer", "rich.table", "yaml", "psutil")
"""Packages of others that take long to import; they are imported once, before the forks."""

TRIAL_SECONDS, SLOWER, SLEEPS = 5.0, 2.0, 8.0
"""A trial hangs, and so counts as noticed, after this many seconds of processor time plus this multiple of the tests'
time without a mistake. The clock may show this many times as much."""

SCHEDULES, SIMULATION_SECONDS = 200, 120.0
"""The number of schedules to run if no test notices a mistake, and the most seconds for them."""

_OURS = {"titlecard", "titlecard_console", "tests"}

_QUIET = ("-q", "-p", "no:cacheprovider", "--tb=no", "-W", "ignore:Module already imported")


class Fate(StrEnum):
    """The fate of a mistake."""

    NOTICED = "noticed by a test"
    SIMULATED = "noticed by the simulation"
    HUNG = "noticed by a test that hung"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Trial:
    """A mistake, the tests that execute its line, and the most seconds for them."""

    mistake: Mistake
    tests: Sequence[str]
    seconds: float


class Bench:
    """A copy of the tree, with the slow packages imported.

    Args:
        root: the tree.
        copy: an empty folder for the copy.
    """

    def __init__(self, root: Path, copy: Path) -> None:
        for part in ("functions", "infra", "tests", "events"):
            # Mistakes are made in `functions`, where the bytecode of the right code could be mistaken for a mistake's.
            left_out = ("__pycache__", ".*") if part == "functions" else (".*",)
            shutil.copytree(root / part, copy / part, ignore=shutil.ignore_patterns(*left_out))
        for name in ("pyproject.toml", "template.yaml", "samconfig.toml", "README.md"):
            shutil.copy(root / name, copy / name)
        self._copy = copy
        sys.dont_write_bytecode = True
        for name in HEAVY:
            importlib.import_module(name)

    def file(self, module: str) -> Path:
        """Return the path of a module's source in the copy."""
        path = self._copy.joinpath("functions", "titlecard", *module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def coverage(self, modules: Sequence[str], files: Sequence[str], kept: Kept) -> Coverage:
        """Run the tests that have changed since their last record once, without a mistake.

        Raises:
            SystemExit: a test fails.
        """
        if new := [name for file in files for name in kept.unknown(file)]:
            self._note(modules, new, kept)
        if failed := [name for file in files for name in kept.unknown(file)]:
            raise SystemExit(f"these tests fail without a mistake: {', '.join(failed)}")
        return Coverage({name: test for file in files for name, test in kept.tests(file).items()})

    def _note(self, modules: Sequence[str], tests: Sequence[str], kept: Kept) -> None:
        """Run tests with recording modules, and keep the record of each completed file."""
        clean = {module: self.file(module).read_bytes() for module in modules}
        for module, source in clean.items():
            self.file(module).write_text(noting(module, source.decode()), "utf-8")
        list(self._write(lambda _: pytest.main([*_QUIET, *tests], plugins=[Noting(kept)])))
        for module, source in clean.items():
            self.file(module).write_bytes(source)

    def fates(self, trials: Sequence[Trial], is_driven: Callable[[str], bool]) -> Iterator[tuple[Mistake, Fate]]:
        """Make mistakes one after another; yield the fate of each, in any order.

        Args:
            is_driven: returns whether the simulation drives a module, and so runs if no test notices the mistake.
        """
        inside = [it for it in trials if it.tests and it.mistake.is_inside]
        outside = [it for it in trials if it.tests and not it.mistake.is_inside]
        driven = [it for it in trials if not it.tests and is_driven(it.mistake.module)]
        yield from ((it.mistake, Fate.SURVIVED) for it in trials if not it.tests and it not in driven)
        files = sorted({name.split("::")[0] for it in inside for name in it.tests})
        for of, work in (
            (inside, lambda tell: pytest.main([*_QUIET, *files], plugins=[_Collected(self, inside, tell)])),
            (outside, lambda tell: [tell(number, self._anew(it)) for number, it in enumerate(outside)]),
        ):
            for number, fate in self._write(work) if of else ():
                if fate is Fate.SURVIVED and is_driven(of[number].mistake.module):
                    driven.append(of[number])
                else:
                    yield of[number].mistake, fate
        if driven:
            for number, fate in self._write(lambda tell: self._simulate(driven, tell)):
                yield driven[number].mistake, fate

    def _write(self, work: Callable[[Tell], object]) -> Iterator[tuple[int, Fate]]:
        """Do some work in a separate process inside the copy; yield what it tells."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                self._inside()
                work(lambda number, fate: os.write(writing, f"{number} {fate.name}\n".encode()))
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            for line in told:
                number, name = line.split()
                yield int(number), Fate[name]
        os.waitpid(child, 0)

    def _anew(self, trial: Trial) -> Fate:
        """Run tests against a mistake, with everything imported again."""
        work = lambda: int(pytest.main([*_QUIET, "-x", *trial.tests])) != 0  # noqa: E731 -- for a fork
        return self.made(trial.mistake, work, SLOWER * trial.seconds, Fate.NOTICED)

    def _simulate(self, trials: Sequence[Trial], tell: Tell) -> None:
        """Run schedules against mistakes."""
        from tests.simulation import production  # noqa: PLC0415 -- the copy's module
        from tests.simulation.running import through  # noqa: PLC0415 -- likewise

        work = lambda: bool(through(production.as_it_is(), range(SCHEDULES)).failed)  # noqa: E731 -- for a fork
        for number, trial in enumerate(trials):
            tell(number, self.made(trial.mistake, work, SIMULATION_SECONDS, Fate.SIMULATED))

    def made(self, mistake: Mistake, work: Callable[[], bool], seconds: float, noticed: Fate) -> Fate:
        """Make a mistake, do some work in a fork, and undo the mistake.

        Args:
            work: returns whether it noticed something; an exception means yes.
            seconds: its time limit, in addition to `TRIAL_SECONDS`.
            noticed: the fate of a noticed mistake.
        """
        file = self.file(mistake.module)
        clean = file.read_bytes()
        file.write_bytes(mistake.made(clean))
        try:
            status = _forked(work, TRIAL_SECONDS + seconds)
        finally:
            file.write_bytes(clean)
        return Fate.HUNG if status is None else noticed if status else Fate.SURVIVED

    def _inside(self) -> None:
        """Work in the copy, without output."""
        os.chdir(self._copy)
        os.environ["PYTHONPATH"] = os.pathsep.join(str(self._copy / part) for part in ("functions", "infra", ""))
        for name in [name for name in sys.modules if name.split(".")[0] in _OURS]:
            del sys.modules[name]
        sys.path[:0] = [str(self._copy / "functions"), str(self._copy / "infra"), str(self._copy)]
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)


class _Collected:
    """A pytest plugin that runs the tests of each mistake against it, instead of all collected tests."""

    def __init__(self, bench: Bench, trials: Sequence[Trial], tell: Tell) -> None:
        self._bench = bench
        self._trials = trials
        self._tell = tell
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a failure."""
        self._failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Make the mistakes."""
        items: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            for name in {item.nodeid, item.nodeid.partition("[")[0]}:
                items[name].append(item)
        settings.register_profile(
            "mutation", settings(), derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
        )
        settings.load_profile("mutation")
        functions = _functions()
        gc.freeze()  # so that the garbage collector of a fork does not copy existing objects
        for number, trial in enumerate(self._trials):
            tests = [item for name in trial.tests for item in items[name]]
            work = partial(self._notices, trial.mistake, functions, tests)
            self._tell(number, self._bench.made(trial.mistake, work, SLOWER * trial.seconds, Fate.NOTICED))
        return True

    def _notices(self, mistake: Mistake, functions: Functions, tests: Sequence[pytest.Item]) -> bool:
        _exchange(mistake.module, self._bench.file(mistake.module), functions)
        for test, following in zip(tests, [*tests[1:], None], strict=True):
            test.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            if self._failed:
                return True
        return False


def _functions() -> Functions:
    """Return all loaded functions of the project, by module and name."""
    found: Functions = defaultdict(list)
    for it in gc.get_objects():
        if isinstance(it, FunctionType):
            found[str(it.__globals__.get("__name__")), it.__code__.co_qualname].append(it)
    return found


def _exchange(module: str, file: Path, functions: Functions) -> None:
    """Give the functions of a module the present code of its file."""
    for code in _codes(compile(file.read_bytes(), str(file), "exec")):
        for function in functions[f"titlecard.{module}", code.co_qualname]:
            if function.__code__ != code:
                function.__code__ = code


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of the functions of a module or a class, including inner classes."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & inspect.CO_OPTIMIZED:  # a function; a class body is not optimised
                yield inner
            else:
                yield from _codes(inner)


def _forked(work: Callable[[], bool], seconds: float) -> bool | None:
    """Return the result of some work in a separate process; True if it fails, None if it does not end.

    Args:
        seconds: the limit of processor time; the clock may show `SLEEPS` times as much on a busy machine.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgrp()
            resource.setrlimit(resource.RLIMIT_CPU, (round(seconds), round(seconds) + 1))
            status = int(work())
        finally:
            os._exit(status)
    ends = time.monotonic() + SLEEPS * seconds
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return None if code == -signal.SIGXCPU else code != 0
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
