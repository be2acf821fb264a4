"""Sixteen processes race for one budget on the local cloud: it is never exceeded, and no micro-dollar is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.end_to_end.racers import BUDGET, NEED, NOW, PROJECT, ROOM

from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard_console.installation import ROOT
from titlecard_console.local_cloud.ministack import MiniStack
from titlecard_console.local_cloud.template import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard.domain.money import Amount, Total

RACERS = 16
WANTED = ("BillingMode", "AttributeDefinitions", "KeySchema")


@dataclass(frozen=True)
class Race:
    """The result of a race: each racer's charge, the final counters, and the highest values that they ever showed."""

    racers: list[dict[str, int]]
    day: Total
    month: Amount
    highest: int


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    folder = tmp_path_factory.mktemp("race")
    with closing(MiniStack(folder, folder / "ministack.log", {})) as ministack:
        there = ministack.cloud
        table = load().resources("AWS::DynamoDB::Table")["LedgerTable"]
        there.client("dynamodb").create_table(TableName="ledger", **{name: table[name] for name in WANTED})
        ledger = Ledger(convert_values(there.client("dynamodb", retries={"total_max_attempts": 1})), "ledger")
        where = (there.endpoint_url, there.access_key, there.secret_key, "ledger", str(RACERS))
        command = [sys.executable, "-m", "tests.end_to_end.racers", *where]
        highest = 0
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as racers:  # noqa: S603 -- our own
            try:
                while racers.poll() is None:
                    highest = max(highest, ledger.window(PROJECT, NOW)[0].micro_usd)
                    time.sleep(0.02)
                lines, _ = racers.communicate()
            finally:
                racers.kill()
        assert racers.returncode == 0
        day, month = ledger.window(PROJECT, NOW)
        yield Race([json.loads(line) for line in lines.splitlines()], day, month, max(highest, day.micro_usd))


def test_every_racer_took_part(race: Race) -> None:
    assert len(race.racers) == RACERS
    assert sum(racer["granted"] for racer in race.racers) > ROOM // NEED.micro_usd  # settling has made room for more


def test_the_budget_was_never_exceeded_by_a_micro_dollar(race: Race) -> None:
    assert BUDGET.daily.micro_usd == ROOM
    assert 0 < race.highest <= ROOM


def test_the_race_leaves_no_room_for_another_request(race: Race) -> None:
    assert ROOM - race.day.micro_usd < NEED.micro_usd


def test_the_counters_are_the_sum_of_what_was_accepted(race: Race) -> None:
    accepted = sum(racer["micro_usd"] for racer in race.racers)
    assert accepted == race.day.micro_usd == race.month.micro_usd
    assert sum(racer["granted"] for racer in race.racers) == race.month.requests
