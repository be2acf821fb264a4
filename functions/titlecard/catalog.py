"""The catalog: what became of every video, in one DynamoDB table.

======================  ===================  ====================================================================
partition key           sort key             what it holds
======================  ===================  ====================================================================
``video#PROJECT#ID``    ``fp#FINGERPRINT``   the talk; the attempts, the lease and token of the one under way; history
``video#PROJECT#ID``    ``current``          which fingerprint is the current one, and of which batch it is
``batch#BATCH``         ``batch``            the batch: its upload, its state, its limits, counters that are hints
``batch#BATCH``         ``survey``           what its rows have in common
``batch#BATCH``         ``row#NUMBER``       the state of one row; a row without an item is queued
======================  ===================  ====================================================================

The sparse index ``agenda`` lists what somebody must come back to, by the date due: open batches and deferred rows.

Every write is conditional on what its writer believes, and each condition is named where it is made. A refusal is an
answer and no error: the methods say what stands there instead. boto3 repeats a call whose answer was lost; that is safe
here, since each write would be refused, or would write the same again, the second time. (The ledger, where it would not
be safe, has a client of its own.)
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from titlecard.batch import BatchState, Limits, Message, RowState, Upload
from titlecard.money import Charge
from titlecard.survey import Survey
from titlecard.video import Policy, Talk, Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

AGENDA = "agenda"
OPEN = "open"
DEFERRED = "deferred"
NEVER = "9999-12-31"
"""The date due of what waits for a person."""

ROWS_PER_TRANSACTION = 30
"""Three items a row; a transaction takes 100 items (DynamoDB developer guide, "Constraints")."""

UNCHECKED = Config(parameter_validation=False)
"""For the catalog's client: botocore's own check of every parameter takes much of the parser's time, and DynamoDB
makes the same check again."""

KEYS_PER_GET = 100
"""The most keys that one BatchGetItem takes (DynamoDB API reference)."""


@dataclass(frozen=True)
class Batch:
    """What the catalog knows of one batch."""

    upload: Upload
    project: str
    state: BatchState
    limits: Limits
    accepted: int
    refused: int
    repeated: int
    form: str
    reason: str | None
    sent_row: int
    counts: Counter[str]
    created_at: datetime
    moved_at: datetime
    lease: str | None
    lease_until: str
    audit_rounds: int
    audited_rows: int

    @property
    def id(self) -> str:
        """The batch's name in every command."""
        return self.upload.batch

    def counted(self, *states: RowState) -> int:
        """How many rows the counters hint to be in these states."""
        return sum(number for name, number in self.counts.items() if name.split("_")[0] in states)


@dataclass(frozen=True)
class Entry:
    """What the catalog knows of one video under one fingerprint."""

    talk: Talk | None = None
    attempts: int = 0
    lease_until: str = ""
    token: str | None = None
    history: tuple[Mapping[str, Any], ...] = ()

    def answers(self, policy: Policy) -> bool:
        """Whether the stored talk is the last word: nothing is parsed again and nothing is paid.

        A sure local answer is not the last word for somebody who asks for the model. One that is flagged for review is:
        the model was asked, and what it said was of no use.
        """
        if self.talk is None:
            return False
        return policy is not Policy.MODEL or self.talk.tier is Tier.MODEL or self.talk.review is not None

    @property
    def concluded_at(self) -> str:
        """When the last attempt ended; empty where there was none, or where its worker never said how it ended."""
        return str(self.history[-1]["at"]) if self.history and not self.lease_until else ""

    def charged(self, batch: str) -> Charge:
        """What a batch was charged for this video: the bound of every claim, or what its conclusion said."""
        claims = [event["token"] for event in self.history if event.get("batch") == batch]
        charges = {event["token"]: event["charged"] for event in self.history}  # the last word on each attempt
        total = Charge()
        for token in claims:
            total += Charge(**{name: int(value) for name, value in charges[token].items()})
        return total


@dataclass(frozen=True)
class Standing:
    """Where a message's row and video stand when it is received.

    `began` says when a worker last began on the row after it had come back, empty where none did; `deferrals` how often
    the row has been deferred.
    """

    row: RowState | None
    began: str
    newest: str
    entry: Entry
    deferrals: int = 0


@dataclass(frozen=True)
class Ending:
    """A row's end: with the talk that is to be stored, or None where it is stored already or there is none."""

    message: Message
    order: str
    fingerprint: str
    state: RowState
    tier: Tier | None = None
    talk: Talk | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One claim on one video: at most one paid request. `number` counts the attempts of its fingerprint, from 1."""

    message: Message
    fingerprint: str
    token: str
    number: int


@dataclass(frozen=True)
class Row:
    """One row as a person or `resume` sees it."""

    number: int
    state: RowState
    video: str
    fingerprint: str
    tier: Tier | None
    reason: str | None
    due: str | None
    body: str | None


class Contended(Exception):
    """Somebody else has the batch: come again, in so many seconds where that is known."""

    def __init__(self, message: str, seconds: int | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


def stamp(moment: datetime) -> str:
    """A moment as it is stored: UTC, ISO 8601 with microseconds, so that stamps sort as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class Catalog:
    """The catalog's table.

    Args:
        client: of a DynamoDB *resource* (`boto3.resource("dynamodb", config=UNCHECKED).meta.client`), which speaks in
            Python values.
        table: the table's name.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._db = client
        self._table = table

    # ------------------------------------------------------------------------------------------------ batches

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
                _batch_key(upload.batch),
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
        item = self._get(_batch_key(batch))
        if item is None:
            raise KeyError(batch)
        return _as_batch(item)

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
            _batch_key(batch.id),
            "SET #state = :finished, reason = :reason REMOVE agenda, due",
            still_open,
            {":finished": BatchState.FINISHED, ":open": BatchState.OPEN, ":reason": reason},
        )

    def audited(self, batch: Batch, *, rounds: int, rows: int, now: datetime) -> bool:
        """Record an audit; False where the batch has moved, or another audit came in between."""
        unmoved = "moved_at = :moved"
        try:
            self._update(
                _batch_key(batch.id),
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
            _batch_key(batch),
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
        return map(_as_batch, self._on_agenda(OPEN, before=NEVER))

    # --------------------------------------------------------------------------------------------------- rows

    def look_up(self, asked: Sequence[tuple[Message, str]]) -> list[Standing]:
        """Where rows and videos stand, for (message, fingerprint) pairs, in their order; consistent reads."""
        keys: dict[tuple[str, str], Mapping[str, str]] = {}
        for message, fingerprint in asked:
            for key in (_row_key(message.batch, message.row), _current_key(message), _entry_key(message, fingerprint)):
                keys[key["pk"], key["sk"]] = key
        items = self._get_all(list(keys.values()))
        none: Mapping[str, Any] = {}
        standings = []
        for message, fingerprint in asked:
            row, current, entry = (
                items.get((key["pk"], key["sk"]), none)
                for key in (
                    _row_key(message.batch, message.row),
                    _current_key(message),
                    _entry_key(message, fingerprint),
                )
            )
            standings.append(
                Standing(
                    row=RowState(row["state"]) if "state" in row else None,
                    began=row.get("began", ""),
                    newest=current.get("order", ""),
                    entry=_as_entry(entry),
                    deferrals=int(row.get("deferrals", 0)),
                )
            )
        return standings

    def begin(self, message: Message, *, now: datetime) -> None:
        """Leave a mark on a row that came back, before it is worked again: if this kills us, the next one knows which.

        Nothing else depends on it, so a row that has ended in the meantime is left alone.
        """
        try:
            self._update(
                _row_key(message.batch, message.row),
                "SET began = :now, #state = if_not_exists(#state, :queued), video = :video",
                "attribute_not_exists(#state) OR #state = :queued",
                {":now": stamp(now), ":queued": RowState.QUEUED, ":video": message.video.id},
            )
        except self._db.exceptions.ConditionalCheckFailedException:
            return

    def end(self, endings: Sequence[Ending], *, now: datetime) -> list[RowState | None]:
        """Store talks and end their rows; say for each in which state its row is now, None where it is contended.

        The talk, the pointer and the row of a video are one transaction, and those of a few messages together another,
        to save round trips; where one of them is refused, each is done by itself, so that no message spoils another's.
        A crash leaves either all of it or none, and the message comes again.
        """
        states: list[RowState | None] = []
        for some in self._transactions(endings, now):
            try:
                self._db.transact_write_items(TransactItems=[write for _, writes in some for write in writes])
                states += [ending.state for ending, _ in some]
            except self._db.exceptions.TransactionCanceledException:
                states += [self._end_one(ending, now) for ending, _ in some]
        return states

    def _transactions(self, endings: Sequence[Ending], now: datetime) -> Iterator[list[tuple[Ending, list[Any]]]]:
        """Cut endings, with their writes, into what one transaction takes: so many rows, and no item twice.

        A message that SQS delivers twice at once, or a video that two batches have, would be such an item.
        """
        some: list[tuple[Ending, list[Any]]] = []
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

    def _end_one(self, ending: Ending, now: datetime) -> RowState | None:
        writes = self._writes(ending, now)
        try:
            self._db.transact_write_items(TransactItems=writes)
        except self._db.exceptions.TransactionCanceledException as refusal:
            refused = {
                _part(write)
                for write, reason in zip(writes, refusal.response["CancellationReasons"], strict=True)
                if reason.get("Code") == "ConditionalCheckFailed"
            }
            if "row" in refused:  # it has ended before, and stays as it is
                standing = self.look_up([(ending.message, ending.fingerprint)])[0]
                return standing.row
            if "current" in refused:  # a newer batch knows better
                return self._end_one(_superseded(ending), now)
            if "talk" in refused:  # somebody stored one for this fingerprint: it stands
                return self._end_one(_stored(ending), now)
            return None
        return ending.state

    def _writes(self, ending: Ending, now: datetime) -> list[Any]:
        message = ending.message
        writes: list[dict[str, Any]] = []
        if ending.talk is not None:
            unanswered = "attribute_not_exists(talk)"
            writes.append(
                self._write(
                    _entry_key(message, ending.fingerprint),
                    "SET talk = :talk",
                    unanswered,
                    {":talk": _as_map(ending.talk)},
                )
            )
        if ending.state is RowState.PARSED:
            writes.append({"Put": self._pointer(message, ending.fingerprint, ending.order)})
        not_ended = "attribute_not_exists(#state) OR #state IN (:queued, :deferred)"
        row = {
            **_row_key(message.batch, message.row),
            "state": ending.state,
            "video": message.video.id,
            "fingerprint": ending.fingerprint,
            "tier": ending.tier,
            "reason": ending.reason,
            "ended_at": stamp(now),
        }
        going = {":queued": RowState.QUEUED, ":deferred": RowState.DEFERRED}
        writes.append({"Put": self._put(row, not_ended, going)})
        return writes

    def point(self, message: Message, fingerprint: str, order: str) -> bool:
        """Make this the video's current fingerprint; False where a newer batch has the video."""
        try:
            self._db.put_item(**self._pointer(message, fingerprint, order))
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _pointer(self, message: Message, fingerprint: str, order: str) -> dict[str, Any]:
        not_newer = "attribute_not_exists(#order) OR #order <= :order"
        pointer = {
            **_current_key(message),
            "order": order,
            "batch": message.batch,
            "row": message.row,
            "fingerprint": fingerprint,
        }
        return self._put(pointer, not_newer, {":order": order})

    def defer(self, message: Message, fingerprint: str, *, reason: str, due: datetime | None, now: datetime) -> bool:
        """Let a row wait, without a message in the queue; `due` None waits for a person. False: the row has ended."""
        not_ended = "attribute_not_exists(#state) OR #state IN (:queued, :deferred)"
        return self._accepted(
            _row_key(message.batch, message.row),
            "SET #state = :deferred, video = :video, fingerprint = :fingerprint, reason = :reason, body = :body,"
            " agenda = :agenda, due = :due, deferred_at = :now, deferrals = if_not_exists(deferrals, :none) + :one"
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
                ":now": stamp(now),
            },
        )

    def deferred(self, *, now: datetime) -> Iterator[tuple[Message, Row]]:
        """Deferred rows that are due, the oldest first (read from the index: a moment behind)."""
        for item in self._on_agenda(DEFERRED, before=stamp(now)):
            yield Message.model_validate_json(item["body"]), _as_row(item)

    def waiting(self, batch: str) -> list[Row]:
        """The deferred rows of a batch, the first due first (read from the index: a moment behind)."""
        found = self._on_agenda(DEFERRED, before=NEVER)
        return [_as_row(item) for item in found if item["pk"] == f"batch#{batch}"]

    def requeued(self, message: Message, *, due: str) -> bool:
        """Mark a deferred row as queued again, after its message was sent; False where it has moved on by itself."""
        as_read = "#state = :deferred AND due = :due"
        return self._accepted(
            _row_key(message.batch, message.row),
            "SET #state = :queued REMOVE agenda, due, body, reason",
            as_read,
            {":queued": RowState.QUEUED, ":deferred": RowState.DEFERRED, ":due": due},
        )

    def rows(self, batch: str) -> Iterator[Row]:
        """The rows of a batch that have an item, in the manifest's order."""
        for item in self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :row)",
            ExpressionAttributeValues={":pk": f"batch#{batch}", ":row": "row#"},
            ConsistentRead=True,
        ):
            yield _as_row(item)

    def talks(self, project: str, rows: Iterable[Row]) -> Iterator[tuple[Row, Entry]]:
        """Rows with what the catalog knows of their videos, in the rows' order."""
        block: list[Row] = []
        for row in rows:
            block.append(row)
            if len(block) == KEYS_PER_GET:
                yield from self._with_entries(project, block)
                block = []
        yield from self._with_entries(project, block)

    def _with_entries(self, project: str, rows: Sequence[Row]) -> Iterator[tuple[Row, Entry]]:
        keys = [{"pk": f"video#{project}#{row.video}", "sk": f"fp#{row.fingerprint}"} for row in rows]
        items = self._get_all(list({(key["pk"], key["sk"]): key for key in keys}.values()))
        for row, key in zip(rows, keys, strict=True):
            yield row, _as_entry(items.get((key["pk"], key["sk"]), {}))

    # ----------------------------------------------------------------------------------------------- attempts
    #
    #   claim ──► (reserve, send) ──► answer                          the talk is stored, the lease is gone
    #     │                       ├─► give_back                       nothing was billed: the attempt does not count
    #     │                       └─► fail                            it counts; the history says why
    #     └─ a crash anywhere here leaves the attempt counted and a lease that runs out before the message comes again

    def claim(
        self,
        message: Message,
        fingerprint: str,
        *,
        token: str,
        cap: int,
        policy: Policy,
        bound: Charge,
        until: datetime,
        now: datetime,
    ) -> Attempt | Entry:
        """Take the one attempt that may be under way for a video and fingerprint, or learn what stands in the way.

        Args:
            token: random; a refusal that shows it is the lost answer of our own success.
            cap: the attempts that the video may have under this fingerprint.
            bound: the most that this attempt can be charged; kept in the history.
            until: when the lease runs out: after this invocation's end, before the queue shows the message again.
        """
        free = "(attribute_not_exists(lease_until) OR lease_until < :now)"
        below = "(attribute_not_exists(attempts) OR attempts < :cap)"
        unanswered = "attribute_not_exists(talk)"
        claimed = {
            "at": stamp(now),
            "event": "claimed",
            "token": token,
            "batch": message.batch,
            "charged": bound.as_map(),
        }
        values: dict[str, Any] = {
            ":now": stamp(now),
            ":cap": cap,
            ":zero": 0,
            ":one": 1,
            ":until": stamp(until),
            ":token": token,
            ":none": [],
            ":claimed": [claimed],
        }
        if policy is Policy.MODEL:  # what Entry.answers says, as a condition
            unanswered = f"({unanswered} OR (talk.tier = :local AND attribute_type(talk.review, :null)))"
            values |= {":local": Tier.LOCAL, ":null": "NULL"}
        try:
            done = self._db.update_item(
                TableName=self._table,
                Key=_entry_key(message, fingerprint),
                UpdateExpression="SET attempts = if_not_exists(attempts, :zero) + :one, lease_until = :until,"
                " #token = :token, history = list_append(if_not_exists(history, :none), :claimed)",
                ConditionExpression=f"{free} AND {below} AND {unanswered}",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues=values,
                ReturnValues="UPDATED_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            entry = _as_entry(_plain(refusal.response))
            if entry.token == token and entry.lease_until:
                return Attempt(message, fingerprint, token, entry.attempts)
            return entry
        return Attempt(message, fingerprint, token, int(str(done["Attributes"]["attempts"])))

    def answer(self, attempt: Attempt, talk: Talk, *, charged: Charge, now: datetime) -> bool:
        """Store what an attempt yielded; False where the attempt is not ours any more."""
        return self._conclude(attempt, "answered", charged, now, "SET talk = :talk,", {":talk": _as_map(talk)})

    def fail(self, attempt: Attempt, *, reason: str, charged: Charge, now: datetime) -> bool:
        """End an attempt that failed and counts; False where it is not ours any more."""
        return self._conclude(attempt, reason, charged, now, "SET", {})

    def give_back(self, attempt: Attempt, *, reason: str, now: datetime) -> bool:
        """End an attempt that was not billed, so that it does not count; False where it is not ours any more."""
        return self._conclude(attempt, reason, Charge(), now, "SET attempts = attempts - :one,", {":one": 1})

    def _conclude(  # noqa: PLR0917 -- private, and called by the three above
        self, attempt: Attempt, event: str, charged: Charge, now: datetime, change: str, values: Mapping[str, Any]
    ) -> bool:
        ours = "#token = :token AND attribute_exists(lease_until)"
        happened = {"at": stamp(now), "event": event, "token": attempt.token, "charged": charged.as_map()}
        return self._accepted(
            _entry_key(attempt.message, attempt.fingerprint),
            f"{change} history = list_append(history, :happened) REMOVE lease_until",
            ours,
            {":token": attempt.token, ":happened": [happened], **values},
        )

    # ---------------------------------------------------------------------------------------------- DynamoDB

    def _advance(self, batch: Batch, change: str, values: Mapping[str, Any]) -> None:
        leased = "lease = :lease"
        try:
            self._update(_batch_key(batch.id), change, leased, {**values, ":lease": batch.lease})
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            message = f"batch {batch.id} is in somebody else's hands"
            raise Contended(message) from refusal

    def _accepted(self, key: Mapping[str, str], change: str, condition: str, values: Mapping[str, Any]) -> bool:
        try:
            self._update(key, change, condition, values)
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _update(
        self,
        key: Mapping[str, str],
        change: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._db.update_item(**self._write(key, change, condition, values, names)["Update"])

    def _write(
        self,
        key: Mapping[str, str],
        change: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        aliases = _aliases(f"{change} {condition}") | dict(names or {})
        write: dict[str, Any] = {
            "TableName": self._table,
            "Key": dict(key),
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": dict(values),
        }
        if aliases:
            write["ExpressionAttributeNames"] = aliases
        return {"Update": write}

    def _put(self, item: Mapping[str, Any], condition: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": _aliases(condition),
            "ExpressionAttributeValues": values,
        }

    def _get(self, key: Mapping[str, str]) -> Mapping[str, Any] | None:
        return self._db.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")

    def _get_all(self, keys: Sequence[Mapping[str, str]]) -> dict[tuple[str, str], Mapping[str, Any]]:
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        wanted = list(keys)
        while wanted:
            now, wanted = wanted[:KEYS_PER_GET], wanted[KEYS_PER_GET:]
            answer = self._db.batch_get_item(RequestItems={self._table: {"Keys": now, "ConsistentRead": True}})
            for item in answer["Responses"].get(self._table, []):
                found[str(item["pk"]), str(item["sk"])] = item
            wanted.extend(answer["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"])  # type: ignore[arg-type] # ours
        return found

    def _query(self, **query: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 -- passed on as it is
        for page in self._db.get_paginator("query").paginate(TableName=self._table, **query):
            yield from page["Items"]

    def _on_agenda(self, agenda: str, *, before: str) -> Iterator[Mapping[str, Any]]:
        return self._query(
            IndexName=AGENDA,
            KeyConditionExpression="agenda = :agenda AND due <= :before",
            ExpressionAttributeValues={":agenda": agenda, ":before": before},
        )


_RESERVED = ("batch", "bucket", "key", "order", "project", "row", "state", "token")
"""Attributes of ours whose names are words of DynamoDB's expressions (developer guide, "Reserved words")."""


def _aliases(expression: str) -> dict[str, str]:
    return {f"#{word}": word for word in _RESERVED if f"#{word}" in expression}


def _batch_key(batch: str) -> dict[str, str]:
    return {"pk": f"batch#{batch}", "sk": "batch"}


def _row_key(batch: str, row: int) -> dict[str, str]:
    return {"pk": f"batch#{batch}", "sk": f"row#{row:012d}"}


def _current_key(message: Message) -> dict[str, str]:
    return {"pk": f"video#{message.project}#{message.video.id}", "sk": "current"}


def _entry_key(message: Message, fingerprint: str) -> dict[str, str]:
    return {"pk": f"video#{message.project}#{message.video.id}", "sk": f"fp#{fingerprint}"}


def _plain(refusal: Mapping[str, Any]) -> dict[str, Any]:
    """The item that a refusal came with: boto3 turns only those of answers into Python values."""
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in refusal.get("Item", {}).items()}


def _part(write: Mapping[str, Any]) -> str:
    """Which of an ending's writes this is: of the talk, of the pointer or of the row."""
    sort = _key_of(write)[1]
    return "talk" if sort.startswith("fp#") else sort.split("#", maxsplit=1)[0]


def _key_of(write: Mapping[str, Any]) -> tuple[str, str]:
    """The key that a write of a transaction is about."""
    key = write["Put"]["Item"] if "Put" in write else write["Update"]["Key"]
    return key["pk"], key["sk"]


def _superseded(ending: Ending) -> Ending:
    return Ending(
        ending.message, ending.order, ending.fingerprint, RowState.SUPERSEDED, reason="a newer manifest has this video"
    )


def _stored(ending: Ending) -> Ending:
    return Ending(ending.message, ending.order, ending.fingerprint, ending.state, ending.tier, None, ending.reason)


def _as_map(talk: Talk) -> dict[str, Any]:
    """A talk as DynamoDB takes it: numbers are decimal there."""
    stored: dict[str, Any] = json.loads(talk.model_dump_json(), parse_float=Decimal)
    return stored


def _as_entry(item: Mapping[str, Any]) -> Entry:
    talk = item.get("talk")
    return Entry(
        talk=Talk.model_validate(talk) if talk else None,
        attempts=int(item.get("attempts", 0)),
        lease_until=item.get("lease_until", ""),
        token=item.get("token"),
        history=tuple(item.get("history", ())),
    )


def _as_row(item: Mapping[str, Any]) -> Row:
    tier = item.get("tier")
    return Row(
        number=int(str(item["sk"]).removeprefix("row#")),
        state=RowState(item["state"]),
        video=item["video"],
        fingerprint=item.get("fingerprint", ""),
        tier=Tier(tier) if tier else None,
        reason=item.get("reason"),
        due=item.get("due"),
        body=item.get("body"),
    )


def _as_batch(item: Mapping[str, Any]) -> Batch:
    return Batch(
        upload=Upload(item["bucket"], item["key"], item["version"], item["order"]),
        project=item["project"],
        state=BatchState(item["state"]),
        limits=Limits.model_validate(item["limits"]),
        accepted=int(item.get("accepted", 0)),
        refused=int(item.get("refused", 0)),
        repeated=int(item.get("repeated", 0)),
        form=item.get("form", ""),
        reason=item.get("reason"),
        sent_row=int(item.get("sent_row", 0)),
        counts=Counter({name[2:]: int(value) for name, value in item.items() if name.startswith("n_")}),
        created_at=datetime.fromisoformat(item["created_at"]),
        moved_at=datetime.fromisoformat(item["moved_at"]),
        lease=item.get("lease"),
        lease_until=item.get("lease_until", ""),
        audit_rounds=int(item.get("audit_rounds", 0)),
        audited_rows=int(item.get("audited_rows", 0)),
    )
