"""Which test executes which line of the modules that mistakes are made in.

Tracing every call of boto3 and moto would take many times as long as the tests. So the modules themselves are changed:
a call that notes the line stands before each statement of their functions.
"""

from __future__ import annotations

import ast
import builtins
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

NOTED = "_note_that_a_line_is_executed"
"""The builtin that the changed modules call."""


class Coverage:
    """A plugin of pytest that notes, for each line of the changed modules, the tests that execute it."""

    def __init__(self) -> None:
        self.tests: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self._test = ""

    def of(self, module: str, line: int) -> set[str]:
        """The tests that execute a line, or with 0 anything of a module."""
        if line:
            return self.tests[module, line]
        return {test for (of, _), tests in self.tests.items() if of == module for test in tests}

    def begin(self) -> None:
        """Be told by the changed modules of this process."""
        setattr(builtins, NOTED, lambda module, line: self.tests[module, line].add(self._test))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note what a test executes with its fixtures, and how long it takes."""
        self._test, began = item.nodeid, time.perf_counter()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.perf_counter() - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails without any mistake."""
        if report.failed:
            self.failed.append(report.nodeid)


def noting(module: str, source: str) -> str:
    """A module's source that notes the line of every statement of its functions before it is executed."""
    tree = _Noting(module).visit(ast.parse(source))
    docstring_and_future = 1 + (ast.get_docstring(tree) is not None)
    tree.body[docstring_and_future:docstring_and_future] = ast.parse(_IN_OTHER_PROCESSES).body
    return ast.unparse(ast.fix_missing_locations(tree))


_IN_OTHER_PROCESSES = f"""
import builtins
{NOTED} = getattr(builtins, {NOTED!r}, lambda *_: None)
"""
"""A test may start a process, in which nobody listens."""


class _Noting(ast.NodeTransformer):
    def __init__(self, module: str) -> None:
        self._module = module
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if self._depth:
            for name in ("body", "orelse", "finalbody"):
                body = getattr(node, name, None)
                if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                    setattr(node, name, [it for one in body for it in (self._note(one), one)])
        return node

    def _note(self, statement: ast.stmt) -> ast.stmt:
        arguments: list[ast.expr] = [ast.Constant(self._module), ast.Constant(statement.lineno)]
        return ast.Expr(ast.Call(ast.Name(NOTED, ast.Load()), arguments, []))
