"""A dead-letter queue, read without side effects: every message becomes visible again once all of them are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_sqs import SQSClient

HIDDEN_SECONDS = 10
"""Seconds that a message stays hidden if the reading process is killed; longer if there are many messages."""

MESSAGES_PER_SECOND = 50
"""The lowest reading rate to expect, in messages per second, at ten messages per call."""

WAIT_SECONDS = 1
"""Seconds that SQS waits for a message: only a waiting call asks all of SQS's servers (long polling)."""

MESSAGES_PER_CALL = 10
"""The most messages that one call can receive (SQS API reference)."""


@dataclass(frozen=True)
class QueuedMessage:
    """A message in a dead-letter queue. `reason` is the parser's, or None if SQS moved the message by itself."""

    id: str
    receipt: str
    body: str
    reason: str | None
    sent_at: datetime


class DeadLetterQueue:
    """A dead-letter queue.

    Args:
        url: the URL of the dead-letter queue.
        source: the URL of the queue that its messages come from.
        hidden: see `HIDDEN_SECONDS`.
        wait: see `WAIT_SECONDS`.
    """

    def __init__(
        self, sqs: SQSClient, url: str, source: str, *, hidden: int = HIDDEN_SECONDS, wait: int = WAIT_SECONDS
    ) -> None:
        self._sqs = sqs
        self._url = url
        self._source = source
        self._hidden_seconds = hidden
        self._wait = wait
        self.hidden = 0
        """The approximate number of messages that could not be read: another process reads them, or was killed."""

    def read(self) -> list[QueuedMessage]:
        """Return every message that no other process is reading; make all of them visible again."""
        found: dict[str, QueuedMessage] = {}
        try:
            for message in self._receive():
                if message.id in found:  # there are so many messages that the first ones are visible again
                    break
                found[message.id] = message
        finally:
            self._show(found.values())
        return list(found.values())

    def send_again(self, body: str) -> None:
        """Send a message to the queue that it came from."""
        self._sqs.send_message(QueueUrl=self._source, MessageBody=body)

    def delete(self, messages: Iterable[QueuedMessage]) -> None:
        """Delete messages. One that another process has since read may stay; the next redrive deletes it."""
        for message in messages:
            try:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)
            except ClientError as error:
                if error.response["Error"].get("Code") != "ReceiptHandleIsInvalid":
                    raise

    def _receive(self) -> Iterator[QueuedMessage]:
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self._url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        self.hidden = int(attributes["ApproximateNumberOfMessagesNotVisible"])
        hidden = self._hidden_seconds + int(attributes["ApproximateNumberOfMessages"]) // MESSAGES_PER_SECOND
        while messages := self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=MESSAGES_PER_CALL,
            MessageAttributeNames=["reason"],
            MessageSystemAttributeNames=["SentTimestamp"],
            VisibilityTimeout=hidden,
            WaitTimeSeconds=self._wait,
        ).get("Messages"):
            for message in messages:
                given = message.get("MessageAttributes")
                yield QueuedMessage(
                    id=message["MessageId"],
                    receipt=message["ReceiptHandle"],
                    body=message["Body"],
                    reason=given["reason"].get("StringValue") if given else None,
                    sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
                )

    def _show(self, messages: Iterable[QueuedMessage]) -> None:
        """Make messages visible again; visible messages stay visible."""
        left = iter(messages)
        while block := list(islice(left, MESSAGES_PER_CALL)):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": message.receipt, "VisibilityTimeout": 0}
                    for i, message in enumerate(block)
                ],
            )
