"""`titlecard rejects`: list the rejected rows of a batch. `titlecard batches` says why a whole file was refused."""

from __future__ import annotations

import json

import typer

from titlecard.aws.s3 import report_key
from titlecard.domain.text import normalise
from titlecard.pipeline.ingest import REJECTS
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.output import pluralize, say
from titlecard_console.results import ResultReader


def rejects(
    batch: options.BatchName,
    *,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """List the rejected rows of a batch, and why.

    `titlecard rejects pycon-2019-0f3a`

    `titlecard rejects pycon-2019-0f3a --json | jq -r .row`
    """
    stack = stacks.find(stack_name, state)
    upload = ResultReader(stack).batch(batch).upload
    s3 = stack.client("s3")
    try:
        body = s3.get_object(Bucket=upload.bucket, Key=report_key(batch, REJECTS))["Body"]
    except s3.exceptions.NoSuchKey as missing:
        raise CommandError(
            f"{batch} has no {REJECTS}: ingest is still reading its file, or refused it. `titlecard batches` says why."
        ) from missing
    found = 0
    with body:
        for line in body.iter_lines():
            found += 1
            if as_json:
                typer.echo(line.decode())
            else:
                reject = json.loads(line)
                typer.echo(f"{reject['row']}: {normalise(reject['reason'])}")
                typer.echo(f"    {normalise(reject['excerpt'])}")
    say(f"{pluralize(found, 'row')} of {upload.key} rejected." if found else "No row is rejected.")
