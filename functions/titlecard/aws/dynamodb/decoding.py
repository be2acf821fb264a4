"""DynamoDB's answers as Python values, without botocore's walk over the model of the response.

Except for binary values, DynamoDB's JSON has the form in which botocore returns an item. botocore still compares each
value with the ten members of `AttributeValue`, which takes a third of the processor time of reading results.
"""

from __future__ import annotations

import json
from base64 import b64decode
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

READS = ("GetItem", "BatchGetItem", "Query")


def decode_reads(client: DynamoDBClient) -> DynamoDBClient:
    """Have a client decode the answers of its reads directly; return the client."""
    for operation in READS:
        client.meta.events.register(f"before-parse.dynamodb.{operation}", _decode)
    return client


def _decode(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Handle botocore's event `before-parse`: what is decoded here is added to what botocore decodes of the body."""
    body = response_dict["body"]
    if response_dict["status_code"] != HTTPStatus.OK:
        return
    try:
        answer = json.loads(body, object_hook=_binary if b'"B' in body else None)
    except ValueError:
        return  # botocore reports it
    if isinstance(answer, dict):
        customized_response_dict.update(answer)
        response_dict["body"] = b"{}"


def _binary(value: dict[str, Any]) -> dict[str, Any]:
    """Decode a binary value, or a set of them. An item's attribute of that name has an object as its value."""
    if isinstance(text := value.get("B"), str):
        return {"B": b64decode(text)}
    if isinstance(texts := value.get("BS"), list):
        return {"BS": [b64decode(text) for text in texts]}
    return value
