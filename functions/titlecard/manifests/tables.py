"""CSV, whatever separates its fields: comma, semicolon or tab, with the names of the columns in its first line.

A row may span lines where a field is quoted. A quote that is opened and never closed takes the lines after it along, as
CSV has it: they are refused with it, for to guess where it should have ended would make rows out of descriptions.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from titlecard.manifests.columns import recognise
from titlecard.manifests.rows import Unreadable, excerpt
from titlecard.manifests.source import lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from titlecard.manifests.rows import ReadingLimits
    from titlecard.manifests.source import Piece

_DELIMITERS = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV", "|": "CSV with bars"}


@dataclass(frozen=True, slots=True)
class Table:
    """How a CSV file is written."""

    form: str
    delimiter: str
    names: tuple[str, ...]
    header_line: int


@dataclass(slots=True)
class TableRow:
    """One row: its fields, or what is wrong with them, and the beginning of its text."""

    number: int
    fields: list[str]
    fault: str | None
    beginning: str


def table(head: bytes) -> Table | None:
    """How the file is written that begins so; None where its first line does not name columns."""
    for number, line in lines([head], len(head)):
        text = line.data.decode("utf-8", "replace").strip()
        if not text or text.startswith("sep="):  # Excel names the separator in a line of its own
            continue
        tables = [Table(form, mark, _header(text, mark), number) for mark, form in _DELIMITERS.items()]
        best = max(tables, key=lambda found: len(recognise(found.names)))
        return best if recognise(best.names) else None
    return None


def table_rows(written: Table, chunks: Iterable[bytes], limits: ReadingLimits) -> Iterator[TableRow]:
    """The rows below the header, each with the number of the line where it starts.

    Raises:
        Broken: the file cannot be read any further.
    """
    # The csv module has one limit for the whole process, of 131,072 characters; what bounds a row here is its size.
    csv.field_size_limit(max(csv.field_size_limit(), limits.record_max_bytes))
    source = _Lines(lines(chunks, limits.record_max_bytes, limits.number_max), written.header_line, limits)
    reader = csv.reader(source, delimiter=written.delimiter)
    while not source.ended:
        source.start()
        fault = None
        fields: list[str] = []
        try:
            fields = next(reader, [])
        except Unreadable as error:
            fault = str(error)
        except csv.Error as error:
            fault = f"The row is broken CSV: {error}."
        if source.number and (fields or fault):
            fault = fault or source.fault() or _misfit(fields, written.names)
            yield TableRow(source.number, fields, fault, source.beginning)


class _Lines:
    """The lines of the file as the csv module wants them, and what is known of the row that it makes of them."""

    def __init__(self, numbered: Iterator[tuple[int, Piece]], header_line: int, limits: ReadingLimits) -> None:
        self._numbered = numbered
        self._header_line = header_line
        self._max_bytes = limits.record_max_bytes
        self.ended = False
        self.start()

    def start(self) -> None:
        """The next line begins a row."""
        self.number = 0
        self.beginning = ""
        self._size = 0

    def fault(self) -> str | None:
        if self._size > self._max_bytes:
            return f"The row has more than {self._max_bytes:,} bytes."
        if self.ended and self.number:
            return "A quote that is opened in this row is never closed; the lines after it are lost with it."
        return None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        for number, line in self._numbered:
            if number <= self._header_line:
                continue
            if not self.number:
                self.number, self.beginning = number, excerpt(line.data)
            if not line.whole:
                raise Unreadable(f"The line has more than {self._max_bytes:,} bytes.")
            if self._size > self._max_bytes and b'"' not in line.data:
                continue  # the inside of a quoted field that is too large already: only its end matters
            self._size += len(line.data) + 1
            return _decode(line)
        self.ended = True
        raise StopIteration


def _header(text: str, delimiter: str) -> tuple[str, ...]:
    try:
        names = next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return ()
    return tuple("" if name in names[:place] else name for place, name in enumerate(names))


def _misfit(fields: list[str], names: tuple[str, ...]) -> str | None:
    """A row of more fields than there are columns was written without quotes: its fields are not where they seem."""
    extra = fields[len(names) :]
    if not any(extra):
        return None
    return (
        f"The row has {len(fields)} fields and the first line names {len(names)}: quote fields that hold a separator."
    )


def _decode(line: Piece) -> str:
    """Bytes that are not UTF-8 become lone surrogates, which no field of a video accepts."""
    return line.data.decode("utf-8", "surrogateescape") + "\n"
