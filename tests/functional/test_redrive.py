"""Dead letters: listed without side effects, and sent again at a known cost, never beyond a grant."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from tests.functional.finished import Console, exports
from tests.functional.world import LIMITS, NUMBERS, TEMPLATE, Cut, Killed, World, received, videos
from typer.testing import CliRunner

from titlecard.aws.dynamodb.catalog.grants import Grants
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.money import Amount
from titlecard.domain.reasons import DISCARDED
from titlecard.domain.video import Video
from titlecard.manifests.validation import Bitmap
from titlecard.pipeline.ingest import ACCEPTED
from titlecard_console.commands import dlq
from titlecard_console.dead_letters.letter import DeadLetter, Kind, Selection, groups
from titlecard_console.dead_letters.redrive import Redriver
from titlecard_console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tests.functional.world import Wire
    from tests.provider import LoopbackProvider
    from typer.testing import Result

    from titlecard.bootstrap import AwsClients
    from titlecard.domain.batch import Message
    from titlecard.llm import ModelTier

pytestmark = pytest.mark.usefixtures("local_tier")

CAP = NUMBERS["AttemptCap"]
WHO = "arn:aws:sts::123456789012:assumed-role/operator/grace"


@dataclass(frozen=True)
class Here:
    """A world as the console sees a stack."""

    world: World
    parameters: Mapping[str, str]

    @property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of the template."""
        outputs = TEMPLATE.document["Outputs"]
        refs = {name: output["Value"]["Ref"] for name, output in outputs.items()}
        return {name: self.world.names[ref] for name, ref in refs.items() if ref in self.world.names}

    def client(self, service: Any, **_config: Any) -> Any:  # noqa: ANN401 -- as `Where` has it
        """Return one of the world's clients."""
        return {"sqs": self.world.sqs, "s3": self.world.s3}.get(service) or boto3.client(service)

    def resource(self, service: Any, **_config: Any) -> Any:  # noqa: ANN401 -- as `Where` has it
        """Return the world's tables."""
        assert service == "dynamodb"
        return SimpleNamespace(meta=SimpleNamespace(client=self.world.db))

    def log(self, function: str, start: datetime, end: datetime) -> str:
        """Return no log."""
        return f"{function} from {start} to {end}"


def redriver(world: World, hidden: int = 0, **parameters: str) -> Redriver:
    return Redriver(Here(world, TEMPLATE.values(parameters)), now=world.clock, hidden=hidden, wait=0)


def grants(world: World) -> Grants:
    return Grants(world.db, world.names["CatalogTable"])


def work(
    world: World, tier: ModelTier, messages: Sequence[Message], receives: int = 1, *, attempt_cap: int = CAP
) -> None:
    """Let the parser work on messages one by one."""
    parser = world.parser(tier, attempt_cap=attempt_cap, breaker_threshold=100)
    for message in messages:
        parser.work([received(message, receives)], lambda: 90)


def die(world: World, tier: ModelTier, provider: LoopbackProvider, number: int = 1, start: str = "v") -> list[Message]:
    """Make a batch whose rows are all dead, each from one lost answer."""
    _, messages = world.batch(*videos(number, start))
    provider.fail(always="half_body")
    work(world, tier, messages, attempt_cap=1)
    provider.reset()
    return messages


def wear_out(world: World, tier: ModelTier, provider: LoopbackProvider, cap: int = CAP) -> Message:
    """Make a row whose attempts are used up."""
    _, (message,) = world.batch(*videos(1, "worn"), name="worn.jsonl")
    provider.fail(always="server_error")
    for receives in range(1, cap + 1):
        work(world, tier, [message], receives, attempt_cap=cap)
    provider.reset()
    return message


def send_again(console: Redriver, letters: Sequence[DeadLetter] | None = None, more: int = 1) -> list[str]:
    chosen = console.letters(more=more, read=True) if letters is None else letters
    return [what for _, what in console.send_again(chosen, more=more, rate=1000, by=WHO)]


def state(world: World, message: Message) -> RowState:
    return {row.number: row.state for row in world.catalog.rows(world.catalog.batch(message.batch))}[message.row]


# -------------------------------------------------------------------------------------------------------- what is seen


def test_the_summary_has_the_charges_and_the_cost_of_another_try_by_cause(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    died = die(world, tier, provider, 2)
    wear_out(world, tier, provider)
    bad, worn = groups(redriver(world).letters())
    assert (bad.cause, bad.letters, bad.attempts, bad.charged) == (
        "connection_lost",
        2,
        2,
        world.ledger.spent(died[0].batch),
    )
    assert bad.worst.requests == 2 * (CAP - 1)
    assert (worn.cause, worn.attempts, worn.worst.requests) == ("provider_error", CAP, 1)


def test_the_worst_case_is_the_requests_bound_for_each_allowed_attempt(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    message = wear_out(world, tier, provider)
    bound = world.ledger.spent(message.batch).micro_usd // CAP
    costs = [redriver(world).letters(more=more)[0].worst.micro_usd for more in (1, 2, 3)]
    assert costs == [bound, 2 * bound, 3 * bound]


def test_reading_leaves_every_message_in_the_queue(world: World, tier: ModelTier, provider: LoopbackProvider) -> None:
    die(world, tier, provider, 12)
    redriver(world).letters()
    assert len(world.dead()) == 12


def test_an_unreadable_message_is_listed_and_cannot_be_sent(world: World) -> None:
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    (letter,) = redriver(world).letters(read=True)
    assert (letter.kind, letter.cause, letter.to_be_sent) == (Kind.UNREADABLE, "undecodable", False)
    assert (send_again(redriver(world)), len(world.dead())) == ([], 1)


def test_a_message_of_an_unknown_batch_is_listed(world: World) -> None:
    _, (message,) = world.batch(*videos(1))
    world.letters.send(message.model_copy(update={"batch": "gone"}).model_dump_json(), "unknown_batch: no such batch")
    assert [letter.cause for letter in redriver(world).letters()] == ["unknown_batch"]


def test_a_selection_takes_dead_letters_that_match_all_its_fields(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    (message,) = die(world, tier, provider)
    world.clock.forward(60)
    worn = wear_out(world, tier, provider)
    at = world.clock.after(-30)

    def chosen(**choice: Any) -> list[str]:  # noqa: ANN401 -- each is of its field's kind
        return [letter.id for letter in redriver(world).letters(choice=Selection(**choice))]

    assert chosen(causes=frozenset({"connection_lost"})) == ["v1"]
    assert chosen(ids=frozenset({"worn1"})) == ["worn1"]
    assert chosen(batches=frozenset({worn.batch, message.batch}), before=at) == ["v1"]
    assert chosen(causes=frozenset({"connection_lost"}), ids=frozenset({"worn1"})) == []


# -------------------------------------------------------------------------------------------------- what is sent again


def test_a_redriven_video_is_parsed_and_its_message_deleted(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    (message,) = die(world, tier, provider)
    assert send_again(redriver(world)) == ["sent"]
    work(world, tier, world.sent())
    assert (state(world, message), len(provider.posts), world.dead()) == (RowState.PARSED, 1, [])
    assert redriver(world).letters() == []


def test_a_grant_allows_no_more_attempts_than_it_says(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    message = wear_out(world, tier, provider)
    provider.fail(always="server_error")
    send_again(redriver(world), more=2)
    for receives in (1, 2, 3):
        work(world, tier, [message], receives)
    assert (len(provider.posts), state(world, message)) == (2, RowState.DEAD)
    assert redriver(world).letters()[0].attempts == CAP + 2


def test_a_message_moved_back_by_hand_ends_dead_again_at_no_cost(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    message = wear_out(world, tier, provider)
    world.dead()
    for receives in (1, 2):
        work(world, tier, [message], receives)
    assert (provider.posts, state(world, message)) == ([], RowState.DEAD)


@pytest.mark.usefixtures("provider")
def test_a_message_that_sqs_moved_is_sent_again(world: World, tier: ModelTier) -> None:
    _, (message,) = world.batch(*videos(1))
    world.sqs.send_message(QueueUrl=world.names["WorkDeadLetterQueue"], MessageBody=message.model_dump_json())
    (letter,) = redriver(world).letters()
    assert (letter.kind, letter.cause) == (Kind.STRAYED, "moved_by_sqs")
    assert send_again(redriver(world)) == ["sent"]
    work(world, tier, world.sent())
    assert (state(world, message), world.dead()) == (RowState.PARSED, [])


def test_a_video_parsed_in_the_meantime_is_not_sent_and_its_message_deleted(world: World, tier: ModelTier) -> None:
    _, (message,) = world.batch(*videos(1, "sure"))
    world.letters.send(message.model_dump_json(), "receives_used_up: a crash")
    work(world, tier, [message])
    assert send_again(redriver(world)) == ["removed"]
    assert (world.sent(), world.dead()) == ([], [])


def test_a_video_of_a_newer_manifest_ends_without_a_request(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    (message,) = die(world, tier, provider)
    _, (newer,) = world.batch(message.video.model_copy(update={"title": "Another title by Grace Hopper"}))
    work(world, tier, [newer])
    provider.reset()
    (letter,) = redriver(world).letters()
    assert (letter.closed, letter.worst) == ("a newer manifest has this video", Amount())
    send_again(redriver(world))
    work(world, tier, world.sent())
    assert (state(world, message), provider.posts) == (RowState.SUPERSEDED, [])


def test_a_row_attempted_after_the_plan_is_not_sent(world: World, tier: ModelTier, provider: LoopbackProvider) -> None:
    (message,) = die(world, tier, provider)
    planned = redriver(world).letters(read=True)
    send_again(redriver(world))
    provider.fail(always="half_body")
    work(world, tier, world.sent(), attempt_cap=1)
    provider.reset()
    assert send_again(redriver(world), planned) == ["moved"]
    assert (world.sent(), state(world, message), len(world.dead())) == ([], RowState.DEAD, 1)


def test_two_messages_of_one_row_are_sent_as_one(world: World, tier: ModelTier, provider: LoopbackProvider) -> None:
    (message,) = die(world, tier, provider)
    world.letters.send(
        message.model_dump_json(), "dead: recorded earlier, but its message did not reach the dead-letter queue"
    )
    assert send_again(redriver(world)) == ["sent"]
    assert (len(world.sent()), world.dead()) == (1, [])


def test_a_row_whose_message_is_lost_is_read_from_its_manifest(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    upload = world.put("".join(f"{video.model_dump_json(exclude_none=True)}\n" for video in videos(3)))
    world.ingest().take(upload, lambda: 900)
    provider.fail(always="half_body")
    work(world, tier, world.sent(), attempt_cap=1)
    provider.reset()
    world.dead()
    unread = redriver(world).letters()
    assert [letter.worst.micro_usd for letter in unread] == [(CAP - 1) * tier.worst_case.micro_usd] * 3
    assert send_again(redriver(world)) == ["sent"] * 3
    assert [message.video.id for message in world.sent()] == ["v1", "v2", "v3"]


def test_a_finished_batch_is_open_again_until_its_row_has_ended_again(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    message, _ = die(world, tier, provider, 2)
    world.sweeper().run()
    assert world.catalog.batch(message.batch).state is BatchState.FINISHED
    assert send_again(redriver(world)) == ["sent"] * 2
    batch = world.catalog.batch(message.batch)
    assert (batch.state, batch.counted(RowState.DEAD)) == (BatchState.OPEN, 0)
    assert [it.id for it in world.catalog.open_batches()] == [batch.id]
    work(world, tier, world.sent())
    world.sweeper().run()
    assert world.catalog.batch(message.batch).state is BatchState.FINISHED


def test_the_history_names_the_person_and_the_time_of_a_redrive(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    (message,) = die(world, tier, provider)
    send_again(redriver(world))
    ((given,),) = [record.redrives for record in grants(world).records(message.project, message.video.id)]
    assert (given["by"], given["at"][:10], given["attempts"], given["allowed"]) == (WHO, "2026-01-05", 1, 2)


def test_an_upload_that_ingest_could_not_process_is_sent_to_ingest_again(world: World) -> None:
    body = json.dumps({"Records": [{"s3": {"object": {"key": "uploads/djangocon/2019.jsonl"}}}]})
    world.sqs.send_message(QueueUrl=world.names["IngestDeadLetterQueue"], MessageBody=body)
    (letter,) = redriver(world).letters()
    assert (letter.kind, letter.reason) == (Kind.UPLOAD, "upload_not_taken: uploads/djangocon/2019.jsonl")
    assert send_again(redriver(world)) == ["sent"]
    assert [it["Body"] for it in world.taken("IngestQueue")] == [body]
    assert world.taken("IngestDeadLetterQueue") == []


def test_under_the_local_tier_another_try_costs_nothing(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    die(world, tier, provider)
    (letter,) = redriver(world, TierPolicy="local").letters()
    assert letter.worst == Amount()


# ---------------------------------------------------------------------------------------------------------- and killed


@pytest.mark.parametrize("how", [Cut.KILLED_BEFORE, Cut.KILLED_AFTER])
@pytest.mark.parametrize("call", ["TransactWriteItems", "SendMessage", "DeleteMessage"])
def test_a_redrive_killed_at_any_write_and_run_again_loses_nothing_and_grants_once(
    world: World, tier: ModelTier, provider: LoopbackProvider, how: Cut, call: str
) -> None:
    message = wear_out(world, tier, provider, cap=1)
    console = redriver(world, AttemptCap="1")
    letters = console.letters(read=True)
    world.wire.cut(how, call=call)
    with pytest.raises(Killed):
        send_again(console, letters)
    world.wire.mend()
    send_again(console)
    provider.fail(always="server_error")
    for receives, again in enumerate(world.sent(), 1):
        work(world, tier, [again], receives, attempt_cap=1)
    assert (len(provider.posts), state(world, message)) == (1, RowState.DEAD)
    provider.reset()
    send_again(console)
    work(world, tier, world.sent(), attempt_cap=1)
    assert (state(world, message), world.dead()) == (RowState.PARSED, [])


def die_after_ingest(
    world: World, tier: ModelTier, provider: LoopbackProvider, number: int, name: str = "killed"
) -> list[Message]:
    """Make a batch whose rows are all dead and can be read from its manifest."""
    rows = videos(number, f"{name}-")
    upload = world.put("".join(f"{video.model_dump_json(exclude_none=True)}\n" for video in rows), name=name)
    world.ingest().take(upload, lambda: 900)
    messages = world.sent()
    provider.fail(always="half_body")
    work(world, tier, messages, attempt_cap=1)
    provider.reset()
    return messages


def test_a_redrive_killed_at_any_call_is_finished_by_the_next_one_at_once(
    clients: AwsClients, wire: Wire, tier: ModelTier, provider: LoopbackProvider
) -> None:
    for at in range(1, 100):
        world = World(clients, wire)
        messages = die_after_ingest(world, tier, provider, 2, f"killed-at-{at}")
        world.wire.cut(Cut.KILLED_BEFORE, at=at)
        try:
            send_again(redriver(world, hidden=600))  # hidden for longer than this test
        except Killed:
            world.wire.mend()
        else:
            break
        send_again(redriver(world))
        sent = world.sent()
        assert {message.row for message in sent} == {1, 2}, f"killed before call {at}"
        work(world, tier, sent)
        assert {state(world, message) for message in messages} == {RowState.PARSED}, f"killed before call {at}"
        assert len(provider.posts) == 2
    assert at > 12


def test_a_row_that_a_killed_redrive_allowed_is_listed_without_its_message(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    die_after_ingest(world, tier, provider, 1)
    world.dead()
    world.wire.cut(Cut.KILLED_BEFORE, call="SendMessage")
    with pytest.raises(Killed):
        send_again(redriver(world))
    world.wire.mend()
    (letter,) = redriver(world).letters()
    assert (letter.kind, letter.cause, letter.messages) == (Kind.STRAYED, "redrive_interrupted", ())
    assert send_again(redriver(world)) == ["sent"]


def test_messages_that_others_are_reading_are_counted(world: World) -> None:
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    world.sqs.receive_message(QueueUrl=world.names["WorkDeadLetterQueue"], VisibilityTimeout=600)
    console = redriver(world)
    assert (console.letters(), console.hidden) == ([], 1)


# --------------------------------------------------------------------------------------------------- mended, discarded


def test_a_corrected_title_is_parsed(world: World, tier: ModelTier, provider: LoopbackProvider) -> None:
    (message,) = die(world, tier, provider)
    console = redriver(world)
    (letter,) = console.letters()
    mended = console.edited(letter, message.video.model_copy(update={"title": "Mended title by Grace Hopper"}), more=1)
    assert (mended.attempts, mended.worst.requests, send_again(console, [mended])) == (0, CAP, ["sent"])
    work(world, tier, world.sent())
    (result,) = exports(world).results(world.catalog.batch(message.batch))
    assert (result.state, result.talk and result.talk.title[:12], world.dead()) == (RowState.PARSED, "Mended title", [])


def test_a_discarded_letter_is_on_disk_and_no_longer_listed(
    world: World, tier: ModelTier, provider: LoopbackProvider, tmp_path: Path
) -> None:
    (message,) = die(world, tier, provider)
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    console, copy = redriver(world), tmp_path / "copy.jsonl"
    with copy.open("w") as file:
        assert len(list(console.discard(console.letters(), file, by=WHO))) == 2
    bodies = [body for line in copy.read_text().splitlines() for body in json.loads(line)["bodies"]]
    assert sorted(bodies) == sorted(["{half a", message.model_dump_json()])
    assert (redriver(world).letters(), world.dead(), state(world, message)) == ([], [], RowState.DEAD)


def test_no_letter_is_discarded_before_its_copy_is_on_the_disk(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    die(world, tier, provider)
    console = redriver(world)
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("w") as full:
        list(console.discard(console.letters(), full, by=WHO))
    assert len(world.dead()) == 1


def strayed(world: World, start: str = "v") -> Message:
    """Make a row that has not ended, and whose message SQS has moved to the dead-letter queue by itself."""
    batch, (message,) = world.batch(*videos(1, start))
    world.uploads.write_report(batch.upload, ACCEPTED, Bitmap([1]).to_bytes())
    world.sqs.send_message(QueueUrl=world.names["WorkDeadLetterQueue"], MessageBody=message.model_dump_json())
    return message


def discard(console: Redriver, file: Path) -> list[str]:
    with file.open("w") as copy:
        return [what for _, what in console.discard(console.letters(), copy, by=WHO)]


def test_a_discarded_row_that_had_not_ended_is_dead_and_never_sent_again(
    world: World, provider: LoopbackProvider, tmp_path: Path
) -> None:
    message = strayed(world)
    assert discard(redriver(world), tmp_path / "copy") == ["discarded"]
    world.clock.forward(2 * NUMBERS["AuditAfterSeconds"])
    assert dict(world.sweeper().run()) == {"finished": 1}
    batch = world.catalog.batch(message.batch)
    (row,) = world.catalog.rows(batch)
    assert (row.state, row.video, row.reason) == (RowState.DEAD, message.video.id, DISCARDED)
    assert (batch.counts, redriver(world).letters(), world.sent()) == ({"dead": 1}, [], [])
    assert provider.posts == []


def test_a_row_that_ended_while_the_person_read_the_question_opens_no_finished_batch(
    world: World, tier: ModelTier
) -> None:
    message = strayed(world, "sure")
    planned = redriver(world).letters()
    work(world, tier, [message])
    assert world.catalog.finish(world.catalog.batch(message.batch))
    assert send_again(redriver(world), planned) == ["moved"]
    assert (world.catalog.batch(message.batch).state, world.sent()) == (BatchState.FINISHED, [])


@pytest.mark.parametrize("how", [Cut.KILLED_BEFORE, Cut.KILLED_AFTER])
@pytest.mark.parametrize("call", ["TransactWriteItems", "SendMessage", "DeleteMessage"])
def test_the_redrive_of_a_row_that_had_not_ended_continues_after_a_kill(
    world: World, tier: ModelTier, provider: LoopbackProvider, how: Cut, call: str
) -> None:
    message = strayed(world)
    world.wire.cut(how, call=call)
    with pytest.raises(Killed):
        send_again(redriver(world))
    world.wire.mend()
    assert send_again(redriver(world)) in (["sent"], [])
    work(world, tier, world.sent())
    assert (state(world, message), len(provider.posts), redriver(world).letters()) == (RowState.PARSED, 1, [])


@pytest.mark.parametrize("how", [Cut.KILLED_BEFORE, Cut.KILLED_AFTER])
@pytest.mark.parametrize("call", ["TransactWriteItems", "DeleteMessage"])
def test_a_discard_that_is_killed_loses_no_row_and_continues_when_it_is_repeated(
    world: World, tmp_path: Path, how: Cut, call: str
) -> None:
    message = strayed(world)
    world.wire.cut(how, call=call)
    with pytest.raises(Killed):
        discard(redriver(world), tmp_path / "first")
    world.wire.mend()
    discard(redriver(world), tmp_path / "second")
    assert (state(world, message), redriver(world).letters()) == (RowState.DEAD, [])


def test_a_row_that_was_redriven_while_the_person_read_the_question_is_not_discarded(
    world: World, tier: ModelTier, provider: LoopbackProvider, tmp_path: Path
) -> None:
    (message,) = die(world, tier, provider)
    console = redriver(world)
    read = console.letters()
    assert send_again(redriver(world)) == ["sent"]
    with (tmp_path / "copy").open("w") as copy:
        assert [what for _, what in console.discard(read, copy, by=WHO)] == ["moved"]
    assert (state(world, message), len(world.sent())) == (RowState.QUEUED, 1)


# --------------------------------------------------------------------------------------------- as a person types it


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs `titlecard dlq` on this world."""
    monkeypatch.setattr("titlecard_console.stacks.find", lambda *_: Here(world, TEMPLATE.values({})))
    monkeypatch.setattr("titlecard_console.commands.dlq.Redriver", lambda _: redriver(world))
    return lambda *command: CliRunner().invoke(dlq.dlq, command)


def test_the_table_has_causes_and_the_cost_of_a_redrive(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result]
) -> None:
    die(world, tier, provider, 2)
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    seen = run()
    assert seen.exit_code == 3
    assert [line.split()[:2] for line in seen.stdout.splitlines()[1:]] == [
        ["connection_lost", "2"],
        ["undecodable", "1"],
    ]
    assert f"{2 * (CAP - 1)} requests, $0.0" in seen.stdout


def test_a_stack_without_dead_letters_says_so_and_succeeds(run: Callable[..., Result]) -> None:
    seen = run("list")
    assert (seen.exit_code, seen.stdout, seen.stderr) == (0, "", "Nothing is dead.\n")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["list", "--cause", "nope"], "the cause 'nope'"),
        (["show", "nobody"], "the id 'nobody'"),
        (["redrive", "--id", "nobody", "--yes"], "the id 'nobody'"),
        (["redrive", "--batch", "nothing", "--cause", "nope"], "the cause 'nope' or the batch 'nothing'"),
        (["edit", "nobody", "--title", "A title"], "the id 'nobody'"),
        (["discard", "--id", "nobody", "--yes"], "the id 'nobody'"),
    ],
)
def test_a_selection_that_matches_nothing_is_refused_with_the_causes(
    world: World, run: Callable[..., Result], words: list[str], named: str
) -> None:
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    refusal = run(*words).exception
    assert isinstance(refusal, CommandError)
    assert f"No dead letter has {named}. The causes are: undecodable (1)" in str(refusal)


def test_an_age_that_matches_nothing_is_no_error(world: World, run: Callable[..., Result]) -> None:
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    seen = run("redrive", "--older-than", "7d", "--yes")
    assert (seen.exit_code, seen.stderr) == (0, "No dead letter matches all of these options.\n")


def test_a_reason_is_not_cut_in_a_pipe(world: World, run: Callable[..., Result]) -> None:
    reason = f"undecodable: {'word ' * 30}end"
    world.letters.send("{half a", reason)
    assert reason in run("list").stdout


def test_terminal_sequences_in_a_dead_letter_are_not_printed(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result]
) -> None:
    _, messages = world.batch(Video(id="v1", title="A \x1b[31mred\x07 talk by Grace Hopper"))
    provider.fail(always="half_body")
    work(world, tier, messages, attempt_cap=1)
    seen = run("show", "v1")
    assert "title: A red  talk by Grace Hopper" in seen.stdout
    assert not {"\x1b", "\x07"} & set(seen.stdout)


def test_the_history_has_every_attempt_with_its_charge_and_the_cost_of_another(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result]
) -> None:
    wear_out(world, tier, provider)
    told = run("show", "worn1").stdout
    assert told.count("provider_error, charged") == CAP
    assert "a redrive: at most 1 request, $0.0" in told
    assert "log: ParserFunction from 2026-01-05 11:4" in told


def test_a_redrive_shows_its_plan_and_its_result(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result]
) -> None:
    wear_out(world, tier, provider)
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    seen = run("redrive", "--all", "--yes", "--rate", "1000")
    assert "1 video is sent again. At most 1 request, " in seen.stderr
    assert "  provider_error (1): worn1\n" in seen.stderr
    assert "1 not sent: the message cannot be read" in seen.stderr
    assert (seen.stderr.splitlines()[-1], seen.exit_code, len(world.sent())) == ("1 sent.", 3, 1)


def test_a_plan_warns_of_a_batch_limit_and_says_how_to_raise_it(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result]
) -> None:
    batch, messages = world.batch(*videos(2), limits=replace(LIMITS, requests=2))
    provider.fail(always="half_body")
    work(world, tier, messages, attempt_cap=1)
    said = run("redrive", "--all", "--yes", "--rate", "1000").stderr
    assert f"The limit of {batch.id} may be too low" in said
    assert f"`titlecard limit {batch.id} --requests {2 + 2 * (CAP - 1)}`" in said


def test_a_redrive_without_confirmation_sends_nothing(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result]
) -> None:
    die(world, tier, provider)
    seen = run("redrive", "--all")
    assert (str(seen.exception), world.sent(), len(world.dead())) == (
        "Standard input is not a terminal, so nobody can confirm this: add --yes.",
        [],
        1,
    )


def test_a_video_is_corrected_in_the_editor(
    world: World,
    tier: ModelTier,
    provider: LoopbackProvider,
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    die(world, tier, provider)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i s/number/chapter/")
    seen = run("edit", "v1", "--yes")
    assert (seen.exit_code, [message.video.title for message in world.sent()]) == (
        0,
        ["Talk chapter 1 by Grace Hopper | PyCon 2019"],
    )


@pytest.mark.parametrize("words", [["--title", "Talk number 1 by Grace Hopper | PyCon 2019"], []])
def test_an_edit_without_changes_sends_nothing(
    world: World,
    tier: ModelTier,
    provider: LoopbackProvider,
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: list[str],
) -> None:
    die(world, tier, provider)
    monkeypatch.setenv("VISUAL", """sh -c 'echo >> "$0"'""")  # as editors that end the last line
    seen = run("edit", "v1", *words, "--yes")
    assert (str(seen.exception), world.sent()) == ("Nothing was changed, so nothing is sent.", [])


def test_an_edit_makes_no_video_larger_than_a_row(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result]
) -> None:
    (message,) = die(world, tier, provider)
    seen = run("edit", "v1", "--description", "x" * NUMBERS["RowMaxBytes"], "--yes")
    assert "RowMaxBytes: shorten it" in str(seen.exception)
    assert (world.sent(), state(world, message)) == ([], RowState.DEAD)


def test_a_discard_overwrites_no_file(world: World, run: Callable[..., Result], tmp_path: Path) -> None:
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    (tmp_path / "copy.jsonl").write_text("precious")
    seen = run("discard", "--all", "--copy", str(tmp_path / "copy.jsonl"), "--yes")
    assert isinstance(seen.exception, CommandError)
    assert ((tmp_path / "copy.jsonl").read_text(), len(world.dead())) == ("precious", 1)


def test_a_redrive_says_until_when_messages_are_hidden(world: World, run: Callable[..., Result]) -> None:
    world.letters.send("{half a", "undecodable: the message is not a row of a manifest")
    world.sqs.receive_message(QueueUrl=world.names["WorkDeadLetterQueue"], VisibilityTimeout=600)
    seen = run("redrive", "--all", "--yes")
    assert seen.exit_code == 3
    assert "About 1 message is being read by another command, or by one that was killed: run this again" in seen.stderr


def test_a_discard_writes_the_named_copy(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result], tmp_path: Path
) -> None:
    die(world, tier, provider)
    seen = run("discard", "--cause", "connection_lost", "--copy", str(tmp_path / "copy.jsonl"), "--yes")
    assert (seen.exit_code, world.dead()) == (0, [])
    assert json.loads((tmp_path / "copy.jsonl").read_text())["id"] == "v1"


EDITS: dict[str, Callable[[World, Message], None]] = {
    "batch": lambda world, it: world.edit("CatalogTable", f"batch#{it.batch}", "batch", limits="none"),
    "survey": lambda world, it: world.edit("CatalogTable", f"batch#{it.batch}", "survey", survey=5),
    "state": lambda world, it: world.edit("CatalogTable", f"rows#{it.batch}#00", "row#000000000001", state="mislaid"),
    "video": lambda world, it: world.edit("CatalogTable", f"rows#{it.batch}#00", "row#000000000001", video=...),
    "date": lambda world, it: world.edit("CatalogTable", f"rows#{it.batch}#00", "row#000000000001", ended_at="today"),
    "zone": lambda world, it: world.edit(
        "CatalogTable", f"rows#{it.batch}#00", "row#000000000001", ended_at="2026-01-05T12:00:00"
    ),
    "record": lambda world, it: world.edit(
        "CatalogTable", f"video#{it.project}#{it.video.id}", f"fp#{mark(world, it)}", attempts="many"
    ),
}


def mark(world: World, message: Message) -> str:
    (row,) = world.catalog.rows(world.catalog.batch(message.batch))
    return row.fingerprint


@pytest.mark.parametrize("name", EDITS)
def test_a_dead_letter_that_cannot_be_read_hides_no_other(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result], name: str
) -> None:
    (good,) = die(world, tier, provider)
    (bad,) = die(world, tier, provider, start="w")
    EDITS[name](world, bad)
    listed = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert len(listed) == 2
    assert {it["batch"]: "cannot be read" in (it["error"] or "") for it in listed} == {
        good.batch: False,
        bad.batch: True,
    }
    assert "1 dead letter cannot be sent: " in run().stderr
    assert "cannot be read" in run("show", listed[1]["id"]).stdout
    assert "1 video is sent again." in run("redrive", "--batch", good.batch, "--yes").stderr
    seen = run("redrive", "--all", "--yes")
    assert (seen.exit_code, [it.batch for it in world.sent()]) == (3, [good.batch])
    assert "1 dead letter cannot be sent: " in seen.stderr


def test_a_row_that_cannot_be_read_is_not_discarded(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result], tmp_path: Path
) -> None:
    (bad,) = die(world, tier, provider)
    EDITS["state"](world, bad)
    seen = run("discard", "--all", "--copy", str(tmp_path / "copy.jsonl"), "--yes")
    assert (seen.exit_code, "1 kept: its row cannot be read." in seen.stderr, len(world.dead())) == (3, True, 1)


def test_charges_that_cannot_be_read_hide_no_plan(
    world: World, tier: ModelTier, provider: LoopbackProvider, run: Callable[..., Result]
) -> None:
    (message,) = die(world, tier, provider)
    world.edit("LedgerTable", f"batch#{message.batch}", "spend", micro_usd="plenty")
    seen = run("redrive", "--all", "--yes")
    assert (seen.exit_code, "'plenty'" in seen.stderr, len(world.sent())) == (0, True, 1)


def test_a_message_of_a_batch_with_a_very_long_name_hides_no_other(
    world: World, tier: ModelTier, provider: LoopbackProvider
) -> None:
    (good,) = die(world, tier, provider)
    body = good.model_copy(update={"batch": "b" * 3_000}).model_dump_json()
    world.sqs.send_message(QueueUrl=world.names["WorkDeadLetterQueue"], MessageBody=body)
    assert sorted(it.cause for it in redriver(world).letters()) == ["connection_lost", "unknown_batch"]


def test_a_finished_batch_that_somebody_wanted_to_cancel_can_be_redriven(
    world: World, tier: ModelTier, provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = die(world, tier, provider)
    assert world.catalog.finish(world.catalog.batch(message.batch))
    assert Console(world, monkeypatch).type("cancel", message.batch, "--yes").exit_code
    world.clock.forward(60)
    assert send_again(redriver(world)) == ["sent"]
    work(world, tier, world.sent())
    assert state(world, message) is RowState.PARSED
