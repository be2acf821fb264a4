"""The console's errors and exit codes, and explanations of AWS's errors that say what to do.

No explanation contains a secret: if AWS quotes the request (a signature that does not match), its words are left out.
From all others, anything that looks like a credential is removed.
"""

from __future__ import annotations

import re
from enum import IntEnum

from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore
from botocore.exceptions import BotoCoreError, ClientError

from titlecard.domain.errors import excerpt

AwsError = BotoCoreError | ClientError | Boto3Error
AWS_ERRORS = (BotoCoreError, ClientError, Boto3Error)
"""The exceptions that boto3 raises."""


class ExitCode(IntEnum):
    """The exit code of a command."""

    FAILED = 1
    """Something went wrong."""

    BAD_USAGE = 2
    """The command's arguments cannot be used, or a file is not a manifest."""

    UNFINISHED = 3
    """Some videos are dead, waiting or rejected, or a check found something; each command's help says which."""

    INTERRUPTED = 130
    """The person pressed Ctrl-C; 128 plus the signal's number, as in shells."""


class ConsoleError(Exception):
    """A command failed; the message is a sentence for the person who ran it."""


class CommandError(ConsoleError):
    """The command cannot run as given; the message says why, and what to do."""


class CloudError(ConsoleError):
    """The local cloud cannot be built, does not start, or has stopped; the message says why and where its log is."""


class UsageUnavailable(ConsoleError):
    """OpenAI's usage API does not answer, or its response has an unknown form."""


_SIGN_IN = "Sign in (`aws sso login`, `aws configure`), or set AWS_PROFILE to a profile that is signed in."

_REGION = "Set AWS_REGION to the stack's region, or give --stack the stack's ARN."

_BY_TYPE: dict[type[BotoCoreError], str] = {
    botocore.NoCredentialsError: "There are no AWS credentials. {sign_in}",
    botocore.PartialCredentialsError: "There are no AWS credentials. {sign_in}",
    botocore.ProfileNotFound: "{words}. Set AWS_PROFILE to one of those that `aws configure list-profiles` shows.",
    botocore.NoRegionError: f"No AWS region is set. {_REGION}",
    botocore.InvalidRegionError: f"{{words}}. {_REGION}",
    **dict.fromkeys(
        (
            botocore.SSOError,
            botocore.TokenRetrievalError,
            botocore.CredentialRetrievalError,
            botocore.LoginError,
            botocore.NoAuthTokenError,
        ),
        "The AWS credentials have expired or cannot be read ({words}). {sign_in}",
    ),
    **dict.fromkeys(
        (botocore.HTTPClientError, botocore.ConnectionError),
        "AWS cannot be reached ({words}). Check the connection, AWS_REGION, HTTPS_PROXY and AWS_ENDPOINT_URL.",
    ),
}
"""Explanations of the errors that boto3 raises on this machine, before a service answers."""

_BY_CODE = {
    "ExpiredToken ExpiredTokenException RequestExpired": "The AWS credentials have expired. {sign_in}",
    "InvalidClientTokenId UnrecognizedClientException InvalidAccessKeyId": (
        "AWS does not know these credentials. {sign_in}"
    ),
    "SignatureDoesNotMatch InvalidSignatureException IncompleteSignature": (
        "AWS refuses these credentials: the secret key does not belong to the access key. {sign_in}"
    ),
    "RequestTimeTooSkewed RequestInTheFuture": "AWS refuses the request because of its time: set this machine's clock.",
    "Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException SlowDown OverLimit "
    "TooManyRequestsException RequestLimitExceeded ProvisionedThroughputExceededException LimitExceededException": (
        "AWS is throttling {asked}. Wait a minute and run the same command again: it continues where it stopped."
    ),
    "ResourceNotFoundException NoSuchBucket QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue": (
        "A part of the stack has been deleted ({asked}: {words}). Deploy the stack again."
    ),
    "PermanentRedirect AuthorizationHeaderMalformed": (
        "The stack is in another region ({asked}). Set AWS_REGION to it."
    ),
}
"""Explanations of a service's errors, by error codes."""

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"})
_PERFORM = re.compile(
    r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w-]+:[\w*]+)(?: on resource: (?P<what>\S+))?"
)
_CREDENTIAL = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b|(?i:security-token|credential|signature|secret)=\S+|(?<=://)[^/\s@]+@"
)


def explain(error: AwsError) -> str:
    """Say in a sentence or two what is wrong and what to do."""
    words = _own_words(error)
    if not isinstance(error, ClientError):
        sentence = next((it for kind, it in _BY_TYPE.items() if isinstance(error, kind)), _UNKNOWN)
        return sentence.format(words=words, sign_in=_SIGN_IN)
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _DENIED:
        return _denied(error)
    sentence = next((it for codes, it in _BY_CODE.items() if code in codes.split()), _UNKNOWN)
    return sentence.format(words=words, sign_in=_SIGN_IN, asked=error.operation_name)


_UNKNOWN = "The stack gave an unexpected answer: {words}"


def _denied(error: ClientError) -> str:
    found = _PERFORM.search(str(error))
    action = found["action"] if found else error.operation_name
    who = found["who"] if found and found["who"] else "the owner of these credentials"
    what = f" on {found['what']}" if found and found["what"] else ""
    return (
        f"No permission: {who} may not do {action}{what}. The policy in the stack's output OperatorPolicy allows "
        "everything that these commands do: have it attached, or set AWS_PROFILE to a profile that has it."
    )


def _own_words(error: AwsError) -> str:
    """Return the error's own message, without credentials."""
    return excerpt(_CREDENTIAL.sub("[credential]", str(error))).rstrip(".")
