"""The talks of a run as a table for people; programs get JSON Lines instead."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from titlecard_console.output import pluralize, print_table, say
from titlecard_console.story import shown, shown_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from titlecard.domain.video import Talk

SHOWN_ROWS = 100
"""The most talks that the table shows; the JSON Lines have all of them."""

HEADINGS = ("title as uploaded", "title", "presenters", "tier", "confidence>", "review")


class TalkTable:
    """Collects talks, and prints the first of them.

    Args:
        output: the file that the JSON Lines go to, if any.
    """

    def __init__(self, output: Path | None) -> None:
        self._output = output
        self._rows: list[tuple[str, ...]] = []
        self._count = 0

    def add(self, raw_title: str, talk: Talk | None, *, reason: str | None = None) -> None:
        """Add a row.

        Args:
            raw_title: the title as it was uploaded.
            talk: the talk, or None.
            reason: why there is no talk.
        """
        self._count += 1
        if self._count > SHOWN_ROWS:
            return
        if talk is None:
            self._rows.append((shown(raw_title), "", "", "", "", shown(reason or "")))
            return
        cells = (shown(raw_title), shown(talk.title), shown_names(talk.presenters))
        self._rows.append((*cells, talk.tier, f"{talk.confidence:.2f}", talk.review or ""))

    def print(self) -> None:
        """Print the table, and say where the JSON Lines are."""
        if self._rows:
            print_table(HEADINGS, self._rows)
        for sentence in self._notes():
            say(sentence)

    def _notes(self) -> Iterator[str]:
        if self._count > SHOWN_ROWS:
            yield f"These are the first {SHOWN_ROWS} of {pluralize(self._count, 'talk')}."
        if self._output:
            yield f"{self._output} holds {pluralize(self._count, 'talk')} as JSON Lines."
        else:
            yield "For JSON Lines use --json, --output FILE or a pipe."


def for_people(output: Path | None, *, as_json: bool) -> TalkTable | None:
    """Return a table if standard output is a terminal and the person does not want JSON Lines there."""
    return TalkTable(output) if sys.stdout.isatty() and not as_json else None
