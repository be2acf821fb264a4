"""Our client that converts values sends and returns what the client of boto3's resource sends and returns."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from boto3.dynamodb.types import Binary
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from hypothesis import given, settings
from hypothesis import strategies as st

from titlecard.aws.dynamodb.conversion import ANSWERED, convert_values

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = st.sampled_from(["pk", "talk", "B", "BS", "S", "M", "L", "N", "NULL"])
_DATA = st.binary(max_size=6)
_LEAVES = st.one_of(
    st.text(max_size=6),
    st.integers(-(10**37), 10**37),
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9),
    _DATA,
    st.sets(_DATA, min_size=1, max_size=2),
    st.sets(st.text(max_size=3), min_size=1, max_size=2),
    st.sets(st.integers(0, 9), min_size=1, max_size=2),
    st.booleans(),
    st.none(),
)
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.dictionaries(_NAMES, inner, max_size=3), st.lists(inner, max_size=3)),
    max_leaves=8,
)
ITEMS = st.dictionaries(_NAMES, VALUES, max_size=4)
CAPACITY = {"TableName": "t", "CapacityUnits": 1.5, "Table": {"CapacityUnits": 1.5}}
HERE: Any = {
    "region_name": "us-east-1",
    "aws_access_key_id": "example",
    "aws_secret_access_key": "example",
    "config": Config(parameter_validation=False, retries={"total_max_attempts": 1}),
}


class Wire:
    """A client whose requests are kept, and answered with what a test sets."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 -- a client of boto3's
        self.client = client
        self.sent: list[Any] = []
        self.body, self.status = b"{}", 200
        client.meta.events.register_first("before-send.dynamodb", self._answer)

    def call(self, operation: str, request: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- as boto3's
        """Make a call; return its answer, without what describes the transfer."""
        done = self.client._make_api_call(operation, dict(request))  # noqa: SLF001 -- every operation by its name
        done.pop("ResponseMetadata")
        return done

    def _answer(self, request: Any, **_: object) -> AWSResponse:  # noqa: ANN401 -- botocore's
        self.sent.append(json.loads(request.body))
        return AWSResponse(request.url, self.status, HTTPHeaders(), _Body(self.body))


class _Body:
    """The body of an answer, as botocore reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> list[bytes]:
        """Return the content."""
        return [self._content]


OURS = Wire(convert_values(boto3.client("dynamodb", **HERE)))
BOTO3S = Wire(boto3.resource("dynamodb", **HERE).meta.client)


def sent(operation: str, request: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- JSON
    """Return what our client sends, after checking that boto3's client sends the same."""
    for wire in (OURS, BOTO3S):
        wire.sent.clear()
        wire.status, wire.body = 200, b"{}"
        wire.call(operation, request)
    assert _unordered(OURS.sent) == _unordered(BOTO3S.sent)
    return OURS.sent[0]


def _unordered(value: Any) -> Any:  # noqa: ANN401 -- JSON; sets are sent in any order
    if isinstance(value, dict):
        return {
            name: sorted(it) if name in {"SS", "NS", "BS"} and isinstance(it, list) else _unordered(it)
            for name, it in value.items()
        }
    return list(map(_unordered, value)) if isinstance(value, list) else value


@settings(max_examples=15)
@given(item=ITEMS)
def test_every_request_is_sent_as_boto3_sends_it(item: dict[str, Any]) -> None:
    update = {"TableName": "t", "Key": item, "UpdateExpression": "SET a = :a", "ExpressionAttributeValues": item}
    put = {"TableName": "t", "Item": item, "ExpressionAttributeValues": {":a": item}}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("GetItem", {"TableName": "t", "Key": item, "ConsistentRead": True}),
        ("PutItem", put),
        ("DeleteItem", {"TableName": "t", "Key": item}),
        ("UpdateItem", update),
        ("Query", {"TableName": "t", "ExclusiveStartKey": item, "ExpressionAttributeValues": {":pk": item}}),
        ("Scan", {"TableName": "t", "ExclusiveStartKey": item}),
        ("BatchGetItem", {"RequestItems": {name: {"Keys": [item, {}], "ConsistentRead": True} for name in "tu"}}),
        (
            "BatchExecuteStatement",
            {"Statements": [{"Statement": "INSERT", "Parameters": list(item.values()) or ["a"]}]},
        ),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Update": update}, {"Put": put}], "ClientRequestToken": "one"},
        ),
    ]
    for operation, request in requests:
        before = repr(request)
        assert sent(operation, request)
        assert repr(request) == before, "the caller's values are not changed"


def test_a_value_that_dynamodb_cannot_hold_is_refused_as_boto3_refuses_it() -> None:
    for wire in (OURS, BOTO3S):
        with pytest.raises(TypeError, match="Float types are not supported"):
            wire.call("PutItem", {"TableName": "t", "Item": {"pk": 0.5}})


@settings(max_examples=15)
@given(items=st.lists(ITEMS, min_size=1, max_size=3))
def test_every_answer_is_converted_as_boto3_converts_it(items: list[dict[str, Any]]) -> None:
    typed = [sent("PutItem", {"TableName": "t", "Item": item})["Item"] for item in items]
    key = {"pk": {"S": "a"}, "sk": {"B": "AAE="}}
    answers: dict[str, dict[str, Any]] = {
        "GetItem": {"Item": typed[0]},
        "BatchGetItem": {
            "Responses": {"t": typed},
            "UnprocessedKeys": {"t": {"Keys": [key], "ConsistentRead": True}},
            "ConsumedCapacity": [CAPACITY],
        },
        "Query": {
            "Items": typed,
            "Count": len(items),
            "ScannedCount": 7,
            "LastEvaluatedKey": key,
            "ConsumedCapacity": CAPACITY,
        },
        "Scan": {"Items": typed, "Count": len(items)},
        "UpdateItem": {"Attributes": typed[0], "ConsumedCapacity": CAPACITY},
    }
    assert set(answers) == set(ANSWERED)
    for operation, answer in answers.items():
        ours, theirs = _answers(operation, json.dumps(answer).encode(), 200)
        assert ours == theirs
        assert set(ours) == set(answer)


def test_numbers_and_binary_values_have_boto3s_types() -> None:
    body = b'{"Item": {"n": {"N": "1.50"}, "b": {"B": "AAE="}, "B": {"S": "a"}}}'
    ours, _ = _answers("GetItem", body, 200)
    assert ours == {"Item": {"n": Decimal("1.50"), "b": Binary(b"\0\1"), "B": "a"}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"__type": "x#ThrottlingException", "message": "later"}', 400),
        (b"<html>bad gateway</html>", 502),
        (b"<html>a portal</html>", 200),
        (b"[]", 200),
        (b"", 200),
    ],
)
def test_an_error_or_an_answer_that_is_not_an_object_is_left_to_botocore(body: bytes, status: int) -> None:
    ours, theirs = _answers("GetItem", body, status)
    assert ours == theirs


def _answers(operation: str, body: bytes, status: int) -> list[Any]:
    """Return what each client makes of an answer: its values, or the error that it raises."""
    found: list[Any] = []
    for wire in (OURS, BOTO3S):
        wire.body, wire.status = body, status
        request: dict[str, Any] = {"RequestItems": {}} if operation == "BatchGetItem" else {"TableName": "t"}
        try:
            found.append(wire.call(operation, request))
        except ClientError as error:
            found.append({name: it for name, it in error.response.items() if name != "ResponseMetadata"})
        except (ResponseParserError, AttributeError) as error:
            found.append(type(error))
    return found
