"""The names of the presenters that a row gives, in any form's notation."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from titlecard.domain.text import plain
from titlecard.manifests.ids import spreadsheet_fault
from titlecard.manifests.texts import unescaped
from titlecard.manifests.vocabulary import AROUND_PEOPLE, PEOPLE_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME_CHARACTERS = 200
"""The most characters of a name."""

_PART_CHARACTERS = 500
"""The most characters of a name with the text around it."""

_PEOPLE_MAX = 500
"""The most people of one row; more are a mistake or an attack."""

_FIRST = ("first_name", "firstName", "given_name", "first")
_LAST = ("last_name", "lastName", "family_name", "last")

_BREAK = re.compile(r"<(?:br|/?(?:p|div|[uo]l|li))\b[^<>]{0,100}>|\\n", re.IGNORECASE)
"""A line end as HTML or a program's text writes it."""

_HAN = r"[\u3400-\u9fff]"
_STRONG = re.compile(rf"[;\n\t|、\uff1b]| / |(?<={_HAN})・(?={_HAN})")
_AND = r"(?:and|und|with|w/|&|\+)"
_WITH = r"(?i:f(?:ea)?t\.?|featuring|avec|con|com|mit)"
_WEAK = re.compile(rf" ?, ?(?:(?:and|und|et|y|e|en|i) )?| (?:{_AND}|{_WITH}) ")  # in a text with single spaces
_OTHER_AND = re.compile(r"(\S+ .+) (?:et|y|e|en|i|och|og|ja|és|ve|и|a|x|vs\.?) (\S+ .+)")
"""Two names joined by an `and` that also joins the parts of one: `José Ortega y Gasset`."""

_BESIDE = re.compile(r" ?(?:\([^()]*\)|<[^<>]*>|\[[^\[\]]*\])(?= ?(?:$|[,;&|/+、\n]|(?:and|und) ))")
"""Text in brackets after a name: a company, pronouns, an address."""

_DEGREE = re.compile(r",? (?:Ph\.?\s?D|M\.?D|MBA|M\.?Sc|B\.?Sc)\b\.?", re.IGNORECASE)
_JUNIOR = re.compile(r", (?=(?:Jr|Sr|II|III)\b)")
_OTHERS = re.compile(
    r",? (?:et\.? al\.?|(?:and|&) (?:others|friends|more|co\.?)|\+ ?\d{1,2}(?: more| others)?"
    r"|(?:and|&) \d{1,2} (?:more|others)|u\. ?a\.|und (?:andere|weitere)|et (?:d['\u2019])?autres|y otros|e outros"
    r"|e altri|en anderen|i inni)$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:speakers?|presenters?|sprecher(?:in|innen)?|referent(?:in|innen)?|ponentes?|moderat(?:or(?:in)?s?|ion)|hosts?"
    r"|chair|keynote(?: speakers?)?|panel(?:l?ists?)?|guests?|participants?)(?:\(s\))?\s?:\s*"
    r"|(?:(?:presented|moderated|hosted|chaired) )?by |featuring "
    r"|(?:(?:an? )?(?:interview|conversation|(?:fireside )?chat) )?with ",
    re.IGNORECASE,
)
_SHARED = re.compile(r"([^\s,]++) (?:and|und|&|\+) ((?:[^\s,]++ )++([^\s,]++))")
"""Two people with one surname: `Ada and Bob Smith`."""

_HOST = r"(?:moderat(?:or(?:in)?|ion)|host|(?:session )?chair|mc)"
_HOSTING = re.compile(_HOST, re.IGNORECASE)
_HOSTS = re.compile(
    rf"(?:^|(?<=[;,\n|]))\s*{_HOST}s?\s*:\s*[^;,\n|:]+:?"
    r"|(?:^|(?<=[;,\n| ]))(?:moderated|hosted|chaired|interviewed) by [^;,\n|:]+:?"
    rf"|(?:^|(?<=[;,\n|&]))[^;,\n|&]+[(\[]{_HOST}[)\]]",
    re.IGNORECASE,
)
"""The host of a session, who is not a presenter if the session has others."""

_BULLET = re.compile(r"^(?:[-*\u2022\u00b7\u2013]|\d{1,2}[.)]) ")
_ROLE = (
    r"(?i:(?:[\w-]+ ){0,4}(?:c[teio]o|vp|engineer|developer|architect|director|manager|professor|researcher|scientist"
    r"|consultant|(?:co-?)?founder|advocate|evangelist|maintainer)(?: (?:at|of|for|@|in) .+)?|head of .+)"
)
_COMPANY = (
    r".*\b(?:Inc|Corp|Ltd|LLC|GmbH|AG|PLC|Technologies|Foundation)\.?"
    r"|(?:.* )?(?:University|Universität|Université|Universidad|Institute)\b.*"
)
_AFTER = re.compile(
    rf" (?:(?:at|from) |@ ?)\S.*| [-\u2013\u2014] (?:{_ROLE}|{_COMPANY})$| (?:she|he|they)(?:/\w{{2,6}}){{1,2}}$"
    r"|(?:^| )[^\s@]+@[^\s@]+\.[^\s@]+"
)
"""Text after a name: where the person works, pronouns, an address."""

_AFTER_DASH = re.compile(r" [-\u2013\u2014] .*")
_NO_PERSON = re.compile(f"{_ROLE}|{_COMPANY}")
_FULL_STOP = re.compile(r"(?<=[^\W\d_]{3})\.$")

_SPACES = re.compile(r"[^\S\n\t]+")
_NOBODY = re.compile(
    r"n n|nn|undefined|panel(?: discussion)?"
    r"|(?:the )?(?:keynote )?(?:speakers?|organi[sz]ers?|staff|moderators?|hosts?|team)"
)
"""Placeholders that occur only in place of presenters, as folded words."""

_LIST = re.compile(r"\s*(?:\[.*\]|\{.*\})\s*", re.DOTALL)
_ITEM = re.compile(r"""\"([^"]*)\"|'([^']*)'|([^,"']+)""")
_KEY = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?:[0-9a-f]{8}){3,4}|rec(?=\D*\d)[A-Za-z0-9]{14}"
)
"""A key of a person who is not listed: a UUID, MongoDB's, Airtable's."""

_WORD = r"[^ ,\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af]+"
_BACKWARDS = re.compile(
    rf"((?:(?:van|von|de|der|den|del|della|di|da|dos|du|la|le|ter|ten|el|al|bin|zu) ){{0,3}}{_WORD}) ?, ?({_WORD})"
)
"""A last name before a first name; Chinese, Japanese and Korean names have no space within."""


def names(value: object, people: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in a value: a text with one or several, objects, keys of `people`, or a list of these."""
    found: list[str] = []
    for given in _each(value, people):
        name = _BESIDE.sub("", given) or given
        if 0 < len(name) <= NAME_CHARACTERS and any(map(str.isalpha, name)) and _may_be_name(name):
            found.append(name)
        if len(found) == _PEOPLE_MAX:
            break
    return tuple(found)


def _may_be_name(text: str) -> bool:
    return "://" not in text and not _NOBODY.fullmatch(plain(text)) and not spreadsheet_fault(text)


def name_of(person: Mapping[str, Any]) -> str | None:
    """Return the name in a person's object."""
    for key in PEOPLE_KEYS:
        if isinstance(name := person.get(key), str) and name.strip():
            return name.strip()
    parts = [next((person[key] for key in keys if isinstance(person.get(key), str)), "") for keys in (_FIRST, _LAST)]
    return " ".join(part.strip() for part in parts if part.strip()) or None


def _of_item(text: str) -> list[str]:
    """Return the names in a list's item. It usually holds one name, so text after a comma may be a company."""
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

    The text around the names is left out: labels, bullets, companies, roles, degrees, pronouns, e-mail addresses,
    `et al.`, and moderators beside other people. Two people with one surname both get it.
    """
    text = _BREAK.sub("\n", unescaped(text))  # first, since an escape ends in a semicolon
    lines = (line.strip() for line in _SPACES.sub(" ", text).split("\n"))
    text = "\n".join(line for line in lines if line)
    others = _HOSTS.sub("", text)
    text = others.strip(" ,;|&\n") if re.search(r"\w", others) else text
    text = _without_label(text)
    text = _JUNIOR.sub(" ", _DEGREE.sub("", _OTHERS.sub("", _BESIDE.sub("", text) or text)))
    parts = [" ".join(part.split()) for part in _STRONG.split(text)]
    backwards = [_BACKWARDS.fullmatch(part) for part in parts]  # `Brightwater, Ada`
    if all(backwards):
        return [f"{part[2]} {part[1]}" for part in backwards if part]
    if len(parts) > 1:
        parts = [_AFTER_DASH.sub("", part) for part in map(_without_bullet, parts)]
    else:
        (single,) = parts
        if two := _SHARED.fullmatch(single):
            return [f"{two[1]} {two[3]}", two[2]]
        first, *more = _WEAK.split(single)
        parts = [name for part in [first, *filterfalse(_NO_PERSON.fullmatch, more)] for name in _both(part)]
    return [name for part in parts if (name := _bare(part))]


def _without_label(text: str) -> str:
    return text[label.end() :] if (label := _LABEL.match(text)) else text


def _without_bullet(text: str) -> str:
    return _BULLET.sub("", text.strip())


def _bare(part: str) -> str:
    """Return a name without the text around it; a text that is too long to be a name stays as it is."""
    if len(part) > _PART_CHARACTERS:
        return part
    return _FULL_STOP.sub("", _AFTER.sub("", _without_label(_without_bullet(part))).strip())


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
            yield from _of_item(name) if name else _each(inner, people)
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
            yield from () if _KEY.fullmatch(item) else _of_item(item)
        case [str() as name]:
            yield people.get(name, name.strip())
        case [str() as first, str() as last] if first.istitle() and last.istitle():
            yield f"{first.strip()} {last.strip()}"
        case list():
            return
        case _:
            yield from _each(item, people)
