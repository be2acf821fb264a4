"""DynamoDB as the catalog uses it: items in Python values, conditional writes, the index of what is due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

AGENDA = "agenda"
NEVER = "9999-12-31"
"""The date due of what waits for a person."""

UNCHECKED = Config(parameter_validation=False)
"""For the catalog's client: botocore's own check of every parameter takes much of the parser's time, and DynamoDB
makes the same check again."""

KEYS_PER_GET = 100
"""The most keys that one BatchGetItem takes (DynamoDB API reference)."""


def stamp(moment: datetime) -> str:
    """A moment as it is stored: UTC, ISO 8601 with microseconds, so that stamps sort as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class CatalogTable:
    """One DynamoDB table.

    Args:
        client: of a DynamoDB *resource* (`boto3.resource("dynamodb", config=UNCHECKED).meta.client`), which speaks in
            Python values.
        table: the table's name.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._db = client
        self._table = table

    def _accepted(self, key: Mapping[str, str], change: str, condition: str, values: Mapping[str, Any]) -> bool:
        try:
            self._update(key, change, condition, values)
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _update(
        self,
        key: Mapping[str, str],
        change: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._db.update_item(**self._write(key, change, condition, values, names)["Update"])

    def _write(
        self,
        key: Mapping[str, str],
        change: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        aliases = _aliases(f"{change} {condition}") | dict(names or {})
        write: dict[str, Any] = {
            "TableName": self._table,
            "Key": dict(key),
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": dict(values),
        }
        if aliases:
            write["ExpressionAttributeNames"] = aliases
        return {"Update": write}

    def _put(self, item: Mapping[str, Any], condition: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": _aliases(condition),
            "ExpressionAttributeValues": values,
        }

    def _get(self, key: Mapping[str, str]) -> Mapping[str, Any] | None:
        return self._db.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")

    def _get_all(self, keys: Sequence[Mapping[str, str]]) -> dict[tuple[str, str], Mapping[str, Any]]:
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        wanted = list(keys)
        while wanted:
            now, wanted = wanted[:KEYS_PER_GET], wanted[KEYS_PER_GET:]
            answer = self._db.batch_get_item(RequestItems={self._table: {"Keys": now, "ConsistentRead": True}})
            for item in answer["Responses"].get(self._table, []):
                found[str(item["pk"]), str(item["sk"])] = item
            wanted.extend(answer["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"])  # type: ignore[arg-type] # ours
        return found

    def _query(self, **query: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 -- passed on as it is
        for page in self._db.get_paginator("query").paginate(TableName=self._table, **query):
            yield from page["Items"]

    def _on_agenda(self, agenda: str, *, before: str) -> Iterator[Mapping[str, Any]]:
        return self._query(
            IndexName=AGENDA,
            KeyConditionExpression="agenda = :agenda AND due <= :before",
            ExpressionAttributeValues={":agenda": agenda, ":before": before},
        )


_RESERVED = ("batch", "bucket", "key", "order", "project", "row", "state", "token")
"""Attributes of ours whose names are words of DynamoDB's expressions (developer guide, "Reserved words")."""


def _aliases(expression: str) -> dict[str, str]:
    return {f"#{word}": word for word in _RESERVED if f"#{word}" in expression}


def plain(refusal: Mapping[str, Any]) -> dict[str, Any]:
    """The item that a refusal came with: boto3 turns only those of answers into Python values."""
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in refusal.get("Item", {}).items()}
