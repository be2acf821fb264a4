"""JSON that does not have one row per line: cut into its rows, one at a time.

Rows are the elements of the outermost list: of a bare array; of the list that an object contains (`entries` of yt-dlp,
`items` of YouTube's Data API, ...); of several such documents in one file, one after the other or in an array. A list
with another name counts if its object is the outermost one and is not a row itself: the object has no id, and the
list's elements have one; further such lists of that object count as well. An object without such a list is a row
itself. If the form is known, a path names the list with the rows, at any depth, and no other list counts.

This module only cuts the text, at its brackets and quotes; each row is then parsed by itself. So a row that is too
large, nested too deeply or malformed is one rejected row, its neighbours are unharmed, and only the current row is in
memory. (A streaming parser such as ijson's stops at the first error: one bad row would cost all rows after it.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from titlecard.manifests.column_names import plain_name
from titlecard.manifests.errors import Broken
from titlecard.manifests.source import Piece
from titlecard.manifests.vocabulary import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOLDERS = (
    *("entries", "items", "videos", "talks", "sessions", "events", "slots", "data", "results", "rows", "records"),
    *("edges", "nodes", "docs", "hits", "contributions", "presentations"),
)
"""The usual names of lists of rows in an object. The list must begin with something that has a title."""

_HOLDERS = frozenset(f'"{name}"'.encode() for name in HOLDERS)

_TITLES = frozenset(
    {*FIELDS["title"], *("snippet", "submission", "video", "node", "attributes", "fields", "source", "item", "session")}
)
_IDENTITIES = frozenset({*FIELDS["id"], *FIELDS["url"]})
_OF_ROWS = _IDENTITIES | {"guid", "uuid", "code"}
_ENTRIES = _TITLES | _IDENTITIES | {"iekey", "type"}
"""The evidence that a list named `entries` contains rows: youtube-dl lists videos without their titles."""

_PEOPLE = frozenset({*FIELDS["presenters"], "participants", "people", "authors"})
"""The names of lists that never contain rows."""

_PERSON = re.compile(rb'"(?:firstName|fullName)"')
"""The evidence that an object is a person, who only refers to the sessions that it lists."""

ANY = "*"
"""In a path: any name."""

RowsPath = tuple[str, ...]
"""The location of the rows: the marks that open the containers around them, `{` or `[`, each after its name in the
container before: `("{", "schedule{", "days[")`. The rows are the elements of the last container."""

_PLACE = re.compile(r"line (\d+) column (\d+)")

_IN_LIST = 2
"""The depth within a list in an object, counting the object's own brackets as 1."""

_NESTED_LISTS_MAX = 8
"""The depth to which lists within rows within lists are entered (yt-dlp nests the tabs of a channel)."""

_INSIDE = rb"(?:[^\"\\]++|\\.)*+"  # of a string; possessive, so that no text causes backtracking

_STRING = re.compile(b'"%b"' % _INSIDE, re.DOTALL)

_STRING_REST = re.compile(_INSIDE, re.DOTALL)

_WHOLE_STRINGS = re.compile(b'[^"]*+(?:"%b"[^"]*+)*' % _INSIDE, re.DOTALL)
"""Text up to a string whose end is not known. It is not possessive as a whole: before Python 3.11.5, possessive groups
that contain others match too much (CPython issue 106052)."""

_TOKEN = re.compile(b'"%b"|[][{},"]' % _INSIDE, re.DOTALL)
"""A whole string, or a structural mark. A lone quote opens a string whose end is not known yet."""

_NAME_BYTES = 40
"""The most bytes of a string that can be a known column's name."""

_BEGINNING = 1024
"""The bytes kept of a row that is too large, at most the limit of a row."""


_TRAILING_COMMA = re.compile(rb'("%b")|,(?=\s*+[\]}])' % _INSIDE, re.DOTALL)
"""A string, or a comma before a closing bracket, which people leave there and JSON does not allow."""


def parsed(data: bytes, *, partly: bool = False) -> Any:  # noqa: ANN401 -- any JSON value
    """Parse JSON that may have commas before closing brackets.

    Args:
        partly: whether the text may end, or break, in the middle: then what comes before that is returned.

    Raises:
        ValueError: the text is not JSON.
    """
    try:
        return from_json(data, allow_partial=partly)
    except ValueError as error:
        fault = error
    if "trailing comma" in str(fault):
        data = _TRAILING_COMMA.sub(rb"\1", data)
        try:
            return from_json(data, allow_partial=partly)
        except ValueError as error:
            fault = error
    broken = _PLACE.search(str(fault)) if partly else None
    if broken is None or "trailing characters" in str(fault):
        raise fault
    *before, last = data.split(b"\n")[: int(broken[1])]
    return from_json(b"\n".join([*before, last[: int(broken[2]) - 1]]), allow_partial=True)


def elements(chunks: Iterable[bytes], max_bytes: int, path: RowsPath | None = None) -> Iterator[tuple[int, Piece]]:
    """Yield the raw rows of a JSON text, numbered from 1; of a row larger than `max_bytes`, only the beginning.

    Args:
        path: the location of the rows, if it is known; everything outside it is skipped.

    Raises:
        Broken: the text ends in the middle.
    """
    cutter = _Cutter(max_bytes, path)
    number = 0
    for chunk in chunks:
        for piece in cutter.feed(chunk):
            number += 1
            yield number, piece
    for piece in cutter.end():
        number += 1
        yield number, piece


class _Cutter:
    """Follows the structure of a JSON text through its chunks.

    `_depth` counts the open brackets within the current row. `_around` has the containers open around it: lists of
    rows, and objects that contain them. So no nesting causes recursion.
    """

    def __init__(self, max_bytes: int, path: RowsPath | None) -> None:
        self._max_bytes = max_bytes
        self._path = [(it[:-1].encode(), it[-1:].encode()) for it in path] if path else None
        self._kept = min(_BEGINNING, max_bytes)
        self._text = b""  # the current row and the text after it; the positions below are positions in it
        self._start = 0  # of the current row
        self._position = 0  # the text is understood up to here
        self._string: int | None = None  # the start of a string whose end is not known yet
        self._list: int | None = None  # the start of a list that may turn out to contain rows,
        self._element = 0  # and the first object in it,
        self._wanted: set[frozenset[str]] = set()  # which must still prove that it is a row: a title; perhaps an id
        self._identified = False  # whether the current row has an id, which proves that it is one
        self._beginning: bytes | None = None  # of the current row, once it is known to be too large
        self._key = b""  # the last string directly within the current row
        self._depth = 0
        self._around: list[bytes] = []
        self._named_freely = False  # whether the outermost object has its lists under names of its own, such as years

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Yield the rows that end within a chunk."""
        self._text += chunk
        if self._string_goes_on() or self._deep_inside():
            self._let_go()
            return
        for token in _TOKEN.finditer(self._text, self._position):
            mark = token[0]
            if mark == b'"':
                self._string, self._position = token.span()
                self._string_goes_on()
                break
            if len(mark) > 1:
                if self._depth == 1:
                    self._key = mark
                if self._list is not None or not self._around:
                    yield from self._learn(mark, token.end())
            elif mark in b"{[":
                yield from self._open(mark, token.start())
            elif mark in b"}]":
                yield from self._close(mark, token.end())
            elif self._depth == 0:
                yield from self._take(token.start())
                self._start = token.end()
        else:
            self._position = len(self._text)
        self._let_go()

    def end(self) -> Iterator[Piece]:
        """Yield the row that the end of the text completes, such as a bare number."""
        if self._string is not None or self._depth or self._around:
            raise Broken("The JSON ends in the middle: the file was cut off, or a bracket or quote is missing.")
        yield from self._take(len(self._text))

    def _string_goes_on(self) -> bool:
        """Return whether we are in a string whose end is not in the text; move to where its end is known."""
        if self._string is None:
            return False
        self._position = _end(_STRING_REST, self._text, self._position)
        if not self._text.startswith(b'"', self._position):
            return True
        self._position, self._string = self._string, None  # the string is complete and can be read as one token
        return False

    def _deep_inside(self) -> bool:
        """Return whether the whole text is deep within one row, where only the depth matters; move to its end if so.

        This saves time for a row of nothing but brackets or commas, even if it is as long as the file.
        """
        if self._list is not None or self._depth < _IN_LIST:
            return False
        end = _end(_WHOLE_STRINGS, self._text, self._position)
        bare = _STRING.sub(b"", self._text[self._position : end])
        closed = bare.count(b"]") + bare.count(b"}")
        if self._depth - closed < _IN_LIST:
            return False
        self._depth += bare.count(b"[") + bare.count(b"{") - closed
        self._position = end
        if end < len(self._text):
            self._string, self._position = end, end + 1
            self._string_goes_on()
        return True

    def _learn(self, string: bytes, end: int) -> Iterator[Piece]:
        """Read a string that may be a name which proves what the current row is, or what its list contains."""
        if self._depth == 1:
            self._identified = self._identified or (not self._around and _means(string, _OF_ROWS))
        elif self._list is not None and self._depth == _IN_LIST + 1:
            self._wanted = {names for names in self._wanted if not _means(string, names)}
            if not self._wanted and end - self._start <= self._max_bytes:
                yield from self._enter_list(self._list)

    def _open(self, mark: bytes, at: int) -> Iterator[Piece]:
        if self._path is not None and self._leads_to_rows(mark):
            if self._depth == 0:
                yield from self._take(at)
            self._go_in(mark, at)
            return
        if self._depth == 0:
            yield from self._take(at)  # the text before a bracket is not part of the row
            if mark == b"[" and not self._around and self._path is None:
                self._around.append(mark)
                self._start = at + 1
                return
        elif mark == b"[" and self._depth == 1 and self._may_enter():
            self._wanted = self._signs(at)
            self._list = at + 1 if self._wanted else None
        elif mark == b"{" and self._depth == _IN_LIST:
            self._element = at
        self._depth += 1

    def _close(self, mark: bytes, end: int) -> Iterator[Piece]:
        if self._depth:
            self._depth -= 1
            if self._depth <= _IN_LIST:
                self._list = None  # its first object had no title
            if self._depth == 0:
                if self._around[-1:] == [b"{"]:  # the end of an object whose list was read, which is not a row itself
                    self._around.pop()
                    self._forget(end)
                    self._depth = 1 if self._around[-1:] == [b"{"] else 0
                elif self._path is None or len(self._around) == len(self._path):
                    yield from self._take(end)
                else:
                    self._forget(end)
            elif self._depth == 1 and self._path is not None and self._around[-1:] == [b"{"]:
                self._forget(end)  # containers of the rows are not kept
        elif mark == b"]" and self._around:
            yield from self._take(end - 1)
            self._around.pop()
            self._forget(end)
            self._depth = 1 if self._around[-1:] == [b"{"] else 0  # back in the object around the list, if any

    def _leads_to_rows(self, mark: bytes) -> bool:
        """Return whether a container that opens here, under its name if in an object, is the next one of the path."""
        place = len(self._around)
        if self._path is None or place >= len(self._path):
            return False
        within_object = self._around[-1:] == [b"{"]
        wanted, wanted_mark = self._path[place]
        name = self._key[1:-1] if within_object else b""
        return mark == wanted_mark and self._depth == within_object and wanted in {name, ANY.encode()}

    def _go_in(self, mark: bytes, at: int) -> None:
        """Enter a container that is not a row, but leads to the rows."""
        self._around.append(mark)
        self._forget(at + 1)
        self._depth = 1 if mark == b"{" else 0

    def _may_enter(self) -> bool:
        return self._path is None and self._beginning is None and len(self._around) < 2 * _NESTED_LISTS_MAX

    def _signs(self, at: int) -> set[frozenset[str]]:
        """Return what the first object of a list opening here must have for its elements to be rows; empty: never."""
        if self._key == b'"entries"':
            return {_ENTRIES}
        if self._key in _HOLDERS:
            return set() if _PERSON.search(self._text, self._start, min(at, self._start + _BEGINNING)) else {_TITLES}
        outermost = not self._around or (self._around == [b"{"] and self._named_freely)
        if self._key and outermost and not self._identified and not _means(self._key, _PEOPLE):
            return {_TITLES, _IDENTITIES}
        return set()

    def _enter_list(self, start: int) -> Iterator[Piece]:
        """Treat the elements of the list that begins at `start` as rows, and the object around it as no row."""
        if self._around[-1:] != [b"{"]:
            self._named_freely = not self._around and self._key not in {*_HOLDERS, b'"entries"'}
            self._around.append(b"{")
        self._around.append(b"[")
        first = self._element
        for other in self._text[start:first].split(b","):  # yt-dlp writes `null` for a video that it cannot see
            if other.strip():
                yield Piece(other.strip(), whole=True)
        self._forget(first)
        self._depth = 1

    def _take(self, end: int) -> Iterator[Piece]:
        """Yield the current row, which ends here, unless it is blank or outside the path."""
        if self._path is not None and len(self._around) != len(self._path):
            self._forget(end)
            return
        data = self._text[self._start : end].strip() if self._beginning is None else self._beginning
        whole = self._beginning is None and len(data) <= self._max_bytes
        self._forget(end)
        if data:
            yield Piece(data if whole else data[: self._kept], whole)

    def _forget(self, end: int) -> None:
        self._start = end
        self._beginning = None
        self._list = None
        self._key = b""
        self._identified = False

    def _let_go(self) -> None:
        """Drop the text that is no longer needed, and the current row if it is too large."""
        if self._path is not None and self._depth == 1 and self._around[-1:] == [b"{"] and self._beginning is None:
            self._start = self._position if self._string is None else self._string  # not a row: it leads to the rows
        if self._depth == 0:  # blanks before a row are not part of it
            self._start = self._position - len(self._text[self._start : self._position].lstrip())
        if self._beginning is None and len(self._text) - self._start > self._max_bytes:
            self._beginning = self._text[self._start : self._start + self._kept].strip()
            self._list = None
        if self._beginning is None:
            self._drop(self._start)
        else:
            opening = b'"' if self._string is not None else b""  # of the string that we are in
            self._text = opening + self._text[self._position :]
            self._start, self._position = 0, len(opening)
            self._string = 0 if opening else None

    def _drop(self, count: int) -> None:
        """Drop the first bytes of the text; the positions in it shift."""
        self._text = self._text[count:]
        self._start -= count
        self._position -= count
        self._element -= count
        self._list = None if self._list is None else self._list - count
        self._string = None if self._string is None else self._string - count


def _means(mark: bytes, names: frozenset[str]) -> bool:
    """Return whether a string may be one of these column names."""
    return len(mark) <= _NAME_BYTES and plain_name(mark.decode("utf-8", "replace")) in names


def _end(pattern: re.Pattern[bytes], text: bytes, start: int) -> int:
    """Return the end of a match of a pattern that also matches nothing."""
    found = pattern.match(text, start)
    return found.end() if found else start
