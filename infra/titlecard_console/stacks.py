"""The stack that a command works on: one in AWS (`--stack NAME`), or the local cloud of a state folder.

Both look the same to a command: outputs and parameters come from CloudFormation, clients from boto3. boto3 finds AWS in
its usual ways: profiles, regions, single sign-on and `AWS_ENDPOINT_URL` work.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from titlecard import __version__
from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.bootstrap import AwsClients, Stores
from titlecard.domain.batch import UPLOADS, Upload
from titlecard.pipeline.batch_limits import LIMIT_METADATA
from titlecard_console.errors import CommandError
from titlecard_console.local_cloud import cloud
from titlecard_console.output import say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from titlecard.aws.dynamodb.ledger import Ledger
    from titlecard.domain.money import Total

OUTPUTS = (
    *("UploadsBucket", "IngestQueueUrl", "IngestDeadLetterQueueUrl", "WorkQueueUrl", "WorkDeadLetterQueueUrl"),
    *("CatalogTable", "LedgerTable", "IngestFunction", "ParserFunction", "SweeperFunction"),
)
"""The outputs that identify a Titlecard stack."""

UPLOAD_METADATA = "upload"
"""The user-defined object metadata by which a command recognises its upload."""

VERSIONED = "Enabled"
"""S3's name for the state of a bucket that keeps versions."""

CONSOLES = {"aws": "aws.amazon.com", "aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}
"""The domain of the AWS console, by partition."""


class Stack(Protocol):
    """A deployed stack: one in AWS, or the local cloud."""

    @property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of template.yaml."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameters that template.yaml was deployed with."""

    def client(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- a client's type depends on the name
        """Return a boto3 client for the stack; `config` goes to botocore's `Config`."""

    def log(self, function: str, start: datetime, end: datetime) -> str:
        """Return the address or the file of a function's log between two moments; `function` is an output's name."""


def find(stack: str | None, state: Path) -> Stack:
    """Find the stack of a command.

    Args:
        stack: its name or ARN in AWS; None means the local cloud.
        state: the folder of the local cloud.

    Raises:
        CommandError: there is no such stack, it is not Titlecard's, or no local cloud is running.
    """
    if stack is not None:
        if not stack.strip():  # an unset variable in a script; CloudFormation would take it for any stack
            raise CommandError(
                "--stack is empty: give the name or the ARN of a stack, or leave the option out for the local cloud."
            )
        return _AwsStack.find(stack, os.environ.get("AWS_REGION"))
    running = cloud.find(state)
    if running is None:
        raise CommandError(
            f"No local cloud is running in {state}: start one with `titlecard up`, or name a stack with --stack."
        )
    return running


class _Parameters(dict[str, str]):
    """The parameters of a stack, which lacks those of later versions of Titlecard."""

    def __missing__(self, name: str) -> NoReturn:
        """Refuse a command that needs a parameter that the stack lacks.

        Raises:
            CommandError: always.
        """
        raise CommandError(
            f"The stack has no parameter {name}: an older version of Titlecard deployed it. Deploy this version, "
            f"{__version__}, to it, or run the command with the stack's version of `titlecard`."
        )


@dataclass(frozen=True)
class _AwsStack:
    """A stack in AWS."""

    session: boto3.Session
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @classmethod
    def find(cls, name: str, region: str | None) -> _AwsStack:
        """Find a stack by name or ARN; an ARN names its own region."""
        parts = name.split(":")
        region = parts[3] if name.startswith("arn:") and len(parts) > 3 else region  # noqa: PLR2004 -- arn:aws:service:region
        session = boto3.Session(region_name=region)
        try:
            formation = session.client("cloudformation", config=_config({}))
            (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's error code for an unknown name
                raise CommandError(
                    f"There is no stack {name!r} in the region {session.region_name}. Set AWS_REGION to its region "
                    "(or give --stack its ARN) and AWS_PROFILE to its account. `aws cloudformation list-stacks` lists "
                    "the stacks."
                ) from error
            raise
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        missing = [output for output in OUTPUTS if output not in outputs]
        if missing:
            raise CommandError(
                f"The stack {name!r} ({stack['StackStatus']}) has no output {missing[0]}: it is not a stack of "
                "Titlecard, or its deployment is not complete."
            )
        if stack["StackStatus"].startswith("DELETE"):  # a pause must still reach the functions that run
            say(
                f"The deletion of the stack {name!r} has begun ({stack['StackStatus']}), so uploads to it are not "
                "processed. Its tables and its bucket are kept; infra/adopt.py gives them to a new stack."
            )
        parameters = {it["ParameterKey"]: it["ParameterValue"] for it in stack.get("Parameters", [])}
        return cls(session, outputs, _Parameters(parameters))

    def client(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- a client's type depends on the name
        return self.session.client(service, config=_config(config))

    def log(self, function: str, start: datetime, end: datetime) -> str:
        configuration = self.client("lambda").get_function_configuration(FunctionName=self.outputs[function])
        partition = self.session.get_partition_for_region(self.session.region_name)
        return log_address(configuration["LoggingConfig"]["LogGroup"], self.session.region_name, partition, start, end)


def stores(stack: Stack) -> Stores:
    """Return the tables and the bucket of a stack."""
    outputs = stack.outputs
    return Stores(_Clients(stack), catalog_table=outputs["CatalogTable"], ledger_table=outputs["LedgerTable"])


def ledger(stack: Stack) -> Ledger:
    """Return the ledger of a stack."""
    return stores(stack).ledger


def upload(stack: Stack, manifest: Path, name: str, limits: Total | None) -> Upload:
    """Put a manifest into a stack's uploads bucket, once.

    boto3 would repeat the call after a lost answer, which makes a second version, and so a second batch that may cost
    as much as the first.

    Args:
        name: the object's key without `UPLOADS`: `<project>/<file name>`. Characters that are not text are replaced.
        limits: the limits of its batch, which go into the object's metadata; None means the stack's.

    Raises:
        CommandError: the bucket keeps no versions; nothing was uploaded.
    """
    bucket, key = stack.outputs["UploadsBucket"], f"{UPLOADS}{name}".encode(errors="replace").decode()
    if (status := versioning(stack)) != VERSIONED:
        raise CommandError(
            f"Nothing was uploaded. Versioning is {status} on {bucket}, so a later upload may overwrite this one "
            f"before its batch is finished. Enable it, then upload again: `{versioning_command(stack)}`."
        )
    metadata = {LIMIT_METADATA[what]: str(most) for what, most in (limits.as_map() if limits else {}).items()}
    metadata[UPLOAD_METADATA] = token = secrets.token_hex(8)
    once = stack.client("s3", retries={"total_max_attempts": 1})
    with manifest.open("rb") as body:
        try:
            version = once.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)["VersionId"]
        except (BotoCoreError, ClientError):
            found = _newest_version(stack, bucket, key)
            if found.get("Metadata", {}).get(UPLOAD_METADATA) != token:
                raise
            version = found["VersionId"]
    return Upload(bucket, key, version, order="")


def _newest_version(stack: Stack, bucket: str, key: str) -> Mapping[str, Any]:
    """Return the description of an object's newest version; empty if there is none, or S3 does not answer."""
    try:
        found: Mapping[str, Any] = stack.client("s3").head_object(Bucket=bucket, Key=key)
    except (BotoCoreError, ClientError):
        return {}
    return found


def versioning(stack: Stack) -> str:
    """Return the state of versioning on a stack's uploads bucket: `VERSIONED`, or another in words."""
    bucket = stack.outputs["UploadsBucket"]
    return str(stack.client("s3").get_bucket_versioning(Bucket=bucket).get("Status", "never enabled"))


def versioning_command(stack: Stack) -> str:
    """Return the command that enables versioning on a stack's uploads bucket."""
    bucket = stack.outputs["UploadsBucket"]
    return f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"


def caller(stack: Stack) -> str:
    """Return the person who runs the command, as AWS knows them: an ARN."""
    return str(stack.client("sts").get_caller_identity()["Arn"])


class _Clients(AwsClients):
    """The clients of a stack; the ledger's client tries each call once, as in the functions."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(cast("boto3.Session", stack))
        self._stack = stack

    @cached_property
    def catalog(self) -> Any:  # noqa: ANN401 -- a client of boto3
        return convert_values(self._stack.client("dynamodb", parameter_validation=False))

    @cached_property
    def s3(self) -> Any:  # noqa: ANN401 -- as above
        return self._stack.client("s3")

    @cached_property
    def ledger(self) -> Any:  # noqa: ANN401 -- as above
        return convert_values(self._stack.client("dynamodb", retries={"total_max_attempts": 1}, read_timeout=30))


def log_address(group: str, region: str, partition: str, start: datetime, end: datetime) -> str:
    """Return the address of a log group's page in the CloudWatch console, which writes `$` for an encoded `%`."""
    named = quote(quote(group, safe=""), safe="").replace("%", "$")
    times = f"$3Fstart$3D{_milliseconds(start)}$26end$3D{_milliseconds(end)}"
    page = f"https://{region}.console.{CONSOLES.get(partition, CONSOLES['aws'])}/cloudwatch/home?region={region}"
    return f"{page}#logsV2:log-groups/log-group/{named}/log-events{times}"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _config(config: Mapping[str, Any]) -> Config:
    """Return a configuration with more retries than the functions have, because a person waits for the answer."""
    settings: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": 5}, "connect_timeout": 10}
    return Config(**settings | dict(config))
