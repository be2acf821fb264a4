"""The console's output: data on standard output, sentences for people on standard error."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from titlecard_console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from titlecard.domain.money import Amount

people = Console(stderr=True, highlight=False)
"""The console on standard error."""

_UNCUT = 10_000
"""The width of a table outside a terminal, in characters: no cell is cut or folded."""

_CENT = 10_000
"""One cent, in micro-dollars."""


def say(sentence: str) -> None:
    """Print a sentence for people on standard error."""
    people.print(sentence, markup=False, soft_wrap=True)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one line of JSON; DynamoDB's decimals become whole numbers."""
    typer.echo(json.dumps(content, ensure_ascii=False, default=int))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, stream: TextIO | None = None) -> None:
    """Print a table; cells are plain text, whatever they contain.

    Args:
        headings: a heading that ends in `>` marks a column of numbers, aligned right.
        rows: a cell for each heading.
        stream: the destination; None means standard output.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        justify: Any = "right" if heading.endswith(">") else "left"
        table.add_column(heading.rstrip(">"), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    stream = stream or sys.stdout
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else _UNCUT)
    with console.capture() as capture:
        console.print(table)
    stream.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def confirm(question: str, *, word: str = "y") -> bool:
    """Ask the person a question on standard error, and return whether the person agrees.

    Args:
        question: the question.
        word: the word that means yes; for `y`, any answer that begins with it does.

    Raises:
        CommandError: standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise CommandError("Standard input is not a terminal, so nobody can confirm this: add --yes.")
    answer = people.input(f"{question} ({word}/N) " if word == "y" else f"{question} ").strip()
    return answer.lower().startswith("y") if word == "y" else answer == word


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Open standard output, or a file that is created or replaced when the block ends without an error.

    Anything but a regular file (`/dev/null`, a pipe) is written to directly.
    """
    if path is None:
        yield sys.stdout
        return
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("w", encoding="utf-8", newline="") as stream:
        yield stream
    unfinished.replace(path)


# ------------------------------------------------------------------------------------------- numbers, times and texts


def pluralize(number: int, one: str, several: str = "") -> str:
    """Format a number with its noun: `1 video`, `2,000 videos`; `several` is the plural if it does not end in s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def format_usd(micro_usd: int) -> str:
    """Format micro-dollars as dollars, rounded up, so that a bound is never understated."""
    if 0 < micro_usd < _CENT:
        return f"${micro_usd / 1_000_000:.6f}"
    return f"${-(-micro_usd // _CENT) / 100:,.2f}"


def format_amounts(requests: int, tokens: int, micro_usd: int) -> str:
    """Format money and tokens: `3 requests, 2,000 tokens and $0.02`."""
    return f"{pluralize(requests, 'request')}, {pluralize(tokens, 'token')} and {format_usd(micro_usd)}"


def format_caps(caps: Mapping[str, int | None]) -> str:
    """Format caps on money and tokens: `$5.00 and 2,000 tokens`; None means no cap."""
    micro_usd, tokens = caps["micro_usd"], caps["tokens"]
    parts = [format_usd(micro_usd)] if micro_usd is not None else []
    parts += [pluralize(tokens, "token")] if tokens is not None else []
    return " and ".join(parts) or "no limit"


def amounts(charge: Amount) -> dict[str, int]:
    """Return a charge in the units of limits."""
    return {"requests": charge.requests, "tokens": charge.tokens, "micro_usd": charge.micro_usd}


def format_time(moment: datetime | str) -> str:
    """Format a moment in UTC, to the second. Text must be ISO 8601; other text, written by hand, is unchanged."""
    try:
        parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        return str(moment)
    return f"{parsed.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_age(moment: datetime) -> str:
    """Format the age of a moment: `3 hours ago`."""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0)
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"


def format_duration(seconds: float) -> str:
    """Format a length of time: `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def truncate(text: str, most: int) -> str:
    """Return a text of at most this many characters; a text that is cut ends in an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
