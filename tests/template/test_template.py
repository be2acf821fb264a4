"""The stack's promises about data, rights and settings, checked with CloudFormation's linter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from titlecard.settings import IngestSettings, ParserSettings, SweeperSettings
from titlecard_console.installation import ROOT
from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import template

SHIPPED = template.load()
RESOURCES = SHIPPED.document["Resources"]
FUNCTIONS = SHIPPED.resources("AWS::Serverless::Function")
ROLES = SHIPPED.resources("AWS::IAM::Role")

DOCUMENTS = {name: policy["PolicyDocument"] for name, (policy,) in ((it, ROLES[it]["Policies"]) for it in ROLES)} | {
    name: policy["PolicyDocument"] for name, policy in SHIPPED.resources("AWS::IAM::ManagedPolicy").items()
}
POLICIES: dict[str, list[dict[str, Any]]] = {name: document["Statement"] for name, document in DOCUMENTS.items()}
"""The statements of every policy, by its name or that of its role."""


def test_the_linter_has_nothing_to_say() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(ROOT / "template.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- a tool of ours
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("name", ["UploadsBucket", "CatalogTable", "LedgerTable"])
def test_resources_that_hold_data_of_people_outlive_the_stack(name: str) -> None:
    assert {RESOURCES[name]["DeletionPolicy"], RESOURCES[name]["UpdateReplacePolicy"]} == {"Retain"}


@pytest.mark.parametrize("name", ["CatalogTable", "LedgerTable"])
def test_a_table_can_be_brought_back_and_is_encrypted(name: str) -> None:
    table = RESOURCES[name]["Properties"]
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert table["SSESpecification"]["SSEEnabled"]


def test_the_uploads_are_versioned_and_private() -> None:
    bucket = RESOURCES["UploadsBucket"]["Properties"]
    assert bucket["VersioningConfiguration"]["Status"] == "Enabled"
    assert all(bucket["PublicAccessBlockConfiguration"].values())


@pytest.mark.parametrize("queue", ["IngestQueue", "WorkQueue"])
def test_every_queue_has_dead_letters_and_an_end(queue: str) -> None:
    redrive = RESOURCES[queue]["Properties"]["RedrivePolicy"]
    assert redrive["maxReceiveCount"]["Ref"].endswith("MaxReceiveCount")
    assert redrive["deadLetterTargetArn"]["Fn::GetAtt"][0] == queue.replace("Queue", "DeadLetterQueue")


@pytest.mark.parametrize(("function", "event"), [("IngestFunction", "Upload"), ("ParserFunction", "Video")])
def test_a_batch_may_fail_in_part(function: str, event: str) -> None:
    source = FUNCTIONS[function]["Events"][event]["Properties"]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_allows_anything_or_anywhere(name: str) -> None:
    assert "*" not in [resource for it in POLICIES[name] for resource in _listed(it["Resource"])]
    assert not any(action == "*" or action.endswith(":*") for action in _actions(name))


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_allows_to_change_rights_or_code(name: str) -> None:
    services = {action.partition(":")[0] for action in _actions(name)}
    assert not services & {"iam", "kms", "organizations", "sts"}
    assert {action for action in _actions(name) if action.startswith(("cloudformation:", "lambda:"))} <= {
        "cloudformation:DescribeStacks",
        "lambda:GetFunctionConfiguration",
        "lambda:InvokeFunction",
    }


@pytest.mark.parametrize("name", ROLES)
def test_only_lambda_assumes_a_role(name: str) -> None:
    (statement,) = ROLES[name]["AssumeRolePolicyDocument"]["Statement"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_log_of_a_function_is_kept_for_a_set_time(name: str) -> None:
    log = RESOURCES[FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]]
    assert log["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_setting_of_a_function_is_written_out(name: str) -> None:
    """Every value refers to a parameter or a resource, so none can be a secret that somebody pasted."""
    settings = FUNCTIONS[name].get("Environment", {}).get("Variables", {})
    assert {key for key, value in settings.items() if not isinstance(value, dict)} == set()


@pytest.mark.parametrize(
    ("function", "settings"),
    [("IngestFunction", IngestSettings), ("ParserFunction", ParserSettings), ("SweeperFunction", SweeperSettings)],
)
def test_every_setting_of_a_function_is_set_by_the_template(function: str, settings: Any) -> None:  # noqa: ANN401 -- a class
    given = {name.lower() for name in FUNCTIONS[function]["Environment"]["Variables"]}
    assert {name for name, field in settings.model_fields.items() if field.is_required()} <= given


def test_every_function_can_be_built() -> None:
    handlers = {name: it["Handler"].split(".")[0] for name, it in FUNCTIONS.items()}
    targets = (ROOT / "functions" / "Makefile").read_text(encoding="utf-8")
    assert handlers == artefact.FUNCTIONS
    assert all(f"build-{name}:\n\t@sh $(BUILD) {folder} " in targets for name, folder in handlers.items())


def _actions(policy: str) -> set[str]:
    return {action for it in POLICIES[policy] for action in _listed(it["Action"])}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
