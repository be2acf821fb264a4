"""The catalog's answers by persons: one a video, which no parse overwrites.

It is an item of its own beside the video's talks. The parser writes talks, attempts and the pointer, and never this; so
whatever is uploaded, parsed or sent again later, what a person said stands until a person says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from titlecard.aws.dynamodb.catalog.items import VideoRecord, as_video_record
from titlecard.aws.dynamodb.catalog.keys import review_key, video_partition
from titlecard.aws.dynamodb.catalog.table import CatalogTable, stamp
from titlecard.domain.video import Talk, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True)
class ReviewedTalk:
    """What a person said of a video: who, when (a stamp), and under which fingerprint the video was seen."""

    title: str
    presenters: tuple[str, ...]
    by: str
    at: str
    fingerprint: str

    @property
    def talk(self) -> Talk:
        """The answer as a talk: nobody has to look at it again."""
        return Talk(title=self.title, presenters=self.presenters, tier=Tier.PERSON, confidence=1.0)


@dataclass(frozen=True)
class CurrentTalk:
    """Which fingerprint of a video is the current one, and which row of which batch made it so."""

    batch: str
    row: int
    fingerprint: str
    order: str


@dataclass(frozen=True)
class VideoSummary:
    """All that the catalog knows of one video; `entries` by fingerprint."""

    pointer: CurrentTalk | None
    entries: Mapping[str, VideoRecord]
    answer: ReviewedTalk | None

    @property
    def talk(self) -> Talk | None:
        """What stands: a person's answer, else the talk that the pointer names."""
        if self.answer:
            return self.answer.talk
        entry = self.entries.get(self.pointer.fingerprint) if self.pointer else None
        return entry.talk if entry else None


class Reviews(CatalogTable):
    """What persons say of videos."""

    def story(self, project: str, video: str) -> VideoSummary | None:
        """All that is known of a video; None where nothing is."""
        pointer, answer = None, None
        entries: dict[str, VideoRecord] = {}
        known = False
        for item in self._query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": video_partition(project, video)},
            ConsistentRead=True,
        ):
            known = True
            sort = str(item["sk"])
            if sort == "current":
                pointer = as_current_talk(item)
            elif sort == "person":
                answer = as_reviewed_talk(item)
            elif sort.startswith("fp#"):
                entries[sort.removeprefix("fp#")] = as_video_record(item)
        return VideoSummary(pointer, entries, answer) if known else None

    def answer(
        self,
        project: str,
        video: str,
        title: str,
        presenters: Sequence[str],
        *,
        by: str,
        fingerprint: str,
        now: datetime,
        over: ReviewedTalk | Literal["any"] | None = "any",
    ) -> ReviewedTalk | None:
        """Write down what a person says of a video. The last word stands; the history keeps those before it.

        Args:
            over: the answer that this one may replace, None where there must be none; "any" replaces whatever stands.

        Returns:
            What was written; None where another answer stands than `over`.
        """
        given = ReviewedTalk(title, tuple(presenters), by, stamp(now), fingerprint)
        said = {"title": title, "presenters": list(presenters), "by": by, "at": given.at}
        values: dict[str, Any] = {
            ":title": title,
            ":presenters": list(presenters),
            ":by": by,
            ":at": given.at,
            ":fingerprint": fingerprint,
            ":none": [],
            ":said": [said],
        }
        is_unanswered, is_as_seen = "attribute_not_exists(answered_at)", "answered_at = :seen"
        condition: dict[str, Any] = {}
        if over != "any":
            condition["ConditionExpression"] = is_as_seen if over else is_unanswered
        if isinstance(over, ReviewedTalk):
            values[":seen"] = over.at
        try:
            self._db.update_item(
                TableName=self._table,
                Key=review_key(project, video),
                UpdateExpression="SET title = :title, presenters = :presenters, answered_by = :by, answered_at = :at,"
                " fingerprint = :fingerprint, history = list_append(if_not_exists(history, :none), :said)",
                ExpressionAttributeValues=values,
                **condition,
            )
        except self._db.exceptions.ConditionalCheckFailedException:
            return None
        return given

    def withdraw(self, project: str, video: str, given: ReviewedTalk) -> bool:
        """Take an answer back, so that the tiers' talk stands again; False where another answer stands by now."""
        is_as_seen = "answered_at = :seen"
        try:
            self._db.delete_item(
                TableName=self._table,
                Key=review_key(project, video),
                ConditionExpression=is_as_seen,
                ExpressionAttributeValues={":seen": given.at},
            )
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True


def as_reviewed_talk(item: Mapping[str, Any]) -> ReviewedTalk:
    """A person's answer, from its item."""
    return ReviewedTalk(
        title=item["title"],
        presenters=tuple(item["presenters"]),
        by=item["answered_by"],
        at=item["answered_at"],
        fingerprint=item.get("fingerprint", ""),
    )


def as_current_talk(item: Mapping[str, Any]) -> CurrentTalk:
    """A video's pointer, from its item."""
    return CurrentTalk(item["batch"], int(item["row"]), item["fingerprint"], item["order"])
