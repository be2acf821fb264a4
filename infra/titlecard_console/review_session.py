"""An interactive review: the raw text beside the proposed talk, and one key for each decision."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from titlecard.domain.errors import AnswerTooLong
from titlecard.domain.text import normalise
from titlecard_console.errors import CommandError
from titlecard_console.output import can_ask, people, pluralize, printable, printable_names, say, truncate
from titlecard_console.review_sheet import BETWEEN_NAMES, as_edited, names_cell, tidy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog.reviews import ReviewedTalk, Reviews
    from titlecard_console.results import Flagged

DESCRIPTION_LINES, DESCRIPTION_CHARACTERS = 6, 160
"""The most lines shown of a description, and the most characters of each."""

KEYS = "[a]ccept  [e]dit  [s]kip  [u]ndo  [q]uit"


def run(reviews: Reviews, project_of: Mapping[str, str], flagged: Iterable[Flagged], *, by: str) -> None:
    """Review talks one by one; each key writes at once what `review accept` and `review set` write.

    Args:
        project_of: the project of each batch.
        by: the person who answers.

    Raises:
        CommandError: standard input is not a terminal.
    """
    if not can_ask():
        raise CommandError("--interactive needs a terminal: use `titlecard review --output FILE.csv` instead.")
    session = _Session(reviews, project_of, by, list(flagged))
    while session.place < len(session.todo):
        it = session.todo[session.place]
        typer.echo(f"\n{session.place + 1} of {len(session.todo)}\n{comparison(it)}")
        match _key():
            case "a":
                session.write(it, it.talk.title, it.talk.presenters)
            case "e":
                try:
                    session.write(it, *_edited(it))
                except typer.Abort:  # Ctrl-C or the end of input, while the person types
                    say("", "Not changed.")
            case "s":
                session.move_on(None)
            case "u":
                session.undo()
            case "q":
                break
    say(f"{pluralize(session.answered, 'talk')} answered, {len(session.todo) - session.answered:,} left to review.")


@dataclass
class _Session:
    """The current place in the talks, and the steps so far, oldest first: the place and the answer, None if skipped."""

    reviews: Reviews
    project_of: Mapping[str, str]
    by: str
    todo: list[Flagged]
    place: int = 0
    steps: list[tuple[int, ReviewedTalk | None]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """The number of talks that the person has answered."""
        return sum(given is not None for _, given in self.steps)

    def move_on(self, given: ReviewedTalk | None) -> None:
        """Go on to the next talk."""
        self.steps.append((self.place, given))
        self.place += 1

    def write(self, flagged: Flagged, title: str, presenters: Sequence[str]) -> None:
        """Write an answer unless somebody else has answered since, and move on; stay if it is too long."""
        result = flagged.result
        try:
            given = self.reviews.answer(
                self.project_of[result.batch],
                result.row.video,
                title,
                presenters,
                by=self.by,
                fingerprint=result.row.fingerprint,
                now=datetime.now(UTC),
                over=result.answer,
            )
        except AnswerTooLong as error:
            say(str(error))
            return
        if given is None:
            say("Somebody else has answered this one in the meantime. It was left unchanged.")
        self.move_on(given)

    def undo(self) -> None:
        """Return to the last talk, and take its answer back if it was answered."""
        if not self.steps:
            say("There is nothing to undo.")
            return
        self.place, given = self.steps.pop()
        result = self.todo[self.place].result
        if given and not self.reviews.withdraw(self.project_of[result.batch], result.row.video, given):
            say("Somebody else has answered it in the meantime. It was left unchanged.")


def comparison(flagged: Flagged) -> str:
    """Format a flagged talk for people: the row as it was uploaded, and its talk."""
    result, talk, video = flagged.result, flagged.talk, flagged.video
    place = f"{result.batch}, row {result.row.number}"
    rows = [
        f"{result.row.video}  {talk.review}, confidence {talk.confidence:.2f}  ({place})",
        f"  title        {printable(video.title) if video else 'unknown: the manifest was deleted'}",
        f"            →  {printable(talk.title)}",
        f"  presenters   {printable_names(talk.presenters)}",
    ]
    description = [line for line in normalise(video.description if video else "").split("\n") if line.strip()]
    rows += [f"             | {truncate(line, DESCRIPTION_CHARACTERS)}" for line in description[:DESCRIPTION_LINES]]
    if len(description) > DESCRIPTION_LINES:
        rows.append(f"             | … {pluralize(len(description) - DESCRIPTION_LINES, 'more line')}")
    return "\n".join([*rows, ""])


def _key() -> str:
    people.print(KEYS, markup=False, end=" ")
    key = ""
    while key not in {"a", "e", "s", "u", "q"}:
        try:
            key = str(typer.getchar()).lower()
        except EOFError:  # Ctrl-D, or the terminal was closed
            key = "q"
        if key == "\x03":  # Ctrl-C, if the terminal passes it on
            raise KeyboardInterrupt
    people.print(key, markup=False)
    return key


def _edited(flagged: Flagged) -> tuple[str, tuple[str, ...]]:
    talk = flagged.talk
    title = ""
    while not tidy(title):
        title = typer.prompt("Title", default=normalise(talk.title), err=True)
    cell = typer.prompt(
        f"Presenters, separated by {BETWEEN_NAMES} (- for nobody)",
        default=normalise(names_cell(talk)) or "-",
        err=True,
    )
    return as_edited(talk, title, "" if cell.strip() == "-" else cell)
