"""The talks that `run` and `parse` give: JSON Lines for programs, or a table for people."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from titlecard_console.output import open_output, pluralize, print_table, printable, printable_names, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard.domain.video import Talk

SHOWN_ROWS = 100
"""The most talks that the table shows; the JSON Lines have all of them."""

HEADINGS = ("title as uploaded", "title", "presenters", "tier", "confidence>", "review")


@dataclass
class TalkOutput:
    """Takes talks, writes their lines, and keeps the first ones for the table."""

    lines: TextIO
    shows_table: bool
    rows: list[tuple[str, ...]] = field(default_factory=list)
    count: int = 0

    def add(self, line: str, raw_title: str, talk: Talk | None, *, reason: str | None = None) -> None:
        """Add a row.

        Args:
            line: its line of JSON.
            raw_title: the title as it was uploaded; only the table shows it.
            reason: why there is no talk.
        """
        self.lines.write(f"{line}\n")
        self.count += 1
        if not self.shows_table or self.count > SHOWN_ROWS:
            return
        if talk is None:
            self.rows.append((printable(raw_title), "", "", "", "", printable(reason or "")))
            return
        cells = (printable(raw_title), printable(talk.title), printable_names(talk.presenters))
        self.rows.append((*cells, talk.tier, f"{talk.confidence:.2f}", talk.review or ""))


@contextmanager
def open_talks(output: Path | None, *, as_json: bool) -> Iterator[TalkOutput]:
    """Open the output of a command that gives talks; at the end, print the table and say where the JSON Lines are.

    Args:
        output: the file for the JSON Lines; None means standard output, or nowhere if people see a table there.
        as_json: whether the person wants JSON Lines on a terminal too.
    """
    shows_table = is_terminal() and not as_json
    with open_output(Path(os.devnull) if shows_table and not output else output) as lines:
        talks = TalkOutput(lines, shows_table)
        yield talks
    if not shows_table:
        return
    if talks.rows:
        print_table(HEADINGS, talks.rows)
    if talks.count > SHOWN_ROWS:
        say(f"These are the first {SHOWN_ROWS} of {pluralize(talks.count, 'talk')}.")
    if output:
        say(f"{output} holds {pluralize(talks.count, 'talk')} as JSON Lines.")
    else:
        say("For JSON Lines use --json, --output FILE or a pipe.")


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()
