"""A contender's input and output. It needs only the standard library, because it runs in every environment.

`ORDER` is the path of a JSON file with `rows` (each with `id`, and `prompt` as JSON or `text` as a document),
`instructions`, `base_url`, `key`, `model`, `concurrency`, `folder`, and what a single contender needs.

In `folder` it writes `results.jsonl` (one line per row: `title` and `presenters`, or `error`, or that the row waits),
`operator.txt` (what an operator sees of a failed row), and the files `ready` and `done`, which hold a time in seconds
since the epoch.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


class Job:
    """One contender's order and its results so far."""

    def __init__(self, order: str | None = None) -> None:
        self.order: dict[str, Any] = json.loads(Path(order or sys.argv[1]).read_text(encoding="utf-8"))
        self.folder = Path(self.order["folder"])
        self._results = self.folder / "results.jsonl"
        self._lock = threading.Lock()

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows without a result."""
        done = set()
        if self._results.exists():
            done = {json.loads(line)["id"] for line in self._results.read_text(encoding="utf-8").splitlines()}
        return [row for row in self.order["rows"] if row["id"] not in done]

    def ready(self) -> None:
        """Record that everything is loaded and the work begins; only the first call counts."""
        if not (self.folder / "ready").exists():
            (self.folder / "ready").write_text(str(time.time()), encoding="utf-8")

    def done(self) -> None:
        """Record that every row has ended."""
        (self.folder / "done").write_text(str(time.time()), encoding="utf-8")

    def finished(self, row: str, title: str, presenters: list[str], **more: object) -> None:
        """Record a row's talk."""
        self._write({"id": row, "title": title, "presenters": presenters, **more})

    def failed(self, row: str, error: object) -> None:
        """Record why a row has no talk."""
        self._write({"id": row, "error": str(error)[:2000]})

    def waits(self, row: str) -> None:
        """Record that a row has not ended, and that the contender still holds it."""
        self._write({"id": row, "waits": True})

    def leave_when_told(self) -> None:
        """Make SIGTERM end this program as an exit does, so that it writes its results."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def tell(self, text: str) -> None:
        """Record what an operator sees of failed rows, besides the lines of `results.jsonl`."""
        (self.folder / "operator.txt").write_text(text, encoding="utf-8")

    def _write(self, line: dict[str, object]) -> None:
        with self._lock, self._results.open("a", encoding="utf-8") as results:
            results.write(json.dumps(line, ensure_ascii=False) + "\n")
