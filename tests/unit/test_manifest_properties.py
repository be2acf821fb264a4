"""The reader reads back what each writer writes; any other bytes are refused and nothing worse."""

from __future__ import annotations

import csv
import gzip
import io
import json
import unicodedata
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titlecard import manifests
from titlecard.domain.text import normalise
from titlecard.domain.video import Video
from titlecard.manifests import Accepted, LeftOut, ReadingLimits, Refused, no_talk, texts
from titlecard.manifests.errors import Broken, NotAManifest
from titlecard.manifests.ids import NO_ID, spreadsheet_fault
from titlecard.manifests.json_rows import elements
from titlecard.manifests.row_reader import cell
from titlecard.manifests.source import lines

if TYPE_CHECKING:
    from collections.abc import Callable

modest = settings(max_examples=40)

UNSENDABLE = "\0\ufffe\uffff"


def is_sound(text: str) -> bool:
    """Return whether reading leaves a text unchanged, also in a table."""
    return (
        texts.mended(text, escaped=True) == text
        and texts.without_live_date(text) == text
        and (cell(text) or "") == text
        and not spreadsheet_fault(text)
    )


def is_id(text: str) -> bool:
    """Return whether a text is kept as an id: `-` and `NULL` are none, and unseen characters around it are cut."""
    around = {unicodedata.category(mark) for mark in (text[:1], text[-1:]) if mark}
    known = text.casefold() in {"", *NO_ID} or text.startswith("yt:") or spreadsheet_fault(text) or cell(text) is None
    return not known and around.isdisjoint({"Cf", "Zs"})


def is_title(text: str) -> bool:
    """Return whether a text is kept as a title: `null` stands for none, and words about a video may hide one."""
    return "video" not in text and not no_talk.is_untitled(text)


text = st.text(st.characters(codec="utf-8", exclude_characters=UNSENDABLE), max_size=40).filter(is_sound)
words = text.map(str.strip).filter(normalise).filter(is_sound)
ids = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters=UNSENDABLE), max_size=20)
videos = st.lists(
    st.builds(
        Video,
        id=ids.map(str.strip).filter(is_id),
        title=words.filter(is_title),
        description=text,
    ),
    min_size=1,
    max_size=8,
)


def as_dicts(rows: list[Video]) -> list[dict[str, Any]]:
    return [{"id": row.id, "title": row.title, "description": row.description} for row in rows]


def json_lines(rows: list[Video]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in as_dicts(rows))


def escaped_json_lines(rows: list[Video]) -> str:
    return "\r\n".join(json.dumps(row) for row in as_dicts(rows))


def array(rows: list[Video]) -> str:
    return json.dumps(as_dicts(rows), ensure_ascii=False)


def pretty_array(rows: list[Video]) -> str:
    return json.dumps(as_dicts(rows), indent=2)


def concatenated(rows: list[Video]) -> str:
    return "\n".join(json.dumps(row, indent=1) for row in as_dicts(rows))


def held(rows: list[Video]) -> str:
    return json.dumps({"name": "x", "tags": ["[", {"a": "}"}], "talks": as_dicts(rows), "total": len(rows)})


def held_under_a_name_of_ones_own(rows: list[Video]) -> str:
    talks = [{"sponsors": [{"name": "x", "id": 5}], **row} for row in as_dicts(rows)]
    return json.dumps({"name": "x", "rooms": [{"name": "y"}], "talks of the day": talks})


def yt_dlp(rows: list[Video]) -> str:
    entries = [{**row, "formats": [{"url": "]"}], "chapters": [{"title": "c"}]} for row in as_dicts(rows)]
    return json.dumps({"id": "PL", "title": "P", "_type": "playlist", "entries": entries})


def playlist_items(rows: list[Video]) -> str:
    items = [
        {
            "id": f"item {number}",
            "snippet": {"title": row.title, "description": row.description, "resourceId": {"videoId": row.id}},
        }
        for number, row in enumerate(rows)
    ]
    pages = [
        {"kind": "youtube#playlistItemListResponse", "items": items[half : half + 2]}
        for half in range(0, len(items), 2)
    ]
    return "\n".join(json.dumps(page, indent=2) for page in pages)


SPEAKERS = ["Ada Brightwater", "Tomas Ferreyra"]


def vimeo(rows: list[Video]) -> str:
    data = [
        {"uri": f"/videos/{n}", "name": row.title, "description": row.description, "link": f"https://vimeo.com/{n}"}
        for n, row in enumerate(rows, 1)
    ]
    return json.dumps({"total": len(data), "page": 1, "data": data})


def peertube(rows: list[Video]) -> str:
    data = [
        {"id": n, "uuid": row.id, "name": row.title, "description": row.description, "account": {"name": "a"}}
        for n, row in enumerate(rows)
    ]
    return json.dumps({"total": len(data), "data": data})


def media_ccc_de(rows: list[Video]) -> str:
    events = [
        {
            "guid": row.id,
            "title": row.title,
            "description": row.description,
            "persons": SPEAKERS,
            "url": "https://x.org/a",
        }
        for row in rows
    ]
    return json.dumps({"acronym": "x", "title": "X", "slug": "x", "url": "https://x.org", "events": events}, indent=1)


def schedule_json(rows: list[Video]) -> str:
    persons = [{"id": n, "public_name": name} for n, name in enumerate(SPEAKERS)]
    events = [
        {"id": row.id, "title": row.title, "abstract": row.description, "persons": persons, "links": [{"title": "x"}]}
        for row in rows
    ]
    rooms = {"Main": events[:2], "Side": events[2:]}
    days = [{"index": 1, "rooms": rooms}, {"index": 2, "rooms": {}}]
    conference = {"title": "X", "rooms": [{"name": "Main", "id": 1}], "days": days, "tracks": [{"name": "t", "id": 1}]}
    return json.dumps({"generator": {"name": "x"}, "schedule": {"version": "1", "conference": conference}})


def pretalx(rows: list[Video]) -> str:
    speakers = [{"code": f"P{n}", "name": name} for n, name in enumerate(SPEAKERS)]
    results = [
        {"code": row.id, "title": row.title, "abstract": row.description, "speakers": speakers, "state": "confirmed"}
        for row in rows
    ]
    return json.dumps({"count": len(results), "next": None, "results": results})


def sessionize(rows: list[Video]) -> str:
    speakers = [{"id": f"s{n}", "fullName": name, "sessions": [1]} for n, name in enumerate(SPEAKERS)]
    sessions = [
        {"id": row.id, "title": row.title, "description": row.description, "speakers": ["s0", "s1"]}
        | {"isServiceSession": False}
        for row in rows
    ]
    rest = {"categories": [{"id": 1, "title": "c", "items": []}], "rooms": [{"id": 1, "name": "r"}]}
    return json.dumps({"sessions": sessions, "speakers": speakers, **rest})


def dumpdata(rows: list[Video]) -> str:
    people = [{"model": "talks.speaker", "pk": n, "fields": {"name": name}} for n, name in enumerate(SPEAKERS, 2**60)]
    talks = [
        {"model": "talks.talk", "pk": row.id}
        | {"fields": {"title": row.title, "description": row.description, "speakers": [2**60, 2**60 + 1]}}
        for row in rows
    ]
    rooms = [{"model": "talks.room", "pk": 1, "fields": {"name": "Main"}}]
    return json.dumps([*rooms, *talks, *people])


def rubyevents(rows: list[Video]) -> str:
    videos = [
        {"id": row.id, "title": row.title, "description": row.description, "speakers": [*SPEAKERS], "video_id": "x"}
        | {"video_provider": "youtube"}
        for row in rows
    ]
    return str(yaml.safe_dump(videos, allow_unicode=True))


def pentabarf(rows: list[Video]) -> str:
    persons = "".join(f"<person id='{n}'>{name}</person>" for n, name in enumerate(SPEAKERS))
    events = "".join(
        f"<event id={quoteattr(row.id)}><title>{escape(row.title)}</title>"
        f"<abstract>{escape(row.description)}</abstract><persons>{persons}</persons></event>"
        for row in rows
    )
    return f"<?xml version='1.0'?><schedule><day index='1'><room name='a'>{events}</room></day></schedule>"


def schedule_2(rows: list[Video]) -> str:
    people = [*({"name": name, "role": "SPEAKER"} for name in SPEAKERS), {"name": "Bo Host", "role": "MODERATOR"}]
    events = [
        {
            "guid": row.id,
            "title": row.title,
            "abstract": row.description,
            "participants": people,
            "track": {"slug": "t"},
        }
        for row in rows
    ]
    conference = {"title": "X", "rooms": [{"guid": "r", "name": "Main"}], "days": [{"index": 1}]}
    return json.dumps({"schedule": {"version": "2", "conference": conference, "events": events, "persons": people}})


def dumpdata_lines(rows: list[Video]) -> str:
    return "\n".join(json.dumps(record) for record in json.loads(dumpdata(rows)))


def dumpdata_yaml(rows: list[Video]) -> str:
    return str(yaml.safe_dump(json.loads(dumpdata(rows)), allow_unicode=True, sort_keys=False))


WITH_SPEAKERS = [
    *(media_ccc_de, schedule_json, schedule_2, pretalx, sessionize, dumpdata, dumpdata_lines, dumpdata_yaml),
    *(rubyevents, pentabarf),
]
OTHERS = [vimeo, peertube]


JSON_WRITERS = [
    json_lines,
    escaped_json_lines,
    array,
    pretty_array,
    concatenated,
    held,
    held_under_a_name_of_ones_own,
    yt_dlp,
    playlist_items,
]


def read(data: bytes, limits: ReadingLimits | None = None) -> list[Accepted | Refused | LeftOut]:
    return list(manifests.read(io.BytesIO(data), limits or ReadingLimits()))


def read_or_refused(data: bytes, limits: ReadingLimits | None = None) -> list[Accepted | Refused | LeftOut]:
    """Return the rows, or none if the file is refused; check that every message can be encoded."""
    try:
        found = read(data, limits)
    except NotAManifest as refusal:
        str(refusal).encode()
        return []
    for row in found:
        if isinstance(row, Refused):
            f"{row.reason}{row.excerpt}".encode()
    return found


printable = st.characters(min_codepoint=0x20, max_codepoint=0x24F, exclude_categories=["Cc"])
plain_text = st.text(printable, max_size=40).map(str.strip).filter(is_sound)
plain_videos = st.lists(
    st.builds(
        Video,
        id=plain_text.filter(is_id),
        title=plain_text.filter(normalise).filter(is_title),
        description=plain_text,
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("write", [*WITH_SPEAKERS, *OTHERS])
@given(rows=plain_videos)
@modest
def test_rows_of_every_program_are_read_back_with_their_speakers(
    write: Callable[[list[Video]], str], rows: list[Video]
) -> None:
    found = [row.video for row in read(write(rows).encode()) if isinstance(row, Accepted)]
    assert [video.title for video in found] == [row.title for row in rows]
    assert [video.description for video in found] == [row.description for row in rows]
    if write in WITH_SPEAKERS:
        assert [video.id for video in found] == [row.id for row in rows]
        assert {video.presenters for video in found} == {tuple(SPEAKERS)}


# A record of YAML ends where the file does, so half a talk may leave another of Django's models as the one of talks.
@pytest.mark.parametrize("write", [write for write in (*WITH_SPEAKERS, *OTHERS) if write is not dumpdata_yaml])
@given(rows=plain_videos, data=st.data())
@modest
def test_a_file_of_a_program_that_is_cut_off_yields_a_beginning_of_its_rows(
    write: Callable[[list[Video]], str], rows: list[Video], data: st.DataObject
) -> None:
    whole = write(rows).encode()
    found = read_or_refused(whole[: data.draw(st.integers(0, len(whole)))])
    titles = [row.video.title for row in found if isinstance(row, Accepted)]
    assert len(titles) <= len(rows)


@pytest.mark.parametrize("write", JSON_WRITERS)
@given(rows=videos)
@modest
def test_rows_written_as_json_are_read_back(write: Callable[[list[Video]], str], rows: list[Video]) -> None:
    assert [row.video for row in read(write(rows).encode()) if isinstance(row, Accepted)] == rows


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@given(rows=videos)
@modest
def test_rows_written_as_csv_are_read_back(delimiter: str, line_end: str, rows: list[Video]) -> None:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(["title", "id", "notes"])
    writer.writerows([row.title, row.id, row.description] for row in rows)
    assert [row.video for row in read(sink.getvalue().encode()) if isinstance(row, Accepted)] == rows


@pytest.mark.parametrize("write", JSON_WRITERS)
@given(rows=videos, data=st.data())
@modest
def test_a_json_manifest_that_is_cut_off_yields_a_beginning_of_its_rows(
    write: Callable[[list[Video]], str], rows: list[Video], data: st.DataObject
) -> None:
    whole = write(rows).encode()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    found = [row.video for row in read_or_refused(cut) if isinstance(row, Accepted)]
    assert found == rows[: len(found)]


@given(rows=videos, data=st.data())
@modest
def test_gzip_data_that_are_cut_off_yield_a_beginning_of_the_rows(rows: list[Video], data: st.DataObject) -> None:
    packed = gzip.compress(json_lines(rows).encode())
    cut = packed[: data.draw(st.integers(2, len(packed)))]
    found = [row.video for row in read_or_refused(cut) if isinstance(row, Accepted)]
    assert found == rows[: len(found)]


@given(st.binary(max_size=300))
@example(b'{"id": "a", "title": "\xff"}')
@example(b"\x1f\x8b\x08\x00")
@example(b'id,title\n"')
@example(b"[[]")
@example(b'{{"id":"a","title":"b"}')
@example(b"id,title,notes\na,b,\xed\xa0\x80")
@example(b"i\xfe,title,notes\na,b,c")
@example(b'{"entries":[{"title":1')
@example(b'{"schedule":{"conference":{"days":5}}}')
@modest
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


MARKS = ["{", "}", "[", "]", ",", ":", '"', "\\", "\n", " ", ";", "\0", "é", "\ud800", "1", "null"]
KEYS = [
    '"id"',
    '"title"',
    '"talks of all rooms"',
    '"entries"',
    '"videos"',
    '"a"',
    '"snippet":{"title":"t","resourceId":',
]
ROWS = ['{"id":"a","title":"b"}', "id,title", "a,b"]
nearly = st.lists(st.sampled_from(MARKS + KEYS + ROWS), max_size=40).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
)


@given(nearly)
@modest
def test_a_near_manifest_is_read_or_refused(data: bytes) -> None:
    read_or_refused(data, ReadingLimits(record_max_bytes=50))


@given(nearly)
@modest
def test_row_numbers_rise(data: bytes) -> None:
    numbers = [row.number for row in read_or_refused(data)]
    assert numbers == sorted(set(numbers))


@given(data=nearly, sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6), max_bytes=st.integers(5, 60))
@example(data=b'{[{"id":"a","title":"b"}', sizes=[1], max_bytes=5)
@example(data=b'{"entries":[{"id":"a","title":"b"}', sizes=[1], max_bytes=5)
@example(data=b'"snippet":{"title":"t","resourceId":{"id":"a","title":"b"}}', sizes=[2], max_bytes=5)
@modest
def test_json_is_cut_the_same_however_its_chunks_are_cut(data: bytes, sizes: list[int], max_bytes: int) -> None:
    assert cut_elements([data], max_bytes) == cut_elements(chunks(data, sizes), max_bytes)


@given(data=nearly, sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6), max_bytes=st.integers(1, 30))
@modest
def test_lines_are_the_same_however_their_chunks_are_cut(data: bytes, sizes: list[int], max_bytes: int) -> None:
    assert list(lines(chunks(data, sizes), max_bytes)) == list(lines([data], max_bytes))


def chunks(data: bytes, sizes: list[int]) -> list[bytes]:
    cut: list[bytes] = []
    while data:
        size = sizes[len(cut) % len(sizes)]
        cut.append(data[:size])
        data = data[size:]
    return cut


def cut_elements(data: list[bytes], max_bytes: int) -> list[tuple[int, bytes | None] | str]:
    """Return the whole rows, None for each that is too large, and how the array ends."""
    found: list[tuple[int, bytes | None] | str] = []
    try:
        found.extend((number, piece.data if piece.whole else None) for number, piece in elements(data, max_bytes))
    except Broken:
        found.append("broken")
    return found
