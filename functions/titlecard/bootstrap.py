"""The composition root: settings and AWS clients go in, use cases come out.

The handlers, the console and the tests build their objects here and nowhere else. Importing this module makes no client
and reads no environment variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import boto3

from titlecard.aws import timeouts
from titlecard.aws.dynamodb.catalog import CATALOG_CONFIG, Catalog
from titlecard.aws.dynamodb.catalog.grants import Grants
from titlecard.aws.dynamodb.catalog.results import BatchResults
from titlecard.aws.dynamodb.catalog.reviews import Reviews
from titlecard.aws.dynamodb.catalog.upload_progress import UploadProgressTable
from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.aws.dynamodb.ledger import LEDGER_CONFIG, Ledger
from titlecard.aws.functions import SweeperFunction
from titlecard.aws.s3 import UploadsBucket
from titlecard.aws.secrets import ProjectKeys
from titlecard.aws.sqs import DeadLetterSender, IngestQueue, WorkQueue
from titlecard.domain.money import PriceList
from titlecard.llm import ModelTier
from titlecard.pipeline.audit import Audit
from titlecard.pipeline.finish import Finisher
from titlecard.pipeline.gauges import Gauges
from titlecard.pipeline.ingest import Ingest
from titlecard.pipeline.parse import Parser
from titlecard.pipeline.publish import ResultPublisher
from titlecard.pipeline.requeue import Requeue

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from titlecard.pipeline.ask import Keys, LanguageModel
    from titlecard.pipeline.publish import EventBus
    from titlecard.settings import IngestSettings, ParserSettings, SweeperSettings


class AwsClients:
    """The clients of an AWS session, each created on first use; those of DynamoDB take and return Python values.

    Args:
        session: a boto3 session; None for the default one, which reads the function's environment.
    """

    def __init__(self, session: boto3.Session | None = None) -> None:
        self._session = session or boto3.Session()

    @cached_property
    def catalog(self) -> DynamoDBClient:
        """DynamoDB for the catalog's table."""
        return convert_values(self._session.client("dynamodb", config=CATALOG_CONFIG))

    @cached_property
    def ledger(self) -> DynamoDBClient:
        """DynamoDB for the ledger's table, with one try per call."""
        return convert_values(self._session.client("dynamodb", config=LEDGER_CONFIG))

    @cached_property
    def sqs(self) -> SQSClient:
        """SQS."""
        return self._session.client("sqs", config=timeouts.SQS)

    @cached_property
    def s3(self) -> S3Client:
        """S3."""
        return self._session.client("s3", config=timeouts.S3)

    @cached_property
    def functions(self) -> LambdaClient:
        """Lambda."""
        return self._session.client("lambda", config=timeouts.LAMBDA)

    @cached_property
    def events(self) -> EventBus:
        """EventBridge."""
        client: EventBus = self._session.client("events", config=timeouts.EVENTS)
        return client


@dataclass(frozen=True)
class Stores:
    """The tables and the bucket of a stack, as the console uses them, each created on first use."""

    clients: AwsClients
    catalog_table: str
    ledger_table: str

    @cached_property
    def catalog(self) -> Catalog:
        """Batches, rows and talks."""
        return Catalog(self.clients.catalog, self.catalog_table)

    @cached_property
    def grants(self) -> Grants:
        """Dead rows, and the attempts that a person allows."""
        return Grants(self.clients.catalog, self.catalog_table)

    @cached_property
    def reviews(self) -> Reviews:
        """People's answers for videos."""
        return Reviews(self.clients.catalog, self.catalog_table)

    @cached_property
    def results(self) -> BatchResults:
        """The results of batches."""
        return BatchResults(self.clients.catalog, self.catalog_table)

    @cached_property
    def ledger(self) -> Ledger:
        """Budgets, charges, pauses and breakers."""
        return Ledger(self.clients.ledger, self.ledger_table)

    @cached_property
    def uploads(self) -> UploadsBucket:
        """The uploaded manifests."""
        return UploadsBucket(self.clients.s3)


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def ingest(settings: IngestSettings, clients: AwsClients, *, now: Callable[[], datetime] = utc_now) -> Ingest:
    """Build ingest: an upload becomes one message per video."""
    catalog = Catalog(clients.catalog, settings.catalog_table)
    return Ingest(
        catalog=catalog,
        uploads=UploadsBucket(clients.s3),
        queue=WorkQueue(clients.sqs, settings.work_queue_url),
        finisher=_finisher(catalog, clients, settings.sweeper_function),
        settings=settings,
        now=now,
    )


def parser(
    settings: ParserSettings,
    clients: AwsClients,
    *,
    keys: Keys | None = None,
    model: LanguageModel | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Parser:
    """Build the parser: messages become talks.

    Args:
        keys: the projects' keys; None to read them from Secrets Manager, or from the settings on the local cloud.
        model: the model tier; None for the one in the settings.
    """
    catalog = Catalog(clients.catalog, settings.catalog_table)
    return Parser(
        catalog=catalog,
        ledger=Ledger(clients.ledger, settings.ledger_table),
        queue=WorkQueue(clients.sqs, settings.work_queue_url),
        dead_letters=DeadLetterSender(clients.sqs, settings.work_dead_letter_queue_url),
        finisher=_finisher(catalog, clients, settings.sweeper_function),
        keys=keys or ProjectKeys(settings.key_secret_prefix, local=settings.openai_api_key),
        model=model or model_tier(settings),
        settings=settings,
        now=now,
    )


def _finisher(catalog: Catalog, clients: AwsClients, sweeper: str) -> Finisher:
    return Finisher(catalog=catalog, sweeper=SweeperFunction(lambda: clients.functions, sweeper))


def model_tier(settings: ParserSettings) -> ModelTier:
    """Build the model tier, with the prices that ship with the library."""
    return ModelTier(
        settings.model,
        prices=PriceList.packaged(),
        service_tier=settings.service_tier,
        base_url=settings.openai_base_url,
        price_factor=settings.price_factor,
        settle_margin=settings.settle_margin_seconds,
        max_output_tokens=settings.max_output_tokens,
    )


def sweeper(settings: SweeperSettings, clients: AwsClients, *, now: Callable[[], datetime] = utc_now) -> Requeue:
    """Build the sweeper: it requeues deferred rows, audits open batches and publishes the results of finished ones."""
    catalog = Catalog(clients.catalog, settings.catalog_table)
    queue = WorkQueue(clients.sqs, settings.work_queue_url)
    audit = Audit(
        catalog=catalog,
        uploads=UploadsBucket(clients.s3),
        queue=queue,
        ingest=IngestQueue(clients.sqs, settings.ingest_queue_url),
        dead_letters=DeadLetterSender(clients.sqs, settings.work_dead_letter_queue_url),
        results=ResultPublisher(
            results=BatchResults(clients.catalog, settings.catalog_table),
            progress=UploadProgressTable(clients.catalog, settings.catalog_table),
            s3=clients.s3,
            events=clients.events,
        ),
        settings=settings,
        now=now,
    )
    return Requeue(
        catalog=catalog,
        ledger=Ledger(clients.ledger, settings.ledger_table),
        queue=queue,
        audit=audit,
        most=settings.sweeper_limit,
        now=now,
    )


def gauges(settings: SweeperSettings, clients: AwsClients) -> Gauges:
    """Build the gauges that the sweeper reports for the alarms."""
    return Gauges(
        catalog=Catalog(clients.catalog, settings.catalog_table),
        ledger=Ledger(clients.ledger, settings.ledger_table),
        now=utc_now,
    )
