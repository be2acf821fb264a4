"""What the catalog knows, as its callers see it, and how that is read from its items."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.keys import NEVER, number_of_row
from titlecard.domain.batch import BatchLimits, BatchState, RowState, Upload
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Talk, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard.domain.batch import Message


@dataclass(frozen=True)
class Batch:
    """What the catalog knows of one batch; `moved_at` is when anything happened to it, `marked_at` to its own item."""

    upload: Upload
    project: str
    state: BatchState
    limits: BatchLimits
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
    """The number of the manifest's last row, 0 while that is not known."""
    cancelled: bool = False
    """A person wants no more of its rows to be worked on."""
    counted_at: str = ""
    """The stamp at which the batch had last moved when its rows were counted one by one."""

    @property
    def id(self) -> str:
        """The batch's name in every command."""
        return self.upload.batch

    def counted(self, *states: RowState) -> int:
        """How many rows are in these states."""
        return sum(number for name, number in self.counts.items() if name.split("_")[0] in states)


@dataclass(frozen=True)
class UnreadableBatch:
    """A batch whose item this version cannot read: somebody has edited it, or a newer version has written it."""

    id: str
    trouble: str


@dataclass(frozen=True)
class VideoRecord:
    """What the catalog knows of one video under one fingerprint."""

    talk: Talk | None = None
    attempts: int = 0
    lease_until: str = ""
    token: str | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    allowed: int = 0
    """How many attempts a person has allowed in all; 0 where none has, and the cap alone counts."""

    def answers(self, policy: Policy) -> bool:
        """Whether the stored talk is the last word: nothing is parsed again and nothing is paid.

        A sure local answer is not the last word for somebody who asks for the model. One that is flagged for review is:
        the model was asked, and what it said was of no use.
        """
        if self.talk is None:
            return False
        final = self.talk.tier in (Tier.MODEL, Tier.GIVEN)
        return policy is not Policy.MODEL or final or self.talk.review is not None

    @property
    def concluded_at(self) -> str:
        """When the last attempt ended; empty where there was none, or where its worker never said how it ended."""
        return str(self.history[-1]["at"]) if self.history and not self.lease_until else ""

    def charged(self, batch: str) -> Amount:
        """What a batch was charged for this video: the bound of every claim, or what its conclusion said.

        The ledger and this history are written one after the other, so a lost call makes them differ, either way: a
        reservation that could not be settled or taken back is in the ledger alone; the claim of a worker that was
        killed before it reserved is here alone. Neither is ever below what was billed.
        """
        claims = [event["token"] for event in self.history if event.get("batch") == batch]
        charges = {event["token"]: event["charged"] for event in self.history}  # the last word on each attempt
        total = Amount()
        for token in claims:
            total += Amount.from_item(charges[token])
        return total


@dataclass(frozen=True)
class MessageState:
    """Where a message's row and video stand when it is received.

    `began` says when a worker last began on the row after it had come back, empty where none did; `alone` is what it
    did with nothing else beside it (the local tier, or a claim's token), empty where it survived that; `newest` is the
    order of the newest upload that has the video, empty where none has; `deferrals` is how often the row was deferred.
    """

    row: RowState | None
    began: str
    alone: str
    newest: str
    entry: VideoRecord
    deferrals: int = 0


class Pointer(Enum):
    """What is known of a video's pointer when its row is to end."""

    UNKNOWN = auto()
    THERE = auto()
    """There is one: it is to be moved."""
    SET = auto()
    """It has been moved for this row, before the model was asked."""


@dataclass(frozen=True)
class RowEnd:
    """A row's end: with the talk that is to be stored, or None where it is stored already or there is none.

    `pointer` and `row_exists` say what is known of the items that are there; they save writes, and decide nothing.
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
        """The name under which it is counted: its state, with the tier of a talk."""
        return f"{self.state}_{self.tier}" if self.tier else self.state


@dataclass(frozen=True)
class Attempt:
    """One claim on one video: at most one paid request.

    `number` counts the attempts of its fingerprint, from 1; `place` is that of its claim in the history, from 0.
    """

    message: Message
    fingerprint: str
    token: str
    number: int
    place: int = 0


@dataclass(frozen=True)
class Row:
    """One row as a person or the sweeper sees it."""

    number: int
    state: RowState
    video: str
    fingerprint: str
    tier: Tier | None
    reason: str | None
    due: str | None
    body: str | None
    need: Amount = field(default_factory=Amount)
    """What a deferred row's next question can cost, as far as it is known."""
    deferrals: int = 0
    """How often it has been deferred."""


def as_map(talk: Talk) -> dict[str, Any]:
    """A talk as DynamoDB takes it: numbers are decimal there."""
    stored: dict[str, Any] = json.loads(talk.model_dump_json(), parse_float=Decimal)
    return stored


def as_video_record(item: Mapping[str, Any]) -> VideoRecord:
    """A video under one fingerprint, from its item."""
    talk = item.get("talk")
    return VideoRecord(
        talk=Talk.model_validate(talk) if talk else None,
        attempts=int(item.get("attempts", 0)),
        lease_until=item.get("lease_until", ""),
        token=item.get("token"),
        history=tuple(item.get("history", ())),
        allowed=int(item.get("allowed", 0)),
    )


def as_row(item: Mapping[str, Any]) -> Row:
    """A row, from its item."""
    tier = item.get("tier")
    return Row(
        number=number_of_row(item),
        state=RowState(item["state"]),
        video=item["video"],
        fingerprint=item.get("fingerprint", ""),
        tier=Tier(tier) if tier else None,
        reason=item.get("reason"),
        due=_due(item) if item["state"] == RowState.DEFERRED else None,
        body=item.get("body"),
        need=Amount.from_item(item.get("need", {})),
        deferrals=int(item.get("deferrals", 0)),
    )


def as_batch(item: Mapping[str, Any], *tallies: Mapping[str, Any]) -> Batch:
    """A batch, from its item and its tallies."""
    counts: Counter[str] = Counter()
    for tally in tallies:
        counts.update({name[2:]: int(value) for name, value in tally.items() if name.startswith("n_")})
    return Batch(
        upload=Upload(item["bucket"], item["key"], item["version"], item["order"], item.get("etag", "")),
        project=item["project"],
        state=BatchState(item["state"]),
        limits=BatchLimits.model_validate(item["limits"]),
        accepted=int(item.get("accepted", 0)),
        refused=int(item.get("refused", 0)),
        repeated=int(item.get("repeated", 0)),
        form=item.get("form", ""),
        reason=item.get("reason"),
        sent_row=int(item.get("sent_row", 0)),
        counts=counts,
        created_at=datetime.fromisoformat(item["created_at"]),
        moved_at=datetime.fromisoformat(max(it["moved_at"] for it in (item, *tallies))),
        marked_at=item["moved_at"],
        lease=item.get("lease"),
        lease_until=item.get("lease_until", ""),
        audit_rounds=int(item.get("audit_rounds", 0)),
        audited_rows=int(item.get("audited_rows", 0)),
        audit_row=int(item.get("audit_row", 0)),
        last_row=int(item.get("last_row", sum(int(item.get(it, 0)) for it in ("accepted", "refused", "repeated")))),
        cancelled="cancelled_at" in item,
        counted_at=item.get("counted_at", ""),
    )


def _due(item: Mapping[str, Any]) -> str | None:
    """A deferred row's date; `NEVER` for all that wait for a person, whatever their order."""
    due = item.get("due")
    return NEVER if due and due.startswith(NEVER) else due
