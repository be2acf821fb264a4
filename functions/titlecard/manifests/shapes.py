"""Flattens the rows of conference programs: maps their nested parts to the fields of a video.

A row's own keys reveal its shape, so a row that was cut out of its file (`jq '.items[]'`) can be read as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from titlecard.manifests import presenters
from titlecard.manifests.addresses import is_youtube_id, youtube_id
from titlecard.manifests.column_names import LAST_NAME, PART, plain_name, recognise
from titlecard.manifests.errors import NoTalk, Unreadable
from titlecard.manifests.no_talk import LIST_ITS_VIDEOS, why_withdrawn
from titlecard.manifests.vocabulary import RECORDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from titlecard.manifests.references import References

Record = dict[str, Any]

_ENDS = (".", "!", "?", ";")

_FILES_MAX = 100
"""The most files of a video whose addresses are looked at."""


class Flat(NamedTuple):
    """A flattened row.

    Attributes:
        values: its content by the field of a video; `presenters` are names.
        columns: the column that each field was read from.
        names: all columns that it has.
        scheduled: whether it comes from a schedule, which lists breaks beside talks.
    """

    values: Record
    columns: Mapping[str, str]
    names: tuple[str, ...]
    scheduled: bool = False


class Shape(NamedTuple):
    """One way of nesting rows.

    Attributes:
        keys: the keys that every row of this shape has.
        fits: returns whether a row with these keys has this shape.
        flat: flattens it.
    """

    keys: frozenset[str]
    fits: Callable[[Record], bool]
    flat: Callable[[Record, References], Flat]


def generic(record: Record, mapping: Mapping[str, str], references: References) -> Flat:
    """Flatten a row whose columns are its keys.

    Args:
        mapping: {field: column}, as `recognise` finds it in the names.
        references: the people that its presenters may refer to.
    """
    values = {field: value for field, name in mapping.items() if (value := record.get(name)) is not None}
    if "presenters" in mapping:
        values["presenters"] = _presenters(values, references)
    if not isinstance(url := values.get("url", ""), str):
        values["url"] = _address(url) or (None if plain_name(mapping["url"]) in RECORDINGS else url)
    for field in ("title", "description"):
        if isinstance(value := values.get(field), dict) and mapping[field] != "name":  # of a room or a track
            values[field] = value.get("rendered") or _text(value)  # WordPress; translations
    for field in [field for field in values if PART in field]:
        first = field.partition(PART)[0]
        values[first] = _run_on(values.get(first, ""), values.pop(field), "\n" if first == "description" else " ")
    if isinstance(paragraphs := values.get("description"), list):
        values["description"] = "\n".join(it for it in paragraphs if isinstance(it, str))
    _check_is_no_break(record.get("type"))
    return Flat(values, mapping, tuple(record), scheduled="presenters" in mapping)


def _data_api(record: Record, references: References) -> Flat:
    """Flatten a YouTube Data API v3 resource: a `playlistItem`, a `video` or a `searchResult`."""
    snippet, given = record["snippet"], record.get("contentDetails")
    details = given if isinstance(given, dict) else {}
    place, resource = "id", record.get("id")
    if "resourceId" in snippet:
        place, resource = "snippet.resourceId", snippet["resourceId"]
    elif "videoId" in details:  # a playlist's place has an id of its own
        place, resource = "contentDetails.videoId", details["videoId"]
    elif record.get("kind") == "youtube#activity":
        done = next((it for it in details.values() if isinstance(it, dict)), {})
        place, resource = "contentDetails", done.get("resourceId", done)
    if isinstance(resource, dict) and "videoId" not in resource:
        what = str(resource.get("kind", record.get("kind"))).removeprefix("youtube#")
        raise Unreadable(f"The row is a {what:.40} of YouTube, not a video. {LIST_ITS_VIDEOS}")
    parts = {"snippet": snippet, "contentDetails": details}
    inner = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    return _flat(
        {**inner, place: resource["videoId"] if isinstance(resource, dict) else resource},
        references,
        id=place,
        title="snippet.title",
        description="snippet.description",
        channel="snippet.videoOwnerChannelTitle snippet.channelTitle",
        published_at="contentDetails.videoPublishedAt snippet.publishedAt",
        event="snippet.playlistId",
    )._replace(names=tuple(record))


def _snippet(record: Record, references: References) -> Flat:
    """Flatten a `snippet` that was taken out of its resource."""
    flat = _data_api({"snippet": record}, references)
    columns = {field: name.removeprefix("snippet.") for field, name in flat.columns.items()}
    return flat._replace(columns=columns, names=tuple(record))


def _django(record: Record, references: References) -> Flat:
    """Flatten a record of Django's `dumpdata`, or of our own fixture."""
    model, fields = record["model"], record["fields"]
    if not references.may_be_talk(model):
        raise NoTalk(f"The row is a record of {model:.80}, not a talk.")
    mapping = recognise(name for name in fields if plain_name(name) not in {"id", "pk"})
    flat = generic(fields, mapping, references.of_field(mapping.get("presenters", "")))
    values, columns = dict(flat.values), {field: f"fields.{name}" for field, name in mapping.items()}
    if "url" not in values and isinstance(values.get("id"), str) and is_youtube_id(values["id"]):
        values["url"], columns["url"] = values["id"], columns["id"]
    if record.get("pk") is not None:
        values["id"], columns["id"] = record["pk"], "pk"
    if not values.get("presenters") and (linked := references.linked_to(model, str(values.get("id")))):
        values["presenters"], columns["presenters"] = linked, "records of speakers"
    names = ("model", "pk", *(f"fields.{name}" for name in fields))
    return Flat(values, {"": "model", **columns}, names)


def _vimeo(record: Record, references: References) -> Flat:
    """Flatten a video of Vimeo's API."""
    found = re.match(r"/(?:users/[^/]+/)?(\w+)/(\d+)?", record["uri"])
    if not found or found[1] != "videos" or not found[2]:
        raise Unreadable(f"The row is not a Vimeo video but {record['uri']:.60}.")
    return _flat(
        {**record, "uri": found[2]},
        references,
        id="uri",
        title="name",
        url="link",
        channel="user",
        published_at="release_time created_time",
    )


def _peertube(record: Record, references: References) -> Flat:
    """Flatten a video of PeerTube's API."""
    return _flat(
        record,
        references,
        id="uuid",
        title="name",
        description="description truncatedDescription",
        published_at="originallyPublishedAt publishedAt",
    )


def _event(record: Record, references: References) -> Flat:
    """Flatten an event of a schedule by frab, pentabarf or pretalx, or of media.ccc.de."""
    _check_is_no_break(record.get("type"))
    return _flat(
        record,
        references,
        id="id guid code slug",
        description="abstract+description",
        url="frontend_link url link",
        published_at="release_date date",
        event="conference_title",
        presenters="persons",
    )


def _event_2(record: Record, references: References) -> Flat:
    """Flatten an event of the second version of c3voc's schedule, whose people have roles."""
    persons = [it for it in record["participants"] if isinstance(it, dict)]
    speakers = [it for it in persons if it.get("role") in (None, "SPEAKER")]
    flat = _event(record | {"persons": speakers or persons}, references)
    return flat._replace(columns={**flat.columns, "presenters": "participants"}, names=tuple(record))


def _submission(record: Record, references: References) -> Flat:
    """Flatten a submission of pretalx's API, or a talk of its schedule."""
    inner = record.get("submission")
    if isinstance(inner, str):
        raise Unreadable(f"The row has only its talk's code, {inner:.20}: request ?expand=submission.speakers.")
    if isinstance(inner, dict):
        if reason := why_withdrawn(inner.get("state")):
            raise Unreadable(reason)
        flat = _submission(inner, references)
        return flat._replace(columns={field: f"submission.{name}" for field, name in flat.columns.items()})
    state, speakers = record.get("state"), record.get("speakers")
    if state == "draft":
        raise Unreadable("The talk is a draft.")
    if "submission" in record or not (record.get("code") or speakers):
        raise NoTalk("The row is a break or another part of the schedule, not a talk.")
    _check_is_no_break(record.get("submission_type"))
    if isinstance(speakers, list):  # without `expand=speakers`, they are codes
        speakers = [it for it in speakers if not (isinstance(it, str) and _is_unknown_code(it, references))]
    return _flat(
        {**record, "speakers": speakers},
        references,
        id="code id",
        description="abstract+description",
        presenters="speakers",
    )._replace(names=tuple(record))


def _session(record: Record, references: References) -> Flat:
    """Flatten a session of Sessionize."""
    if record.get("isServiceSession") is True:
        raise NoTalk("The row is a break or another session of the organisers, not a talk.")
    flat = _flat(
        record, references, url="recordingUrl liveUrl videoUrl", published_at="startsAt", presenters="speakers"
    )
    return flat._replace(columns={**flat.columns, "": "isServiceSession"})


def _rubyevents(record: Record, references: References) -> Flat:
    """Flatten a video of RubyEvents' `videos.yml`."""
    if record.get("video_provider") == "children":
        raise NoTalk("The row is a meeting whose talks are rows of their own.")
    on_youtube = record.get("video_provider") == "youtube" and isinstance(video := record.get("video_id"), str)
    return _flat(
        {**record, "url": f"https://www.youtube.com/watch?v={video}" if on_youtube else None},
        references,
        id="id video_id slug",
        title="title raw_title",
        published_at="published_at date",
        event="event_name event",
        presenters="speakers speaker",
    )._replace(names=tuple(record), scheduled=False)


def _pyvideo(record: Record, references: References) -> Flat:
    """Flatten a pyvideo talk, which keeps its addresses in a list of files."""
    flat = generic(record, recognise(record), references)
    values, columns = dict(flat.values), dict(flat.columns)
    if columns.get("url") in {None, "source_url"} and (url := _address(record["videos"])):
        values["url"], columns["url"] = url, "videos"
    return flat._replace(values=values, columns=columns)


def _oembed(record: Record, references: References) -> Flat:
    """Flatten an `oEmbed` response, whose embedding code names the video."""
    if record.get("type") not in (None, "video"):
        raise Unreadable(f"The row is an oEmbed response of type “{record.get('type')!s:.20}”, not a video.")
    embedded = re.search(r'src=\\?["\']((?:https?:)?//[^"\'\\ ]+)', str(record.get("html") or ""))
    picture = re.search(r"/vi(?:_webp)?/([\w-]{11})/", str(record.get("thumbnail_url") or ""))
    flat = _flat(
        {**record, "html": re.sub("^//", "https://", embedded[1]) if embedded else None},
        references,
        id="video_id",
        url="url web_page video_url html",
        channel="author_name",
        published_at="upload_date",
    )
    if picture and "id" not in flat.values and "url" not in flat.values:
        flat = flat._replace(values={**flat.values, "id": picture[1]}, columns={**flat.columns, "id": "thumbnail_url"})
    return flat


_SHAPES = (
    Shape(frozenset({"snippet"}), lambda it: isinstance(it["snippet"], dict), _data_api),
    Shape(frozenset({"resourceId", "title"}), lambda it: isinstance(it["resourceId"], dict), _snippet),
    Shape(
        frozenset({"model", "fields"}),
        lambda it: isinstance(it["model"], str) and isinstance(it["fields"], dict),
        _django,
    ),
    Shape(frozenset({"uri", "name"}), lambda it: isinstance(it["uri"], str), _vimeo),
    Shape(frozenset({"uuid", "name"}), lambda it: isinstance(it["uuid"], str), _peertube),
    Shape(frozenset({"persons", "title"}), lambda it: "guid" in it or "id" in it or "slug" in it, _event),
    Shape(
        frozenset({"participants", "title"}),
        lambda it: isinstance(it["participants"], list) and "guid" in it,
        _event_2,
    ),
    Shape(frozenset({"isServiceSession", "title"}), lambda _: True, _session),
    Shape(frozenset({"code", "title", "speakers"}), lambda _: True, _submission),
    Shape(frozenset({"submission", "room"}), lambda it: isinstance(it["submission"], dict | str | None), _submission),
    Shape(frozenset({"room", "start", "end", "title"}), lambda it: isinstance(it["title"], dict), _submission),
    Shape(frozenset({"video_provider", "title"}), lambda _: True, _rubyevents),
    Shape(frozenset({"raw_title", "speakers"}), lambda _: True, _rubyevents),
    Shape(frozenset({"videos", "title"}), lambda it: isinstance(it["videos"], list), _pyvideo),
    Shape(
        frozenset({"title", "provider_name"}),
        lambda it: "html" in it or "thumbnail_url" in it or "version" in it,
        _oembed,
    ),
)


def shapes_of(names: frozenset[str]) -> tuple[Shape, ...]:
    """Return the shapes that a row with these keys may have."""
    return tuple(shape for shape in _SHAPES if shape.keys <= names)


_PLAIN = {it: it for it in ("id", "title", "description", "url", "channel", "published_at", "event")}
"""The columns that have the names of their fields."""


def _flat(record: Record, references: References, **names: str) -> Flat:
    """Flatten a row by the columns of each field: the first of them that holds something, or both joined (`a+b`)."""
    values: Record = {}
    columns: dict[str, str] = {}
    for field, known in {**_PLAIN, **names}.items():
        column = next((it for it in known.split() if record.get(it)), known.split()[0])
        value = _text(record.get(column))
        if "+" in column:
            value = _joined(*(_text(record.get(it)) for it in column.split("+")))
        elif field == "presenters":
            value = presenters.names(record.get(column), references.people)
        elif field == "channel" and isinstance(record.get(column), dict):
            value = presenters.name_of(record[column])
        if value is not None:
            values[field], columns[field] = value, column
    return Flat(values, columns, tuple(record), scheduled="presenters" in names)


def _presenters(values: Record, references: References) -> tuple[str, ...]:
    """Return the names in all columns of presenters, and take these out of the values."""
    two_parts = LAST_NAME in values
    given = [values.pop(field) for field in [*values] if field.startswith("presenters")]
    if two_parts:
        given = [{"first_name": given[0], "last_name": given[-1]}]
    return tuple(name for value in given for name in presenters.names(value, references.people))


def _address(value: object) -> str | None:
    """Return the address in a row's list of files, or in an object about its video."""
    if isinstance(value, dict):
        value = next((value[name] for name in ("url", "href", "src", "link") if name in value), None)
    elif isinstance(value, list):
        urls = [url for url in map(_address, value[:_FILES_MAX]) if url]
        value = next(filter(youtube_id, urls), next(iter(urls), None))
    return value if isinstance(value, str) else None


def _text(value: object) -> object:
    """Return a text, or the first of its translations, English before others."""
    if isinstance(value, dict):
        texts = [it for it in (value.get("en"), *value.values()) if isinstance(it, str) and it]
        return texts[0] if texts else None
    return value


def _joined(*texts: object) -> str:
    """Join the texts that are not empty, each once."""
    return "\n\n".join(dict.fromkeys(it for it in texts if isinstance(it, str) and it.strip()))


def _run_on(text: object, part: object, between: str) -> object:
    """Continue a text that was split. Takeout splits it beside an address, and leaves the spaces where they are."""
    if not isinstance(text, str) or not isinstance(part, str):
        return text
    words = text[-1:].isalnum() and part[:1].isalnum()
    sentences = text[-1:] in _ENDS and part[:1].isalnum()
    return f"{text}{between if words or sentences else ''}{part}"


def _check_is_no_break(kind: object) -> None:
    said = _text(kind)
    if isinstance(said, str) and said.casefold() in {"break", "pause", "lunch", "meal", "podium break"}:
        raise NoTalk("The row is a break in the schedule, not a talk.")


def _is_unknown_code(text: str, references: References) -> bool:
    return text not in references.people and re.fullmatch(r"[A-Z0-9]{2,16}", text) is not None
