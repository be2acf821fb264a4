"""Finds the stretches of a list of videos: runs of neighbours that follow one template.

A site's whole archive, uploaded as one file, lists one conference after the other, and each has a template of its own.
What its rows repeat is rare in the file as a whole, so a survey of the file would miss it.

    rows ─► blocks of a few neighbours ─► the most alike two are joined ─► … ─► none are alike: stretches
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, NamedTuple

from titlecard.domain.text import one_line
from titlecard.extraction.mentions import lines
from titlecard.extraction.segments import affix_words, text_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from titlecard.domain.video import Video

_BLOCK = 8
"""The number of neighbouring rows that a stretch begins with."""

_SHORTEST = 12
"""The fewest rows of a stretch: fewer show too little of a template."""

_ALIKE = 0.3
"""The least likeness (0 to 1) of two stretches that follow one template. With any value from 0.25 to 0.5, known
conferences of 60 rows and more stay whole and are told apart from their neighbours."""

_OFTEN = 0.25
"""A text in at least this share of a stretch's rows says something about its template."""

_RARE = 1 / 32
"""The share below which a text is forgotten, so that long stretches are compared as quickly as short ones."""

_WORDS = 3
_LINE_CHARACTERS = 60
_MOST_LINES = 3


def stretches(videos: Sequence[Video]) -> list[range]:
    """Return the stretches of a list of videos, as ranges of its indices, in order; an empty list has none."""
    texts = [_texts(video) for video in videos]
    blocks = [range(start, min(start + _BLOCK, len(texts))) for start in range(0, len(texts), _BLOCK)]
    found = [_Stretch(rows, Counter(text for row in rows for text in texts[row])) for rows in blocks]
    alike = [first.likeness(second) for first, second in pairwise(found)]
    while alike:
        at = max(range(len(alike)), key=alike.__getitem__)
        if alike[at] < _ALIKE:
            break
        found[at : at + 2] = [found[at].joined(found[at + 1])]
        del alike[at]
        if at < len(alike):
            alike[at] = found[at].likeness(found[at + 1])
        if at:
            alike[at - 1] = found[at - 1].likeness(found[at])
    cuts = [0]
    for first, second in pairwise(found):
        cuts.append(_cut(first, second, texts, after=cuts[-1]))
    return [range(start, stop) for start, stop in pairwise([*cuts, len(texts)])] if texts else []


def _cut(first: _Stretch, second: _Stretch, texts: Sequence[frozenset[str]], after: int) -> int:
    """Return the row, later than `after`, at which the second of two stretches begins: blocks may span two of them."""
    start = second.rows.start
    near = range(max(after + 1, start - _BLOCK), min(second.rows.stop, start + _BLOCK))
    fits = [sum(first.share(text) - second.share(text) for text in texts[row]) for row in near]
    gains = list(accumulate(fits, initial=0.0))  # of a stretch that ends before each of these rows
    return near.start + max(range(len(gains)), key=lambda place: (gains[place], -abs(near.start + place - start)))


class _Stretch(NamedTuple):
    """Neighbouring rows, and the number of them that have each text."""

    rows: range
    counts: Counter[str]

    def share(self, text: str) -> float:
        """Return the share of the rows that have a text."""
        return self.counts[text] / len(self.rows)

    def likeness(self, other: _Stretch) -> float:
        """Return how alike the frequent texts of two stretches are, from 0 to 1; more if one is too short to stay."""
        common = either = 0.0
        for text in self.counts.keys() | other.counts.keys():
            mine, its = self.share(text), other.share(text)
            if max(mine, its) >= _OFTEN and max(self.counts[text], other.counts[text]) > 1:
                common += min(mine, its)
                either += max(mine, its)
        too_short = min(len(self.rows), len(other.rows)) < _SHORTEST
        return (common / either if either else 0.0) + too_short

    def joined(self, following: _Stretch) -> _Stretch:
        """Return this stretch and the following one as one."""
        rows = range(self.rows.start, following.rows.stop)
        counts = self.counts + following.counts
        return _Stretch(rows, Counter({text: n for text, n in counts.items() if n >= _RARE * len(rows)}))


def _texts(video: Video) -> frozenset[str]:
    """Return the texts of a row in which a template shows: the ends of its title, and the lines of its description."""
    title, description = affix_words(one_line(video.title)), lines(video.description)
    return frozenset(chain(_of_title(title), _of_description(description)))


def _of_title(tokens: Sequence[str]) -> Iterator[str]:
    for size in range(1, min(_WORDS, len(tokens) - 1) + 1):
        yield "begins " + " ".join(tokens[:size])
        yield "ends " + " ".join(tokens[-size:])


def _of_description(about: Sequence[str]) -> Iterator[str]:
    yield f"lines {min(len(about), _MOST_LINES)}"
    for line in about:
        yield text_key(line)[:_LINE_CHARACTERS]
