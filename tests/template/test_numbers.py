"""The deployment's numbers: the shipped ones agree, and a combination that breaks a relation is refused."""

from __future__ import annotations

import pytest

from titlecard.preflight import LEAST_RECEIVES, VISIBILITY_PER_TIMEOUT, violations
from titlecard_console.local_cloud import template

SHIPPED = template.load()
VALUES = SHIPPED.values({})
NUMBERS = {name: int(VALUES[name]) for name, it in SHIPPED.parameters.items() if it.number}


# ------------------------------------------------------------------------ invariant 7, on the template as it is shipped


def test_a_video_is_hidden_for_six_time_outs_and_the_batching_window() -> None:
    timeouts = VISIBILITY_PER_TIMEOUT * NUMBERS["ParserTimeoutSeconds"]
    assert NUMBERS["VisibilitySeconds"] >= timeouts + NUMBERS["BatchingWindowSeconds"]


def test_an_upload_is_hidden_for_six_time_outs() -> None:
    assert NUMBERS["IngestVisibilitySeconds"] >= VISIBILITY_PER_TIMEOUT * NUMBERS["IngestTimeoutSeconds"]


def test_a_request_and_its_settling_fit_into_the_time_out() -> None:
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
        ({"ParserTimeoutSeconds": "300"}, r"VisibilitySeconds \(600\) is below"),
        ({"BatchingWindowSeconds": "61"}, r"VisibilitySeconds \(600\) is below .* make it 601 or more"),
        ({"IngestVisibilitySeconds": "5399"}, r"IngestVisibilitySeconds \(5399\) is below 6 x IngestTimeoutSeconds"),
        ({"ParserTimeoutSeconds": "40"}, r"ParserTimeoutSeconds \(40\) is not above RequestDeadlineSeconds \(30\)"),
        ({"RequestDeadlineSeconds": "80"}, r"ParserTimeoutSeconds \(90\) is not above"),
        ({"SettleMarginSeconds": "60"}, r"ParserTimeoutSeconds \(90\) is not above"),
        ({"AttemptCap": "6"}, r"MaxReceiveCount \(6\) is not above AttemptCap \(6\)"),
        ({"RetentionSeconds": "1209600"}, r"DeadLetterRetentionSeconds \(1209600\) is not above RetentionSeconds"),
        ({"DeadLetterRetentionSeconds": "3600"}, r"DeadLetterRetentionSeconds \(3600\) is not above"),
        ({"MaxReceiveCount": "4"}, r"MaxReceiveCount cannot be 4: it is 5 or more"),
        ({"IngestMaxReceiveCount": "4"}, r"IngestMaxReceiveCount cannot be 4: it is 5 or more"),
        ({"MaxConcurrency": "1"}, r"MaxConcurrency cannot be 1: it is 2 or more"),
        ({"ParserTimeoutSeconds": "901"}, r"ParserTimeoutSeconds cannot be 901: it is 900 or less"),
        ({"ParserTimeoutSeconds": "a minute"}, r"ParserTimeoutSeconds cannot be 'a minute': it is a whole number"),
        ({"TierPolicy": "best"}, r"TierPolicy cannot be 'best': it is one of auto, local, model"),
        ({"AlarmEmail": "nobody"}, r"AlarmEmail cannot be 'nobody': it must match"),
        ({"Visibility": "600"}, r"no parameter 'Visibility'; near it are VisibilitySeconds"),
        ({"maxconcurrency": "3"}, r"no parameter 'maxconcurrency'; near it are MaxConcurrency"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_with_a_sentence(overrides: dict[str, str], sentence: str) -> None:
    with pytest.raises(template.BadParameterError, match=sentence):
        SHIPPED.values(overrides)


def test_every_clash_is_told_at_once() -> None:
    with pytest.raises(template.BadParameterError, match=r"VisibilitySeconds .* AttemptCap"):
        SHIPPED.values({"VisibilitySeconds": "1", "AttemptCap": "20"})


def test_seconds_that_agree_are_taken_for_tests_that_kill() -> None:
    seconds = {"ParserTimeoutSeconds": "3", "RequestDeadlineSeconds": "1", "SettleMarginSeconds": "1"}
    assert SHIPPED.values(seconds | {"VisibilitySeconds": "19"})["VisibilitySeconds"] == "19"


def test_the_stack_is_given_every_number_that_a_relation_needs() -> None:
    """What `sam deploy` refuses with is held against the same relations as what the console refuses with."""
    (checked,) = SHIPPED.resources("AWS::CloudFormation::CustomResource").values()
    given = {name: value for name, value in checked.items() if name not in {"ServiceToken", "ServiceTimeout"}}
    assert given == {name: {"Ref": name} for name in given}
    assert violations({name: NUMBERS[name] for name in given}) == []  # a KeyError would name the one that is missing
