"""The progress of batches on standard error: bars on a terminal, otherwise a line now and then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from titlecard.domain.batch import BatchState
from titlecard_console.output import pluralize, without_controls

if TYPE_CHECKING:
    from rich.console import Console

    from titlecard_console.status import Status

SECONDS_BETWEEN_LINES = 5.0

RATE_SECONDS = 60.0
"""The length of the window that the rate is computed over, in seconds."""

OTHER_LINES = 4
"""Lines of a terminal that are not bars of batches: the total, and the sentences below the bars."""

NAME_CHARACTERS = 30
"""The most characters of a manifest's name beside its bar."""


class Display(Progress):
    """Shows statuses as they come: the total of many batches, and the active batches that fit the terminal.

    Args:
        batches: the number of batches.
    """

    def __init__(self, console: Console, batches: int = 1) -> None:
        cut = {"no_wrap": True, "overflow": "ellipsis"}
        super().__init__(
            TextColumn("{task.fields[name]}", markup=False, table_column=Column(max_width=NAME_CHARACTERS, **cut)),  # type: ignore[arg-type]  # Rich's own names
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, **cut)),  # type: ignore[arg-type]
            console=console,
            expand=True,
            disable=not console.is_terminal,
            speed_estimate_period=RATE_SECONDS,
        )
        self._batches = batches
        self._total = self.add_task("", total=None, name="all", visible=batches > 1)
        self._bars: dict[str, TaskID] = {}
        self._statuses: dict[str, Status] = {}
        self._printed: dict[str, tuple[float, str]] = {}

    def say(self, sentence: str) -> None:
        """Print a sentence above the bars."""
        self.console.print(without_controls(sentence), markup=False, highlight=False, emoji=False, soft_wrap=True)

    def show(self, name: str, status: Status) -> None:
        """Show a batch's status and pace; `name` is the person's name for its manifest."""
        if name not in self._bars:
            end = name if len(name) <= NAME_CHARACTERS else f"…{name[1 - NAME_CHARACTERS :]}"  # paths differ at the end
            self._bars[name] = self.add_task("", total=None, name=end)
        bar, total = self._bars[name], None if status.batch.state is BatchState.COUNTING else status.batch.accepted
        self._statuses[name] = status
        self.update(bar, completed=status.ended, total=total)
        rate, rest = self.tasks[bar].speed, status.batch.accepted - status.ended - status.waiting
        pace = f"{rate:,.1f} a second, {timedelta(seconds=round(rest / rate))} left" if rate and rest > 0 else ""
        sentence = ", ".join(filter(None, (status.sentence(), pace)))
        if self.console.is_terminal:
            self.update(bar, description=sentence)
            self._show_active()
        else:
            self._print_line(name, sentence)

    def _show_active(self) -> None:
        """Show the bars of the active batches that fit the terminal, and the total of all batches."""
        active = [it for it in self._bars if not self._statuses[it].has_ended]
        room = max(self.console.height - OTHER_LINES, 1)
        shown = set((active or list(self._bars))[:room])
        for it, bar in self._bars.items():
            self.update(bar, visible=self._batches == 1 or it in shown)
        statuses = self._statuses.values()
        hidden = len(active) - len(shown.intersection(active))
        ended = f"{len(statuses) - len(active):,} of {pluralize(self._batches, 'manifest')} done"
        self.update(
            self._total,
            completed=sum(it.ended for it in statuses),
            total=sum(it.batch.accepted for it in statuses) or None,
            description=f"{ended}, {hidden:,} more active" if hidden else ended,
        )

    def _print_line(self, name: str, sentence: str) -> None:
        printed_at, before = self._printed.get(name, (0.0, ""))
        if sentence != before and self.get_time() - printed_at >= SECONDS_BETWEEN_LINES:
            self._printed[name] = (self.get_time(), sentence)
            self.say(f"{name}: {sentence}")
