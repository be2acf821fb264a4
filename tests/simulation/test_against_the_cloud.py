"""The simulated DynamoDB against the embedded AWS's, on the same operations.

What is asked for is taken from random schedules as they run: every call of production, with its answer or its refusal.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.simulation import production
from tests.simulation.dynamo import INDEX, Key, Store
from tests.simulation.world import World

from titlecard.catalog.table import plain
from titlecard_console.ministack import MiniStack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient
    from tests.simulation.expressions import Item, Names, Values
    from tests.simulation.expressions import Path as ItemPath

    Watch = Callable[[str, Key, Item | None, Item | None], None]

SCHEDULES = range(5, 11)
"""Enough of them that every kind of call is made, and some are refused."""

KEYS = ("HASH", "RANGE")


@dataclass(frozen=True)
class Call:
    """What was asked of the simulated DynamoDB, and what it said."""

    operation: str
    table: str
    request: Mapping[str, Any]
    answer: object


class Recording(Store):
    """A simulated DynamoDB that writes down its calls. Its index is never behind, as the embedded AWS's is not."""

    def __init__(self, *tables: str, watch: Watch | None = None) -> None:
        super().__init__(*tables, watch=watch)
        self.calls: list[Call] = []

    def get(self, table: str, key: Key) -> Item | None:
        """One item."""
        item = super().get(table, key)
        self.calls.append(Call("get", table, {"Key": {"pk": key[0], "sk": key[1]}}, item))
        return item

    def query(  # noqa: PLR0917 -- as the original takes them
        self, table: str, index: str | None, condition: str, names: Names, values: Values, behind: int
    ) -> list[Item]:
        """A query, of an index that is up to date."""
        del behind
        items = super().query(table, index, condition, names, values, 0)
        request: dict[str, Any] = {"KeyConditionExpression": condition, "ExpressionAttributeValues": dict(values)}
        request |= {"IndexName": index} if index else {"ConsistentRead": True}
        self.calls.append(Call("query", table, _only_used(request, names), items))
        return items

    def put(self, table: str, request: Mapping[str, Any]) -> Item | None:
        """A write."""
        return self._recorded("put", table, request, lambda: super(Recording, self).put(table, request))  # type: ignore[no-any-return]

    def update(self, table: str, request: Mapping[str, Any]) -> tuple[Item | None, Item, list[ItemPath]]:
        """A write."""
        return self._recorded("update", table, request, lambda: super(Recording, self).update(table, request))  # type: ignore[no-any-return]

    def transact(self, writes: Sequence[Mapping[str, Any]]) -> None:
        """A transaction."""
        self._recorded("transact", "", {"TransactItems": writes}, lambda: super(Recording, self).transact(writes))

    def _recorded(self, operation: str, table: str, request: Mapping[str, Any], act: Callable[[], Any]) -> Any:  # noqa: ANN401 -- what it gives
        try:
            answer = act()
        except ClientError as refusal:
            self.calls.append(Call(operation, table, request, _refusal(refusal)))
            raise
        self.calls.append(Call(operation, table, request, answer[1] if operation == "update" else None))
        return answer


class Cloud:
    """The embedded AWS's DynamoDB, asked the same."""

    def __init__(self, client: DynamoDBClient) -> None:
        self._db: Any = client
        self._names: dict[str, str] = {}
        self._made = 0

    def begin(self) -> None:
        """Empty tables from here on."""
        self._made += 1
        for table in ("catalog", "ledger"):
            self._names[table] = f"{table}-{self._made}"
            self._db.create_table(
                TableName=self._names[table],
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": it, "AttributeType": "S"} for it in ("pk", "sk", "agenda", "due")
                ],
                KeySchema=_keys("pk", "sk"),
                GlobalSecondaryIndexes=[
                    {"IndexName": INDEX, "KeySchema": _keys("agenda", "due"), "Projection": {"ProjectionType": "ALL"}}
                ],
            )

    def answer(self, call: Call) -> object:
        """What it says to a call."""
        table = {"TableName": self._names.get(call.table, "")}
        try:
            match call.operation:
                case "get":
                    return self._db.get_item(**table, **call.request, ConsistentRead=True).get("Item")
                case "query":
                    return self._db.query(**table, **call.request)["Items"]
                case "put":
                    self._db.put_item(**table, **call.request)
                case "update":
                    return self._db.update_item(**table, **{**call.request, "ReturnValues": "ALL_NEW"})["Attributes"]
                case _:
                    self._db.transact_write_items(
                        TransactItems=[self._renamed(it) for it in call.request["TransactItems"]]
                    )
        except ClientError as refusal:
            return _refusal(refusal)
        return None

    def _renamed(self, write: Mapping[str, Any]) -> dict[str, Any]:
        return {verb: {**request, "TableName": self._names[request["TableName"]]} for verb, request in write.items()}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded AWS of our own, without a stack."""
    folder: Path = tmp_path_factory.mktemp("ministack")
    stack = MiniStack(folder, folder / "log", {"PATH": os.environ["PATH"]})
    try:
        where = stack.endpoint
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=where.url,
            region_name=where.region,
            aws_access_key_id=where.access_key,
            aws_secret_access_key=where.secret_key,
            config=Config(parameter_validation=False),
        )
        yield Cloud(resource.meta.client)
    finally:
        stack.close()


def test_what_production_asks_of_it_is_answered_as_the_embedded_aws_answers(cloud: Cloud) -> None:
    code = production.as_it_is()
    kinds = set()
    for seed in SCHEDULES:
        world = World(code, seed, store=Recording)
        world.run()
        cloud.begin()
        assert isinstance(world.store, Recording)
        for call in world.store.calls:
            assert cloud.answer(call) == call.answer, call
            kinds.add((call.operation, str(call.answer)[:40] if isinstance(call.answer, tuple) else "done"))
    assert {operation for operation, _ in kinds} == {"get", "query", "put", "update", "transact"}
    assert len({how for _, how in kinds}) > 1, "some were refused"


def _only_used(request: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A request with those placeholders that its expressions use: others are refused."""
    text = " ".join(value for name, value in request.items() if name.endswith("Expression"))
    used = {name: value for name, value in request["ExpressionAttributeValues"].items() if name in text}
    aliases = {name: value for name, value in names.items() if name in text}
    rest = {name: value for name, value in request.items() if name != "ExpressionAttributeValues"}
    return (
        rest
        | ({"ExpressionAttributeValues": used} if used else {})
        | ({"ExpressionAttributeNames": aliases} if aliases else {})
    )


def _refusal(error: ClientError) -> tuple[str, object]:
    """What of a refusal production reads: its code, the item that it shows, the reasons for each of a transaction's."""
    response: Mapping[str, Any] = error.response
    reasons = [(it["Code"], plain(it)) for it in response.get("CancellationReasons", ())]
    return str(response["Error"]["Code"]), reasons or plain(response)


def _keys(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, KEYS, strict=True)]
