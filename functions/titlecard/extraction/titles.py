"""The title of a video: its pieces, what is known of each, and the answer that a labelling of them makes.

A piece is title, name or to be dropped. What is known of it: what it looks like, where it stands, what its neighbours
look like, whether the batch has such pieces in this place, and whether the description repeats it.
"""
# ruff: noqa: PLR2004  # the numbers are borders of buckets: the model learns what each bucket means

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from titlecard.domain.text import plain, words
from titlecard.extraction.segments import affix_words, place, segments, slot_keys, text_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.extraction.crf import Decoded
    from titlecard.extraction.names import Lexicon
    from titlecard.extraction.segments import Segment
    from titlecard.extraction.survey import Survey

TITLE, NAME, DROP = "T", "N", "D"

_CUT_OFF = 90
"""Characters from which on a title may have been cut off by the limit of 100."""

_SOME, _MOST = 5, 0.55
"""Other rows, and the share of them, from which on a common ending cannot be chance."""

_ABOUT = 30
"""Lines of the description in which a piece is looked for."""

_YEAR = re.compile(r"\b(?:19|20)\d\d\b|['\u2019]\d\d\b")
_EVENT = re.compile(
    r"conf(?:erence)?\b|con\b|\bpy\w+ (?:\w+ )?\d\d|meetup|summit|\bdays?\b \d{4}|camp\b|fest\b|pydata|pycon|#\w+\d"
    r"|\w\d\d$|\d\d\.\d\d\.\d{2,4}",
    re.IGNORECASE,
)
_ORGANISATION = re.compile(
    r"\b(?:inc|llc|ltd|gmbh|corp|universit\w+|institute|labs?|research|foundation|google|meta|microsoft|ibm|amazon"
    r"|nvidia|intel|apple|facebook|openai|company|technologies|ai|\w+\.(?:com|io|org|ai|ru|net|dev))\b",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_ROLE = re.compile(
    r"\b(?:c[eft]o|(?:vice )?president|(?:co-?)?founder|(?:executive |managing |product )?director|manager|engineer"
    r"|developer|scientist|researcher|professor|evangelist|advocate|architect|consultant|(?:team|tech) lead|head of)\b",
    re.IGNORECASE,
)
_COMPANY = re.compile(r"\b(?:inc|llc|ltd|gmbh|corp|universit\w+|institute|foundation|technologies)\.?$", re.IGNORECASE)
_NOBODY = re.compile(
    r"(?:(?:various|multiple|several|many|all|different) )?(?:speakers?|presenters?|people|authors|artists|panelists)"
    r"|various|anonymous|unknown|tb[ad]|students|alumn\w+|todos|varios",
    re.IGNORECASE,
)
_SEPARATES = ("colon", "dash", "pipe")
_DATED_EVENT = re.compile(r"(?=.*[^\W\d_])(?!.*\b(?:in|en|em|of) \d)(?:[^\s:]+ +){0,5}[^\s:]*(?:19|20)\d\d")
_KEYNOTE = re.compile(r"(?:opening |closing )?keynote(?: talk| speech| speaker)?", re.IGNORECASE)
_GOES = re.compile(r"(?:sponsored )?(?:talk|session)|sponsored|charla", re.IGNORECASE)
_STAYS = re.compile(r"(?:opening |closing |morning |evening )?keynote|lightning talks?", re.IGNORECASE)
_PAIRS = (
    *(("(", ")"), ("[", "]"), ("{", "}"), ("\uff08", "\uff09"), ("\u3010", "\u3011")),
    *(("\u201c", "\u201d"), ("\u00ab", "\u00bb"), ("\u300c", "\u300d"), ("\u300e", "\u300f")),
)


def step(value: float, *borders: float) -> int:
    """The bucket of a value: the number of (rising) borders that it has reached."""
    return bisect_right(borders, value)


class TitleView:
    """The pieces of one title with everything that is known of them."""

    def __init__(self, title: str, about: Sequence[str], survey: Survey, lexicon: Lexicon) -> None:
        """Cut a normalised title; `about` are the lines of its description."""
        self.title = title
        self.parts = segments(title, lexicon, survey.heads, survey.tails, survey.recurring)
        self.seen = [lexicon.nameness(part.text) for part in self.parts]
        self.chances = [seen.chance for seen in self.seen]
        self.words = [words(part.text) for part in self.parts]
        self.texts = [" ".join(each) for each in self.words]
        self.others = max(survey.rows - 1, 0)
        self.shares = [self._share(number, survey) for number in range(len(self.parts))]
        self.slots = [self._slots(number, survey) for number in range(len(self.parts))]
        self.best_slot, self.best_value = self._best_slot()
        self._about = [f" {plain(line)} " for line in about[:_ABOUT]]
        self._whole = "\n".join(self._about)
        self._line = plain(title)
        self._coarse = [step(chance, 0.1, 0.4, 0.7, 0.9) for chance in self.chances]
        self._lists = _lists(self.parts)

    def features(self) -> list[list[str]]:
        """What the model is told of each piece."""
        ranked = sorted(range(len(self.parts)), key=lambda n: -self.chances[n])
        rank = {number: position for position, number in enumerate(ranked)}
        longest = max(range(len(self.parts)), key=lambda n: len(self.words[n]), default=0)
        items = []
        quoted = bracketed = False
        for number, part in enumerate(self.parts):
            quoted ^= part.left.count("quote") % 2 == 1
            bracketed = part.left.rfind("open") > part.left.rfind("close") or (bracketed and "close" not in part.left)
            c, where = self._coarse[number], place(number, len(self.parts))
            size = min(self._length(number), 3)
            item = [f"rk={min(rank[number], 2)}|c{c}", f"longest={number == longest}|{where}"]
            if quoted:
                item.append(f"quoted|c{c}|ln{size}")
            if bracketed:
                item.append(f"bracketed|c{c}|{where}|ln{size}")
            if len(self.parts) > 1 and self.chances[ranked[ranked[0] == number]] > 0.6:
                item.append(f"rival|c{c}|{where}")
            item += self._looks(number, where)
            item += self._batch(number, where)
            item += self._neighbours(number)
            item += self._described(number)
            items.append(item)
        return items

    def _share(self, number: int, survey: Survey) -> float:
        """The share of the other rows that have this piece; -1 where there are no others."""
        if not self.others:
            return -1.0
        part = self.parts[number]
        key = text_key(part.text)
        count = survey.recurring.get(key, 1)
        if part.right == "head" or part.left == "tail":
            affixes = survey.heads if part.right == "head" else survey.tails
            shared = affixes.get(" ".join(affix_words(part.text)), 1)
            count = max(count, shared) if shared - 1 >= _MOST * self.others else count
        elif number == len(self.parts) - 1 and len(self.title) >= _CUT_OFF and len(key) >= 2:
            count = max(count, 1 + max((n for text, n in survey.recurring.items() if text.startswith(key)), default=0))
        return (count - 1) / self.others

    def ends_like_its_batch(self) -> bool:
        """Whether the last piece, whole or cut off, is what most titles of a batch of some size end with."""
        return len(self.parts) > 1 and self.others >= _SOME and self.shares[-1] >= _MOST

    def _slots(self, number: int, survey: Survey) -> list[tuple[int, float]]:
        """For each way to count the place: the number of other rows that have it, and the share of names in it."""
        found = []
        for key in slot_keys(self.parts, number):
            count, total = survey.slots.get(key, (1, 0.0))
            rest = max(0.0, total - self.chances[number])
            found.append((count - 1, rest / (count - 1) if count > 1 else -1.0))
        return found

    def _best_slot(self) -> tuple[int, float]:
        """The piece in the place where the batch has its names (-1: none), and the share of names there."""
        best, best_value = -1, 0.0
        for number, ((_, in_place), (count, in_slot), _) in enumerate(self.slots):
            expected = in_slot if count > 0 else in_place
            if expected > best_value and count >= 0.2 * self.others:
                best, best_value = number, expected
        return best, best_value

    def _length(self, number: int) -> int:
        return step(len(self.words[number]), 2, 3, 4, 5, 7, 10)

    def _looks(self, number: int, where: str) -> list[str]:
        """Shape, scores, words, delimiters."""
        part, seen, tokens = self.parts[number], self.seen[number], self.words[number]
        c, length = self._coarse[number], self._length(number)
        found = [
            "b",
            f"c{step(seen.chance, 0.03, 0.2, 0.4, 0.6, 0.8, 0.95)}",
            f"sh={seen.shape[:5]}",
            f"c{c}|{where}",
            f"c{c}|l={part.left}",
            f"c{c}|r={part.right}",
            f"c{c}|{where}|{part.left}|{part.right}",
            f"l={part.left}|{where}",
            f"r={part.right}|{where}",
            f"ln={length}",
            f"ln={length}|c{c}",
            f"n={min(len(self.parts), 6)}|{where}",
            f"first={step(seen.first, -4, -1, 1, 4)}|c{c}",
            f"least={step(seen.least, -6, -3, -1, 1, 3)}|{len(seen.shape) > 1}",
            f"g={seen.given}|{seen.shape[:4]}",
        ]
        found += [f"w={word}" for word in (tokens[:3] if len(tokens) <= 4 else tokens[:1])]
        if tokens:
            found += [f"w0={tokens[0]}|{where}", f"w1={tokens[-1]}|{where}"]
        if len(tokens) <= 4:
            found.append("all=" + _DIGITS.sub("0", self.texts[number]))
        if _YEAR.search(part.text):
            found.append(f"year|{where}|ln{min(length, 3)}")
        if _ORGANISATION.search(part.text):
            found.append(f"org|l={part.left}|ln{min(length, 3)}")
        if _ROLE.search(part.text):
            found.append(f"role|l={part.left}|ln{min(length, 3)}")
        if part.text[-1] in "?!":
            found.append("asks")
        if not any(c.isalpha() for c in part.text):
            found.append(f"noletters|{where}")
        if part.text.islower():
            found.append(f"lower|{where}")
        return found

    def _batch(self, number: int, where: str) -> list[str]:
        """What the other rows have in this place."""
        part, c = self.parts[number], self._coarse[number]
        share = 0 if self.shares[number] < 0 else 1 + step(self.shares[number], 0.001, 0.1, 0.3, 0.6, 0.9)
        size, length = step(self.others, 1, 4, 12), min(self._length(number), 3)
        in_place, in_slot, ordinal = (
            -1 if count < 1 else step(value, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85) for count, value in self.slots[number]
        )
        found = [
            f"df={share}|{size}",
            f"df={share}|c{c}",
            f"df={share}|{size}|ln{length}|{where}",
            f"df={share}|ln{length}|{part.left}|{part.right}",
            f"ws={in_slot}|c{c}",
            f"ws={in_slot}|{size}",
            f"s={in_place}|c{c}|{where}",
            f"o={ordinal}|c{c}",
        ]
        if _EVENT.search(part.text):
            found += [f"event|{where}|ln{length}", f"event|df={share}|{where}"]
        value = step(self.best_value, 0.3, 0.5, 0.7, 0.85)
        if number == self.best_slot:
            found.append(f"best={value}|c{c}|{size}")
        elif self.best_slot >= 0:
            found.append(f"notbest={value}|c{c}|{where}")
        return found

    def _neighbours(self, number: int) -> list[str]:
        """What stands beside a piece, and in the same list of names."""
        part, c = self.parts[number], self._coarse[number]
        found = []
        for side, other, between in (("p", number - 1, part.left), ("n", number + 1, part.right)):
            if not 0 <= other < len(self.parts):
                continue
            near, share = self._coarse[other], self.shares[other]
            found += [
                f"{side}c{near}|c{c}",
                f"{side}c{near}|c{c}|{between}",
                f"{side}ln{step(len(self.words[other]), 3, 6)}|{between}|c{c}",
                f"{side}df{0 if share < 0 else 1 + step(share, 0.001, 0.1, 0.3, 0.6)}|c{c}",
            ]
            if 0 < len(self.words[other]) <= 2:
                found.append(f"{side}w={self.words[other][0]}")
        first, last = self._lists[number]
        if last > first:
            mates = [self.chances[n] for n in range(first, last + 1) if n != number]
            head = step(self.chances[first], 0.1, 0.4, 0.7, 0.9)
            found += [
                f"list={step(max(mates), 0.1, 0.4, 0.7)}|{step(min(mates), 0.1, 0.4, 0.7)}|c{c}",
                f"list0={head}|{min(number - first, 2)}|{number == last}|c{c}",
                f"list0={head}|{part.left}|{part.right}|c{c}",
            ]
            if self.seen[number].shape[:1] == "I":
                found.append(f"inits={self.seen[first].shape[:1] == 'I'}")
        return found

    def _described(self, number: int) -> list[str]:
        """What the description says about a piece."""
        text, tokens, c = self.texts[number], self.words[number], self._coarse[number]
        if not self._about:
            return [f"nodesc|c{c}"]
        if not text:
            return []
        padded = f" {text} "
        count = min(self._whole.count(padded), 3)
        found = [f"in={count}|c{c}", f"in={count}|ln{step(len(tokens), 2, 3, 5)}"]
        if count:
            at = self._whole.index(padded)
            after = self._whole[at + len(padded) :][:30].split(" ", 1)[0].strip()
            before = self._whole[:at].rsplit("\n", 1)[-1].rsplit(" ", 1)[-1].strip()
            line = self._whole.count("\n", 0, at)
            found += [
                f"after={after}",
                f"before={before or '^'}|c{c}",
                f"line={min(line, 3)}|{self._about[line] == padded}|c{c}",
            ]
            if self._line in self._about[line]:
                found.append("titleline")
        elif len(tokens) >= 3:
            found.append(f"partly={f' {tokens[0]} {tokens[1]} ' in self._whole}|c{c}")
        return found


def by_convention(view: TitleView, decoded: Decoded, title_state: int) -> list[str]:
    """The labels after the editors' conventions: `Keynote:` and `Lightning Talk:` stay, `Talk:` goes.

    What most titles of the batch end with is no part of one, nor is `DevConf 2031` at the beginning or `(Keynote)` at
    the end. What `and` joins is of one kind: behind a piece of the title nobody is named by it. The title is one run of
    pieces: the likeliest of several, the likeliest piece where the labelling found none.
    """
    parts = view.parts
    labels = [_no_name(parts, decoded.labels, number) or label for number, label in enumerate(decoded.labels)]
    if view.ends_like_its_batch():
        labels[-1] = DROP
    if len(parts) > 1 and labels[0] != NAME and parts[0].right in _SEPARATES and _DATED_EVENT.fullmatch(parts[0].text):
        labels[0] = DROP
    for number, part in enumerate(parts[:-1]):
        if TITLE in labels[:number] or part.right not in ("colon", "label"):
            continue
        if _GOES.fullmatch(part.text):
            labels[number] = DROP
        elif _STAYS.fullmatch(part.text) and labels[number + 1] == TITLE and part.left != "label":
            labels[number] = TITLE
    for run in _title_runs(labels):
        if len(run) > 1 and parts[run[-1]].left in ("open", *_SEPARATES) and _KEYNOTE.fullmatch(parts[run[-1]].text):
            labels[run[-1]] = DROP
    return _one_title(parts, labels, [row[title_state] for row in decoded.marginals])


def _no_name(parts: Sequence[Segment], labels: Sequence[str], number: int) -> str | None:
    """What a piece is that was taken for a name and cannot be one; None where nothing speaks against its label."""
    part = parts[number]
    if labels[number] != NAME:
        return None
    if any(sign.isdigit() for sign in part.text):
        return TITLE
    if _NOBODY.fullmatch(part.text):
        return DROP
    if part.left == "and" and labels[number - 1] == TITLE:
        return TITLE
    stands_behind = NAME in labels[:number]
    role = part.left == "comma" and _ROLE.search(part.text)
    return DROP if stands_behind and (role or _COMPANY.search(part.text)) else None


def _one_title(parts: Sequence[Segment], labels: list[str], chances: Sequence[float]) -> list[str]:
    """The labels with exactly one run of title pieces; `chances` are those of each piece to be title."""
    runs = _title_runs(labels)
    if len(runs) > 1:
        means = [sum(chances[n] for n in run) / len(run) for run in runs]
        best_run = runs[means.index(max(means))]
        labels = [DROP if label == TITLE and n not in best_run else label for n, label in enumerate(labels)]
    if not runs:
        pool = [n for n, label in enumerate(labels) if label != NAME] or range(len(parts))
        best = max(pool, key=chances.__getitem__)
        labels[best] = TITLE
        for number in range(best - 1, -1, -1):  # a cut without a separator was no border after all
            if parts[number].right != "soft" or labels[number] == NAME:
                break
            labels[number] = TITLE
    return labels


def title_of(title: str, parts: Sequence[Segment], labels: Sequence[str]) -> str:
    """The title that a labelling makes: its pieces with what stands between them."""
    return " ".join(_run(title, parts, run[0], run[-1]) for run in _title_runs(labels))


def _title_runs(labels: Sequence[str]) -> list[range]:
    """The runs of pieces that are labelled as title."""
    runs: list[range] = []
    for number, label in enumerate(labels):
        if label != TITLE:
            continue
        if runs and number == runs[-1].stop:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs


def _run(title: str, parts: Sequence[Segment], first: int, last: int) -> str:
    """A run of pieces as it stands in the title, with the brackets and quotes that it opens closed again."""
    start, end = parts[first].start, parts[last].end
    before = title[parts[first - 1].end if first else 0 : start]
    after = title[end : parts[last + 1].start if last + 1 < len(parts) else len(title)]
    text = title[start:end]
    for opening, closing in _PAIRS:
        if text.count(opening) > text.count(closing) and closing in after:
            text += after[: after.index(closing) + 1]
            after = after[after.index(closing) + 1 :]
        if text.count(closing) > text.count(opening) and opening in before:
            text = before[before.rindex(opening) :] + text
    if text.count('"') % 2 and '"' in after:
        text += after[: after.index('"') + 1]
    elif text.count('"') % 2 and '"' in before:
        text = before[before.rindex('"') :] + text
    if after[:1] in ("'", "\u2019") and sum(text.count(quote) for quote in "'\u2018\u2019") == 1:
        text += after[0]
    return text.strip()


def _lists(parts: Sequence[Segment]) -> list[tuple[int, int]]:
    """For each piece, the first and the last piece of the list (`A, B & C`) that it belongs to."""
    found: list[tuple[int, int]] = []
    first = 0
    for number, part in enumerate(parts):
        if part.left not in ("comma", "and"):
            first = number
        last = number
        while last + 1 < len(parts) and parts[last].right in ("comma", "and"):
            last += 1
        found.append((first, last))
    return found
