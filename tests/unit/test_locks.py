"""The locks fit pyproject.toml and each other. `infra/lock --check` also asks the registry; these tests do not."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from titlecard_console.installation import LOCKS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINNED = re.compile(r"^([\w.-]+)==([\w.!+-]+)", re.MULTILINE)

ENVIRONMENTS = (LOCKS / "dev.txt", LOCKS / "console.txt")
PROGRAMS = [LOCKS / f"{name}.txt" for name in ("ministack", "sam", "checkov")]
"""The locks of programs that have environments of their own."""

ARTEFACTS = (ROOT / "functions" / "requirements.txt", ROOT / "functions" / "parser" / "requirements.txt")


def pinned(lock: Path) -> dict[str, set[str]]:
    """Return the versions of each package in a lock; a package pinned by platform has several."""
    found: dict[str, set[str]] = {}
    for name, version in PINNED.findall(lock.read_text(encoding="utf-8")):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def group(name: str) -> Iterator[Requirement]:
    """Return the requirements of a dependency group, including those of the groups in it."""
    for entry in PROJECT["dependency-groups"][name]:
        if isinstance(entry, str):
            yield Requirement(entry)
        else:
            yield from group(entry["include-group"])


def wanted(source: Path) -> Iterator[Requirement]:
    """Return the requirements of an .in file and of the files that it names."""
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            yield from wanted(source.with_name(line.removeprefix("-r ")))
        elif line and not line.startswith("#"):
            yield Requirement(line)


def unmet(requirements: Iterator[Requirement], lock: Path) -> list[str]:
    """Return the requirements that a lock does not meet."""
    versions = pinned(lock)
    return [
        str(requirement)
        for requirement in requirements
        if not (found := versions.get(canonicalize_name(requirement.name)))
        or not all(requirement.specifier.contains(version) for version in found)
    ]


@pytest.mark.parametrize("lock", ENVIRONMENTS, ids=lambda lock: lock.name)
def test_lock_meets_the_projects_dependencies(lock: Path) -> None:
    assert unmet(map(Requirement, PROJECT["project"]["dependencies"]), lock) == [], "run ./infra/lock"
    assert unmet(wanted(LOCKS / "build.in"), lock) == [], "run ./infra/lock"


def test_lock_of_the_tests_meets_their_dependencies() -> None:
    assert unmet(group("dev"), LOCKS / "dev.txt") == [], "run ./infra/lock"


@pytest.mark.parametrize(
    ("source", "lock"),
    [
        ("function.in", ARTEFACTS[0]),
        ("parser.in", ARTEFACTS[1]),
        ("ministack.in", LOCKS / "ministack.txt"),
        ("uv.in", LOCKS / "uv.txt"),
    ],
)
def test_lock_meets_its_source(source: str, lock: Path) -> None:
    assert unmet(wanted(LOCKS / source), lock) == [], "run ./infra/lock"


@pytest.mark.parametrize(
    "lock", [LOCKS / "console.txt", *ARTEFACTS], ids=lambda lock: f"{lock.parent.name}-{lock.name}"
)
def test_the_installed_versions_are_the_tested_versions(lock: Path) -> None:
    tested = pinned(LOCKS / "dev.txt")
    assert {name: versions for name, versions in pinned(lock).items() if tested.get(name) != versions} == {}


@pytest.mark.parametrize("lock", PROGRAMS, ids=lambda lock: lock.name)
def test_programs_take_the_tested_versions_of_what_they_share(lock: Path) -> None:
    tested, of_program = pinned(LOCKS / "dev.txt"), pinned(lock)
    shared = tested.keys() & of_program.keys() - {
        "boto3-stubs"
    }  # SAM CLI names extras of it, which an override has not
    assert {name: of_program[name] for name in shared if of_program[name] != tested[name]} == {}


def test_functions_carry_nothing_that_pyproject_does_not_bound() -> None:
    bounded = {canonicalize_name(Requirement(it).name) for it in PROJECT["project"]["dependencies"]}
    assert {canonicalize_name(requirement.name) for requirement in wanted(LOCKS / "parser.in")} <= bounded
