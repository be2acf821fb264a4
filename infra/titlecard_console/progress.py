"""How far the batches of a run are: a bar per batch on a terminal, a line now and then elsewhere. To standard error."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from titlecard.domain.batch import END_STATES, BatchState, RowState
from titlecard_console.output import format_usd, pluralize

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from rich.console import Console

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.money import Amount

SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Status:
    """How a batch stands; `until` is when the first of its waiting rows comes back."""

    batch: Batch
    waiting: int
    until: datetime | None
    spent: Amount

    @property
    def ended(self) -> int:
        """Rows in an end state, as far as the counters know: a hint."""
        return min(self.batch.counted(*END_STATES), self.batch.accepted)

    def sentence(self) -> str:
        """The batch in one line."""
        batch, counts = self.batch, self.batch.counts
        if batch.state is BatchState.COUNTING:
            return "reading the manifest"
        parts = [
            (batch.refused, "rejected"),
            (max(batch.accepted - self.ended - self.waiting, 0), "queued"),
            (counts["parsed_local"], "parsed locally"),
            (counts["parsed_model"], "by the model"),
            (counts[RowState.SUPERSEDED], "superseded"),
            (batch.counted(RowState.DEAD), "dead"),
            (counts[RowState.CANCELLED], "cancelled"),
        ]
        said = [f"{number:,} {name}" for number, name in parts if number]
        if self.waiting:
            said.append(f"{self.waiting:,} waiting {f'until {self.until:%H:%M:%S}' if self.until else 'for you'}")
        if self.spent.requests:
            said.append(f"{pluralize(self.spent.tokens, 'token')}, {format_usd(self.spent.micro_usd)}")
        return ", ".join(said)


class Display:
    """Shows statuses as they come.

    Args:
        console: of standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.fields[name]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _it: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, sentence: str) -> None:
        """Say something above the bars."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def show(self, name: str, status: Status) -> None:
        """Show how a batch stands; `name` is what the person called its manifest."""
        sentence = status.sentence()
        if self._console.is_terminal:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task("", total=None, name=name)
            total = status.batch.accepted if status.batch.state is not BatchState.COUNTING else None
            self._bars.update(self._tasks[name], completed=status.ended, total=total, description=sentence)
            return
        last, before = self._said.get(name, (0.0, ""))
        if sentence != before and time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            self._said[name] = (time.monotonic(), sentence)
            self._console.print(f"{name}: {sentence}", markup=False, highlight=False)
