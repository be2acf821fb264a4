"""A message as the parser works on it: what SQS delivered, what the catalog knows, and what the local tier answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from titlecard import extraction
from titlecard.aws.dynamodb.catalog import MessageState, Pointer, RowEnd
from titlecard.domain.batch import RowState
from titlecard.domain.video import Policy
from titlecard.pipeline.talks import by_local_tier

if TYPE_CHECKING:
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.batch import Message
    from titlecard.domain.video import Talk, Tier
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import Survey


@dataclass(frozen=True)
class Received:
    """One SQS message as received; `first` is the time of its first receive, by the queue's own clock."""

    id: str
    receipt: str
    receives: int
    body: str
    first: datetime | None = None


@dataclass
class Job:
    """A decoded message in progress."""

    received: Received
    message: Message
    batch: Batch
    survey: Survey
    policy: Policy
    key: str
    """The project's key; empty if it has none, and then only the local tier answers."""
    fingerprint: str
    state: MessageState = field(default_factory=MessageState)
    """The states of its row and its video; those of a new row until they are looked up."""
    is_crashed: bool = False
    """Whether its video has an attempt whose lease has expired and whose worker never recorded an end."""
    mark_is_old: bool = False
    """Whether its row was marked too long ago for the worker that marked it to be alive."""
    key_error: str = ""
    """Why the project's key cannot be read; then the model cannot be asked now."""

    @property
    def is_new(self) -> bool:
        """Whether no worker can have begun it, and its batch is not cancelled."""
        is_sent_again = self.message.deferrals or self.message.unsent or self.is_returned
        return not is_sent_again and not self.batch.cancelled

    @property
    def is_returned(self) -> bool:
        """Whether an earlier receive may have killed its worker, or recorded a death without the dead letter."""
        return self.received.receives > 1 or self.message.letter_owed

    @cached_property
    def local(self) -> LocalParse:
        """The local tier's answer."""
        return extraction.parse(self.message.video, self.survey)

    @property
    def is_sure(self) -> bool:
        """Whether the local tier's answer is final."""
        return self.policy is Policy.LOCAL or self.local.is_final(self.policy)

    @property
    def is_suspect(self) -> bool:
        """Whether this message may have crashed a worker: its last try has no recorded end and no live lease."""
        return self.is_crashed or self._is_marked

    @property
    def killed_alone(self) -> bool:
        """Whether a worker crashed while it worked on this message alone, in the local tier or after the stored claim.

        SQS may deliver a message again while a worker has it, so the lease must have expired, or the mark be old.
        """
        if self.state.entry.lease_until:
            return self.is_crashed and bool(self.state.alone) and self.state.alone == self.state.entry.token
        return self._is_marked and self.mark_is_old and bool(self.state.alone)

    @property
    def _is_marked(self) -> bool:
        entry = self.state.entry
        return self.received.receives > 1 and not entry.lease_until and self.state.began > entry.concluded_at

    def parsed_locally(self) -> RowEnd:
        """Return this row's end with the local tier's answer."""
        return self.ending(RowState.PARSED, by_local_tier(self.message.video, self.local))

    def ending(
        self,
        state: RowState,
        talk: Talk | None = None,
        *,
        tier: Tier | None = None,
        reason: str | None = None,
        pointer: Pointer | None = None,
    ) -> RowEnd:
        """Return this row's end, with a talk if there is one to store."""
        if pointer is None:
            pointer = Pointer.THERE if self.state.newest else Pointer.UNKNOWN
        return RowEnd(
            message=self.message,
            order=self.batch.upload.order,
            fingerprint=self.fingerprint,
            state=state,
            tier=talk.tier if talk else tier,
            talk=talk,
            reason=reason,
            pointer=pointer,
            row_exists=self.state.row is not None,
        )
