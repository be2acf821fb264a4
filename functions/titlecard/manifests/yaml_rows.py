"""YAML: a list of objects such as RubyEvents' `videos.yml`, read object by object.

Only plain data: every scalar is text, tags mean nothing, and aliases, by which a small file grows without end, are
refused. Nesting ends at some levels, and no row is larger than a row may be.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

from titlecard.manifests.errors import Broken
from titlecard.manifests.source import Blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEPTH_MAX = 30

_BEGINNING = re.compile(
    rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*+(?:---[^\n]*\n)?(?:[ \t]*(?:#[^\n]*)?\r?\n)*+"
    rb"(?:[A-Za-z_]\w*:[ \t]*\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*+)?[ \t]*-[ \t]+(?:&\w+[ \t]+)?"
    rb"(?:[\"']?[A-Za-z_]\w*[\"']?:(?:[ \t\r\n]|$)|\{[ \t]*[\"']?\w+[\"']?:[ \t])"
)
"""A list of objects, perhaps under one name."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML does not take (YAML 1.2, 5.1): a parser that meets it drops what it has read ahead."""


def is_yaml(head: bytes) -> bool:
    """Whether a file that begins so is a list of objects in YAML."""
    return _BEGINNING.match(head) is not None


def objects(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, Any]]:
    """The elements of the outermost list, numbered from 1; each is followed by the talks that it holds in one.

    Raises:
        Broken: the YAML cannot be read any further.
    """
    import yaml  # noqa: PLC0415 -- most manifests are no YAML

    stream = _Text(chunks, max_bytes)
    builder = _Builder()
    number = 0
    try:
        for event in yaml.parse(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            for record in builder.take(event):
                stream.row_ended()
                for row in _with_its_talks(record):
                    number += 1
                    yield number, row
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise Broken(f"The YAML is broken{where}: {said}. Nothing after this is read.") from None


def _with_its_talks(record: object) -> Iterator[object]:
    """A record, and each of the talks that RubyEvents keeps within the video of a session."""
    talks = record.get("talks") if isinstance(record, dict) else None
    if not isinstance(talks, list):
        yield record
        return
    yield {name: value for name, value in record.items() if name != "talks"} if isinstance(record, dict) else record
    yield from talks


class _Builder:
    """Makes objects of the events of a YAML parser, without recursion, and gives out the elements of the first list.

    That list is the outermost one, or one that an outermost object holds. Events are told by the names of their
    classes, for the parser is imported late.
    """

    def __init__(self) -> None:
        self._open: list[list[object] | _Object] = []
        self._rows_at: int | None = None  # how many containers are open where a row ends

    def take(self, event: object) -> Iterator[object]:
        """The row that an event completes."""
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
            raise Broken("The YAML is nested too deep here; nothing after this is read.")
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


def _scalar(event: Any) -> str | None:  # noqa: ANN401 -- of a module that is imported late
    """A scalar as text; what stands for nothing where it is not quoted is None."""
    return None if event.style in {None, ""} and event.value in _NULL else str(event.value)


class _Object:
    """An object whose names and values come in turns."""

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
    """The same as text, in which stands U+FFFD where bytes are not UTF-8, or no characters of YAML's."""

    def __init__(self, chunks: Iterable[bytes], max_bytes: int) -> None:
        super().__init__(chunks, max_bytes)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, _: int = -1) -> str:  # type: ignore[override]  # PyYAML takes text as well
        """The next block."""
        block = super().read()
        return _UNPRINTABLE.sub("\ufffd", self._decoder.decode(block, final=not block))
