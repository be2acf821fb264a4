"""What a manifest can cost on a stack, before anything is sent: the number shown, and the limit that it becomes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from titlecard.domain.batch import BatchLimits
from titlecard.domain.money import Amount, Cap, PriceList, cap
from titlecard.domain.video import Policy
from titlecard.llm import ModelTier
from titlecard.manifests import NotAManifest, ReadingLimits
from titlecard_console import local_tier
from titlecard_console.output import format_amounts, pluralize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from titlecard_console.local_tier import Counted


LimitUsd = Annotated[str | None, typer.Option(metavar="USD", help="Lower the limit to so many dollars, in all.")]
LimitTokens = Annotated[str | None, typer.Option(metavar="NUMBER", help="Lower the limit to so many tokens, in all.")]


@dataclass(frozen=True)
class CostBound:
    """What one manifest can cost: `bound` where every row that the local tier leaves is asked about once.

    `limits` are those of its batch; `expected` is a guess, from what answers and texts are usually like.
    """

    counted: Counted
    asked: int
    expected: Amount
    bound: Amount
    limits: BatchLimits


def upper_bound(usd: str | None, tokens: str | None) -> Cap:
    """What a person wants to spend at most, from the options.

    Raises:
        NotABudget: one of them is no amount.
    """
    return cap([f"{value}{unit}" for value, unit in ((usd, "usd"), (tokens, "tokens")) if value is not None])


def count(path: Path, values: Mapping[str, str]) -> Counted:
    """Read a manifest as a stack's ingest does.

    Args:
        values: the parameters of the stack.

    Raises:
        NotAManifest: the file, which is named, is none.
        OSError: it cannot be read.
    """
    with named(path):
        return local_tier.count(path, reading_limits(values), int(values["SurveySampleRows"]))


def reading_limits(values: Mapping[str, str]) -> ReadingLimits:
    """What a stack takes for a manifest, by its parameters."""
    return ReadingLimits(
        row_max_bytes=int(values["RowMaxBytes"]),
        total_max_bytes=int(values["ManifestMaxBytes"]),
        max_ratio=int(values["ManifestMaxRatio"]),
    )


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Say of which file it is that it is no manifest."""
    try:
        yield
    except NotAManifest as refusal:
        raise NotAManifest(f"{path}: {refusal}") from refusal


def model_tier(values: Mapping[str, str]) -> ModelTier:
    """The model tier of a stack, by its parameters.

    Raises:
        Unpriced: its model has no price.
    """
    return ModelTier(
        values["Model"],
        prices=PriceList.packaged(),
        service_tier=values["ServiceTier"],
        max_output_tokens=int(values["MaxOutputTokens"]),
    )


def cost_bounds(counted: Sequence[Counted], values: Mapping[str, str], upper_bound: Cap) -> list[CostBound]:
    """What manifests can cost on a stack where the model is asked; each batch's limit is the lowest of what bounds it.

    Args:
        counted: the manifests.
        values: the parameters of the stack.
        most: what all of them together may cost, as the person wants it.
    """
    tier, policy = model_tier(values), Policy(values["TierPolicy"])
    stack = BatchLimits(
        requests=int(values["BatchRequestLimit"]),
        tokens=int(values["BatchTokenLimit"]),
        micro_usd=int(values["BatchMicroUsdLimit"]),
    )
    found, promised = [], Amount()
    for one in counted:
        plan = local_tier.plan(one, tier, policy)
        left = upper_bound.room(promised)
        limits = stack.lowered_by(
            requests=plan.asked * int(values["AttemptCap"]), tokens=plan.bound.tokens, micro_usd=plan.bound.micro_usd
        ).lowered_by(**left.as_map())
        promised += Amount(0, limits.tokens, 0, limits.micro_usd)
        found.append(CostBound(one, plan.asked, plan.expected, plan.bound, limits))
    return found


def sentence(found: Sequence[CostBound], model: str) -> str:
    """The number shown, for people."""
    rows = sum(bill.counted.census.accepted for bill in found)
    asked = sum(bill.asked for bill in found)
    upper_bound = format_amounts(
        requests=sum(bill.limits.requests for bill in found),
        tokens=sum(bill.limits.tokens for bill in found),
        micro_usd=sum(bill.limits.micro_usd for bill in found),
    )
    local = f"{rows - asked:,} sure locally, {asked:,} for {model}"
    return f"{pluralize(rows, 'video')}: {local}. At most {upper_bound} can be charged."
