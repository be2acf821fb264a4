"""`titlecard estimate`: estimate the expected and the highest cost of a manifest."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from titlecard.domain.money import Cap
from titlecard.domain.video import Policy
from titlecard_console import estimate as estimating
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.commands.check import see_check
from titlecard_console.errors import CommandError
from titlecard_console.local_cloud import template
from titlecard_console.manifest import read_manifest
from titlecard_console.output import amounts, format_caps, pluralize, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard_console.estimate import Estimate
    from titlecard_console.stacks import Stack


def estimate(
    manifest: options.Manifest,
    *,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Estimate the expected and the highest cost of a manifest.

    `titlecard estimate playlist.json`

    `titlecard estimate playlist.json --project djangocon --stack titlecard`

    Without --stack and without a local cloud, it uses the parameters of template.yaml.
    """
    stack: Stack | None = None
    with suppress(CommandError) if stack_name is None else nullcontext():  # no local cloud is running
        stack = stacks.find(stack_name, state)
    parameters = stack.parameters if stack else template.load().values({})
    (found,) = estimating.estimate([read_manifest(manifest, parameters)], parameters, Cap())
    content = _content(found) | (left_of_budget(stack, project) if stack else {})
    if as_json:
        print_json(content)
    else:
        typer.echo("\n".join(_lines(content, parameters, project)))


def _content(found: Estimate) -> dict[str, Any]:
    report = found.manifest.report
    return {
        "manifest": str(found.manifest.path),
        "rows": report.accepted + report.refused,
        "accepted": report.accepted,
        "refused": report.refused,
        "kept_locally": report.accepted - found.asked,
        "asked": found.asked,
        "expected": amounts(found.expected),
        "worst_case": amounts(found.bound),
        "limit": found.limits.as_map(),
    }


def left_of_budget(stack: Stack, project: str) -> dict[str, Any]:
    """Return what is left of a project's budget."""
    ledger, now = stacks.ledger(stack), datetime.now(UTC)
    budget = ledger.account(project, now=now).budget
    if budget is None:
        return {"left": None}
    day, month = ledger.window(project, now)
    return {"left": {"day": budget.daily.room(day).as_map(), "month": budget.monthly.room(month).as_map()}}


def _lines(content: Mapping[str, Any], parameters: Mapping[str, str], project: str) -> list[str]:
    lines = [f"{content['manifest']}: {pluralize(content['accepted'], 'video')}"]
    if content["refused"]:
        rejected = pluralize(content["refused"], "row is", "rows are")
        lines.append(f"  {rejected} rejected: {see_check(content['manifest'])}")
    if Policy(parameters["TierPolicy"]) is Policy.LOCAL:
        return [*lines, "  only the local tier answers, at no cost: TierPolicy is local"]
    expected, most, limit = (format_caps(content[name]) for name in ("expected", "worst_case", "limit"))
    lines += [
        f"  {content['kept_locally']:,} sure locally, at no cost",
        f"  {content['asked']:,} for {parameters['Model']}: about {expected}, at most {most}",
        f"  the limit of the batch would be {limit} in {pluralize(content['limit']['requests'], 'request')}",
    ]
    return [*lines, f"  {left_in_words(content, project)}"] if "left" in content else lines


def left_in_words(content: Mapping[str, Any], project: str) -> str:
    """Describe what is left of a project's budget."""
    left = content["left"]
    if left is None:
        return (
            f"{project} has no budget, so the model is not asked: set one with "
            f"`titlecard budget set {project} --daily 5usd --monthly 50usd`"
        )
    parts = [f"{format_caps(caps)} for the {window}" for window, caps in left.items() if caps]
    return f"the budget of {project} leaves {' and '.join(parts)}"
