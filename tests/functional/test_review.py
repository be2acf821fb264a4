"""Review: the talks that need a person, and the effect of a person's answer."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from tests.functional.finished import Console, end, ended, exports, reviews, say, talk
from tests.functional.world import PROJECT, World, received, videos
from typer.testing import CliRunner

from titlecard.aws.dynamodb.catalog.reviews import ANSWER_MAX_BYTES, HISTORY_MAX
from titlecard.domain.batch import RowState
from titlecard.domain.errors import AnswerTooLong
from titlecard.domain.video import Tier, Video
from titlecard.pipeline.lines import of_result, of_row
from titlecard_console.cli import app
from titlecard_console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from titlecard.aws.dynamodb.catalog.reviews import VideoSummary
    from titlecard.llm import ModelTier


@pytest.fixture
def console(world: World, monkeypatch: pytest.MonkeyPatch) -> Console:
    return Console(world, monkeypatch)


# ------------------------------------------------------------------------------------------------------------ the list


def test_flagged_talks_are_listed_beside_what_was_uploaded(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk("Linkers", "Ada Byron", review="low_confidence"), "b": talk()})
    (it,) = console.objects("review", "--batch", batch.id, "--json")
    assert (it["id"], it["row"], it["review"], it["title"]) == ("a", 1, "low_confidence", "Linkers")
    assert (it["uploaded"]["title"], it["uploaded"]["description"]) == ("a: raw title", "As uploaded.")


def test_people_see_both_titles_the_names_and_the_description(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk("Linkers", "Ada Byron", review="ungrounded")})
    text = console.said("review")
    for told in ("ungrounded", "a: raw title", "Linkers", "Ada Byron", "As uploaded.", batch.id):
        assert told in text


def test_only_the_current_talk_of_a_video_is_listed(world: World, console: Console) -> None:
    ended(world, {"a": talk("Old", review="low_confidence")})
    ended(world, {"a": talk("New", review="low_confidence")}, mark="e" * 32)
    assert [it["title"] for it in console.objects("review", "--project", PROJECT, "--json")] == ["New"]


def test_titles_of_one_layout_are_listed_together(world: World, console: Console) -> None:
    titles = ["Ada - Engines | X", "Compilers (Grace)", "Bob - Loops | X", "Linkers"]
    batch, messages = world.batch(*(Video(id=f"v{n}", title=title) for n, title in enumerate(titles)))
    end(world, batch, messages, [talk(review="low_confidence")] * 4)
    listed = console.objects("review", "--batch", batch.id, "--json")
    assert [(it["id"], it["layout"]) for it in listed] == [
        ("v0", "… - … | …"),
        ("v2", "… - … | …"),
        ("v1", "… (…)"),
        ("v3", "…"),
    ]
    assert console.said("review").startswith("2 titles of the layout … - … | …\n")


def test_a_talk_whose_manifest_was_deleted_is_still_listed(world: World, console: Console) -> None:
    upload = ended(world, {"a": talk("Linkers", review="low_confidence")}).upload
    world.s3.delete_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
    assert "the manifest was deleted" in console.said("review")


def test_a_long_title_is_cut_for_people_and_whole_for_programs(world: World, console: Console) -> None:
    ended(world, {"a": talk("x" * 50_000, review="low_confidence")})
    assert max(map(len, console.said("review").splitlines())) < 1_000
    assert [len(it["title"]) for it in console.objects("review", "--json")] == [50_000]


def test_terminal_sequences_in_a_title_are_not_printed(world: World, console: Console) -> None:
    ended(world, {"a": talk("\x1b[2Jgone\u202e", review="low_confidence")})
    assert not {"\x1b", "\u202e"} & set(console.said("review"))


# ---------------------------------------------------------------------------------------------------------- the answer


def test_an_accepted_talk_is_a_persons_and_no_longer_listed(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk("Linkers", "Ada Byron", review="low_confidence")})
    console.said("review", "accept", "a", "--project", PROJECT)
    (line,) = console.objects("export", "--batch", batch.id)
    assert (line["title"], line["presenters"], line["tier"], line["review"]) == (
        "Linkers",
        ["Ada Byron"],
        "person",
        None,
    )
    assert console.objects("review", "--json") == []


@pytest.mark.parametrize(
    ("words", "title", "presenters"),
    [
        (["--title", "Loaders"], "Loaders", ["Ada Byron"]),
        (["--presenter", "Grace  Hopper", "--presenter", "Ada Byron"], "Linkers", ["Grace Hopper", "Ada Byron"]),
        (["--nobody"], "Linkers", []),
        (["--title", " Loaders ", "--nobody"], "Loaders", []),
    ],
)
def test_setting_one_field_keeps_the_others(
    world: World, console: Console, words: list[str], title: str, presenters: list[str]
) -> None:
    ended(world, {"a": talk("Linkers", "Ada Byron", review="low_confidence")})
    (said,) = console.objects("review", "set", "a", "--project", PROJECT, *words, "--json")
    assert (said["title"], said["presenters"]) == (title, presenters)


def test_an_answer_keeps_its_author_and_time(world: World, console: Console) -> None:
    ended(world, {"a": talk()})
    (said,) = console.objects("review", "accept", "a", "--project", PROJECT, "--json")
    summary = reviews(world).summary(PROJECT, "a")
    assert summary.answer is not None
    assert (summary.answer.by, summary.answer.at) == (said["by"], said["at"])
    assert "arn:aws:" in said["by"]


def test_a_person_may_answer_for_a_dead_video(world: World, console: Console) -> None:
    batch = ended(world, {"a": RowState.DEAD})
    console.said("review", "set", "a", "--project", PROJECT, "--title", "Linkers")
    (line,) = console.objects("export", "--batch", batch.id)
    assert (line["state"], line["title"], line["tier"], line["reason"]) == ("parsed", "Linkers", "person", None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["accept", "unknown"], "no video 'unknown'"),
        (["set", "a"], "--title, --presenter or --nobody"),
        (["set", "a", "--nobody", "--presenter", "Ada"], "contradict"),
        (["set", "a", "--title", "\u200b"], "--title is empty"),
        (["set", "a", "--title", "x" * 16_385], "more than 16,384 bytes"),
        (["accept", "b", "c"], f"`titlecard review set --project {PROJECT} --title TITLE -- c` gives it one"),
        (["accept", "b", "a"], "a was left unchanged: its title and presenters would have more than 16,384 bytes"),
    ],
)
def test_an_impossible_answer_is_refused(world: World, console: Console, words: list[str], sentence: str) -> None:
    ended(world, {"a": talk("x" * 16_385), "b": talk(), "c": RowState.DEAD})
    done = console.type("review", *words, "--project", PROJECT)
    assert isinstance(done.exception, CommandError | AnswerTooLong)
    assert sentence in str(done.exception)
    assert [summary_of(world, video).answer for video in "abc"] == [None, None, None]


# ------------------------------------------------------------------------------------------------------- no later parse


def test_a_later_parse_does_not_overwrite_a_persons_answer(world: World, tier: ModelTier) -> None:
    (video,) = videos(1)
    _, (message,) = world.batch(video)
    world.parser(tier, tier_policy="local").work([received(message)], lambda: 90)
    say(world, video.id, "What I said", "Ada Byron")
    changed = video.model_copy(update={"title": "Quite another title by Alan Turing | PyCon 2020"})
    batch, (again,) = world.batch(changed)
    world.parser(tier, tier_policy="local").work([received(again)], lambda: 90)
    (line,) = [of_result(result) for result in exports(world).results(batch)]
    assert (line["title"], line["presenters"], line["tier"]) == ("What I said", ["Ada Byron"], Tier.PERSON)


def test_run_shows_a_persons_answer(world: World) -> None:
    batch = ended(world, {"a": talk("Linkers", review="low_confidence"), "b": RowState.DEAD})
    for video in "ab":
        say(world, video, f"By hand: {video}")
    lines = [json.loads(of_row(result)) for result in exports(world).results(batch)]
    assert [(it["state"], it["title"], it["tier"], it["review"]) for it in lines] == [
        ("parsed", "By hand: a", "person", None),
        ("parsed", "By hand: b", "person", None),
    ]


def test_a_persons_latest_answer_is_valid_and_earlier_ones_are_kept(world: World) -> None:
    batch = ended(world, {"a": talk()})
    for title in ("First", "Second"):
        say(world, "a", title)
    (result,) = exports(world).results(batch)
    key = {"pk": f"video#{PROJECT}#a", "sk": "person"}
    history: Any = world.db.get_item(TableName=world.names["CatalogTable"], Key=key)["Item"]["history"]
    assert result.talk is not None
    assert (result.talk.title, [it["title"] for it in history]) == ("Second", ["First", "Second"])


def test_history_keeps_the_newest_answers_and_fits_into_an_item(world: World) -> None:
    ended(world, {"a": talk()})
    titles = [f"{number:03}{'x' * (ANSWER_MAX_BYTES - 3)}" for number in range(HISTORY_MAX + 3)]
    for title in titles:
        say(world, "a", title)
    key = {"pk": f"video#{PROJECT}#a", "sk": "person"}
    item: Any = world.db.get_item(TableName=world.names["CatalogTable"], Key=key)["Item"]
    assert [it["title"] for it in item["history"]] == titles[-HISTORY_MAX:]
    assert len(json.dumps(item)) < 400 * 1024


def test_a_persons_answer_does_not_make_a_superseded_row_a_talk(world: World) -> None:
    batch = ended(world, {"a": RowState.SUPERSEDED})
    say(world, "a", "Linkers")
    (result,) = exports(world).results(batch)
    assert (result.state, result.talk) == (RowState.SUPERSEDED, None)


# --------------------------------------------------------------------------------------------------- in a spreadsheet


def sheet(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def save(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # the encoding in which Excel saves CSV
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def written(world: World, console: Console, tmp_path: Path) -> Path:
    """Write a sheet of two flagged talks."""
    flagged = {it: talk(f"Linkers {it}", "Ada Byron", review="low_confidence") for it in "ab"}
    ended(world, flagged | {"c": talk()})
    console.said("review", "--output", str(tmp_path / "review.csv"))
    return tmp_path / "review.csv"


def test_sheet_holds_the_flagged_talks_beside_their_raw_titles(written: Path) -> None:
    assert [(it["id"], it["raw_title"], it["title"], it["presenters"]) for it in sheet(written)] == [
        ("a", "a: raw title", "Linkers a", "Ada Byron"),
        ("b", "b: raw title", "Linkers b", "Ada Byron"),
    ]


def test_a_sheet_is_replaced_only_if_a_person_agrees(console: Console, written: Path) -> None:
    first, second = sheet(written)
    save(written, [first | {"title": "Loaders"}, second])
    refused = console.type("review", "--output", str(written))
    assert "add --yes" in str(refused.exception)
    assert sheet(written)[0]["title"] == "Loaders"
    console.said("review", "--output", str(written), "--yes")
    assert sheet(written)[0]["title"] == "Linkers a"


def test_only_changed_rows_of_a_sheet_are_applied(world: World, console: Console, written: Path) -> None:
    first, second = sheet(written)
    save(written, [first | {"title": "Loaders", "presenters": "Ada Byron; Grace Hopper"}, second])
    assert "1 change applied" in console.type("review", "--apply", str(written), "--yes").stderr
    assert summary_of(world, "a").answer is not None
    assert summary_of(world, "b").answer is None
    (it,) = (it for it in console.objects("export", "--project", PROJECT) if it["id"] == "a")
    assert (it["title"], it["presenters"]) == ("Loaders", ["Ada Byron", "Grace Hopper"])


@pytest.mark.parametrize(("encoding", "separator"), [("utf-16", "\t"), ("utf-8-sig", ";"), ("utf-8", ",")])
def test_a_sheet_is_applied_in_any_form_that_a_spreadsheet_saves(
    console: Console, written: Path, encoding: str, separator: str
) -> None:
    first, second = sheet(written)
    with written.open("w", encoding=encoding, newline="") as sink:
        writer = csv.DictWriter(sink, list(first), delimiter=separator)
        writer.writeheader()
        writer.writerows([first | {"title": "Loaders", "presenters": "Zoë; Ada Byron"}, second])
    assert "1 change applied" in console.type("review", "--apply", str(written), "--yes").stderr
    (it,) = (it for it in console.objects("export", "--project", PROJECT) if it["id"] == "a")
    assert (it["title"], it["presenters"]) == ("Loaders", ["Zoë", "Ada Byron"])


def test_an_unchanged_sheet_applies_nothing_and_asks_nothing(world: World, console: Console, written: Path) -> None:
    save(written, sheet(written))
    done = console.type("review", "--apply", str(written))
    assert (done.exit_code, "0 changes applied" in done.stderr) == (0, True)
    assert summary_of(world, "a").answer is None


@pytest.mark.parametrize(
    ("title", "presenters"),
    [
        ("Linkers", ["Smith; John", "Ada Byron"]),
        ("Linkers  and loaders", ["Ada  Byron"]),
        ("Cafe\u0301", ["Jose\u0301"]),
        ("Zero\u200bwidth", ["Ada\u200b Byron"]),
        ("\ttab", [" Ada Byron "]),
        ("two\r\nlines", ["Ada\nByron", ""]),
        ("'=x", ["'-a"]),
        ("=1+1", ["=cmd|' /C calc'!A0"]),
        ("", ["Ada Byron"]),
    ],
)
def test_an_unchanged_row_changes_no_talk(
    world: World, console: Console, tmp_path: Path, title: str, presenters: list[str]
) -> None:
    ended(world, {"a": talk(title, *presenters, review="low_confidence")})
    path = tmp_path / "review.csv"
    console.said("review", "--output", str(path))
    done = console.type("review", "--apply", str(path), "--yes")
    assert (done.exit_code, "0 changes applied, 0 rows left" in done.stderr) == (0, True)
    assert summary_of(world, "a").answer is None


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_line_ends_that_a_spreadsheet_alters_are_no_change(
    world: World, console: Console, tmp_path: Path, line_end: str
) -> None:
    ended(world, {"a": talk("two\r\nlines", "Ada\nByron", review="low_confidence")})
    path = tmp_path / "review.csv"
    console.said("review", "--output", str(path))
    path.write_bytes(line_end.join(path.read_bytes().decode().splitlines()).encode())
    assert "0 changes applied, 0 rows left" in console.type("review", "--apply", str(path), "--yes").stderr


def test_an_unchanged_cell_of_a_changed_row_keeps_its_field(world: World, console: Console, tmp_path: Path) -> None:
    ended(world, {it: talk("Linkers  and loaders", "Smith; John", review="low_confidence") for it in "ab"})
    path = tmp_path / "review.csv"
    console.said("review", "--output", str(path))
    first, second = sheet(path)
    save(path, [first | {"title": "Loaders"}, second | {"presenters": "Ada Byron; John Smith"}])
    console.said("review", "--apply", str(path), "--yes")
    assert [(it.title, it.presenters) for video in "ab" if (it := summary_of(world, video).answer)] == [
        ("Loaders", ("Smith; John",)),
        ("Linkers  and loaders", ("Ada Byron", "John Smith")),
    ]


def test_a_title_that_is_too_long_to_store_is_left_and_the_others_are_applied(
    world: World, console: Console, written: Path
) -> None:
    first, second = sheet(written)
    save(written, [first | {"title": "x" * 140_000}, second | {"title": "x" * 12_000}])  # Python's csv stops at 131,072
    done = console.type("review", "--apply", str(written), "--yes")
    assert "line 2: a was left unchanged: its title and presenters would have more than 16,384 bytes." in done.stderr
    assert [summary_of(world, video).answer is not None for video in "ab"] == [False, True]


@pytest.mark.usefixtures("console")
def test_a_sheet_is_applied_from_standard_input(world: World, written: Path) -> None:
    first, second = sheet(written)
    save(written, [first | {"title": "Loaders"}, second])
    done = CliRunner().invoke(app, ["review", "--apply", "-", "--yes"], input=written.read_bytes())
    assert "1 change applied" in done.stderr
    assert summary_of(world, "a").answer is not None


def test_ids_of_any_characters_are_found_from_a_sheet(world: World, console: Console, tmp_path: Path) -> None:
    ids = ["=1+1", "-x", "'q", "'=q", "a;b", "a,b", 'a"b', "+49", "@x", "a\u2028b", "a\tb", "x" * 512]
    ended(world, {it: talk("Linkers", review="low_confidence") for it in ids})
    path = tmp_path / "review.csv"
    console.said("review", "--output", str(path))
    save(path, [row | {"title": "Loaders"} for row in sheet(path)])
    assert f"{len(ids)} changes applied, 0 rows left" in console.type("review", "--apply", str(path), "--yes").stderr
    assert all(summary_of(world, it).answer for it in ids)


def test_a_talk_that_changed_since_its_sheet_was_written_is_left(world: World, console: Console, written: Path) -> None:
    say(world, "a", "Loaders by hand")
    first, second = sheet(written)
    save(written, [first | {"title": "Loaders of the sheet"}, second | {"title": "Loaders too"}])
    done = console.type("review", "--apply", str(written), "--yes")
    assert (done.exit_code, "line 2: a has changed since the file was written" in done.stderr) == (3, True)
    assert [(it := summary_of(world, video).answer) and it.title for video in "ab"] == [
        "Loaders by hand",
        "Loaders too",
    ]


def test_a_sheet_is_applied_after_a_spreadsheet_has_damaged_its_ids(
    world: World, console: Console, tmp_path: Path
) -> None:
    ids = ["007", "12345678901234567", "1e5", "-a", "=x"]
    ended(world, {it: talk("Linkers", review="low_confidence") for it in ids})
    path = tmp_path / "review.csv"
    console.said("review", "--output", str(path))
    blank = dict.fromkeys(sheet(path)[0], "")
    damaged = [row | {"id": "#NAME?", "confidence": "0,97", "title": "Loaders"} for row in reversed(sheet(path))]
    save(path, [*damaged, blank])
    assert "5 changes applied, 0 rows left" in console.type("review", "--apply", str(path), "--yes").stderr
    assert all(summary_of(world, it).answer for it in ids)


def test_a_sheet_begins_with_the_mark_by_which_spreadsheets_know_utf_8(written: Path) -> None:
    assert written.read_bytes().startswith("\ufeffproject,".encode())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"title": "#REF!"}, "a was left unchanged. “#REF!” is what a spreadsheet shows"),
        ({"presenters": "Ada Byron; #NAME?"}, "a was left unchanged. “#NAME?” is what a spreadsheet shows"),
        ({"title": "Loaders", "seen": ""}, "the column seen was changed"),
        ({"title": "Loaders", "seen": "x"}, "the column seen was changed"),
    ],
)
def test_a_cell_that_a_spreadsheet_has_damaged_changes_no_talk(
    world: World, console: Console, written: Path, change: dict[str, str], sentence: str
) -> None:
    first, second = sheet(written)
    save(written, [first | change, second])
    assert sentence in console.type("review", "--apply", str(written), "--yes").stderr
    assert summary_of(world, "a").answer is None


def test_the_first_of_two_changes_of_a_talk_is_applied(world: World, console: Console, written: Path) -> None:
    first, _ = sheet(written)
    save(written, [first | {"title": "Loaders"}, first | {"title": "Loaders"}, first | {"title": "Others"}])
    done = console.type("review", "--apply", str(written), "--yes")
    assert "line 4: line 2 changes a differently, and is applied instead." in done.stderr
    assert (answer := summary_of(world, "a").answer)
    assert answer.title == "Loaders"


def test_names_that_a_person_separates_by_commas_are_several(world: World, console: Console, written: Path) -> None:
    first, second = sheet(written)
    save(written, [first | {"presenters": "Ada Byron, Grace Hopper"}, second | {"presenters": "Alan Turing, Jr."}])
    console.type("review", "--apply", str(written), "--yes")
    assert [(it := summary_of(world, video).answer) and it.presenters for video in "ab"] == [
        ("Ada Byron", "Grace Hopper"),
        ("Alan Turing, Jr.",),
    ]


def test_a_sheet_without_its_columns_is_refused(console: Console, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("name\nx\n")
    assert "lacks the columns title, presenters, seen" in str(
        console.type("review", "--apply", str(tmp_path / "other.csv")).exception
    )


def test_a_sheet_in_another_encoding_is_refused(console: Console, tmp_path: Path) -> None:
    (tmp_path / "review.csv").write_bytes("Zoë".encode("cp1252"))
    assert "is not CSV in UTF-8" in str(console.type("review", "--apply", str(tmp_path / "review.csv")).exception)


# ------------------------------------------------------------------------------------------------------- key by key


@pytest.fixture
def pressed(world: World, console: Console, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that presses keys in `review --interactive` on two flagged talks and returns the output."""
    ended(world, {it: talk(f"Linkers {it}", review="low_confidence") for it in "ab"})
    monkeypatch.setattr("titlecard_console.review_session.can_ask", lambda: True)

    def press(keys: str, *lines: str) -> str:
        left, typed = iter(keys), iter(lines)

        def pressed_key() -> str:
            if (key := next(left)) == "\x04":
                raise EOFError  # as `typer.getchar` does
            return key

        def typed_line(*_: object, **__: object) -> str:
            if (line := next(typed, None)) is None:
                raise typer.Abort
            return line

        monkeypatch.setattr("typer.getchar", pressed_key)
        monkeypatch.setattr("typer.prompt", typed_line)
        done = console.type("review", "--interactive")
        assert done.exit_code == 0, done.output
        return done.stderr

    return press


def test_keys_accept_and_skip(world: World, pressed: Callable[..., str]) -> None:
    assert "1 talk answered, 1 left" in pressed("as")
    assert [summary_of(world, video).answer is not None for video in "ab"] == [True, False]


def test_an_edit_writes_the_title_and_the_names(world: World, pressed: Callable[..., str]) -> None:
    pressed("eq", "Loaders", "Grace Hopper; Ada Byron")
    answer = summary_of(world, "a").answer
    assert answer
    assert (answer.title, answer.presenters) == ("Loaders", ("Grace Hopper", "Ada Byron"))


def test_an_edit_that_keeps_a_field_does_not_alter_it(
    world: World, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(world, {"a": talk("Linkers", "Smith; John", review="low_confidence")})
    monkeypatch.setattr("titlecard_console.review_session.can_ask", lambda: True)
    monkeypatch.setattr("typer.getchar", lambda: "e")
    entered = {"Title": "Loaders"}
    monkeypatch.setattr("typer.prompt", lambda text, *, default, **_: entered.get(text, default))
    assert console.type("review", "--interactive").exit_code == 0
    answer = summary_of(world, "a").answer
    assert answer
    assert (answer.title, answer.presenters) == ("Loaders", ("Smith; John",))


def test_the_end_of_input_ends_a_review_and_keeps_its_answers(world: World, pressed: Callable[..., str]) -> None:
    assert "1 talk answered, 1 left to review." in pressed("a\x04")
    assert summary_of(world, "a").answer is not None


def test_an_interrupted_edit_changes_nothing(world: World, pressed: Callable[..., str]) -> None:
    assert "1 talk answered, 1 left to review." in pressed("eaq", "Loaders")
    assert (answer := summary_of(world, "a").answer)
    assert answer.title == "Linkers a"


def test_undo_returns_to_a_skipped_talk(world: World, pressed: Callable[..., str]) -> None:
    assert "1 talk answered, 1 left to review." in pressed("suaq")
    assert [summary_of(world, video).answer is not None for video in "ab"] == [True, False]


def test_undo_takes_the_last_answer_back(world: World, pressed: Callable[..., str]) -> None:
    assert "0 talks answered" in pressed("auq")
    assert summary_of(world, "a").answer is None


def test_an_answer_after_an_undo_is_valid(console: Console, pressed: Callable[..., str]) -> None:
    pressed("aueq", "Loaders", "Grace Hopper")
    (it,) = (it for it in console.objects("export", "--project", PROJECT) if it["id"] == "a")
    assert (it["title"], it["tier"]) == ("Loaders", "person")


def test_a_talk_is_listed_again_after_an_undo(console: Console, pressed: Callable[..., str]) -> None:
    pressed("auq")
    assert [it["id"] for it in console.objects("review", "--json")] == ["a", "b"]


def test_undo_deletes_nothing(world: World, pressed: Callable[..., str]) -> None:
    """The operators' policy allows no DeleteItem on the catalog, which holds attempts and paid answers."""
    pressed("auq")
    key = {"pk": f"video#{PROJECT}#a", "sk": "person"}
    item: Any = world.db.get_item(TableName=world.names["CatalogTable"], Key=key)["Item"]
    assert [it["title"] for it in item["history"]] == ["Linkers a"]


def test_another_persons_earlier_answer_is_kept(
    world: World, console: Console, pressed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def typed(*_: object, **__: object) -> str:
        say(world, "a", "By somebody else")
        return "Mine"

    pressed("q")
    keys = iter("eq")
    monkeypatch.setattr("typer.getchar", lambda: next(keys))
    monkeypatch.setattr("typer.prompt", typed)
    assert "Somebody else has answered" in console.type("review", "--interactive").stderr
    answer = summary_of(world, "a").answer
    assert answer
    assert answer.title == "By somebody else"


def test_without_a_terminal_a_sheet_is_offered(world: World, console: Console) -> None:
    ended(world, {"a": talk(review="low_confidence")})
    assert "--output FILE.csv" in str(console.type("review", "--interactive").exception)


def summary_of(world: World, video: str) -> VideoSummary:
    return reviews(world).summary(PROJECT, video)
