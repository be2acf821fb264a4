"""The model path: a video that the local tier is not sure of becomes at most one paid request.

The steps, and what a crash after each one leaves behind:

::

    load        the client, which takes seconds            nothing
    point       the video points at this batch             nothing
    turn        a batch's first question goes alone        nothing
    admit       pause, budget and breaker are read         a probe, if this is one, that ends with its lease
    claim       attempts + 1, lease, token                 an attempt that counts, a lease that expires
    reserve     the bound is charged                       the same, and a bound that stays charged
    send        one request at most                        the same
                (key and time are checked again)           the same; given back if there is too little time
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

`Rejected` becomes one of these: `Defer` if another row was just rejected by the same code, since then the account is at
fault; otherwise `Retry` the first time, and `Unusable` the second.

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
from titlecard.aws.dynamodb.catalog import Attempt, VideoRecord
from titlecard.aws.dynamodb.ledger import Refusal
from titlecard.aws.dynamodb.ledger.breakers import ACCOUNT_PROBE_SECONDS
from titlecard.aws.errors import KeyUnreadable, LedgerUnavailable
from titlecard.domain.batch import RowState
from titlecard.domain.clock import CLOCKS_APART_SECONDS
from titlecard.domain.money import Unbilled
from titlecard.domain.reasons import CANCELLED, Hold, Reason
from titlecard.llm.errors import DeadLetter, Defer, Fault, Rejected, Retry, Unusable
from titlecard.llm.question import Answer
from titlecard.pipeline.admission import Admission, Denied
from titlecard.pipeline.errors import NotSent
from titlecard.pipeline.outcomes import Bury, ComeBack, Decision, End, Wait
from titlecard.pipeline.talks import by_local_tier, by_model
from titlecard.pipeline.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools import Logger

    from titlecard.aws.dynamodb.catalog import Batch, Catalog
    from titlecard.aws.dynamodb.ledger import Ledger, Reservation
    from titlecard.domain.batch import Message
    from titlecard.domain.money import Amount, Billing
    from titlecard.domain.video import Policy, Talk, Video
    from titlecard.extraction import LocalParse
    from titlecard.llm import Question
    from titlecard.pipeline.admission import Permit

_OF_EVERY_ROW = {Reason.ACCOUNT_FAULT, Reason.BAD_REQUEST}
"""The reasons for a failure that would meet the next question too."""


class ModelTier(Protocol):
    """Answers what the local tier is not sure of."""

    prompt_version: str

    def load(self) -> None:
        """Prepare to ask: a failure here costs nothing."""

    def prepare(self, video: Video, answer: LocalParse, hint: str) -> Question:
        """Make the one request and its bound, without sending anything."""

    def ask(self, question: Question, *, key: str, deadline_seconds: float) -> Answer:
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


@dataclass(frozen=True, kw_only=True)
class AskConfig:
    """The settings of the model path; in seconds, unless a name says otherwise."""

    model: str
    attempt_cap: int
    visibility: int
    deadline: int
    settle_margin: int
    retry_backoff: int
    breaker_threshold: int
    """A number of transient faults in a row."""


@dataclass(frozen=True)
class UnsureRow:
    """A row that needs the model.

    `deferrals` counts its deferrals; `entry` has its earlier attempts. `alone` is set if an earlier attempt may have
    killed its worker: then it is worked on alone, and its row is marked before the claim.
    """

    message: Message
    batch: Batch
    fingerprint: str
    policy: Policy
    key: str
    guess: LocalParse
    hint: str
    entry: VideoRecord
    deferrals: int
    alone: bool = False


@dataclass(frozen=True)
class _ReservedQuestion:
    """A question whose bound is reserved: it may be sent once."""

    attempt: Attempt
    question: Question
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
        model: ModelTier,
        config: AskConfig,
        now: Callable[[], datetime],
        log: Logger,
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._keys = keys
        self._model = model
        self._config = config
        self._now = now
        self._log = log
        self._turns = Turns()
        self.admission = Admission(
            ledger, threshold=config.breaker_threshold, backoff=config.retry_backoff, now=now, log=log
        )

    def ask(self, row: UnsureRow, remaining: Callable[[], float]) -> Decision:
        """Ask about a row if that is allowed, and return the decision about the row.

        Args:
            row: the row.
            remaining: returns the seconds that this invocation has left.

        Raises:
            NotSent: a table did not answer before anything was sent.
            LedgerUnavailable, BotoCoreError, ClientError: a table did not answer. Whatever was written stays.
        """
        self._model.load()  # first, since it takes seconds of a new worker's time
        if not self._can_end(remaining):
            return ComeBack(0)
        if not self._catalog.point(row.message, row.fingerprint, row.batch.upload.order):
            return End(RowState.SUPERSEDED, reason="a newer manifest has this video")
        with self._turns.turn(row.message.batch, self._now):
            return self._ask(row, remaining)

    def _ask(self, row: UnsureRow, remaining: Callable[[], float]) -> Decision:
        if not self._can_end(remaining):  # the wait for the turn took too long
            return ComeBack(0)
        token = uuid4().hex
        try:
            paid = self._reserved(row, token, remaining)
            if not isinstance(paid, _ReservedQuestion):
                return paid
            key = self._key(row, paid)
            if not self._can_end(remaining):  # the tables or the key took too long
                return self._not_sent(row, paid)
        except (BotoCoreError, ClientError) as trouble:
            raise NotSent(token) from trouble
        return self._send(row, paid, key)

    def _can_end(self, remaining: Callable[[], float]) -> bool:
        """Return whether a request sent now can end, be saved and be settled within this invocation."""
        return remaining() >= self._config.deadline + self._config.settle_margin

    # ------------------------------------------------------------------------------------------- before the request

    def _reserved(self, row: UnsureRow, token: str, remaining: Callable[[], float]) -> _ReservedQuestion | Decision:
        """Get a permit, an attempt and the reservation; return a decision if one of the three is refused."""
        config, message = self._config, row.message
        if row.alone:
            self._catalog.begin(message, now=self._now(), alone=token)
        question = self._model.prepare(message.video, row.guess, row.hint)
        until = self._now() + timedelta(seconds=min(remaining() + CLOCKS_APART_SECONDS, config.visibility - 1))
        try:
            permit = self.admission.admit(message.project, token=token, until=until)
        except LedgerUnavailable as trouble:
            return self._hold(self._unreachable(row, trouble), question)
        if isinstance(permit, Denied):
            return self._hold(permit, question)
        attempt = self._catalog.claim(
            message,
            row.fingerprint,
            token=token,
            cap=config.attempt_cap,
            policy=row.policy,
            bound=question.bound,
            until=until,
            now=self._now(),
        )
        if isinstance(attempt, VideoRecord):
            self.admission.withdraw(permit)
            return self._not_claimed(row, attempt)
        reservation = self._reserve(row, question, permit)
        if isinstance(reservation, Denied | Refusal):
            self.admission.withdraw(permit)
            self._catalog.give_back(attempt)
            return self._hold(reservation, question)
        return _ReservedQuestion(attempt, question, reservation, permit)

    def _reserve(self, row: UnsureRow, question: Question, permit: Permit) -> Reservation | Refusal | Denied:
        """Reserve the question's bound, or return why it cannot be reserved."""
        try:
            return self._ledger.reserve(
                row.batch.id,
                row.message.project,
                question.bound,
                limits=row.batch.limits,
                budget=permit.budget,
                model=self._config.model,
                now=self._now(),
            )
        except LedgerUnavailable as trouble:
            return self._unreachable(row, trouble)

    def _not_claimed(self, row: UnsureRow, entry: VideoRecord) -> Decision:
        """Decide after a refused claim: the video is answered, another worker has it, or its attempts are used up."""
        if entry.talk and entry.answers(row.policy):
            return End(RowState.PARSED, tier=entry.talk.tier)
        if entry.attempts >= self._cap(entry) and not self._leased(entry):
            return Bury(f"attempts_used_up: {entry.attempts} attempts, the last ended with {_last(entry)}")
        return ComeBack()

    def _unreachable(self, row: UnsureRow, trouble: LedgerUnavailable) -> Denied:
        """Return the wait for an unavailable ledger, without which no question is asked."""
        due = self._now() + timedelta(seconds=self._backoff(row.deferrals + 1))
        return Denied(Hold.LEDGER_UNREACHABLE, str(trouble), due)

    @staticmethod
    def _hold(why: Denied | Refusal, question: Question) -> Decision:
        """Defer a row that may not be asked about now; end it if its batch was cancelled in the meantime."""
        if why.hold is Hold.CANCELLED:
            return End(RowState.CANCELLED, reason=CANCELLED)
        return Wait(f"{why.hold}: {why.sentence}", why.due, question.bound)

    def _key(self, row: UnsureRow, paid: _ReservedQuestion) -> str:
        """Return the project's key; read it afresh for an open breaker's probe."""
        if not paid.permit.probe:
            return row.key
        try:
            return self._keys.of(row.message.project, fresh=True) or ""
        except KeyUnreadable:
            return ""

    def _not_sent(self, row: UnsureRow, paid: _ReservedQuestion) -> Decision:
        """Undo everything: nothing was sent, and the next invocation has more time."""
        self.admission.withdraw(paid.permit)
        if self._catalog.give_back(paid.attempt):
            self._settle(row, paid, Unbilled())
        return ComeBack(0)

    # ------------------------------------------------------------------------------------ the request and its outcome

    def _send(self, row: UnsureRow, paid: _ReservedQuestion, key: str) -> Decision:
        """Send the one request; then record, settle and report its outcome, in this order."""
        outcome = self._outcome(paid, key)
        if isinstance(outcome, Rejected):
            outcome = self._judged(row, paid, outcome)
        try:
            recorded, decision = self._record(row, paid, outcome)
            if recorded:
                self._settle(row, paid, outcome.billing)
        finally:  # even if the catalog does not answer, an account fault must stop further questions
            self._report(row, paid, outcome)
        return decision

    def _report(self, row: UnsureRow, paid: _ReservedQuestion, outcome: Answer | Fault) -> None:
        """Report a question's outcome to the breaker, the log and the waiting questions."""
        fault = outcome if isinstance(outcome, Fault) else None
        telemetry.attempted(
            self._log,
            row.message,
            attempt=paid.attempt.number,
            bound=paid.question.bound,
            billing=outcome.billing,
            reason=fault.reason if fault else "answered",
            model=self._config.model,
        )
        above_bound = outcome.billing.exceeds(paid.question.bound)
        self.admission.record_outcome(paid.permit, fault, above_bound=above_bound)
        if fault is None or fault.reason not in _OF_EVERY_ROW:
            self._turns.end(row.message.batch, self._now())

    def _outcome(self, paid: _ReservedQuestion, key: str) -> Answer | Fault:
        try:
            return self._model.ask(paid.question, key=key, deadline_seconds=self._config.deadline)
        except Fault as fault:
            return fault

    def _judged(self, row: UnsureRow, paid: _ReservedQuestion, rejected: Rejected) -> Fault:
        """Return the fault that a rejection without a reason amounts to."""
        sentence = str(rejected)
        if self.admission.rejected_for_all(paid.permit, rejected, video=row.message.video.id):
            return Defer(Reason.ACCOUNT_FAULT, sentence)
        before = any(event["event"] == Reason.BAD_REQUEST for event in row.entry.history)
        if before or paid.attempt.number >= self._cap(row.entry):
            return Unusable(Reason.BAD_REQUEST, sentence, billing=rejected.billing)
        return Retry(Reason.BAD_REQUEST, sentence, billing=rejected.billing)

    def _record(self, row: UnsureRow, paid: _ReservedQuestion, outcome: Answer | Fault) -> tuple[bool, Decision]:
        """Record the attempt's outcome in the catalog.

        Returns:
            Whether the catalog accepted it, because the claim is still ours; and the decision about the row.
        """
        attempt, now = paid.attempt, self._now()
        charged = outcome.billing.charged(paid.question.bound)
        if isinstance(outcome, Answer | Unusable):
            talk = self._talk(row, outcome, charged)
            recorded = self._catalog.answer(attempt, talk, charged=charged, now=now)
            return recorded, End(RowState.PARSED, tier=talk.tier) if recorded else ComeBack()
        sentence = f"{outcome.reason}: {outcome}"
        if isinstance(outcome, Defer):
            due = now + timedelta(seconds=self._wait(row, outcome))
            return self._catalog.give_back(attempt), Wait(sentence, due, paid.question.bound)
        recorded = self._catalog.fail(attempt, reason=outcome.reason, charged=charged, now=now)
        if isinstance(outcome, DeadLetter) or attempt.number >= self._cap(row.entry):
            return recorded, Bury(sentence)
        return recorded, ComeBack(self._backoff(attempt.number))

    def _talk(self, row: UnsureRow, outcome: Answer | Unusable, charged: Amount) -> Talk:
        """Return the model's answer as a talk, or the flagged local one if the model's is unusable."""
        video, model = row.message.video, self._config.model
        if isinstance(outcome, Answer):
            return by_model(video, row.guess, outcome, model, charged=charged)
        return by_local_tier(video, row.guess, flaw=outcome.reason, charged=charged, model=model)

    def _settle(self, row: UnsureRow, paid: _ReservedQuestion, billing: Billing) -> None:
        """Replace the reservation with the bill. If that fails, the bound stays charged: there is no second try."""
        try:
            self._ledger.settle(paid.reservation, billing)
        except LedgerUnavailable:
            telemetry.not_settled(self._log, row.message)

    # ---------------------------------------------------------------------------------------------------- the numbers

    def _cap(self, entry: VideoRecord) -> int:
        """Return the most attempts on a video: the stack's cap, or what a person has allowed beyond it."""
        return max(self._config.attempt_cap, entry.allowed)

    def _leased(self, entry: VideoRecord) -> bool:
        return bool(entry.lease_until) and datetime.fromisoformat(entry.lease_until) > self._now()

    def _wait(self, row: UnsureRow, fault: Defer) -> float:
        """Return the seconds until the next try of a video whose request was not billed."""
        if fault.opens_breaker:
            return ACCOUNT_PROBE_SECONDS
        return self._backoff(row.deferrals + 1) if fault.retry_after is None else fault.retry_after

    def _backoff(self, tries: int) -> int:
        """Return the wait in seconds after so many tries: doubled each time, with jitter, below the visibility."""
        longest = min(self._config.retry_backoff * 2 ** max(tries - 1, 0), self._config.visibility)
        return max(1, round(random.uniform(longest / 2, longest)))  # noqa: S311 -- jitter, no secret


def _last(entry: VideoRecord) -> str:
    return str(entry.history[-1]["event"]) if entry.history else "nothing known"
