"""`titlecard check`: show how Titlecard reads a file, and why it rejects rows."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from titlecard_console.commands import options  # noqa: TC001 -- Typer reads annotations at run time
from titlecard_console.errors import ExitCode
from titlecard_console.local_cloud import template
from titlecard_console.manifest import read_manifest
from titlecard_console.output import print_json, without_controls

if TYPE_CHECKING:
    from pathlib import Path

    from titlecard_console.manifest import Manifest

IGNORED_SHOWN = 20
"""The most ignored columns that are shown to people; the JSON lists all of them."""


def check(manifests: options.Manifests, as_json: options.Json = False) -> None:
    """Show how Titlecard reads a file, and why it rejects rows.

    `titlecard check playlist.json`

    Exit code 3: some rows are rejected.
    """
    parameters, refused = template.load().values({}), False
    for path in manifests:
        manifest = read_manifest(path, parameters)
        refused |= manifest.report.refused > 0
        if as_json:
            report = {name: getattr(manifest.report, name) for name in ("accepted", "refused", "repeated", "left_out")}
            columns = {"form": manifest.report.form, "columns": manifest.columns, "ignored": manifest.ignored}
            first_refused = [asdict(row) for row in manifest.first_refused]
            print_json({"manifest": str(path), **columns, **report, "first_refused": first_refused})
        else:
            typer.echo(without_controls(_in_words(manifest)))
    if refused:
        raise typer.Exit(ExitCode.UNFINISHED)


def see_check(manifest: Path | str) -> str:
    """Name the command that shows which rows are rejected."""
    return f"`titlecard check {shlex.quote(str(manifest))}` says why"


def _in_words(manifest: Manifest) -> str:
    report = manifest.report
    columns = ", ".join(
        field if field == column else f"{field} from {column!r}" for field, column in manifest.columns.items()
    )
    repeated = f", {report.repeated:,} repeated" if report.repeated else ""
    left_out = f", {report.left_out:,} left out (not talks)" if report.left_out else ""
    ignored = ", ".join(manifest.ignored[:IGNORED_SHOWN])
    if len(manifest.ignored) > IGNORED_SHOWN:
        ignored += f" and {len(manifest.ignored) - IGNORED_SHOWN:,} more"
    lines = [
        f"{manifest.path}: {report.form}",
        f"  read: {columns}",
        *([f"  ignored: {ignored}"] if ignored else []),
        f"  rows: {report.accepted:,} good, {report.refused:,} rejected{repeated}{left_out}",
        *(f"  {refused.number}: {refused.reason}" for refused in manifest.first_refused),
    ]
    more = report.refused - len(manifest.first_refused)
    return "\n".join([*lines, f"  and {more:,} more"] if more > 0 else lines)
