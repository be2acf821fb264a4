"""`titlecard upload`: send a manifest to a stack, with a limit on what its batch may cost."""

from __future__ import annotations

import typer

from titlecard.domain.money import Cap
from titlecard.domain.video import Policy
from titlecard_console import estimate as estimating
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.commands.check import see_check
from titlecard_console.commands.estimate import left_in_words, left_of_budget
from titlecard_console.manifest import read_manifest
from titlecard_console.output import confirm, pluralize, say


def upload(
    manifest: options.Manifest,
    *,
    project: options.Project = "default",
    limit_usd: options.LimitUsd = None,
    limit_tokens: options.LimitTokens = None,
    yes: options.Yes = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Upload a manifest, with a limit on what its batch may cost.

    `titlecard upload playlist.json --project djangocon --stack titlecard`

    `titlecard upload playlist.json --project djangocon --limit-usd 2`

    It first shows the most that the batch can cost, which becomes the batch's limit. The project's budget also applies.
    It prints the batch's name on standard output.
    """
    most = Cap(limit_tokens, limit_usd)
    stack = stacks.find(stack_name, state)
    parameters = stack.parameters
    (found,) = estimating.estimate([read_manifest(manifest, parameters)], parameters, most)
    if Policy(parameters["TierPolicy"]) is not Policy.LOCAL:
        say(estimating.summary([found], parameters["Model"]))
        say(left_in_words(left_of_budget(stack, project), project))
    if refused := found.manifest.report.refused:
        say(f"{pluralize(refused, 'row is', 'rows are')} rejected: {see_check(manifest)}.")
    if not yes and not confirm("Upload it?"):
        raise typer.Abort
    file = found.manifest.file
    typer.echo(stacks.upload(stack, file, f"{project}/{file.name}", found.limits).batch)
