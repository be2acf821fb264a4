"""Admission before every request to the model: reads pause, budget and breaker, and reports outcomes to the breaker.

::

    admit ──┬─ paused, no budget, breaker open ──► Refusal: nothing is claimed, reserved or sent
            └─► Permit ──► claim ──► reserve ──┬─ not sent after all ──► withdraw: a probe makes way for another
                                               └─► send ──► record_outcome: the breaker counts, opens or closes
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from titlecard import telemetry
from titlecard.aws.dynamodb.ledger import Refusal
from titlecard.aws.dynamodb.ledger.breakers import ACCOUNT_PROBE_SECONDS, probe_after
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.reasons import Hold, Reason
from titlecard.llm.errors import Retry
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from titlecard.aws.dynamodb.ledger import Account, Ledger
    from titlecard.domain.money import Budget
    from titlecard.llm.errors import Fault, Rejected

_ABOVE_BOUND = "usage_above_bound"
"""The code of the reason for which a breaker opens until a person closes it."""

_NOT_SENT = {Reason.NOT_SENT_IN_TIME, Reason.REFUSED_AT_THE_WIRE}


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to send one request under this budget; `probe` is its token if it is an open breaker's probe."""

    project: str
    budget: Budget
    faults_before: bool
    probe: str | None


class Admission:
    """Decides whether a worker may send its requests.

    Args:
        threshold: the number of transient faults in a row that opens a breaker.
        backoff: seconds until the first probe after them.
        now: returns the current time, timezone-aware.
    """

    def __init__(self, ledger: Ledger, *, threshold: int, backoff: int, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._threshold = threshold
        self._backoff = backoff
        self._now = now

    def admit(self, project: str, *, token: str, until: datetime) -> Permit | Refusal:
        """Return a permit for one request, or the reason why none is given.

        Args:
            token: a random token, which identifies the request if it becomes a probe.
            until: the latest end of this worker.

        Raises:
            LedgerUnavailable: the account is unknown, so there is no permit.
        """
        now = self._now()
        account = self._ledger.account(project, now=now)
        budget = usable_budget(account, now)
        if isinstance(budget, Refusal):
            return budget
        if not account.breaker.open:
            return Permit(project, budget, _faults_before(account), None)
        if self._ledger.take_probe(project, token=token, until=until, now=now):
            return Permit(project, budget, _faults_before(account), token)
        return Refusal(Hold.BREAKER_OPEN, _why(account), until)

    def withdraw(self, permit: Permit) -> None:
        """Give back a permit for a request that was not sent."""
        if permit.probe:
            self._write(lambda: self._ledger.release_probe(permit.project, token=str(permit.probe)))

    def record_outcome(self, permit: Permit, fault: Fault | None, *, above_bound: bool) -> None:
        """Report a request's outcome to the breaker.

        Args:
            fault: the fault, or None if there was an answer.
            above_bound: whether it cost more than its bound: then the bound is wrong, and a person has to act.
        """
        now, project = self._now(), permit.project
        if above_bound:
            telemetry.usage_above_bound(project)
            why = "a usage above its bound: prices or caps are wrong"
            self._open(project, _ABOVE_BOUND, why, None)
        elif fault is not None and fault.reason is Reason.ACCOUNT_FAULT:
            self._open(project, fault.reason, str(fault), now + timedelta(seconds=ACCOUNT_PROBE_SECONDS))
        elif isinstance(fault, Retry) and fault.reason is Reason.BAD_REQUEST:
            return  # `rejected_for_all` has recorded it
        elif isinstance(fault, Retry) or (fault is not None and fault.reason is Reason.PROVIDER_UNREACHABLE):
            self._write(lambda: self._failed(permit, fault, now))
        elif fault is not None and fault.reason in _NOT_SENT:
            self.withdraw(permit)
        elif permit.probe or permit.faults_before:
            self._write(lambda: self._ledger.count_answer(project, token=permit.probe))

    def rejected_for_all(self, permit: Permit, fault: Rejected, *, video: str) -> bool:
        """Return whether a rejection without a reason counts as a fault of the account, which affects every row.

        It does if the previous rejection was another video's with the same code, or if this request was the probe of an
        open breaker, which a rejection does not close.
        """
        again = self._write(lambda: self._ledger.count_rejection(permit.project, code=fault.code, video=video))
        return bool(again) or permit.probe is not None

    def _failed(self, permit: Permit, fault: Fault, now: datetime) -> None:
        failures = self._ledger.count_failure(permit.project)
        if permit.probe or failures >= self._threshold:
            probe_at = now + probe_after(failures, self._threshold, self._backoff)
            self._open(permit.project, fault.reason, str(fault), probe_at)

    def _open(self, project: str, code: str, why: str, probe_at: datetime | None) -> None:
        telemetry.breaker_opened(project, reason=code)
        self._write(lambda: self._ledger.open_breaker(project, why, probe_at=probe_at, now=self._now()))

    def _write(self, write: Callable[[], object]) -> object:
        """Write to the breaker. If the write is lost, the next request finds the same fault at the same cost."""
        try:
            return write()
        except LedgerUnavailable as error:
            logger.warning("the breaker could not be updated", error=str(error))
            return None


def usable_budget(account: Account, now: datetime) -> Budget | Refusal:
    """Return the budget of a project that may ask now, or whose breaker would let a probe through; else the refusal."""
    project = account.project
    if account.paused:
        whom = "--all" if account.all_paused else project
        return Refusal(Hold.PAUSED, f"paused by hand: `titlecard resume {whom}` lets it continue", None)
    if account.budget is None:
        how = f"titlecard budget set {project} --daily 5usd --monthly 50usd"
        return Refusal(Hold.NO_BUDGET, f"the project has no budget: `{how}` gives it one", None)
    if account.breaker.open and not account.breaker.probes(now):
        return Refusal(Hold.BREAKER_OPEN, _why(account), account.breaker.due)
    return account.budget


def _faults_before(account: Account) -> bool:
    return bool(account.breaker.failures or account.breaker.rejected)


def _why(account: Account) -> str:
    return f"no requests for now: {account.breaker.why}"
