"""Resume: what waits is put back when its date has come; then the open batches are audited.

It sends first and marks afterwards, conditional on the state it read: a crash in between sends a message twice, and its
row ends once. The other way round it would lose one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from titlecard.queues import packs

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from titlecard.audit import Audit
    from titlecard.batch import Message
    from titlecard.catalog import Catalog
    from titlecard.queues import WorkQueue


class Resume:
    """Puts deferred videos back and has the open batches audited.

    Args:
        most: how many messages one call puts back at the most.
    """

    def __init__(
        self, *, catalog: Catalog, queue: WorkQueue, audit: Audit, most: int, now: Callable[[], datetime]
    ) -> None:
        self._catalog = catalog
        self._queue = queue
        self._audit = audit
        self._most = most
        self._now = now

    def run(self) -> Counter[str]:
        """Do both; say how many rows were put back, and how many batches were finished, audited or given up."""
        done: Counter[str] = Counter()
        self._put_back(done)
        self._audit.run(done)
        return done

    def _put_back(self, done: Counter[str]) -> None:
        waiting: list[tuple[Message, str]] = []
        for message, row in self._catalog.deferred(now=self._now()):
            waiting.append((message, row.due or ""))
            if len(waiting) == self._most:
                break
        dues = {(message.batch, message.row): due for message, due in waiting}
        for pack in packs(message for message, _ in waiting):
            self._queue.send(pack)
            for message in pack:
                done["put back"] += self._catalog.requeued(message, due=dues[message.batch, message.row])
