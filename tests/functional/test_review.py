"""Review: what a person should look at, and what stands when a person has spoken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.functional.finished import Console, ended, exports, reviews, say, talk
from tests.functional.world import PROJECT, World, received, videos

from titlecard.domain.batch import RowState
from titlecard.domain.video import Tier
from titlecard.pipeline.lines import of_result, of_row
from titlecard_console.errors import CommandError

if TYPE_CHECKING:
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


def test_a_person_reads_both_titles_the_names_and_the_description(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk("Linkers", "Ada Byron", review="ungrounded")})
    text = console.said("review")
    for told in ("ungrounded", "a: raw title", "Linkers", "Ada Byron", "As uploaded.", batch.id):
        assert told in text


def test_only_the_current_talk_of_a_video_is_listed(world: World, console: Console) -> None:
    ended(world, {"a": talk("Old", review="low_confidence")})
    ended(world, {"a": talk("New", review="low_confidence")}, mark="e" * 32)
    assert [it["title"] for it in console.objects("review", "--project", PROJECT, "--json")] == ["New"]


def test_a_talk_whose_manifest_was_deleted_is_listed_all_the_same(world: World, console: Console) -> None:
    upload = ended(world, {"a": talk("Linkers", review="low_confidence")}).upload
    world.s3.delete_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
    assert "the manifest was deleted" in console.said("review")


def test_a_title_without_end_is_cut_for_people_and_whole_for_programs(world: World, console: Console) -> None:
    ended(world, {"a": talk("x" * 50_000, review="low_confidence")})
    assert max(map(len, console.said("review").splitlines())) < 1_000
    assert [len(it["title"]) for it in console.objects("review", "--json")] == [50_000]


def test_what_a_hostile_title_would_do_to_a_terminal_is_not_printed(world: World, console: Console) -> None:
    ended(world, {"a": talk("\x1b[2Jgone\u202e", review="low_confidence")})
    assert not {"\x1b", "\u202e"} & set(console.said("review"))


# ---------------------------------------------------------------------------------------------------------- the answer


def test_an_accepted_talk_is_a_persons_and_is_listed_no_more(world: World, console: Console) -> None:
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
def test_a_person_sets_a_part_and_the_rest_stands(
    world: World, console: Console, words: list[str], title: str, presenters: list[str]
) -> None:
    ended(world, {"a": talk("Linkers", "Ada Byron", review="low_confidence")})
    (said,) = console.objects("review", "set", "a", "--project", PROJECT, *words, "--json")
    assert (said["title"], said["presenters"]) == (title, presenters)


def test_who_answered_and_when_is_known(world: World, console: Console) -> None:
    ended(world, {"a": talk()})
    (said,) = console.objects("review", "accept", "a", "--project", PROJECT, "--json")
    story = reviews(world).story(PROJECT, "a")
    assert story is not None
    assert story.answer is not None
    assert (story.answer.by, story.answer.at) == (said["by"], said["at"])
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
    ],
)
def test_an_answer_that_cannot_be_is_refused_with_a_sentence(
    world: World, console: Console, words: list[str], sentence: str
) -> None:
    ended(world, {"a": talk()})
    done = console.type("review", *words, "--project", PROJECT)
    assert isinstance(done.exception, CommandError)
    assert sentence in str(done.exception)


# ------------------------------------------------------------------------------------------------------- no later parse


def test_no_later_parse_overwrites_what_a_person_said(world: World, tier: ModelTier) -> None:
    (video,) = videos(1)
    _, (message,) = world.batch(video)
    world.parser(tier, tier_policy="local").work([received(message)], lambda: 90)
    say(world, video.id, "What I said", "Ada Byron")
    changed = video.model_copy(update={"title": "Quite another title by Alan Turing | PyCon 2020"})
    batch, (again,) = world.batch(changed)
    world.parser(tier, tier_policy="local").work([received(again)], lambda: 90)
    (line,) = [of_result(result) for result in exports(world).results(batch)]
    assert (line["title"], line["presenters"], line["tier"]) == ("What I said", ["Ada Byron"], Tier.PERSON)


def test_run_shows_what_a_person_said(world: World) -> None:
    batch = ended(world, {"a": talk("Linkers", review="low_confidence"), "b": RowState.DEAD})
    for video in "ab":
        say(world, video, f"By hand: {video}")
    rows = world.catalog.talks(PROJECT, world.catalog.rows(batch.id))
    lines = [json.loads(of_row(row, entry, batch.id)) for row, entry in rows]
    assert [(it["state"], it["title"], it["tier"], it["review"]) for it in lines] == [
        ("parsed", "By hand: a", "person", None),
        ("parsed", "By hand: b", "person", None),
    ]


def test_the_last_word_of_a_person_stands_and_the_ones_before_are_kept(world: World) -> None:
    batch = ended(world, {"a": talk()})
    for title in ("First", "Second"):
        say(world, "a", title)
    (result,) = exports(world).results(batch)
    key = {"pk": f"video#{PROJECT}#a", "sk": "person"}
    history: Any = world.db.get_item(TableName=world.names["CatalogTable"], Key=key)["Item"]["history"]
    assert result.talk is not None
    assert (result.talk.title, [it["title"] for it in history]) == ("Second", ["First", "Second"])


def test_a_superseded_row_is_not_made_a_talk_by_a_person(world: World) -> None:
    batch = ended(world, {"a": RowState.SUPERSEDED})
    say(world, "a", "Linkers")
    (result,) = exports(world).results(batch)
    assert (result.state, result.talk) == (RowState.SUPERSEDED, None)
