"""Talks in formats that other programs read: JSON Lines, CSV, pyvideo's JSON, a Django fixture; all as streams.

JSON Lines hold every row, whatever its state, and are for programs. The other formats hold only talks.
"""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from titlecard.manifests.addresses import is_youtube_id, youtube_id
from titlecard.manifests.column_names import recognise
from titlecard.pipeline.lines import of_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.domain.video import Talk
    from titlecard.manifests import Accepted

COLUMNS = ("id", "title", "presenters", "tier", "confidence", "review", "batch", "changed_at")
"""The columns of the CSV format; semicolons join the presenters."""

MODEL = "titlecard.talk"
"""The default model of the Django fixture's records."""

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The first characters of a cell that a spreadsheet would treat as a formula (OWASP, "CSV Injection"), including
full-width forms."""

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")
"""An id that the CSV keeps unchanged: other tables join on it, and a single word is no formula."""

_PROVENANCE = ("tier", "confidence", "review")


class Format(StrEnum):
    """The format of an export."""

    JSONL = "jsonl"
    CSV = "csv"
    PYVIDEO = "pyvideo"
    DJANGO_FIXTURE = "django-fixture"


def json_lines(results: Iterable[RowResult], sink: TextIO) -> None:
    """Write every row as one line of JSON."""
    sink.writelines(json.dumps(of_result(result), ensure_ascii=False) + "\n" for result in results)


def table(results: Iterable[RowResult], sink: TextIO) -> None:
    """Write talks as CSV for spreadsheets: every cell quoted, none of them a formula.

    A cell that would be a formula begins with an apostrophe, which reading a table removes. Ids of letters, digits, `-`
    and `_` stay unchanged.
    """
    writer = csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\r\n")  # RFC 4180
    writer.writerow(COLUMNS)
    for content in (of_result(result) for result in results if result.talk):
        content["presenters"] = "; ".join(content["presenters"])
        cells = [harmless(content[column]) for column in COLUMNS[1:]]
        identity = str(content["id"])
        writer.writerow([identity if _PLAIN_ID.fullmatch(identity) else harmless(identity), *cells])


def harmless(value: object) -> str:
    """Return a value as a cell that no spreadsheet evaluates."""
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def fixture(results: Iterable[tuple[RowResult, Accepted | None]], sink: TextIO, model: str | None = None) -> None:
    """Write talks as a Django fixture for `loaddata`, which replaces whole records.

    A row from a `dumpdata` file is written as the same record, with its model, its key and all its fields: only the
    title changes, and presenters are filled in if there were none. Every other row becomes a record of a model for
    talks.

    Args:
        results: talks, each beside its row of the manifest.
        model: the model of the records. None means the manifest's own, or else `MODEL`. If this is not the manifest's
            model, records have only the fields of a talk.
    """
    _array((_django_record(result, talk, row, model) for result, talk, row in _beside_rows(results)), sink)


def pyvideo(results: Iterable[tuple[RowResult, Accepted | None]], sink: TextIO) -> int:
    """Write talks as pyvideo's records, with the manifest's fields of each video; return how many were left out.

    A row that is such a record keeps its fields and its speakers. A talk without an address is left out, because
    pyvideo's schema requires one. `recorded` is the day of publication, since the day of recording is unknown.
    """
    left_out = 0

    def records() -> Iterator[dict[str, Any]]:
        nonlocal left_out
        for result, talk, row in _beside_rows(results):
            record = _pyvideo_record(result.row.video, talk, row)
            if record:
                yield record
            else:
                left_out += 1

    _array(records(), sink)
    return left_out


def _django_record(result: RowResult, talk: Talk, row: Accepted | None, model: str | None) -> dict[str, Any]:
    ours = {
        "title": talk.title,
        "presenters": list(talk.presenters),
        "tier": talk.tier,
        "confidence": round(talk.confidence, 4),
        "review": talk.review or "",
    }
    own = _record_of(row, model=str, fields=dict)
    if own is None or row is None or model not in {None, own["model"]}:
        return {"model": model or MODEL, "pk": result.row.video, "fields": ours}
    fields: dict[str, Any] = {**own["fields"]}
    names = recognise(fields)
    people = names.get("presenters")
    if "title" in names:
        fields[names["title"]] = talk.title
    if people and not row.video.presenters:
        if isinstance(fields[people], str):
            fields[people] = "; ".join(talk.presenters)
        elif people == "presenters":
            fields[people] = list(talk.presenters)
    fields |= {name: ours[name] for name in _PROVENANCE if name in fields}
    return {**own, "fields": fields}


def _record_of(row: Accepted | None, **kinds: type) -> dict[str, Any] | None:
    """Return the record that a row of the manifest is, if it has values of these kinds; None otherwise."""
    record = row.record if row else None
    return dict(record) if record and all(isinstance(record.get(it), kind) for it, kind in kinds.items()) else None


def _pyvideo_record(identity: str, talk: Talk, row: Accepted | None) -> dict[str, Any] | None:
    video = row.video if row else None
    speakers = list(dict.fromkeys((video and video.presenters) or talk.presenters))
    own = _record_of(row, title=str, videos=list)
    if own and video:
        given = own.get("speakers")
        return {**own, "title": talk.title, "speakers": given if video.presenters else (speakers or given or [])}
    url = video.url if video and video.url else None
    if url is None and is_youtube_id(identity):
        url = f"https://www.youtube.com/watch?v={identity}"
    if url is None:
        return None
    youtube = youtube_id(url)
    record: dict[str, Any] = {
        "description": video.description if video else "",
        "recorded": _day(video.published_at) if video else None,
        "related_urls": [],
        "speakers": speakers,
        "tags": [],
        "thumbnail_url": f"https://i.ytimg.com/vi/{youtube}/hqdefault.jpg" if youtube else None,
        "title": talk.title,
        "videos": [{"type": "youtube" if youtube else "other", "url": url}],
    }
    return {name: value for name, value in record.items() if value is not None}


def _day(moment: str | None) -> str | None:
    """Return the day of an ISO date or time; None if the text is neither."""
    try:
        return datetime.fromisoformat(moment or "").date().isoformat()
    except ValueError:
        return None


def _beside_rows(
    results: Iterable[tuple[RowResult, Accepted | None]],
) -> Iterator[tuple[RowResult, Talk, Accepted | None]]:
    return ((result, result.talk, row) for result, row in results if result.talk)


def _array(records: Iterable[dict[str, Any]], sink: TextIO) -> None:
    """Write a JSON array record by record."""
    before = "[\n"
    for record in records:
        sink.write(before + json.dumps(record, ensure_ascii=False, indent=2))
        before = ",\n"
    sink.write("[]\n" if before == "[\n" else "\n]\n")
