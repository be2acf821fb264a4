"""The console's output: data on standard output, sentences for people on standard error."""

from __future__ import annotations

import json
import secrets
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from titlecard.domain.text import one_line
from titlecard_console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from titlecard.domain.money import Amount, Total

people = Console(stderr=True, highlight=False, emoji=False)
"""The console on standard error. It replaces no emoji codes: Rich would take `:100:` in `talks.csv:100:` for one."""

_CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}

_UNCUT = 10_000
"""The width of a table outside a terminal, in characters: no cell is cut or folded."""

_GAP, _FOLDED = 2, 10
"""The spaces between two columns, and the least width of a column whose cells are folded, in characters."""

TEXT_CHARACTERS = 400
"""The most characters that a terminal shows of a title, a list of names or a description; JSON has all of them."""

_CENT = 10_000
"""One cent, in micro-dollars."""


def say(*sentences: str) -> None:
    """Print sentences for people on standard error, each in a line of its own."""
    for sentence in sentences:
        people.print(without_controls(sentence), markup=False, soft_wrap=True)


def without_controls(text: str) -> str:
    """Make control characters visible, except line ends and tabs; a stranger's text may contain a terminal sequence."""
    return text.translate(_CONTROLS)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one line of JSON; DynamoDB's decimals become whole numbers."""
    typer.echo(json.dumps(content, ensure_ascii=False, default=int))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, stream: TextIO | None = None) -> None:
    """Print a table; cells are plain text, whatever they contain.

    On a terminal, only cells with spaces are folded: ids and numbers stay whole. If the terminal is too narrow for
    that, each row becomes a block of lines, one for each heading.

    Args:
        headings: a heading that ends in `>` marks a column of numbers, aligned right.
        rows: a cell for each heading.
        stream: the destination; None means standard output.
    """
    stream, lines = stream or sys.stdout, [[Text(cell) for cell in row] for row in rows]
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else _UNCUT)
    table = Table(box=None, header_style="bold", pad_edge=False)
    needed = -_GAP
    for heading, *cells in zip(headings, *lines, strict=True):
        name = heading.rstrip(">")
        whole = max(map(cell_len, [*name.split(), *(cell.plain for cell in cells)]), default=0)
        folds = any(" " in cell.plain for cell in cells)
        width = None if folds or not stream.isatty() else whole
        table.add_column(name, justify="right" if name != heading else "left", overflow="fold", width=width)
        needed += _GAP + (min(whole, _FOLDED) if folds else whole)
    for line in lines:
        table.add_row(*line)
    with console.capture() as capture:
        console.print(table if needed <= console.width else _blocks(headings, lines))
    stream.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _blocks(headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> Table:
    """Return rows as blocks of lines, each with a heading and its cell, without empty cells."""
    grid = Table.grid(padding=(0, _GAP))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for place, row in enumerate(rows):
        if place:
            grid.add_row()
        for heading, cell in zip(headings, row, strict=True):
            if cell:
                grid.add_row(heading.rstrip(">"), cell)
    return grid


def confirm(question: str, *, word: str = "y") -> bool:
    """Ask the person a question on standard error, and return whether the person agrees.

    Args:
        word: the word that means yes; for `y`, any answer that begins with it does.

    Raises:
        CommandError: standard input is not a terminal.
    """
    if not can_ask():
        raise CommandError("Standard input is not a terminal, so nobody can confirm this: add --yes.")
    prompt = f"{question} ({word}/N) " if word == "y" else f"{question} "
    answer = people.input(prompt, markup=False, emoji=False).strip()
    return answer.lower().startswith("y") if word == "y" else answer == word


def can_ask() -> bool:
    """Return whether a person can answer a question: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()  # None: the caller has closed it


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
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.unfinished")  # another command may write it too
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------- numbers, times and texts


def pluralize(number: int, one: str, several: str = "") -> str:
    """Format a number with its noun: `1 video`, `2,000 videos`; `several` is the plural if it does not end in s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def counted(*numbers: tuple[int, str]) -> Iterator[str]:
    """Yield a sentence such as `3 sent.` for each number above zero."""
    return (f"{number:,} {what}." for number, what in numbers if number)


def format_usd(micro_usd: int) -> str:
    """Format micro-dollars as dollars, rounded up, so that a bound is never understated."""
    if 0 < micro_usd < _CENT:
        return f"${micro_usd / 1_000_000:.6f}"
    return f"${-(-micro_usd // _CENT) / 100:,.2f}"


def format_charge(charge: Amount | Total) -> str:
    """Format a charge: `3 requests, 2,000 tokens and $0.02`."""
    tokens, cost = pluralize(charge.tokens, "token"), format_usd(charge.micro_usd)
    return f"{pluralize(charge.requests, 'request')}, {tokens} and {cost}"


def format_caps(caps: Mapping[str, int | None]) -> str:
    """Format caps on money and tokens: `$5.00 and 2,000 tokens`; None, or no entry, means no cap."""
    micro_usd, tokens = caps.get("micro_usd"), caps.get("tokens")
    parts = [format_usd(micro_usd)] if micro_usd is not None else []
    parts += [pluralize(tokens, "token")] if tokens is not None else []
    return " and ".join(parts) or "no limit"


def amounts(charge: Amount | Total) -> dict[str, int]:
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
    return f"{pluralize(round(seconds), 'second')} ago"


def printable(text: str) -> str:
    """Make a stranger's text safe for a terminal."""
    return truncate(one_line(text), TEXT_CHARACTERS)


def printable_names(presenters: Sequence[str]) -> str:
    """Format presenters for a terminal."""
    return printable("; ".join(presenters)) or "nobody"


def truncate(text: str, most: int) -> str:
    """Return a text of at most this many characters; a text that is cut ends in an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
