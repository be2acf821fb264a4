"""Creates a stack from the tables and the bucket that a deleted stack left behind, so that it continues their work.

    .venv/bin/python infra/adopt.py titlecard --catalog TABLE --ledger TABLE --bucket BUCKET
    sam build && sam deploy

Without this script, a new stack gets new tables: it knows no budget, and pays for every video again. The script imports
the three resources into a stack of the given name (CloudFormation user guide, "Import existing resources into a
stack"); `sam deploy` then adds everything else.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import WaiterError

from titlecard_console.errors import AWS_ERRORS, explain
from titlecard_console.local_cloud import template

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import WaiterConfigTypeDef

IDENTIFIERS = {"CatalogTable": "TableName", "LedgerTable": "TableName", "UploadsBucket": "BucketName"}
"""The property that identifies each resource to CloudFormation."""

POLL: WaiterConfigTypeDef = {"Delay": 2, "MaxAttempts": 300}


def main() -> int:
    """Import the resources; return 0 if the stack exists, 1 if the import failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stack", help="the name of the new stack")
    parser.add_argument("--catalog", required=True, help="the name of the catalog's table")
    parser.add_argument("--ledger", required=True, help="the name of the ledger's table")
    parser.add_argument("--bucket", required=True, help="the name of the uploads bucket")
    given = parser.parse_args()
    try:
        adopt(given.stack, {"CatalogTable": given.catalog, "LedgerTable": given.ledger, "UploadsBucket": given.bucket})
    except AWS_ERRORS as error:
        refused = error.last_response.get("StatusReason") if isinstance(error, WaiterError) else None
        message = f"The resources could not be imported: {refused or explain(error)}"
        print(message, file=sys.stderr)  # noqa: T201 -- a script's own output
        return 1
    print(f"{given.stack} has the resources: now run `sam build && sam deploy`.")  # noqa: T201 -- as above
    return 0


def adopt(stack: str, names: dict[str, str]) -> None:
    """Import resources into a new stack.

    Args:
        names: the physical names by logical id.

    Raises:
        ClientError: CloudFormation refuses the import.
        WaiterError: the import fails, or takes more than ten minutes.
    """
    formation = boto3.client("cloudformation")
    change_set = f"adopt-{secrets.token_hex(4)}"  # one that has failed, or was interrupted, keeps its name
    formation.create_change_set(
        StackName=stack,
        ChangeSetName=change_set,
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
        StackName=stack, ChangeSetName=change_set, WaiterConfig=POLL
    )
    formation.execute_change_set(StackName=stack, ChangeSetName=change_set)
    formation.get_waiter("stack_import_complete").wait(StackName=stack, WaiterConfig=POLL)


def importable() -> dict[str, object]:
    """Return the part of template.yaml to import, which must not refer to a resource that does not exist yet."""
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
