"""`python -m tests.end_to_end.racers ENDPOINT ACCESS_KEY SECRET_KEY TABLE RACERS`: processes that race for one budget.

Each racer is a fork of this process with its own client. It reserves until it is refused, and settles every third
reservation at less than was reserved, which makes room for others. Standard output gets one JSON object per racer: its
grants, and their total charge.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime

import boto3

from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.aws.dynamodb.ledger import LEDGER_CONFIG, Ledger, Reservation
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.money import Amount, Budget, Cap, Measured, Total

PROJECT, MODEL = "race", "gpt-6-luna"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NEED = Amount(requests=1, input_tokens=900, output_tokens=100, micro_usd=701)
BILLED = Amount(requests=1, input_tokens=200, output_tokens=30, micro_usd=67)
ROOM = 80 * NEED.micro_usd + 333
"""The budget in micro-dollars, deliberately not a multiple of the need."""

BUDGET = Budget(Cap(None, ROOM), Cap(10**9, 10**9))
LIMITS = Total(requests=10**6, tokens=10**9, micro_usd=10**9)
SETTLED = 3


def race(endpoint: str, access: str, secret: str, table: str) -> dict[str, int]:
    """Reserve until there is no room; return the grants and the final charge."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=LEDGER_CONFIG,
    )
    ledger = Ledger(convert_values(client), table)
    granted, charged = 0, 0
    while True:
        answer = ledger.reserve(
            f"batch-{os.getpid()}", PROJECT, NEED, limits=LIMITS, budget=BUDGET, model=MODEL, now=NOW
        )
        if not isinstance(answer, Reservation):
            return {"granted": granted, "micro_usd": charged}
        granted += 1
        charged += NEED.micro_usd
        if granted % SETTLED == 0:
            ledger.settle(answer, Measured(BILLED))
            charged -= NEED.micro_usd - BILLED.micro_usd


def main(endpoint: str, access: str, secret: str, table: str, racers: str) -> int:
    """Fork the racers and wait for them; return 1 if one of them failed, otherwise 0."""
    children = []
    for _ in range(int(racers)):
        child = os.fork()
        if not child:
            try:
                line = json.dumps(race(endpoint, access, secret, table)) + "\n"
            except LedgerUnavailable as trouble:
                sys.stderr.write(f"{trouble}\n")
                os._exit(1)
            os.write(1, line.encode())  # one write, so that lines stay whole
            os._exit(0)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    return int(any(ends))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
