"""Messages of another version in queues and in deferred rows, as after a rollback or an upgrade."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.rows import unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.dynamo import Key, Store
    from tests.simulation.queues import Queue


def _newer(message: dict[str, Any]) -> None:
    """Add fields that a newer version may write and this one does not know."""
    message |= {"written_by": {"version": "99"}, "hints": ["unknown"]}
    message["video"] |= {"duration": 1800}


def _older(message: dict[str, Any]) -> None:
    """Remove the fields with a default value, which an older version did not write."""
    if not message.get("deferrals"):
        message.pop("deferrals", None)
    for name in ("description", "presenters", "url", "channel", "published_at"):
        if not message["video"].get(name):
            message["video"].pop(name, None)


def _unreadable(message: dict[str, Any]) -> None:
    """Remove the video, so that this version cannot read the message."""
    message.pop("video", None)


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {"newer": _newer, "older": _older, "unreadable": _unreadable}
"""The changes by name."""


def change_messages(name: str, store: Store, queue: Queue) -> set[Key]:
    """Change waiting messages as if another version had written them; return the rows that are now unreadable."""
    change, spoilt = CHANGES[name], set()
    for letter in queue.letters if name != "unreadable" else ():
        letter.body = _changed(letter.body, change)
    for key, item in list(store.tables["catalog"].items()):
        if item.get("state") == "deferred" and "body" in item:
            store.by_hand("catalog", key, item | {"body": _changed(unpacked(item["body"]), change)})
            if name == "unreadable":
                spoilt.add(key)
                return spoilt  # only one: all others must still continue
    return spoilt


def _changed(body: str, change: Callable[[dict[str, Any]], None]) -> str:
    try:
        message = json.loads(body)
        change(message)
    except (ValueError, KeyError, TypeError):  # rubbish stays rubbish
        return body
    return json.dumps(message, separators=(",", ":"))
