"""The stack's promises about data, rights and settings, checked with CloudFormation's linter and checkov."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.tools import program

from titlecard.settings import IngestSettings, ParserSettings, SweeperSettings
from titlecard_console.installation import ROOT
from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import template

SHIPPED = template.load()
RESOURCES = SHIPPED.document["Resources"]
FUNCTIONS = SHIPPED.resources("AWS::Serverless::Function")


def test_the_linter_reports_nothing() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(ROOT / "template.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- a tool of ours
    assert (done.stdout, done.returncode) == ("", 0)


NOT_FOLLOWED = {
    "CKV_AWS_18": "the names of the files are the owner's, and CloudTrail has what he wants to know of them",
    "CKV_AWS_26": "an alarm cannot publish to a topic that AWS's own key encrypts, and it says nothing secret",
    "CKV_AWS_27": "the queues are encrypted by SQS itself (SqsManagedSseEnabled)",
    "CKV_AWS_115": "reserved concurrency would throttle unread messages; the event source bounds the concurrency",
    "CKV_AWS_116": "the queues in front of the functions have dead letters; the sweeper runs again a minute later",
    "CKV_AWS_117": "no function reaches anything inside a network of the owner's",
    "CKV_AWS_119": "the tables are encrypted by AWS's key; one of the owner's costs by the request",
    "CKV_AWS_158": "the logs are encrypted by AWS's key, likewise, and hold no stranger's text",
    "CKV_AWS_173": "no variable is secret: keys are in Secrets Manager",
}
"""checkov's rules that the stack does not follow, each with the reason."""


def test_checkov_reports_only_answered_findings() -> None:
    command = [str(program("checkov")), "--file", str(ROOT / "template.yaml"), "--framework", "cloudformation"]
    done = subprocess.run(  # noqa: S603 -- a tool of ours
        [*command, "--output", "json", "--compact", "--skip-download"], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)["results"]["failed_checks"]
    assert {it["check_id"] for it in found} == set(NOT_FOLLOWED), [(it["check_id"], it["resource"]) for it in found]


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
def test_a_batch_of_messages_may_fail_in_part(function: str, event: str) -> None:
    source = FUNCTIONS[function]["Events"][event]["Properties"]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("name", [name for name in RESOURCES if name.endswith("Role")])
def test_no_role_may_do_anything_or_anywhere(name: str) -> None:
    statements: list[dict[str, Any]] = [
        statement
        for policy in RESOURCES[name]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = {action for it in statements for action in _listed(it["Action"])}
    assert "*" not in [it["Resource"] for it in statements]
    assert not any(action.endswith(":*") for action in actions)


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


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
