"""What the rows of one batch have in common.

A conference's uploads follow a template: the same prefix, the same separator, the name on the same side, the same first
line in every description. One row shows little of it, fifty rows show all of it. An archive of many conferences has
many templates, so a batch has a survey for each of its parts. Ingest takes the surveys once, from a bounded sample
(`surveying`). The local tier sees nothing else of the other rows.
"""

from __future__ import annotations

import gzip
import json
import zlib
from bisect import bisect_right
from dataclasses import asdict, dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from titlecard.domain.text import fold, one_line

if TYPE_CHECKING:
    from titlecard.domain.video import Video

LARGEST = 32 * 1024
"""The most bytes of a survey's JSON."""

_NAME_CHARACTERS = 100
"""The number of characters of an event's or a channel's name that are compared."""


@dataclass(frozen=True)
class Survey:
    """The template of rows that belong together.

    rows, described: the number of surveyed rows, and of those with a description.
    heads, tails: words that many titles begin or end with, with their counts.
    phrases: words that occur together anywhere in many titles, with their counts.
    common: single words that many titles have, with their counts.
    recurring: folded pieces of titles that occur in several rows, with their counts.
    people: folded names that occur in several descriptions, with their counts (organisers, not presenters).
    template: the layout of most titles, in words, and its share: `event - title - name (80 %)`.
    roles: for a place in the title, the number of rows in which it was labelled title, name, and neither.
    slots: for a place in the title, the number of rows that have it, and of names in it (the sum of the chances).
    spots: the same for a place in the description.
    """

    rows: int = 0
    described: int = 0
    heads: dict[str, int] = field(default_factory=dict)
    tails: dict[str, int] = field(default_factory=dict)
    phrases: dict[str, int] = field(default_factory=dict)
    common: dict[str, int] = field(default_factory=dict)
    recurring: dict[str, int] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    template: str = ""
    roles: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    slots: dict[str, tuple[int, float]] = field(default_factory=dict)
    spots: dict[str, tuple[int, float]] = field(default_factory=dict)

    @cached_property
    def squeezed_heads(self) -> dict[str, int]:
        """The heads without spaces: `Dev Conf 0` is `devconf0`."""
        return {head.replace(" ", ""): count for head, count in self.heads.items()}

    @cached_property
    def squeezed_tails(self) -> dict[str, int]:
        """The tails without spaces."""
        return {tail.replace(" ", ""): count for tail, count in self.tails.items()}

    @cached_property
    def squeezed(self) -> dict[str, int]:
        """The phrases without spaces."""
        found: dict[str, int] = {}
        for text, count in self.phrases.items():
            key = text.replace(" ", "")
            found[key] = max(count, found.get(key, 0))
        return found

    def hint(self) -> str:
        """Return the template in a few words, for a model that sees only one row.

        It describes the layout of titles, and what they begin with, end with and repeat.
        """
        shared = dict.fromkeys((*list(self.heads)[:2], *list(self.tails)[:2], *list(self.recurring)[:4]))
        return "; ".join(filter(None, (self.template, " | ".join(shared))))

    def to_json(self) -> str:
        """Return the survey as one line of JSON, of at most `LARGEST` bytes in UTF-8."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Survey:
        """Return the survey that `to_json` wrote.

        Raises:
            ValueError: the text is not a survey.
        """
        return cls.from_map(json.loads(text))

    @classmethod
    def from_map(cls, data: Any) -> Survey:  # noqa: ANN401 -- it may be anything
        """Return the survey with these fields.

        Raises:
            ValueError: they are not a survey's.
        """
        try:
            return cls(
                rows=int(data["rows"]),
                described=int(data["described"]),
                heads={str(key): int(n) for key, n in data["heads"].items()},
                tails={str(key): int(n) for key, n in data["tails"].items()},
                phrases={str(key): int(n) for key, n in data.get("phrases", {}).items()},
                common={str(key): int(n) for key, n in data.get("common", {}).items()},
                recurring={str(key): int(n) for key, n in data["recurring"].items()},
                people={str(key): int(n) for key, n in data["people"].items()},
                template=str(data.get("template", "")),
                roles={str(key): (int(t), int(n), int(d)) for key, (t, n, d) in data.get("roles", {}).items()},
                slots={str(key): (int(n), float(total)) for key, (n, total) in data["slots"].items()},
                spots={str(key): (int(n), float(total)) for key, (n, total) in data["spots"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"This is not a survey: {error!r}.") from error


Stretches = tuple[tuple[int, Survey], ...]
"""The surveys of consecutive stretches, each after the number of its first row; in ascending order."""


@dataclass(frozen=True)
class BatchSurvey:
    """The surveys of a batch.

    whole: the survey of all its rows.
    parts: the stretches of each event or channel that its rows name; under the empty name, those of its other rows.
    """

    whole: Survey = field(default_factory=Survey)
    parts: dict[str, Stretches] = field(default_factory=dict)

    def of(self, row: int, video: Video) -> Survey:
        """Return the survey of the rows that a row belongs to, from its number and its video."""
        stretches = self.parts.get(group_of(video)) or self.parts.get("", ())
        place = bisect_right(stretches, row, key=itemgetter(0))
        return stretches[max(place - 1, 0)][1] if stretches else self.whole

    def stored(self) -> dict[str, str | bytes]:
        """Return the surveys as an item's attributes, without `parts` if there are none."""
        whole = {"survey": self.whole.to_json()}
        return {**whole, "parts": self.parts_to_bytes()} if self.parts else {**whole}

    def parts_to_bytes(self) -> bytes:
        """Return the parts as compressed JSON; equal parts give equal bytes."""
        parts = {name: [[row, asdict(survey)] for row, survey in found] for name, found in self.parts.items()}
        return gzip.compress(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode(), mtime=0)

    @classmethod
    def from_stored(cls, whole: str, parts: bytes) -> BatchSurvey:
        """Return the surveys with these attributes; no bytes are no parts.

        Raises:
            ValueError: they are not surveys.
        """
        try:
            data = json.loads(gzip.decompress(parts)) if parts else {}
            found = {
                str(name): tuple((int(row), Survey.from_map(survey)) for row, survey in stretches)
                for name, stretches in data.items()
            }
        except (OSError, EOFError, zlib.error, TypeError, AttributeError) as error:
            raise ValueError(f"These are not surveys: {error!r}.") from error
        return cls(Survey.from_json(whole), found)


def group_of(video: Video) -> str:
    """Return the event that a row names, else its channel, without case, accents and extra spaces."""
    name = one_line(video.event or video.channel or "")
    return " ".join(fold(name).split())[:_NAME_CHARACTERS]
