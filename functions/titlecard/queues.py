"""The queues: one message per video out, dead letters with their reason, and a message that comes again later.

A message's body is the row itself (`batch.Message` as JSON): a worker needs nothing but its message and the batch.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

    from titlecard.batch import Message

ENTRIES_PER_SEND = 10
"""The most messages that one SendMessageBatch takes (SQS API reference)."""

BYTES_PER_SEND = 262_144
"""The most bytes that one SendMessageBatch may carry on any queue (SQS quotas; newer queues take 1 MiB)."""

SEND_TRIES = 5
"""How often the failed entries of a SendMessageBatch are sent again before the whole piece of work gives up."""

VISIBILITY_MAX_SECONDS = 43_200 - 900
"""The longest visibility timeout that a message is given. SQS's 12 hours (SQS quotas) count from the receipt of the
message, which may be as long ago as an invocation can last."""


class NotSent(Exception):
    """SQS took some of the messages and not others, several times over: try again later from the checkpoint."""


def packs(messages: Iterable[Message]) -> Iterator[list[Message]]:
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


class WorkQueue:
    """The queue that drives the parser."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._sqs = client
        self._url = url

    def send(self, pack: Sequence[Message]) -> None:
        """Send one of `packs`, its failed entries again.

        Raises:
            NotSent: some failed `SEND_TRIES` times. Those that went out will be sent again; their rows end once.
        """
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(i), "MessageBody": message.model_dump_json()} for i, message in enumerate(pack)
        ]
        for attempt in range(SEND_TRIES):
            if attempt:
                time.sleep(0.1 * 2**attempt)
            failed = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries).get("Failed", [])
            if not failed:
                return
            again = {failure["Id"] for failure in failed}
            entries = [entry for entry in entries if entry["Id"] in again]
        message = (
            f"{len(entries)} of {len(pack)} messages were refused {SEND_TRIES} times: {failed[0].get('Message', '')}"
        )
        raise NotSent(message)

    def show_again(self, receipt: str, seconds: int) -> None:
        """Shorten (or stretch) the time until a received message is shown again."""
        self._sqs.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=min(max(seconds, 0), VISIBILITY_MAX_SECONDS)
        )


class DeadLetters:
    """The queue where messages end that no retry will mend; each with its reason, for the one who looks."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._sqs = client
        self._url = url

    def send(self, body: str, reason: str) -> None:
        """Send a message's body as it was received."""
        self._sqs.send_message(
            QueueUrl=self._url,
            MessageBody=body,
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason[:256]}},
        )
