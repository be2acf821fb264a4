"""Synthetic batches: real titles and names in templates that the training data has not seen.

73 series are few templates, and the next conference will have another. So the titles and names of the training rows are
put into hundreds of other templates (`templates.json`): the model learns what a template is, not these templates.
"""
# ruff: noqa: PLR2004  # the numbers are fractions of the synthetic rows, chosen once and good enough

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard.domain.text import fold, plain
from training.dataset import Row

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_TEMPLATES = json.loads(Path(__file__).with_name("templates.json").read_text(encoding="utf-8"))
_SIZES = (1, 2, 3, 5, 8, 12, 20, 30)
_INVENTED = 0.2
"""The fraction of invented names, which bring scripts that the training data hardly has."""

_MIXED = 0.25
"""The fraction of batches in which some rows follow another template, or spell the event differently."""

_RARE = 0.04
"""The fraction of batches with languages in brackets, leftovers of files, handles after names, or capitals."""

_CUT_OFF = 100
"""The most characters of a title on YouTube (videos resource, `snippet.title`)."""

_STRAY = 0.15
"""The fraction of descriptions that name somebody else in passing, unlike the others of their batch."""

_LOWERED = 0.02
"""The fraction of descriptions that write people's names in lower case."""


def titles(rows: Sequence[Row], batches: int, invented: Sequence[str], chance: random.Random) -> list[Row]:
    """Make batches that each have a template of the title. `rows` supply their titles and names."""
    lenders = [row for row in rows if len(row.want_title) > len("abc")]
    names = _names(rows, least=1)
    if not names:
        return []
    return [row for number in range(batches) for row in _TitleBatch(number, names, invented, chance).rows(lenders)]


def descriptions(rows: Sequence[Row], batches: int, invented: Sequence[str], chance: random.Random) -> list[Row]:
    """Make batches that each have a template of the description; the texts come from rows that name nobody."""
    lenders = [row for row in rows if len(row.want_title) > len("abc")]
    names = _names(rows, least=2)
    bodies = [row.description for row in rows if row.kind == "no_names" and len(row.description) > 80]
    if not names or not bodies:
        return []
    return [
        row
        for number in range(batches)
        for row in _description_batch(number, lenders, names, bodies, invented=invented, chance=chance)
    ]


def _names(rows: Sequence[Row], least: int) -> list[str]:
    every = [name for row in rows for name in row.want_names]
    return [name for name in every if least <= len(name.split()) <= 5 and "," not in name and "(" not in name]


def _some(names: Sequence[str], invented: Sequence[str], count: int, chance: random.Random) -> list[str]:
    found: list[str] = []
    for _ in range(count):
        name = chance.choice(invented) if invented and chance.random() < _INVENTED else chance.choice(names)
        if name not in found:
            found.append(name)
    return found


def _joined(names: Sequence[str], join: str | None, last: str) -> str:
    if join is not None or len(names) == 1:
        return (join or "").join(names)
    return ", ".join(names[:-1]) + last + names[-1]


def _initialled(name: str) -> str:
    """Abbreviate `Ada Lovelace` to `A. Lovelace`; other names stay unchanged."""
    tokens = name.split()
    return f"{name[0]}. {' '.join(tokens[1:])}" if len(tokens) > 1 and name[0].isupper() else name


def _event(chance: random.Random) -> str:
    """Return the name of an event: from the list, or composed of a place, a topic and a kind of event."""
    if chance.random() < 0.4:
        return str(chance.choice(_TEMPLATES["events"]))
    place, topic = chance.choice(_TEMPLATES["event_places"]), chance.choice(_TEMPLATES["event_topics"])
    kind = chance.choice(_TEMPLATES["event_kinds"])
    glue = "" if kind and chance.random() < 0.4 else " "
    named = f"{topic}{glue}{kind}".strip()
    form = chance.random()
    return f"{place} {named}" if form < 0.45 else f"{named} {place}" if form < 0.75 else named


def _respelt(event: str, chance: random.Random) -> str:
    """Return the same event in another spelling."""
    ways = [event.replace(" ", "", 1), event.lower(), event.replace("Conf", " Conf").replace("  ", " ")]
    ways += [event.replace(" Conf", "Conf"), event.replace("Conf", "Conference").replace("Conferenceerence", "Conf")]
    return chance.choice(ways)


def _handle(name: str, chance: random.Random) -> str:
    tokens = [token for token in fold(name).replace(".", " ").split() if token.isalnum()] or ["somebody"]
    ways = [tokens[0], tokens[-1], "".join(tokens), tokens[0][0] + tokens[-1], tokens[-1] + str(chance.randint(1, 99))]
    return chance.choice([*ways, f"_{tokens[-1]}", f"{tokens[0]}_{tokens[-1]}"])


class _TitleBatch:
    """One template with everything that is the same in the whole batch."""

    def __init__(self, number: int, names: Sequence[str], invented: Sequence[str], chance: random.Random) -> None:
        self.number, self.names, self.invented, self.chance = number, names, invented, chance
        self.template = chance.choice(_TEMPLATES["titles"])
        self.other = chance.choice(_TEMPLATES["titles"]) if chance.random() < _MIXED else None
        self.separators = chance.choice(_TEMPLATES["separators"]), chance.choice(_TEMPLATES["separators"])
        year = chance.randint(2008, 2026)
        form = chance.choice(_TEMPLATES["event_forms"])
        dates = {"y": year, "s": year % 100, "d": f"{chance.randint(1, 28):02d}.{chance.randint(1, 12):02d}"}
        name = _event(chance)
        self.event = form.format(e=name, **dates)
        self.respelt = form.format(e=_respelt(name, chance), **dates) if chance.random() < _MIXED else self.event
        self.language = chance.choice(_TEMPLATES["languages"]) if chance.random() < _RARE else ""
        self.leftover = chance.choice(_TEMPLATES["leftovers"]) if chance.random() < _RARE else ""
        self.handles = chance.choice([" @{h}", " @{h}", " (@{h})", ", @{h}"]) if chance.random() < _RARE else ""
        self.shouts = chance.choice(["title", "all"]) if chance.random() < _RARE else ""
        self.cut_off = chance.random() < 2 * _RARE
        self.numbered_event = chance.random() < 0.15
        self.affiliated = chance.choice([0, 0, 0, 0.1, 0.9])
        self.affiliation = chance.choice(_TEMPLATES["affiliations"])
        self.join = chance.choice([", ", " & ", " and ", None, None, "; ", " y ", " et ", " и ", ", and ", " + "])
        self.labelled = chance.choice([0, 0, 0, 0.2, 0.6])
        self.labels = chance.sample(_TEMPLATES["labels"], 3)
        self.doctors = chance.choice([0, 0, 0.1])
        self.initials = chance.choice([0, 0, 0, 0.05, 1]) if chance.random() < 0.15 else 0
        self.surnames = chance.random() < 0.04
        self.nameless = chance.choice([0, 0, 0.05, 0.2])
        self.several = chance.choice([0.05, 0.2, 0.5])
        self.tracks = chance.sample(_TEMPLATES["tracks"], 3)
        self.code = chance.choice(_TEMPLATES["codes"])

    def rows(self, lenders: Sequence[Row]) -> list[Row]:
        return [self._row(number, self.chance.choice(lenders)) for number in range(1, self.chance.choice(_SIZES) + 1)]

    def _row(self, number: int, lender: Row) -> Row:
        chance = self.chance
        count = 1 + sum(chance.random() < self.several / n for n in (1, 3, 6, 6, 6))
        names = [self._short(name) for name in _some(self.names, self.invented, count, chance)]
        if len(names) > 2 and chance.random() < 0.4:
            names = [_initialled(name) for name in names]
        title = gold = lender.want_title
        if chance.random() < self.labelled and ":" not in title[:18]:
            label = chance.choice(self.labels)
            title = f"{label}: {title}"
            gold = title if label in _TEMPLATES["labels_that_stay"] else gold
        template = self.other if self.other and chance.random() < 0.15 else self.template
        if chance.random() < self.nameless:
            for part in (
                "{s}{N}",
                "{z}{N}",
                "{N}{s}",
                "{N}: ",
                "{N}. ",
                "{N}{z}",
                " ({N})",
                " [{N}]",
                " by {N}",
                ", por {N}",
            ):
                template = template.replace(part, "", 1) if "{N}" in template else template
        names = names if "{N}" in template else []
        shown = self._shown(names)
        if names and chance.random() < 0.01:
            names, shown = [], chance.choice(_TEMPLATES["nobody"])
        event = self.respelt if chance.random() < 0.2 else self.event
        text = template.format(
            T=title.upper() if self.shouts else title,
            N=shown,
            E=f"{event} #{chance.randint(1, 40)}" if self.numbered_event else event,
            s=self.separators[0],
            z=self.separators[1],
            K=chance.choice(self.tracks),
            O=chance.choice(_TEMPLATES["organisations"]),
            C=self.code.format(n=number, t=chance.randint(1, 5)),
            M=f"MP{chance.randint(10, 60)}",
        )
        text = text.upper() if self.shouts == "all" else text
        text = f"{self.language} {text}" if self.language and chance.random() < 0.9 else text
        text += self.leftover if self.leftover and chance.random() < 0.5 else ""
        if self.cut_off and len(text) > _CUT_OFF:
            cut = plain(text[:_CUT_OFF])
            if all(plain(wanted) in cut for wanted in (gold, *names)):
                text = text[:_CUT_OFF].rstrip()
        return Row(
            id=f"title-{self.number}-{number}-{lender.id}",
            event=f"title-{self.number}",
            kind="names_in_title" if names else "no_names",
            title=text,
            description=lender.description if chance.random() < 0.3 else "",
            want_title=gold,
            want_names=tuple(names),
            series=lender.series,
            synthetic=True,
        )

    def _short(self, name: str) -> str:
        """Return a name, sometimes as an initial and a surname, or as a surname or a first name alone."""
        if self.chance.random() < self.initials:
            return _initialled(name)
        if self.surnames:
            return name.rsplit(maxsplit=1)[-1]
        chance, tokens = self.chance.random(), name.split()
        if chance < 0.01 and len(tokens) > 1:
            nickname = self.chance.choice(_TEMPLATES["nicknames"])
            return f'{tokens[0]} "{nickname}" {" ".join(tokens[1:])}'
        if chance < 0.015:
            return name.replace(" ", "  ", 1)
        return tokens[0] if chance > 0.98 else name

    def _shown(self, names: Sequence[str]) -> str:
        """Return the names as the title has them, with academic titles and affiliations."""
        if not names:
            return ""
        chance, shown = self.chance, []
        affiliated, shared = chance.random() < self.affiliated, chance.random() < 0.4
        for number, name in enumerate(names):
            text = f"Dr. {name}" if chance.random() < self.doctors else name
            if self.handles and chance.random() < 0.9:
                text += self.handles.format(h=_handle(name, chance))
            if affiliated and (not shared or number == len(names) - 1):
                text = self.affiliation.format(
                    n=text, o=chance.choice(_TEMPLATES["organisations"]), r=chance.choice(_TEMPLATES["roles"])
                )
            shown.append(text)
        if affiliated and not shared and "," in self.affiliation:
            return "; ".join(shown)
        return _joined(shown, self.join, " & ")


def _description_batch(
    number: int,
    lenders: Sequence[Row],
    names: Sequence[str],
    bodies: Sequence[str],
    *,
    invented: Sequence[str],
    chance: random.Random,
) -> list[Row]:
    mode = chance.random()
    head = chance.choice(_TEMPLATES["heads"]) if mode < 0.72 else ""
    tail = chance.choice(_TEMPLATES["tails"]) if 0.68 <= mode < 0.92 else ""
    noise = chance.choice(_TEMPLATES["noise"]) if chance.random() < 0.35 else ""
    noise_first = chance.random() < 0.3
    event = f"{chance.choice(_TEMPLATES['events'])} {chance.randint(2008, 2026)}"
    city, helper = chance.choice(_TEMPLATES["cities"]), chance.choice(names)
    join = chance.choice([", ", " & ", " and ", None, None, "; ", "\n", " y ", " / "])
    several, gap = chance.choice([0.05, 0.2, 0.6]), chance.choice(["\n", "\n\n", "\n\n"])
    with_body, nameless = chance.choice([0, 0.7, 1]), chance.choice([0, 0, 0.1, 0.3])
    found = []
    for position in range(chance.choice(_SIZES)):
        lender = chance.choice(lenders)
        many = "{L" in head and chance.random() < 0.9
        count = chance.randint(3, 9) if many else 1 + sum(chance.random() < several / n for n in (1, 2, 4, 4))
        people = _some(names, invented, count, chance)
        if chance.random() < _LOWERED:
            people = [name.lower() for name in people]
        values = _values(people, lender.want_title, join, lenders, chance)
        values |= {"E": event, "PL": city, "C": f"{position:02d}_401"}
        values |= {"X": chance.choice([helper, chance.choice(names)]), "Y": chance.choice(names)}
        silent = chance.random() < nameless
        naming = [text for text in (head, tail) if not silent and any(mark in text for mark in ("{N", "{F", "{L"))]
        named: Sequence[str] = (
            people if any("{N" in text or "{L" in text for text in naming) else people[: len(naming[:1])]
        )
        body = chance.choice(bodies) if chance.random() < with_body else ""
        body = body[: chance.randint(0, 800)] if chance.random() < 0.5 else body
        if chance.random() < _STRAY:
            body += chance.choice([" ", "\n"]) + chance.choice(_TEMPLATES["noise"]).format(**values)
        parts = [
            head if head in naming or not any(mark in head for mark in ("{N", "{F", "{L")) else "",
            noise if noise_first else "",
            None,
            tail if tail in naming or not any(mark in tail for mark in ("{N", "{F", "{L")) else "",
            "" if noise_first else noise,
        ]
        texts = [body if part is None else part.format(**values) for part in parts]
        found.append(
            Row(
                id=f"description-{number}-{position}",
                event=f"description-{number}",
                kind="names_in_description" if named else "no_names",
                title=lender.want_title,
                description=gap.join(filter(None, texts)),
                want_title=lender.want_title,
                want_names=tuple(named),
                series=lender.series,
                synthetic=True,
            )
        )
    return found


def _values(
    people: Sequence[str], title: str, join: str | None, lenders: Sequence[Row], chance: random.Random
) -> dict[str, str]:
    """Return the values that fill the templates of descriptions."""
    pick = {
        key: chance.choice(_TEMPLATES[name])
        for key, name in (("O", "organisations"), ("P", "organisations"), ("D", "days"), ("R", "rooms"), ("H", "halls"))
    }
    day = chance.choice(["Sat Sep", "Fri Aug", "Sun Jul", "Mon Oct"])
    date = f"{day} {chance.randint(1, 28)} {chance.randint(9, 17)}:30:00 2019"
    return {
        **pick,
        "N": _joined(people, join, " and "),
        "F": people[0],
        "FN": people[0].split()[0],
        "T": title,
        "U": "https://example.org/talks/353/x",
        "B0": "",
        "D0": date,
        "L": "\n".join(f"{5 * n:02d}:04 - {name}" for n, name in enumerate(people)).removeprefix("00:04 - "),
        "L2": "\n".join(f"{name} {5 * n}:24" for n, name in enumerate(people)),
        "L3": "\n".join(
            f"  * {5 * n:02d}:00 - {name}: {chance.choice(lenders).want_title}" for n, name in enumerate(people)
        ),
        "NO": "; ".join(f"{name}, {chance.choice(_TEMPLATES['organisations'])}" for name in people),
    }
