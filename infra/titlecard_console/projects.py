"""The projects that a command can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.ledger import EVERY_PROJECT
from titlecard_console import stacks
from titlecard_console.errors import CommandError
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard_console.stacks import Stack


def one_or_all(project: str | None, *, every: bool) -> str:
    """Return the named project, or `EVERY_PROJECT`.

    Raises:
        CommandError: both or neither are given.
    """
    if project is not None and every:
        raise CommandError(f"{project} and --all contradict each other: give one of them.")
    if project is None and not every:
        raise CommandError("Name a project, or give --all.")
    return EVERY_PROJECT if project is None else project


def known_projects(stack: Stack) -> list[str]:
    """Return every project that has a budget, a pause, a breaker or a batch."""
    batches = {batch.project for batch in ResultReader(stack).all_batches()}
    return sorted({*stacks.ledger(stack).accounts(), *batches} - {EVERY_PROJECT})


def check_known(stack: Stack, project: str) -> None:
    """Refuse a project that the stack does not know: its name is probably misspelled.

    Raises:
        CommandError: the stack does not know the project.
    """
    known = known_projects(stack)
    if project not in known:
        raise CommandError(f"The stack knows no project {project!r}. {listed(known)}")


def listed(projects: Sequence[str]) -> str:
    """Join project names for a sentence."""
    return f"Projects: {', '.join(projects)}." if projects else "There are no projects yet."
