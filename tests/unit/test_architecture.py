"""Imports run one way: console, pipeline, then the adapters (aws, llm) and the pure parts, and the domain last."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY, CONSOLE = ROOT / "functions", ROOT / "infra"

ALLOWED = {
    "domain": set(),
    "manifests": {"domain"},
    "extraction": {"domain"},
    "llm": {"domain", "extraction"},
    "aws": {"domain", "extraction"},
    "pipeline": {"domain", "manifests", "extraction", "llm", "aws", "settings", "telemetry"},
    "settings": {"domain", "manifests"},
    "telemetry": {"domain"},
    "preflight": {"domain"},
    "library": {"domain", "extraction", "pipeline"},
    "bootstrap": {"domain", "manifests", "extraction", "llm", "aws", "pipeline", "settings", "telemetry"},
}
"""The other parts that each part of `titlecard` may import."""

PURE = ("domain", "manifests", "extraction")
NOT_IN_PURE = {"boto3", "botocore", "aws_lambda_powertools", "openai", "pydantic_ai", "httpx", "socket", "subprocess"}


def imports_of(file: Path, *, for_types: bool = False) -> set[str]:
    """Return the modules that a file imports, also inside functions; `for_types`: also those only for type checking."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types:
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def modules(package: Path) -> dict[str, Path]:
    """Return the modules below a package's folder, by their dotted names."""
    return {
        ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for file in package.rglob("*.py")
    }


TITLECARD = modules(LIBRARY / "titlecard")


def part_of(name: str) -> str:
    """Return the part of the library that a module belongs to: the name below `titlecard`."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("part", ALLOWED)
def test_each_part_imports_only_what_lies_below_it(part: str) -> None:
    wrong = {
        f"{name} imports {imported}"
        for name, file in TITLECARD.items()
        if part_of(name) == part
        for imported in imports_of(file)
        if imported.startswith("titlecard.") and part_of(imported) in ALLOWED.keys() - ALLOWED[part] - {part}
    }
    assert wrong == set()


def test_every_part_of_the_library_has_its_rule() -> None:
    assert {part_of(name) for name in TITLECARD} - {""} == ALLOWED.keys()


@pytest.mark.parametrize("part", PURE)
def test_the_pure_parts_import_no_client_and_do_no_input_or_output(part: str) -> None:
    wrong = {
        f"{name} imports {imported}"
        for name, file in TITLECARD.items()
        if part_of(name) == part
        for imported in imports_of(file)
        if imported.split(".")[0] in NOT_IN_PURE
    }
    assert wrong == set()


def test_the_library_never_imports_the_commands_or_the_handlers() -> None:
    handlers = {folder.name for folder in LIBRARY.iterdir() if (folder / "app.py").exists()}
    wrong = {
        f"{name} imports {imported}"
        for name, file in TITLECARD.items()
        for imported in imports_of(file)
        if imported.split(".")[0] in {"titlecard_console", *handlers}
    }
    assert wrong == set()


@pytest.mark.parametrize("package", [LIBRARY / "titlecard", CONSOLE / "titlecard_console"], ids=lambda it: it.name)
def test_no_modules_import_each_other_in_a_circle_not_even_for_types(package: Path) -> None:
    there = modules(package)
    edges = {name: _submodules(imports_of(file, for_types=True), there) - {name} for name, file in there.items()}
    while leaves := [name for name, targets in edges.items() if not targets & edges.keys()]:
        for name in leaves:
            del edges[name]
    # Every remaining module imports a cycle or is part of one.
    assert edges == {}


def _submodules(imported: set[str], there: dict[str, Path]) -> set[str]:
    """Return the imported modules of a package; importing one of its own names counts as importing the package."""
    found = set()
    for name in imported & there.keys():
        deeper = any(other.startswith(f"{name}.") and other in there for other in imported)
        if not deeper or not name.count("."):
            found.add(name)
    return found - {"titlecard", "titlecard_console"}
