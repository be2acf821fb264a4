r"""Ingest's entry point: takes an upload's notification and sends one message per video.

The event is SQS's, with one record, whose body is S3's notification::

    {"Records": [{"messageId": "…", "receiptHandle": "…", "body":
      "{\"Records\": [{\"eventTime\": \"2026-11-20T10:00:00.000Z\", \"s3\": {\"bucket\": {\"name\": \"…\"},
      \"object\": {\"key\": \"uploads/djangocon/2019.jsonl\", \"versionId\": \"…\", \"sequencer\": \"…\"}}}]}"}]}

the same notification forwarded by SNS or EventBridge, or a continuation that ingest sent to itself::

    {"continue": {"bucket": "…", "key": "…", "version": "…", "order": "…"}, "rounds": 1}

The response names the messages to redeliver: `{"batchItemFailures": [{"itemIdentifier": "…"}]}`. An event
without records does nothing; it tests a deployment.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from titlecard import bootstrap, telemetry
from titlecard.aws.errors import LeaseHeld
from titlecard.aws.notifications import uploads
from titlecard.aws.sqs import IngestQueue
from titlecard.settings import IngestSettings
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from titlecard.domain.batch import Upload

settings = IngestSettings()
clients = bootstrap.AwsClients()
ingest = bootstrap.ingest(settings, clients)
notifications = IngestQueue(clients.sqs, settings.ingest_queue_url)
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)

RETRY_SECONDS, RETRY_MAX_SECONDS = 60, 3_600
"""The delay before an upload that has failed once is redelivered, and the longest delay, in seconds. The delay triples
with each failure, so the five receives of a notification outlast an outage of AWS of half an hour."""


@telemetry.invocation
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Ingest the uploads that a notification reports."""
    if not event.get("Records"):
        return {"batchItemFailures": []}

    def take(record: SQSRecord) -> None:
        try:
            body = json.loads(record.body)
            _take_all(uploads(body), body.get("rounds", 0), lambda: context.get_remaining_time_in_millis() / 1000)
        except Exception as error:  # of any kind: SQS redelivers the upload soon, or moves it to the DLQ
            telemetry.upload_failed(error)
            failures = int(record.attributes.approximate_receive_count)
            notifications.change_visibility(record.receipt_handle, _retry_seconds(failures))
            raise

    return dict(process_partial_response(event=event, record_handler=take, processor=processor, context=context))


def _retry_seconds(failures: int) -> int:
    seconds: int = RETRY_SECONDS * 3 ** (failures - 1)
    return min(seconds, RETRY_MAX_SECONDS)


def _take_all(found: Iterable[Upload], rounds: int, remaining: Callable[[], float]) -> None:
    """Ingest every upload of a message, even if one fails; then raise the first failure."""
    failures = []
    for upload in found:
        try:
            _take(upload, rounds, remaining)
        except Exception as error:  # noqa: BLE001 -- raised below
            failures.append(error)
    if failures:
        raise failures[0]


def _take(upload: Upload, rounds: int, remaining: Callable[[], float]) -> None:
    """Ingest one upload, or send ourselves a message to continue it; `rounds` counts the continuations so far."""
    try:
        if not ingest.take(upload, remaining):
            _continue(upload, rounds + 1)
    except LeaseHeld as held:  # S3 may report an upload twice; a new message, unlike a redelivery, uses no receive
        logger.info("another invocation has taken the upload", reason=str(held))
        notifications.send_continuation(upload, rounds=rounds, delay=held.seconds or RETRY_SECONDS)
    else:
        telemetry.upload_taken(batch=upload.batch, key=upload.key)


def _continue(upload: Upload, rounds: int) -> None:
    """Send ourselves a continuation, up to our own limit, because `RecursiveLoop: Allow` switches Lambda's off."""
    if rounds <= settings.ingest_continuations:
        notifications.send_continuation(upload, rounds=rounds)
    else:  # the audit continues from the checkpoint
        telemetry.upload_stopped(batch=upload.batch, rounds=rounds)
