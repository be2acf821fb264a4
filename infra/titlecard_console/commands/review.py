"""`titlecard review`: talks that a person should look at, and what the person says of them."""

from __future__ import annotations

import getpass
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.dynamodb.catalog.reviews import VideoSummary
from titlecard.domain.batch import project_name
from titlecard.domain.text import normalise
from titlecard.pipeline.lines import of_result
from titlecard_console import stack as where
from titlecard_console.output import pluralize, truncate
from titlecard_console.results import ResultReader
from titlecard_console.stack import CommandError, StackOption, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.aws.dynamodb.catalog.reviews import Reviews
    from titlecard_console.results import Flagged
    from titlecard_console.stack import Stack

TITLE_CHARACTERS, DESCRIPTION_LINES, DESCRIPTION_CHARACTERS = 400, 6, 160
"""Of a title (or of a list of names), of a description and of a line of it, what a person is shown at once."""

review = typer.Typer(rich_markup_mode=None)

VideoId = Annotated[str, typer.Argument(metavar="ID", help="The video's id, as in its manifest.")]
Project = Annotated[str, typer.Option(help="The project that the video is in.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a talk.")]


def register(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.add_typer(review, name="review")


@review.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    *,
    batch: Annotated[str | None, typer.Option(metavar="BATCH", help="Only those of one batch.")] = None,
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help="Only those of one project.")] = None,
    as_json: Json = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """List the talks that a person should look at, beside what was uploaded; accept or correct them.

    titlecard review --project pycon

    titlecard review accept dQw4w9WgXcQ --project pycon

    titlecard review set dQw4w9WgXcQ --project pycon --title "Beyond PEP 8" --presenter "Raymond Hettinger"

    Reasons: low_confidence (nobody was sure), ungrounded (the model said what the video does not), tiers_disagree (the
    model named other people than a local tier that believed itself), refused, truncated and the like (what the model
    answered was of no use). What a person says stands: no later upload and no later parse overwrites it.
    """
    if context.invoked_subcommand:
        return
    outcomes = ResultReader(where.find(stack, state))
    batches = outcomes.batches(batch, project) if batch or project else outcomes.all_batches()
    found = 0
    for flagged in outcomes.flagged(batches):
        found += 1
        said = json.dumps(_content(flagged), ensure_ascii=False) if as_json else _beside(flagged)
        typer.echo(said)
    typer.echo(f"{pluralize(found, 'talk')} to look at." if found else "There is nothing to look at.", err=True)


@review.command()
def accept(
    video: VideoId,
    *,
    project: Project = "default",
    as_json: Json = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Say that a talk is right as it is: it is yours from now on, and no parse changes it.

    titlecard review accept dQw4w9WgXcQ --project pycon
    """
    case = _Case.of(where.find(stack, state), project, video)
    talk = case.story.talk
    if talk is None:
        raise CommandError(f"{video} has no talk to accept: give it one with `titlecard review set {video} --title …`.")
    case.answer(talk.title, talk.presenters, as_json=as_json)


@review.command(name="set")
def correct(
    video: VideoId,
    *,
    title: Annotated[str | None, typer.Option(help="The clean title; without it, the title that stands.")] = None,
    presenter: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A presenter; may be repeated. Without any, who stands.")
    ] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Nobody presents.")] = False,
    project: Project = "default",
    as_json: Json = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Say what a talk's title and presenters are: no parse changes that.

    titlecard review set dQw4w9WgXcQ --title "Beyond PEP 8" --presenter "Raymond Hettinger"

    titlecard review set dQw4w9WgXcQ --nobody
    """
    names = tuple(name for name in (" ".join(given.split()) for given in presenter or ()) if name)
    if nobody and names:
        raise CommandError("--nobody and --presenter contradict each other.")
    if title is None and not names and not nobody:
        raise CommandError("Say what is right: --title, --presenter or --nobody.")
    case = _Case.of(where.find(stack, state), project, video)
    standing = case.story.talk
    right = " ".join(title.split()) if title else standing.title if standing else ""
    if not right:
        raise CommandError(f"{video} has no title yet: give it one with --title.")
    who = names or (() if nobody or not standing else standing.presenters)
    case.answer(right, who, as_json=as_json)


@dataclass(frozen=True)
class _Case:
    """A video that a person has something to say about."""

    there: Stack
    reviews: Reviews
    project: str
    video: str
    story: VideoSummary

    @classmethod
    def of(cls, there: Stack, project: str, video: str) -> _Case:
        """What is known of it."""
        outcomes = ResultReader(there)
        story = outcomes.reviews.story(project_name(project), video)
        if story is None:  # a video that died before anything else was known of it has rows all the same
            if next(outcomes.rows_of(project, video), None) is None:
                raise CommandError(f"The project {project!r} has no video {video!r}: is --project right?")
            story = VideoSummary(None, {}, None)
        return cls(there, outcomes.reviews, project, video, story)

    def answer(self, title: str, presenters: Sequence[str], *, as_json: bool) -> None:
        """Write an answer down and say so."""
        fingerprint = self.story.pointer.fingerprint if self.story.pointer else ""
        who, now = _who(self.there), datetime.now(UTC)
        given = self.reviews.answer(
            self.project, self.video, title, presenters, by=who, fingerprint=fingerprint, now=now
        )
        if as_json:
            content = {"id": self.video, "title": given.title, "presenters": list(given.presenters)}
            said = json.dumps(content | {"by": given.by, "at": given.at}, ensure_ascii=False)
        else:
            said = f"{self.video}: {_title(given.title)} · {_names(given.presenters)}"
        typer.echo(said)


def _who(there: Stack) -> str:
    """Who is asking: AWS's word for them, and this machine's."""
    arn = str(there.client("sts").get_caller_identity()["Arn"])
    with suppress(KeyError, OSError, ImportError):  # a machine without names of users
        return f"{getpass.getuser()} ({arn})"
    return arn


def _content(flagged: Flagged) -> dict[str, Any]:
    """A flagged talk for programs: its line, and the row as it was uploaded."""
    row, video = flagged.result.row.number, flagged.video
    return of_result(flagged.result) | {"row": row, "uploaded": video.model_dump() if video else None}


def _beside(flagged: Flagged) -> str:
    """A flagged talk for people: the row as it was uploaded, and what was made of it."""
    result, talk, video = flagged.result, flagged.talk, flagged.video
    place = f"{result.batch}, row {result.row.number}"
    rows = [
        f"{result.row.video}  {talk.review}, confidence {talk.confidence:.2f}  ({place})",
        f"  title        {_title(video.title) if video else 'not known any more: the manifest was deleted'}",
        f"            →  {_title(talk.title)}",
        f"  presenters   {_names(talk.presenters)}",
    ]
    told = [line for line in normalise(video.description if video else "").split("\n") if line.strip()]
    rows += [f"             | {truncate(line, DESCRIPTION_CHARACTERS)}" for line in told[:DESCRIPTION_LINES]]
    if len(told) > DESCRIPTION_LINES:
        rows.append(f"             | … {pluralize(len(told) - DESCRIPTION_LINES, 'more line')}")
    return "\n".join([*rows, ""])


def _names(presenters: Sequence[str]) -> str:
    return _title("; ".join(presenters)) or "nobody"


def _title(text: str) -> str:
    return truncate(normalise(text), TITLE_CHARACTERS)
