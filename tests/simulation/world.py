"""One schedule: owners upload, workers start and die, faults occur; then the faults stop, and all work ends."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import shutil
import tempfile
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError
from tests.simulation import dynamo, queues, s3
from tests.simulation.choices import Choices
from tests.simulation.edits import EDITS, edit, put_right
from tests.simulation.invariants import ENDED, Invariants
from tests.simulation.plan import AMPLE, COST, TOKENS, draw_plan
from tests.simulation.provider import MODEL, OUTPUT_TOKENS, Provider
from tests.simulation.scheduler import Died, Event, Pool, Scheduler, Worker
from tests.simulation.versions import change_messages
from tests.simulation.wire import Wire

from titlecard import extraction, telemetry
from titlecard.aws.dynamodb.catalog import NEVER, stamp
from titlecard.aws.dynamodb.catalog.keys import batch_of_row, row_key
from titlecard.aws.errors import KeyUnreadable, LeaseHeld, LedgerUnavailable
from titlecard.domain.batch import Message, RowState, Upload, upload_order
from titlecard.domain.clock import CLOCK_ERROR_SECONDS
from titlecard.domain.money import Budget, Cap, Total
from titlecard.domain.reasons import Hold
from titlecard.domain.video import Policy, Video
from titlecard.extraction.surveying import survey_batch
from titlecard.settings import IngestSettings, ParserSettings, SweeperSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.simulation.choices import Name
    from tests.simulation.dynamo import Key
    from tests.simulation.edits import Edited
    from tests.simulation.expressions import Item
    from tests.simulation.production import Code
    from tests.simulation.queues import Letter

    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import Survey

VISIBILITY, TIMEOUT, DEADLINE, MARGIN, BACKOFF = 720, 90, 30, 10, 60
INGEST_VISIBILITY, INGEST_TIMEOUT, SWEEPER_TIMEOUT = 5400, 900, 60
RETENTION, DEAD_RETENTION = 345_600, 1_209_600
MAX_RECEIVES, INGEST_MAX_RECEIVES, PARSERS = 6, 5, 3
AUDIT_AFTER, INGEST_AFTER, AUDIT_ROUNDS = 3600, INGEST_VISIBILITY + 60, 3
"""The template's numbers; a schedule needs no others."""

FOR_A_PERSON = {str(it) for it in (Hold.NO_BUDGET, Hold.PAUSED, Hold.BREAKER_OPEN)}
"""The holds that keep a due row deferred until a person acts; `USED_UP` holds give it another date."""

WRONG = (-420.0, 1_000.0, -90_000.0, 90_000.0, 310.0, -310.0, 600.0, -600.0)
"""The errors of clocks with which AWS refuses signed requests, in seconds."""

INVOKE_TRIES = 3
"""The tries of a call of Lambda."""

ROW_MAX, MANIFEST_MAX, RATIO_MAX = 131_072, 1 << 20, 200
PROJECT, OTHER = "djangocon", "pycon"
"""The main project of a schedule, and a second one."""

_ingest_settings, _parser_settings, _sweeper_settings = map(cache, (IngestSettings, ParserSettings, SweeperSettings))
"""Settings are frozen, and pydantic-settings reads the environment for each, which took a seventh of a schedule."""

PROJECTS = (PROJECT, OTHER)
BUCKET = "titlecard-uploads"

TITLES = (
    "Ana Lima - Parsing with Grace - ConfX 2019",
    "Bo Chen - Queues that Forget - ConfX 2019",
    "Carl Sund & Dina Roy - Ledgers - ConfX 2019",
    "Keynote: Eve Ode - On Time - ConfX 2019",
    "Lightning Talks - ConfX 2019",
)


class World:
    """The world of one schedule.

    Args:
        code: the driven production modules.
        seed: the seed of the schedule.
        kept: the choices of a replayed schedule.
        tell: whether to keep a trace.
        store: the class that replaces DynamoDB.
        like: the fixed parts of the plan, which are not drawn.
    """

    def __init__(
        self,
        code: Code,
        seed: int,
        kept: Mapping[Name, int] | None = None,
        *,
        tell: bool = False,
        store: type[dynamo.Store] = dynamo.Store,
        like: Mapping[str, Any] = {},
    ) -> None:
        self.code = code
        self.choices = Choices(seed, kept)
        self.plan = plan = replace(draw_plan(self.choices), **like)
        self.clocks = plan.apart + 2.0
        self.unversioned = plan.unversioned
        self.scheduler = Scheduler(self.choices)
        told: list[str] | None = [] if tell else None
        self.wire = Wire(self.scheduler, plan.chance, plan.deadly, told, busy_steps=plan.busy, slow=plan.slow)
        self.invariants = Invariants(self)
        self.store = store("catalog", "ledger", watch=self._wrote)
        self.s3 = s3.Client(self.wire)
        self.bus = s3.Bus(self.wire)
        dead = queues.Queue("work-dead", 30, DEAD_RETENTION, lambda _when: None)
        ingest_dead = queues.Queue("ingest-dead", 30, DEAD_RETENTION, lambda _when: None)
        self.queues = {
            "work": queues.Queue("work", VISIBILITY, RETENTION, self._work_shows, dead, MAX_RECEIVES),
            "ingest": queues.Queue(
                "ingest", INGEST_VISIBILITY, RETENTION, self._ingest_shows, ingest_dead, INGEST_MAX_RECEIVES
            ),
            "work-dead": dead,
            "ingest-dead": ingest_dead,
        }
        self.provider = Provider(
            self.wire,
            plan.asked_badly,
            not plan.priced,
            plan.declared,
            self.invariants.sending,
            self.invariants.billing,
            self.invariants.answered,
        )
        self.budgets: dict[str, list[tuple[float, Budget]]] = {
            project: [(0.0, Budget(plan.daily, plan.monthly))] for project in PROJECTS
        }
        self.accepted: dict[str, list[int]] = {}
        self.moved_by_hand: set[str] = set()
        self.purged = False
        self.overwritten = False
        self.spoilt: set[Key] = set()
        self.died_with: set[tuple[str, int]] = set()
        self._videos: dict[Key, Video] = {}
        self._parsers: list[Any] = []
        self._working = 0
        self._number = 0
        self._ticks: set[float] = set()
        self.cut_short = False
        self.edited: Edited | None = None
        self._stage()
        self._compose()

    # ---------------------------------------------------------------------------------------------------- the run

    def run(self) -> None:
        """Run the whole schedule.

        Raises:
            Violation: a promise is broken.
        """
        plan = self.plan
        self._set_up()
        self._upload(PROJECT, 1, plan.rows)
        if plan.newer:
            self.scheduler.at(plan.newer_after, lambda: self._upload(PROJECT, 2, self._changed()))
        if plan.other:
            self.scheduler.at(plan.other_after, lambda: self._upload(OTHER, 1, plan.other))
        whom = self.code["aws.dynamodb.ledger"].EVERY_PROJECT if plan.every else PROJECT
        for when, event in (
            (plan.rubbish, self._send_rubbish),
            (plan.redrives_at, self._move_by_hand),
            (plan.removed_at, self._remove),
            (plan.edited_at, self._edit),
            (plan.changed_at, self._change_messages),
            (plan.purged_at, self._purge),
            (plan.redriven_at, self._redrive),
        ):
            if when:
                self.scheduler.at(when, event)
        for when, act in (
            (plan.paused_at, lambda: self._ledger.pause(whom, now=self.now())),
            (plan.cancelled_at, self._cancel),
            (plan.raised_at, lambda: self._ledger.set_budget(PROJECT, _ample(), by="person", now=self.now())),
            (plan.lowered_at, lambda: self._ledger.set_budget(PROJECT, LOWERED, by="person", now=self.now())),
            (plan.mended_at, self._mend),
        ):
            if when:
                self.scheduler.at(when, partial(self._person, act))
        self._tick_by(60.0)
        self.scheduler.run()
        self.choices.quiet = True
        self.invariants.at_rest()
        if self.scheduler.failure:
            raise self.scheduler.failure

    # ------------------------------------------------------------------------------------------------------- its state

    def now(self) -> datetime:
        """Return the time by the running worker's clock."""
        return self.plan.start + timedelta(seconds=self.scheduler.now + self.scheduler.current.worker.skew)

    def _when(self, seconds: float) -> datetime:
        return self.plan.start + timedelta(seconds=seconds)

    def remaining(self) -> float:
        """Return the running worker's remaining time, in seconds."""
        return self.scheduler.current.worker.ends - self.scheduler.now

    def batches(self) -> list[Item]:
        """Return the items of all batches."""
        return [item for (_, sort), item in self.store.tables["catalog"].items() if sort == "batch"]

    def row(self, batch: str, number: int) -> Item | None:
        """Return a row's item, by its batch's partition key and its number."""
        key = row_key(batch.removeprefix("batch#"), number)
        return self.store.peek("catalog", (key["pk"], key["sk"]))

    def batch_of(self, row: Key) -> Item:
        """Return the item of a row's batch."""
        return self.store.tables["catalog"][f"batch#{batch_of_row({'pk': row[0]})}", "batch"]

    def letters(self) -> list[Letter]:
        """Return the dead letters of the work queue."""
        return self.queues["work-dead"].letters

    def has_letter(self, batch: str, row: int) -> bool:
        """Return whether a dead row is among the dead letters, or was moved from there by hand."""
        project = self.store.tables["catalog"][batch, "batch"]["project"]
        wanted = f'{{"batch":"{batch.removeprefix("batch#")}","project":"{project}","row":{row},'
        bodies = [letter.body for letter in self.letters()]
        gone = bool(self.plan.removed_at) or self.overwritten  # then the video is unknown
        return gone or any(body.startswith(wanted) for body in (*bodies, *self.moved_by_hand))

    def video_of(self, key: Key) -> Video:
        """Return the video of a record's key."""
        return self._videos[key]

    def cap_of(self, entry: Item) -> int:
        """Return the most attempts that a video may have under a fingerprint."""
        return max(self.plan.cap, int(entry.get("allowed", 0)))

    def improvable(self, talk: Mapping[str, Any]) -> bool:
        """Return whether a stored talk is not final."""
        return (
            Policy.MODEL in {self.plan.policy, self.plan.later} and talk["tier"] == "local" and talk["review"] is None
        )

    def budget_of(self, project: str) -> Budget:
        """Return a project's current budget."""
        return self.budgets[project][-1][1]

    def limit_of(self, key: Key, name: str, since: float) -> int | None:
        """Return the highest limit of a ledger's counter since a second of the schedule; None for no limit."""
        if key[0].startswith("project#") and "#" not in name:
            day, _, part = name.partition("_") if name[:1] == "d" and name[1:3].isdigit() else ("", "", name)
            budgets = self.budgets[key[0].removeprefix("project#")]
            first = max(number for number, (when, _) in enumerate(budgets) if when <= since or not number)
            caps = [budget.daily if day else budget.monthly for _, budget in budgets[first:]]
            limits = [cap.as_map().get(part) for cap in caps]
            return None if None in limits else max(limit for limit in limits if limit is not None)
        if key[0].startswith("batch#"):
            limits = self.store.tables["catalog"][key[0], "batch"]["limits"]
            return int(limits[name]) if name in limits else None
        return None

    # -------------------------------------------------------------------------------------------------- making things

    def _stage(self) -> None:
        """Replace production's clock, threads and random values with the schedule's."""
        Pool.scheduler = self.scheduler
        rest, chance = SimpleNamespace(sleep=self.scheduler.sleep), SimpleNamespace(uniform=self._uniform)
        files = SimpleNamespace(TemporaryFile=io.BytesIO, TemporaryDirectory=_folder)
        local_tier = SimpleNamespace(parse=self._parse)
        checkpoints, ahead = (2, 2) if self.plan.small else (2000, 32)
        self._replace("pipeline.job", extraction=local_tier)
        watched = SimpleNamespace(**{**vars(telemetry), "work_failed": self._work_failed})
        self._replace("pipeline.parse", ThreadPoolExecutor=Pool, random=chance, telemetry=watched)
        self._replace("pipeline.canary", time=rest)
        self._replace("pipeline.ask", uuid4=self._token, random=chance)
        self._replace(
            "pipeline.ingest",
            ThreadPoolExecutor=Pool,
            uuid4=self._name,
            tempfile=files,
            survey_batch=lambda _rows: _SURVEY,
            ROWS_BETWEEN_CHECKPOINTS=checkpoints,
            CHUNKS_IN_FLIGHT=ahead,
        )
        self._replace("pipeline.audit", tempfile=files)
        self._replace("pipeline.requeue", ThreadPoolExecutor=Pool)
        self._replace(
            "pipeline.lease", ThreadPoolExecutor=Pool, uuid4=self._name, Event=partial(Event, self.scheduler), time=rest
        )
        stored = SimpleNamespace(from_stored=lambda _whole, _parts: _SURVEY)
        self._replace("aws.dynamodb.catalog.batches", BatchSurvey=stored)
        self._replace("aws.dynamodb.catalog.rows", uuid4=self._name)
        self._replace("aws.dynamodb.catalog.table", ThreadPoolExecutor=Pool, time=rest, random=chance)
        self._replace("aws.sqs", time=rest, ENTRIES_PER_SEND=1 if self.plan.small else 10)

    def _work_failed(self, _message: Message | None, error: Exception) -> None:
        """End the schedule: the parser has caught an exception that no schedule may cause."""
        self.scheduler.fail(error)

    def _replace(self, name: str, **replacements: object) -> None:
        """Replace names of a production module, which must have them: otherwise the replacement would do nothing."""
        module = vars(self.code[name])
        if missing := replacements.keys() - module.keys():
            raise AssertionError(f"{name} has no {', '.join(missing)} to replace")
        module.update(replacements)

    def _compose(self) -> None:
        """Build the objects that the handlers make at cold start and share."""
        code, plan = self.code, self.plan
        self._clients = SimpleNamespace(
            catalog=dynamo.Client(
                self.store,
                self.wire,
                "catalog",
                config=code["aws.dynamodb.catalog"].CATALOG_CONFIG,
                page=plan.page,
                hot=plan.hot,
            ),
            ledger=dynamo.Client(
                self.store, self.wire, "ledger", config=code["aws.dynamodb.ledger"].LEDGER_CONFIG, hot=plan.hot
            ),
            sqs=queues.Client(self.queues, self.wire),
            s3=self.s3,
            events=self.bus,
            functions=SimpleNamespace(invoke=self._invoke),
        )
        self._ledger = code["aws.dynamodb.ledger"].Ledger(self._clients.ledger, "ledger")
        self._work = code["aws.sqs"].WorkQueue(self._clients.sqs, "work")
        self._notifications = code["aws.sqs"].IngestQueue(self._clients.sqs, "ingest")
        limits = self._limits()
        self._ingest = code["bootstrap"].ingest(
            _ingest_settings(
                catalog_table="catalog",
                work_queue_url="work",
                ingest_queue_url="ingest",
                sweeper_function="sweeper",
                manifest_max_bytes=MANIFEST_MAX,
                manifest_max_ratio=RATIO_MAX,
                row_max_bytes=ROW_MAX,
                survey_sample_rows=100,
                ingest_continuations=100,
                batch_request_limit=limits.requests,
                batch_token_limit=limits.tokens,
                batch_micro_usd_limit=limits.micro_usd,
            ),
            self._clients,
            now=self.now,
        )
        self._sweeper = code["bootstrap"].sweeper(
            _sweeper_settings(
                catalog_table="catalog",
                ledger_table="ledger",
                work_queue_url="work",
                work_dead_letter_queue_url="work-dead",
                ingest_queue_url="ingest",
                ingest_visibility_seconds=INGEST_VISIBILITY,
                sweeper_limit=plan.most,
                audit_after_seconds=AUDIT_AFTER,
                audit_rounds=AUDIT_ROUNDS,
                manifest_max_bytes=MANIFEST_MAX,
                manifest_max_ratio=RATIO_MAX,
                row_max_bytes=ROW_MAX,
            ),
            self._clients,
            now=self.now,
        )

    def _catalog(self) -> Any:  # noqa: ANN401 -- of the set of modules
        return self.code["aws.dynamodb.catalog"].Catalog(self._clients.catalog, "catalog")

    def _parser(self) -> Any:  # noqa: ANN401 -- of the set of modules
        plan = self.plan
        return self.code["bootstrap"].parser(
            _parser_settings(
                catalog_table="catalog",
                ledger_table="ledger",
                work_queue_url="work",
                work_dead_letter_queue_url="work-dead",
                sweeper_function="sweeper",
                tier_policy=plan.later if plan.later and self.scheduler.now >= plan.later_at else plan.policy,
                model=MODEL,
                service_tier="default",
                max_output_tokens=OUTPUT_TOKENS,
                key_secret_prefix="titlecard/",  # noqa: S106 -- the names' beginning, no secret
                max_receive_count=MAX_RECEIVES,
                attempt_cap=plan.cap,
                visibility_seconds=VISIBILITY,
                request_deadline_seconds=DEADLINE,
                settle_margin_seconds=MARGIN,
                retry_backoff_seconds=BACKOFF,
                breaker_threshold=plan.threshold,
            ),
            self._clients,
            keys=self,
            model=self.provider,
            now=self.now,
        )

    def _limits(self) -> Total:
        """Return a batch's limits: room for `plan.room` requests and a bit."""
        room = self.plan.room
        return Total(requests=room + 1, tokens=TOKENS * room + 7, micro_usd=COST * room + 1)

    def of(self, project: str, *, fresh: bool = False) -> str | None:
        """Return a project's key."""
        if self.choices(f"{self.scheduler.current.name} has no key", 0.3 if fresh else self.wire.chance):
            self.wire.fates["keys: not readable"] += 1
            message = "simulated"
            raise KeyUnreadable(message)
        return f"sk-{project}" if self.plan.keyed else None

    def _parse(self, video: Video, _survey: Survey) -> LocalParse:
        if video.id.startswith("poison") or (video.id.startswith("deadly") and self.choices("deadly", 0.5)):
            self.wire.tell(f"killed by {video.id}")
            self.scheduler.die()
        return _parsed(video)

    def _token(self) -> SimpleNamespace:
        token = self._name()
        self.scheduler.current.notes = self.invariants.begin(token.hex)
        return token

    def _name(self) -> SimpleNamespace:
        self._number += 1
        return SimpleNamespace(hex=f"{self._number:012d}")

    def _uniform(self, low: float, high: float) -> float:
        return (high, low)[self.choices(self.scheduler.current.name, 0.5)]

    # ------------------------------------------------------------------------------------------------- what happens

    def _upload(self, project: str, version: int, kinds: tuple[str, ...]) -> None:
        videos = [_video(number, kind, version) for number, kind in enumerate(kinds, 1)]
        content = b"".join(video.model_dump_json(exclude_none=True).encode() + b"\n" for video in videos)
        self.overwritten |= self.unversioned and version > 1
        name, etag = "null" if self.unversioned else f"v{version}", f'"{project}-{version}"'
        self.s3.upload(_manifest(project), name, content, {}, etag)
        order = upload_order((self.plan.start + timedelta(seconds=self.scheduler.now)).isoformat(), str(version))
        upload = Upload(BUCKET, _manifest(project), name, order, etag)
        self.accepted[f"batch#{upload.batch}"] = list(range(1, len(videos) + 1))
        for video in videos:
            self._known(project, video)
        self.queues["ingest"].put(json.dumps({"continue": asdict(upload)}), self.scheduler.now)
        if self.choices("S3 notifies twice", 0.1):
            self.queues["ingest"].put(json.dumps({"continue": asdict(upload)}), self.scheduler.now)

    def _changed(self) -> tuple[str, ...]:
        """Return the kinds of the newer manifest's rows: the same, or others."""
        return tuple(
            kind if change == "same" else f"{change} {kind}"
            for kind, change in zip(self.plan.rows, self.plan.newer, strict=False)
        )

    def _known(self, project: str, video: Video) -> None:
        fingerprint = self.code["pipeline.parse"].fingerprint
        for model in (MODEL, None):
            mark = fingerprint(video, model=model, prompt_version=self.provider.prompt_version)
            self._videos[f"video#{project}#{video.id}", f"fp#{mark}"] = video

    def _send_rubbish(self) -> None:
        self.queues["work"].put("no message", self.scheduler.now)
        row = {"batch": "unknown", "project": "djangocon", "row": 1, "video": {"id": "a", "title": "b"}}
        self.queues["work"].put(json.dumps(row), self.scheduler.now)

    def _move_by_hand(self) -> None:
        """Move the dead letters back, as the message-move task of SQS does."""
        for letter in self.letters():
            self.moved_by_hand.add(letter.body)
            self.queues["work"].put(letter.body, self.scheduler.now)
        self.letters().clear()

    def _set_up(self) -> None:
        """Set the budgets, as a person does before the schedule."""
        if self.plan.budgeted:
            quiet, self.choices.quiet = self.choices.quiet, True
            budget = Budget(self.plan.daily, self.plan.monthly)
            self._ledger.set_budget(PROJECT, budget, by="person", now=self.now())
            there = self.store.tables["ledger"]["budgets", PROJECT]
            self.store.put("ledger", {"Item": {**there, "sk": OTHER}})  # a second call would advance the clock
            self.choices.quiet = quiet

    def _person(self, act: Callable[[], object]) -> None:
        """Run a person's command of the console, and repeat it every minute until it succeeds."""
        worker = self._started("person", SWEEPER_TIMEOUT)
        self.scheduler.spawn(worker.name, worker, partial(self._insisting, act))

    def _insisting(self, act: Callable[[], object]) -> None:
        done = False
        try:
            act()
            done = True
        except (ClientError, BotoCoreError, LedgerUnavailable):
            return
        finally:
            if not done:
                self.scheduler.at(self.scheduler.now + 60, partial(self._person, act))
            self._tick_by(self.scheduler.now + 60)

    def _edit(self) -> None:
        """Edit the ledger by hand, and correct it later."""
        day = self._when(self.scheduler.now)
        self.edited = edit(self.store, self.plan.edit, PROJECT, day, self.scheduler.now)
        if self.edited:
            self.wire.tell(f"somebody writes by hand: {self.edited}")
            self.wire.fates[f"ledger edited: {EDITS[self.plan.edit][0]}"] += 1
            self.scheduler.at(self.scheduler.now + self.plan.edit_mended_after, self._put_right)

    def _put_right(self) -> None:
        if self.edited:
            self.wire.tell("somebody puts right what was written by hand")
            put_right(self.store, self.edited)
            self.edited = None
            self._tick_by(self.scheduler.now, wakes=True)

    def _cancel(self) -> None:
        for batch in self._catalog().all_batches(PROJECT):
            if self._catalog().cancel(batch, now=self.now()):
                self._ledger.cancel(batch.id, now=self.now())
            return

    def _mend(self) -> None:
        """Lift the pause and close the breaker, as `titlecard resume PROJECT` or `--all` does."""
        if self.plan.every:
            self._ledger.unpause(self.code["aws.dynamodb.ledger"].EVERY_PROJECT)
        self._ledger.unpause(PROJECT)
        self._ledger.close_breaker(PROJECT)

    def _change_messages(self) -> None:
        """Deploy another version while messages and rows wait."""
        self.spoilt |= change_messages(self.plan.change, self.store, self.queues["work"])
        self.wire.fates[f"messages changed: {self.plan.change}"] += 1

    def _purge(self) -> None:
        """Purge the queue, as a person may do: the audit sends the rows again."""
        self.queues["work"].letters.clear()
        self.purged = True

    def _remove(self) -> None:
        """Delete an open batch's manifest and purge the queue, which a person should not do."""
        self._purge()
        self.s3.remove(_manifest(PROJECT), "null" if self.unversioned else "v1", everything=self.plan.removed)

    def _redrive(self) -> None:
        """Redrive the dead letters one by one, as a person does with the console."""
        self._person(self._allow_all)

    def _allow_all(self) -> None:
        grants = self.code["aws.dynamodb.catalog.grants"]
        table = grants.Grants(self._clients.catalog, "catalog")
        for letter in list(self.letters()):
            with contextlib.suppress(ClientError, BotoCoreError, ValidationError, KeyError):
                message = Message.model_validate_json(letter.body)
                batch = self._catalog().batch(message.batch)
                seen = table.rows([(message.batch, message.row)])[message.batch, message.row]
                if seen.state not in {RowState.DEAD, RowState.QUEUED}:
                    continue
                mark = self.code["pipeline.parse"].fingerprint(
                    message.video, model=MODEL, prompt_version=self.provider.prompt_version
                )
                about = (message.project, message.video.id, mark)
                entry = table.video_records([about]).get(about)
                tried = entry.attempts if entry else 0
                leave = grants.AttemptGrant(*about, tried, tried + 1, "a person")
                if table.allow(seen, leave, batch.state, now=self.now()):
                    self._work.send([message])
                    self.letters().remove(letter)

    def _wrote(self, table: str, key: Key, old: Item | None, new: Item | None) -> None:
        if self.edited and key == self.edited.key and not self.edited.stands(new):
            self.edited = None
        if key[0] == "budgets" and new:
            budget = self.code["aws.dynamodb.ledger.accounts"].budget_of(new)
            self.budgets[key[1]].append((self.scheduler.now, budget))
        if table == "ledger":  # something may have become possible
            self._tick_by(self.scheduler.now + 60, wakes=True)
        self.invariants.wrote(table, key, old, new)
        if table == "catalog" and key[0].startswith(("batch#", "rows#", "tally#")):
            if not key[1].startswith("row#"):
                self._tick_by(self.scheduler.now + 60)
            self._tick_by(self.scheduler.now + AUDIT_AFTER + 60)
            batch = self.store.peek("catalog", (f"batch#{key[0].split('#')[1]}", "batch")) or {}
            if batch.get("state") in {"counting", "sending"}:
                self._tick_by(self.scheduler.now + INGEST_VISIBILITY + 180)
            due = (new or {}).get("due", "9999") if key[1].startswith("row#") else "9999"
            if due < "9999":
                self._tick_by((datetime.fromisoformat(due) - self.plan.start).total_seconds(), wakes=True)

    # ------------------------------------------------------------------------------------------------ the platform

    def _work_shows(self, when: float) -> None:
        self._tick_by(self.scheduler.now + RETENTION)
        self.scheduler.at(max(when, self.plan.off_until), self._poll_work)

    def _poll_work(self) -> None:
        queue, scheduler = self.queues["work"], self.scheduler
        while self._working < PARSERS and any(letter.visible <= scheduler.now for letter in queue.letters):
            most = (10, 1, 2, 3)[self.choices("event source", 0.3, 4)]
            letters = queue.receive(
                scheduler.now,
                most,
                lambda number: self.choices("order", 0.3, number),
                lambda: bool(self.choices("delivered twice", self.plan.chance / 2)),
            )
            if letters:
                self._working += 1
                worker = self._started(f"parser {letters[0].receipt}", TIMEOUT, self._skew())
                worker.unsigned = not all(self._shows(worker.skew, letter) for letter in letters)
                scheduler.spawn(worker.name, worker, partial(self._work_on, letters))

    def _skew(self) -> float:
        """Return the error of a worker's clock in seconds: a few or, if the plan says so, minutes or a day."""
        if wrong := self.choices("wrong clock", self.plan.wrong_clocks, len(WRONG) + 1):
            self.wire.fates[f"clock: {'ahead' if WRONG[wrong - 1] > 0 else 'behind'}"] += 1
            return WRONG[wrong - 1]
        return (0.0, self.plan.apart, -self.plan.apart)[self.choices("clocks", 0.3, 3)]

    def _shows(self, skew: float, letter: Letter) -> bool:
        """Return whether the clock is right, or the message shows its error; otherwise AWS refuses its requests."""
        if abs(skew) <= CLOCK_ERROR_SECONDS:
            return True
        since = self.scheduler.now + skew - letter.first
        return since + TIMEOUT < -CLOCK_ERROR_SECONDS or (
            letter.receives == 1 and since > CLOCK_ERROR_SECONDS + VISIBILITY
        )

    def _started(self, name: str, seconds: float, skew: float = 0.0) -> Worker:
        worker = Worker(name, self.scheduler.now + seconds, skew)
        self.scheduler.at(worker.ends, lambda: self.scheduler.kill(worker) if worker.fibers else None)
        return worker

    def _work_on(self, letters: list[Letter]) -> None:
        """Run one invocation of the parser's handler, and the event source's reaction to its answer."""
        code, queue, scheduler = self.code["pipeline.parse"], self.queues["work"], self.scheduler
        changed = self.plan.later and scheduler.now >= self.plan.later_at  # a deployment ends warm workers
        parser = self._parsers.pop() if self._parsers and not changed else self._parser()
        try:
            received = [code.Received(it.id, it.receipt, it.receives, it.body, self._when(it.first)) for it in letters]
            outcomes = parser.work(received, self.remaining)
            done = [letter for letter in letters if self._reported(letter, outcomes[letter.id])]
            self.invariants.finished(scheduler.current.worker)
            scheduler.step()
        except (ClientError, BotoCoreError):
            self._parsers.append(parser)
        except Died:
            self.died_with |= {row for letter in letters if (row := _row_in(letter.body))}
            raise
        else:
            self._parsers.append(parser)
            for letter in done:
                if not self.choices("not deleted", self.plan.chance / 2):
                    queue.delete(letter.receipt)
                    self.invariants.acknowledged(letter.body)
        finally:
            self._working -= 1
            scheduler.at(scheduler.now, self._poll_work)

    def _reported(self, letter: Letter, outcome: Any) -> bool:  # noqa: ANN401 -- of the set of modules
        if not isinstance(outcome, self.code["pipeline.outcome_types"].Redeliver):
            return True
        if outcome.seconds is not None:
            try:
                self._work.change_visibility(letter.receipt, outcome.seconds)
            except (ClientError, BotoCoreError):
                return False  # it is redelivered later
        return False

    def _ingest_shows(self, when: float) -> None:
        self.scheduler.at(when, self._poll_ingest)

    def _poll_ingest(self) -> None:
        queue, scheduler = self.queues["ingest"], self.scheduler
        while any(letter.visible <= scheduler.now for letter in queue.letters):
            for letter in queue.receive(scheduler.now, 1, lambda _number: 0, lambda: False):
                worker = self._started(letter.receipt, INGEST_TIMEOUT)
                if self.plan.ingest_dies:
                    scheduler.at(scheduler.now + 0.01 * self.plan.ingest_dies, partial(scheduler.kill, worker))
                scheduler.spawn(worker.name, worker, partial(self._take, letter))

    def _take(self, letter: Letter) -> None:
        """Run one invocation of ingest's handler, and the event source's reaction to its answer."""
        code, queue = self.code, self.queues["ingest"]
        upload = Upload(**json.loads(letter.body)["continue"])
        try:
            try:
                if not self._ingest.take(upload, self.remaining):
                    self._notifications.send_continuation(upload)
            except LeaseHeld as contended:
                self._notifications.send_continuation(upload, delay=contended.seconds or 60)
            self.scheduler.step()
        except (ClientError, BotoCoreError, code["aws.sqs"].MessagesNotSent, code["aws.s3"].ObjectDeleted):
            self._later(letter, 60 * 3 ** (letter.receives - 1))
        else:
            queue.delete(letter.receipt)

    def _later(self, letter: Letter, seconds: int) -> None:
        try:
            self._notifications.change_visibility(letter.receipt, seconds)
        except (ClientError, BotoCoreError):
            return  # it is redelivered after the queue's visibility timeout

    def _tick_by(self, when: float, *, wakes: bool = False) -> None:
        """Schedule a sweep at the first full minute after `when`; sweeps at other minutes would find nothing to do.

        Args:
            wakes: whether something may have become due.
        """
        minute = ((when + self.clocks) // 60 + 1) * 60
        self.cut_short = self.cut_short or (wakes and when >= FAR)
        if minute not in self._ticks and when < FAR:
            self._ticks.add(minute)
            self.scheduler.at(minute, self._tick)

    def in_the_way(self, batch: Item, row: Item) -> set[str]:
        """Return the holds that keep a deferred row's request from being sent now."""
        need = row.get("need")
        if not need or "cancelled_at" in batch:
            return set()  # the sweeper puts it back in any case
        ledger, today, project = self.store.tables["ledger"], self._when(self.scheduler.now), batch["project"]
        breaker = ledger.get(("breakers", project), {})
        probed = max(breaker.get("probe_at", ""), breaker.get("probe_until", "")) <= self.stamp()
        edited = self.edited is not None and project == PROJECT
        account = {
            Hold.NO_BUDGET: ("budgets", project) not in ledger,
            Hold.PAUSED: any(("pauses", whom) in ledger for whom in (project, "*")),
            Hold.BREAKER_OPEN: breaker.get("state") == "open" and not probed,
            Hold.LEDGER_UNREACHABLE: edited,
        }
        found = {str(hold) for hold, there in account.items() if there}
        if edited:
            return found
        needs = {**need, "tokens": need["input_tokens"] + need["output_tokens"]}
        month = ledger.get((f"project#{project}", f"month#{today:%Y-%m}"), {})
        budget = self.budget_of(project)
        for hold, limits, spent, prefix in (
            (Hold.BATCH_LIMIT, batch["limits"], ledger.get((batch["pk"], "spend"), {}), ""),
            (Hold.BUDGET_MONTH, budget.monthly.as_map(), month, ""),
            (Hold.BUDGET_DAY, budget.daily.as_map(), month, f"d{today:%d}_"),
        ):
            if any(spent.get(f"{prefix}{name}", 0) + needs[name] > limit for name, limit in limits.items()):
                found.add(str(hold))
        return found

    def waits_for_a_person(self, batch: Item, row: Item) -> bool:
        """Return whether a deferred row needs a person to raise a limit or resume the project."""
        if self.cut_short:
            return True
        why = self.in_the_way(batch, row)
        if row["due"] >= NEVER:
            return bool(why)
        return row["due"] <= self.stamp() and bool(why & FOR_A_PERSON)

    def overdue(self) -> dict[Key, set[str]]:
        """Return the rows that are due by the running worker's clock, with the holds in their way."""
        rows, now = self.store.tables["catalog"], min(self.stamp(), self.stamp_of(self.scheduler.current.worker))
        return {
            key: self.in_the_way(self.batch_of(key), row)
            for key, row in rows.items()
            if row.get("state") == "deferred" and row["due"] <= now
        }

    def _tick(self) -> None:
        """Start a sweep; if it would find nothing to do, only rarely, since sweeps take the most time."""
        if not self._has_work() and not self.choices("the sweeper runs without work", 0.1):
            return
        for name in ("", " again") if self.choices("the sweeper is called twice", self.plan.chance) else ("",):
            worker = self._started(f"sweeper{name} {self.scheduler.now / 60:.0f}", SWEEPER_TIMEOUT, self._skew())
            worker.unsigned = abs(worker.skew) > CLOCK_ERROR_SECONDS
            self.scheduler.spawn(worker.name, worker, self._sweep)

    def _has_work(self) -> bool:
        """Return whether a sweep would find a row that can continue, or a batch that has ended or stalled."""
        return any(self._awaits_sweeper(batch) for batch in self.batches())

    def _awaits_sweeper(self, batch: Item) -> bool:
        states = [self.row(batch["pk"], number) or {} for number in self.accepted[batch["pk"]]]
        deferred = [row for row in states if row.get("state") == "deferred"]
        if any(self._can_go_on(batch, row) for row in deferred):
            return True
        if batch["state"] in {"finished", "refused"} or (
            (batch["state"] != "open" or deferred) and batch.get("reason")
        ):
            return False
        ended = sum(row.get("state") in ENDED for row in states)
        if len(deferred) + ended == len(states):
            return not deferred
        after = AUDIT_AFTER if batch["state"] == "open" else INGEST_AFTER
        still = datetime.fromisoformat(batch["moved_at"]) + timedelta(seconds=after)
        return bool(batch.get("audit_row")) or still <= self._when(self.scheduler.now + self.clocks)

    def _can_go_on(self, batch: Item, row: Item) -> bool:
        if row["due"] >= NEVER:
            return not self.in_the_way(batch, row)
        soon = stamp(self._when(self.scheduler.now + self.clocks))
        return row["due"] <= soon and not self.in_the_way(batch, row) & FOR_A_PERSON

    def stamp_of(self, worker: Worker) -> str:
        """Return the stamp of the time by a worker's clock."""
        return stamp(self._when(self.scheduler.now + worker.skew))

    def stamp(self) -> str:
        """Return the stamp of the time."""
        return stamp(self._when(self.scheduler.now))

    def _sweep(self) -> None:
        """Run one invocation of the sweeper's handler; if it did something or ran out of time, schedule another."""
        began, overdue = self.scheduler.now, self.overdue() if self.choices.quiet else {}
        try:
            done = self._sweeper.run(self.remaining)
            self.invariants.swept(overdue, done, self.plan.most)
            if done or self.scheduler.now > began + 2:
                self._tick_by(self.scheduler.now + 60, wakes=True)
        except (
            ClientError,
            BotoCoreError,
            self.code["aws.sqs"].MessagesNotSent,
            LedgerUnavailable,
            Died,
        ) as error:
            self._tick_by(self.scheduler.now + 60, wakes=True)
            if isinstance(error, Died):
                raise
        self._tick_when_a_probe_may_be_made()

    def _invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """Replace Lambda's Invoke of the sweeper. Events are lost, late, or delivered twice."""
        assert (FunctionName, InvocationType) == ("sweeper", "Event")
        batch = json.loads(Payload)["batch"]

        def accept() -> dict[str, Any]:
            lost = self.choices("an event is lost", self.plan.chance / 2)
            twice = self.choices("an event is delivered twice", self.plan.chance / 2)
            for number in range(0 if lost else 1 + twice):
                late = self.choices("an event is late", 0.3) * 30.0
                self.scheduler.at(self.scheduler.now + late, partial(self._start_finish, batch, number))
            return {"StatusCode": 202}

        return self.wire.call("lambda", "invoke", accept, about=batch, tries=INVOKE_TRIES)

    def _start_finish(self, batch: str, number: int) -> None:
        name = f"sweeper of {batch} {number} {self.scheduler.now:.2f}"
        worker = self._started(name, SWEEPER_TIMEOUT, self._skew())
        worker.unsigned = abs(worker.skew) > CLOCK_ERROR_SECONDS
        self.scheduler.spawn(name, worker, lambda: self._sweeper.finish(batch, self.remaining))

    def _tick_when_a_probe_may_be_made(self) -> None:
        for project in PROJECTS:
            breaker = self.store.peek("ledger", ("breakers", project)) or {}
            for name in ("probe_at", "probe_until"):
                if self.stamp() <= breaker.get(name, "") < NEVER:
                    self._tick_by((datetime.fromisoformat(breaker[name]) - self.plan.start).total_seconds(), wakes=True)


FAR = 35 * 86_400.0
"""The end of a schedule, in seconds: five weeks after its beginning."""


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """Replace `TemporaryDirectory` with an existing folder, which is faster."""
    name = _folders.pop() if _folders else tempfile.mkdtemp(prefix="titlecard-simulation-")
    try:
        yield name
    finally:
        _folders.append(name)


_folders: list[str] = []


@atexit.register
def _remove_folders() -> None:
    for name in _folders:
        shutil.rmtree(name, ignore_errors=True)


def _ample() -> Budget:
    return Budget(AMPLE, AMPLE)


def _row_in(body: str) -> tuple[str, int] | None:
    """Return the batch and the row of a message; None if it is rubbish."""
    try:
        message = json.loads(body)
        return str(message["batch"]), int(message["row"])
    except (ValueError, KeyError, TypeError):
        return None


LOWERED = Budget(Cap(None, COST + 3), Cap(TOKENS * 2, None))
"""A budget that a person has lowered: one request a day, two a month."""


def _manifest(project: str) -> str:
    return f"uploads/{project}/talks.jsonl"


LARGE = 'He said "no". ' * 7_000
"""A description that nearly fills the largest row, and is longer in JSON."""

_SURVEY = survey_batch(list(enumerate(Video(id=title, title=title) for title in TITLES)))


@lru_cache(maxsize=10_000)
def _parsed(video: Video) -> LocalParse:
    """Return the local tier's answer; it is sure only of videos whose id begins with "sure"."""
    return extraction.parse(video, _SURVEY.whole)._replace(sure=video.id.startswith("sure"))


@lru_cache(maxsize=10_000)
def _video(number: int, kind: str, version: int) -> Video:
    change, _, kept = kind.rpartition(" ")
    name = f"{kept}-{number}"
    title = TITLES[number % len(TITLES)]
    description = f"version {version}" if change == "other" else LARGE if kept == "large" else ""
    return Video(id=name, title=title, description=description)
