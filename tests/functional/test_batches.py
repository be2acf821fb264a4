"""`titlecard batches`, `watch`, `show` and `rejects`."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from rich.console import Console as Terminal
from tests.functional.finished import MARK, Console, end, ended, say, talk
from tests.functional.world import BUDGET, LIMITS, PROJECT, World, received, videos

from titlecard.aws.dynamodb.catalog import RowEnd
from titlecard.aws.dynamodb.catalog.grants import AttemptGrant, Grants
from titlecard.aws.errors import RowItemInvalid
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.money import Amount
from titlecard_console import cli
from titlecard_console.commands import watch
from titlecard_console.errors import CommandError
from titlecard_console.progress import Display
from titlecard_console.status import Status

if TYPE_CHECKING:
    from tests.provider import LoopbackProvider

    from titlecard.llm import ModelTier


@pytest.fixture
def console(world: World, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0)
    return Console(world, monkeypatch)


# ---------------------------------------------------------------------------------------------------------- the batches


def test_batches_of_every_state_are_listed_in_the_order_of_their_creation(world: World, console: Console) -> None:
    first = ended(world, {"a": talk(), "b": RowState.DEAD}, name="first.jsonl")
    second = ended(world, {"a": talk()}, name="second.jsonl", mark="e" * 32)
    world.catalog.finish(first)
    refused = world.put(b"%PDF-1.7", name="third.pdf")
    world.ingest().take(refused, lambda: 900)
    listed = console.objects("batches", "--json")
    assert [(it["batch"], it["state"]) for it in listed] == [
        (first.id, "finished"),
        (second.id, "open"),
        (refused.batch, "refused"),
    ]
    assert [(it["accepted"], it["parsed"], it["dead"]) for it in listed] == [(2, 1, 1), (1, 1, 0), (0, 0, 0)]


def test_one_project_lists_only_its_own_batches(world: World, console: Console) -> None:
    ended(world, {"a": talk()})
    other = ended(world, {"a": talk()}, project="elsewhere")
    assert [it["batch"] for it in console.objects("batches", "--project", "elsewhere", "--json")] == [other.id]


def test_the_list_shows_waiting_videos_and_charges(world: World, console: Console) -> None:
    batch, (message,) = world.batch(*videos(1))
    world.catalog.defer(message, MARK, reason="rate_limited: later", due=None, now=world.clock())
    world.ledger.reserve(
        batch.id, PROJECT, Amount(1, 200, 50, 70), limits=LIMITS, budget=BUDGET, model="gpt-6-luna", now=world.clock()
    )
    (it,) = console.objects("batches", "--json")
    assert (it["waiting"], it["tokens"], it["cost_micro_usd"]) == (1, 250, 70)


def test_an_unreadable_batch_does_not_hide_others(
    world: World, console: Console, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ended(world, {"a": talk()}, name="bad.jsonl")
    good = ended(world, {"a": talk()}, name="good.jsonl", mark="e" * 32)
    world.db.update_item(
        TableName=world.names["CatalogTable"],
        Key={"pk": f"batch#{bad.id}", "sk": "batch"},
        UpdateExpression="SET accepted = :text",
        ExpressionAttributeValues={":text": "many"},
    )
    listed = console.type("batches", "--json")
    assert (listed.exit_code, bad.id in listed.stdout, good.id in listed.stdout) == (0, False, True)
    why = f"batch {bad.id} cannot be read: it was edited by hand, or written by another version"
    assert why in listed.stderr
    for command in ("rejects", "watch"):
        monkeypatch.setattr("sys.argv", ["titlecard", command, bad.id])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 1
        assert why in capsys.readouterr().err


@pytest.mark.parametrize("edit", [{"created_at": ...}, {"created_at": 5}, {"project": ...}], ids=str)
def test_a_batch_without_its_date_or_project_does_not_hide_others(
    world: World, console: Console, edit: dict[str, object]
) -> None:
    bad = ended(world, {"a": talk()}, name="bad.jsonl")
    good = ended(world, {"b": talk()}, name="good.jsonl")
    world.edit("CatalogTable", f"batch#{bad.id}", "batch", **edit)
    assert [it["batch"] for it in console.objects("batches", "--json")] == [good.id]
    assert [it["id"] for it in console.objects("export", "--project", PROJECT)] == ["b"]


@pytest.mark.parametrize(
    ("pk", "sk", "edit"),
    [
        ("rows#{batch}#00", "row#000000000001", {"state": "mislaid"}),
        ("rows#{batch}#00", "row#000000000001", {"video": ...}),
        ("video#djangocon#a", f"fp#{MARK}", {"attempts": "many"}),
        ("video#djangocon#a", "current", {"row": "last"}),
        ("video#djangocon#a", "person", {"answered_at": "2026-01-05", "title": "Half an answer"}),
    ],
)
def test_an_item_that_cannot_be_read_is_named(
    world: World, console: Console, pk: str, sk: str, edit: dict[str, object]
) -> None:
    batch = ended(world, {"a": talk()})
    key = pk.format(batch=batch.id)
    world.edit("CatalogTable", key, sk, **edit)
    for command in (("export", "--batch", batch.id), ("report", batch.id), ("review", "--batch", batch.id)):
        found = console.type(*command).exception
        assert isinstance(found, RowItemInvalid)
        assert f"the catalog's item '{key}', '{sk}' cannot be read" in str(found)


def test_edited_charges_do_not_hide_other_batches(world: World, console: Console) -> None:
    bad = ended(world, {"a": talk()}, name="bad.jsonl")
    good = ended(world, {"b": talk()}, name="good.jsonl")
    world.edit("LedgerTable", f"batch#{bad.id}", "spend", micro_usd="plenty")
    assert {it["batch"]: it["cost_micro_usd"] for it in console.objects("batches", "--json")} == {
        bad.id: None,
        good.id: 0,
    }
    shown = console.type("batches")
    assert ([line.split()[-1] for line in shown.stdout.splitlines()[1:]], bad.id in shown.stderr) == (
        ["?", "$0.00"],
        True,
    )
    by_batch = console.objects("spend", PROJECT, "--by", "batch", "--json")
    assert ["trouble" in it for it in by_batch] == [True, False]
    assert good.id in console.said("spend", PROJECT, "--by", "batch")


def test_a_finished_batch_whose_counters_missed_an_end_is_counted_by_its_rows(world: World, console: Console) -> None:
    batch, messages = world.batch(*videos(3))
    end(world, batch, messages[:1], [talk()])
    endings = [RowEnd(it, batch.upload.order, MARK, RowState.DEAD, reason="told by the test") for it in messages[1:]]
    world.catalog.end(endings, now=world.clock())  # the worker is killed before it counts them
    assert world.catalog.finish(world.catalog.batch(batch.id))
    (it,) = console.objects("batches", "--json")
    assert (it["parsed"], it["parsed_local"], it["dead"]) == (1, 1, 2)
    assert console.type("watch", batch.id).stdout == f"{batch.id}: finished: 1 parsed locally, 2 dead\n"


def test_a_row_that_a_finished_batch_has_lost_is_not_queued(world: World, console: Console) -> None:
    batch, messages = world.batch(*videos(2))
    end(world, batch, messages[:1], [talk()])
    assert world.catalog.finish(world.catalog.batch(batch.id), reason="1 row was never answered")
    done = console.type("watch", batch.id)
    assert (done.exit_code, done.stdout) == (3, f"{batch.id}: finished: 1 never answered, 1 parsed locally\n")


def test_the_redrive_of_an_uncounted_death_shows_no_negative_number(world: World, console: Console) -> None:
    batch, (message,) = world.batch(*videos(1))
    world.catalog.end([RowEnd(message, batch.upload.order, MARK, RowState.DEAD, reason="x")], now=world.clock())
    assert world.catalog.finish(world.catalog.batch(batch.id))
    grants = Grants(world.db, world.names["CatalogTable"])
    (dead,) = grants.rows(grants.dead()).values()
    grant = AttemptGrant(PROJECT, message.video.id, MARK, 0, 1, "grace")
    assert grants.allow(dead, grant, BatchState.FINISHED, now=world.clock())
    (it,) = console.objects("batches", "--json")
    assert (it["state"], it["dead"]) == ("open", 0)
    end(world, batch, [message], [talk()])
    assert world.catalog.batch(batch.id).is_counted_out


def test_an_upload_outside_any_project_is_shown_with_its_refusal(world: World, console: Console) -> None:
    upload = replace(world.put(b"", name="x.jsonl"), key="uploads/x.jsonl")
    world.ingest().take(upload, lambda: 900)
    done = console.type("batches")
    assert upload.batch in done.stdout
    assert "refused: The file is outside any project's folder." in done.stderr


def test_a_terminal_gets_a_table(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk()})
    header, line = console.said("batches").splitlines()
    assert header.split()[:3] == ["batch", "project", "state"]
    assert line.split()[:3] == [batch.id, PROJECT, "open"]
    assert "1: 1 parsed  $0.00" in line


# ------------------------------------------------------------------------------------------------------------ the watch


def test_watching_a_finished_batch_ends_at_once(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk()})
    world.catalog.finish(batch)
    assert console.said("watch", batch.id) == f"{batch.id}: finished: 1 parsed locally\n"


@pytest.mark.parametrize("state", [RowState.DEAD, RowState.CANCELLED])
def test_a_batch_with_videos_that_are_not_parsed_ends_with_code_three(
    world: World, console: Console, state: RowState
) -> None:
    batch = ended(world, {"a": talk(), "b": state})
    world.catalog.finish(batch)
    assert console.type("watch", batch.id).exit_code == 3


def test_a_file_that_is_not_a_manifest_ends_with_code_two_and_the_reason(world: World, console: Console) -> None:
    upload = world.put(b"%PDF-1.7", name="paper.pdf")
    world.ingest().take(upload, lambda: 900)
    done = console.type("watch", upload.batch)
    assert done.exit_code == 2
    assert "PDF" in done.stderr


def test_watching_ends_when_all_remaining_videos_wait_for_a_person(world: World, console: Console) -> None:
    batch, (message,) = world.batch(*videos(1))
    world.catalog.defer(message, MARK, reason="batch_limit: reached", due=None, now=world.clock())
    done = console.type("watch", batch.id)
    assert (done.exit_code, done.stdout) == (3, f"{batch.id}: open: 1 waiting for you\n")
    assert f"{batch.id}: 1 video waits for you: batch_limit: reached\n" in done.stderr


def test_watching_lasts_until_the_batch_is_finished(
    world: World, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = ended(world, {"a": talk()})
    monkeypatch.setattr("time.sleep", lambda _: world.catalog.finish(batch))
    assert [it["state"] for it in console.objects("watch", batch.id, "--json")] == ["open", "finished"]


def test_an_unknown_batch_is_refused(console: Console) -> None:
    assert isinstance(console.type("watch", "nothing").exception, CommandError)


def test_the_pace_is_that_of_the_last_minute(world: World) -> None:
    batch, _ = world.batch(*videos(2))
    stream = io.StringIO()
    display = Display(Terminal(file=stream))
    for seconds, parsed in ((100, 0), (110, 20), (120, 50), (190, 50), (200, 60), (210, 70)):
        display.get_time = partial(float, seconds)
        now = replace(batch, state=BatchState.OPEN, accepted=100, counts=Counter(parsed_local=parsed))
        display.show("talks", Status(now, 0, None, Amount()))
    paces = [line.partition(" parsed locally")[2] for line in stream.getvalue().splitlines()]
    assert paces == ["", "", ", 3.0 a second, 0:00:17 left", "", "", ", 1.0 a second, 0:00:30 left"]


def test_a_batch_that_ingest_gave_up_has_ended(world: World) -> None:
    batch, _ = world.batch(*videos(2))
    given_up = replace(batch, state=BatchState.SENDING, reason="ingest crashed")
    assert Status(given_up, 0, None, Amount()).has_ended


# ------------------------------------------------------------------------------------------------------------ the story


def test_show_has_the_talk_the_rows_and_every_attempt_with_its_fault_and_charge(
    world: World, console: Console, provider: LoopbackProvider, tier: ModelTier
) -> None:
    batch, (message,) = world.batch(*videos(1))
    parser = world.parser(tier, tier_policy="model")
    provider.fail("server_error")
    parser.work([received(message)], lambda: 90)
    parser.work([received(message, 2)], lambda: 90)
    (story,) = console.objects("show", "v1", "--project", PROJECT, "--json")
    assert (story["talk"]["tier"], story["person"]) == ("model", None)
    assert [(it["batch"], it["row"], it["state"], it["current"]) for it in story["rows"]] == [
        (batch.id, 1, "parsed", True)
    ]
    (chapter,) = story["fingerprints"]
    assert chapter["attempts"] == 2
    assert [it["event"] for it in chapter["history"]] == ["claimed", "provider_error", "claimed", "answered"]
    assert all(it["charged"]["requests"] == 1 for it in chapter["history"])


def test_show_has_the_same_for_people(world: World, console: Console) -> None:
    older = ended(world, {"a": talk("Linkers", review="low_confidence")})
    newer = ended(world, {"a": RowState.DEAD}, mark="e" * 32)
    say(world, "a", "Loaders", "Ada Byron")
    text = console.said("show", "a", "--project", PROJECT)
    for told in ("Loaders", "Ada Byron", "by ada", f"{older.id} row 1  parsed", f"{newer.id} row 1  dead", MARK):
        assert told in text


def test_a_long_title_is_cut_for_people_and_whole_for_programs(world: World, console: Console) -> None:
    ended(world, {"a": talk("x" * 50_000)})
    assert max(map(len, console.said("show", "a", "--project", PROJECT).splitlines())) < 1_000
    (story,) = console.objects("show", "a", "--project", PROJECT, "--json")
    assert len(story["talk"]["title"]) == 50_000


def test_an_unknown_video_is_refused(console: Console) -> None:
    done = console.type("show", "nothing", "--project", PROJECT)
    assert isinstance(done.exception, CommandError)
    assert "is --project right?" in str(done.exception)


# ---------------------------------------------------------------------------------------------------------- the rejects


def test_rejects_have_row_and_reason(world: World, console: Console) -> None:
    upload = world.put('{"id": "a", "title": "Good"}\n{"id": "b"}\n')
    world.ingest().take(upload, lambda: 900)
    (it,) = console.objects("rejects", upload.batch, "--json")
    assert it["row"] == 2
    assert console.said("rejects", upload.batch).startswith("2: The row has no title.")


def test_a_batch_that_is_still_counted_has_no_rejects_yet(world: World, console: Console) -> None:
    batch = ended(world, {"a": talk()})
    assert isinstance(console.type("rejects", batch.id).exception, CommandError)
