"""YAML: a list of objects such as RubyEvents' `videos.yml`, read object by object.

Only plain data are read: every scalar is text, tags are ignored, and aliases, with which a small file can expand
without end, are refused. Nesting is limited, and no row may exceed the limit of a row.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

from titlecard.manifests.errors import Broken
from titlecard.manifests.json_rows import HOLDERS
from titlecard.manifests.source import Blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEPTH_MAX = 30

_BEGINNING = re.compile(
    rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*+(?:---[^\n]*\n)?(?:[ \t]*(?:#[^\n]*)?\r?\n)*+"
    rb"(?:(?:[A-Za-z_][\w-]*:[ \t]+[^\s#][^\n]*\n|[ \t]*(?:#[^\n]*)?\r?\n)*+"
    rb"[A-Za-z_]\w*:[ \t]*\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*+)?"
    rb"[ \t]*-[ \t]+(?:&\w+\s+)?"
    rb"(?:[\"']?[A-Za-z_]\w*[\"']?:(?:[ \t\r\n]|$)|\{[ \t]*[\"']?\w+[\"']?:[ \t])"
)
"""The beginning of a list of objects, perhaps under one name, after other names with their values."""

_KEY = re.compile(rb"([A-Za-z_][\w-]*):(?:[ \t\r\n]|$)")
_LINES_JUDGED = 60
_LISTS = frozenset(name.encode() for name in HOLDERS)

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""The characters that YAML does not allow (YAML 1.2, 5.1), at which a parser drops what it has read ahead."""


def is_yaml(head: bytes) -> bool:
    """Return whether a file with this beginning is a list of objects in YAML."""
    return _BEGINNING.match(head) is not None


def is_single(head: bytes) -> bool:
    """Return whether a file with this beginning is an object with a title in YAML, or several of them as documents."""
    keys: list[bytes] = []
    for line in head.split(b"\n", _LINES_JUDGED)[:_LINES_JUDGED]:
        if line.rstrip() == b"---" and keys:
            break
        if line[:1] in b" \t\r#" or line.startswith(b"- ") or line.rstrip() == b"---":
            continue
        key = _KEY.match(line)
        if key is None:
            return False
        keys.append(key[1])
    return b"title" in keys and len(keys) > 1 and not _LISTS & set(keys)


def objects(chunks: Iterable[bytes], max_bytes: int, *, single: bool = False) -> Iterator[tuple[int, Any]]:
    """Yield the elements of the outermost list, numbered from 1, each followed by the talks within it.

    Args:
        single: whether each document is a row.

    Raises:
        Broken: the YAML cannot be read any further.
    """
    import yaml  # noqa: PLC0415 -- most manifests are not YAML

    stream = _Text(chunks, max_bytes)
    builder = _Builder(0 if single else None)
    number = 0
    try:
        for event in yaml.parse(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            for record in builder.take(event):
                stream.row_ended()
                if single and record is None:  # an empty document, as after the last separator
                    continue
                for row in _with_its_talks(record):
                    number += 1
                    yield number, row
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise Broken(f"The YAML is broken{where}: {said}. Nothing after this is read.") from None


def _with_its_talks(record: object) -> Iterator[object]:
    """Yield a record, and each of the talks that RubyEvents lists within the video of a session."""
    talks = record.get("talks") if isinstance(record, dict) else None
    if not isinstance(talks, list):
        yield record
        return
    yield {name: value for name, value in record.items() if name != "talks"} if isinstance(record, dict) else record
    yield from talks


class _Builder:
    """Builds objects from the events of a YAML parser, without recursion, and yields the elements of the first list.

    That list is the outermost one, or one in an outermost object. Events are recognised by their class names, because
    the parser is imported late.
    """

    def __init__(self, rows_at: int | None) -> None:
        self._open: list[list[object] | _Object] = []
        self._rows_at = rows_at  # the number of open containers where a row ends, if it is known

    def take(self, event: object) -> Iterator[object]:
        """Yield the row that an event completes."""
        match type(event).__name__:
            case "SequenceStartEvent":
                if self._rows_at is None and len(self._open) <= 1:
                    self._rows_at = len(self._open) + 1
                self._begin([])
            case "MappingStartEvent":
                self._begin(_Object())
            case "ScalarEvent":
                yield from self._add(_scalar(event))
            case "MappingEndEvent" | "SequenceEndEvent":
                ended = self._open.pop()
                if self._rows_at == len(self._open) + 1:  # the end of the list of rows
                    self._rows_at, ended = None, []
                yield from self._add(ended.items if isinstance(ended, _Object) else ended)
            case "AliasEvent":
                raise Broken("The YAML has aliases (*name), which are refused; nothing after this is read.")

    def _begin(self, container: list[object] | _Object) -> None:
        if len(self._open) >= DEPTH_MAX:
            raise Broken("The YAML is nested too deeply here; nothing after this is read.")
        self._open.append(container)

    def _add(self, value: object) -> Iterator[object]:
        if len(self._open) == self._rows_at:
            yield value
        elif self._open:
            container = self._open[-1]
            if isinstance(container, _Object):
                container.add(value)
            else:
                container.append(value)


def _scalar(event: Any) -> str | None:  # noqa: ANN401 -- from a module that is imported late
    """Return a scalar as text; an unquoted null becomes None."""
    return None if event.style in {None, ""} and event.value in _NULL else str(event.value)


class _Object:
    """An object whose names and values alternate."""

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self._name: str | None = None
        self._named = False

    def add(self, value: object) -> None:
        if self._named:
            if isinstance(self._name, str):
                self.items[self._name] = value
            self._named = False
        else:
            self._name = value if isinstance(value, str) else None
            self._named = True


class _Text(Blocks):
    """The blocks as text, with U+FFFD for bytes that are not UTF-8 and characters that YAML does not allow."""

    def __init__(self, chunks: Iterable[bytes], max_bytes: int) -> None:
        super().__init__(chunks, max_bytes)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, _: int = -1) -> str:  # type: ignore[override]  # PyYAML also reads text
        """Return the next block."""
        block = super().read()
        return _UNPRINTABLE.sub("\ufffd", self._decoder.decode(block, final=not block))
