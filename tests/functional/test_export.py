"""`titlecard export`: the selection, the order and the format of talks."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO

import pytest
from tests.functional.finished import Console, ended, exports, say, talk
from tests.functional.world import PROJECT, World

from titlecard import manifests
from titlecard.aws.dynamodb.catalog.table import READ_THREADS
from titlecard.domain.batch import RowState
from titlecard.domain.video import Video
from titlecard.manifests import Accepted
from titlecard_console.errors import CommandError
from titlecard_console.export import fixture, harmless, pyvideo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@pytest.fixture
def console(world: World, monkeypatch: pytest.MonkeyPatch) -> Console:
    return Console(world, monkeypatch)


# ------------------------------------------------------------------------------------------------------------- which


def test_a_batch_gives_every_row_in_the_manifests_order(world: World, console: Console) -> None:
    batch = ended(world, {"b": talk("Linkers"), "a": RowState.DEAD, "c": talk("Loaders")})
    lines = console.objects("export", "--batch", batch.id)
    assert [(it["id"], it["state"], it["title"]) for it in lines] == [
        ("b", "parsed", "Linkers"),
        ("a", "dead", None),
        ("c", "parsed", "Loaders"),
    ]


def test_a_project_gives_each_video_once_as_its_newest_batch_has_it(world: World, console: Console) -> None:
    ended(world, {"a": talk("Old"), "b": talk("Linkers")})
    newer = ended(world, {"c": talk("Loaders"), "a": talk("New")}, mark="e" * 32)
    ended(world, {"a": talk("Of somebody else")}, project="elsewhere")
    world.catalog.finish(newer)
    lines = console.objects("export", "--project", PROJECT)
    assert [(it["id"], it["title"]) for it in lines] == [("b", "Linkers"), ("c", "Loaders"), ("a", "New")]


def test_the_order_of_a_project_stays_when_its_batches_are_finished(world: World, console: Console) -> None:
    batches = [ended(world, {video: talk(video)}, name=f"{video}.jsonl") for video in "abc"]
    before = console.said("export", "--project", PROJECT)
    for batch in (batches[1], batches[0]):
        world.clock.forward(60)
        world.catalog.finish(batch)
    assert console.said("export", "--project", PROJECT) == before


def test_since_selects_rows_that_have_ended_or_were_answered_since(world: World, console: Console) -> None:
    ended(world, {"a": talk("Linkers"), "b": talk("Loaders")})
    world.clock.forward(3600)
    moment = world.clock()
    ended(world, {"c": talk("Lexers")})
    say(world, "b", "Loaders, by hand")
    lines = console.objects("export", "--project", PROJECT, "--since", moment.isoformat())
    assert [(it["id"], it["title"]) for it in lines] == [("b", "Loaders, by hand"), ("c", "Lexers")]


def test_a_time_without_an_offset_is_utc(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk()})
    naive = world.clock().replace(tzinfo=None)
    exactly, later = (f"{naive + timedelta(seconds=it):%Y-%m-%dT%H:%M:%S}" for it in (0, 1))
    assert len(console.objects("export", "--batch", batch.id, "--since", exactly)) == 1
    assert console.objects("export", "--batch", batch.id, "--since", later) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--batch BATCH or --project PROJECT"),
        (["--batch", "a", "--project", "b"], "contradict each other"),
        (["--batch", "nothing"], "no batch 'nothing'"),
        (["--project", "nobody"], "'nobody' has no batches"),
        (["--project", "a", "--since", "yesterday"], "write a date or a time"),
        (["--project", "a", "--since", "9999-12-31T23:59:59-23:59"], "write a date or a time"),
        (["--project", "a", "--since", "0001-01-01T00:00:00+23:59"], "write a date or a time"),
    ],
)
def test_an_impossible_export_is_refused_with_a_sentence(console: Console, words: list[str], sentence: str) -> None:
    done = console.type("export", *words)
    assert isinstance(done.exception, CommandError)
    assert sentence in str(done.exception)


# ------------------------------------------------------------------------------------------------------------- forms


HOSTILE = [
    '=HYPERLINK("https://evil.example";"click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
]


@pytest.mark.parametrize("title", HOSTILE)
def test_a_title_that_a_spreadsheet_would_calculate_becomes_text(title: str) -> None:
    assert harmless(title) == f"'{title}"


@pytest.mark.parametrize("title", [*(title.strip() for title in HOSTILE), "'=1", "''+x", "'quoted'", "-O3 or not"])
def test_a_cell_is_read_back_as_it_was_before_the_export(world: World, console: Console, title: str) -> None:
    batch = ended(world, {"-Ab3dEfGh1J": talk(title, "@ada")})
    text = console.type("export", "--batch", batch.id, "--format", "csv").stdout_bytes
    (row,) = manifests.read(io.BytesIO(text), manifests.ReadingLimits())
    assert isinstance(row, manifests.Accepted)
    assert (row.video.id, row.video.title, row.video.presenters) == ("-Ab3dEfGh1J", title, ("@ada",))


@pytest.mark.parametrize("title", ["C++ = fun", "1 - 2", "a@b", ""])
def test_a_title_that_a_spreadsheet_would_not_calculate_is_left_alone(title: str) -> None:
    assert harmless(title) == title


def test_a_table_of_hostile_talks_has_no_formula_in_any_cell(world: World, console: Console) -> None:
    talks = {f"-video{n}": talk(title, title, review=title) for n, title in enumerate(HOSTILE)}
    batch = ended(world, talks)
    text = console.type("export", "--batch", batch.id, "--format", "csv").stdout_bytes.decode()
    header, *rows = csv.reader(text.splitlines(keepends=True))
    assert header == ["id", "title", "presenters", "tier", "confidence", "review", "batch", "changed_at"]
    assert [row[1] for row in rows] == [f"'{title}" for title in HOSTILE]
    assert [row[0] for row in rows] == list(talks)
    assert not [cell for row in rows for cell in row[1:] if cell[:1] in set("=+-@\t\r\n\uff1d")]


def test_separators_and_quotes_do_not_break_out_of_a_cell(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk('Say "no", twice; =1+1', "Ada; Byron", 'O"Hara, S.')})
    text = console.said("export", "--batch", batch.id, "--format", "csv")
    (row,) = list(csv.reader(text.splitlines(keepends=True)))[1:]
    assert row[1:3] == ['Say "no", twice; =1+1', 'Ada; Byron; O"Hara, S.']
    assert all(line.startswith('"') for line in text.splitlines())


def test_a_django_fixture_has_a_record_for_every_talk_and_for_nothing_else(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk("Linkers", "Ada Byron", review="low_confidence"), "b": RowState.DEAD})
    text = console.said("export", "--batch", batch.id, "--format", "django-fixture", "--model", "videos.talk")
    fields = {"title": "Linkers", "presenters": ["Ada Byron"], "tier": "local", "confidence": 0.97}
    assert json.loads(text) == [{"model": "videos.talk", "pk": "a", "fields": fields | {"review": "low_confidence"}}]


def exported(
    write: Callable[[Iterable[tuple[Any, Accepted]], TextIO], object],
    rows: list[tuple[dict[str, Any], list[str]]],
    *presenters: str,
) -> list[dict[str, Any]]:
    """Export talks by these presenters, with rows and the presenters that the rows name; return the records."""
    results = []
    for number, (record, known) in enumerate(rows, 1):
        video = Video(id=str(number), title="Raw", presenters=tuple(known))
        result = SimpleNamespace(talk=talk("Linkers", *presenters), row=SimpleNamespace(video=video.id))
        results.append((result, Accepted(number, video, record)))
    sink = io.StringIO()
    write(results, sink)
    return list(json.loads(sink.getvalue()))


def test_a_pyvideo_record_keeps_its_speakers_and_fields() -> None:
    known = {"title": "Raw", "speakers": ["Ada Byron"], "tags": ["x"], "language": "eng", "videos": [{"url": "x"}]}
    open_ = {**known, "speakers": ["Various speakers"]}
    written = exported(pyvideo, [(known, ["Ada Byron"]), (open_, [])], "Grace Hopper")
    assert written == [{**known, "title": "Linkers"}, {**open_, "title": "Linkers", "speakers": ["Grace Hopper"]}]


def test_a_dumpdata_record_keeps_its_model_key_and_fields() -> None:
    fields = {"title": "Raw", "slug": "raw", "speakers": [3]}
    record = {"model": "talks.talk", "pk": 2**60, "fields": fields}
    written = exported(fixture, [(record, ["Ada Byron"])], "Grace Hopper")
    assert written == [{**record, "fields": {**fields, "title": "Linkers"}}]


def test_a_fixture_of_ours_that_is_uploaded_again_takes_the_new_talk() -> None:
    fields = {"title": "Raw", "presenters": [], "tier": "local", "confidence": 0.1, "review": "low_confidence"}
    written = exported(fixture, [({"model": "titlecard.talk", "pk": "a", "fields": fields}, [])], "Grace Hopper")
    assert written[0]["fields"] == {
        "title": "Linkers",
        "presenters": ["Grace Hopper"],
        "tier": "local",
        "confidence": 0.97,
        "review": "",
    }


def test_a_row_with_the_names_but_not_the_values_of_a_record_is_not_a_record() -> None:
    row = {"title": "Raw", "model": "A1", "fields": "optics", "videos": "none"}
    (record,) = exported(fixture, [(row, [])], "Grace Hopper")
    assert (record["model"], record["pk"], record["fields"]["title"]) == ("titlecard.talk", "1", "Linkers")
    assert exported(pyvideo, [(row, [])], "Grace Hopper") == []  # it has no address


def test_pyvideos_records_hold_what_the_manifest_says(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk("Linkers", "Ada Byron", "Ada Byron")})
    text = console.said("export", "--batch", batch.id, "--format", "pyvideo")
    assert json.loads(text) == [
        {
            "description": "As uploaded.",
            "related_urls": [],
            "speakers": ["Ada Byron"],
            "tags": [],
            "title": "Linkers",
            "videos": [{"type": "other", "url": "https://example.org/a"}],
        }
    ]


def test_pyvideos_records_can_be_uploaded_again(world: World, console: Console, tmp_path: Path) -> None:
    batch = ended(world, {"dQw4w9WgXcQ": talk("Linkers")})
    delete(world, batch.upload.key, batch.upload.version)
    file = tmp_path / "pyvideo.json"
    console.said("export", "--batch", batch.id, "--format", "pyvideo", "--output", str(file))
    limits = manifests.ReadingLimits(row_max_bytes=100_000, total_max_bytes=100_000, max_ratio=100)
    with file.open("rb") as stream:
        (row,) = manifests.read(stream, limits)
    assert isinstance(row, manifests.Accepted)
    assert (row.video.id, row.video.title) == ("dQw4w9WgXcQ", "Linkers")


def test_a_talk_without_an_address_is_left_out_of_pyvideo_records_and_reported(world: World, console: Console) -> None:
    batch = ended(world, {"no-address": talk()})
    delete(world, batch.upload.key, batch.upload.version)
    done = console.type("export", "--batch", batch.id, "--format", "pyvideo")
    assert json.loads(done.stdout) == []
    assert "1 talk was left out" in done.stderr


@pytest.mark.parametrize("form", ["pyvideo", "django-fixture"])
def test_a_batch_without_talks_is_exported_as_an_empty_list(world: World, console: Console, form: str) -> None:
    batch = ended(world, {})
    assert json.loads(console.said("export", "--batch", batch.id, "--format", form)) == []


# ------------------------------------------------------------------------------------------------------------- files


def test_a_file_appears_when_it_is_complete(
    world: World, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = ended(world, {"a": talk()})
    file = tmp_path / "talks.jsonl"
    file.write_text("as it was", encoding="utf-8")

    def broken(*_: Any) -> None:  # noqa: ANN401 -- as the function that it stands for
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("titlecard_console.export.json_lines", broken)
        assert isinstance(console.type("export", "--batch", batch.id, "--output", str(file)).exception, OSError)
    assert file.read_text(encoding="utf-8") == "as it was"
    console.said("export", "--batch", batch.id, "--output", str(file))
    assert json.loads(file.read_text(encoding="utf-8"))["id"] == "a"


def test_memory_does_not_grow_with_the_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line is written when few of the 40 rows have been looked up."""
    monkeypatch.setattr("titlecard.aws.dynamodb.catalog.results.ROWS_PER_GET", 1)
    batch = ended(world, {f"v{number}": talk() for number in range(40)})
    world.wire.calls.clear()
    results = exports(world).results(batch)
    next(results)
    assert 1 <= world.wire.calls.count("BatchGetItem") <= READ_THREADS + 1


def delete(world: World, key: str, version: str) -> None:
    world.s3.delete_object(Bucket=world.bucket, Key=key, VersionId=version)
