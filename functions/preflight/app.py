"""Refuses a deployment whose numbers clash, or whose functions were built for another machine.

It does so before CloudFormation makes or changes anything that depends on them.

A custom resource of `template.yaml`. The event it takes (CloudFormation user guide, "Custom resource request objects"):

    {"RequestType": "Create", "ResponseURL": "https://...", "StackId": "...", "RequestId": "...",
     "LogicalResourceId": "NumbersAgree", "ResourceProperties": {"ServiceToken": "...", "AttemptCap": "3", ...}}

The answer is put to `ResponseURL`: `SUCCESS`, or `FAILED` with the sentences that say which numbers clash.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from titlecard.preflight import build_violations, violations

ANSWER_SECONDS = 10


def handler(event: dict[str, Any], _context: object) -> None:
    """Answer CloudFormation; an event without `ResponseURL` (somebody tries the function) is answered by nothing."""
    if "ResponseURL" not in event:
        return
    given = event["ResourceProperties"]
    # A stack must be deletable whatever its numbers are.
    sentences = (
        []
        if event["RequestType"] == "Delete"
        else [*violations(given), *build_violations(given["Runtime"], given["Architecture"])]
    )
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
