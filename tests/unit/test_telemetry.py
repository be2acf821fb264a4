"""The functions' telemetry: metrics in CloudWatch's embedded format, and log lines without strangers' text."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from titlecard import telemetry
from titlecard.domain.batch import Message
from titlecard.domain.money import Amount, Measured, Unmeasured
from titlecard.domain.video import Video
from titlecard.telemetry import DIMENSIONS, Metric

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = Message(batch="b", project="p", row=7, video=Video(id="v7", title="CANARY title", description="CANARY text"))
BOUND = Amount(requests=1, input_tokens=300, output_tokens=400, micro_usd=90)
USAGE = Amount(requests=1, input_tokens=200, output_tokens=50, micro_usd=30)


class Context:
    """The attributes of Lambda's context that Powertools reads."""

    function_name = "parser"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:parser"
    aws_request_id = "request"


@pytest.fixture
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return the output of the log."""
    stream = io.StringIO()
    monkeypatch.setattr(telemetry, "logger", Logger(service=request.node.name, level="DEBUG", stream=stream))
    return stream


def emitted(text: str) -> dict[tuple[str, ...], dict[str, float]]:
    """Return the metrics in a handler's output, by the values of their dimensions."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for line in text.splitlines():
        written: dict[str, Any] = json.loads(line)
        if "_aws" not in written:
            continue
        (directive,) = written["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "Titlecard"
        (names,) = directive["Dimensions"]
        values = tuple(written[name] for name in sorted(names))
        found.setdefault(values, {}).update({it["Name"]: written[it["Name"]][0] for it in directive["Metrics"]})
    return found


def run(work: Callable[[], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Do some work in an invocation; return its output."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "stack")

    def handler(_event: object, _context: object) -> None:
        work()

    telemetry.invocation(handler)({}, Context())  # type: ignore[arg-type]  # it has the attributes that are read
    return capsys.readouterr().out


def test_counts_are_summed_and_gauges_keep_their_highest_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        telemetry.videos("parsed", "local", 3)
        telemetry.videos("parsed", "local", 4)
        telemetry.videos("deferred", None, 1)
        for percent in (20.0, 81.5, 3.0):
            telemetry.budget_used(percent)

    assert emitted(run(work, capsys, monkeypatch)) == {
        ("parsed", "stack", "local"): {"Videos": 7},
        ("deferred", "stack", "none"): {"Videos": 1},
        ("stack",): {"BudgetUsedPercent": 81.5},
    }


def test_the_metrics_of_an_invocation_that_fails_are_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        telemetry.videos("parsed", "model", 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(work, capsys, monkeypatch)
    assert emitted(capsys.readouterr().out) == {("parsed", "stack", "model"): {"Videos": 1}}


@pytest.mark.usefixtures("log")
def test_an_opened_breaker_is_written_before_the_invocation_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def work() -> None:
        telemetry.breaker_opened("p", reason="account_fault")
        telemetry.usage_above_bound("p")
        seen.append(capsys.readouterr().out)

    later = run(work, capsys, monkeypatch)
    assert emitted(seen[0]) == {("stack",): {"BreakerOpened": 1, "UsageAboveBound": 1}}
    assert emitted(later) == {}


def test_an_attempt_is_one_line_with_its_bound_and_its_charge(log: io.StringIO) -> None:
    telemetry.attempted(MESSAGE, attempt=2, bound=BOUND, billing=Measured(USAGE), reason="answered", model="m")
    (line,) = log.getvalue().splitlines()
    told = json.loads(line)
    assert told["message"] == "attempt"
    assert {name: told[name] for name in ("batch", "row", "video", "attempt", "reason", "usage_known")} == {
        "batch": "b",
        "row": 7,
        "video": "v7",
        "attempt": 2,
        "reason": "answered",
        "usage_known": True,
    }
    assert (told["bound"], told["charge"]) == (BOUND.as_map(), USAGE.as_map())


@pytest.mark.usefixtures("log")
def test_an_answer_that_is_lost_is_charged_its_bound_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        telemetry.attempted(MESSAGE, attempt=1, bound=BOUND, billing=Unmeasured(), reason="timed_out", model="m")

    assert emitted(run(work, capsys, monkeypatch)) == {
        ("stack",): {"RequestsCharged": 1, "TokensCharged": 700, "MicroUsdCharged": 90, "LostAnswers": 1}
    }


def test_no_line_contains_a_strangers_text(log: io.StringIO) -> None:
    said = "account_fault: The provider said 401: CANARY"
    telemetry.attempted(MESSAGE, attempt=1, bound=BOUND, billing=Unmeasured(), reason=said, model="m")
    telemetry.deferred(MESSAGE, reason=said, due=None, bound=BOUND)
    telemetry.died(MESSAGE, reason=said)
    telemetry.breaker_opened("p", reason=said)
    telemetry.upload_failed(ValueError("CANARY"))
    telemetry.work_failed(MESSAGE, ValueError("CANARY"))
    text = log.getvalue()
    assert len(text.splitlines()) == 6
    assert "CANARY" not in text


@pytest.mark.parametrize(("message", "row"), [(MESSAGE, 7), (None, None)])
def test_a_failure_names_its_row_its_exception_and_its_lines(
    log: io.StringIO, message: Message | None, row: int | None
) -> None:
    refusal = ClientError({"Error": {"Code": "ValidationException", "Message": "too long"}}, "PutItem")
    for error in (ArithmeticError("CANARY"), refusal):
        try:
            raise error
        except (ArithmeticError, ClientError):
            telemetry.work_failed(message, error)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(it["error"], it.get("said"), it.get("row")) for it in lines] == [
        ("ArithmeticError", None, row),
        ("ClientError", str(refusal), row),
    ]
    assert all(it["frames"][0].startswith("test_telemetry.py:") for it in lines)


def test_a_broken_message_does_not_quote_itself() -> None:
    with pytest.raises(ValueError, match="Field required") as error:
        Message.model_validate_json('{"batch": "b", "row": 1, "video": {"id": "v", "title": "CANARY"}}')
    assert "CANARY" not in str(error.value)


def test_a_metric_takes_its_own_dimensions_only() -> None:
    assert set(DIMENSIONS) <= set(Metric)
    with pytest.raises(AssertionError, match="Deaths has the dimensions"):
        telemetry._buffer.count(Metric.DEATHS, reason="x")  # noqa: SLF001 -- the module's own guard
