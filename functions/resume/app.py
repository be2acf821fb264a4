"""Resume's entry point: called by the schedule every minute, or by the console.

It takes no notice of its event, and answers with what it did: `{"put back": 3, "finished": 1}`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3

from titlecard.audit import Audit, Rules
from titlecard.catalog import UNCHECKED, Catalog
from titlecard.manifest import Limits as ReadingLimits
from titlecard.queues import WorkQueue
from titlecard.resume import Resume
from titlecard.settings import ResumeSettings
from titlecard.telemetry import logger, metrics
from titlecard.uploads import Uploads

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def _now() -> datetime:
    return datetime.now(UTC)


settings = ResumeSettings()
catalog = Catalog(boto3.resource("dynamodb", config=UNCHECKED).meta.client, settings.catalog_table)
queue = WorkQueue(boto3.client("sqs"), settings.work_queue_url)
resume = Resume(
    catalog=catalog,
    queue=queue,
    audit=Audit(
        catalog=catalog,
        uploads=Uploads(boto3.client("s3")),
        queue=queue,
        rules=Rules(
            most=settings.resume_limit,
            after=settings.audit_after_seconds,
            rounds=settings.audit_rounds,
            reading=ReadingLimits(
                row_max_bytes=settings.row_max_bytes,
                total_max_bytes=settings.manifest_max_bytes,
                max_ratio=settings.manifest_max_ratio,
            ),
            manifest_max_bytes=settings.manifest_max_bytes,
        ),
        now=_now,
    ),
    most=settings.resume_limit,
    now=_now,
)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001 -- Lambda's signature
    """Put back what is due, and look after the open batches."""
    done = resume.run()
    for name, number in done.items():
        metrics.add_metric(name.title().replace(" ", ""), unit="Count", value=number)
    if done:
        logger.info("resumed", done=dict(done))
    return dict(done)
