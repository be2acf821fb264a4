"""A stack in AWS: how it is found, and the addresses of its resources that a person can open."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from titlecard_console.errors import CommandError
from titlecard_console.stacks import OUTPUTS, find, log_address

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_a_log_groups_address_opens_in_the_aws_console() -> None:
    assert log_address("/aws/lambda/titlecard-Parser", "eu-west-1", "aws", AT, AT) == (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/"
        "$252Faws$252Flambda$252Ftitlecard-Parser/log-events$3Fstart$3D1767614400000$26end$3D1767614400000"
    )


@pytest.mark.parametrize(
    ("partition", "host"), [("aws-cn", "console.amazonaws.cn"), ("aws-us-gov", "console.amazonaws-us-gov.com")]
)
def test_other_partitions_have_a_console_of_their_own(partition: str, host: str) -> None:
    assert f".{host}/cloudwatch" in log_address("parser", "cn-north-1", partition, AT, AT)


class Formation:
    """CloudFormation, with one stack."""

    def __init__(self, status: str) -> None:
        outputs = [{"OutputKey": name, "OutputValue": name} for name in OUTPUTS]
        parameters = [{"ParameterKey": "Model", "ParameterValue": "gpt-6-luna"}]
        self._stack = {
            "StackName": "titlecard",
            "StackStatus": status,
            "Outputs": outputs,
            "Parameters": parameters,
        }

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """Return the stack."""
        assert StackName == "titlecard"
        return {"Stacks": [self._stack]}


@pytest.mark.parametrize(
    ("status", "warned"),
    [
        ("CREATE_COMPLETE", False),
        ("UPDATE_IN_PROGRESS", False),
        ("DELETE_IN_PROGRESS", True),
        ("DELETE_FAILED", True),
        ("DELETE_COMPLETE", True),
    ],
)
def test_the_commands_of_a_deleted_stack_run_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: str, *, warned: bool
) -> None:
    monkeypatch.setattr(boto3.Session, "client", lambda *_, **__: Formation(status))
    assert find("titlecard", Path()).outputs["CatalogTable"]
    assert ("uploads to it are not processed" in " ".join(capsys.readouterr().err.split())) == warned


def test_a_parameter_that_an_older_stack_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3.Session, "client", lambda *_, **__: Formation("CREATE_COMPLETE"))
    parameters = find("titlecard", Path()).parameters
    assert parameters["Model"] == "gpt-6-luna"
    assert parameters.get("RowMaxBytes") is None
    with pytest.raises(CommandError, match=r"no parameter RowMaxBytes: an older version of Titlecard deployed it"):
        parameters["RowMaxBytes"]
