"""`titlecard run`, `parse` and `up`: clean a manifest on this machine, and keep the local cloud running."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from titlecard.domain.batch import BatchState, RowState, project_name
from titlecard.domain.video import Policy, Tier
from titlecard.manifests import LIST_OF_TITLES
from titlecard.pipeline.lines import of_row
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.estimate import estimate, read_manifest, summary, talk_line
from titlecard_console.limits import spending_cap
from titlecard_console.local_cloud import cloud, template
from titlecard_console.local_cloud.errors import CloudError
from titlecard_console.output import confirm, format_usd, open_output, people, pluralize, print_table, say
from titlecard_console.progress import Display
from titlecard_console.run import Run
from titlecard_console.talk_table import for_people

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.money import Cap, Total
    from titlecard_console.estimate import Manifest
    from titlecard_console.status import Status
    from titlecard_console.talk_table import TalkTable

_FLAGGED = "flagged"
"""The key under which a batch's tally counts the talks that need a person."""

SHOWN_REASONS = 5
"""The most refused rows, and the most reasons, that are shown one by one."""


def parse(
    manifests: options.Manifests, *, output: options.OutputFile = None, as_json: options.JsonLines = False
) -> None:
    """Parse with the local tier alone: no cloud, no key, no cost.

    `titlecard parse events/sample.jsonl`

    `titlecard parse events/sample.jsonl > talks.jsonl`

    Prints a table on a terminal, JSON Lines to a pipe or file.
    """
    parameters = template.load().values({})
    table = for_people(output, as_json=as_json)
    with _open_lines(output, table) as lines:
        for path in manifests:
            manifest = read_manifest(path, parameters)
            for video, talk in manifest.talks():
                lines.write(talk_line(video, talk) + "\n")
                if table:
                    table.add(video.title, talk)
            _report_reading(manifest)
    if table:
        table.print()


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

    Prints a table on a terminal, JSON Lines to a pipe or file. The model is asked only if OPENAI_API_KEY is set
    (OPENAI_BASE_URL is honoured). The most that the run can cost is shown first and becomes the project's budget. The
    state folder keeps the talks, so a second run pays for none of them.

    Exit code 3: some videos are dead or waiting.
    """
    project_name(project)
    most = spending_cap(limit_usd, limit_tokens)
    running = cloud.find(state)
    if running and (settings or model or tier is not Policy.AUTO):
        raise CommandError(
            f"A local cloud with its own settings runs in {state}: leave out --tier, --model and --set, or stop it."
        )
    overrides = {} if running else _overrides(settings, tier, model)
    parameters = _parameters(state, overrides, running)
    read = [read_manifest(path, parameters) for path in manifests]
    for manifest in read:
        _report_reading(manifest)
    limits = _agree(read, parameters, most, yes=yes)
    with _local_cloud(state, overrides, running) as there:
        this = Run(there, f"run `titlecard resume {project}`") if running else Run(there)
        this.allow(project, [limit for limit in limits if limit])
        sent = [
            this.upload(path, project, name, limit)
            for path, name, limit in zip(manifests, _object_names(manifests), limits, strict=True)
        ]
        with Display(people, len(manifests)) as display:
            ended = this.follow(sent, display.show, display.say)
        table = for_people(output, as_json=as_json)
        with _open_lines(output, table) as lines:
            outcomes = [
                _write_lines(this, ended[one], lines, manifest, table) for one, manifest in zip(sent, read, strict=True)
            ]
        if table:
            table.print()
        _report_outcomes(outcomes, this.remedy)
        if flagged := sum(outcome.tally[_FLAGGED] for outcome in outcomes):
            first = "" if running else "start `titlecard up` in another terminal, run the same command again, then "
            need = pluralize(flagged, "talk needs", "talks need")
            say(f"{need} a look: {first}`titlecard review --project {project}`.")
    if any(outcome.status.batch.state is BatchState.REFUSED for outcome in outcomes):
        raise typer.Exit(ExitCode.BAD_USAGE)
    if any(
        outcome.reasons or outcome.status.waiting or outcome.status.batch.state is not BatchState.FINISHED
        for outcome in outcomes
    ):
        raise typer.Exit(ExitCode.UNFINISHED)


def up(*, settings: options.Settings = None, state: options.State = options.DEFAULT_STATE) -> None:
    """Keep a local cloud running, for every other command.

    `titlecard up`

    `titlecard up --set MaxConcurrency=2`

    Every AWS client works with it, for instance `aws --endpoint-url ... s3 cp`. Ctrl-C stops it.
    """
    with _local_cloud(state, _overrides(settings, Policy.AUTO, None), None) as there:
        say(f"The local cloud is at {there.endpoint_url} (region {there.region}).")
        say("In another terminal, `titlecard run MANIFEST` and all other commands use it; so does any AWS client:\n")
        credentials = f"AWS_ACCESS_KEY_ID={there.access_key} AWS_SECRET_ACCESS_KEY={there.secret_key}"
        command = f"aws --endpoint-url {there.endpoint_url} --region {there.region} s3 cp events/sample.jsonl"
        say(f"  {credentials} {command} s3://{there.outputs['UploadsBucket']}/uploads/default/\n")
        say("Ctrl-C stops it. Answers that were paid for are kept.")
        while cloud.find(state):
            time.sleep(1)
        raise CloudError(f"The local cloud has stopped by itself; its log is in {state}.")


# --------------------------------------------------------------------------------------------------- the local cloud


def _overrides(settings: Sequence[str] | None, tier: Policy, model: str | None) -> dict[str, str]:
    """Return the parameters that --set, --tier, --model and the presence of a key imply; --set wins."""
    overrides = options.overrides(settings, model=model, tier=None if tier is Policy.AUTO else tier)
    if tier is not Policy.AUTO or "TierPolicy" not in overrides:
        overrides["TierPolicy"] = _policy(tier)
    return overrides


def _policy(tier: Policy) -> Policy:
    """Return the tier policy that --tier and the presence of a key imply."""
    if os.environ.get("OPENAI_API_KEY"):
        return tier
    if tier is Policy.MODEL:
        raise CommandError("--tier model needs a key: set OPENAI_API_KEY, or leave the option out.")
    if tier is Policy.AUTO:
        _say_local_only("is not set")
    return Policy.LOCAL


def _say_local_only(why: str) -> None:
    say(f"OPENAI_API_KEY {why}: the local tier alone answers, and nothing is spent.")


def _parameters(state: Path, overrides: Mapping[str, str], running: cloud.Cloud | None) -> Mapping[str, str]:
    """Return the parameters of the running cloud, or of the one that will be started."""
    if running:
        parameters = stacks.find(None, state).parameters
        if Policy(parameters["TierPolicy"]) is Policy.LOCAL:
            has_key = bool(os.environ.get("OPENAI_API_KEY"))
            _say_local_only("was not set when this cloud was started" if has_key else "is not set")
        return parameters
    return template.load().values(cloud.local_parameters(os.environ) | dict(overrides))


@contextmanager
def _local_cloud(state: Path, overrides: Mapping[str, str], running: cloud.Cloud | None) -> Iterator[cloud.Cloud]:
    if running:
        yield running
        return
    started = time.monotonic()
    with cloud.start(state, overrides, os.environ, say=lambda step: say(f"{step} …")) as there:
        say(f"the local cloud is up after {time.monotonic() - started:.0f} s")
        yield there


# ---------------------------------------------------------------------------------------------- what is said and asked


def _report_reading(manifest: Manifest) -> None:
    """Report the refused rows, with the reasons of the first ones, and any text that was read as a list of titles."""
    if manifest.report.form == LIST_OF_TITLES:
        say(f"{manifest.path}: read as a list of titles, one per line.")
    rejects = [json.loads(line) for line in manifest.rejects.splitlines()[:SHOWN_REASONS]]
    for reject in rejects:
        say(f"{manifest.path}:{reject['row']}: {reject['reason']}")
    more = manifest.report.refused - len(rejects)
    if more > 0:
        say(f"{manifest.path}: {pluralize(more, 'more row')} cannot be used")


def _agree(manifests: Sequence[Manifest], parameters: Mapping[str, str], most: Cap, *, yes: bool) -> list[Total | None]:
    """Show the most that the run can cost and ask; return each batch's limits, or None if the model is not asked."""
    if Policy(parameters["TierPolicy"]) is Policy.LOCAL:
        return [None] * len(manifests)
    estimates = estimate(manifests, parameters, most)
    say(summary(estimates, parameters["Model"]))
    may_cost = any(it.asked for it in estimates)
    if may_cost and not yes and sys.stdin.isatty() and not confirm("Continue?"):
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


def _write_lines(this: Run, batch: Batch, lines: TextIO, manifest: Manifest, table: TalkTable | None) -> _Outcome:
    """Write the lines of a batch and count them; a table also shows each video's title from the manifest."""
    outcome = _Outcome(str(manifest.path), this.status(batch), Counter(), Counter())
    titles = {number: video.title for number, video in manifest.videos()} if table else {}
    for row, entry in this.rows(batch):
        lines.write(of_row(row, entry, batch.id) + "\n")
        outcome.tally[row.tier or row.state] += 1
        outcome.tally[_FLAGGED] += row.state is RowState.PARSED and entry.talk is not None and bool(entry.talk.review)
        if row.state is RowState.DEAD:
            outcome.reasons[f"{row.state}: {row.reason}"] += 1
        if table:
            talk = entry.talk if row.state is RowState.PARSED else None
            table.add(titles.get(row.number, ""), talk, reason=f"{row.state}: {row.reason}")
    return outcome


@contextmanager
def _open_lines(output: Path | None, table: TalkTable | None) -> Iterator[TextIO]:
    """Open the destination of JSON Lines: a file, standard output, or nowhere if people see a table instead."""
    if output is None and table is not None:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 -- a device, not a file
            yield nowhere
        return
    with open_output(output) as lines:
        yield lines


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
        numbers = [*(it.tally[key] for key in shown.values()), it.status.batch.refused, it.status.spent.tokens]
        rows.append([it.name, *(f"{number:,}" for number in numbers), format_usd(it.status.spent.micro_usd)])
    headings = ["manifest", *(f"{heading}>" for heading in (*shown, "rejected", "tokens", "cost"))]
    print_table(headings, rows, stream=sys.stderr)
    for it in outcomes:
        for reason, number in it.reasons.most_common(SHOWN_REASONS):
            say(f"{it.name}: {number:,} {reason}")
        for wait in it.status.waits:
            say(f"{it.name}: {wait.sentence(remedy)}")
        if it.status.batch.reason:
            say(f"{it.name}: {it.status.batch.reason}")
