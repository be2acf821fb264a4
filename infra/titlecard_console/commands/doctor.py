"""`titlecard doctor`: check that this machine, and optionally a stack, can run Titlecard."""

from __future__ import annotations

import os
from dataclasses import asdict

import typer

from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.doctor import Level, examine, examine_stack
from titlecard_console.errors import ExitCode
from titlecard_console.output import print_json


def doctor(
    *, as_json: options.Json = False, stack_name: options.StackName = None, state: options.State = options.DEFAULT_STATE
) -> None:
    """Check that this machine can run Titlecard.

    `titlecard doctor`

    `titlecard doctor --stack titlecard`

    With --stack it also checks the stack. A "warning" means that an optional feature is not available.

    Exit code 1: a check failed.
    """
    findings = list(examine(os.environ, state))
    if stack_name is not None:
        findings += examine_stack(stacks.find(stack_name, state))
    for finding in findings:
        if as_json:
            print_json(asdict(finding))
        else:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            typer.echo(f"{finding.level:<8} {finding.check:<13} {finding.found}{remedy}")
    if any(finding.level is Level.FAILED for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
