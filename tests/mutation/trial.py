"""Mistakes against the tests: in a copy of the tree, each in a process that is forked for it and thrown away.

A process that has collected the tests is forked for a mistake inside a function: the function's code is exchanged, and
the tests run at once. A mistake outside of functions is there from the import on, so that its process imports
everything anew.
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
    """Is told the number of a trial and what became of its mistake."""

HEAVY = ("boto3", "moto", "pydantic_ai.models.openai", "openai", "typer", "rich.table", "yaml", "psutil")
"""What takes long to import and is not the project's: imported once, before the forks."""

TRIAL_SECONDS, SLOWER, SLEEPS = 5.0, 2.0, 8.0
"""After so many seconds of the processor, and so many times what the tests take without a mistake, a trial counts as
noticed: it hangs. By the clock it may take longer, so many times."""

SCHEDULES, SIMULATION_SECONDS = 200, 120.0
"""How many schedules of the simulation are run where no test noticed anything, and how long they may take."""

_OURS = {"titlecard", "titlecard_console", "tests"}

_QUIET = ("-q", "-p", "no:cacheprovider", "--tb=no", "-W", "ignore:Module already imported")


class Fate(StrEnum):
    """What became of a mistake."""

    NOTICED = "noticed by a test"
    SIMULATED = "noticed by the simulation"
    HUNG = "noticed by a test that hung"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Trial:
    """A mistake, the tests that execute its line, and how long they may take."""

    mistake: Mistake
    tests: Sequence[str]
    seconds: float


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

    def file(self, module: str) -> Path:
        """A module's source in the copy."""
        path = self._copy.joinpath("functions", "titlecard", *module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def coverage(self, modules: Sequence[str], files: Sequence[str], kept: Kept) -> Coverage:
        """Run those tests once, without a mistake, that were not run since they changed.

        Raises:
            SystemExit: a test fails.
        """
        if new := [name for file in files for name in kept.unknown(file)]:
            self._note(modules, new, kept)
        if failed := [name for file in files for name in kept.unknown(file)]:
            raise SystemExit(f"these tests fail without a mistake: {', '.join(failed)}")
        return Coverage({name: test for file in files for name, test in kept.tests(file).items()})

    def _note(self, modules: Sequence[str], tests: Sequence[str], kept: Kept) -> None:
        """Run tests with modules that note what is executed, and keep that of each file that is through."""
        clean = {module: self.file(module).read_bytes() for module in modules}
        for module, source in clean.items():
            self.file(module).write_text(noting(module, source.decode()), "utf-8")
        list(self._told(lambda _: pytest.main([*_QUIET, *tests], plugins=[Noting(kept)])))
        for module, source in clean.items():
            self.file(module).write_bytes(source)

    def fates(self, trials: Sequence[Trial], is_driven: Callable[[str], bool]) -> Iterator[tuple[Mistake, Fate]]:
        """Make mistakes, one after the other, and say what became of each; not in their order.

        Args:
            is_driven: whether the simulation drives a module. If so, schedules are run where no test noticed anything.
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
            for number, fate in self._told(work) if of else ():
                if fate is Fate.SURVIVED and is_driven(of[number].mistake.module):
                    driven.append(of[number])
                else:
                    yield of[number].mistake, fate
        if driven:
            for number, fate in self._told(lambda tell: self._simulate(driven, tell)):
                yield driven[number].mistake, fate

    def _told(self, work: Callable[[Tell], object]) -> Iterator[tuple[int, Fate]]:
        """What a process of its own, that works in the copy, tells."""
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
        """Run tests against a mistake, with everything imported anew."""
        work = lambda: int(pytest.main([*_QUIET, "-x", *trial.tests])) != 0  # noqa: E731 -- for a fork
        return self.made(trial.mistake, work, SLOWER * trial.seconds, Fate.NOTICED)

    def _simulate(self, trials: Sequence[Trial], tell: Tell) -> None:
        """Run schedules against mistakes."""
        from tests.simulation import production  # noqa: PLC0415 -- the copy's
        from tests.simulation.running import through  # noqa: PLC0415 -- likewise

        work = lambda: bool(through(production.as_it_is(), range(SCHEDULES)).failed)  # noqa: E731 -- for a fork
        for number, trial in enumerate(trials):
            tell(number, self.made(trial.mistake, work, SIMULATION_SECONDS, Fate.SIMULATED))

    def made(self, mistake: Mistake, work: Callable[[], bool], seconds: float, noticed: Fate) -> Fate:
        """Make a mistake, do some work in a fork, and take the mistake back.

        Args:
            work: says whether it noticed something; an exception is as good as a yes.
            seconds: for how long, beyond `TRIAL_SECONDS`.
            noticed: what that makes of the mistake.
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
        """Work in the copy, and say nothing."""
        os.chdir(self._copy)
        os.environ["PYTHONPATH"] = os.pathsep.join(str(self._copy / part) for part in ("functions", "infra", ""))
        for name in [name for name in sys.modules if name.split(".")[0] in _OURS]:
            del sys.modules[name]
        sys.path[:0] = [str(self._copy / "functions"), str(self._copy / "infra"), str(self._copy)]
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)


class _Collected:
    """A plugin of pytest that runs, instead of all tests that were collected, those of each mistake against it."""

    def __init__(self, bench: Bench, trials: Sequence[Trial], tell: Tell) -> None:
        self._bench = bench
        self._trials = trials
        self._tell = tell
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
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
        gc.freeze()  # what is there already is not copied by each fork's collector
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
    """All functions of the project that are there, by module and name."""
    found: Functions = defaultdict(list)
    for it in gc.get_objects():
        if isinstance(it, FunctionType):
            found[str(it.__globals__.get("__name__")), it.__code__.co_qualname].append(it)
    return found


def _exchange(module: str, file: Path, functions: Functions) -> None:
    """Give the functions of a module the code that its file has now."""
    for code in _codes(compile(file.read_bytes(), str(file), "exec")):
        for function in functions[f"titlecard.{module}", code.co_qualname]:
            if function.__code__ != code:
                function.__code__ = code


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The codes of the functions of a module or a class, those of its classes included."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & inspect.CO_OPTIMIZED:  # a function: a class has no variables of its own kind
                yield inner
            else:
                yield from _codes(inner)


def _forked(work: Callable[[], bool], seconds: float) -> bool | None:
    """What some work says in a process of its own; True where it fails; None where it does not end.

    Args:
        seconds: of the processor; the clock may show `SLEEPS` times as many, on a machine that is busy.
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
