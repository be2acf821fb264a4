"""The meaning of a row's columns by their names, in the languages of YouTube's exports and of spreadsheets.

Names are compared without case and punctuation (`Video ID`, `video_id`, `videoId`).
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from titlecard.manifests.addresses import is_youtube_id, youtube_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": (
        *("id", "videoid", "youtubeid", "youtubevideoid", "ytid", "videoids", "idvideo", "idvidéo", "iddevídeo"),
        *("iddelvídeo", "iddovídeo", "iddevideo", "iddelvideo", "iddelavidéo", "identifiantvidéo", "idvanvideo"),
        *("identifiantdelavidéo", "identificadordelvídeo", "identificadordovídeo", "idfilmu", "identyfikatorfilmu"),
        *("動画id", "ビデオid", "動画のid", "sessionid", "talkid", "submissionid", "proposalid", "eventid"),
    ),
    "title": (
        *(
            "title",
            "videotitle",
            "videotitleoriginal",
            "name",
            "talktitle",
            "sessiontitle",
            "proposaltitle",
            "submissiontitle",
            "titel",
            "titre",
            "titulo",
        ),
        *("talkname", "sessionname", "presentationtitle", "lecturetitle", "vortragstitel", "talk", "vortrag"),
        *("título", "titolo", "tytuł", "タイトル", "題名"),
    ),
    "description": (
        *("description", "videodescription", "notes", "summary", "abstract", "beschreibung", "descripción"),
        *("descrição", "descrizione", "beschrijving", "omschrijving", "opis", "説明", "概要"),
    ),
    "url": (
        *("webpageurl", "videourl", "youtubeurl", "watchurl", "url", "sourceurl", "link", "videolink", "youtubelink"),
        *("href", "youtube", "lien", "lienvidéo", "liendelavidéo", "enlace", "adresurl", "動画url"),
    ),
    "channel": ("channel", "channeltitle", "channelname", "uploader", "kanal", "chaîne", "canal", "canale", "kanaal"),
    "published_at": (
        *("publishedat", "published", "publishedon", "videopublishtime", "uploaddate", "recorded", "date"),
        *("veröffentlichungszeitpunktdesvideos", "videopublishtimestamp", "datum", "fecha"),
    ),
    "presenters": (
        *(
            "presenters",
            "presenter",
            "speakers",
            "speaker",
            "speakernames",
            "speakername",
            "presenternames",
            "persons",
            "people",
        ),
        *("sprecher", "sprecherin", "sprecherinnen", "referent", "referentin", "referenten", "vortragende"),
        *("vortragender", "intervenant", "intervenants", "orateur", "oratrice", "orateurs", "conférencier"),
        *("conférenciers", "ponente", "ponentes", "orador", "oradores", "palestrante", "palestrantes", "relatore"),
        *("relatrice", "relatori", "spreker", "sprekers", "prelegent", "prelegentka", "prelegenci", "発表者"),
        *("登壇者", "スピーカー", "講演者"),
    ),
}
"""The known names of each field of a video, in order of precedence; compared in the form of `plain_name`."""

_FIRST_NAMES = ("firstname", "speakerfirstname", "presenterfirstname", "vorname", "prénom", "nombre", "nome")
_LAST_NAMES = ("lastname", "speakerlastname", "presenterlastname", "nachname", "nom", "apellido", "cognome")
"""The columns of a single presenter's name in two parts."""

RECORDINGS = ("recordingurl", "recordinglink", "recording", "recordings", "video", "videos", "vídeo", "vidéo")
"""The columns of addresses, where no column has a clearer name."""

LAST_NAME = "presenters, last name"
"""The key of the column with the last name, if `presenters` is the first name."""

_PRESENTERS = frozenset(FIELDS["presenters"])
_MORE_PRESENTERS = ("additionalspeakers", "cospeakers", "cospeaker", "copresenters", "copresenter", "secondspeaker")

ENVELOPES = ("video", "node", "attributes", "fields", "_source", "item", "talk", "session")
"""The names under which an API's row holds the video: PeerTube, GraphQL, JSON:API, Airtable, Elasticsearch."""

KEYS = ("guid", "uuid", "code", "slug", "pk", "key")
"""Columns that identify a row without an id and an address."""

_VIDEO = ("video", "vídeo", "vidéo", "film", "動画", "ビデオ")
_STEMS: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "titel", "titre", "título", "titulo", "titolo", "tytuł", "タイトル"),
    "description": ("descri", "beschreibung", "beschrijving", "omschrijving", "opis", "説明", "概要"),
    "published_at": ("publish", "veröffentlich", "publica", "pubblica", "publikac", "publicat", "opublik", "公開"),
}
"""Parts of the names of columns about a video, in exports of YouTube Studio and Google Takeout."""

_NOT_IN: Mapping[str, tuple[str, ...]] = {
    field: ("sprache", "language", "langue", "idioma", "lingua", "língua", "taal", "język", "言語", *more)
    for field, more in {
        "title": ("playlist", "channel", "kanal", "canal", "chaîne", "kanaa", "チャンネル"),
        "description": ("playlist", "channel", "kanal", "canal", "chaîne", "kanaa", "チャンネル"),
        "published_at": ("status", "state", "estado", "stato", "état", "stan", "privacy", "設定"),
    }.items()
}

_CONTENT = frozenset(
    {
        *("content", "video", "videos", "inhalt", "inhalte", "contenu", "contenus", "vidéo", "vidéos", "contenido"),
        *("contenidos", "vídeo", "vídeos", "conteúdo", "conteúdos", "contenuto", "contenuti", "inhoud", "treść"),
        *("treści", "film", "filmy", "materiał", "materiały", "コンテンツ", "動画"),
    }
)
"""The column of video ids in YouTube Studio's tables, if there is no other."""

TOTALS = frozenset(
    {
        *("total", "totals", "gesamt", "gesamtwert", "gesamtsumme", "summe", "totaux", "totalgénéral", "totale"),
        *("totali", "totales", "totais", "totaal", "łącznie", "razem", "suma", "ogółem", "合計", "総計", "全体"),
    }
)
"""The content of that column in the row of totals."""

VALUES_JUDGED = 20


def recognise(names: Iterable[str]) -> dict[str, str]:
    """Return which of a row's columns holds which field of a video, as {field: column}, without unknown columns."""
    columns: dict[str, str] = {}
    for name in names:
        columns.setdefault(plain_name(name), name)
    found = {
        field: next(columns[known] for known in known_names if known in columns)
        for field, known_names in FIELDS.items()
        if not columns.keys().isdisjoint(known_names)
    }
    for field, stems in _STEMS.items():
        about = _about_a_video(columns, stems, _NOT_IN[field]) if field not in found else None
        if about:
            found[field] = columns[about]
    if "id" not in found and "url" not in found and "title" in found:
        contents = [name for name in columns if name in _CONTENT and columns[name] != found["title"]]
        if contents and any(part in plain_name(found["title"]) for part in _VIDEO):
            found["id"] = columns[contents[0]]
    if "id" not in found and "url" not in found:
        found |= next(({"id": columns[key]} for key in KEYS if key in columns), {})
    if "url" not in found and "title" in found:
        free = (columns[name] for name in RECORDINGS if name in columns and columns[name] not in found.values())
        found |= next(({"url": name} for name in free), {})
    return found | _people(columns, found)


def _people(columns: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of presenters, if there is one for each of them (`Speaker 1`) or for each part of a name."""
    numbered = [columns[name] for name in columns if name[-1:].isdigit() and name.rstrip("0123456789") in _PRESENTERS]
    more = [columns[name] for name in _MORE_PRESENTERS if name in columns]
    every = [*filter(None, [found.get("presenters")]), *numbered, *more]
    if every:
        return {f"presenters {place}" if place else "presenters": name for place, name in enumerate(every)}
    parts = [next((columns[it] for it in known if it in columns), None) for known in (_FIRST_NAMES, _LAST_NAMES)]
    return {"presenters": parts[0], LAST_NAME: parts[1]} if parts[0] and parts[1] and "title" in found else {}


def recognise_by_values(
    found: Mapping[str, str], names: Sequence[str], rows: Sequence[Sequence[str]]
) -> dict[str, str]:
    """Add the column of YouTube's ids or addresses, recognised by its values if no name tells it."""
    told = dict(found)
    if "title" not in told or "id" in told or "url" in told:
        return told
    for place, name in enumerate(names):
        values = [row[place] for row in rows[:VALUES_JUDGED] if len(row) > place and row[place]]
        if name and name != told["title"] and values:
            if sum(map(looks_like_an_id, values)) * 2 > len(values):
                return told | {"id": name}
            if sum(youtube_id(value) is not None for value in values) * 2 > len(values):
                return told | {"url": name}
    return told


def plain_name(name: str) -> str:
    """Return a column's name without variable parts: case, spaces and punctuation."""
    text = name if name.isascii() else unicodedata.normalize("NFKC", name)
    return "".join(filter(str.isalnum, text.casefold()))


def _about_a_video(columns: Iterable[str], stems: tuple[str, ...], foreign: tuple[str, ...]) -> str | None:
    return next(
        (
            name
            for name in columns
            if any(stem in name for stem in stems)
            and any(part in name for part in _VIDEO)
            and not any(part in name for part in foreign)
        ),
        None,
    )


def looks_like_an_id(value: str) -> bool:
    """Return whether a value is a YouTube id and not a word of eleven letters."""
    return is_youtube_id(value) and not value.isalpha() and not value.isdigit()
