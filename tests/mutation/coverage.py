"""The statements that each test executes, in the modules where mistakes are made.

Tracing every call of boto3 and moto would take many times as long as the tests. Instead the modules themselves are
changed: a call before each statement of their functions records the statement.

The result is kept for the next run, file by file. Its module, its function and the text of its first line identify a
statement, so a map from before a change of the code still leads to the right tests.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

NOTED = "_note_that_a_statement_is_executed"
"""The builtin that the changed modules call."""


@dataclass
class Test:
    """The statements that one test and its fixtures execute, and its processor time in seconds."""

    __test__ = False  # otherwise pytest collects it as a class of tests

    seconds: float = 0.0
    statements: set[str] = field(default_factory=set)


class Coverage:
    """The tests by name, and the tests that execute a statement."""

    def __init__(self, tests: Mapping[str, Test]) -> None:
        self.tests = tests
        self._of: dict[str, list[str]] = defaultdict(list)
        self._costs: dict[tuple[str, str], float] = {}
        for name, test in tests.items():
            functions = {statement.rpartition(": ")[0] for statement in test.statements}
            modules = Counter(statement.partition(": ")[0] for statement in test.statements)
            for module, number in list(modules.items()):
                modules[package_of(module)] += number
            for module, number in modules.items():
                self._costs[name, module] = test.seconds * len(test.statements) / number
            for place in (*test.statements, *functions, *modules):
                self._of[place].append(name)

    def of(self, statement: str, seconds: float) -> list[str]:
        """Return the tests that execute a statement, then those of its function; or else of its module or package.

        Tests that were recorded before the statement changed are known by its function alone.

        Returns:
            First those that are quick and execute little besides the module; as many as fit into the seconds.
        """
        module = statement.partition(": ")[0]
        chosen: dict[str, None] = {}
        for place in dict.fromkeys((statement, statement.rpartition(": ")[0] or statement, module)):
            left = seconds
            for name in sorted(self._of[place], key=lambda name: self._costs[name, module]):
                left -= self.tests[name].seconds
                if left < 0 and chosen:
                    break
                chosen[name] = None
            if chosen and place != statement:
                break
            seconds /= 3
        return list(chosen)


class Noting:
    """A pytest plugin that records the statements of the changed modules that each test executes.

    Args:
        kept: keeps the result of each file of tests in which no test fails.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._tests: dict[str, Test] = defaultdict(Test)
        self._failed = False
        self._test = Test()
        setattr(builtins, NOTED, lambda statement: self._test.statements.add(statement))  # noqa: PLW0108 -- its own

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Record what a test and its fixtures execute, and how long that takes."""
        self._test, began = self._tests[item.nodeid], time.process_time()
        try:
            return (yield)
        finally:
            self._test.seconds = time.process_time() - began
            if nextitem is None or _file_of(nextitem.nodeid) != _file_of(item.nodeid):
                if not self._failed:
                    self._kept.write(_file_of(item.nodeid), self._tests)
                self._tests, self._failed = defaultdict(Test), False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record that a test fails without any mistake."""
        self._failed |= report.failed


class Kept:
    """The records of earlier runs, one file for each file of tests; valid for tests whose text has not changed.

    Args:
        root: the tree.
        sources: the modules that record; a change to one of them makes all records useless.
    """

    def __init__(self, root: Path, sources: Iterable[Path]) -> None:
        self._root = root
        self._folder = root / ".pytest_cache" / "d" / "mutation"
        self._sources = _digest("".join(path.read_text("utf-8") for path in sources))

    def unknown(self, file: str) -> list[str]:
        """Return the test functions of a file without a valid record, named as for pytest."""
        known, texts = self._read(file)[0], self._texts(file)
        return [f"{file}::{name}" for name, text in texts.items() if known.get(name) != text]

    def tests(self, file: str) -> dict[str, Test]:
        """Return the recorded tests of a file."""
        known, statements, tests = self._read(file)
        return {
            name: Test(seconds, {statements[it] for it in places})
            for name, (seconds, places) in tests.items()
            if _function_of(name) in known
        }

    def write(self, file: str, tests: Mapping[str, Test]) -> None:
        """Keep the records of some tests of a file."""
        texts = self._texts(file)
        new = {_function_of(name) for name in tests}
        known = {name: text for name, text in self._read(file)[0].items() if texts.get(name) == text}
        kept = {name: test for name, test in self.tests(file).items() if _function_of(name) in known.keys() - new}
        every = kept | dict(tests)
        statements = sorted({it for test in every.values() for it in test.statements})
        place = {statement: number for number, statement in enumerate(statements)}
        packed = {name: [it.seconds, sorted(place[of] for of in it.statements)] for name, it in every.items()}
        known |= {name: texts[name] for name in new}
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path(file).write_text(json.dumps([known, statements, packed]), "utf-8")

    def _read(self, file: str) -> tuple[dict[str, str], list[str], dict[str, tuple[float, list[int]]]]:
        """Return the functions with digests of their texts, the statements, and the tests with indexes into these."""
        path = self._path(file)
        known, statements, tests = json.loads(path.read_bytes()) if path.exists() else ({}, [], {})
        return known, statements, tests

    def _texts(self, file: str) -> dict[str, str]:
        source = (self._root / file).read_text("utf-8")
        functions = [it for it in ast.parse(source).body if isinstance(it, ast.FunctionDef)]
        return {it.name: _digest(ast.unparse(it)) for it in functions if it.name.startswith("test_")}

    def _path(self, file: str) -> Path:
        return self._folder / f"{_digest(file + self._sources)}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def _function_of(test: str) -> str:
    return test.partition("::")[2].partition("[")[0]


def package_of(module: str) -> str:
    """Return the package of a module."""
    return module.rpartition(".")[0]


def statement_name(module: str, function: str, text: str) -> str:
    """Return the name that identifies a statement.

    Args:
        function: its name with the names of the classes and functions around it.
        text: the text of the line on which it begins.
    """
    return f"{module}: {function}: {text.strip().replace(': ', ':')}"


def noting(module: str, source: str) -> str:
    """Return a module's source that records every statement of its functions before executing it."""
    tree = _Noting(module, source).visit(ast.parse(source))
    docstring_and_future = 1 + (ast.get_docstring(tree) is not None)
    tree.body[docstring_and_future:docstring_and_future] = ast.parse(_IN_OTHER_PROCESSES).body
    return ast.unparse(ast.fix_missing_locations(tree))


_IN_OTHER_PROCESSES = f"""
import builtins
{NOTED} = getattr(builtins, {NOTED!r}, lambda *_: None)
"""
"""A test may start a process in which nothing is recorded."""


class _Noting(ast.NodeTransformer):
    def __init__(self, module: str, source: str) -> None:
        self._module = module
        self._lines = source.splitlines()
        self._names: list[str] = []
        self._functions = 0

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._inside(node, is_function=False)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._inside(node, is_function=True)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._inside(node, is_function=True)

    def _inside(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, *, is_function: bool) -> ast.AST:
        self._names.append(node.name)
        self._functions += is_function
        self.generic_visit(node)
        self._functions -= is_function
        self._names.pop()
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if self._functions:
            for name in ("body", "orelse", "finalbody"):
                body = getattr(node, name, None)
                if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                    setattr(node, name, [it for one in body for it in (self._note(one), one)])
        return node

    def _note(self, statement: ast.stmt) -> ast.stmt:
        name = statement_name(self._module, ".".join(self._names), self._lines[statement.lineno - 1])
        return ast.Expr(ast.Call(ast.Name(NOTED, ast.Load()), [ast.Constant(name)], []))
