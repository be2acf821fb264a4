"""The parser: a handful of messages become talks, each on its own.

What is done for a message, and what a crash at each point leaves behind:

::

    look up ─┬─ the row has ended ────────────────────────────────► acknowledged
             ├─ a newer manifest has the video ───────────────────► superseded
             ├─ a talk is stored for this fingerprint ────────────► parsed, nothing paid
             ├─ the last receive that the queue allows ───────────► dead: no work, only the record of it
             └─ local tier ─┬─ sure, or there is no model ────────► parsed
                            └─ point, claim ─► reserve ─► send ─► save ─► settle ─► parsed
                                  │              │          │        └ crash: charged too much; the talk is stored
                                  │              │          └ crash: the bound stays charged, the attempt counts
                                  │              └ crash: the same, though nothing was sent
                                  └ crash: the attempt counts; its lease runs out before the message comes again

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

from titlecard import faults, local
from titlecard.batch import END_STATES, Message, RowState
from titlecard.catalog import Attempt, Ending, Entry
from titlecard.keys import NotReadable
from titlecard.ledger import NoAnswer
from titlecard.money import Charge
from titlecard.talks import by_local_tier, by_model
from titlecard.video import Policy, Tier, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_lambda_powertools import Logger

    from titlecard.catalog import Batch, Catalog, Standing
    from titlecard.ledger import Ledger
    from titlecard.local import LocalAnswer
    from titlecard.model import Answer, Question
    from titlecard.queues import DeadLetters, WorkQueue
    from titlecard.survey import Survey
    from titlecard.video import Talk, Video

LEASE_SPARE_SECONDS = 30
"""What a lease lasts longer than the invocation that took it: clocks differ by seconds."""

ACCOUNT_PROBE_SECONDS = 15 * 60
"""When the model is asked again after the account was at fault: a wrong key, or no quota left."""

BATCH_KNOWN_SECONDS = 30
"""For how long a batch's limits and survey are taken from memory."""


class ModelTier(Protocol):
    """Who is asked where the local tier is not sure."""

    prompt_version: str

    def load(self) -> None:
        """Get ready to ask: what fails here has cost nothing."""

    def prepare(self, video: Video, answer: LocalAnswer, hint: str) -> Question:
        """Make the one request, and its bound, without sending anything."""

    def ask(self, question: Question, *, key: str, deadline_seconds: float) -> Answer:
        """Send it."""


class Keys(Protocol):
    """Who knows the projects' keys."""

    def of(self, project: str) -> str | None:
        """A project's key, None where it has none.

        Raises:
            NotReadable: nobody knows.
        """


@dataclass(frozen=True)
class Rules:
    """The numbers that the parser works by; seconds, except where a name says otherwise."""

    policy: Policy
    model: str
    max_receives: int
    attempt_cap: int
    visibility: int
    deadline: int
    settle_margin: int
    retry_backoff: int


@dataclass(frozen=True)
class Received:
    """One SQS message as it was received."""

    id: str
    receipt: str
    receives: int
    body: str


@dataclass(frozen=True)
class Again:
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
    standing: Standing = field(init=False)

    @cached_property
    def answer(self) -> LocalAnswer:
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

    def parsed_locally(self) -> Ending:
        """This message's end by the local tier's answer."""
        return self.ending(RowState.PARSED, by_local_tier(self.message.video, self.answer))

    def ending(
        self, state: RowState, talk: Talk | None = None, *, tier: Tier | None = None, reason: str | None = None
    ) -> Ending:
        """This message's end; with a talk where one is to be stored."""
        tier = talk.tier if talk else tier
        return Ending(self.message, self.batch.upload.order, self.fingerprint, state, tier, talk, reason)


@dataclass(frozen=True)
class Done:
    """The message may go: its row is in this state."""

    state: RowState
    tier: Tier | None = None

    @property
    def counter(self) -> str:
        """The name under which it is counted."""
        return f"{self.state}_{self.tier}" if self.tier else self.state


_Outcome = Done | Again


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
        letters: DeadLetters,
        keys: Keys,
        model: ModelTier,
        rules: Rules,
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
        except NotReadable as trouble:  # of one project, and no reason to hold up the others' messages
            due = self._now() + timedelta(seconds=self._rules.visibility)
            self._catalog.defer(message, "", reason=f"key_unreadable: {trouble}", due=due, now=self._now())
            outcomes[received.id] = Done(RowState.DEFERRED)
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
        new = [job for job in jobs if job.received.receives == 1 and job.sure]
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
        for job in jobs:
            standing = job.standing
            if standing.row in END_STATES:
                if standing.row is RowState.DEAD and job.received.receives > 1:
                    self._letters.send(job.received.body, "dead: recorded before, but the message was not put away")
                outcomes[job.received.id] = Done(standing.row)
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
        except (NoAnswer, BotoCoreError, ClientError) as error:
            # Our own side is in trouble. Whatever was written stays; what was not written errs on the side of charged.
            self._log.warning(
                "a table or a queue did not answer", error=type(error).__name__, batch=job.batch.id, row=job.message.row
            )
            return Again()

    def _ask(self, job: _Job, remaining: Callable[[], float]) -> _Outcome:
        rules, message, mark = self._rules, job.message, job.fingerprint
        self._model.load()  # first: it takes seconds of a fresh worker's time
        if remaining() < rules.deadline + rules.settle_margin:
            return Again(0)
        if not self._catalog.point(message, mark, job.batch.upload.order):
            return self._finish(job.ending(RowState.SUPERSEDED, reason="a newer manifest has this video"))
        question = self._model.prepare(message.video, job.answer, job.survey.hint())
        attempt = self._catalog.claim(
            message,
            mark,
            token=uuid4().hex,
            cap=rules.attempt_cap,
            policy=job.policy,
            bound=question.bound,
            until=self._now() + timedelta(seconds=min(remaining() + LEASE_SPARE_SECONDS, rules.visibility - 1)),
            now=self._now(),
        )
        if isinstance(attempt, Entry):
            return self._not_claimed(job, attempt)
        try:
            room = self._ledger.reserve(job.batch.id, question.bound, job.batch.limits)
        except NoAnswer:
            self._catalog.give_back(attempt, reason="ledger_unreachable", now=self._now())
            raise
        if not room:
            self._catalog.give_back(attempt, reason="batch_limit", now=self._now())
            return self._defer(job, "batch_limit: the batch has been charged what it was allowed", None)
        return self._send(job, attempt, question)

    def _send(self, job: _Job, attempt: Attempt, question: Question) -> _Outcome:
        rules, bound = self._rules, question.bound
        try:
            answer = self._model.ask(question, key=job.key or "", deadline_seconds=rules.deadline)
        except faults.Defer as fault:
            if self._catalog.give_back(attempt, reason=fault.reason, now=self._now()):
                self._settle(job, bound, Charge())
            return self._defer(job, f"{fault.reason}: {fault}", self._now() + timedelta(seconds=self._wait(job, fault)))
        except faults.Unusable as fault:
            charged = bound if fault.charge is None else fault.charge
            talk = by_local_tier(job.message.video, job.answer, flaw=fault.reason, charged=charged, model=rules.model)
            return self._save(job, attempt, talk, bound, charged)
        except (faults.Retry, faults.DeadLetter) as fault:
            charged = bound if fault.charge is None else fault.charge
            if self._catalog.fail(attempt, reason=fault.reason, charged=charged, now=self._now()):
                self._settle(job, bound, charged)
            if isinstance(fault, faults.DeadLetter) or attempt.number >= self._cap(job.standing.entry):
                return self._bury(job, f"{fault.reason}: {fault}")
            return Again(self._backoff(attempt.number))
        talk = by_model(job.message.video, job.answer, answer, rules.model)
        return self._save(job, attempt, talk, bound, answer.charge)

    def _save(self, job: _Job, attempt: Attempt, talk: Talk, bound: Charge, charged: Charge) -> _Outcome:
        """Store what was paid for; settle only where the store took it; then end the row."""
        if not self._catalog.answer(attempt, talk, charged=charged, now=self._now()):
            return Again()
        self._settle(job, bound, charged)
        return self._finish(job.ending(RowState.PARSED, tier=talk.tier))

    def _settle(self, job: _Job, bound: Charge, charged: Charge) -> None:
        """Charge what was billed instead of the bound. Where that fails, the bound stays: it is not tried again."""
        if charged == bound:
            return
        try:
            self._ledger.settle(job.batch.id, bound, charged)
        except NoAnswer:
            self._log.warning("not settled: the bound stays charged", batch=job.batch.id, row=job.message.row)

    # ------------------------------------------------------------------------------------------------ the ways out

    def _not_claimed(self, job: _Job, entry: Entry) -> _Outcome:
        """What a refused claim means: it is answered, another worker has it, or its attempts are used up."""
        if entry.talk and entry.answers(job.policy):
            return self._finish(job.ending(RowState.PARSED, tier=entry.talk.tier))
        if entry.attempts >= self._cap(entry) and not self._leased(entry):
            return self._bury(job, f"attempts_used_up: {entry.attempts} attempts, the last ended with {_last(entry)}")
        return Again()

    def _cap(self, entry: Entry) -> int:
        """The attempts that a video may have: the stack's cap, or what a person has allowed beyond it."""
        return max(self._rules.attempt_cap, entry.allowed)

    def _leased(self, entry: Entry) -> bool:
        return bool(entry.lease_until) and datetime.fromisoformat(entry.lease_until) > self._now()

    def _defer(self, job: _Job, reason: str, due: datetime | None) -> _Outcome:
        now = self._now()
        self._catalog.defer(job.message, job.fingerprint, reason=reason, due=due, now=now)
        return Done(RowState.DEFERRED)

    def _bury(self, job: _Job, reason: str) -> _Outcome:
        """Record a death, then put the message where the dead lie; after a crash in between, the next receive does."""
        outcome = self._finish(job.ending(RowState.DEAD, reason=reason))
        if outcome == Done(RowState.DEAD):
            self._letters.send(job.received.body, reason)
        return outcome

    def _finish(self, ending: Ending) -> _Outcome:
        return _outcome(ending, self._catalog.end([ending], now=self._now())[0])

    def _end(self, endings: Sequence[tuple[_Job, Ending]], outcomes: dict[str, _Outcome]) -> None:
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


def _outcome(ending: Ending, state: RowState | None) -> _Outcome:
    if state is None:
        return Again()
    return Done(state, ending.tier if state is RowState.PARSED else None)


def _last(entry: Entry) -> str:
    return str(entry.history[-1]["event"]) if entry.history else "nothing known"
