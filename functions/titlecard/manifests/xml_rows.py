"""XML, read row by row: the schedules of frab, pentabarf and pretalx, and feeds of videos (Atom, RSS).

Entities that the file declares, and external ones, are refused (`defusedxml`). Nesting is limited, no row may exceed
the limit of a row, and nothing that was read is kept.
"""

from __future__ import annotations

import re
from html.entities import html5
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree.ElementTree import ParseError  # only the exception: defusedxml parses

from titlecard.manifests.errors import Broken
from titlecard.manifests.source import Blocks
from titlecard.manifests.texts import unescaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from xml.etree.ElementTree import Element

DEPTH_MAX = 40
"""The deepest nesting; schedules and feeds nest some six levels."""


_PROLOG = ((b"<!--", b"-->"), (b"<?", b"?>"), (b"<!", b">"))
"""The beginnings and ends of what may stand before the outermost element."""

_ESCAPE_BYTES = 34
_ESCAPE = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,31});")
_OF_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})

_NAME = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)")


class XmlForm(NamedTuple):
    """One form of XML: its name, the element that is a row, and the function that reads it."""

    name: str
    row: str
    read: Callable[[Element], dict[str, Any]]


def xml_form(head: bytes) -> XmlForm | None:
    """Return the form of XML with this beginning, by its outermost element."""
    at = head.find(b"<")
    while skipped := next((end for start, end in _PROLOG if head.startswith(start, at)), None):
        end = head.find(skipped, at)
        at = head.find(b"<", end) if end >= 0 else len(head)
    found = _NAME.match(head, max(at, 0))
    return _FORMS.get(found[1].lower()) if found else None


def events(form: XmlForm, chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows, numbered from 1.

    Raises:
        Broken: the XML cannot be read any further.
    """
    from defusedxml import DefusedXmlException  # noqa: PLC0415 -- most manifests are not XML
    from defusedxml.ElementTree import iterparse  # noqa: PLC0415

    stream = Blocks(_numbered(_begun(chunks)), max_bytes)
    above: list[Element] = []
    number = within = 0
    try:
        for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=False):
            if event == "start":
                above.append(element)
                within += within > 0 or _name(element) == form.row
                if len(above) > DEPTH_MAX:
                    raise Broken("The XML is nested too deeply here; nothing after this is read.")
                continue
            above.pop()
            if within:
                within -= 1
                if within:
                    continue
                number += 1
                yield number, form.read(element)
                stream.row_ended()
            element.clear()
            if above and len(above[-1]) > 1:
                above[-1].clear()
    except ParseError as error:
        raise Broken(f"The XML is broken here: {error}. Nothing after this is read.") from None
    except (DefusedXmlException, LookupError, ValueError) as error:
        raise Broken(f"The XML {_declares(error)}; nothing after this is read.") from None


def _begun(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes without the blanks before the first mark: no blank may precede the declaration of XML."""
    begun = False
    for chunk in chunks:
        data = chunk if begun else chunk.lstrip()
        begun = begun or bool(data)
        yield data


def _numbered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes with HTML's named escapes as numbers: XML knows only five names, and people write `&nbsp;`."""
    rest = b""  # an escape whose end is not known yet
    for chunk in chunks:
        data = rest + chunk
        at = data.rfind(b"&", max(0, len(data) - _ESCAPE_BYTES))
        end = at if at >= 0 and b";" not in data[at:] else len(data)
        rest = data[end:]
        if end:
            yield _ESCAPE.sub(_number, data[:end])
    if rest:
        yield rest


def _number(escape: re.Match[bytes]) -> bytes:
    name = escape[1].decode()
    text = "" if name in _OF_XML else html5.get(f"{name};", "")
    return "".join(f"&#{ord(mark)};" for mark in text).encode() or escape[0]


def _event(element: Element) -> dict[str, Any]:
    """Return an event of frab's schedule, as its JSON has it."""
    people = [_text(it) for it in element.iter() if _name(it) == "person"]
    fields: dict[str, Any] = {
        "id": element.get("id") or element.get("guid") or element.get("code"),
        "persons": [name for name in people if name],
    }
    for name in ("title", "abstract", "description", "url", "date", "type"):
        if text := _child(element, name):
            fields[name] = text
    fields.setdefault("title", None)
    return fields


def _entry(element: Element) -> dict[str, Any]:
    """Return an entry of an Atom feed, as YouTube has it for channels and playlists."""
    links = [it.get("href") for it in element if _name(it) == "link" and it.get("rel") in {None, "alternate"}]
    authors = [_child(it, "name") for it in element if _name(it) == "author"]
    identity = _child(element, "id") or ""
    title = _child(element, "title")
    in_html = any(_name(it) == "title" and it.get("type") == "html" for it in element)
    descriptions = [_text(it) for it in element.iter() if _name(it) == "description"]
    return {
        "id": _child(element, "videoId") or identity.removeprefix("yt:video:"),
        "title": unescaped(title) if title and in_html else title,
        "description": next(filter(None, descriptions), None) or _child(element, "summary"),
        "url": next(filter(None, links), None),
        "channel": next(filter(None, authors), None),
        "published": _child(element, "published"),
    }


def _item(element: Element) -> dict[str, Any]:
    """Return an item of an RSS feed."""
    link = _child(element, "link")
    return {
        "id": None if link else _child(element, "guid"),
        "title": unescaped(_child(element, "title") or ""),  # RSS holds HTML, which XML escapes once more
        "description": unescaped(_child(element, "description") or _child(element, "summary") or ""),
        "url": link,
        "published": _child(element, "pubDate"),
    }


_FORMS = {
    b"schedule": XmlForm("schedule of a conference (XML)", "event", _event),
    b"feed": XmlForm("Atom feed", "entry", _entry),
    b"rss": XmlForm("RSS feed", "item", _item),
    b"rdf": XmlForm("RSS feed", "item", _item),
}
"""The forms by the name of the outermost element."""


def _name(element: Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _child(element: Element, name: str) -> str | None:
    return next((text for it in element if _name(it) == name and (text := _text(it))), None)


def _text(element: Element) -> str:
    """Return all text within an element, without tags."""
    return "".join(element.itertext()).strip()


def _declares(error: Exception) -> str:
    """Describe what is refused."""
    return {
        "EntitiesForbidden": "declares entities of its own, which are refused",
        "ExternalReferenceForbidden": "refers to another file, which is refused",
        "DTDForbidden": "declares a document type, which is refused",
    }.get(type(error).__name__, "is written in an unknown encoding")
