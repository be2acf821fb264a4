"""Fixtures of the functional tests: the emulated AWS, the provider on loopback, and the model tier that asks it."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.models import DynamoDBBackend
from tests.functional import moto_costs, partiql
from tests.functional.world import Wire, World
from tests.provider import LoopbackProvider

from titlecard import extraction
from titlecard.aws.dynamodb.catalog import keys
from titlecard.bootstrap import AwsClients
from titlecard.domain.money import PriceList
from titlecard.llm import ModelTier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard.domain.video import Video
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import Survey

MODEL = "gpt-6-luna"


@pytest.fixture(scope="session")
def clients() -> Iterator[AwsClients]:
    """Return the clients of all tests, for one emulated AWS: creating both anew takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr(DynamoDBBackend, "batch_execute_statement", partiql.insert)
        patch.setattr(keys, "SHARDS", 4)  # each sweep reads two lists for each of them
        moto_costs.save(patch)
        with mock_aws():
            yield AwsClients(boto3.Session())


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Return the wire from boto3 to moto, with all waiting removed."""
    wire = Wire()
    carried = BotocoreStubber.__call__

    def carry(stubber: BotocoreStubber, event_name: str, request: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- as moto's
        operation = event_name.rsplit(".", maxsplit=1)[-1]
        if ".dynamodb." in event_name:
            check_placeholders(json.loads(request.body))
        return wire.carry(operation, lambda: carried(stubber, event_name, request, **kwargs))

    monkeypatch.setattr(BotocoreStubber, "__call__", carry)
    monkeypatch.setattr("botocore.endpoint.time", Unhurried)
    monkeypatch.setattr("titlecard.aws.sqs.time", Unhurried)
    monkeypatch.setattr("titlecard.aws.dynamodb.catalog.table.time", Unhurried)
    monkeypatch.setattr("titlecard.pipeline.lease.time", Unhurried)
    return wire


def check_placeholders(body: dict[str, Any]) -> None:
    """Refuse what DynamoDB refuses and moto accepts: an unused placeholder, or an empty list."""
    for write in body, *(it for item in body.get("TransactItems", ()) for it in item.values()):
        given = [write[name] for name in ("ExpressionAttributeNames", "ExpressionAttributeValues") if name in write]
        expressions = " ".join(text for name, text in write.items() if name.endswith("Expression"))
        assert all(given), f"an empty list of placeholders: {write}"
        assert {name for names in given for name in names} == set(re.findall(r"[#:]\w+", expressions)), expressions


class Unhurried:
    """Replaces the module `time` where a retry waits."""

    @staticmethod
    def sleep(_seconds: float) -> None:
        """Return at once."""


@pytest.fixture
def world(clients: AwsClients, wire: Wire) -> World:
    """Return an empty stack, separate from those of other tests."""
    return World(clients, wire)


@pytest.fixture(scope="session")
def loopback() -> Iterator[LoopbackProvider]:
    """Return the one provider of all tests."""
    with LoopbackProvider() as provider:
        yield provider


@pytest.fixture
def provider(loopback: LoopbackProvider) -> LoopbackProvider:
    """Return the provider, with an empty bill and without faults."""
    loopback.reset()
    return loopback


@pytest.fixture(scope="session")
def tier(loopback: LoopbackProvider) -> Iterator[ModelTier]:
    """Return the model tier, loaded once, since loading takes two seconds."""
    with closing(
        ModelTier(MODEL, max_output_tokens=400, prices=PriceList.packaged(), base_url=loopback.base_url)
    ) as tier:
        yield tier


@pytest.fixture
def local_tier(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the local tier sure of exactly the videos whose id begins with "sure"; return the ids that it parses."""
    asked: list[str] = []
    real = extraction.parse

    def parse(video: Video, survey: Survey) -> LocalParse:
        asked.append(video.id)
        return real(video, survey)._replace(sure=video.id.startswith("sure"))

    monkeypatch.setattr(extraction, "parse", parse)
    return asked
