"""The event that a row names: a conference, a playlist or a series."""

from __future__ import annotations

import io
import json

import pytest

from titlecard import manifests
from titlecard.manifests import Accepted, ReadingLimits

ROW = {"id": "a", "title": "Compilers"}


def event(data: str) -> str | None:
    (row,) = manifests.read(io.BytesIO(data.encode()), ReadingLimits())
    assert isinstance(row, Accepted)
    return row.video.event


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"event": "DevConf 2031"}, "DevConf 2031"),
        ({"conference": "DevConf &amp; Friends"}, "DevConf & Friends"),
        ({"playlist": "Uploads", "playlist_title": "DevConf 2031", "playlist_index": 3}, "DevConf 2031"),
        ({"series": "DevConf", "Conference Name": "DevConf 2031"}, "DevConf 2031"),
        ({"event": {"id": 7, "name": "DevConf 2031"}}, "DevConf 2031"),
        ({"event": 7}, "7"),
        ({"event": ""}, ""),
        ({"event": None}, None),
        ({"event": ["DevConf", 2031]}, None),
        ({"event": {"id": 7}}, None),
        ({"event": 1.5}, None),
        ({"event": "Dev\0Conf"}, None),
        ({"event": {"name": "Dev\uffffConf"}}, None),
        ({}, None),
    ],
)
def test_the_event_of_a_row_is_read(fields: dict[str, object], expected: str | None) -> None:
    assert event(json.dumps(ROW | fields)) == expected


def test_the_event_of_a_table_is_read() -> None:
    assert event("id,title,Veranstaltung\na,Compilers,DevConf 2031\n") == "DevConf 2031"


def test_the_event_of_a_rubyevents_row_is_read() -> None:
    row = {"raw_title": "Compilers", "speakers": ["Ada Byron"], "event_name": "DevConf 2031", "video_id": "a"}
    assert event(json.dumps([row])) == "DevConf 2031"


def test_the_playlist_of_a_youtube_row_is_its_event() -> None:
    snippet = {
        "title": "Compilers",
        "playlistId": "PL1",
        "resourceId": {"kind": "youtube#video", "videoId": "abcdefghijk"},
    }
    assert event(json.dumps({"items": [{"id": "x", "snippet": snippet}]})) == "PL1"


def test_the_key_of_an_event_in_a_django_record_is_read() -> None:
    record = {"model": "talks.talk", "pk": 3, "fields": {"title": "Compilers", "event": 7}}
    assert event(json.dumps([record])) == "7"


def test_the_id_of_an_event_is_still_the_id_of_a_row() -> None:
    (row,) = manifests.read(io.BytesIO(b'{"event_id": "a", "title": "Compilers"}'), ReadingLimits())
    assert isinstance(row, Accepted)
    assert (row.video.id, row.video.event) == ("a", None)
