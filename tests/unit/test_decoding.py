"""Decoding DynamoDB's answers directly: it gives what botocore gives."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from titlecard.aws.dynamodb.decoding import READS, decode_reads
from titlecard.bootstrap import AwsClients

MODEL = botocore.session.get_session().get_service_model("dynamodb")

_NAMES = st.sampled_from(["pk", "talk", "B", "BS", "S", "M", "L", "N", "NULL"])
_BINARY = st.binary(max_size=6).map(lambda data: b64encode(data).decode())
_LEAVES = st.one_of(
    st.fixed_dictionaries({"S": st.text(max_size=6)}),
    st.fixed_dictionaries({"N": st.integers().map(str)}),
    st.fixed_dictionaries({"B": _BINARY}),
    st.fixed_dictionaries({"BS": st.lists(_BINARY, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"SS": st.lists(st.text(max_size=3), min_size=1, max_size=2)}),
    st.fixed_dictionaries({"NS": st.lists(st.integers().map(str), min_size=1, max_size=2)}),
    st.fixed_dictionaries({"BOOL": st.booleans()}),
    st.just({"NULL": True}),
)
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"M": st.dictionaries(_NAMES, inner, max_size=3)}),
        st.fixed_dictionaries({"L": st.lists(inner, max_size=3)}),
    ),
    max_leaves=8,
)
ITEMS = st.dictionaries(_NAMES, VALUES, max_size=4)
CLIENTS = {directly: boto3.client("dynamodb", region_name="us-east-1") for directly in (True, False)}
decode_reads(CLIENTS[True])
CAPACITY = {"TableName": "t", "CapacityUnits": 1.5, "Table": {"CapacityUnits": 1.5}}


def decoded(operation: str, body: bytes, *, directly: bool, status: int = 200) -> Any:  # noqa: ANN401 -- as botocore's
    """Decode an answer as botocore's endpoint does, with our handler of its event or without."""
    response: dict[str, Any] = {"body": body, "headers": {}, "status_code": status}
    own: dict[str, Any] = {}
    CLIENTS[directly].meta.events.emit(
        f"before-parse.dynamodb.{operation}",
        operation_model=MODEL.operation_model(operation),
        response_dict=response,
        customized_response_dict=own,
    )
    shape: Any = MODEL.operation_model(operation).output_shape
    return create_parser("json").parse(response, shape) | own


@pytest.mark.parametrize("operation", READS)
@given(items=st.lists(ITEMS, max_size=3))
def test_every_value_is_decoded_as_botocore_decodes_it(operation: str, items: list[dict[str, Any]]) -> None:
    answers: dict[str, dict[str, Any]] = {
        "GetItem": {"Item": items[0]} if items else {},
        "BatchGetItem": {
            "Responses": {"t": items},
            "UnprocessedKeys": {"t": {"Keys": items[:1], "ConsistentRead": True}},
            "ConsumedCapacity": [CAPACITY],
        },
        "Query": {
            "Items": items,
            "Count": len(items),
            "ScannedCount": 7,
            "LastEvaluatedKey": {"pk": {"S": "a"}},
            "ConsumedCapacity": CAPACITY,
        },
    }
    body = json.dumps(answers[operation]).encode()
    assert decoded(operation, body, directly=True) == decoded(operation, body, directly=False)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"__type": "x#ThrottlingException", "message": "later"}', 400),
        (b"<html>bad gateway</html>", 502),
        (b"", 200),
    ],
)
def test_an_answer_that_is_no_item_is_left_to_botocore(body: bytes, status: int) -> None:
    assert decoded("GetItem", body, directly=True, status=status) == decoded(
        "GetItem", body, directly=False, status=status
    )


@pytest.mark.parametrize("operation", READS)
def test_the_catalogs_client_decodes_every_read_directly(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    response: dict[str, Any] = {"body": b'{"Item": {"pk": {"S": "a"}}}', "headers": {}, "status_code": 200}
    own: dict[str, Any] = {}
    AwsClients(boto3.Session()).catalog.meta.events.emit(
        f"before-parse.dynamodb.{operation}",
        operation_model=MODEL.operation_model(operation),
        response_dict=response,
        customized_response_dict=own,
    )
    assert own == {"Item": {"pk": {"S": "a"}}}
    assert response["body"] == b"{}", "nothing is left to botocore"


def test_the_reads_of_results_are_decoded_directly() -> None:
    assert set(READS) == {"GetItem", "BatchGetItem", "Query"}
