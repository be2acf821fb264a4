"""Wrongly decoded text is repaired if the repair is certain, and detected otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titlecard.domain.mojibake import is_garbled, repair

TEXTS = [
    "Jörg Ostermeyer \u2013 Warteschlangen für Anfänger",
    "Renée Björkman: Café caching",
    "Zażółć gęślą jaźń",
    "Привет, мир",
    "日本語のタイトル",
    "What\u2019s \u201cnew\u201d",
    "naïve 🦀",
]
SOUND = [
    *TEXTS,
    "CAFÉ…",
    "“MAÇÔ",
    "SPAß”",
    "CITROËN™ und É»",
    "MAÇÃ VERDE",
    "L\u2019école, l\u2019équipe",
    "√2 and O(√n)",
    "Le café \u2013 été à l\u2019école",
    "GoとRustの世界",
    "LaÉcole in Java",
    "Why not? Because!",
    "https://example.org/?a?b",
]


def decoded(text: str, encoding: str) -> str:
    """Read UTF-8 as another encoding; bytes undefined in it stand for themselves."""
    return "".join(_character(byte, encoding) for byte in text.encode())


def _character(byte: int, encoding: str) -> str:
    try:
        return bytes([byte]).decode(encoding)
    except UnicodeDecodeError:
        return chr(byte)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_utf_8_that_was_read_as_latin_1_is_repaired(text: str, encoding: str) -> None:
    assert repair(decoded(text, encoding)) == text
    assert repair(decoded(decoded(text, encoding), encoding)) == text


@pytest.mark.parametrize("encoding", ["mac_roman", "cp437", "cp850", "cp1250", "cp1251"])
def test_utf_8_that_was_read_as_another_old_encoding_is_repaired(encoding: str) -> None:
    assert repair(decoded("Jörg über Anfänger", encoding)) == "Jörg über Anfänger"


def test_windows_quotation_marks_that_were_read_as_latin_1_are_repaired() -> None:
    assert repair("What\x92s \x93new\x94 \x96 Ada\x99") == "What\u2019s \u201cnew\u201d \u2013 Ada™"


@pytest.mark.parametrize("text", SOUND)
def test_intact_text_is_left_alone(text: str) -> None:
    assert repair(text) == text
    assert not is_garbled(text)


@pytest.mark.parametrize(
    "text", ["J\ufffdrg", "Warteschlangen f?r Anf?nger", "Ã la carte", "Ãngel Garcia", "ä½ 好", "Za≈º√≥≈\x82"]
)
def test_text_that_lost_characters_is_detected(text: str) -> None:
    assert is_garbled(repair(text))


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        *(("iso8859_15", text) for text in ("für Anfänger", "Gülşen I\u015f\u0131k", "Привет, мир", "zażółć gęślą")),
        *(("mac_roman", text) for text in ("Привет, мир", "Їжак")),
        *((encoding, "Тестирование") for encoding in ("koi8_r", "mac_cyrillic", "cp852", "cp1254", "iso8859_9")),
        *((encoding, "Café déjà vu") for encoding in ("koi8_r", "iso8859_2", "cp874")),
        *((encoding, "Καλημέρα") for encoding in ("cp437", "cp866", "cp1251")),
    ],
)
def test_text_that_was_misread_in_a_rarer_encoding_is_repaired_or_detected(encoding: str, text: str) -> None:
    assert (found := repair(decoded(text, encoding))) == text or is_garbled(found)


@given(st.text(max_size=60))
@settings(deadline=None)
def test_any_text_is_repaired_without_an_error(text: str) -> None:
    assert repair(repair(text)) == repair(text) or is_garbled(repair(text)) or repair(text) != text
    is_garbled(text)
