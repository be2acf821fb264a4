"""A call to AWS that hangs ends within the time that its caller keeps for it."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.exceptions import ReadTimeoutError

from titlecard.aws import timeouts
from titlecard.aws.dynamodb.catalog import CATALOG_CONFIG
from titlecard.aws.dynamodb.ledger import LEDGER_CONFIG
from titlecard.aws.functions import SweeperFunction
from titlecard.aws.secrets import ProjectKeys
from titlecard.aws.timeouts import longest_call
from titlecard.bootstrap import AwsClients
from titlecard.pipeline import ingest, requeue
from titlecard.pipeline.finish import LEAST_SECONDS
from titlecard_console.local_cloud import template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.config import Config

TEMPLATE = template.load()
NUMBERS = {name: int(value) for name, value in TEMPLATE.values({}).items() if TEMPLATE.parameters[name].number}
MESSAGES = 10
"""The most messages of one invocation of the parser."""


@pytest.fixture
def silent_address() -> Iterator[str]:
    """Return the address of a server that accepts connections and never answers; it holds one connection."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> AwsClients:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return AwsClients(boto3.Session())


def of(client: Any) -> tuple[float, float, int]:  # noqa: ANN401 -- any client of boto3
    """Return a client's limits: the seconds for a connection and for an answer, and the number of tries."""
    config = client.meta.config
    return config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]


@pytest.mark.parametrize(
    ("name", "limits"),
    [("functions", (1, 2, 1)), ("sqs", (1, 3, 2)), ("events", (1, 5, 3)), ("s3", (2, 15, 3))],
)
def test_every_client_has_its_limits(clients: AwsClients, name: str, limits: tuple[float, float, int]) -> None:
    assert of(getattr(clients, name)) == limits


@pytest.mark.usefixtures("clients")
def test_the_client_of_the_keys_has_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SecretsProvider] = []

    def provider(**more: Any) -> SecretsProvider:  # noqa: ANN401 -- passed on as they are
        made.append(SecretsProvider(**more))
        return made[0]

    monkeypatch.setattr("titlecard.aws.secrets.SecretsProvider", provider)
    ProjectKeys("", local=None)
    assert of(made[0].client) == (1, 2, 2)


def test_the_longest_call_is_made_of_all_tries_and_the_pauses_between_them() -> None:
    assert [longest_call(it) for it in (timeouts.LAMBDA, timeouts.SQS, timeouts.S3)] == [3, 9, 54]


@pytest.mark.parametrize("config", [LEDGER_CONFIG, timeouts.SQS])
def test_the_parser_ends_the_latest_calls_after_an_answer(config: Config) -> None:
    assert longest_call(config) < NUMBERS["SettleMarginSeconds"]


def test_the_parser_outlives_a_call_of_the_catalog_whose_tries_all_hang() -> None:
    assert longest_call(CATALOG_CONFIG) < NUMBERS["ParserTimeoutSeconds"]


def test_the_parser_has_time_for_its_report_after_a_request_to_finish_a_batch() -> None:
    assert longest_call(timeouts.LAMBDA) + longest_call(timeouts.SQS) < LEAST_SECONDS


def test_the_parser_has_time_for_the_keys_of_all_its_messages() -> None:
    assert MESSAGES * longest_call(timeouts.SECRETS) < NUMBERS["ParserTimeoutSeconds"]


@pytest.mark.parametrize("config", [timeouts.SQS, timeouts.EVENTS, timeouts.S3])
def test_the_sweeper_ends_a_call_that_it_begins_at_the_last_moment(config: Config) -> None:
    assert longest_call(config) < requeue.STOP_SECONDS


def test_ingest_ends_a_call_that_it_begins_at_the_last_moment() -> None:
    assert longest_call(timeouts.SQS) < ingest.STOP_SENDING_SECONDS


def test_the_request_to_finish_a_batch_is_sent_once_and_given_up(
    clients: AwsClients, silent_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", silent_address)
    with pytest.raises(ReadTimeoutError):
        SweeperFunction(lambda: clients.functions, "sweeper").finish("batch")
