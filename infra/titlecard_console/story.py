"""A video's story: its talk, its rows, and for each fingerprint the attempts, their charges and the redrives."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from titlecard.domain.money import Amount
from titlecard.domain.text import normalise, one_line
from titlecard_console.output import format_time, format_usd, pluralize, truncate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog import Row, VideoRecord
    from titlecard.aws.dynamodb.catalog.reviews import VideoSummary
    from titlecard.domain.video import Talk

SHOWN_CHARACTERS = 400
"""The most characters shown of a title, a list of names or a description; --json prints all of them."""


@dataclass(frozen=True)
class VideoStory:
    """Everything that the catalog knows about a video."""

    project: str
    video: str
    summary: VideoSummary | None
    rows: list[tuple[str, Row]]
    histories: list[VideoRecord]

    @property
    def talk(self) -> Talk | None:
        """Return the current talk."""
        return self.summary.talk if self.summary else None

    @property
    def fingerprint(self) -> str | None:
        """Return the fingerprint of the current talk."""
        return self.summary.pointer.fingerprint if self.summary and self.summary.pointer else None

    def is_current(self, batch: str, row: Row) -> bool:
        """Return whether the current talk comes from this row."""
        pointer = self.summary.pointer if self.summary else None
        return pointer is not None and (pointer.batch, pointer.row) == (batch, row.number)

    def content(self) -> dict[str, Any]:
        """Return the story for programs."""
        answer = self.summary.answer if self.summary else None
        return {
            "id": self.video,
            "project": self.project,
            "talk": self.talk.model_dump(mode="json") if self.talk else None,
            "person": {"by": answer.by, "at": answer.at} if answer else None,
            "fingerprint": self.fingerprint,
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
            "fingerprints": [history_content(history) for history in self.histories],
        }

    def lines(self) -> Iterator[str]:
        """Yield the story as lines for people."""
        yield f"{self.video} of {self.project}"
        if self.talk:
            yield f"  title       {shown(self.talk.title)}"
            yield f"  presenters  {shown_names(self.talk.presenters)}"
            review = f", to be reviewed: {self.talk.review}" if self.talk.review else ""
            yield f"  by          {self.talk.tier}, confidence {self.talk.confidence:.2f}{review}"
        else:
            yield "  no talk"
        if self.summary and self.summary.answer:
            yield f"  reviewed    by {self.summary.answer.by}, {format_time(self.summary.answer.at)}"
        yield "rows"
        for batch, row in self.rows:
            current = "  (current)" if self.is_current(batch, row) else ""
            reason = f": {normalise(row.reason)}" if row.reason else ""
            yield f"  {batch} row {row.number}  {row.state}{reason}{current}"
        for history in self.histories:
            yield from history_lines(history, current=self.fingerprint)


def history_content(history: VideoRecord) -> dict[str, Any]:
    """Return a history for programs."""
    return {
        "fingerprint": history.fingerprint,
        "attempts": history.attempts,
        "allowed": history.allowed or None,
        "talk": history.talk.model_dump(mode="json") if history.talk else None,
        "history": [{**_plain(event), "charged": _charge(event).as_map()} for event in history.history],
        "redrives": [_plain(redrive) for redrive in history.redrives],
    }


def history_lines(history: VideoRecord, *, current: str | None = None) -> Iterator[str]:
    """Yield a history as lines for people.

    Args:
        history: the history.
        current: the fingerprint of the video's current talk.
    """
    allowed = f", {history.allowed} allowed" if history.allowed else ""
    mark = "  (current)" if history.fingerprint == current else ""
    yield f"fingerprint {history.fingerprint}  {pluralize(history.attempts, 'attempt')}{allowed}{mark}"
    events = [(str(event["at"]), _attempt(event)) for event in history.history]
    events += [(str(redrive["at"]), f"sent again by {redrive['by']}") for redrive in history.redrives]
    for at, what in sorted(events, key=itemgetter(0)):
        yield f"  {format_time(at)}  {one_line(what)}"
    if talk := history.talk:
        yield f"  talk: {shown(talk.title)} · {shown_names(talk.presenters)} ({talk.tier})"


def shown(text: str) -> str:
    """Make a stranger's text safe for a terminal."""
    return truncate(one_line(text), SHOWN_CHARACTERS)


def shown_names(presenters: Sequence[str]) -> str:
    """Format presenters for a terminal."""
    return shown("; ".join(presenters)) or "nobody"


def _attempt(event: Mapping[str, Any]) -> str:
    charge = _charge(event)
    what = "claimed, at most" if event["event"] == "claimed" else f"{event['event']}, charged"
    batch = f"  {event['batch']}" if event.get("batch") else ""
    return f"{what} {pluralize(charge.tokens, 'token')}, {format_usd(charge.micro_usd)}{batch}"


def _charge(event: Mapping[str, Any]) -> Amount:
    return Amount.from_item(event["charged"])


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item with whole numbers instead of DynamoDB's decimals."""
    return {name: value if isinstance(value, str | dict) else int(value) for name, value in item.items()}
