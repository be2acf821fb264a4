"""The audit: batches whose rows have all ended are finished; those that stopped moving have their lost rows sent again.

It is what makes "nothing is lost" true for what no code of ours saw: a message that SQS dropped or moved to the
dead-letter queue by itself, a worker that never started. A batch that has not moved for a while has its rows without an
end state sent again; where that helps nothing for some rounds, they are recorded as dead.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from titlecard.batch import END_STATES, BatchState, Message, RowState
from titlecard.catalog import Ending
from titlecard.ingest import accepted_messages
from titlecard.queues import packs
from titlecard.uploads import Gone

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from datetime import datetime

    from titlecard import manifest
    from titlecard.catalog import Batch, Catalog
    from titlecard.queues import WorkQueue
    from titlecard.uploads import Uploads


@dataclass(frozen=True)
class Rules:
    """The numbers that the audit works by.

    `most` is how many messages it sends for one batch at the most; `after` how many seconds a batch may stand still;
    `rounds` how often its rows are sent again before they are given up.
    """

    most: int
    after: int
    rounds: int
    reading: manifest.Limits
    manifest_max_bytes: int


class Audit:
    """Looks after the open batches."""

    def __init__(
        self, *, catalog: Catalog, uploads: Uploads, queue: WorkQueue, rules: Rules, now: Callable[[], datetime]
    ) -> None:
        self._catalog = catalog
        self._uploads = uploads
        self._queue = queue
        self._rules = rules
        self._now = now

    def run(self, done: Counter[str]) -> None:
        """Look after every open batch; add to `done` how many were finished, and the rows sent again or given up."""
        for batch in self._catalog.open_batches():
            if batch.state is BatchState.OPEN:
                self._look_after(batch, done)

    def _look_after(self, batch: Batch, done: Counter[str]) -> None:
        """Finish a batch whose rows have all ended; audit one that stands still."""
        still = self._now() - batch.moved_at > timedelta(seconds=self._rules.after)
        if batch.counted(*END_STATES) < batch.accepted and not still:
            return
        settled: set[int] = set()
        ended = 0
        for row in self._catalog.rows(batch.id):
            ended += row.state in END_STATES
            if row.state is not RowState.QUEUED:
                settled.add(row.number)
        if ended >= batch.accepted:
            self._catalog.finish(batch)
            done["finished"] += 1
        elif still and len(settled) < batch.accepted:
            self._audit(batch, settled, done)

    def _audit(self, batch: Batch, settled: set[int], done: Counter[str]) -> None:
        rounds = batch.audit_rounds + 1 if len(settled) == batch.audited_rows else 1
        if not self._catalog.audited(batch, rounds=rounds, rows=len(settled), now=self._now()):
            return
        try:
            self._see_to(batch, settled, rounds, done)
        except Gone as gone:  # the only record of these rows was taken away by hand
            lost_rows = batch.accepted - len(settled)
            reason = f"{lost_rows} rows were never answered, and cannot be sent again: {gone}"
            self._catalog.finish(batch, reason=reason)
            done["finished"] += 1

    def _see_to(self, batch: Batch, settled: set[int], rounds: int, done: Counter[str]) -> None:
        """Send a batch's lost rows again, or give them up after so many rounds."""
        with tempfile.TemporaryFile() as file:
            self._uploads.fetch(batch.upload, file, max_bytes=self._rules.manifest_max_bytes)
            rows = accepted_messages(batch, file, self._uploads, self._rules.reading)
            lost = (message for message in rows if message.row not in settled)
            if rounds > self._rules.rounds:
                done["given up"] += sum(1 for message in lost if self._give_up(batch, message))
            else:
                for pack in packs(islice(lost, self._rules.most)):
                    self._queue.send(pack)
                    done["sent again"] += len(pack)

    def _give_up(self, batch: Batch, message: Message) -> bool:
        reason = f"never_answered: sent again {self._rules.rounds} times, and no worker finished it"
        ending = Ending(message, batch.upload.order, "", RowState.DEAD, reason=reason)
        return self._catalog.end([ending], now=self._now())[0] is RowState.DEAD
