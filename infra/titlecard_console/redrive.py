"""Dead letters: what died of what, what another try can cost, and the tries that a person allows.

The catalog says which rows are dead; the queue is read for the messages' bodies, and the two are compared. A row
without a letter is read from its manifest again. In which order a row is sent again, and what a crash at each point
leaves behind, is told in `titlecard.aws.dynamodb.catalog.grants`.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from titlecard import extraction as local
from titlecard.aws.dynamodb.catalog import Catalog, VideoRecord
from titlecard.aws.dynamodb.catalog.grants import AttemptGrant, Grants, RowSnapshot
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.aws.s3 import ManifestTooLarge, ObjectDeleted, UploadsBucket
from titlecard.domain.batch import Message, RowState
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Video, fingerprint
from titlecard.manifests import ReadingLimits
from titlecard.pipeline.ingest import accepted_messages
from titlecard_console.dead_letter_queue import LETTERS_PER_CALL, DeadLetterQueue, QueuedMessage
from titlecard_console.errors import CommandError
from titlecard_console.estimate import model_tier

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.aws.dynamodb.catalog.grants import FingerprintHistory
    from titlecard.extraction.survey import Survey
    from titlecard_console.stack import Stack

TRIES = 3
"""How often leave is given anew when something was written at the same moment."""

UPLOAD = "upload_not_taken"
MOVED = "moved_by_sqs"


class Kind(StrEnum):
    """What a case is.

    `dead`: the catalog says so. `strayed`: the row has not ended, but its message is a dead letter: SQS moved it by
    itself, or a redrive was killed. `ended`: the row has ended otherwise since, or waits: its letter is of no use.
    `unreadable`: there is nothing in it that could be sent. `upload`: ingest's dead letter.
    """

    DEAD = "dead"
    STRAYED = "strayed"
    ENDED = "ended"
    UNREADABLE = "unreadable"
    UPLOAD = "upload"


@dataclass(frozen=True)
class DeadLetter:
    """A dead row, or a dead letter without one.

    `id` is the video's, or the message's where there is no video. `requests` and `worst` are what another try can cost
    at the most; `attempts` the ones so far under the fingerprint that it would be tried with.
    """

    id: str
    kind: Kind
    reason: str
    since: datetime
    letters: tuple[QueuedMessage, ...] = ()
    seen: RowSnapshot | None = None
    batch: Batch | None = None
    video: Video | None = None
    entry: VideoRecord = field(default_factory=VideoRecord)
    fingerprint: str = ""
    attempts: int = 0
    requests: int = 0
    worst: Amount = field(default_factory=Amount)
    closed: str = ""
    """Why it is closed without a request when it is sent again, where it is."""

    @property
    def cause(self) -> str:
        """The reason's word for machines."""
        return self.reason.partition(":")[0]

    @property
    def charged(self) -> Amount:
        """What the video was charged so far, under the fingerprint that it died with."""
        last: dict[str, Mapping[str, Any]] = {event["token"]: event["charged"] for event in self.entry.history}
        charges = (Amount.from_item(it) for it in last.values())
        return sum(charges, Amount())

    @property
    def names(self) -> frozenset[str]:
        """What a person may call it by: its own id, and those of its letters."""
        return frozenset((self.id, *(letter.id for letter in self.letters)))

    @property
    def to_be_sent(self) -> bool:
        """Whether it can be sent to the parser again."""
        return self.kind in (Kind.DEAD, Kind.STRAYED) and self.video is not None

    def figures(self) -> dict[str, Any]:
        """The case for machines."""
        return {
            "id": self.id,
            "kind": self.kind,
            "cause": self.cause,
            "reason": self.reason,
            "since": self.since.isoformat(),
            "project": self.batch.project if self.batch else None,
            "batch": self.seen.batch if self.seen else None,
            "row": self.seen.row if self.seen else None,
            "title": self.video.title if self.video else None,
            "letters": [letter.id for letter in self.letters],
            "attempts": self.attempts,
            "charged": {"tokens": self.charged.tokens, "micro_usd": self.charged.micro_usd},
            "again": {
                "requests": self.requests,
                "tokens": self.worst.tokens,
                "micro_usd": self.worst.micro_usd,
                "closed": self.closed or None,
            },
        }


@dataclass(frozen=True)
class Selection:
    """Which cases are meant; what is empty lets all through."""

    causes: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    batches: frozenset[str] = frozenset()
    before: datetime | None = None

    def takes(self, case: DeadLetter) -> bool:
        """Whether a case is meant."""
        return (
            (not self.causes or case.cause in self.causes)
            and (not self.ids or not self.ids.isdisjoint(case.names))
            and (not self.batches or (case.seen is not None and case.seen.batch in self.batches))
            and (self.before is None or case.since <= self.before)
        )

    def unknown(self, cases: Collection[DeadLetter]) -> list[str]:
        """What it names that none of the cases has, in words."""
        known = {
            "cause": (self.causes, {case.cause for case in cases}),
            "id": (self.ids, {name for case in cases for name in case.names}),
            "batch": (self.batches, {case.seen.batch for case in cases if case.seen}),
        }
        return [f"the {kind} {name!r}" for kind, (named, there) in known.items() for name in sorted(named - there)]


@dataclass(frozen=True)
class CauseGroup:
    """The cases of one cause."""

    cause: str
    cases: int
    oldest: datetime
    attempts: int
    charged: Amount
    requests: int
    worst: Amount

    def figures(self) -> dict[str, Any]:
        """The group for machines."""
        return {
            "cause": self.cause,
            "count": self.cases,
            "oldest": self.oldest.isoformat(),
            "attempts": self.attempts,
            "charged": {"tokens": self.charged.tokens, "micro_usd": self.charged.micro_usd},
            "again": {
                "requests": self.requests,
                "tokens": self.worst.tokens,
                "micro_usd": self.worst.micro_usd,
            },
        }


def groups(cases: Iterable[DeadLetter]) -> list[CauseGroup]:
    """Cases by cause, the most frequent first; without those that have ended since."""
    by_cause: dict[str, list[DeadLetter]] = defaultdict(list)
    for case in cases:
        if case.kind is not Kind.ENDED:
            by_cause[case.cause].append(case)
    found = [
        CauseGroup(
            cause,
            cases=len(its),
            oldest=min(case.since for case in its),
            attempts=sum(case.attempts for case in its),
            charged=sum((case.charged for case in its), Amount()),
            requests=sum(case.requests for case in its),
            worst=sum((case.worst for case in its), Amount()),
        )
        for cause, its in by_cause.items()
    ]
    return sorted(found, key=lambda group: (-group.cases, group.cause))


class RetryTerms:
    """What trying again can cost, by the stack's own numbers and the parser's own code."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.policy = Policy(parameters["TierPolicy"])
        self._cap = int(parameters["AttemptCap"])
        self._model = model_tier(parameters)

    def fingerprint(self, video: Video) -> str:
        """The fingerprint that a video would be tried with."""
        model = None if self.policy is Policy.LOCAL else self._model.model
        return fingerprint(video, model=model, prompt_version=self._model.prompt_version)

    def requests(self, attempts: int, more: int) -> int:
        """How many requests there can be at the most when so many attempts more are allowed."""
        return 0 if self.policy is Policy.LOCAL else max(self._cap, attempts + more) - attempts

    def bound(self, video: Video | None, survey: Survey) -> Amount:
        """The most that one request about a video can cost; nothing where the local tier answers."""
        if video is None:
            return self._model.worst_case
        answer = local.parse(video, survey)
        if self.policy is Policy.AUTO and answer.sure:
            return Amount()
        return self._model.prepare(video, answer, survey.hint()).bound


class Redriver:
    """Where dead letters are opened, and sent on or put away.

    Args:
        there: the stack.
        now: the time, timezone-aware.
        looking: how the queues are read; see `letters.Box`.
    """

    def __init__(
        self, there: Stack, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), **looking: int
    ) -> None:
        self._there = there
        self._now = now
        database = there.resource("dynamodb").meta.client
        self._catalog = Catalog(database, there.outputs["CatalogTable"])
        self._grants = Grants(database, there.outputs["CatalogTable"])
        sqs, its = there.client("sqs"), there.outputs
        self._videos = DeadLetterQueue(sqs, its["WorkDeadLetterQueueUrl"], its["WorkQueueUrl"], **looking)
        self._uploads = DeadLetterQueue(sqs, its["IngestDeadLetterQueueUrl"], its["IngestQueueUrl"], **looking)
        self._terms = RetryTerms(there.parameters)
        self._ledger = Ledger(database, its["LedgerTable"])
        self._surveys: dict[str, Survey] = {}

    def who(self) -> str:
        """Whoever gives this leave, as AWS knows them."""
        return str(self._there.client("sts").get_caller_identity()["Arn"])

    def cases(self, *, more: int = 1, choice: Selection | None = None, read: bool = False) -> list[DeadLetter]:
        """Every case that is meant, the oldest first.

        Args:
            more: how many attempts another try would be allowed.
            choice: which are meant; None for all.
            read: whether rows without a letter are read from their manifests.

        Raises:
            CommandError: something is dead, and nothing of it has what the choice names.
        """
        found = [_upload(letter) for letter in self._uploads.look()]
        letters: dict[tuple[str, int], list[tuple[QueuedMessage, Message]]] = defaultdict(list)
        for letter in self._videos.look():
            try:
                message = Message.model_validate_json(letter.body)
            except ValidationError:
                reason = letter.reason or "undecodable: the message is not a row of a manifest"
                found.append(DeadLetter(letter.id, Kind.UNREADABLE, reason, letter.sent_at, (letter,)))
            else:
                letters[message.batch, message.row].append((letter, message))
        found += self._rows(letters)
        chosen = sorted((it for it in found if choice is None or choice.takes(it)), key=lambda case: case.since)
        if choice and found and not chosen and (unknown := choice.unknown(found)):
            causes = ", ".join(f"{group.cause} ({group.cases:,})" for group in groups(found)) or "none"
            raise CommandError(
                f"No dead letter has {' or '.join(unknown)}. The causes that there are: {causes}; `titlecard dlq list` "
                "shows ids and batches."
            )
        if read:
            chosen = self._read(chosen)
        return self._costed(chosen, more)

    def edited(self, case: DeadLetter, video: Video, *, more: int) -> DeadLetter:
        """A case as it would be sent with another title or description."""
        (costed,) = self._costed([replace(case, video=video)], more)
        return costed

    def bills(self, cases: Iterable[DeadLetter]) -> Iterator[tuple[Batch, Amount]]:
        """The batches of cases, each with what it would be charged in all if they cost what they can at the most."""
        worst: dict[str, Amount] = defaultdict(Amount)
        batches: dict[str, Batch] = {}
        for case in cases:
            if case.batch and case.requests:
                worst[case.batch.id] += case.worst
                batches[case.batch.id] = case.batch
        for name, batch in batches.items():
            yield batch, self._ledger.spent(name) + worst[name]

    def story(self, case: DeadLetter) -> list[FingerprintHistory]:
        """All that the catalog knows of a case's video."""
        return self._grants.story(case.batch.project, case.seen.video or case.id) if case.batch and case.seen else []

    # --------------------------------------------------------------------------------------------- what a person may do

    def send_again(
        self, cases: Sequence[DeadLetter], *, more: int, rate: float, by: str
    ) -> Iterator[tuple[DeadLetter, str]]:
        """Send cases again and delete their letters; those that ended since lose only their letters.

        Args:
            more: how many attempts more each video is allowed.
            rate: messages a second, at the most.
            by: who allows it.

        Yields:
            Each case when it is done, with what became of it: `sent`, `removed` (a letter of no use) or `moved` (it
            was not sent: something has happened to it since it was read).
        """
        pace = _Pace(rate)
        waiting = {id(case): case for case in cases if case.to_be_sent or case.kind in (Kind.ENDED, Kind.UPLOAD)}
        moved: set[int] = set()
        whose = {letter.id: case for case in waiting.values() for letter in case.letters}
        for box in self._videos, self._uploads:
            held: dict[str, QueuedMessage] = {}
            try:
                for letter in box.take(LETTERS_PER_CALL / rate):
                    if letter.id in held:
                        break
                    case = whose.get(letter.id)
                    if case is None or id(case) in moved:
                        held[letter.id] = letter
                        continue
                    if waiting.pop(id(case), None):
                        done = self._again(box, case, more, by, pace)
                        yield case, done
                        if done == "moved":
                            moved.add(id(case))
                            held[letter.id] = letter
                            continue
                    box.delete(letter)
            finally:
                box.put_back(held.values())
        for case in waiting.values():
            if case.to_be_sent:  # its letter is lost, or somebody else is looking at it
                yield case, self._again(self._videos, case, more, by, pace)

    def discard(self, cases: Sequence[DeadLetter], copy: IO[str], *, by: str) -> Iterator[DeadLetter]:
        """Delete the letters of cases and take their rows off the list of the dead; a copy is on the disk before that.

        Yields:
            Each case when it is gone.
        """
        for case in cases:
            bodies = [letter.body for letter in case.letters]
            line = {**case.figures(), "discarded_by": by, "discarded_at": self._now().isoformat(), "bodies": bodies}
            copy.write(json.dumps(line, ensure_ascii=False) + "\n")
        copy.flush()
        os.fsync(copy.fileno())
        gone = {letter.id for case in cases for letter in case.letters}
        for box in self._videos, self._uploads:
            held: dict[str, QueuedMessage] = {}
            try:
                for letter in box.take():
                    if letter.id in held:
                        break
                    if letter.id in gone:
                        box.delete(letter)
                    else:
                        held[letter.id] = letter
            finally:
                box.put_back(held.values())
        for case in cases:
            if case.seen and case.kind is Kind.DEAD:
                self._grants.put_away(case.seen, by=by, now=self._now())
            yield case

    def _again(self, box: DeadLetterQueue, case: DeadLetter, more: int, by: str, pace: _Pace) -> str:
        """Send one case again, where it may be."""
        if case.kind is Kind.ENDED:
            return "removed"
        pace.wait()
        if case.kind is Kind.UPLOAD:
            box.send_again(case.letters[0].body)
            return "sent"
        if case.seen is None or case.batch is None or case.video is None:
            raise AssertionError("only rows with a video are sent again")
        allowed = None if case.closed or not case.requests else case.attempts + more
        leave = AttemptGrant(case.batch.project, case.video.id, case.fingerprint, case.attempts, allowed, by)
        if not self._allowed(case.seen, leave):
            return "moved"
        message = Message(batch=case.batch.id, project=case.batch.project, row=case.seen.row, video=case.video)
        box.send_again(message.model_dump_json())
        return "sent"

    def _allowed(self, seen: RowSnapshot, leave: AttemptGrant) -> bool:
        """Allow another try; again where only the batch has moved, which the try before this one may have opened."""
        for _ in range(TRIES):
            state = self._catalog.batch(seen.batch).state
            if self._grants.allow(seen, leave, state, now=self._now()):
                return True
        return False

    # ------------------------------------------------------------------------------------------------ what is the case

    def _rows(self, letters: Mapping[tuple[str, int], Sequence[tuple[QueuedMessage, Message]]]) -> Iterator[DeadLetter]:
        """The cases of rows: the dead ones, and those that a letter is of."""
        keys = list(dict.fromkeys([*((it.batch, it.row) for it in self._grants.dead()), *letters]))
        rows = self._grants.rows(keys)
        batches = {name: self._batch(name) for name in {batch for batch, _ in keys}}
        for key in keys:
            its, seen, batch = letters.get(key, ()), rows.get(key, RowSnapshot(*key)), batches[key[0]]
            pile = tuple(letter for letter, _ in its)
            said = next((letter.reason for letter in pile if letter.reason), "")
            if batch is None:
                for letter in pile:
                    reason = letter.reason or f"unknown_batch: the catalog has no batch {key[0][:80]!r}"
                    yield DeadLetter(letter.id, Kind.UNREADABLE, reason, letter.sent_at, (letter,))
                continue
            kind = _kind(seen)
            if kind is not Kind.DEAD and not pile:  # the index is a moment behind
                continue
            died = datetime.fromisoformat(seen.ended_at) if kind is Kind.DEAD else min(it.sent_at for it in pile)
            video = its[0][1].video if its else None
            name = (video.id if video else seen.video) or f"{batch.id}#{seen.row}"
            reason = (seen.reason if kind is Kind.DEAD else said) or _MOVED
            yield DeadLetter(name, kind, reason, died, pile, seen, batch, video)

    def _batch(self, name: str) -> Batch | None:
        try:
            return self._catalog.batch(name)
        except KeyError:
            return None

    def _costed(self, cases: Sequence[DeadLetter], more: int) -> list[DeadLetter]:
        """Cases with their video's history, and what another try can cost."""
        marks = {id(case): self._terms.fingerprint(case.video) if case.video else "" for case in cases}
        about = [(case, case.batch, case.seen) for case in cases]
        keys = [
            (batch.project, case.id, mark)
            for case, batch, seen in about
            if batch and seen
            for mark in (marks[id(case)], seen.fingerprint)
            if mark
        ]
        entries = self._grants.entries(dict.fromkeys(keys))
        newest = self._grants.newest(dict.fromkeys((project, video) for project, video, _ in keys))
        costed = []
        for case, batch, seen in about:
            if batch is None or seen is None:
                costed.append(case)
                continue
            none = VideoRecord()
            mark = marks[id(case)] or seen.fingerprint
            entry = entries.get((batch.project, case.id, mark), none)
            died = entries.get((batch.project, case.id, seen.fingerprint), entry)
            closed = ""
            if batch.cancelled:
                closed = "the batch was cancelled"
            elif newest.get((batch.project, case.id), "") > batch.upload.order:
                closed = "a newer manifest has this video"
            elif entry.answers(self._terms.policy):
                closed = "the video has been parsed since"
            requests, worst = 0, Amount()
            if case.kind in (Kind.DEAD, Kind.STRAYED) and not closed:
                bound = self._terms.bound(case.video, self._survey(batch))
                requests = self._terms.requests(entry.attempts, more) if bound.requests else 0
                worst = _times(bound, requests)
            costed.append(
                replace(
                    case,
                    entry=died,
                    fingerprint=mark,
                    attempts=entry.attempts,
                    requests=requests,
                    worst=worst,
                    closed=closed,
                )
            )
        return costed

    def _survey(self, batch: Batch) -> Survey:
        if batch.id not in self._surveys:
            self._surveys[batch.id] = self._catalog.survey(batch.id)
        return self._surveys[batch.id]

    def _read(self, cases: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Cases with their videos, those without a letter read from the manifests that they came with."""
        wanted: dict[str, tuple[Batch, set[int]]] = {}
        for case in cases:
            if case.kind is Kind.DEAD and case.video is None and case.seen and case.batch:
                wanted.setdefault(case.batch.id, (case.batch, set()))[1].add(case.seen.row)
        videos = {
            (batch.id, row): video for batch, rows in wanted.values() for row, video in self._from_manifest(batch, rows)
        }
        return [
            replace(case, video=videos.get((case.seen.batch, case.seen.row))) if case.seen and not case.video else case
            for case in cases
        ]

    def _from_manifest(self, batch: Batch, rows: set[int]) -> Iterator[tuple[int, Video]]:
        numbers = self._there.parameters
        limits = ReadingLimits(
            row_max_bytes=int(numbers["RowMaxBytes"]),
            total_max_bytes=int(numbers["ManifestMaxBytes"]),
            max_ratio=int(numbers["ManifestMaxRatio"]),
        )
        uploads = UploadsBucket(self._there.client("s3"))
        with tempfile.TemporaryFile() as file:
            try:
                uploads.fetch(batch.upload, file, max_bytes=int(numbers["ManifestMaxBytes"]))
                for message in accepted_messages(batch, file, uploads, limits):
                    if message.row in rows:
                        yield message.row, message.video
            except (
                ObjectDeleted,
                ManifestTooLarge,
            ):  # it was taken away by hand: such a case cannot be sent, and says so
                return


_MOVED = f"{MOVED}: SQS moved the message here by itself: its worker crashed or timed out"


class _Pace:
    """Keeps to a rate."""

    def __init__(self, rate: float) -> None:
        self._seconds = 1 / rate
        self._next = time.monotonic()

    def wait(self) -> None:
        """Wait for one's turn."""
        now = time.monotonic()
        if self._next > now:
            time.sleep(self._next - now)
        self._next = max(self._next, now) + self._seconds


def _kind(seen: RowSnapshot) -> Kind:
    if seen.state is RowState.DEAD:
        return Kind.DEAD
    return Kind.STRAYED if seen.state in (None, RowState.QUEUED) else Kind.ENDED


def _upload(letter: QueuedMessage) -> DeadLetter:
    """The case of a letter that ingest could not take."""
    key = ""
    try:
        body = json.loads(letter.body)
        key = body["continue"]["key"] if "continue" in body else body["Records"][0]["s3"]["object"]["key"]
    except (ValueError, LookupError, TypeError):  # whatever it is, it is shown as it came
        key = letter.body[:80]
    return DeadLetter(letter.id, Kind.UPLOAD, f"{UPLOAD}: {key}", letter.sent_at, (letter,))


def _times(bound: Amount, requests: int) -> Amount:
    """The bound of so many requests."""
    return Amount(
        bound.requests * requests,
        bound.input_tokens * requests,
        bound.output_tokens * requests,
        bound.micro_usd * requests,
    )
