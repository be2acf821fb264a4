"""Preflight's entry point: refuses a deployment whose numbers clash, or whose build does not fit its runtime.

It is a custom resource of `template.yaml`, and runs before CloudFormation creates or changes anything that depends on
the numbers. The event (CloudFormation user guide, "Custom resource request objects"):

    {"RequestType": "Create", "ResponseURL": "https://...", "StackId": "...", "RequestId": "...",
     "LogicalResourceId": "NumbersAgree", "ResourceProperties": {"ServiceToken": "...", "AttemptCap": "3", ...}}

It sends its answer to `ResponseURL` by PUT: `SUCCESS`, or `FAILED` with sentences that say which numbers clash.
"""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

from titlecard.preflight import build_violations, violations

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_SECONDS = 10


def handler(event: dict[str, Any], _context: object) -> None:
    """Answer CloudFormation; do nothing for an event without `ResponseURL`, which tests the function."""
    if "ResponseURL" not in event:
        return
    # A stack can be deleted whatever its numbers are.
    sentences = [] if event["RequestType"] == "Delete" else _sentences(event["ResourceProperties"])
    answer = {
        "Status": "FAILED" if sentences else "SUCCESS",
        "Reason": " ".join(sentences) or "The numbers agree.",
        "PhysicalResourceId": "numbers",
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    request = urllib.request.Request(  # noqa: S310 -- the URL is CloudFormation's own, presigned
        event["ResponseURL"], json.dumps(answer).encode(), headers={"Content-Type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):  # noqa: S310 -- as above
        pass


def _sentences(given: Mapping[str, str]) -> list[str]:
    """Return the reasons to refuse a deployment, as sentences."""
    try:
        return [*violations(given), *build_violations(given["Runtime"], given["Architecture"])]
    except Exception as error:  # noqa: BLE001 -- without an answer, CloudFormation times out and cannot say why
        return [f"The numbers could not be checked: {type(error).__name__}: {error}."]
