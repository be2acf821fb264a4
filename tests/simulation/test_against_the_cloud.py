"""The simulated DynamoDB against MiniStack's, on the same operations.

The first test replays every call of production in random schedules, and compares its answer or its refusal. The second
draws the same kinds of calls at random: production's expressions, on a few keys with any items, with values that other
calls had or that no call had. At the end both stores hold the same items.

The random calls avoid what MiniStack does unlike DynamoDB (developer guide and API reference). In `list_append` it
takes a value that is not a list for an empty list, and it adds to NULL, where DynamoDB says "incorrect data type". In a
transaction, it reports values that do not fit an item before it checks the conditions on the others.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.simulation import production
from tests.simulation.dynamo import INDEX, INDEX_KEYS, Key, Store
from tests.simulation.world import World

from titlecard.aws.dynamodb.values import NEVER, item_of_refusal
from titlecard_console.local_cloud.ministack import MiniStack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient
    from tests.simulation.expressions import Item, Names, Values
    from tests.simulation.expressions import Path as ItemPath
    from tests.simulation.production import Code

    Watch = Callable[[str, Key, Item | None, Item | None], None]

SCHEDULES, MOST_SCHEDULES = range(5, 11), 2_000
"""The schedules, and the last in which to look for a transaction: only a redrive of a dead video makes one."""

KEYS = ("HASH", "RANGE")

KEYS_DRAWN = ("a", "b", "c")
"""The values of an item's two keys: few, so that operations meet."""

TYPED = {":number", ":null", ":zero", ":one", ":none"}
"""The placeholders whose type the expression fixes: a type, nothing, a step, or the first value of a counter (MiniStack
adds a number to a text)."""

KINDS = 25
"""The number of kinds of writes that production exceeds."""

RANDOM_SEQUENCES, RANDOM_OPERATIONS = 4, 250

EXPECTED = {
    *("get done", "batch_get done", "query done", "put done", "update done", "transact done"),
    *("put ConditionalCheckFailedException", "update ConditionalCheckFailedException", "update ValidationException"),
    "transact TransactionCanceledException",
}
"""The outcomes that must occur."""


@dataclass(frozen=True)
class Call:
    """A call of the simulated DynamoDB, and its answer."""

    operation: str
    table: str
    request: Mapping[str, Any]
    answer: object


class Recording(Store):
    """A simulated DynamoDB that records its calls. Its index never lags, like MiniStack's."""

    def __init__(self, *tables: str, watch: Watch | None = None) -> None:
        super().__init__(*tables, watch=watch)
        self.calls: list[Call] = []

    def get(self, table: str, key: Key) -> Item | None:
        """Record a read of one item."""
        item = super().get(table, key)
        self.calls.append(Call("get", table, {"Key": {"pk": key[0], "sk": key[1]}}, item))
        return item

    def query(  # noqa: PLR0917 -- as the original takes them
        self, table: str, index: str | None, condition: str, names: Names, values: Values, behind: int
    ) -> list[Item]:
        """Record a query; the index is up to date."""
        del behind
        items = super().query(table, index, condition, names, values, 0)
        request: dict[str, Any] = {"KeyConditionExpression": condition, "ExpressionAttributeValues": dict(values)}
        request |= {"IndexName": index} if index else {"ConsistentRead": True}
        self.calls.append(Call("query", table, _only_used(request, names), items))
        return items

    def put(self, table: str, request: Mapping[str, Any]) -> Item | None:
        """Record a put."""
        return self._recorded("put", table, request, lambda: super(Recording, self).put(table, request))  # type: ignore[no-any-return]

    def by_hand(self, table: str, key: Key, item: Item) -> None:
        """Record what a person writes as a put."""
        super().by_hand(table, key, item)
        self.calls.append(Call("put", table, {"Item": item}, None))

    def update(self, table: str, request: Mapping[str, Any]) -> tuple[Item | None, Item, list[ItemPath]]:
        """Record an update."""
        return self._recorded("update", table, request, lambda: super(Recording, self).update(table, request))  # type: ignore[no-any-return]

    def transact(self, writes: Sequence[Mapping[str, Any]]) -> None:
        """Record a transaction."""
        self._recorded("transact", "", {"TransactItems": writes}, lambda: super(Recording, self).transact(writes))

    def batch_get(self, table: str, keys: Sequence[Mapping[str, str]]) -> list[Item]:
        """Record a read of several items."""
        found = [self.peek(table, (key["pk"], key["sk"])) for key in keys]
        items = [item for item in found if item is not None]
        self.calls.append(Call("batch_get", table, {"Keys": keys}, items))
        return items

    def ask(self, call: Call) -> None:
        """Execute a call."""
        request = call.request
        match call.operation:
            case "get":
                self.get(call.table, (request["Key"]["pk"], request["Key"]["sk"]))
            case "batch_get":
                self.batch_get(call.table, request["Keys"])
            case "query":
                names = request.get("ExpressionAttributeNames", {})
                values = request["ExpressionAttributeValues"]
                self.query(call.table, request.get("IndexName"), request["KeyConditionExpression"], names, values, 0)
            case "put":
                self.put(call.table, request)
            case "update":
                self.update(call.table, request)
            case _:
                self.transact(request["TransactItems"])

    def _recorded(self, operation: str, table: str, request: Mapping[str, Any], act: Callable[[], Any]) -> Any:  # noqa: ANN401 -- the operation's answer
        try:
            answer = act()
        except ClientError as refusal:
            self.calls.append(Call(operation, table, request, _refusal(refusal)))
            raise
        self.calls.append(Call(operation, table, request, answer[1] if operation == "update" else None))
        return answer


class Cloud:
    """MiniStack's DynamoDB, which gets the same calls."""

    def __init__(self, client: DynamoDBClient) -> None:
        self._db: Any = client
        self._names: dict[str, str] = {}
        self._made = 0

    def begin(self) -> None:
        """Start with empty tables."""
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
        """Return its answer to a call."""
        table = {"TableName": self._names.get(call.table, "")}
        try:
            match call.operation:
                case "get":
                    return self._db.get_item(**table, **call.request, ConsistentRead=True).get("Item")
                case "batch_get":
                    asked = {table["TableName"]: {"Keys": call.request["Keys"], "ConsistentRead": True}}
                    found = self._db.batch_get_item(RequestItems=asked)["Responses"][table["TableName"]]
                    order = [(key["pk"], key["sk"]) for key in call.request["Keys"]]
                    return sorted(found, key=lambda item: order.index((item["pk"], item["sk"])))
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

    def tables(self) -> dict[str, dict[Key, Item]]:
        """Return all of its items."""
        return {
            table: {(item["pk"], item["sk"]): item for item in self._db.scan(TableName=name)["Items"]}
            for table, name in self._names.items()
        }

    def _renamed(self, write: Mapping[str, Any]) -> dict[str, Any]:
        return {verb: {**request, "TableName": self._names[request["TableName"]]} for verb, request in write.items()}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Start a MiniStack without a stack."""
    folder: Path = tmp_path_factory.mktemp("ministack")
    stack = MiniStack(folder, folder / "log", {"PATH": os.environ["PATH"]})
    try:
        where = stack.cloud
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=where.endpoint_url,
            region_name=where.region,
            aws_access_key_id=where.access_key,
            aws_secret_access_key=where.secret_key,
            config=Config(parameter_validation=False),
        )
        yield Cloud(resource.meta.client)
    finally:
        stack.close()


@pytest.fixture(scope="module")
def schedules() -> list[list[Call]]:
    """Return the calls of each schedule."""
    code = production.as_it_is()
    rare = (calls for seed in range(SCHEDULES.stop, MOST_SCHEDULES) if _has_transaction(calls := _calls(code, seed)))
    return [*(_calls(code, seed) for seed in SCHEDULES), next(rare)]


def _calls(code: Code, seed: int) -> list[Call]:
    world = World(code, seed, store=Recording)
    world.run()
    assert isinstance(world.store, Recording)
    return world.store.calls


def _has_transaction(calls: Sequence[Call]) -> bool:
    return any(call.operation == "transact" for call in calls)


def test_the_simulated_store_answers_production_as_ministack_does(
    cloud: Cloud, schedules: Sequence[Sequence[Call]]
) -> None:
    kinds = set()
    for calls in schedules:
        cloud.begin()
        for call in _without_repeated_reads(calls):
            assert cloud.answer(call) == call.answer, call
            kinds.add((call.operation, str(call.answer)[:40] if isinstance(call.answer, tuple) else "done"))
    assert {operation for operation, _ in kinds} == {"get", "query", "put", "update", "transact"}
    assert len({how for _, how in kinds}) > 1, "some were refused"


def _without_repeated_reads(calls: Iterable[Call]) -> Iterator[Call]:
    """Leave out reads that were answered the same since the last write."""
    answered: list[Call] = []
    for call in calls:
        if call.operation in {"put", "update", "transact"}:
            answered.clear()
        elif call in answered:
            continue
        else:
            answered.append(call)
        yield call


# ------------------------------------------------------------------------------------------------- random operations


@dataclass(frozen=True)
class Kind:
    """A kind of write that production makes: its expressions, with their values and its items."""

    verb: str
    table: str
    request: Mapping[str, Any]
    values: Mapping[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    items: list[Item] = field(default_factory=list)


class Draws:
    """Random operations of the kinds that production makes."""

    def __init__(self, seed: int, calls: Sequence[Call]) -> None:
        self._random = Random(seed)  # noqa: S311 -- a test, no secret
        self._kinds: dict[str, Kind] = {}
        self._queries: dict[str, Mapping[str, Any]] = {}
        for call in calls:
            if call.operation == "query":
                self._queries.setdefault(_expressions(call.request), call.request)
            for verb, table, request in _writes(call):
                self._learn(verb, table, request)

    def _learn(self, verb: str, table: str, request: Mapping[str, Any]) -> None:
        kind = self._kinds.setdefault(f"{verb} {table} {_expressions(request)}", Kind(verb, table, request))
        for name, value in request.get("ExpressionAttributeValues", {}).items():
            kind.values[name].append(value)
        if verb == "Put":
            kind.items.append(request["Item"])

    @property
    def kinds(self) -> int:
        """The number of kinds of writes."""
        return len(self._kinds)

    def operation(self) -> Call:
        """Draw an operation."""
        draw = self._random.random()
        if draw < 0.1:
            return Call("get", self._table(), {"Key": self._key()}, None)
        if draw < 0.2:
            keys = {tuple(it.values()): it for it in (self._key() for _ in range(self._random.randint(1, 4)))}
            return Call("batch_get", self._table(), {"Keys": list(keys.values())}, None)
        if draw < 0.3:
            return Call("query", self._table(), self._query(), None)
        if draw < 0.5:
            return Call("transact", "", {"TransactItems": self._transaction()}, None)
        verb = self._random.choice(["Put", "Update"])
        kind = self._random.choice([it for it in self._kinds.values() if it.verb == verb])
        return Call(kind.verb.lower(), kind.table, self._request(kind, odd=True), None)

    def _table(self) -> str:
        return self._random.choice(["catalog", "ledger"])

    def _key(self) -> dict[str, str]:
        return {"pk": self._random.choice(KEYS_DRAWN), "sk": self._random.choice(KEYS_DRAWN)}

    def _transaction(self) -> list[dict[str, Any]]:
        kinds = [it for it in self._kinds.values() if it.table == "catalog"]
        writes: dict[tuple[str, str], dict[str, Any]] = {}
        for kind in self._random.sample(kinds, self._random.randint(1, 4)):
            request = self._request(kind, odd=False)
            if kind.verb == "Update":
                request.pop("ReturnValues", None)
            key = request["Item"] if kind.verb == "Put" else request["Key"]
            if self._random.random() < 0.5:
                request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            writes[key["pk"], key["sk"]] = {kind.verb: {**request, "TableName": kind.table}}
        return list(writes.values())

    def _query(self) -> dict[str, Any]:
        request = dict(self._random.choice(list(self._queries.values())))
        values = dict(request["ExpressionAttributeValues"])
        if ":pk" in values:
            values[":pk"] = self._random.choice(KEYS_DRAWN)
        return {**request, "ExpressionAttributeValues": values}

    def _request(self, kind: Kind, *, odd: bool) -> dict[str, Any]:
        request = {name: it for name, it in kind.request.items() if name != "TableName"}
        if kind.verb == "Put":
            item = self._random.choice(kind.items)
            kept = {name: it for name, it in item.items() if name in INDEX_KEYS or self._random.random() < 0.8}
            request["Item"] = kept | self._key()
        else:
            request["Key"] = self._key()
        if kind.values:
            request["ExpressionAttributeValues"] = {
                name: self._value(name, seen, odd=odd) for name, seen in kind.values.items()
            }
        if "ConditionExpression" in request and self._random.random() < 0.7:
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return request

    def _value(self, name: str, seen: Sequence[Any], *, odd: bool) -> Any:  # noqa: ANN401 -- of DynamoDB
        """Draw a value that this placeholder had, another of its type, or one of a wrong type."""
        value = self._random.choice(seen)
        if self._random.random() < 0.8 or name in TYPED:
            return value
        if isinstance(value, list):
            return value
        if isinstance(value, str) != (odd and self._random.random() < 0.1):
            return self._random.choice(["a", "open", "2026-01-15T12:00:00.000000+00:00", NEVER])
        return self._random.choice([-3, 0, 1, 7, 10**12]) if isinstance(value, str | int | Decimal) else value


def test_random_operations_of_the_kinds_that_production_makes_do_the_same(
    cloud: Cloud, schedules: Sequence[Sequence[Call]]
) -> None:
    draws = Draws(0, [call for calls in schedules for call in calls])
    assert draws.kinds > KINDS
    outcomes: Counter[str] = Counter()
    for _ in range(RANDOM_SEQUENCES):
        here = Recording("catalog", "ledger")
        cloud.begin()
        for _ in range(RANDOM_OPERATIONS):
            drawn = draws.operation()
            with contextlib.suppress(ClientError):  # the refusal is written down
                here.ask(drawn)
            call = here.calls[-1]
            assert cloud.answer(call) == call.answer, call
            outcomes[f"{call.operation} {call.answer[0] if isinstance(call.answer, tuple) else 'done'}"] += 1
        assert cloud.tables() == here.tables
    assert not EXPECTED - set(outcomes), outcomes


def _writes(call: Call) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the writes of a call: itself, or those of a transaction."""
    if call.operation in {"put", "update"}:
        yield call.operation.title(), call.table, call.request
    for write in call.request.get("TransactItems", ()):
        for verb, request in write.items():
            yield verb, request["TableName"], request


def _expressions(request: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={it}" for name, it in sorted(request.items()) if name.endswith(("Expression", "Name")))


def _only_used(request: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a request with only the placeholders that its expressions use, since others are refused."""
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
    """Return what production reads of a refusal: its code, its item, the reasons of a transaction."""
    response: Mapping[str, Any] = error.response
    reasons = [(it["Code"], item_of_refusal(it)) for it in response.get("CancellationReasons", ())]
    return str(response["Error"]["Code"]), reasons or item_of_refusal(response)


def _keys(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, KEYS, strict=True)]
