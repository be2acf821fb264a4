"""The limits of a batch: the stack's, and the command that raises them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.domain.money import Total
from titlecard_console.output import amounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.money import Amount

BATCH_LIMITS = {"requests": "BatchRequestLimit", "tokens": "BatchTokenLimit", "micro_usd": "BatchMicroUsdLimit"}
"""The stack parameter that caps each limit of a batch."""


def batch_limits(parameters: Mapping[str, str]) -> Total:
    """Return a stack's limits for every batch, from its parameters."""
    return Total(**{name: int(parameters[parameter]) for name, parameter in BATCH_LIMITS.items()})


def limit_command(batch: Batch, charged: Amount) -> str | None:
    """Return the command that raises a batch's limit to allow this total charge; None if the limit allows it."""
    limits = batch.limits.as_map()
    above = {name: number for name, number in amounts(charged).items() if number > limits[name]}
    arguments = [f"--{name} {number}" for name, number in above.items() if name != "micro_usd"]
    if "micro_usd" in above:
        arguments.insert(0, f"--usd {above['micro_usd'] / 1_000_000:.6f}".rstrip("0").rstrip("."))
    return f"titlecard limit {batch.id} {' '.join(arguments)}" if arguments else None
