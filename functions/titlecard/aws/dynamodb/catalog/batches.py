"""The catalog's batches: from an upload to its end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.items import UNREADABLE, Batch, LimitIncrease, UnreadableBatch, as_batch, counter_of
from titlecard.aws.dynamodb.catalog.keys import CLOSED, OPEN, batch_key, number_of_row, row_count_keys, survey_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable, as_bytes
from titlecard.aws.dynamodb.values import stamp
from titlecard.aws.errors import BatchItemInvalid, LeaseHeld
from titlecard.domain.batch import END_STATES, BatchState, RowState, Upload
from titlecard.domain.money import Total
from titlecard.extraction.survey import BatchSurvey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime


class Batches(CatalogTable):
    """Batches, and their progress."""

    def open_batch(
        self, upload: Upload, project: str, limits: Total, *, lease: str, until: datetime, now: datetime
    ) -> Batch:
        """Lease an upload's batch to this ingest, creating the batch if it is new, and return the batch.

        The second delivery of an event finds the lease of the first, or a batch that needs no more work. A crash leaves
        a lease that expires. The caller holds the lease if the returned batch names it.

        Args:
            lease: a random name for this ingest.
            until: when the lease expires if ingest does not finish.
        """
        new = "attribute_not_exists(pk)"
        unfinished = "#state IN (:counting, :sending)"
        expired = "(attribute_not_exists(lease) OR lease_until < :now)"
        self._update(
            batch_key(upload.batch),
            "SET #state = if_not_exists(#state, :counting), lease = :lease, lease_until = :until, moved_at = :now,"
            " #bucket = :bucket, #key = :key, version = :version,"
            " #order = if_not_exists(#order, :order), etag = if_not_exists(etag, :etag),"
            " #project = :project,"
            " limits = if_not_exists(limits, :limits), created_at = if_not_exists(created_at, :now),"
            " agenda = if_not_exists(agenda, :open), due = if_not_exists(due, :now)"
            " REMOVE reason",
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
                ":etag": upload.etag,
                ":project": project,
                ":limits": limits.as_map(),
                ":open": OPEN,
            },
        )
        return self.batch(upload.batch)

    def batch(self, batch: str) -> Batch:
        """Return a batch in its current state.

        Raises:
            KeyError: no batch has this name.
            BatchItemInvalid: its item cannot be read.
        """
        key = batch_key(batch)
        items = self._get_all([key, *row_count_keys(batch)])
        item = items.pop((key["pk"], key["sk"]), None)
        if item is None:
            raise KeyError(batch)
        try:
            return as_batch(item, *items.values())
        except UNREADABLE as error:
            why = f"it was edited by hand, or written by another version ({type(error).__name__})"
            raise BatchItemInvalid(f"batch {batch} cannot be read: {why}") from error

    def start_sending(
        self,
        batch: Batch,
        survey: BatchSurvey,
        *,
        limits: Total,
        form: str,
        accepted: int,
        refused: int,
        repeated: int,
        last_row: int,
    ) -> None:
        """End pass 1: store its counts, survey and limits, so that pass 2 can send messages.

        Raises:
            LeaseHeld: the lease is no longer ours.
        """
        self._db.put_item(TableName=self._table, Item={**survey_key(batch.id), **survey.stored()})
        self._advance(
            batch,
            "SET #state = :state, limits = :limits, form = :form, accepted = :accepted, refused = :refused,"
            " repeated = :repeated, last_row = :last_row",
            {
                ":state": BatchState.SENDING,
                ":limits": limits.as_map(),
                ":form": form,
                ":accepted": accepted,
                ":refused": refused,
                ":repeated": repeated,
                ":last_row": last_row,
            },
        )

    def sent(self, batch: Batch, row: int, *, until: datetime | None, now: datetime) -> None:
        """Record pass 2's checkpoint: every accepted row up to `row` is sent. `until` None releases the lease.

        Raises:
            LeaseHeld: the lease is no longer ours.
        """
        self._advance(
            batch,
            "SET sent_row = :row, moved_at = :now, lease_until = :until",
            {":row": row, ":now": stamp(now), ":until": stamp(until) if until else ""},
        )

    def release(self, batch: Batch) -> None:
        """Release the lease of a batch.

        Raises:
            LeaseHeld: the lease is no longer ours.
        """
        self._advance(batch, "SET lease_until = :none", {":none": ""})

    def all_sent(self, batch: Batch, *, now: datetime) -> None:
        """End pass 2: every accepted row is sent.

        Raises:
            LeaseHeld: the lease is no longer ours.
        """
        self._advance(
            batch,
            "SET #state = :state, moved_at = :now REMOVE lease, lease_until, audit_rounds, audited_rows",
            {":state": BatchState.OPEN, ":now": stamp(now)},
            already=(BatchState.OPEN, BatchState.FINISHED),
        )

    def refuse(self, batch: Batch, reason: str) -> None:
        """Close a batch whose file is not a manifest.

        Raises:
            LeaseHeld: the lease is no longer ours.
        """
        self._advance(
            batch,
            "SET #state = :state, reason = :reason, agenda = :closed, due = created_at REMOVE lease, lease_until",
            {":state": BatchState.REFUSED, ":reason": reason, ":closed": CLOSED},
            already=(BatchState.REFUSED,),
        )

    def finish(self, batch: Batch, reason: str | None = None) -> bool:
        """Close an open batch: all its rows are in an end state, or `reason` says why the rest cannot get there.

        Return False if the batch is not open, or if an operator has redriven dead rows since it was read.
        """
        still_open = "#state = :open AND moved_at = :moved"
        return self._update(
            batch_key(batch.id),
            "SET #state = :finished, reason = :reason, agenda = :closed, due = created_at",
            still_open,
            {
                ":finished": BatchState.FINISHED,
                ":open": BatchState.OPEN,
                ":reason": reason,
                ":closed": CLOSED,
                ":moved": batch.marked_at,
            },
        )

    def cancel(self, batch: Batch, *, now: datetime) -> bool:
        """Cancel a batch: workers end each remaining row as cancelled. Return False if the batch is over."""
        not_over = "#state IN (:counting, :sending, :open)"
        return self._update(
            batch_key(batch.id),
            "SET cancelled_at = if_not_exists(cancelled_at, :now)",
            not_over,
            {
                ":now": stamp(now),
                ":counting": BatchState.COUNTING,
                ":sending": BatchState.SENDING,
                ":open": BatchState.OPEN,
            },
        )

    def raised(self, batch: str) -> list[LimitIncrease]:
        """Return the increases of a batch's limit, oldest first; none if there is no such batch."""
        item = self._get(batch_key(batch))
        return [
            LimitIncrease(it["at"], it["by"], Total.from_item(it["before"]), Total.from_item(it["after"]))
            for it in item.get("raised", ())
        ]

    def raise_limit(self, batch: str, before: Total, after: Total, *, by: str, now: datetime) -> bool:
        """Raise a batch's limit; return False if it has changed since it was read, or cannot be raised now.

        It cannot be raised while ingest counts the rows, since ingest then writes the limit, nor after the batch was
        refused or cancelled. It is never lowered: a worker that still knows the old limit would exceed the new one.

        Args:
            before: the limit as it was read; no field of `after` is lower.
            by: the person who raises it.
        """
        as_read = "limits = :before"
        counted = "#state IN (:sending, :open, :finished)"
        going = "attribute_not_exists(cancelled_at)"
        given = {"at": stamp(now), "by": by, "before": before.as_map(), "after": after.as_map()}
        return self._update(
            batch_key(batch),
            "SET limits = :after, raised = list_append(if_not_exists(raised, :none), :given)",
            f"{as_read} AND {counted} AND {going}",
            {
                ":before": before.as_map(),
                ":after": after.as_map(),
                ":none": [],
                ":given": [given],
                ":sending": BatchState.SENDING,
                ":open": BatchState.OPEN,
                ":finished": BatchState.FINISHED,
            },
        )

    def record_audit(self, batch: Batch, *, rounds: int, rows: int, row: int = 0, now: datetime) -> bool:
        """Record an audit or its progress; return False if the batch's item has changed since it was read.

        Args:
            rounds: how often the audit has sent the rows again, or restarted ingest, without progress.
            rows: the measure of progress: the number of rows that have ended, or that ingest has sent.
            row: the last row that this round has reached; 0 if the round is complete.
        """
        as_read = "moved_at = :moved"
        return self._update(
            batch_key(batch.id),
            "SET audit_rounds = :rounds, audited_rows = :rows, audit_row = :row, moved_at = :now",
            as_read,
            {":rounds": rounds, ":rows": rows, ":row": row, ":now": stamp(now), ":moved": batch.marked_at},
        )

    def record_reason(self, batch: Batch, reason: str) -> bool:
        """Record what is wrong with a batch, for the operator; return False if its item has changed since it was read.

        A batch that ingest did not finish keeps its state: a restarted ingest takes it up and removes the reason.
        """
        as_read = "moved_at = :moved"
        change = "SET reason = :reason"
        return self._update(batch_key(batch.id), change, as_read, {":reason": reason, ":moved": batch.marked_at})

    def mark_counted(self, batch: Batch) -> bool:
        """Record a one-by-one count of a batch's rows; return False if its item has changed since it was read."""
        change, as_read = "SET counted_at = :at", "moved_at = :moved"
        values = {":at": batch.progress, ":moved": batch.marked_at}
        return self._update(batch_key(batch.id), change, as_read, values)

    def claim_finish(self, batch: Batch) -> bool:
        """Claim the finishing of an open batch; return False if another call has claimed it since it last changed."""
        unclaimed = "attribute_not_exists(claimed_at) OR claimed_at <> :at"
        return self._update(
            batch_key(batch.id),
            "SET claimed_at = :at",
            f"#state = :open AND ({unclaimed})",
            {":at": batch.progress, ":open": BatchState.OPEN},
        )

    def count_rows(self, batch: Batch, *states: RowState) -> int:
        """Count the rows of a batch that are in these states, one by one."""
        return self._count_rows(batch.id, batch.last_row, **_in_states(states))

    def counts_of_rows(self, batch: Batch) -> Counter[str]:
        """Count the ended rows of a batch one by one, by state and tier as its counters do; this reads all rows."""
        only = {"ProjectionExpression": "sk, #state, tier", **_in_states(END_STATES)}
        items = self._rows_between(batch.id, batch.last_row, **only)
        return Counter(counter_of(it["state"], it.get("tier")) for it in items)

    def numbers_of_rows(self, batch: Batch, *states: RowState, after: int = 0) -> Iterator[int]:
        """Yield the numbers of the rows after row `after` that are in these states, in ascending order."""
        only = {"ProjectionExpression": "sk", **_in_states(states)}
        return map(number_of_row, self._rows_between(batch.id, batch.last_row, after=after, **only))

    def survey(self, batch: str) -> BatchSurvey:
        """Return the surveys of a batch: what its rows have in common.

        Raises:
            BatchItemInvalid: its item cannot be read.
        """
        item = self._get(survey_key(batch))
        try:
            return BatchSurvey.from_stored(item["survey"], as_bytes(item.get("parts", b""))) if item else BatchSurvey()
        except UNREADABLE as error:
            raise BatchItemInvalid(f"the survey of batch {batch} cannot be read") from error

    def open_batches(self) -> Iterator[Batch | UnreadableBatch]:
        """Yield every unfinished batch, oldest first (the index may not list the newest ones yet)."""
        for item in self._on_agenda(OPEN):
            yield self._listed(item["pk"].removeprefix("batch#"))

    def all_batches(self, project: str | None = None) -> Iterator[Batch | UnreadableBatch]:
        """Yield every batch of one project, or of all, oldest first (the index may not list the newest ones yet)."""
        found: dict[str, tuple[str, str]] = {}
        for agenda in (OPEN, CLOSED):  # batches move in this order, so none is missed
            for item in self._on_agenda(agenda):
                if project in (None, item.get("project")):  # a list, if somebody has edited it
                    found[item["pk"]] = (item["due"], item["pk"].removeprefix("batch#"))
        for _, batch in sorted(found.values()):
            yield self._listed(batch)

    def _listed(self, batch: str) -> Batch | UnreadableBatch:
        """Return a batch that the index lists; one bad item does not stop the others."""
        try:
            return self.batch(batch)
        except (KeyError, BatchItemInvalid) as error:
            return UnreadableBatch(batch, str(error))

    def _advance(
        self, batch: Batch, change: str, values: Mapping[str, Any], already: tuple[BatchState, ...] = ()
    ) -> None:
        """Write to a batch whose lease we hold.

        DynamoDB refuses a write that ends our lease when boto3 repeats it after a lost answer. Only that write leads to
        the states in `already`, so a refusal that shows one of them means success.
        """
        leased = "lease = :lease"
        stored = self._update_or_get(batch_key(batch.id), change, leased, {**values, ":lease": batch.lease})
        if stored is not None and stored.get("state") not in already:
            raise LeaseHeld(f"batch {batch.id} is held by another worker")


def _in_states(states: Sequence[RowState]) -> dict[str, Any]:
    """Return the filter of a query for rows in these states."""
    values = {f":s{i}": state for i, state in enumerate(states)}
    return {
        "FilterExpression": f"#state IN ({', '.join(values)})",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": values,
    }
