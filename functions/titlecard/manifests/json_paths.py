"""Where the rows of a JSON document are: in one list, or in several lists at similar places."""

from __future__ import annotations

import shlex
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from titlecard.manifests.column_names import plain_name
from titlecard.manifests.errors import NotAManifest
from titlecard.manifests.json_rows import ANY, HOLDERS
from titlecard.manifests.references import keys_of
from titlecard.manifests.vocabulary import ENVELOPES, FIELDS, KEYS

if TYPE_CHECKING:
    from titlecard.manifests.json_rows import RowsPath

_HOLDERS_MAX, _NAMES_TRIED = 500, 20
"""The most containers that are searched for a list of rows, and the most names or elements of each that are tried."""

_TITLES = frozenset({*FIELDS["title"], "snippet"})
_KEYS = frozenset({*FIELDS["id"], *FIELDS["url"], *KEYS, "presenters", "speakers"})
_PEOPLE = frozenset(FIELDS["presenters"])


def list_of_people(begun: Any) -> str | None:  # noqa: ANN401 -- any JSON value
    """Return the name of an object's list of people to whom its rows refer by keys."""
    if not isinstance(begun, dict):
        return None
    for name, people in begun.items():
        if plain_name(name) in _PEOPLE and isinstance(people, list):
            keys = {key for person in people if isinstance(person, dict) for key in keys_of(person)}
            lists = (rows for other, rows in begun.items() if other != name and isinstance(rows, list))
            if any(_refers_to(row, keys) for row in chain.from_iterable(lists)):
                return str(name)
    return None


def path_to_rows(begun: Any) -> RowsPath | None:  # noqa: ANN401 -- any JSON value
    """Return the location of the rows in containers: `{"data": {"items": [...]}}`, `{"days": [{"talks": [...]}]}`.

    Raises:
        NotAManifest: the rows are in several places, and no path leads to all of them and to nothing else.
    """
    if not isinstance(begun, dict) or is_row(begun) or any(_are_rows(name, it) for name, it in begun.items()):
        return None
    found: dict[RowsPath, bool] = {}  # whether the rows have titles, or names, as rooms also have
    holders: list[tuple[RowsPath, dict[str, Any]]] = [(("{",), begun)]
    for path, holder in holders:  # it grows by the objects within, outer ones first
        if found and len(path) >= len(next(iter(found))):
            break
        names = list(holder)[:_NAMES_TRIED]
        if path[-1:] == ("{",) and not _TITLES.isdisjoint(map(plain_name, names)):  # an element that may be a row
            names = [name for name in names if name in HOLDERS]
        for name in names:
            it = holder[name]
            if _are_rows(name, it):
                found[(*path, f"{name}[")] = _is_titled(it)
            elif isinstance(it, dict):
                holders.append(((*path, f"{name}{{"), it))
            elif isinstance(it, list):
                holders += [((*path, f"{name}[", "{"), inner) for inner in it[:_NAMES_TRIED] if isinstance(inner, dict)]
        del holders[_HOLDERS_MAX:]
    titled = [path for path, has_titles in found.items() if has_titles]
    return _common_path(titled or list(found), begun) if found else None


def are_rows_by_id(rows: object) -> bool:
    """Return whether an object holds rows under their ids: `{"abc": {"title": ...}, ...}`."""
    return (
        isinstance(rows, dict)
        and len(rows) > 1
        and all(isinstance(it, dict) and _TITLES & it.keys() for it in rows.values())
    )


def is_row(record: dict[str, Any]) -> bool:
    """Return whether an object may be a row: it, or the object in its envelope, has a title and a key or presenters."""
    inner = next((it for name in ENVELOPES if isinstance(it := record.get(name), dict)), record)
    names = {plain_name(name) for name in (*record, *inner)}
    return bool(names & _TITLES and names & _KEYS)


def _refers_to(row: object, keys: set[str]) -> bool:
    given = [value for name, value in row.items() if plain_name(name) in _PEOPLE] if isinstance(row, dict) else []
    inner = chain.from_iterable(value if isinstance(value, list) else [value] for value in given)
    return any(isinstance(key, str | int) and str(key) in keys for key in inner)


def _common_path(paths: list[RowsPath], begun: Any) -> RowsPath:  # noqa: ANN401 -- any JSON value
    """Return the path to all of these lists of rows.

    Raises:
        NotAManifest: the path would lead to lists of something else as well.
    """
    common: list[str] = []
    for parts in zip(*paths, strict=False):
        name = parts[0] if len(set(parts)) == 1 else f"{ANY}{parts[0][-1]}"
        is_number = len(common) > 0 and len(name) > 1 and not any(map(str.isalpha, name))  # such as a year
        common.append(f"{ANY}{name[-1]}" if is_number else name)
    path = tuple(common)
    alike = len({tuple(part[-1] for part in it) for it in paths}) == 1
    lists = [(name, it) for name, it in _at(path, begun) if it]
    if not alike or not all(_are_rows(name, it) for name, it in lists) or len({_is_titled(it) for _, it in lists}) > 1:
        places = [".".join(part[:-1] or "[]" for part in it[1:]).replace(".[]", "[]")[:200] for it in paths]
        lists_of_talks = shlex.quote(", ".join(f".{place}[]" for place in places[:_NAMES_TRIED]))
        raise NotAManifest(
            f"The file has lists of talks in several places: {', '.join(places[:_NAMES_TRIED])}. Extract them: "
            f"jq -c {lists_of_talks} OLD > NEW.jsonl"
        )
    return path


def _at(path: RowsPath, begun: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 -- any JSON value
    """Return what is at a path, with its names."""
    found: list[tuple[str, Any]] = [("", begun)]
    for before, part in pairwise(path):
        kind = dict if part.endswith("{") else list
        inner = chain.from_iterable(
            ((name, value) for value in it) if before.endswith("[") else it.items() for name, it in found
        )
        found = [
            (name, it)
            for name, it in inner
            if isinstance(it, kind) and part[:-1] in {"" if before[-1] == "[" else name, ANY}
        ]
    return found


def _is_titled(rows: list[Any]) -> bool:
    """Return whether the first of these rows has a title, and not only a name."""
    return any(plain_name(name) in _TITLES - {"name"} or name in ENVELOPES for name in rows[0])


def _are_rows(name: str, it: object) -> bool:
    """Return whether the value of this name is a list of rows."""
    return (
        isinstance(it, list)
        and plain_name(name) not in _PEOPLE
        and bool(it)
        and isinstance(it[0], dict)
        and is_row(it[0])
    )
