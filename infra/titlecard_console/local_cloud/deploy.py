"""Deploys template.yaml into a local cloud: uploads artefacts, creates the stack, and tries every function."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import WaiterError

from titlecard_console.errors import CloudError
from titlecard_console.local_cloud.build import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from titlecard_console.local_cloud.cloud import Cloud
    from titlecard_console.local_cloud.template import Template

STACK = "titlecard"
_ARTEFACTS = "titlecard-artefacts"
_TEMPLATE = "template.json"
_WAIT = {"Delay": 0.1, "MaxAttempts": 3_000}
"""How to wait for the stack: the seconds between two readings, and the most readings."""

_MOST_TRIES = 6
_TRY_GAP_SECONDS = 0.5

TRIED: Mapping[str, Mapping[str, object]] = {
    "IngestFunction": {"Records": []},
    "ParserFunction": {"Records": []},
    "SweeperFunction": {},
}
"""Events without any work, to try each function."""


def deploy(cloud: Cloud, template: Template, parameters: Mapping[str, str], artefacts: Path) -> dict[str, str]:
    """Create the stack and return its outputs.

    Raises:
        CloudError: the stack failed; the message has CloudFormation's reasons.
    """
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=_ARTEFACTS)
    for function in FUNCTIONS:
        s3.upload_file(str(artefacts / f"{function}.zip"), _ARTEFACTS, f"{function}.zip")
    body = template.with_code({name: f"s3://{_ARTEFACTS}/{name}.zip" for name in FUNCTIONS})
    s3.put_object(Bucket=_ARTEFACTS, Key=_TEMPLATE, Body=body.encode())  # too large to pass in the call itself
    formation = cloud.client("cloudformation")
    formation.create_stack(
        StackName=STACK,
        TemplateURL=f"{cloud.endpoint_url}/{_ARTEFACTS}/{_TEMPLATE}",
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    try:
        formation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig=_WAIT)
    except WaiterError as error:
        events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [it for it in reversed(events) if it["ResourceStatus"].endswith("_FAILED")]
        reasons = [f"{it['LogicalResourceId']}: {it.get('ResourceStatusReason', 'failed')}" for it in failed]
        raise CloudError("template.yaml could not be deployed. " + " ".join(reasons or [str(error)])) from error
    (stack,) = formation.describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def try_functions(cloud: Cloud) -> None:
    """Invoke every function once, concurrently, with an event without any work, to see that each starts.

    Raises:
        CloudError: one does not start: its artefact lacks a package, or it lacks a setting.
    """
    client = cloud.client("lambda", read_timeout=300, retries={"total_max_attempts": 1})

    def fault(function: str) -> str | None:
        # When one worker of a function fails, MiniStack ends the function's other workers while they start, and their
        # errors are not the reason. (S3's test notification starts a worker of ingest at the same time.) An error that
        # occurs twice in succession is the reason.
        said: str | None = None
        for _ in range(_MOST_TRIES):
            answer = client.invoke(FunctionName=cloud.outputs[function], Payload=json.dumps(TRIED[function]).encode())
            if "FunctionError" not in answer:
                return None
            before, said = said, _reason(json.load(answer["Payload"]))
            if said == before:
                break
            time.sleep(_TRY_GAP_SECONDS)
        return f"{function} (functions/{FUNCTIONS[function]}) does not start: {said}"

    with ThreadPoolExecutor(len(TRIED)) as threads:
        faults = [it for it in threads.map(fault, TRIED) if it]
    if faults:
        raise CloudError("\n".join(faults))


def switch_off(cloud: Cloud) -> None:
    """Disable event sources and the schedule; running invocations continue."""
    functions = cloud.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    events = cloud.client("events")
    for rule in events.list_rules()["Rules"]:
        events.disable_rule(Name=rule["Name"])


def _reason(payload: Mapping[str, Any]) -> str:
    return str(payload.get("errorMessage", payload)).removeprefix("Worker init failed: ")
