"""`titlecard eval`: how good the tiers are on videos whose right answers are known."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from titlecard.domain.money import Amount, PriceList
from titlecard.domain.video import Policy
from titlecard.llm import OPENAI, ModelTier
from titlecard_console import asking, evaluation, questions
from titlecard_console.evaluation import Case, Result
from titlecard_console.local_cloud import template
from titlecard_console.output import format_amounts, format_usd, pluralize
from titlecard_console.stack import CommandError

DROPPED = 3
"""Exit code: a score is below the baseline, or rows were not answered."""

EVERY = 50
"""After so many answers a line says how far it is."""

people = Console(stderr=True, highlight=False)

Dataset = Annotated[
    Path,
    typer.Argument(metavar="DATASET.jsonl", exists=True, dir_okay=False, readable=True, help="Videos and answers."),
]
Baseline = Annotated[Path | None, typer.Option(help="Scores to compare with, as --json gives them.")]


def register(app: typer.Typer) -> None:
    """Put the command into the application."""
    app.command(name="eval")(evaluate)


def evaluate(
    dataset: Dataset,
    *,
    tier: Annotated[
        Policy, typer.Option(help="Who answers; auto asks the model where the local tier is not sure.")
    ] = Policy.LOCAL,
    model: Annotated[str | None, typer.Option(help="The model that is asked; it must have a price.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Requests under way side by side.")] = 4,
    baseline: Baseline = None,
    as_json: Annotated[bool, typer.Option("--json", help="The scores as one JSON object.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before something may be spent.")] = False,
) -> None:
    """Score the tiers on videos whose right answers are known, one batch per `event`.

    titlecard eval talks.jsonl --baseline tests/evals/baseline.json

    OPENAI_API_KEY=… titlecard eval talks.jsonl --tier auto

    The model is asked with OPENAI_API_KEY (OPENAI_BASE_URL is honoured), once a row at most, and the most that this can
    cost is shown first. It is spent outside every budget of a stack.

    Exit code 3: a score has dropped below the baseline, or the model did not answer for some rows.
    """
    with dataset.open(encoding="utf-8") as lines:
        cases = [Case.of(json.loads(line)) for line in lines if line.strip()]
    if tier is Policy.LOCAL:
        results, unanswered = evaluation.run(cases, evaluation.by_local_tier), 0
    else:
        results, unanswered = _by_model(cases, tier, model, at_once, yes=yes)
    scores = evaluation.score(cases, results)
    typer.echo(json.dumps(scores.figures()) if as_json else evaluation.table(scores))
    dropped = evaluation.drops(scores, json.loads(baseline.read_text(encoding="utf-8"))) if baseline else []
    for sentence in dropped:
        typer.echo(sentence, err=True)
    if dropped or unanswered:
        raise typer.Exit(DROPPED)


def _by_model(
    cases: list[Case], policy: Policy, model: str | None, at_once: int, *, yes: bool
) -> tuple[list[Result], int]:
    """Ask the model after its bound was agreed to; the results, and for how many rows there was no answer."""
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise CommandError(f"--tier {policy} needs a key: set OPENAI_API_KEY, or leave the option out.")
    values = template.load().values({"Model": model} if model else {})
    asked = ModelTier(
        values["Model"],
        prices=PriceList.packaged(),
        service_tier=values["ServiceTier"],
        base_url=os.environ.get("OPENAI_BASE_URL") or OPENAI,
        max_output_tokens=int(values["MaxOutputTokens"]),
    )
    planned = asking.plan(cases, asked, policy)
    number, bound = len(planned.questions), planned.bound
    typer.echo(
        f"{pluralize(len(cases), 'row')}, {number:,} of them for {asked.model}. "
        f"At most {format_amounts(number, bound.tokens, bound.micro_usd)} can be charged.",
        err=True,
    )
    if number and not yes and not questions.confirm(people, "Go on?"):
        raise typer.Abort

    def say(done: int, charged: Amount) -> None:
        if done % EVERY == 0 or done == number:
            typer.echo(
                f"{done:,} of {number:,}: {pluralize(charged.tokens, 'token')}, {format_usd(charged.micro_usd)}",
                err=True,
            )

    with closing(asked):
        deadline = float(values["RequestDeadlineSeconds"])
        answered = asking.ask(planned, asked, key=key, deadline=deadline, at_once=at_once, say=say)
    for reason, times in answered.faults.most_common():
        typer.echo(f"{pluralize(times, 'row has', 'rows have')} the local answer: {reason}", err=True)
    return answered.results, answered.faults.total()
