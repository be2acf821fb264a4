"""Questions to the person in front, on standard error: standard output is for data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from titlecard_console.stack import CommandError

if TYPE_CHECKING:
    from rich.console import Console


def confirm(people: Console, question: str, *, word: str = "y") -> bool:
    """Whether the person answers with a word (or its beginning with `y`, where it is that).

    Raises:
        CommandError: nobody is there to answer.
    """
    if not sys.stdin.isatty():
        raise CommandError("Nobody is there to be asked: say --yes, or run it at a terminal.")
    answer = people.input(f"{question} ({word}/N) " if word == "y" else f"{question} ").strip()
    return answer.lower().startswith("y") if word == "y" else answer == word
