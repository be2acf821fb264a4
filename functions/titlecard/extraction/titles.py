"""The clean title of a video: the features of its pieces, and the title that their labels give (`title_of`).

`segments` cuts the title into its pieces. A piece is labelled title, name or drop. Its features are its look, its
place, its neighbours, whether the batch has such pieces in this place, and whether the description repeats it.
"""
# ruff: noqa: PLR2004  # the numbers are bucket borders: the model learns what each bucket means

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING

from titlecard.domain.text import fold, is_placeholder, plain, words
from titlecard.extraction.segments import LONGEST, affix_words, place, role_keys, segments, slot_keys, text_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from titlecard.extraction.crf import Decoded
    from titlecard.extraction.names import Lexicon
    from titlecard.extraction.segments import Segment
    from titlecard.extraction.survey import Survey

TITLE, NAME, DROP = ROLES = "T", "N", "D"

_CUT_OFF = 90
"""A title of at least this many characters may have been cut off by YouTube's limit of 100."""

_SOME, _MOST = 5, 0.55
"""With at least this many other rows, a beginning or ending that at least this share of them has is not chance."""

_WIDE, _FEW = 0.5, 3
"""A text that at least this share of the other rows has belongs to the batch, if there are at least this many."""

_TOPIC = 0.25
"""A word in at least this share of the other titles is the batch's topic, not a name."""

_FULL_NAME = ("CC", "CIC", "CCC")
"""The shapes of a first name with a surname."""

_SURELY = 0.7
"""The text after `by` is a name if its chance is at least this, however often the batch has it."""

_RATHER = 0.4
"""A piece after `feat.` is a guest's name if its chance is above this."""

_LIKELY_NAME = 0.6
"""A piece is a name only if its chance is at least this: an invented name is worse than a missing one."""

_DOUBTFUL = 0.2
"""A piece that no other row has is part of the title if its chance is at least this."""

_LOUD = 0.6
"""A title is in capitals if more than this share of its letters are."""

_ABOUT = 30
"""The number of lines of the description that are searched for a piece."""

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
_SMALL = re.compile(r"(?<![\w@#./-])[^\W\d_A-Z]\w*")
_LANGUAGE = re.compile(
    r"[A-Z]{2}(?:[/|,] ?[A-Z]{2})*|(?i:.*\b(?:no|bad|poor|improved|laptop|missing)\b.*\b(?:sound|audio)\b.*)"
)
"""Remarks on a recording in brackets: `EN`, `no sound`."""
_ROLE = re.compile(
    r"\b(?:c[eft]o|(?:vice )?president|(?:co-?)?founder|(?:executive |managing |product )?director|manager|engineer"
    r"|developer|scientist|researcher|professor|evangelist|advocate|architect|consultant|(?:team|tech) lead|head of)\b",
    re.IGNORECASE,
)
_SEPARATES = ("colon", "dash", "pipe")
_ENDS_A_LIST = ("by", "open", "close", "stop")
"""The delimiters that no list of names has between two of them."""
_DATED_EVENT = re.compile(r"(?=.*[^\W\d_])(?!.*\b(?:in|en|em|of) \d)(?:[^\s:]+ +){0,5}[^\s:]*(?:19|20)\d\d")
_KIND_OF_EVENT = re.compile(
    r"(?:[Cc]onf(?:erence)?|CONF|Con|CON|[Cc]amp|[Ff]est|[Dd]ays?|[Ss]ummit|[Mm]eetup|[Kk]aigi)\b.* (?:19|20)\d\d"
)
_SESSION = re.compile(
    r"\b(?:opening|closing|lightning talks?|panels?|discussions?|announcements?|welcome|keynotes?|awards?|ceremony"
    r"|talks|workshops?|tutorials?|sessions?)\b",
    re.IGNORECASE,
)
"""Words for a session, which no name contains."""
_GOES = re.compile(r"(?:sponsored )?(?:talk|session)|sponsored|charla", re.IGNORECASE)
_STAYS = re.compile(r"(?:opening |closing |morning |evening )?keynote|lightning talks?", re.IGNORECASE)
_ELLIPSES = ("...", "\u2026")
_ENOUGH, _MISSING = 4, 15
"""The fewest words that a cut title shares with a line of the description, and the most extra words of the line."""

_SYMBOLS = re.compile(r"(?:^|\s|[-\u2013\u2014|:])([@#$.~/&*`<_]{1,4}|::|\[\])\s?$")
"""Possible beginnings of a title with code: `@property`, `[] is not {}`."""

_EMPTY_PAIR = re.compile(r"\s?(?:\[\]|\{\}|\(\))")
"""Possible endings of such a title."""

_CODE_AFTER = re.compile(r"(?:\s/|;)(?=\s+[-\u2013\u2014|])")
"""Possible endings of a title that is a command or a statement: `rm -rf /`."""

_COMMAND = re.compile(r"\s--?\w|[*=()]")
_OPENING, _CLOSING = re.compile(r"[\[({]+$"), re.compile(r"[\])}]+")

_CODE_AROUND = re.compile(r"\[\[.*\]\]|\{\{.*\}\}|\(\(.*\)\)|\(.*\[\].*\)")
"""A title in brackets that are part of it: `[[nodiscard]]`, `(defn foo [])`."""

_GUEST = re.compile(r"\b(?:feat|ft|featuring)\b", re.IGNORECASE)

_PAIRS = (
    *(("(", ")"), ("[", "]"), ("{", "}"), ("\uff08", "\uff09"), ("\u3010", "\u3011")),
    *(("\u201c", "\u201d"), ("\u00ab", "\u00bb"), ("\u300c", "\u300d"), ("\u300e", "\u300f")),
)


def step(value: float, *borders: float) -> int:
    """Return the bucket of a value: the number of (ascending) borders that it has reached."""
    return bisect_right(borders, value)


@lru_cache(maxsize=1024)
def _small_words(line: str) -> frozenset[str]:
    """Return the folded words that a line of the description writes in lower case."""
    return frozenset(_SMALL.findall(line)) if line.isascii() else frozenset(map(fold, _SMALL.findall(line)))


class TitleView:
    """The pieces of one title, with their features."""

    def __init__(self, title: str, about: Sequence[str], survey: Survey, lexicon: Lexicon) -> None:
        """Cut a normalised title; `about` are the lines of its description."""
        self.title = title
        self.parts = segments(title, lexicon, survey)
        self.seen = [lexicon.nameness(part.text) for part in self.parts]
        self.chances = [seen.chance for seen in self.seen]
        self.words = [words(part.text) for part in self.parts]
        self.texts = [" ".join(each) for each in self.words]
        self.others = max(survey.rows - 1, 0)
        self.shares = [self._share(number, survey) for number in range(len(self.parts))]
        self.repeated = [self._repeated(number, survey) for number in range(len(self.parts))]
        self.is_wide = self._common_pieces()
        self.is_forced = [
            wide and len(self.parts) > 1 and self.others >= _SOME and share >= _MOST and not _STAYS.fullmatch(part.text)
            for wide, share, part in zip(self.is_wide, self.shares, self.parts, strict=True)
        ]
        # A text that most of a batch repeats is not a name, whatever it looks like.
        self.chances = [
            0.02 if wide or (self.others >= _SOME and most >= _TOPIC) else chance
            for wide, (_, most), chance in zip(self.is_wide, self.repeated, self.chances, strict=True)
        ]
        self._roles = survey.roles
        self.slots = [self._slots(number, survey) for number in range(len(self.parts))]
        self.best_slot, self.best_value = self._best_slot()
        self._about = [f" {plain(line)} " for line in about[:_ABOUT]]
        self._small = frozenset[str]().union(*map(_small_words, about[:_ABOUT]))
        letters = [sign for sign in title if sign.isalpha()]
        self._loud = sum(sign.isupper() for sign in letters) > _LOUD * len(letters)
        self._by = max((c for c, part in zip(self.chances, self.parts, strict=True) if part.left == "by"), default=-1.0)
        self._whole = "\n".join(self._about)
        self._line = plain(title)
        self._coarse = [step(chance, 0.1, 0.4, 0.7, 0.9) for chance in self.chances]
        self._lists = _lists(self.parts)

    def features(self) -> list[list[str]]:
        """Return the features of each piece for the model."""
        ranked = sorted(range(len(self.parts)), key=lambda n: -self.chances[n])
        rank = {number: position for position, number in enumerate(ranked)}
        longest = max(range(len(self.parts)), key=lambda n: len(self.words[n]), default=0)
        items = []
        quoted = bracketed = False
        for number, part in enumerate(self.parts):
            if self.is_forced[number]:
                items.append(["of the batch"])
                continue
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
            item += self._role(number)
            item += self._neighbours(number)
            item += self._described(number)
            items.append(item)
        return items

    def _common_pieces(self) -> list[bool]:
        """Return, for each piece, whether most titles of the batch contain it.

        If that is the whole title (`Talk number 7 by Ada Byron`), or a person after `by` (a channel of one person), no
        piece counts as common.
        """
        wide = [
            self.others >= _FEW and share >= _WIDE and not (part.left == "by" and chance >= _SURELY)
            for share, part, chance in zip(self.shares, self.parts, self.chances, strict=True)
        ]
        rest = [part for part, is_wide in zip(self.parts, wide, strict=True) if not is_wide and part.left != "by"]
        return wide if rest else [False] * len(wide)

    def may_be_of_one_person(self) -> bool:
        """Return whether the text that most of the batch has looks like a name: one person may give all its talks."""
        return any(
            (wide or (part.left == "by" and share >= _WIDE))
            and seen.given
            and seen.shape in _FULL_NAME
            and not _EVENT.search(part.text)
            for wide, share, seen, part in zip(self.is_wide, self.shares, self.seen, self.parts, strict=True)
        )

    def is_cut_off(self, number: int) -> bool:
        """Return whether a piece was cut off only for its likeness to a name, without a sign or word that says so."""
        part = self.parts[number]
        first, last = self._lists[number]
        return part.left != "by" and "soft" in (part.left, part.right) and first == last

    def is_its_own(self, number: int) -> bool:
        """Return whether a piece before a colon or a dash is this title's own, since no other row has it."""
        text = self.parts[number].text
        alone = self.others >= _SOME and self.shares[number] <= 0
        labels = _GOES.fullmatch(text) or _EVENT.search(text) or _YEAR.search(text)
        return alone and self.parts[number].right in ("colon", "dash") and not labels

    def kinds(self) -> list[str]:
        """Return the kinds of the delimiters before the pieces, which affect the labels on either side."""
        found = [""]
        for number, part in enumerate(self.parts[1:], 1):
            kind = part.left.partition("+")[0]
            if kind in ("colon", "dash") and self.shares[number - 1] <= 0:
                kind += " of its own"
            found.append("" if self.is_wide[number - 1] or self.is_wide[number] else kind)
        return found

    def _share(self, number: int, survey: Survey) -> float:
        """Return the share of the other rows that have this piece; -1 if there are no others."""
        if not self.others:
            return -1.0
        part = self.parts[number]
        key = text_key(part.text)
        squeezed = "".join(affix_words(part.text))
        count = max(survey.recurring.get(key, 1), survey.squeezed.get(squeezed, 1))
        if number == 0 or number == len(self.parts) - 1:
            affixes = survey.squeezed_heads if number == 0 else survey.squeezed_tails
            shared = affixes.get(squeezed, 1)
            count = max(count, shared) if shared - 1 >= _MOST * self.others else count
        if number == len(self.parts) - 1 and len(self.title) >= _CUT_OFF and len(key) >= 2:
            count = max(count, 1 + max((n for text, n in survey.recurring.items() if text.startswith(key)), default=0))
        return (count - 1) / self.others

    def _repeated(self, number: int, survey: Survey) -> tuple[float, float]:
        """Return the least and the largest share of the other rows that have a word of this piece."""
        tokens = affix_words(self.parts[number].text)
        if not self.others or not tokens:
            return (0.0, 0.0)
        shares = [(survey.common.get(token, 1) - 1) / self.others for token in tokens if not token.isdigit()]
        return (min(shares, default=0.0), max(shares, default=0.0))

    def _slots(self, number: int, survey: Survey) -> list[tuple[int, float]]:
        """Return for each way to count the place the number of other rows with it, and the share of names in it."""
        found = []
        for key in slot_keys(self.parts, number):
            count, total = survey.slots.get(key, (1, 0.0))
            rest = max(0.0, total - self.chances[number])
            found.append((count - 1, rest / (count - 1) if count > 1 else -1.0))
        return found

    def _best_slot(self) -> tuple[int, float]:
        """Return the piece in the place where the batch has its names (-1: none), and the share of names there."""
        best, best_value = -1, 0.0
        for number, ((_, in_place), (count, in_slot), _) in enumerate(self.slots):
            expected = in_slot if count > 0 else in_place
            if expected > best_value and count >= 0.2 * self.others:
                best, best_value = number, expected
        return best, best_value

    def _length(self, number: int) -> int:
        return step(len(self.words[number]), 2, 3, 4, 5, 7, 10)

    def _looks(self, number: int, where: str) -> list[str]:
        """Return features of scores, words and delimiters."""
        part, tokens = self.parts[number], self.words[number]
        c, length = self._coarse[number], self._length(number)
        found = [
            "b",
            f"c{step(self.chances[number], 0.03, 0.2, 0.4, 0.6, 0.8, 0.95)}",
            f"c{c}|{where}",
            f"c{c}|l={part.left}",
            f"c{c}|r={part.right}",
            f"c{c}|{where}|{part.left}|{part.right}",
            f"l={part.left}|{where}",
            f"r={part.right}|{where}",
            f"ln={length}",
            f"ln={length}|c{c}",
            f"n={min(len(self.parts), 6)}|{where}",
        ]
        found += self._shape(number, where)
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

    def _shape(self, number: int, where: str) -> list[str]:
        """Return features of its look and its neighbours; none of text that most of the batch has."""
        part, seen, tokens = self.parts[number], self.seen[number], self.words[number]
        c, length, found = self._coarse[number], self._length(number), list[str]()
        if self.is_wide[number]:
            found += [f"wide|{where}", f"wide|{part.left}|{part.right}", f"wide|ln{min(length, 3)}"]
        else:
            found += [
                f"sh={seen.shape[:5]}",
                f"first={step(seen.first, -4, -1, 1, 4)}|c{c}",
                f"least={step(seen.least, -6, -3, -1, 1, 3)}|{len(seen.shape) > 1}",
                f"g={seen.given}|{seen.shape[:4]}",
            ]
        if self._by >= 0 and part.left != "by":
            found.append(f"by={step(self._by, 0.4, 0.7)}|c{c}|{where}")
        if self._loud:
            quiet = any(sign.islower() for sign in part.text)
            found += [f"loud={quiet}|c{c}", f"loud={quiet}|{where}"]
        if _LANGUAGE.fullmatch(part.text):
            found.append(f"language|{part.left}|{part.right}")
        small = sum(word in self._small for word in tokens)
        if tokens and self._about:
            found.append(f"small={min(2, small)}|{small == len(tokens)}|c{c}")
        return found

    def _batch(self, number: int, where: str) -> list[str]:
        """Return features of the other rows' text in this place."""
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
        if self.others >= _FEW:
            least, most = (step(share, 0.001, 0.2, 0.4, 0.7) for share in self.repeated[number])
            found += [f"rep={least}|{most}|c{c}", f"rep={least}|{most}|{where}|ln{length}"]
        if _EVENT.search(part.text):
            found += [f"event|{where}|ln{length}", f"event|df={share}|{where}"]
        value = step(self.best_value, 0.3, 0.5, 0.7, 0.85)
        if number == self.best_slot:
            found.append(f"best={value}|c{c}|{size}")
        elif self.best_slot >= 0:
            found.append(f"notbest={value}|c{c}|{where}")
        return found

    def in_its_role(self, number: int, label: str) -> float:
        """Return the share of this label among the batch's pieces in this place; -1 if it is unknown."""
        counts = self._roles.get(role_keys(self.parts, number)[0], (0, 0, 0))
        total = sum(counts)
        return counts[ROLES.index(label)] / total if total > len("AB") else -1.0

    def _role(self, number: int) -> list[str]:
        """Return features of the labels of other rows' pieces in this place."""
        if not self._roles:
            return ["role=na"]
        c, found = self._coarse[number], []
        for n, key in enumerate(role_keys(self.parts, number)):
            counts = self._roles.get(key)
            total = sum(counts) if counts else 0
            if not counts or total < 2:  # the row itself is one of them
                found.append(f"role{n}=new|c{c}")
                continue
            best = max(range(3), key=counts.__getitem__)
            size, share = step(total, 2, 4, 10), step(counts[best] / total, 0.6, 0.8, 0.95)
            named = step(counts[1] / total, 0.02, 0.2, 0.5, 0.8, 0.95)
            found += [f"role{n}={best}|{share}|{size}", f"role{n}={best}|{share}|c{c}", f"named{n}={named}|c{c}|{size}"]
        return found

    def _neighbours(self, number: int) -> list[str]:
        """Return features of a piece's neighbours, also within the same list of names."""
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
        """Return features of the description's words about a piece."""
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


def by_convention(view: TitleView, decoded: Decoded, order: Sequence[str], *, anywhere: bool = False) -> list[str]:
    """Return the labels, adjusted to the editors' conventions: `Keynote:` and `Lightning Talk:` stay, `Talk:` goes.

    The text that most titles of the batch have is not part of a title, nor is `DevConf 2031` at the beginning, nor
    `/ @handle` at the end. A name must be likely. Parts joined by `and` have the same label: after a piece of the title
    such a part names nobody. The title is one run of pieces: the likeliest of several, or the likeliest piece if none.

    Args:
        order: the order of the labels in its chances.
        anywhere: whether names may be anywhere in the title, since the row gives its presenters.
    """
    parts = view.parts
    chances = [dict(zip(order, row, strict=True)) for row in decoded.marginals]
    labels = decoded.labels
    if not anywhere:
        labels = [
            max((TITLE, DROP), key=chance.__getitem__) if label == NAME and chance[NAME] < _LIKELY_NAME else label
            for label, chance in zip(labels, chances, strict=True)
        ]
    labels = [_no_name(parts, labels, number) or label for number, label in enumerate(labels)]
    if not anywhere:
        _names_in_one_place(view, labels, chances)
    labels = [DROP if forced else label for forced, label in zip(view.is_forced, labels, strict=True)]
    if len(parts) > 1 and labels[0] != NAME and parts[0].right in _SEPARATES and _DATED_EVENT.fullmatch(parts[0].text):
        labels[0] = DROP
    if len(parts) > 1 and labels[0] == TITLE and parts[0].right == "year" and _KIND_OF_EVENT.search(parts[0].text):
        labels[0] = DROP
    for number, part in enumerate(parts[:-1]):
        if TITLE in labels[:number] or part.right not in ("colon", "label"):
            continue
        if _GOES.fullmatch(part.text):
            labels[number] = DROP
        elif _STAYS.fullmatch(part.text) and labels[number + 1] == TITLE and part.left != "label":
            labels[number] = TITLE
    _drop_hosts(parts, labels)
    labels = _one_title(parts, labels, [chance[TITLE] for chance in chances], view.is_forced)
    _keep_its_own_words(view, labels, chances)
    return labels


def _keep_its_own_words(view: TitleView, labels: list[str], chances: Sequence[Mapping[str, float]]) -> None:
    """Add to the title a doubtful piece before it that no other row has: `Sauron: home security`."""
    before = labels.index(TITLE) - 1
    if before >= 0 and labels[before] == DROP and chances[before][TITLE] >= _DOUBTFUL and view.is_its_own(before):
        labels[before] = TITLE


def _guests(view: TitleView) -> list[int]:
    """Return the pieces that name the guests of a talk, wherever it names its presenters: `(ft. Ada Byron)`."""
    found: list[int] = []
    for number, part in enumerate(view.parts[1:], start=1):
        between = view.title[view.parts[number - 1].end : part.start]
        is_introduced = _GUEST.search(between) or (part.left in ("and", "comma") and number - 1 in found)
        if is_introduced and view.chances[number] > _RATHER:
            found.append(number)
    return found


def _names_in_one_place(view: TitleView, labels: list[str], chances: Sequence[Mapping[str, float]]) -> None:
    """Leave one list of names beside the guests: presenters are named before or after a title, not on both sides.

    A piece of another list gets its second best label, or that of adjacent text if no separator is between them.
    """
    guests = _guests(view)
    lists: list[list[int]] = []
    for number, part in enumerate(view.parts):
        if number in guests:
            labels[number] = NAME
            continue
        if labels[number] != NAME:
            continue
        before = lists[-1][-1] if lists else -1
        ends = before == number - 1 and part.left.partition("+")[0] in _ENDS_A_LIST
        if before < 0 or ends or TITLE in labels[before + 1 : number]:
            lists.append([])
        lists[-1].append(number)
    best = max(lists, key=lambda names: _rank(view, names, chances), default=[])
    for number in (number for names in lists if names is not best for number in names):
        beside = number - 1 if view.parts[number].left == "soft" else number + 1
        is_cut_off = view.is_cut_off(number) and labels[beside] != NAME
        labels[number] = labels[beside] if is_cut_off else max((TITLE, DROP), key=chances[number].__getitem__)


def _rank(view: TitleView, names: Sequence[int], chances: Sequence[Mapping[str, float]]) -> tuple[int, float]:
    """Return the rank of a list of names: one after `by` is highest, one in brackets is lowest."""
    left = view.parts[names[0]].left
    return (left == "by") - left.endswith("open"), sum(chances[number][NAME] for number in names) / len(names)


def _drop_hosts(parts: Sequence[Segment], labels: list[str]) -> None:
    """Drop hosts and people's other names if presenters are named."""
    named = [n for n, label in enumerate(labels) if label == NAME]
    others = [n for n in named if parts[n].left in ("host", "handle")]
    if others != named:
        for number in others:
            labels[number] = DROP


def _no_name(parts: Sequence[Segment], labels: Sequence[str], number: int) -> str | None:
    """Return the label of a piece that was labelled as a name and cannot be one; None if its label may be right."""
    part = parts[number]
    if number and part.left in (*_SEPARATES, "by", "slash", "open", "comma") and is_placeholder(part.text):
        return DROP
    if labels[number] != NAME:
        return DROP if "+handle" in part.left else None
    if any(sign.isdigit() for sign in part.text) or _SESSION.search(part.text):
        return TITLE
    if is_placeholder(part.text):
        return DROP
    if part.left == "and" and labels[number - 1] == TITLE:
        return TITLE
    return None


def _one_title(
    parts: Sequence[Segment], labels: list[str], chances: Sequence[float], forced: Sequence[bool]
) -> list[str]:
    """Return the labels with exactly one run of title pieces.

    Args:
        chances: the chance of each piece to be title.
        forced: which pieces belong to the batch and are not title.
    """
    runs = _title_runs(labels)
    if len(runs) > 1:
        means = [sum(chances[n] for n in run) / len(run) for run in runs]
        best_run = runs[means.index(max(means))]
        labels = [DROP if label == TITLE and n not in best_run else label for n, label in enumerate(labels)]
    if not runs:
        free = [n for n in range(len(parts)) if not forced[n]] or range(len(parts))
        pool = [n for n in free if labels[n] != NAME] or free
        best = max(pool, key=chances.__getitem__)
        labels[best] = TITLE
        for number in range(best - 1, -1, -1):  # a cut without a separator was not a border after all
            if parts[number].right != "soft" or labels[number] == NAME:
                break
            labels[number] = TITLE
    return labels


def title_of(title: str, parts: Sequence[Segment], labels: Sequence[str]) -> str:
    """Return the title that a labelling gives: its pieces with the text between them."""
    return " ".join(_run(title, parts, run[0], run[-1]) for run in _title_runs(labels))


def completed(title: str, about: Sequence[str]) -> str:
    """Complete a truncated title (`How we lived to tell the ta...`) from a line of the description, if one has it."""
    if not title.endswith(_ELLIPSES) and len(title) < _CUT_OFF:
        return title
    *start, last = [*words(title.rstrip(".\u2026 ")), ""]
    if last == "" and start:
        *start, last = start
    if len(start) < _ENOUGH:
        return title
    for line in about[:_ABOUT]:
        found = words(line)
        if len(line) <= LONGEST and found[: len(start)] == start and found[len(start) :][:1]:
            rest = found[len(start) :]
            if rest[0].startswith(last) and len(rest) <= _MISSING and (len(rest) > 1 or rest[0] != last):
                return line
    return title


def _title_runs(labels: Sequence[str]) -> list[range]:
    """Return the runs of pieces that are labelled as title."""
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
    """Return a run of pieces as the title writes it, and close the brackets and quotes that it opens."""
    start, end = parts[first].start, parts[last].end
    begin = parts[first - 1].end if first else 0
    before = title[begin:start]
    after = title[end : parts[last + 1].start if last + 1 < len(parts) else len(title)]
    text = title[start:end]
    for opening, closing in _PAIRS:
        while text.count(opening) > text.count(closing) and closing in after:
            text += after[: after.index(closing) + 1]
            after = after[after.index(closing) + 1 :]
        while text.count(closing) > text.count(opening) and opening in before:
            at = before.rindex(opening)
            text, before = before[at:] + text, before[:at]
    if empty := _EMPTY_PAIR.match(after):
        text, after = text + empty[0], after[empty.end() :]
    # A pattern's `^` is the beginning of the whole title, wherever the search begins.
    symbols = _SYMBOLS.search(title, begin, begin + len(before))
    if symbols:
        text = symbols[1] + (" " if before.endswith(" ") else "") + text
    text = _with_its_code(text, before, after)
    if text.count('"') % 2 and '"' in after:
        text += after[: after.index('"') + 1]
    elif text.count('"') % 2 and '"' in before:
        text = before[before.rindex('"') :] + text
    if after[:1] in ("'", "\u2019") and sum(text.count(quote) for quote in "'\u2018\u2019") == 1:
        text += after[0]
    return text.strip()


def _with_its_code(text: str, before: str, after: str) -> str:
    """Return a title with the marks around it that are code: `rm -rf /`, `[[nodiscard]]`."""
    if (end := _CODE_AFTER.match(after)) and _COMMAND.search(text):
        return text + end[0]
    opening, closing = _OPENING.search(before), _CLOSING.match(after)
    whole = f"{opening[0]}{text}{closing[0]}" if opening and closing else text
    return whole if _CODE_AROUND.fullmatch(whole) else text


def _lists(parts: Sequence[Segment]) -> list[tuple[int, int]]:
    """Return for each piece the first and the last piece of its list (`A, B & C`)."""
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
