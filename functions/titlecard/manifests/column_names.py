"""The meaning of a row's columns by their names, in the languages of YouTube's exports and of spreadsheets.

Names are compared without accents, case and punctuation (`Video ID`, `video_id`, `videoId`).
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

from titlecard.domain.text import fold
from titlecard.manifests.addresses import is_youtube_id, youtube_id
from titlecard.manifests.vocabulary import (
    CONTENT,
    FIELDS,
    FIRST_NAMES,
    KEYS,
    LAST_NAMES,
    MORE_PRESENTERS,
    NOT_IN,
    OF_APPLICANTS,
    RECORDINGS,
    STEMS,
    VIDEO,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LAST_NAME = "presenters, last name"
"""The key of the column with the last name, if `presenters` is the first name."""

PART = ", part "
"""The text between a field and a number, in the key of a column that continues the field's text."""

PARTS_MAX = 1_000
"""The most columns of one text: more would take long to join."""

_FIRST_DESCRIPTIONS = tuple(f"{name}1" for name in FIELDS["description"])

VALUES_JUDGED = 20

_ASIDE = re.compile(r"\([^()]{0,100}\)\s*$")
"""A remark after a column's name: `Title (as on YouTube)`."""


def recognise(names: Iterable[str]) -> dict[str, str]:
    """Return which of a row's columns holds which field of a video, as {field: column}, without unknown columns."""
    columns = _by_plain_name(list(names))
    found = {
        field: next(columns[known] for known in known_names if known in columns)
        for field, known_names in FIELDS.items()
        if not columns.keys().isdisjoint(known_names)
    }
    if "title" not in found and plain_name(found.get("event", "")) == "eventname" and "eventkey" in columns:
        found["title"] = found.pop("event")  # Sched calls a session an event
    for field, stems in STEMS.items():
        about = _about_a_video(columns, stems, NOT_IN[field]) if field not in found else None
        if about:
            found[field] = columns[about]
    if "description" not in found:
        found |= next(({"description": columns[it]} for it in _FIRST_DESCRIPTIONS if it in columns), {})
    if "id" not in found and "url" not in found and "title" in found:
        contents = [name for name in columns if name in CONTENT and columns[name] != found["title"]]
        if contents and any(part in plain_name(found["title"]) for part in VIDEO):
            found["id"] = columns[contents[0]]
    if "id" not in found and "url" not in found:
        found |= next(({"id": columns[key]} for key in KEYS if key in columns), {})
    if "url" not in found and "title" in found:
        free = (columns[name] for name in RECORDINGS if name in columns and columns[name] not in found.values())
        found |= next(({"url": name} for name in free), {})
    return found | _parts(columns, found) | _people(columns, found)


def _by_plain_name(names: Sequence[str]) -> dict[str, str]:
    """Return the columns by their plain names; a name without its remark counts if no other column has it."""
    columns: dict[str, str] = {}
    for plain, name in (*((name, name) for name in names), *((_ASIDE.sub("", name), name) for name in names)):
        columns.setdefault(plain_name(plain), name)
    return columns


def _parts(columns: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Return the columns after the first one of a text that is split into numbered columns, as Takeout splits it."""
    parts: dict[str, str] = {}
    for field in ("title", "description"):
        stem = plain_name(found.get(field, "")).removesuffix("1")
        if f"{stem}1" in columns and columns[f"{stem}1"] == found.get(field):
            numbered = takewhile(columns.__contains__, (f"{stem}{number}" for number in range(2, PARTS_MAX + 1)))
            parts |= {f"{field}{PART}{place}": columns[name] for place, name in enumerate(numbered, start=2)}
    return parts


def _people(columns: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of presenters, if there is one for each of them (`Speaker 1`) or for each part of a name."""
    numbered = [
        columns[name] for name in columns if name[-1:].isdigit() and name.rstrip("0123456789") in FIELDS["presenters"]
    ]
    more = [columns[name] for name in MORE_PRESENTERS if name in columns]
    every = [*filter(None, [found.get("presenters")]), *numbered, *more]
    if every:
        return {f"presenters {place}" if place else "presenters": name for place, name in enumerate(every)}
    parts = [next((columns[it] for it in each if it in columns), None) for each in (FIRST_NAMES, LAST_NAMES)]
    if parts[0] and parts[1] and "title" in found:
        return {"presenters": parts[0], LAST_NAME: parts[1]}
    name = next((columns[it] for it in ("fullname", "yourname", "name") if it in columns), None)
    is_applicant = name and found.get("title") not in {None, name} and not columns.keys().isdisjoint(OF_APPLICANTS)
    return {"presenters": name} if name and is_applicant else {}


def recognise_by_values(
    found: Mapping[str, str], names: Sequence[str], rows: Sequence[Sequence[str]]
) -> dict[str, str]:
    """Add the column of YouTube's ids or addresses, recognised by its values, if no column's name reveals it.

    It may be the column of the title, if the titles are links in Markdown.
    """
    told = dict(found)
    if "title" not in told or "id" in told or "url" in told:
        return told
    first = sorted(enumerate(names), key=lambda it: it[1] == told["title"])
    for place, name in first:
        values = [row[place] for row in rows[:VALUES_JUDGED] if len(row) > place and any(map(str.isalnum, row[place]))]
        if name and values:
            if name != told["title"] and sum(map(looks_like_an_id, values)) * 2 > len(values):
                return told | {"id": name}
            if sum(youtube_id(value) is not None for value in values) * 2 > len(values):
                return told | {"url": name}
    return told


def plain_name(name: str) -> str:
    """Return a column's name without variable parts: accents, case, spaces and punctuation."""
    return "".join(filter(str.isalnum, fold(name)))


def _about_a_video(columns: Iterable[str], stems: tuple[str, ...], foreign: tuple[str, ...]) -> str | None:
    return min(
        (
            name
            for name in columns
            if any(stem in name for stem in stems)
            and any(part in name for part in VIDEO)
            and not any(part in name for part in foreign)
        ),
        key=lambda name: name[-1].isdigit() and not name.endswith("1"),  # the first part of a text before the others
        default=None,
    )


def looks_like_an_id(value: str) -> bool:
    """Return whether a value is a YouTube id and not a word of eleven letters."""
    return is_youtube_id(value) and not value.isalpha() and not value.isdigit()
