"""`titlecard show`: show what is known of a video."""

from __future__ import annotations

from typing import Annotated

import typer

from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.output import print_json
from titlecard_console.results import ResultReader
from titlecard_console.story import VideoStory


def show(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video's id, as in its manifest.")],
    *,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Show a video's talk, its batches and every attempt.

    `titlecard show dQw4w9WgXcQ --project pycon`
    """
    stack = stacks.find(stack_name, state)
    results = ResultReader(stack)
    summary = results.reviews.story(project, video)
    rows = list(results.rows_of(project, video))
    if summary is None and not rows:
        raise CommandError(f"Nothing is known of {video!r} in the project {project!r}: is --project right?")
    histories = stacks.stores(stack).grants.records(project, video)
    story = VideoStory(project, video, summary, rows, histories)
    if as_json:
        print_json(story.content())
    else:
        typer.echo("\n".join(story.lines()))
