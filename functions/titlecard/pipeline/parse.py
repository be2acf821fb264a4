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
                            └─ not sure ──────────────────────────► the model path, in `ask`: parsed, deferred,
                                                                    dead, or it comes again

What comes for the first time and is sure locally is not even looked up: its end is written on the condition that the
catalog knows nothing of it, and only where that is refused does it go the way that is drawn.

A message that has come back may be the one that killed the worker. It leaves a mark before it is worked, and those that
bear a mark are worked last, one by one, when all their neighbours are saved.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from titlecard import extraction as local
from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import RowEnd, stamp
from titlecard.aws.dynamodb.ledger import LedgerUnavailable
from titlecard.aws.secrets import KeyUnreadable
from titlecard.domain import errors as faults
from titlecard.domain.batch import END_STATES, Message, RowState
from titlecard.domain.errors import Hold
from titlecard.domain.video import Policy, Tier, fingerprint
from titlecard.pipeline.ask import AskConfig, Asker, UnsureRow
from titlecard.pipeline.outcomes import Bury, ComeBack, Done, End, Outcome, Wait
from titlecard.pipeline.talks import by_local_tier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_lambda_powertools import Logger

    from titlecard.aws.dynamodb.catalog import Batch, Catalog, MessageState
    from titlecard.aws.dynamodb.ledger import Ledger
    from titlecard.aws.sqs import DeadLetterSender, WorkQueue
    from titlecard.domain.money import Amount
    from titlecard.domain.video import Talk
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import Survey
    from titlecard.pipeline.ask import Keys, ModelTier

STRAY_SECONDS = 60
"""How far ahead the date of a deferred row lies whose message is a stray one: resume's clock may be before ours."""

CLOCK_WRONG_SECONDS = 300
"""A clock that is further off than this is wrong; AWS refuses calls that are signed with one (IAM user guide)."""

BATCH_KNOWN_SECONDS = 30
"""For how long a batch's limits and survey are taken from memory."""


@dataclass(frozen=True, kw_only=True)
class ParserConfig(AskConfig):
    """The numbers that the parser works by; seconds, except where a name says otherwise."""

    policy: Policy
    max_receives: int


@dataclass(frozen=True)
class Received:
    """One SQS message as it was received; `first` is when that was for the first time, by the queue's own clock."""

    id: str
    receipt: str
    receives: int
    body: str
    first: datetime | None = None


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

    def unsure(self) -> UnsureRow:
        """The same for the model path."""
        return UnsureRow(
            message=self.message,
            batch=self.batch,
            fingerprint=self.fingerprint,
            policy=self.policy,
            key=self.key or "",
            guess=self.answer,
            hint=self.survey.hint(),
            entry=self.standing.entry,
            deferrals=self.standing.deferrals,
        )

    def parsed_locally(self) -> RowEnd:
        """This message's end by the local tier's answer."""
        return self.ending(RowState.PARSED, by_local_tier(self.message.video, self.answer))

    def ending(
        self, state: RowState, talk: Talk | None = None, *, tier: Tier | None = None, reason: str | None = None
    ) -> RowEnd:
        """This message's end; with a talk where one is to be stored."""
        tier = talk.tier if talk else tier
        return RowEnd(self.message, self.batch.upload.order, self.fingerprint, state, tier, talk, reason)


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
        self._queue = queue
        self._letters = letters
        self._keys = keys
        self._prompt_version = model.prompt_version
        self._rules = rules
        self._now = now
        self._log = log
        self._asker = Asker(catalog=catalog, ledger=ledger, keys=keys, model=model, rules=rules, now=now, log=log)
        self.admission = self._asker.admission
        self._known: dict[str, tuple[datetime, Batch, Survey]] = {}
        self._expects_new = True

    def work(self, received: Sequence[Received], remaining: Callable[[], float]) -> dict[str, Outcome]:
        """Work on messages; say for each id what became of it.

        Args:
            remaining: the seconds that this invocation has left.
        """
        outcomes: dict[str, Outcome] = {}
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

    def _decode(self, received: Received, outcomes: dict[str, Outcome]) -> _Job | None:
        try:
            message = Message.model_validate_json(received.body)
        except ValidationError:
            reason = "undecodable: the message is not a row of a manifest"
            self._letters.send(received.body, reason)
            telemetry.died(self._log, None, reason=reason)
            outcomes[received.id] = Done(RowState.DEAD)
            return None
        try:
            batch, survey = self._batch(message.batch)
        except KeyError:
            reason = f"unknown_batch: the catalog has no batch {message.batch[:80]!r}"
            self._letters.send(received.body, reason)
            telemetry.died(self._log, message, reason=reason)
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
        mark = fingerprint(message.video, model=self._rules.model if key else None, prompt_version=self._prompt_version)
        return _Job(received, message, batch, survey, policy, key, mark)

    def _batch(self, name: str) -> tuple[Batch, Survey]:
        known = self._known.get(name)
        if known is None or self._now() - known[0] > timedelta(seconds=BATCH_KNOWN_SECONDS):
            self._known = dict(list(self._known.items())[-8:])  # a worker that lives long does not grow
            known = self._known[name] = (self._now(), self._catalog.batch(name), self._catalog.survey(name))
        return known[1], known[2]

    def _at_once(self, jobs: Sequence[_Job], outcomes: dict[str, Outcome]) -> list[_Job]:
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

    def _settled_before(self, jobs: Sequence[_Job], outcomes: dict[str, Outcome]) -> list[_Job]:
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

    def _locally(self, jobs: Sequence[_Job], outcomes: dict[str, Outcome]) -> list[_Job]:
        """Parse by the local tier and end what it is sure of; give what is for the model."""
        endings, unsure = [], []
        for job in jobs:
            if job.sure:
                endings.append((job, job.parsed_locally()))
            else:
                unsure.append(job)
        self._end(endings, outcomes)
        return unsure

    def _by_model(self, jobs: Sequence[_Job], outcomes: dict[str, Outcome], remaining: Callable[[], float]) -> None:
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

    def _asked(self, job: _Job, remaining: Callable[[], float]) -> Outcome:
        try:
            return self._ask(job, remaining)
        except (LedgerUnavailable, BotoCoreError, ClientError) as error:
            # Our own side is in trouble. Whatever was written stays; what was not written errs on the side of charged.
            self._log.warning(
                "a table or a queue did not answer", error=type(error).__name__, batch=job.batch.id, row=job.message.row
            )
            return ComeBack()

    def _ask(self, job: _Job, remaining: Callable[[], float]) -> Outcome:
        """Let the model path decide about a row, and carry its decision out."""
        if self._clock_is_ahead(job.received):
            self._log.error("this worker's clock is ahead: nothing is asked", now=stamp(self._now()))
            return ComeBack()
        decision = self._asker.ask(job.unsure(), remaining)
        match decision:
            case End():
                return self._finish(job.ending(decision.state, tier=decision.tier, reason=decision.reason))
            case Wait():
                return self._deferred(
                    job.message, job.fingerprint, reason=decision.reason, due=decision.due, need=decision.need
                )
            case Bury():
                return self._bury(job, decision.reason)
            case ComeBack():
                return decision

    # ------------------------------------------------------------------------------------------------ the ways out

    def _clock_is_behind(self, received: Received) -> bool:
        """Whether a message comes out of the future: what is due, leased or budgeted would be read wrongly."""
        wrong = timedelta(seconds=CLOCK_WRONG_SECONDS)
        return received.first is not None and self._now() < received.first - wrong

    def _clock_is_ahead(self, received: Received) -> bool:
        """Whether a message that was received for the first time has been so for longer than it can be."""
        longest = timedelta(seconds=CLOCK_WRONG_SECONDS + self._rules.visibility)
        return received.first is not None and received.receives == 1 and self._now() > received.first + longest

    def _deferred(
        self, message: Message, mark: str, *, reason: str, due: datetime | None, need: Amount | None = None
    ) -> Outcome:
        """Let a row wait; where it has ended already, its message comes again, and is put away as that end asks."""
        if not self._catalog.defer(message, mark, reason=reason, due=due, now=self._now(), need=need):
            return ComeBack()
        telemetry.deferred(self._log, message, reason=reason, due=due, bound=need)
        return Done(RowState.DEFERRED)

    def _bury(self, job: _Job, reason: str) -> Outcome:
        """Record a death, then put the message where the dead lie; after a crash in between, the next receive does."""
        outcome = self._finish(job.ending(RowState.DEAD, reason=reason))
        if outcome == Done(RowState.DEAD):
            telemetry.died(self._log, job.message, reason=reason)
            self._letters.send(job.received.body, reason)
        return outcome

    def _finish(self, ending: RowEnd) -> Outcome:
        return _outcome(ending, self._catalog.end([ending], now=self._now())[0])

    def _end(self, endings: Sequence[tuple[_Job, RowEnd]], outcomes: dict[str, Outcome]) -> None:
        states = self._catalog.end([ending for _, ending in endings], now=self._now())
        for (job, ending), state in zip(endings, states, strict=True):
            outcomes[job.received.id] = _outcome(ending, state)


def _outcome(ending: RowEnd, state: RowState | None) -> Outcome:
    if state is None:
        return ComeBack()
    return Done(state, ending.tier if state is RowState.PARSED else None)
