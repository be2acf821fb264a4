"""`titlecard estimate` and `upload`: what a manifest can cost, and the same number as the limit of its batch."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from titlecard.aws.s3 import LIMIT_METADATA
from titlecard.domain.batch import UPLOADS, Upload, project_name
from titlecard.domain.video import Policy
from titlecard_console import plans
from titlecard_console import stack as where
from titlecard_console.commands.money import ledger_of
from titlecard_console.local_cloud import template
from titlecard_console.output import format_usd, pluralize
from titlecard_console.questions import confirm
from titlecard_console.stack import CommandError, StackOption, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard.domain.money import Amount
    from titlecard_console.plans import CostBound
    from titlecard_console.stack import Stack

people = Console(stderr=True, highlight=False)

Manifest = Annotated[
    Path, typer.Argument(metavar="MANIFEST", exists=True, dir_okay=False, readable=True, help="One file, one batch.")
]
Project = Annotated[str, typer.Option(help="The tenant: the folder under uploads/.")]


def register(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command()(estimate)
    app.command()(upload)


def estimate(
    manifest: Manifest,
    *,
    project: Project = "default",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Say what a manifest would cost: how many videos cost nothing, and what the others cost at most.

    titlecard estimate playlist.json

    titlecard estimate playlist.json --project djangocon --stack titlecard

    Where no stack is named and no local cloud is running, it goes by the parameters of template.yaml.
    """
    project_name(project)
    there = _there(stack, state)
    values = there.parameters if there else template.load().values({})
    (bill,) = plans.cost_bounds([plans.count(manifest, values)], values, plans.upper_bound(None, None))
    facts = _facts(bill) | (_left(there, project) if there else {})
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    for line in _lines(facts, values["Model"], project):
        typer.echo(line)


def upload(
    manifest: Manifest,
    *,
    project: Project = "default",
    limit_usd: plans.LimitUsd = None,
    limit_tokens: plans.LimitTokens = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Upload a manifest; the number that is shown first is the limit of its batch.

    titlecard upload playlist.json --project djangocon --stack titlecard --limit-usd 2

    What the budget of the project allows is a second limit. The batch's name is written to standard output.
    """
    project_name(project)
    most = plans.upper_bound(limit_usd, limit_tokens)
    there = where.find(stack, state)
    values = there.parameters
    (bill,) = plans.cost_bounds([plans.count(manifest, values)], values, most)
    if Policy(values["TierPolicy"]) is not Policy.LOCAL:
        people.print(plans.sentence([bill], values["Model"]), markup=False, soft_wrap=True)
        people.print(_room(_left(there, project), project), markup=False, soft_wrap=True)
    if refused := bill.counted.census.refused:
        people.print(f"{pluralize(refused, 'row')} cannot be used: {_why(manifest)}.", markup=False, soft_wrap=True)
    if not yes and not confirm(people, "Upload it?"):
        raise typer.Abort
    key = f"{UPLOADS}{project}/{manifest.name}"
    metadata = {LIMIT_METADATA[what]: str(number) for what, number in bill.limits.model_dump().items()}
    bucket = there.outputs["UploadsBucket"]
    with manifest.open("rb") as body:
        put = there.client("s3").put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)
    typer.echo(Upload(bucket, key, put["VersionId"], order="").batch)


def _there(stack: str | None, state: Path) -> Stack | None:
    """The stack that is named, or the local cloud where one is running."""
    try:
        return where.find(stack, state)
    except CommandError:
        if stack is not None:
            raise
        return None


def _facts(bill: CostBound) -> dict[str, Any]:
    census = bill.counted.census
    return {
        "manifest": str(bill.counted.path),
        "rows": census.accepted + census.refused,
        "accepted": census.accepted,
        "refused": census.refused,
        "kept_locally": census.accepted - bill.asked,
        "asked": bill.asked,
        "expected": _amounts(bill.expected),
        "worst_case": _amounts(bill.bound),
        "limit": bill.limits.model_dump(),
    }


def _left(there: Stack, project: str) -> dict[str, Any]:
    """What a project's budget leaves."""
    ledger, now = ledger_of(there), datetime.now(UTC)
    account = ledger.account(project, now=now)
    if account.budget is None:
        return {"left": None}
    day, month = ledger.window(project, now)
    left = {
        "day": account.budget.daily.room(day).as_map(),
        "month": account.budget.monthly.room(month).as_map(),
    }
    return {"left": left}


def _amounts(charge: Amount) -> dict[str, int]:
    return {"tokens": charge.tokens, "micro_usd": charge.micro_usd}


def _lines(facts: Mapping[str, Any], model: str, project: str) -> list[str]:
    lines = [
        f"{facts['manifest']}: {pluralize(facts['accepted'], 'video')}",
        f"  {facts['kept_locally']:,} sure locally, at no cost",
        f"  {facts['asked']:,} for {model}: about {_said(facts['expected'])}, at most {_said(facts['worst_case'])}",
        f"  the batch's limit would be {_said(facts['limit'])} in {pluralize(facts['limit']['requests'], 'request')}",
    ]
    if facts["refused"]:
        lines.insert(1, f"  {pluralize(facts['refused'], 'row')} cannot be used: {_why(facts['manifest'])}")
    return [*lines, f"  {_room(facts, project)}"] if "left" in facts else lines


def _room(facts: Mapping[str, Any], project: str) -> str:
    left = facts["left"]
    if left is None:
        return (
            f"{project} has no budget, so nobody is asked: "
            f"`titlecard budget set {project} --daily 5usd --monthly 50usd` gives it one"
        )
    said = [f"{_said(caps)} of the {word}" for word, caps in left.items() if caps]
    return f"the budget of {project} leaves {' and '.join(said)}"


def _why(manifest: Path | str) -> str:
    return f"`titlecard check {shlex.quote(str(manifest))}` says why"


def _said(amounts: Mapping[str, int]) -> str:
    said = [pluralize(amounts["tokens"], "token")] if "tokens" in amounts else []
    said += [format_usd(amounts["micro_usd"])] if "micro_usd" in amounts else []
    return " and ".join(said)
