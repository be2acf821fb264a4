"""Repairs and detects UTF-8 that was read in another encoding: `JÃ¶rg` for `Jörg`.

`repair` undoes the misreading if it is certain. `is_garbled` detects what remains, and damage that cannot be undone
because characters were lost. Both are pure, take time linear in the text, and never raise.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROUNDS_MAX = 3
"""The most misreadings that are undone: a text usually has one, sometimes two."""

_CLOSING = frozenset("\u2019\u201d»\u203a…\u2013—™®•·°ºª¹²³€")
"""Characters that may follow an accented capital in intact text, and also continue a misread UTF-8 sequence."""

_CLOSING_AFTER_A = frozenset("\u2019\u201d»\u203a…\u2013—")
"""Those of them that may follow `Ã` or `Â` in intact text; in no language do the others follow these two."""


class _Misreading(NamedTuple):
    """One wrong encoding: the byte of each of its characters, and the look of UTF-8 sequences in it.

    `signature` lists beginnings of sequences that intact text hardly ever has; the other beginnings are quotation
    marks and dashes. A text with a signature is repaired as a whole or not at all. None means that any sequence is
    sufficient evidence.
    """

    bytes_of: Mapping[str, int]
    sequence: re.Pattern[str]
    signature: str | None

    def decoded(self, characters: str) -> str | None:
        """Return the character that a sequence encodes, None if it encodes none."""
        try:
            character = bytes(self.bytes_of[mark] for mark in characters).decode()
        except UnicodeDecodeError:
            return None
        return None if unicodedata.category(character) in {"Cn", "Co"} else character


def _misreading(encoding: str, signature: str | None = None) -> _Misreading:
    """Return a wrong encoding; a byte that it leaves undefined stands for Latin-1's control character."""
    bytes_of = {}
    for byte in range(0x80, 0x100):
        try:
            bytes_of[bytes([byte]).decode(encoding)] = byte
        except UnicodeDecodeError:
            bytes_of[chr(byte)] = byte
    leads = ("".join(it for it, byte in bytes_of.items() if first <= byte < last) for first, last in _LEADS)
    if encoding == "cp1252":  # mixtures with Latin-1 are common, which has control characters at these places
        bytes_of |= {chr(byte): byte for byte in range(0x80, 0xA0)}
    rest = re.escape("".join(it for it, byte in bytes_of.items() if byte < _LEADS[0][0]))
    sequences = [f"[{re.escape(lead)}][{rest}]{{{count}}}" for count, lead in enumerate(leads, 1)]
    return _Misreading(bytes_of, re.compile("|".join(sequences)), signature)


_LEADS = ((0xC0, 0xE0), (0xE0, 0xF0), (0xF0, 0xF8))
"""The first bytes of sequences of two, three and four bytes (RFC 3629, section 3)."""

_CYRILLIC = "\u0420\u0421\u0413\u0415\u0414"
"""The first characters of Cyrillic and of accented Latin letters that were read as Windows-1251."""

_MISREADINGS = (  # those that repair a text only as a whole come before the one that repairs parts
    _misreading("cp1250", "ĂĹ"),
    _misreading("cp1251", _CYRILLIC),
    _misreading("cp1252"),
    _misreading("mac_roman", "√≈ƒ∆\u201a"),
    _misreading("cp437", "├┼─╞Γ"),
    _misreading("cp850", "├┼─Ô"),
)

_WRONG = (
    *("iso8859_15", "iso8859_2", "cp1250", "cp1251", "cp1253", "cp1254", "cp437", "cp850", "cp852", "cp866", "cp874"),
    *("koi8_r", "mac_cyrillic"),
)
"""The encodings as which UTF-8 is most often misread, without those in which intact French looks like misread UTF-8."""

_SPARE_BYTES = 2
"""The fewest bytes that UTF-8 must need beyond one for each character: two sequences of two bytes, or one of three."""

_SUSPECT = re.compile(f"[\xc2-\xf4ĂĹ{_CYRILLIC}√≈ƒ∆\u201a├┼─╞Γ]")
"""The characters of misread text; most texts have none of them."""

_CONTROLS = re.compile("[\x80-\x9f]")

_OF_WINDOWS = {code: bytes([code]).decode("cp1252") for code in (0x80, 0x82, 0x84, *range(0x91, 0x98), 0x99)}
"""Quotation marks and dashes of Windows-1252, by the control characters that they become if it is read as Latin-1."""

_LOST = re.compile(
    "\ufffd"  # the replacement character of a failed decoding
    "|[\x80-\x9f\ue000-\uf8ff]"  # control and private characters that no text has
    "|(?<=[A-Za-z])\\?(?=[a-zà-ÿ])"  # `f?r`
    "|(?<![A-ZÀ-Þ])Ã(?![A-ZÀ-Þa-zà-ÿ])|Â(?![A-ZÀ-Þa-zà-ÿ])"  # half a sequence, whose other half was a space
    "|(?<!\\w)Ã(?=[a-z])|[à-ï][¡-§¬¯±¶¼-¿](?= |$)"  # half a sequence; the other half was a control character or a space
    "|â€|Ã[ƒ\u201a]"
    "|(?<=[a-z])[\uff61-\uff9f]"  # Shift JIS
    "|(?:[\u2013\u2014][^\x00-\x7f\\s]){2}"  # Cyrillic in Mac Roman
    "|[√≈ƒ├┼╨╤Γ][^\x00-\x7f\\s]"  # the beginning of a sequence that could not be undone
    "|[ĂĹ][^\x00-\x7f\\s\\w\u201d»…\u2013\u2014]"
    "|(?:[\u0420\u0421][\u201a\u0453\u201e\u2020\u2021€\u2030\u045e\u0405\u0455¤¦§©¬®±µ¶][^\u0420\u0421]*){2}"
)


def repair(text: str) -> str:
    """Return the text as it was before it was misread, if that is certain; otherwise the text unchanged."""
    if text.isascii():
        return text
    if not _SUSPECT.search(text):
        return text.translate(_OF_WINDOWS)
    repaired = text
    for _ in range(_ROUNDS_MAX):
        if not _SUSPECT.search(repaired):
            break
        before = repaired
        repaired = next((it for it in (_undone(before, misread) for misread in _MISREADINGS) if it != before), before)
        if repaired == before:
            break
    return text if _CONTROLS.search(repaired) or _has_new_capitals(repaired, text) else repaired


def is_garbled(text: str) -> bool:
    """Return whether a repaired text still shows that it was misread or lost characters."""
    plain = " ".join(word for word in text.split(" ") if "/" not in word and "@" not in word)
    return bool(_LOST.search(plain)) or any(_is_utf8_in(plain, encoding) for encoding in _WRONG)


def _is_utf8_in(text: str, encoding: str) -> bool:
    """Return whether all of a text is UTF-8 that was read in this encoding; no intact text is that by chance."""
    try:
        data = text.encode(encoding)
        decoded = data.decode()
    except UnicodeError:
        return False
    return len(data) - len(decoded) >= _SPARE_BYTES


def _has_new_capitals(repaired: str, text: str) -> bool:
    """Return whether a repair made accented capitals within words, as the wrong encoding does: `fÌr` for `für`."""
    return any(
        here.isupper()
        and not here.isascii()
        and before.isalpha()
        and (before.islower() or after.islower())
        and f"{before}{here}{after}" not in text
        for before, here, after in zip(repaired, repaired[1:], f"{repaired[2:]} ", strict=False)
    )


def _undone(text: str, misread: _Misreading) -> str:
    """Return the text with every misread sequence repaired, or unchanged if the evidence may be intact text."""
    sequences = [it[0] for it in misread.sequence.finditer(text) if misread.decoded(it[0])]
    if not sequences:
        return text
    if misread.signature:
        rest = misread.sequence.sub("", text)
        known = any(it[0] in misread.signature for it in sequences)
        certain = known and rest.isascii() and (len(sequences) > 1 or sequences[0][1] not in _CLOSING)
    else:
        certain = len(sequences) > 1 or not _may_be_intact(text, misread.sequence)
    return misread.sequence.sub(lambda it: misread.decoded(it[0]) or it[0], text) if certain else text


def _may_be_intact(text: str, pattern: re.Pattern[str]) -> bool:
    """Return whether the text's only sequence may be a letter and the character after it: `CAFÉ…`."""
    sequence = pattern.search(text)
    if sequence is None:
        return True
    letter, rest = sequence[0][0], sequence[0][1:]
    closing = _CLOSING_AFTER_A if letter in "ÃÂ" else _CLOSING
    return rest in closing and not text[sequence.end() : sequence.end() + 1].isalpha()
