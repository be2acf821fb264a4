"""The catalog's attempts: at most one at a time for a video and fingerprint, up to a cap.

::

    claim ──► (reserve, send) ──► answer                          stores the talk and removes the lease
      │                       ├─► give_back                       undoes the claim: nothing was billed
      │                       └─► fail                            keeps the attempt counted; the history says why
      ├─ uncount                                                  undoes an unsent claim after another worker's
      └─ a crash anywhere here leaves the attempt counted and a lease that expires before the message is redelivered
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.items import Attempt, VideoRecord, as_map, as_video_record
from titlecard.aws.dynamodb.catalog.keys import video_record_of
from titlecard.aws.dynamodb.catalog.table import CatalogTable
from titlecard.aws.dynamodb.values import item_of_refusal, stamp
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Talk, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from titlecard.domain.batch import Message


class Attempts(CatalogTable):
    """Claims on videos, and their outcomes."""

    def claim(
        self,
        message: Message,
        fingerprint: str,
        *,
        token: str,
        cap: int,
        policy: Policy,
        bound: Amount,
        until: datetime,
        now: datetime,
    ) -> Attempt | VideoRecord:
        """Claim the next attempt on a video and fingerprint, or return the record that prevents it.

        Args:
            token: a random token. A refusal that returns it means that our own claim succeeded and its answer was lost.
            cap: the most attempts on this fingerprint, unless a person has allowed more.
            bound: the most that this attempt can be charged; kept in the history.
            until: when the lease expires: after the end of this invocation, before the queue redelivers the message.
        """
        free = "(attribute_not_exists(lease_until) OR lease_until < :now)"
        below = "(attribute_not_exists(attempts) OR attempts < :cap OR attempts < allowed)"
        unanswered = "attribute_not_exists(talk)"
        unused = "(attribute_not_exists(#token) OR #token <> :token)"  # refuses a late copy of this call
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
        if policy is Policy.MODEL:  # `VideoRecord.answers` as a condition
            unanswered = f"({unanswered} OR (talk.tier = :local AND attribute_type(talk.review, :null)))"
            values |= {":local": Tier.LOCAL, ":null": "NULL"}
        try:
            done = self._db.update_item(
                TableName=self._table,
                Key=video_record_of(message, fingerprint),
                UpdateExpression="SET attempts = if_not_exists(attempts, :zero) + :one, lease_until = :until,"
                " #token = :token, history = list_append(if_not_exists(history, :none), :claimed)",
                ConditionExpression=f"{free} AND {below} AND {unanswered} AND {unused}",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues=values,
                ReturnValues="UPDATED_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._db.exceptions.ConditionalCheckFailedException as refusal:
            entry = as_video_record(item_of_refusal(refusal.response))
            if entry.token != token or not entry.lease_until:
                return entry
        else:
            entry = as_video_record(done["Attributes"])
        return Attempt(message, fingerprint, token, entry.attempts, claim=len(entry.history) - 1)

    def answer(self, attempt: Attempt, talk: Talk, *, charged: Amount, now: datetime) -> bool:
        """Store an attempt's talk; return False if the attempt is no longer ours."""
        return self._conclude(attempt, "answered", charged, now, "SET talk = :talk,", {":talk": as_map(talk)})

    def fail(self, attempt: Attempt, *, reason: str, charged: Amount, now: datetime) -> bool:
        """End a failed attempt, which stays counted; return False if it is no longer ours."""
        return self._conclude(attempt, reason, charged, now, "SET", {})

    def give_back(self, attempt: Attempt) -> bool:
        """Uncount an attempt that was not billed; return False if it is no longer ours.

        This removes the claim from the history, because a video may be given back many times and an item holds at most
        400 KB (DynamoDB developer guide, "Constraints"). The claim is the last event, since no other worker can claim
        the video while our lease exists.
        """
        ours = "#token = :token AND attribute_exists(lease_until)"
        its_claim = f"history[{attempt.claim}]"
        return self._update(
            video_record_of(attempt.message, attempt.fingerprint),
            f"SET attempts = attempts - :one REMOVE lease_until, {its_claim}",
            f"{ours} AND {its_claim}.#token = :token",
            {":token": attempt.token, ":one": 1},
        )

    def uncount(self, attempt: Attempt) -> bool:
        """Uncount an attempt that sent nothing, after another worker's claim; return False if it is not counted.

        The claim stays in the history, as `unsent`, because the other worker finds its own claim by its index.
        """
        its_claim = f"history[{attempt.claim}]"
        return self._update(
            video_record_of(attempt.message, attempt.fingerprint),
            f"SET attempts = attempts - :one, {its_claim}.event = :unsent, {its_claim}.charged = :nothing",
            f"{its_claim}.#token = :token AND {its_claim}.event = :claimed AND #token <> :token",
            {
                ":token": attempt.token,
                ":one": 1,
                ":claimed": "claimed",
                ":unsent": "unsent",
                ":nothing": Amount().as_map(),
            },
        )

    def _conclude(  # noqa: PLR0917 -- private; only the two methods above call it
        self, attempt: Attempt, event: str, charged: Amount, now: datetime, change: str, values: Mapping[str, Any]
    ) -> bool:
        ours = "#token = :token AND attribute_exists(lease_until)"
        happened = {"at": stamp(now), "event": event, "token": attempt.token, "charged": charged.as_map()}
        return self._update(
            video_record_of(attempt.message, attempt.fingerprint),
            f"{change} history = list_append(history, :happened) REMOVE lease_until",
            ours,
            {":token": attempt.token, ":happened": [happened], **values},
        )
