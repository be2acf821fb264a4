"""`titlecard convert`: convert files to JSON Lines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from titlecard.manifests import Accepted, Refused, read
from titlecard_console.commands import options  # noqa: TC001 -- Typer reads annotations at run time
from titlecard_console.commands.check import see_check
from titlecard_console.errors import ExitCode
from titlecard_console.input_file import readable_again
from titlecard_console.local_cloud import template
from titlecard_console.manifest import path_in_errors, reading_limits
from titlecard_console.output import open_output, pluralize, say


def convert(manifests: options.Manifests, output: options.OutputFile = None) -> None:
    """Convert files to JSON Lines, one video per line.

    `titlecard convert schedule.xml > talks.jsonl`

    `curl https://example.org/schedule.json | titlecard convert -`

    It reads every format that `check`, `run` and `upload` read.

    Exit code 3: some rows are rejected.
    """
    limits, refused = reading_limits(template.load().values({})), Counter[Path]()
    with open_output(output) as sink:
        for path in manifests:
            with path_in_errors(path), readable_again(path, limits.total_max_bytes).open("rb") as stream:
                for row in read(stream, limits):
                    if isinstance(row, Accepted):
                        sink.write(row.video.model_dump_json(exclude_defaults=True) + "\n")
                    elif isinstance(row, Refused):
                        refused[path] += 1
    for path, number in refused.items():
        say(f"{path}: {pluralize(number, 'row is', 'rows are')} rejected: {see_check(path)}.")
    if refused:
        raise typer.Exit(ExitCode.UNFINISHED)
