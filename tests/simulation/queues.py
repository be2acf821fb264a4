"""SQS in memory: it delivers at least once, in any order, with visibility timeouts and a redrive policy."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.simulation.wire import Wire

SQS_TRIES = 3
"""The tries per call of SQS, fewer than boto3's five: three suffice to lose a call, repeat it and give up."""

MAX_BYTES = 1_048_576
"""The largest message, and the largest batch of messages in one call, in bytes (SQS developer guide, "Message
quotas")."""


@dataclass
class Letter:
    """One message in a queue; `visible` and `sent` in seconds of the schedule."""

    id: str
    body: str
    sent: float
    visible: float
    receives: int = 0
    receipt: str = ""
    first: float = 0.0
    reason: str | None = None


@dataclass
class Queue:
    """One queue. Times in seconds.

    Args:
        shows: called with the time from which a message may be received.
        dead: the dead-letter queue of messages that have been received `most` times.
    """

    name: str
    visibility: float
    retention: float
    shows: Callable[[float], None]
    dead: Queue | None = None
    most: int = 0
    letters: list[Letter] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """The bodies of messages that could not be sent one by one."""
    _number: itertools.count[int] = field(default_factory=itertools.count)

    def put(self, body: str, now: float, *, reason: str | None = None, delay: float = 0.0) -> None:
        """Add a message."""
        letter = Letter(f"{self.name}-{next(self._number)}", body, now, now + delay, reason=reason)
        self.letters.append(letter)
        self.shows(letter.visible)

    def receive(self, now: float, most: int, order: Callable[[int], int], twice: Callable[[], bool]) -> list[Letter]:
        """Return up to `most` visible messages, and make them invisible, unless SQS delivers them twice."""
        self.expire(now)
        for letter in [it for it in self.letters if it.visible <= now and self.dead and it.receives >= self.most]:
            self.letters.remove(letter)
            letter.receives, letter.receipt = 0, ""  # its age stays: SQS counts from the first send
            self.dead.letters.append(letter)  # type: ignore[union-attr]  # there is one, by the line above
        seen = [letter for letter in self.letters if letter.visible <= now]
        taken: list[Letter] = []
        while seen and len(taken) < most:
            letter = seen.pop(order(len(seen)))
            letter.receives += 1
            letter.first = letter.first or now
            letter.receipt = f"{letter.id}/{letter.receives}"
            letter.visible = now + (1.0 if twice() else self.visibility)
            self.shows(letter.visible)
            taken.append(Letter(**vars(letter)))
        return taken

    def delete(self, receipt: str) -> None:
        """Delete a message by the receipt of its last delivery."""
        self.letters = [letter for letter in self.letters if letter.receipt != receipt]

    def hide(self, receipt: str, seconds: float, now: float) -> None:
        """ChangeMessageVisibility."""
        for letter in self.letters:
            if letter.receipt == receipt and letter.visible > now:
                letter.visible = now + seconds
                self.shows(letter.visible)
                return
        raise ClientError(
            {"Error": {"Code": "InvalidParameterValue", "Message": "not in flight"}}, "ChangeMessageVisibility"
        )

    def expire(self, now: float) -> None:
        """Delete messages older than the queue's retention."""
        if self.letters and self.letters[0].sent + self.retention < now:
            self.letters = [letter for letter in self.letters if letter.sent + self.retention >= now]


class Client:
    """Replaces `boto3.client("sqs")`; a queue's URL is its name."""

    def __init__(self, queues: Mapping[str, Queue], wire: Wire) -> None:
        self._queues = queues
        self._wire = wire

    def send_message(
        self,
        *,
        QueueUrl: str,  # noqa: N803 -- boto3's
        MessageBody: str,  # noqa: N803 -- boto3's
        MessageAttributes: Mapping[str, Any] | None = None,  # noqa: N803 -- boto3's
        DelaySeconds: int = 0,  # noqa: N803 -- boto3's
    ) -> dict[str, Any]:
        """SendMessage."""
        assert 0 <= DelaySeconds <= 900, "so long a message may be delayed"
        reason = (MessageAttributes or {}).get("reason", {}).get("StringValue")
        assert MessageAttributes is None or reason, "an attribute may not be empty"

        def send() -> dict[str, Any]:
            self._queues[QueueUrl].put(MessageBody, self._wire.scheduler.now, reason=reason, delay=DelaySeconds)
            return {}

        try:
            return self._call("send_message", send, f"{QueueUrl} {reason or MessageBody}")
        except (BotoCoreError, ClientError):
            self._queues[QueueUrl].refused.append(MessageBody)
            raise

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """SendMessageBatch: some entries may fail."""
        assert 0 < len(Entries) <= 10, "a SendMessageBatch takes 1 to 10 messages"
        assert sum(len(entry["MessageBody"].encode()) for entry in Entries) <= MAX_BYTES, "so large a batch may be"
        choices, me = self._wire.scheduler.choices, self._wire.scheduler.current.name

        def send() -> dict[str, Any]:
            failed = []
            for entry in Entries:
                if choices(f"{me} fails entries", self._wire.chance):
                    self._wire.fates["sqs: entry failed"] += 1
                    failed.append({"Id": entry["Id"], "Message": "simulated"})
                else:
                    reason = entry.get("MessageAttributes", {}).get("reason", {}).get("StringValue")
                    self._queues[QueueUrl].put(entry["MessageBody"], self._wire.scheduler.now, reason=reason)
            return {"Failed": failed} if failed else {}

        return self._call("send_message_batch", send, f"{QueueUrl}: {len(Entries)}")

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Sequence[str]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """GetQueueAttributes: the approximate numbers of messages."""

        def count() -> dict[str, Any]:
            now = self._wire.scheduler.now
            self._queues[QueueUrl].expire(now)
            letters = self._queues[QueueUrl].letters
            delayed = sum(letter.visible > now and not letter.receives for letter in letters)
            visible = sum(letter.visible <= now for letter in letters)
            counts = {"": visible, "Delayed": delayed, "NotVisible": len(letters) - visible - delayed}
            found = {f"ApproximateNumberOfMessages{kind}": str(number) for kind, number in counts.items()}
            return {"Attributes": {name: found[name] for name in AttributeNames}}

        return self._call("get_queue_attributes", count, QueueUrl)

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """ChangeMessageVisibility."""
        assert 0 <= VisibilityTimeout <= 43_200, "so long a message may be hidden"

        def change() -> dict[str, Any]:
            self._queues[QueueUrl].hide(ReceiptHandle, VisibilityTimeout, self._wire.scheduler.now)
            return {}

        return self._call("change_message_visibility", change, f"{ReceiptHandle} {VisibilityTimeout} s")

    def _call(self, operation: str, apply: Callable[[], dict[str, Any]], about: str) -> dict[str, Any]:
        return self._wire.call("sqs", operation, apply, about=about, tries=SQS_TRIES)
