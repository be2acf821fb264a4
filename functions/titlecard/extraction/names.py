"""How much a piece of text looks like a personal name.

A token's score is a log-odds, in half nats: personal names against all other text about talks. Tokens outside the
lexicon are scored by their last letters ("-owski", "-enko", "-sson"). The shape of a text (a letter for each token) and
its scores together give the chance that it is a name.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from titlecard.domain.text import fold

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTICLES = frozenset(
    [
        *("de", "da", "do", "dos", "das", "del", "della", "di", "du", "la", "le", "van", "von", "vom", "zu"),
        *("der", "den", "dem", "ter", "ten", "bin", "ibn", "ben", "al", "el", "bar", "y", "e", "af", "av"),
        *("st", "san"),
    ]
)
"""Lower-case words inside a surname."""

TITLES = frozenset(["dr", "prof", "professor", "mr", "mrs", "ms", "phd", "md", "sir", "mba"])
"""Academic and polite titles: never part of a presenter's name."""

CUES = frozenset(
    [
        *("about", "abstract", "author", "authors", "bio", "biography", "by", "contact", "day", "description"),
        *("follow", "from", "hello", "hi", "host", "introduction", "join", "keynote", "meet", "moderator"),
        *("moderated", "name", "panelists", "presented", "presenter", "presenters", "room", "session"),
        *("speaker", "speakers", "talk", "thank", "thanks", "title", "topic", "track", "watch", "with", "and"),
        *("the", "in", "at", "of", "i'm", "i\u2019m", "monday", "tuesday", "wednesday", "thursday", "friday"),
        *("saturday", "sunday", "mon", "tue", "wed", "thu", "fri", "sat", "sun", "january", "february"),
        *("july", "september", "october", "november", "december", "feb", "mar", "apr", "jul", "aug", "sep"),
        *("sept", "oct", "nov", "dec"),
    ]
)
"""Words that introduce a name or a date and are never part of a name."""

_WORD_SCORE = -4
"""The score at or below which a token is a word, unless it is also a first name."""

_REMEMBERED = 4096
"""The most texts in the cache: a few hundred kilobytes."""

_LOOKED_AT = 10
"""The number of tokens of a text that are read: no name has more."""

_OPENS, _CLOSES = "\"'“‘«(", "\"'”’»)"  # noqa: RUF001
_TRIM = "\"'’‘“”.,;:!?()[]{}<>*_-–—|/\\«»「」"  # noqa: RUF001  # quotes and dashes as they occur
_NAME_SHAPE = re.compile(r"T*(?:[CUMk]|I(?=.*[CUM]))[CUIpMkT]{0,4}|j{1,2}|jC{1,3}|C{1,3}j")
_CAPITAL_INSIDE = re.compile(r"(?:Mc|Mac|De|Di|Van|Le|La|Al)[^\W\d_]+|[^\W\d_]+(?:[-'’.][^\W\d_]+)+")  # noqa: RUF001
_CJK_SURNAME, _CJK_GIVEN, _CJK_OTHER = 3.0, 1.0, -4.0
_LONGEST_CJK_NAME = 5
_KOREAN_NAME, _LONGEST_KOREAN_NAME = 2.0, 4


class Nameness(NamedTuple):
    """The features of a text as a name.

    `shape` has a letter for each token (see `kind`), the scores are those of its tokens, `given` says that one of them
    is a known first name, and `chance` (0 to 1) summarises them.
    """

    shape: str
    mean: float
    least: float
    first: float
    last: float
    given: bool
    chance: float


class Lexicon:
    """The scores of folded tokens and of three-letter endings, in half nats, and the folded first names."""

    def __init__(
        self,
        tokens: Mapping[str, int] = {},
        endings: Mapping[str, int] = {},
        given: frozenset[str] = frozenset(),
    ) -> None:
        self.tokens = tokens
        self.endings = endings
        self.given = given
        self._found: dict[str, Nameness] = {}

    def score(self, token: str) -> int:
        """Return the score of one token without its punctuation."""
        folded = fold(token)
        known = self.tokens.get(folded)
        if known is None and "-" in folded:
            known = min((self.tokens[part] for part in folded.split("-") if part in self.tokens), default=None)
        return self.endings.get(folded[-3:], 0) if known is None else known

    def is_word(self, token: str) -> bool:
        """Return whether a capitalised token is certainly a word and not a name."""
        if len(token) == 1:
            return False
        folded = fold(token)
        return folded in CUES or (self.tokens.get(folded, 0) <= _WORD_SCORE and folded not in self.given)

    def nameness(self, text: str) -> Nameness:
        """Return the features of a text as a name; cached, because the same texts recur."""
        found = self._found.get(text)
        if found is None:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            found = self._found[text] = self._nameness(text)
        return found

    def _nameness(self, text: str) -> Nameness:
        shape: list[str] = []
        scores: list[float] = []
        given = False
        tokens = text.split()[:_LOOKED_AT]
        for number, raw in enumerate(tokens):
            if 0 < number < len(tokens) - 1 and raw[0] in _OPENS and raw[-1] in _CLOSES:
                continue  # a nickname
            token = raw.strip(_TRIM)
            letter = kind(token, raw)
            if letter == "j":
                scores.append(_CJK_GIVEN if shape[-1:] == ["j"] and scores[-1] > 0 else self._cjk(token))
            elif letter == "k":
                scores.append(self._korean(token))
            elif letter in "lxd":
                scores.append(min(self.score(token), 0) - 2)
            elif letter not in "IpT":
                scores.append(self.score(token))
                given = given or fold(token) in self.given
            shape.append(letter)
        letters = "".join(shape)
        if not scores:
            return Nameness(letters, -2.0, -2.0, -2.0, -2.0, given=False, chance=0.02)
        mean = sum(scores) / len(scores)
        # Rough weights: the models learn how far to trust the chance, so it only has to rank well.
        z = 0.5 * mean + 0.25 * min(scores) + (0.7 if given else -0.3) - (0.8 if len(shape) == 1 else 0)
        chance = 1 / (1 + math.exp(-z)) if _NAME_SHAPE.fullmatch(letters) else 0.02
        return Nameness(letters, mean, min(scores), scores[0], scores[-1], given, chance)

    def _korean(self, token: str) -> float:
        """Return the score of a Korean word: a known name, or a short word that begins with a known surname."""
        known = self.tokens.get(fold(token))
        if known is not None:
            return known
        begins = self.tokens.get(fold(token[:1]), 0) > 0 and 2 <= len(token) <= _LONGEST_KOREAN_NAME  # noqa: PLR2004
        return _KOREAN_NAME if begins else _CJK_OTHER

    def _cjk(self, token: str) -> float:
        """Return the score of ideographs: a short run that begins with a known surname."""
        known = self.tokens.get(token[:2], 0) > 0 or self.tokens.get(token[:1], 0) > 0
        return _CJK_SURNAME if known and len(token) <= _LONGEST_CJK_NAME else _CJK_OTHER


def kind(token: str, raw: str) -> str:  # noqa: C901, PLR0911  # a table of cases reads best as one
    """Return a letter for a token.

    T academic title, I initial, p particle, C capitalised, U upper case, M mixed case, l lower case, d with digits,
    j Chinese or Japanese, k Korean, x anything else. `raw` is the token with its punctuation.
    """
    if not token:
        return "x"
    head, folded = token[0], token.lower()
    if "\u3005" <= head <= "\u9fff" or "\uf900" <= head <= "\ufaff":
        return "j"
    if "\uac00" <= head <= "\ud7a3":
        return "k" if len(token) <= _LONGEST_CJK_NAME else "l"
    if folded in TITLES:
        return "T"
    if not token.isalpha() and any(c.isdigit() for c in token):
        return "d"
    if len(token) == 1 or (len(token) <= len("J.R") and "." in raw and token.isupper()):
        return "I" if head.isupper() else "p" if folded in PARTICLES else "x"
    if folded in PARTICLES:
        return "p"
    if not head.isalpha():
        return "x"
    if head.islower():
        return "l"
    if token.isupper():
        return "U"
    rest = token[1:]
    return "C" if (rest.isalpha() and rest == rest.lower()) or _CAPITAL_INSIDE.fullmatch(token) else "M"
