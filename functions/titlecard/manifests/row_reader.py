"""From a row as its owner wrote it to a video, or to the reason why it cannot be one."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from titlecard.domain.text import fold, normalise
from titlecard.domain.video import Video
from titlecard.manifests import no_talk, presenters, texts
from titlecard.manifests.addresses import is_youtube_id, youtube_id
from titlecard.manifests.column_names import recognise
from titlecard.manifests.errors import NoTalk, Unreadable
from titlecard.manifests.ids import identity, kind, spreadsheet_fault
from titlecard.manifests.references import References
from titlecard.manifests.shapes import Flat, Shape, generic, shapes_of
from titlecard.manifests.vocabulary import ENVELOPES, PRIVATE

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_UTF8 = "The row is not UTF-8."
TO_UTF8 = "If the file was written in Latin-1 or Windows-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW."

_REMARKS = ("channel", "published_at", "event")
"""Fields that a row can do without: a value that is not text, or cannot be stored, is dropped."""

_LIVE = ("extractor", "extractor_key", "ie_key", "live_status", "is_live", "was_live")
"""Columns of yt-dlp's rows about live videos, whose titles yt-dlp extends with the date."""

_RULE = re.compile(r"\s*[:+]?[-=+]{3,}[:+]?\s*")
"""A cell of the line below the header of a table, in Markdown or as a database's client prints it."""

_SHORT_CHARACTERS = 20
"""The most characters of a word about a video's privacy."""

_NAMES_SHOWN = 8
_IGNORED_MAX, _NAME_CHARACTERS = 200, 100
"""The most columns that are remembered, and the most characters of a name."""

_APOSTROPHE = re.compile(r"'+[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The beginning of a cell that an export protected from being read as a formula."""

_FORMULA = re.compile(r'="((?:[^"]|"")*+)"')
"""A formula that is only text; people write it so that a spreadsheet does not change an id."""

_HYPERLINK = re.compile(r'=HYPERLINK\("((?:[^"]|"")*+)"(?:\s*[,;]\s*"((?:[^"]|"")*+)")?\)', re.IGNORECASE)
"""A formula for a link, and its text."""

_NULLS = frozenset({"NULL", "\\N"})
"""What databases write for an empty cell."""

_ADDRESS = re.compile(r"https?://[^\s<>\"'\])]+")

_LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()]+)\)")
"""A link in Markdown."""

HARMLESS = "'"


class RowReader:
    """Turns rows into videos, and remembers how the columns were read.

    Args:
        row_max_bytes: the most bytes of a video as JSON.
        known: for a table, {field: column}; the columns of other forms are recognised row by row.
        references: the people that rows name by a key.
        escaped: whether texts may still contain HTML escapes; XML's do not.

    Attributes:
        seen: for each field of a video, the column it was first read from.
    """

    def __init__(
        self,
        row_max_bytes: int,
        *,
        known: Mapping[str, str] | None = None,
        references: References | None = None,
        escaped: bool = True,
    ) -> None:
        self._row_max_bytes = row_max_bytes
        self._known = known
        self._references = references or References()
        self._escaped = escaped
        self._names: tuple[str, ...] | None = None
        self._mapping: Mapping[str, str] = {}
        self._shapes: tuple[Shape, ...] = ()
        self._of_person = False  # whether these are the columns of a person
        self._state: str | None = None  # the column that says whether a talk takes place
        self._scheduled = False  # whether these are the columns of a schedule
        self._all: dict[str, None] = {}
        self._listed: tuple[str, ...] = ()
        self.seen: dict[str, str] = {}

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns that no field was read from, up to a limit."""
        read = {name for column in self.seen.values() for name in (column, column.split(".")[0], *column.split("+"))}
        return tuple(name for name in self._all if name and name not in read)[:_IGNORED_MAX]

    def video(self, record: object) -> Video:
        """Return the video that a row describes.

        Raises:
            Unreadable: the row does not describe a video; the message says why.
            NoTalk: the row is not meant to be a talk.
        """
        if record is None or (
            isinstance(record, dict) and record.get("video", record) is None and "title" not in record
        ):
            if isinstance(record, dict) and isinstance(record.get("folder"), dict):
                raise Unreadable("The row is a folder, not a video: list its videos.")
            raise Unreadable("The row is null: a private, deleted or unavailable video is listed this way.")
        if not isinstance(record, dict):
            raise Unreadable(f"The row is {kind(record)}, not an object with an id and a title.")
        record = _unwrapped(record)
        flat = self._flat(record)
        self._check_is_talk(record, flat)
        fields = {field: value for field, value in flat.values.items() if value is not None and not _is_nan(value)}
        if "title" not in flat.columns and "title" not in fields:
            raise Unreadable(_without_title(record, tuple(record)))
        if isinstance(event := fields.get("event"), int | dict):  # a key, as in Django's records, or an API's object
            fields["event"] = presenters.name_of(event) if isinstance(event, dict) else str(event)
        for field in _REMARKS:
            if not isinstance(remark := fields.get(field, ""), str) or _text_fault(field, remark):
                del fields[field]
        self._mend(record, fields)
        _check_text(fields)
        self._check_title(record, fields, scheduled=flat.scheduled or self._scheduled)
        given, fields["id"] = fields.get("id"), identity(fields, record)
        if isinstance(given, str) and "/" in given and youtube_id(given):
            fields.setdefault("url", given.strip())
        if isinstance(url := fields.get("url"), str):
            fields["url"] = _address(url)
        return self._valid(fields)

    def _flat(self, record: dict[str, Any]) -> Flat:
        """Flatten the row. The rows of a manifest mostly share their columns."""
        names = tuple(record)
        if names != self._names:
            self._names, self._mapping = names, self._known or recognise(names)
            self._shapes = () if self._known else shapes_of(frozenset(names))
            self._of_person, self._state = no_talk.is_person(names), no_talk.state_column(names)
            self._scheduled = no_talk.is_scheduled(names)
        shape = next((it for it in self._shapes if it.fits(record)), None)
        flat = shape.flat(record, self._references) if shape else generic(record, self._mapping, self._references)
        if flat.columns is not self._mapping or not self.seen.keys() >= flat.columns.keys():
            self.seen = {**flat.columns, **self.seen}
        if len(self._all) < _IGNORED_MAX and flat.names != self._listed:
            self._listed = flat.names
            self._all |= dict.fromkeys(name[:_NAME_CHARACTERS] for name in flat.names[:_IGNORED_MAX])
        return flat

    def _check_is_talk(self, record: dict[str, Any], flat: Flat) -> None:
        """Raise an exception if the row is known not to be a talk.

        Raises:
            Unreadable: the row is a mistake, such as a speaker or a private video.
            NoTalk: the row is not meant to be a talk.
        """
        if self._of_person:
            raise Unreadable("The row is a speaker, not a talk: export the sessions.")
        reason = no_talk.why_no_video(record) or no_talk.why_a_list(flat.values)
        if not reason and self._state:
            reason = no_talk.why_withdrawn(record[self._state])
        if reason:
            raise Unreadable(reason)
        if not self._known:
            return
        values = flat.values
        if no_talk.is_total(str(values.get("id", "")), str(values.get("title", ""))):
            raise NoTalk("The row is the total of the others.")
        written = [text for text in record.values() if isinstance(text, str)]
        if written and all(text.strip() == name for name, text in record.items() if isinstance(text, str)):
            raise NoTalk("The row repeats the names of the columns.")
        if len(written) == 1 and "title" not in values and " " in written[0].strip():
            raise NoTalk("A remark between the rows of the table.")
        if written and all(map(_RULE.fullmatch, written)):
            raise NoTalk("A line between the rows of the table.")
        read = self._known.values()
        others = [value for name, value in record.items() if value and name not in read]
        if any(len(value) < _SHORT_CHARACTERS and fold(value) in PRIVATE for value in others):
            raise Unreadable("The video is private.")

    def _mend(self, record: dict[str, Any], fields: dict[str, Any]) -> None:
        """Repair texts whose original is certain."""
        for name in ("title", "description", "channel", "event"):
            if isinstance(text := fields.get(name), str):
                fields[name] = texts.mended(text, escaped=self._escaped)
        if "presenters" in fields:
            fields["presenters"] = tuple(texts.mended(name, escaped=self._escaped) for name in fields["presenters"])
        title, description = fields.get("title"), fields.get("description")
        if isinstance(description, str) and spreadsheet_fault(description):
            description = fields.pop("description")
        if isinstance(title, str):
            if link := _LINK.fullmatch(title.strip()):
                title, fields["url"] = link[1], link[2] if fields.get("url") == title else fields.get("url", link[2])
            if any(record.get(name) for name in _LIVE):
                title = texts.without_live_date(title)
            fields["title"] = texts.whole_title(title, description) if isinstance(description, str) else title

    def _check_title(self, record: dict[str, Any], fields: dict[str, Any], *, scheduled: bool) -> None:
        title = fields.get("title")
        if title is None or title == "" or (isinstance(title, str) and _is_invisible(title)):
            raise Unreadable(no_talk.NOT_BEGUN if no_talk.is_upcoming(record) else "The row has no title.")
        if not isinstance(title, str):
            return  # the model says what it is
        if no_talk.is_hidden(title):
            raise Unreadable(no_talk.PRIVATE)
        if no_talk.has_no_title(title):
            raise Unreadable("The row has no title: yt-dlp did not fetch it. List the videos without --flat-playlist.")
        if no_talk.is_untitled(title):
            raise Unreadable(f"The row has no title: it says “{title.strip():.40}”.")
        if no_talk.is_advertisement(title):
            raise Unreadable("The row is an advertisement, not a talk.")
        if scheduled and not fields.get("presenters") and no_talk.is_break(title):
            raise NoTalk("The row is a break in the schedule, not a talk.")
        if fault := spreadsheet_fault(title):
            raise Unreadable(f"The title “{title.strip():.40}” is {fault}. Format the column as text.")

    def _valid(self, fields: dict[str, Any]) -> Video:
        """Return the video with these fields, and the speakers whom other rows give it."""
        try:
            video = Video.model_validate(fields)
        except ValidationError as error:
            raise Unreadable(_sentence(error)) from error
        if (speakers := self._references.speakers_of(video)) != video.presenters:
            video = video.model_copy(update={"presenters": speakers})
        size = len(video.model_dump_json().encode())
        if size > self._row_max_bytes:
            raise Unreadable(
                f"The row has {size:,} bytes and at most {self._row_max_bytes:,} are allowed: shorten its description."
            )
        return video


def _address(url: str) -> str | None:
    """Return the address that a row gives, completed if it is an id or a path on YouTube; None if it is no address."""
    if url.startswith("/watch?v="):  # of Piped and other frontends to YouTube
        return f"https://www.youtube.com{url}"
    if (inner := _ADDRESS.search(url)) and not url.startswith(("http", "//")):
        return inner[0]  # beside other text
    if not spreadsheet_fault(url) and ("/" in url or "." in url):
        return url
    return f"https://www.youtube.com/watch?v={url.strip()}" if is_youtube_id(url.strip()) else None


def _unwrapped(record: dict[str, Any]) -> dict[str, Any]:
    """Return the object within a row that is the video, with the row's id unless that is the id of its place."""
    if record.keys() & {"title", "name", "model", "snippet"}:
        return record
    name = next((it for it in ENVELOPES if isinstance(record.get(it), dict)), None)
    if name is None:
        return record
    outer = {} if name == "video" else {key: record[key] for key in ("id", "_id") if key in record}
    return {**outer, **record[name]}


def _is_invisible(title: str) -> bool:
    return not title.isascii() and len(title) < _SHORT_CHARACTERS and not normalise(title)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def cell(text: str) -> str | None:
    """Return a table cell as it was meant: without an export's apostrophe, and without a formula around a text."""
    if text in _NULLS:
        return None
    if text.startswith(HARMLESS) and _APOSTROPHE.match(text):
        text = text[1:]
    elif text.startswith("=") and (formula := _FORMULA.fullmatch(text)):
        text = formula[1].replace('""', '"')
    elif text.startswith("=") and (link := _HYPERLINK.fullmatch(text)):
        text = f"[{link[2]}]({link[1]})".replace('""', '"') if link[2] else link[1]  # as Markdown writes it
    return text or None


def _without_title(record: dict[str, Any], names: tuple[str, ...]) -> str:
    """Say that a row has no title, and which columns it has, so that a person sees which one was meant."""
    if str(record.get("kind")).startswith("youtube#"):
        return "The row has no title: ask YouTube's Data API for part=snippet."
    if record.get("_type") in ("url", "url_transparent") or "ie_key" in record:
        return "The row has no title: youtube-dl lists none. List the videos with yt-dlp, or without --flat-playlist."
    shown = ", ".join(f"“{name:.40}”" for name in names[:_NAMES_SHOWN])
    if len(names) < _NAMES_SHOWN and (lists := [name for name in names if _are_objects(record[name])]):
        return f"The row has no title, and the entries of its list “{lists[0]:.40}” have none either."
    listed = f"Its columns are {shown}{', …' if len(names) > _NAMES_SHOWN else ''}." if names else "It has no columns."
    return f"The row has no title. {listed}"


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _check_text(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and (fault := _text_fault(name, text)):
                raise Unreadable(fault)


def _text_fault(name: str, text: str) -> str | None:
    """Return why a text cannot be stored: lone surrogates, NUL, or what SQS does not accept (API, `SendMessage`)."""
    try:
        text.encode()
    except UnicodeEncodeError:  # the decoding of bytes that are not UTF-8
        return f"{NOT_UTF8} {TO_UTF8}"
    if "\0" in text or "\ufffe" in text or "\uffff" in text:
        return f"The {name} contains a NUL or another character that text cannot contain."
    return None


def _sentence(error: ValidationError) -> str:
    """Describe the fault of the first bad field for a person."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = first["loc"][0]
    match first["type"]:
        case "string_type":
            return f"The {field} is {kind(first['input'])}, not text."
        case "string_too_short":
            return f"The {field} is empty."
        case _:
            return f"The {field} cannot be used: {first['msg']}."
