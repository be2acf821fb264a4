"""The commands about money, run as a person types them: budgets, pauses, cancelling, estimates, uploads, spend."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from tests.functional.finished import Console
from tests.functional.test_parser_money import DEFERRED, PARSED_BY_MODEL, Project
from tests.functional.world import LIMITS, MODEL, PROJECT, Cut, Killed, World, manifest, videos
from typer.testing import CliRunner

from titlecard.aws.dynamodb.ledger.reservations import Reservation
from titlecard.aws.secrets import ProjectKeys
from titlecard.domain.batch import RowState, Upload
from titlecard.domain.errors import NotABudget
from titlecard.domain.money import Amount, Budget, Cap, Total
from titlecard.manifests.errors import NotAManifest
from titlecard.pipeline.batch_limits import LIMIT_METADATA
from titlecard_console.cli import app
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.provider import LoopbackProvider

    from titlecard.domain.batch import Message
    from titlecard.llm import ModelTier
    from titlecard_console.local_cloud.cloud import Cloud

pytestmark = pytest.mark.usefixtures("local_tier")


@pytest.fixture
def console(world: World, monkeypatch: pytest.MonkeyPatch) -> Console:
    return Console(world, monkeypatch)


@pytest.fixture
def project(world: World, tier: ModelTier, provider: LoopbackProvider) -> Project:
    return Project(world, tier, provider)


def budget(world: World, project: str = PROJECT) -> Budget | None:
    return world.ledger.account(project, now=world.clock.after(400 * 86_400)).budget


# ------------------------------------------------------------------------------------------------------------ budgets


def test_a_budget_is_set_from_amounts_as_people_write_them(world: World, console: Console) -> None:
    console.said(*["budget", "set", "pycon", "--daily", "5usd", "--daily", "2,000,000tokens", "--monthly", "$50"])
    assert budget(world, "pycon") == Budget(Cap(2_000_000, 5_000_000), Cap(None, 50_000_000))


@pytest.mark.parametrize(
    ("amounts", "sentence"),
    [
        (["--daily", "-5usd"], "is not an amount"),
        (["--daily", "five"], "is not an amount"),
        (["--daily", "5"], "is not an amount"),
        (["--daily", "$5usd"], "is not an amount"),
        (["--daily", "nanusd"], "is not an amount"),
        (["--daily", "1.5tokens"], "is not an amount"),
        (["--daily", "0.0000001usd"], "is not an amount"),
        (["--daily", "1e9usd"], "is not an amount"),
        (["--monthly", "9999999999usd"], "is not an amount"),
        (["--daily", "5usd", "--daily", "6usd"], "second amount"),
        ([], "needs a number"),
        (["--daily", "0.0001usd"], "no request would be sent"),
        (["--monthly", "10tokens"], "no request would be sent"),
    ],
)
def test_an_invalid_budget_is_refused_before_any_call(
    world: World, console: Console, amounts: list[str], sentence: str
) -> None:
    before = len(world.wire.calls)
    done = console.type("budget", "set", "pycon", *amounts)
    assert isinstance(done.exception, NotABudget | CommandError)
    assert sentence in str(done.exception)
    assert len(world.wire.calls) == before


def test_setting_a_budget_repairs_one_that_was_edited_by_hand(world: World, console: Console) -> None:
    world.db.put_item(TableName=world.names["LedgerTable"], Item={"pk": "budgets", "sk": PROJECT, "daily_tokens": "x"})
    console.said("budget", "set", PROJECT, "--monthly", "50usd")
    assert budget(world) == Budget(Cap(), Cap(None, 50_000_000))


def test_a_higher_budget_lets_waiting_videos_continue(project: Project, console: Console) -> None:
    one, two = project.rows(2)
    project.budget(daily=Cap(None, project.bound(one).micro_usd))
    assert [project.work(one), project.work(two)] == [PARSED_BY_MODEL, DEFERRED]
    console.said("budget", "set", PROJECT, "--daily", "50usd")
    project.world.clock.now = datetime.now(UTC)
    project.world.sweeper().run()
    assert project.world.sent() == [project.sent_again(two)]


def test_budgets_are_shown_with_charges_and_the_most_of_the_whole_stack(project: Project, console: Console) -> None:
    project.work(project.rows(1)[0])
    project.budget(daily=Cap(None, 5_000_000), monthly=Cap(10**7, None))
    console.said("budget", "set", "pycon", "--daily", "1usd")
    ours, theirs, whole = console.objects("budget", "show", "--json")
    assert (ours["project"], theirs["project"], whole["project"]) == (PROJECT, "pycon", "*")
    assert ours["day"]["cap"] == {"tokens": None, "micro_usd": 5_000_000}
    assert whole["day"] == {"tokens": None, "micro_usd": 6_000_000}
    assert whole["month"] == {"tokens": None, "micro_usd": 31 * 6_000_000}
    assert "The whole stack can spend at most $6.00 in a day." in console.said("budget", "show")


# ---------------------------------------------------------------------------------------------------------- the pauses


@pytest.mark.parametrize("whom", [PROJECT, "--all"])
def test_pause_and_resume_work_on_the_next_message(project: Project, console: Console, whom: str) -> None:
    one, two = project.rows(2)
    console.said("pause", whom)
    assert project.work(one) == DEFERRED
    console.said("resume", whom)
    assert project.work(two) == PARSED_BY_MODEL


@pytest.mark.parametrize("words", [["pause"], ["pause", PROJECT, "--all"], ["resume"]])
def test_pause_and_resume_need_one_project_or_all(console: Console, words: list[str]) -> None:
    done = console.type(*words)
    assert isinstance(done.exception, CommandError)


def test_pausing_an_unknown_project_warns(console: Console) -> None:
    said = console.type("pause", "djangocom").stderr
    assert "djangocom is paused" in said
    assert f"nothing is known about djangocom: is the name right? Projects: {PROJECT}." in said
    assert "nothing is known" not in console.type("pause", PROJECT).stderr


def test_resume_says_what_continues(project: Project, console: Console) -> None:
    one, two = project.rows(2)
    project.provider.fail("unauthorized")
    project.work(one)
    console.said("pause", PROJECT)
    project.work(two)
    said = console.type("resume", "--all").stderr
    assert f"The pause of {PROJECT} has ended; it began " in said
    assert f"The breaker of {PROJECT} is closed; it opened 2026-01-05 12:00:" in said
    assert "2 waiting videos continue within two minutes." in said


def test_resuming_a_running_project_says_so(console: Console) -> None:
    assert console.type("resume", PROJECT).stderr == f"{PROJECT} was not stopped.\n"


def test_a_project_stays_paused_with_all_others(console: Console) -> None:
    console.said("pause", "--all")
    assert f"{PROJECT} is still paused, with all other projects" in console.type("resume", PROJECT).stderr


@pytest.mark.parametrize("command", ["resume", "spend"])
def test_an_unknown_project_is_refused(console: Console, command: str) -> None:
    refusal = console.type(command, "djangocom").exception
    assert isinstance(refusal, CommandError)
    assert str(refusal) == f"The stack knows no project 'djangocom'. Projects: {PROJECT}."


def test_resume_closes_a_breaker(project: Project, console: Console) -> None:
    one, two = project.rows(2)
    project.provider.fail("usage_above_bound")
    project.work(one)
    assert project.breaker.open
    console.said("resume", PROJECT)
    assert project.work(two) == PARSED_BY_MODEL


def test_an_edited_budget_or_month_hides_no_other_budget(world: World, console: Console) -> None:
    for name in ("aa", "zz"):
        world.ledger.set_budget(name, Budget(Cap(5_000), Cap()), by="person", now=world.clock())
    world.edit("LedgerTable", "budgets", "aa", daily_tokens="lots")
    world.edit("LedgerTable", "project#zz", f"month#{datetime.now(UTC):%Y-%m}", micro_usd="lots")
    ours, *invalid, _ = console.objects("budget", "show", "--json")
    assert (ours["project"], [it["project"] for it in invalid]) == (PROJECT, ["aa", "zz"])
    shown = console.type("budget", "show")
    assert PROJECT in shown.stdout
    assert [line.split(":")[0] for line in shown.stderr.splitlines()] == ["aa", "zz"]


@pytest.mark.parametrize("command", ["--all", PROJECT])
def test_an_edited_budget_is_named_and_stops_no_resume(world: World, console: Console, command: str) -> None:
    for name in (PROJECT, "other"):
        console.said("pause", name)
    world.edit("LedgerTable", "budgets", PROJECT, daily_tokens="lots")
    done = console.type("resume", command)
    assert (done.exit_code, f"{PROJECT} cannot continue" in done.stderr) == (ExitCode.FAILED, True)
    world.edit("LedgerTable", "budgets", PROJECT, daily_tokens=1)
    assert not world.ledger.account(PROJECT, now=world.clock()).paused
    assert world.ledger.account("other", now=world.clock()).paused == (command == PROJECT)


def test_resume_repairs_an_edited_breaker(world: World, console: Console) -> None:
    world.edit("LedgerTable", "breakers", PROJECT, failures="many")
    assert console.type("resume", PROJECT).stderr == f"{PROJECT} continues.\n"
    assert not world.ledger.account(PROJECT, now=world.clock()).breaker.failures


def test_a_project_with_an_edited_budget_can_be_paused(world: World, console: Console) -> None:
    world.edit("LedgerTable", "budgets", PROJECT, daily_tokens="lots")
    done = console.type("pause", PROJECT)
    assert (done.exit_code, "is paused" in done.stderr, "'lots'" in done.stderr) == (0, True, True)


def test_cancelling_a_batch_ends_waiting_videos_and_spends_nothing_more(project: Project, console: Console) -> None:
    one, two, three = project.rows(3)
    project.work(one)
    project.provider.fail("unauthorized")
    project.work(two)
    said = console.type("cancel", one.batch, "--yes")
    assert (said.exit_code, project.row(two).state) == (0, RowState.CANCELLED)
    assert project.work(three) != PARSED_BY_MODEL
    assert len(project.provider.posts) == 2
    assert project.charged == project.billed


def test_cancelling_needs_confirmation(project: Project, console: Console) -> None:
    (message,) = project.rows(1)
    done = console.type("cancel", message.batch)
    assert isinstance(done.exception, CommandError)
    assert not project.world.catalog.batch(message.batch).cancelled


def is_cancelled(world: World, batch: str) -> tuple[bool, bool]:
    """Return whether a batch is cancelled in the catalog, and in the ledger."""
    key = {"pk": f"batch#{batch}", "sk": "spend"}
    item = world.db.get_item(TableName=world.names["LedgerTable"], Key=key).get("Item", {})
    return world.catalog.batch(batch).cancelled, "cancelled_at" in item


def finish(project: Project, message: Message) -> None:
    project.work(message)
    assert project.world.catalog.finish(project.world.catalog.batch(message.batch))


def test_a_finished_batch_is_not_cancelled(project: Project, console: Console) -> None:
    (message,) = project.rows(1)
    finish(project, message)
    said = console.type("cancel", message.batch, "--yes").exception
    assert "is already finished: there is nothing to cancel" in str(said)
    assert is_cancelled(project.world, message.batch) == (False, False)


def test_a_batch_that_finishes_while_the_person_reads_the_question_is_not_cancelled(
    project: Project, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = project.rows(1)

    def read(_question: str) -> bool:
        finish(project, message)
        return True

    monkeypatch.setattr("titlecard_console.commands.cancel.confirm", read)
    assert "is already finished" in str(console.type("cancel", message.batch).exception)
    assert is_cancelled(project.world, message.batch) == (False, False)


@pytest.mark.parametrize("how", [Cut.KILLED_BEFORE, Cut.KILLED_AFTER])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_cancel_that_is_killed_continues_when_it_is_repeated(
    project: Project, console: Console, how: Cut, at: int
) -> None:
    (message,) = project.rows(1)
    project.provider.fail("unauthorized")
    project.work(message)
    project.world.wire.cut(how, at)
    with pytest.raises(Killed):
        console.type("cancel", message.batch, "--yes")
    project.world.wire.mend()
    in_catalog, in_ledger = is_cancelled(project.world, message.batch)
    assert in_catalog or not in_ledger
    console.said("cancel", message.batch, "--yes")
    assert is_cancelled(project.world, message.batch) == (True, True)
    assert project.row(message).state is RowState.CANCELLED


def test_a_cancelled_batch_that_has_finished_can_be_cancelled_again(project: Project, console: Console) -> None:
    (message,) = project.rows(1)
    console.said("cancel", message.batch, "--yes")
    finish(project, message)
    assert "It is already cancelled." in console.type("cancel", message.batch).stderr


def test_a_batch_that_is_being_counted_is_cancelled_without_a_number(world: World, console: Console) -> None:
    upload = Upload(world.bucket, f"uploads/{PROJECT}/talks.jsonl", "v1", "2026-01-05#1")
    world.catalog.open_batch(upload, PROJECT, LIMITS, lease="one", until=world.clock.after(60), now=world.clock())
    said = console.type("cancel", upload.batch, "--yes")
    assert (said.exit_code, "is not known yet" in said.stderr) == (0, True)
    assert is_cancelled(world, upload.batch) == (True, True)


def test_an_unknown_batch_cannot_be_cancelled(console: Console) -> None:
    assert isinstance(console.type("cancel", "never-heard-of", "--yes").exception, CommandError)


# --------------------------------------------------------------------------------------------------------------- spend


def test_spend_separates_measured_lost_and_open_charges(project: Project, console: Console) -> None:
    one, two = project.rows(2)
    project.provider.fail("ok", "server_error")
    project.work(one)
    project.work(two)
    (line,) = console.objects("spend", PROJECT, "--json")
    assert line["charged"]["micro_usd"] == project.charged.micro_usd
    assert 0 < line["measured"]["micro_usd"] < project.billed.micro_usd < project.charged.micro_usd
    assert line["lost_answers"]["requests"] == 1
    assert line["lost_answers"]["micro_usd"] + line["measured"]["micro_usd"] == line["charged"]["micro_usd"]
    assert (line["under_way"]["requests"], line["leaked"]["requests"]) == (0, 0)


def test_spend_shows_the_reservation_of_a_killed_worker_as_leaked(project: Project, console: Console) -> None:
    (message,) = project.rows(1)
    need = project.bound(message)
    now, limits = project.world.clock(), project.world.catalog.batch(message.batch).limits
    account = project.world.ledger.account(PROJECT, now=now)
    assert account.budget is not None
    project.world.ledger.reserve(
        message.batch, PROJECT, need, limits=limits, budget=account.budget, model="gpt-6-luna", now=now
    )
    (line,) = console.objects("spend", PROJECT, "--json")
    assert line["leaked"] == {"requests": 1, "tokens": need.tokens, "micro_usd": need.micro_usd}


def test_spend_has_the_cost_of_a_talk_and_the_share_kept_locally(project: Project, console: Console) -> None:
    (message,) = project.rows(1)
    project.work(message)
    for sure in project.rows(3, "sure"):
        project.work(sure)
    (line,) = console.objects("spend", PROJECT, "--json")
    assert (line["talks"], line["kept_locally"]) == ({"local": 3, "model": 1}, 0.75)
    assert line["micro_usd_per_talk"] == -(-project.billed.micro_usd // 4)


@pytest.mark.parametrize("by", ["day", "batch", "model"])
def test_the_breakdowns_of_spend_add_up(project: Project, console: Console, by: str) -> None:
    for message in project.rows(2):
        project.work(message)
    project.world.clock.forward(86_400)
    project.work(project.rows(1, "w")[0])
    lines = console.objects("spend", PROJECT, "--by", by, "--json")
    assert sum(line["charged"]["micro_usd"] for line in lines) == project.charged.micro_usd == project.billed.micro_usd
    assert len(lines) == {"day": 2, "batch": 2, "model": 1}[by]
    assert all(by in line for line in lines)


def test_spend_says_when_and_why_a_breaker_opened(project: Project, console: Console) -> None:
    project.provider.fail("unauthorized")
    project.work(project.rows(1)[0])
    (line,) = console.objects("spend", "--json")
    assert (line["breaker"]["open"], "401" in line["breaker"]["why"]) == (True, True)
    assert line["breaker"]["since"].startswith("2026-01-05T12:00")
    assert "breaker open since 2026-01-05T12:00" in console.said("spend")


def test_spend_says_why_a_budget_cannot_be_read(project: Project, console: Console) -> None:
    project.work(project.rows(1)[0])
    console.said("budget", "set", f"{PROJECT}2", "--daily", "5usd")
    project.world.edit("LedgerTable", "budgets", PROJECT, daily_tokens="x")
    heading, first, second = console.said("spend").splitlines()
    assert heading.split()[-4:] == ["today", "this", "month", "state"]
    assert ("daily_tokens = 'x'" in first, second.endswith("runs")) == (True, True)


def test_spend_is_empty_if_nothing_was_charged(world: World, console: Console) -> None:
    assert console.objects("spend", "--by", "batch", "--json") == []
    assert world.ledger.window(PROJECT, world.clock()) == (Total(), Amount())


# --------------------------------------------------------------------------------------------------- a batch's limit


@pytest.fixture
def at_its_limit(project: Project) -> str:
    """Make a batch with room for one request, whose second video waits for more."""
    one, two = project.rows(2, requests=1)
    assert [project.work(one), project.work(two)] == [PARSED_BY_MODEL, DEFERRED]
    assert "`titlecard limit BATCH` shows and raises it" in (project.row(two).reason or "")
    return one.batch


def test_a_limit_is_shown_with_charges_and_the_command_that_raises_it(
    project: Project, console: Console, at_its_limit: str
) -> None:
    said = console.said("limit", at_its_limit)
    assert f"charged  1 request, {project.billed.tokens} tokens and $" in said
    assert f"waiting  1 video; `titlecard limit {at_its_limit} --requests 2` lets all of them continue" in said


def test_a_raised_limit_lets_waiting_videos_continue_and_names_its_author(
    project: Project, console: Console, at_its_limit: str
) -> None:
    done = console.type("limit", at_its_limit, "--requests", "2", "--yes", "--json")
    assert "may be charged 2 requests, 5,000,000 tokens and $5.00 in all.\nBefore: 1 request, " in done.stderr
    assert f"At most 1 request, {5_000_000 - project.billed.tokens:,} tokens and $" in done.stderr
    facts = json.loads(done.stdout)
    assert (facts["limit"]["requests"], facts["waiting"]["videos"]) == (2, 1)
    ((raised,),) = [facts["raised"]]
    assert (raised["from"]["requests"], raised["to"]["requests"], raised["by"][:8]) == (1, 2, "arn:aws:")
    assert "waiting  1 video; continuing within two minutes" in console.said("limit", at_its_limit)
    project.world.clock.forward(60)
    for _ in range(2):  # first it gets a date, then its message
        project.world.sweeper().run()
    assert [project.work(message) for message in project.world.sent()] == [PARSED_BY_MODEL]
    assert project.charged == project.billed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--requests", "1001"], "a batch at most 1,000 requests: deploy it with a greater BatchRequestLimit first"),
        (["--usd", "5.01"], "a batch at most $5.00: deploy it with a greater BatchMicroUsdLimit first"),
        (["--usd", "1"], "a limit is never lowered"),
        (["--requests", "1"], "already"),
    ],
)
def test_an_impossible_limit_is_refused_with_what_to_do(
    project: Project, console: Console, at_its_limit: str, words: list[str], sentence: str
) -> None:
    refusal = console.type("limit", at_its_limit, *words, "--yes").exception
    assert isinstance(refusal, CommandError)
    assert sentence in str(refusal)
    assert project.world.catalog.batch(at_its_limit).limits.requests == 1


def test_raising_a_limit_needs_confirmation(project: Project, console: Console, at_its_limit: str) -> None:
    assert isinstance(console.type("limit", at_its_limit, "--requests", "2").exception, CommandError)
    assert project.world.catalog.batch(at_its_limit).limits.requests == 1


def test_the_limit_of_a_cancelled_batch_is_not_raised(console: Console, at_its_limit: str) -> None:
    console.said("cancel", at_its_limit, "--yes")
    assert "is cancelled" in str(console.type("limit", at_its_limit, "--requests", "2", "--yes").exception)


def test_a_limit_raised_by_somebody_else_stays(project: Project, at_its_limit: str) -> None:
    world, read = project.world, project.world.catalog.batch(at_its_limit).limits
    more = [replace(read, requests=number) for number in (3, 2)]
    assert [world.catalog.raise_limit(at_its_limit, read, it, by="ada", now=world.clock()) for it in more] == [
        True,
        False,
    ]
    assert world.catalog.batch(at_its_limit).limits.requests == 3


# ------------------------------------------------------------------------------------------------------ what runs agree


AGREED = Total(requests=10, tokens=10_000, micro_usd=1_000_000)


@pytest.fixture
def agree(console: Console) -> Callable[..., None]:
    """Return a function that gives a project the budget of a run."""
    return Run(cast("Cloud", console)).allow


def test_a_runs_budget_is_what_was_agreed(world: World, agree: Callable[..., None]) -> None:
    agree("fresh", [AGREED, AGREED])
    assert budget(world, "fresh") == Budget(Cap(20_000, 2_000_000), Cap(20_000, 2_000_000))


def test_a_second_run_keeps_the_budget_of_one_that_is_working(world: World, agree: Callable[..., None]) -> None:
    agree("fresh", [AGREED])
    batch, _ = world.batch(*videos(1), project="fresh", limits=AGREED)
    charge(world, "fresh", batch.id, Amount(1, 300, 100, 20_000))
    agree("fresh", [AGREED])
    assert budget(world, "fresh") == Budget(Cap(20_000, 2_000_000), Cap(20_000, 2_000_000))


def test_a_later_run_does_not_take_over_the_budget_of_a_finished_one(world: World, agree: Callable[..., None]) -> None:
    agree("fresh", [AGREED])
    batch, _ = world.batch(*videos(1), project="fresh", limits=AGREED)
    charge(world, "fresh", batch.id, Amount(1, 300, 100, 20_000))
    assert world.catalog.finish(batch)
    agree("fresh", [AGREED])
    assert budget(world, "fresh") == Budget(Cap(10_400, 1_020_000), Cap(10_400, 1_020_000))


def test_a_run_raises_the_budget_for_no_batch_beyond_what_was_agreed(world: World, agree: Callable[..., None]) -> None:
    agree("fresh", [AGREED])
    world.batch(*videos(1), project="fresh", limits=replace(AGREED, micro_usd=10**9))
    agree("fresh", [AGREED])
    assert budget(world, "fresh") == Budget(Cap(20_000, 2_000_000), Cap(20_000, 2_000_000))


def test_a_run_leaves_a_persons_budget_unchanged(world: World, agree: Callable[..., None]) -> None:
    before = budget(world)
    agree(PROJECT, [AGREED])
    assert budget(world) == before


def charge(world: World, project: str, batch: str, need: Amount) -> None:
    """Reserve an amount, as for a request in progress."""
    now, allowed = datetime.now(UTC), budget(world, project)
    assert allowed
    done = world.ledger.reserve(batch, project, need, limits=AGREED, budget=allowed, model=MODEL, now=now)
    assert isinstance(done, Reservation)


# -------------------------------------------------------------------------------------------------- before it is spent


@pytest.fixture
def playlist(tmp_path: Path) -> Path:
    path = tmp_path / "playlist.jsonl"
    path.write_text(manifest([*videos(3), *videos(2, "sure")]) + '{"id": "bad"}\n')
    return path


def test_an_estimate_counts_rows_and_bounds_the_rest(console: Console, playlist: Path) -> None:
    (facts,) = console.objects("estimate", str(playlist), "--project", PROJECT, "--json")
    assert (facts["accepted"], facts["refused"], facts["kept_locally"], facts["asked"]) == (5, 1, 2, 3)
    assert 0 < facts["expected"]["micro_usd"] < facts["worst_case"]["micro_usd"] == facts["limit"]["micro_usd"]
    assert facts["left"]["day"] == {"tokens": 10**9, "micro_usd": 10**9}


def test_an_estimate_says_if_there_is_no_budget(console: Console, playlist: Path) -> None:
    assert "pycon has no budget" in console.said("estimate", str(playlist), "--project", "pycon")


def test_an_upload_limits_its_batch_to_the_amount_shown(world: World, console: Console, playlist: Path) -> None:
    (facts,) = console.objects("estimate", str(playlist), "--json")
    console.said("upload", str(playlist), "--project", PROJECT, "--yes")
    found = world.s3.head_object(Bucket=world.bucket, Key=f"uploads/{PROJECT}/playlist.jsonl")["Metadata"]
    assert {name: int(found[key]) for name, key in LIMIT_METADATA.items()} == facts["limit"]


@pytest.mark.parametrize(("how", "uploads"), [(Cut.LOST_ANSWER, 1), (Cut.LOST_REQUEST, 0)])
def test_an_upload_is_one_batch_if_its_answer_is_lost(
    world: World, console: Console, playlist: Path, how: Cut, uploads: int
) -> None:
    world.wire.cut(how, call="PutObject")
    done = console.type("upload", str(playlist), "--project", PROJECT, "--yes")
    found = world.s3.list_object_versions(Bucket=world.bucket, Prefix="uploads/").get("Versions", [])
    assert (len(found), bool(done.stdout)) == (uploads, uploads == 1)


def test_an_uploads_limit_can_be_lowered(world: World, console: Console, playlist: Path) -> None:
    console.said("upload", str(playlist), "--project", PROJECT, "--yes", "--limit-usd", "0.0005", "--limit-tokens", "9")
    found = world.s3.head_object(Bucket=world.bucket, Key=f"uploads/{PROJECT}/playlist.jsonl")["Metadata"]
    assert (found["limit-micro-usd"], found["limit-tokens"]) == ("500", "9")


@pytest.mark.parametrize("limit", ["-1", "many", "nan", ""])
def test_an_invalid_upload_limit_is_refused(world: World, console: Console, playlist: Path, limit: str) -> None:
    before = len(world.wire.calls)
    done = console.type("upload", str(playlist), "--yes", f"--limit-usd={limit}")
    assert done.exit_code == ExitCode.BAD_USAGE
    assert f"{limit!r} is not a number of dollars" in done.stderr
    assert len(world.wire.calls) == before


def test_an_upload_counts_refused_rows_and_names_the_command_that_says_why(console: Console, playlist: Path) -> None:
    said = console.type("upload", str(playlist), "--project", PROJECT, "--yes").stderr
    assert f"1 row is rejected: `titlecard check {playlist}` says why." in said


@pytest.mark.parametrize("command", ["upload", "estimate"])
def test_the_error_of_an_invalid_manifest_names_the_file(console: Console, tmp_path: Path, command: str) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    refusal = console.type(command, str(empty)).exception
    assert isinstance(refusal, NotAManifest)
    assert str(refusal).startswith(f"{empty}: ")


def test_an_upload_needs_confirmation(world: World, console: Console, playlist: Path) -> None:
    assert isinstance(console.type("upload", str(playlist)).exception, CommandError)
    assert "Contents" not in world.s3.list_objects_v2(Bucket=world.bucket)


@pytest.mark.parametrize("status", ["Suspended", "never enabled"])
def test_an_upload_to_a_bucket_without_versions_is_refused_before_it_is_sent(
    world: World, console: Console, playlist: Path, status: str
) -> None:
    """Its batch's name would be unknown, and a later upload might overwrite it."""
    console.outputs["UploadsBucket"] = bucket = f"{world.bucket}-{'-'.join(status.lower().split())}"
    world.s3.create_bucket(Bucket=bucket)
    if status == "Suspended":
        world.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    refusal = console.type("upload", str(playlist), "--project", PROJECT, "--yes").exception
    assert isinstance(refusal, CommandError)
    assert str(refusal).startswith(f"Nothing was uploaded. Versioning is {status} on {bucket}")
    assert f"aws s3api put-bucket-versioning --bucket {bucket}" in str(refusal)
    assert "Contents" not in world.s3.list_objects_v2(Bucket=bucket)


# ----------------------------------------------------------------------------------------------------------------- key


@pytest.fixture
def secret(world: World, console: Console, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of the project's secret."""
    monkeypatch.setattr(
        console, "client", lambda service, **_: _Function() if service == "lambda" else boto3.client(service)
    )
    console.outputs["ParserFunction"] = "parser"
    monkeypatch.setattr(_Function, "prefix", f"titlecard/{world.bucket}/")
    return f"titlecard/{world.bucket}/{PROJECT}"


def stored(secret: str) -> str | None:
    """Return the key as the parser reads it."""
    return ProjectKeys(secret.removesuffix(PROJECT), local=None).of(PROJECT)


def test_a_key_is_read_from_standard_input_and_stored_in_the_projects_secret(secret: str) -> None:
    for key in ("sk-first", "sk-second"):
        done = CliRunner().invoke(app, ["key", "set", PROJECT], input=f"{key}\n")
        assert (done.exit_code, key in done.output, stored(secret)) == (0, False, key)


@pytest.mark.parametrize("key", ["", "\xffkey", "two keys"])
def test_text_that_cannot_be_a_key_is_not_stored(secret: str, key: str) -> None:
    done = CliRunner().invoke(app, ["key", "set", PROJECT], input=key.encode("latin-1"))
    assert isinstance(done.exception, CommandError)
    assert stored(secret) is None


def test_the_parser_finds_no_removed_key_and_the_key_can_be_set_again(secret: str) -> None:
    CliRunner().invoke(app, ["key", "set", PROJECT], input="sk-first")
    done = CliRunner().invoke(app, ["key", "remove", PROJECT, "--yes"])
    assert (done.exit_code, stored(secret)) == (0, None)
    assert f"The key of {PROJECT} is removed" in done.stderr
    assert CliRunner().invoke(app, ["key", "set", PROJECT], input="sk-second").exit_code == 0
    assert stored(secret) == "sk-second"


def test_removing_a_key_needs_confirmation(secret: str) -> None:
    CliRunner().invoke(app, ["key", "set", PROJECT], input="sk-first")
    assert isinstance(CliRunner().invoke(app, ["key", "remove", PROJECT]).exception, CommandError)
    assert stored(secret) == "sk-first"


@pytest.mark.usefixtures("secret")
def test_a_project_without_a_key_has_none_to_remove() -> None:
    refusal = CliRunner().invoke(app, ["key", "remove", PROJECT, "--yes"]).exception
    assert isinstance(refusal, CommandError)
    assert f"{PROJECT} has no key" in str(refusal)


class _Function:
    """The part of Lambda that `key set` calls."""

    prefix = ""

    def get_function_configuration(self, **_: str) -> object:
        """Return the parser's environment."""
        return json.loads(json.dumps({"Environment": {"Variables": {"KEY_SECRET_PREFIX": self.prefix}}}))


@pytest.mark.usefixtures("console")
@pytest.mark.parametrize("key", ["", " \n", "two words", "schlüssel"])
def test_an_unlikely_key_is_refused(key: str) -> None:
    assert isinstance(CliRunner().invoke(app, ["key", "set", PROJECT], input=key).exception, CommandError)
