"""The lexicon: how often a token is part of a name, and how often a word, over the series of the training data.

Evidence for a name is the presenters of the training rows and Faker's lists of first names and surnames of sixty
countries (MIT licence). Evidence against it is the words that descriptions write in lower case, and titles' words.
The lexicon counts series, not rows, so that no single conference decides.
"""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faker.providers.person as faker_person

from titlecard.domain.text import fold, normalise
from titlecard.extraction.names import Lexicon, kind

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

    from training.dataset import Row

_WORD = re.compile(r"[^\W\d_][\w'\u2019\-]*")
_TRIM = "\"'\u2019.,;:!?()[]"
_ENDING = 3
TECHNOLOGIES = json.loads(Path(__file__).with_name("templates.json").read_text(encoding="utf-8"))["technologies"]
"""Names of languages, tools and products that look like personal names, for conferences that training has not seen."""
_TECHNOLOGY = 3.0
"""The weight of a technology's name, in series."""
_LOOKED_AT = 4000  # characters of a description
_COMMON = 2  # the fewest lists that must contain a first name: a rarer one has its score, which is enough
_FULL_NAME_LOCALES = (
    "ja_JP",
    "zh_TW",
    "zh_CN",
    "ru_RU",
    "uk_UA",
    "bg_BG",
    "pl_PL",
    "cs_CZ",
    "pt_BR",
    "es_ES",
    "fr_FR",
    "de_DE",
    "tr_TR",
    "hu_HU",
    "en_IN",
    "en_US",
    "sv_SE",
    "it_IT",
    "nl_NL",
    "el_GR",
)


def learn(rows: Iterable[Row]) -> Lexicon:
    """Learn the lexicon of these rows."""
    names: Counter[str] = Counter()
    given: Counter[str] = Counter()
    others: dict[str, float] = defaultdict(float)
    for evidence in _by_series(rows):
        names.update(evidence.names)
        given.update(evidence.given)
        for word in evidence.lower:
            others[word] += 1.0
        for word in evidence.titled - evidence.lower:
            others[word] += 0.5
    for word in TECHNOLOGIES:
        others[word] += _TECHNOLOGY
    first, last = _faker_tokens()
    listed: dict[str, float] = defaultdict(float)
    for tokens in (first, last):
        for token, count in tokens.items():
            listed[token] += 0.5 + 0.25 * min(count, 6)
    # A spacing accent folds to a space, which would end the token in the weights' file.
    known = {token for token in {*names, *others, *listed} if " " not in token}
    endings = _endings(known, names, others, listed)
    scores = {}
    for token in known:
        pro, con = 1.5 * names[token] + listed.get(token, 0.0), others.get(token, 0.0)
        if pro == 0 and con <= 0.5:  # noqa: PLR2004  # a word of one title: its ending is as informative
            continue
        prior = 1 / (1 + math.exp(-endings.get(token[-_ENDING:], 0) / 2))
        score = round(2 * math.log((pro + 0.6 * prior) / (0.7 * con + 0.6 * (1 - prior))))
        score = max(-12, min(8 if names[token] or con else 5, score))
        by_ending = endings.get(token[-_ENDING:], 0)
        told_by_ending = score == by_ending if names[token] or con else abs(score - by_ending) <= 1
        if not told_by_ending:
            scores[token] = score
    firsts = {token for token, n in first.items() if len(token) > 1 and n >= _COMMON}
    firsts |= {token for token in given if others.get(token, 0.0) < 3}  # noqa: PLR2004  # "will" is a common word too
    return Lexicon(scores, endings, frozenset(firsts))


def invented_names(count: int, chance: random.Random) -> list[str]:
    """Return full names composed from Faker's lists, in several scripts."""
    lists = [(locale, *_faker_lists(locale)) for locale in _FULL_NAME_LOCALES]
    found = []
    for _ in range(count):
        locale, first, last = chance.choice(lists)
        a, b = chance.choice(first), chance.choice(last)
        eastern = locale in ("ja_JP", "zh_TW", "zh_CN")
        found.append(b + chance.choice(["", " "] if locale == "ja_JP" else [""]) + a if eastern else f"{a} {b}")
    return found


class _Evidence:
    """The tokens of a row or a series: of names, of first names, in lower case, in titles."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.given: set[str] = set()
        self.lower: set[str] = set()
        self.titled: set[str] = set()


def _by_series(rows: Iterable[Row]) -> Iterable[_Evidence]:
    found: dict[str, _Evidence] = defaultdict(_Evidence)
    for row in rows:
        evidence = found[row.series]
        names = set()
        for name in row.want_names:
            if kind(name.replace(" ", ""), name) == "j":
                names.add(name[0])
                continue
            tokens = [
                token
                for token in (each.strip(_TRIM) for each in name.split())
                if token and kind(token, token) in "CUMkl"
            ]
            names.update(map(fold, tokens))
            if len(tokens) > 1:
                evidence.given.add(fold(tokens[0]))
        evidence.names |= names
        spoken = _WORD.findall(normalise(row.description[:_LOOKED_AT])) + _WORD.findall(normalise(row.title))
        evidence.lower.update(fold(word) for word in spoken if word[0].islower())
        titled = {fold(word) for word in _WORD.findall(normalise(row.title))} - names
        evidence.titled |= titled | {fold(word) for word in _WORD.findall(row.want_title)}
    return found.values()


def _endings(
    known: Iterable[str], names: Counter[str], others: dict[str, float], listed: dict[str, float]
) -> dict[str, int]:
    """Return the score of each ending that is common enough: how many of its tokens are names."""
    count: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for token in known:
        count[token[-_ENDING:]][names[token] + listed.get(token, 0.0) <= others.get(token, 0.0)] += 1
    found = {}
    for ending, (pro, con) in count.items():
        # Faker lists more names than the data has words: a factor of about a third balances the two.
        score = max(-5, min(5, round(2 * math.log((0.35 * pro + 0.7) / (con + 0.7)))))
        if pro + con >= 4 and score:  # noqa: PLR2004  # rarer endings tell too little
            found[ending] = score
    return found


@cache
def _faker_tokens() -> tuple[Counter[str], Counter[str]]:
    """Return the folded tokens of first names and of surnames, with the number of locales that list them."""
    first: Counter[str] = Counter()
    last: Counter[str] = Counter()
    for module in pkgutil.iter_modules(faker_person.__path__):
        if module.ispkg:
            lists = _faker_lists(module.name)
            for names, counter in zip(lists, (first, last), strict=True):
                counter.update({fold(token.strip(_TRIM)) for name in names for token in name.split()} - {""})
    return first, last


@cache
def _faker_lists(locale: str) -> tuple[list[str], list[str]]:
    """Return the first names and the surnames of a locale."""
    provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    found: tuple[set[str], set[str]] = (set(), set())
    for attribute in dir(provider):
        for part, names in zip(("first", "last"), found, strict=True):
            if part in attribute and "name" in attribute and "format" not in attribute and "roman" not in attribute:
                names.update(name for name in _strings(getattr(provider, attribute)) if "{" not in name)
    return sorted(found[0]), sorted(found[1])


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401  # Faker keeps its lists in lists, tuples and dicts
    if isinstance(value, str):
        yield value
    elif not callable(value) and hasattr(value, "__iter__"):
        for each in value:
            yield from _strings(each)
