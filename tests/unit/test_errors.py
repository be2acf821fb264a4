"""AWS's errors are explained in sentences that say what to do and contain no secret."""

from __future__ import annotations

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as botocore
from botocore.exceptions import BotoCoreError, ClientError

from titlecard_console.errors import explain


def refused(code: str, message: str = "in AWS's own words", operation: str = "Query") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredTokenException", "have expired. Sign in"),
        ("InvalidClientTokenId", "does not know these credentials. Sign in"),
        ("SignatureDoesNotMatch", "the secret key does not belong to the access key"),
        ("RequestTimeTooSkewed", "set this machine's clock"),
        ("ThrottlingException", "AWS is throttling Query. Wait a minute and run the same command again"),
        ("ResourceNotFoundException", "has been deleted (Query: "),
        ("PermanentRedirect", "in another region (Query). Set AWS_REGION"),
        ("InternalFailure", "gave an unexpected answer: "),
    ],
)
def test_an_error_of_a_service_says_what_to_do(code: str, words: str) -> None:
    assert words in explain(refused(code))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (botocore.NoCredentialsError(), "There are no AWS credentials. Sign in (`aws sso login`"),
        (botocore.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "no AWS credentials"),
        (botocore.ProfileNotFound(profile="prod"), "(prod) could not be found. Set AWS_PROFILE to one of those that"),
        (botocore.NoRegionError(), "No AWS region is set. Set AWS_REGION"),
        (botocore.InvalidRegionError(region_name="eu west"), "Set AWS_REGION to the stack's"),
        (botocore.UnauthorizedSSOTokenError(), "have expired or cannot be read"),
        (botocore.EndpointConnectionError(endpoint_url="https://sqs"), "AWS cannot be reached"),
        (botocore.ReadTimeoutError(endpoint_url="https://sqs"), "AWS cannot be reached"),
    ],
)
def test_an_error_before_a_service_answers_says_what_to_do(fault: BotoCoreError, words: str) -> None:
    assert words in explain(fault)


def test_a_missing_permission_is_named_with_its_owner_and_resource() -> None:
    said = explain(
        refused(
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/grace is not authorized to perform: dynamodb:Query on resource: "
            "arn:aws:dynamodb:eu-west-1:123456789012:table/catalog because no identity-based policy allows it",
        )
    )
    assert "arn:aws:iam::123456789012:user/grace may not do dynamodb:Query on arn:aws:dynamodb" in said
    assert "OperatorPolicy" in said


def test_a_missing_permission_without_details_is_named_by_the_call() -> None:
    assert "the owner of these credentials may not do GetObject" in explain(
        refused("AccessDenied", "Access Denied", "GetObject")
    )


@pytest.mark.parametrize(
    "message",
    [
        "The canonical string should have been 'host:x x-amz-security-token=IQoJb3JpZ2luX2VjEXAMPLE'",
        "The access key AKIAIOSFODNN7EXAMPLE is not active",
        "failed at https://grace:IQoJb3JpZ2luX2VjEXAMPLE@proxy.example:3128",
        "The key sk-proj-IQoJb3JpZ2luX2VjEXAMPLE was refused",
    ],
)
@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "ResourceNotFoundException", "InternalFailure"])
def test_no_explanation_contains_a_credential(code: str, message: str) -> None:
    assert "EXAMPLE" not in explain(refused(code, message))


def test_a_failed_upload_is_explained_in_boto3s_words() -> None:
    assert "Failed to upload list.jsonl" in explain(S3UploadFailedError("Failed to upload list.jsonl: Access Denied"))
