"""`titlecard check`, `convert` and `estimate`: say how a manifest is read, convert it, and bound its cost."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from titlecard.domain.batch import project_name
from titlecard.domain.video import Policy
from titlecard.manifests import Accepted, Refused, read
from titlecard_console import check as checking
from titlecard_console import estimate as estimating
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.limits import spending_cap
from titlecard_console.local_cloud import template
from titlecard_console.output import amounts, format_caps, open_output, pluralize, print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from titlecard_console.estimate import Estimate
    from titlecard_console.stacks import Stack

IGNORED_SHOWN = 20
"""The most ignored columns that `check` shows to people; its JSON lists all of them."""


def check(manifests: options.Manifests, as_json: options.Json = False) -> None:
    """Say how a file is read, and which rows cannot be used and why.

    `titlecard check playlist.json`

    Exit code 3: some rows cannot be used.
    """
    limits = estimating.reading_limits(template.load().values({}))
    refused = False
    for path in manifests:
        with estimating.named(path):
            report = checking.check(path, limits)
        refused |= report.refused > 0
        if as_json:
            print_json({"manifest": str(path), **asdict(report)})
        else:
            typer.echo(_check_report(path, report))
    if refused:
        raise typer.Exit(ExitCode.UNFINISHED)


def convert(manifests: options.Manifests, output: options.OutputFile = None) -> None:
    """Convert files to JSON Lines, one video per line.

    `titlecard convert schedule.xml > talks.jsonl`

    It reads every format that `check`, `run` and `upload` read.

    Exit code 3: some rows cannot be used.
    """
    limits = estimating.reading_limits(template.load().values({}))
    refused = 0
    with open_output(output) as sink:
        for path in manifests:
            with estimating.named(path), path.open("rb") as stream:
                for row in read(stream, limits):
                    if isinstance(row, Accepted):
                        sink.write(row.video.model_dump_json(exclude_defaults=True) + "\n")
                    refused += isinstance(row, Refused)
    if refused:
        say(f"{pluralize(refused, 'row')} cannot be used: `titlecard check` says why.")
        raise typer.Exit(ExitCode.UNFINISHED)


def estimate(
    manifest: options.Manifest,
    *,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Say what a manifest would cost, at most and probably.

    `titlecard estimate playlist.json`

    `titlecard estimate playlist.json --project djangocon --stack titlecard`

    Without --stack and without a local cloud, it uses the parameters of template.yaml.
    """
    project_name(project)
    there = _find_stack(stack, state)
    parameters = there.parameters if there else template.load().values({})
    (found,) = estimating.estimate(
        [estimating.read_manifest(manifest, parameters)], parameters, spending_cap(None, None)
    )
    content = _content(found) | (left_of_budget(there, project) if there else {})
    if as_json:
        print_json(content)
    else:
        typer.echo("\n".join(_lines(content, parameters, project)))


def _check_report(path: Path, report: checking.Report) -> str:
    """Format the report on a file for people."""
    columns = ", ".join(
        field if field == column else f"{field} from {column!r}" for field, column in report.columns.items()
    )
    repeated = f", {report.repeated:,} repeated" if report.repeated else ""
    left_out = f", {report.left_out:,} left out (not talks)" if report.left_out else ""
    ignored = ", ".join(report.ignored[:IGNORED_SHOWN])
    if len(report.ignored) > IGNORED_SHOWN:
        ignored += f" and {len(report.ignored) - IGNORED_SHOWN:,} more"
    lines = [
        f"{path}: {report.form}",
        f"  read: {columns}",
        *([f"  ignored: {ignored}"] if ignored else []),
        f"  rows: {report.accepted:,} good, {report.refused:,} refused{repeated}{left_out}",
        *(f"  {refused.number}: {refused.reason}" for refused in report.first_refused),
    ]
    more = report.refused - len(report.first_refused)
    return "\n".join([*lines, f"  and {more:,} more"] if more > 0 else lines)


def _find_stack(stack: str | None, state: Path) -> Stack | None:
    """Find the named stack, or the local cloud if one is running; None if there is neither."""
    try:
        return stacks.find(stack, state)
    except CommandError:
        if stack is not None:
            raise
        return None


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


def left_of_budget(there: Stack, project: str) -> dict[str, Any]:
    """Return what is left of a project's budget."""
    ledger, now = stacks.ledger(there), datetime.now(UTC)
    budget = ledger.account(project, now=now).budget
    if budget is None:
        return {"left": None}
    day, month = ledger.window(project, now)
    return {"left": {"day": budget.daily.room(day).as_map(), "month": budget.monthly.room(month).as_map()}}


def _lines(content: Mapping[str, Any], parameters: Mapping[str, str], project: str) -> list[str]:
    lines = [f"{content['manifest']}: {pluralize(content['accepted'], 'video')}"]
    if content["refused"]:
        lines.append(f"  {pluralize(content['refused'], 'row')} cannot be used: {see_check(content['manifest'])}")
    if Policy(parameters["TierPolicy"]) is Policy.LOCAL:
        return [*lines, "  the local tier alone answers, at no cost: TierPolicy is local"]
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


def see_check(manifest: Path | str) -> str:
    """Name the command that says which rows cannot be used."""
    return f"`titlecard check {shlex.quote(str(manifest))}` says why"
