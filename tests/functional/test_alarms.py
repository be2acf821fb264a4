"""Every alarm and every widget uses a metric that the code emits, with the same dimensions.

The metrics come from a run: everything that the real handlers print on the emulated AWS and the loopback provider.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.functional.conftest import MODEL
from tests.functional.test_handlers import Handlers, notification, notified, plenty, received
from tests.functional.world import PROJECT, manifest, videos

from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.money import Budget, Cap
from titlecard.telemetry import DIMENSIONS, Metric
from titlecard_console.local_cloud import template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.functional.world import World
    from tests.provider import LoopbackProvider

SHIPPED = template.load()
ALARMS = SHIPPED.resources("AWS::CloudWatch::Alarm")
OF_AWS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", ("QueueName",)),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage", ("QueueName",)),
    ("AWS/Lambda", "Errors", ("FunctionName",)),
    ("AWS/Lambda", "Throttles", ("FunctionName",)),
    ("AWS/DynamoDB", "WriteThrottleEvents", ("TableName",)),
    ("AWS/DynamoDB", "ReadThrottleEvents", ("TableName",)),
    ("AWS/DynamoDB", "WriteThrottleEvents", ("TableName", "GlobalSecondaryIndexName")),
    ("AWS/DynamoDB", "ReadThrottleEvents", ("TableName", "GlobalSecondaryIndexName")),
}
"""AWS's own metrics with their dimensions (SQS, Lambda and DynamoDB developer guides, "CloudWatch metrics")."""


def looked_at(alarm: dict[str, Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the metrics that an alarm uses: namespace, name, names of the dimensions."""
    metrics = [it["MetricStat"]["Metric"] for it in alarm.get("Metrics", []) if "MetricStat" in it] or [alarm]
    for it in metrics:
        yield it["Namespace"], it["MetricName"], tuple(dimension["Name"] for dimension in it["Dimensions"])


def emitted(printed: str) -> set[tuple[str, tuple[str, ...]]]:
    """Return the metrics in the handlers' output: names, and the names of their dimensions."""
    found = set()
    for line in printed.splitlines():
        written = json.loads(line) if line.startswith("{") else {}
        for directive in written.get("_aws", {}).get("CloudWatchMetrics", ()):
            assert (directive["Namespace"], written["service"]) == ("Titlecard", "stack")
            for names in directive["Dimensions"]:
                found |= {(it["Name"], tuple(sorted(names))) for it in directive["Metrics"]}
    return found


@pytest.mark.usefixtures("local_tier")
def test_the_code_emits_every_metric_that_an_alarm_or_a_widget_looks_at(
    world: World, provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = Handlers(world, monkeypatch)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
    ingest, sweeper = handlers.load("ingest"), handlers.load("sweeper")
    parser = handlers.load("parser", OpenAIBaseUrl=provider.base_url, Model=MODEL, AttemptCap="1")

    def parse(*faults: str, start: str = "v", rows: int = 1) -> None:
        ingest(
            notified(world, notification(world.put(manifest(videos(rows, start=start)), name=f"{start}.jsonl"))),
            plenty(),
        )
        for fault in faults:
            provider.fail(fault)
        parser(received(world, "WorkQueue"), plenty())

    ingest(notified(world, notification(world.put("no manifest", name="bad.txt"))), plenty())
    ingest(notified(world, "no JSON"), plenty())
    parse(start="sure")
    sweeper({}, plenty())
    parse("server_error", start="dead")
    with monkeypatch.context() as patch:
        patch.setattr("titlecard.aws.dynamodb.ledger.Ledger.settle", _refuse)
        parse(start="unsettled")
    with monkeypatch.context() as patch:
        patch.setattr("titlecard.pipeline.ask.Asker.ask", _fail)
        parse(start="failing")
    parse("usage_above_bound", start="dear")
    world.ledger.close_breaker(PROJECT)
    world.ledger.set_budget(PROJECT, Budget(Cap(micro_usd=1), Cap(micro_usd=10**9)), by="person", now=world.clock())
    parse(start="poor")
    sweeper({}, plenty())

    there = emitted(capsys.readouterr().out)
    wanted = {
        (name, tuple(sorted(dimensions)))
        for alarm in ALARMS.values()
        for namespace, name, dimensions in looked_at(dict(alarm))
        if namespace == "Titlecard"
    }
    assert wanted <= there
    assert there == {(it, tuple(sorted((*DIMENSIONS.get(it, ()), "service")))) for it in Metric}


def _fail(*_: object) -> None:
    raise ArithmeticError


def _refuse(*_: object, **__: object) -> None:
    raise LedgerUnavailable("the ledger did not answer")


def test_an_alarm_on_an_aws_metric_names_an_existing_metric() -> None:
    for name, alarm in ALARMS.items():
        for found in looked_at(dict(alarm)):
            assert found[0] == "Titlecard" or found in OF_AWS, name


@pytest.mark.parametrize("name", ["CatalogTable", "LedgerTable"])
def test_an_alarm_watches_the_throttling_of_a_table_and_of_its_indexes(name: str) -> None:
    """DynamoDB's metrics of a table leave out its indexes (DynamoDB developer guide, "Metrics and dimensions")."""
    indexes = [
        it["IndexName"] for it in SHIPPED.resources("AWS::DynamoDB::Table")[name].get("GlobalSecondaryIndexes", [])
    ]
    (alarm,) = [it for it in ALARMS.values() if {"Ref": name} in values_of_dimensions(it)]
    watched = [
        (metric["MetricName"], [it["Value"] for it in metric["Dimensions"][1:]])
        for metric in (it["MetricStat"]["Metric"] for it in alarm["Metrics"] if "MetricStat" in it)
    ]
    wanted = [
        (it, of) for of in ([], *([index] for index in indexes)) for it in ("WriteThrottleEvents", "ReadThrottleEvents")
    ]
    assert sorted(watched) == sorted(wanted)


def values_of_dimensions(alarm: Mapping[str, Any]) -> list[object]:
    return [
        dimension["Value"]
        for it in alarm.get("Metrics", [])
        if "MetricStat" in it
        for dimension in it["MetricStat"]["Metric"]["Dimensions"]
    ]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_it_means_and_which_command_to_run(name: str) -> None:
    description = ALARMS[name]["AlarmDescription"]["Fn::Sub"]
    assert re.search(r"`(titlecard|aws|sam) [^`]+`", description), name
    assert len(description) <= 1024  # CloudWatch's limit
    assert ALARMS[name]["AlarmActions"] == [{"Ref": "AlarmTopic"}]


def test_the_dashboard_shows_existing_metrics() -> None:
    (board,) = SHIPPED.resources("AWS::CloudWatch::Dashboard").values()
    body = json.loads(board["DashboardBody"]["Fn::Sub"])
    shown = {
        metric[1] if isinstance(metric[0], str) else re.findall(r'MetricName="(\w+)"', metric[0]["expression"])[0]
        for widget in body["widgets"]
        for metric in widget["properties"]["metrics"]
        if not (isinstance(metric[0], str) and metric[0] != "Titlecard")
    }
    assert shown <= set(Metric)
    assert set(Metric) - shown == {Metric.BUDGET_REFUSALS, Metric.TOKENS_EXPECTED}  # only alarms use these
