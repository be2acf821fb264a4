"""The progress and the pace of batches on standard error: bars on a terminal, otherwise a line now and then."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from titlecard.domain.batch import BatchState
from titlecard_console.output import format_duration, pluralize
from titlecard_console.status import Status

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

SECONDS_BETWEEN_LINES = 5.0

RATE_SECONDS = 60.0
"""The length of the window that the rate is computed over, in seconds."""

OTHER_LINES = 4
"""Lines of a terminal that are not bars of batches: the total, and the sentences below the bars."""

NAME_CHARACTERS = 30
"""The most characters of a manifest's name beside its bar."""


class Display:
    """Shows statuses as they come: the total of many batches, and the active batches that fit the terminal.

    Args:
        console: the console on standard error.
        batches: the number of batches.
    """

    def __init__(self, console: Console, batches: int = 1) -> None:
        self._console = console
        self._batches = batches
        cut = {"no_wrap": True, "overflow": "ellipsis"}
        self._bars = Progress(
            TextColumn("{task.fields[name]}", markup=False, table_column=Column(max_width=NAME_CHARACTERS, **cut)),  # type: ignore[arg-type]  # Rich's own names
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, **cut)),  # type: ignore[arg-type]
            console=console,
            expand=True,
            disable=not console.is_terminal,
        )
        self._total = self._bars.add_task("", total=None, name="all", visible=batches > 1)
        self._tasks: dict[str, TaskID] = {}
        self._statuses: dict[str, Status] = {}
        self._printed: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, sentence: str) -> None:
        """Print a sentence above the bars."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def show(self, name: str, status: Status) -> None:
        """Show a batch's status; `name` is the person's name for its manifest."""
        self._statuses[name] = status
        if self._console.is_terminal:
            self._update_bars(name, status)
        else:
            self._print_line(name, status.sentence())

    def _update_bars(self, name: str, status: Status) -> None:
        if name not in self._tasks:
            end = name if len(name) <= NAME_CHARACTERS else f"…{name[1 - NAME_CHARACTERS :]}"  # paths differ at the end
            self._tasks[name] = self._bars.add_task("", total=None, name=end)
        known = status.batch.state is not BatchState.COUNTING
        total = status.batch.accepted if known else None
        self._bars.update(self._tasks[name], completed=status.ended, total=total, description=status.sentence())
        active = [it for it in self._tasks if not _has_ended(self._statuses[it])]
        room = max(self._console.height - OTHER_LINES, 1)
        shown = set((active or list(self._tasks))[:room])
        for it, task in self._tasks.items():
            self._bars.update(task, visible=self._batches == 1 or it in shown)
        statuses = self._statuses.values()
        hidden = len(active) - len(shown.intersection(active))
        ended = f"{len(statuses) - len(active):,} of {pluralize(self._batches, 'manifest')} done"
        self._bars.update(
            self._total,
            completed=sum(it.ended for it in statuses),
            total=sum(it.batch.accepted for it in statuses) or None,
            description=f"{ended}, {hidden:,} more active" if hidden else ended,
        )

    def _print_line(self, name: str, sentence: str) -> None:
        printed_at, before = self._printed.get(name, (0.0, ""))
        if sentence != before and time.monotonic() - printed_at >= SECONDS_BETWEEN_LINES:
            self._printed[name] = (time.monotonic(), sentence)
            self.say(f"{name}: {sentence}")


@dataclass(frozen=True)
class PacedStatus(Status):
    """A status with the batch's pace: rows per second, and the seconds until the batch is done, if known."""

    rate: float = 0.0
    left: float | None = None

    def sentence(self) -> str:
        """Describe the batch in one line."""
        pace = f"{self.rate:,.1f} a second, {format_duration(self.left)} left" if self.left is not None else ""
        return ", ".join(part for part in (super().sentence(), pace) if part)


class Pace:
    """The rate at which rows end, from the last minute's counts."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def rate(self, ended: int, now: float) -> float:
        """Add a count; return the rows per second since the oldest count of the last minute.

        Args:
            now: the current time, in seconds from any fixed moment.
        """
        self._counts.append((now, ended))
        while now - self._counts[0][0] > RATE_SECONDS and len(self._counts) > 1:
            self._counts.popleft()
        began, before = self._counts[0]
        return max(ended - before, 0) / (now - began) if now > began else 0.0


def _has_ended(status: Status) -> bool:
    return status.batch.state in {BatchState.FINISHED, BatchState.REFUSED}
