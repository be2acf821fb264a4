"""The catalog's rows: the state of each row of a batch, and each video's pointer to its current talk.

Three conditional writes end a row, each billed as one write. A transaction would cost twice as much, and DynamoDB would
cancel it whenever another writer touches one of its items:

::

    talk ──────────────► pointer ─────────────► row ──────────────► tally
     │ a talk exists:     │ a newer batch has     │ it has ended:     └ a crash: the batch's count is too low, and the
     │ that one stays     │ the video: the row    │ that end stays      audit counts its rows one by one
     │                    │ ends as superseded    └ a crash: only the count is missing
     │                    └ a crash: the pointer names a row that has not ended
     └ a crash: no pointer names the talk

After each of these crashes but the last, SQS redelivers the message or the audit sends it again. The worker then finds
the stored talk, so it parses and pays for nothing twice, and its writes repeat the same values. A row ends only after
its talk and its pointer are written. A pointer to a row that has not ended is also true: no newer batch has the video.

INSERT statements, many to a call, write new items; a separate update changes each existing item. A video that has no
pointer yet gets one in the same call as its talk. A crash in that call may leave the pointer without the talk; it hides
no older talk, and the next worker stores the new one.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from titlecard.aws.dynamodb.catalog.items import (
    UNREADABLE,
    MessageState,
    Pointer,
    Row,
    RowEnd,
    as_map,
    as_row,
    as_video_record,
    readable,
)
from titlecard.aws.dynamodb.catalog.keys import (
    NO_PROJECT,
    TALLIES,
    batch_of_row,
    current_of,
    dated_list,
    dated_lists,
    dead_list,
    number_of_row,
    row_count_key,
    row_key,
    video_record_of,
    waiting_date,
    waiting_list,
    waiting_lists,
)
from titlecard.aws.dynamodb.catalog.table import CatalogTable, as_bytes
from titlecard.aws.dynamodb.values import stamp
from titlecard.aws.errors import RowItemInvalid
from titlecard.domain.batch import END_STATES, Message, RowState
from titlecard.domain.money import Amount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from titlecard.aws.dynamodb.catalog.items import Batch

LOCALLY = "locally"
"""The mark of a row that the local tier parses in isolation."""

SUPERSEDED = "a newer manifest has this video"

_NOT_ENDED = "attribute_not_exists(#state) OR #state IN (:queued, :deferred)"
_GOING = {":queued": RowState.QUEUED, ":deferred": RowState.DEFERRED}


@dataclass(frozen=True)
class DeferredRow:
    """A deferred row, with the message to send when it is due."""

    message: Message
    row: Row

    @property
    def batch(self) -> str:
        """The batch of the row."""
        return self.message.batch


@dataclass(frozen=True)
class UnreadableRow:
    """A deferred row whose item this version cannot read, for example after a roll-back from a newer version."""

    batch: str
    number: int
    error: str
    due: str


@dataclass(frozen=True)
class Ended:
    """The state of a row after a call to end it; `new` says whether this call ended it."""

    ending: RowEnd
    state: RowState
    new: bool


class Rows(CatalogTable):
    """Rows, and the talks of their videos."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        super().__init__(client, table)
        self._tally = str(int(uuid4().hex, 16) % TALLIES)

    def look_up(self, asked: Sequence[tuple[Message, str]]) -> list[MessageState]:
        """Return the states of rows and videos for (message, fingerprint) pairs, in their order, by consistent reads.

        Raises:
            CatalogBusy: the table is throttled.
            RowItemInvalid: an item of one of them cannot be read.
        """
        keys = [
            (row_key(message.batch, message.row), current_of(message), video_record_of(message, fingerprint))
            for message, fingerprint in asked
        ]
        return [_as_state(*items) for items in self._get_groups(keys)]

    def mark_started(self, message: Message, *, now: datetime, alone: str) -> None:
        """Mark a redelivered row before it runs in isolation: if it kills this worker, the next one knows which row.

        Nothing else depends on the mark, so a row that has ended since stays as it is.

        Args:
            alone: the step that runs in isolation: `LOCALLY`, or the token of the claim to be made.
        """
        self._update(
            row_key(message.batch, message.row),
            "SET began = :now, alone = :alone, #state = if_not_exists(#state, :queued), video = :video",
            "attribute_not_exists(#state) OR #state = :queued",
            {":now": stamp(now), ":video": message.video.id, ":alone": alone, ":queued": RowState.QUEUED},
        )

    def mark_survived(self, message: Message) -> None:
        """Record that the worker survived a row's isolated step; the row may now run beside others."""
        key, going = row_key(message.batch, message.row), "#state = :queued"
        self._update(key, "REMOVE alone", going, {":queued": RowState.QUEUED})

    # ---------------------------------------------------------------------------------------------------- the ends

    def end(self, endings: Sequence[RowEnd], *, now: datetime) -> list[Ended]:
        """Store talks and end their rows, each independently; return the state of each row.

        The caller counts the new ends with `count`.

        A row in a state that this version does not know stays as it is, and counts as queued.

        Raises:
            CatalogBusy: the table is throttled. Some writes may have succeeded, and all may be repeated.
            RowItemInvalid: a stored talk cannot be read. No row has ended, and all may be repeated.
        """
        talks = [place for place, ending in enumerate(endings) if ending.talk]
        pointers = [place for place, it in enumerate(endings) if _points(it) and it.pointer is Pointer.UNKNOWN]
        items = [_talk_item(endings[place]) for place in talks]
        items += [_pointer(it.message, it.fingerprint, it.order) for it in (endings[place] for place in pointers)]
        new = self._insert(items)  # in one call: a row waits for both, and neither for the other
        endings = self._store_talks(endings, dict(zip(talks, new, strict=False)))
        endings = self._move_pointers(endings, dict(zip(pointers, new[len(talks) :], strict=True)))
        return self._end_rows(endings, now)

    def end_and_count(self, endings: Sequence[RowEnd], *, now: datetime) -> list[RowState]:
        """End rows and count them.

        Raises:
            CatalogBusy: as for `end`.
        """
        ended = self.end(endings, now=now)
        self.count(ended, now=now)
        return [it.state for it in ended]

    def count(self, ended: Iterable[Ended], *, now: datetime) -> None:
        """Add the new ends to the counts of their batches. Counts are hints: a crash before this call loses some."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for it in ended:
            if it.new:
                counts[it.ending.message.batch][it.ending.counter] += 1
        for batch, some in counts.items():
            added = ", ".join(f"n_{name} :n{i}" for i, name in enumerate(some))
            values = {":now": stamp(now)} | {f":n{i}": n for i, n in enumerate(some.values())}
            key = row_count_key(batch, self._tally)
            self._db.update_item(**self._write(key, f"SET moved_at = :now ADD {added}", None, values))

    def mark_moved(self, batch: str, *, now: datetime) -> None:
        """Record that a batch has moved, so that its audit waits before it sends rows again."""
        key = row_count_key(batch, self._tally)
        self._db.update_item(**self._write(key, "SET moved_at = :now", None, {":now": stamp(now)}))

    def _store_talks(self, endings: Sequence[RowEnd], inserted: Mapping[int, bool]) -> list[RowEnd]:
        """Store the talks that could not be inserted; a talk that is already stored for the fingerprint stays."""
        return [
            ending if inserted.get(place, True) else self._store_beside(ending) for place, ending in enumerate(endings)
        ]

    def _store_beside(self, ending: RowEnd) -> RowEnd:
        """Store a talk in the existing record of a video."""
        key, unanswered = video_record_of(ending.message, ending.fingerprint), "attribute_not_exists(talk)"
        record = self._update_or_get(key, "SET talk = :talk", unanswered, {":talk": _talk_item(ending)["talk"]})
        if record is None:
            return ending
        stored = as_video_record(record).talk
        return replace(ending, talk=None, tier=stored.tier if stored else ending.tier)

    def _move_pointers(self, endings: Sequence[RowEnd], inserted: Mapping[int, bool]) -> list[RowEnd]:
        """Point the videos of parsed rows at these rows; supersede a row whose video is in a newer batch."""
        return [
            it
            if not _points(it) or inserted.get(place) or self.move_pointer(it.message, it.fingerprint, it.order)
            else replace(it, state=RowState.SUPERSEDED, tier=None, talk=None, reason=SUPERSEDED)
            for place, it in enumerate(endings)
        ]

    def _end_rows(self, endings: Sequence[RowEnd], now: datetime) -> list[Ended]:
        """Write the rows; a row that has already ended stays as it is."""
        written = dict.fromkeys(range(len(endings)), False)
        unknown = [place for place in written if not endings[place].row_exists]
        inserted = self._insert([_row(endings[place], now) for place in unknown])
        written.update(zip(unknown, inserted, strict=True))
        ended = []
        for ending, new in zip(endings, written.values(), strict=True):
            if new or self._put(_row(ending, now), _NOT_ENDED, _GOING):
                ended.append(Ended(ending, ending.state, new=True))
            else:
                state = self._get(row_key(ending.message.batch, ending.message.row)).get("state", "")
                known = state in END_STATES  # a newer version may have other states
                ended.append(Ended(ending, RowState(state) if known else RowState.QUEUED, new=False))
        return ended

    def move_pointer(self, message: Message, fingerprint: str, order: str) -> bool:
        """Make this the video's current fingerprint; return False if a newer batch has the video."""
        not_newer = "attribute_not_exists(#order) OR #order <= :order"
        return self._put(_pointer(message, fingerprint, order), not_newer, {":order": order})

    # ----------------------------------------------------------------------------------------------------- waiting

    def defer(
        self,
        message: Message,
        fingerprint: str,
        *,
        reason: str,
        due: datetime | None,
        now: datetime,
        need: Amount | None = None,
    ) -> bool:
        """Defer a row, which then has no message in the queue; return False if the row has ended.

        Args:
            due: when the sweeper sends it again; None waits for a person.
            need: the most that its request can cost; the sweeper sends it again when the budget covers that.
        """
        agenda, date = _waits(message, due, need or Amount())
        return self._update(
            row_key(message.batch, message.row),
            "SET #state = :deferred, video = :video, fingerprint = :fingerprint, reason = :reason, body = :body,"
            " agenda = :agenda, due = :due, deferred_at = :now, deferrals = if_not_exists(deferrals, :none) + :one,"
            " need = :need"
            " REMOVE began, alone",
            _NOT_ENDED,
            {
                **_GOING,
                ":video": message.video.id,
                ":fingerprint": fingerprint,
                ":reason": reason,
                ":body": packed(message),
                ":agenda": agenda,
                ":none": 0,
                ":one": 1,
                ":due": date,
                ":need": need.as_map() if need else {},
                ":now": stamp(now),
            },
        )

    def due(self, project: str, *, now: datetime) -> Iterator[DeferredRow | UnreadableRow]:
        """Yield a project's deferred rows that are due, oldest first (an eventually consistent read of the index).

        Those of `NO_PROJECT` are the rows of all projects that are not known to need money.
        """
        return map(_as_deferred, self._on_agenda(*dated_lists(project), before=stamp(now)))

    def waiting(self, batch: Batch) -> Iterator[DeferredRow | UnreadableRow]:
        """Yield the rows of a batch that wait for a person, those that need the least money first.

        This is an eventually consistent read of the index, as in `due` and `deferred`.
        """
        return map(_as_deferred, self._on_agenda(*waiting_lists(batch.id, batch.last_row)))

    def deferred(self, batch: Batch) -> Iterator[DeferredRow]:
        """Yield all readable deferred rows of a batch, by due date; those that wait for a person come last."""
        dated = map(_as_deferred, self._on_agenda(*dated_lists(batch.project), *dated_lists(NO_PROJECT)))
        for found in (*(it for it in dated if it.batch == batch.id), *self.waiting(batch)):
            if isinstance(found, DeferredRow):
                yield found

    def make_due(self, deferred: DeferredRow, *, now: datetime) -> bool:
        """Make a deferred row due now; return False if it has changed since it was read."""
        return self.postpone(deferred, reason=deferred.row.reason or "", until=now)

    def postpone(self, deferred: DeferredRow, *, reason: str, until: datetime | None) -> bool:
        """Change a deferred row's due date and reason; return False if it has changed since it was read.

        Args:
            until: its new due date; None waits for a person.
        """
        agenda, date = _waits(deferred.message, until, deferred.row.need)
        return self._update(
            row_key(deferred.batch, deferred.row.number),
            "SET agenda = :agenda, due = :until, reason = :reason",
            _AS_READ,
            {":agenda": agenda, ":until": date, ":reason": reason, **_as_read(deferred.row)},
        )

    def postpone_unreadable(self, unreadable: UnreadableRow, *, until: datetime) -> bool:
        """Postpone a row that cannot be read until a date, so that it does not block the others."""
        return self._update(
            row_key(unreadable.batch, unreadable.number),
            "SET agenda = :agenda, due = :until",
            "due = :due",  # whatever its state: a person may have edited it
            {
                ":agenda": dated_list(NO_PROJECT, unreadable.batch, unreadable.number),
                ":until": stamp(until),
                ":due": unreadable.due,
            },
        )

    def mark_requeued(self, deferred: DeferredRow) -> bool:
        """Mark a deferred row as queued after its message was sent; return False if it has changed since it was read.

        If an operator purges the queue at that moment, the row loses its message. The row is not lost: its batch is
        open, so the audit sends it again, as it does every queued row.
        """
        return self._update(
            row_key(deferred.batch, deferred.row.number),
            "SET #state = :queued REMOVE agenda, due, body, reason, need",
            _AS_READ,
            {":queued": RowState.QUEUED, **_as_read(deferred.row)},
        )

    # ----------------------------------------------------------------------------------------------------- reading

    def rows(self, batch: Batch) -> Iterator[Row]:
        """Yield the rows of a batch that have an item, in the manifest's order."""
        return map(as_row, self._rows_between(batch.id, batch.last_row))


_AS_READ = "#state = :deferred AND deferrals = :deferrals"
"""The condition that a row is deferred as it was when it was read; a parser may have deferred it again since."""


def _as_read(row: Row) -> dict[str, Any]:
    return {":deferred": RowState.DEFERRED, ":deferrals": row.deferrals}


def packed(message: Message) -> str | bytes:
    """Return a message in the form that a deferred row stores: compressed if that is shorter.

    An item holds at most 400 KB (DynamoDB developer guide, "Constraints"), and a row may have `RowMaxBytes` bytes.
    Compression removes what JSON's escapes add.
    """
    body = message.model_dump_json()
    if len(body) < PACKED_FROM:
        return body
    return min(body.encode(), gzip.compress(body.encode(), mtime=0), key=len)


def unpacked(body: Any) -> str:  # noqa: ANN401 -- DynamoDB's: text, or bytes in boto3's own wrapper
    """Return the text of a message that `packed` made.

    Raises:
        OSError, EOFError, zlib.error: `packed` did not make this body.
    """
    if isinstance(body, str):
        return body
    content = as_bytes(body)
    return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()


PACKED_FROM = 1_000
"""The fewest characters of a message that is compressed; a shorter one fits into one write unit uncompressed."""


def _waits(message: Message, due: datetime | None, need: Amount) -> tuple[str, str]:
    """Return the agenda's list and the due date of a deferred row."""
    if due is None:
        return waiting_list(message.batch, message.row), waiting_date(need.micro_usd)
    project = message.project if need != Amount() else NO_PROJECT
    return dated_list(project, message.batch, message.row), stamp(due)


_UNREADABLE = (*UNREADABLE, RowItemInvalid, OSError, EOFError, zlib.error)
"""The exceptions of reading a deferred row; the last three come from `gzip`."""


def _as_state(row: Mapping[str, Any], current: Mapping[str, Any], entry: Mapping[str, Any]) -> MessageState:
    with readable(row):
        return MessageState(
            row=RowState(row["state"]) if "state" in row else None,
            began=row.get("began", ""),
            alone=row.get("alone", ""),
            newest=current.get("order", ""),
            entry=as_video_record(entry),
            deferrals=int(row.get("deferrals", 0)),
        )


def _as_deferred(item: Mapping[str, Any]) -> DeferredRow | UnreadableRow:
    try:
        row = as_row(item)
        row.need.total  # noqa: B018 -- validated here, with the rest
        if row.due is None:
            raise ValueError(f"a row on the agenda is {row.state}")
        message = Message.model_validate_json(unpacked(item["body"]))
    except _UNREADABLE as error:
        return UnreadableRow(batch_of_row(item), number_of_row(item), type(error).__name__, str(item["due"]))
    return DeferredRow(message.model_copy(update={"deferrals": row.deferrals}), row)


def _talk_item(ending: RowEnd) -> dict[str, Any]:
    key = video_record_of(ending.message, ending.fingerprint)
    return {**key, "talk": as_map(ending.talk) if ending.talk else None}


def _pointer(message: Message, fingerprint: str, order: str) -> dict[str, Any]:
    return {
        **current_of(message),
        "order": order,
        "batch": message.batch,
        "row": message.row,
        "fingerprint": fingerprint,
    }


def _row(ending: RowEnd, now: datetime) -> dict[str, Any]:
    message = ending.message
    row = {
        **row_key(message.batch, message.row),
        "state": ending.state,
        "video": message.video.id,
        "fingerprint": ending.fingerprint,
        "tier": ending.tier,
        "reason": ending.reason,
        "ended_at": stamp(now),
    }
    if ending.state is RowState.DEAD:
        return row | {"agenda": dead_list(message.batch, message.row), "due": stamp(now)}
    return row


def _points(ending: RowEnd) -> bool:
    """Return whether the video's pointer is still to be moved to this row."""
    return ending.state is RowState.PARSED and ending.pointer is not Pointer.SET
