"""The addresses of a stack's resources that a person can open."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from titlecard_console.stacks import log_address

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
