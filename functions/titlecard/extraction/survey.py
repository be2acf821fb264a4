"""What the rows of one batch have in common.

A conference's uploads follow a template: the same prefix, the same separator, the name on the same side, the same first
line in every description. One row shows little of it, fifty rows show all. The survey is learnt once at ingest from a
bounded sample, travels as a few kilobytes of JSON, and is all that the local tier sees of the rest of the batch.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from titlecard.domain.text import one_line, words
from titlecard.extraction.mentions import lines, mentions, spot_keys
from titlecard.extraction.model import shipped
from titlecard.extraction.segments import affix_words, segments, slot_keys, text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from titlecard.domain.video import Video
    from titlecard.extraction.names import Lexicon

SAMPLE = 500
"""Rows that are looked at, at most: a template shows in far fewer."""

LARGEST = 32 * 1024
"""Bytes of a survey's JSON, at most: it travels with every message, and SQS takes 256 KiB for ten."""

_KEPT = 64
"""Entries of a kind that are kept, at most: the most frequent ones."""

_LONGEST_TEXT = 60
"""Characters of a recurring text: longer ones are titles that were uploaded twice, not templates."""

_LINES = 12
"""Lines of a description in which a template shows."""

_LIKELY = 0.4
_AFFIX_TOKENS = 8
_AFFIXES = 6
_LEAST_SHARE = 0.15
_MOST_OF = 0.6


@dataclass(frozen=True)
class Survey:
    """The template of a batch.

    rows, described: how many rows were seen, and how many of them have a description.
    heads, tails: words that many titles begin or end with, with their number.
    recurring: the folded pieces of titles that stand in several rows, with their number.
    people: the folded names that stand in several descriptions, with their number (organisers, not presenters).
    slots: for a place in the title, in how many rows it exists, and how many names it holds (the sum of the chances).
    spots: the same for a place in the description.
    """

    rows: int = 0
    described: int = 0
    heads: dict[str, int] = field(default_factory=dict)
    tails: dict[str, int] = field(default_factory=dict)
    recurring: dict[str, int] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    slots: dict[str, tuple[int, float]] = field(default_factory=dict)
    spots: dict[str, tuple[int, float]] = field(default_factory=dict)

    @classmethod
    def learn(cls, videos: Iterable[Video]) -> Survey:
        """What these videos share. The same videos in the same order make the same survey; none make an empty one."""
        lexicon = shipped().lexicon
        return cls.combine([Reading.of(v.title, v.description, lexicon) for v in islice(videos, SAMPLE)])

    @classmethod
    def combine(cls, readings: Sequence[Reading]) -> Survey:
        """The survey of rows that have been read."""
        titles = [affix_words(reading.title) for reading in readings]
        return cls(
            rows=len(readings),
            described=sum(reading.described for reading in readings),
            heads=_affixes(titles, 1),
            tails=_affixes(titles, -1),
            recurring=_often(reading.texts for reading in readings),
            people=_often(reading.people for reading in readings),
            slots=_totals(reading.slots for reading in readings),
            spots=_totals(reading.spots for reading in readings),
        )

    def hint(self) -> str:
        """The template in a few words, for somebody who sees one row only: what titles begin with, end with, repeat."""
        return " | ".join(dict.fromkeys((*list(self.heads)[:2], *list(self.tails)[:2], *list(self.recurring)[:4])))

    def to_json(self) -> str:
        """The survey as one line of JSON, of at most `LARGEST` bytes in UTF-8."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Survey:
        """The survey that `to_json` wrote.

        Raises:
            ValueError: the text is not a survey.
        """
        try:
            data = json.loads(text)
            return cls(
                rows=int(data["rows"]),
                described=int(data["described"]),
                heads={str(key): int(n) for key, n in data["heads"].items()},
                tails={str(key): int(n) for key, n in data["tails"].items()},
                recurring={str(key): int(n) for key, n in data["recurring"].items()},
                people={str(key): int(n) for key, n in data["people"].items()},
                slots={str(key): (int(n), float(total)) for key, (n, total) in data["slots"].items()},
                spots={str(key): (int(n), float(total)) for key, (n, total) in data["spots"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"This is not a survey: {error!r}.") from error


@dataclass(frozen=True)
class Reading:
    """What the survey takes from one row: its pieces and possible names, and the chance of a name at each place."""

    title: str
    described: bool
    texts: frozenset[str]
    people: frozenset[str]
    slots: dict[str, float]
    spots: dict[str, float]

    @classmethod
    def of(cls, title: str, description: str, lexicon: Lexicon) -> Reading:
        """Read one row, as given."""
        title = one_line(title)
        parts = segments(title, lexicon)
        slots: dict[str, float] = {}
        for number, part in enumerate(parts):
            chance = lexicon.nameness(part.text).chance
            for key in slot_keys(parts, number):
                slots[key] = max(chance, slots.get(key, 0.0))
        about = lines(description)
        spots: dict[str, float] = {}
        people = set()
        for number, line in enumerate(about[:_LINES]):
            for mention in mentions(line, number, lexicon):
                chance = lexicon.nameness(mention.text).chance
                if chance > _LIKELY:
                    people.add(" ".join(words(mention.text)))
                for key in spot_keys(line, mention):
                    spots[key] = max(chance, spots.get(key, 0.0))
        texts = frozenset(text_key(part.text) for part in parts) - {""}
        return cls(title, bool(about), texts, frozenset(people), slots, spots)


def _often(sets: Iterable[frozenset[str]]) -> dict[str, int]:
    seen: Counter[str] = Counter()
    for texts in sets:
        seen.update(texts)
    often = [(text, n) for text, n in seen.items() if n > 1 and len(text) <= _LONGEST_TEXT]
    return dict(sorted(often, key=lambda pair: (-pair[1], pair[0]))[:_KEPT])


def _totals(places: Iterable[Mapping[str, float]]) -> dict[str, tuple[int, float]]:
    count: Counter[str] = Counter()
    total: dict[str, float] = defaultdict(float)
    for row in places:
        for key, chance in row.items():
            count[key] += 1
            total[key] += chance
    often = sorted((key for key, n in count.items() if n > 1), key=lambda key: (-count[key], key))
    return {key: (count[key], round(total[key], 2)) for key in often[:_KEPT]}


def _affixes(titles: Sequence[Sequence[str]], side: int) -> dict[str, int]:
    """What many titles begin (side 1) or end (side -1) with: whole words, as many as most of them share."""
    seen: Counter[tuple[str, ...]] = Counter()
    for tokens in titles:
        edge = tuple(tokens[::side][:_AFFIX_TOKENS])
        seen.update(edge[:n] for n in range(1, min(len(edge), len(tokens) - 1) + 1))
    least = max(2.0, _LEAST_SHARE * len(titles))
    kept = {affix for affix, n in seen.items() if n >= least}
    longer = Counter({affix[:-1]: 0 for affix in kept})
    for affix in kept:
        longer[affix[:-1]] = max(longer[affix[:-1]], seen[affix])
    whole = [
        affix
        for affix in kept
        if longer[affix] < _MOST_OF * seen[affix]
        and not "".join(affix).isdigit()
        and (
            len(affix) > 1 or seen[affix] >= _MOST_OF * len(titles)
        )  # "PyTorch" may be what half of the talks are about
    ]
    whole.sort(key=lambda affix: (-seen[affix], affix))
    return {" ".join(affix[::side]): seen[affix] for affix in whole[:_AFFIXES]}
