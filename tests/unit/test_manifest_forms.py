"""Every form of a manifest, and files that are not manifests."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import shlex
from pathlib import Path

import pytest

from titlecard import manifests
from titlecard.manifests import Accepted, LeftOut, ReadingLimits, Refused, Row, references, validation, xml_rows
from titlecard.manifests.addresses import video_id, youtube_id
from titlecard.manifests.errors import NotAManifest

EVENTS = Path(__file__).parents[2] / "events"

FORMS = {
    "array.json": "JSON array",
    "lines.jsonl.gz": "JSON Lines",
    "object.json": "JSON object",
    "pyvideo.json": "pyvideo (JSON array)",
    "semicolons.csv": "CSV with semicolons",
    "table.csv": "CSV",
    "table.tsv": "TSV",
    "youtube-playlist-items.json": "YouTube Data API response (JSON object)",
    "youtube-search.json": "YouTube Data API response (JSON object)",
    "youtube-videos.json": "YouTube Data API response (JSON array)",
    "yt-dlp-dump.jsonl": "yt-dlp (JSON Lines)",
    "yt-dlp-flat-playlist.json": "yt-dlp (JSON object)",
    "yt-dlp-playlist.json": "yt-dlp (JSON object)",
    "yt-dlp-with-log.jsonl": "yt-dlp (JSON Lines)",
    "oembed.json": "oEmbed (JSON array)",
    "peertube.json": "PeerTube (JSON object)",
    "takeout-fr.csv": "CSV",
    "takeout-video-texts.csv": "CSV",
    "titles.txt": "list of titles",
    "vimeo.json": "Vimeo (JSON object)",
    "youtube-feed.xml": "Atom feed",
    "youtube-studio-de.csv": "CSV",
}
FORMS_WITH_SPEAKERS = {
    "dumpdata.json": "Django fixture (JSON array)",
    "fixture.json": "Django fixture (JSON array)",
    "media-ccc-de.json": "media.ccc.de (JSON object)",
    "pretalx.json": "pretalx (JSON object)",
    "pyvideo-hosts.json": "pyvideo (JSON array)",
    "rubyevents.yml": "YAML",
    "schedule.json": "schedule of a conference (JSON)",
    "schedule.xml": "schedule of a conference (XML)",
    "sessionize-all.json": "Sessionize (all)",
    "sessionize-sessions.json": "Sessionize (JSON array)",
}
TITLES = [
    "Raymond Hettinger - Beyond PEP 8 -- Best practices for beautiful intelligible code - PyCon 2015",
    "Brandon Rhodes   The Dictionary Even Mightier   PyCon 2017",
    "The End Of Object Inheritance & The Beginning Of A New Modularity - Augie Fackler, Nathaniel Manista",
    "Łukasz Langa - Thinking In Coroutines - PyCon 2016",
]
TALKS = [
    ("Beyond PEP 8 -- Best practices for beautiful intelligible code", ("Raymond Hettinger",)),
    ("The Dictionary Even Mightier", ("Brandon Rhodes",)),
    ("The End Of Object Inheritance & The Beginning Of A New Modularity", ("Augie Fackler", "Nathaniel Manista")),
    ("Thinking In Coroutines", ("Łukasz Langa",)),
]


def rows(data: bytes, limits: ReadingLimits | None = None) -> list[Row]:
    return list(manifests.read(io.BytesIO(data), limits or ReadingLimits()))


def accepted(data: bytes) -> list[tuple[int, str, str]]:
    return [(row.number, row.video.id, row.video.title) for row in rows(data) if isinstance(row, Accepted)]


@pytest.mark.parametrize(("name", "form"), [*FORMS.items(), *FORMS_WITH_SPEAKERS.items()])
def test_a_sample_is_recognised_by_its_content(name: str, form: str) -> None:
    assert manifests.read(io.BytesIO((EVENTS / "forms" / name).read_bytes()), ReadingLimits()).form == form


@pytest.mark.parametrize("name", FORMS_WITH_SPEAKERS)
def test_the_talks_of_a_sample_are_read_with_their_speakers(name: str) -> None:
    read = rows((EVENTS / "forms" / name).read_bytes())
    assert [(row.video.title, row.video.presenters) for row in read if isinstance(row, Accepted)] == TALKS
    assert not [row for row in read if isinstance(row, Refused)]


def test_the_readme_lists_every_sample() -> None:
    text = (EVENTS / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (EVENTS / "forms").iterdir() if f"{path.name}`" not in text] == []


@pytest.mark.parametrize("name", ["schedule.json", "schedule.xml", "sessionize-all.json", "youtube-studio-de.csv"])
def test_breaks_and_totals_are_left_out_and_counted(name: str) -> None:
    assert sum(isinstance(row, LeftOut) for row in rows((EVENTS / "forms" / name).read_bytes())) == 1


@pytest.mark.parametrize("name", FORMS)
def test_the_videos_of_a_sample_are_read(name: str) -> None:
    assert [title for _, _, title in accepted((EVENTS / "forms" / name).read_bytes())] == TITLES


@pytest.mark.parametrize("name", [*FORMS, *FORMS_WITH_SPEAKERS])
def test_a_sample_is_read_the_same_when_it_is_gzipped(name: str) -> None:
    data = (EVENTS / "forms" / name).read_bytes()
    plain = gzip.decompress(data) if name.endswith(".gz") else data
    assert rows(gzip.compress(plain)) == rows(plain)


@pytest.mark.parametrize("name", [*FORMS, *FORMS_WITH_SPEAKERS])
def test_a_sample_is_read_the_same_with_a_byte_order_mark(name: str) -> None:
    data = (EVENTS / "forms" / name).read_bytes()
    plain = (gzip.decompress(data) if name.endswith(".gz") else data).removeprefix(b"\xef\xbb\xbf")
    assert rows(b"\xef\xbb\xbf" + plain) == rows(plain)


@pytest.mark.parametrize(
    "name",
    ["semicolons.csv", "pyvideo.json", "yt-dlp-flat-playlist.json", "youtube-search.json", "youtube-videos.json"],
)
def test_a_sample_from_youtube_has_youtubes_ids(name: str) -> None:
    found = [video for _, video, _ in accepted((EVENTS / "forms" / name).read_bytes())]
    assert found == ["Sample00000", "Sample00001", "Sample00002", "Sample00003"]


def test_the_large_sample_is_good_from_end_to_end() -> None:
    read = rows((EVENTS / "sample.jsonl").read_bytes())
    assert len(read) >= 40
    assert all(isinstance(row, Accepted) for row in read)


def test_json_lines_are_numbered_as_an_editor_numbers_them() -> None:
    data = b'\n{"id": "a", "title": "A"}\r\n\r\n  \n{"id": "b", "title": "B"}'
    assert accepted(data) == [(2, "a", "A"), (5, "b", "B")]


def test_elements_of_an_array_are_numbered_from_one() -> None:
    data = b'[\n\n{"id": "a", "title": "A"}, 5,\n {"id": "b", "title": "B"}]'
    assert accepted(data) == [(1, "a", "A"), (3, "b", "B")]


def test_a_csv_row_has_the_number_of_the_line_where_it_starts() -> None:
    data = b'id,title,description\n\na,A,"one\n\ntwo ""three"""\nb,B,\n'
    assert accepted(data) == [(3, "a", "A"), (6, "b", "B")]


def test_a_quoted_newline_is_part_of_the_description() -> None:
    (row,) = rows(b'id,title,description\na,A,"one\n\ntwo ""three"""\n')
    assert isinstance(row, Accepted)
    assert row.video.description == 'one\n\ntwo "three"'


@pytest.mark.parametrize(
    "header",
    [
        *("id,title", "video_id,name", "YouTube ID,Video Title", "youtube_id,NAME", "videoId,Talk title"),
        *(
            "sep=,\nid,title",
            "YouTube Link,Session",
            "id,Title (EN)",
            "Link to video,Title of talk",
            "Enlace,Charla",
            "Video Id,Titel des Vortrags",
            "ID del video,Titulo del video",
            "ID do video,Titulo do video",
            "Contenido,Titulo de video",
        ),
    ],
)
def test_the_names_that_people_give_to_columns_are_known(header: str) -> None:
    data = f"{header}\nhttps://youtu.be/Ab3dEfGh1Jk,The talk\n"
    assert [entry[1:] for entry in accepted(data.encode())] == [("Ab3dEfGh1Jk", "The talk")]


def test_unknown_columns_are_left_out() -> None:
    (row,) = rows(b'[{"id": "a", "title": "A", "views": 5, "formats": [{"url": "x"}], "license": "CC"}]')
    assert isinstance(row, Accepted)
    assert row.video.model_dump(exclude_defaults=True) == {"id": "a", "title": "A"}


def test_the_reader_reports_which_columns_it_read() -> None:
    reading = manifests.read(io.BytesIO(b"youtube_id;Name;Notes;Views\nx;y;z;5\n"), ReadingLimits())
    list(reading)
    assert reading.columns == {"id": "youtube_id", "title": "Name", "description": "Notes"}


def test_a_null_field_counts_as_absent() -> None:
    (row,) = rows(b'{"id": "a", "title": "A", "description": null, "url": null}')
    assert isinstance(row, Accepted)
    assert row.video.description == ""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("http://m.youtube.com/watch?list=PL1&v=dQw4w9WgXcQ&t=5s", "dQw4w9WgXcQ"),
        ("https://youtu.be/dQw4w9WgXcQ?si=x", "dQw4w9WgXcQ"),
        ("youtu.be/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/embed/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/live/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/shorts/dQw4w9WgXcQ/", "dQw4w9WgXcQ"),
        ("https://youtu.be/dQw4w9WgXcQ&t=10", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/v/dQw4w9WgXcQ&hl=en", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/watch?list=PL1&amp;v=dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://studio.youtube.com/video/dQw4w9WgXcQ/edit", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/attribution_link?u=%2Fwatch%3Fv%3DdQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://www.google.com/url?q=https://youtu.be/dQw4w9WgXcQ&sa=D", "dQw4w9WgXcQ"),
        ("<https://youtu.be/dQw4w9WgXcQ>", "dQw4w9WgXcQ"),
        ("[a talk](https://youtu.be/dQw4w9WgXcQ), in full", "dQw4w9WgXcQ"),
        ("https://user@youtube.com:443/watch?v=dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/c/democonfabc", None),
        ("https://www.youtube.com/democonfabc", None),
        ("https://www.youtube.com/playlist?list=PL1", None),
        ("https://youtube.com.example.org/watch?v=dQw4w9WgXcQ", None),
        ("https://vimeo.com/12345678901", None),
        ("https://[youtube.com/watch?v=dQw4w9WgXcQ", None),
        ("", None),
    ],
)
def test_an_id_is_taken_from_addresses_of_youtube_and_no_others(url: str, expected: str | None) -> None:
    assert youtube_id(url) == expected


def test_a_missing_id_is_derived_from_the_address() -> None:
    assert accepted(b'{"title": "A", "url": "https://youtu.be/dQw4w9WgXcQ"}') == [(1, "dQw4w9WgXcQ", "A")]


def page(*ids: str) -> dict[str, object]:
    items = [{"snippet": {"title": f"T {video}", "resourceId": {"videoId": video}}} for video in ids]
    return {"kind": "youtube#playlistItemListResponse", "items": items, "pageInfo": {"totalResults": 3}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(page("a", "b")) + "\n" + json.dumps(page("c")) + "\n",
        json.dumps(page("a", "b"), indent=2) + json.dumps(page("c"), indent=2),
        json.dumps([page("a", "b"), page("c")]),
        json.dumps([page("a", "b"), page("c"), page()]),
    ],
    ids=["a page a line", "pages one after the other", "pages in an array", "an empty last page"],
)
def test_several_pages_in_one_file_are_one_manifest(text: str) -> None:
    assert [row for row in rows(text.encode()) if isinstance(row, Refused)] == []
    assert accepted(text.encode()) == [(1, "a", "T a"), (2, "b", "T b"), (3, "c", "T c")]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_under_any_name_is_read_unless_its_object_is_a_row(indent: int | None) -> None:
    talks = [{"Video ID": "a", "Video title": "A"}, {"Video ID": "b", "Video title": "B"}]
    data = json.dumps({"conference": "X", "days": ["Monday"], "presentations": talks}, indent=indent)
    assert accepted(data.encode()) == [(1, "a", "A"), (2, "b", "B")]


@pytest.mark.parametrize("nested", [{"speakers": [{"name": "Ada"}]}, {"chapters": [{"title": "One", "start": 0}]}])
def test_a_list_within_a_row_is_not_mistaken_for_the_rows(nested: dict[str, object]) -> None:
    talks = [nested | {"id": "a", "title": "A"}, {"id": "b", "related": [{"id": "x", "title": "X"}], "title": "B"}]
    data = "".join(json.dumps(talk, indent=1) for talk in talks)
    assert accepted(data.encode()) == [(1, "a", "A"), (2, "b", "B")]


def test_a_table_of_youtube_studio_has_its_ids_in_content() -> None:
    data = b'Content,Video title,Video publish time,Views\nTotal,,,5\ndQw4w9WgXcQ,A,"Nov 1, 2020",5\n'
    assert accepted(data) == [(3, "dQw4w9WgXcQ", "A")]


def test_the_total_of_a_table_with_a_title_is_left_out() -> None:
    data = "コンテンツ,動画のタイトル,視聴回数\n合計,チャンネル合計,5\ndQw4w9WgXcQ,A,5\nTotal,2,5\n"
    assert accepted(data.encode()) == [(3, "dQw4w9WgXcQ", "A")]


def test_a_row_without_a_known_title_says_which_columns_it_has() -> None:
    (row,) = rows(b'{"id": "a", "Heading": "A"}')
    assert isinstance(row, Refused)
    assert row.reason == "The row has no title. Its columns are “id”, “Heading”."


def test_the_texts_of_a_search_result_are_unescaped() -> None:
    result = {
        "kind": "youtube#searchResult",
        "id": {"videoId": "a"},
        "snippet": {"title": "Q&amp;A: what&#39;s new", "description": ""},
    }
    assert accepted(json.dumps({"items": [result]}).encode()) == [(1, "a", "Q&A: what's new")]


def test_the_tabs_of_a_channel_are_read_as_one_list() -> None:
    tabs = [
        {"title": "Videos", "entries": [{"id": "a", "title": "A"}, {"id": "b", "title": "B"}]},
        {"title": "Shorts", "entries": [{"id": "c", "title": "C"}]},
    ]
    channel = {"id": "UC1", "title": "Channel", "entries": tabs, "extractor": "youtube:tab"}
    assert accepted(json.dumps(channel).encode()) == [(1, "a", "A"), (2, "b", "B"), (3, "c", "C")]


def test_a_pyvideo_talk_is_not_mistaken_for_the_list_of_its_files() -> None:
    talk = {"videos": [{"type": "youtube", "url": "https://youtu.be/dQw4w9WgXcQ"}], "title": "A", "speakers": ["B"]}
    assert accepted(json.dumps(talk, indent=2).encode()) == [(1, "dQw4w9WgXcQ", "A")]


def test_a_first_line_that_is_broken_does_not_hide_json_lines() -> None:
    data = b'{"id": "a", "tit\n{"id": "b", "title": "B"}\n{"id": "c", "title": "C"}\n'
    assert accepted(data) == [(2, "b", "B"), (3, "c", "C")]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"[]", "empty JSON array"),
        (b"{ }", "empty JSON object"),
        ("id,title\nx,y".encode("utf-16-le"), "iconv -f UTF-16LE "),
        ("id,title\nx,y".encode("utf-16-be"), "iconv -f UTF-16BE "),
        ("id,title\nx,y".encode("utf-32"), "iconv -f UTF-32 "),
        ("id;title\nx;Café".encode("latin-1"), "iconv -f WINDOWS-1252 "),
        ('[{"id": "a", "title": "Café"}]'.encode("latin-1"), "iconv -f WINDOWS-1252 "),
        ("имя,title\nx,y".encode("utf-16-le"), "iconv -f UTF-16LE "),
        ("имя,title\nx,y".encode("utf-16-be"), "iconv -f UTF-16BE "),
        (b"id,title\ra,A\rb,B\r", "tr '\\r' '\\n'"),
        (b"PK\x03\x04rest", "zip archive or an Excel"),
        (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "gzipped twice"),
        (b"\x1f\x8bnot gzip at all", "gzip data end early or are damaged"),
        (b"<!doctype html><html>", "HTML"),
        (b"Just some words\nand more of them\n", "neither JSON nor a table"),
        (b"x" * 300 + b"\nAnd more\n", "neither JSON nor a table"),
        (b"12\n13\n", "neither JSON nor a table"),
        (bytes(range(256)) * 4 + b"\r" * 20, "neither JSON nor a table"),
        (b"nom,sujet\na,b\nc,d\n", "a table without any known column; its first line is “nom”, “sujet”"),
        (b"<?xml version='1.0'?><books><book/></books>", "XML, but neither a schedule"),
        (b"<!DOCTYPE feed [<!ENTITY a 'b'>]><feed/>", "declares entities of its own"),
        (b"BEGIN:VCALENDAR\n", "an iCalendar"),
        (b"Rar!\x1a\x07\0x", "a RAR archive"),
        (b"a.json".ljust(257, b"\0") + b"ustar\x0000", "a tar archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", "git lfs pull"),
        (json.dumps('[{"id": "a", "title": "A"}]').encode(), "jq -r . OLD"),
        (json.dumps('{"id": "a", "title": "A"}').encode(), "jq -r . OLD"),
        (b"#EXTM3U\n#EXTINF:5,A\nhttps://youtu.be/Ab3dEfGh1Jk\n", "yt-dlp --flat-playlist -J"),
        (b"[[talks]]\nid = 1\n", "TOML or INI"),
        (b"null\n", "The file is null, which yt-dlp writes"),
        (b"; talks\n[talk]\nid=1\ntitle=A\n", "TOML or INI"),
        (b"# Add talks.\n---\n[]\n", "an empty list in YAML"),
        (b"---\n[]\n\n# Add talks.\n# And more.\n", "an empty list in YAML"),
        (b'<?xml version="1.0"?>\n<django-objects version="1.0"/>', "dumpdata --format json"),
        (b'- !!python/object/apply:os.system ["id"]\n- title: x\n', "neither JSON nor a table"),
        (b'// rows\n[{"id":1,"title":"A"}]\n', "has “// rows” before its JSON"),
        (b'var talks = [{"id":1,"title":"A"}];', "has “var talks =” before its JSON"),
        (b'["A", "B"]', "jq -r '.[]' OLD"),
        (b'[["id", "title"], ["a", "A"]]', "jq -r '.[] | @csv' OLD"),
        (b'[[{"id": "a", "title": "A"}]]', "jq -c '.[][]' OLD"),
        (b'{"a": {"title": "A"}, "b": {"title": "B"}}', "{id: .key} + .value"),
        (b"Ab3dEfGh1Jk\nKl9mNoPq2Rs\n", "yt-dlp --dump-json --batch-file OLD"),
        (b"A title\nAb3dEfGh1Jk\nAnother\nKl9mNoPq2Rs\n", "paste - - < OLD > NEW"),
        (b'id,title,description\ra,A,"x\ny"\rb,B,\r', "tr '\\r' '\\n'"),
        (b"\0" * 100, "consists of NULs"),
        (b"Traceback (most recent call last):\n  File x\n", "a program that failed"),
        (b'{"range": "A1:B2", "values": [["id", "title"], ["a", "A"]]}', "jq -r '.values[] | @csv' OLD"),
        (b'{"sessions": {"A": {"title": "A"}, "B": {"title": "B"}}, "speakers": {}}', "jq -c '.sessions | to_entries"),
        (b"WARNING: [youtube] nothing\nERROR: [youtube] a: Private video\n", "only yt-dlp's log"),
        (b"id,views\na,5\n", "without a column for the title; its columns are “id”, “views”"),
        (b"title,views\na,5\n", "without a column for id or url"),
    ],
)
def test_a_file_that_is_not_a_manifest_gets_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(NotAManifest) as refusal:
        manifests.read(io.BytesIO(data), ReadingLimits())
    assert sentence in str(refusal.value)


def test_one_row_in_latin_1_does_not_harm_its_neighbours() -> None:
    data = b'{"id": "a", "title": "A"}\n{"id": "b", "title": "Caf\xe9"}\n{"id": "c", "title": "C"}\n'
    assert accepted(data) == [(1, "a", "A"), (3, "c", "C")]


HEADERS = {
    "English": "Content,Video title,Video publish time,Views",
    "German": "Inhalte,Videotitel,Veröffentlichungszeitpunkt des Videos,Aufrufe",
    "French": "Contenu,Titre de la vidéo,Heure de publication de la vidéo,Vues",
    "Spanish": "Contenido,Título del vídeo,Hora de publicación del vídeo,Visualizaciones",
    "Portuguese": "Conteúdo,Título do vídeo,Horário de publicação do vídeo,Visualizações",
    "Italian": "Contenuti,Titolo del video,Ora di pubblicazione del video,Visualizzazioni",
    "Dutch": "Content,Videotitel,Publicatietijd van video,Weergaven",
    "Polish": "Treść,Tytuł filmu,Czas publikacji filmu,Wyświetlenia",
    "Japanese": "コンテンツ,動画のタイトル,動画の公開日時,視聴回数",
    "an unknown language": "Sisältö,Video title,Julkaisuaika,Katselut",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_table_of_youtube_studio_is_read_in_every_language(header: str) -> None:
    data = f"{header}\ndQw4w9WgXcQ,A talk,1,5\n-b3dEfGh1Jk,Another,1,5\n"
    assert [found[1:] for found in accepted(data.encode())] == [("dQw4w9WgXcQ", "A talk"), ("-b3dEfGh1Jk", "Another")]


TAKEOUT = {
    "English": "Video ID,Video Title (Original) Language,Video Title (Original),Video Description (Original)",
    "German": "Video-ID,Sprache des Videotitels (Original),Videotitel (Original),Videobeschreibung (Original)",
    "French": "ID de la vidéo,Langue du titre de la vidéo,Titre de la vidéo (original),Description de la vidéo",
    "Spanish": "ID de vídeo,Idioma del título del vídeo,Título del vídeo (original),Descripción del vídeo (original)",
    "Portuguese": "ID do vídeo,Idioma do título do vídeo,Título do vídeo (original),Descrição do vídeo (original)",
    "Italian": "ID video,Lingua titolo video,Titolo video (originale),Descrizione video (originale)",
    "Dutch": "Video-ID,Taal van videotitel,Videotitel (origineel),Videobeschrijving (origineel)",
    "Polish": "Identyfikator filmu,Język tytułu filmu,Tytuł filmu (oryginalny),Opis filmu (oryginalny)",
    "Japanese": "動画 ID,動画のタイトルの言語,動画のタイトル (オリジナル),動画の説明 (オリジナル)",
}


@pytest.mark.parametrize("header", TAKEOUT.values(), ids=TAKEOUT)
def test_a_table_of_google_takeout_is_read_in_every_language(header: str) -> None:
    (row,) = rows(f"{header}\ndQw4w9WgXcQ,en,A talk,About it\n".encode())
    assert isinstance(row, Accepted)
    assert (row.video.id, row.video.title, row.video.description) == ("dQw4w9WgXcQ", "A talk", "About it")


SPLIT = {
    "Video ID|Video Description Text Segments 1|Video Description Text Segments 2|Video Title Text Segments 1": (
        "Slides: |https://x.org/|A talk",
        ("A talk", "Slides: https://x.org/"),
    ),
    "Video ID|Video Title Text Segments 1|Video Title Text Segments 2": ("A talk |#python", ("A talk #python", "")),
    "Video-ID|Videobeschreibung - Textabschnitte 1|Videobeschreibung - Textabschnitte 2|Videotitel": (
        "About queues, |and locks|Ein Vortrag",
        ("Ein Vortrag", "About queues, and locks"),
    ),
    "動画 ID|動画の説明のセグメント 1|動画の説明のセグメント 2|動画のタイトルのセグメント 1": (
        "説明 |https://x.org/|講演",
        ("講演", "説明 https://x.org/"),
    ),
    "Video ID|Tag 1|Tag 2|Description segment 2|Description segment 1|Video Title (Original)": (
        "x|y|Two.|One.|A talk",
        ("A talk", "One.\nTwo."),
    ),
    "ID vidéo|Description de la vidéo (d'origine) 1|Description de la vidéo (d'origine) 2|Titre de la vidéo": (
        "Un||Un exposé",
        ("Un exposé", "Un"),
    ),
}


@pytest.mark.parametrize(("header", "row", "read"), [(header, *content) for header, content in SPLIT.items()])
def test_a_text_that_google_takeout_splits_into_columns_is_joined(header: str, row: str, read: tuple[str, str]) -> None:
    (found,) = rows(f"{header}\ndQw4w9WgXcQ|{row}\n".encode())
    assert isinstance(found, Accepted)
    assert (found.video.title, found.video.description) == read


def test_a_table_of_ids_without_titles_says_where_takeout_has_them() -> None:
    with pytest.raises(NotAManifest, match=r"videos\.csv and video texts\.csv"):
        rows(b"Video ID,Playlist Video Creation Timestamp\ndQw4w9WgXcQ,2020-01-01\n")


@pytest.mark.parametrize(
    ("number", "text"), [("1", "1"), ("9007199254740993", "9007199254740993"), ("-5", "-5"), ("3.0", "3"), ('"1"', "1")]
)
def test_an_id_that_is_a_number_is_its_digits(number: str, text: str) -> None:
    assert accepted(f'{{"id": {number}, "title": "A"}}'.encode()) == [(1, text, "A")]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (" a1\u00a0\u200b", "a1"),
        ("https://youtu.be/Ab3dEfGh1Jk?si=x", "Ab3dEfGh1Jk"),
        ("https://example.org/talks/1", "https://example.org/talks/1"),
        ("yt:video:Ab3dEfGh1Jk", "Ab3dEfGh1Jk"),
        ({"$oid": "507f1f77bcf86cd799439011"}, "507f1f77bcf86cd799439011"),
        ({"videoId": "Ab3dEfGh1Jk"}, "Ab3dEfGh1Jk"),
    ],
)
def test_an_id_is_read_without_the_characters_around_it(given: object, read: str) -> None:
    assert accepted(json.dumps({"id": given, "title": "A"}).encode()) == [(1, read, "A")]


@pytest.mark.parametrize(
    "given", ["None", "nan", "NULL", "undefined", "n/a", "-", "#¡REF!", "#N/B", "+1,23E+10", "#NV", "Loading..."]
)
def test_a_placeholder_is_not_an_id(given: str) -> None:
    assert accepted(f"id;title;url\n{given};A;https://youtu.be/Ab3dEfGh1Jk\n".encode()) == [(2, "Ab3dEfGh1Jk", "A")]
    assert isinstance(rows(f"id;title\n{given};A\n".encode())[0], Refused)


def test_a_title_that_begins_like_a_spreadsheets_error_is_kept() -> None:
    assert accepted(b"id,title\na,#NoEstimates!\n") == [(2, "a", "#NoEstimates!")]


def test_a_value_that_is_not_a_number_counts_as_absent() -> None:
    assert accepted(b'[{"id": "a", "title": "A", "description": NaN}]') == [(1, "a", "A")]


def test_a_formula_that_is_a_text_or_a_link_is_read_as_that() -> None:
    data = b'id,title,url\n"=""-Ab3dEfGh1J""",A,\n,B,"=HYPERLINK(""https://youtu.be/Kl9mNoPq2Rs"",""Watch"")"\n'
    assert accepted(data) == [(2, "-Ab3dEfGh1J", "A"), (3, "Kl9mNoPq2Rs", "B")]
    data = b'id,title\n,"=HYPERLINK(""https://youtu.be/Kl9mNoPq2Rs""; ""B - """"C"""""")"\n'
    assert accepted(data) == [(2, "Kl9mNoPq2Rs", 'B - "C"')]


@pytest.mark.parametrize("cell", ["Watch (https://youtu.be/Ab3dEfGh1Jk)", "[Watch](https://youtu.be/Ab3dEfGh1Jk)"])
def test_an_address_is_read_without_the_text_beside_it(cell: str) -> None:
    (row,) = rows(f"title,Link\nA,{cell}\n".encode())
    assert isinstance(row, Accepted)
    assert (row.video.id, row.video.url) == ("Ab3dEfGh1Jk", "https://youtu.be/Ab3dEfGh1Jk")


def test_a_remark_after_a_columns_name_is_ignored() -> None:
    assert accepted(b"ID (internal),Title (as on YouTube)\na,A\n") == [(2, "a", "A")]
    assert accepted(b"id,Title (draft),Title\na,B,A\n") == [(2, "a", "A")]


def test_quotes_with_backslashes_are_read() -> None:
    assert accepted(b'id,title\na,"The \\"best\\" talk"\n') == [(2, "a", 'The "best" talk')]


def test_the_line_below_the_header_of_a_markdown_table_is_left_out() -> None:
    assert accepted(b"| id | title |\n|----|:-----:|\n| a | A |\n") == [(3, "a", "A")]


@pytest.mark.parametrize(
    "data",
    [
        {"data": {"items": [{"id": "a", "title": "A"}, {"id": "b", "title": "B"}]}},
        {"data": {"videos": {"edges": [{"node": {"id": "a", "title": "A"}}, {"node": {"id": "b", "title": "B"}}]}}},
        {"data": [{"id": "a", "attributes": {"title": "A"}}, {"id": "b", "attributes": {"title": "B"}}]},
        {"records": [{"id": "a", "fields": {"Title": "A"}}, {"id": "b", "fields": {"Title": "B"}}]},
        {"hits": {"hits": [{"_id": "a", "_source": {"title": "A"}}, {"_id": "b", "_source": {"title": "B"}}]}},
        {"2023": [{"id": "a", "title": "A"}], "2024": [{"id": "b", "title": "B"}]},
        [{"id": "a", "title": {"rendered": "A"}}, {"id": "b", "title": {"rendered": "B"}}],
    ],
)
def test_rows_in_the_envelopes_of_an_api_are_read(data: object) -> None:
    assert accepted(json.dumps(data).encode()) == [(1, "a", "A"), (2, "b", "B")]


@pytest.mark.parametrize(
    "video", ["https://youtu.be/Ab3dEfGh1Jk", {"url": "https://youtu.be/Ab3dEfGh1Jk"}, "Ab3dEfGh1Jk"]
)
def test_the_address_of_a_recording_is_read(video: object) -> None:
    (row,) = rows(json.dumps([{"title": "A", "video": video}]).encode())
    assert isinstance(row, Accepted)
    assert row.video.id == "Ab3dEfGh1Jk"
    assert youtube_id(row.video.url or "") == "Ab3dEfGh1Jk"


@pytest.mark.parametrize(
    "header",
    ["Speaker 1,Speaker 2", "speaker,speaker", "Presenter1,Presenter2"],
)
def test_presenters_in_columns_of_their_own_are_all_read(header: str) -> None:
    (row,) = rows(f"id,title,{header}\na,A,Ada Byron,Grace Hopper\n".encode())
    assert isinstance(row, Accepted)
    assert row.video.presenters == ("Ada Byron", "Grace Hopper")


def test_a_name_in_two_columns_is_one_name() -> None:
    (row,) = rows(b"id,title,First Name,Last Name\na,A,Ada,Byron\n")
    assert isinstance(row, Accepted)
    assert row.video.presenters == ("Ada Byron",)


def test_an_id_that_a_spreadsheet_has_mangled_is_taken_from_the_address() -> None:
    data = b"id,title,url\n#NAME?,A,https://youtu.be/-Ab3dEfGh1J\n1.23E+12,B,https://vimeo.com/channels/x/77\n"
    assert accepted(data) == [(2, "-Ab3dEfGh1J", "A"), (3, "77", "B")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://vimeo.com/25600001", "25600001"),
        ("https://player.vimeo.com/video/25600001?h=1", "25600001"),
        ("https://vimeo.com/showcase/123/video/25600001", "25600001"),
        ("https://vimeo.com/showcase/123", None),
        ("http://www.archive.org/download/democonf/lt1.mp4", "democonf/lt1.mp4"),
        ("https://archive.org/details/democonf", "democonf"),
        ("https://media.ccc.de/v/demo22-1-queues", "demo22-1-queues"),
        ("https://media.ccc.de/c/demo22", None),
        ("https://web.archive.org/web/2022/https://www.youtube.com/watch?v=Ab3dEfGh1Jk", "Ab3dEfGh1Jk"),
        ("https://www.youtube.com/oembed?url=https%3A%2F%2Fyoutu.be%2FAb3dEfGh1Jk", "Ab3dEfGh1Jk"),
        ("https://www.youtube.com/embed/live_stream?channel=UC1", None),
        ("https://peertube.example/w/kkGMgK9ZtnKfYAgnEtQxbv", "kkGMgK9ZtnKfYAgnEtQxbv"),
        ("https://www.dailymotion.com/video/x8abc", "x8abc"),
        ("https://www.example.org/talks/1.mp4", "example.org/talks/1.mp4"),
        ("https://example.org/", None),
        ("https://www.youtube.com/playlist?list=PL1", None),
        ("nowhere", None),
    ],
)
def test_every_host_names_its_videos_in_its_addresses(url: str, expected: str | None) -> None:
    assert video_id(url) == expected


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("What&#39;s new in R&amp;D &lt;3", "What's new in R&D <3"),
        ("&amp;amp; once", "&amp; once"),
        ("&mut self, AT&T; and &copy_from", "&mut self, AT&T; and &copy_from"),
        ("JÃ¶rg: CafÃ© caching", "Jörg: Café caching"),
        ("CAFÉ™ \u2013 Straße", "CAFÉ™ \u2013 Straße"),
    ],
)
def test_texts_are_read_as_they_were_meant(given: str, read: str) -> None:
    assert accepted(json.dumps({"id": "a", "title": given}).encode()) == [(1, "a", read)]


def test_the_date_that_yt_dlp_appends_to_a_live_title_is_removed() -> None:
    live = {"id": "a", "title": "Queues 2022-10-01 14:02", "live_status": "is_live", "extractor": "youtube"}
    other = {"id": "b", "title": "Queues 2022-10-01 14:02"}
    data = json.dumps(live) + "\n" + json.dumps(other)
    assert [title for _, _, title in accepted(data.encode())] == ["Queues", "Queues 2022-10-01 14:02"]


LONG = "How we replaced our event bus with forty lines of SQL and lived to tell the tale of it all"


@pytest.mark.parametrize(
    ("title", "description", "read"),
    [
        (f"Ada - {LONG[:-10]}...", f"{LONG}\nSpeaker: Ada", f"Ada - {LONG}"),
        (f"Ada - {LONG[:-10]}…", f"About:\n{LONG}. And more.", f"Ada - {LONG}"),
        (f"Ada - {LONG[:-10]}...", "Something else", f"Ada - {LONG[:-10]}..."),
        ("And then...", "And then... it crashed", "And then..."),
    ],
)
def test_a_truncated_title_is_completed_from_the_description(title: str, description: str, read: str) -> None:
    data = json.dumps({"id": "a", "title": title, "description": description})
    assert accepted(data.encode()) == [(1, "a", read)]


def test_a_log_line_about_a_video_counts_as_its_refusal() -> None:
    data = b'{"id": "a", "title": "A"}\nERROR: [youtube] b: Private video. Sign in\n{"id": "c", "title": "C"}\n'
    assert [row.reason for row in rows(data) if isinstance(row, Refused)] == [
        "yt-dlp could not read the video b: Private video. Sign in"
    ]


@pytest.mark.parametrize(
    ("speakers", "names"),
    [
        ("Ada Byron; Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron, Grace Hopper and Alan Turing", ("Ada Byron", "Grace Hopper", "Alan Turing")),
        ("Byron, Ada", ("Ada Byron",)),
        ("TBA", ()),
        ('[""Ada Byron"", ""Grace Hopper""]', ("Ada Byron", "Grace Hopper")),
        ('[{""name"": ""Ada Byron""}]', ("Ada Byron",)),
        ('[\'Ada Byron\', ""Miles O\'Brien""]', ("Ada Byron", "Miles O'Brien")),
        ('{""Ada Byron"",Grace}', ("Ada Byron", "Grace")),
        ("[]", ()),
        ("Ada Byron (ACME, Inc.), Grace Hopper <grace@example.org>", ("Ada Byron", "Grace Hopper")),
        ("maria atanasova; lee fromm", ("maria atanasova", "lee fromm")),
        ("Byron, Ada; Hopper, Grace", ("Ada Byron", "Grace Hopper")),
        ("Ada and Grace Byron", ("Ada Byron", "Grace Byron")),
        ("Ada Byron y Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("José Ortega y Gasset", ("José Ortega y Gasset",)),
        ("Ada Byron / Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron, PhD, and Alan Turing, Jr.", ("Ada Byron", "Alan Turing Jr.")),
        ("Speakers: Ada Byron et al.", ("Ada Byron",)),
        ("Ada Byron, Grace Hopper; Moderator: Alan Turing", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron, Alan Turing (moderator)", ("Ada Byron",)),
        ("Ada Byron; hosted by Alan Turing", ("Ada Byron",)),
        ("Moderator: Alan Turing", ("Alan Turing",)),
        ("moderated by Alan Turing", ("Alan Turing",)),
        ("山田太郎、鈴木一郎", ("山田太郎", "鈴木一郎")),
        ("N.N.", ()),
        ("Keynote Speaker", ()),
        ("https://example.org/ada", ()),
        ("#REF!", ()),
        ("0", ()),
        ("Ada Byron &amp; Bj&ouml;rn Hopper", ("Ada Byron", "Björn Hopper")),
        ("Ada Byron<br />Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron\\nGrace Hopper", ("Ada Byron", "Grace Hopper")),
        ("* Ada Byron\n* Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron \u2013 ACME; Grace Hopper \u2013 Navy", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron - CTO at ACME", ("Ada Byron",)),
        ("Ada Byron, Senior Engineer", ("Ada Byron",)),
        ("Ada Byron, University of Oxford", ("Ada Byron",)),
        ("Ada Byron, ACME Corp.", ("Ada Byron",)),
        ("Ada Byron, Professor Grace Hopper", ("Ada Byron", "Professor Grace Hopper")),
        ("Ada Byron @ ACME", ("Ada Byron",)),
        ("Ada Byron she/her", ("Ada Byron",)),
        ("Ada Byron; ada@example.org", ("Ada Byron",)),
        ("Ada Byron +1", ("Ada Byron",)),
        ("Ada Byron, Grace Hopper & 3 more", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron.", ("Ada Byron",)),
        ("Moderated by Alan Turing: Ada Byron, Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron interviewed by Alan Turing", ("Ada Byron",)),
        ("Interview with Ada Byron", ("Ada Byron",)),
        ("Moderator: Alan Turing; Panelists: Ada Byron, Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("van Rossum, Guido", ("Guido van Rossum",)),
        ("김철수, 이영희", ("김철수", "이영희")),
        ("山田 太郎・鈴木 花子", ("山田 太郎", "鈴木 花子")),
        ("Ада Байрон и Грейс Хоппер", ("Ада Байрон", "Грейс Хоппер")),
        ("Ada Byron och Grace Hopper", ("Ada Byron", "Grace Hopper")),
    ],
)
def test_the_names_in_a_column_of_speakers_are_split(speakers: str, names: tuple[str, ...]) -> None:
    (row,) = rows(f'id,title,Speakers\na,A,"{speakers}"\n'.encode())
    assert isinstance(row, Accepted)
    assert row.video.presenters == names


def test_the_reader_reports_which_columns_it_ignored() -> None:
    reading = manifests.read(io.BytesIO(b"id,title,Views,Likes\nx,y,5,6\n"), ReadingLimits())
    list(reading)
    assert reading.ignored == ("Views", "Likes")


def talks(read: list[Row]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(row.video.id, row.video.title, row.video.presenters) for row in read if isinstance(row, Accepted)]


SUBMISSION = {
    "code": "ABC123",
    "title": "Queues",
    "speakers": [{"code": "K", "name": "Ada Byron"}],
    "state": "confirmed",
}
SCHEDULE_2 = {
    "version": "2",
    "conference": {"acronym": "demo", "title": "Demo", "days": [{"index": 1, "date": "2024-01-01"}]},
    "events": [
        {
            "guid": "g-1",
            "title": "Queues",
            "participants": [{"name": "Ada Byron", "role": "SPEAKER"}, {"name": "Bob Host", "role": "MODERATOR"}],
        }
    ],
}
WIDGET = {
    "talks": [
        {"id": 6, "title": {"en": "Lunch"}, "start": "12:00", "end": "13:00", "room": 1},
        {"code": "ABC123", "title": {"en": "Queues", "de": "Schlangen"}, "speakers": ["K"], "room": 1},
    ],
    "speakers": [{"code": "K", "name": "Ada Byron"}],
}
DJANGO = [
    {"model": "talks.speaker", "pk": 3, "fields": {"name": "Ada Byron"}},
    {"model": "talks.talk", "pk": 1, "fields": {"title": "Queues", "speakers": [3]}},
]
DJANGO_YAML = """
- model: talks.speaker
  pk: 3
  fields:
    name: Ada Byron
- model: talks.talk
  pk: 1
  fields:
    title: Queues
    speakers: [3]
"""
LINKS = [{"title": "Slides", "url": "https://example.org/slides"}]
VIDEO = {"uuid": "u-1", "name": "Queues", "channel": {"name": "demo"}}
MEETING = """\
- id: may
  title: May 2024
  video_provider: children
  talks:
    - id: q
      title: Queues
      video_provider: not_recorded
      speakers: [Ada Byron]
"""
WITH_SPEAKERS = {
    "pretalx, speakers by their codes alone": ({"results": [SUBMISSION | {"speakers": ["K3F9AA"]}]}, ("ABC123", ())),
    "pretalx, slots": ({"slots": [{"submission": SUBMISSION, "room": 1}]}, ("ABC123", ("Ada Byron",))),
    "pretalx, a break before the talks": (WIDGET, ("ABC123", ("Ada Byron",))),
    "c3voc's schedule, version 2": ({"schedule": SCHEDULE_2}, ("g-1", ("Ada Byron",))),
    "an event that lists its speakers with ids": (
        {
            "guid": "g-1",
            "title": "Queues",
            "speakers": [{"id": 5, "name": "ada", "full_name": "Ada Byron"}],
            "links": LINKS,
        },
        ("g-1", ("Ada Byron",)),
    ),
    "Indico": (
        {
            "count": 1,
            "results": [
                {
                    "_type": "Conference",
                    "id": "7",
                    "title": "Demo",
                    "contributions": [{"id": "1", "title": "Queues", "speakers": [{"fullName": "Byron, Ada"}]}],
                }
            ],
        },
        ("1", ("Ada Byron",)),
    ),
    "Sched's table": ("event_key,event_name,event_start,speakers\nq,Queues,9:00,Ada Byron\n", ("q", ("Ada Byron",))),
    "Django, a record a line": ("\n".join(map(json.dumps, DJANGO)), ("1", ("Ada Byron",))),
    "Django, in YAML": (DJANGO_YAML, ("1", ("Ada Byron",))),
    "Django, without keys": ([{"model": "v.video", "fields": {"title": "Queues", "slug": "q"}}], ("q", ())),
    "a playlist of PeerTube's": ({"data": [{"position": 1, "video": VIDEO}]}, ("u-1", ())),
    "pretalx's table": ("Proposal title,Code,Speaker names\nQueues,ABC123,Ada Byron\n", ("ABC123", ("Ada Byron",))),
    "Sessionize's table": ("Session Id,Title,Speakers\n330001,Queues,Ada Byron\n", ("330001", ("Ada Byron",))),
    "Sessionize's form with translations": (
        {
            "sessions": [
                {
                    "id": "1",
                    "title": {"ja": "キュー", "en": "Queues"},
                    "isServiceSession": False,
                    "speakers": ["b1"],
                },
            ],
            "speakers": [{"id": "b1", "fullName": "Ada Byron"}],
        },
        ("1", ("Ada Byron",)),
    ),
    "RubyEvents, a meeting with its talks": (
        MEETING,
        ("q", ("Ada Byron",)),
    ),
    "a key where there is no address": ([{"guid": "g-1", "title": "Queues", "url": None}], ("g-1", ())),
    "an address without its host": ([{"title": "Queues", "url": "/watch?v=Ab3dEfGh1Jk"}], ("Ab3dEfGh1Jk", ())),
    "a placeholder in the speakers of a row": ([{"id": "a", "title": "Queues", "speakers": ["TODO"]}], ("a", ())),
}


@pytest.mark.parametrize(("data", "expected"), WITH_SPEAKERS.values(), ids=WITH_SPEAKERS)
def test_the_rows_of_conference_software_are_read(data: object, expected: tuple[str, tuple[str, ...]]) -> None:
    text = data if isinstance(data, str) else json.dumps(data, indent=1)
    read = rows(text.encode())
    identity, presenters = expected
    assert talks(read) == [(identity, "Queues", presenters)]
    assert not [row for row in read if isinstance(row, Refused)]


NO_TALKS = {
    "a conference of media.ccc.de": {"acronym": "demo", "slug": "demo", "title": "Demo", "url": "https://x.example/d"},
    "a channel of PeerTube": {"id": 1, "name": "demo", "displayName": "Demo", "followersCount": 1},
    "a speaker of pretalx": {"code": "K3F9AA", "name": "Ada Byron", "biography": "About her."},
    "a speaker of Sessionize": {
        "id": "c0",
        "firstName": "Ada",
        "lastName": "Byron",
        "sessions": [{"id": 1, "name": "Q"}],
    },
    "a slot that names its talk by a code": {"id": 1, "room": 3, "submission": "ABC123"},
    "a room of pretalx": {"id": 12, "name": {"en": "B003"}, "capacity": 290},
    "a hidden video in an unknown language": {"id": "a", "title": "[Silinen video]"},
    "a sentence about a private video": {"id": "a", "title": "Cette vidéo est privée"},
    "a sentence about a removed video": {"id": "a", "title": "Dieses Video ist nicht mehr verfügbar"},
    "a sentence about a private video in Japanese": {"id": "a", "title": "この動画は非公開です"},
    "an advertisement": {"id": "a", "title": "Anzeige"},
    "a talk whose title is not known yet": {"id": "a", "title": "TBA"},
    "a program's word for a missing title": {"id": "a", "title": "null"},
    "a sentence about a terminated account": {
        "id": "a",
        "title": "This video is no longer available because the YouTube account behind it has been terminated.",
    },
    "a playlist by its address": {"id": "PL1", "title": "D", "url": "https://www.youtube.com/playlist?list=PL1"},
    "a channel by its id": {"id": "UCaaaaaaaaaaaaaaaaaaaaaa", "title": "D", "url": "https://example.org/d"},
    "a channel by its address": {"title": "D", "url": "https://www.youtube.com/@demo"},
}


@pytest.mark.parametrize("row", NO_TALKS.values(), ids=NO_TALKS)
def test_other_lists_of_conference_software_are_not_talks(row: dict[str, object]) -> None:
    (read,) = rows(json.dumps([row]).encode())
    assert isinstance(read, Refused)


@pytest.mark.parametrize(
    "title",
    [
        *(
            "Break (30 min)",
            "Lunch (sponsored by us)",
            "Lunch sponsored by us",
            "Przerwa na kawę",
            "昼食休憩",
            "Borrel",
        ),
        *("Juice break", "Umbaupause", "Petit-déjeuner", "Pausa para o almoço", "コーヒーブレイク", "Check in"),
    ],
)
def test_a_break_with_its_length_or_sponsor_is_left_out(title: str) -> None:
    data = f"id,title,speakers\na,{title},\nb,Lunch with Ada,Ada Byron\n"
    assert [type(row) for row in rows(data.encode())] == [LeftOut, Accepted]


def test_a_talk_whose_address_is_its_speakers_channel_is_kept() -> None:
    assert accepted(b"id,title,url\na,A,https://www.youtube.com/@ada\n") == [(2, "a", "A")]


def test_a_title_in_html_is_unescaped_once_more_than_the_xml_around_it() -> None:
    feed = b"<rss><channel><item><title>A &amp;#8211; B</title><link>https://x.org/a</link></item></channel></rss>"
    assert accepted(feed) == [(1, "x.org/a", "A \u2013 B")]
    feed = b"<feed><entry><id>a</id><title type='html'>Q &amp;amp; A</title></entry></feed>"
    assert accepted(feed) == [(1, "a", "Q & A")]


def test_coloured_log_lines_are_skipped() -> None:
    assert accepted(b'\x1b[0;33mWARNING:\x1b[0m [youtube] x\n{"id": "a", "title": "A"}\n') == [(2, "a", "A")]


DUMPED = [
    {"model": "talks.talk", "pk": 10, "fields": {"title": "Queues", "youtube_id": "Ab3dEfGh1Jk"}},
    {"model": "talks.speaker", "pk": 1, "fields": {"name": "Ada Byron"}},
    {"model": "talks.speaker", "pk": 2, "fields": {"name": "Grace Hopper"}},
]


@pytest.mark.parametrize(
    "links",
    [
        [
            {"model": "talks.talkspeaker", "pk": 5, "fields": {"talk": 10, "speaker": 2, "order": 1}},
            {"model": "talks.talkspeaker", "pk": 6, "fields": {"talk": 10, "speaker": 1, "order": 0}},
        ],
        [
            {"model": "talks.talk_speakers", "pk": 5, "fields": {"talk": 10, "speaker": 1}},
            {"model": "talks.talk_speakers", "pk": 6, "fields": {"talk": 10, "speaker": 2}},
        ],
        [
            {"model": "talks.speaker", "pk": 1, "fields": {"name": "Ada Byron", "talks": [10]}},
            {"model": "talks.speaker", "pk": 2, "fields": {"name": "Grace Hopper", "talks": [10, 11]}},
        ],
    ],
    ids=["a through model", "Django's own through model", "a key of the speaker"],
)
def test_speakers_linked_through_another_django_model_are_read(links: list[object]) -> None:
    (row,) = (row for row in rows(json.dumps([*DUMPED, *links]).encode()) if isinstance(row, Accepted))
    assert (row.video.id, row.video.url) == ("10", "https://www.youtube.com/watch?v=Ab3dEfGh1Jk")
    assert row.video.presenters == ("Ada Byron", "Grace Hopper")


@pytest.mark.parametrize(
    "speakers",
    [
        [{"speaker": {"name": "Ada Byron"}}, {"person": "Grace Hopper"}],
        {"edges": [{"node": {"name": "Ada Byron"}}, {"node": {"full_name": "Grace Hopper"}}]},
        {"data": [{"attributes": {"name": "Ada Byron"}}, {"attributes": {"name": "Grace Hopper"}}]},
        [["Ada", "Byron"], ["Grace Hopper"]],
        {"1": {"name": "Ada Byron"}, "2": {"first": "Grace", "last": "Hopper"}},
        [
            {"name": "Ada Byron"},
            {"name": "Grace Hopper", "role": "Speaker"},
            {"name": "A. Turing", "role": "Moderator"},
        ],
    ],
)
def test_presenters_in_the_envelopes_of_an_api_are_read(speakers: object) -> None:
    (row,) = rows(json.dumps([{"id": "a", "title": "A", "speakers": speakers}]).encode())
    assert isinstance(row, Accepted)
    assert row.video.presenters == ("Ada Byron", "Grace Hopper")


@pytest.mark.parametrize(
    "title",
    [
        *("Lunch", "Café da manhã", "Pausa para el almuerzo", "Mittagspause", "昼休み", "점심 시간", "茶歇", "Перерыв"),
        *("Kaffepaus", "Frokost", "Oběd", "Sponsor break"),
    ],
)
def test_a_break_in_a_table_of_talks_is_left_out(title: str) -> None:
    data = f"id,title,speakers\na,{title},\nb,Lunch with Ada,Ada Byron\n"
    assert [type(row) for row in rows(data.encode())] == [LeftOut, Accepted]


def test_a_remark_below_a_table_is_left_out() -> None:
    data = b"Content,Video title,Views\nAb3dEfGh1Jk,A talk,5\nShowing top 500 results\n"
    assert [type(row) for row in rows(data)] == [Accepted, LeftOut]


@pytest.mark.parametrize("column", ["Privacy", "Datenschutz", "プライバシー"])
def test_a_private_video_is_recognised_by_any_column_of_a_table(column: str) -> None:
    (row,) = rows(f"Video ID,Title,{column}\nAb3dEfGh1Jk,A talk,非公開\n".encode())
    assert isinstance(row, Refused)


@pytest.mark.parametrize(
    "text",
    [
        "[Keynote] Ada Byron\n[Talk] Grace Hopper\n",
        "[] is not {}\n@property and friends\n",
        "Queues, locks and more\nSmall data, big joins\n",
    ],
)
def test_titles_that_look_like_something_else_are_a_list_of_titles(text: str) -> None:
    assert [title for _, _, title in accepted(text.encode())] == text.splitlines()


def test_the_address_before_a_title_in_a_list_is_the_videos() -> None:
    read = accepted(b"https://youtu.be/-b3dEfGh1Jl Small data\nhttps://vimeo.com/77 Queues\nOpen-source in anger\n")
    assert [(identity, title) for _, identity, title in read] == [
        ("-b3dEfGh1Jl", "Small data"),
        ("77", "Queues"),
        ("Open-source in anger", "Open-source in anger"),
    ]


def test_the_escapes_in_a_list_of_titles_are_no_separators() -> None:
    read = accepted(b"Queues &amp; locks - Ada Byron\nJ&ouml;rg Weber - Small data\n")
    assert [title for _, _, title in read] == ["Queues & locks - Ada Byron", "Jörg Weber - Small data"]


@pytest.mark.parametrize(
    "data",
    [b"id,title\n", b'{"items": []}', b"<schedule><day><entry/></day></schedule>", b'{"schedule": {"conference": {}}}'],
)
def test_a_file_without_a_video_is_reported(data: bytes) -> None:
    (row,) = rows(data)
    assert isinstance(row, Refused)
    assert row.reason.startswith("No video was found in the file")


def test_the_address_after_a_title_in_a_list_is_the_videos() -> None:
    read = rows(b"A talk - Ada Byron https://youtu.be/Ab3dEfGh1Jk\nAnother <https://vimeo.com/77>\nThe third\n")
    assert [(row.video.id, row.video.title, row.video.url) for row in read if isinstance(row, Accepted)] == [
        ("Ab3dEfGh1Jk", "A talk - Ada Byron", "https://youtu.be/Ab3dEfGh1Jk"),
        ("77", "Another", "https://vimeo.com/77"),
        ("The third", "The third", None),
    ]


def test_a_list_of_titles_in_markdown_is_read() -> None:
    read = rows(b"- [A talk - Ada Byron](https://youtu.be/Ab3dEfGh1Jk)\n* Another\n* and ** in calls\n1. FC Example\n")
    assert [row.video.title for row in read if isinstance(row, Accepted)] == [
        *("A talk - Ada Byron", "Another", "* and ** in calls", "1. FC Example"),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ("1. Queues", "2. A talk about locks"),
        ("9) Queues", "10) A talk about locks"),
        ("1. Queues", "1. A talk about locks"),
        ("## 2019", "1. Queues", "## 2020", "1. A talk about locks"),
        ("00:00 Queues", "1:02:03 - A talk about locks"),
        ("- [ ] Queues", "- [x] A talk about locks"),
    ],
)
def test_numbers_that_count_the_lines_of_a_list_are_not_part_of_titles(lines: tuple[str, ...]) -> None:
    assert [title for _, _, title in accepted("\n".join(lines).encode())] == ["Queues", "A talk about locks"]


@pytest.mark.parametrize("lines", [("3 tests", "4 walls"), ("1. FC Example", "A talk"), ("2024: a year", "2025. Next")])
def test_numbers_that_do_not_count_lines_stay_in_titles(lines: tuple[str, ...]) -> None:
    assert [title for _, _, title in accepted("\n".join(lines).encode())] == [*lines]


@pytest.mark.parametrize(
    "line",
    [
        "- [Queues](https://youtu.be/Ab3dEfGh1Jk) by Ada Byron",
        "- Queues by Ada Byron ([slides](https://example.org/q.pdf), [video](https://youtu.be/Ab3dEfGh1Jk))",
    ],
)
def test_a_link_in_a_line_of_markdown_gives_the_address(line: str) -> None:
    (row,) = rows(line.encode())
    assert isinstance(row, Accepted)
    assert (row.video.id, row.video.title) == ("Ab3dEfGh1Jk", "Queues by Ada Byron")


def test_a_word_of_eleven_letters_before_an_id_is_the_title() -> None:
    assert accepted(b"Nanoseconds\tAb3dEfGh1Jk\nQueues\t-l9mNoPq2Rs\n") == [
        (1, "Ab3dEfGh1Jk", "Nanoseconds"),
        (2, "-l9mNoPq2Rs", "Queues"),
    ]


def test_an_escaped_bar_in_a_markdown_table_is_text() -> None:
    table = b"| id | title | speaker |\n|---|---|---|\n| a | A \\| B | Ada Byron |\n"
    assert talks(rows(table)) == [("a", "A | B", ("Ada Byron",))]


def test_the_semicolon_of_an_escape_separates_no_columns() -> None:
    table = "id;title;speaker\na;R&D;Ada Byron\nb;J&ouml;rg &amp;amp; Co;Ada Byron\nc;x;y;z\n"
    assert talks(rows(table.encode())) == [("a", "R&D", ("Ada Byron",)), ("b", "Jörg &amp; Co", ("Ada Byron",))]


def test_a_form_that_speakers_filled_in_gives_their_talk_and_name() -> None:
    form = (
        b"Email Address,Name,Title,Talk Title,Video\na@example.org,Ada Byron,CTO,Queues,https://youtu.be/Ab3dEfGh1Jk\n"
    )
    assert talks(rows(form)) == [("Ab3dEfGh1Jk", "Queues", ("Ada Byron",))]


def test_a_carriage_return_outside_quotes_is_named() -> None:
    _, refused = rows(b"id,title\r\n1,A\r\n2,B\r3,C\r\n")
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("The row has a carriage return outside quotes")


def test_a_description_of_two_columns_is_read_from_both() -> None:
    row = {"guid": "g", "title": "A", "persons": ["Ada Byron"], "abstract": "One.", "description": "Two.", "room": "x"}
    reading = manifests.read(io.BytesIO(json.dumps([row]).encode()), ReadingLimits())
    (read,) = reading
    assert isinstance(read, Accepted)
    assert read.video.description == "One.\n\nTwo."
    assert reading.ignored == ("room",)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"_type": "playlist", "title": "Shorts", "entries": []}, "without videos"),
        ({"_type": "playlist", "title": "Talks", "entries": [None]}, "are all private or deleted"),
        ({"id": 2, "position": 2, "video": None}, "private, deleted or unavailable"),
    ],
)
def test_a_playlist_or_place_without_a_video_says_why(row: dict[str, object], reason: str) -> None:
    (read,) = rows(json.dumps(row).encode())
    assert isinstance(read, Refused)
    assert reason in read.reason


@pytest.mark.parametrize("line", ["Title: {}", "“{}” by Ada Byron", "<p>{}</p>", "- {}", '"{}"', "Ada Byron: {}"])
def test_a_truncated_title_is_found_after_a_label_or_in_quotes(line: str) -> None:
    title = "How we replaced our event bus with forty lines of SQL and lived to tell the tale in production"
    cut = f"Ada Byron: {title}"[:97] + "..."
    (row,) = rows(json.dumps([{"id": "a", "title": cut, "description": line.format(title)}]).encode())
    assert isinstance(row, Accepted)
    assert row.video.title == f"Ada Byron: {title}"


@pytest.mark.parametrize(
    "line",
    [
        *("{id} {title}", "{id}\t{title}", "{id} | {title}", "{id},{title}", "{id};{title}", "{id} - {title}"),
        *("{title} [{id}]", "{title} [{id}].info.json", "{title}-{id}.mp4", "{title}\t{id}", "{title} ({id})"),
        *(
            "{url} {title}",
            "{url}\t{title}",
            "{title} | {url}",
            "{title},{url}",
            "- [{title}]({url})",
            "{title} ({url})",
        ),
    ],
)
def test_the_id_or_address_beside_each_title_of_a_list_is_the_videos(line: str) -> None:
    videos = [
        ("Ab3dEfGh1Jk", "Queues, locks"),
        ("-l9mNoPq2Rs", "Tests"),
        ("Programming", "Small data"),
        ("__3dEfGh1J-", "A"),
    ]
    lines = [line.format(id=it, title=title, url=f"https://youtu.be/{it}") for it, title in videos]
    assert [found[1:] for found in accepted("\n".join(lines).encode())] == videos


def test_words_of_eleven_letters_are_no_ids() -> None:
    lines = ["Programming in C", "Open-source in anger", "Kotlin, an introduction", "Architecture for Engineering"]
    assert [title for _, _, title in accepted("\n".join(lines).encode())] == lines


def test_a_title_that_yt_dlp_does_not_know_is_missing() -> None:
    refused, read = rows(b"Ab3dEfGh1Jk\tNA\nKl9mNoPq2Rs\tTests\n")
    assert isinstance(refused, Refused)
    assert isinstance(read, Accepted)


SNIPPET = {"title": "Queues", "channelTitle": "DemoConf"}


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "youtube#playlistItem", "id": "UEx", "snippet": SNIPPET, "contentDetails": {"videoId": "Ab3dEfGh1Jk"}},
        {
            "kind": "youtube#activity",
            "id": "MTU",
            "snippet": SNIPPET,
            "contentDetails": {"upload": {"videoId": "Ab3dEfGh1Jk"}},
        },
        {
            "kind": "youtube#activity",
            "id": "MTU",
            "snippet": SNIPPET,
            "contentDetails": {"playlistItem": {"resourceId": {"videoId": "Ab3dEfGh1Jk"}}},
        },
        {**SNIPPET, "resourceId": {"kind": "youtube#video", "videoId": "Ab3dEfGh1Jk"}},
        {"id.kind": "youtube#video", "id.videoId": "Ab3dEfGh1Jk", "snippet.title": "Queues"},
        {"id": "UEx", "snippet.resourceId.videoId": "Ab3dEfGh1Jk", "snippet.title": "Queues"},
        {"titleUrl": "https://www.youtube.com/watch?v=Ab3dEfGh1Jk", "title": "Queues"},
    ],
)
def test_the_id_of_youtubes_video_is_found_wherever_an_answer_holds_it(row: dict[str, object]) -> None:
    assert accepted(json.dumps([row]).encode()) == [(1, "Ab3dEfGh1Jk", "Queues")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"kind": "youtube#activity", "id": "x", "snippet": SNIPPET, "contentDetails": {"subscription": {}}},
            "activity",
        ),
        ({"kind": "youtube#playlistItem", "id": "x", "contentDetails": {"videoId": "a"}}, "part=snippet"),
        ({"error": {"code": 403, "message": "quota exceeded"}}, "quota exceeded"),
        ({"error": "404 Not Found", "url": "https://youtu.be/Ab3dEfGh1Jk"}, "404 Not Found"),
        ({"id": "a", "title": "A", "status": "Declined"}, "The talk is Declined."),
        ({"title": "D", "url": "https://www.youtube.com/embed/videoseries?list=PL1"}, "a playlist"),
        ({"name": "Ada Byron", "github": "ada", "slug": "ada"}, "a speaker"),
    ],
)
def test_an_api_response_without_a_video_is_refused_with_what_it_is(row: dict[str, object], reason: str) -> None:
    (read,) = rows(json.dumps([row]).encode())
    assert isinstance(read, Refused)
    assert reason in read.reason


def test_a_table_of_people_has_no_talks() -> None:
    assert [type(row) for row in rows(b"ID,Name,Biography\nK,Ada,About\n")] == [Refused]
    assert [type(row) for row in rows(b"ID,Name,Speaker,Bio\nK,Queues,Ada,About\n")] == [Accepted]
    assert [type(row) for row in rows(b"Name,GitHub,Video\nQueues,x,https://youtu.be/Ab3dEfGh1Jk\n")] == [Accepted]


def test_a_talk_that_was_rejected_is_refused_in_a_table() -> None:
    assert [type(row) for row in rows(b"ID,Proposal title,State\na,A,confirmed\nb,B,rejected\n")] == [Accepted, Refused]


@pytest.mark.parametrize(
    "table",
    [
        "id,title\n,\na,A\n , \nb,B\n\x1a",
        "id,title\na,A\n\ufeffid,title\nb,B\n",
        '"id\n",title\na,A\nb,B\n',
        'id,"talk\ntitle"\na,A\nb,B\n',
        "\n".join(f"Remark {place},," for place in range(15)) + "\nid,title,\na,A,\nb,B,\n",
        "+----+---+\n| id | title |\n+----+---+\n| a | A |\n| b | B |\n+----+---+\n2 rows in set (0.00 sec)\n",
    ],
    ids=[
        "empty cells",
        "the header again",
        "a header of two lines",
        "its second name of two lines",
        "many remarks above",
        "a database's client",
    ],
)
def test_lines_around_a_table_are_not_talks(table: str) -> None:
    read = rows(table.encode())
    assert [row.video.title for row in read if isinstance(row, Accepted)] == ["A", "B"]
    assert not [row for row in read if isinstance(row, Refused)]


@pytest.mark.parametrize("column", ["Confidentialité", "Privacy"])
@pytest.mark.parametrize("word", ["Privée", "Privé", "Prywatny", "Privado"])
def test_a_private_video_is_recognised_by_words_with_accents(column: str, word: str) -> None:
    (row,) = rows(f"Video ID,Title,{column}\nAb3dEfGh1Jk,A talk,{word}\n".encode())
    assert isinstance(row, Refused)


@pytest.mark.parametrize(
    "header",
    [
        "Идентификатор видео,Название видео (оригинал),Описание видео (оригинал)",
        "동영상 ID,동영상 제목(원본),동영상 설명(원본)",
        "视频 ID,视频标题 (原文),视频说明 (原文)",
        "Video-id,Videotitel (original),Videobeskrivning (original)",
    ],
)
def test_a_table_of_google_takeout_is_read_in_more_languages(header: str) -> None:
    (row,) = rows(f"{header}\ndQw4w9WgXcQ,A talk,About it\n".encode())
    assert isinstance(row, Accepted)
    assert (row.video.id, row.video.title, row.video.description) == ("dQw4w9WgXcQ", "A talk", "About it")


@pytest.mark.parametrize(
    "records",
    [
        [
            {"model": "t.talk", "pk": 1, "fields": {"title": "Queues", "speakers": [["ada"]]}},
            {"model": "t.speaker", "fields": {"slug": "ada", "name": "Ada Byron"}},
        ],
        [
            {"model": "t.talk", "pk": 1, "fields": {"title": "Queues", "speaker": 7}},
            {"model": "t.speaker", "pk": 7, "fields": {"user": 3}},
            {"model": "auth.user", "pk": 3, "fields": {"username": "ada", "first_name": "Ada", "last_name": "Byron"}},
        ],
        [
            {"model": "s.presentation", "pk": 1, "fields": {"title": "Queues", "speaker": 7}},
            {"model": "s.proposalbase", "pk": 1, "fields": {"title": "Queues?", "speaker": 7}},
            {"model": "s.speaker", "pk": 7, "fields": {"name": "Ada Byron"}},
        ],
    ],
    ids=["natural keys", "a name in the user's record", "proposals beside talks"],
)
def test_django_speakers_and_talks_are_distinguished_and_named(records: list[object]) -> None:
    read = rows(json.dumps(records).encode())
    assert talks(read) == [("1", "Queues", ("Ada Byron",))]
    assert not [row for row in read if isinstance(row, Refused)]


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("PEOPLE_MAX", "more than 1 people: talks of the last 2"),
        ("_LINKS_MAX", "more than 1 times: talks of the last 1"),
    ],
)
def test_too_many_people_and_links_are_reported(limit: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, limit, 1)
    speakers = [{"model": "t.speaker", "pk": it, "fields": {"name": f"Ada {it}"}} for it in range(3)]
    links = [{"model": "t.talkspeaker", "pk": it, "fields": {"talk": 1, "speaker": it}} for it in range(2)]
    talk = {"model": "t.talk", "pk": 1, "fields": {"title": "Queues"}}
    *_, last = rows(json.dumps([*speakers, *links, talk]).encode())
    assert isinstance(last, Refused)
    assert reason in last.reason


def test_too_many_people_of_sessionize_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "PEOPLE_MAX", 1)
    sessions = [{"id": "1", "title": "Queues", "isServiceSession": False, "speakers": ["a", "b"]}]
    people = [{"id": "a", "fullName": "Ada Byron"}, {"id": "b", "fullName": "Grace Hopper"}]
    read, told = rows(json.dumps({"sessions": sessions, "speakers": people}).encode())
    assert isinstance(read, Accepted)
    assert isinstance(told, Refused)
    assert "more than 1 people" in told.reason


@pytest.mark.parametrize(
    ("speakers", "names"),
    [
        (["Ada Byron (she/her)"], ("Ada Byron",)),
        (["Ada Byron, Grace Hopper"], ("Ada Byron", "Grace Hopper")),
        (["Ada Byron and Grace Hopper"], ("Ada Byron", "Grace Hopper")),
        (["Ada Byron, ACME"], ("Ada Byron, ACME",)),
        (["Byron, Ada", "Ravenna"], ("Ada Byron", "Ravenna")),
        (["Ada Byron, CTO at ACME"], ("Ada Byron",)),
        (["507f1f77bcf86cd799439011", "recQz4bP2a1kXyZ90"], ()),
    ],
)
def test_an_item_in_a_list_of_speakers_may_hold_several(speakers: list[str], names: tuple[str, ...]) -> None:
    (row,) = rows(json.dumps([{"id": "a", "title": "A", "speakers": speakers}]).encode())
    assert isinstance(row, Accepted)
    assert row.video.presenters == names


def test_a_grid_of_sessionize_is_known_by_any_of_its_days() -> None:
    session = {"id": "1", "title": "Queues", "isServiceSession": False, "speakers": [{"name": "Ada Byron"}]}
    days = [{"date": "1", "rooms": []}, {"date": "2", "rooms": [{"name": "Main", "sessions": [session]}]}]
    assert talks(rows(json.dumps(days).encode())) == [("1", "Queues", ("Ada Byron",))]


def test_a_file_that_was_appended_to_another_is_read() -> None:
    row = '\ufeff{"id": "%s", "title": "A"}\n'
    assert [identity for _, identity, _ in accepted((row % "a" + row % "b").encode())] == ["a", "b"]


def test_progress_lines_of_yt_dlp_are_not_rows() -> None:
    data = b'{"id": "a", "title": "A"}\n[download]   0.0% of 1MiB\r[download] 100% of 1MiB\n'
    assert [type(row) for row in rows(data)] == [Accepted]


def test_a_sponsored_talk_is_no_advertisement() -> None:
    assert [title for _, _, title in accepted(b'[{"id": "a", "title": "Sponsored: 5.0 / 30 (Hired)"}]')] == [
        "Sponsored: 5.0 / 30 (Hired)"
    ]


def test_text_in_brackets_after_a_speaker_is_not_part_of_the_name() -> None:
    row = {
        "guid": "g",
        "title": "A",
        "persons": [{"public_name": "Ada Byron (ACME)"}, {"public_name": "G. (Amazing) H."}],
    }
    (read,) = rows(json.dumps([row]).encode())
    assert isinstance(read, Accepted)
    assert read.video.presenters == ("Ada Byron", "G. (Amazing) H.")


@pytest.mark.parametrize(
    "table",
    [
        "| Talk | Speaker |\n|---|---|\n| [Queues](https://youtu.be/Ab3dEfGh1Jk) | Ada Byron |\n",
        "title,speaker\n[Queues](https://youtu.be/Ab3dEfGh1Jk),Ada Byron\n",
        "title,speaker,url\n[Queues](https://example.org/q),Ada Byron,https://youtu.be/Ab3dEfGh1Jk\n",
    ],
)
def test_a_title_that_is_a_link_in_markdown_is_read_as_title_and_address(table: str) -> None:
    (row,) = (row for row in rows(table.encode()) if isinstance(row, Accepted))
    assert (row.video.id, row.video.title, row.video.presenters) == ("Ab3dEfGh1Jk", "Queues", ("Ada Byron",))
    assert row.video.url == "https://youtu.be/Ab3dEfGh1Jk"


def test_an_empty_cell_of_a_database_is_empty() -> None:
    refused, read = rows(b"id,title,description\n1,NULL,d\n2,A,\\N\n")
    assert isinstance(refused, Refused)
    assert isinstance(read, Accepted)
    assert read.video.description == ""


def test_titles_that_are_all_in_quotes_are_read_without_them() -> None:
    assert [title for _, _, title in accepted(b'"Queues, locks"\n"A \\"good\\" test"\n')] == [
        *("Queues, locks", 'A "good" test'),
    ]
    assert [title for _, _, title in accepted(b'"Hello, World!"\nTests\n')] == ['"Hello, World!"', "Tests"]


def test_a_heading_in_a_list_of_titles_is_left_out() -> None:
    assert [type(row) for row in rows(b"# DemoConf\n#noestimates revisited\nTests\n")] == [LeftOut, Accepted, Accepted]


def test_a_list_of_titles_in_latin_1_says_which_lines_are_not_utf_8() -> None:
    refused, read = rows("Ada - Caf\xe9\nTom - Tests\n".encode("latin-1"))
    assert isinstance(refused, Refused)
    assert "iconv" in refused.reason
    assert isinstance(read, Accepted)


@pytest.mark.parametrize(
    ("description", "read"),
    [(["One.", "Two.", None], "One.\nTwo."), ({"de": "Eins.", "en": "One."}, "One.")],
)
def test_a_description_in_paragraphs_or_languages_is_read(description: object, read: str) -> None:
    (row,) = rows(json.dumps([{"id": "a", "title": {"de": "Eins", "en": "One"}, "description": description}]).encode())
    assert isinstance(row, Accepted)
    assert (row.video.title, row.video.description) == ("One", read)


def test_an_invisible_title_counts_as_missing() -> None:
    (row,) = rows('{"id": "a", "title": "\u200b\u2060"}'.encode())
    assert isinstance(row, Refused)
    assert row.reason == "The row has no title."


FLATTENED = (
    "Session Id,Title,Description,Owner,Recording Link,Speaker Id,FirstName,LastName,TagLine,Bio\r\n"
    "101,Queues,About,Ada Byron,https://youtu.be/Ab3dEfGh1Jk,g1,Ada,Byron,t,b\r\n"
    "102,Locks,,Alan Turing,,g3,Alan,Turing,t,b\r\n"
    "101,Queues,About,Ada Byron,https://youtu.be/Ab3dEfGh1Jk,g2,Grace,Hopper,t,b\r\n"
)


def test_a_session_with_a_row_for_each_speaker_is_one_talk_with_all_of_them(tmp_path: Path) -> None:
    reading = manifests.read(io.BytesIO(FLATTENED.encode()), ReadingLimits())
    report = validation.validate(reading, scratch=tmp_path, rejects=io.StringIO(), sample_max=10)
    assert (report.accepted, report.refused, report.repeated) == (2, 0, 1)
    assert [(video.title, video.presenters) for _, video in report.sample] == [
        ("Queues", ("Ada Byron", "Grace Hopper")),
        ("Locks", ("Alan Turing",)),
    ]


def test_rows_with_one_id_and_other_titles_keep_their_own_speakers() -> None:
    read = rows(b"id,title,speaker\n1,A,Ada Byron\n1,A,Grace Hopper\n1,B,Alan Turing\n")
    assert [names for _, _, names in talks(read)] == [*2 * [("Ada Byron", "Grace Hopper")], ("Alan Turing",)]


def test_speakers_of_a_talk_beyond_the_limit_are_refused_and_not_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(references, "TALKS_MAX", 1)
    table = b"id,title,speaker\n1,A,Ada Byron\n1,A,Grace Hopper\n2,B,Alan Turing\n2,B,Ada Byron\n"
    reading = manifests.read(io.BytesIO(table), ReadingLimits())
    report = validation.validate(reading, scratch=tmp_path, rejects=io.StringIO(), sample_max=10)
    assert (report.accepted, report.refused, report.repeated) == (2, 1, 1)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
@pytest.mark.parametrize("name", [*FORMS, *FORMS_WITH_SPEAKERS])
def test_a_sample_is_read_the_same_in_utf_16_with_a_byte_order_mark(name: str, mark: bytes) -> None:
    data = (EVENTS / "forms" / name).read_bytes()
    plain = (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8-sig")
    wide = mark + plain.encode("utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be")
    assert rows(wide) == rows(plain.encode())
    assert rows(gzip.compress(wide)) == rows(plain.encode())


def test_xml_after_blank_lines_is_read() -> None:
    feed = '\n  <?xml version="1.0"?>\n<feed><entry><id>a</id><title>Café</title></entry></feed>'
    assert accepted(feed.encode()) == [(1, "a", "Café")]


def test_xml_that_says_it_is_utf_16_is_read() -> None:
    feed = '<?xml version="1.0" encoding="UTF-16"?>\n<feed><entry><id>a</id><title>Café</title></entry></feed>'
    assert accepted(feed.encode("utf-16")) == [(1, "a", "Café")]


def test_utf_16_that_is_cut_off_or_damaged_is_refused_from_there_on() -> None:
    cut = "id,title\na,A\nb,B\n".encode("utf-16")[:-1]
    assert [type(row) for row in rows(cut)] == [Accepted, Refused]
    damaged = "id,title\na,A\nb,B\n".encode("utf-16-le").replace(b"b\0", b"\0\xd8")
    assert [type(row) for row in rows(codecs.BOM_UTF16_LE + damaged)] == [Accepted, Refused]


def test_a_byte_order_mark_that_was_misread_is_no_part_of_a_column() -> None:
    assert accepted("\xef\xbb\xbfid,title\na,A\n".encode()) == [(2, "a", "A")]


@pytest.mark.parametrize("size", [1, 7, 64 * 1024])
def test_escapes_of_html_are_read_in_xml(size: int) -> None:
    feed = (
        "<rss><channel><item><title>Caf&eacute;&nbsp;A &amp; B &unknown</title><link>https://x.org/a</link></item>"
        "</channel></rss>"
    ).replace("&unknown", "&amp;unknown")
    chunks = [feed.encode()[start : start + size] for start in range(0, len(feed), size)]
    form = xml_rows.xml_form(feed.encode())
    assert form
    ((_, row),) = xml_rows.events(form, chunks, 1_000_000)
    assert row["title"] == "Caf\xe9\xa0A & B &unknown"


def test_an_unknown_escape_breaks_xml_and_is_reported() -> None:
    (row,) = rows(b"<feed><entry><id>a</id><title>A &nothing; B</title></entry></feed>")
    assert isinstance(row, Refused)
    assert "undefined entity" in row.reason


@pytest.mark.parametrize(
    "document",
    [
        {"sessions": [{"id": 1, "title": "A", "speakers": ["ada"]}], "speakers": [{"id": "ada", "name": "Ada Byron"}]},
        {
            "people": [{"slug": "ada", "id": 7, "name": "Ada Byron"}],
            "talks": [{"id": 1, "title": "A", "speaker": "ada"}],
        },
        {"talks": [{"id": 1, "title": "A", "speakers": [7]}], "speakers": [{"id": 7, "name": "Ada Byron"}]},
        {
            "keynotes": [{"id": 1, "title": "A", "speakers": [7]}],
            "talks": [],
            "speakers": [{"id": 7, "first_name": "Ada", "last_name": "Byron"}],
        },
    ],
)
def test_speakers_whom_rows_name_by_a_key_are_found_in_the_list_beside_them(document: dict[str, object]) -> None:
    read = rows(json.dumps(document).encode())
    assert talks(read) == [("1", "A", ("Ada Byron",))]
    assert not [row for row in read if isinstance(row, Refused)]


@pytest.mark.parametrize(
    ("speakers", "names"),
    [
        ("Ada Byron ft. Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron Feat. Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron avec Grace Hopper", ("Ada Byron", "Grace Hopper")),
        ("Ada Byron und andere", ("Ada Byron",)),
        ("Ada Byron, Grace Hopper y otros", ("Ada Byron", "Grace Hopper")),
        ("By Ada Byron", ("Ada Byron",)),
        ("with Ada Byron & Grace Hopper", ("Ada Byron", "Grace Hopper")),
    ],
)
def test_words_around_the_names_of_speakers_are_no_names(speakers: str, names: tuple[str, ...]) -> None:
    (row,) = rows(json.dumps([{"id": "a", "title": "A", "speakers": speakers}]).encode())
    assert isinstance(row, Accepted)
    assert row.video.presenters == names


@pytest.mark.parametrize(
    ("title", "read"), [("A &notanentity; B", "A &notanentity; B"), ("A &not; B", "A ¬ B"), ("&#39;A&#x27;", "'A'")]
)
def test_names_of_escapes_that_html_does_not_have_stay(title: str, read: str) -> None:
    assert accepted(json.dumps([{"id": "a", "title": title}]).encode()) == [(1, "a", read)]


def test_escapes_at_the_ends_of_titles_are_no_punctuation() -> None:
    assert [title for _, _, title in accepted(b"Q&amp;A &lt;live&gt;\nIt&#39;s &quot;code&quot;\n")] == [
        *("Q&A <live>", 'It\'s "code"')
    ]


def test_warnings_of_python_before_json_are_skipped() -> None:
    warned = "/usr/lib/yt_dlp/x.py:5: DeprecationWarning: old\n  warnings.warn('old')\n"
    assert accepted(f'{warned}[{{"id": "a", "title": "A"}}]\n'.encode()) == [(1, "a", "A")]


@pytest.mark.parametrize("indent", [None, 9])
def test_warnings_of_several_lines_are_skipped(indent: int | None) -> None:
    warned = "WARNING: [youtube] a: nsig extraction failed\n         n = 4eTN ; player = https://example.org/base.js\n"
    document = json.dumps({"entries": [{"id": "a", "title": "A", "tags": [None, True, 1]}]}, indent=indent)
    assert accepted(f"{warned}{document}\n".encode()) == [(1, "a", "A")]


@pytest.mark.parametrize(
    "table",
    [
        "id,title,Start time,Room\n1,Lunch,12:00,Main\n2,Queues,13:00,Main\n",
        '[{"id": "1", "title": "Snídaně", "start": "9", "end": "10"}, {"id": "2", "title": "Queues", "start": "1"}]',
        "event_key,event_name,event_start,venue\n1,Lunch,12:00,Main\n2,Queues,13:00,Main\n",
        '[{"id": "1", "title": "At the bar", "type": "break"}, {"id": "2", "title": "Queues", "type": "talk"}]',
    ],
)
def test_breaks_of_a_schedule_without_speakers_are_left_out(table: str) -> None:
    assert [type(row) for row in rows(table.encode())] == [LeftOut, Accepted]


def test_a_video_that_is_called_lunch_is_no_break_outside_a_schedule() -> None:
    assert accepted(b'[{"id": "a", "title": "Lunch", "url": "https://youtu.be/Ab3dEfGh1Jk"}]') == [(1, "a", "Lunch")]


def test_an_address_that_a_spreadsheet_broke_is_ignored() -> None:
    refused, read = rows(b"id,title,url\n,A,#NAME?\n5,B,#DIV/0!\n")
    assert isinstance(refused, Refused)
    assert "its address “#NAME?” is what a spreadsheet shows" in refused.reason
    assert isinstance(read, Accepted)
    assert read.video.url is None


def test_objects_that_share_a_line_are_read_one_by_one() -> None:
    row = '{"id": "%s", "title": "A"}'
    data = row % "a" + row % "b" + "\n" + row % "c" + "\n" + row % "d" + "\n"
    assert [identity for _, identity, _ in accepted(data.encode())] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("kind", ["playlist", "channel"])
def test_an_entry_that_an_api_calls_a_playlist_or_channel_is_no_talk(kind: str) -> None:
    (row,) = rows(json.dumps([{"type": kind, "title": "DemoConf", "id": "PL1"}]).encode())
    assert isinstance(row, Refused)
    assert "a channel or a playlist" in row.reason


TALK = {"id": "1", "title": "Queues"}
OTHER = {"id": "2", "title": "Locks"}
ROOM = {"id": "3", "name": "Main hall"}


@pytest.mark.parametrize(
    "document",
    [
        {"days": [{"date": "1", "talks": [TALK]}, {"date": "2", "talks": [OTHER]}]},
        {"conference": {"2019": {"talks": [TALK]}, "2020": {"talks": [OTHER]}}},
        {"schedule": [{"time": "10:00", "slots": [TALK]}, {"time": "11:00", "slots": []}, {"slots": [OTHER]}]},
        {"schedule": {"conference": {"days": [{"rooms": [{"name": "Main hall", "events": [TALK, OTHER]}]}]}}},
        {"data": {"talks": [TALK], "keynotes": [OTHER]}},
        {"data": {"rooms": [ROOM], "talks": [TALK, OTHER]}},
        {"a": {"b": {"c": {"d": {"e": [TALK, OTHER]}}}}},
    ],
    ids=["days", "years", "slots", "rooms", "two lists", "rooms beside", "deep"],
)
def test_lists_of_talks_are_found_wherever_a_document_has_them(document: dict[str, object]) -> None:
    assert [identity for _, identity, _ in accepted(json.dumps(document).encode())] == ["1", "2"]


def test_a_document_with_talks_beside_lists_of_something_else_is_refused_and_none_is_lost() -> None:
    document = {"data": {"talks": [TALK], "keynotes": [OTHER], "rooms": [ROOM]}}
    with pytest.raises(NotAManifest, match=r"jq -c '\.data\.talks\[\], \.data\.keynotes\[\]' OLD"):
        rows(json.dumps(document).encode())


def test_the_command_in_a_refusal_quotes_the_names_in_the_file() -> None:
    document = {"data": {"talks": [TALK], "'; reboot; '": [OTHER], "rooms": [ROOM]}}
    with pytest.raises(NotAManifest) as refused:
        rows(json.dumps(document).encode())
    words = shlex.split(str(refused.value).partition("Extract them: ")[2])
    assert words == ["jq", "-c", ".data.talks[], .data.'; reboot; '[]", "OLD", ">", "NEW.jsonl"]


def test_links_of_talks_are_not_mistaken_for_talks() -> None:
    talk = {"title": "Queues", "links": [{"title": "Slides", "url": "https://example.org/slides"}]}
    assert accepted(json.dumps({"talks": [talk]}).encode()) == []


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": "a", "title": "A, ]",}, {"id": "b", "title": "B", "tags": ["x" , ],},]',
        '{"id": "a", "title": "A, ]",}\n{"id": "b", "title": "B",}\n',
        '{"items": [{"id": "a", "title": "A, ]",}, {"id": "b", "title": "B"}],}',
    ],
    ids=["array", "lines", "object"],
)
def test_commas_before_closing_brackets_are_ignored(text: str) -> None:
    assert [found[1:] for found in accepted(text.encode())] == [("a", "A, ]"), ("b", "B")]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_broken_row_does_not_hide_the_documents_form(indent: int | None) -> None:
    events = [{**TALK, "persons": []}, {"id": 5, "title": "BROKEN", "persons": []}, {**OTHER, "persons": []}]
    schedule = {"schedule": {"conference": {"days": [{"index": 1, "rooms": {"A": events}}]}}}
    read = rows(json.dumps(schedule, indent=indent).replace('"BROKEN"', "'é'").encode())
    assert [type(row) for row in read] == [Accepted, Refused, Accepted]


@pytest.mark.parametrize(
    "text",
    [
        "id: a\ntitle: 'Queues: all'\nspeakers:\n  - Ada Byron\n",
        '---\r\n# A talk\r\nid: a\r\nspeakers:\r\n- name: Ada Byron\r\n\r\ntitle: "Queues: all"\r\n',
        "conference: X\nyear: 2020\n\ntalks:\n  - id: a\n    title: 'Queues: all'\n    speakers: [Ada Byron]\n",
        "title: X\ntalks: \n- id: a\n  title: 'Queues: all'\n  speakers: Ada Byron\n",
    ],
    ids=["one talk", "one talk, title last", "after other names", "after a title"],
)
def test_yaml_of_one_talk_or_with_other_names_before_its_list_is_read(text: str) -> None:
    assert talks(rows(text.encode())) == [("a", "Queues: all", ("Ada Byron",))]


def test_each_document_of_yaml_is_a_talk() -> None:
    text = "---\nid: a\ntitle: Queues\n---\nid: b\ntitle: Locks\n"
    assert [found[1:] for found in accepted(text.encode())] == [("a", "Queues"), ("b", "Locks")]


def test_an_empty_document_of_yaml_is_no_row() -> None:
    read = rows(b"---\ntitle: A\nyoutube: Ab3dEfGh1Jk\n---\n---\ntitle: B\nyoutube: -l9mNoPq2Rs\n---\n")
    assert [identity for identity, _, _ in talks(read)] == ["Ab3dEfGh1Jk", "-l9mNoPq2Rs"]
    assert len(read) == 2


def test_lines_with_colons_are_titles_and_not_yaml() -> None:
    lines = ["Keynote: what is next", "Title: how to find one", "Python: past and future"]
    assert [title for _, _, title in accepted("\n".join(lines).encode())] == lines


@pytest.mark.parametrize("title", ["Queues | Ada Byron", "第1回 講演 山田太郎"])
def test_a_list_may_have_one_title(title: str) -> None:
    assert accepted(title.encode()) == [(1, title, title)]


@pytest.mark.parametrize("line", ["Queues", "Nom,Sujet du talk", "This is not a manifest."])
def test_a_word_a_header_and_a_sentence_are_no_list_of_titles(line: str) -> None:
    with pytest.raises(NotAManifest):
        rows(line.encode())


@pytest.mark.parametrize(
    "document",
    [
        {"id": {"0": "a", "1": "b"}, "title": {"0": "A", "1": "B"}},
        {"columns": ["id", "title"], "index": [0], "data": [["a", "A"]]},
    ],
)
def test_a_pandas_table_is_refused_with_how_to_write_it(document: dict[str, object]) -> None:
    with pytest.raises(NotAManifest, match="lines=True"):
        rows(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"type": "folder", "video": None, "folder": {"uri": "/users/1/projects/5"}}, "a folder, not a video"),
        ({"recordings": [{"size": 1}]}, "the entries of its list “recordings” have none either"),
    ],
)
def test_a_row_without_a_video_is_refused_with_what_it_contains(row: dict[str, object], reason: str) -> None:
    (read,) = rows(json.dumps([row]).encode())
    assert isinstance(read, Refused)
    assert reason in read.reason


def test_speakers_who_are_named_need_no_list_of_people() -> None:
    document = {"talks": [{"id": 1, "title": "A", "speakers": ["Ada Byron"]}], "speakers": ["Ada Byron"]}
    assert talks(rows(json.dumps(document).encode())) == [("1", "A", ("Ada Byron",))]
