"""The queues: they send one message per video and dead letters with their reasons, and delay redeliveries.

A message's body is the row itself (`batch.Message` as JSON): a worker needs nothing but its message and the batch.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from titlecard.aws.errors import MessagesNotSent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, SendMessageBatchRequestEntryTypeDef

    from titlecard.domain.batch import Message, Upload

ENTRIES_PER_SEND = 10
"""The most messages that one SendMessageBatch takes (SQS API reference)."""

BYTES_PER_SEND = 262_144 - 10_240
"""The most bytes of messages in one SendMessageBatch. Every queue accepts 262,144 (SQS quotas; newer ones 1 MiB); the
rest leaves room for the reasons of dead letters."""

SEND_TRIES = 5
"""The most tries of a SendMessageBatch, each with the entries that failed before, until `MessagesNotSent` is raised."""

VISIBILITY_MAX_SECONDS = 43_200 - 900
"""The longest visibility timeout given to a message, in seconds. SQS's 12 hours (SQS quotas) count from the receipt of
the message, which may be as long ago as an invocation can last, 900 seconds."""


DELAY_MAX_SECONDS = 900
"""The longest delay of a message, in seconds (SQS API reference, "SendMessage")."""

_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


def chunk_messages(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Split messages into chunks that fit one SendMessageBatch, by number and by bytes."""
    chunk: list[Message] = []
    size = 0
    for message in messages:
        length = len(message.model_dump_json().encode())
        if chunk and (len(chunk) == ENTRIES_PER_SEND or size + length > BYTES_PER_SEND):
            yield chunk
            chunk, size = [], 0
        chunk.append(message)
        size += length
    if chunk:
        yield chunk


class _Queue:
    def __init__(self, client: SQSClient, url: str) -> None:
        self._sqs = client
        self._url = url

    def change_visibility(self, receipt: str, seconds: int) -> None:
        """Make a received message visible again after `seconds`."""
        self._sqs.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=min(max(seconds, 0), VISIBILITY_MAX_SECONDS)
        )

    def _send_all(self, entries: Sequence[SendMessageBatchRequestEntryTypeDef]) -> None:
        left = list(entries)
        for attempt in range(SEND_TRIES):
            if attempt:
                time.sleep(0.1 * 2**attempt)
            failed = self._sqs.send_message_batch(QueueUrl=self._url, Entries=left).get("Failed", [])
            if not failed:
                return
            again = {failure["Id"] for failure in failed}
            left = [entry for entry in left if entry["Id"] in again]
        raise MessagesNotSent(
            f"{len(left)} of {len(entries)} messages were refused {SEND_TRIES} times: {failed[0].get('Message', '')}"
        )


class WorkQueue(_Queue):
    """The queue that drives the parser."""

    def send(self, chunk: Sequence[Message]) -> None:
        """Send one chunk of `chunk_messages`, and retry its failed entries.

        Raises:
            MessagesNotSent: some entries failed `SEND_TRIES` times. A retry may send the others twice; their rows end
                once.
        """
        self._send_all([{"Id": str(i), "MessageBody": it.model_dump_json()} for i, it in enumerate(chunk)])

    def send_again(self, body: str, seconds: int) -> None:
        """Send a copy of a received message, delayed by `seconds`; the copy's receive count starts at zero."""
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=min(seconds, DELAY_MAX_SECONDS))

    def size(self) -> int:
        """Return the approximate number of messages: those that wait, those that a worker has, and delayed ones."""
        asked = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=_COUNTS)
        return sum(int(asked["Attributes"][name]) for name in _COUNTS)


class IngestQueue(_Queue):
    """The queue that drives ingest: S3's notifications, and our own messages to continue an upload."""

    def send_continuation(self, upload: Upload, *, rounds: int = 0, delay: int = 0) -> None:
        """Make ingest continue an interrupted upload; ingest does nothing if the upload is done.

        Args:
            rounds: the number of continuations in succession, this one included.
            delay: seconds before it is delivered; SQS delays a message by 15 minutes at the most.
        """
        body = json.dumps({"continue": asdict(upload), "rounds": rounds})
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=min(delay, DELAY_MAX_SECONDS))


class DeadLetterSender(_Queue):
    """The dead-letter queue, for messages that no retry can help, each with its reason for the operator."""

    def send(self, body: str, reason: str) -> None:
        """Send a message's body unchanged."""
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body, MessageAttributes=_reason_attribute(reason))

    def send_all(self, chunk: Sequence[Message], reason: str) -> None:
        """Send one chunk of `chunk_messages`, as `WorkQueue.send` does.

        Raises:
            MessagesNotSent: as for `WorkQueue.send`.
        """
        self._send_all(
            [
                {"Id": str(i), "MessageBody": it.model_dump_json(), "MessageAttributes": _reason_attribute(reason)}
                for i, it in enumerate(chunk)
            ]
        )


def _reason_attribute(reason: str) -> dict[str, MessageAttributeValueTypeDef]:
    return {"reason": {"DataType": "String", "StringValue": reason[:256]}}
