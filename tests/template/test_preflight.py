"""The checks of the deployment's numbers: the shipped numbers agree, and a clash is refused."""

from __future__ import annotations

import json
import urllib.request
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from preflight.app import handler
from titlecard.preflight import LEAST_RECEIVES, VISIBILITY_PER_TIMEOUT, build_violations, violations
from titlecard_console.errors import CommandError
from titlecard_console.local_cloud import template

if TYPE_CHECKING:
    from pathlib import Path

NOT_PARAMETERS = {"ServiceToken", "ServiceTimeout", "Artefact"}
SHIPPED = template.load()
VALUES = SHIPPED.values({})
NUMBERS = {name: int(VALUES[name]) for name, it in SHIPPED.parameters.items() if it.number}


# ------------------------------------------------------------------------ invariant 7, on the template as it is shipped


def test_the_visibility_timeout_is_six_parser_timeouts_and_the_batching_window() -> None:
    timeouts = VISIBILITY_PER_TIMEOUT * NUMBERS["ParserTimeoutSeconds"]
    assert NUMBERS["VisibilitySeconds"] >= timeouts + NUMBERS["BatchingWindowSeconds"]


def test_the_visibility_timeout_is_six_function_timeouts() -> None:
    assert NUMBERS["IngestVisibilitySeconds"] >= VISIBILITY_PER_TIMEOUT * NUMBERS["IngestTimeoutSeconds"]


def test_a_request_and_its_settling_fit_into_the_timeout() -> None:
    taken = NUMBERS["RequestDeadlineSeconds"] + NUMBERS["SettleMarginSeconds"]
    assert NUMBERS["ParserTimeoutSeconds"] > taken


@pytest.mark.parametrize("receives", ["MaxReceiveCount", "IngestMaxReceiveCount"])
def test_a_message_may_be_received_five_times(receives: str) -> None:
    assert NUMBERS[receives] >= LEAST_RECEIVES


def test_a_message_may_be_received_more_often_than_it_may_be_paid_for() -> None:
    assert NUMBERS["MaxReceiveCount"] > NUMBERS["AttemptCap"]


def test_dead_letters_outlive_the_queue_by_days() -> None:
    assert NUMBERS["DeadLetterRetentionSeconds"] == 14 * 86400
    assert NUMBERS["DeadLetterRetentionSeconds"] > NUMBERS["RetentionSeconds"]


@pytest.mark.parametrize(
    ("function", "event", "parameter"),
    [("IngestFunction", "Upload", "IngestMaxConcurrency"), ("ParserFunction", "Video", "MaxConcurrency")],
)
def test_the_event_source_bounds_the_concurrency_and_the_function_does_not(
    function: str, event: str, parameter: str
) -> None:
    properties = SHIPPED.resources("AWS::Serverless::Function")[function]
    scaling = properties["Events"][event]["Properties"]["ScalingConfig"]
    assert (scaling, "ReservedConcurrentExecutions" in properties) == (
        {"MaximumConcurrency": {"Ref": parameter}},
        False,
    )


# --------------------------------------------------------------------------------------------- what is refused, and how


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"VisibilitySeconds": "540"}, r"VisibilitySeconds \(540\) is below 6 x ParserTimeoutSeconds \(90\) \+ Batch"),
        ({"ParserTimeoutSeconds": "300"}, r"VisibilitySeconds \(720\) is below"),
        ({"BatchingWindowSeconds": "181"}, r"VisibilitySeconds \(720\) is below .* make it 721 or more"),
        ({"IngestVisibilitySeconds": "5399"}, r"IngestVisibilitySeconds \(5399\) is below 6 x IngestTimeoutSeconds"),
        ({"ParserTimeoutSeconds": "40"}, r"ParserTimeoutSeconds \(40\) is not above RequestDeadlineSeconds \(30\)"),
        ({"RequestDeadlineSeconds": "80"}, r"ParserTimeoutSeconds \(90\) is not above"),
        ({"SettleMarginSeconds": "60"}, r"ParserTimeoutSeconds \(90\) is not above"),
        ({"ServiceTier": "flex"}, r"RequestDeadlineSeconds \(30\) is below 600, too short for ServiceTier flex"),
        ({"OpenAIBaseUrl": "https://key@gateway.example/v1"}, "prices at gateway.example are not known"),
        ({"OpenAIBaseUrl": "http://eu.api.openai.com/v1"}, "would send the projects' keys unencrypted"),
        ({"Model": "gpt-99"}, r"model 'gpt-99' has no price, so .* Models with a price: .*gpt-6-luna"),
        (
            {"Model": "gpt-5.4-nano", "ServiceTier": "priority"},
            "model 'gpt-5.4-nano' has no price in the service tier 'priority', only in: default, flex",
        ),
        ({"BatchMicroUsdLimit": "1000000000000001"}, "BatchMicroUsdLimit cannot be .*: it is 1000000000000000 or less"),
        ({"PriceFactor": "cheap"}, "PriceFactor cannot be 'cheap': it must match"),
        ({"AttemptCap": "6"}, r"MaxReceiveCount \(6\) is not above AttemptCap \(6\)"),
        ({"RetentionSeconds": "1209600"}, r"DeadLetterRetentionSeconds \(1209600\) is not above RetentionSeconds"),
        ({"DeadLetterRetentionSeconds": "3600"}, r"DeadLetterRetentionSeconds \(3600\) is not above"),
        (
            {"RetentionSeconds": "3600", "OldestMessageAlarmSeconds": "60", "IngestMaxReceiveCount": "5"},
            r"RetentionSeconds \(3600\) is not above MaxReceiveCount \(6\) x VisibilitySeconds \(720\)",
        ),
        (
            {"RetentionSeconds": "27000"},
            r"RetentionSeconds \(27000\) is not above IngestMaxReceiveCount \(5\) x IngestVisibilitySeconds \(5400\)",
        ),
        (
            {"AuditAfterSeconds": "60", "AuditRounds": "1"},
            r"AuditRounds \(1\) x AuditAfterSeconds \(60\) is below MaxReceiveCount .* AuditAfterSeconds 4320 or more",
        ),
        ({"RetryBackoffSeconds": "721"}, r"RetryBackoffSeconds \(721\) is above VisibilitySeconds \(720\)"),
        ({"RowMaxBytes": "196609"}, r"RowMaxBytes cannot be 196609: it is 196608 or less"),
        (
            {"ManifestMaxBytes": "1073741824", "IngestTimeoutSeconds": "300"},
            r"ManifestMaxBytes \(1073741824\) is more than",
        ),
        (
            {"FunctionMemory": "256", "IngestTimeoutSeconds": "511"},
            r"ManifestMaxBytes \(268435456\) is more than .* \(511\) with FunctionMemory \(256\): make it 267911168 ",
        ),
        (
            {"ManifestMaxBytes": "1073741824", "FunctionMemory": "10240", "IngestTimeoutSeconds": "296"},
            r"with FunctionMemory \(10240\): make it 1072381952 or less",
        ),
        (
            {"NoncurrentVersionDays": "5", "AuditAfterSeconds": "21600"},
            r"NoncurrentVersionDays \(5\) is not above RetentionSeconds \(345600\) .* make it 6 or more",
        ),
        (
            {"OldestMessageAlarmSeconds": "345600"},
            r"OldestMessageAlarmSeconds \(345600\) is not below RetentionSeconds",
        ),
        (
            {"DeadLetterAgeAlarmSeconds": "864000"},
            r"DeadLetterAgeAlarmSeconds \(864000\) is not below .* less than 864000",
        ),
        (
            {"MaxConcurrency": "7"},
            r"MaxConcurrency \(7\) \+ IngestMaxConcurrency \(2\) \+ 2 is above AccountConcurrency \(10\)",
        ),
        ({"MaxReceiveCount": "4"}, r"MaxReceiveCount cannot be 4: it is 5 or more"),
        ({"IngestMaxReceiveCount": "4"}, r"IngestMaxReceiveCount cannot be 4: it is 5 or more"),
        ({"MaxConcurrency": "1"}, r"MaxConcurrency cannot be 1: it is 2 or more"),
        ({"ParserTimeoutSeconds": "901"}, r"ParserTimeoutSeconds cannot be 901: it is 900 or less"),
        ({"ParserTimeoutSeconds": "a minute"}, r"ParserTimeoutSeconds cannot be 'a minute': it is a whole number"),
        ({"TierPolicy": "best"}, r"TierPolicy cannot be 'best': it is one of auto, local, model"),
        ({"AlarmEmail": "nobody"}, r"AlarmEmail cannot be 'nobody': it must match"),
        ({"Visibility": "600"}, r"no parameter 'Visibility'; similar names are VisibilitySeconds"),
        ({"maxconcurrency": "3"}, r"no parameter 'maxconcurrency'; similar names are MaxConcurrency"),
    ],
)
def test_an_invalid_parameter_is_refused_with_a_sentence(overrides: dict[str, str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        SHIPPED.values(overrides)


@pytest.mark.parametrize(
    "numbers",
    [
        {"RetryBackoffSeconds": "720"},
        {"IngestTimeoutSeconds": "128"},
        {"NoncurrentVersionDays": "5", "AuditAfterSeconds": "21599"},
        {"MaxConcurrency": "6"},
    ],
)
def test_numbers_that_just_agree_are_accepted(numbers: dict[str, str]) -> None:
    assert SHIPPED.values(numbers).items() >= numbers.items()


def test_every_clash_is_reported_at_once() -> None:
    with pytest.raises(CommandError, match=r"VisibilitySeconds .* AttemptCap"):
        SHIPPED.values({"VisibilitySeconds": "1", "AttemptCap": "20"})


def test_flex_with_a_deadline_of_ten_minutes_is_accepted() -> None:
    flex = {"ServiceTier": "flex", "RequestDeadlineSeconds": "600", "ParserTimeoutSeconds": "700"}
    flex |= {"VisibilitySeconds": "4201", "AuditAfterSeconds": "8402"}
    assert SHIPPED.values(flex)["ServiceTier"] == "flex"


@pytest.mark.parametrize("factor", ["0", "1", "1.1"])
def test_a_host_whose_price_factor_the_owner_states_is_accepted(factor: str) -> None:
    chosen = {"OpenAIBaseUrl": "https://gateway.example/v1", "PriceFactor": factor}
    assert SHIPPED.values(chosen)["PriceFactor"] == factor


def test_short_valid_timeouts_are_accepted() -> None:
    seconds = {"ParserTimeoutSeconds": "3", "RequestDeadlineSeconds": "1", "SettleMarginSeconds": "1"}
    seconds |= {"RetryBackoffSeconds": "1"}
    assert SHIPPED.values(seconds | {"VisibilitySeconds": "19"})["VisibilitySeconds"] == "19"


def test_the_stack_is_given_every_parameter_that_a_check_needs() -> None:
    """`sam deploy` checks the same relations as the console, and that numbers without a range of words are whole."""
    (checked,) = SHIPPED.resources("AWS::CloudFormation::CustomResource").values()
    given = {name: value for name, value in checked.items() if name not in NOT_PARAMETERS}
    assert given == {name: {"Ref": name} for name in given}
    assert violations({name: VALUES[name] for name in given}) == []  # an exception would name a missing one
    assert {name for name in NUMBERS if name not in given} == {"LogRetentionDays"}


ALONE = {
    "MaxOutputTokens": "bounds one request alone",
    "BatchRequestLimit": "a limit below one request defers every row, which is allowed",
    "BatchTokenLimit": "likewise",
    "BatchMicroUsdLimit": "likewise",
    "RowMaxBytes": "its range keeps a row within an item of the catalog",
    "ManifestMaxRatio": "bounds one gzipped file alone",
    "SurveySampleRows": "more rows than a manifest has are all of its rows",
    "BreakerThreshold": "counts over all videos of a project",
    "IngestContinuations": "the audit continues where they end",
    "SweeperLimit": "the rest is requeued a minute later",
    "LogRetentionDays": "nothing reads the logs but people",
}
"""The numbers without a relation to others, each with the reason."""


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_in_a_relation_or_has_a_reason_to_be_in_none(name: str) -> None:
    others = {other: value for other, value in VALUES.items() if other != name}
    if name in ALONE:
        assert violations(others) == []
    else:
        with pytest.raises((AttributeError, KeyError), match=name):
            violations(others)


@pytest.mark.parametrize("value", ["2.5", "1e3", "5E6", "-1", "+3", "7."])
@pytest.mark.parametrize("name", ["AttemptCap", "BatchTokenLimit"])
def test_a_number_that_cloudformation_accepts_and_the_functions_do_not_is_refused(name: str, value: str) -> None:
    assert violations({**VALUES, name: value}) == [
        f"{name} cannot be {value}: make it a whole number without a sign or an exponent."
    ]


@pytest.mark.parametrize(
    ("request_type", "status", "reason"),
    [
        ("Create", "FAILED", "The numbers could not be checked: KeyError: 'Model'."),
        ("Delete", "SUCCESS", "The numbers agree."),
    ],
)
def test_cloudformation_gets_an_answer_whatever_the_check_meets(
    monkeypatch: pytest.MonkeyPatch, request_type: str, status: str, reason: str
) -> None:
    answers: list[urllib.request.Request] = []

    def opened(request: urllib.request.Request, timeout: float) -> nullcontext[None]:
        assert timeout > 0
        answers.append(request)
        return nullcontext()

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    about = dict.fromkeys(("StackId", "RequestId", "LogicalResourceId"), "x")
    url = "https://cloudformation.example/answer"
    handler({**about, "RequestType": request_type, "ResponseURL": url, "ResourceProperties": {}}, None)
    (answer,) = answers
    assert isinstance(answer.data, bytes)
    said = json.loads(answer.data)
    assert (answer.full_url, said["Status"], said["Reason"]) == (url, status, reason)


# ------------------------------------------------------------------------------------------------- what was built


def built(tmp_path: Path, content: str) -> Path:
    file = tmp_path / "built.json"
    file.write_text(content, encoding="utf-8")
    return file


def test_an_artefact_for_the_stacks_machine_is_accepted(tmp_path: Path) -> None:
    record = built(tmp_path, '{"runtime": "python3.13", "architecture": "arm64"}')
    assert build_violations("python3.13", "arm64", record) == []


@pytest.mark.parametrize(("runtime", "architecture"), [("python3.12", "arm64"), ("python3.13", "x86_64")])
def test_an_artefact_for_another_machine_is_refused(tmp_path: Path, runtime: str, architecture: str) -> None:
    record = built(tmp_path, '{"runtime": "python3.13", "architecture": "arm64"}')
    (sentence,) = build_violations(runtime, architecture, record)
    assert "built for python3.13 on arm64" in sentence
    assert f"the stack runs {runtime} on {architecture}" in sentence


def test_an_artefact_that_does_not_say_what_it_was_built_for_is_refused(tmp_path: Path) -> None:
    (sentence,) = build_violations("python3.13", "arm64", tmp_path / "missing.json")
    assert "sam build" in sentence
