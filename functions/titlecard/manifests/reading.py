"""Opens a manifest and reads its rows."""

from __future__ import annotations

import codecs
import json
import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from titlecard.domain.text import one_line
from titlecard.manifests.column_names import plain_name
from titlecard.manifests.errors import Broken, NoTalk, NotAManifest, Unreadable
from titlecard.manifests.json_paths import is_row
from titlecard.manifests.json_rows import HOLDERS, elements, parsed
from titlecard.manifests.log_lines import fault, is_log_line, without_log_lines
from titlecard.manifests.recognition import ACCEPTED_FORMS, recognise_form
from titlecard.manifests.references import References
from titlecard.manifests.row_reader import NOT_UTF8, TO_UTF8, RowReader, cell
from titlecard.manifests.rows import Accepted, LeftOut, Refused, excerpt
from titlecard.manifests.source import HEAD_BYTES, Piece, Source, lines
from titlecard.manifests.tables import TableRow, table_rows
from titlecard.manifests.title_lines import title_line
from titlecard.manifests.vocabulary import FIELDS
from titlecard.manifests.xml_rows import events
from titlecard.manifests.yaml_rows import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from titlecard.manifests.recognition import Form
    from titlecard.manifests.rows import ReadingLimits, Row

Raw = Piece | TableRow | object
"""A row in its form: bytes of JSON, fields of a table, or an object that was already parsed."""

_ROWS_JUDGED = 200

_PYTHON = re.compile(rb"\s*\{\s*'")


def read(stream: BinaryIO, limits: ReadingLimits) -> Reading:
    """Recognise a manifest by its first bytes; its rows are read on demand.

    Args:
        stream: the file's bytes, gzipped or not, from its current position. It is read once and only by `read(n)`,
            except if rows refer to people who are listed elsewhere in it: then it is read twice, and must be seekable.

    Raises:
        NotAManifest: the whole file cannot be read.
    """
    start = stream.tell() if stream.seekable() else None
    source = Source(stream, limits)
    if source.broken and not source.head:
        raise NotAManifest(str(source.broken))
    form = recognise_form(source.head)
    if not form.xml:  # XML names its encoding itself
        _check_encoding(source.head, form, limits)
    flattened = _has_a_row_for_each_speaker(source.head, form, limits)
    if not (form.people or form.django or flattened):
        return Reading(form, source.chunks(), limits)
    if start is None:
        raise NotAManifest(f"A {form.name} is read twice: give a file, not a pipe.")
    first = Reading(form._replace(path=form.people), source.chunks(), limits)
    if flattened:
        references = References.of_rows(row.video for row in first if isinstance(row, Accepted))
    elif form.django:
        references = References.of_django(first.records())
    else:
        references = References.of_speakers(first.records())
    stream.seek(start)
    return Reading(form, Source(stream, limits).chunks(), limits, references)


def _has_a_row_for_each_speaker(head: bytes, form: Form, limits: ReadingLimits) -> bool:
    """Return whether a table names the speakers of a talk in rows of their own, as Sessionize's flattened export."""
    if not form.table or "presenters" not in form.table.columns:
        return False
    if any(plain_name(name) == "speakerid" for name in form.table.names):
        return True
    talks: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in islice(Reading(form, [head], limits), _ROWS_JUDGED):
        if isinstance(row, Accepted) and len(row.video.presenters) == 1:
            presenters = row.video.presenters
            if talks.setdefault((row.video.id, row.video.title), presenters) != presenters:
                return True
    return False


class Reading:
    """A manifest that is being read: a single-use iterator over its rows.

    Attributes:
        form: the file's format for people, such as "JSON Lines".
    """

    def __init__(
        self, form: Form, chunks: Iterable[bytes], limits: ReadingLimits, references: References | None = None
    ) -> None:
        self.form = form.name
        self._form = form
        self._chunks = without_log_lines(chunks) if form.logged and not form.by_lines else chunks
        self._limits = limits
        self._faults = references.faults if references else ()
        self._row_reader = RowReader(
            limits.row_max_bytes,
            known=form.table.columns if form.table else None,
            references=references,
            escaped=form.xml is None,
        )

    @property
    def columns(self) -> dict[str, str]:
        """The column that each field of a video was read from, for the rows read so far."""
        seen = self._row_reader.seen
        return {field: seen[field] for field in FIELDS if field in seen}

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns that nothing was read from, for the rows read so far."""
        return self._row_reader.ignored

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows, in ascending order of their numbers. If the file breaks, the break is the last of them."""
        last = 0
        told = False
        try:
            for number, raw in self._raw_rows():
                row = self._row(number, raw)
                last = number
                if row:
                    told = True
                    yield row
        except Broken as broken:
            yield Refused(last + 1, str(broken), "")
            return
        faults = self._faults if told else (f"No video was found in the file, which was read as {self.form}.",)
        for number, reason in enumerate(faults, start=last + 1):
            yield Refused(number, reason, "")

    def only(self, is_wanted: Callable[[int], bool]) -> Iterator[Accepted]:
        """Yield the accepted rows with wanted numbers; skip the others without parsing them."""
        try:
            for number, raw in self._raw_rows():
                if is_wanted(number) and isinstance(row := self._row(number, raw), Accepted):
                    yield row
        except Broken:
            return

    def records(self) -> Iterator[object]:
        """Yield the raw records, whatever they are; skip those that cannot be read."""
        try:
            for _, raw in self._raw_rows():
                with suppress(Unreadable):
                    yield self._record(raw)
        except Broken:
            return  # reading the rows reports it

    def _raw_rows(self) -> Iterator[tuple[int, Raw]]:
        for count, (number, raw) in enumerate(self._uncounted_rows(), start=1):
            if count > self._limits.rows_max:
                raise Broken(f"The manifest has more than {self._limits.rows_max:,} rows; split it into several files.")
            yield number, raw

    def _uncounted_rows(self) -> Iterator[tuple[int, Raw]]:
        limits, form = self._limits, self._form
        if form.table:
            return ((row.number, row) for row in table_rows(form.table, self._chunks, limits))
        if form.xml:
            return events(form.xml, self._chunks, limits.record_max_bytes)
        if form.yaml:
            return objects(self._chunks, limits.record_max_bytes, single=form.single)
        if form.by_lines:
            numbered = lines(self._chunks, limits.record_max_bytes, limits.number_max)
            return ((number, line) for number, line in numbered if not line.whole or line.data.strip())
        return elements(self._chunks, limits.record_max_bytes, form.path)

    def _row(self, number: int, raw: Raw) -> Row | None:
        """Return the row; None for an empty page of an API, and for a log line."""
        record: object = None
        try:
            if isinstance(raw, Piece) and self._form.by_lines and is_log_line(raw.data):
                if not (reason := fault(raw.data)):
                    return None
                return Refused(number, one_line(reason), excerpt(raw.data))
            record = self._record(raw)
            if _is_empty_page(record):
                return None
            video = self._row_reader.video(record)
        except NoTalk as reason:
            return LeftOut(number, str(reason))
        except Unreadable as unreadable:
            return Refused(number, one_line(str(unreadable)), _beginning(raw))  # it may quote the row
        return Accepted(number, video, record if isinstance(record, dict) else None)

    def _record(self, raw: Raw) -> object:
        if isinstance(raw, TableRow):
            return self._table_record(raw)
        return self._json_record(raw) if isinstance(raw, Piece) else raw

    def _table_record(self, row: TableRow) -> object:
        if row.fault:
            raise Unreadable(row.fault)
        written = self._form.table
        if written and len(written.names) == 1:  # a list of titles
            return title_line(row.fields[0], ids=written.ids, numbered=written.numbered)
        return dict(zip(written.names if written else (), map(cell, row.fields), strict=False))

    def _json_record(self, piece: Piece) -> object:
        if not piece.whole:
            raise Unreadable(f"The row has more than {self._limits.record_max_bytes:,} bytes.")
        try:
            record: object = parsed(piece.data)
        except ValueError as error:
            raise Unreadable(_json_fault(piece.data, str(error))) from error
        return record


def _beginning(raw: Raw) -> str:
    """Return the beginning of a rejected row."""
    if isinstance(raw, TableRow):
        return raw.beginning
    if isinstance(raw, Piece):
        return excerpt(raw.data)
    return excerpt(json.dumps(raw, ensure_ascii=False).encode("utf-8", "replace"))


def _json_fault(data: bytes, message: str) -> str:
    """Describe the fault of a row that is not JSON; `message` is the parser's, which allows 200 levels of nesting."""
    if "recursion limit" in message:
        return "The row is nested too deeply."
    if b"\0" in data:
        return "The row contains NULs: the file was damaged, or not completely written."
    if _PYTHON.match(data):
        return "The row is written as Python prints it, which is not JSON. Write it with json.dumps."
    try:
        data.decode()
    except UnicodeDecodeError:
        return f"{NOT_UTF8} {TO_UTF8}"
    if "escape" in message or "surrogate" in message:
        return f"The row has half a character (a lone surrogate, \\ud800 to \\udfff) or a broken escape: {message}."
    return f"The row is broken JSON: {message}."


def _is_empty_page(record: object) -> bool:
    """Return whether a record is an API's answer without rows; a talk may have empty lists too."""
    if not isinstance(record, dict) or "title" in record or all(record.get(name) != [] for name in HOLDERS):
        return False
    return not is_row(record)


def _check_encoding(head: bytes, form: Form, limits: ReadingLimits) -> None:
    """Refuse a file if most of its first rows are not UTF-8: the whole file must then be converted.

    Raises:
        NotAManifest: most of the first rows are not UTF-8.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        first = list(islice(Reading(form, [head], limits), _ROWS_JUDGED))
        bad = sum(isinstance(row, Refused) and NOT_UTF8 in row.reason for row in first)
        if bad * 2 > len(first):
            raise NotAManifest(f"The file is not UTF-8. {TO_UTF8} {ACCEPTED_FORMS}") from None
