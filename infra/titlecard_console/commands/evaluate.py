"""`titlecard eval`: score the tiers on videos whose right answers are known."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from titlecard.domain.video import Policy
from titlecard_console import evaluation
from titlecard_console.commands import options
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.estimate import model_tier
from titlecard_console.evaluation import Case, Result
from titlecard_console.input_file import read_bytes
from titlecard_console.local_cloud import template
from titlecard_console.output import confirm, format_charge, format_usd, pluralize, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from titlecard.domain.money import Amount

ANSWERS_PER_LINE = 50
"""The number of answers between two progress lines."""

Dataset = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET",
        parser=options.input_path,
        help="Videos and their right answers, as JSON Lines; - is standard input.",
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option(metavar="FILE", parser=options.input_path, help="Scores to compare with, as --json prints them."),
]


def evaluate(
    dataset: Dataset,
    *,
    tier: Annotated[
        Policy, typer.Option(help="Which tier answers; auto asks the model if the local one is not sure.")
    ] = Policy.LOCAL,
    model: Annotated[str | None, typer.Option(help="The model to ask; it must be listed in prices.toml.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="The number of concurrent requests.")] = 4,
    baseline: Baseline = None,
    settings: options.Settings = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Score the tiers on videos whose right answers are known.

    `titlecard eval talks.jsonl --baseline tests/evals/baseline.json`

    `OPENAI_API_KEY=... titlecard eval talks.jsonl --tier auto`

    Rows with the same `event` form one batch. OPENAI_API_KEY enables the model; OPENAI_BASE_URL sets the endpoint. The
    model is asked at most once per row. The most that this can cost is shown first. It does not use any stack's budget.

    Exit code 3: a score is below the baseline, or the model did not answer for some rows.
    """
    chosen = options.overrides(settings, model=model)
    cases, standard = list(_cases(dataset)), _read_baseline(baseline) if baseline else {}
    if tier is Policy.LOCAL:
        results, unanswered = evaluation.run(cases, evaluation.by_local_tier), 0
    else:
        results, unanswered = _by_model(cases, tier, chosen, at_once, yes=yes)
    scores = evaluation.score(cases, results)
    if as_json:
        print_json(scores.figures())
    else:
        typer.echo(evaluation.table(scores))
    drops = evaluation.drops(scores, standard)
    say(*drops)
    if drops or unanswered:
        raise typer.Exit(ExitCode.UNFINISHED)


def _cases(dataset: Path) -> Iterator[Case]:
    """Read a data set.

    Raises:
        CommandError: a line is not a video with its right answer.
    """
    for number, line in enumerate(read_bytes(dataset).splitlines(), 1):
        if line.strip():
            try:
                yield Case.of(json.loads(line))
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise CommandError(
                    f"{dataset}, line {number} is not a video with its right answer: it needs id, title, event and "
                    'expected: {"title": ..., "presenters": [...]}.'
                ) from error


def _read_baseline(path: Path) -> dict[str, float]:
    """Read the scores of an earlier run.

    Raises:
        CommandError: the file does not hold scores.
    """
    try:
        return TypeAdapter(dict[str, float]).validate_json(read_bytes(path))
    except ValidationError as error:
        raise CommandError(f"{path} does not hold scores: write it with `titlecard eval DATASET --json`.") from error


def _by_model(
    cases: list[Case], policy: Policy, chosen: Mapping[str, str], at_once: int, *, yes: bool
) -> tuple[list[Result], int]:
    """Show the most that asking can cost and ask for confirmation; return the results and the number of failed rows."""
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise CommandError(f"--tier {policy} needs a key: set OPENAI_API_KEY, or leave the option out.")
    base_url = os.environ.get("OPENAI_BASE_URL")
    parameters = template.load().values(({"OpenAIBaseUrl": base_url} if base_url else {}) | dict(chosen))
    tier = model_tier(parameters)
    planned = evaluation.plan(cases, tier, policy)
    number, most = len(planned.requests), format_charge(planned.bound)
    say(f"{pluralize(len(cases), 'row')}, {number:,} of them for {tier.model}. At most {most} can be charged.")
    if number and not yes and not confirm("Continue?"):
        raise typer.Abort

    def report(done: int, charged: Amount) -> None:
        if done % ANSWERS_PER_LINE == 0 or done == number:
            cost = f"{pluralize(charged.tokens, 'token')}, {format_usd(charged.micro_usd)}"
            say(f"{done:,} of {number:,}: {cost}")

    with closing(tier):
        deadline = float(parameters["RequestDeadlineSeconds"])
        try:
            answered = evaluation.ask(planned, tier, key=key, deadline=deadline, at_once=at_once, on_progress=report)
        except KeyboardInterrupt:
            say("Interrupted. The requests so far are billed, and their answers are lost: a new run asks again.")
            sys.exit(ExitCode.INTERRUPTED)
    for reason, times in answered.faults.most_common():
        say(f"{pluralize(times, 'row has', 'rows have')} the local answer: {reason}")
    return answered.results, answered.faults.total()
