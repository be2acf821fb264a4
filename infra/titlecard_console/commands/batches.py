"""`titlecard batches`, `watch`, `show` and `rejects`: what is going on, and what became of what."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from titlecard.aws.dynamodb.catalog import NEVER
from titlecard.aws.dynamodb.catalog.grants import Grants
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.aws.s3 import report_key
from titlecard.domain.batch import BatchState, RowState, project_name
from titlecard.domain.money import Amount
from titlecard.domain.text import normalise
from titlecard.pipeline.ingest import REJECTS
from titlecard_console import stack as where
from titlecard_console.output import format_usd, pluralize, truncate
from titlecard_console.progress import Display, Status
from titlecard_console.results import ResultReader
from titlecard_console.stack import CommandError, StackOption, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from titlecard.aws.dynamodb.catalog import Row
    from titlecard.aws.dynamodb.catalog.grants import FingerprintHistory
    from titlecard.aws.dynamodb.catalog.reviews import VideoSummary
    from titlecard.domain.video import Talk
    from titlecard_console.stack import Stack

POLL_SECONDS = 1.0

PACE_SECONDS = 60.0
"""From how much of the past the rate is taken."""

SHOWN_CHARACTERS = 400
"""Of a title, or of a list of names, what a person is shown; --json has all of it."""

SHOWN_REASONS = 5
"""Why videos wait, the most frequent first."""

UNFINISHED, BAD_USAGE = 3, 2
"""Exit codes, as the application's."""

people = Console(stderr=True, highlight=False)

BatchName = Annotated[str, typer.Argument(metavar="BATCH", help="As `titlecard batches` lists it.")]
Json = Annotated[bool, typer.Option("--json", help="JSON Lines instead of text.")]


def register(app: typer.Typer) -> None:
    """Put the commands into the application."""
    for command in (batches, watch, show, rejects):
        app.command()(command)


def batches(
    *,
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help="Only those of one project.")] = None,
    as_json: Json = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """List the batches, the oldest first: one for each version of a manifest that was uploaded.

    titlecard batches

    titlecard batches --stack titlecard --project pycon --json
    """
    there = where.find(stack, state)
    outcomes = ResultReader(there)
    ledger = _ledger(there)
    waiting = outcomes.exports.waiting()
    found = (
        Status(batch, waiting[batch.id], None, ledger.spent(batch.id))
        for batch in outcomes.catalog.all_batches(project)
    )
    if as_json:
        for status in found:
            _print_json(_facts(status))
        return
    table = [_HEADINGS, *(_cells(status) for status in found)]
    if len(table) == 1:
        whose = f" of the project {project!r}" if project else ""
        typer.echo(
            f"There are no batches{whose} yet: upload a manifest to uploads/{project or '<project>'}/.", err=True
        )
        return
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        aligned = [f"{cell:<{width}}" for cell, width in zip(cells[:_WORDS], widths[:_WORDS], strict=True)]
        aligned += [f"{cell:>{width}}" for cell, width in zip(cells[_WORDS:], widths[_WORDS:], strict=True)]
        typer.echo("  ".join(aligned))


def watch(batch: BatchName, *, as_json: Json = False, stack: StackOption = None, state: State = where.STATE) -> None:
    """Follow a batch until it is finished, or until the rest of it waits for you.

    titlecard watch pycon-2019-0f3a

    Exit codes: 0 it is finished and every video parsed or superseded; 2 its file is no manifest; 3 some videos are dead
    or waiting. Ctrl-C ends the watching alone.
    """
    there = where.find(stack, state)
    outcomes, ledger, pace = ResultReader(there), _ledger(there), Pace()
    with Display(people) as display:
        before: dict[str, Any] | None = None
        while True:
            status = _paced(outcomes, ledger, batch, pace)
            if as_json and (facts := _facts(status)) != before:
                before = facts
                _print_json(facts)
            elif not as_json:
                display.show(batch, status)
            if _is_over(status):
                break
            time.sleep(POLL_SECONDS)
    if not as_json:
        typer.echo(f"{batch}: {status.batch.state}: {status.sentence() or 'nothing in it'}")
    for sentence in _why(status, outcomes):
        typer.echo(f"{batch}: {sentence}", err=True)
    if status.batch.state is BatchState.REFUSED:
        raise typer.Exit(BAD_USAGE)
    if status.waiting or status.batch.counted(RowState.DEAD):
        raise typer.Exit(UNFINISHED)


def show(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video's id, as in its manifest.")],
    *,
    project: Annotated[str, typer.Option(help="The project that the video is in.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    stack: StackOption = None,
    state: State = where.STATE,
) -> None:
    """Tell a video's whole story: its talk, the batches it was in, every attempt with its fault and its charge.

    titlecard show dQw4w9WgXcQ --project pycon
    """
    there = where.find(stack, state)
    outcomes = ResultReader(there)
    story = outcomes.reviews.story(project_name(project), video)
    rows = list(outcomes.rows_of(project, video))
    if story is None and not rows:
        raise CommandError(f"Nothing is known of {video!r} in the project {project!r}: is --project right?")
    chapters = Grants(outcomes.database, there.outputs["CatalogTable"]).story(project, video)
    told = _Told(project, video, story, rows, chapters)
    if as_json:
        _print_json(told.content())
    else:
        typer.echo("\n".join(told.lines()))


def rejects(batch: BatchName, *, as_json: Json = False, stack: StackOption = None, state: State = where.STATE) -> None:
    """Say which rows of a manifest could not be used, and why.

    titlecard rejects pycon-2019-0f3a

    titlecard rejects pycon-2019-0f3a --json | jq -r .row
    """
    there = where.find(stack, state)
    upload = ResultReader(there).batch(batch).upload
    s3 = there.client("s3")
    try:
        body = s3.get_object(Bucket=upload.bucket, Key=report_key(batch, REJECTS))["Body"]
    except s3.exceptions.NoSuchKey as missing:
        raise CommandError(
            f"{batch} has no {REJECTS}: ingest is still reading it, or its file is no manifest."
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
    said = f"{pluralize(found, 'row')} of {upload.key} could not be used." if found else "Every row could be used."
    typer.echo(said, err=True)


# ------------------------------------------------------------------------------------------------------- how it moves


@dataclass(frozen=True)
class Paced(Status):
    """How a batch stands, and how fast it moves: rows a second, and seconds until the rest is done, where known."""

    rate: float
    left: float | None

    def sentence(self) -> str:
        """The batch in one line."""
        pace = f"{self.rate:,.1f} a second, {_span(self.left)} left" if self.left is not None else ""
        return ", ".join(it for it in (super().sentence(), pace) if it)


class Pace:
    """The rate at which rows end, from the last minute's counts."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, ended: int, now: float) -> float:
        """Take a count; the rows a second since the oldest one that still matters.

        Args:
            now: in seconds, from any fixed moment.
        """
        self._seen.append((now, ended))
        while now - self._seen[0][0] > PACE_SECONDS and len(self._seen) > 1:
            self._seen.popleft()
        began, before = self._seen[0]
        return max(ended - before, 0) / (now - began) if now > began else 0.0


def _paced(outcomes: ResultReader, ledger: Ledger, name: str, pace: Pace) -> Paced:
    batch = outcomes.batch(name)
    waiting = outcomes.catalog.waiting(name)
    due = waiting[0].due if waiting and waiting[0].due != NEVER else None
    status = Status(batch, len(waiting), datetime.fromisoformat(due) if due else None, ledger.spent(name))
    rate = pace.rate(status.ended, time.monotonic())
    rest = max(batch.accepted - status.ended - status.waiting, 0)
    left = rest / rate if rate and rest else None
    return Paced(status.batch, status.waiting, status.until, status.spent, rate, left)


def _is_over(status: Status) -> bool:
    """Whether nothing more will happen by itself."""
    batch = status.batch
    if batch.state in {BatchState.FINISHED, BatchState.REFUSED}:
        return True
    all_wait = status.waiting > 0 and status.until is None and status.ended + status.waiting >= batch.accepted
    return batch.state is BatchState.OPEN and all_wait


def _why(status: Status, outcomes: ResultReader) -> Iterator[str]:
    """Why a batch has not ended well, and why its videos wait."""
    if status.batch.reason:
        yield status.batch.reason
    if status.waiting:
        reasons = Counter(normalise(row.reason or "") for row in outcomes.catalog.waiting(status.batch.id))
        yield from (f"{number:,} waiting: {reason}" for reason, number in reasons.most_common(SHOWN_REASONS))


def _span(seconds: float | None) -> str:
    """A length of time for people."""
    minutes, rest = divmod(round(seconds or 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


# -------------------------------------------------------------------------------------------------- what is told of it


def _facts(status: Status) -> dict[str, Any]:
    """A batch for programs; fields are added at most, never renamed."""
    batch, counts = status.batch, status.batch.counts
    return {
        "batch": batch.id,
        "project": batch.project,
        "manifest": batch.upload.key,
        "version": batch.upload.version,
        "state": batch.state,
        "created_at": batch.created_at.isoformat(),
        "moved_at": batch.moved_at.isoformat(),
        "accepted": batch.accepted,
        "refused": batch.refused,
        "repeated": batch.repeated,
        "parsed": batch.counted(RowState.PARSED),
        "parsed_local": counts["parsed_local"],
        "parsed_model": counts["parsed_model"],
        "superseded": batch.counted(RowState.SUPERSEDED),
        "dead": batch.counted(RowState.DEAD),
        "cancelled": batch.counted(RowState.CANCELLED),
        "waiting": status.waiting,
        "requests": status.spent.requests,
        "tokens": status.spent.tokens,
        "cost_micro_usd": status.spent.micro_usd,
        "reason": batch.reason,
    }


_HEADINGS = ("batch", "project", "state", "made", *("videos", "parsed", "waiting", "dead", "rejected", "cost"))
_WORDS = 4
"""Columns of words; those behind them are numbers."""


def _cells(status: Status) -> tuple[str, ...]:
    """A batch for people."""
    batch, facts = status.batch, _facts(status)
    numbers = (f"{facts[it]:,}" for it in ("accepted", "parsed", "waiting", "dead", "refused"))
    made = f"{batch.created_at:%Y-%m-%d %H:%M}"
    return batch.id, batch.project, batch.state, made, *numbers, format_usd(status.spent.micro_usd)


@dataclass(frozen=True)
class _Told:
    """A video's story."""

    project: str
    video: str
    story: VideoSummary | None
    rows: list[tuple[str, Row]]
    chapters: list[FingerprintHistory]

    @property
    def talk(self) -> Talk | None:
        return self.story.talk if self.story else None

    def is_current(self, batch: str, row: Row) -> bool:
        """Whether the video's pointer is at this row."""
        pointer = self.story.pointer if self.story else None
        return pointer is not None and (pointer.batch, pointer.row) == (batch, row.number)

    def content(self) -> dict[str, Any]:
        """For programs."""
        pointer, answer = (self.story.pointer, self.story.answer) if self.story else (None, None)
        return {
            "id": self.video,
            "project": self.project,
            "talk": self.talk.model_dump(mode="json") if self.talk else None,
            "person": {"by": answer.by, "at": answer.at} if answer else None,
            "fingerprint": pointer.fingerprint if pointer else None,
            "rows": [
                {
                    "batch": batch,
                    "row": row.number,
                    "state": row.state,
                    "reason": row.reason,
                    "due": row.due,
                    "fingerprint": row.fingerprint,
                    "current": self.is_current(batch, row),
                }
                for batch, row in self.rows
            ],
            "fingerprints": [
                {
                    "fingerprint": chapter.fingerprint,
                    "attempts": chapter.entry.attempts,
                    "allowed": chapter.allowed or None,
                    "talk": chapter.entry.talk.model_dump(mode="json") if chapter.entry.talk else None,
                    "history": [_event(event) for event in chapter.entry.history],
                    "redrives": [_plain(redrive) for redrive in chapter.redrives],
                }
                for chapter in self.chapters
            ],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.video} of {self.project}"
        if self.talk:
            yield f"  title       {_shown(self.talk.title)}"
            yield f"  presenters  {_shown('; '.join(self.talk.presenters)) or 'nobody'}"
            review = f", to be reviewed: {self.talk.review}" if self.talk.review else ""
            yield f"  by          {self.talk.tier}, confidence {self.talk.confidence:.2f}{review}"
        else:
            yield "  no talk"
        if self.story and self.story.answer:
            yield f"  reviewed    by {self.story.answer.by}, {_when(self.story.answer.at)}"
        yield "rows"
        for batch, row in self.rows:
            current = "  (current)" if self.is_current(batch, row) else ""
            reason = f": {normalise(row.reason)}" if row.reason else ""
            yield f"  {batch} row {row.number}  {row.state}{reason}{current}"
        for chapter in self.chapters:
            yield from self._chapter(chapter)

    def _chapter(self, chapter: FingerprintHistory) -> Iterator[str]:
        current = self.story and self.story.pointer and self.story.pointer.fingerprint == chapter.fingerprint
        allowed = f", {chapter.allowed} allowed" if chapter.allowed else ""
        mark = "  (current)" if current else ""
        yield f"fingerprint {chapter.fingerprint}  {pluralize(chapter.entry.attempts, 'attempt')}{allowed}{mark}"
        happened = [(event["at"], _attempted(event)) for event in chapter.entry.history]
        happened += [(str(redrive["at"]), f"sent again by {redrive['by']}") for redrive in chapter.redrives]
        for at, what in sorted(happened, key=itemgetter(0)):
            yield f"  {_when(at)}  {what}"
        talk = chapter.entry.talk
        if talk:
            yield f"  talk: {_shown(talk.title)} · {_shown('; '.join(talk.presenters)) or 'nobody'} ({talk.tier})"


def _shown(text: str) -> str:
    """A stranger's text for people."""
    return truncate(normalise(text), SHOWN_CHARACTERS)


def _attempted(event: Mapping[str, Any]) -> str:
    charge = _charge(event)
    what = "claimed, at most" if event["event"] == "claimed" else f"{event['event']}, charged"
    batch = f"  {event['batch']}" if event.get("batch") else ""
    return f"{what} {pluralize(charge.tokens, 'token')}, {format_usd(charge.micro_usd)}{batch}"


def _charge(event: Mapping[str, Any]) -> Amount:
    return Amount.from_item(event["charged"])


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**_plain(event), "charged": _charge(event).as_map()}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the catalog as JSON has them: its numbers are decimal."""
    return {name: value if isinstance(value, str | dict) else int(value) for name, value in item.items()}


def _when(stamp: str) -> str:
    return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M:%S} UTC"


def _print_json(content: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False))


def _ledger(there: Stack) -> Ledger:
    return Ledger(there.resource("dynamodb").meta.client, there.outputs["LedgerTable"])
