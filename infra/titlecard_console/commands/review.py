"""`titlecard review`: the talks that a person should look at, and what the person says of them."""

from __future__ import annotations

import getpass
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.dynamodb.catalog.reviews import VideoSummary
from titlecard.domain.batch import project_name
from titlecard.domain.text import normalise
from titlecard.pipeline.lines import of_result
from titlecard_console import stack as stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.output import pluralize, print_json, say, truncate
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.aws.dynamodb.catalog.reviews import Reviews
    from titlecard_console.results import Flagged
    from titlecard_console.stack import Stack

TITLE_CHARACTERS, DESCRIPTION_LINES, DESCRIPTION_CHARACTERS = 400, 6, 160
"""How much of a title (or a list of names), of a description, and of a line of it a person is shown."""

review = typer.Typer()

VideoId = Annotated[str, typer.Argument(metavar="ID", help="The video's id, as in its manifest.")]


@review.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    *,
    batch: Annotated[str | None, typer.Option(metavar="BATCH", help="Only those of one batch.")] = None,
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help="Only those of one project.")] = None,
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """List the talks that need a look; accept or correct them.

    `titlecard review --project pycon`

    `titlecard review accept dQw4w9WgXcQ --project pycon`

    `titlecard review set dQw4w9WgXcQ --presenter "Raymond Hettinger"`

    Why a talk is listed: low_confidence (no tier was sure), ungrounded (the model used words that the video does not
    have), tiers_disagree (the model named other people than a confident local tier), refused, truncated and the like
    (the model's answer could not be used). No later upload and no later parse overwrites what a person says.
    """
    if context.invoked_subcommand:
        return
    results = ResultReader(stacks.find(stack, state))
    batches = results.batches(batch, project) if batch or project else results.all_batches()
    found = 0
    for flagged in results.flagged(batches):
        found += 1
        if as_json:
            print_json(_content(flagged))
        else:
            typer.echo(_comparison(flagged))
    say(f"{pluralize(found, 'talk')} to look at." if found else "There is nothing to look at.")


@review.command()
def accept(
    video: VideoId,
    *,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Confirm a talk as it is: no parse changes it from then on.

    `titlecard review accept dQw4w9WgXcQ --project pycon`
    """
    case = _Case.read(stacks.find(stack, state), project, video)
    talk = case.story.talk
    if talk is None:
        raise CommandError(f"{video} has no talk to accept: give it one with `titlecard review set {video} --title …`.")
    case.answer(talk.title, talk.presenters, as_json=as_json)


@review.command(name="set")
def correct(
    video: VideoId,
    *,
    title: Annotated[str | None, typer.Option(help="The clean title. Default: the present one.")] = None,
    presenter: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A presenter; may be repeated. Default: the present ones.")
    ] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="The talk has no presenter.")] = False,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack: options.Stack = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Correct a talk: no parse changes it from then on.

    `titlecard review set dQw4w9WgXcQ --title "Beyond PEP 8"`

    `titlecard review set dQw4w9WgXcQ --presenter "Raymond Hettinger"`

    `titlecard review set dQw4w9WgXcQ --nobody`
    """
    names = tuple(name for name in (" ".join(given.split()) for given in presenter or ()) if name)
    if nobody and names:
        raise CommandError("--nobody and --presenter contradict each other.")
    if title is None and not names and not nobody:
        raise CommandError("Give what is right: --title, --presenter or --nobody.")
    case = _Case.read(stacks.find(stack, state), project, video)
    standing = case.story.talk
    right = " ".join(title.split()) if title else standing.title if standing else ""
    if not right:
        raise CommandError(f"{video} has no title yet: give it one with --title.")
    who = names or (() if nobody or not standing else standing.presenters)
    case.answer(right, who, as_json=as_json)


@dataclass(frozen=True)
class _Case:
    """A video that a person answers for."""

    there: Stack
    reviews: Reviews
    project: str
    video: str
    story: VideoSummary

    @classmethod
    def read(cls, there: Stack, project: str, video: str) -> _Case:
        """Read what is known of a video."""
        results = ResultReader(there)
        story = results.reviews.story(project_name(project), video)
        if story is None:  # a video that died before anything else was known of it has rows all the same
            if next(results.rows_of(project, video), None) is None:
                raise CommandError(f"The project {project!r} has no video {video!r}: is --project right?")
            story = VideoSummary(None, {}, None)
        return cls(there, results.reviews, project, video, story)

    def answer(self, title: str, presenters: Sequence[str], *, as_json: bool) -> None:
        """Store the person's answer and print it."""
        fingerprint = self.story.pointer.fingerprint if self.story.pointer else ""
        who, now = _who(self.there), datetime.now(UTC)
        given = self.reviews.answer(
            self.project, self.video, title, presenters, by=who, fingerprint=fingerprint, now=now
        )
        if as_json:
            content = {"id": self.video, "title": given.title, "presenters": list(given.presenters)}
            print_json(content | {"by": given.by, "at": given.at})
        else:
            typer.echo(f"{self.video}: {_title(given.title)} · {_names(given.presenters)}")


def _who(there: Stack) -> str:
    """The person who answers, as AWS and this machine know them."""
    arn = str(there.client("sts").get_caller_identity()["Arn"])
    with suppress(KeyError, OSError, ImportError):  # the machine has no user names
        return f"{getpass.getuser()} ({arn})"
    return arn


def _content(flagged: Flagged) -> dict[str, Any]:
    """A flagged talk for programs: its line, and the row as it was uploaded."""
    row, video = flagged.result.row.number, flagged.video
    return of_result(flagged.result) | {"row": row, "uploaded": video.model_dump() if video else None}


def _comparison(flagged: Flagged) -> str:
    """A flagged talk for people: the row as it was uploaded, and its talk."""
    result, talk, video = flagged.result, flagged.talk, flagged.video
    place = f"{result.batch}, row {result.row.number}"
    rows = [
        f"{result.row.video}  {talk.review}, confidence {talk.confidence:.2f}  ({place})",
        f"  title        {_title(video.title) if video else 'unknown: the manifest was deleted'}",
        f"            →  {_title(talk.title)}",
        f"  presenters   {_names(talk.presenters)}",
    ]
    description = [line for line in normalise(video.description if video else "").split("\n") if line.strip()]
    rows += [f"             | {truncate(line, DESCRIPTION_CHARACTERS)}" for line in description[:DESCRIPTION_LINES]]
    if len(description) > DESCRIPTION_LINES:
        rows.append(f"             | … {pluralize(len(description) - DESCRIPTION_LINES, 'more line')}")
    return "\n".join([*rows, ""])


def _names(presenters: Sequence[str]) -> str:
    return _title("; ".join(presenters)) or "nobody"


def _title(text: str) -> str:
    return truncate(normalise(text), TITLE_CHARACTERS)
