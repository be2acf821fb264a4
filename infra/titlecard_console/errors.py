"""What AWS complains of, as a sentence that says what to do.

No sentence holds a secret: where AWS quotes the request (a signature that does not match), its words are left out, and
what looks like a credential is taken out of all others.
"""

from __future__ import annotations

import re

from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore
from botocore.exceptions import BotoCoreError, ClientError

from titlecard.domain.errors import excerpt

Complaint = BotoCoreError | ClientError | Boto3Error
COMPLAINTS = (BotoCoreError, ClientError, Boto3Error)
"""What boto3 raises."""

_SIGN_IN = "Sign in (`aws sso login`, `aws configure`), or set AWS_PROFILE to a profile that is signed in."

_OF_THIS_SIDE: tuple[tuple[tuple[type[BotoCoreError], ...], str], ...] = (
    ((botocore.NoCredentialsError, botocore.PartialCredentialsError), "There are no AWS credentials. {sign_in}"),
    ((botocore.ProfileNotFound,), "{said}. Set AWS_PROFILE to one that `aws configure list-profiles` shows."),
    ((botocore.NoRegionError,), "No AWS region is set. Set AWS_REGION to the stack's, or give --stack its ARN."),
    ((botocore.InvalidRegionError,), "{said}. Set AWS_REGION to the stack's, or give --stack its ARN."),
    (
        (
            botocore.SSOError,
            botocore.TokenRetrievalError,
            botocore.CredentialRetrievalError,
            botocore.LoginError,
            botocore.NoAuthTokenError,
        ),
        "The AWS credentials have expired or cannot be read ({said}). {sign_in}",
    ),
    (
        (botocore.HTTPClientError, botocore.ConnectionError, botocore.EndpointConnectionError),
        "AWS cannot be reached ({said}). Are the connection, AWS_REGION, HTTPS_PROXY and AWS_ENDPOINT_URL right?",
    ),
)
"""What boto3 finds before a service answers."""

_OF_A_SERVICE: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"}),
        "The AWS credentials have expired. {sign_in}",
    ),
    (
        frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}),
        "AWS does not know these credentials. {sign_in}",
    ),
    (
        frozenset({"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"}),
        "AWS refuses these credentials: the secret key is not the one of the access key. {sign_in}",
    ),
    (
        frozenset({"RequestTimeTooSkewed", "RequestInTheFuture"}),
        "AWS refuses the request for its time: set this machine's clock right.",
    ),
    (
        frozenset(
            {
                *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "SlowDown"),
                *("RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "OverLimit"),
                *("ProvisionedThroughputExceededException", "LimitExceededException"),
            }
        ),
        "AWS is throttling {asked}. Wait a minute and run the same command again: it goes on from where it was.",
    ),
    (
        frozenset(
            {
                *("ResourceNotFoundException", "NoSuchBucket", "QueueDoesNotExist"),
                "AWS.SimpleQueueService.NonExistentQueue",
            }
        ),
        "A part of the stack is not there any more ({asked}: {said}). Deploy the stack again.",
    ),
    (
        frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed"}),
        "That is in another region ({asked}). Set AWS_REGION to the stack's.",
    ),
)
"""What a service answers, by its code."""

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"})
_PERFORM = re.compile(
    r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w-]+:[\w*]+)(?: on resource: (?P<what>\S+))?"
)
_CREDENTIAL = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b|(?i:security-token|credential|signature|secret)=\S+|(?<=://)[^/\s@]+@"
)


def explain(fault: Complaint) -> str:
    """One sentence or two for the person in front: what is wrong, and what to do."""
    said = _said(fault)
    if not isinstance(fault, ClientError):
        sentence = next((it for kinds, it in _OF_THIS_SIDE if isinstance(fault, kinds)), _UNKNOWN)
        return sentence.format(said=said, sign_in=_SIGN_IN)
    code = str(fault.response.get("Error", {}).get("Code", ""))
    if code in _DENIED:
        return _denied(fault)
    sentence = next((it for codes, it in _OF_A_SERVICE if code in codes), _UNKNOWN)
    return sentence.format(said=said, sign_in=_SIGN_IN, asked=fault.operation_name)


_UNKNOWN = "The stack does not answer as it should: {said}"


def _denied(fault: ClientError) -> str:
    found = _PERFORM.search(str(fault))
    action = found["action"] if found else fault.operation_name
    who = found["who"] if found and found["who"] else "whoever these credentials are of"
    what = f" on {found['what']}" if found and found["what"] else ""
    return (
        f"No permission: {who} may not do {action}{what}. The policy in the stack's output OperatorPolicy allows all "
        "that these commands do: have it attached, or set AWS_PROFILE to a profile that has it."
    )


def _said(fault: Complaint) -> str:
    """The fault's own words, without credentials."""
    return excerpt(_CREDENTIAL.sub("[credential]", str(fault))).rstrip(".")
