"""The history of a video under one fingerprint: its attempts, their charges and its redrives."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from titlecard.domain.money import Amount
from titlecard.domain.text import one_line
from titlecard_console.output import format_time, format_usd, pluralize, truncate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog.grants import FingerprintHistory

SHOWN_CHARACTERS = 400
"""The most characters shown of a title, a list of names or a description; --json prints all of them."""


def history_content(history: FingerprintHistory) -> dict[str, Any]:
    """Return a history for programs."""
    return {
        "fingerprint": history.fingerprint,
        "attempts": history.entry.attempts,
        "allowed": history.allowed or None,
        "talk": history.entry.talk.model_dump(mode="json") if history.entry.talk else None,
        "history": [{**_plain(event), "charged": _charge(event).as_map()} for event in history.entry.history],
        "redrives": [_plain(redrive) for redrive in history.redrives],
    }


def history_lines(history: FingerprintHistory, *, current: str | None = None) -> Iterator[str]:
    """Yield a history as lines for people.

    Args:
        history: the history.
        current: the fingerprint of the video's current talk.
    """
    allowed = f", {history.allowed} allowed" if history.allowed else ""
    mark = "  (current)" if history.fingerprint == current else ""
    yield f"fingerprint {history.fingerprint}  {pluralize(history.entry.attempts, 'attempt')}{allowed}{mark}"
    events = [(str(event["at"]), _attempt(event)) for event in history.entry.history]
    events += [(str(redrive["at"]), f"sent again by {redrive['by']}") for redrive in history.redrives]
    for at, what in sorted(events, key=itemgetter(0)):
        yield f"  {format_time(at)}  {one_line(what)}"
    if talk := history.entry.talk:
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
