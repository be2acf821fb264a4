"""Resume's entry point: called by the schedule every minute, or by the console.

It takes no notice of its event, and answers with what it did: `{"put back": 3, "finished": 1}`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3

from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import UNCHECKED, Catalog
from titlecard.aws.dynamodb.catalog.results import BatchResults
from titlecard.aws.dynamodb.catalog.upload_progress import UploadProgressTable
from titlecard.aws.dynamodb.ledger import ONE_TRY, Ledger
from titlecard.aws.s3 import UploadsBucket
from titlecard.aws.sqs import DeadLetterSender, IngestQueue, WorkQueue
from titlecard.manifests import ReadingLimits
from titlecard.pipeline.audit import Audit, AuditConfig
from titlecard.pipeline.publish import ResultPublisher
from titlecard.pipeline.requeue import Requeue
from titlecard.settings import SweeperSettings
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def _now() -> datetime:
    return datetime.now(UTC)


SPARE_SECONDS = 60
"""How much longer than its visibility a notification is given to come again before it is taken for lost."""

settings = SweeperSettings()
database = boto3.resource("dynamodb", config=UNCHECKED).meta.client
catalog = Catalog(database, settings.catalog_table)
sqs, s3 = boto3.client("sqs"), boto3.client("s3")
queue = WorkQueue(sqs, settings.work_queue_url)
resume = Requeue(
    catalog=catalog,
    ledger=Ledger(boto3.resource("dynamodb", config=ONE_TRY).meta.client, settings.ledger_table),
    queue=queue,
    audit=Audit(
        catalog=catalog,
        uploads=UploadsBucket(s3),
        queue=queue,
        ingest=IngestQueue(sqs, settings.ingest_queue_url),
        letters=DeadLetterSender(sqs, settings.work_dead_letter_queue_url),
        results=ResultPublisher(
            exports=BatchResults(database, settings.catalog_table),
            drafts=UploadProgressTable(database, settings.catalog_table),
            s3=s3,
            events=boto3.client("events"),
        ),
        rules=AuditConfig(
            most=settings.sweeper_limit,
            after=settings.audit_after_seconds,
            ingest_after=max(settings.audit_after_seconds, settings.ingest_visibility_seconds + SPARE_SECONDS),
            rounds=settings.audit_rounds,
            reading=ReadingLimits(
                row_max_bytes=settings.row_max_bytes,
                total_max_bytes=settings.manifest_max_bytes,
                max_ratio=settings.manifest_max_ratio,
            ),
            manifest_max_bytes=settings.manifest_max_bytes,
        ),
        now=_now,
        log=logger,
    ),
    most=settings.sweeper_limit,
    now=_now,
)


@telemetry.invocation
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001 -- Lambda's signature
    """Put back what is due, and look after the open batches."""
    done = resume.run()
    telemetry.swept(logger, done)
    return dict(done)
