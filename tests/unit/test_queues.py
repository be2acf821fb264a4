"""The division of messages into chunks that one SendMessageBatch takes, and the times that SQS is given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.aws.errors import MessagesNotSent
from titlecard.aws.sqs import BYTES_PER_SEND, ENTRIES_PER_SEND, VISIBILITY_MAX_SECONDS, WorkQueue, chunk_messages
from titlecard.domain.batch import Message
from titlecard.domain.video import Video


def message(row: int, description: str = "") -> Message:
    return Message(batch="b", project="p", row=row, video=Video(id=str(row), title="A Talk", description=description))


def size(chunk: list[Message]) -> int:
    return sum(len(it.model_dump_json().encode()) for it in chunk)


def test_an_empty_list_makes_no_chunk() -> None:
    assert list(chunk_messages([])) == []


def test_a_chunk_holds_at_most_ten_messages() -> None:
    assert [len(chunk) for chunk in chunk_messages(map(message, range(23)))] == [10, 10, 3]


def test_large_messages_are_packed_by_their_bytes() -> None:
    large = "x" * 100_000
    assert [len(chunk) for chunk in chunk_messages(message(row, large) for row in range(5))] == [2, 2, 1]


def test_bytes_are_counted_and_not_characters() -> None:
    wide = "王" * 40_000  # 120,000 bytes
    assert [len(chunk) for chunk in chunk_messages(message(row, wide) for row in range(4))] == [2, 2]


def test_messages_that_just_fit_go_together() -> None:
    room = BYTES_PER_SEND - size([message(1), message(2)])
    fitting = [message(1, "x" * room), message(2)]
    assert [len(chunk) for chunk in chunk_messages(fitting)] == [2]
    one_more = [message(1, "x" * (room + 1)), message(2)]
    assert [len(chunk) for chunk in chunk_messages(one_more)] == [1, 1]
    assert [len(chunk) for chunk in chunk_messages([*fitting, *fitting])] == [2, 2]


def test_a_message_that_is_too_large_does_not_harm_others() -> None:
    assert [len(chunk) for chunk in chunk_messages([message(1), message(2, "x" * 300_000), message(3)])] == [1, 1, 1]


@given(st.lists(st.integers(0, 150_000), max_size=30))
def test_no_message_is_lost_or_moved_and_no_chunk_is_too_large(lengths: list[int]) -> None:
    messages = [message(row, "x" * length) for row, length in enumerate(lengths)]
    packed = list(chunk_messages(messages))
    assert [it for chunk in packed for it in chunk] == messages
    assert all(len(chunk) <= ENTRIES_PER_SEND and size(chunk) <= BYTES_PER_SEND for chunk in packed)


class Client:
    """Records calls, and sends nothing."""

    def __init__(self) -> None:
        self.visible: list[int] = []

    def change_message_visibility(self, **request: Any) -> None:  # noqa: ANN401 -- boto3's
        """Record a delay."""
        self.visible.append(request["VisibilityTimeout"])

    def send_message_batch(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 -- boto3's
        """Refuse every entry."""
        return {"Failed": [{"Id": entry["Id"], "Message": "busy"} for entry in request["Entries"]]}


def test_a_message_comes_back_after_the_given_seconds_as_far_as_sqs_takes_them() -> None:
    client = Client()
    queue = WorkQueue(client, "queue")  # type: ignore[arg-type]
    for seconds in (60, 0, -5, 10**6):
        queue.change_visibility("receipt", seconds)
    assert client.visible == [60, 0, 0, VISIBILITY_MAX_SECONDS]


def test_entries_that_are_refused_are_sent_again_after_doubled_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("titlecard.aws.sqs.time.sleep", pauses.append)
    with pytest.raises(MessagesNotSent, match="1 of 1 messages were refused 5 times: busy"):
        WorkQueue(Client(), "queue").send([message(1)])  # type: ignore[arg-type]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6])
