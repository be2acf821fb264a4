"""The catalog's rows: where each row of a batch stands, and which talk is a video's current one."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from titlecard.aws.dynamodb.catalog.items import (
    MessageState,
    Row,
    RowEnd,
    VideoRecord,
    as_map,
    as_row,
    as_video_record,
    current_key,
    row_count_key,
    row_key,
    video_record_key,
)
from titlecard.aws.dynamodb.catalog.reviews import as_reviewed_talk, review_key
from titlecard.aws.dynamodb.catalog.table import AGENDA, KEYS_PER_GET, NEVER, CatalogTable, plain, stamp
from titlecard.domain.batch import Message, RowState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from titlecard.domain.money import Amount

DEFERRED, DEAD = "deferred", "dead"
"""The agenda's lists of rows; the date due is when a deferred one comes back, and when a dead one died."""

ROWS_PER_TRANSACTION = 25
"""Three items a row, and a tally for each of their batches; a transaction takes 100 items (DynamoDB developer guide,
"Constraints")."""


class Rows(CatalogTable):
    """Rows, and the talks of their videos."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        super().__init__(client, table)
        self._tallies: list[str] = []
        """Those of this worker that no transaction is under way for."""

    def look_up(self, asked: Sequence[tuple[Message, str]]) -> list[MessageState]:
        """Where rows and videos stand, for (message, fingerprint) pairs, in their order; consistent reads."""
        keys: dict[tuple[str, str], Mapping[str, str]] = {}
        for message, fingerprint in asked:
            for key in (
                row_key(message.batch, message.row),
                current_key(message),
                video_record_key(message, fingerprint),
            ):
                keys[key["pk"], key["sk"]] = key
        items = self._get_all(list(keys.values()))
        none: Mapping[str, Any] = {}
        standings = []
        for message, fingerprint in asked:
            row, current, entry = (
                items.get((key["pk"], key["sk"]), none)
                for key in (
                    row_key(message.batch, message.row),
                    current_key(message),
                    video_record_key(message, fingerprint),
                )
            )
            standings.append(
                MessageState(
                    row=RowState(row["state"]) if "state" in row else None,
                    began=row.get("began", ""),
                    newest=current.get("order", ""),
                    entry=as_video_record(entry),
                    deferrals=int(row.get("deferrals", 0)),
                    due=row.get("due", ""),
                )
            )
        return standings

    def begin(self, message: Message, *, now: datetime) -> None:
        """Leave a mark on a row that came back, before it is worked again: if this kills us, the next one knows which.

        Nothing else depends on it, so a row that has ended in the meantime is left alone.
        """
        try:
            self._update(
                row_key(message.batch, message.row),
                "SET began = :now, #state = if_not_exists(#state, :queued), video = :video",
                "attribute_not_exists(#state) OR #state = :queued",
                {":now": stamp(now), ":queued": RowState.QUEUED, ":video": message.video.id},
            )
        except self._db.exceptions.ConditionalCheckFailedException:
            return

    def end_new(self, endings: Sequence[RowEnd], *, now: datetime) -> bool:
        """Store the talks of rows that nothing is known of and end them, all or none; False where something is known.

        One transaction and nothing else: where it is refused, `look_up` tells what is known, and `end` does the rest.
        """
        some = [(ending, self._first_writes(ending, now)) for ending in endings]
        keys = [_key_of(write) for _, writes in some for write in writes]
        if len(some) > ROWS_PER_TRANSACTION or len(set(keys)) < len(keys):
            return False
        return not some or self._transact(some, now) is None

    def _first_writes(self, ending: RowEnd, now: datetime) -> list[Any]:
        unknown = "attribute_not_exists(pk)"
        talk = {**video_record_key(ending.message, ending.fingerprint), "talk": ending.talk and as_map(ending.talk)}
        items = (talk, _pointer(ending.message, ending.fingerprint, ending.order), _row(ending, now))
        return [{"Put": {"TableName": self._table, "Item": item, "ConditionExpression": unknown}} for item in items]

    def end(self, endings: Sequence[RowEnd], *, now: datetime) -> list[RowState | None]:
        """Store talks and end their rows; say for each in which state its row is now, None where it is contended.

        The talk, the pointer and the row of a video are one transaction, and those of a few messages together another,
        to save round trips; where one of them is refused, each is done by itself, so that no message spoils another's.
        A crash leaves either all of it or none, and the message comes again.
        """
        states: list[RowState | None] = []
        for some in self._transactions(endings, now):
            if self._transact(some, now) is None:
                states += [ending.state for ending, _ in some]
            else:
                states += [self._end_one(ending, now) for ending, _ in some]
        return states

    def _transactions(self, endings: Sequence[RowEnd], now: datetime) -> Iterator[list[tuple[RowEnd, list[Any]]]]:
        """Cut endings, with their writes, into what one transaction takes: so many rows, and no item twice.

        A message that SQS delivers twice at once, or a video that two batches have, would be such an item.
        """
        some: list[tuple[RowEnd, list[Any]]] = []
        taken: set[tuple[str, str]] = set()
        for ending in endings:
            writes = self._writes(ending, now)
            keys = {_key_of(write) for write in writes}
            if len(some) == ROWS_PER_TRANSACTION or keys & taken:
                yield some
                some, taken = [], set()
            some.append((ending, writes))
            taken |= keys
        if some:
            yield some

    def _transact(self, some: Sequence[tuple[RowEnd, list[Any]]], now: datetime) -> list[Mapping[str, Any]] | None:
        """End rows and count them, all or none; None where that is done, else why not, in the writes' order."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for ending, _ in some:
            counts[ending.message.batch][ending.counter] += 1
        try:
            tally = self._tallies.pop()
        except IndexError:  # all are in use
            tally = uuid4().hex[:12]
        writes = [write for _, its in some for write in its]
        writes += [self._counted(batch, tally, count, now) for batch, count in counts.items()]
        try:
            self._db.transact_write_items(TransactItems=writes)
        except self._db.exceptions.TransactionCanceledException as refusal:
            reasons: list[Mapping[str, Any]] = refusal.response["CancellationReasons"]  # type: ignore[assignment] # theirs
        else:
            reasons = []
        self._tallies.append(tally)  # not after any other error: that transaction may still be under way
        return reasons or None

    def _counted(self, batch: str, tally: str, counts: Mapping[str, int], now: datetime) -> dict[str, Any]:
        """What adds to a batch's counters: to a tally that nobody else writes to at the moment.

        Two transactions that write to one item cancel each other, so a single counter would not do.
        """
        added = ", ".join(f"n_{name} :n{i}" for i, name in enumerate(counts))
        values = {f":n{i}": number for i, number in enumerate(counts.values())}
        return {
            "Update": {
                "TableName": self._table,
                "Key": row_count_key(batch, tally),
                "UpdateExpression": f"SET moved_at = :now ADD {added}",
                "ExpressionAttributeValues": {":now": stamp(now), **values},
            }
        }

    def _end_one(self, ending: RowEnd, now: datetime) -> RowState | None:
        writes = self._writes(ending, now)
        reasons = self._transact([(ending, writes)], now)
        if reasons is None:
            return ending.state
        refused = {
            _part(write): reason
            for write, reason in zip(writes, reasons, strict=False)  # the last one is the tally's
            if reason.get("Code") == "ConditionalCheckFailed"
        }
        if "row" in refused:  # it has ended before, and stays as it is
            return self.look_up([(ending.message, ending.fingerprint)])[0].row
        if "current" in refused:  # a newer batch knows better
            return self._end_one(_superseded(ending), now)
        if "talk" in refused:  # somebody stored one for this fingerprint: it stands
            stored = as_video_record(plain(refused["talk"])).talk
            return self._end_one(replace(ending, talk=None, tier=stored.tier if stored else None), now)
        return None

    def _writes(self, ending: RowEnd, now: datetime) -> list[Any]:
        message = ending.message
        writes: list[dict[str, Any]] = []
        if ending.talk is not None:
            unanswered = "attribute_not_exists(talk)"
            stored = self._write(
                video_record_key(message, ending.fingerprint),
                "SET talk = :talk",
                unanswered,
                {":talk": as_map(ending.talk)},
            )
            stored["Update"]["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            writes.append(stored)
        if ending.state is RowState.PARSED:
            writes.append({"Put": self._pointed(message, ending.fingerprint, ending.order)})
        not_ended = "attribute_not_exists(#state) OR #state IN (:queued, :deferred)"
        going = {":queued": RowState.QUEUED, ":deferred": RowState.DEFERRED}
        writes.append({"Put": self._put(_row(ending, now), not_ended, going)})
        return writes

    def point(self, message: Message, fingerprint: str, order: str) -> bool:
        """Make this the video's current fingerprint; False where a newer batch has the video."""
        try:
            self._db.put_item(**self._pointed(message, fingerprint, order))
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _pointed(self, message: Message, fingerprint: str, order: str) -> dict[str, Any]:
        not_newer = "attribute_not_exists(#order) OR #order <= :order"
        return self._put(_pointer(message, fingerprint, order), not_newer, {":order": order})

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
        """Let a row wait, without a message in the queue; `due` None waits for a person. False: the row has ended.

        Args:
            need: what its question can cost, so that it comes back when that can be paid.
        """
        not_ended = "attribute_not_exists(#state) OR #state IN (:queued, :deferred)"
        return self._accepted(
            row_key(message.batch, message.row),
            "SET #state = :deferred, video = :video, fingerprint = :fingerprint, reason = :reason, body = :body,"
            " agenda = :agenda, due = :due, deferred_at = :now, deferrals = if_not_exists(deferrals, :none) + :one,"
            " need = :need"
            " REMOVE began",
            not_ended,
            {
                ":deferred": RowState.DEFERRED,
                ":queued": RowState.QUEUED,
                ":video": message.video.id,
                ":fingerprint": fingerprint,
                ":reason": reason,
                ":body": message.model_dump_json(),
                ":agenda": DEFERRED,
                ":none": 0,
                ":one": 1,
                ":due": stamp(due) if due else NEVER,
                ":need": need.as_map() if need else {},
                ":now": stamp(now),
            },
        )

    def deferred(self, *, now: datetime) -> Iterator[tuple[Message, Row]]:
        """Deferred rows that are due, the oldest first (read from the index: a moment behind)."""
        for item in self._on_agenda(DEFERRED, before=stamp(now)):
            yield Message.model_validate_json(item["body"]), as_row(item)

    def waiting(self, batch: str) -> list[Row]:
        """The deferred rows of a batch, the first due first (read from the index: a moment behind)."""
        found = self._on_agenda(DEFERRED, before=NEVER)
        return [as_row(item) for item in found if item["pk"] == f"batch#{batch}"]

    def for_a_person(self) -> Iterator[tuple[Message, Row]]:
        """Deferred rows that wait for a person to act (read from the index: a moment behind)."""
        for item in self._query(
            IndexName=AGENDA,
            KeyConditionExpression="agenda = :agenda AND due = :never",
            ExpressionAttributeValues={":agenda": DEFERRED, ":never": NEVER},
        ):
            yield Message.model_validate_json(item["body"]), as_row(item)

    def hasten(self, message: Message, *, due: str, now: datetime) -> bool:
        """Make a deferred row due now; False where it has moved on by itself."""
        as_read = "#state = :deferred AND due = :due"
        return self._accepted(
            row_key(message.batch, message.row),
            "SET due = :now",
            as_read,
            {":now": stamp(now), ":deferred": RowState.DEFERRED, ":due": due},
        )

    def postpone(self, message: Message, *, due: str, reason: str, until: datetime | None) -> bool:
        """Let a deferred row wait longer, for another reason; False where it has moved on by itself.

        Args:
            due: what was read.
            until: its new date; None waits for a person.
        """
        as_read = "#state = :deferred AND due = :due"
        return self._accepted(
            row_key(message.batch, message.row),
            "SET due = :until, reason = :reason",
            as_read,
            {
                ":until": stamp(until) if until else NEVER,
                ":reason": reason,
                ":deferred": RowState.DEFERRED,
                ":due": due,
            },
        )

    def requeued(self, message: Message, row: Row) -> bool:
        """Mark a deferred row as queued again, after its message was sent; False where it has moved on by itself.

        Args:
            row: as it was read. A parser may have deferred it again, to the very same date: then it has no message.
        """
        as_read = "#state = :deferred AND due = :due AND deferrals = :deferrals"
        return self._accepted(
            row_key(message.batch, message.row),
            "SET #state = :queued REMOVE agenda, due, body, reason, need",
            as_read,
            {":queued": RowState.QUEUED, ":deferred": RowState.DEFERRED, ":due": row.due, ":deferrals": row.deferrals},
        )

    def rows(self, batch: str) -> Iterator[Row]:
        """The rows of a batch that have an item, in the manifest's order."""
        for item in self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :row)",
            ExpressionAttributeValues={":pk": f"batch#{batch}", ":row": "row#"},
            ConsistentRead=True,
        ):
            yield as_row(item)

    def talks(self, project: str, rows: Iterable[Row]) -> Iterator[tuple[Row, VideoRecord]]:
        """Rows with what is known of their videos, in the rows' order; a person's answer stands for the talk."""
        block: list[Row] = []
        for row in rows:
            block.append(row)
            if len(block) == KEYS_PER_GET // 2:
                yield from self._with_entries(project, block)
                block = []
        yield from self._with_entries(project, block)

    def _with_entries(self, project: str, rows: Sequence[Row]) -> Iterator[tuple[Row, VideoRecord]]:
        keys = [{"pk": f"video#{project}#{row.video}", "sk": f"fp#{row.fingerprint}"} for row in rows]
        wanted = [*keys, *(review_key(project, row.video) for row in rows)]
        items = self._get_all(list({(key["pk"], key["sk"]): key for key in wanted}.values()))
        for row, key in zip(rows, keys, strict=True):
            entry = as_video_record(items.get((key["pk"], key["sk"]), {}))
            answer = items.get((key["pk"], review_key(project, row.video)["sk"]))
            yield row, replace(entry, talk=as_reviewed_talk(answer).talk) if answer else entry


def _pointer(message: Message, fingerprint: str, order: str) -> dict[str, Any]:
    return {
        **current_key(message),
        "order": order,
        "batch": message.batch,
        "row": message.row,
        "fingerprint": fingerprint,
    }


def _row(ending: RowEnd, now: datetime) -> dict[str, Any]:
    row = {
        **row_key(ending.message.batch, ending.message.row),
        "state": ending.state,
        "video": ending.message.video.id,
        "fingerprint": ending.fingerprint,
        "tier": ending.tier,
        "reason": ending.reason,
        "ended_at": stamp(now),
    }
    return row | {"agenda": DEAD, "due": stamp(now)} if ending.state is RowState.DEAD else row


def _part(write: Mapping[str, Any]) -> str:
    """Which of an ending's writes this is: of the talk, of the pointer or of the row."""
    sort = _key_of(write)[1]
    return "talk" if sort.startswith("fp#") else sort.split("#", maxsplit=1)[0]


def _key_of(write: Mapping[str, Any]) -> tuple[str, str]:
    """The key that a write of a transaction is about."""
    key = write["Put"]["Item"] if "Put" in write else write["Update"]["Key"]
    return key["pk"], key["sk"]


def _superseded(ending: RowEnd) -> RowEnd:
    return RowEnd(
        ending.message, ending.order, ending.fingerprint, RowState.SUPERSEDED, reason="a newer manifest has this video"
    )
