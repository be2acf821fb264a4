"""Talks in the forms that others read: JSON Lines, CSV, pyvideo's JSON, a Django fixture. Each is written as a stream.

JSON Lines hold every row, whatever became of it, and are for programs. The other forms hold talks alone.
"""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from titlecard.manifests.columns import youtube_id
from titlecard.pipeline.lines import of_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.domain.video import Talk, Video

COLUMNS = ("id", "title", "presenters", "tier", "confidence", "review", "batch", "changed_at")
"""Of the CSV form; presenters are joined by semicolons."""

MODEL = "titlecard.talk"
"""The model of the Django fixture's records, where none is named."""

_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet takes for a formula (OWASP, "CSV Injection"), full-width forms included."""

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")


class Format(StrEnum):
    """What talks are written as."""

    JSONL = "jsonl"
    CSV = "csv"
    PYVIDEO = "pyvideo"
    DJANGO_FIXTURE = "django-fixture"


def json_lines(results: Iterable[RowResult], sink: TextIO) -> None:
    """Every row as one line of JSON."""
    sink.writelines(json.dumps(of_result(result), ensure_ascii=False) + "\n" for result in results)


def table(results: Iterable[RowResult], sink: TextIO) -> None:
    """Talks as CSV for spreadsheets: every cell quoted, none of them a formula.

    A cell that would be one begins with an apostrophe. That goes for ids as well: programs read the JSON Lines.
    """
    writer = csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\r\n")  # RFC 4180
    writer.writerow(COLUMNS)
    for result, talk in _talks(results):
        content = of_result(result)
        content["presenters"] = "; ".join(talk.presenters)
        writer.writerow([harmless(content[column]) for column in COLUMNS])


def harmless(value: object) -> str:
    """A value as a cell that no spreadsheet calculates."""
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def fixture(results: Iterable[RowResult], sink: TextIO, model: str = MODEL) -> None:
    """Talks as a Django fixture, for `loaddata`: it replaces whole records, so give them a model of their own."""
    _array(
        (
            {
                "model": model,
                "pk": result.row.video,
                "fields": {
                    "title": talk.title,
                    "presenters": list(talk.presenters),
                    "tier": talk.tier,
                    "confidence": round(talk.confidence, 4),
                    "review": talk.review or "",
                },
            }
            for result, talk in _talks(results)
        ),
        sink,
    )


def pyvideo(results: Iterable[tuple[RowResult, Video | None]], sink: TextIO) -> int:
    """Talks as pyvideo's records, with what the manifest says of the videos.

    Returns how many were left out for want of an address, which pyvideo's schema asks for. `recorded` is the day of
    publication: what is known.
    """
    left_out = 0

    def records() -> Iterator[dict[str, Any]]:
        nonlocal left_out
        for result, video in results:
            talk = result.talk
            record = _record(result.row.video, talk, video) if talk else None
            if record:
                yield record
            left_out += bool(talk and not record)

    _array(records(), sink)
    return left_out


def _record(identity: str, talk: Talk, video: Video | None) -> dict[str, Any] | None:
    url = video.url if video and video.url else None
    if url is None and _YOUTUBE_ID.fullmatch(identity):
        url = f"https://www.youtube.com/watch?v={identity}"
    if url is None:
        return None
    youtube = youtube_id(url)
    record: dict[str, Any] = {
        "description": video.description if video else "",
        "recorded": _day(video.published_at) if video else None,
        "related_urls": [],
        "speakers": list(dict.fromkeys(talk.presenters)),
        "tags": [],
        "thumbnail_url": f"https://i.ytimg.com/vi/{youtube}/hqdefault.jpg" if youtube else None,
        "title": talk.title,
        "videos": [{"type": "youtube" if youtube else "other", "url": url}],
    }
    return {name: value for name, value in record.items() if value is not None}


def _day(moment: str | None) -> str | None:
    """The day of an ISO date or time, None where it is neither."""
    try:
        return datetime.fromisoformat(moment or "").date().isoformat()
    except ValueError:
        return None


def _talks(results: Iterable[RowResult]) -> Iterator[tuple[RowResult, Talk]]:
    return ((result, result.talk) for result in results if result.talk)


def _array(records: Iterable[dict[str, Any]], sink: TextIO) -> None:
    """A JSON array, written record by record."""
    before = "[\n"
    for record in records:
        sink.write(before + json.dumps(record, ensure_ascii=False, indent=2))
        before = ",\n"
    sink.write("[]\n" if before == "[\n" else "\n]\n")
