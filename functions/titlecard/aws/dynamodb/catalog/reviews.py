"""People's answers in the catalog: at most one for each video, which no parse overwrites.

The answer has its own item beside the video's talks. The parser writes talks, attempts and the pointer, and never the
answer. So a person's answer survives every later upload, parse and redrive, until a person changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from titlecard.aws.dynamodb.catalog.items import VideoRecord, as_video_record, readable
from titlecard.aws.dynamodb.catalog.keys import review_key, video_partition
from titlecard.aws.dynamodb.catalog.table import CatalogTable
from titlecard.aws.dynamodb.values import stamp
from titlecard.domain.errors import AnswerTooLong
from titlecard.domain.video import Talk, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

ANSWER_MAX_BYTES = 16 * 1024
"""The longest answer: its title and its presenters together, in bytes of UTF-8."""

HISTORY_MAX = 10
"""The number of a video's newest answers that its history keeps. With the longest answers, they take 160 KB; an item
holds at most 400 KB (DynamoDB developer guide, "Constraints")."""


@dataclass(frozen=True)
class ReviewedTalk:
    """A person's answer for a video: who gave it, when (a stamp), and the fingerprint of the video they saw."""

    title: str
    presenters: tuple[str, ...]
    by: str
    at: str
    fingerprint: str

    @property
    def talk(self) -> Talk:
        """The answer as a talk that needs no review."""
        return Talk(title=self.title, presenters=self.presenters, tier=Tier.PERSON, confidence=1.0)


@dataclass(frozen=True)
class CurrentTalk:
    """A video's current fingerprint, and the batch and row that set it."""

    batch: str
    row: int
    fingerprint: str
    order: str


@dataclass(frozen=True)
class VideoSummary:
    """All that the catalog knows of one video; `entries` is keyed by fingerprint."""

    pointer: CurrentTalk | None = None
    entries: Mapping[str, VideoRecord] = field(default_factory=dict)
    answer: ReviewedTalk | None = None

    @property
    def fingerprint(self) -> str:
        """The fingerprint that the pointer names; empty if there is no pointer."""
        return self.pointer.fingerprint if self.pointer else ""

    @property
    def talk(self) -> Talk | None:
        """The video's valid talk: a person's answer, else the talk that the pointer names."""
        if self.answer:
            return self.answer.talk
        entry = self.entries.get(self.fingerprint) if self.pointer else None
        return entry.talk if entry else None


class Reviews(CatalogTable):
    """People's answers for videos."""

    def summary(self, project: str, video: str) -> VideoSummary:
        """Return all that the catalog knows of a video; an empty summary if it knows nothing."""
        pointer, answer = None, None
        entries: dict[str, VideoRecord] = {}
        for item in self._query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": video_partition(project, video)},
            ConsistentRead=True,
        ):
            sort = str(item["sk"])
            if sort == "current":
                pointer = as_current_talk(item)
            elif sort == "person":
                answer = as_reviewed_talk(item)
            elif sort.startswith("fp#"):
                entries[sort.removeprefix("fp#")] = as_video_record(item)
        return VideoSummary(pointer, entries, answer)

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
        """Store a person's answer for a video. It replaces the previous answer.

        The history keeps the newest `HISTORY_MAX` answers, this one included.

        Args:
            over: the answer that this one may replace, None if there must be none; "any" replaces any answer.

        Returns:
            The stored answer; None if the video's answer is not `over`.

        Raises:
            AnswerTooLong: the answer has more than `ANSWER_MAX_BYTES` bytes; nothing is written.
        """
        check_length(video, title, presenters)
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
            stored = self._db.update_item(
                TableName=self._table,
                Key=review_key(project, video),
                UpdateExpression="SET title = :title, presenters = :presenters, answered_by = :by, answered_at = :at,"
                " fingerprint = :fingerprint, history = list_append(if_not_exists(history, :none), :said)",
                ExpressionAttributeValues=values,
                ReturnValues="UPDATED_NEW",
                **condition,
            )
        except self._db.exceptions.ConditionalCheckFailedException:
            return None
        history: Any = stored["Attributes"]["history"]
        self._forget_oldest(project, video, given, len(history) - HISTORY_MAX)
        return given

    def withdraw(self, project: str, video: str, given: ReviewedTalk) -> bool:
        """Take an answer back, so that the tiers' talk is valid again; return False if another answer has replaced it.

        The item and its history stay, because no role may delete items of the catalog.
        """
        is_as_seen = "answered_at = :seen"
        change = "REMOVE title, presenters, answered_by, answered_at, fingerprint"
        return self._update(review_key(project, video), change, is_as_seen, {":seen": given.at})

    def _forget_oldest(self, project: str, video: str, given: ReviewedTalk, number: int) -> None:
        """Remove the oldest answers from a history; the next answer does so if this one has been replaced."""
        if number <= 0:
            return
        is_as_seen = "answered_at = :seen"
        change = "REMOVE " + ", ".join(f"history[{place}]" for place in range(number))
        self._update(review_key(project, video), change, is_as_seen, {":seen": given.at})


def check_length(video: str, title: str, presenters: Sequence[str]) -> None:
    """Check that an answer for a video is not too long to be stored.

    Raises:
        AnswerTooLong: it has more than `ANSWER_MAX_BYTES` bytes.
    """
    if sum(len(text.encode()) for text in (title, *presenters)) > ANSWER_MAX_BYTES:
        raise AnswerTooLong(
            f"{video} was left unchanged: its title and presenters would have more than {ANSWER_MAX_BYTES:,} bytes. "
            "Shorten them."
        )


def as_reviewed_talk(item: Mapping[str, Any]) -> ReviewedTalk | None:
    """Return the answer that an item holds, None if there is no item or its answer was taken back.

    Raises:
        RowItemInvalid: the item cannot be read.
    """
    if "answered_at" not in item:
        return None
    with readable(item):
        return ReviewedTalk(
            title=item["title"],
            presenters=tuple(item["presenters"]),
            by=item["answered_by"],
            at=item["answered_at"],
            fingerprint=item.get("fingerprint", ""),
        )


def as_current_talk(item: Mapping[str, Any]) -> CurrentTalk:
    """Return the pointer that an item holds.

    Raises:
        RowItemInvalid: the item cannot be read.
    """
    with readable(item):
        return CurrentTalk(item["batch"], int(item["row"]), item["fingerprint"], item["order"])
