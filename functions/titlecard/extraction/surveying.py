"""How the surveys of a batch are taken: from a bounded sample of its rows.

    rows ─► by event or channel ─► stretches ─► SurveyedRow (pieces, possible names) ─► what many rows repeat
                                                                        ─► labels at first sight ─► layout

Importing this module imports the local tier's models; the survey itself is plain data (`titlecard.extraction.survey`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from titlecard.domain.text import one_line, words
from titlecard.extraction.mentions import lines, mentions, spot_keys
from titlecard.extraction.model import shipped
from titlecard.extraction.segments import LONGEST, affix_words, raw_words, role_keys, segments, slot_keys, text_key
from titlecard.extraction.stretches import stretches
from titlecard.extraction.survey import BatchSurvey, Survey, group_of
from titlecard.extraction.titles import DROP, NAME, ROLES, TITLE, TitleView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from titlecard.domain.video import Video
    from titlecard.extraction.model import Model
    from titlecard.extraction.names import Lexicon

    NumberedVideos = Sequence[tuple[int, Video]]
    SurveyEach = Callable[[Callable[[NumberedVideos], Survey], Iterable[NumberedVideos]], Iterable[Survey]]

SAMPLE = 500
"""The most rows of one survey: far fewer show a template."""

MOST_PARTS_BYTES = 300_000
"""The most bytes of a batch's parts. They are in one item, which holds at most 400 KB (DynamoDB developer guide,
"Constraints"). A conference takes about 2 KB."""

_LEAST_OF_GROUP = 5
"""The fewest rows of an event or a channel that has surveys of its own; those of smaller ones are surveyed together."""

_KEPT = 64
"""The most entries of a kind that are kept, the most frequent first."""

_LONGEST_TEXT = 60
"""The most characters of a recurring text: longer texts are titles that were uploaded twice, not templates."""

_LINES = 12
"""The number of first lines of a description that may show a template."""

_LIKELY = 0.4
_AFFIX_TOKENS = 8
_AFFIXES = 6
_LEAST_SHARE = 0.15
_MOST_OF = 0.6
_OFTEN = 0.25
_NUMBERED = re.compile(r"[^\W\d_]0|0[^\W\d_]")
_COMMON = 0.1
_FEW = 3
_TEMPLATE = 0.3
_IN_WORDS = {TITLE: "title", NAME: "name", DROP: "event"}
_SIGNS = {"dash": " - ", "pipe": " | ", "colon": ": ", "slash": " / ", "by": " by ", "open": " (", "at": " @ "}


def take_survey(videos: Iterable[Video], model: Model | None = None) -> Survey:
    """Return what these videos share. Equal videos in equal order give equal surveys; none give an empty one."""
    model = model or shipped()
    return survey_of([SurveyedRow.of(v.title, v.description, model.lexicon) for v in islice(videos, SAMPLE)], model)


def survey_batch(rows: NumberedVideos, model: Model | None = None, *, each: SurveyEach = map) -> BatchSurvey:
    """Return the surveys of a batch.

    Args:
        rows: a sample of its rows, in its order: the row's number and its video.
        model: labels the rows; the shipped one, if there is none.
        each: calls a function with each of several lists of rows, in order, as `map` does; an executor's `map` uses
            more cores.
    """
    of_group: dict[str, list[tuple[int, Video]]] = defaultdict(list)
    for row, video in rows:
        of_group[group_of(video)].append((row, video))
    named = {name: group for name, group in of_group.items() if name and len(group) >= _LEAST_OF_GROUP}
    others = [(row, video) for row, video in rows if group_of(video) not in named]
    split = {name: _stretches(group) for name, group in {**named, "": others}.items() if group}
    parts = [part for found in split.values() for part in found]
    if len(parts) < 2:  # noqa: PLR2004 -- one part is the whole
        return BatchSurvey(_survey(rows, model))
    whole, *taken = each(partial(_survey, model=model), [rows, *parts])
    left = iter(taken)
    found = {name: tuple((part[0][0], next(left)) for part in stretch) for name, stretch in split.items()}
    surveys = BatchSurvey(whole, found)
    while len(surveys.parts_to_bytes()) > MOST_PARTS_BYTES:  # the smallest parts have no surveys of their own
        largest = sorted(surveys.parts, key=lambda name: -len(of_group[name]))
        surveys = BatchSurvey(whole, {name: found[name] for name in largest[: len(largest) // 2]})
    return surveys


def _stretches(rows: NumberedVideos) -> list[NumberedVideos]:
    """Divide rows into their stretches."""
    return [rows[each.start : each.stop] for each in stretches([video for _, video in rows])]


def _survey(rows: NumberedVideos, model: Model | None) -> Survey:
    """Return the survey of a sample that is spread over these rows."""
    return take_survey((video for _, video in rows[:: len(rows) // (SAMPLE + 1) + 1]), model)


def survey_of(rows: Sequence[SurveyedRow], model: Model | None = None) -> Survey:
    """Return the survey of rows that have been read.

    Args:
        model: labels the rows a first time, so that the sure rows teach the others this batch's layout; None skips that
            step.
    """
    survey = _shared_text(rows)
    if model is None or len(rows) < 2:  # noqa: PLR2004  # a single row has no others to learn from
        return survey
    roles, template = _at_first_sight(rows, survey, model)
    return replace(survey, roles=roles, template=template)


@dataclass(frozen=True)
class SurveyedRow:
    """What the survey takes from one row: its pieces and possible names, and the chance of a name at each place."""

    title: str
    about: list[str]
    given: frozenset[str]
    texts: frozenset[str]
    people: frozenset[str]
    slots: dict[str, float]
    spots: dict[str, float]

    @classmethod
    def of(cls, title: str, description: str, lexicon: Lexicon) -> SurveyedRow:
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
        given = frozenset(word for word in affix_words(title) if word in lexicon.given and lexicon.score(word) > 0)
        return cls(title, about, given, texts, frozenset(people), slots, spots)


def _shared_text(rows: Sequence[SurveyedRow]) -> Survey:
    """Return what the text of the rows shares, before any row is labelled."""
    titles = [affix_words(row.title) for row in rows]
    given = frozenset[str]().union(*(row.given for row in rows))
    return Survey(
        rows=len(rows),
        described=sum(bool(row.about) for row in rows),
        heads=_affixes(titles, 1, given),
        tails=_affixes(titles, -1, given),
        phrases=_phrases([row.title for row in rows], titles, given),
        common=_common(titles),
        recurring=_often(row.texts for row in rows),
        people=_often(row.people for row in rows),
        slots=_totals(row.slots for row in rows),
        spots=_totals(row.spots for row in rows),
    )


def _often(sets: Iterable[frozenset[str]]) -> dict[str, int]:
    seen = Counter(chain.from_iterable(sets))
    return _most_frequent({text: n for text, n in seen.items() if n > 1 and len(text) <= _LONGEST_TEXT})


def _most_frequent(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the entries that are kept, the most frequent first."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_KEPT])


def _at_first_sight(
    rows: Sequence[SurveyedRow], survey: Survey, model: Model
) -> tuple[dict[str, tuple[int, int, int]], str]:
    """Return the labels of the pieces in each place at first sight, and the most frequent layout in words."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    layouts: Counter[str] = Counter()
    for row in rows:
        if len(row.title) > LONGEST:
            continue
        view = TitleView(row.title, row.about, survey, model.lexicon)
        labels = model.titles.labels_of(view.features(), view.kinds())
        layouts[_layout(view, labels)] += 1
        for number, label in enumerate(labels):
            for key in role_keys(view.parts, number):
                found[key][ROLES.index(label)] += 1
    often = sorted((key for key, counts in found.items() if sum(counts) > 1), key=lambda key: (-sum(found[key]), key))
    roles = {key: (found[key][0], found[key][1], found[key][2]) for key in often[: 2 * _KEPT]}
    (layout, count), *_ = [*sorted(layouts.items(), key=lambda pair: (-pair[1], pair[0])), ("", 0)]
    share = count / len(rows)
    return roles, f"{layout} ({share:.0%})" if share >= _TEMPLATE and count > 1 else ""


def _layout(view: TitleView, labels: Sequence[str]) -> str:
    """Return the layout of a title in words: `event - title - name`."""
    found = [_IN_WORDS[labels[0]]] if labels else []
    for part, before, label in zip(view.parts[1:], labels, labels[1:], strict=False):
        if label != before:
            found += [_SIGNS.get(part.left.partition("+")[0], " "), _IN_WORDS[label]]
    return "".join(found)


def _common(titles: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the words that many titles have, without numbers."""
    seen = Counter(token for tokens in titles for token in set(tokens) if not token.isdigit())
    least = max(2.0, _COMMON * len(titles))
    return _most_frequent({token: n for token, n in seen.items() if n >= least})


def _phrases(shown: Sequence[str], titles: Sequence[Sequence[str]], given: frozenset[str]) -> dict[str, int]:
    """Return the phrases of many titles: as many whole words as most of them share, with a capital or a number."""
    if len(titles) < _FEW:
        return {}
    seen: Counter[tuple[str, ...]] = Counter()
    for title, tokens in zip(shown, titles, strict=True):
        raw = raw_words(title)
        tall = [not word[0].islower() for word in raw]
        found = set()
        for start in range(len(tokens)):
            if not tall[start]:
                continue
            for stop in range(start + 1, min(start + _AFFIX_TOKENS, len(tokens)) + 1):
                if tall[stop - 1]:
                    found.add(tuple(tokens[start:stop]))
        seen.update(found)
    least = max(3.0, _OFTEN * len(titles))
    kept = {
        phrase: n
        for phrase, n in seen.items()
        if n >= least and not "".join(phrase).isdigit() and (given.isdisjoint(phrase) or n >= _MOST_OF * len(titles))
    }
    longer: dict[tuple[str, ...], int] = defaultdict(int)
    for phrase, n in kept.items():
        for size in range(1, len(phrase)):
            for at in range(len(phrase) - size + 1):
                part = phrase[at : at + size]
                longer[part] = max(longer[part], n)
    whole = [
        (phrase, n)
        for phrase, n in kept.items()
        if longer[phrase] < _MOST_OF * n and (len(phrase) > 1 or _NUMBERED.search(phrase[0]))
    ]
    whole.sort(key=lambda pair: (-pair[1], pair[0]))
    return {" ".join(phrase): n for phrase, n in whole[:_AFFIXES]}


def _totals(places: Iterable[Mapping[str, float]]) -> dict[str, tuple[int, float]]:
    count: Counter[str] = Counter()
    total: dict[str, float] = defaultdict(float)
    for row in places:
        for key, chance in row.items():
            count[key] += 1
            total[key] += chance
    often = _most_frequent({key: n for key, n in count.items() if n > 1})
    return {key: (n, round(total[key], 2)) for key, n in often.items()}


def _affixes(titles: Sequence[Sequence[str]], side: int, given: frozenset[str]) -> dict[str, int]:
    """Return the beginnings (side 1) or endings (side -1) of many titles: as many whole words as most of them share."""
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
        and affix[0] != "0"
        and (affix[-1] not in given or seen[affix] >= _MOST_OF * len(titles))
        and (
            len(affix) > 1 or seen[affix] >= _MOST_OF * len(titles)
        )  # "PyTorch" may be the topic of half the talks of a batch
    ]
    whole = [affix for affix in whole if not any(_is_by_chance(affix, other, seen) for other in whole)]
    whole.sort(key=lambda affix: (-seen[affix], affix))
    return {" ".join(affix[::side]): seen[affix] for affix in whole[:_AFFIXES]}


def _is_by_chance(affix: tuple[str, ...], other: tuple[str, ...], seen: Mapping[tuple[str, ...], int]) -> bool:
    """Return whether two or three titles only happen to share a word beside a frequent text: a surname by an event."""
    return seen[affix] <= _FEW < seen[other] / _FEW and affix[: len(other)] == other != affix
