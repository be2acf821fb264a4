"""DynamoDB in memory: the parts that the catalog and the ledger use.

Items are never changed in place, so reads return them without copies. `watch` is called after each write, before any
other fiber runs. The index is eventually consistent: a query of it may see the table as it was some writes ago.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError
from tests.simulation.expressions import Invalid, at, holds, placeholders, updated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from botocore.config import Config
    from tests.simulation.expressions import Item, Names, Path, Values
    from tests.simulation.wire import Wire

Key = tuple[str, str]
Watch = "Callable[[str, Key, Item | None, Item | None], None]"

INDEX = "agenda"
INDEX_KEYS = ("agenda", "due")

CATALOG_TRIES = 3
"""The tries per call of DynamoDB, fewer than boto3's: three suffice to lose a call, repeat it and give up."""

ITEM_MAX_BYTES = 400 * 1024
"""The largest item, names and values together, in bytes (DynamoDB developer guide, "Quotas")."""

CANCELS = ("TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded")
"""The reasons for which DynamoDB cancels a transaction whose conditions hold (API reference, TransactWriteItems)."""

_BEHIND = 4
"""The most writes that the index may lag behind."""


class ConditionalCheckFailed(ClientError):
    """The condition did not hold."""


class TransactionCanceled(ClientError):
    """A condition did not hold, or another writer accessed one of the items."""


class _Exceptions:
    ClientError = ClientError
    ConditionalCheckFailedException = ConditionalCheckFailed
    TransactionCanceledException = TransactionCanceled


class Store:
    """The tables.

    Args:
        watch: called with every write: table, key, the item before and after.
    """

    def __init__(self, *tables: str, watch: Callable[[str, Key, Item | None, Item | None], None] | None = None) -> None:
        self.tables: dict[str, dict[Key, Item]] = {table: {} for table in tables}
        self._watch = watch
        self._index: dict[str, dict[Key, Item]] = {table: {} for table in tables}
        self._coming: deque[tuple[str, Key, Item | None]] = deque()
        self._partitions: dict[str, dict[str, dict[str, Item]]] = {table: {} for table in tables}

    # ---------------------------------------------------------------------------------------------------- reading

    def get(self, table: str, key: Key) -> Item | None:
        """Return one item."""
        return self.tables[table].get(key)

    def peek(self, table: str, key: Key) -> Item | None:
        """Return one item to the test's own code, which makes no call."""
        return self.tables[table].get(key)

    def query(  # noqa: PLR0917 -- DynamoDB's parameters
        self, table: str, index: str | None, condition: str, names: Names, values: Values, behind: int
    ) -> list[Item]:
        """Return the items of a query, in its order."""
        if index is None:
            partition = self._partitions[table].get(values[":pk"], {})
            return [item for _, item in sorted(partition.items()) if holds(condition, item, names, values)]
        while len(self._coming) > behind:
            self._apply(*self._coming.popleft())
        return sorted(
            (item for item in self._index[table].values() if holds(condition, item, names, values)),
            key=lambda item: (item["due"], item["pk"], item["sk"]),
        )

    # ---------------------------------------------------------------------------------------------------- writing

    def put(self, table: str, request: Mapping[str, Any]) -> Item | None:
        """Do a PutItem, or a transaction's Put; return the old item."""
        item = _plain(request["Item"])
        key = item["pk"], item["sk"]
        self._check(table, key, request, _given(request))
        return self._write(table, key, item)

    def update(self, table: str, request: Mapping[str, Any]) -> tuple[Item | None, Item, list[Path]]:
        """Do an UpdateItem, or a transaction's Update; return the item before and after, and the paths set."""
        where = _plain(request["Key"])
        key = where["pk"], where["sk"]
        given = _given(request)
        old = self._check(table, key, request, given)
        new, touched = self._worked_out(key, old, request, given)
        self._write(table, key, new)
        return old, new, touched

    def transact(self, writes: Sequence[Mapping[str, Any]]) -> None:
        """Do a TransactWriteItems: all writes or none."""
        reasons: list[dict[str, Any]] = []
        ready: list[tuple[str, Key, Item | None]] = []
        for write in writes:
            ((verb, request),) = write.items()
            table = request["TableName"]
            where = _plain(request["Item"] if verb == "Put" else request["Key"])
            key = where["pk"], where["sk"]
            if any(key == other for _, other, _ in ready):
                raise _invalid("Transaction request cannot include multiple operations on one item")
            try:
                given = _given(request)
                old = self._check(table, key, request, given)
                new = self._worked_out(key, old, request, given)[0] if verb == "Update" else where
                ready.append((table, key, None if verb == "Delete" else new))
                reasons.append({"Code": "None"})
            except ConditionalCheckFailed as refusal:
                ready.append((table, key, None))
                reasons.append(
                    {"Code": "ConditionalCheckFailed", **{k: v for k, v in refusal.response.items() if k == "Item"}}
                )
        if any(reason["Code"] != "None" for reason in reasons):
            raise canceled(reasons)
        for (verb,), (table, key, item) in zip(writes, ready, strict=True):
            if verb != "ConditionCheck":
                self._write(table, key, item)

    def delete(self, table: str, request: Mapping[str, Any]) -> None:
        """DeleteItem."""
        where = _plain(request["Key"])
        key = where["pk"], where["sk"]
        self._check(table, key, request, _given(request))
        self._write(table, key, None)

    def by_hand(self, table: str, key: Key, item: Item) -> None:
        """Put an item as a person does by hand, without calling `watch`."""
        self.tables[table][key] = self._partitions[table].setdefault(key[0], {})[key[1]] = item

    def _check(self, table: str, key: Key, request: Mapping[str, Any], given: tuple[Names, Values]) -> Item | None:
        names, values = given
        condition = request.get("ConditionExpression", "")
        if not _all_used(condition, request.get("UpdateExpression", ""), (*names, *values)):
            raise _invalid(f"placeholders that are not used, or not given: {request}")
        old = self.tables[table].get(key)
        try:
            if condition and not holds(condition, old or {}, names, values):
                raise refused(old if request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" else None)
        except Invalid as invalid:
            raise _invalid(str(invalid)) from invalid
        return old

    @staticmethod
    def _worked_out(
        key: Key, old: Item | None, request: Mapping[str, Any], given: tuple[Names, Values]
    ) -> tuple[Item, list[Path]]:
        try:
            new, touched = updated(request["UpdateExpression"], old or {"pk": key[0], "sk": key[1]}, *given)
        except Invalid as invalid:
            raise _invalid(str(invalid)) from invalid
        if any(path[0] in {"pk", "sk"} for path in touched):
            raise _invalid("Cannot update attribute: This attribute is part of the key")
        return new, touched

    def _write(self, table: str, key: Key, item: Item | None) -> Item | None:
        items = self.tables[table]
        old = items.get(key)
        if item is None:
            items.pop(key, None)
            self._partitions[table].get(key[0], {}).pop(key[1], None)
        else:
            if any(name in item and (not isinstance(item[name], str) or not item[name]) for name in INDEX_KEYS):
                raise _invalid("the index's key is not a string, or is empty")
            if _bytes(item) > ITEM_MAX_BYTES:
                raise _invalid("Item size has exceeded the maximum allowed size")
            items[key] = item
            self._partitions[table].setdefault(key[0], {})[key[1]] = item
        if INDEX in (item or ()) or INDEX in (old or ()):
            self._coming.append((table, key, item))
        if self._watch:
            self._watch(table, key, old, item)
        return old

    def _apply(self, table: str, key: Key, item: Item | None) -> None:
        if item is None or any(name not in item for name in INDEX_KEYS):
            self._index[table].pop(key, None)
        else:
            self._index[table][key] = item


class Client:
    """Replaces a client of DynamoDB that takes and returns Python values (`convert_values`).

    Args:
        config: production's botocore configuration: the tries per call, and the time-out for an answer.
        page: the number of items on a query's page.
        hot: the most writes that a partition accepts per second; 0 for no limit.
    """

    exceptions = _Exceptions

    def __init__(
        self, store: Store, wire: Wire, name: str, *, config: Config | None = None, page: int = 50, hot: int = 0
    ) -> None:
        self._store = store
        self._hot = hot
        self._writes: Counter[tuple[str, int]] = Counter()
        self._wire = wire
        self._name = name
        self._page = page
        retries = getattr(config, "retries", None) or {}
        self._tries = min(int(retries.get("total_max_attempts", CATALOG_TRIES)), CATALOG_TRIES)
        self._patience = float(getattr(config, "read_timeout", None) or 60)

    def get_item(self, *, TableName: str, Key: Mapping[str, Any], ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """GetItem."""
        assert ConsistentRead, "an item is read consistently"
        key = str(Key["pk"]), str(Key["sk"])

        def get() -> dict[str, Any]:
            item = self._store.get(TableName, key)
            return {} if item is None else {"Item": dict(item)}

        return self._call("get_item", get, key)

    def batch_get_item(self, *, RequestItems: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """BatchGetItem: it may leave some keys unread, and is not a snapshot."""
        ((table, wanted),) = RequestItems.items()
        assert wanted["ConsistentRead"], "items are read consistently"
        keys = [(str(key["pk"]), str(key["sk"])) for key in wanted["Keys"]]
        assert 0 < len(keys) <= 100, "a BatchGetItem takes 1 to 100 keys"
        if len(set(keys)) != len(keys):
            raise _invalid("Provided list of item keys contains duplicates")
        choices, me = self._wire.scheduler.choices, self._wire.scheduler.current.name

        def get() -> dict[str, Any]:
            left = choices(f"{me} leaves keys", 0.03, len(keys))
            some = keys[: len(keys) - left]
            found = []
            for number, key in enumerate(some):
                if number and choices(f"{me} reads on", 0.02):
                    self._wire.scheduler.step()
                item = self._store.get(table, key)
                if item is not None:
                    found.append(dict(item))
            unread = {table: {"Keys": wanted["Keys"][len(some) :], "ConsistentRead": True}} if left else {}
            return {"Responses": {table: found}, "UnprocessedKeys": unread}

        return self._call("batch_get_item", get, f"{len(keys)} keys")

    def put_item(self, *, TableName: str, **request: Any) -> dict[str, Any]:  # noqa: N803, ANN401 -- boto3's
        """PutItem."""
        frozen = {**request, "Item": _plain(request["Item"])}

        def put() -> dict[str, Any]:
            old = self._store.put(TableName, frozen)
            return {"Attributes": old} if old and request.get("ReturnValues") == "ALL_OLD" else {}

        return self._call("put_item", put, frozen["Item"], key=frozen["Item"]["pk"])

    def update_item(self, *, TableName: str, **request: Any) -> dict[str, Any]:  # noqa: N803, ANN401 -- boto3's
        """UpdateItem."""
        notes = self._wire.scheduler.current.notes if request["Key"]["pk"] == "breakers" else None
        if notes is not None:
            notes.told += 1

        def update() -> dict[str, Any]:
            old, new, touched = self._store.update(TableName, request)
            return _returned(request.get("ReturnValues", "NONE"), old, new, touched)

        done = self._call("update_item", update, partial(_told, request), key=request["Key"]["pk"])
        if notes is not None:
            notes.heard += 1
        return done

    def delete_item(self, *, TableName: str, **request: Any) -> dict[str, Any]:  # noqa: N803, ANN401 -- boto3's
        """DeleteItem."""

        def delete() -> dict[str, Any]:
            self._store.delete(TableName, request)
            return {}

        return self._call("delete_item", delete, request["Key"])

    def batch_execute_statement(self, *, Statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """BatchExecuteStatement of INSERTs: each succeeds or fails by itself, and some may be throttled."""
        assert 0 < len(Statements) <= 25, "a BatchExecuteStatement takes 1 to 25 statements"
        inserts = [_insert(it) for it in Statements]
        keys = [(item["pk"], item["sk"]) for _, item in inserts]
        if len(set(keys)) != len(keys):
            raise _invalid("two statements about one item")
        choices, me = self._wire.scheduler.choices, self._wire.scheduler.current.name

        def insert() -> dict[str, Any]:
            answers: list[dict[str, Any]] = []
            for number, (table, item) in enumerate(inserts):
                if number and choices(f"{me} writes on", 0.02):
                    self._wire.scheduler.step()
                if choices(f"{me} throttles statements", self._wire.chance, 2):
                    self._wire.fates[f"{self._name}: statement throttled"] += 1
                    answers.append({"Error": {"Code": "ThrottlingError", "Message": "simulated"}})
                elif self._store.get(table, (item["pk"], item["sk"])) is not None:
                    answers.append({"Error": {"Code": "DuplicateItem", "Message": "simulated"}})
                else:
                    self._store.put(table, {"Item": item})
                    answers.append({"TableName": table})
            return {"Responses": answers}

        return self._call("batch_execute_statement", insert, lambda: str([item for _, item in inserts]))

    def transact_write_items(self, *, TransactItems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """TransactWriteItems: boto3 adds a token by which DynamoDB recognises a repeated call."""
        assert 0 < len(TransactItems) <= 100, "a transaction takes 1 to 100 items"
        choices, me = self._wire.scheduler.choices, self._wire.scheduler.current.name

        def write() -> dict[str, Any]:
            if code := choices(f"{me} conflicts", self._wire.chance, len(CANCELS) + 1):
                self._wire.fates[f"{self._name}: transaction {CANCELS[code - 1]}"] += 1
                raise canceled([*({"Code": "None"} for _ in TransactItems[1:]), {"Code": CANCELS[code - 1]}])
            if any(self._is_hot(key) for key in _partitions(TransactItems)):
                raise canceled([{"Code": "ThrottlingError"}, *({"Code": "None"} for _ in TransactItems[1:])])
            self._store.transact(TransactItems)
            return {}

        def told() -> str:
            return str([_told(request) for it in TransactItems for request in it.values()])

        return self._call("transact_write_items", write, told, once=True)

    def query(self, *, TableName: str, ExclusiveStartKey: Key | None = None, **request: Any) -> dict[str, Any]:  # noqa: N803, ANN401 -- boto3's
        """Query, one page."""
        index = request.get("IndexName")
        assert index is not None or request.get("ConsistentRead"), "a table is read consistently"
        choices, me = self._wire.scheduler.choices, self._wire.scheduler.current.name
        names, values = _given(request)
        limit = min(int(request.get("Limit", self._page)), self._page)

        def page() -> dict[str, Any]:
            behind = choices(f"{me} sees the past", 0.2, _BEHIND) if index else 0
            found = self._store.query(TableName, index, request["KeyConditionExpression"], names, values, behind)
            if ExclusiveStartKey is not None:
                found = _after(found, ExclusiveStartKey, index)
            read, wanted = found[:limit], request.get("FilterExpression")
            kept = [dict(item) for item in read if not wanted or holds(wanted, item, names, values)]
            answer: dict[str, Any] = {"Count": len(kept)}
            if request.get("Select") != "COUNT":
                answer["Items"] = [_projected(item, request.get("ProjectionExpression"), names) for item in kept]
            if len(found) > limit:
                last = read[-1]
                answer["LastEvaluatedKey"] = tuple(last[it] for it in (*(INDEX_KEYS if index else ()), "pk", "sk"))
            return answer

        return self._call("query", page, values)

    def get_paginator(self, operation: str) -> _Paginator:
        """Return the paginator of queries."""
        assert operation == "query", "nothing else is paginated"
        return _Paginator(self)

    def _call(
        self, operation: str, apply: Callable[[], dict[str, Any]], about: object, *, key: str = "", once: bool = False
    ) -> dict[str, Any]:
        """Make a call; `key` is the partition that it writes to."""
        if key and self._is_hot(key):
            self._wire.scheduler.step()
            raise ClientError(
                {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "simulated"}}, operation
            )
        return self._wire.call(
            self._name, operation, apply, about=about, tries=self._tries, patience=self._patience, once=once
        )

    def _is_hot(self, key: str) -> bool:
        """Return whether a partition has accepted its most writes in this second; if not, count one more."""
        if not self._hot or self._wire.scheduler.choices.quiet:
            return False
        second = int(self._wire.scheduler.now)
        self._writes[key, second] += 1
        if self._writes[key, second] <= self._hot:
            return False
        self._wire.fates[f"{self._name}: hot partition"] += 1
        return True


class _Paginator:
    def __init__(self, client: Client) -> None:
        self._client = client

    def paginate(self, **query: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 -- boto3's
        """Yield the pages, each from a separate call."""
        last = None
        while True:
            page = self._client.query(**query, ExclusiveStartKey=last)
            yield page
            last = page.get("LastEvaluatedKey")
            if last is None:
                return


def _insert(statement: Mapping[str, Any]) -> tuple[str, Item]:
    """Return the table and the item of an INSERT whose values are all parameters."""
    found = re.fullmatch(r"""INSERT INTO "([^"]+)" VALUE \{((?:'\w+': \?(?:, )?)+)\}""", statement["Statement"])
    assert found, statement["Statement"]
    names = re.findall(r"'(\w+)'", found[2])
    assert len(names) == len(statement["Parameters"]), "as many values as names"
    return found[1], _plain(dict(zip(names, statement["Parameters"], strict=True)))


def refused(item: Item | None) -> ConditionalCheckFailed:
    """Return the refusal of a conditional write, with the current item if the request asked for it."""
    response: dict[str, Any] = {
        "Error": {"Code": "ConditionalCheckFailedException", "Message": "The conditional request failed"}
    }
    if item is not None:
        response["Item"] = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    return ConditionalCheckFailed(response, "UpdateItem")  # type: ignore[arg-type]  # has all fields that are read


def canceled(reasons: Sequence[Mapping[str, Any]]) -> TransactionCanceled:
    """Return the refusal of a transaction, with a reason for each item."""
    error = {"Code": "TransactionCanceledException", "Message": "Transaction cancelled"}
    response: Any = {"Error": error, "CancellationReasons": list(reasons)}
    return TransactionCanceled(response, "TransactWriteItems")


def _invalid(message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "simulated")


@lru_cache(maxsize=4096)
def _all_used(condition: str, change: str, given: tuple[str, ...]) -> bool:
    """Return whether a write uses exactly the placeholders that it defines."""
    return placeholders(condition, change) == {*given}


def _after(found: list[Item], last: Key, index: str | None) -> list[Item]:
    names = (*(INDEX_KEYS if index else ()), "pk", "sk")
    return [item for item in found if tuple(item[name] for name in names) > tuple(last)]


def _projected(item: Item, projection: str | None, names: Names) -> Item:
    """Return the projected attributes of an item; whole attributes only."""
    if projection is None:
        return item
    wanted = {names.get(word.strip(), word.strip()) for word in projection.split(",")}
    return {name: value for name, value in item.items() if name in wanted}


def _given(request: Mapping[str, Any]) -> tuple[Names, Values]:
    names = request.get("ExpressionAttributeNames", {})
    return names, {name: _plain(value) for name, value in request.get("ExpressionAttributeValues", {}).items()}


def _plain(value: Any) -> Any:  # noqa: ANN401 -- a value of DynamoDB
    """Return a value as DynamoDB returns it: plain strings, decimal numbers, copies of maps and lists."""
    if type(value) in {str, bytes, Decimal, bool, type(None)}:
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return frozenset(_plain(inner) for inner in value)
    message = f"boto3 does not take {value!r}"
    raise TypeError(message)


def _returned(wanted: str, old: Item | None, new: Item, touched: Sequence[Path]) -> dict[str, Any]:
    match wanted:
        case "ALL_NEW":
            return {"Attributes": dict(new)}
        case "ALL_OLD":
            return {"Attributes": dict(old)} if old else {}
        case "UPDATED_NEW" | "UPDATED_OLD":
            item = new if wanted == "UPDATED_NEW" else old or {}
            tops = {path[0] for path in touched}
            return {"Attributes": {str(top): item[top] for top in tops if at(item, (top,)) is not None and top in item}}
    return {}


def _partitions(writes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the partitions that a transaction writes to."""
    requests = [request for write in writes for request in write.values()]
    return sorted({str(request.get("Key", request.get("Item"))["pk"]) for request in requests})


def _bytes(item: Item) -> int:
    """Return the approximate size of an item, from its long texts only; the rest is small."""
    return sum(len(value.encode()) for value in item.values() if isinstance(value, str) and len(value) > 1000)


def _told(request: Mapping[str, Any]) -> str:
    """Return a write as a line of the trace."""
    if "Item" in request:
        return f"put {request['Item']}"
    values = request.get("ExpressionAttributeValues", {})
    text = request["UpdateExpression"]
    for name, value in values.items():
        text = text.replace(name, repr(value)[:40])
    return f"{request['Key']['pk']} {request['Key']['sk']}: {text}"
