"""Text that was UTF-8 and was read as something else: `JÃ¶rg` for `Jörg`.

`repair` undoes it where that is certain. `is_garbled` finds what is left of it, and what cannot be undone because
characters were lost. Both are pure, take time linear in the text, and never raise.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROUNDS_MAX = 3
"""Text goes through a wrong encoding once; now and then twice."""

_CLOSING = frozenset("\u2019\u201d»\u203a…\u2013—™®•·°ºª¹²³€")
"""What may follow an accented capital in sound text, and also continues a UTF-8 sequence in a wrong encoding."""

_CLOSING_AFTER_A = frozenset("\u2019\u201d»\u203a…\u2013—")
"""The same behind `Ã` and `Â`, behind which the others do not stand in any language."""


class _Misreading(NamedTuple):
    """One wrong encoding: the byte of each of its characters, and how UTF-8 sequences look in it.

    `signature` are the beginnings of sequences that hardly any text holds, where the others are quotation marks and
    dashes; such a text is put right only as a whole. None where any sequence tells.
    """

    bytes_of: Mapping[str, int]
    sequence: re.Pattern[str]
    signature: str | None

    def decoded(self, characters: str) -> str | None:
        """The character that a sequence was, None where it is none."""
        try:
            character = bytes(self.bytes_of[mark] for mark in characters).decode()
        except UnicodeDecodeError:
            return None
        return None if unicodedata.category(character) in {"Cn", "Co"} else character


def _misreading(encoding: str, signature: str | None = None) -> _Misreading:
    """A wrong encoding; bytes that it leaves undefined stand for the control characters of Latin-1."""
    bytes_of = {}
    for byte in range(0x80, 0x100):
        try:
            bytes_of[bytes([byte]).decode(encoding)] = byte
        except UnicodeDecodeError:
            bytes_of[chr(byte)] = byte
    leads = ("".join(it for it, byte in bytes_of.items() if first <= byte < last) for first, last in _LEADS)
    if encoding == "cp1252":  # a mixture of the two is common: Latin-1 has control characters where this has letters
        bytes_of |= {chr(byte): byte for byte in range(0x80, 0xA0)}
    rest = re.escape("".join(it for it, byte in bytes_of.items() if byte < _LEADS[0][0]))
    sequences = [f"[{re.escape(lead)}][{rest}]{{{count}}}" for count, lead in enumerate(leads, 1)]
    return _Misreading(bytes_of, re.compile("|".join(sequences)), signature)


_LEADS = ((0xC0, 0xE0), (0xE0, 0xF0), (0xF0, 0xF8))
"""The bytes that begin a sequence of two, of three and of four (RFC 3629, section 3)."""

_MISREADINGS = (_misreading("cp1252"), _misreading("mac_roman", "√≈ƒ∆\u201a"), _misreading("cp437", "├┼─╞Γ"))

_SUSPECT = re.compile("[\xc2-\xf4√≈ƒ∆\u201a├┼─╞Γ]")
"""What a misread text holds; most texts hold none of it."""

_CONTROLS = re.compile("[\x80-\x9f]")

_LOST = re.compile(
    "\ufffd"  # what a reader put where it could not decode
    "|[\x80-\x9f]"  # control characters that no text holds
    "|(?<=[a-z])\\?(?=[a-zà-ÿ])"  # `f?r`
    "|(?<![A-ZÀ-Þ])Ã(?![A-ZÀ-Þa-zà-ÿ])|Â(?![A-ZÀ-Þa-zà-ÿ])"  # half a sequence, whose other half was a space
    "|â€|Ã[ƒ\u201a]"
    "|[√≈ƒ├┼╨╤Γ][^\x00-\x7f\\s]"  # the beginning of a sequence that could not be undone
)


def repair(text: str) -> str:
    """The text as it was before it was decoded wrongly, where that is certain; else the text as it is."""
    if text.isascii():
        return text
    repaired = text
    for _ in range(_ROUNDS_MAX):
        if not _SUSPECT.search(repaired):
            break
        before = repaired
        repaired = next((it for it in (_undone(before, misread) for misread in _MISREADINGS) if it != before), before)
        if repaired == before:
            break
    return text if _CONTROLS.search(repaired) else repaired


def is_garbled(text: str) -> bool:
    """Whether a text, repaired as far as can be, still shows that it was decoded wrongly or lost characters."""
    return bool(_LOST.search(" ".join(word for word in text.split() if "/" not in word and "@" not in word)))


def _undone(text: str, misread: _Misreading) -> str:
    """The text with every misread sequence put right; as it is where what looks like one may be sound text."""
    sequences = [it[0] for it in misread.sequence.finditer(text) if misread.decoded(it[0])]
    if not sequences:
        return text
    if misread.signature:
        rest = misread.sequence.sub("", text)
        certain = rest.isascii() and any(it[0] in misread.signature for it in sequences)
    else:
        certain = len(sequences) > 1 or not _may_be_sound(text, misread.sequence)
    return misread.sequence.sub(lambda it: misread.decoded(it[0]) or it[0], text) if certain else text


def _may_be_sound(text: str, pattern: re.Pattern[str]) -> bool:
    """Whether the only sequence of a text may be a letter and what follows it: `CAFÉ…`."""
    sequence = pattern.search(text)
    if sequence is None:
        return True
    letter, rest = sequence[0][0], sequence[0][1:]
    closing = _CLOSING_AFTER_A if letter in "ÃÂ" else _CLOSING
    return rest in closing and not text[sequence.end() : sequence.end() + 1].isalpha()
