"""The presenters that a description names: its possible names, and their features.

A possible name is labelled as a presenting person or not. Its features are its look, the words around it, its line, its
frequency, and whether the batch has names in this place.
"""
# ruff: noqa: PLR2004  # the numbers are bucket borders: the model learns what each bucket means

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from titlecard.domain.text import fold, plain, words
from titlecard.extraction import cues
from titlecard.extraction.mentions import Mention, mentions, spot_keys
from titlecard.extraction.segments import affix_words, text_key
from titlecard.extraction.titles import step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.extraction.crf import Decoded
    from titlecard.extraction.names import Lexicon
    from titlecard.extraction.survey import Survey

PERSON, OTHER = "P", "O"

MOST = 50
"""The most possible names that are considered."""

_NOBODY = 0.85
"""The chance below which not even the likeliest person is a presenter: an invented name is worse than a missing one."""

_CERTAIN, _LIKELY = 0.98, 0.9
"""If one person's chance is as high as the first number, another's must be as high as the second."""

_SOME, _MOST = 5, 0.5
"""With at least this many other descriptions, a name in at least this share of them belongs to the batch."""

_TOPIC = 0.25
"""A word in at least this share of the other titles is not part of a name."""

_NAMELIKE = 0.6
"""The likeness to a name that is enough in a list with a likely name."""

_LISTED = re.compile(r"\s*[*\u2020\d]*\s*(?:[,;/&+]|\b(?:and|y|e|et|und|en)\b|\s)+\s*", re.IGNORECASE)
"""The separators between the names of a list."""

_BRACKETS = re.compile(r"\([^()]{0,60}\)|\[[^\[\]]{0,60}\]")

_FIRST = 2
"""The number of first lines in which two or three words in lower case may be a name."""

_SMALL = re.compile(r"[a-z\u00df-\u00ff'-]{2,20}(?: [a-z\u00df-\u00ff'-]{2,20}){1,2}")
_WORD = re.compile(r"[\w'\u2019]+")


class DescriptionView:
    """The possible names of one description, with their features."""

    def __init__(self, about: Sequence[str], title: str, survey: Survey, lexicon: Lexicon) -> None:
        """Read the lines of a description; `title` is the title that the title's labelling gave."""
        self.about = about
        self.found = _candidates(about, lexicon)
        self.seen = [lexicon.nameness(mention.text) for mention in self.found]
        self._survey = survey
        self.chances = [
            0.02 if self._is_topic(mention.text) else seen.chance
            for mention, seen in zip(self.found, self.seen, strict=True)
        ]
        self.others = max(survey.described - 1, 0)
        self._words = [words(mention.text) for mention in self.found]
        self.keys = [" ".join(each) for each in self._words]
        self._title = plain(title)
        self._lines = {mention.line: plain(about[mention.line]) for mention in self.found}
        self._times = Counter(self.keys)
        self._surnames = Counter(each[-1] for each in self._words if each)
        self._strong = [chance > 0.6 for chance in self.chances]
        self._strong_in = Counter(m.line for m, strong in zip(self.found, self._strong, strict=True) if strong)
        self._coarse = [step(chance, 0.1, 0.4, 0.7, 0.9) for chance in self.chances]

    def lead(self, number: int) -> str:
        """Return the text before a possible name in its line, with numbers unified, and the kind of sign after it."""
        mention = self.found[number]
        line = self.about[mention.line]
        after = line[mention.end :].lstrip()[:1]
        return f"{text_key(line[: mention.start])}|{'0' if after.isdigit() else 'w' if after.isalpha() else after}"

    def is_wide(self, number: int) -> bool:
        """Return whether most descriptions of a large enough batch have this name: a place, a host, an organiser."""
        count = self._survey.people.get(self.keys[number], 1) - 1
        return self.others >= _SOME and count >= _MOST * self.others

    def _is_topic(self, text: str) -> bool:
        """Return whether a word of a possible name is the batch's topic: many of its titles have it."""
        others = self._survey.rows - 1
        common = self._survey.common
        return others >= _SOME and any(common.get(word, 1) - 1 >= _TOPIC * others for word in affix_words(text))

    def is_host(self, number: int) -> bool:
        """Return whether a possible name is said to host other people's talks."""
        mention = self.found[number]
        return cues.of_a_host(self.about[mention.line][: mention.start])

    def chains(self) -> list[list[int]]:
        """Return the lists of possible names: in one line, separated only by commas, "and" and brackets."""
        found: list[list[int]] = []
        before: Mention | None = None
        for number, mention in enumerate(self.found):
            head = self.about[mention.line][: mention.start]
            if head.count("(") > head.count(")") or head.count("[") > head.count("]"):
                continue  # an affiliation in brackets
            if before is not None and before.line == mention.line:
                between = self.about[mention.line][before.end : mention.start]
                if _LISTED.fullmatch(_BRACKETS.sub("", between)):
                    found[-1].append(number)
                    before = mention
                    continue
            found.append([number])
            before = mention
        return [chain for chain in found if len(chain) > 1]

    def is_example(self, number: int) -> bool:
        """Return whether a possible name is in a list of topics or examples."""
        mention = self.found[number]
        line = self.about[mention.line]
        return cues.of_examples(line[: mention.start], line[mention.end :])

    def features(self) -> list[list[str]]:
        """Return the features of each possible name for the model."""
        items, strong = [], 0
        total = min(sum(self._strong), 6)
        for number in range(len(self.found)):
            if self.is_wide(number):
                items.append(["of the batch"])
                continue
            item = self._looks(number)
            item.append(f"tot={total}|nth{min(strong, 3)}|c{self._coarse[number]}")
            item += self._around(number)
            item += self._batch(number)
            item += self._gaps(number)
            items.append(item)
            strong += self._strong[number]
        return items

    def _looks(self, number: int) -> list[str]:
        """Return features of shape, scores and frequency."""
        seen, tokens, key, c = self.seen[number], self._words[number], self.keys[number], self._coarse[number]
        again = min(self._surnames[tokens[-1]] - self._times[key], 2) if tokens else 0
        return [
            "b",
            f"c{step(seen.chance, 0.03, 0.2, 0.4, 0.6, 0.8, 0.95)}",
            f"sh={seen.shape[:5]}",
            f"sh={seen.shape[:5]}|c{c}",
            f"first={step(seen.first, -4, -1, 1, 4)}|last={step(seen.last, -6, -3, -1, 1, 3)}",
            f"least={step(seen.least, -6, -3, -1, 1, 3)}",
            f"g={seen.given}|{len(seen.shape)}",
            f"fw={tokens[0] if tokens else ''}",
            f"lw={tokens[-1] if tokens else ''}",
            f"times={min(self._times[key], 3)}|c{c}",
            f"again={again}|{len(tokens) > 1}|c{c}",
            f"intitle={f' {key} ' in f' {self._title} '}",
        ]

    def _around(self, number: int) -> list[str]:
        """Return features of the words and signs before and after, the line, and the line above."""
        mention, c = self.found[number], self._coarse[number]
        line, flat = self.about[mention.line], self._lines[mention.line]
        before, after = line[: mention.start], line[mention.end :]
        b, a = _WORD.findall(fold(before[-60:])), _WORD.findall(fold(after[:60]))
        lead, trail = before.rstrip()[-1:] or "^", after.strip()[:1] or "$"
        lead, trail = "w" if lead.isalnum() else lead, "w" if trail.isalnum() else trail
        at = step(mention.line, 1, 2, 3, 4, 6, 10)
        alone = not before.strip(" -*\u2022(\"'") and not after.strip(" .-*)\"'")
        titled = len(self._title) > 3 and self._title in flat
        width = step(len(line), 30, 60, 120, 240)
        found = [
            f"b1={b[-1] if b else '^'}|{lead}",
            f"b2={' '.join(b[-2:])}",
            f"b1={b[-1] if b else '^'}|c{c}",
            f"a1={a[0] if a else '$'}|{trail}",
            f"a2={' '.join(a[:2])}",
            f"a1={a[0] if a else '$'}|c{c}",
            f"lead={lead}|{trail}|c{c}",
            f"ln={at}|c{c}",
            f"ln={at}|lead={lead}|c{c}",
            f"ln={at}|{lead}|{trail}",
            f"alone={alone}|ln{at}|c{c}",
            f"alone={alone}|w{width}|{lead}{trail}",
            f"wd={width}|{lead}|c{c}",
            f"t={titled}|{lead}|{'$' if len(after.strip()) < 2 else ''}|c{c}",
            f"t={titled}|ln{at}|{lead}",
            f"pre={self._line_above(mention.line)}|{lead}",
            f"inl={min(self._strong_in[mention.line], 4)}|c{c}|{lead}",
            f"w0={flat.split(' ', 1)[0]}|{before.count(' ') < 3}",
        ]
        found += self.cues(number)
        if titled:
            side = "after" if self._title in plain(before) else "in"
            side = "before" if side == "in" and self._title in plain(after) else side
            found.append(f"side={side}|c{c}|{lead}|{trail}")
        if any(sign.isdigit() for sign in before[-8:] + after[:8]):
            found.append(f"digits={any(sign.isdigit() for sign in before[-8:])}|{lead}|{trail}|c{c}")
        if before.count("(") > before.count(")"):
            found.append(f"inparen|c{c}")
        if "@" in after[:3]:
            found.append("handle")
        return found

    def cues(self, number: int) -> list[str]:
        """Return the cues around a possible name."""
        mention, c = self.found[number], self._coarse[number]
        line = self.about[mention.line]
        told, does = cues.before(line[: mention.start]), cues.after(line[mention.end :])
        found = [f"cue={told}|c{c}", f"does={does}|c{c}", f"cue={told}|does={does}"]
        if cues.of_a_company(line[mention.end :]):
            found.append("company")
        return found

    def _line_above(self, line: int) -> str:
        """Return the line above, if it is short enough for a heading."""
        if line == 0:
            return "none"
        above = self.about[line - 1]
        return " ".join(words(above)[:3]) if len(above) < 40 else "long"

    def _batch(self, number: int) -> list[str]:
        """Return whether other descriptions name the same person, and have names in this place."""
        c, size = self._coarse[number], step(self.others, 1, 4, 12)
        if not self.others:
            return [f"ppl=-1|{size}", f"k0=na|c{c}", f"k1=na|c{c}"]
        share = (self._survey.people.get(self.keys[number], 1) - 1) / self.others
        found = [f"ppl={step(share, 0.001, 0.05, 0.2, 0.5)}|{size}"]
        mention = self.found[number]
        for n, key in enumerate(spot_keys(self.about[mention.line], mention)):
            count, total = self._survey.spots.get(key, (1, 0.0))
            rate = step((count - 1) / self.others, 0.001, 0.1, 0.25, 0.5, 0.8) if count > 1 else -1
            names = max(0.0, total - self.chances[number]) / (count - 1) if count > 1 else 0.0
            value = step(names, 0.15, 0.3, 0.5, 0.7) if count > 1 else -1
            found += [f"k{n}={rate}|{value}|c{c}", f"k{n}={rate}|{value}|{size}"]
        return found

    def _gaps(self, number: int) -> list[str]:
        """Return features of the text between a possible name and its neighbours."""
        mention, c = self.found[number], self._coarse[number]
        line = self.about[mention.line]
        found = []
        if number and self.found[number - 1].line == mention.line:
            gap = _gap(line[self.found[number - 1].end : mention.start])
            found += [f"gap={gap}|c{c}", f"gap={gap}|pc{self._coarse[number - 1]}|c{c}"]
        else:
            above = min(mention.line - self.found[number - 1].line, 3) if number else ""
            found.append(f"gap=line{above}|c{c}")
        if number + 1 < len(self.found) and self.found[number + 1].line == mention.line:
            gap = _gap(line[mention.end : self.found[number + 1].start])
            found.append(f"ngap={gap}|nc{self._coarse[number + 1]}|c{c}")
        return found


def presenters(view: DescriptionView, decoded: Decoded, person_state: int) -> list[int]:
    """Return the numbers of the possible names that are presenters.

    A description that names its speakers explicitly (`Speaker: ...`) mentions others in passing: if one person is
    certain, others must be likely, or be in a list with a certain one, or follow the same words in another line (a list
    with one name per line). Names in a list of topics or examples are subjects of the talk.
    """
    persons = [
        n
        for n, label in enumerate(decoded.labels)
        if label == PERSON and not view.is_example(n) and not view.is_wide(n)
    ]
    hosts = {n for n in persons if view.is_host(n)}
    persons = [n for n in persons if n not in hosts] or persons
    best: dict[str, float] = {}
    for n in persons:
        best[view.keys[n]] = max(best.get(view.keys[n], 0.0), decoded.marginals[n][person_state])
    most = max(best.values(), default=0.0)
    if most < _NOBODY:
        return []
    if len(best) < 2 or most < _CERTAIN:
        return persons
    leads = {n: view.lead(n) for n in persons}
    listed = Counter(lead for n, lead in leads.items() if best[view.keys[n]] >= _LIKELY)
    together = {
        n
        for chain in view.chains()
        if any(best.get(view.keys[n], 0.0) >= _LIKELY for n in chain)
        for n in chain
        if view.chances[n] >= _NAMELIKE
    }
    return [n for n in persons if best[view.keys[n]] >= _LIKELY or listed[leads[n]] > 0 or n in together]


def _candidates(about: Sequence[str], lexicon: Lexicon) -> list[Mention]:
    """Return the possible names: several words, or one that is at an edge of its line or looks like a name."""
    found: list[Mention] = []
    for number, line in enumerate(about):
        if number < _FIRST and _SMALL.fullmatch(line):
            found.append(Mention(line, number, 0, len(line)))
        for mention in mentions(line, number, lexicon):
            at_the_edge = mention.start == 0 or mention.end >= len(line) - 1
            if " " in mention.text or at_the_edge or lexicon.nameness(mention.text).chance > 0.3:
                found.append(mention)
                if len(found) == MOST:
                    return found
    return found


def _gap(text: str) -> str:
    text = text.strip().lower()
    return text if len(text) <= 3 else "paren" if "(" in text and ")" in text else "text"
