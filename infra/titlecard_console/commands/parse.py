"""`titlecard parse`: parse manifests with the local tier alone."""

from __future__ import annotations

from titlecard.pipeline.lines import of_talk
from titlecard_console.commands import options  # noqa: TC001 -- Typer reads annotations at run time
from titlecard_console.local_cloud import template
from titlecard_console.manifest import read_manifest
from titlecard_console.output import say
from titlecard_console.talk_output import open_talks


def parse(
    manifests: options.Manifests, *, output: options.OutputFile = None, as_json: options.JsonLines = False
) -> None:
    """Parse with the local tier alone: no cloud, no key, no cost.

    `titlecard parse events/sample.jsonl`

    `titlecard parse events/sample.jsonl > talks.jsonl`

    It prints a table on a terminal, and JSON Lines to a pipe or file. The rows of one file are surveyed together.
    """
    parameters = template.load().values({})
    with open_talks(output, as_json=as_json) as talks:
        for path in manifests:
            manifest = read_manifest(path, parameters)
            for video, talk in manifest.talks():
                talks.add(of_talk(video.id, talk), video.title, talk)
            say(*manifest.remarks())
