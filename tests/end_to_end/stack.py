"""A running stack for tests: its inputs, its state, and the faults that tests inject.

Tests never wait for a fixed time: they poll until the state is there, and give up after `PATIENCE_SECONDS`, a generous
limit because machines differ greatly.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from titlecard.aws.dynamodb.catalog import Catalog
from titlecard.aws.dynamodb.catalog.grants import Grants
from titlecard.aws.dynamodb.catalog.keys import batch_of_row
from titlecard.aws.dynamodb.catalog.results import BatchResults
from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.domain.batch import END_STATES, BatchState, Message, RowState, Upload
from titlecard.domain.money import Budget, Cap
from titlecard.pipeline.audit import COUNT_AFTER_SECONDS
from titlecard_console.local_cloud import cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from titlecard.aws.dynamodb.catalog import Batch, Row
    from titlecard.domain.video import Talk

PATIENCE_SECONDS = 900

KEY = "sk-of-the-tests"

Seen = TypeVar("Seen")


def until(
    look: Callable[[], Seen | None],
    what: str,
    *,
    seconds: float = PATIENCE_SECONDS,
    every: float = 0.3,
    saw: Callable[[], object] = lambda: "nothing of it",
) -> Seen:
    """Poll until `look` returns a true value; return it.

    Args:
        look: returns the awaited value, and a false one until then.
        what: a description of the awaited value, for the error.
        seconds: the timeout, by a monotonic clock.
        every: the interval between two polls, in seconds.
        saw: returns the current state, for the error.

    Raises:
        AssertionError: the time is over; the message has the description and the current state.
    """
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} seconds; there is: {saw()}")
        time.sleep(every)
    return seen


@dataclass(frozen=True)
class DeadLetter:
    """A message of the dead-letter queue."""

    body: str
    reason: str | None

    @property
    def video(self) -> str:
        """The id of its video."""
        return Message.model_validate_json(self.body).video.id


class Stack:
    """A cloud with Titlecard in it.

    Args:
        there: the cloud.
        state: the cloud's state folder.
    """

    def __init__(self, there: cloud.Cloud, state: Path) -> None:
        self.cloud = there
        self.outputs = there.outputs
        self._state = state.resolve()
        self._s3 = there.client("s3")
        self._sqs = there.client("sqs")
        self._lambda = there.client("lambda", read_timeout=120, retries={"total_max_attempts": 1})
        self._database: Any = convert_values(there.client("dynamodb"))
        self._table = there.outputs["CatalogTable"]
        self.catalog = Catalog(self._database, self._table)
        self.grants = Grants(self._database, self._table)
        self.results = BatchResults(self._database, self._table)
        self.ledger = Ledger(self._database, there.outputs["LedgerTable"])

    # -------------------------------------------------------------------------------------------------------- inputs

    def put(self, key: str, content: bytes, metadata: Mapping[str, str] = {}) -> Upload:
        """Upload to `uploads/<key>`, as `aws s3 cp` does; give the project a budget that no test uses up."""
        budget = Budget(Cap(), Cap(micro_usd=10**9))
        self.ledger.set_budget(key.split("/", maxsplit=1)[0], budget, by="person", now=datetime.now(UTC))
        bucket, path = self.outputs["UploadsBucket"], f"uploads/{key}"
        version = self._s3.put_object(Bucket=bucket, Key=path, Body=content, Metadata=dict(metadata))["VersionId"]
        return Upload(bucket, path, version, order="")

    def send(self, queue: str, body: str) -> None:
        """Send a message to a queue, by the name of the stack's output."""
        self._sqs.send_message(QueueUrl=self.outputs[queue], MessageBody=body)

    def resume(self) -> Counter[str]:
        """Call the sweeper; return what it did."""
        answer = self._lambda.invoke(FunctionName=self.outputs["SweeperFunction"], Payload=b"{}")
        done = json.load(answer["Payload"])
        assert "FunctionError" not in answer, done
        return Counter(done)

    # --------------------------------------------------------------------------------------------------------- state

    def until(
        self, look: Callable[[], Seen | None], what: str, *, seconds: float = PATIENCE_SECONDS, every: float = 0.3
    ) -> Seen:
        """Poll as the function `until` does; the error describes every batch and queue."""
        return until(look, what, seconds=seconds, every=every, saw=self.story)

    def story(self) -> str:
        """Describe the state of every batch and queue."""
        queues = [f"{name}: {self.waiting(name)} messages" for name in self.outputs if name.endswith("QueueUrl")]
        items = self._database.scan(TableName=self._table, ConsistentRead=True)["Items"]
        batches = [it for it in items if it["sk"] == "batch"]
        rows = Counter(
            (batch_of_row(it), it["state"], str(it.get("reason"))) for it in items if it["sk"].startswith("row#")
        )
        told = []
        for batch in batches:
            name = batch["pk"].removeprefix("batch#")
            mine = [f"{many} {state} ({why})" for (of, state, why), many in rows.items() if of == name]
            told.append(f"{batch['pk']} is {batch['state']}: {', '.join(mine)}")
        return "\n".join(["", *told, *queues])

    def batch(self, upload: Upload) -> Batch | None:
        """Return the batch of an upload; None until ingest begins."""
        try:
            return self.catalog.batch(upload.batch)
        except KeyError:
            return None

    def batches(self, project: str) -> list[str]:
        """Return the names of all batches of a project."""
        found = self._database.scan(TableName=self._table, ConsistentRead=True)  # small enough for one page here
        assert "LastEvaluatedKey" not in found
        return [
            it["pk"].removeprefix("batch#") for it in found["Items"] if it["sk"] == "batch" and it["project"] == project
        ]

    def finished(self, upload: Upload, *, seconds: float = PATIENCE_SECONDS + COUNT_AFTER_SECONDS) -> Batch:
        """Wait until a batch is finished, and call the sweeper meanwhile as its schedule would.

        If a worker was killed before it counted the rows that it ended, the audit counts after `COUNT_AFTER_SECONDS`.
        """

        def look() -> Batch | None:
            self.resume()
            batch = self.batch(upload)
            return batch if batch and batch.state is BatchState.FINISHED else None

        return self.until(look, f"{upload.key} is finished", seconds=seconds, every=0.5)

    def settled(self, upload: Upload, rows: int) -> None:
        """Wait until this many rows of a batch have ended; a killed worker may leave it open for the audit."""
        self.until(lambda: self.ended(upload) == rows, f"{rows} rows of {upload.key} have ended", every=0.5)

    def states(self, upload: Upload) -> Counter[RowState]:
        """Count the rows of a batch that have an item, by state; none until ingest begins."""
        batch = self.batch(upload)
        return Counter(row.state for row in self.catalog.rows(batch)) if batch else Counter()

    def ended(self, upload: Upload) -> int:
        """Count the rows of a batch that are in an end state."""
        states = self.states(upload)
        return sum(states[state] for state in END_STATES)

    def rows(self, upload: Upload) -> dict[str, Row]:
        """Return the rows of a batch that have an item, by the ids of their videos, in the manifest's order."""
        return {row.video: row for row in self.catalog.rows(self.catalog.batch(upload.batch))}

    def talks(self, upload: Upload) -> dict[str, Talk | None]:
        """Return the talks of these rows, None for a row that is not parsed."""
        return {it.row.video: it.talk for it in self.results.results(self.catalog.batch(upload.batch))}

    def pointed_at(self, project: str, video: str) -> str:
        """Return the batch that set a video's current talk."""
        item = self._database.get_item(
            TableName=self._table, Key={"pk": f"video#{project}#{video}", "sk": "current"}, ConsistentRead=True
        )
        return str(item["Item"]["batch"])

    def attempts(self, project: str, row: Row) -> int:
        """Return the number of attempts on a row's video under the row's fingerprint."""
        (entry,) = self.grants.video_records([(project, row.video, row.fingerprint)]).values()
        return entry.attempts

    def report(self, upload: Upload, name: str) -> str | None:
        """Return a report on a batch; None while there is none."""
        try:
            found = self._s3.get_object(Bucket=upload.bucket, Key=f"reports/{upload.batch}/{name}")
        except self._s3.exceptions.NoSuchKey:
            return None
        return str(found["Body"].read().decode())

    def waiting(self, queue: str) -> int:
        """Return the approximate number of waiting messages in a queue."""
        return self._count(queue, "ApproximateNumberOfMessages")

    def dead_letters(self) -> list[DeadLetter]:
        """Return the messages in the work queue's dead-letter queue, and leave them there."""
        url = self.outputs["WorkDeadLetterQueueUrl"]
        letters = []
        while found := self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=60
        ).get("Messages"):
            letters += found
        for letter in letters:
            self._sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"], VisibilityTimeout=0
            )
        attributes = [it.get("MessageAttributes", {}).get("reason", {}) for it in letters]
        return [DeadLetter(it["Body"], given.get("StringValue")) for it, given in zip(letters, attributes, strict=True)]

    # -------------------------------------------------------------------------------------------------------- faults

    @contextmanager
    def held(self, function: str) -> Iterator[None]:
        """Hold a function's messages in its queue for the length of a block; then it gets them as one batch."""
        self._switch(function, on=False)
        try:
            yield
        finally:
            self._switch(function, on=True)

    def take(self, queue: str, number: int) -> list[dict[str, Any]]:
        """Receive messages from a queue, so that they stay invisible for an hour."""
        taken: list[dict[str, Any]] = []
        while len(taken) < number:
            taken += self._sqs.receive_message(
                QueueUrl=self.outputs[queue],
                MaxNumberOfMessages=min(number - len(taken), 10),
                VisibilityTimeout=3600,
                WaitTimeSeconds=1,
            ).get("Messages", [])
        return taken

    def let_go(self, queue: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Make taken messages visible again."""
        for message in messages:
            self._sqs.change_message_visibility(
                QueueUrl=self.outputs[queue], ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )

    def lose(self, queue: str) -> None:
        """Delete every message of a queue, also those in flight."""
        self._sqs.purge_queue(QueueUrl=self.outputs[queue])

    def take_at_most(self, queue: str, size: int) -> None:
        """Make a queue refuse messages larger than `size`, in bytes."""
        self._sqs.set_queue_attributes(QueueUrl=self.outputs[queue], Attributes={"MaximumMessageSize": str(size)})

    def redeliver_after(self, queue: str, seconds: int) -> None:
        """Make a queue redeliver sooner than the template allows, for a test that waits for redeliveries.

        Args:
            queue: the name of the stack's output.
            seconds: more than the function's timeout, so that no message has two workers at once.
        """
        self._sqs.set_queue_attributes(QueueUrl=self.outputs[queue], Attributes={"VisibilityTimeout": str(seconds)})

    def kill_workers(self, function: str) -> int:
        """Kill every process of a function, as the kernel does when memory runs out; return their number."""
        killed = 0
        for process, command in processes():
            if f"{self._state}/" in command and f"lambda-{self.outputs[function]}-" in command:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(process, signal.SIGKILL)
                    killed += 1
        return killed

    def switch_schedule_off(self) -> None:
        """Turn the sweeper's schedule off, so that only the test calls the sweeper."""
        events = self.cloud.client("events")
        for rule in events.list_rules()["Rules"]:
            events.disable_rule(Name=rule["Name"])

    def _switch(self, function: str, *, on: bool) -> None:
        mappings = self._lambda.list_event_source_mappings(FunctionName=self.outputs[function])
        for mapping in mappings["EventSourceMappings"]:
            self._lambda.update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)

    def _count(self, queue: str, attribute: str) -> int:
        asked = self._sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=[attribute])
        return int(asked["Attributes"][attribute])


@contextmanager
def running(
    state: Path, overrides: Mapping[str, str], artefacts: Path, environment: Mapping[str, str] = {}
) -> Iterator[Stack]:
    """Start a separate stack, for the length of a block."""
    surroundings = {"PATH": os.environ["PATH"], **environment}
    with cloud.start(state, overrides, surroundings, artefacts=artefacts) as there:
        yield Stack(there, state)


def processes() -> list[tuple[int, str]]:
    """Return the ids and command lines of all processes."""
    return [
        (process.pid, " ".join(process.info["cmdline"]))
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"]  # None for another user's process, empty for the kernel's or one that has just ended
    ]
