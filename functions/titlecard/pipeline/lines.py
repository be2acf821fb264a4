"""The lines of results: one JSON object per video, in the manifest's order.

`run` and `parse` write these lines; `export` and the stack itself add the fields that only the catalog knows. Other
people's scripts depend on them, so fields may be added but never renamed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from titlecard.domain.batch import RowState
from titlecard.domain.money import Amount

if TYPE_CHECKING:
    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.domain.video import Talk


def of_talk(video: str, talk: Talk) -> str:
    """Return the line of a talk that was charged nothing, by the id of its video."""
    return json.dumps(_content(video, RowState.PARSED, talk, Amount(), None), ensure_ascii=False)


def of_row(result: RowResult) -> str:
    """Return the line of a row of the catalog."""
    return json.dumps(_of_row(result), ensure_ascii=False)


def of_result(result: RowResult) -> dict[str, Any]:
    """Return the content of the line of a result.

    In addition to the fields of a line it has: `batch`; `current`, whether the video's newest talk comes from this row;
    and `changed_at`, when the row ended or a person answered.
    """
    extra = {"batch": result.batch, "current": result.current, "changed_at": result.changed_at}
    return _of_row(result) | extra


def _of_row(result: RowResult) -> dict[str, Any]:
    reason = None if result.state is RowState.PARSED else result.row.reason
    return _content(result.row.video, result.state, result.talk, result.entry.charged(result.batch), reason)


def _content(video: str, state: RowState, talk: Talk | None, charged: Amount, reason: str | None) -> dict[str, Any]:
    return {
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
