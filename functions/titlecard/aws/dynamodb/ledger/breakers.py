"""The breakers: a project's requests stop when the account is at fault or the provider is down.

This module stores them; `pipeline.admission` decides when one opens or closes.

::

    closed ──── an account fault, a usage above its bound ────► open ── probe_at has come ──► one probe in flight
       ▲  └──── enough transient faults in a row ────────────────▲                             │          │
       │                                                         └── it failed, or never ended ┘          │
       └───────────────────────────────────── it was answered ────────────────────────────────────────────┘

An open breaker lets ONE request through when its probe is due: the first worker that writes its token into the breaker
may ask, for as long as that worker can live. A lost write does no harm: the next request finds the same fault and
writes it again.

Powertools' circuit breaker does not fit: it counts failures in each worker's memory, reads the state with a delay of
seconds, has one recovery time for all faults, and uses its own clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.ledger.items import LedgerTable, count
from titlecard.aws.dynamodb.values import NEVER, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT_PROBE_SECONDS = 15 * 60
"""Seconds until the model is asked again after an account fault: a wrong key, or no quota left."""

MOST_DOUBLINGS = 4
"""The most doublings of the wait between probes after transient faults; one minute grows to a quarter of an hour."""

OPEN = "open"
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Breaker:
    """A project's breaker.

    `failures` counts the transient faults in a row. `rejected` says that the provider rejected the last request, and
    did not say whether it would reject every row. `since` and `why` say when and why the breaker opened. `probe_at` is
    when one request is let through (`NEVER`: only a person closes the breaker), `probe_until` is when a probe in flight
    expires. Times are stamps.
    """

    open: bool = False
    failures: int = 0
    rejected: bool = False
    since: str = ""
    why: str = ""
    probe_at: str = ""
    probe_until: str = ""

    def probes(self, now: datetime) -> bool:
        """Return whether the breaker would let a request through now as its probe."""
        return self.open and self.probe_at <= stamp(now) and self.probe_until < stamp(now)

    @property
    def due(self) -> datetime | None:
        """When a request may be tried again; None if a person has to close the breaker."""
        latest = max(self.probe_at, self.probe_until)
        return None if latest >= NEVER else datetime.fromisoformat(latest)


class Breakers(LedgerTable):
    """The projects' breakers. Each write raises `LedgerUnavailable` if it is unknown whether it was written."""

    def take_probe(self, project: str, *, token: str, until: datetime, now: datetime) -> bool:
        """Take the probe of an open breaker; return False if another worker has it, or it is not due.

        Args:
            token: a random token, which distinguishes this probe's end from another's.
            until: the latest end of its worker.
        """
        is_open = "#state = :open"
        its_time = "probe_at <= :now"
        alone = "(attribute_not_exists(probe_until) OR probe_until < :now OR probe = :token)"
        return self._written(
            project,
            "SET probe = :token, probe_until = :until",
            f"{is_open} AND {its_time} AND {alone}",
            {":open": OPEN, ":now": stamp(now), ":until": stamp(until), ":token": token},
        )

    def release_probe(self, project: str, *, token: str) -> bool:
        """End a probe that was never sent, so that another request can take it."""
        return self._written(project, "REMOVE probe, probe_until", "probe = :token", {":token": token})

    def open_breaker(self, project: str, why: str, *, probe_at: datetime | None, now: datetime) -> None:
        """Open a breaker, or extend its opening; never shorten it.

        Requests in flight when it opened may end in other faults than the one that opened it. They do not shorten a
        wait for a person or for the account.

        Args:
            why: the reason, as a sentence.
            probe_at: when one request is let through; None if a person has to close the breaker.
        """
        not_open = "attribute_not_exists(#state) OR #state <> :open"
        no_sooner = "attribute_not_exists(probe_at) OR probe_at <= :probe_at"  # `NEVER` is above every stamp
        self._written(
            project,
            "SET #state = :open, since = if_not_exists(since, :now), why = :why, probe_at = :probe_at"
            " REMOVE probe, probe_until",
            f"{not_open} OR {no_sooner}",
            {":open": OPEN, ":now": stamp(now), ":why": why, ":probe_at": stamp(probe_at) if probe_at else NEVER},
        )

    def count_failure(self, project: str) -> int:
        """Count a transient fault; return the number of faults in a row."""
        with self._asking():
            done = self._db.update_item(
                TableName=self._table,
                Key=_key(project),
                UpdateExpression="ADD failures :one",
                ExpressionAttributeValues={":one": 1},
                ReturnValues="UPDATED_NEW",
            )
        return int(str(done["Attributes"]["failures"]))

    def count_rejection(self, project: str, *, code: str, video: str) -> bool:
        """Record a rejected request; return whether the previous rejection had the same code and another video.

        A repetition after a lost answer finds the same video and returns False.
        """
        with self._asking():
            done = self._db.update_item(
                TableName=self._table,
                Key=_key(project),
                UpdateExpression="SET rejected_code = :code, rejected_video = :video",
                ExpressionAttributeValues={":code": code, ":video": video},
                ReturnValues="ALL_OLD",
            )
        before: Mapping[str, Any] = done.get("Attributes", {})
        return before.get("rejected_code") == code and before.get("rejected_video") != video

    def count_answer(self, project: str, *, token: str | None) -> bool:
        """Count a request that shows a working provider and account: reset the count of faults.

        Args:
            token: the token of the probe, whose answer closes the breaker; None if the request was not a probe.
        """
        not_open = "(attribute_not_exists(#state) OR #state <> :open)"
        values: dict[str, Any] = {":none": 0, ":closed": CLOSED}
        if token is None:  # it may have been sent before the breaker opened
            change = "SET failures = :none, #state = :closed REMOVE rejected_code, rejected_video"
            return self._written(project, change, not_open, values | {":open": OPEN})
        return self._written(project, _CLOSE, "probe = :token", values | {":token": token})

    def close_breaker(self, project: str) -> None:
        """Close a breaker at a person's request."""
        self._written(project, _CLOSE, None, {":none": 0, ":closed": CLOSED})

    def _written(self, project: str, change: str, condition: str | None, values: Mapping[str, Any]) -> bool:
        names = {"#state": "state"} if "#state" in f"{change} {condition}" else {}
        optional: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        if names:
            optional["ExpressionAttributeNames"] = names
        try:
            with self._asking():
                self._db.update_item(
                    TableName=self._table,
                    Key=_key(project),
                    UpdateExpression=change,
                    ExpressionAttributeValues=dict(values),
                    **optional,
                )
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True


_CLOSE = (
    "SET failures = :none, #state = :closed"
    " REMOVE since, why, probe_at, probe, probe_until, rejected_code, rejected_video"
)


def breaker_of(item: Mapping[str, Any]) -> Breaker:
    """Return the breaker in an item, a closed one if there is no item. An unreadable breaker counts as open.

    Raises:
        LedgerItemInvalid: its count of failures is not a number.
    """
    if item.get("state", CLOSED) == CLOSED:
        return Breaker(failures=count(item, "failures"), rejected="rejected_code" in item)
    return Breaker(
        open=True,
        failures=count(item, "failures"),
        rejected="rejected_code" in item,
        since=str(item.get("since", "")),
        why=str(item.get("why", "its item cannot be read")),
        probe_at=_stamp(item, "probe_at", NEVER),
        probe_until=_stamp(item, "probe_until", ""),
    )


def _key(project: str) -> dict[str, str]:
    return {"pk": "breakers", "sk": project}


def _stamp(item: Mapping[str, Any], name: str, missing: str) -> str:
    """Return a stamp of an item; an invalid stamp makes the breaker wait for a person."""
    value = str(item.get(name, missing))
    try:
        return value if value in {missing, NEVER} else stamp(datetime.fromisoformat(value))
    except (ValueError, OverflowError):  # OverflowError: a time before the year 1 or after 9999, in UTC
        return NEVER


def probe_after(failures: int, threshold: int, backoff: int) -> timedelta:
    """Return the wait until the next probe after transient faults: doubled each time, up to a limit."""
    doubled = min(max(failures - threshold, 0), MOST_DOUBLINGS)
    return timedelta(seconds=min(backoff * 2**doubled, ACCOUNT_PROBE_SECONDS))
