"""The names of the presenters that a row gives, in any form's notation."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME_CHARACTERS = 200
"""The most characters of a name."""

_PEOPLE_MAX = 500
"""The most people of one row; more are a mistake or an attack."""

_NAME_KEYS = (
    *("public_name", "full_public_name", "name", "full_name", "fullName", "display_name", "displayName", "title"),
)
_FIRST, _LAST = ("first_name", "firstName", "given_name"), ("last_name", "lastName", "family_name")

_STRONG = re.compile(r"[;\n\t|]")
_WEAK = re.compile(r" ?, ?(?:(?:and|und|et|y|e|en|i) )?| (?:&|\+|and|und) ")  # in a text with single spaces
_LIST = re.compile(r"\s*(?:\[.*\]|\{.*\})\s*", re.DOTALL)
_ITEM = re.compile(r"""\"([^"]*)\"|'([^']*)'|([^,"']+)""")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BACKWARDS = re.compile(r"([^ ,]+) ?, ?([^ ,]+)")


def names(value: object, people: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in a value: a text with one or several, objects, keys of `people`, or a list of these."""
    found: list[str] = []
    for name in _each(value, people):
        if name and len(name) <= NAME_CHARACTERS:
            found.append(name)
        if len(found) == _PEOPLE_MAX:
            break
    return tuple(found)


def name_of(person: Mapping[str, Any]) -> str | None:
    """Return the name in a person's object."""
    for key in _NAME_KEYS:
        if isinstance(name := person.get(key), str) and name.strip():
            return name.strip()
    parts = [next((person[key] for key in keys if isinstance(person.get(key), str)), "") for keys in (_FIRST, _LAST)]
    return " ".join(part.strip() for part in parts if part.strip()) or None


def split(text: str) -> list[str]:
    """Split a text into names: at semicolons, bars and line ends if there are any, else at commas, `&` and `and`."""
    parts = _STRONG.split(text.strip())
    if len(parts) == 1:
        single = " ".join(text.split())
        backwards = _BACKWARDS.fullmatch(single)  # `Brightwater, Ada`
        parts = [f"{backwards[2]} {backwards[1]}"] if backwards else _WEAK.split(single)
    return [part.strip() for part in parts if part.strip()]


def _each(value: object, people: Mapping[str, str]) -> Iterator[str]:
    match value:
        case bool() | None:
            return
        case int():
            yield people.get(str(value), "")
        case str():
            if value in people:
                yield people[value]
            elif _LIST.fullmatch(value):
                yield from _of_written_list(value, people)
            else:
                yield from split(value)
        case dict():
            yield name_of(value) or people.get(str(value.get("id", value.get("code", ""))), "")
        case list():
            for item in value:
                yield from _of_list(item, people)


def _of_written_list(text: str, people: Mapping[str, str]) -> Iterator[str]:
    """Yield the names in a list that a table's cell holds, as JSON, Python or PostgreSQL writes it."""
    for written in (text, text.replace("'", '"').replace("None", "null")):
        with suppress(ValueError):
            yield from _each(from_json(written), people)
            return
    for quoted, single, bare in _ITEM.findall(text.strip()[1:-1]):
        yield (quoted or single or bare).strip()


def _of_list(item: object, people: Mapping[str, str]) -> Iterator[str]:
    """Yield the names in a list's item: a text is a name or a person's key; a list is Django's natural key."""
    match item:
        case str():
            yield people.get(item, "" if _GUID.fullmatch(item) else item.strip())
        case [str() as name]:
            yield name.strip()
        case list():
            return
        case _:
            yield from _each(item, people)
