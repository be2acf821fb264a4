"""The parser: a few messages become talks, each independently.

The steps for a message, and their results:

::

    look up ─┬─ the row has ended ────────────────────────────────► acknowledged
             ├─ a person has cancelled the batch ─────────────────► cancelled
             ├─ it was deferred after this message was sent ──────► acknowledged: a later message will come
             ├─ a newer manifest has the video ───────────────────► superseded
             ├─ a talk is stored for this fingerprint ────────────► parsed, nothing paid
             ├─ the last receive, and it alone killed a worker ───► dead: it is only recorded, not worked on
             ├─ the last receive of any other message ────────────► deferred: the sweeper sends a new message
             └─ local tier ─┬─ sure, or there is no model ────────► parsed
                            └─ not sure ──────────────────────────► the model path, in `ask`: parsed, deferred,
                                                                    dead, or redelivered

A first delivery that the local tier is sure of is not even looked up: its end is written on the condition that the
catalog knows nothing of it; otherwise the stored state stays.

A redelivered message may have killed its worker. Such messages are parsed one by one, after all their neighbours are
saved and counted, and each row is marked meanwhile: a worker that finds the mark knows that another worker crashed on
this message alone. Only such messages are dead-lettered.

No exception about one message affects another, and each has one way out:

- A table or a queue that does not answer, or a lack of time, is not the video's fault: the message is redelivered soon.
- An item that this version cannot read waits for a person or another version: the message is redelivered later.
- Any other exception, or a call that AWS refuses for its content, would be the same at every try. It uses up the
  receives of the message, which then becomes a dead letter with its reason.

In the first two cases SQS must never take the message away: if its receives are nearly used up, or a mark cannot be
removed from its row, a new copy with no receives replaces it.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import Attempt, Pointer, RowEnd, stamp
from titlecard.aws.dynamodb.catalog.rows import LOCALLY, SUPERSEDED
from titlecard.aws.errors import UNAVAILABLE, ItemInvalid, KeyUnreadable, is_retryable
from titlecard.domain.batch import END_STATES, Message, RowState
from titlecard.domain.clock import CLOCK_ERROR_SECONDS
from titlecard.domain.reasons import CANCELLED, Hold
from titlecard.domain.video import Policy, fingerprint
from titlecard.pipeline.ask import Asker
from titlecard.pipeline.errors import NotSent
from titlecard.pipeline.finish import may_have_ended
from titlecard.pipeline.job import Job, Received
from titlecard.pipeline.outcome_types import DeadLetterRow, DeferRow, Done, EndRow, Outcome, Redeliver, Replaced
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog import Batch, Catalog, Ended, MessageState, VideoRecord
    from titlecard.aws.dynamodb.ledger import Ledger
    from titlecard.aws.sqs import DeadLetterSender, WorkQueue
    from titlecard.domain.money import Amount
    from titlecard.extraction.survey import BatchSurvey
    from titlecard.pipeline.ask import Keys, LanguageModel
    from titlecard.pipeline.finish import Finisher
    from titlecard.settings import ParserSettings

REDELIVERY_SECONDS = 20
"""Seconds, with jitter, until the redelivery of a message that a throttled table left unfinished."""

BATCH_KNOWN_SECONDS = 30
"""Seconds for which a batch's limits and survey are cached."""


@dataclass(frozen=True)
class _Undecoded:
    """A message without a job; `message` is None if it is not a row."""

    received: Received
    message: Message | None


class Parser:
    """Works on the messages of one invocation.

    Args:
        now: returns the current time, timezone-aware.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        ledger: Ledger,
        queue: WorkQueue,
        dead_letters: DeadLetterSender,
        finisher: Finisher,
        keys: Keys,
        model: LanguageModel,
        settings: ParserSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._queue = queue
        self._dead_letters = dead_letters
        self._finisher = finisher
        self._keys = keys
        self._prompt_version = model.prompt_version
        self._settings = settings
        self._now = now
        self._asker = Asker(catalog=catalog, ledger=ledger, keys=keys, model=model, settings=settings, now=now)
        self.admission = self._asker.admission
        self._known: dict[str, tuple[datetime, Batch, BatchSurvey]] = {}
        self._expects_new = True
        self._silence: BotoCoreError | None = None
        """The error of a call that AWS did not answer in any try, in this invocation; None if there was none."""

    def work(self, received: Sequence[Received], remaining: Callable[[], float]) -> dict[str, Outcome]:
        """Work on messages; return the outcome of each by its id.

        Args:
            remaining: returns the seconds that this invocation has left.
        """
        self._silence = None
        decoded = {one.id: self._decoded(one) for one in received}
        outcomes: dict[str, Outcome] = {name: it for name, it in decoded.items() if not isinstance(it, Job)}
        jobs = [it for it in decoded.values() if isinstance(it, Job)]

        def left() -> list[Job]:
            return [job for job in jobs if job.received.id not in outcomes]

        if self._expects_new:
            outcomes |= self._together(self._end_without_look_up, [job for job in left() if job.is_new])
        outcomes |= self._together(self._look_up, left())
        outcomes |= self._together(self._without_parsing, left())
        calm = [job for job in left() if not job.is_suspect]
        outcomes |= self._parse([job for job in calm if not job.is_returned], remaining)
        self._count(outcomes, remaining)  # before any row that may kill this worker
        # Of the suspects, those with the most attempts come last: they are the likeliest to kill it.
        suspects = sorted((job for job in left() if job.is_suspect), key=lambda job: job.state.entry.attempts)
        for group in ([job for job in calm if job.is_returned], *([job] for job in suspects)):
            done = self._parse(group, remaining)
            self._count(done, remaining)
            outcomes |= done
        return outcomes

    def _together(
        self, step: Callable[[Sequence[Job]], dict[str, Outcome]], jobs: Sequence[Job], *, marks: bool = False
    ) -> dict[str, Outcome]:
        """Do a step for some jobs, and return the outcomes of those that it decides or fails for.

        If a table does not answer, all the jobs are redelivered soon, and so are those of later steps: the worker would
        not survive a second call that hangs as long. After any other exception the step is repeated for each job alone,
        so that one job does not stop its neighbours. What is written stays.

        `marks` says that the step marks the jobs' rows, even if the answer to that write is lost.
        """
        if not jobs:
            return {}
        if self._silence:
            return {job.received.id: self._stopped(job, self._silence) for job in jobs}
        try:
            return step(jobs)
        except Exception as error:  # noqa: BLE001 -- whatever stops one row must not stop its neighbours
            if len(jobs) > 1 and (isinstance(error, ItemInvalid) or not is_retryable(error)):
                return {name: it for job in jobs for name, it in self._together(step, [job], marks=marks).items()}
            return {job.received.id: self._stopped(job, error, marked=marks) for job in jobs}

    # ------------------------------------------------------------------------------------- what needs no parsing

    def _decoded(self, received: Received) -> Job | Outcome:
        """Return the job of a message, or its outcome if there is no job."""
        try:
            message = Message.model_validate_json(received.body)
        except ValidationError:
            message = None
        if self._silence:
            return self._stopped(_Undecoded(received, message), self._silence)
        try:
            return self._decode(received, message)
        except Exception as error:  # noqa: BLE001 -- as in `_together`
            return self._stopped(_Undecoded(received, message), error)

    def _decode(self, received: Received, message: Message | None) -> Job | Outcome:
        if self._clock_is_behind(received):
            logger.error("this worker's clock is behind, so it leaves the message alone", now=stamp(self._now()))
            return self._redeliver(received, message, seconds=None)
        if message is None:
            return self._unknown(received, message, "undecodable: the message is not a row of a manifest")
        try:
            batch, surveys = self._batch(message.batch)
        except KeyError:
            return self._unknown(received, message, f"unknown_batch: the catalog has no batch {message.batch[:80]!r}")
        key, key_error = self._key(message.project)
        policy = self._settings.tier_policy if key or key_error else Policy.LOCAL
        mark = self._fingerprint(message, self._settings.model if key or key_error else None)
        survey = surveys.of(message.row, message.video)
        return Job(received, message, batch, survey, policy, key, mark, key_error=key_error)

    def _key(self, project: str) -> tuple[str, str]:
        """Return a project's key, empty if it needs none or has none; and why it cannot be read, empty if it can."""
        if self._settings.tier_policy is Policy.LOCAL:
            return "", ""
        try:
            return self._keys.of(project) or "", ""
        except KeyUnreadable as error:
            return "", str(error)

    def _fingerprint(self, message: Message, model: str | None) -> str:
        return fingerprint(message.video, model=model, prompt_version=self._prompt_version)

    def _unknown(self, received: Received, message: Message | None, reason: str) -> Outcome:
        """Send a message that belongs to no row of the catalog to the dead-letter queue."""
        self._dead_letters.send(received.body, reason)
        telemetry.died(message, reason=reason)
        return Done(RowState.DEAD)

    def _batch(self, name: str) -> tuple[Batch, BatchSurvey]:
        known = self._known.get(name)
        fresh = timedelta(seconds=BATCH_KNOWN_SECONDS)
        if known is None or not known[0] <= self._now() <= known[0] + fresh:  # a clock that was wrong may be set back
            self._known = dict(list(self._known.items())[-8:])  # bounds the cache of a long-lived worker
            known = self._known[name] = (self._now(), self._catalog.batch(name), self._catalog.survey(name))
        return known[1], known[2]

    def _end_without_look_up(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """End those of the new rows that the local tier is sure of, without a look-up."""
        sure = [job for job in jobs if job.is_sure]
        if not sure:
            return {}
        ended = self._catalog.end([job.parsed_locally() for job in sure], now=self._now())
        # Looking up first is cheaper for a repeated manifest, and dearer for a new one.
        self._expects_new = all(it.ending.talk for it in ended)
        return {job.received.id: self._done(job, it) for job, it in zip(sure, ended, strict=True)}

    def _look_up(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        asked = [(job.message, job.fingerprint) for job in jobs]
        states = self._catalog.look_up(asked)
        given_back = [
            self._give_back_unsent(job.message, job.fingerprint, state.entry)
            for job, state in zip(jobs, states, strict=True)
        ]
        if any(given_back):
            states = self._catalog.look_up(asked)
        # A dead worker's message is hidden for the whole visibility timeout, at least six times a worker's timeout.
        longest_life = timedelta(seconds=self._settings.visibility_seconds / 2)
        for job, state in zip(jobs, states, strict=True):
            job.state = state
            job.is_crashed = "" < state.entry.lease_until < stamp(self._now())
            job.mark_is_old = state.began < stamp(self._now() - longest_life)
        first = [job.state for job in jobs if job.received.receives == 1]
        if first:
            self._expects_new = not any(it.row or it.newest or it.entry.talk for it in first)
        return {}

    def _give_back_unsent(self, message: Message, mark: str, entry: VideoRecord) -> bool:
        """Give back the attempt that the message reports as unsent, if it still counts."""
        claim = next((n for n, it in enumerate(entry.history) if it.get("token") == message.unsent), None)
        if claim is None:
            return False
        attempt = Attempt(message, mark, message.unsent, entry.attempts, claim)
        return self._catalog.give_back(attempt) if message.unsent == entry.token else self._catalog.uncount(attempt)

    def _without_parsing(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """Return the outcomes of the jobs that need no parsing."""
        decided = {job.received.id: (job, self._outcome_without_parsing(job)) for job in jobs}
        endings = [(job, it) for job, it in decided.values() if isinstance(it, RowEnd)]
        outcomes = {name: it for name, (_, it) in decided.items() if it is not None and not isinstance(it, RowEnd)}
        return outcomes | self._end(endings)

    def _outcome_without_parsing(self, job: Job) -> RowEnd | Outcome | None:
        """Return a job's outcome from what the catalog knows; None if it has to be parsed."""
        state = job.state
        if state.row in END_STATES:
            if state.row is RowState.DEAD and job.is_returned:
                why = "dead: recorded earlier, but its message did not reach the dead-letter queue"
                return self._send_dead_letter(job, why, Done(state.row))
            return Done(state.row)
        if _is_stray(job.message, state) and not job.batch.cancelled:
            return Done(RowState.DEFERRED)
        if ending := self._stored_end(job):
            return ending
        return self._last_receive(job) if job.received.receives >= self._settings.max_receive_count else None

    @staticmethod
    def _stored_end(job: Job) -> RowEnd | None:
        """Return the end of a row that a person or a newer manifest has made superfluous, or whose talk is stored."""
        state = job.state
        if job.batch.cancelled:
            return job.ending(RowState.CANCELLED, reason=CANCELLED)
        if state.newest > job.batch.upload.order:
            return job.ending(RowState.SUPERSEDED, reason=SUPERSEDED)
        if state.entry.talk and state.entry.answers(job.policy):
            return job.ending(RowState.PARSED, tier=state.entry.talk.tier)
        return None

    def _last_receive(self, job: Job) -> Outcome:
        """Dead-letter a message that killed a worker alone; defer any other, so that the sweeper sends a new one."""
        receives = job.received.receives
        if job.killed_alone:
            why = f"receives_used_up: received {receives} times, and its worker crashed or timed out"
            return self._dead_letter(job, why)
        # If another copy has killed a worker, it comes back meanwhile, finds the row deferred, and is acknowledged.
        wait = self._settings.visibility_seconds if job.is_suspect else self._settings.retry_backoff_seconds
        due = self._now() + timedelta(seconds=wait)
        why = f"{Hold.NOT_REACHED}: received {receives} times, but never reached: it is sent again"
        return self._deferred(job, reason=why, due=due)

    # ---------------------------------------------------------------------------------------------- the two tiers

    def _parse(self, jobs: Sequence[Job], remaining: Callable[[], float]) -> dict[str, Outcome]:
        """Parse with the local tier, then ask the model about the rows that it is not sure of, concurrently."""
        outcomes = self._together(self._locally, [job for job in jobs if not job.is_returned])
        for job in jobs:
            if job.is_returned:
                outcomes |= self._together(self._locally_alone, [job], marks=True)
        unsure = [job for job in jobs if job.received.id not in outcomes]
        if not unsure:
            return outcomes
        with ThreadPoolExecutor(len(unsure), thread_name_prefix="model") as pool:
            asked = list(pool.map(lambda job: self._asked(job, remaining), unsure))
        return outcomes | {job.received.id: it for job, it in zip(unsure, asked, strict=True)}

    def _locally(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """Parse with the local tier and end the rows that it is sure of; return their outcomes."""
        for job in jobs:
            job.local  # noqa: B018 -- cached: parses now, whichever tier answers in the end
        return self._end([(job, job.parsed_locally()) for job in jobs if job.is_sure])

    def _locally_alone(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """Do the same for one redelivered message, under a mark that also records that the local tier survived it."""
        (job,) = jobs
        self._catalog.mark_started(job.message, now=self._now(), alone=LOCALLY)
        outcomes = self._locally(jobs)
        if not outcomes:
            self._catalog.mark_survived(job.message)
        return outcomes

    def _asked(self, job: Job, remaining: Callable[[], float]) -> Outcome:
        try:
            return self._ask(job, remaining)
        except NotSent as error:
            if not is_retryable(error.cause):
                return self._stopped(job, error.cause)
            logger.warning(_NO_ANSWER, error=str(error), **_place(job.message))
            if isinstance(error.cause, BotoCoreError):
                self._silence = error.cause
            message = job.message.model_copy(update={"unsent": error.token})
            return self._redeliver(job.received, message, marked=True)
        except Exception as error:  # noqa: BLE001 -- as in `_together`
            # Whatever was written stays; anything else charges too much, never too little.
            return self._stopped(job, error, marked=job.is_suspect)

    def _ask(self, job: Job, remaining: Callable[[], float]) -> Outcome:
        """Let the model path decide about a row, and carry out its decision."""
        if self._clock_is_ahead(job.received):
            logger.error("this worker's clock is ahead, so it sends no request", now=stamp(self._now()))
            return self._redeliver(job.received, job.message, seconds=None)
        decision = self._wait_for_key(job) if job.key_error else self._asker.ask(job, remaining)
        match decision:
            case EndRow(state, tier, reason):
                return self._finish(job, job.ending(state, tier=tier, reason=reason, pointer=Pointer.SET))
            case DeferRow(reason, due, need):
                return self._deferred(job, reason=reason, due=due, need=need)
            case DeadLetterRow(reason):
                return self._dead_letter(job, reason)
        if decision.seconds:  # a failed attempt, which is recorded
            return decision
        there_was_no_time = decision.seconds == 0  # otherwise another worker has it
        marked = job.is_suspect and not there_was_no_time
        return self._redeliver(job.received, job.message, seconds=decision.seconds, marked=marked)

    def _wait_for_key(self, job: Job) -> DeferRow:
        """Defer a row whose project's key cannot be read, so that it does not delay other projects."""
        due = self._now() + timedelta(seconds=self._settings.visibility_seconds)
        return DeferRow(f"{Hold.KEY_UNREADABLE}: {job.key_error}", due)

    # ------------------------------------------------------------------------------------------------ the ways out

    def _redeliver(
        self,
        received: Received,
        message: Message | None,
        *,
        seconds: int | None = REDELIVERY_SECONDS,
        marked: bool = False,
    ) -> Outcome:
        """Have a message redelivered that could not be worked on through no fault of its own.

        If redelivery could end in a dead letter, a new copy replaces the message.

        Args:
            message: the message, decoded; None if it is not a row.
            seconds: the delay in seconds, before jitter; None means the queue's own.
            marked: whether its row has a mark, or may have one, although no worker crashed on it.
        """
        if seconds:
            seconds = max(1, round(random.uniform(seconds / 2, seconds)))  # noqa: S311 -- jitter, not a secret
        if not marked and self._has_receives(received):
            return Redeliver(seconds)
        if message and received.receives > 1:  # an earlier receive may have recorded the row's death
            message = message.model_copy(update={"letter_owed": True})
        body = message.model_dump_json() if message else received.body
        try:
            # Never at once: if no invocation has enough time, copies would follow each other for ever.
            self._queue.send_again(body, seconds or self._settings.retry_backoff_seconds)
        except (BotoCoreError, ClientError):
            return Redeliver(seconds)
        return Replaced()

    def _stopped(self, of: Job | _Undecoded, error: Exception, *, marked: bool = False) -> Outcome:
        """Return the outcome of a message whose work an exception stopped.

        It is redelivered soon if a later try may succeed, and later if an item of the catalog cannot be read: then it
        waits for a person or another version, however long that takes. Any other exception is a fault of the row or of
        this version. It uses up the receives of the message, which then becomes a dead letter with the exception's
        name.
        """
        received, message = of.received, of.message
        if isinstance(error, ItemInvalid):
            logger.error("an item cannot be read, so its row waits", error=str(error))
            return self._redeliver(received, message, seconds=None, marked=marked)
        if is_retryable(error):
            logger.warning(_NO_ANSWER, error=type(error).__name__, **_place(message))
            if isinstance(error, BotoCoreError):
                self._silence = error
            return self._redeliver(received, message, marked=marked)
        telemetry.work_failed(message, error)
        if self._has_receives(received):
            return Redeliver()
        why = f"failed: received {received.receives} times, and the work on it stopped with {type(error).__name__}"
        try:
            return self._dead_letter(of, why) if isinstance(of, Job) else self._unknown(received, message, why)
        except Exception as another:  # noqa: BLE001 -- SQS itself moves it to the dead-letter queue
            telemetry.work_failed(message, another)
            return Redeliver()

    def _has_receives(self, received: Received) -> bool:
        """Return whether a message may be redelivered and then worked on: the last receive does no work."""
        return received.receives < self._settings.max_receive_count - 1

    def _clock_is_behind(self, received: Received) -> bool:
        """Return whether a message seems to come from the future: by such a clock, dates and leases are misread."""
        wrong = timedelta(seconds=CLOCK_ERROR_SECONDS)
        return received.first is not None and self._now() < received.first - wrong

    def _clock_is_ahead(self, received: Received) -> bool:
        """Return whether a message's first receive seems longer ago than it can be."""
        longest = timedelta(seconds=CLOCK_ERROR_SECONDS + self._settings.visibility_seconds)
        return received.first is not None and received.receives == 1 and self._now() > received.first + longest

    def _deferred(self, job: Job, *, reason: str, due: datetime | None, need: Amount | None = None) -> Outcome:
        """Defer a row; if it has already ended, have its message redelivered, which then finds that end."""
        message = job.message.without_notes()
        if not self._catalog.defer(message, job.fingerprint, reason=reason, due=due, now=self._now(), need=need):
            return self._redeliver(job.received, job.message, seconds=None)
        telemetry.deferred(message, reason=reason, due=due, bound=need)
        return Done(RowState.DEFERRED)

    def _dead_letter(self, job: Job, reason: str) -> Outcome:
        """Record the row as dead, then send the dead letter; after a crash in between, the next receive sends it."""
        try:
            outcome = self._finish(job, job.ending(RowState.DEAD, reason=reason))
        except UNAVAILABLE as error:
            return self._owe_letter(job, error)
        if outcome != Done(RowState.DEAD):
            return outcome
        telemetry.died(job.message, reason=reason)
        return self._send_dead_letter(job, reason, outcome)

    def _send_dead_letter(self, job: Job, reason: str, done: Outcome) -> Outcome:
        """Send the dead letter of a dead row."""
        try:
            self._dead_letters.send(job.message.without_notes().model_dump_json(), reason)
        except UNAVAILABLE as error:
            return replace(self._owe_letter(job, error), ended=done.ended)
        return done

    def _owe_letter(self, job: Job, error: Exception) -> Outcome:
        """Send a copy of the message that will send the dead letter if the row is dead.

        Redelivery is not enough: SQS may have delivered this message twice, and the other worker may delete it.
        """
        if not is_retryable(error):  # SQS itself makes the message a dead letter when its receives are used up
            telemetry.work_failed(job.message, error)
            return Redeliver()
        logger.warning(_NO_ANSWER, error=type(error).__name__, **_place(job.message))
        return self._redeliver(job.received, job.message.model_copy(update={"letter_owed": True}), marked=True)

    def _finish(self, job: Job, ending: RowEnd) -> Outcome:
        return self._end([(job, ending)])[job.received.id]

    def _end(self, endings: Sequence[tuple[Job, RowEnd]]) -> dict[str, Outcome]:
        ended = self._catalog.end([ending for _, ending in endings], now=self._now())
        return {job.received.id: self._done(job, it) for (job, _), it in zip(endings, ended, strict=True)}

    def _done(self, job: Job, ended: Ended) -> Outcome:
        """Return the outcome of a row after a call to end it."""
        if ended.state not in END_STATES:
            logger.error("a row has a state that this version does not know, so it waits", **_place(job.message))
            return self._redeliver(job.received, job.message, seconds=None)
        return Done(ended.state, ended.ending.tier if ended.state is RowState.PARSED else None, ended)

    def _count(self, outcomes: Mapping[str, Outcome], remaining: Callable[[], float]) -> None:
        """Count the rows that have ended."""
        ended = [it.ended for it in outcomes.values() if it.ended]
        if not ended:
            return
        try:
            if self._silence:  # as in `_together`
                raise self._silence
            self._catalog.count(ended, now=self._now())
        except (BotoCoreError, ClientError) as error:  # the audit counts the rows of a batch whose counters are too low
            logger.warning("rows that ended were not counted", error=type(error).__name__, rows=len(ended))
            return
        for name in sorted({it.ending.message.batch for it in ended if it.new}):
            self._finish_at_its_end(name, remaining)

    def _finish_at_its_end(self, name: str, remaining: Callable[[], float]) -> None:
        """Ask for a batch to be finished if its last row has ended."""
        now, known = self._now(), self._known.get(name)
        if known and not may_have_ended(known[1], (now - known[0]).total_seconds()):
            return
        batch = self._finisher.check(name, remaining)
        if known and batch:
            self._known[name] = now, batch, known[2]


_NO_ANSWER = "a table or a queue did not answer"


def _place(message: Message | None) -> dict[str, Any]:
    """Return what a log line says about a message; nothing if it is not a row."""
    return {"batch": message.batch, "row": message.row} if message else {}


def _is_stray(message: Message, state: MessageState) -> bool:
    """Return whether the row was deferred after the message was sent: a later message will come."""
    return state.row is RowState.DEFERRED and message.deferrals < state.deferrals
