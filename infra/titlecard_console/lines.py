"""The lines that `run` and `parse` write: one JSON object per accepted video, in the manifest's order.

Others script against them, so a field is added at most, never renamed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from titlecard.batch import RowState
from titlecard.money import Charge

if TYPE_CHECKING:
    from titlecard.catalog import Entry, Row
    from titlecard.video import Talk


def line(
    video: str, state: RowState, *, talk: Talk | None, charged: Charge | None = None, reason: str | None = None
) -> str:
    """One line.

    Args:
        video: the video's id.
        talk: what it was parsed to; None where it was not.
        charged: what this run was charged for it, lost answers included; none for a talk that was stored before.
        reason: why it is not parsed.
    """
    charged = charged or Charge()
    content: dict[str, Any] = {
        "id": video,
        "title": talk.title if talk else None,
        "presenters": list(talk.presenters) if talk else [],
        "state": state,
        "tier": talk.tier if talk else None,
        "confidence": round(talk.confidence, 4) if talk else None,
        "review": talk.review if talk else None,
        "tokens": {"input": charged.input_tokens, "output": charged.output_tokens},
        "cost_micro_usd": charged.micro_usd,
        "reason": reason,
    }
    return json.dumps(content, ensure_ascii=False)


def of_row(row: Row, entry: Entry, batch: str) -> str:
    """The line of a row of the catalog."""
    return line(
        row.video,
        row.state,
        talk=entry.talk if row.state is RowState.PARSED else None,
        charged=entry.charged(batch),
        reason=row.reason,
    )
