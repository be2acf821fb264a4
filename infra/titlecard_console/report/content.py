"""The content of the report's page, read from a stack: rows beside their raw text, dead letters, rejects and spend."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from titlecard.aws.errors import ObjectDeleted
from titlecard.aws.s3 import UploadsBucket
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.reasons import code_of
from titlecard.pipeline.ingest import REJECTS
from titlecard_console.report.markup import Mark, Piece, layout, mark_description, mark_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.catalog.results import RowResult
    from titlecard.domain.video import Video
    from titlecard_console.results import ResultReader
    from titlecard_console.stacks import Stack

REASONS_SHOWN = 50
"""The most reasons of rejected rows that are listed."""


@dataclass
class TierTotals:
    """One tier's answers: rows, and the tokens and micro-dollars that these rows were charged."""

    rows: int = 0
    tokens: int = 0
    micro_usd: int = 0


@dataclass
class DeadGroup:
    """The dead rows of one cause."""

    cause: str
    reason: str
    rows: int = 0
    micro_usd: int = 0
    ids: list[str] = field(default_factory=list)
    batches: dict[str, None] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that gives these videos, and no others, another try."""
        batches = "".join(f" --batch {batch}" for batch in self.batches)
        return f"titlecard dlq redrive --cause {shlex.quote(self.cause)}{batches}"


@dataclass(frozen=True)
class Charge:
    """A charge and its time, for the plot of spend over time."""

    at: datetime
    micro_usd: int


@dataclass
class ReportContent:
    """Everything that the page shows. `limit_micro_usd` is the total limit of the batches, in micro-dollars."""

    title: str
    project: str
    batches: list[Batch]
    rows: list[dict[str, Any]] = field(default_factory=list)
    layouts: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    tiers: dict[str, TierTotals] = field(default_factory=dict)
    dead: dict[str, DeadGroup] = field(default_factory=dict)
    rejects: Counter[str] = field(default_factory=Counter)
    charges: list[Charge] = field(default_factory=list)
    limit_micro_usd: int = 0
    refused: int = 0
    repeated: int = 0
    refused_files: list[tuple[str, str]] = field(default_factory=list)
    """The names of the files that were refused as a whole, with the reasons."""

    @property
    def to_review(self) -> int:
        """The number of talks that need a person."""
        return sum(1 for row in self.rows if row.get("review"))

    @property
    def charged_micro_usd(self) -> int:
        """The total charge of all rows."""
        return sum(charge.micro_usd for charge in self.charges)


def collect(stack: Stack, reader: ResultReader, batches: Sequence[Batch], title: str) -> ReportContent:
    """Read the content of the page.

    Args:
        batches: the batches of one project.
        title: the subject of the page, for its heading.
    """
    content = ReportContent(title, batches[0].project, list(batches))
    content.limit_micro_usd = sum(batch.limits.micro_usd for batch in batches)
    content.refused = sum(batch.refused for batch in batches)
    content.repeated = sum(batch.repeated for batch in batches)
    numbers: dict[str, int] = {}
    for result, row in reader.with_rows(batches, current=False):
        if result.state is not RowState.SUPERSEDED:
            shown = _shown(result, row.video if row else None)
            shown["layout"] = numbers.setdefault(shown["layout"], len(numbers))
            content.rows.append(shown)
            _count(content, result)
    content.layouts = list(numbers)
    content.charges.sort(key=lambda charge: charge.at)
    uploads = UploadsBucket(stack.client("s3"))
    for batch in batches:
        if batch.state is BatchState.REFUSED:
            content.refused_files.append((batch.upload.key, batch.reason or ""))
        elif batch.refused:
            content.rejects.update(_rejects(uploads, batch))
    return content


def _shown(result: RowResult, video: Video | None) -> dict[str, Any]:
    """Return a row as the page shows it, beside its raw text if its manifest still has it."""
    talk, row = result.talk, result.row
    presenters = talk.presenters if talk else ()
    pieces = [Piece(Mark.PLAIN, video.title)] if video else []
    if video and talk:
        pieces = mark_title(video.title, talk.title, presenters)
    shown: dict[str, Any] = {
        "id": row.video,
        "state": str(result.state),
        "raw": [[piece.mark, piece.text] for piece in pieces],
        "layout": layout(pieces) if talk else "no talk",
    }
    if talk:
        shown |= {"title": talk.title, "who": list(presenters), "tier": str(talk.tier)}
        shown |= {"sure": round(talk.confidence, 2)}
        if talk.review and result.current:
            shown["review"] = talk.review
    elif row.reason:
        shown["reason"] = row.reason
    if video:
        described = mark_description(video.description, presenters)
        if described:
            shown["about"] = [[piece.mark, piece.text] for piece in described]
        if video.url and video.url.startswith(("https://", "http://")):
            shown["url"] = video.url
    return shown


def _count(content: ReportContent, result: RowResult) -> None:
    """Add a row to the totals: by state, by tier or cause, and what it was charged."""
    row, charged = result.row, result.entry.charged(result.batch)
    content.states[result.state] += 1
    if result.talk:
        totals = content.tiers.setdefault(str(result.talk.tier), TierTotals())
        totals.rows += 1
        totals.tokens += charged.tokens
        totals.micro_usd += charged.micro_usd
    if result.state is RowState.DEAD:
        cause = code_of(row.reason) or "unknown"
        group = content.dead.setdefault(cause, DeadGroup(cause, row.reason or ""))
        group.rows += 1
        group.micro_usd += charged.micro_usd
        group.ids.append(row.video)
        group.batches[result.batch] = None
    content.charges += [
        Charge(datetime.fromisoformat(at), charge.micro_usd)
        for at, charge in result.entry.charges(result.batch)
        if charge.micro_usd
    ]


def _rejects(uploads: UploadsBucket, batch: Batch) -> Counter[str]:
    """Count the rejected rows of a batch by reason."""
    try:
        lines = uploads.read_report(batch.upload, REJECTS).splitlines()
    except ObjectDeleted:
        return Counter({"the list of rejected rows was deleted": batch.refused})
    reasons = Counter(str(json.loads(line)["reason"]) for line in lines if line.strip())
    rest = sum(reasons.values()) - sum(count for _, count in reasons.most_common(REASONS_SHOWN))
    return Counter(dict(reasons.most_common(REASONS_SHOWN)) | ({"other reasons": rest} if rest else {}))
