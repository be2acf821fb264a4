"""The dead-letter queues, read without harm: what is looked at is hidden for seconds, and shown again at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_sqs import SQSClient

HIDDEN_SECONDS = 10
"""For how long a letter that is taken is hidden from others, should this process die before it puts it back."""

PATIENCE_SECONDS = 1
"""For how long SQS waits for a letter: a call that waits asks all of its servers, and not just some of them."""

LETTERS_PER_CALL = 10
"""The most that one call takes (SQS API reference)."""


@dataclass(frozen=True)
class QueuedMessage:
    """A dead letter. `reason` is the parser's; None where SQS moved the message by itself."""

    id: str
    receipt: str
    body: str
    reason: str | None
    sent_at: datetime


class DeadLetterQueue:
    """A dead-letter queue.

    Args:
        url: the queue's.
        source: the queue whose dead letters these are.
        hidden: see `HIDDEN_SECONDS`.
        patience: see `PATIENCE_SECONDS`.
    """

    def __init__(
        self, sqs: SQSClient, url: str, source: str, *, hidden: int = HIDDEN_SECONDS, patience: int = PATIENCE_SECONDS
    ) -> None:
        self._sqs = sqs
        self._url = url
        self._source = source
        self._hidden = hidden
        self._patience = patience

    def look(self) -> list[QueuedMessage]:
        """Every letter; all of them are in the queue again."""
        found: dict[str, QueuedMessage] = {}
        try:
            for letter in self.take():
                if letter.id in found:  # so many that the first are shown again
                    break
                found[letter.id] = letter
        finally:
            self.put_back(found.values())
        return list(found.values())

    def take(self, longer: float = 0) -> Iterator[QueuedMessage]:
        """Every letter, one by one, hidden from others; for so many seconds longer than for a look."""
        while messages := self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=LETTERS_PER_CALL,
            MessageAttributeNames=["reason"],
            MessageSystemAttributeNames=["SentTimestamp"],
            VisibilityTimeout=self._hidden + round(longer),
            WaitTimeSeconds=self._patience,
        ).get("Messages"):
            for message in messages:
                attributes = message.get("MessageAttributes")
                yield QueuedMessage(
                    id=message["MessageId"],
                    receipt=message["ReceiptHandle"],
                    body=message["Body"],
                    reason=attributes["reason"].get("StringValue") if attributes else None,
                    sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
                )

    def put_back(self, letters: Iterable[QueuedMessage]) -> None:
        """Show letters again that were taken; what is shown already stays as it is."""
        left = iter(letters)
        while pack := list(islice(left, LETTERS_PER_CALL)):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                    for i, letter in enumerate(pack)
                ],
            )

    def send_again(self, body: str) -> None:
        """Send a message to the queue that it came from."""
        self._sqs.send_message(QueueUrl=self._source, MessageBody=body)

    def delete(self, letter: QueuedMessage) -> None:
        """Delete a letter that was taken."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)
