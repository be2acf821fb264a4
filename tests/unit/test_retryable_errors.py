"""Which errors of AWS are retryable: a later try of the same call may succeed."""

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
    is_retryable,
)

REPAIRABLE = ("ThrottlingException", "InternalServerError", "AccessDeniedException", "ResourceNotFoundException")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateItem")


@pytest.mark.parametrize("code", REPAIRABLE)
def test_an_error_that_may_go_away_is_retryable(code: str) -> None:
    assert is_retryable(refused(code))


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_call_that_is_refused_for_its_content_is_never_retryable(code: str) -> None:
    assert not is_retryable(refused(code))


@pytest.mark.parametrize("error", [CatalogBusy, LedgerUnavailable, KeyUnreadable, BatchItemInvalid])
def test_an_error_that_asks_to_try_later_is_retryable(error: type[Exception]) -> None:
    assert is_retryable(error("why"))


def test_a_lost_connection_is_retryable() -> None:
    assert is_retryable(EndpointConnectionError(endpoint_url="dynamodb"))
    assert is_retryable(ClientError({}, "UpdateItem"))


@pytest.mark.parametrize("error", [ArithmeticError("a usage"), KeyError("at"), UploadRefused("why")])
def test_any_other_exception_is_not_retryable(error: Exception) -> None:
    assert not is_retryable(error)
