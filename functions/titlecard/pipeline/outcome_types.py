"""The outcomes of a message: the decision about its row, and the report to the queue.

Only the types are here. `ask` decides about a row for which the model may be asked, and `parse` about every other row;
`talks` decides whether a talk needs review.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Ended
    from titlecard.domain.batch import RowState
    from titlecard.domain.money import Amount
    from titlecard.domain.video import Tier


@dataclass(frozen=True)
class Redeliver:
    """Tells the queue to redeliver the message after `seconds`; None means after its visibility timeout."""

    seconds: int | None = None
    ended: Ended | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Done:
    """The message is done: its row is in this state."""

    state: RowState
    tier: Tier | None = None
    ended: Ended | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Replaced:
    """A new copy of the message, with no receives, is in the queue, so this one is acknowledged."""

    ended: Ended | None = field(default=None, compare=False)


Outcome = Done | Redeliver | Replaced
"""The report to the queue. `ended` is the row's end if this worker wrote it, whatever is still to be done."""


@dataclass(frozen=True)
class EndRow:
    """End the row in this state. Its talk, if any, is already stored, and the video's pointer is moved."""

    state: RowState
    tier: Tier | None = None
    reason: str | None = None


@dataclass(frozen=True)
class DeferRow:
    """Defer the row until `due`, or until a person acts (None).

    `need` is the most that the row's request can cost, if that is known.
    """

    reason: str
    due: datetime | None
    need: Amount | None = None


@dataclass(frozen=True)
class DeadLetterRow:
    """End the row as dead, and send its message to the dead-letter queue."""

    reason: str


Decision = EndRow | DeferRow | DeadLetterRow | Redeliver
"""The model path's decision about a row, which the parser carries out."""
