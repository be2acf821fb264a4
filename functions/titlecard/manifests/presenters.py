"""The names of the presenters that a row gives, in any form's notation."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from titlecard.domain.text import plain
from titlecard.manifests.vocabulary import AROUND_PEOPLE, PEOPLE_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME_CHARACTERS = 200
"""The most characters of a name."""

_PEOPLE_MAX = 500
"""The most people of one row; more are a mistake or an attack."""

_FIRST = ("first_name", "firstName", "given_name", "first")
_LAST = ("last_name", "lastName", "family_name", "last")

_STRONG = re.compile(r"[;\n\t|、\uff1b]| / ")
_AND = r"(?:and|und|with|w/|&|\+)"
_WITH = r"(?i:f(?:ea)?t\.?|featuring|avec|con|com|mit)"
_WEAK = re.compile(rf" ?, ?(?:(?:and|und|et|y|e|en|i) )?| (?:{_AND}|{_WITH}) ")  # in a text with single spaces
_OTHER_AND = re.compile(r"(\S+ .+) (?:et|y|e|en|i) (\S+ .+)")
"""Two names joined by an `and` that also joins the parts of one: `José Ortega y Gasset`."""

_BESIDE = re.compile(r" ?(?:\([^()]*\)|<[^<>]*>|\[[^\[\]]*\])(?= ?(?:$|[,;&|/+、\n]|(?:and|und) ))")
"""What stands in brackets behind a name: a company, pronouns, an address."""

_DEGREE = re.compile(r",? (?:Ph\.?\s?D|M\.?D|MBA|M\.?Sc|B\.?Sc)\b\.?", re.IGNORECASE)
_JUNIOR = re.compile(r", (?=(?:Jr|Sr|II|III)\b)")
_OTHERS = re.compile(
    r",? (?:et\.? al\.?|(?:and|&) (?:others|friends|more)|u\. ?a\.|und (?:andere|weitere)|et (?:d['\u2019])?autres"
    r"|y otros|e outros|e altri|en anderen|i inni)$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:speakers?|presenters?|sprecher(?:in|innen)?|referent(?:in|innen)?|ponentes?|moderat(?:or(?:in)?s?|ion)|hosts?"
    r"|chair)(?:\(s\))?\s?:\s*|(?:(?:presented|moderated|hosted|chaired) )?by |with |featuring ",
    re.IGNORECASE,
)
_SHARED = re.compile(rf"([^\s,]++) {_AND} ((?:[^\s,]++ )++([^\s,]++))")
"""Two people with one surname: `Ada and Bob Smith`."""

_HOST = r"(?:moderat(?:or(?:in)?|ion)|host|(?:session )?chair|mc)"
_HOSTING = re.compile(_HOST, re.IGNORECASE)
_HOSTS = re.compile(
    rf"(?:^|(?<=[;,\n|]))\s*(?:{_HOST}s?\s*:|(?:moderated|hosted|chaired) by)\s*[^;,\n|]+"
    rf"|(?:^|(?<=[;,\n|&]))[^;,\n|&]+[(\[]{_HOST}[)\]]",
    re.IGNORECASE,
)
"""Whoever leads through a session; not a presenter if the session has others."""

_SPACES = re.compile(r"[^\S\n\t]+")
_NOBODY = re.compile(
    r"n n|nn|panel(?: discussion)?|(?:the )?(?:keynote )?(?:speakers?|organi[sz]ers?|staff|moderators?|hosts?|team)"
)
"""More placeholders than a title has; folded words."""

_LIST = re.compile(r"\s*(?:\[.*\]|\{.*\})\s*", re.DOTALL)
_ITEM = re.compile(r"""\"([^"]*)\"|'([^']*)'|([^,"']+)""")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BACKWARDS = re.compile(r"([^ ,]+) ?, ?([^ ,]+)")


def names(value: object, people: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in a value: a text with one or several, objects, keys of `people`, or a list of these."""
    found: list[str] = []
    for given in _each(value, people):
        name = _BESIDE.sub("", given) or given
        if name and len(name) <= NAME_CHARACTERS and "://" not in name and not _NOBODY.fullmatch(plain(name)):
            found.append(name)
        if len(found) == _PEOPLE_MAX:
            break
    return tuple(found)


def name_of(person: Mapping[str, Any]) -> str | None:
    """Return the name in a person's object."""
    for key in PEOPLE_KEYS:
        if isinstance(name := person.get(key), str) and name.strip():
            return name.strip()
    parts = [next((person[key] for key in keys if isinstance(person.get(key), str)), "") for keys in (_FIRST, _LAST)]
    return " ".join(part.strip() for part in parts if part.strip()) or None


def _of_item(text: str) -> list[str]:
    """Return the names in a list's item: mostly one, so that what stands behind a comma may be a company."""
    found = split(text)
    return found if len(found) == 1 or all(" " in name for name in found) else [text.strip()]


def _is_host(item: object) -> bool:
    role = item.get("role") if isinstance(item, dict) else None
    return isinstance(role, str) and _HOSTING.fullmatch(role.strip()) is not None


def key_of(value: object) -> str:
    """Return the key in a reference: a primary key, or a natural one, which is a list."""
    return str(value[0] if isinstance(value, list) and value else value)


def split(text: str) -> list[str]:
    """Split a text into names: at semicolons, bars and line ends if there are any, else at commas, `&` and `and`.

    Companies in brackets, degrees, `et al.` and moderators beside others are left out; two people with one surname both
    get it.
    """
    lines = (line.strip() for line in _SPACES.sub(" ", text).split("\n"))
    text = "\n".join(line for line in lines if line)
    others = _HOSTS.sub("", text)
    text = others.strip(" ,;|&\n") if re.search(r"\w", others) else text
    text = text[label.end() :] if (label := _LABEL.match(text)) else text
    text = _JUNIOR.sub(" ", _DEGREE.sub("", _OTHERS.sub("", _BESIDE.sub("", text) or text)))
    parts = [" ".join(part.split()) for part in _STRONG.split(text)]
    backwards = [_BACKWARDS.fullmatch(part) for part in parts]  # `Brightwater, Ada`
    if all(backwards):
        return [f"{part[2]} {part[1]}" for part in backwards if part]
    if len(parts) == 1:
        (single,) = parts
        if two := _SHARED.fullmatch(single):
            return [f"{two[1]} {two[3]}", two[2]]
        parts = [name for part in _WEAK.split(single) for name in _both(part)]
    return [part.strip() for part in parts if part.strip()]


def _both(text: str) -> tuple[str, ...]:
    joined = _OTHER_AND.fullmatch(text)
    return joined.groups() if joined else (text,)


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
            name = name_of(value) or people.get(str(value.get("id", value.get("code", ""))))
            inner = None if name else next((value[key] for key in AROUND_PEOPLE if key in value), None)
            if inner is None and not name and value and all(isinstance(it, dict) for it in value.values()):
                inner = list(value.values())  # people by their keys
            yield from [name] if name else _each(inner, people)
        case list():
            for item in [it for it in value if not _is_host(it)] or value:
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
        case str() if item in people:
            yield people[item]
        case str():
            yield from () if _GUID.fullmatch(item) else _of_item(item)
        case [str() as name]:
            yield people.get(name, name.strip())
        case [str() as first, str() as last] if first.istitle() and last.istitle():
            yield f"{first.strip()} {last.strip()}"
        case list():
            return
        case _:
            yield from _each(item, people)
