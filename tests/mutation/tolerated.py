"""The mistakes that may survive, by the beginning of their names, and why each breaks no promise."""

from __future__ import annotations

_ALSO_FALSE = "None counts as False"
_ANY_TIMEOUT = "a call may take any time within the settle margin"
_FIRST_COUNT = "nothing has been counted before"
_NO_FACTOR = "a stated factor counts only above the other, which is at least 1, so 0 and 1 are the same"
_NO_ZERO = "a settlement has no change of zero"
_ONLY_READS = "it decides whether new rows are looked up before they end: only how much is read"
_PLACEHOLDER = "the client requires a value there, and nothing reads it"
_SAME_LENGTH = "the two lists have the same length"
_SIDE_BY_SIDE = "only how many messages are sent at the same time"
_SPEED = "only how long the import takes"

_ONE_TRY = (
    "aws.dynamodb.ledger.items: : LEDGER_CONFIG = Config("
    'retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=2, read_timeout=5)'
)
_SETTLE = "aws.dynamodb.ledger.reservations: Spending._settle"
_CHANGES = "{name: change for name, change in changes.items()"

TOLERATED: dict[str, str] = {
    'aws.dynamodb.catalog.batches: Batches.open_batch: " agenda = if_not_exists(agenda, :open), '
    'due = if_not_exists(due, :now)": if_not_exists(agenda, :open) -> :open': "it writes only to batches on that list",
    "aws.dynamodb.catalog.items: VideoRecord.answers: return False: False -> None": _ALSO_FALSE,
    "aws.dynamodb.catalog.rows: Rows.__init__: self._tally = str(int(uuid4().hex, 16)": "it is random",
    "aws.dynamodb.catalog.rows: Rows._end_rows: written.update(zip(unknown, inserted": _SAME_LENGTH,
    "aws.dynamodb.catalog.rows: packed: if len(body) < PACKED_FROM:: < -> <=": "either form is read",
    "aws.dynamodb.catalog.rows: Rows.end: endings = self._move_pointers(endings, dict(zip(": _SAME_LENGTH,
    "aws.dynamodb.catalog.rows: Rows._end_rows: for ending, new in zip(endings, written.values()": _SAME_LENGTH,
    "aws.dynamodb.catalog.rows: packed: return min(body.encode(), gzip.compress(body.encode(), mtime=0)": (
        "nothing reads the time"
    ),
    "aws.dynamodb.catalog.table: CatalogTable._put: return False: False -> None": _ALSO_FALSE,
    "aws.dynamodb.catalog.table: : parameter_validation=False": "DynamoDB checks the same",
    'aws.dynamodb.catalog.table: : retries={"total_max_attempts": 6': "any other number would do",
    "aws.dynamodb.catalog.table: : connect_timeout=2": _ANY_TIMEOUT,
    "aws.dynamodb.catalog.table: : read_timeout=5": _ANY_TIMEOUT,
    "aws.dynamodb.catalog.table: CatalogTable._insert: for place, answer in zip(some, answers": _SAME_LENGTH,
    "aws.dynamodb.catalog.results: : ROWS_PER_GET = KEYS_PER_GET // 3": "other rows take other calls",
    "aws.dynamodb.catalog.results: BatchResults._looked_up: for item, row, found in zip(items, rows": _SAME_LENGTH,
    "aws.dynamodb.catalog.upload_progress: UploadProgress: row: int = 0": "the row of the first part replaces it",
    "aws.dynamodb.ledger.breakers: Breakers.open_breaker: not_open = ": (
        "a closed breaker has no date, so the other half of the condition lets it open"
    ),
    "aws.dynamodb.ledger.reservations: Spending.months: days={day: part_of(": "no month has a 32nd day",
    "aws.dynamodb.ledger.reservations: Spending._raise: continue: continue -> pass": "the loop continues either way",
    f"{_ONE_TRY}: 2 -> 3": _ANY_TIMEOUT,
    f"{_ONE_TRY}: 5 -> 6": _ANY_TIMEOUT,
    f"{_SETTLE}: rises = {_CHANGES} if change > 0}}: > -> >=": _NO_ZERO,
    f"{_SETTLE}: changes = {_CHANGES} if change < 0}}": _NO_ZERO,
    "aws.dynamodb.ledger.reservations: Spending._change: least = ": _NO_ZERO,
    "aws.dynamodb.ledger.reservations: Spending._archive_old_days: old = {name: value for name, value in month.items() "
    "if _OF_A_DAY.match(name) and name < yesterday}: < -> <=": "a counter's name is longer than the day's prefix",
    "aws.notifications: uploads: break: break -> pass": "the loop ends with the same error",
    "aws.s3: UploadsBucket.fetch: shutil.copyfileobj(body, into, 1 << 20)": "any other size of the steps would do",
    "aws.secrets: ProjectKeys.of: if not fresh and time.monotonic() < self._keyless.get(project, 0)": (
        "no clock reads exactly that time, and none reads less than a second"
    ),
    "domain.money.budget: Window.next_month: beyond = self.day.replace(day=1)": (
        "31 days after the second of a month are in the next one as well"
    ),
    "domain.money.prices: _factor: return max(Decimal(1), stated or Decimal(0)): 0 -> 1": _NO_FACTOR,
    "domain.money.prices: _factor: return max(row.data_residency, stated or Decimal(0)): 0 -> 1": _NO_FACTOR,
    'llm.body: as_openai: "created_at": 0': _PLACEHOLDER,
    'llm.body: as_openai: "parallel_tool_calls": False': _PLACEHOLDER,
    "llm.client: Client.__init__: self._thread = threading.Thread(": (
        "a process that does not close the tier does not end, but nothing is paid or lost"
    ),
    "llm.client: Client.close: asyncio.run_coroutine_threadsafe(self._network.aclose()": (
        "no connection is kept, so there is none to close"
    ),
    "llm.client: Client.close: self._loop.close()": "the loop has ended, and its memory goes with the process",
    'llm.exchange: read_usage: output_tokens = max(output_tokens, (_count(usage, "total_tokens") or 0) - input_tokens)'
    ": 0 -> 1": ("without a total, the output is counted by itself"),
    "llm.prompt: truncate: if len(encoded) <= max_bytes:: <= -> <": "a text cut to its own length is the same",
    "llm.tier: ModelTier.worst_case: sure=False": "the prompt does not say whether the local tier is sure",
    "llm.tier: ModelTier._loaded: gc.disable()": _SPEED,
    "llm.tier: ModelTier._loaded: gc.freeze()": _SPEED,
    'pipeline.audit: Audit._audit: row, done, gone = 0, Counter(), "" if self.queue.size()': "the row is set again",
    "pipeline.audit: Audit._may_have_ended: return False: False -> None": _ALSO_FALSE,
    "pipeline.audit: Audit._end_as_dead: died = [message for message, state in zip(": _SAME_LENGTH,
    "pipeline.canary: CanaryGate.release: self._released = "
    "dict(list(self._released.items())[-100:]) | {batch: now}: 100 -> 101": "any other number of batches would do",
    "pipeline.canary: CanaryGate._take: return False: False -> True": (
        "requests then run concurrently, and the missing mark has no effect until the outcome is old"
    ),
    "pipeline.ask: Asker._not_claimed: "
    "if entry.attempts >= self._cap(entry) and entry.lease_until <= stamp(self._now()):: <= -> <": (
        "no clock reads exactly the end of a lease"
    ),
    "pipeline.ingest: : CHUNKS_IN_FLIGHT = 4 * SEND_THREADS": _SIDE_BY_SIDE,
    "pipeline.ingest: Ingest._report: text = json.dumps(": "JSON with escapes or spaces is the same text",
    "pipeline.ingest: Ingest._send: continue: continue -> pass": _SIDE_BY_SIDE,
    "pipeline.ingest: Ingest._send: if len(under_way) < CHUNKS_IN_FLIGHT:: < -> <=": _SIDE_BY_SIDE,
    'pipeline.lease: Lease.renewed: with ThreadPoolExecutor(1, thread_name_prefix="lease") as pool:: 1 -> 2': (
        "the pool has one task"
    ),
    "pipeline.parse: Parser.__init__: self._expects_new = True": _ONLY_READS,
    "pipeline.parse: Parser._end_without_look_up: self._expects_new = all": _ONLY_READS,
    "pipeline.parse: Parser._end_without_look_up: "
    "return {job.received.id: self._done(job, it) for job, it in zip(": _SAME_LENGTH,
    "pipeline.parse: Parser._look_up: first = [job.state for job in jobs if job.received.receives == 1]": _ONLY_READS,
    "pipeline.parse: Parser._look_up: if first:": _ONLY_READS,
    "pipeline.parse: Parser._look_up: self._expects_new = not any(": _ONLY_READS,
    "pipeline.parse: Parser._look_up: job.mark_is_old = state.began < stamp(self._now() - longest_life): < -> <=": (
        "no mark is exactly so old"
    ),
    "pipeline.parse: Parser._look_up: for job, state in zip(jobs, states, strict=True)": _SAME_LENGTH,
    "pipeline.requeue: Requeue.run: done += self._requeue_rows(in_time)": _FIRST_COUNT,
    'pipeline.requeue: Requeue.run: done["left to another sweep"] += 1': _FIRST_COUNT,
    'pipeline.requeue: Requeue._requeue_rows: sweep.done["cut short"] += 1': _FIRST_COUNT,
    "pipeline.requeue: _Headroom._promise: return Verdict.STAY": "a sweep reads one row more",
    "pipeline.parse: Parser._give_back_unsent: return False: False -> None": _ALSO_FALSE,
    "pipeline.parse: Parser._parse: return outcomes | {job.received.id: it for job, it in zip(": _SAME_LENGTH,
    "pipeline.parse: Parser._redeliver: seconds = max(1, round(random.uniform(": "no wait is shorter than ten seconds",
    "pipeline.parse: Parser._end: return {job.received.id: self._done(job, it) for (job, _), it in zip(": _SAME_LENGTH,
    "pipeline.parse: Parser._batch: self._known = dict(list(self._known.items())[-8:])": (
        "any other number of batches would do"
    ),
    "pipeline.publish: ResultPublisher.publish: return False: False -> None": _ALSO_FALSE,
    "pipeline.publish: ResultPublisher._part: size, row = 0, after: 0 -> 1": "a part may end a byte earlier",
    "pipeline.publish: ResultPublisher._part: if size >= PART_BYTES:: >= -> >": "likewise, or later",
    "pipeline.publish: ResultPublisher._announce: entry = ": "JSON with escapes is the same text",
}
