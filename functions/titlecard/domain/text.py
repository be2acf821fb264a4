"""Cleans text before anything reads it, and compares texts.

Titles and descriptions come from strangers: by accident or on purpose they contain zero-width characters, direction
marks, control characters and spaces of every width. `normalise` removes invisible characters, `words` reduces a text to
what its spellings have in common. All functions are pure, take time linear in the text, and never raise.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_INVISIBLE = dict.fromkeys(
    [
        0x00AD,  # soft hyphen
        0x061C,  # Arabic letter mark
        0x180E,  # Mongolian vowel separator
        *range(0x200B, 0x2010),  # zero-width spaces and joiners, direction marks
        *range(0x202A, 0x202F),  # direction embeddings and overrides
        *range(0x2060, 0x2070),  # word joiner, invisible operators, isolates
        *range(0xFFF9, 0xFFFC),  # interlinear annotation
        0xFEFF,  # byte order mark
        *(0xFFFE, 0xFFFF),  # noncharacters, which SQS refuses
        *range(0xE0000, 0xE0080),  # tags, which can spell out a hidden text
    ]
)
_SPACES = dict.fromkeys([0x00A0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000], " ")
_CONTROLS = {code: " " for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) != "\n"}
_TABLE: dict[int, str | None] = {**_INVISIBLE, **_SPACES, **_CONTROLS}

_ESCAPE = "\x1b"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\))")
"""Terminal control sequences (ECMA-48): colours, movements, and strings such as a window's title, with their ends."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_ADDRESS = re.compile(r"\b(?:https?:|ftp:|www\.)\S*", re.IGNORECASE)


_PLACEHOLDER = re.compile(
    r"(?:(?:various|multiple|several|many|all|different|guest|invited|unknown|the|our) )*"
    r"(?:speakers?|presenters?|people|authors?|artists?|panell?ists?|guests?|participants?|attendees)(?: tb[acd])?"
    r"|various|multiple|several|anonymous|unknown|none|null|nan|todo|true|false|tb[acd]"
    r"|to be (?:announced|confirmed|decided|determined|defined)"
    r"|n a|not available|students|alumn\w+|todos|varios|diverse|divers|a confirmar|por confirmar"
)
"""Placeholders for names that are unknown or too many, as folded words."""


class _WithoutMarks(dict[int, int | None]):
    """A table for `str.translate` that drops combining marks; it adds the characters that it meets."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.combining(chr(code)) else code
        return self[code]


_MARKS = _WithoutMarks()


def normalise(text: str) -> str:
    """Return the text in NFC, without invisible characters; other spaces and control characters become plain spaces.

    Terminal control sequences are removed whole, so that no part of them remains as text. Line feeds stay, because a
    description is read by lines. Runs of spaces stay, because two spaces can separate a name from a title. Lone
    surrogates become question marks, so that the result can always be encoded.
    """
    if _ESCAPE in text:
        text = _SEQUENCE.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_TABLE)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = unicodedata.normalize("NFC", text)
    return text.strip()


def one_line(text: str) -> str:
    """Return the normalised text in one line, for titles."""
    return normalise(text).replace("\n", " ")


def fold(text: str) -> str:
    """Return the text without accents and case (NFKD, combining marks dropped, casefolded)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).translate(_MARKS).casefold()


def words(text: str) -> list[str]:
    """Return the folded words of a text, in order. Chinese and Japanese, written without spaces, count by character."""
    return _WORD.findall(fold(text))


@lru_cache(maxsize=1024)
def plain(text: str) -> str:
    """Return a text's folded words joined by spaces; cached, because the lines of a batch often repeat."""
    return " ".join(words(text))


def without_addresses(text: str) -> str:
    """Return the text with a space in place of each web address, because an address is no evidence of a name."""
    return _ADDRESS.sub(" ", text)


def is_placeholder(name: str) -> bool:
    """Return whether a text stands in for a name without naming anybody: `TBA`, `Various Speakers`."""
    return _PLACEHOLDER.fullmatch(plain(name)) is not None
