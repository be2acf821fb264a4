"""Which stack a command is about: one in AWS (`--stack NAME`), or the local cloud that is running on a state folder.

Both are the same to a command: outputs and parameters come from CloudFormation, clients from boto3. A stack in AWS is
reached as every tool reaches it: profiles, regions, single sign-on and `AWS_ENDPOINT_URL` are boto3's business.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import quote

import boto3
import typer
from botocore.config import Config
from botocore.exceptions import ClientError

from titlecard_console.local_cloud import cloud, deploy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

STATE = Path(".titlecard")

StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="A stack in AWS, by name or ARN; without it, the local cloud. AWS_PROFILE and AWS_REGION are honoured.",
    ),
]
State = Annotated[Path, typer.Option(help="The local cloud's folder.", file_okay=False)]

OUTPUTS = (
    *("UploadsBucket", "IngestQueueUrl", "IngestDeadLetterQueueUrl", "WorkQueueUrl", "WorkDeadLetterQueueUrl"),
    *("CatalogTable", "LedgerTable", "IngestFunction", "ParserFunction", "SweeperFunction"),
)
"""Outputs that tell a stack of Titlecard's from another."""

CONSOLES = {"aws": "aws.amazon.com", "aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}
"""Where the AWS console is, by partition."""


class CommandError(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


class Stack(Protocol):
    """A deployed stack."""

    @property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of template.yaml."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """What template.yaml was deployed with."""

    def client(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- a client's type depends on the name
        """A boto3 client for it; `config` goes to botocore's `Config`."""

    def resource(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- as for `client`
        """A boto3 resource for it, likewise."""

    def log(self, function: str, start: datetime, end: datetime) -> str:
        """Where a person reads what a function (an output's name) logged in a time: an address, or a file."""


def find(stack: str | None, state: Path) -> Stack:
    """The stack that a command is about.

    Raises:
        CommandError: there is no such stack, it is none of Titlecard's, or no local cloud is running.
    """
    if stack is not None:
        if not stack.strip():  # a script's variable that is not set; CloudFormation would take it for any stack
            raise CommandError(
                "--stack is empty: give it the name or the ARN of a stack, or leave it out for the local cloud."
            )
        return _InAws.found(stack, os.environ.get("AWS_REGION"))
    running = cloud.find(state)
    if running is None:
        raise CommandError(
            f"No cloud is running on {state}: start one with `titlecard up`, or name a stack with --stack."
        )
    return _OnThisMachine(running, state)


class _OnThisMachine:
    """The local cloud."""

    def __init__(self, running: cloud.Cloud, state: Path) -> None:
        self.outputs = running.outputs
        self.client = running.client
        self.resource = running.resource
        self._state = state

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        return _parameters(_described(self.client("cloudformation"), deploy.STACK))

    def log(self, _function: str, _start: datetime, _end: datetime) -> str:
        return str(cloud.State(self._state).logs / "ministack.log")


@dataclass(frozen=True)
class _InAws:
    """A stack in AWS."""

    session: boto3.Session
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @classmethod
    def found(cls, name: str, region: str | None) -> _InAws:
        """Find it by name or ARN; an ARN names its region itself."""
        parts = name.split(":")
        region = parts[3] if name.startswith("arn:") and len(parts) > 3 else region  # noqa: PLR2004 -- arn:aws:service:region
        session = boto3.Session(region_name=region)
        try:
            stack = _described(session.client("cloudformation", config=_config({})), name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":  # what CloudFormation says of an unknown name
                raise CommandError(
                    f"There is no stack {name!r} in the region {session.region_name}. Set AWS_REGION to its region "
                    "(or give --stack its ARN) and AWS_PROFILE to its account; `aws cloudformation list-stacks` lists "
                    "what is there."
                ) from error
            raise
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        missing = [output for output in OUTPUTS if output not in outputs]
        if missing:
            raise CommandError(
                f"The stack {name!r} ({stack['StackStatus']}) has no output {missing[0]}: it is not one of "
                "Titlecard's, or its deployment has not come to its end."
            )
        return cls(session, outputs, _parameters(stack))

    def client(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- a client's type depends on the name
        return self.session.client(service, config=_config(config))

    def resource(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- as for `client`
        return self.session.resource(service, config=_config(config))

    def log(self, function: str, start: datetime, end: datetime) -> str:
        configuration = self.client("lambda").get_function_configuration(FunctionName=self.outputs[function])
        partition = self.session.get_partition_for_region(self.session.region_name)
        return log_address(configuration["LoggingConfig"]["LogGroup"], self.session.region_name, partition, start, end)


def log_address(group: str, region: str, partition: str, start: datetime, end: datetime) -> str:
    """A log group's page in the CloudWatch console, at a time; what is encoded twice has `$` for `%`."""
    named = quote(quote(group, safe=""), safe="").replace("%", "$")
    times = f"$3Fstart$3D{_milliseconds(start)}$26end$3D{_milliseconds(end)}"
    page = f"https://{region}.console.{CONSOLES.get(partition, CONSOLES['aws'])}/cloudwatch/home?region={region}"
    return f"{page}#logsV2:log-groups/log-group/{named}/log-events{times}"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _config(config: Mapping[str, Any]) -> Config:
    """More patient than a function is: a person waits for the answer, and does not want to ask twice."""
    patient: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": 5}, "connect_timeout": 10}
    return Config(**patient | dict(config))


def _described(formation: Any, name: str) -> Mapping[str, Any]:  # noqa: ANN401 -- a client
    (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
    found: Mapping[str, Any] = stack
    return found


def _parameters(stack: Mapping[str, Any]) -> dict[str, str]:
    return {it["ParameterKey"]: it["ParameterValue"] for it in stack.get("Parameters", [])}
