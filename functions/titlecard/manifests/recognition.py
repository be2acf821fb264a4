"""Recognises a file by its first bytes: a readable form, or a sentence about what the file is instead."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from titlecard.manifests.addresses import youtube_id
from titlecard.manifests.column_names import looks_like_an_id
from titlecard.manifests.errors import NotAManifest
from titlecard.manifests.json_paths import are_rows_by_id, is_row, list_of_people, path_to_rows
from titlecard.manifests.json_rows import elements, parsed
from titlecard.manifests.log_lines import has_log_lines, without_log_lines
from titlecard.manifests.source import HEAD_BYTES, lines
from titlecard.manifests.tables import Table, delimiter, table
from titlecard.manifests.texts import unescaped
from titlecard.manifests.title_lines import are_numbered, is_heading, title_and_address, title_and_id, without_number
from titlecard.manifests.xml_rows import xml_form
from titlecard.manifests.yaml_rows import is_single, is_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard.manifests.json_rows import RowsPath
    from titlecard.manifests.xml_rows import XmlForm

ACCEPTED_FORMS = (
    "Accepted formats: JSON Lines, a JSON array or an object that holds one, CSV or TSV whose first line names the "
    "columns, a list of titles, one per line; the output of yt-dlp (-J, --flat-playlist or --dump-json), YouTube Data "
    "API, YouTube Studio, Google Takeout, YouTube's feeds, Vimeo, PeerTube, media.ccc.de, frab, pretalx, Sessionize, "
    "RubyEvents, Django's dumpdata, oEmbed and pyvideo; in UTF-8, or UTF-16 with a byte order mark, gzipped or not."
)

_OTHER_FILES = {
    b"PK\x03\x04": "a zip archive or an Excel or OpenDocument sheet: unpack it, or save the sheet as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file: save the sheet as CSV in UTF-8",
    b"%PDF": "a PDF",
    b"BZh": "packed with bzip2: use gzip instead",
    b"\xfd7zXZ": "packed with xz: use gzip instead",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard: use gzip instead",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"\x1f\x8b": "gzipped twice: unpack it once",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"PAR1": "a Parquet file: export it as JSON Lines or CSV",
    b"Traceback (most recent call last)": "the traceback of a program that failed: run the program again",
    b"Rar!": "a RAR archive: unpack it",
    b"{\\rtf": "a word processor's RTF document: save it as plain text in UTF-8",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file with git lfs pull",
    b'"[': "a JSON string that contains JSON: extract it with jq -r . OLD > NEW",
    b'"{\\"': "a JSON string that contains JSON: extract it with jq -r . OLD > NEW",
    b"#EXTM3U": "a playlist for players: let yt-dlp list its videos, yt-dlp --flat-playlist -J ADDRESS > NEW.json",
    b"WEBVTT": "the subtitles of a video",
    b"BEGIN:VCALENDAR": "an iCalendar: export the schedule as JSON or XML (frab, pretalx: schedule.json, schedule.xml)",
}

_TAR_AT = 257
"""The position of tar's mark, in bytes (POSIX.1-2001, pax, "ustar Interchange Format")."""

_UTF32 = {b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32"}
"""The byte order marks of UTF-32 (The Unicode Standard, 23.8)."""

_WIDE_UNMARKED = {rb"[^\x00]\x00\x00\x00": "UTF-32LE", rb"[^\x00]\x00": "UTF-16LE", rb"\x00[^\x00]": "UTF-16BE"}
"""The look of the first characters without a mark: ASCII with NULs around it."""

_WIDE_JUDGED = 2048
"""The number of bytes that are searched for NULs."""

_LINES_JUDGED = 20

_CELLS = re.compile(r"[,;\t]\S")
"""What stands between the columns of a table."""

_TITLE_CHARACTERS = 250
"""The most characters of a line in a plain list of titles; a longer line is prose."""

_NAMES = "Name one column title (or name), and one id (or video_id, youtube_id) or url, in the first line."

_LOOK_UP = (
    "Google Takeout has the titles of your videos in videos.csv and video texts.csv. For other videos of YouTube, put "
    "each id on its own line, and let yt-dlp look up the titles: yt-dlp --dump-json --batch-file IDS > NEW.jsonl. "
)

LIST_OF_TITLES = "list of titles"
"""The name of the form that any text with short lines has."""

_TITLES_ALONE = Table(LIST_OF_TITLES, "\x1f", ("title",), 0, {it: it for it in ("title", "id", "url")}, quoted=False)
"""A plain list of titles, which are also the ids: no separator occurs, since no title has ASCII's unit separator."""

_JSON = re.compile(rb"""\{\s*["'}]|\[\s*(?:[{"'\d-]|\[|null\b|\]\s*\Z)""")
"""The beginning of JSON, which no title such as `[] is not {}` has."""

_SIDE_BY_SIDE = re.compile(rb"\}\s*+\{")

_RECORD_LINE = re.compile(r"""\[?\{\s*"|[-*] (?:[a-z_]+:\s|!!)""")
"""A line of JSON or YAML, which is not a title."""

_SPOKEN = re.compile(rb"^(?:WARNING|ERROR|Deprecated|\[[a-z])", re.MULTILINE)
"""A log line of yt-dlp, unlike a title such as `[Keynote] A title`."""

_BEFORE_JSON = re.compile(
    rb"\s*((?:(?:var|let|const|export|return)\s|window\.|module\.exports|[\w$]+\(|/[/*]|\)\]\}|HTTP/\d|```|\x1e)"
    rb"[^\[{]{0,2000})[\[{]\s*[\[{\"']"
)
"""The beginning of JavaScript, of comments, or of an answer with its headers."""

_SECTION = re.compile(rb"(?:[ \t]*(?:[#;][^\n]*)?\r?\n)*+\[\[?[A-Za-z_][\w.-]*\]\]?[ \t]*\r?\n\s*[\w-]+[ \t]*=")
"""The beginning of TOML or INI."""

_LIKE_YAML = re.compile(rb"(?:---[^\n]*\n|#[^\n]*\n|\s*\n)*+[\w-]+:(?:[ \t\r\n]|$)")

_NAME = re.compile(r"[A-Za-z_]\w{0,40}")

_IDS_JUDGED = 50

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""A byte that no text has, in any encoding with one byte for a letter."""

_LONE = re.compile(rb"\r(?!\n)")

_DJANGO_YAML = re.compile(rb"^[ \t]*- model: [\w.]+\r?\n[ \t]+(?:pk|fields):", re.MULTILINE)
_EMPTY_YAML = re.compile(rb"(?:[ \t]*(?:#[^\n]*|---[ \t]*)?\r?\n)*+[ \t]*(?:\w+:\s*)?\[\s*\]\s*(?:#[^\n]*\s*)*+")

_SCHEDULE: RowsPath = ("{", "schedule{", "conference{", "days[", "{", "rooms{", "*[")
_SCHEDULE_2: RowsPath = ("{", "schedule{", "events[")
_GRID: RowsPath = ("[", "{", "rooms[", "{", "sessions[")
_SPEAKERS: RowsPath = ("{", "speakers[")


class Form(NamedTuple):
    """The form of a manifest, and its name for people.

    Attributes:
        by_lines: whether each line is a JSON object and a row.
        table: the notation of a table; None if it is not a table.
        xml: the form of XML; None if it is not XML.
        yaml: whether it is YAML.
        single: whether a document of YAML is a row, not a list of rows.
        path: the location of the rows in a JSON document, if it is not the outermost list.
        people: the location of the people that rows refer to by a key.
        django: whether rows are Django's records, which refer to others by keys.
        logged: whether yt-dlp's log lines are in it.
    """

    name: str
    by_lines: bool = False
    table: Table | None = None
    xml: XmlForm | None = None
    yaml: bool = False
    single: bool = False
    path: RowsPath | None = None
    people: RowsPath | None = None
    django: bool = False
    logged: bool = False


def recognise_form(head: bytes) -> Form:
    """Return the form of a file that begins with `head`, decompressed and without its byte order mark.

    Raises:
        NotAManifest: it has no readable form.
    """
    if not head.strip():
        raise NotAManifest(f"The file is empty. {ACCEPTED_FORMS}")
    _check_kind(head)
    if head.lstrip().startswith(b"<"):
        return _markup(head)
    logged = has_log_lines(head)
    text = b"".join(without_log_lines([head])).strip() if logged else head.strip()
    if re.fullmatch(rb"\[\s*\]|\{\s*\}", text):
        raise NotAManifest(f"The file is an empty JSON {'array' if text[:1] == b'[' else 'object'}. {ACCEPTED_FORMS}")
    if _EMPTY_YAML.fullmatch(text):
        raise NotAManifest(f"The file is an empty list in YAML. {ACCEPTED_FORMS}")
    if logged and not text and _SPOKEN.search(head):
        raise NotAManifest(f"The file contains only yt-dlp's log, and no video. {ACCEPTED_FORMS}")
    if _JSON.match(text):
        return _json(head, text, logged=logged)
    if _is_json_lines(head, logged=False):
        return Form(_json_name(text, "JSON Lines"), by_lines=True)
    if is_single(head):
        return Form("YAML", yaml=True, single=True)
    if is_yaml(head):
        return Form("YAML", yaml=True, django=_DJANGO_YAML.search(head) is not None)
    return _written_in_lines(head)


def convert(encoding: str) -> str:
    """Return the command with which a person converts a file from `encoding` to a readable one."""
    return (
        f"Convert it to UTF-8: iconv -f {encoding} -t UTF-8 OLD > NEW (in Excel: save as CSV UTF-8; in PowerShell: "
        "Get-Content OLD | Out-File -Encoding utf8 NEW)."
    )


def _check_kind(head: bytes) -> None:
    if not head.strip(b"\0"):
        raise NotAManifest("The file consists of NULs: it was not completely written. Make or copy it again.")
    if head.strip() == b"null":
        raise NotAManifest(
            "The file is null, which yt-dlp writes if it cannot read anything: run it again and read its errors."
        )
    if _SECTION.match(head):
        raise NotAManifest(f"The file is TOML or INI: write its list of talks as JSON. {ACCEPTED_FORMS}")
    for magic, kind in _OTHER_FILES.items():
        if head.startswith(magic):
            raise NotAManifest(f"The file is {kind}. {ACCEPTED_FORMS}")
    if head[_TAR_AT:].startswith(b"ustar"):
        raise NotAManifest(f"The file is a tar archive: unpack it. {ACCEPTED_FORMS}")
    marked = (encoding for mark, encoding in _UTF32.items() if head.startswith(mark))
    unmarked = (encoding for start, encoding in _WIDE_UNMARKED.items() if re.match(b"(?:%b){2}" % start, head))
    for encoding in chain(marked, unmarked, _wide_by_its_nuls(head)):
        raise NotAManifest(f"The file is written in {encoding}, not in UTF-8. {convert(encoding)}")


def _wide_by_its_nuls(head: bytes) -> Iterator[str]:
    """Recognise two bytes per character by their NULs: one of the two for each ASCII character, never the other."""
    first, second = head[:_WIDE_JUDGED:2], head[1:_WIDE_JUDGED:2]
    for encoding, of_ascii, never in (("UTF-16LE", second, first), ("UTF-16BE", first, second)):
        if of_ascii.count(0) * 8 > len(of_ascii) and not never.count(0):
            yield encoding


def _markup(head: bytes) -> Form:
    form = xml_form(head)
    if form:
        if b"<!ENTITY" in head:
            raise NotAManifest("The XML declares entities of its own, which are refused: remove the declarations.")
        return Form(form.name, xml=form)
    if b"<opml" in head[:4096]:
        raise NotAManifest(
            f"The file is OPML, a list of feeds: fetch the feeds, which list their videos. {ACCEPTED_FORMS}"
        )
    if re.search(rb"<(?:!doctype\s+html|html|head|body|table|div)\b", head[:4096], re.IGNORECASE):
        raise NotAManifest(f"The file is HTML, such as a saved web page. {ACCEPTED_FORMS}")
    if b"<django-objects" in head[:4096]:
        raise NotAManifest("The file is Django's XML. Write it as JSON: manage.py dumpdata --format json > NEW.")
    raise NotAManifest(
        "The file is XML, but neither a schedule (<schedule>, of frab, pentabarf or pretalx) nor a feed (<feed>, "
        f"<rss>). {ACCEPTED_FORMS}"
    )


def _json(head: bytes, text: bytes, *, logged: bool) -> Form:
    """Return the form of JSON: one document, several, or one row per line."""
    begun = _begun(text)
    known = _known_document(begun)
    if known:
        return known._replace(logged=logged)
    if how := _to_convert(begun):
        raise NotAManifest(f"The file is a JSON {how}")
    if people := list_of_people(begun):
        return Form(_json_name(text, "JSON object"), people=("{", f"{people}["), logged=logged)
    if path := path_to_rows(begun):
        return Form(_json_name(text, "JSON object"), path=path, logged=logged)
    by_lines = _is_json_lines(head, logged=logged)
    container = "JSON Lines" if by_lines else "JSON object" if text.startswith(b"{") else "JSON array"
    first = begun[0] if isinstance(begun, list) and begun else begun
    django = isinstance(first, dict) and first.keys() >= {"model", "fields"}
    name = f"Django fixture ({container})" if django else _json_name(text, container)
    return Form(name, by_lines=by_lines, django=django, logged=logged and not by_lines)


def _begun(text: bytes) -> Any:  # noqa: ANN401 -- any JSON value
    """Parse the beginning of the first document, as far as it goes; return None if it is broken."""
    with suppress(ValueError):
        return parsed(text, partly=True)
    with suppress(ValueError):  # there are several documents, or a row is broken
        return parsed(text.split(b"\n", 1)[0], partly=True)
    return None


def _known_document(begun: Any) -> Form | None:  # noqa: ANN401, PLR0911 -- any JSON value; one result a format
    """Return the form of a document with deep rows, or with keys of people listed elsewhere in it."""
    match begun:
        case {"schedule": {"conference": dict() as conference}} if not _lists_rooms(conference):
            days = conference.get("days")
            first = isinstance(days, list) and days and all("rooms" in day for day in days if isinstance(day, dict))
            return Form("schedule of a conference (JSON)", path=_SCHEDULE if first else _SCHEDULE_2)
        case {"schedule": {"days": [{"rooms": dict()}, *_]}}:
            return Form("schedule of a conference (JSON)", path=(*_SCHEDULE[:2], *_SCHEDULE[3:]))
        case {"conference": {"days": list()}}:
            return Form("schedule of a conference (JSON)", path=("{", *_SCHEDULE[2:]))
        case {"sessions": [{"isServiceSession": _}, *_]}:
            return Form("Sessionize (all)", path=("{", "sessions["), people=_SPEAKERS)
        case {"talks": list() as talks} if any(
            isinstance(it, dict) and "code" in it and ("fav_count" in it or "speakers" in begun) for it in talks
        ):
            return Form("schedule of pretalx (JSON)", path=("{", "talks["), people=_SPEAKERS)
        case list() if any(_is_day_of_grid(it) for it in begun):
            return Form("Sessionize (grid)", path=_GRID)
    return None


def _lists_rooms(conference: dict[str, Any]) -> bool:
    """Return whether a conference has the rooms of its days in lists, not by their names."""
    days = conference.get("days")
    return isinstance(days, list) and any(isinstance(it, dict) and isinstance(it.get("rooms"), list) for it in days)


def _is_day_of_grid(record: object) -> bool:
    match record:
        case {"rooms": [{"sessions": list()}, *_]}:
            return True
    return False


def _to_convert(begun: Any) -> str | None:  # noqa: ANN401, PLR0911 -- any JSON value; one result a kind
    """Return what a document without rows is, and the command that converts it; None if it may have rows."""
    match begun:
        case [str(), *_]:
            return "array of texts. Convert it: jq -r '.[]' OLD > NEW.txt"
        case [[dict(), *_], *_]:
            return "array of arrays. Convert it: jq -c '.[][]' OLD > NEW.jsonl"
        case [[_, *_], *_]:
            return "array of arrays. Convert it: jq -r '.[] | @csv' OLD > NEW.csv"
        case {"values": [[_, *_], *_]}:
            return "table of Google Sheets. Convert it: jq -r '.values[] | @csv' OLD > NEW.csv"
        case {"columns": [str(), *_], "data": [[*_], *_]}:
            return 'table of pandas. Write it with to_json("NEW.jsonl", orient="records", lines=True)'
        case dict() if is_row(begun) and all(
            isinstance(it, dict) and all(map(str.isdigit, it)) for it in begun.values()
        ):
            return 'table of pandas. Write it with to_json("NEW.jsonl", orient="records", lines=True)'
        case dict() if are_rows_by_id(begun):
            return "object of rows by their ids. Convert it: jq -c 'to_entries[] | {id: .key} + .value' OLD > NEW.jsonl"
        case dict() if name := next((it for it in begun if _NAME.fullmatch(it) and are_rows_by_id(begun[it])), None):
            how = f"jq -c '.{name} | to_entries[] | {{id: .key}} + .value' OLD > NEW.jsonl"
            return f"object of rows by their ids. Convert it: {how}"
    return None


def _is_json_lines(head: bytes, *, logged: bool) -> bool:
    """Return whether most of the first lines are objects, and the first object is a row and not a list of rows."""
    if logged:
        head = b"".join(without_log_lines([head]))
    whole = [line.data.strip() for _, line in islice(lines([head], len(head)), _LINES_JUDGED + 1)]
    if len(head) >= HEAD_BYTES and len(whole) <= _LINES_JUDGED:
        whole.pop()  # it is cut off
    written = [line for line in whole if line]
    objects = [line for line in written if _is_object(line)]
    if not objects or len(objects) * 2 < len(written):
        return False
    if any(_SIDE_BY_SIDE.search(line) and "trailing characters" in _fault_of(line) for line in written):
        return False  # objects in one line, as files without line ends that were put together
    return [piece.data for _, piece in elements([objects[0]], len(head))] == [objects[0]]


def _is_object(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith(b"}") and _fault_of(line) == ""


def _fault_of(line: bytes) -> str:
    """Return why a line is not JSON; nothing if it is."""
    try:
        parsed(line)
    except ValueError as error:
        return str(error)
    return ""


_MARKS = (
    ("YouTube Data API response", (b'"youtube#',)),
    ("RubyEvents", (b'"video_provider"',)),
    ("yt-dlp", (b'"extractor',)),
    ("yt-dlp", (b'"ie_key"',)),
    ("yt-dlp", (b'"_type"',)),
    ("Django fixture", (b'"model"', b'"pk"', b'"fields"')),
    ("oEmbed", (b'"provider_name"', b'"version"')),
    ("Vimeo", (b'"uri"', b'"/videos/')),
    ("PeerTube", (b'"uuid"', b'"account"')),
    ("pretalx", (b'"submission_type"', b'"speakers"')),
    ("Sessionize", (b'"isServiceSession"',)),
    ("media.ccc.de", (b'"guid"', b'"persons"', b'"frontend_link"')),
    ("pyvideo", (b'"speakers"', b'"videos"')),
)
"""Text that only one program's files contain; the first match names the file."""


def _json_name(text: bytes, container: str) -> str:
    """Return a name for people, which nothing depends on."""
    source = next((name for name, marks in _MARKS if all(mark in text for mark in marks)), None)
    return f"{source} ({container})" if source else container


def _written_in_lines(head: bytes) -> Form:
    """Return the form of a table, or of a plain list of titles."""
    if before := _BEFORE_JSON.match(head):
        raise NotAManifest(
            f"The file has “{before[1].decode('utf-8', 'replace').strip():.40}” before its JSON: remove everything "
            "that is not JSON, such as comments."
        )
    written = table(head)
    is_text = not _CONTROL.search(head)
    if is_text and (written is None or len(head) < HEAD_BYTES) and len(_LONE.findall(head)) > head.count(b"\n"):
        raise NotAManifest(
            "The file has the line ends of old Macs. Convert it: tr '\\r' '\\n' < OLD > NEW (in Excel: save "
            f"as CSV UTF-8). {ACCEPTED_FORMS}"
        )
    if written and written.columns.keys() >= {"title"} and written.columns.keys() & {"id", "url"}:
        return Form(written.form, table=written)
    if written and len(written.names) == 1 and "title" in written.columns:
        return Form(LIST_OF_TITLES, table=replace(_TITLES_ALONE, header_line=written.header_line, quoted=True))
    separator = delimiter(head)
    if titles := _titles_beside(head, separator):
        return Form(LIST_OF_TITLES, table=titles)
    if (written is None or len(written.names) == 1) and separator is None and _are_ids(head):
        raise NotAManifest(
            "The file has ids or addresses on lines of their own. If every second line is a title, join the lines: "
            "paste - - < OLD > NEW. If there are no titles, let yt-dlp look them up: yt-dlp --dump-json "
            "--batch-file OLD > NEW.jsonl"
        )
    if (written is None or len(written.names) == 1) and separator is None and _are_titles(head):
        written_lines = _judged(head)
        quoted = all(len(line) > 1 and line[0] == line[-1] == '"' for line in written_lines)
        numbered = are_numbered(written_lines)
        return Form(LIST_OF_TITLES, table=replace(_TITLES_ALONE, quoted=quoted, escaped=quoted, numbered=numbered))
    if written is None:
        _refuse_unknown(head, separator)
    else:
        _check_columns(written)
    yaml = " YAML has to be a list of objects (- id: …)." if _LIKE_YAML.match(head) else ""
    raise NotAManifest(
        f"The file is neither JSON nor a table whose first line names its columns.{yaml} {ACCEPTED_FORMS}"
    )


def _are_titles(head: bytes) -> bool:
    """Return whether the first lines may be titles, and not prose; one line must have several words."""
    whole = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    text = unescaped(whole.decode("utf-8", "surrogateescape"))  # the reader of the lines says which are not UTF-8
    first = filter(None, map(str.strip, text.split("\n")[: 10 * _LINES_JUDGED]))
    written = [line for line in first if not is_heading(line)]
    prose = sum((line[0].islower() and "://" not in line) or line.endswith((".", ",", ";")) for line in written)
    several = len(written) > 1 or any(" " in line and not _CELLS.search(line) for line in written)
    return several and prose * 3 <= len(written) and all(map(_may_be_title, written))


def _titles_beside(head: bytes, separator: str | None) -> Table | None:
    """Return the list of titles whose lines each have the id or address of a video beside the title; None if none."""
    written = [line for line in _judged(head) if not is_heading(line)]
    if numbered := are_numbered(written):
        written = [without_number(line) for line in written]
    if separator and any(line.count(separator) - line.count(f"{separator} ") > 1 for line in written):
        return None  # there are more columns
    most = len(written) * 9 // 10
    if sum(title_and_address(line) is not None for line in written) > most:
        return replace(_TITLES_ALONE, numbered=numbered)
    ids = [it[1] for it in map(title_and_id, written) if it]
    if len(ids) > most and sum(map(looks_like_an_id, ids)) * 2 > len(ids):
        return replace(_TITLES_ALONE, ids=True, numbered=numbered)
    return None


def _judged(head: bytes) -> list[str]:
    first = (line.data.decode("utf-8", "replace").strip() for _, line in lines([head], len(head)))
    return list(islice(filter(None, first), _IDS_JUDGED))


def _are_ids(head: bytes) -> bool:
    """Return whether half of the first lines or more are ids of YouTube or addresses."""
    written = _judged(head)
    ids = [it for it in written if looks_like_an_id(it) or (" " not in it and youtube_id(it))]
    return len(ids) * 2 >= len(written)


def _may_be_title(line: str) -> bool:
    return (
        len(line) <= _TITLE_CHARACTERS
        and not _RECORD_LINE.match(line)
        and any(map(str.isalpha, line))
        and not any(unicodedata.category(mark) == "Cc" and mark != "\t" for mark in line)
    )


def _refuse_unknown(head: bytes, separator: str | None) -> None:
    if separator is None:
        return
    first = next(line.data for _, line in lines([head], len(head)) if line.data.strip())
    names = first.decode("utf-8", "replace").strip().split(separator)
    raise NotAManifest(f"The file is a table without any known column; its first line is {_quoted(names)}. {_NAMES}")


def _check_columns(written: Table) -> None:
    names = _quoted(written.names)
    if "title" not in written.columns:
        raise NotAManifest(
            f"The file is {written.form} without a column for the title; its columns are {names}. "
            f"{_LOOK_UP if written.columns.keys() & {'id', 'url'} else ''}{_NAMES}"
        )
    raise NotAManifest(f"The file is {written.form} without a column for id or url; its columns are {names}. {_NAMES}")


def _quoted(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"“{name.strip():.40}”" for name in names[:20])
