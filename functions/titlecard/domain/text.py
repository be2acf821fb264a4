"""How text is cleaned before anybody looks at it, and how two texts are compared.

Titles and descriptions come from strangers: zero-width characters, direction marks, control characters and spaces of
every width are in them, by accident or on purpose. `normalise` takes out what nobody sees, `words` reduces a text to
what two spellings of it have in common. All is pure, takes time linear in the text, and never raises.
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
        *range(0xE0000, 0xE0080),  # tags, which can spell out a hidden text
    ]
)
_SPACES = dict.fromkeys([0x00A0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000], " ")
_CONTROLS = {code: " " for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) != "\n"}
_TABLE: dict[int, str | None] = {**_INVISIBLE, **_SPACES, **_CONTROLS}

_ESCAPE = "\x1b"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\))")
"""What a terminal obeys (ECMA-48): colours and movements, and strings such as a window's title, up to their ends."""

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
"""What stands where a name is not known yet, or is too many to tell; folded words."""


class _WithoutMarks(dict[int, int | None]):
    """A table for `str.translate` that drops combining marks; it fills itself with the characters that it meets."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.combining(chr(code)) else code
        return self[code]


_MARKS = _WithoutMarks()


def normalise(text: str) -> str:
    """The text in NFC, without invisible characters; every other space or control character is a plain space.

    Sequences that a terminal obeys go whole, so that nothing of them stays behind as text.
    Line feeds stay (a description is read by lines), as do runs of spaces (two spaces can separate a name from a
    title). Surrogates that belong to no character become question marks, so that the result can always be encoded.
    """
    if _ESCAPE in text:
        text = _SEQUENCE.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_TABLE)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = unicodedata.normalize("NFC", text)
    return text.strip()


def one_line(text: str) -> str:
    """The same for a title, which is one line."""
    return normalise(text).replace("\n", " ")


def fold(text: str) -> str:
    """The text without accents and case (NFKD, combining marks dropped, casefolded)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).translate(_MARKS).casefold()


def words(text: str) -> list[str]:
    """The folded words of a text, in order. Chinese and Japanese, which write no spaces, count by the character."""
    return _WORD.findall(fold(text))


@lru_cache(maxsize=1024)
def plain(text: str) -> str:
    """The folded words of a text with a space between. Lines are remembered: those of a batch have many in common."""
    return " ".join(words(text))


def without_addresses(text: str) -> str:
    """The text with a space where a web address stood: what an address spells out is nobody's word."""
    return _ADDRESS.sub(" ", text)


def is_placeholder(name: str) -> bool:
    """Whether a text stands in the place of a name and names nobody: `TBA`, `Various Speakers`."""
    return _PLACEHOLDER.fullmatch(plain(name)) is not None
