"""JSON that is not written a row a line: cut into its rows, one at a time.

Rows are the elements of the outermost list: of a bare array; of the list that an object holds (`entries` of yt-dlp,
`items` of YouTube's Data API, ...); of several such documents in one file, one after the other or in an array. A list
of another name counts where the object is the outermost one and no row itself: it has no id, and what it lists has. An
object that holds no such list is a row itself. Where the form is known, a path says which list holds the rows, however
deep it lies, and no other counts.

The text is only cut here, by its brackets and quotes; each row is then parsed on its own. So a row that is too large,
nested too deep or plainly wrong is one refused row and its neighbours are unharmed, and nothing but the current row is
held. (A streaming parser such as ijson's stops at the first error: one bad row would cost all behind it.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from titlecard.manifests.errors import Broken
from titlecard.manifests.names import FIELDS, plain_name
from titlecard.manifests.source import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOLDERS = (
    *("entries", "items", "videos", "talks", "sessions", "events", "slots", "data", "results", "rows", "records"),
)
"""The usual names under which an object holds a list of rows. The list must begin with something that has a title."""

_HOLDERS = frozenset(f'"{name}"'.encode() for name in HOLDERS)

_TITLES = frozenset({*FIELDS["title"], "snippet", "submission", "video"})
_IDENTITIES = frozenset({*FIELDS["id"], *FIELDS["url"]})
_OF_ROWS = _IDENTITIES | {"guid", "uuid", "code"}
_ENTRIES = _TITLES | _IDENTITIES | {"iekey", "type"}
"""What shows that a list named `entries` holds rows: youtube-dl lists videos without their titles."""

_PEOPLE = frozenset({*FIELDS["presenters"], "participants", "people", "authors"})
"""The names of lists that never hold rows."""

_PERSON = re.compile(rb'"(?:firstName|fullName)"')
"""What shows that an object is a person: the sessions that it lists are but mentioned."""

ANY = "*"
"""In a path: whatever the name is."""

Path = tuple[str, ...]
"""Where the rows lie: the marks that open the containers around them, `{` or `[`, each behind the name under which the
one before holds it: `("{", "schedule{", "days[")`. The rows are the elements of the last."""

_IN_LIST = 2
"""The depth within a list that an object holds, where the object's own brackets count as 1."""

_NESTED_LISTS_MAX = 8
"""Lists within rows within lists (yt-dlp nests the tabs of a channel) are entered down to here."""

_INSIDE = rb"(?:[^\"\\]++|\\.)*+"  # of a string; possessive, so that no text makes it try twice

_STRING = re.compile(b'"%b"' % _INSIDE, re.DOTALL)

_STRING_REST = re.compile(_INSIDE, re.DOTALL)

_WHOLE_STRINGS = re.compile(b'(?:[^"]++|"%b")*+' % _INSIDE, re.DOTALL)

_TOKEN = re.compile(b'"%b"|[][{},"]' % _INSIDE, re.DOTALL)
"""A whole string, or a mark of structure. A lone quote opens a string whose end is not known yet."""

_NAME_BYTES = 40
"""Longer strings are no names of columns that we know."""

_BEGINNING = 1024
"""What is kept of a row that is too large, in bytes; no more than a row may have."""


def elements(chunks: Iterable[bytes], max_bytes: int, path: Path | None = None) -> Iterator[tuple[int, Piece]]:
    """The rows of a JSON text in their raw form, numbered from 1; of one larger than `max_bytes` only the beginning.

    Args:
        chunks: the text.
        max_bytes: of a row.
        path: where the rows lie, if that is known; what is not on the path is passed over.

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

    `_depth` counts the brackets that are open within the current row, and `_around` tells what is open around it: lists
    of rows, and the objects that hold them. So no nesting makes this recurse.
    """

    def __init__(self, max_bytes: int, path: Path | None) -> None:
        self._max_bytes = max_bytes
        self._path = [(it[:-1].encode(), it[-1:].encode()) for it in path] if path else None
        self._kept = min(_BEGINNING, max_bytes)
        self._text = b""  # the current row and what follows it; the places below are places in it
        self._start = 0  # of the current row
        self._position = 0  # up to here it is understood
        self._string: int | None = None  # where a string begins whose end is not known yet
        self._list: int | None = None  # where a list begins that may turn out to hold rows,
        self._element = 0  # and the first object in it,
        self._wanted: set[frozenset[str]] = set()  # which must still show that it is a row: a title; perhaps an id
        self._identified = False  # whether the current row has shown an id, and so is one
        self._beginning: bytes | None = None  # of the current row, once it is known to be too large
        self._key = b""  # the last string directly within the current row
        self._depth = 0
        self._around: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The rows that end within a chunk."""
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
        """The row that the end of the text completes, such as a bare number."""
        if self._string is not None or self._depth or self._around:
            raise Broken("The JSON ends in the middle: the file was cut off, or a bracket or quote is missing.")
        yield from self._take(len(self._text))

    def _string_goes_on(self) -> bool:
        """Whether we are within a string whose end is not in the text; moves on to where it is known."""
        if self._string is None:
            return False
        self._position = _end(_STRING_REST, self._text, self._position)
        if not self._text.startswith(b'"', self._position):
            return True
        self._position, self._string = self._string, None  # it is whole now and can be read as one token
        return False

    def _deep_inside(self) -> bool:
        """Whether all of the text lies deep within one row, where only the depth matters; moves to its end if so.

        It spares the time for a row of nothing but brackets or commas, be it as long as the file.
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
        """A string that may be a name which shows what the current row is, or what its list holds."""
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
            yield from self._take(at)  # what stands before a bracket is no part of the row
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
                if self._around[-1:] == [b"{"]:  # the end of an object whose list was read: no row itself
                    self._around.pop()
                    self._forget(end)
                    self._depth = 1 if self._around[-1:] == [b"{"] else 0
                elif self._path is None or len(self._around) == len(self._path):
                    yield from self._take(end)
                else:
                    self._forget(end)
            elif self._depth == 1 and self._path is not None and self._around[-1:] == [b"{"]:
                self._forget(end)  # of what only leads to the rows nothing is kept
        elif mark == b"]" and self._around:
            yield from self._take(end - 1)
            self._around.pop()
            self._forget(end)
            self._depth = 1 if self._around[-1:] == [b"{"] else 0  # back in the object that holds the list, if one does

    def _leads_to_rows(self, mark: bytes) -> bool:
        """Whether a container that opens here, under a name if an object holds it, is the next one of the path."""
        place = len(self._around)
        if self._path is None or place >= len(self._path):
            return False
        within_object = self._around[-1:] == [b"{"]
        wanted, wanted_mark = self._path[place]
        name = self._key[1:-1] if within_object else b""
        return mark == wanted_mark and self._depth == within_object and wanted in {name, ANY.encode()}

    def _go_in(self, mark: bytes, at: int) -> None:
        """What opens here is no row, but leads to the rows."""
        self._around.append(mark)
        self._forget(at + 1)
        self._depth = 1 if mark == b"{" else 0

    def _may_enter(self) -> bool:
        return self._path is None and self._beginning is None and len(self._around) < 2 * _NESTED_LISTS_MAX

    def _signs(self, at: int) -> set[frozenset[str]]:
        """What the first object of a list that opens here must show so that its elements are rows; empty: never."""
        if self._key == b'"entries"':
            return {_ENTRIES}
        if self._key in _HOLDERS:
            return set() if _PERSON.search(self._text, self._start, min(at, self._start + _BEGINNING)) else {_TITLES}
        if self._key and not self._around and not self._identified and not _means(self._key, _PEOPLE):
            return {_TITLES, _IDENTITIES}
        return set()

    def _enter_list(self, start: int) -> Iterator[Piece]:
        """From now on the elements of the list that begins at `start` are rows, and the object around it is none."""
        if self._around[-1:] != [b"{"]:
            self._around.append(b"{")
        self._around.append(b"[")
        first = self._element
        for other in self._text[start:first].split(b","):  # `null`, as yt-dlp writes for a video it cannot see
            if other.strip():
                yield Piece(other.strip(), whole=True)
        self._forget(first)
        self._depth = 1

    def _take(self, end: int) -> Iterator[Piece]:
        """The current row, which ends here; nothing where it is blank, or not where the path leads."""
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
        """Drops the text that is not needed any more, and the current row where it is too large."""
        if self._path is not None and self._depth == 1 and self._around[-1:] == [b"{"] and self._beginning is None:
            self._start = self._position if self._string is None else self._string  # no row: it only leads to the rows
        if self._depth == 0:  # what is blank before a row is no part of it
            self._start = self._position - len(self._text[self._start : self._position].lstrip())
        if self._beginning is None and len(self._text) - self._start > self._max_bytes:
            self._beginning = self._text[self._start : self._start + self._kept].strip()
            self._list = None
        if self._beginning is None:
            self._drop(self._start)
        else:
            opening = b'"' if self._string is not None else b""  # of the string we are in the middle of
            self._text = opening + self._text[self._position :]
            self._start, self._position = 0, len(opening)
            self._string = 0 if opening else None

    def _drop(self, count: int) -> None:
        """Drops the first bytes of the text; the places in it move."""
        self._text = self._text[count:]
        self._start -= count
        self._position -= count
        self._element -= count
        self._list = None if self._list is None else self._list - count
        self._string = None if self._string is None else self._string - count


def _means(mark: bytes, names: frozenset[str]) -> bool:
    """Whether a string may be one of these names of columns."""
    return len(mark) <= _NAME_BYTES and plain_name(mark.decode("utf-8", "replace")) in names


def _end(pattern: re.Pattern[bytes], text: bytes, start: int) -> int:
    """Where a pattern that also matches nothing ends."""
    found = pattern.match(text, start)
    return found.end() if found else start
