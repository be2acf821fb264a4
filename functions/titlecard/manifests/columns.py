"""From a row as its owner wrote it to a video: which column is which, and why a row cannot be one.

Columns are recognised by name, whatever their case and punctuation (`Video ID`, `video_id`, `videoId`). What is not
known is kept out. Rows as YouTube's Data API and pyvideo nest them are flattened first.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from titlecard.domain.video import ID_MAX_BYTES, Video
from titlecard.manifests.rows import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "videoid", "youtubeid", "youtubevideoid", "ytid"),
    "title": ("title", "videotitle", "videotitleoriginal", "name", "talktitle", "titel", "titre", "titulo", "título"),
    "description": ("description", "videodescription", "notes", "summary", "abstract", "beschreibung", "descripción"),
    "url": ("webpageurl", "url", "videourl", "youtubeurl", "watchurl", "sourceurl", "link", "href"),
    "channel": ("channel", "channeltitle", "channelname", "uploader"),
    "published_at": ("publishedat", "published", "publishedon", "videopublishtime", "uploaddate", "recorded", "date"),
}
"""The known names of each field of a video, the one that wins first; compared without case and punctuation."""

_STUDIO = {"content", "videotitle"}
"""What YouTube Studio's analytics export as a table, where the column Content holds the id of the video."""

NOT_UTF8 = "The row is not UTF-8."
TO_UTF8 = "If the file was written in Latin-1 or Windows-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW."

_REMARKS = ("channel", "published_at")  # nothing depends on them: left out where they are not text, and the row is kept

_HIDDEN_VIDEOS = {"Private video", "Deleted video", "[Private video]", "[Deleted video]"}
"""The titles that YouTube's Data API and yt-dlp give to videos they cannot see."""

_NAMES_SHOWN = 8

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_YOUTUBE_HOSTS = ("youtube.com", "youtube-nocookie.com", "youtu.be")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")


class Columns:
    """Turns rows into videos, and remembers how the columns were read.

    Attributes:
        seen: for each field of a video the column it was first read from.
    """

    def __init__(self, row_max_bytes: int) -> None:
        self._row_max_bytes = row_max_bytes
        self._names: tuple[str, ...] = ()
        self._mapping: dict[str, str] = {}
        self.seen: dict[str, str] = {}

    def video(self, record: object) -> Video:
        """The video that a row describes.

        Raises:
            Unreadable: it describes none; the text says why.
        """
        if not isinstance(record, dict):
            raise Unreadable(f"The row is {_kind(record)}, not an object with an id and a title.")
        fields = self._fields(_flat(record))
        if "title" not in self._mapping:
            raise Unreadable(f"The row has no title. {_listed(self._names)}")
        _check_text(fields)
        _check_identity(fields)
        try:
            video = Video.model_validate(fields)
        except ValidationError as error:
            raise Unreadable(_sentence(error)) from error
        self._check_size(video)
        return video

    def _fields(self, record: dict[str, Any]) -> dict[str, Any]:
        """The known columns under the names of a video's fields. The rows of a manifest mostly share their columns."""
        names = tuple(record)
        if names != self._names:
            self._names, self._mapping = names, recognise(names)
            self.seen = {**self._mapping, **self.seen}
        fields = {field: record[name] for field, name in self._mapping.items() if record[name] is not None}
        for field in _REMARKS:
            if not isinstance(fields.get(field, ""), str):
                del fields[field]
        return fields

    def _check_size(self, video: Video) -> None:
        size = len(video.model_dump_json().encode())
        if size > self._row_max_bytes:
            raise Unreadable(
                f"The row has {size:,} bytes and at most {self._row_max_bytes:,} are taken: shorten its description."
            )


def recognise(names: Iterable[str]) -> dict[str, str]:
    """Which of a row's columns holds which field of a video, as {field: column}; unknown columns are left out."""
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(plain_name(name), name)
    found = {
        field: next(plain[alias] for alias in aliases if alias in plain)
        for field, aliases in ALIASES.items()
        if not plain.keys().isdisjoint(aliases)
    }
    if "id" not in found and plain.keys() >= _STUDIO:
        found["id"] = plain["content"]
    return found


def plain_name(name: str) -> str:
    """A column's name without what people write differently: case, spaces and punctuation."""
    return "".join(filter(str.isalnum, name.casefold()))


def youtube_id(url: str) -> str | None:
    """The id of the video that an address of YouTube's leads to, None for every other address."""
    try:
        parts = urlsplit(url.strip() if "//" in url else f"//{url.strip()}")
    except ValueError:  # such as a bracket where a host belongs
        return None
    host = parts.netloc.casefold()
    if not any(host == known or host.endswith(f".{known}") for known in _YOUTUBE_HOSTS):
        return None
    path = parts.path.strip("/").split("/")
    candidates = [*parse_qs(parts.query).get("v", ()), path[-1]]
    return next((text for text in candidates if _YOUTUBE_ID.fullmatch(text)), None)


def _listed(names: tuple[str, ...]) -> str:
    """The columns that there are instead, so that a person sees which one was meant."""
    shown = ", ".join(f"“{name:.40}”" for name in names[:_NAMES_SHOWN])
    return f"Its columns are {shown}{', …' if len(names) > _NAMES_SHOWN else ''}." if names else "It has no columns."


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """The row with its columns at the top, where YouTube's Data API or pyvideo nests them."""
    snippet = record.get("snippet")
    if isinstance(snippet, dict):
        return _from_data_api(record, snippet)
    files = record.get("videos")  # pyvideo keeps a talk's addresses in a list of files
    if isinstance(files, list) and "url" not in record:
        urls = [file["url"] for file in files if isinstance(file, dict) and isinstance(file.get("url"), str)]
        if urls:
            return {**record, "url": next(filter(youtube_id, urls), urls[0])}
    return record


def _from_data_api(record: dict[str, Any], snippet: dict[str, Any]) -> dict[str, Any]:
    """A resource of the YouTube Data API v3: of a `playlistItem`, a `video` or a `searchResult`."""
    resource = snippet.get("resourceId", record.get("id"))
    if isinstance(resource, dict) and "videoId" not in resource:
        raise Unreadable(f"The row is a {resource.get('kind', 'resource')!s:.40} of YouTube, not a video.")
    details = record.get("contentDetails")
    details = details if isinstance(details, dict) else {}
    title, description = snippet.get("title"), snippet.get("description")
    if record.get("kind") == "youtube#searchResult":  # the only list whose texts come escaped for HTML
        title, description = (html.unescape(text) if isinstance(text, str) else text for text in (title, description))
    return {
        "id": resource["videoId"] if isinstance(resource, dict) else resource,
        "title": title,
        "description": description,
        "channel": snippet.get("videoOwnerChannelTitle", snippet.get("channelTitle")),
        "published_at": details.get("videoPublishedAt", snippet.get("publishedAt")),
    }


def _check_identity(fields: dict[str, Any]) -> None:
    """Sees to it that there are an id and a title that can be used; derives the id from the address where it must."""
    title, url = fields.get("title"), fields.get("url")
    if isinstance(title, str) and title.strip() in _HIDDEN_VIDEOS:
        raise Unreadable("The video is private or deleted: YouTube does not show its title.")
    if title is None or title == "":
        raise Unreadable("The row has no title.")
    identity = fields.get("id")
    if not identity or not isinstance(identity, str):
        derived = youtube_id(url) if isinstance(url, str) else None
        if derived:
            fields["id"] = derived
        elif not identity:
            raise Unreadable("The row has no id, and no address of a YouTube video to take one from.")
        return
    if _CONTROL.search(identity.strip()):
        raise Unreadable("The id holds a control character.")
    if len(identity.encode()) > ID_MAX_BYTES:
        raise Unreadable(f"The id has more than {ID_MAX_BYTES} bytes.")


def _check_text(fields: dict[str, Any]) -> None:
    """Refuses lone surrogates, NUL, and the two noncharacters that SQS does not take (SQS API, `SendMessage`)."""
    for name, text in fields.items():
        if not isinstance(text, str):
            continue
        try:
            text.encode()
        except UnicodeEncodeError:  # what bytes that are not UTF-8 were decoded to
            raise Unreadable(f"{NOT_UTF8} {TO_UTF8}") from None
        if "\0" in text or "\ufffe" in text or "\uffff" in text:
            raise Unreadable(f"The {name} holds a NUL or another character that no text has.")


def _sentence(error: ValidationError) -> str:
    """What is wrong with the first bad field, for a person."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = first["loc"][0]
    match first["type"]:
        case "string_type":
            return f"The {field} is {_kind(first['input'])} where text belongs."
        case "string_too_short":
            return f"The {field} is empty."
        case _:
            return f"The {field} cannot be used: {first['msg']}."


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
