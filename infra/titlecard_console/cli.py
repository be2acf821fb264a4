"""`titlecard`: the commands, their options and their exit codes. What they do is in the modules beside this one.

Standard output is data, standard error is for people. Exit codes: 0 all is well; 2 bad usage, or a file that is no
manifest; 3 some videos are dead or deferred; 1 something else went wrong; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]  # it means them to be

from titlecard.aws.dynamodb.ledger import LedgerUnavailable
from titlecard.aws.sqs import MessagesNotSent
from titlecard.domain.batch import BatchState, RowState, project_name
from titlecard.domain.money import Unpriced
from titlecard.domain.video import Policy, Tier
from titlecard.manifests import NotAManifest
from titlecard.pipeline.lines import of_row
from titlecard_console import check as checking
from titlecard_console import commands, local_tier, plans
from titlecard_console import errors as complaints
from titlecard_console import stack as where
from titlecard_console.files import in_a_folder
from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import cloud, template
from titlecard_console.output import format_usd, pluralize
from titlecard_console.progress import Display, Status
from titlecard_console.run import Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import TextIO

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.batch import BatchLimits
    from titlecard.domain.money import Cap

BAD_USAGE, UNFINISHED, FAILED, INTERRUPTED = 2, 3, 1, 130

PROGRAM, COMPLETING = "titlecard", "_TITLECARD_COMPLETE"
"""What people type, and where the shell says what is to be completed; the second follows from the first (Click)."""

SHOWN = 5
"""Refused rows, and reasons, that are told of one by one."""

app = typer.Typer(
    help="Clean titles and presenters' names for lists of conference videos; the bill is bounded before it starts.",
    epilog="Exit codes: 0 all is well; 1 something went wrong; 2 bad usage, or a file that is no manifest; 3 some "
    "videos are dead, deferred or refused, as each command's help says; 130 interrupted. Standard output is data, "
    "standard error is for people.",
    no_args_is_help=True,
    add_completion=False,  # Typer's own options know one shell alone, the one that they run in: see `completion`
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
people = Console(stderr=True, highlight=False)
data = Console(highlight=False)

Manifests = Annotated[
    list[Path],
    typer.Argument(metavar="MANIFEST...", exists=True, dir_okay=False, readable=True, help="Each file is one batch."),
]
Output = Annotated[
    Path | None,
    typer.Option(help="Where the lines go instead of standard output.", dir_okay=False, callback=in_a_folder),
]
StateFolder = Annotated[Path, typer.Option(help="What was paid for is kept here.", file_okay=False)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PARAMETER=VALUE", help="Override a parameter of template.yaml; may be repeated."),
]


@app.command()
def parse(manifests: Manifests, output: Output = None) -> None:
    """Parse with the local tier alone: in this process, without a cloud and without a key.

    titlecard parse events/sample.jsonl > talks.jsonl
    """
    values = template.load().values({})
    with _writing(output) as lines:
        for path in manifests:
            counted = plans.count(path, values)
            for line in counted.lines():
                lines.write(line + "\n")
            _say_refused(counted)


@app.command()
def check(
    manifests: Manifests,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per file instead of text.")] = False,
) -> None:
    """Say what a file is, how it is read, how many of its rows are good, and why the others are not.

    titlecard check playlist.json

    Exit code 3: some rows cannot be used.
    """
    limits = plans.reading_limits(template.load().values({}))
    reports = []
    for path in manifests:
        with plans.named(path):
            report = checking.check(path, limits)
        reports.append(report)
        if as_json:
            print(json.dumps({"manifest": str(path), **asdict(report)}, ensure_ascii=False))  # noqa: T201 -- data
        else:
            data.print(_verdict(path, report), markup=False, soft_wrap=True)
    if any(report.refused for report in reports):
        raise typer.Exit(UNFINISHED)


@app.command()
def run(
    manifests: Manifests,
    project: Annotated[str, typer.Option(help="The tenant: the folder under uploads/.")] = "default",
    tier: Annotated[
        Policy, typer.Option(help="Who answers; auto asks the model where the local tier is not sure.")
    ] = Policy.AUTO,
    model: Annotated[str | None, typer.Option(help="The model that is asked; it must have a price.")] = None,
    output: Output = None,
    state: StateFolder = where.STATE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before something may be spent.")] = False,
    limit_usd: plans.LimitUsd = None,
    limit_tokens: plans.LimitTokens = None,
    settings: Settings = None,
) -> None:
    """Run manifests through the whole stack on this machine, and give the talks.

    titlecard run events/sample.jsonl

    titlecard run --project djangocon --set MaxConcurrency=2 --output talks.jsonl 2019.jsonl 2020.jsonl

    The model is asked only if OPENAI_API_KEY is set (OPENAI_BASE_URL is honoured), and never more often than the number
    that is shown first, which becomes the project's budget as well. Talks are kept in the state folder, and a second
    run pays for none of them.
    """
    project_name(project)
    most = plans.upper_bound(limit_usd, limit_tokens)
    running = cloud.find(state)
    if running and (settings or model or tier is not Policy.AUTO):
        _fail(
            f"A cloud is running on {state} with settings of its own: leave out --tier, --model and --set, or stop it."
        )
    overrides = {} if running else _overrides(settings, tier, model)
    values = _values(state, overrides, running)
    counted = [plans.count(path, values) for path in manifests]
    for read in counted:
        _say_refused(read)
    limits = _agreed(counted, values, most, yes=yes)
    with _cloud(state, overrides, running) as there:
        work = Work(there)
        work.allow(project, [limit for limit in limits if limit])
        sent = [
            work.upload(path, project, name, limit)
            for path, name, limit in zip(manifests, _names(manifests), limits, strict=True)
        ]
        with Display(people) as display:
            ended = work.follow(sent, display.show, display.say)
        with _writing(output) as lines:
            outcomes = [_outcome(work, one.name, ended[one], lines) for one in sent]
        _say_outcomes(outcomes)
    if any(outcome.status.batch.state is BatchState.REFUSED for outcome in outcomes):
        raise typer.Exit(BAD_USAGE)
    if any(outcome.reasons or outcome.status.batch.state is not BatchState.FINISHED for outcome in outcomes):
        raise typer.Exit(UNFINISHED)


@app.command()
def up(state: StateFolder = where.STATE, settings: Settings = None) -> None:
    """Keep the local cloud running, for `aws --endpoint-url ... s3 cp` and for every other command. Ctrl-C stops it.

    titlecard up --set MaxConcurrency=2
    """
    with _cloud(state, _overrides(settings, Policy.AUTO, None), None) as there:
        people.print(f"The local cloud is at {there.endpoint_url} (region {there.region}).", markup=False)
        people.print("Upload manifests to uploads/<project>/, for instance:\n", markup=False)
        credentials = f"AWS_ACCESS_KEY_ID={there.access_key} AWS_SECRET_ACCESS_KEY={there.secret_key}"
        command = f"aws --endpoint-url {there.endpoint_url} --region {there.region} s3 cp events/sample.jsonl"
        target = f"s3://{there.outputs['UploadsBucket']}/uploads/default/"
        people.print(f"  {credentials} {command} {target}\n", markup=False, soft_wrap=True)
        people.print("Ctrl-C stops it; what was paid for is kept.", markup=False)
        while cloud.find(state):
            time.sleep(1)
        raise cloud.CloudError(f"the local cloud has stopped by itself; its log is in {state}")


class Shell(StrEnum):
    """A shell that completes what is typed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that is to complete commands and options.")],
) -> None:
    """Print what makes a shell complete commands and options.

    eval "$(titlecard completion bash)"

    eval "$(titlecard completion zsh)"

    titlecard completion fish | source

    Put the line into ~/.bashrc, ~/.zshrc (behind compinit) or ~/.config/fish/config.fish to have it in every shell.
    """
    print(get_completion_script(prog_name=PROGRAM, complete_var=COMPLETING, shell=shell))  # noqa: T201 -- data


completion_init()
commands.register(app)


def main() -> None:
    """Run a command; explain what a person can mend, without a traceback."""
    try:
        app(prog_name=PROGRAM)
    except KeyboardInterrupt:
        people.print("Interrupted. What was made so far is kept; the same command goes on from there.", markup=False)
        sys.exit(INTERRUPTED)
    except complaints.COMPLAINTS as fault:  # before ValueError, which some of them are as well
        people.print(complaints.explain(fault), markup=False, soft_wrap=True)
        sys.exit(FAILED)
    except (NotAManifest, template.BadParameterError, where.CommandError, Unpriced, ValueError) as refusal:
        people.print(str(refusal), markup=False, soft_wrap=True)
        sys.exit(BAD_USAGE)
    except LedgerUnavailable as silence:
        cause = silence.__cause__
        told = complaints.explain(cause) if isinstance(cause, complaints.COMPLAINTS) else str(silence)
        people.print(told, markup=False, soft_wrap=True)
        sys.exit(FAILED)
    except (cloud.CloudError, artefact.BuildError, MessagesNotSent, OSError) as fault:
        people.print(str(fault), markup=False, soft_wrap=True)
        sys.exit(FAILED)


# ------------------------------------------------------------------------------------------------ what commands share


def _fail(sentence: str) -> None:
    people.print(sentence, markup=False, soft_wrap=True)
    raise typer.Exit(BAD_USAGE)


def _overrides(settings: Sequence[str] | None, tier: Policy, model: str | None) -> dict[str, str]:
    """The parameters that --set, --tier, --model and the presence of a key make; what is said with --set stands."""
    overrides: dict[str, str] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals:
            raise template.BadParameterError(f"--set {setting}: write PARAMETER=VALUE, as in --set MaxReceiveCount=6.")
        overrides[name] = value
    for option, name, given in (("--tier", "TierPolicy", tier is not Policy.AUTO), ("--model", "Model", bool(model))):
        if given and name in overrides:
            raise template.BadParameterError(f"{option} and --set {name} contradict each other: leave one of them out.")
    if model:
        overrides["Model"] = model
    if "TierPolicy" not in overrides:
        overrides["TierPolicy"] = _tiers(tier)
    return overrides


def _tiers(tier: Policy) -> Policy:
    """Who answers, by --tier and the presence of a key."""
    if os.environ.get("OPENAI_API_KEY"):
        return tier
    if tier is Policy.MODEL:
        raise ValueError("--tier model needs a key: set OPENAI_API_KEY, or leave the option out.")
    if tier is Policy.AUTO:
        _say_local("is not set")
    return Policy.LOCAL


def _say_local(why: str) -> None:
    sentence = f"OPENAI_API_KEY {why}: the local tier alone answers, and nothing is spent."
    people.print(sentence, markup=False, soft_wrap=True)


def _values(state: Path, overrides: Mapping[str, str], running: cloud.Cloud | None) -> Mapping[str, str]:
    """The parameters of the cloud that is running, or of the one that is to be started."""
    if running:
        values = where.find(None, state).parameters
        if Policy(values["TierPolicy"]) is Policy.LOCAL:
            _say_local("was not set when this cloud was started" if os.environ.get("OPENAI_API_KEY") else "is not set")
        return values
    return template.load().values(cloud.local_parameters(os.environ) | dict(overrides))


def _verdict(path: Path, report: checking.Report) -> str:
    """What `check` says of a file, in lines for people."""
    read = ", ".join(
        field if field == column else f"{field} from {column!r}" for field, column in report.columns.items()
    )
    repeated = f", {report.repeated:,} repeated" if report.repeated else ""
    lines = [
        f"{path}: {report.form}",
        f"  read: {read}",
        f"  rows: {report.accepted:,} good, {report.refused:,} refused{repeated}",
        *(f"  {refused.number}: {refused.reason}" for refused in report.first_refused),
    ]
    more = report.refused - len(report.first_refused)
    return "\n".join([*lines, f"  and {more:,} more"] if more > 0 else lines)


def _say_refused(counted: local_tier.Counted) -> None:
    """Tell of refused rows: the first few, and how many."""
    rejects = [json.loads(line) for line in counted.rejects.splitlines()[:SHOWN]]
    for reject in rejects:
        people.print(f"{counted.path}:{reject['row']}: {reject['reason']}", markup=False, soft_wrap=True)
    more = counted.census.refused - len(rejects)
    if more > 0:
        people.print(f"{counted.path}: and {pluralize(more, 'more row')} that cannot be used", markup=False)


def _agreed(
    counted: Sequence[local_tier.Counted], values: Mapping[str, str], most: Cap, *, yes: bool
) -> list[BatchLimits | None]:
    """Show the most that the run can be charged and ask; the limits of each batch, or none where nothing is asked."""
    if Policy(values["TierPolicy"]) is Policy.LOCAL:
        return [None] * len(counted)
    bills = plans.cost_bounds(counted, values, most)
    people.print(plans.sentence(bills, values["Model"]), markup=False, soft_wrap=True)
    if any(bill.asked for bill in bills) and not yes and sys.stdin.isatty():
        answer = people.input("Go on? (y/N) ")  # not typer.confirm, which writes a blank to standard output
        if not answer.strip().lower().startswith("y"):
            raise typer.Abort
    return [bill.limits for bill in bills]


@contextmanager
def _cloud(state: Path, overrides: Mapping[str, str], running: cloud.Cloud | None) -> Iterator[cloud.Cloud]:
    if running:
        yield running
        return
    started = time.monotonic()
    with cloud.start(state, overrides, os.environ, say=lambda step: people.print(f"{step} …", markup=False)) as there:
        people.print(f"the local cloud is up after {time.monotonic() - started:.0f} s", markup=False)
        yield there


@contextmanager
def _writing(output: Path | None) -> Iterator[TextIO]:
    opened: AbstractContextManager[TextIO] = output.open("w", encoding="utf-8") if output else nullcontext(sys.stdout)
    with opened as lines:
        yield lines


def _names(manifests: Iterable[Path]) -> list[str]:
    """The objects' names: the files' own; two of one name must not be two versions of one object."""
    seen: Counter[str] = Counter()
    names = []
    for path in manifests:
        seen[path.name] += 1
        again = f"{seen[path.name]}/" if seen[path.name] > 1 else ""
        names.append(f"{again}{path.name}")
    return names


@dataclass(frozen=True)
class _Outcome:
    """How a batch ended: its rows by tier or state, and why some of them are not parsed."""

    name: str
    status: Status
    tally: Counter[str]
    reasons: Counter[str]


def _outcome(work: Work, name: str, batch: Batch, lines: TextIO) -> _Outcome:
    """Write the lines of a batch, and count them."""
    outcome = _Outcome(name, work.status(batch), Counter(), Counter())
    for row, entry in work.rows(batch):
        lines.write(of_row(row, entry, batch.id) + "\n")
        outcome.tally[row.tier or row.state] += 1
        if row.state in (RowState.DEAD, RowState.DEFERRED):
            outcome.reasons[f"{row.state}: {row.reason}"] += 1
    return outcome


def _say_outcomes(outcomes: Sequence[_Outcome]) -> None:
    """How the batches ended, for people: a table, and below it what they should know."""
    columns = {
        "local": Tier.LOCAL,
        "model": Tier.MODEL,
        "superseded": RowState.SUPERSEDED,
        "dead": RowState.DEAD,
        "cancelled": RowState.CANCELLED,
        "waiting": RowState.DEFERRED,
    }
    shown = {
        name: key for name, key in columns.items() if name == "local" or any(outcome.tally[key] for outcome in outcomes)
    }
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("manifest", overflow="fold")
    for heading in (*shown, "rejected", "tokens", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for it in outcomes:
        numbers = [*(it.tally[key] for key in shown.values()), it.status.batch.refused, it.status.spent.tokens]
        table.add_row(it.name, *(f"{number:,}" for number in numbers), format_usd(it.status.spent.micro_usd))
    people.print(table)
    for it in outcomes:
        for reason, number in it.reasons.most_common(SHOWN):
            people.print(f"{it.name}: {number:,} {reason}", markup=False, soft_wrap=True)
        if it.status.batch.reason:
            people.print(f"{it.name}: {it.status.batch.reason}", markup=False, soft_wrap=True)
