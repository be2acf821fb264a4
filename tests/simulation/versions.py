"""Messages of another version, in the queues and in rows that wait: after a rollback, or after an upgrade."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.rows import unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.dynamo import Key, Store
    from tests.simulation.queues import Queue


def _newer(message: dict[str, Any]) -> None:
    """What a newer version may write: fields that this one does not know."""
    message |= {"written_by": {"version": "99"}, "hints": ["unknown"]}
    message["video"] |= {"duration": 1800}


def _older(message: dict[str, Any]) -> None:
    """What an older version wrote: no field that has a value by default."""
    if not message.get("deferrals"):
        message.pop("deferrals", None)
    for name in ("description", "presenters", "url", "channel", "published_at"):
        if not message["video"].get(name):
            message["video"].pop(name, None)


def _unreadable(message: dict[str, Any]) -> None:
    """What no version of ours writes, or one that calls everything by other names."""
    message.pop("video", None)


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {"newer": _newer, "older": _older, "unreadable": _unreadable}
"""By name."""


def change_messages(name: str, store: Store, queue: Queue) -> set[Key]:
    """Change what waits, as if another version had written it; the rows that nobody can read any more."""
    change, spoilt = CHANGES[name], set()
    for letter in queue.letters if name != "unreadable" else ():
        letter.body = _changed(letter.body, change)
    for key, item in list(store.tables["catalog"].items()):
        if item.get("state") == "deferred" and "body" in item:
            store.by_hand("catalog", key, item | {"body": _changed(unpacked(item["body"]), change)})
            if name == "unreadable":
                spoilt.add(key)
                return spoilt  # one of them: all others have to go on
    return spoilt


def _changed(body: str, change: Callable[[dict[str, Any]], None]) -> str:
    try:
        message = json.loads(body)
        change(message)
    except (ValueError, KeyError, TypeError):  # rubbish stays rubbish
        return body
    return json.dumps(message, separators=(",", ":"))
