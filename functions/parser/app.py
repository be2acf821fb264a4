r"""The parser's entry point: messages come, talks are stored.

The event is SQS's, up to ten records; each record's body is one row of a manifest::

    {"Records": [{"messageId": "…", "receiptHandle": "…", "attributes": {"ApproximateReceiveCount": "1"},
      "body": "{\"batch\": \"…\", \"project\": \"djangocon\", \"row\": 1, \"video\": {\"id\": \"…\", …}}"}]}

The answer names what is to come again: `{"batchItemFailures": [{"itemIdentifier": "…"}]}`. An event
without records asks for nothing: a deployment is tried with it.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes import SQSEvent

from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import UNCHECKED, Catalog
from titlecard.aws.dynamodb.ledger import ONE_TRY, Ledger
from titlecard.aws.secrets import ProjectKeys
from titlecard.aws.sqs import DeadLetterSender, WorkQueue
from titlecard.domain.money import PriceList
from titlecard.llm import ModelTier
from titlecard.pipeline.outcomes import ComeBack
from titlecard.pipeline.parse import Parser, ParserConfig, Received
from titlecard.settings import ParserSettings
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = ParserSettings()
sqs = boto3.client("sqs")
queue = WorkQueue(sqs, settings.work_queue_url)
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
parser = Parser(
    catalog=Catalog(boto3.resource("dynamodb", config=UNCHECKED).meta.client, settings.catalog_table),
    ledger=Ledger(boto3.resource("dynamodb", config=ONE_TRY).meta.client, settings.ledger_table),
    queue=queue,
    letters=DeadLetterSender(sqs, settings.work_dead_letter_queue_url),
    keys=ProjectKeys(settings.key_secret_prefix, local=settings.openai_api_key),
    model=ModelTier(
        settings.model,
        prices=PriceList.packaged(),
        service_tier=settings.service_tier,
        base_url=settings.openai_base_url,
        max_output_tokens=settings.max_output_tokens,
    ),
    rules=ParserConfig(
        policy=settings.tier_policy,
        model=settings.model,
        max_receives=settings.max_receive_count,
        attempt_cap=settings.attempt_cap,
        visibility=settings.visibility_seconds,
        deadline=settings.request_deadline_seconds,
        settle_margin=settings.settle_margin_seconds,
        retry_backoff=settings.retry_backoff_seconds,
        breaker_threshold=settings.breaker_threshold,
    ),
    now=lambda: datetime.now(UTC),
    log=logger,
)


def _moment(milliseconds: str | None) -> datetime | None:
    """A moment as SQS says it; None from an emulation that does not."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


class NotDone(Exception):
    """The message is to come again."""


@telemetry.invocation
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Make talks of the videos that the messages carry."""
    if not event["Records"]:
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

    def report(record: SQSRecord) -> None:
        outcome = outcomes[record.message_id]
        if isinstance(outcome, ComeBack):
            if outcome.seconds is not None:
                queue.show_again(record.receipt_handle, outcome.seconds)
            raise NotDone

    answer = dict(process_partial_response(event=event, record_handler=report, processor=processor, context=context))
    for outcome, number in Counter(outcomes.values()).items():
        if isinstance(outcome, ComeBack):
            telemetry.videos("retried", None, number)
        else:
            telemetry.videos(outcome.state, outcome.tier, number)
    return answer
