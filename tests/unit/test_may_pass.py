"""Which errors of AWS may pass, so that a later try is worth its while."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from titlecard.aws.errors import (
    REFUSALS,
    BatchItemInvalid,
    CatalogBusy,
    KeyUnreadable,
    LedgerUnavailable,
    UploadRefused,
    may_pass,
)

REPAIRABLE = ("ThrottlingException", "InternalServerError", "AccessDeniedException", "ResourceNotFoundException")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateItem")


@pytest.mark.parametrize("code", REPAIRABLE)
def test_an_answer_that_may_differ_later_may_pass(code: str) -> None:
    assert may_pass(refused(code))


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_call_that_is_refused_for_its_content_is_always_refused(code: str) -> None:
    assert not may_pass(refused(code))


@pytest.mark.parametrize("error", [CatalogBusy, LedgerUnavailable, KeyUnreadable, BatchItemInvalid])
def test_what_asks_to_try_later_may_pass(error: type[Exception]) -> None:
    assert may_pass(error("why"))


def test_a_lost_connection_may_pass() -> None:
    assert may_pass(EndpointConnectionError(endpoint_url="dynamodb"))
    assert may_pass(ClientError({}, "UpdateItem"))


@pytest.mark.parametrize("error", [ArithmeticError("a usage"), KeyError("at"), UploadRefused("why")])
def test_any_other_exception_is_the_same_at_every_try(error: Exception) -> None:
    assert not may_pass(error)
