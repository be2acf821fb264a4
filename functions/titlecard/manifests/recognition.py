"""What is this file? Its first bytes tell: a form that can be read, or a sentence about what it is instead."""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import from_json

from titlecard.manifests.columns import recognise
from titlecard.manifests.documents import elements
from titlecard.manifests.rows import NotAManifest
from titlecard.manifests.source import HEAD_BYTES, lines
from titlecard.manifests.tables import Table, table

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCEPTED_FORMS = (
    "Accepted are JSON Lines, a JSON array or an object that holds one, CSV or TSV whose first line names the columns, "
    "the output of yt-dlp (-J, --flat-playlist or --dump-json), list responses of the YouTube Data API and pyvideo's "
    "JSON; in UTF-8, gzipped or not."
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
}

_WIDE = {b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""The byte order marks (The Unicode Standard, 23.8); the longer ones first, as one begins like another."""

_WIDE_UNMARKED = {rb"[^\x00]\x00\x00\x00": "UTF-32LE", rb"[^\x00]\x00": "UTF-16LE", rb"\x00[^\x00]": "UTF-16BE"}
"""How the first characters look where there is no mark: ASCII with NULs around it."""

_WIDE_JUDGED = 2048
"""How many bytes are looked at for NULs."""

_LINES_JUDGED = 20

_NAMES = "Name one column title (or name), and one id (or video_id, youtube_id) or url, in the first line."


class Form(NamedTuple):
    """How a manifest is read: by lines, as JSON documents or as a table; and its name for people."""

    name: str
    by_lines: bool = False
    table: Table | None = None


def recognise_form(head: bytes) -> Form:
    """What the file is that begins with `head`, unpacked and without its byte order mark.

    Raises:
        NotAManifest: it is nothing that can be read.
    """
    if not head.strip():
        raise NotAManifest(f"The file is empty. {ACCEPTED_FORMS}")
    _check_kind(head)
    text = head.strip()
    if re.fullmatch(rb"\[\s*\]|\{\s*\}", text):
        raise NotAManifest(f"The file is an empty JSON {'array' if text[:1] == b'[' else 'object'}. {ACCEPTED_FORMS}")
    if _is_json_lines(head):
        return Form(_json_name(text, "JSON Lines"), by_lines=True)
    if text.startswith(b"{"):
        return Form(_json_name(text, "JSON object"))
    if text.startswith(b"["):
        return Form(_json_name(text, "JSON array"))
    written = table(head)
    if b"\r" in head and b"\n" not in head and (written is None or len(head) < HEAD_BYTES):
        raise NotAManifest(
            "The lines of the file end as old Macs ended them. Convert it: tr '\\r' '\\n' < OLD > NEW (in Excel: save "
            f"as CSV UTF-8). {ACCEPTED_FORMS}"
        )
    if written is None:
        raise NotAManifest(f"The file is neither JSON nor a table whose first line names its columns. {ACCEPTED_FORMS}")
    _check_columns(written)
    return Form(written.form, table=written)


def convert(encoding: str) -> str:
    """How a person turns a file in `encoding` into one that can be read."""
    return f"Convert it to UTF-8: iconv -f {encoding} -t UTF-8 OLD > NEW (in Excel: save as CSV UTF-8)."


def _check_kind(head: bytes) -> None:
    for magic, kind in _OTHER_FILES.items():
        if head.startswith(magic):
            raise NotAManifest(f"The file is {kind}. {ACCEPTED_FORMS}")
    marked = (encoding for mark, encoding in _WIDE.items() if head.startswith(mark))
    unmarked = (encoding for start, encoding in _WIDE_UNMARKED.items() if re.match(b"(?:%b){2}" % start, head))
    for encoding in chain(marked, unmarked, _wide_by_its_nuls(head)):
        raise NotAManifest(f"The file is written in {encoding}, not in UTF-8. {convert(encoding)}")
    if head.lstrip().startswith(b"<"):
        raise NotAManifest(f"The file is HTML or XML, such as a saved web page. {ACCEPTED_FORMS}")


def _wide_by_its_nuls(head: bytes) -> Iterator[str]:
    """Two bytes a character, of which one is NUL wherever there is an ASCII character, and never the other."""
    first, second = head[:_WIDE_JUDGED:2], head[1:_WIDE_JUDGED:2]
    for encoding, of_ascii, never in (("UTF-16LE", second, first), ("UTF-16BE", first, second)):
        if of_ascii.count(0) * 8 > len(of_ascii) and not never.count(0):
            yield encoding


def _is_json_lines(head: bytes) -> bool:
    """Whether most of the first lines are an object each, and the first of these is a row and no list of rows."""
    whole = [line.data.strip() for _, line in islice(lines([head], len(head)), _LINES_JUDGED + 1)]
    if len(head) >= HEAD_BYTES and len(whole) <= _LINES_JUDGED:
        whole.pop()  # cut off
    written = [line for line in whole if line]
    objects = [line for line in written if _is_object(line)]
    if not objects or len(objects) * 2 < len(written):
        return False
    return [piece.data for _, piece in elements([objects[0]], len(head))] == [objects[0]]


def _is_object(line: bytes) -> bool:
    if not (line.startswith(b"{") and line.endswith(b"}")):
        return False
    try:
        from_json(line)
    except ValueError:
        return False
    return True


def _json_name(text: bytes, container: str) -> str:
    """A name for people; nothing depends on it."""
    if b'"youtube#' in text:
        return f"YouTube Data API response ({container})"
    if b'"extractor' in text or b'"ie_key"' in text or b'"_type"' in text:
        return f"yt-dlp ({container})"
    if b'"speakers"' in text and b'"videos"' in text:
        return f"pyvideo ({container})"
    return container


def _check_columns(written: Table) -> None:
    known = recognise(written.names)
    names = ", ".join(f"“{name:.40}”" for name in written.names[:20])
    if "title" not in known:
        raise NotAManifest(
            f"The file is {written.form} without a column for the title; its columns are {names}. {_NAMES}"
        )
    if not known.keys() & {"id", "url"}:
        raise NotAManifest(
            f"The file is {written.form} without a column for id or url; its columns are {names}. {_NAMES}"
        )
