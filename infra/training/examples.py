"""Turns rows into training examples: each piece of a title and each possible name, with its features and its label."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from sys import intern
from typing import TYPE_CHECKING

from titlecard.domain.text import one_line, words
from titlecard.extraction.description import OTHER, PERSON, DescriptionView
from titlecard.extraction.mentions import lines
from titlecard.extraction.names import TITLES
from titlecard.extraction.surveying import SurveyedRow, survey_of
from titlecard.extraction.titles import DROP, NAME, TITLE, TitleView
from training.dataset import by_event, some_of_its_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from titlecard.extraction.mentions import Mention
    from titlecard.extraction.model import Model
    from titlecard.extraction.names import Lexicon
    from titlecard.extraction.segments import Segment
    from titlecard.extraction.survey import Survey
    from training.dataset import Row

SMALL_BATCHES = (1, 1, 1, 2, 3, 4, 6, 8)
"""The sizes of the random batch in which each row is seen a second time: an upload may have a single row."""

_SPARE_WORDS = 3
"""The most extra words of a piece that still serves as an example of a name."""


@dataclass(frozen=True)
class Example:
    """A labelled sequence; `series` names the series of its rows."""

    series: str
    features: list[list[str]]
    labels: list[str]
    kinds: list[str]


def surveyed(
    rows: Sequence[Row], lexicon: Lexicon, seed: int, first: Model | None = None, every: int = 2
) -> Iterator[tuple[Row, Survey]]:
    """Yield each row with the survey of its whole batch, and some again with that of a small batch.

    `first` labels the rows of each batch at first sight. One in `every` real rows is also seen in a small batch.
    """
    chance = random.Random(seed)  # noqa: S311  # samples, not secrets
    for batch in by_event(rows).values():
        readings = {row.id: _reading(row, lexicon) for row in batch}
        whole = survey_of([readings[row.id] for row in batch], first)
        for number, row in enumerate(batch):
            yield row, whole
            if not row.synthetic and number % every == 0:
                some = some_of_its_batch(row, batch, chance.choice(SMALL_BATCHES), chance)
                yield row, survey_of([readings[each.id] for each in some], first)


_lines = cache(lines)


@cache
def _reading(row: Row, lexicon: Lexicon) -> SurveyedRow:
    """Return what the survey takes from a row; kept because each row is surveyed several times."""
    return SurveyedRow.of(row.title, row.description, lexicon)


def of_titles(rows: Sequence[Row], lexicon: Lexicon, seed: int, first: Model | None = None) -> Iterator[Example]:
    """Yield the examples of titles; skip a title that does not contain its right answer as a run of pieces."""
    for row, survey in surveyed(rows, lexicon, seed, first):
        view = TitleView(one_line(row.title), _lines(row.description), survey, lexicon)
        labels = title_labels(view.title, view.parts, row)
        if labels is not None:
            yield Example(row.series, _interned(view.features()), labels, view.kinds())


def of_descriptions(rows: Sequence[Row], lexicon: Lexicon, seed: int) -> Iterator[Example]:
    """Yield the examples of descriptions; one that repeats a name of the title is used as if the title lacked it."""
    for row, survey in surveyed(rows, lexicon, seed):
        view = DescriptionView(_lines(row.description), row.want_title, survey, lexicon)
        labels = mention_labels(view.found, row)
        if labels and (row.kind != "names_in_title" or PERSON in labels):
            yield Example(row.series, _interned(view.features()), labels, [])


def title_labels(title: str, parts: Sequence[Segment], row: Row) -> list[str] | None:
    """Return the right label of each piece; None if the right title is not a run of pieces."""
    want = words(row.want_title)
    runs = [
        (last - first, first, last)
        for first in range(len(parts))
        for last in range(first, len(parts))
        if words(title[parts[first].start : parts[last].end]) == want
    ]
    if not runs:
        return None
    _, first, last = max(runs)
    names = [_bare(name) for name in row.want_names]
    named = [_is_one_of(_bare(part.text), names, _SPARE_WORDS) for part in parts]
    if any(is_name and "handle" not in part.left for is_name, part in zip(named, parts, strict=True)):
        named = [is_name and "handle" not in part.left for is_name, part in zip(named, parts, strict=True)]
    return [TITLE if first <= number <= last else NAME if named[number] else DROP for number in range(len(parts))]


def mention_labels(found: Sequence[Mention], row: Row) -> list[str]:
    """Return the right label of each possible name."""
    names = [_bare(name) for name in row.want_names]
    return [PERSON if _is_one_of(_bare(mention.text), names, 2) else OTHER for mention in found]


def _interned(features: list[list[str]]) -> list[list[str]]:
    """Return the same features with each distinct text once in memory: there are millions, and few are distinct."""
    return [[intern(feature) for feature in item] for item in features]


def _bare(name: str) -> list[str]:
    return [word for word in words(name) if word not in TITLES]


def _is_one_of(tokens: list[str], names: Sequence[list[str]], spare: int) -> bool:
    """Return whether the tokens are one of the names, or contain one and at most `spare` other words."""
    return any(
        name
        and len(tokens) <= len(name) + spare
        and any(tokens[at : at + len(name)] == name for at in range(len(tokens)))
        for name in names
    )
