"""The catalog's records as its callers see them, and the functions that read them from items."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.keys import batch_of_row, number_of_row
from titlecard.aws.dynamodb.values import NEVER, stamp
from titlecard.aws.errors import RowItemInvalid
from titlecard.domain.batch import END_STATES, BatchState, RowState, Upload
from titlecard.domain.money import Amount, Total
from titlecard.domain.video import Policy, Talk, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from titlecard.domain.batch import Message


@dataclass(frozen=True)
class Batch:
    """One batch. `moved_at` is the time of its last change of any kind, `marked_at` that of its item."""

    upload: Upload
    project: str
    state: BatchState
    limits: Total
    accepted: int
    refused: int
    repeated: int
    form: str
    reason: str | None
    sent_row: int
    counts: Counter[str]
    created_at: datetime
    moved_at: datetime
    marked_at: str
    lease: str | None
    lease_until: str
    audit_rounds: int
    audited_rows: int
    audit_row: int
    last_row: int
    """The number of the manifest's last row; 0 while it is unknown."""
    cancelled: bool = False
    """Whether an operator has cancelled the batch."""
    counted_at: str = ""
    """The value of `progress` when the batch's rows were last counted one by one."""
    claimed_at: str = ""
    """The value of `progress` when a call last began to finish the batch."""

    @property
    def id(self) -> str:
        """The name of the batch in every command."""
        return self.upload.batch

    @property
    def progress(self) -> str:
        """A text that changes with the batch: its last change, and the number of its ended rows by its counters."""
        return f"{stamp(self.moved_at)} {self.counts.total()}"

    @property
    def left(self) -> int:
        """The number of rows that have not ended, by the batch's counters."""
        return self.accepted - self.counted(*END_STATES)

    @property
    def is_counted_out(self) -> bool:
        """Whether the batch is open and all its rows have ended, by its counters."""
        return self.state is BatchState.OPEN and self.left <= 0

    def counted(self, *states: RowState) -> int:
        """Return the number of rows in these states."""
        return sum(number for name, number in self.counts.items() if name.split("_")[0] in states)


@dataclass(frozen=True)
class LimitIncrease:
    """An increase of a batch's limit: when (a stamp), by whom, and from what to what."""

    at: str
    by: str
    before: Total
    after: Total


@dataclass(frozen=True)
class UnreadableBatch:
    """A batch whose item this version cannot read: it was edited by hand, or written by a newer version."""

    id: str
    error: str


@dataclass(frozen=True)
class VideoRecord:
    """One video under one fingerprint, which is empty for a video without a record."""

    fingerprint: str = ""
    talk: Talk | None = None
    attempts: int = 0
    lease_until: str = ""
    token: str | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    allowed: int = 0
    """The number of attempts that a person has allowed in all; 0 if no person has, and only the cap applies."""
    redrives: tuple[Mapping[str, Any], ...] = ()
    error: str = ""
    """Why the record cannot be read; empty if it can."""

    def answers(self, policy: Policy) -> bool:
        """Return whether the stored talk is final, so that the video is neither parsed nor paid for again.

        Under `Policy.MODEL`, a confident local talk is not final. A local talk flagged for review is final: the model
        was asked, and its answer was unusable.
        """
        if self.talk is None:
            return False
        final = self.talk.tier in (Tier.MODEL, Tier.GIVEN)
        return policy is not Policy.MODEL or final or self.talk.review is not None

    @property
    def concluded_at(self) -> str:
        """When the last attempt ended; empty if there was none, or if its worker has not recorded an end."""
        return str(self.history[-1]["at"]) if self.history and not self.lease_until else ""

    def charges(self, batch: str | None = None) -> Iterator[tuple[str, Amount]]:
        """Yield the time (a stamp) and the charge of each attempt in a batch, or in all batches.

        An attempt without a recorded charge counts with its bound. The worker writes the ledger and this history one
        after the other, so a lost call makes them differ. Only the ledger has a reservation that could not be settled
        or released; only the history has the claim of a worker that was killed before it reserved. Neither is ever
        below the billed amount.
        """
        claimed = {event["token"] for event in self.history if batch in {None, event.get("batch")}}
        last = {event["token"]: event for event in self.history}
        for token in claimed:
            yield last[token]["at"], Amount.from_item(last[token]["charged"])

    def charged(self, batch: str | None = None) -> Amount:
        """Return the sum of the charges of one batch, or of all batches."""
        return sum((charge for _, charge in self.charges(batch)), Amount())


@dataclass(frozen=True)
class MessageState:
    """The state of a message's row and video when the message is received.

    `began` is when a worker last started the row after a redelivery, empty if none did. `alone` is the step that this
    worker ran in isolation (`LOCALLY`, or a claim's token), empty if it survived the step. `newest` is the order of the
    newest upload that has the video, empty if none has. `deferrals` is the number of times the row was deferred.
    """

    row: RowState | None = None
    began: str = ""
    alone: str = ""
    newest: str = ""
    entry: VideoRecord = field(default_factory=VideoRecord)
    deferrals: int = 0


class Pointer(Enum):
    """Whether the video's pointer is known to be set when the parser ends the row."""

    UNKNOWN = auto()
    THERE = auto()
    """The pointer exists and must be moved."""
    SET = auto()
    """The pointer was moved to this row before the model was asked."""


@dataclass(frozen=True)
class RowEnd:
    """The end of a row. `talk` is the talk to store, None if it is already stored or there is none.

    `pointer` and `row_exists` say which items are known to exist; they save writes and never change the result.
    """

    message: Message
    order: str
    fingerprint: str
    state: RowState
    tier: Tier | None = None
    talk: Talk | None = None
    reason: str | None = None
    pointer: Pointer = Pointer.UNKNOWN
    row_exists: bool = False

    @property
    def counter(self) -> str:
        """The name of its counter."""
        return counter_of(self.state, self.tier)


@dataclass(frozen=True)
class Attempt:
    """One claim on one video: at most one paid request.

    `number` counts the attempts on its fingerprint, from 1; `claim` is the index of its claim in the history, from 0.
    """

    message: Message
    fingerprint: str
    token: str
    number: int
    claim: int = 0


@dataclass(frozen=True)
class Row:
    """One row, as an operator or the sweeper sees it; a row without an item is queued.

    `need` is the most that a deferred row's next request can cost, as far as it is known; `deferrals` is the number of
    times the row was deferred. `ended_at` and `redriven_at` are stamps, empty if that has not happened.
    """

    batch: str
    number: int
    state: RowState = RowState.QUEUED
    video: str = ""
    fingerprint: str = ""
    tier: Tier | None = None
    reason: str | None = None
    due: str | None = None
    need: Amount = field(default_factory=Amount)
    deferrals: int = 0
    ended_at: str = ""
    redriven_at: str = ""
    error: str = ""
    """Why the row's item cannot be read; empty if it can."""


def counter_of(state: str, tier: str | None) -> str:
    """Return the name of the counter of an ended row: the state, followed by the tier if there is one."""
    return f"{state}_{tier}" if tier else str(state)


def as_map(talk: Talk) -> dict[str, Any]:
    """Return a talk in the form that DynamoDB accepts, with decimal numbers."""
    stored: dict[str, Any] = json.loads(talk.model_dump_json(), parse_float=Decimal)
    return stored


UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""The exceptions of reading an item that another version or a person has written."""


@contextmanager
def readable(item: Mapping[str, Any]) -> Iterator[None]:
    """Name the item in the error if the block cannot read it.

    Raises:
        RowItemInvalid: the item cannot be read.
    """
    try:
        yield
    except UNREADABLE as error:
        name = f"the catalog's item {item.get('pk')!r}, {item.get('sk')!r}"
        why = f"it was edited by hand, or written by another version ({type(error).__name__})"
        raise RowItemInvalid(f"{name} cannot be read: {why}") from error


def as_video_record(item: Mapping[str, Any]) -> VideoRecord:
    """Return the video record that an item holds.

    Raises:
        RowItemInvalid: the item cannot be read.
    """
    with readable(item):
        talk = item.get("talk")
        return VideoRecord(
            fingerprint=item.get("sk", "").removeprefix("fp#"),
            talk=Talk.model_validate(talk) if talk else None,
            attempts=int(item.get("attempts", 0)),
            lease_until=item.get("lease_until", ""),
            token=item.get("token"),
            history=tuple({**event, "at": str(event["at"])} for event in item.get("history", ())),
            allowed=int(item.get("allowed", 0)),
            redrives=tuple(item.get("redrives", ())),
        )


def as_row(item: Mapping[str, Any]) -> Row:
    """Return the row that an item holds.

    Raises:
        RowItemInvalid: the item cannot be read.
    """
    with readable(item):
        tier, reason = item.get("tier"), item.get("reason")
        return Row(
            batch=batch_of_row(item),
            number=number_of_row(item),
            state=RowState(item["state"]),
            video=_text(item, "video"),
            fingerprint=_text(item, "fingerprint") if "fingerprint" in item else "",
            tier=Tier(tier) if tier else None,
            reason=reason and _text(item, "reason"),
            due=_due(item) if item["state"] == RowState.DEFERRED else None,
            need=Amount.from_item(item.get("need", {})),
            deferrals=int(item.get("deferrals", 0)),
            ended_at=item.get("ended_at", ""),
            redriven_at=item.get("redriven_at", ""),
        )


def as_batch(item: Mapping[str, Any], *tallies: Mapping[str, Any]) -> Batch:
    """Return the batch that an item and its tallies hold.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: one of them cannot be read.
    """
    counts: Counter[str] = Counter()
    for tally in tallies:
        counts.update({name[2:]: int(value) for name, value in tally.items() if name.startswith("n_")})
    return Batch(
        upload=Upload.of(
            {name: _text(item, name) for name in ("bucket", "key", "version", "order", "etag") if name in item}
        ),
        project=_text(item, "project"),
        state=BatchState(item["state"]),
        limits=Total.from_item(item["limits"]),
        accepted=int(item.get("accepted", 0)),
        refused=int(item.get("refused", 0)),
        repeated=int(item.get("repeated", 0)),
        form=item.get("form", ""),
        reason=item.get("reason"),
        sent_row=int(item.get("sent_row", 0)),
        counts=+counts,  # a redrive subtracts each death, even one that a crash left uncounted
        created_at=_moment(item["created_at"]),
        moved_at=max(_moment(it["moved_at"]) for it in (item, *tallies)),
        marked_at=item["moved_at"],
        lease=item.get("lease"),
        lease_until=item.get("lease_until", ""),
        audit_rounds=int(item.get("audit_rounds", 0)),
        audited_rows=int(item.get("audited_rows", 0)),
        audit_row=int(item.get("audit_row", 0)),
        last_row=int(item.get("last_row", sum(int(item.get(it, 0)) for it in ("accepted", "refused", "repeated")))),
        cancelled="cancelled_at" in item,
        counted_at=item.get("counted_at", ""),
        claimed_at=item.get("claimed_at", ""),
    )


def _text(item: Mapping[str, Any], name: str) -> str:
    if not isinstance(text := item[name], str):
        raise TypeError(f"{name} is not text")
    return text


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment


def _due(item: Mapping[str, Any]) -> str | None:
    """Return a deferred row's due date; `NEVER`, without its sort suffix, for a row that waits for a person."""
    due = item.get("due")
    return NEVER if due and due.startswith(NEVER) else due
