"""The catalog's batches: from an upload to its end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from titlecard.batch import BatchState, Limits, Upload
from titlecard.catalog.items import (
    Batch,
    Contended,
    as_batch,
    batch_key,
)
from titlecard.catalog.table import NEVER, Table, stamp
from titlecard.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

OPEN = "open"


class Batches(Table):
    """What was uploaded, and how far it is."""

    def open_batch(
        self, upload: Upload, project: str, limits: Limits, *, lease: str, until: datetime, now: datetime
    ) -> Batch:
        """Take the batch of an upload to work on it, making it where it is new.

        An event delivered twice finds the first one's lease, or a batch that needs no more work; a crash leaves a lease
        that runs out. Whoever holds the lease sees its name in the batch that is returned.

        Args:
            lease: a random name for this piece of work.
            until: when the lease runs out if the work is never finished.
        """
        new = "attribute_not_exists(pk)"
        unfinished = "#state IN (:counting, :sending)"
        expired = "(attribute_not_exists(lease) OR lease_until < :now)"
        with contextlib.suppress(self._db.exceptions.ConditionalCheckFailedException):
            self._update(
                batch_key(upload.batch),
                "SET #state = if_not_exists(#state, :counting), lease = :lease, lease_until = :until, moved_at = :now,"
                " #bucket = :bucket, #key = :key, version = :version, #order = :order, #project = :project,"
                " limits = if_not_exists(limits, :limits), created_at = if_not_exists(created_at, :now),"
                " agenda = if_not_exists(agenda, :open), due = if_not_exists(due, :now)",
                f"{new} OR ({unfinished} AND {expired})",
                {
                    ":counting": BatchState.COUNTING,
                    ":sending": BatchState.SENDING,
                    ":lease": lease,
                    ":until": stamp(until),
                    ":now": stamp(now),
                    ":bucket": upload.bucket,
                    ":key": upload.key,
                    ":version": upload.version,
                    ":order": upload.order,
                    ":project": project,
                    ":limits": limits.model_dump(),
                    ":open": OPEN,
                },
            )
        return self.batch(upload.batch)

    def batch(self, batch: str) -> Batch:
        """The batch as it stands.

        Raises:
            KeyError: there is none of this name.
        """
        item = self._get(batch_key(batch))
        if item is None:
            raise KeyError(batch)
        return as_batch(item)

    def start_sending(
        self, batch: Batch, survey: Survey, *, limits: Limits, form: str, accepted: int, refused: int, repeated: int
    ) -> None:
        """End pass 1: its counts, its survey and its limits stand, and messages may go out.

        Raises:
            Contended: the lease is not ours any more.
        """
        self._db.put_item(
            TableName=self._table, Item={"pk": f"batch#{batch.id}", "sk": "survey", "survey": survey.to_json()}
        )
        self._advance(
            batch,
            "SET #state = :state, limits = :limits, form = :form, accepted = :accepted, refused = :refused,"
            " repeated = :repeated",
            {
                ":state": BatchState.SENDING,
                ":limits": limits.model_dump(),
                ":form": form,
                ":accepted": accepted,
                ":refused": refused,
                ":repeated": repeated,
            },
        )

    def sent(self, batch: Batch, row: int, *, until: datetime | None, now: datetime) -> None:
        """Set pass 2's checkpoint: every accepted row up to `row` has been sent; `until` None gives the lease back.

        Raises:
            Contended: the lease is not ours any more.
        """
        self._advance(
            batch,
            "SET sent_row = :row, moved_at = :now, lease_until = :until",
            {":row": row, ":now": stamp(now), ":until": stamp(until) if until else ""},
        )

    def all_sent(self, batch: Batch, *, now: datetime) -> None:
        """End pass 2: every accepted row has been sent.

        Raises:
            Contended: the lease is not ours any more.
        """
        self._advance(
            batch,
            "SET #state = :state, moved_at = :now REMOVE lease, lease_until",
            {":state": BatchState.OPEN, ":now": stamp(now)},
        )

    def refuse(self, batch: Batch, reason: str) -> None:
        """End a batch whose file is no manifest; there is nothing to come back to.

        Raises:
            Contended: the lease is not ours any more.
        """
        self._advance(
            batch,
            "SET #state = :state, reason = :reason REMOVE lease, lease_until, agenda, due",
            {":state": BatchState.REFUSED, ":reason": reason},
        )

    def finish(self, batch: Batch, reason: str | None = None) -> bool:
        """Close an open batch: all its rows are in an end state, or nothing can be done for the rest, for a reason."""
        still_open = "#state = :open"
        return self._accepted(
            batch_key(batch.id),
            "SET #state = :finished, reason = :reason REMOVE agenda, due",
            still_open,
            {":finished": BatchState.FINISHED, ":open": BatchState.OPEN, ":reason": reason},
        )

    def audited(self, batch: Batch, *, rounds: int, rows: int, now: datetime) -> bool:
        """Record an audit; False where the batch has moved, or another audit came in between."""
        unmoved = "moved_at = :moved"
        try:
            self._update(
                batch_key(batch.id),
                "SET audit_rounds = :rounds, audited_rows = :rows, moved_at = :now",
                unmoved,
                {":rounds": rounds, ":rows": rows, ":now": stamp(now), ":moved": stamp(batch.moved_at)},
            )
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def count(self, batch: str, counts: Mapping[str, int], *, now: datetime) -> None:
        """Add to a batch's counters. They are hints: a message delivered twice may count twice."""
        names = {f"#c{i}": f"n_{name}" for i, name in enumerate(counts)}
        values: dict[str, Any] = {f":c{i}": number for i, number in enumerate(counts.values())}
        added = ", ".join(f"#c{i} :c{i}" for i in range(len(counts)))
        self._update(
            batch_key(batch),
            f"SET moved_at = :now{' ADD ' + added if added else ''}",
            "attribute_exists(pk)",
            values | {":now": stamp(now)},
            names,
        )

    def survey(self, batch: str) -> Survey:
        """What the rows of a batch have in common."""
        item = self._get({"pk": f"batch#{batch}", "sk": "survey"})
        return Survey.from_json(item["survey"]) if item else Survey.learn(())

    def open_batches(self) -> Iterator[Batch]:
        """Every batch that is not finished, the oldest first (read from the index: a moment behind)."""
        return map(as_batch, self._on_agenda(OPEN, before=NEVER))

    def _advance(self, batch: Batch, change: str, values: Mapping[str, Any]) -> None:
        leased = "lease = :lease"
        try:
            self._update(batch_key(batch.id), change, leased, {**values, ":lease": batch.lease})
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            message = f"batch {batch.id} is in somebody else's hands"
            raise Contended(message) from refusal
