"""Makes a stack of the tables and the bucket that a deleted stack left behind, so that it goes on where that one ended.

    .venv/bin/python infra/adopt.py titlecard --catalog TABLE --ledger TABLE --bucket BUCKET
    sam build && sam deploy

Without it, a new stack gets tables of its own: it knows no budget, and pays for every video again. The three are
imported into a stack of the given name (CloudFormation user guide, "Import existing resources into a stack");
`sam deploy` then adds everything else.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError, WaiterError

from titlecard_console.local_cloud import template

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import WaiterConfigTypeDef

IDENTIFIERS = {"CatalogTable": "TableName", "LedgerTable": "TableName", "UploadsBucket": "BucketName"}
"""What CloudFormation knows each of the resources by."""

CHANGE_SET = "adopt"
POLL: WaiterConfigTypeDef = {"Delay": 2, "MaxAttempts": 300}


def main() -> int:
    """Import them; 0 when the stack is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stack", help="the name of the new stack")
    parser.add_argument("--catalog", required=True, help="the name of the catalog's table")
    parser.add_argument("--ledger", required=True, help="the name of the ledger's table")
    parser.add_argument("--bucket", required=True, help="the name of the uploads bucket")
    given = parser.parse_args()
    try:
        adopt(given.stack, {"CatalogTable": given.catalog, "LedgerTable": given.ledger, "UploadsBucket": given.bucket})
    except (ClientError, WaiterError) as error:
        print(f"They could not be imported: {error}", file=sys.stderr)  # noqa: T201 -- a script's own output
        return 1
    print(f"{given.stack} has them now: run `sam build && sam deploy` for the rest.")  # noqa: T201 -- likewise
    return 0


def adopt(stack: str, names: dict[str, str]) -> None:
    """Import resources into a new stack.

    Args:
        stack: its name.
        names: the physical names by logical id.

    Raises:
        ClientError: CloudFormation refuses.
        WaiterError: it fails, or takes more than ten minutes.
    """
    formation = boto3.client("cloudformation")
    formation.create_change_set(
        StackName=stack,
        ChangeSetName=CHANGE_SET,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps(importable()),
        ResourcesToImport=[
            {
                "LogicalResourceId": name,
                "ResourceType": template.load().document["Resources"][name]["Type"],
                "ResourceIdentifier": {IDENTIFIERS[name]: physical},
            }
            for name, physical in names.items()
        ],
    )
    formation.get_waiter("change_set_create_complete").wait(
        StackName=stack, ChangeSetName=CHANGE_SET, WaiterConfig=POLL
    )
    formation.execute_change_set(StackName=stack, ChangeSetName=CHANGE_SET)
    formation.get_waiter("stack_import_complete").wait(StackName=stack, WaiterConfig=POLL)


def importable() -> dict[str, object]:
    """The part of template.yaml that is imported; it may name nothing that is not there yet."""
    resources = {}
    for name in IDENTIFIERS:
        resource = dict(template.load().document["Resources"][name])
        del resource["DependsOn"]
        if name == "UploadsBucket":
            del resource["Properties"]  # its notification and its lifecycle come with the rest of the stack
        resources[name] = resource
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


if __name__ == "__main__":
    sys.exit(main())
