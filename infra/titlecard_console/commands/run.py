"""`titlecard run`: clean manifests with the whole stack on this machine."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.money import Cap
from titlecard.domain.video import Policy, Tier
from titlecard.pipeline.lines import of_row
from titlecard_console.commands import options
from titlecard_console.commands.up import local_cloud, overrides_of, parameters_of
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.estimate import estimate, summary
from titlecard_console.local_cloud import cloud
from titlecard_console.manifest import read_manifest
from titlecard_console.output import can_ask, confirm, format_usd, people, pluralize, print_table, say
from titlecard_console.progress import Display
from titlecard_console.run import Run
from titlecard_console.talk_output import open_talks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.money import Total
    from titlecard_console.manifest import Manifest
    from titlecard_console.status import Status
    from titlecard_console.talk_output import TalkOutput

_FLAGGED = "flagged"
"""The key under which a batch's tally counts the talks that need a person."""

SHOWN_REASONS = 5
"""The most reasons for dead videos that are shown for a batch."""


def run(
    manifests: options.Manifests,
    *,
    project: options.Project = "default",
    tier: Annotated[
        Policy, typer.Option(help="Which tier answers; auto asks the model if the local one is not sure.")
    ] = Policy.AUTO,
    model: Annotated[str | None, typer.Option(help="The model to ask; it must be listed in prices.toml.")] = None,
    limit_usd: options.LimitUsd = None,
    limit_tokens: options.LimitTokens = None,
    settings: options.Settings = None,
    output: options.OutputFile = None,
    yes: options.Yes = False,
    as_json: options.JsonLines = False,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Run manifests through the whole stack on this machine.

    `titlecard run events/sample.jsonl`

    `titlecard run --project djangocon --output talks.jsonl 2019.jsonl 2020.jsonl`

    It prints a table on a terminal, and JSON Lines to a pipe or file. It asks the model only if OPENAI_API_KEY is set;
    OPENAI_BASE_URL sets the endpoint. Each file is one batch. It first shows the most that all of them can cost, and
    sets it as the project's budget in the local cloud. The state folder keeps the talks, so a second run pays for none.

    Exit code 3: some videos are dead, cancelled, waiting or never answered.
    """
    most = Cap(limit_tokens, limit_usd)
    running = cloud.find(state)
    if running and (settings or model or tier is not Policy.AUTO):
        raise CommandError(
            f"A local cloud with its own settings runs in {state}: leave out --tier, --model and --set, or stop it."
        )
    overrides = {} if running else overrides_of(settings, tier, model)
    parameters = parameters_of(overrides, running)
    read = [read_manifest(path, parameters) for path in manifests]
    for manifest in read:
        say(*manifest.remarks())
    limits = _agree(read, parameters, most, yes=yes)
    with local_cloud(state, overrides, running) as stack, ExitStack() as uploading:
        uploading.enter_context(cloud.State(state).upload_alone(say))
        this = Run(stack, f"run `titlecard resume {project}`") if running else Run(stack)
        this.allow(project, [limit for limit in limits if limit])
        sent = [
            this.upload(manifest.file, project, name, limit, shown=str(manifest.path))
            for manifest, name, limit in zip(read, _object_names(it.file for it in read), limits, strict=True)
        ]
        with Display(people, len(manifests)) as display:
            ended = this.follow(sent, display.show, display.say, opened=uploading.close)
        with open_talks(output, as_json=as_json) as talks:
            outcomes = [_add_talks(this, ended[one], manifest, talks) for one, manifest in zip(sent, read, strict=True)]
        _report_outcomes(outcomes, this.remedy)
        if flagged := sum(outcome.tally[_FLAGGED] for outcome in outcomes):
            first = "" if running else "start `titlecard up` in another terminal, run the same command again, then "
            need = pluralize(flagged, "talk needs", "talks need")
            say(f"{need} review: {first}`titlecard review --project {project}`.")
    if any(outcome.status.batch.state is BatchState.REFUSED for outcome in outcomes):
        raise typer.Exit(ExitCode.BAD_USAGE)
    if not all(outcome.status.is_answered for outcome in outcomes):
        raise typer.Exit(ExitCode.UNFINISHED)


# ---------------------------------------------------------------------------------------------- what is said and asked


def _agree(manifests: Sequence[Manifest], parameters: Mapping[str, str], most: Cap, *, yes: bool) -> list[Total | None]:
    """Show the most that the run can cost and ask; return each batch's limits, or None if the model is not asked."""
    if Policy(parameters["TierPolicy"]) is Policy.LOCAL:
        return [None] * len(manifests)
    estimates = estimate(manifests, parameters, most)
    say(summary(estimates, parameters["Model"]))
    may_cost = any(it.asked for it in estimates)
    if may_cost and not yes and can_ask() and not confirm("Continue?"):
        raise typer.Abort
    return [it.limits for it in estimates]


def _object_names(manifests: Iterable[Path]) -> list[str]:
    """Return an S3 key for each manifest; files with the same name get different keys, not versions of one object."""
    seen: Counter[str] = Counter()
    names = []
    for path in manifests:
        seen[path.name] += 1
        folder = f"{seen[path.name]}/" if seen[path.name] > 1 else ""
        names.append(f"{folder}{path.name}")
    return names


@dataclass(frozen=True)
class _Outcome:
    """The outcome of a batch: its rows by tier or state, and the reasons why some are dead."""

    name: str
    status: Status
    tally: Counter[str]
    reasons: Counter[str]


def _add_talks(this: Run, batch: Batch, manifest: Manifest, talks: TalkOutput) -> _Outcome:
    """Add the talks of a batch to the output, and count them."""
    outcome = _Outcome(str(manifest.path), this.status(batch), Counter(), Counter())
    titles = {number: video.title for number, video in manifest.videos()} if talks.shows_table else {}
    for result in this.results(batch):
        row, talk = result.row, result.talk
        reason = f"{row.state}: {row.reason}"
        talks.add(of_row(result), titles.get(row.number, ""), talk, reason=reason)
        outcome.tally[row.tier or row.state] += 1
        outcome.tally[_FLAGGED] += bool(talk and talk.review)
        if row.state is RowState.DEAD:
            outcome.reasons[reason] += 1
    return outcome


def _report_outcomes(outcomes: Sequence[_Outcome], remedy: str) -> None:
    """Report the outcomes of the batches in a table, and below it why some videos are not parsed."""
    columns = {
        "given": Tier.GIVEN,
        "local": Tier.LOCAL,
        "model": Tier.MODEL,
        "superseded": RowState.SUPERSEDED,
        "dead": RowState.DEAD,
        "cancelled": RowState.CANCELLED,
        "waiting": RowState.DEFERRED,
    }
    shown = {name: key for name, key in columns.items() if name == "local" or any(it.tally[key] for it in outcomes)}
    rows = []
    for it in outcomes:
        numbers, spent = [*(it.tally[key] for key in shown.values()), it.status.batch.refused], it.status.spent
        cost = (f"{spent.tokens:,}", format_usd(spent.micro_usd)) if spent else ("?", "?")
        rows.append([it.name, *(f"{number:,}" for number in numbers), *cost])
    headings = ["manifest", *(f"{heading}>" for heading in (*shown, "rejected", "tokens", "cost"))]
    print_table(headings, rows, stream=sys.stderr)
    for it in outcomes:
        for reason, number in it.reasons.most_common(SHOWN_REASONS):
            say(f"{it.name}: {number:,} {reason}")
        for wait in it.status.waits:
            say(f"{it.name}: {wait.sentence(remedy)}")
        if it.status.batch.reason:
            say(f"{it.name}: {it.status.batch.reason}")
