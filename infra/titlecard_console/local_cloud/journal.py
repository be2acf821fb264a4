"""What was paid for, on disk: the items of the local cloud's tables that another cloud starts from.

Kept are the items about videos (talks, attempts, charges) and about money (what each project was charged, by month; its
budget; whether it is paused), in a file of JSON lines that only grows while a cloud runs:
one line per change, on the disk before `append` returns. The last line about a key is the one that counts, so a line
may come twice; a line that a crash cut short is the last one and is dropped. `load` writes the file anew without the
lines that no longer count.

    {"table": "CatalogTable", "key": {"pk": {"S": "video#..."}, "sk": {"S": "fp#..."}}, "item": {... or null: removed}}
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

KEPT = ("video#", "project#", "budgets", "pauses")
"""How the partition keys of what is kept begin, in the catalog and in the ledger."""


class JournalUnreadable(Exception):
    """The file is damaged; the message names the line."""


@dataclass(frozen=True)
class Change:
    """One item as DynamoDB writes it down, with types; None where it was removed. `table` is the logical id."""

    table: str
    key: Mapping[str, Any]
    item: Mapping[str, Any] | None


class Journal:
    """The file of one state directory. Only the cloud that holds the directory's lock may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Change]:
        """What is kept, one change per key; the file is as short as that afterwards.

        Raises:
            JournalUnreadable: a line other than the last is no change.
        """
        if not self._path.exists():
            return []
        latest: dict[tuple[str, str], Change] = {}
        *lines, _cut_short = self._path.read_text(encoding="utf-8").split("\n")  # a whole line ends with its newline
        for number, line in enumerate(lines, 1):
            try:
                change = Change(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise JournalUnreadable(
                    f"{self._path}, line {number}: {error}; move the file away to start anew"
                ) from error
            latest[change.table, json.dumps(change.key, sort_keys=True)] = change
        changes = [change for change in latest.values() if change.item is not None]
        anew = self._path.with_suffix(".new")
        anew.unlink(missing_ok=True)
        _write(anew, changes)
        anew.replace(self._path)
        return changes

    def append(self, changes: Iterable[Change]) -> None:
        """Write changes down; they are on the disk when this returns."""
        _write(self._path, changes)


def _write(path: Path, changes: Iterable[Change]) -> None:
    with path.open("a", encoding="utf-8") as file:
        for change in changes:
            file.write(json.dumps(asdict(change)) + "\n")
        file.flush()
        os.fsync(file.fileno())
