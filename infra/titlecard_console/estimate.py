"""What a manifest can cost: read as ingest reads it, parsed locally, and priced by the requests that would be sent.

An estimate uploads nothing and asks no model. Its bound becomes the limit of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from titlecard.domain.money import Amount, Cap, PriceList, Total
from titlecard.domain.video import Policy
from titlecard.llm import OPENAI, ModelTier
from titlecard_console.limits import batch_limits
from titlecard_console.output import format_charge, pluralize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from titlecard_console.manifest import Manifest


@dataclass(frozen=True)
class Estimate:
    """What one manifest can cost.

    Attributes:
        asked: the number of rows that need the model.
        expected: a guess, from the usual length of texts and answers.
        bound: the most it can cost, if each of these rows takes one request.
        limits: the limits of its batch.
    """

    manifest: Manifest
    asked: int
    expected: Amount
    bound: Amount
    limits: Total


def model_tier(parameters: Mapping[str, str]) -> ModelTier:
    """Return the model tier of a stack, from its parameters.

    Raises:
        Unpriced: its model has no price, or the prices at its endpoint are unknown.
    """
    factor = parameters.get("PriceFactor")  # a stack may be older than this parameter
    return ModelTier(
        parameters["Model"],
        prices=PriceList.packaged(),
        service_tier=parameters["ServiceTier"],
        base_url=parameters.get("OpenAIBaseUrl", OPENAI),
        price_factor=Decimal(factor) if factor else None,
        max_output_tokens=int(parameters["MaxOutputTokens"]),
    )


def estimate(manifests: Sequence[Manifest], parameters: Mapping[str, str], most: Cap) -> list[Estimate]:
    """Estimate what manifests cost on a stack, from the exact requests that would be sent.

    Args:
        manifests: the manifests, which share `most`.
        most: the most that a person wants to spend on all of them together.
    """
    tier, policy, stack = model_tier(parameters), Policy(parameters["TierPolicy"]), batch_limits(parameters)
    estimates, promised = [], Amount()
    for manifest in manifests:
        asked, expected, bound = 0, Amount(), Amount()
        for (row, video), parse in manifest.parses() if policy is not Policy.LOCAL else ():
            if not parse.is_final(policy):
                hint = manifest.survey.of(row, video).hint()
                request = tier.prepare(video, parse, hint)
                asked += 1
                expected += tier.expected(request)
                bound += request.bound
        limits = stack.lowered_by(
            requests=asked * int(parameters["AttemptCap"]), tokens=bound.tokens, micro_usd=bound.micro_usd
        ).lowered_by(**most.room(promised).as_map())
        promised += Amount(0, limits.tokens, 0, limits.micro_usd)
        estimates.append(Estimate(manifest, asked, expected, bound, limits))
    return estimates


def summary(estimates: Sequence[Estimate], model: str) -> str:
    """Describe in a sentence the most that can be charged."""
    rows = sum(it.manifest.report.accepted for it in estimates)
    asked = sum(it.asked for it in estimates)
    most = format_charge(sum((it.limits for it in estimates), Total()))
    tiers = f"{rows - asked:,} sure locally, {asked:,} for {model}"
    return f"{pluralize(rows, 'video')}: {tiers}. At most {most} can be charged."
