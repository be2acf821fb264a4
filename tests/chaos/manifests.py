"""Manifests of every form that Titlecard reads, each with a known number of accepted rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.end_to_end.manifests import PEOPLE, SUBJECTS, array, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Rows = "Sequence[dict[str, str]]"


@dataclass(frozen=True)
class Manifest:
    """A file to upload, and the number of its accepted rows (0 if the whole file is refused)."""

    name: str
    content: bytes
    accepted: int


def manifest(number: int, project: str, rows: int, *, again: bool = False) -> Manifest:
    """Return the manifest with this number; consecutive numbers have different forms.

    Args:
        number: the number of the manifest.
        project: the project's name, which stands in every title.
        rows: the number of videos.
        again: whether to give the same videos other descriptions, and so other fingerprints.
    """
    videos = [_video(number, row, project, again=again) for row in range(rows)]
    ending, write = FORMS[number % len(FORMS)]
    return Manifest(f"list-{number}.{ending}", write(videos), len({video["id"] for video in videos}))


def rubbish(number: int) -> Manifest:
    """Return a file that is not a manifest."""
    return Manifest(f"rubbish-{number}.json", b'{"this": "is not a list of videos"', 0)


def _video(number: int, row: int, project: str, *, again: bool) -> dict[str, str]:
    who, what = PEOPLE[(number + row) % len(PEOPLE)], SUBJECTS[row % len(SUBJECTS)]
    return {
        "id": f"c{number:04}-{row:05}",
        "title": f"{who} - {project.title()} on {what}, part {number}.{row}",
        "description": f"A talk of a series{', told again' if again else ''}. " + 'He said: "no". ' * (row % 50),
    }


def _csv(videos: Sequence[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "title", "description"])
    writer.writeheader()
    writer.writerows(videos)
    return text.getvalue().encode()


def _yt_dlp(videos: Sequence[dict[str, str]]) -> bytes:
    return json.dumps({"_type": "playlist", "id": "PLchaos", "title": "Chaos", "entries": list(videos)}).encode()


def _data_api(videos: Sequence[dict[str, str]]) -> bytes:
    items = [
        {"kind": "youtube#video", "id": it["id"], "snippet": {"title": it["title"], "description": it["description"]}}
        for it in videos
    ]
    return json.dumps({"kind": "youtube#videoListResponse", "items": items}).encode()


def _pyvideo(videos: Sequence[dict[str, str]]) -> bytes:
    talks = [
        {**it, "speakers": [], "videos": [{"type": "other", "url": f"https://example.org/{it['id']}"}]} for it in videos
    ]
    return json.dumps(talks).encode()


def _with_rejects(videos: Sequence[dict[str, str]]) -> bytes:
    """Write JSON Lines with some rows that are refused, and one that comes twice."""
    return lines([*videos, {"id": "", "title": "No id"}, videos[0], {"id": "no-title", "title": ""}]) + b"{not json\n"


def _gzipped(write: Callable[[Sequence[dict[str, str]]], bytes]) -> Callable[[Sequence[dict[str, str]]], bytes]:
    return lambda videos: gzip.compress(write(videos))


FORMS: tuple[tuple[str, Callable[[Sequence[dict[str, str]]], bytes]], ...] = (
    ("jsonl", lines),
    ("json", array),
    ("csv", _csv),
    ("info.json", _yt_dlp),
    ("api.json", _data_api),
    ("py.json", _pyvideo),
    ("rejects.jsonl", _with_rejects),
    ("jsonl.gz", _gzipped(lines)),
    ("csv.gz", _gzipped(_csv)),
    ("json.gz", _gzipped(array)),
)
"""File name extensions and the functions that write these forms."""
