"""DynamoDB as the catalog uses it: items as Python values, conditional writes, and retries of throttled calls.

DynamoDB throttles in four ways: a call fails, and botocore retries it; a statement of a BatchExecuteStatement fails, or
a BatchGetItem leaves keys unread, while the call succeeds; another writer's access to an item cancels a transaction.
This module retries the last three, with jitter. None of them is a fault of the video.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config
from botocore.exceptions import ClientError

from titlecard.aws.dynamodb.catalog.keys import row_range, row_shards
from titlecard.aws.dynamodb.values import NEVER, item_of_refusal
from titlecard.aws.errors import CatalogBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from mypy_boto3_dynamodb import DynamoDBClient

Item = TypeVar("Item")
Found = TypeVar("Found")

AGENDA = "agenda"

CATALOG_CONFIG = Config(
    parameter_validation=False,
    retries={"total_max_attempts": 6, "mode": "standard"},
    connect_timeout=2,
    read_timeout=5,
)
"""The configuration of the catalog's client; times in seconds. It turns off botocore's check of every parameter, which
takes much of the parser's time and which DynamoDB repeats. The standard mode retries throttled calls with jitter (boto3
guide, "Retries"); six tries that all hang end within an invocation of the parser."""

KEYS_PER_GET = 100
"""The most keys that one BatchGetItem takes (DynamoDB API reference)."""

STATEMENTS_PER_CALL = 25
"""The most statements that one BatchExecuteStatement takes (DynamoDB API reference)."""

TRIES = 6
"""The most tries of the work that a throttled table leaves undone."""

BACKOFF_SECONDS = 0.05
"""The longest wait before the second try, in seconds; it doubles with each further try, to 0.8 s before the last."""

RETRYABLE = {
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "ThrottlingError",
    "TransactionConflict",
}
"""The error codes of statements and transactions that may succeed when retried (DynamoDB API reference,
"BatchStatementError" and "TransactWriteItems")."""

READ_THREADS = 4
"""The number of threads that read many items. A read waits about as long as Python then takes to decode its answer, so
more threads would only compete for the processor."""

ITEMS_PER_PAGE = 50
"""The number of items that a merged query reads ahead in each shard: items may be large, and not all may be needed."""


class CatalogTable:
    """One DynamoDB table.

    Args:
        client: a client that takes and returns Python values (`convert_values`), made with `CATALOG_CONFIG`.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._db = client
        self._table = table

    # --------------------------------------------------------------------------------------------------- writing

    def _update(self, key: Mapping[str, str], change: str, condition: str, values: Mapping[str, Any]) -> bool:
        """Change an item under a condition; return False if it does not hold."""
        return self._update_or_get(key, change, condition, values) is None

    def _update_or_get(
        self, key: Mapping[str, str], change: str, condition: str, values: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Change an item under a condition; return None, or the item as it is if the condition does not hold."""
        write = self._write(key, change, condition, values)
        try:
            self._db.update_item(**write, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            return item_of_refusal(refusal.response)
        return None

    def _write(
        self, key: Mapping[str, str], change: str, condition: str | None, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return a change as DynamoDB takes it, alone or in a transaction; the condition may be None."""
        write: dict[str, Any] = {
            "TableName": self._table,
            "Key": dict(key),
            "UpdateExpression": change,
            "ExpressionAttributeValues": dict(values),
        }
        if condition:
            write["ConditionExpression"] = condition
        if aliases := _aliases(f"{change} {condition}"):
            write["ExpressionAttributeNames"] = aliases
        return write

    def _put(self, item: Mapping[str, Any], condition: str, values: Mapping[str, Any]) -> bool:
        """Put an item under a condition; return False if it did not hold."""
        aliases = _aliases(condition)
        names: dict[str, Any] = {"ExpressionAttributeNames": aliases} if aliases else {}
        try:
            self._db.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                **names,
            )
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _insert(self, items: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Insert the items whose keys are free; return for each whether it was inserted.

        Of several items with the same key, only the first can be inserted. Each item is a separate conditional write
        and billed as one: items share a call, but succeed or fail independently.

        Raises:
            CatalogBusy: some items could not be written; others may have been.
        """
        keys = [(item["pk"], item["sk"]) for item in items]
        done = {place: False for place, key in enumerate(keys) if keys.index(key) < place}
        tries = 0
        while left := [place for place in range(len(items)) if place not in done]:
            if tries == TRIES:
                raise CatalogBusy(f"{len(left)} of {len(items)} items could not be written")
            _back_off(tries)
            tries += 1
            for start in range(0, len(left), STATEMENTS_PER_CALL):
                some = left[start : start + STATEMENTS_PER_CALL]
                statements: list[Any] = [self._statement(items[place]) for place in some]
                answers = self._db.batch_execute_statement(Statements=statements)["Responses"]
                for place, answer in zip(some, answers, strict=True):
                    code = answer.get("Error", {}).get("Code", "")
                    if code.startswith("DuplicateItem"):
                        done[place] = False
                    elif not code:
                        done[place] = True
                    elif code not in RETRYABLE:
                        refused: Any = {"Error": answer["Error"]}
                        raise ClientError(refused, "BatchExecuteStatement")
        return [done[place] for place in range(len(items))]

    def _statement(self, item: Mapping[str, Any]) -> dict[str, Any]:
        attributes = ", ".join(f"'{name}': ?" for name in item)
        return {"Statement": f'INSERT INTO "{self._table}" VALUE {{{attributes}}}', "Parameters": list(item.values())}

    def _transact(self, writes: Sequence[Mapping[str, Any]]) -> bool:
        """Make all writes or none; return False if a condition did not hold.

        Raises:
            CatalogBusy: other writers cancelled every try.
        """
        for tries in range(TRIES):
            _back_off(tries)
            try:
                self._db.transact_write_items(TransactItems=[{"Update": write} for write in writes])  # type: ignore[typeddict-item]  # see `_write`
            except self._db.exceptions.TransactionCanceledException as refusal:
                reasons: list[Mapping[str, Any]] = refusal.response["CancellationReasons"]  # type: ignore[assignment] # boto3-stubs'
                if not {reason.get("Code", "None") for reason in reasons} & RETRYABLE:
                    return False
            else:
                return True
        raise CatalogBusy(f"a transaction was cancelled {TRIES} times")

    # --------------------------------------------------------------------------------------------------- reading

    def _get(self, key: Mapping[str, str]) -> Mapping[str, Any]:
        """Return an item; an empty one if there is none."""
        return self._db.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})

    def _get_all(self, keys: Sequence[Mapping[str, str]]) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Return items by their keys.

        Raises:
            CatalogBusy: DynamoDB left keys unread in `TRIES` calls in a row.
        """
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        wanted, in_vain = list(keys), 0
        while wanted:
            _back_off(in_vain)
            now, wanted = wanted[:KEYS_PER_GET], wanted[KEYS_PER_GET:]
            answer = self._db.batch_get_item(RequestItems={self._table: {"Keys": now, "ConsistentRead": True}})
            items = answer["Responses"].get(self._table, [])
            for item in items:
                found[str(item["pk"]), str(item["sk"])] = item
            unread: list[Any] = answer["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"]
            in_vain = in_vain + 1 if unread else 0
            if in_vain == TRIES:
                raise CatalogBusy(f"{len(unread)} keys could not be read")
            wanted.extend(unread)
        return found

    def _get_groups(self, groups: Sequence[Sequence[Mapping[str, str]]]) -> list[list[Mapping[str, Any]]]:
        """Return the items of each group of keys, empty where there is no item. Groups may share keys.

        Raises:
            CatalogBusy: as for `_get_all`.
        """
        keys = {(key["pk"], key["sk"]): key for group in groups for key in group}
        items = self._get_all(list(keys.values()))
        return [[items.get((key["pk"], key["sk"]), {}) for key in group] for group in groups]

    def _query(self, **query: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 -- passed on as it is
        for page in self._db.get_paginator("query").paginate(TableName=self._table, **query):
            yield from page["Items"]

    def _rows_between(
        self,
        batch: str,
        last_row: int,
        *,
        after: int = 0,
        **query: Any,  # noqa: ANN401 -- passed on as it is
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the items of a batch's rows after row `after`, by number, from all shards."""
        shards = (self._query(**it) for it in _queries_of_rows(batch, last_row, after, query))
        return heapq.merge(*read_ahead(_with_first_page, shards), key=itemgetter("sk"))

    def _count_rows(self, batch: str, last_row: int, **query: Any) -> int:  # noqa: ANN401 -- passed on as it is
        """Count the items of a batch's rows, all shards at once; DynamoDB sends none of them."""

        def count(shard: Mapping[str, Any]) -> int:
            pages = self._db.get_paginator("query").paginate(TableName=self._table, Select="COUNT", **shard)
            return sum(page["Count"] for page in pages)

        return sum(read_ahead(count, _queries_of_rows(batch, last_row, 0, query)))

    def _on_agenda(self, *lists: str, before: str = f"{NEVER}~") -> Iterator[Mapping[str, Any]]:
        """Yield the items on lists of the agenda, by due date (an eventually consistent read of the index)."""
        found = [
            self._query(
                IndexName=AGENDA,
                KeyConditionExpression="agenda = :agenda AND due <= :before",
                ExpressionAttributeValues={":agenda": name, ":before": before},
                Limit=ITEMS_PER_PAGE,
            )
            for name in lists
        ]
        return heapq.merge(*found, key=itemgetter("due"))


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Split a stream into lists of `size`; the last may be shorter (`itertools.batched` needs Python 3.12)."""
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk


def read_ahead(read: Callable[[Item], Found], wanted: Iterable[Item]) -> Iterator[Found]:
    """Yield the answers of `read` in the order of what is `wanted`; up to `READ_THREADS` calls run concurrently."""
    running: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="read") as pool:
        for item in wanted:
            running.append(pool.submit(read, item))
            if len(running) > READ_THREADS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _queries_of_rows(batch: str, last_row: int, after: int, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a query for each shard of a batch's rows after row `after`."""
    for shard in row_shards(last_row):
        partition, first, last = row_range(batch, shard, after)
        values = {":pk": partition, ":first": first, ":last": last}
        yield {
            **query,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
            "ExpressionAttributeValues": {**query.get("ExpressionAttributeValues", {}), **values},
            "ConsistentRead": True,
        }


def _with_first_page(items: Iterator[Item]) -> Iterator[Item]:
    """Return the same items after reading the first page."""
    first = next(items, None)
    return iter(()) if first is None else chain([first], items)


def _back_off(tries: int) -> None:
    """Wait before each try but the first, with full jitter, so that workers do not retry all at once."""
    if tries:
        time.sleep(random.uniform(0, BACKOFF_SECONDS * 2 ** (tries - 1)))  # noqa: S311 -- jitter, no secret


_RESERVED = ("batch", "bucket", "key", "order", "project", "row", "state", "token")
"""Our attributes whose names are reserved in DynamoDB's expressions (developer guide, "Reserved words")."""


def _aliases(expression: str) -> dict[str, str]:
    return {f"#{word}": word for word in _RESERVED if f"#{word}" in expression}


def as_bytes(value: Any) -> bytes:  # noqa: ANN401 -- DynamoDB's
    """Return a binary attribute as bytes, with or without boto3's wrapper."""
    return bytes(getattr(value, "value", value))
