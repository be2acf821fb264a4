"""The queues on SQS: failed entries, visibility, dead letters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.functional.world import PROJECT, Refusing, World, videos

from titlecard.aws.errors import MessagesNotSent
from titlecard.aws.sqs import BYTES_PER_SEND, DELAY_MAX_SECONDS, SEND_TRIES, IngestQueue, WorkQueue, chunk_messages
from titlecard.domain.batch import Message, Upload
from titlecard.domain.video import Video

BODY = '{"batch": "made up"}'


def messages(number: int) -> list[Message]:
    return [Message(batch="b", project=PROJECT, row=i, video=it) for i, it in enumerate(videos(number), 1)]


def queue(world: World, refusing: Refusing) -> WorkQueue:
    return WorkQueue(refusing, world.names["WorkQueue"])  # type: ignore[arg-type]  # it has the methods that are used


def received(world: World) -> list[dict[str, Any]]:
    found = world.sqs.receive_message(
        QueueUrl=world.names["WorkQueue"],
        MaxNumberOfMessages=10,
        MessageSystemAttributeNames=["ApproximateReceiveCount"],
    )
    return [dict(it) for it in found.get("Messages", ())]


def test_a_chunk_arrives_as_it_was_sent(world: World) -> None:
    world.queue.send(messages(10))
    assert world.sent() == messages(10)


def test_only_failed_entries_are_sent_again(world: World) -> None:
    refusing = Refusing(world.sqs, rows={3, 7}, times=1)
    queue(world, refusing).send(messages(10))
    assert refusing.asked == [10, 2]
    assert world.sent() == messages(10)


def test_a_message_that_is_refused_at_every_try_is_not_sent(world: World) -> None:
    refusing = Refusing(world.sqs, rows={3}, times=SEND_TRIES)
    with pytest.raises(MessagesNotSent, match="1 of 10 messages were refused 5 times"):
        queue(world, refusing).send(messages(10))
    assert refusing.asked == [10, 1, 1, 1, 1]


def test_a_message_that_is_accepted_at_the_last_try_is_sent(world: World) -> None:
    queue(world, Refusing(world.sqs, rows={3}, times=SEND_TRIES - 1)).send(messages(10))
    assert len(world.sent()) == 10


def test_a_message_may_be_shown_again_at_once(world: World) -> None:
    world.queue.send(messages(1))
    (first,) = received(world)
    assert received(world) == []
    world.queue.change_visibility(first["ReceiptHandle"], 0)
    (second,) = received(world)
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"


@pytest.mark.parametrize("seconds", [-5, 100_000])
def test_a_wait_that_sqs_would_refuse_is_changed_to_one_that_it_accepts(world: World, seconds: int) -> None:
    world.queue.send(messages(1))
    (first,) = received(world)
    world.queue.change_visibility(first["ReceiptHandle"], seconds)


@pytest.mark.parametrize("seconds", [0, DELAY_MAX_SECONDS, DELAY_MAX_SECONDS + 1, 3600])
def test_a_copy_is_delayed_for_as_long_as_sqs_takes(
    world: World, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    delays: list[int] = []
    send = world.sqs.send_message

    def watched(**message: Any) -> object:  # noqa: ANN401 -- passed on as they are
        delays.append(message["DelaySeconds"])
        return send(**message)

    monkeypatch.setattr(world.sqs, "send_message", watched)
    world.queue.send_again("a body", seconds)
    assert delays == [min(seconds, 900)]


def test_a_dead_letter_carries_body_and_reason(world: World) -> None:
    world.letters.send(BODY, "bad_request: it said no")
    assert world.dead() == [(BODY, "bad_request: it said no")]


def test_a_reason_is_cut_to_what_a_person_reads(world: World) -> None:
    world.letters.send(BODY, "x" * 5_000)
    ((_, reason),) = world.dead()
    assert reason == "x" * 256


def test_dead_letters_of_a_chunk_carry_bodies_and_the_reason(world: World) -> None:
    chunk = messages(10)
    world.letters.send_all(chunk, "never_answered: nobody did")
    bodies = sorted(it.model_dump_json() for it in chunk)
    assert sorted(world.dead()) == [(body, "never_answered: nobody did") for body in bodies]


def test_the_largest_chunk_goes_into_one_request_with_the_longest_reasons_too() -> None:
    empty = Message(batch="b", project=PROJECT, row=1, video=Video(id="v", title="A title"))
    room = BYTES_PER_SEND // 10 - len(empty.model_dump_json())
    full = empty.model_copy(update={"video": empty.video.model_copy(update={"description": "x" * room})})
    chunk = next(chunk_messages([full] * 20))
    attribute = len("reason") + len("String") + 256
    assert len(chunk) == 10
    assert sum(len(it.model_dump_json()) + attribute for it in chunk) <= 262_144  # the most that every queue takes


def test_all_messages_of_the_queue_are_counted(world: World) -> None:
    world.queue.send(messages(3))
    world.queue.send_again("later", 60)
    assert world.queue.size() == 4
    received(world)
    assert world.queue.size() == 4
    world.queue.send(messages(1))
    assert world.queue.size() == 5


def test_a_continuation_message_carries_its_upload(world: World) -> None:
    upload = Upload("bucket", "uploads/p/ü +.jsonl", "v1", "2026#1")
    IngestQueue(world.sqs, world.names["IngestQueue"]).send_continuation(upload, delay=0)
    (message,) = world.taken("IngestQueue")
    assert Upload(**json.loads(message["Body"])["continue"]) == upload


def test_a_continuation_is_delayed_by_a_quarter_of_an_hour_at_the_most(world: World) -> None:
    upload = Upload("bucket", "uploads/p/x.jsonl", "v1", "2026#1")
    IngestQueue(world.sqs, world.names["IngestQueue"]).send_continuation(upload, delay=5_000)
    assert world.taken("IngestQueue") == []
    counted = world.sqs.get_queue_attributes(QueueUrl=world.names["IngestQueue"], AttributeNames=["All"])["Attributes"]
    assert counted["ApproximateNumberOfMessagesDelayed"] == "1"
