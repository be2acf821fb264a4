"""The catalog's dead rows, and the grants by which a person allows them further attempts.

A redrive takes these steps in this order, so that a crash at any point loses nothing and grants nothing twice:

::

    allow ───────────────────────────► send ─────────────────────► sent ──────────► delete the dead letter
    ONE transaction queues the row,      │                           │                └ a crash: nothing is left to do
    puts it on the agenda as unsent,     │                           └ a crash: the dead letter remains, for a row that
    opens its batch again and grants     │                             is queued or has ended: a redrive sends it again
    its video n more attempts            │                             and the row ends once, or a purge deletes it
      │                                  └ a crash: the row is still on the agenda: the next redrive sends it a second
      │                                    time, and it ends once
      └ a crash: the row is on the agenda as unsent: the next redrive sends it; without one, the audit does

A grant is an absolute number: the attempts at the time of the plan plus n. DynamoDB accepts it only if the video has
had no further attempt since, so a redrive that continues after a crash gives the same grant, not another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.items import Row, VideoRecord, as_row, as_video_record, readable
from titlecard.aws.dynamodb.catalog.keys import (
    OPEN,
    REDRIVEN,
    UNSENT,
    batch_key,
    batch_of_row,
    current_key,
    dead_lists,
    number_of_row,
    row_count_key,
    row_key,
    video_partition,
    video_record_key,
)
from titlecard.aws.dynamodb.catalog.table import CatalogTable
from titlecard.aws.dynamodb.values import stamp
from titlecard.aws.errors import RowItemInvalid
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.reasons import DISCARDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True)
class AttemptGrant:
    """Permission to try a video again.

    `attempts` is the number of attempts on its fingerprint according to the plan. `allowed` is the number that it may
    have in all from now on, or None if the video cannot cost anything and needs no grant.
    """

    project: str
    video: str
    fingerprint: str
    attempts: int
    allowed: int | None
    by: str


class Grants(CatalogTable):
    """Dead rows, and what an operator may do about them."""

    def dead(self) -> Iterator[tuple[str, int]]:
        """Yield the batch and the number of each dead row, the oldest death first.

        This is an eventually consistent read of the index, as in `unsent`.
        """
        return map(_name_of_row, self._on_agenda(*dead_lists()))

    def unsent(self) -> Iterator[tuple[str, int]]:
        """Yield the batch and the number of each row with a grant whose message has not been sent."""
        return map(_name_of_row, self._on_agenda(UNSENT))

    def sent(self, seen: Row) -> None:
        """Record that a row's message was sent; leave a row that has moved on as it is."""
        is_unsent = "agenda = :unsent"
        self._update(row_key(seen.batch, seen.number), "REMOVE agenda, due", is_unsent, {":unsent": UNSENT})

    def rows(self, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Row]:
        """Return the current state of rows, by batch and number; one that cannot be read has an `error`."""
        wanted = [row_key(*key) for key in dict.fromkeys(keys)]
        return {_name_of_row(item): _readable_row(item) for item in self._get_all(wanted).values()}

    def video_records(self, keys: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], VideoRecord]:
        """Return the records of videos, by project, id and fingerprint; one that cannot be read has an `error`."""
        wanted = {tuple(video_record_key(*key).values()): key for key in keys}
        found = self._get_all([{"pk": pk, "sk": sk} for pk, sk in wanted])
        return {wanted[key]: _readable_record(item) for key, item in found.items()}

    def newest(self, videos: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the order of the newest upload that has each video, by project and id; see `batch.Upload.order`."""
        wanted = {video_partition(*video): video for video in videos}
        found = self._get_all([current_key(*video) for video in wanted.values()])
        return {wanted[pk]: str(item.get("order", "")) for (pk, _), item in found.items()}

    def records(self, project: str, video: str) -> list[VideoRecord]:
        """Return the records of a video under each of its fingerprints; one that cannot be read has an `error`."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :fp)",
            ExpressionAttributeValues={":pk": video_partition(project, video), ":fp": "fp#"},
            ConsistentRead=True,
        )
        return [_readable_record(item) for item in items]

    def allow(self, seen: Row, grant: AttemptGrant, state: BatchState, *, now: datetime) -> bool:
        """Grant a row further attempts, before its message is sent; return False if anything changed since it was read.

        Args:
            seen: the row as it was read: dead, or queued with a message in the dead-letter queue.
            state: the state of its batch as it was read; a finished batch becomes open.

        Raises:
            CatalogBusy: nothing was written, because other writers kept cancelling the transaction.
        """
        writes = [
            self._granted(seen, grant, now),
            self._batch_open(seen, state, now),
            self._row_queued(seen, grant, now),
        ]
        if seen.state is RowState.DEAD:
            writes.append(self._dead_counted(seen, -1, now))
        return self._transact(writes)

    def discard(self, seen: Row, *, by: str, now: datetime) -> bool:
        """Make a row dead permanently: no list shows it, and nothing sends it again; return False if it has changed.

        Args:
            seen: the row as it was read: dead, or queued with a message in the dead-letter queue; with its video.

        Raises:
            CatalogBusy: nothing was written, because other writers kept cancelling the transaction.
        """
        if seen.state is not RowState.DEAD:
            return self._transact([self._row_discarded(seen, by, now), self._dead_counted(seen, 1, now)])
        as_read, values = _as_read(seen)
        return self._update(
            row_key(seen.batch, seen.number),
            "SET discarded_at = :now, discarded_by = :by REMOVE agenda, due",
            as_read,
            {**values, ":now": stamp(now), ":by": by},
        )

    def _granted(self, seen: Row, grant: AttemptGrant, now: datetime) -> dict[str, Any]:
        untried = " OR attribute_not_exists(attempts)" if grant.attempts == 0 else ""
        unmoved = f"attempts = :attempts{untried}"
        given: dict[str, Any] = {"at": stamp(now), "by": grant.by, "batch": seen.batch, "row": seen.number}
        values: dict[str, Any] = {":attempts": grant.attempts, ":none": []}
        change = "SET redrives = list_append(if_not_exists(redrives, :none), :given)"
        if grant.allowed is not None:
            given |= {"attempts": grant.attempts, "allowed": grant.allowed}
            change += ", allowed = :allowed"
            values[":allowed"] = grant.allowed
        key = video_record_key(grant.project, grant.video, grant.fingerprint)
        return self._write(key, change, unmoved, {**values, ":given": [given]})

    def _batch_open(self, seen: Row, state: BatchState, now: datetime) -> dict[str, Any]:
        as_read = "#state = :state"
        values: dict[str, Any] = {":state": state, ":now": stamp(now)}
        change = "SET moved_at = :now"  # stops an audit that has already counted the rows from finishing the batch
        if state is BatchState.FINISHED:
            change += ", #state = :open, agenda = :agenda, due = created_at"
            change += ", audit_rounds = :zero, audited_rows = :zero, audit_row = :zero"
            change += " REMOVE reason"
            values |= {":open": BatchState.OPEN, ":agenda": OPEN, ":zero": 0}
        return self._write(batch_key(seen.batch), change, as_read, values)

    def _row_queued(self, seen: Row, grant: AttemptGrant, now: datetime) -> dict[str, Any]:
        as_read, values = _as_read(seen)
        return self._write(
            row_key(seen.batch, seen.number),
            "SET #state = :queued, video = :video, redriven_at = :now, redriven_by = :by, agenda = :unsent, due = :now"
            " REMOVE ended_at, reason, tier",
            as_read,
            {
                **values,
                ":queued": RowState.QUEUED,
                ":video": grant.video,
                ":now": stamp(now),
                ":by": grant.by,
                ":unsent": UNSENT,
            },
        )

    def _row_discarded(self, seen: Row, by: str, now: datetime) -> dict[str, Any]:
        as_read, values = _as_read(seen)
        return self._write(
            row_key(seen.batch, seen.number),
            "SET #state = :dead, video = :video, fingerprint = if_not_exists(fingerprint, :fingerprint),"
            " reason = :reason, ended_at = :now, discarded_at = :now, discarded_by = :by"
            " REMOVE agenda, due, began, alone",
            as_read,
            {
                **values,
                ":dead": RowState.DEAD,
                ":video": seen.video,
                ":fingerprint": seen.fingerprint,
                ":reason": DISCARDED,
                ":now": stamp(now),
                ":by": by,
            },
        )

    def _dead_counted(self, seen: Row, number: int, now: datetime) -> dict[str, Any]:
        key, change = row_count_key(seen.batch, REDRIVEN), "SET moved_at = :now ADD n_dead :number"
        return self._write(key, change, None, {":now": stamp(now), ":number": number})


def _as_read(seen: Row) -> tuple[str, dict[str, Any]]:
    """Return the condition that a row, dead or queued, is unchanged since it was read, and the condition's values."""
    if seen.state is RowState.DEAD:
        return "#state = :dead AND ended_at = :ended", {":dead": RowState.DEAD, ":ended": seen.ended_at}
    not_begun = "attribute_not_exists(#state)"
    queued = "#state = :queued"
    return f"{not_begun} OR {queued}", {":queued": RowState.QUEUED}


def _name_of_row(item: Mapping[str, Any]) -> tuple[str, int]:
    return batch_of_row(item), number_of_row(item)


def _readable_row(item: Mapping[str, Any]) -> Row:
    """Return the row that an item holds; one bad item does not hide the others."""
    try:
        row = as_row(item)
        with readable(item):
            if row.state is RowState.DEAD and datetime.fromisoformat(row.ended_at).tzinfo is None:
                raise ValueError(f"{row.ended_at} has no time zone")
    except RowItemInvalid as error:
        return Row(*_name_of_row(item), error=str(error))
    return row


def _readable_record(item: Mapping[str, Any]) -> VideoRecord:
    """Return the record that an item holds; one bad item does not hide the others."""
    try:
        return as_video_record(item)
    except RowItemInvalid as error:
        return VideoRecord(str(item["sk"]).removeprefix("fp#"), error=str(error))
