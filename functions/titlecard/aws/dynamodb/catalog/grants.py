"""The catalog's dead rows: what became of them, and a person's leave to try them again.

A row is sent again in this order, so that a crash at any point loses nothing and grants nothing twice:

::

    allow ───────────────────────────► send ─────────────────────► sent ──────────► delete the letter
    ONE transaction: the row is queued   │                           │                └ a crash: nothing is left to do
    again and on the agenda as unsent,   │                           └ a crash: the letter is there still, of a row that
    its batch is open again, its video   │                             is queued or has ended: it is sent a second time,
    has leave for n attempts more        │                             and the row ends once; or it is thrown away
      │                                  └ a crash: the row is on the agenda still: the next redrive sends it a second
      │                                    time, and it ends once
      └ a crash: the row is on the agenda as unsent: the next redrive sends it; without one, the audit does

The leave is a number, the attempts at the time of the plan and n more, and it is given on the condition that there were
no further attempts since: whoever goes on after a crash gives the same leave, not another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.items import VideoRecord, as_video_record
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
from titlecard.aws.dynamodb.catalog.table import CatalogTable, stamp
from titlecard.domain.batch import BatchState, RowState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime


@dataclass(frozen=True)
class RowSnapshot:
    """A row as it stands; `state` is None if nobody has touched it; the stamps are empty if there is no such event."""

    batch: str
    row: int
    state: RowState | None = None
    video: str = ""
    fingerprint: str = ""
    reason: str = ""
    ended_at: str = ""
    redriven_at: str = ""


@dataclass(frozen=True)
class AttemptGrant:
    """Leave to try a video again.

    `attempts` are those that its fingerprint has had, by the plan; `allowed` is how many it may have in all from now
    on, None where nothing can be spent on it and nothing has to be allowed.
    """

    project: str
    video: str
    fingerprint: str
    attempts: int
    allowed: int | None
    by: str


@dataclass(frozen=True)
class FingerprintHistory:
    """A part of a video's story: what is known under one fingerprint, and who let it be tried again."""

    fingerprint: str
    entry: VideoRecord
    redrives: tuple[Mapping[str, Any], ...]

    @property
    def allowed(self) -> int:
        """How many attempts a person has allowed in all; 0 where none has."""
        return self.entry.allowed


class Grants(CatalogTable):
    """Dead rows, and what a person may do about them."""

    def dead(self) -> Iterator[RowSnapshot]:
        """Every dead row, the first that died first (read from the index: a moment behind)."""
        return map(_as_seen, self._on_agenda(*dead_lists()))

    def unsent(self) -> Iterator[RowSnapshot]:
        """Rows that were allowed another try and whose message was not sent (read from the index: a moment behind)."""
        return map(_as_seen, self._on_agenda(UNSENT))

    def sent(self, seen: RowSnapshot) -> None:
        """Note that the message of a row was sent; nothing happens to a row that has moved on."""
        is_unsent = "agenda = :unsent"
        self._accepted(row_key(seen.batch, seen.row), "REMOVE agenda, due", is_unsent, {":unsent": UNSENT})

    def rows(self, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], RowSnapshot]:
        """Rows by batch and number, as they stand now."""
        wanted = [row_key(*key) for key in dict.fromkeys(keys)]
        found = [_as_seen(item) for item in self._get_all(wanted).values()]
        return {(seen.batch, seen.row): seen for seen in found}

    def entries(self, keys: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], VideoRecord]:
        """What is known of videos, by project, id and fingerprint."""
        wanted = {tuple(video_record_key(*key).values()): key for key in keys}
        found = self._get_all([{"pk": pk, "sk": sk} for pk, sk in wanted])
        return {wanted[key]: as_video_record(item) for key, item in found.items()}

    def newest(self, videos: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The order of the newest upload that has each video, by project and id; see `batch.Upload.order`."""
        wanted = {video_partition(*video): video for video in videos}
        found = self._get_all([current_key(*video) for video in wanted.values()])
        return {wanted[pk]: str(item["order"]) for (pk, _), item in found.items()}

    def story(self, project: str, video: str) -> list[FingerprintHistory]:
        """All that is known of a video, by fingerprint."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :fp)",
            ExpressionAttributeValues={":pk": video_partition(project, video), ":fp": "fp#"},
            ConsistentRead=True,
        )
        return [
            FingerprintHistory(
                str(item["sk"]).removeprefix("fp#"),
                as_video_record(item),
                tuple(item.get("redrives", ())),
            )
            for item in items
        ]

    def allow(self, seen: RowSnapshot, leave: AttemptGrant, state: BatchState, *, now: datetime) -> bool:
        """Let a row be tried again, before its message is sent; False where something has moved since it was read.

        Args:
            seen: the row as it was read: dead, or queued (where its message is a dead letter all the same).
            leave: what its video is allowed.
            state: the state of its batch as it was read; a finished one is open again afterwards.

        Raises:
            CatalogBusy: nothing was written, because others were at the same items again and again.
        """
        writes = [self._leave(seen, leave, now), self._batch_open(seen, state, now)]
        if seen.state is RowState.DEAD:
            writes += [self._row_queued(seen, leave, now), self._not_counted(seen, now)]
        return self._transact(writes)

    def put_away(self, seen: RowSnapshot, *, by: str, now: datetime) -> bool:
        """Take a dead row off the agenda: it stays dead, and nobody is told of it any more."""
        as_read = "#state = :dead AND ended_at = :ended"
        return self._accepted(
            row_key(seen.batch, seen.row),
            "SET discarded_at = :now, discarded_by = :by REMOVE agenda, due",
            as_read,
            {":dead": RowState.DEAD, ":ended": seen.ended_at, ":now": stamp(now), ":by": by},
        )

    def _leave(self, seen: RowSnapshot, leave: AttemptGrant, now: datetime) -> dict[str, Any]:
        untried = " OR attribute_not_exists(attempts)" if leave.attempts == 0 else ""
        unmoved = f"attempts = :attempts{untried}"
        given: dict[str, Any] = {"at": stamp(now), "by": leave.by, "batch": seen.batch, "row": seen.row}
        values: dict[str, Any] = {":attempts": leave.attempts, ":none": []}
        change = "SET redrives = list_append(if_not_exists(redrives, :none), :given)"
        if leave.allowed is not None:
            given |= {"attempts": leave.attempts, "allowed": leave.allowed}
            change += ", allowed = :allowed"
            values[":allowed"] = leave.allowed
        key = video_record_key(leave.project, leave.video, leave.fingerprint)
        return self._write(key, change, unmoved, {**values, ":given": [given]})

    def _batch_open(self, seen: RowSnapshot, state: BatchState, now: datetime) -> dict[str, Any]:
        as_read = "#state = :state"
        values: dict[str, Any] = {":state": state, ":now": stamp(now)}
        change = "SET moved_at = :now"  # an audit that has counted the rows already does not finish it any more
        if state is BatchState.FINISHED:
            change += ", #state = :open, agenda = :agenda, due = created_at"
            change += ", audit_rounds = :zero, audited_rows = :zero, audit_row = :zero"
            change += " REMOVE reason"
            values |= {":open": BatchState.OPEN, ":agenda": OPEN, ":zero": 0}
        return self._write(batch_key(seen.batch), change, as_read, values)

    def _row_queued(self, seen: RowSnapshot, leave: AttemptGrant, now: datetime) -> dict[str, Any]:
        as_read = "#state = :dead AND ended_at = :ended"
        return self._write(
            row_key(seen.batch, seen.row),
            "SET #state = :queued, redriven_at = :now, redriven_by = :by, agenda = :unsent, due = :now"
            " REMOVE ended_at, reason, tier",
            as_read,
            {
                ":queued": RowState.QUEUED,
                ":dead": RowState.DEAD,
                ":ended": seen.ended_at,
                ":now": stamp(now),
                ":by": leave.by,
                ":unsent": UNSENT,
            },
        )

    def _not_counted(self, seen: RowSnapshot, now: datetime) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._table,
                "Key": row_count_key(seen.batch, REDRIVEN),
                "UpdateExpression": "SET moved_at = :now ADD n_dead :less",
                "ExpressionAttributeValues": {":now": stamp(now), ":less": -1},
            }
        }


def _as_seen(item: Mapping[str, Any]) -> RowSnapshot:
    return RowSnapshot(
        batch=batch_of_row(item),
        row=number_of_row(item),
        state=RowState(item["state"]) if "state" in item else None,
        video=item.get("video", ""),
        fingerprint=item.get("fingerprint", ""),
        reason=item.get("reason") or "",
        ended_at=item.get("ended_at", ""),
        redriven_at=item.get("redriven_at", ""),
    )
