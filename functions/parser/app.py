r"""The parser's entry point: takes messages and stores talks.

The event is SQS's, up to ten records; each record's body is one row of a manifest::

    {"Records": [{"messageId": "…", "receiptHandle": "…", "attributes": {"ApproximateReceiveCount": "1"},
      "body": "{\"batch\": \"…\", \"project\": \"djangocon\", \"row\": 1, \"video\": {\"id\": \"…\", …}}"}]}

The response names the messages to redeliver: `{"batchItemFailures": [{"itemIdentifier": "…"}]}`. An event
without records does nothing; it tests a deployment.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from botocore.exceptions import BotoCoreError

from titlecard import bootstrap, telemetry
from titlecard.aws.sqs import WorkQueue
from titlecard.pipeline.job import Received
from titlecard.pipeline.outcome_types import Redeliver, Replaced
from titlecard.settings import ParserSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = ParserSettings()
clients = bootstrap.AwsClients()
parser = bootstrap.parser(settings, clients)
queue = WorkQueue(clients.sqs, settings.work_queue_url)
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


def _moment(milliseconds: str | None) -> datetime | None:
    """Return the time of an SQS timestamp; None if an emulator omits it."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


class NotDone(Exception):
    """The message must be redelivered."""


@telemetry.invocation
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Parse the videos that the messages carry into talks."""
    if not event.get("Records"):
        return {"batchItemFailures": []}
    outcomes = parser.work(
        [
            Received(
                id=record.message_id,
                receipt=record.receipt_handle,
                receives=int(record.attributes.approximate_receive_count),
                body=record.body,
                first=_moment(record.attributes.get("ApproximateFirstReceiveTimestamp")),
            )
            for record in SQSEvent(event).records
        ],
        lambda: context.get_remaining_time_in_millis() / 1000,
    )

    sqs_answers = True

    def report(record: SQSRecord) -> None:
        nonlocal sqs_answers
        outcome = outcomes[record.message_id]
        if isinstance(outcome, Redeliver):
            if outcome.seconds is not None and sqs_answers:
                try:
                    queue.change_visibility(record.receipt_handle, outcome.seconds)
                except BotoCoreError:  # there is no time for ten calls that hang: the others keep the queue's delay
                    sqs_answers = False
            raise NotDone

    answer = dict(process_partial_response(event=event, record_handler=report, processor=processor, context=context))
    for outcome, number in Counter(outcomes.values()).items():
        if isinstance(outcome, Redeliver | Replaced):
            telemetry.videos("retried", None, number)
        else:
            telemetry.videos(outcome.state, outcome.tier, number)
    return answer
