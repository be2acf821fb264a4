"""Log lines as JSON, and metrics in CloudWatch's embedded metric format.

Metrics are counted during an invocation and written when it ends, even if it ends with an exception; those of a breaker
are written at once, because Lambda may kill the invocation. Every metric has the dimension `service`, the stack's name,
and at most two more (`DIMENSIONS`): CloudWatch bills each combination of values as a separate metric.

Log lines name a row by batch, number and video id. They never hold titles, descriptions, presenters, keys or a
provider's messages, which may quote them: a line gives the reason's code, and the catalog has its sentence.
"""

from __future__ import annotations

import functools
import threading
import traceback
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

from titlecard.domain.money import Unmeasured
from titlecard.domain.reasons import code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from titlecard.domain.batch import Message
    from titlecard.domain.money import Amount, Billing

NAMESPACE = "Titlecard"
"""The CloudWatch namespace of every metric. The dimension `service` distinguishes stacks."""

logger = Logger()


class Metric(StrEnum):
    """Every metric that the functions emit; the template's alarms and its dashboard use these names."""

    VIDEOS = "Videos"
    REQUESTS_CHARGED = "RequestsCharged"
    TOKENS_CHARGED = "TokensCharged"
    MICRO_USD_CHARGED = "MicroUsdCharged"
    LOST_ANSWERS = "LostAnswers"
    SETTLE_FAILURES = "SettleFailures"
    DEATHS = "Deaths"
    VIDEO_FAILURES = "VideoFailures"
    ROWS_DEFERRED = "RowsDeferred"
    BUDGET_REFUSALS = "BudgetRefusals"
    BREAKER_OPENED = "BreakerOpened"
    USAGE_ABOVE_BOUND = "UsageAboveBound"
    UPLOADS_TAKEN = "UploadsTaken"
    UPLOADS_REFUSED = "UploadsRefused"
    UPLOAD_FAILURES = "UploadFailures"
    SWEEPER_RUNS = "SweeperRuns"
    SWEEPER_WORK = "SweeperWork"
    BUDGET_USED_PERCENT = "BudgetUsedPercent"
    TOKENS_EXPECTED = "TokensExpected"
    PUBLISH_LAG_SECONDS = "PublishLagSeconds"


DIMENSIONS: Mapping[Metric, tuple[str, ...]] = {
    Metric.VIDEOS: ("outcome", "tier"),
    Metric.ROWS_DEFERRED: ("reason",),
    Metric.SWEEPER_WORK: ("work",),
}
"""The dimensions of a metric besides `service`; a metric that is missing here has none."""

_UNITS = {Metric.PUBLISH_LAG_SECONDS: MetricUnit.Seconds, Metric.BUDGET_USED_PERCENT: MetricUnit.Percent}
"""The units of metrics that are not counts."""

_BUDGET_HOLDS = {"budget_day", "budget_month"}


# -------------------------------------------------------------------------------------------------------- an invocation


def invocation(handler: Callable[[Any, LambdaContext], Any]) -> Callable[[Any, LambdaContext], Any]:
    """Wrap a Lambda handler: add the invocation to its log lines, and write its metrics when it ends."""

    @logger.inject_lambda_context(log_event=False)  # overrides the environment, since events hold descriptions
    @functools.wraps(handler)
    def reporting(event: Any, context: LambdaContext) -> Any:  # noqa: ANN401 -- Lambda's signature
        _buffer.start()
        try:
            return handler(event, context)
        finally:
            _buffer.write()

    return reporting


# ----------------------------------------------------------------------------------------------------------- the events


def attempted(message: Message, *, attempt: int, bound: Amount, billing: Billing, reason: str, model: str) -> None:
    """Report one attempt: a request and its outcome.

    Args:
        attempt: its number, from 1.
        bound: the most that it could be charged.
        billing: what the provider billed, as far as is known.
        reason: `answered`, or why there is no answer.
    """
    charged = billing.charged(bound)
    _buffer.count(Metric.REQUESTS_CHARGED, charged.requests)
    _buffer.count(Metric.TOKENS_CHARGED, charged.tokens)
    _buffer.count(Metric.MICRO_USD_CHARGED, charged.micro_usd)
    if isinstance(billing, Unmeasured):
        _buffer.count(Metric.LOST_ANSWERS)
    logger.info(
        "attempt",
        **_row(message),
        attempt=attempt,
        model=model,
        bound=bound.as_map(),
        charge=charged.as_map(),
        usage_known=not isinstance(billing, Unmeasured),
        reason=code_of(reason),
    )


def deferred(message: Message, *, reason: str, due: datetime | None, bound: Amount | None) -> None:
    """Report a deferred row. `due` is None if it waits for a person, `bound` if it does not need the model."""
    code = code_of(reason)
    _buffer.count(Metric.ROWS_DEFERRED, reason=code)
    if code in _BUDGET_HOLDS:
        _buffer.count(Metric.BUDGET_REFUSALS)
    logger.info(
        "deferred",
        **_row(message),
        reason=code,
        due=due.isoformat() if due else None,
        bound=bound.as_map() if bound else None,
    )


def died(message: Message | None, *, reason: str) -> None:
    """Report a dead letter; `message` is None if it is not a manifest's row."""
    _buffer.count(Metric.DEATHS)
    logger.warning("died", **(_row(message) if message else {}), reason=code_of(reason))


def refused(*, batch: str, reason: str) -> None:
    """Report a refused upload; only its report holds the sentence, which may quote the file."""
    _buffer.count(Metric.UPLOADS_REFUSED)
    logger.warning("upload refused", batch=batch, reason=reason)


def not_settled(message: Message) -> None:
    """Report a settlement that failed: the bound stays charged."""
    _buffer.count(Metric.SETTLE_FAILURES)
    logger.warning("not settled: the bound stays charged", **_row(message))


def breaker_opened(project: str, *, reason: str) -> None:
    """Report an opened breaker, and write its metric at once."""
    _buffer.count(Metric.BREAKER_OPENED)
    logger.error("breaker opened", project=project, reason=code_of(reason))
    _buffer.write_early()


def usage_above_bound(project: str) -> None:
    """Report a request that cost more than its bound, and write its metric at once."""
    _buffer.count(Metric.USAGE_ABOVE_BOUND)
    logger.error("a request cost more than its bound", project=project)
    _buffer.write_early()


def videos(outcome: str, tier: str | None, number: int) -> None:
    """Count processed videos by outcome and tier."""
    _buffer.count(Metric.VIDEOS, number, outcome=outcome, tier=tier or "none")


def upload_taken(*, batch: str, key: str) -> None:
    """Report an upload that ingest has processed to its end or to the next continuation."""
    _buffer.count(Metric.UPLOADS_TAKEN)
    logger.info("upload taken", batch=batch, key=key)


def upload_stopped(*, batch: str, rounds: int) -> None:
    """Report an upload that has reached the limit of continuations: the audit continues it."""
    _buffer.count(Metric.UPLOAD_FAILURES)
    logger.error("upload stopped: too many continuations", batch=batch, rounds=rounds)


def upload_failed(error: BaseException) -> None:
    """Report an exception that ingest caught: SQS redelivers the upload."""
    _buffer.count(Metric.UPLOAD_FAILURES)
    logger.error("upload not taken", **_described(error))


def work_failed(message: Message | None, error: BaseException) -> None:
    """Report an exception that stopped the work on one message; `message` is None if it is not a manifest's row."""
    _buffer.count(Metric.VIDEO_FAILURES)
    logger.error("the work on a message failed", **(_row(message) if message else {}), **_described(error))


# ------------------------------------------------------------------------------------------------ the sweeper's reports


def swept() -> None:
    """Report a complete run of the sweeper."""
    _buffer.count(Metric.SWEEPER_RUNS)


def worked(done: Mapping[str, int]) -> None:
    """Report the amount of each kind of the sweeper's work."""
    for work, number in done.items():
        _buffer.count(Metric.SWEEPER_WORK, number, work=work.replace(" ", "_"))
    if done:
        logger.info("swept", done=dict(done))


def published(lag_seconds: float) -> None:
    """Report the seconds from the end of a batch's last row to the end of the batch."""
    _buffer.gauge(Metric.PUBLISH_LAG_SECONDS, max(lag_seconds, 0.0))


def budget_used(percent: float) -> None:
    """Report the used percentage of a project's budget; CloudWatch gets the highest of all projects."""
    _buffer.gauge(Metric.BUDGET_USED_PERCENT, percent)


def tokens_expected(tokens: int) -> None:
    """Report the tokens that all open batches are expected to be charged."""
    _buffer.gauge(Metric.TOKENS_EXPECTED, tokens)


# ----------------------------------------------------------------------------------------------------------- the buffer

_Key = tuple[Metric, tuple[tuple[str, str], ...]]


class _Buffer:
    """The metrics of the current invocation, shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[_Key] = Counter()
        self._gauges: dict[_Key, float] = {}
        self._running = False

    def start(self) -> None:
        """Begin an invocation, and discard what an earlier one left."""
        with self._lock:
            self._counts.clear()
            self._gauges.clear()
            self._running = True

    def count(self, metric: Metric, number: int = 1, **dimensions: str) -> None:
        """Add to a count."""
        with self._lock:
            self._counts[_key(metric, dimensions)] += number

    def gauge(self, metric: Metric, value: float, **dimensions: str) -> None:
        """Keep the highest value of a gauge."""
        with self._lock:
            key = _key(metric, dimensions)
            self._gauges[key] = max(value, self._gauges.get(key, value))

    def write_early(self) -> None:
        """Write the metrics so far during an invocation; outside of one, as in a test, write nothing."""
        with self._lock:
            if self._running:
                self._write()

    def write(self) -> None:
        """Write the metrics at the end of an invocation."""
        with self._lock:
            self._running = False
            self._write()

    def _write(self) -> None:
        by_dimensions: dict[tuple[tuple[str, str], ...], dict[Metric, float]] = {}
        for (metric, dimensions), value in [*self._counts.items(), *self._gauges.items()]:
            by_dimensions.setdefault(dimensions, {})[metric] = value
        self._counts.clear()
        self._gauges.clear()
        for dimensions, values in by_dimensions.items():
            written = EphemeralMetrics(namespace=NAMESPACE)  # adds `service` from the environment
            for name, text in dimensions:
                written.add_dimension(name, text)
            for metric, value in values.items():
                written.add_metric(metric, _UNITS.get(metric, MetricUnit.Count), value)
            written.flush_metrics()


_buffer = _Buffer()


def _key(metric: Metric, dimensions: Mapping[str, str]) -> _Key:
    if tuple(dimensions) != DIMENSIONS.get(metric, ()):
        raise AssertionError(f"{metric} has the dimensions {DIMENSIONS.get(metric, ())}, not {tuple(dimensions)}")
    return metric, tuple(dimensions.items())


def _described(error: BaseException) -> dict[str, Any]:
    """Return an exception's name and source lines, and its message if it is from AWS: any other may quote an upload."""
    said = str(error) if isinstance(error, BotoCoreError | ClientError) else None
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__name__, "said": said, "frames": frames}


def _row(message: Message) -> dict[str, Any]:
    return {"batch": message.batch, "project": message.project, "row": message.row, "video": message.video.id}
