"""The model path: a video that the local tier is not sure of becomes at most one paid request.

The steps, and what a crash after each one leaves behind:

::

    load        the client, which takes seconds            nothing
    point       the video points at this batch             nothing
    enter       a batch's first request is sent alone     nothing
    admit       pause, budget and breaker are read         a probe, if this is one, that ends with its lease
    claim       attempts + 1, lease, token                 an attempt that counts, a lease that expires
    reserve     the bound is charged                       the same, and a bound that stays charged
    send        one request at most                        the same
                (key and time are checked again)           the same; given back if one of them is missing
    ── one outcome, and for each the same four steps ──────────────────────────────────────────────────────────
    record      in the catalog, if the claim is ours       an end that is stored; the bound stays charged
    settle      in the ledger, if the catalog took it      the breaker does not know; the next request finds out
    report      to the breaker                             a redelivered message that finds what was recorded
    decide      the row's state                            the same

The effect of each outcome of `send` on these four steps:

=================  ==========================  ===================  ===================  ==============================
outcome            record                      settle               report               decide
=================  ==========================  ===================  ===================  ==============================
`Answer`           the talk                    as billed            an answer            the row ends parsed
`Unusable`         the local talk, flagged     as billed            an answer            the row ends parsed
`Defer`            the attempt is given back   nothing was billed   by its reason        the row waits
`Retry`            the attempt failed          as billed            a failure            redelivered; dead at the cap
`DeadLetter`       the attempt failed          nothing was billed   by its reason        the row ends dead
=================  ==========================  ===================  ===================  ==============================

`Rejected` becomes one of these: `Defer` if another row has just been rejected with the same code, because then the
account is at fault; otherwise `Retry` the first time, and `Unusable` the second.

A bill above the bound opens the breaker, whatever the outcome. If the claim is no longer ours, nothing is settled: the
bound stays charged, and the worker that took over the row decides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import Attempt, VideoRecord, stamp
from titlecard.aws.dynamodb.ledger import Refusal
from titlecard.aws.dynamodb.ledger.breakers import ACCOUNT_PROBE_SECONDS
from titlecard.aws.errors import KeyUnreadable, LedgerUnavailable
from titlecard.domain.batch import RowState
from titlecard.domain.clock import CLOCKS_APART_SECONDS
from titlecard.domain.money import Unbilled
from titlecard.domain.reasons import CANCELLED, Hold, Reason
from titlecard.llm.errors import DeadLetter, Defer, Fault, Rejected, Retry, Unusable
from titlecard.llm.request import Answer
from titlecard.pipeline.admission import Admission
from titlecard.pipeline.canary import CanaryGate
from titlecard.pipeline.errors import NotSent
from titlecard.pipeline.outcome_types import DeadLetterRow, Decision, DeferRow, EndRow, Redeliver
from titlecard.pipeline.talks import by_local_tier, by_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from titlecard.aws.dynamodb.catalog import Catalog
    from titlecard.aws.dynamodb.ledger import Ledger, Reservation
    from titlecard.domain.money import Amount, Billing
    from titlecard.domain.video import Talk, Video
    from titlecard.extraction import LocalParse
    from titlecard.llm import Request
    from titlecard.pipeline.admission import Permit
    from titlecard.pipeline.job import Job
    from titlecard.settings import ParserSettings

_OF_EVERY_ROW = {Reason.ACCOUNT_FAULT, Reason.BAD_REQUEST}
"""The reasons for a failure that the next request would probably meet too."""


class LanguageModel(Protocol):
    """The model tier: it answers what the local tier is not sure of."""

    prompt_version: str

    def load(self) -> None:
        """Prepare to ask: a failure here costs nothing."""

    def prepare(self, video: Video, answer: LocalParse, hint: str) -> Request:
        """Make the one request and its bound, without sending anything."""

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Send the request.

        Raises:
            Fault: there is no answer.
        """


class Keys(Protocol):
    """The projects' keys."""

    def of(self, project: str, *, fresh: bool = False) -> str | None:
        """Return a project's key, None if it has none; `fresh` bypasses the cache.

        Raises:
            KeyUnreadable: the key is unknown.
        """


@dataclass(frozen=True)
class _ReservedRequest:
    """A request whose bound is reserved: it may be sent once."""

    attempt: Attempt
    request: Request
    reservation: Reservation
    permit: Permit


class Asker:
    """Asks the model about one row at a time; thread-safe.

    Args:
        now: returns the current time, timezone-aware.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        ledger: Ledger,
        keys: Keys,
        model: LanguageModel,
        settings: ParserSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._keys = keys
        self._model = model
        self._settings = settings
        self._now = now
        self._canaries = CanaryGate()
        self.admission = Admission(
            ledger, threshold=settings.breaker_threshold, backoff=settings.retry_backoff_seconds, now=now
        )

    def ask(self, job: Job, remaining: Callable[[], float]) -> Decision:
        """Ask about a row if that is allowed, and return the decision about the row.

        Args:
            remaining: returns the seconds that this invocation has left.

        Raises:
            NotSent: a table did not answer before anything was sent.
            LedgerUnavailable, BotoCoreError, ClientError: a table did not answer. Whatever was written stays.
        """
        self._model.load()  # first, since it takes seconds of a new worker's time
        if not self._has_time(remaining):
            return Redeliver(0)
        if not self._catalog.move_pointer(job.message, job.fingerprint, job.batch.upload.order):
            return EndRow(RowState.SUPERSEDED, reason="a newer manifest has this video")
        with self._canaries.enter(job.message.batch, self._now):
            return self._ask(job, remaining)

    def _ask(self, job: Job, remaining: Callable[[], float]) -> Decision:
        if not self._has_time(remaining):  # the wait for the canary took too long
            return Redeliver(0)
        token = uuid4().hex
        try:
            reserved = self._claim_and_reserve(job, token, remaining)
            if not isinstance(reserved, _ReservedRequest):
                return reserved
            key = self._key(job, reserved)
            if isinstance(key, DeferRow):
                return self._not_sent(job, reserved, key)
            if not self._has_time(remaining):  # the tables or the key took too long
                return self._not_sent(job, reserved, Redeliver(0))
        except (BotoCoreError, ClientError) as error:
            raise NotSent(token, error) from error
        return self._send(job, reserved, key)

    def _has_time(self, remaining: Callable[[], float]) -> bool:
        """Return whether a request sent now can end, be saved and be settled within this invocation."""
        return remaining() >= self._settings.request_deadline_seconds + self._settings.settle_margin_seconds

    # ------------------------------------------------------------------------------------------- before the request

    def _claim_and_reserve(self, job: Job, token: str, remaining: Callable[[], float]) -> _ReservedRequest | Decision:
        """Get a permit, an attempt and the reservation; return a decision if one of the three is refused."""
        settings, message = self._settings, job.message
        if job.is_suspect:
            self._catalog.mark_started(message, now=self._now(), alone=token)
        request = self._model.prepare(message.video, job.local, job.survey.hint())
        longest = min(remaining() + CLOCKS_APART_SECONDS, settings.visibility_seconds - 1)
        until = self._now() + timedelta(seconds=longest)
        try:
            permit = self.admission.admit(message.project, token=token, until=until)
        except LedgerUnavailable as error:
            return self._hold(self._unreachable(job, error), request)
        if isinstance(permit, Refusal):
            return self._hold(permit, request)
        attempt = self._catalog.claim(
            message,
            job.fingerprint,
            token=token,
            cap=settings.attempt_cap,
            policy=job.policy,
            bound=request.bound,
            until=until,
            now=self._now(),
        )
        if isinstance(attempt, VideoRecord):
            self.admission.withdraw(permit)
            return self._not_claimed(job, attempt)
        reservation = self._reserve(job, request, permit)
        if isinstance(reservation, Refusal):
            self.admission.withdraw(permit)
            self._catalog.give_back(attempt)
            return self._hold(reservation, request)
        return _ReservedRequest(attempt, request, reservation, permit)

    def _reserve(self, job: Job, request: Request, permit: Permit) -> Reservation | Refusal:
        """Reserve the request's bound, or return why it cannot be reserved."""
        try:
            return self._ledger.reserve(
                job.batch.id,
                job.message.project,
                request.bound,
                limits=job.batch.limits,
                budget=permit.budget,
                model=self._settings.model,
                now=self._now(),
            )
        except LedgerUnavailable as error:
            return self._unreachable(job, error)

    def _not_claimed(self, job: Job, entry: VideoRecord) -> Decision:
        """Decide after a refused claim: the video is answered, another worker has it, or its attempts are used up."""
        if entry.talk and entry.answers(job.policy):
            return EndRow(RowState.PARSED, tier=entry.talk.tier)
        if entry.attempts >= self._cap(entry) and entry.lease_until <= stamp(self._now()):
            last = entry.history[-1]["event"] if entry.history else "nothing known"
            return DeadLetterRow(f"attempts_used_up: {entry.attempts} attempts, the last ended with {last}")
        return Redeliver()

    def _unreachable(self, job: Job, error: LedgerUnavailable) -> Refusal:
        """Return the refusal for an unavailable ledger, without which no request is sent."""
        due = self._now() + timedelta(seconds=self._backoff(job.state.deferrals + 1))
        return Refusal(Hold.LEDGER_UNREACHABLE, str(error), due)

    @staticmethod
    def _hold(why: Refusal, request: Request) -> Decision:
        """Defer a row that may not be asked about now; end it if its batch has been cancelled meanwhile."""
        if why.hold is Hold.CANCELLED:
            return EndRow(RowState.CANCELLED, reason=CANCELLED)
        return DeferRow(why.reason, why.due, request.bound)

    def _key(self, job: Job, reserved: _ReservedRequest) -> str | DeferRow:
        """Return the project's key, read again for an open breaker's probe; if there is none, defer the row."""
        project = job.message.project
        if not reserved.permit.probe:
            return job.key
        try:
            if key := self._keys.of(project, fresh=True):
                return key
            why = f"the key of {project} was removed"
        except KeyUnreadable as error:
            why = str(error)
        due = self._now() + timedelta(seconds=self._settings.visibility_seconds)
        return DeferRow(f"{Hold.KEY_UNREADABLE}: {why}", due, reserved.request.bound)

    def _not_sent(self, job: Job, reserved: _ReservedRequest, decision: Decision) -> Decision:
        """Undo everything, since nothing was sent, and return the decision about the row."""
        self.admission.withdraw(reserved.permit)
        if self._catalog.give_back(reserved.attempt):
            self._settle(job, reserved, Unbilled())
        return decision

    # ------------------------------------------------------------------------------------ the request and its outcome

    def _send(self, job: Job, reserved: _ReservedRequest, key: str) -> Decision:
        """Send the one request; then record, settle and report its outcome, in this order."""
        outcome = self._outcome(reserved, key)
        if isinstance(outcome, Rejected):
            outcome = self._resolve_rejection(job, reserved, outcome)
        try:
            recorded, decision = self._record(job, reserved, outcome)
            if recorded:
                self._settle(job, reserved, outcome.billing)
        finally:  # even if the catalog does not answer, an account fault must stop further requests
            self._report(job, reserved, outcome)
        return decision

    def _report(self, job: Job, reserved: _ReservedRequest, outcome: Answer | Fault) -> None:
        """Report a request's outcome to the breaker, the log and the waiting requests."""
        fault = outcome if isinstance(outcome, Fault) else None
        telemetry.attempted(
            job.message,
            attempt=reserved.attempt.number,
            bound=reserved.request.bound,
            billing=outcome.billing,
            reason=fault.reason if fault else "answered",
            model=self._settings.model,
        )
        above_bound = outcome.billing.charged(reserved.request.bound).exceeds(reserved.request.bound)
        self.admission.record_outcome(reserved.permit, fault, above_bound=above_bound)
        if fault is None or fault.reason not in _OF_EVERY_ROW:
            self._canaries.release(job.message.batch, self._now())

    def _outcome(self, reserved: _ReservedRequest, key: str) -> Answer | Fault:
        try:
            return self._model.ask(reserved.request, key=key, deadline_seconds=self._settings.request_deadline_seconds)
        except Fault as fault:
            return fault

    def _resolve_rejection(self, job: Job, reserved: _ReservedRequest, rejected: Rejected) -> Fault:
        """Return the fault that a rejection without a reason amounts to."""
        sentence = str(rejected)
        if self.admission.rejected_for_all(reserved.permit, rejected, video=job.message.video.id):
            return Defer(Reason.ACCOUNT_FAULT, sentence)
        before = any(event["event"] == Reason.BAD_REQUEST for event in job.state.entry.history)
        if before or reserved.attempt.number >= self._cap(job.state.entry):
            return Unusable(Reason.BAD_REQUEST, sentence, billing=rejected.billing)
        return Retry(Reason.BAD_REQUEST, sentence, billing=rejected.billing)

    def _record(self, job: Job, reserved: _ReservedRequest, outcome: Answer | Fault) -> tuple[bool, Decision]:
        """Record the attempt's outcome in the catalog.

        Returns:
            Whether the catalog accepted it, because the claim is still ours; and the decision about the row.
        """
        attempt, now = reserved.attempt, self._now()
        charged = outcome.billing.charged(reserved.request.bound)
        if isinstance(outcome, Answer | Unusable):
            talk = self._talk(job, outcome, charged)
            recorded = self._catalog.answer(attempt, talk, charged=charged, now=now)
            return recorded, EndRow(RowState.PARSED, tier=talk.tier) if recorded else Redeliver()
        sentence = f"{outcome.reason}: {outcome}"
        if isinstance(outcome, Defer):
            due = now + timedelta(seconds=self._wait(job, outcome))
            return self._catalog.give_back(attempt), DeferRow(sentence, due, reserved.request.bound)
        recorded = self._catalog.fail(attempt, reason=outcome.reason, charged=charged, now=now)
        if isinstance(outcome, DeadLetter) or attempt.number >= self._cap(job.state.entry):
            return recorded, DeadLetterRow(sentence)
        return recorded, Redeliver(self._backoff(attempt.number))

    def _talk(self, job: Job, outcome: Answer | Unusable, charged: Amount) -> Talk:
        """Return the model's answer as a talk, or the flagged local one if the model's is unusable."""
        video, model = job.message.video, self._settings.model
        if isinstance(outcome, Answer):
            return by_model(video, job.local, outcome, model, charged=charged)
        return by_local_tier(video, job.local, flaw=outcome.reason, charged=charged, model=model)

    def _settle(self, job: Job, reserved: _ReservedRequest, billing: Billing) -> None:
        """Replace the reservation with the bill. If that fails, the bound stays charged: there is no second try."""
        try:
            self._ledger.settle(reserved.reservation, billing)
        except LedgerUnavailable:
            telemetry.not_settled(job.message)

    # ---------------------------------------------------------------------------------------------------- the numbers

    def _cap(self, entry: VideoRecord) -> int:
        """Return the most attempts on a video: the stack's cap, or what a person has allowed beyond it."""
        return max(self._settings.attempt_cap, entry.allowed)

    def _wait(self, job: Job, fault: Defer) -> float:
        """Return the seconds until the next try of a video whose request was not billed."""
        if fault.opens_breaker:
            return ACCOUNT_PROBE_SECONDS
        return self._backoff(job.state.deferrals + 1) if fault.retry_after is None else fault.retry_after

    def _backoff(self, tries: int) -> int:
        """Return the wait after this many tries, in seconds: doubled each time, with jitter, below the visibility."""
        longest = min(self._settings.retry_backoff_seconds * 2 ** max(tries - 1, 0), self._settings.visibility_seconds)
        return max(1, round(random.uniform(longest / 2, longest)))  # noqa: S311 -- jitter, no secret
