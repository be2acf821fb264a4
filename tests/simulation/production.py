"""The production modules, loaded from their source: unchanged, patched, or with their branches counted.

The driven modules are loaded as a separate set, beside the imported one. They share the rest of the library (the video,
the fault table, the money arithmetic) with it.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

import titlecard

if TYPE_CHECKING:
    from types import ModuleType

DRIVEN = (
    "aws.dynamodb.values",
    "aws.dynamodb.catalog.keys",
    "aws.dynamodb.catalog.table",
    "aws.dynamodb.catalog.items",
    "aws.dynamodb.catalog.attempts",
    "aws.dynamodb.catalog.batches",
    "aws.dynamodb.catalog.reviews",
    "aws.dynamodb.catalog.rows",
    "aws.dynamodb.catalog.sweep",
    "aws.dynamodb.catalog",
    "aws.dynamodb.ledger.items",
    "aws.dynamodb.ledger.breakers",
    "aws.dynamodb.ledger.accounts",
    "aws.dynamodb.ledger.reservations",
    "aws.dynamodb.ledger",
    "pipeline.admission",
    "aws.sqs",
    "aws.s3",
    "aws.functions",
    "pipeline.finish",
    "pipeline.ingest",
    "aws.dynamodb.catalog.results",
    "aws.dynamodb.catalog.upload_progress",
    "pipeline.publish",
    "aws.dynamodb.catalog.grants",
    "pipeline.audit",
    "pipeline.lease",
    "pipeline.requeue",
    "pipeline.outcome_types",
    "pipeline.job",
    "pipeline.canary",
    "pipeline.ask",
    "pipeline.parse",
    "bootstrap",
)
"""The modules of `titlecard` that a schedule drives; each set loads all of them again."""

COUNTED = tuple(
    name
    for name in DRIVEN
    if (name.startswith(("aws.dynamodb.ledger", "pipeline.")) and name not in {"pipeline.ingest", "pipeline.publish"})
    or name.removeprefix("aws.dynamodb.catalog.") in {"table", "items", "attempts", "batches", "rows", "sweep"}
)
"""The driven modules that decide about money, attempts and the ends of rows; schedules visit all their branches."""

RELOADED = ("titlecard.aws.", "titlecard.pipeline.", "titlecard.bootstrap")
SHARED = {"titlecard.aws.errors", "titlecard.aws.secrets", "titlecard.pipeline.errors"}
"""The prefixes of the modules that are imported again, and their exceptions. The rest of the library imports none of
these modules, and is shared."""

_ROOT = Path(titlecard.__file__).parent

Patch = tuple[str, str]

Told = Callable[[bool], bool]
"""Takes the value at a place, and returns it."""

Visit = Callable[[str, str, str], Told]
"""Returns the function to call at a place, by the place's module, function and text."""


class StalePatch(AssertionError):
    """A patch's old text does not occur exactly once in the source: adapt the patch to the code."""


@dataclass(frozen=True)
class Code:
    """A set of driven modules, by their names below `titlecard`."""

    modules: Mapping[str, ModuleType]

    def __getitem__(self, name: str) -> ModuleType:
        return self.modules[name]


@cache
def as_it_is() -> Code:
    """Return production unchanged."""
    return _loaded({}, None)


def patched(patches: Mapping[str, tuple[Patch, ...]]) -> Code:
    """Return production with parts of some modules' sources replaced.

    Args:
        patches: the old text, which must occur exactly once, and the new text, by module.

    Raises:
        StalePatch: an old text does not occur exactly once.
    """
    return _loaded(patches, None)


def counted(visit: Visit) -> Code:
    """Return production that reports every entered function and the value of every condition to `visit`."""
    return _loaded({}, visit)


def source_of(name: str) -> Path:
    """Return the path of a module's source."""
    path = _ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _loaded(patches: Mapping[str, tuple[Patch, ...]], visit: Visit | None) -> Code:
    """Import the driven modules again, and restore the imported ones."""
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "titlecard"}
    attributes = {name: vars(module).copy() for name, module in before.items() if hasattr(module, "__path__")}
    source = _Source(patches, visit)
    sys.meta_path.insert(0, source)
    try:
        _forget()
        return Code({name: importlib.import_module(f"titlecard.{name}") for name in DRIVEN})
    finally:
        sys.meta_path.remove(source)
        _forget()
        sys.modules.update(before)
        for name, there in attributes.items():
            vars(sys.modules[name]).update(there)


def _forget() -> None:
    """Remove from `sys.modules` the driven modules and all that could refer to one."""
    for name in [name for name in sys.modules if name.startswith(RELOADED) and name not in SHARED]:
        sys.modules.pop(name)


class _Source(MetaPathFinder, Loader):
    """Loads the driven modules, and no others, from their patched sources."""

    def __init__(self, patches: Mapping[str, tuple[Patch, ...]], visit: Visit | None) -> None:
        self._patches = patches
        self._visit = visit

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 -- importlib's
        """Return the spec of a driven module, None for others."""
        name = fullname.removeprefix("titlecard.")
        if name not in DRIVEN:
            return None
        file = source_of(name)
        spec = ModuleSpec(fullname, self, origin=str(file), is_package=file.name == "__init__.py")
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(str(file.parent))
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's patched source.

        Raises:
            StalePatch: a patch does not fit the source.
        """
        name = module.__name__.removeprefix("titlecard.")
        file = source_of(name)
        text = file.read_text("utf-8")
        for old, new in self._patches.get(name, ()):
            if text.count(old) != 1:
                message = f"{name}: it is there {text.count(old)} times: {old!r}"
                raise StalePatch(message)
            text = text.replace(old, new)
        tree = ast.parse(text)
        if self._visit and name in COUNTED:
            counting = _Counting(name)
            tree = ast.fix_missing_locations(counting.visit(tree))
            for number, place in enumerate(counting.places):
                vars(module)[f"_visit{number}"] = self._visit(place.module, place.function, place.text)
        exec(compile(tree, str(file), "exec"), vars(module))  # noqa: S102 -- the project's own source


# ------------------------------------------------------------------------------------------------------- branches


@dataclass(frozen=True, order=True)
class Branch:
    """A place that a run can visit: a function, or a condition with an outcome. `text` is its source."""

    module: str
    function: str
    text: str


def all_branches() -> dict[Branch, set[bool]]:
    """Return every place in the counted modules, with its possible outcomes."""
    found: dict[Branch, set[bool]] = {}
    for name in COUNTED:
        counting = _Counting(name)
        counting.visit(ast.parse(source_of(name).read_text("utf-8")))
        found |= counting.places
    return found


class _Counting(ast.NodeTransformer):
    """Wraps every condition in a call of `_visit<number>`, and starts every function and handler with one.

    The number is the index of the place in `places`.
    """

    def __init__(self, module: str) -> None:
        self.places: dict[Branch, set[bool]] = {}
        self._module = module
        self._function: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
            return node  # a protocol runs no code
        self._function.append(node.name)
        self.generic_visit(node)
        self._function.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._function.append(node.name)
        self.generic_visit(node)
        skip = 1 if ast.get_docstring(node) is not None else 0
        node.body.insert(skip, self._told("entered"))
        self._function.pop()
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return node
        return self._condition(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._condition(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._condition(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        text = ast.unparse(node.type) if node.type else ""
        self.generic_visit(node)
        node.body.insert(0, self._told(f"except {text}"))
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        texts = [ast.unparse(test) for test in node.ifs]
        self.generic_visit(node)
        node.ifs = [self._value(text, test) for text, test in zip(texts, node.ifs, strict=True)]
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        texts = [ast.unparse(value) for value in node.values]
        self.generic_visit(node)
        node.values = [self._value(text, value) for text, value in zip(texts, node.values, strict=True)]
        return node

    def _condition(self, node: ast.If | ast.IfExp | ast.While) -> ast.AST:
        if isinstance(node.test, ast.BoolOp):  # its parts are counted instead
            self.generic_visit(node)
            return node
        text = ast.unparse(node.test)
        self.generic_visit(node)
        node.test = self._value(text, node.test)
        return node

    def _told(self, text: str) -> ast.stmt:
        return ast.Expr(self._call(text, ast.Constant(value=True), {True}))

    def _value(self, text: str, value: ast.expr) -> ast.expr:
        if isinstance(value, ast.Constant):
            return value
        return self._call(text, value, {True, False})

    def _call(self, text: str, value: ast.expr, outcomes: set[bool]) -> ast.expr:
        branch = Branch(self._module, ".".join(self._function), text)
        self.places.setdefault(branch, set()).update(outcomes)
        number = list(self.places).index(branch)
        return ast.Call(ast.Name(f"_visit{number}", ast.Load()), [value], [])
