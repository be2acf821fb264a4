"""A video's history under one fingerprint: the attempts, their charges and the redrives."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from titlecard.domain.money import Amount
from titlecard.domain.text import one_line
from titlecard_console.output import format_time, format_usd, pluralize, printable, printable_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from titlecard.aws.dynamodb.catalog import VideoRecord


def history_content(record: VideoRecord) -> dict[str, Any]:
    """Return a video's record for programs."""
    return {
        "fingerprint": record.fingerprint,
        "attempts": record.attempts,
        "allowed": record.allowed or None,
        "talk": record.talk.model_dump(mode="json") if record.talk else None,
        "history": [{**event, "charged": _charge(event).as_map()} for event in record.history],
        "redrives": list(record.redrives),
        "error": record.error or None,
    }


def history_lines(record: VideoRecord, *, current: str | None = None) -> Iterator[str]:
    """Yield a video's record as lines for people.

    Args:
        current: the fingerprint of the video's current talk.
    """
    if record.error:
        yield f"fingerprint {record.fingerprint}  {record.error}"
        return
    allowed = f", {record.allowed} allowed" if record.allowed else ""
    mark = "  (current)" if record.fingerprint == current else ""
    yield f"fingerprint {record.fingerprint}  {pluralize(record.attempts, 'attempt')}{allowed}{mark}"
    events = [(str(event["at"]), _attempt(event)) for event in record.history]
    events += [(str(redrive["at"]), f"sent again by {redrive['by']}") for redrive in record.redrives]
    for at, what in sorted(events, key=itemgetter(0)):
        yield f"  {format_time(at)}  {one_line(what)}"
    if talk := record.talk:
        yield f"  talk: {printable(talk.title)} · {printable_names(talk.presenters)} ({talk.tier})"


def _attempt(event: Mapping[str, Any]) -> str:
    charge = _charge(event)
    what = "claimed, at most" if event["event"] == "claimed" else f"{event['event']}, charged"
    batch = f"  {event['batch']}" if event.get("batch") else ""
    return f"{what} {pluralize(charge.tokens, 'token')}, {format_usd(charge.micro_usd)}{batch}"


def _charge(event: Mapping[str, Any]) -> Amount:
    return Amount.from_item(event["charged"])
