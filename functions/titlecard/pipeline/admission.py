"""Admission before every question to the model: pause, budget and breaker, read fresh; and what the breaker is told.

::

    admit ──┬─ paused, no budget, breaker open ──► Denied: nothing is claimed, reserved or sent
            └─► Permit ──► claim ──► reserve ──┬─ not sent after all ──► withdraw: a probe makes way for another
                                               └─► send ──► record_outcome: the breaker counts, opens or closes
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from titlecard import telemetry
from titlecard.aws.dynamodb.ledger.breakers import ACCOUNT_PROBE_SECONDS, probe_after
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.errors import Hold, Reason, Retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from titlecard.aws.dynamodb.ledger import Account, Ledger
    from titlecard.domain.errors import Fault, Rejected
    from titlecard.domain.money import Budget

_ABOVE_BOUND = "usage_above_bound"
"""Why a breaker opens for good, as a code."""

_NOT_SENT = {Reason.NOT_SENT_IN_TIME, Reason.REFUSED_AT_THE_WIRE}


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a project may ask nothing now; `due` is when to come again, None: when a person has acted."""

    hold: Hold
    sentence: str
    due: datetime | None


@dataclass(frozen=True, slots=True)
class Permit:
    """One question may be asked, out of this budget; `probe` is its token where an open breaker lets it through."""

    project: str
    budget: Budget
    faults_before: bool
    probe: str | None


class Admission:
    """Stands before the questions of one worker.

    Args:
        ledger: where budgets, pauses and breakers are.
        threshold: after how many transient faults in a row a breaker opens.
        backoff: seconds until the first probe after them.
        now: the time, timezone-aware.
    """

    def __init__(
        self, ledger: Ledger, *, threshold: int, backoff: int, now: Callable[[], datetime], log: Logger
    ) -> None:
        self._ledger = ledger
        self._threshold = threshold
        self._backoff = backoff
        self._now = now
        self._log = log

    def admit(self, project: str, *, token: str, until: datetime) -> Permit | Denied:
        """Permit one question, or say why not.

        Args:
            token: random; a probe's name.
            until: when this worker is gone at the latest.

        Raises:
            LedgerUnavailable: nobody knows, so there is no permit.
        """
        now = self._now()
        account = self._ledger.account(project, now=now)
        if no := denied(account, now):
            return no
        if account.budget is None:
            raise AssertionError("an account without a budget is closed")
        if not account.breaker.open:
            return Permit(project, account.budget, _faults_before(account), None)
        if self._ledger.take_probe(project, token=token, until=until, now=now):
            return Permit(project, account.budget, _faults_before(account), token)
        return Denied(Hold.BREAKER_OPEN, _why(account), until)

    def withdraw(self, permit: Permit) -> None:
        """Give a permit back: nothing was sent."""
        if permit.probe:
            self._told(lambda: self._ledger.leave_probe(permit.project, token=str(permit.probe)))

    def record_outcome(self, permit: Permit, fault: Fault | None, *, above_bound: bool) -> None:
        """Tell the breaker how a question went.

        Args:
            fault: what came instead of an answer; None where there was one.
            above_bound: it cost more than its bound: the bound is wrong, and only a person can say that it goes on.
        """
        now, project = self._now(), permit.project
        if above_bound:
            telemetry.usage_above_bound(self._log, project)
            why = "a usage above its bound: prices or caps are not what they were taken for"
            self._open(project, _ABOVE_BOUND, why, None)
        elif fault is not None and fault.reason is Reason.ACCOUNT_FAULT:
            self._open(project, fault.reason, str(fault), now + timedelta(seconds=ACCOUNT_PROBE_SECONDS))
        elif isinstance(fault, Retry) and fault.reason is Reason.BAD_REQUEST:
            return  # `rejected_for_all` has noted it
        elif isinstance(fault, Retry) or (fault is not None and fault.reason is Reason.PROVIDER_UNREACHABLE):
            self._told(lambda: self._failed(permit, fault, now))
        elif fault is not None and fault.reason in _NOT_SENT:
            self.withdraw(permit)
        elif permit.probe or permit.faults_before:
            self._told(lambda: self._ledger.count_answer(project, token=permit.probe))

    def rejected_for_all(self, permit: Permit, fault: Rejected, *, video: str) -> bool:
        """Whether a request that was rejected without a reason would be for every row: the account is at fault.

        So it is where the one before it was another video's and got the same code, and where an open breaker has let
        it through: that is not closed by a rejection.
        """
        again = self._told(lambda: self._ledger.count_rejection(permit.project, code=fault.code, video=video))
        return bool(again) or permit.probe is not None

    def _failed(self, permit: Permit, fault: Fault, now: datetime) -> None:
        failures = self._ledger.count_failure(permit.project)
        if permit.probe or failures >= self._threshold:
            probe_at = now + probe_after(failures, self._threshold, self._backoff)
            self._open(permit.project, fault.reason, str(fault), probe_at)

    def _open(self, project: str, code: str, why: str, probe_at: datetime | None) -> None:
        telemetry.breaker_opened(self._log, project, reason=code)
        self._told(lambda: self._ledger.open_breaker(project, why, probe_at=probe_at, now=self._now()))

    def _told(self, write: Callable[[], object]) -> object:
        """Write to the breaker. What is lost here is found again by the next question, at the same cost."""
        try:
            return write()
        except LedgerUnavailable as error:
            self._log.warning("the breaker could not be told", error=str(error))
            return None


def denied(account: Account, now: datetime) -> Denied | None:
    """Why a project may ask nothing now; None where it may, or where its breaker would let one question through."""
    project = account.project
    if account.paused:
        whom = "--all" if account.all_paused else project
        return Denied(Hold.PAUSED, f"paused by hand: `titlecard resume {whom}` lets it go on", None)
    if account.budget is None:
        how = f"titlecard budget set {project} --daily 5usd --monthly 50usd"
        return Denied(Hold.NO_BUDGET, f"the project has no budget: `{how}` gives it one", None)
    if account.breaker.open and not account.breaker.probes(now):
        return Denied(Hold.BREAKER_OPEN, _why(account), account.breaker.due)
    return None


def _faults_before(account: Account) -> bool:
    return bool(account.breaker.failures or account.breaker.rejected)


def _why(account: Account) -> str:
    return f"no model calls for now: {account.breaker.why}"
