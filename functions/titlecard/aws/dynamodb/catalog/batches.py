"""The catalog's batches: from an upload to its end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.items import Batch, UnreadableBatch, as_batch
from titlecard.aws.dynamodb.catalog.keys import CLOSED, OPEN, batch_key, number_of_row, row_count_keys, survey_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable, plain, stamp
from titlecard.aws.errors import LeaseHeld
from titlecard.domain.batch import BatchLimits, BatchState, RowState, Upload
from titlecard.extraction.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime


class Batches(CatalogTable):
    """What was uploaded, and how far it is."""

    def open_batch(
        self, upload: Upload, project: str, limits: BatchLimits, *, lease: str, until: datetime, now: datetime
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
                " #bucket = :bucket, #key = :key, version = :version, #order = :order, etag = :etag,"
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
        key = batch_key(batch)
        items = self._get_all([key, *row_count_keys(batch)])
        item = items.pop((key["pk"], key["sk"]), None)
        if item is None:
            raise KeyError(batch)
        return as_batch(item, *items.values())

    def start_sending(
        self,
        batch: Batch,
        survey: Survey,
        *,
        limits: BatchLimits,
        form: str,
        accepted: int,
        refused: int,
        repeated: int,
        last_row: int,
    ) -> None:
        """End pass 1: its counts, its survey and its limits stand, and messages may go out.

        Raises:
            LeaseHeld: the lease is not ours any more.
        """
        self._db.put_item(TableName=self._table, Item={**survey_key(batch.id), "survey": survey.to_json()})
        self._advance(
            batch,
            "SET #state = :state, limits = :limits, form = :form, accepted = :accepted, refused = :refused,"
            " repeated = :repeated, last_row = :last_row",
            {
                ":state": BatchState.SENDING,
                ":limits": limits.model_dump(),
                ":form": form,
                ":accepted": accepted,
                ":refused": refused,
                ":repeated": repeated,
                ":last_row": last_row,
            },
        )

    def sent(self, batch: Batch, row: int, *, until: datetime | None, now: datetime) -> None:
        """Set pass 2's checkpoint: every accepted row up to `row` has been sent; `until` None gives the lease back.

        Raises:
            LeaseHeld: the lease is not ours any more.
        """
        self._advance(
            batch,
            "SET sent_row = :row, moved_at = :now, lease_until = :until",
            {":row": row, ":now": stamp(now), ":until": stamp(until) if until else ""},
        )

    def all_sent(self, batch: Batch, *, now: datetime) -> None:
        """End pass 2: every accepted row has been sent.

        Raises:
            LeaseHeld: the lease is not ours any more.
        """
        self._advance(
            batch,
            "SET #state = :state, moved_at = :now REMOVE lease, lease_until, audit_rounds, audited_rows",
            {":state": BatchState.OPEN, ":now": stamp(now)},
            already=(BatchState.OPEN, BatchState.FINISHED),
        )

    def refuse(self, batch: Batch, reason: str) -> None:
        """End a batch whose file is no manifest; there is nothing to come back to.

        Raises:
            LeaseHeld: the lease is not ours any more.
        """
        self._advance(
            batch,
            "SET #state = :state, reason = :reason, agenda = :closed, due = created_at REMOVE lease, lease_until",
            {":state": BatchState.REFUSED, ":reason": reason, ":closed": CLOSED},
            already=(BatchState.REFUSED,),
        )

    def finish(self, batch: Batch, reason: str | None = None) -> bool:
        """Close an open batch: all its rows are in an end state, or nothing can be done for the rest, for a reason.

        False where it is not open, or where a person had dead rows tried again since it was read.
        """
        still_open = "#state = :open AND moved_at = :moved"
        return self._accepted(
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
        """Have the rest of a batch's rows ended as cancelled when they come up; False where the batch is over."""
        not_over = "#state IN (:counting, :sending, :open)"
        return self._accepted(
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

    def audited(self, batch: Batch, *, rounds: int, rows: int, row: int = 0, now: datetime) -> bool:
        """Record an audit, or how far one is; False where somebody else has marked the batch in between.

        Args:
            rounds: how often its rows have been sent again, or its ingest started again, without any getting on.
            rows: what it is judged by whether anything got on: how many rows had settled, or had been sent.
            row: up to which row this round has come; 0 where it is through.
        """
        as_read = "moved_at = :moved"
        return self._accepted(
            batch_key(batch.id),
            "SET audit_rounds = :rounds, audited_rows = :rows, audit_row = :row, moved_at = :now",
            as_read,
            {":rounds": rounds, ":rows": rows, ":row": row, ":now": stamp(now), ":moved": batch.marked_at},
        )

    def explain(self, batch: Batch, reason: str) -> bool:
        """Write down what is wrong with a batch, for a person; False where somebody has marked the batch in between.

        A batch that ingest did not finish stays as it is: whoever starts ingest again takes it up, and the reason goes.
        """
        as_read = "moved_at = :moved"
        change = "SET reason = :reason"
        return self._accepted(batch_key(batch.id), change, as_read, {":reason": reason, ":moved": batch.marked_at})

    def mark_counted(self, batch: Batch) -> bool:
        """Write down that the rows of a batch were counted one by one as it stands; False where it was marked since."""
        change, as_read = "SET counted_at = :at", "moved_at = :moved"
        values = {":at": stamp(batch.moved_at), ":moved": batch.marked_at}
        return self._accepted(batch_key(batch.id), change, as_read, values)

    def count_rows(self, batch: Batch, *states: RowState) -> int:
        """How many rows of a batch are in these states, looked at one by one."""
        return sum(1 for _ in self.numbers_of_rows(batch, *states))

    def numbers_of_rows(self, batch: Batch, *states: RowState, after: int = 0) -> Iterator[int]:
        """The numbers, rising, of the rows behind row `after` that are in these states."""
        names = {f":s{i}": state for i, state in enumerate(states)}
        for item in self._rows_between(
            batch.id,
            batch.last_row,
            after=after,
            ProjectionExpression="sk",
            FilterExpression=f"#state IN ({', '.join(names)})",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues=names,
        ):
            yield number_of_row(item)

    def survey(self, batch: str) -> Survey:
        """What the rows of a batch have in common."""
        item = self._get(survey_key(batch))
        return Survey.from_json(item["survey"]) if item else Survey.learn(())

    def open_batches(self) -> Iterator[Batch | UnreadableBatch]:
        """Every batch that is not finished, the oldest first (named by the index: one made a moment ago may lack)."""
        for item in self._on_agenda(OPEN):
            name = item["pk"].removeprefix("batch#")
            try:
                yield self.batch(name)
            except (KeyError, TypeError, ValueError) as trouble:  # one bad item does not stop the others
                yield UnreadableBatch(name, f"{type(trouble).__name__}: {trouble}"[:200])

    def all_batches(self, project: str | None = None) -> Iterator[Batch]:
        """Every batch, of one project or of all, in the order in which they were made (named by the index)."""
        found: dict[str, tuple[str, str]] = {}
        for agenda in (OPEN, CLOSED):  # in the order in which batches move, so that none is missed
            for item in self._on_agenda(agenda):
                if project in {None, item["project"]}:
                    found[item["pk"]] = (item["created_at"], item["pk"].removeprefix("batch#"))
        for _, batch in sorted(found.values()):
            yield self.batch(batch)

    def _advance(
        self, batch: Batch, change: str, values: Mapping[str, Any], already: tuple[BatchState, ...] = ()
    ) -> None:
        """Write to a batch that we hold.

        What ends our hold is refused when boto3 repeats it because the answer was lost. In one of the states `already`,
        which only such a write leads to, the batch is where it was to come.
        """
        leased = "lease = :lease"
        write = self._write(batch_key(batch.id), change, leased, {**values, ":lease": batch.lease})["Update"]
        try:
            self._db.update_item(**write, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            if plain(refusal.response).get("state") in already:
                return
            message = f"batch {batch.id} is in somebody else's hands"
            raise LeaseHeld(message) from refusal
