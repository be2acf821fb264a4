"""Conversion between DynamoDB's values and Python's, by boto3's own serializer, in the places where a call has items.

boto3's resource also takes and returns Python values. It copies each request, and walks the model of the API to find
the values in requests and answers; botocore compares each value of an answer with the ten members of
`AttributeValue`. For calls of a hundred items this takes a large part of the processor time.
"""

from __future__ import annotations

import json
from base64 import b64decode
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

ANSWERED = ("BatchGetItem", "GetItem", "Query", "Scan", "UpdateItem")
"""The operations whose answers have items."""

_SENT_ITEMS = ("ExclusiveStartKey", "ExpressionAttributeValues", "Item", "Key")
_ANSWERED_ITEMS = ("Attributes", "Item", "LastEvaluatedKey")

_serialize, _deserialize = TypeSerializer().serialize, TypeDeserializer().deserialize


def convert_values(client: DynamoDBClient) -> DynamoDBClient:
    """Make a client of DynamoDB take and return Python values; return the client."""
    events: Any = client.meta.events  # the types leave out handlers that return a value
    events.register("provide-client-params.dynamodb", _encode)
    for operation in ANSWERED:
        events.register(f"before-parse.dynamodb.{operation}", _decode)
    return client


def as_python(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item, or a key, as Python values."""
    return {name: _deserialize(value) for name, value in item.items()}


def _as_sent(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _serialize(value) for name, value in item.items()}


def _encode(params: Mapping[str, Any], **_: object) -> dict[str, Any]:
    """Handle botocore's event `provide-client-params`: return the request with DynamoDB's values."""
    request = dict(params)
    for name in _SENT_ITEMS:
        if name in request:
            request[name] = _as_sent(request[name])
    if "RequestItems" in request:
        request["RequestItems"] = {
            table: {**wanted, "Keys": list(map(_as_sent, wanted["Keys"]))}
            for table, wanted in request["RequestItems"].items()
        }
    if "Statements" in request:
        request["Statements"] = [
            {**statement, "Parameters": list(map(_serialize, statement["Parameters"]))}
            for statement in request["Statements"]
        ]
    if "TransactItems" in request:
        request["TransactItems"] = [
            {kind: _encode(write) for kind, write in entry.items()} for entry in request["TransactItems"]
        ]
    return request


def _decode(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Handle botocore's event `before-parse`: decode the body's items here, and leave an empty body to botocore."""
    body = response_dict["body"]
    if response_dict["status_code"] != HTTPStatus.OK:
        return
    try:
        answer = json.loads(body, object_hook=_binary if b'"B' in body else None)
    except ValueError:
        return  # botocore reports it
    if not isinstance(answer, dict):
        return
    for name in _ANSWERED_ITEMS:
        if name in answer:
            answer[name] = as_python(answer[name])
    if "Items" in answer:
        answer["Items"] = list(map(as_python, answer["Items"]))
    if "Responses" in answer:
        answer["Responses"] = {table: list(map(as_python, items)) for table, items in answer["Responses"].items()}
    for unread in answer.get("UnprocessedKeys", {}).values():
        unread["Keys"] = list(map(as_python, unread["Keys"]))
    customized_response_dict.update(answer)
    response_dict["body"] = b"{}"


def _binary(value: dict[str, Any]) -> dict[str, Any]:
    """Decode a binary value, or a set of them. An attribute named `B` or `BS` is safe: its value is an object."""
    if isinstance(text := value.get("B"), str):
        return {"B": b64decode(text)}
    if isinstance(texts := value.get("BS"), list):
        return {"BS": [b64decode(text) for text in texts]}
    return value
