"""The parser: a handful of messages become talks, each on its own.

What is done for a message, and what a crash at each point leaves behind:

::

    look up ─┬─ the row has ended ────────────────────────────────► acknowledged
             ├─ a person has cancelled the batch ─────────────────► cancelled
             ├─ it is deferred, and its date has not come ────────► acknowledged: a stray copy of what comes again
             ├─ a newer manifest has the video ───────────────────► superseded
             ├─ a talk is stored for this fingerprint ────────────► parsed, nothing paid
             ├─ the last receive that the queue allows ───────────► dead: no work, only the record of it
             └─ local tier ─┬─ sure, or there is no model ────────► parsed
                            └─ point, gate ─► claim ─► reserve ─► send ─► save ─► settle ─► parsed
                                        │       │         │         │       └ crash: charged too much, and stored
                                        │       │         │         └ crash: the bound stays charged, the attempt counts
                                        │       │         └ crash: the same, though nothing was sent
                                        │       └ crash: the attempt counts; its lease ends before it comes again
                                        └ paused, no budget, breaker open: deferred, at the cost of nothing

What comes for the first time and is sure locally is not even looked up: its end is written on the condition that the
catalog knows nothing of it, and only where that is refused does it go the way that is drawn.

A message that has come back may be the one that killed the worker. It leaves a mark before it is worked, and those that
bear a mark are worked last, one by one, when all their neighbours are saved.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from titlecard import extraction as local
from titlecard.aws.dynamodb.catalog import Attempt, RowEnd, VideoRecord, stamp
from titlecard.aws.dynamodb.ledger import LedgerUnavailable, Refusal
from titlecard.aws.dynamodb.ledger.breakers import ACCOUNT_PROBE_SECONDS
from titlecard.aws.secrets import KeyUnreadable
from titlecard.domain import errors as faults
from titlecard.domain.batch import END_STATES, Message, RowState
from titlecard.domain.errors import Hold
from titlecard.domain.money import Charge
from titlecard.domain.video import Policy, Tier, fingerprint
from titlecard.pipeline.admission import Admission, Denied
from titlecard.pipeline.talks import by_local_tier, by_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_lambda_powertools import Logger

    from titlecard.aws.dynamodb.catalog import Batch, Catalog, MessageState
    from titlecard.aws.dynamodb.ledger import Ledger, Reservation
    from titlecard.aws.sqs import DeadLetterSender, WorkQueue
    from titlecard.domain.video import Talk, Video
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import Survey
    from titlecard.llm import Answer, Question
    from titlecard.pipeline.admission import Permit

LEASE_SPARE_SECONDS = 30
"""What a lease lasts longer than the invocation that took it: clocks differ by seconds."""

STRAY_SECONDS = 60
"""How far ahead the date of a deferred row lies whose message is a stray one: resume's clock may be before ours."""

CLOCK_WRONG_SECONDS = 300
"""A clock that is further off than this is wrong; AWS refuses calls that are signed with one (IAM user guide)."""

BATCH_KNOWN_SECONDS = 30
"""For how long a batch's limits and survey are taken from memory."""


class ModelTier(Protocol):
    """Who is asked where the local tier is not sure."""

    prompt_version: str

    def load(self) -> None:
        """Get ready to ask: what fails here has cost nothing."""

    def prepare(self, video: Video, answer: LocalParse, hint: str) -> Question:
        """Make the one request, and its bound, without sending anything."""

    def ask(self, question: Question, *, key: str, deadline_seconds: float) -> Answer:
        """Send it."""


class Keys(Protocol):
    """Who knows the projects' keys."""

    def of(self, project: str, *, fresh: bool = False) -> str | None:
        """A project's key, None where it has none; `fresh`: not from memory.

        Raises:
            KeyUnreadable: nobody knows.
        """


@dataclass(frozen=True)
class ParserConfig:
    """The numbers that the parser works by; seconds, except where a name says otherwise."""

    policy: Policy
    model: str
    max_receives: int
    attempt_cap: int
    visibility: int
    deadline: int
    settle_margin: int
    retry_backoff: int
    breaker_threshold: int
    """In transient faults in a row."""


@dataclass(frozen=True)
class Received:
    """One SQS message as it was received; `first` is when that was for the first time, by the queue's own clock."""

    id: str
    receipt: str
    receives: int
    body: str
    first: datetime | None = None


@dataclass(frozen=True)
class ComeBack:
    """Not done: the message is shown again after so many seconds (None: when the queue's own time is over)."""

    seconds: int | None = None


@dataclass
class _Job:
    """A decoded message on its way."""

    received: Received
    message: Message
    batch: Batch
    survey: Survey
    policy: Policy
    key: str | None
    fingerprint: str
    standing: MessageState = field(init=False)

    @cached_property
    def answer(self) -> LocalParse:
        """What the local tier says."""
        return local.parse(self.message.video, self.survey)

    @property
    def sure(self) -> bool:
        """Whether the local tier's answer is the last word."""
        return self.policy is Policy.LOCAL or (self.policy is Policy.AUTO and self.answer.sure)

    @property
    def suspect(self) -> bool:
        """Whether a worker may have died of this message: it came back, and nobody said how the last try ended."""
        standing = self.standing
        tried = bool(standing.entry.lease_until) or standing.began > standing.entry.concluded_at
        return self.received.receives > 1 and tried

    def parsed_locally(self) -> RowEnd:
        """This message's end by the local tier's answer."""
        return self.ending(RowState.PARSED, by_local_tier(self.message.video, self.answer))

    def ending(
        self, state: RowState, talk: Talk | None = None, *, tier: Tier | None = None, reason: str | None = None
    ) -> RowEnd:
        """This message's end; with a talk where one is to be stored."""
        tier = talk.tier if talk else tier
        return RowEnd(self.message, self.batch.upload.order, self.fingerprint, state, tier, talk, reason)


@dataclass(frozen=True)
class Done:
    """The message may go: its row is in this state."""

    state: RowState
    tier: Tier | None = None

    @property
    def counter(self) -> str:
        """The name under which it is counted."""
        return f"{self.state}_{self.tier}" if self.tier else self.state


_Outcome = Done | ComeBack


@dataclass(frozen=True)
class _ReservedQuestion:
    """A question whose bound is put aside: it may be sent, once."""

    attempt: Attempt
    question: Question
    reservation: Reservation
    leave: Permit


class Parser:
    """Works on the messages of one invocation.

    Args:
        now: the time, timezone-aware.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        ledger: Ledger,
        queue: WorkQueue,
        letters: DeadLetterSender,
        keys: Keys,
        model: ModelTier,
        rules: ParserConfig,
        now: Callable[[], datetime],
        log: Logger,
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._queue = queue
        self._letters = letters
        self._keys = keys
        self._model = model
        self._rules = rules
        self._now = now
        self._log = log
        self.gate = Admission(ledger, threshold=rules.breaker_threshold, backoff=rules.retry_backoff, now=now, log=log)
        self._known: dict[str, tuple[datetime, Batch, Survey]] = {}
        self._expects_new = True

    def work(self, received: Sequence[Received], remaining: Callable[[], float]) -> dict[str, _Outcome]:
        """Work on messages; say for each id what became of it.

        Args:
            remaining: the seconds that this invocation has left.
        """
        outcomes: dict[str, _Outcome] = {}
        jobs = []
        for one in received:
            if self._clock_is_behind(one):
                self._log.error("this worker's clock is behind: it does nothing", now=stamp(self._now()))
                outcomes[one.id] = ComeBack()
                continue
            job = self._decode(one, outcomes)
            if job:
                jobs.append(job)
        if self._expects_new:
            jobs = self._at_once(jobs, outcomes)
        self._look_up(jobs)
        todo = self._settled_before(jobs, outcomes)
        unsure = self._locally([job for job in todo if job.received.receives == 1], outcomes)
        returned = [job for job in todo if job.received.receives > 1]
        # Of several suspects those last that were tried most often: only their own attempts are lost with them.
        for job in sorted(returned, key=lambda job: (job.suspect, job.standing.entry.attempts)):
            self._catalog.begin(job.message, now=self._now())
            unsure += self._locally([job], outcomes)
        self._by_model(unsure, outcomes, remaining)
        return outcomes

    # ------------------------------------------------------------------------------------- what needs no parsing

    def _decode(self, received: Received, outcomes: dict[str, _Outcome]) -> _Job | None:
        try:
            message = Message.model_validate_json(received.body)
        except ValidationError:
            self._letters.send(received.body, "undecodable: the message is not a row of a manifest")
            outcomes[received.id] = Done(RowState.DEAD)
            return None
        try:
            batch, survey = self._batch(message.batch)
        except KeyError:
            self._letters.send(received.body, f"unknown_batch: the catalog has no batch {message.batch[:80]!r}")
            outcomes[received.id] = Done(RowState.DEAD)
            return None
        try:
            key = None if self._rules.policy is Policy.LOCAL else self._keys.of(message.project)
        except KeyUnreadable as trouble:  # of one project, and no reason to hold up the others' messages
            due = self._now() + timedelta(seconds=self._rules.visibility)
            why = f"{Hold.KEY_UNREADABLE}: {trouble}"
            outcomes[received.id] = self._deferred(message, "", reason=why, due=due)
            return None
        policy = self._rules.policy if key else Policy.LOCAL
        mark = fingerprint(
            message.video, model=self._rules.model if key else None, prompt_version=self._model.prompt_version
        )
        return _Job(received, message, batch, survey, policy, key, mark)

    def _batch(self, name: str) -> tuple[Batch, Survey]:
        known = self._known.get(name)
        if known is None or self._now() - known[0] > timedelta(seconds=BATCH_KNOWN_SECONDS):
            self._known = dict(list(self._known.items())[-8:])  # a worker that lives long does not grow
            known = self._known[name] = (self._now(), self._catalog.batch(name), self._catalog.survey(name))
        return known[1], known[2]

    def _at_once(self, jobs: Sequence[_Job], outcomes: dict[str, _Outcome]) -> list[_Job]:
        """End what is new and sure locally without a look; give the rest."""
        new = [job for job in jobs if job.received.receives == 1 and not job.batch.cancelled and job.sure]
        endings = [job.parsed_locally() for job in new]
        if not self._catalog.end_new(endings, now=self._now()):
            return list(jobs)
        outcomes |= {job.received.id: Done(RowState.PARSED, Tier.LOCAL) for job in new}
        return [job for job in jobs if job.received.id not in outcomes]

    def _look_up(self, jobs: Sequence[_Job]) -> None:
        standings = self._catalog.look_up([(job.message, job.fingerprint) for job in jobs])
        for job, standing in zip(jobs, standings, strict=True):
            job.standing = standing
        first = [job.standing for job in jobs if job.received.receives == 1]
        if first:  # a manifest that comes again is best looked up, a new one is not
            self._expects_new = not any(it.row or it.newest or it.entry.talk for it in first)

    def _settled_before(self, jobs: Sequence[_Job], outcomes: dict[str, _Outcome]) -> list[_Job]:
        """End what needs no parsing; give the rest."""
        todo, endings = [], []
        stray = self._now() + timedelta(seconds=STRAY_SECONDS)
        for job in jobs:
            standing = job.standing
            if standing.row in END_STATES:
                if standing.row is RowState.DEAD and job.received.receives > 1:
                    self._letters.send(job.received.body, "dead: recorded before, but the message was not put away")
                outcomes[job.received.id] = Done(standing.row)
            elif job.batch.cancelled:
                endings.append((job, job.ending(RowState.CANCELLED, reason=faults.CANCELLED)))
            elif standing.row is RowState.DEFERRED and standing.due > stamp(stray):
                outcomes[job.received.id] = Done(RowState.DEFERRED)
            elif standing.newest > job.batch.upload.order:
                endings.append((job, job.ending(RowState.SUPERSEDED, reason="a newer manifest has this video")))
            elif standing.entry.talk and standing.entry.answers(job.policy):
                endings.append((job, job.ending(RowState.PARSED, tier=standing.entry.talk.tier)))
            elif job.received.receives >= self._rules.max_receives:
                outcomes[job.received.id] = self._bury(
                    job,
                    f"receives_used_up: received {job.received.receives} times, never finished: a crash or a time-out",
                )
            else:
                todo.append(job)
        self._end(endings, outcomes)
        return todo

    # ---------------------------------------------------------------------------------------------- the two tiers

    def _locally(self, jobs: Sequence[_Job], outcomes: dict[str, _Outcome]) -> list[_Job]:
        """Parse by the local tier and end what it is sure of; give what is for the model."""
        endings, unsure = [], []
        for job in jobs:
            if job.sure:
                endings.append((job, job.parsed_locally()))
            else:
                unsure.append(job)
        self._end(endings, outcomes)
        return unsure

    def _by_model(self, jobs: Sequence[_Job], outcomes: dict[str, _Outcome], remaining: Callable[[], float]) -> None:
        """Ask the model: side by side, but those that a worker may have died of one by one, after the others."""
        if not jobs:
            return
        calm = [job for job in jobs if not job.suspect]
        with ThreadPoolExecutor(max(len(calm), 1), thread_name_prefix="model") as pool:
            for job, outcome in zip(calm, pool.map(lambda job: self._asked(job, remaining), calm), strict=True):
                outcomes[job.received.id] = outcome
        for job in jobs:
            if job.suspect:
                outcomes[job.received.id] = self._asked(job, remaining)

    def _asked(self, job: _Job, remaining: Callable[[], float]) -> _Outcome:
        try:
            return self._ask(job, remaining)
        except (LedgerUnavailable, BotoCoreError, ClientError) as error:
            # Our own side is in trouble. Whatever was written stays; what was not written errs on the side of charged.
            self._log.warning(
                "a table or a queue did not answer", error=type(error).__name__, batch=job.batch.id, row=job.message.row
            )
            return ComeBack()

    def _ask(self, job: _Job, remaining: Callable[[], float]) -> _Outcome:
        rules, message, mark = self._rules, job.message, job.fingerprint
        self._model.load()  # first: it takes seconds of a fresh worker's time
        if remaining() < rules.deadline + rules.settle_margin:
            return ComeBack(0)
        if self._clock_is_ahead(job.received):
            self._log.error("this worker's clock is ahead: nothing is asked", now=stamp(self._now()))
            return ComeBack()
        if not self._catalog.point(message, mark, job.batch.upload.order):
            return self._finish(job.ending(RowState.SUPERSEDED, reason="a newer manifest has this video"))
        return self._at_the_gate(job, remaining)

    def _at_the_gate(self, job: _Job, remaining: Callable[[], float]) -> _Outcome:
        """Ask where there is leave, an attempt and money; each of the three that is missing says what follows."""
        rules, message = self._rules, job.message
        question = self._model.prepare(message.video, job.answer, job.survey.hint())
        token = uuid4().hex
        until = self._now() + timedelta(seconds=min(remaining() + LEASE_SPARE_SECONDS, rules.visibility - 1))
        try:
            leave = self.gate.enter(message.project, token=token, until=until)
        except LedgerUnavailable as trouble:
            return self._hold(job, self._unreachable(job, trouble), question)
        if isinstance(leave, Denied):
            return self._hold(job, leave, question)
        attempt = self._catalog.claim(
            message,
            job.fingerprint,
            token=token,
            cap=rules.attempt_cap,
            policy=job.policy,
            bound=question.bound,
            until=until,
            now=self._now(),
        )
        if isinstance(attempt, VideoRecord):
            self.gate.leave(leave)
            return self._not_claimed(job, attempt)
        reservation = self._reserve(job, question, leave)
        if isinstance(reservation, Denied | Refusal):
            self.gate.leave(leave)
            self._catalog.give_back(attempt)
            return self._hold(job, reservation, question)
        return self._send(job, _ReservedQuestion(attempt, question, reservation, leave))

    def _reserve(self, job: _Job, question: Question, leave: Permit) -> Reservation | Refusal | Denied:
        """Put the question's bound aside, or learn why it cannot be."""
        try:
            return self._ledger.reserve(
                job.batch.id,
                job.message.project,
                question.bound,
                limits=job.batch.limits,
                budget=leave.budget,
                model=self._rules.model,
                now=self._now(),
            )
        except LedgerUnavailable as trouble:
            return self._unreachable(job, trouble)

    def _send(self, job: _Job, paid: _ReservedQuestion) -> _Outcome:
        attempt, bound = paid.attempt, paid.question.bound
        try:
            answer = self._model.ask(paid.question, key=self._key(job, paid), deadline_seconds=self._rules.deadline)
        except faults.Defer as fault:
            if self._catalog.give_back(attempt):
                self._settle(job, paid, Charge())
            self.gate.went(paid.leave, fault, above_bound=False)
            return self._defer(
                job,
                f"{fault.reason}: {fault}",
                self._now() + timedelta(seconds=self._wait(job, fault)),
                need=bound,
            )
        except faults.Unusable as fault:
            charged = bound if fault.charge is None else fault.charge
            video, model = job.message.video, self._rules.model
            talk = by_local_tier(video, job.answer, flaw=fault.reason, charged=charged, model=model)
            outcome = self._save(job, paid, talk, fault.charge)
            self.gate.went(paid.leave, fault, above_bound=fault.above_bound)
            return outcome
        except (faults.Retry, faults.DeadLetter) as fault:
            charged = bound if fault.charge is None else fault.charge
            if self._catalog.fail(attempt, reason=fault.reason, charged=charged, now=self._now()):
                self._settle(job, paid, fault.charge)
            self.gate.went(paid.leave, fault, above_bound=fault.above_bound)
            if isinstance(fault, faults.DeadLetter) or attempt.number >= self._cap(job.standing.entry):
                return self._bury(job, f"{fault.reason}: {fault}")
            return ComeBack(self._backoff(attempt.number))
        talk = by_model(job.message.video, job.answer, answer, self._rules.model)
        outcome = self._save(job, paid, talk, answer.charge if answer.usage_known else None)
        self.gate.went(paid.leave, None, above_bound=answer.above_bound)
        return outcome

    def _key(self, job: _Job, paid: _ReservedQuestion) -> str:
        """The project's key; for the one question that an open breaker lets through, read afresh."""
        if not paid.leave.probe:
            return job.key or ""
        try:
            return self._keys.of(job.message.project, fresh=True) or ""
        except KeyUnreadable:
            return ""

    def _save(self, job: _Job, paid: _ReservedQuestion, talk: Talk, charge: Charge | None) -> _Outcome:
        """Store what was paid for; settle only where the store took it; then end the row."""
        charged = paid.question.bound if charge is None else charge
        if not self._catalog.answer(paid.attempt, talk, charged=charged, now=self._now()):
            return ComeBack()
        self._settle(job, paid, charge)
        return self._finish(job.ending(RowState.PARSED, tier=talk.tier))

    def _settle(self, job: _Job, paid: _ReservedQuestion, charge: Charge | None) -> None:
        """Charge what was billed instead of the bound, or the bound where that is unknown (None).

        Where that fails, the bound stays: it is not tried again.
        """
        try:
            self._ledger.settle(
                paid.reservation, paid.question.bound if charge is None else charge, lost=charge is None
            )
        except LedgerUnavailable:
            self._log.warning("not settled: the bound stays charged", batch=job.batch.id, row=job.message.row)

    # ------------------------------------------------------------------------------------------------ the ways out

    def _not_claimed(self, job: _Job, entry: VideoRecord) -> _Outcome:
        """What a refused claim means: it is answered, another worker has it, or its attempts are used up."""
        if entry.talk and entry.answers(job.policy):
            return self._finish(job.ending(RowState.PARSED, tier=entry.talk.tier))
        if entry.attempts >= self._cap(entry) and not self._leased(entry):
            return self._bury(job, f"attempts_used_up: {entry.attempts} attempts, the last ended with {_last(entry)}")
        return ComeBack()

    def _cap(self, entry: VideoRecord) -> int:
        """The attempts that a video may have: the stack's cap, or what a person has allowed beyond it."""
        return max(self._rules.attempt_cap, entry.allowed)

    def _leased(self, entry: VideoRecord) -> bool:
        return bool(entry.lease_until) and datetime.fromisoformat(entry.lease_until) > self._now()

    def _clock_is_behind(self, received: Received) -> bool:
        """Whether a message comes out of the future: what is due, leased or budgeted would be read wrongly."""
        wrong = timedelta(seconds=CLOCK_WRONG_SECONDS)
        return received.first is not None and self._now() < received.first - wrong

    def _clock_is_ahead(self, received: Received) -> bool:
        """Whether a message that was received for the first time has been so for longer than it can be."""
        longest = timedelta(seconds=CLOCK_WRONG_SECONDS + self._rules.visibility)
        return received.first is not None and received.receives == 1 and self._now() > received.first + longest

    def _unreachable(self, job: _Job, trouble: LedgerUnavailable) -> Denied:
        """Wait for the ledger; nobody is asked without it."""
        due = self._now() + timedelta(seconds=self._backoff(job.standing.deferrals + 1))
        return Denied(Hold.LEDGER_UNREACHABLE, str(trouble), due)

    def _hold(self, job: _Job, why: Denied | Refusal, question: Question) -> _Outcome:
        """Let a row wait that may not be asked about now; end it where its batch was cancelled in the meantime."""
        if why.hold is Hold.CANCELLED:
            return self._finish(job.ending(RowState.CANCELLED, reason=faults.CANCELLED))
        return self._defer(job, f"{why.hold}: {why.sentence}", why.due, need=question.bound)

    def _defer(self, job: _Job, reason: str, due: datetime | None, *, need: Charge) -> _Outcome:
        return self._deferred(job.message, job.fingerprint, reason=reason, due=due, need=need)

    def _deferred(
        self, message: Message, mark: str, *, reason: str, due: datetime | None, need: Charge | None = None
    ) -> _Outcome:
        """Let a row wait; where it has ended already, its message comes again, and is put away as that end asks."""
        done = self._catalog.defer(message, mark, reason=reason, due=due, now=self._now(), need=need)
        return Done(RowState.DEFERRED) if done else ComeBack()

    def _bury(self, job: _Job, reason: str) -> _Outcome:
        """Record a death, then put the message where the dead lie; after a crash in between, the next receive does."""
        outcome = self._finish(job.ending(RowState.DEAD, reason=reason))
        if outcome == Done(RowState.DEAD):
            self._letters.send(job.received.body, reason)
        return outcome

    def _finish(self, ending: RowEnd) -> _Outcome:
        return _outcome(ending, self._catalog.end([ending], now=self._now())[0])

    def _end(self, endings: Sequence[tuple[_Job, RowEnd]], outcomes: dict[str, _Outcome]) -> None:
        states = self._catalog.end([ending for _, ending in endings], now=self._now())
        for (job, ending), state in zip(endings, states, strict=True):
            outcomes[job.received.id] = _outcome(ending, state)

    def _wait(self, job: _Job, fault: faults.Defer) -> float:
        """Seconds until a video is tried again whose request was not billed."""
        if fault.opens_breaker:
            return ACCOUNT_PROBE_SECONDS
        return self._backoff(job.standing.deferrals + 1) if fault.retry_after is None else fault.retry_after

    def _backoff(self, tries: int) -> int:
        """Seconds to wait after so many tries: doubled each time, with jitter, below the queue's own visibility."""
        longest = min(self._rules.retry_backoff * 2 ** max(tries - 1, 0), self._rules.visibility)
        return max(1, round(random.uniform(longest / 2, longest)))  # noqa: S311 -- jitter, no secret


def _outcome(ending: RowEnd, state: RowState | None) -> _Outcome:
    if state is None:
        return ComeBack()
    return Done(state, ending.tier if state is RowState.PARSED else None)


def _last(entry: VideoRecord) -> str:
    return str(entry.history[-1]["event"]) if entry.history else "nothing known"
