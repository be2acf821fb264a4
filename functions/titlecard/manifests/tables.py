"""CSV with any separator: comma, semicolon, tab or bar, and the names of the columns in its first line.

Text above that line, such as a heading, is skipped.

A row may span lines if a field is quoted. A quote that is never closed swallows the lines after it, by CSV's rules:
they are refused together, because guessing its end would turn descriptions into rows.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from titlecard.manifests.column_names import recognise, recognise_by_values
from titlecard.manifests.errors import Unreadable
from titlecard.manifests.rows import excerpt
from titlecard.manifests.source import HEAD_BYTES, lines
from titlecard.manifests.texts import unescaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from titlecard.manifests.rows import ReadingLimits
    from titlecard.manifests.source import Piece

_DELIMITERS = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV", "|": "CSV with bars"}

_BACKSLASHED = re.compile(rb'\\"(?=[^",;\t|\r\n])')
"""A quote within a field, as MySQL writes it: with a backslash before it, in place of a second quote."""

_ESCAPE = re.compile(r"&(?:amp;)?#?\w{1,31}$")
"""The end of a text that may be an HTML escape without its semicolon; the escape may be escaped itself."""

_ESCAPE_CHARACTERS = 40
"""The number of a text's last characters that are searched for one: more than the longest has."""

_PREAMBLE_LINES = 20
"""The most lines above the names of the columns."""

_ROWS_JUDGED = 20

_QUOTES = (',"', ';"', '\t"')
"""The beginnings of quoted fields after a separator."""

_HEADER_CHARACTERS = 2_000
"""The most characters of the names of the columns if these span lines."""

_BLANK = " \t\r\n\xa0\x1a"
"""What a row of empty cells consists of; the last is the end of a file by DOS."""


@dataclass(frozen=True, slots=True)
class Table:
    """The notation of a CSV file, and the column of each field of a video.

    `ids` says that the lines of a list of titles contain the ids of YouTube's videos, `numbered` that they begin with
    numbers or times.
    """

    form: str
    delimiter: str
    names: tuple[str, ...]
    header_line: int
    columns: Mapping[str, str]
    quoted: bool = True
    escaped: bool = False
    ids: bool = False
    numbered: bool = False


@dataclass(slots=True)
class TableRow:
    """One row: its fields or their fault, and the beginning of its text."""

    number: int
    fields: list[str]
    fault: str | None
    beginning: str


def table(head: bytes) -> Table | None:
    """Return the notation of a file with this beginning; None if none of its first lines names columns."""
    best: Table | None = None
    judged = 0
    for number, text in _first_rows(head):
        if not text or text.startswith("sep="):  # Excel names the separator in a line of its own
            continue
        tables = [_table(text, mark, number) for mark in _DELIMITERS]
        found = max(tables, key=lambda it: len(it.columns))
        if found.columns.keys() >= {"title"} and found.columns.keys() & {"id", "url"}:
            bars = found.delimiter == "|" and rb"\|" in head
            return replace(found, escaped=bars or _BACKSLASHED.search(head) is not None)
        if found.columns and (best is None or len(found.columns) > len(best.columns)):
            best = found
        judged += 1
        if judged == _PREAMBLE_LINES:
            break
    return _told_by_values(best, head) if best else None


def _first_rows(head: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers; lines that a quoted field spans are one, with the number of the last."""
    begun = ""
    for number, line in lines([head], len(head)):
        text = f"{begun}{line.data.decode('utf-8', 'replace').strip()}"
        spans = begun or text.startswith('"') or any(it in text for it in _QUOTES)
        begun = f"{text}\n" if spans and text.count('"') % 2 and len(text) < _HEADER_CHARACTERS else ""
        if not begun:
            yield number, text


def delimiter(head: bytes) -> str | None:
    """Return the separator of a file whose first line names no known columns; None if there is none."""
    rows = [unescaped(line.data.decode("utf-8", "replace")) for _, line in _first(head)]  # `&amp;` has no separator
    for mark in "\t;,":
        counts = {row.count(mark) - row.count(f"{mark} ") for row in rows}  # a separator before a space is prose
        if len(rows) > 1 and len(counts) == 1 and counts != {0}:
            return mark
    return None


def _first(head: bytes) -> list[tuple[int, Piece]]:
    """Return the first lines that are complete and not blank."""
    whole = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    return list(islice(((n, line) for n, line in lines([whole], len(head)) if line.data.strip()), _ROWS_JUDGED))


def _table(text: str, mark: str, number: int) -> Table:
    names = _header(text, mark)
    whole = len(names) > 1 or not any(other in text for other in _DELIMITERS)  # else the mark is another one
    return Table(_DELIMITERS[mark], mark, names, number, recognise(names) if whole else {})


def _told_by_values(found: Table, head: bytes) -> Table:
    """Return the table with the column of ids or addresses that only its values reveal."""
    below = [line.data.decode("utf-8", "replace") for n, line in _first(head) if n > found.header_line]
    rows = [_fields(text, found.delimiter) for text in below]
    return replace(found, columns=recognise_by_values(found.columns, found.names, rows))


def table_rows(written: Table, chunks: Iterable[bytes], limits: ReadingLimits) -> Iterator[TableRow]:
    """Yield the rows below the header, each with the number of the line where it starts.

    Raises:
        Broken: the file cannot be read any further.
    """
    # The csv module has one process-wide limit of 131,072 characters; here the size of a row is the limit.
    csv.field_size_limit(max(csv.field_size_limit(), limits.record_max_bytes))
    source = _Lines(lines(chunks, limits.record_max_bytes, limits.number_max), written.header_line, limits)
    reader = csv.reader(
        source,
        delimiter=written.delimiter,
        quoting=csv.QUOTE_MINIMAL if written.quoted else csv.QUOTE_NONE,
        escapechar="\\" if written.escaped else None,
    )
    while not source.ended:
        source.start()
        fault = None
        fields: list[str] = []
        try:
            fields = next(reader, [])
        except Unreadable as error:
            fault = str(error)
        except csv.Error as error:
            fault = _broken(str(error))
        if written.delimiter == ";" and len(fields) > len(written.names):
            fields = _rejoined(fields)
        if source.number and (fault or any(field.strip(_BLANK) for field in fields)):
            fault = fault or source.fault() or _misfit(fields, written.names)
            yield TableRow(source.number, fields, fault, source.beginning)


class _Lines:
    """The lines of the file for the csv module, and the state of the row that it makes of them."""

    def __init__(self, numbered: Iterator[tuple[int, Piece]], header_line: int, limits: ReadingLimits) -> None:
        self._numbered = numbered
        self._header_line = header_line
        self._max_bytes = limits.record_max_bytes
        self.ended = False
        self.start()

    def start(self) -> None:
        """Begin a row with the next line."""
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
                continue  # inside a quoted field that is already too large: only its end matters
            self._size += len(line.data) + 1
            return _decode(line)
        self.ended = True
        raise StopIteration


def _broken(message: str) -> str:
    """Describe the fault that the csv module found."""
    if "new-line character" in message:
        return "The row has a carriage return outside quotes: end lines with a line feed, or with both."
    return f"The row is broken CSV: {message}."


def _header(text: str, delimiter: str) -> tuple[str, ...]:
    names = _fields(text, delimiter)
    again = Counter[str]()
    told = []
    for name in names:
        again[name] += 1
        told.append(f"{name} {again[name]}" if name and again[name] > 1 else name if again[name] == 1 else "")
    return tuple(told)


def _fields(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader((f"{line}\n" for line in text.split("\n")), delimiter=delimiter), [])
    except csv.Error:
        return []


def _rejoined(fields: list[str]) -> list[str]:
    """Join fields that the semicolon of an HTML escape has separated, such as `J&ouml` and `rg`."""
    joined: list[list[str]] = []
    end = ""  # of the text before a field
    for field in fields:
        found = _ESCAPE.search(end)
        if found and unescaped(escape := f"{found[0]};") != escape:
            joined[-1] += (";", field)
            end = f"{end};{field}"[-_ESCAPE_CHARACTERS:]
        else:
            joined.append([field])
            end = field[-_ESCAPE_CHARACTERS:]
    return ["".join(parts) for parts in joined]


def _misfit(fields: list[str], names: tuple[str, ...]) -> str | None:
    """Describe a row with more fields than columns: it lacks quotes, so its fields are misplaced."""
    extra = fields[len(names) :]
    if not any(extra):
        return None
    return (
        f"The row has {len(fields)} fields, the first line names {len(names)}: quote fields that contain a separator."
    )


def _decode(line: Piece) -> str:
    """Decode a line; bytes that are not UTF-8 become lone surrogates, which no field of a video accepts."""
    return line.data.decode("utf-8", "surrogateescape") + "\n"
