"""The id of a video: the one its owner gave, else one from its address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from titlecard.domain.video import ID_MAX_BYTES
from titlecard.manifests.addresses import is_youtube_id, video_id, youtube_id
from titlecard.manifests.errors import Unreadable
from titlecard.manifests.vocabulary import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
"""Characters that an id cannot have; SQS refuses the last two (API reference, `SendMessage`)."""

_SPREADSHEET_ERROR = re.compile(
    r"#[¡¿]?[^\W\d_]{2}[\w /]{0,20}[!?]"  # #NAME?, #REF!, #DIV/0!, #¿NOMBRE?, #WERT!
    r"|#[^\W\d_]/[^\W\d_]{1,4}|#NV|#GETTING_DATA|#{3,}"  # #N/A in its languages; a column that is too narrow
    r"|(?:Err|Fehler|Erreur):\d{3}"  # LibreOffice
    r"|Loading\.\.\."  # Google Sheets
)
_SHORTENED_NUMBER = re.compile(r"[+-]?\d[.,]\d*E[+-]?\d{1,3}|[+-]?\dE[+-]\d{1,3}", re.IGNORECASE)

_AS_TEXT = "Format the column as text before you fill it in."

NO_ID = frozenset({"null", "none", "nan", "nil", "undefined", "n/a", "na", "-", "--", "?", "#"})
"""What programs and people write in place of a missing id."""

_BLANK = " \t\r\n\xa0\xad\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u2060\ufeff"
"""Invisible characters around an id: spaces, and those that copying from web pages and spreadsheets adds."""

_KEYED = ("videoId", "$oid", "$numberLong")
"""The names under which YouTube's and MongoDB's objects hold an id."""

_LARGEST_EXACT = 2**53
"""The largest whole number that is exact as a floating-point number (IEEE 754); larger ones may have lost digits."""

_BITS_MAX = 2_000
"""The most bits of a number that is written in digits: more than an id may have, and within Python's limit
(sys.int_info)."""


def identity(fields: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Return the id of a row with these fields; if it has neither id nor address, another key of its record.

    Whole numbers become text without loss, so that `1` and `"1"` are the same. What a spreadsheet makes of an id that
    it took for a formula or a number is not an id.

    Raises:
        Unreadable: there is no id, or it cannot be used.
    """
    value, url = fields.get("id"), fields.get("url")
    text = _text(value)
    if text is not None and text.strip(_BLANK).casefold() in NO_ID:
        value = text = ""
    if text is not None and text.strip(_BLANK) and not (fault := spreadsheet_fault(text)):
        return _checked((youtube_id(text) if "/" in text else None) or text.strip(_BLANK).removeprefix("yt:video:"))
    derived = _from_address(url) if isinstance(url, str) and not spreadsheet_fault(url) else None
    if derived:
        return _checked(derived)
    if text is not None and text.strip(_BLANK):
        raise Unreadable(
            f"The id “{text.strip():.40}” is {fault}, and there is no video address to take an id from. "
            f"{_AS_TEXT} Or add a column url."
        )
    if text:
        raise Unreadable("The id is empty.")
    if value is not None and text is None:
        raise Unreadable(_not_text(value))
    if key := next(filter(None, (_text(record.get(name)) for name in KEYS)), None):
        return _checked(key)
    if isinstance(url, str) and (fault := spreadsheet_fault(url)):
        raise Unreadable(f"The row has no id, and its address “{url.strip():.40}” is {fault}. {_AS_TEXT}")
    raise Unreadable("The row has no id, and no video address to take one from.")


def spreadsheet_fault(text: str) -> str | None:
    """Return what a spreadsheet did to a cell, None if it did nothing."""
    text = text.strip(_BLANK)
    if _SPREADSHEET_ERROR.fullmatch(text) and (text == text.upper() or ":" in text or text.endswith("...")):
        return "what a spreadsheet shows for text that it took for a formula"
    if _SHORTENED_NUMBER.fullmatch(text):
        return "a number that a spreadsheet has shortened: its digits are lost"
    return None


def _text(value: object) -> str | None:
    """Return an id as text; None if it is something else."""
    if isinstance(value, dict):
        value = next((value[name] for name in _KEYED if name in value), value)
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return None
        case int():
            return str(value) if value.bit_length() <= _BITS_MAX else "9" * (ID_MAX_BYTES + 1)
        case float() if value.is_integer() and abs(value) < _LARGEST_EXACT:
            return str(int(value))
    return None


def _from_address(url: str) -> str | None:
    return video_id(url) or (url.strip() if is_youtube_id(url.strip()) else None)


def _checked(text: str) -> str:
    if _CONTROL.search(text.strip()):
        raise Unreadable("The id holds a control character.")
    if len(text.encode("utf-8", "replace")) > ID_MAX_BYTES:
        raise Unreadable(f"The id has more than {ID_MAX_BYTES} bytes.")
    return text


def _not_text(value: object) -> str:
    if isinstance(value, float):
        return "The id is a number that is not whole, or too large to be exact."
    return f"The id is {kind(value)}, not text."


def kind(value: object) -> str:
    """Name the kind of a value for people."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"
