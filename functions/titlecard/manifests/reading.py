"""Opening a manifest, and going through its rows."""

from __future__ import annotations

import codecs
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from pydantic_core import from_json

from titlecard.manifests.columns import NOT_UTF8, TO_UTF8, Columns
from titlecard.manifests.documents import HOLDERS, elements
from titlecard.manifests.recognition import ACCEPTED_FORMS, recognise_form
from titlecard.manifests.rows import Accepted, Broken, NotAManifest, Refused, Unreadable, excerpt
from titlecard.manifests.source import HEAD_BYTES, Piece, Source, lines
from titlecard.manifests.tables import TableRow, table_rows

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from titlecard.manifests.recognition import Form
    from titlecard.manifests.rows import ReadingLimits, Row

_ROWS_JUDGED = 200


def read(stream: BinaryIO, limits: ReadingLimits) -> Reading:
    """Recognises a manifest by its first bytes; its rows are read as they are asked for.

    Args:
        stream: the file's bytes, gzipped or not. Only `read(n)` is asked of it; it is read once, from where it stands.
        limits: how much is read, at most.

    Raises:
        NotAManifest: the file as a whole cannot be read.
    """
    source = Source(stream, limits)
    if source.broken and not source.head:
        raise NotAManifest(str(source.broken))
    form = recognise_form(source.head)
    _check_encoding(source.head, form, limits)
    return Reading(form, source.chunks(), limits)


class Reading:
    """A manifest that is being read: an iterator over its rows, to be gone through once.

    Attributes:
        form: what the file is, for people, such as "JSON Lines".
    """

    def __init__(self, form: Form, chunks: Iterable[bytes], limits: ReadingLimits) -> None:
        self.form = form.name
        self._form = form
        self._chunks = chunks
        self._limits = limits
        self._columns = Columns(limits.row_max_bytes)

    @property
    def columns(self) -> dict[str, str]:
        """Which column each field of a video was read from, as far as rows were read."""
        return dict(self._columns.seen)

    def __iter__(self) -> Iterator[Row]:
        """All rows, in the order of their numbers. Where the file breaks, the break is the last of them."""
        last = 0
        try:
            for number, raw in self._raw_rows():
                row = self._row(number, raw)
                last = number
                if row:
                    yield row
        except Broken as broken:
            yield Refused(last + 1, str(broken), "")

    def only(self, wanted: Container[int]) -> Iterator[Accepted]:
        """The good rows among those whose numbers are wanted; the others are passed over unread."""
        try:
            for number, raw in self._raw_rows():
                if number in wanted and isinstance(row := self._row(number, raw), Accepted):
                    yield row
        except Broken:
            return

    def _raw_rows(self) -> Iterator[tuple[int, Piece | TableRow]]:
        for count, (number, raw) in enumerate(self._uncounted_rows(), start=1):
            if count > self._limits.rows_max:
                raise Broken(f"The manifest has more than {self._limits.rows_max:,} rows; split it into several files.")
            yield number, raw

    def _uncounted_rows(self) -> Iterator[tuple[int, Piece | TableRow]]:
        limits = self._limits
        if self._form.table:
            return ((row.number, row) for row in table_rows(self._form.table, self._chunks, limits))
        if self._form.by_lines:
            numbered = lines(self._chunks, limits.record_max_bytes, limits.number_max)
            return ((number, line) for number, line in numbered if not line.whole or line.data.strip())
        return elements(self._chunks, limits.record_max_bytes)

    def _row(self, number: int, raw: Piece | TableRow) -> Row | None:
        """The row; None for a page of an API that came back empty."""
        try:
            record = self._table_record(raw) if isinstance(raw, TableRow) else self._json_record(raw)
            if _is_empty_page(record):
                return None
            return Accepted(number, self._columns.video(record))
        except Unreadable as unreadable:
            beginning = raw.beginning if isinstance(raw, TableRow) else excerpt(raw.data)
            return Refused(number, str(unreadable), beginning)

    def _table_record(self, row: TableRow) -> object:
        if row.fault:
            raise Unreadable(row.fault)
        names = self._form.table.names if self._form.table else ()
        return dict(zip(names, (field or None for field in row.fields), strict=False))

    def _json_record(self, piece: Piece) -> object:
        if not piece.whole:
            raise Unreadable(f"The row has more than {self._limits.record_max_bytes:,} bytes.")
        try:
            record: object = from_json(piece.data)
        except ValueError as error:
            raise Unreadable(_json_fault(piece.data, str(error))) from error
        return record


def _json_fault(data: bytes, message: str) -> str:
    """What is wrong with a row that is no JSON. `message` is the parser's, whose nesting ends at 200 levels."""
    if "recursion limit" in message:
        return "The row is nested too deep."
    try:
        data.decode()
    except UnicodeDecodeError:
        return f"{NOT_UTF8} {TO_UTF8}"
    if "escape" in message or "surrogate" in message:
        return f"The row holds half a character (a lone surrogate, \\ud800 to \\udfff) or a broken escape: {message}."
    return f"The row is broken JSON: {message}."


def _is_empty_page(record: object) -> bool:
    return isinstance(record, dict) and "title" not in record and any(record.get(name) == [] for name in HOLDERS)


def _check_encoding(head: bytes, form: Form, limits: ReadingLimits) -> None:
    """Refuses the file where most of its first rows are not UTF-8: then it is the file that must be converted.

    Raises:
        NotAManifest: it is.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        first = list(islice(Reading(form, [head], limits), _ROWS_JUDGED))
        bad = sum(isinstance(row, Refused) and NOT_UTF8 in row.reason for row in first)
        if bad * 2 > len(first):
            raise NotAManifest(f"The file is not UTF-8. {TO_UTF8} {ACCEPTED_FORMS}") from None
