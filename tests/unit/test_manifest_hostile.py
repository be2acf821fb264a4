"""Broken and hostile manifests: each refused row has a reason, and its neighbours are unharmed."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from itertools import chain, repeat
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest

from titlecard import manifests
from titlecard.domain.mojibake import is_garbled
from titlecard.manifests import Accepted, ReadingLimits, Refused, Row
from titlecard.manifests import source as source_module
from titlecard.manifests.errors import NotAManifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MIB = 1024 * 1024
GOOD = b'{"id": "a", "title": "A"}'
ALSO_GOOD = b'{"id": "z", "title": "Z"}'


class Stream(io.RawIOBase):
    """A file that is generated while it is read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes; fewer only at the end."""
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def rows(data: bytes | BinaryIO, limits: ReadingLimits | None = None) -> list[Row]:
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    return list(manifests.read(stream, limits or ReadingLimits()))


def stream(*parts: Iterable[bytes]) -> BinaryIO:
    return cast("BinaryIO", Stream(chain.from_iterable(parts)))


def refused(read: list[Row]) -> dict[int, str]:
    return {row.number: row.reason for row in read if isinstance(row, Refused)}


def good(read: list[Row]) -> list[str]:
    return [row.video.id for row in read if isinstance(row, Accepted)]


ROWS = {
    '{"id": "b"}': "The row has no title.",
    '{"id": "b", "title": ""}': "The row has no title.",
    '{"id": "b", "title": "  "}': "The title is empty.",
    '{"id": "b", "title": null}': "The row has no title.",
    '{"id": "b", "title": 5}': "The title is a number, not text.",
    '{"id": "b", "title": ["x"]}': "The title is a list, not text.",
    '{"id": "b", "title": {"x": 1}}': "The row has no title.",
    '{"id": "b", "title": true}': "The title is true or false, not text.",
    '{"id": "b", "title": "x", "description": 1.5}': "The description is a number, not text.",
    '{"id": "b", "title": "x", "url": []}': "The url is a list, not text.",
    '{"id": 1.5, "title": "x"}': "The id is a number that is not whole",
    '{"id": true, "title": "x"}': "The id is true or false, not text.",
    '{"id": [5], "title": "x"}': "The id is a list, not text.",
    '{"id": [5], "title": "x", "url": "https://www.youtube.com/@channel"}': "The id is a list, not text.",
    '{"id": "b", "title": 5, "_type": []}': "The title is a number, not text.",
    '{"id": "b", "title": 5, "ie_key": {}}': "The title is a number, not text.",
    '{"id": "b", "title": 5, "kind": {"name": "talk"}}': "The title is a number, not text.",
    '{"id": "b", "_type": [], "url": "b"}': "The row has no title.",
    '{"guid": "b", "title": 5, "participants": [{"role": []}]}': "The title is a number, not text.",
    '{"title": "x", "provider_name": "y", "html": "", "type": []}': "The row is an oEmbed response of type",
    '{"id": "#NAME?", "title": "x"}': "what a spreadsheet shows for text that it took for a formula",
    '{"id": "1.23E+10", "title": "x"}': "a number that a spreadsheet has shortened: its digits are lost",
    '{"id": "b", "title": "#REF!"}': "The title “#REF!” is what a spreadsheet shows",
    '{"id": "b", "title": "x", "entries": []}': "without videos",
    '{"id": "b", "title": "x", "_type": "playlist"}': "The row is a playlist",
    '{"id": "b", "title": "x", "ie_key": "YoutubeTab"}': "The row is a playlist or a tab of a channel",
    '{"id": "b", "title": "x", "availability": "private"}': "The video is private.",
    '{"id": "b", "title": null, "live_status": "is_upcoming"}': "a premiere or a live stream that has not begun",
    '{"id": "b", "title": "[Vidéo supprimée]"}': "private or deleted",
    '{"id": "b", "title": "[非公開動画]"}': "private or deleted",
    '{"id": "b", "_type": "url", "url": "b"}': "youtube-dl lists none",
    '{"id": "b", "title": "Advertisement"}': "an advertisement",
    '{"id": " ", "title": "x"}': "The id is empty.",
    '{"title": "x"}': "The row has no id",
    '{"title": "x", "url": "https://www.youtube.com/@channel"}': "The row is a playlist or a channel",
    '{"title": "x", "url": "https://vimeo.com/channels/staffpicks"}': "The row has no id",
    '{"title": "x", "url": "not an address"}': "The row has no id",
    '{"id": "b", "title": "a\\u0000b"}': "The title contains a NUL",
    '{"id": "b\\u0000", "title": "x"}': "The id contains a NUL",
    '{"id": "b", "title": "x", "description": "\\uffff"}': "The description contains a NUL or another",
    '{"id": "b\\nc", "title": "x"}': "The id holds a control character.",
    '{"title": "x", "url": "", "slug": "b\\uffff"}': "The id holds a control character.",
    '{"id": "b", "title": "\\ud800"}': "lone surrogate",
    '{"id": "b", "title": "\\udc00 x"}': "lone surrogate",
    '{"id": "b", "title": "x\x01"}': "The row is broken JSON",
    '{"id": "b", "title": "x"} trailing': "The row is broken JSON",
    '{"id": "b", title: "x"}': "The row is broken JSON",
    '{"id": "b", "title": "[Private video]"}': "private or deleted",
    '{"id": "b", "title": "x", "description": "%s"}' % ("y" * 250_000): "and at most 200,000 are allowed",
    '{"id": "%s", "title": "x"}' % ("y" * 600): "The id has more than 512 bytes.",
    '{"id": "b", "title": "x", "extra": %s}' % ("[" * 5000 + "]" * 5000): "nested too deeply",
    "null": "The row is null",
    "5": "The row is a number",
    '"text"': "The row is text, not an object",
    "[1, 2]": "The row is a list",
}


LONG_RUNS = {
    "comments of YAML": b"#\n" * 300_000 + b"x",
    "comments of XML that never end": b"<!--" * 200_000 + b"<feed>",
    "instructions of XML that never end": b"<?" * 300_000 + b"<feed>",
    "a document type of XML that never ends": b"<!DOCTYPE " * 80_000 + b"<feed>",
    "spaces between speakers": b'{"id": "a", "title": "A", "speakers": "a%bb"}' % (b" " * 1_000_000),
    "a long name before a comma": b'{"id": "a", "title": "A", "speakers": "a and b %b,"}' % (b"c" * 150_000),
    "spaces in a live title": b'{"id": "a", "title": "a%bb", "live_status": "was_live"}' % (b" " * 150_000),
    "dots after a title": b'{"id": "a", "title": "a%b", "description": "b"}' % (b"." * 150_000),
    "colons in a title": b'{"id": "a", "title": "%b", "description": "b"}' % (b"a: " * 600_000),
    "escapes between semicolons": b"id;title\na;%b" % (b"&lt;" * 500_000),
    "spaces in a list of titles": b"A talk\nAnother%bb\n" % (b" " * 1_000_000),
    "addresses in a list of titles": b"A talk\n%b\n" % (b"http://a" * 100_000),
    "bars in a list of titles": b"A talk\na%b\n" % (b" | " * 300_000),
    "brackets in a list of titles": b"A talk\n%b\n" % (b"[](http://" * 100_000),
    "quotes in the first lines": b'"' + b'\n"a' * 200_000,
    "blank lines in a text of YAML": b"- title: A\n  id: a\n  description: |\n    " + b"\n" * 300_000,
    "blank lines between speakers": b'{"id": "a", "title": "A", "speakers": "a%bb"}' % (b"\\n" * 60_000),
    "hosts among speakers": b'{"id": "a", "title": "A", "speakers": "%b"}' % (b"a(host ," * 20_000),
    "ids in a list of titles": b"Ab3dEfGh1Jk\tA talk\n%b\n" % (b"Ab3dEfGh1Jk " * 80_000),
    "a word without an end": b'{"id": "a", "title": "%b"}' % (b"\xc3\xa9" * 75_000),
}


@pytest.mark.parametrize("data", LONG_RUNS.values(), ids=LONG_RUNS)
def test_the_time_grows_no_faster_than_the_file(data: bytes) -> None:
    """With quadratic time, as from a careless pattern, this test would take hours."""
    try:
        read = rows(data)
    except NotAManifest:
        return
    for row in read:
        assert not isinstance(row, Accepted) or not is_garbled(row.video.title)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row:.40}")
def test_a_bad_line_is_refused_with_its_number_and_reason(row: str) -> None:
    read = rows(b"\n".join([GOOD, row.encode(), ALSO_GOOD]))
    assert good(read) == ["a", "z"]
    assert list(refused(read)) == [2]
    assert ROWS[row] in refused(read)[2]


@pytest.mark.parametrize("row", [row for row in ROWS if "trailing" not in row], ids=lambda row: f"{row:.40}")
def test_a_bad_element_is_refused_with_its_number_and_reason(row: str) -> None:
    read = rows(b"[" + b",\n".join([GOOD, row.encode(), ALSO_GOOD]) + b"]")
    assert good(read) == ["a", "z"]
    assert list(refused(read)) == [2]
    assert ROWS[row] in refused(read)[2]


def test_a_row_that_is_not_utf_8_is_refused_and_says_how_to_convert_it() -> None:
    read = rows(b"id,title\na,A\nb,\xff\xfe\nz,Z\n")
    assert good(read) == ["a", "z"]
    assert "iconv" in refused(read)[3]


def test_a_reason_is_one_line_of_visible_text_whatever_it_quotes() -> None:
    read = rows(b"id,title\na,A\nPL0123456789ABCDEF,A \x1b[31mred list\nPL0123456789ABCDE0,A list\xff\x07\nz,Z\n")
    assert good(read) == ["a", "z"]
    assert [reason.partition(", not a video")[0] for reason in refused(read).values()] == [
        "The row is a playlist or a channel (“A red list”)",
        "The row is a playlist or a channel (“A list? ”)",
    ]


def test_a_talk_with_an_empty_list_is_a_row() -> None:
    talk = '{"id": "b", "name": "B", "sessions": []}'
    assert good(rows(b"\n".join([GOOD, talk.encode(), ALSO_GOOD]))) == ["a", "b", "z"]


def test_a_description_of_a_hundred_kilobytes_is_fine() -> None:
    assert good(rows(json.dumps({"id": "a", "title": "A", "description": "x" * 100_000}).encode())) == ["a"]


def test_an_excerpt_is_short_and_printable_whatever_the_row_is() -> None:
    (_, row) = rows(GOOD + b"\n\xff\x00" + b"x" * 5000)
    assert isinstance(row, Refused)
    assert len(row.excerpt) <= 160
    row.excerpt.encode()


def test_a_csv_row_of_too_many_fields_is_refused() -> None:
    read = rows(b"id,title\na,A\nb,one, two\nz,Z\n")
    assert good(read) == ["a", "z"]
    assert "3 fields" in refused(read)[3]


def test_a_carriage_return_within_a_csv_field_is_refused() -> None:
    read = rows(b"id,title\na,A\nb,x\ry\nz,Z\n")
    assert good(read) == ["a", "z"]
    assert "carriage return" in refused(read)[3]


def test_a_quote_that_is_never_closed_is_refused_with_what_it_swallows() -> None:
    read = rows(b'id,title\na,A\nb,"B\nz,Z\n')
    assert good(read) == ["a"]
    assert "never closed" in refused(read)[3]


def test_a_quoted_field_that_is_too_large_does_not_harm_the_next_row() -> None:
    field = b'b,B,"' + b"some words\n" * 1000 + b'"\n'
    read = rows(b"id,title,description\na,A,\n" + field + b"z,Z,\n", ReadingLimits(record_max_bytes=5000))
    assert good(read) == ["a", "z"]
    assert "more than 5,000 bytes" in refused(read)[3]


@pytest.mark.parametrize("cut", [30, 40, 60, 90])
def test_rows_before_the_end_of_a_cut_off_array_are_good(cut: int) -> None:
    data = b"[" + b",".join([GOOD, ALSO_GOOD, GOOD, ALSO_GOOD]) + b"]"
    read = rows(data[:cut])
    whole = (cut - 1) // (len(GOOD) + 1)
    assert len(good(read)) == whole
    assert "ends in the middle" in refused(read)[whole + 1]


def test_rows_before_the_end_of_cut_off_gzip_data_are_good() -> None:
    lines = [json.dumps({"id": f"{n}-{n * n * 7919 % 100_003}", "title": f"T{n * 31337 % 9973}"}) for n in range(5000)]
    packed = gzip.compress("\n".join(lines).encode())
    read = rows(packed[: len(packed) // 2])
    assert len(good(read)) > 1000
    assert len(refused(read)) == 1
    assert "end early" in refused(read)[len(read)]


def test_damaged_gzip_data_are_one_refused_row() -> None:
    packed = bytearray(gzip.compress(b"\n".join([GOOD] * 5_000)))
    packed[-6] ^= 0xFF  # its checksum
    (reason,) = refused(rows(bytes(packed))).values()
    assert reason.startswith("The gzip data")


def test_a_bomb_is_stopped_at_its_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "RATIO_GRACE_BYTES", 2 * MIB)
    bomb = gzip.compress(GOOD + b"\n" + b" " * (30 * MIB) + b"\n" + ALSO_GOOD)
    read = rows(bomb, ReadingLimits(max_ratio=50))
    assert good(read) == ["a"]
    assert "more than 50 times its size" in list(refused(read).values())[-1]


def test_a_manifest_that_is_too_large_is_read_up_to_the_limit() -> None:
    data = b"\n".join([GOOD, ALSO_GOOD] * 10_000)
    read = rows(data, ReadingLimits(total_max_bytes=100_000))
    assert len(good(read)) == 100_000 // (len(GOOD) + 1)
    assert "larger than 100,000 bytes" in list(refused(read).values())[-1]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("over", [1, 26, 1000])
def test_rows_beyond_the_size_limit_are_never_dropped_silently(over: int, pack: Callable[[bytes], bytes]) -> None:
    data = b"\n".join([GOOD, ALSO_GOOD] * 100) + b"\n"
    read = rows(pack(data), ReadingLimits(total_max_bytes=len(data) - over))
    assert "nothing after this is read" in list(refused(read).values())[-1]


def test_a_manifest_as_large_as_it_may_be_is_read_whole() -> None:
    data = b"\n".join([GOOD, ALSO_GOOD] * 100) + b"\n"
    assert len(good(rows(data, ReadingLimits(total_max_bytes=len(data))))) == 200


def test_more_rows_than_allowed_are_refused_at_once() -> None:
    read = rows(b"\n".join([GOOD] * 100), ReadingLimits(rows_max=10))
    assert len(good(read)) == 10
    assert "more than 10 rows" in refused(read)[11]


def test_more_lines_than_allowed_are_refused_at_once() -> None:
    read = rows(GOOD + b"\n" * 100 + ALSO_GOOD, ReadingLimits(number_max=10))
    assert good(read) == ["a"]
    assert "more than 10 lines" in refused(read)[2]


HUGE = 12 * MIB
"""The size of the one row in the memory tests, in bytes: many times the memory that the reader may use."""

LITTLE = ReadingLimits(record_max_bytes=MIB // 4)


@pytest.mark.parametrize(
    ("before", "huge", "after"),
    [
        (GOOD + b"\n", b"x", b"\n" + ALSO_GOOD),
        (GOOD + b'\n{"id": "b", "title": "', b"x", b'"}\n' + ALSO_GOOD),
        (b"[" + GOOD + b', {"id": "b", "title": "', b"x", b'"}, ' + ALSO_GOOD + b"]"),
        (b"[" + GOOD + b', {"id": "b", "title": "', b'\\"', b'"}, ' + ALSO_GOOD + b"]"),
        (b"[" + GOOD + b', {"id": "b", "title": "x", "n": 1', b"0", b"}, " + ALSO_GOOD + b"]"),
        (b"[" + GOOD + b', {"id": "b", "title": "x", "n": [1', b", 1", b"]}, " + ALSO_GOOD + b"]"),
        (b'{"title": "P", "entries": [' + GOOD + b', {"id": "', b"x", b'"}, ' + ALSO_GOOD + b"]}"),
        (b"id,title\na,A\nb,", b"x", b"\nz,Z\n"),
        (b'id,title\na,A\nb,"', b"words " * 200 + b"\n", b'"\nz,Z\n'),
    ],
    ids=["line", "string in a line", "string", "escapes", "number", "list", "in an object", "csv line", "csv field"],
)
def test_a_row_of_any_size_takes_little_memory_and_harms_no_other(before: bytes, huge: bytes, after: bytes) -> None:
    block = huge * (16 * 1024 // len(huge))
    data = stream([before], repeat(block, HUGE // len(block)), [after])
    tracemalloc.start()
    read = rows(data, LITTLE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert good(read) == ["a", "z"]
    assert "more than 262,144 bytes" in refused(read)[min(refused(read))]
    assert peak < HUGE / 2


@pytest.mark.parametrize("opening", [b"[", b'{"entries":[', b'[{"title":"x","entries":'])
def test_a_million_levels_of_nesting_are_one_refused_row(opening: bytes) -> None:
    read = rows(b"[" + GOOD + b"," + opening * 1_000_000)
    assert good(read) == ["a"]
    assert len(refused(read)) == 1


def test_nesting_that_ends_does_not_harm_the_next_row() -> None:
    read = rows(b"[" + GOOD + b"," + b"[" * 1_000_000 + b"]" * 1_000_000 + b"," + ALSO_GOOD + b"]")
    assert good(read) == ["a", "z"]


def test_gzip_data_of_many_empty_members_are_read_in_time() -> None:
    read = rows(gzip.compress(GOOD + b"\n") + gzip.compress(b"") * 20_000 + gzip.compress(ALSO_GOOD))
    assert good(read) == ["a", "z"]


@pytest.mark.parametrize("data", [b"\x00" * 100, b"\xff" * 100, bytes(range(256)), b"\x1f\x8b", b'"', b"{", b"[", b"]"])
def test_meaningless_bytes_give_no_rows(data: bytes) -> None:
    try:
        found = rows(data)
    except NotAManifest:
        found = []
    assert good(found) == []


HOSTILE_XML = {
    "entities far into the file": b"<schedule>" + b" " * 1_100_000 + b"<!DOCTYPE a [<!ENTITY b 'c'>]></schedule>",
    "depth": b"<schedule>" + b"<a>" * 100_000,
    "text without an end": b"<schedule><event><title>" + b"x" * 3 * MIB,
    "an unknown encoding": b"<?xml version='1.0' encoding='x-none'?><schedule><event/></schedule>",
    "cut off": b"<schedule><event><title>A</title>",
}
HOSTILE_YAML = {
    "aliases": b"- &a {title: x, id: y}\n- *a\n",
    "depth": b"- title: " + b"[" * 50_000,
    "text without an end": b"- title: " + b"x" * 3 * MIB,
    "a tag": b"- title: x\n  id: !!python/object/apply:os.system [ls]\n",
    "broken": b"- title: x\n  id: 'y\n- z",
}


@pytest.mark.parametrize("data", [*HOSTILE_XML.values(), *HOSTILE_YAML.values()], ids=[*HOSTILE_XML, *HOSTILE_YAML])
def test_hostile_xml_and_yaml_are_refused(data: bytes) -> None:
    tracemalloc.start()
    read = rows(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused(read)
    assert peak < 60 * MIB


def test_a_bomb_of_entities_is_refused_as_a_whole() -> None:
    bomb = b"<!DOCTYPE a [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><schedule><event><title>&b;</title></event></schedule>"
    with pytest.raises(NotAManifest, match="entities"):
        rows(bomb)
