"""What the rows of one batch have in common.

A conference's uploads follow a template: the same prefix, the same separator, the name on the same side. One row shows
little of it, fifty rows show all. The survey is learnt once at ingest, travels as a few kilobytes of JSON, and is what
the local tier sees of the rest of the batch.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from titlecard.local.segments import segments
from titlecard.text import normalise, words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from titlecard.video import Video

SAMPLE = 2000
"""Rows that are looked at, at most: a template shows in far fewer."""

_KEPT = 200
"""Recurring segments that are kept, at most; they and the rest stay far below 32 KiB."""


@dataclass(frozen=True)
class Survey:
    """The template of a batch: how many rows were seen, and in how many of them each recurring segment stands."""

    rows: int = 0
    recurring: dict[str, int] = field(default_factory=dict)

    @classmethod
    def learn(cls, videos: Iterable[Video]) -> Survey:
        """What these videos share. The same videos in the same order make the same survey; none make an empty one."""
        seen: Counter[str] = Counter()
        rows = 0
        for video in islice(videos, SAMPLE):
            rows += 1
            seen.update({" ".join(words(part.text)) for part in segments(normalise(video.title))} - {""})
        often = sorted(((n, text) for text, n in seen.items() if n > 1), key=lambda pair: (-pair[0], pair[1]))
        return cls(rows=rows, recurring={text: n for n, text in often[:_KEPT]})

    def to_json(self) -> str:
        """The survey as one line of JSON (at most 32 KiB)."""
        return json.dumps({"rows": self.rows, "recurring": self.recurring}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Survey:
        """The survey that `to_json` wrote.

        Raises:
            ValueError: the text is not a survey.
        """
        data = json.loads(text)
        return cls(rows=int(data["rows"]), recurring=dict(data["recurring"]))
