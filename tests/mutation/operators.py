"""The mistakes: each changes a few characters of a module's source.

A mistake's name consists of its function, the text of its line and the change, never of a line number, so a sample and
the list of tolerated mistakes stay valid when other lines move.
"""

from __future__ import annotations

import ast
import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.mutation.coverage import statement_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Change = tuple[ast.expr | ast.stmt | tuple[int, int], str]
    """A place and its replacement; the place is a node of the tree or a range of bytes."""

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.FloorDiv: ("//", "*"),
    ast.BitOr: ("|", "&"),
    ast.Mod: ("%", "*"),
}
EXPRESSIONS = (
    (r"attribute_not_exists", "attribute_exists"),
    (r"attribute_exists", "attribute_not_exists"),
    (r" AND ", " OR "),
    (r" OR ", " AND "),
    (r" <= ", " < "),
    (r" >= ", " > "),
    (r" < ", " <= "),
    (r" > ", " >= "),
    (r" = ", " <> "),
    (r" <> ", " = "),
    (r"if_not_exists\((\w+), ([:\w]+)\)", r"\2"),
    (r"REMOVE [\w, #]+", ""),
)
"""Changes inside DynamoDB's expressions, which are strings in Python."""

SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}

IS_EXPRESSION = re.compile(r"attribute_|SET |ADD |REMOVE | AND | <= | >= | = :|#\w+ <|_not_exists")

SILENT = ("_log.", "self._log", "logger.", "_say(")
"""Calls that only inform people; removing them does not count as a mistake."""


@dataclass(frozen=True)
class Mistake:
    """A change of one place of a module's source.

    `before` and `after` are the texts at the place, `text` is its line. `statement` is the statement's name in the
    tests' coverage, or the module's name outside functions.
    """

    module: str
    function: str
    line: int
    statement: str
    start: int
    end: int
    before: str
    after: str
    text: str

    @property
    def name(self) -> str:
        """Its name, which stays the same as long as its line does."""
        return f"{self.module}: {self.function}: {self.text}: {_short(self.before)} -> {_short(self.after)}"

    @property
    def is_inside(self) -> bool:
        """Whether it is in a function."""
        return self.statement != self.module

    @property
    def draw(self) -> float:
        """A number from 0 to 1 that depends on its name alone."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:6], "big") / 2**48

    def made(self, source: bytes) -> bytes:
        """Return the source with the mistake."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def mistakes(module: str, source: bytes) -> list[Mistake]:
    """Return all mistakes of a module that Python can compile, in the order of their places."""
    found = {}
    for mistake in _Finder(module, source).found():
        try:
            ast.parse(mistake.made(source))
        except SyntaxError:
            continue
        found[mistake.start, mistake.end, mistake.after] = mistake
    return [found[key] for key in sorted(found)]


class StaleMistake(ValueError):
    """The source does not hold the text that a mistake replaces exactly once: adapt the mistake to the code."""


def replacement(module: str, source: bytes, before: str, after: str, claim: str) -> Mistake:
    """A mistake that somebody has thought of.

    Args:
        before: the text that is replaced.
        after: what stands there instead.
        claim: what is wrong with the code then.

    Raises:
        StaleMistake: the text is not there exactly once.
    """
    if source.count(before.encode()) != 1:
        raise StaleMistake(f"{module} does not hold this text once: {before!r} ({claim})")
    start = source.index(before.encode())
    line = source[:start].count(b"\n") + 1
    functions = [it for it in ast.walk(ast.parse(source)) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)]
    name = next((it.name for it in functions if it.lineno <= line <= (it.end_lineno or 0)), "")
    statement = statement_name(module, name, claim) if name else module
    return Mistake(module, name, line, statement, start, start + len(before.encode()), before, after, claim)


class _Finder:
    def __init__(self, module: str, source: bytes) -> None:
        self._module = module
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = source.decode().splitlines()

    def found(self) -> Iterator[Mistake]:
        for function, statement, is_inside in _statements(ast.parse(self._source)):
            for node, after in self._changes(statement):
                if isinstance(node, tuple):
                    start, end = node
                else:
                    start, end = self._place(node)
                line = next(number for number, at in enumerate(self._starts) if at > start)
                text = self._lines[line - 1].strip()
                before = self._source[start:end].decode()
                begins = statement_name(self._module, function, self._lines[statement.lineno - 1])
                yield Mistake(
                    self._module, function, line, begins if is_inside else self._module, start, end, before, after, text
                )

    def _place(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None, "it was parsed from a source"
        assert node.end_col_offset is not None, "it was parsed from a source"
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._place(node)
        return self._source[start:end].decode()

    def _changes(self, statement: ast.stmt) -> Iterator[Change]:
        yield from self._of_statement(statement)
        for node in _own_expressions(statement):
            yield from self._of_expression(node)

    def _of_statement(self, node: ast.stmt) -> Iterator[Change]:
        match node:
            case ast.Expr(value=ast.Call()) if not self._text(node).startswith(SILENT):
                yield node, "pass"
            case ast.Return(value=ast.expr() as value) if self._text(value) != "None":
                yield value, "None"
            case ast.Raise() | ast.Continue() | ast.Break():
                yield node, "pass"
            case ast.AugAssign(target=ast.expr() as target, value=ast.expr() as value):
                yield node, f"{self._text(target)} = {self._text(value)}"
            case ast.If(test=ast.expr() as test) | ast.While(test=ast.expr() as test):
                yield from self._turned(test)
            case _:
                return

    def _of_expression(self, node: ast.expr) -> Iterator[Change]:
        match node:
            case ast.Compare(ops=[op], left=left, comparators=[right]) if type(op) in COMPARISONS:
                yield self._between(left, right, *COMPARISONS[type(op)])
            case ast.BoolOp(op=op, values=values):
                word, other = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                for left, right in pairwise(values):
                    yield self._between(left, right, word, other)
            case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC:
                yield self._between(left, right, *ARITHMETIC[type(op)])
            case _:
                yield from self._of_one(node)

    def _of_one(self, node: ast.expr) -> Iterator[Change]:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield node, self._text(operand)
            case ast.IfExp(test=test):
                yield from self._turned(test)
            case ast.Constant(value=bool() as value):
                yield node, str(not value)
            case ast.Constant(value=int() as value):
                yield node, str(value + 1)
            case ast.Constant(value=str() as value) if IS_EXPRESSION.search(value):
                yield from self._of_text(node)
            case ast.Call(func=ast.Name(id=name) as func) if name in SWAPPED:
                yield func, SWAPPED[name]
            case ast.JoinedStr() if IS_EXPRESSION.search(self._text(node)):
                yield from self._of_text(node)
            case _:
                return

    def _turned(self, test: ast.expr) -> Iterator[Change]:
        """Yield a condition negated, unless one of its own changes does the same."""
        match test:
            case ast.UnaryOp(op=ast.Not()):
                return
            case ast.Compare(ops=[ast.Eq() | ast.NotEq() | ast.Is() | ast.IsNot() | ast.In() | ast.NotIn()]):
                return
            case _:
                yield test, f"not ({self._text(test)})"

    def _of_text(self, node: ast.expr) -> Iterator[tuple[tuple[int, int], str]]:
        start, _ = self._place(node)
        text = self._text(node)
        for pattern, after in EXPRESSIONS:
            for match in re.finditer(pattern, text):
                begins = start + len(text[: match.start()].encode())
                yield (begins, begins + len(match[0].encode())), match.expand(after)

    def _between(self, left: ast.expr, right: ast.expr, word: str, other: str) -> tuple[tuple[int, int], str]:
        """Return the place of an operator between two operands, and its replacement."""
        start, end = self._place(left)[1], self._place(right)[0]
        between = self._source[start:end].decode()
        found = re.search(re.escape(word), between)
        if found is None:
            return (start, end), between
        return (start + found.start(), start + found.end()), other


def _statements(tree: ast.Module) -> Iterator[tuple[str, ast.stmt, bool]]:
    """Yield all effective statements, with the name of their function or class, and whether it is a function."""
    return _of_body(tree.body, "", is_inside=False)


def _of_body(body: Sequence[ast.AST], name: str, *, is_inside: bool) -> Iterator[tuple[str, ast.stmt, bool]]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not _is_protocol(node):
                is_function = is_inside or not isinstance(node, ast.ClassDef)
                yield from _of_body(node.body, f"{name}.{node.name}".lstrip("."), is_inside=is_function)
        elif isinstance(node, ast.ExceptHandler | ast.match_case):
            yield from _of_body(node.body, name, is_inside=is_inside)
        elif isinstance(node, ast.stmt) and not _is_left_out(node):
            yield name, node, is_inside
            for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _of_body(getattr(node, inner, []), name, is_inside=is_inside)


def _is_left_out(node: ast.stmt) -> bool:
    """Return whether a statement is a docstring, an import, a named number, or only for the type checker."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(value=value):  # a number with a name of its own: any other would do
            return not node.col_offset and all(isinstance(it, _FIXED) for it in ast.walk(value))
    return False


_FIXED = (ast.Constant, ast.Tuple, ast.BinOp, ast.operator, ast.expr_context)


def _is_protocol(node: ast.stmt) -> bool:
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in bases)


def _own_expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    """Yield the expressions of a statement, without annotations and without those of inner statements."""
    for name, value in ast.iter_fields(statement):
        if name in {"annotation", "body", "orelse", "finalbody", "handlers", "cases"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.expr):
                yield from _inside(child)
            elif isinstance(child, ast.withitem):
                yield from _inside(child.context_expr)


def _inside(node: ast.expr) -> Iterator[ast.expr]:
    """Yield an expression and those inside it, except parts of f-strings, whose places Python 3.11 gets wrong."""
    yield node
    if isinstance(node, ast.JoinedStr):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _inside(child)
        elif isinstance(child, ast.comprehension):
            for part in (child.iter, *child.ifs):
                yield from _inside(part)
        elif isinstance(child, ast.keyword):
            yield from _inside(child.value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."
