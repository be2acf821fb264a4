"""The queues: one message per video out, dead letters with their reason, and a message that comes again later.

A message's body is the row itself (`batch.Message` as JSON): a worker needs nothing but its message and the batch.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from titlecard.aws.errors import MessagesNotSent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, SendMessageBatchRequestEntryTypeDef

    from titlecard.domain.batch import Message, Upload

ENTRIES_PER_SEND = 10
"""The most messages that one SendMessageBatch takes (SQS API reference)."""

BYTES_PER_SEND = 262_144 - 10_240
"""The most bytes of messages in one SendMessageBatch. Every queue takes 262,144 (SQS quotas; newer ones 1 MiB), of
which dead letters need some for their reasons."""

SEND_TRIES = 5
"""How often the failed entries of a SendMessageBatch are sent again before the whole piece of work gives up."""

VISIBILITY_MAX_SECONDS = 43_200 - 900
"""The longest visibility timeout that a message is given. SQS's 12 hours (SQS quotas) count from the receipt of the
message, which may be as long ago as an invocation can last."""


DELAY_MAX_SECONDS = 900
"""The longest delay of a message (SQS API reference, "SendMessage")."""


def chunk_messages(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Cut messages into what one SendMessageBatch takes, by number and by bytes."""
    pack: list[Message] = []
    size = 0
    for message in messages:
        length = len(message.model_dump_json().encode())
        if pack and (len(pack) == ENTRIES_PER_SEND or size + length > BYTES_PER_SEND):
            yield pack
            pack, size = [], 0
        pack.append(message)
        size += length
    if pack:
        yield pack


class _Queue:
    def __init__(self, client: SQSClient, url: str) -> None:
        self._sqs = client
        self._url = url

    def show_again(self, receipt: str, seconds: int) -> None:
        """Shorten (or stretch) the time until a received message is shown again."""
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
        message = (
            f"{len(left)} of {len(entries)} messages were refused {SEND_TRIES} times: {failed[0].get('Message', '')}"
        )
        raise MessagesNotSent(message)


class WorkQueue(_Queue):
    """The queue that drives the parser."""

    def send(self, pack: Sequence[Message]) -> None:
        """Send one of `chunk_messages`, its failed entries again.

        Raises:
            MessagesNotSent: some failed `SEND_TRIES` times. The others may be sent twice; their rows end once.
        """
        self._send_all([{"Id": str(i), "MessageBody": it.model_dump_json()} for i, it in enumerate(pack)])

    def send_again(self, body: str, seconds: int) -> None:
        """Send a copy of a received message, shown after so many seconds: a message that was received no time yet."""
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=min(seconds, DELAY_MAX_SECONDS))

    def waiting(self) -> int:
        """About how many messages nobody has received yet."""
        asked = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(asked["Attributes"]["ApproximateNumberOfMessages"])


class IngestQueue(_Queue):
    """The queue that drives ingest: S3's notifications, and what is said to ingest by ourselves."""

    def go_on(self, upload: Upload, *, rounds: int = 0) -> None:
        """Let ingest go on with an upload where it stopped; where there is nothing left to do, nothing is done.

        Args:
            rounds: how many continuations in succession this is.
        """
        body = json.dumps({"continue": asdict(upload), "rounds": rounds})
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body)


class DeadLetterSender(_Queue):
    """The queue where messages end that no retry will mend; each with its reason, for the one who looks."""

    def send(self, body: str, reason: str) -> None:
        """Send a message's body as it was received."""
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body, MessageAttributes=_because(reason))

    def send_all(self, pack: Sequence[Message], reason: str) -> None:
        """Send one of `chunk_messages`, as the work queue does.

        Raises:
            MessagesNotSent: as there.
        """
        self._send_all(
            [
                {"Id": str(i), "MessageBody": it.model_dump_json(), "MessageAttributes": _because(reason)}
                for i, it in enumerate(pack)
            ]
        )


def _because(reason: str) -> dict[str, MessageAttributeValueTypeDef]:
    return {"reason": {"DataType": "String", "StringValue": reason[:256]}}
