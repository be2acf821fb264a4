"""`titlecard reconcile` from end to end: the real ledger, a usage API on loopback, and the command's output."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.functional.finished import Console
from tests.functional.world import PROJECT
from tests.provider.usage import ADMIN_KEY, LoopbackUsage, Used, error

from titlecard.aws.dynamodb.ledger import Ledger, Reservation
from titlecard.domain.money import Amount, Budget, Cap, Measured, Total, Unmeasured
from titlecard_console.errors import CommandError, UsageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functional.world import World
    from typer.testing import Result as Said

NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
DAY, MODEL, KEY = NOON.date(), "gpt-6-luna", "key_ours"
BOUND, USED = Amount(1, 1_400, 400, 500), Amount(1, 420, 30, 90)
PLENTY = Total(requests=100, tokens=10**6, micro_usd=10**6)
RANGE = ("--from", "2025-03-02", "--to", "2025-03-03")


class Desk:
    """A project that was charged for two requests: one was answered, the other's answer was lost."""

    def __init__(self, console: Console, usage: LoopbackUsage) -> None:
        self.usage = usage
        self._console = console

    def type(self, *words: str, project: str = PROJECT) -> Said:
        """Run the command with the addresses that these tests need."""
        return self._console.type("reconcile", project, *RANGE, "--api", self.usage.url, *words)


@pytest.fixture
def desk(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    console = Console(world, monkeypatch)
    ledger = Ledger(world.db, world.names["LedgerTable"])
    budget = Budget(Cap(micro_usd=10**6), Cap())
    for actual, lost in ((USED, False), (BOUND, True)):
        reserved = ledger.reserve("b", PROJECT, BOUND, limits=PLENTY, budget=budget, model=MODEL, now=NOON)
        assert isinstance(reserved, Reservation)
        ledger.settle(reserved, Unmeasured() if lost else Measured(actual))
    monkeypatch.setenv("OPENAI_ADMIN_KEY", ADMIN_KEY)
    with LoopbackUsage(Used(DAY, KEY, MODEL, 1, 420, 30)) as usage:
        yield Desk(console, usage)


def test_a_known_bill_ends_with_0_and_reports_the_bounds_of_lost_answers(desk: Desk) -> None:
    said = desk.type("--api-key-id", KEY)
    assert said.exit_code == 0
    assert said.stdout.splitlines()[-1].split() == ["all", "2", "2,250", "1", "450", "0", "0", "1", "1,800"]
    assert "Charged and never billed: 1,800 tokens" in said.stderr
    assert "1,800 tokens are bounds of lost answers" in said.stderr


def test_unknown_tokens_end_with_3_and_name_key_and_model(desk: Desk) -> None:
    desk.usage.used.append(Used(DAY, "key_stranger", "gpt-9-sol", 12, 30_000, 4_000))
    said = desk.type("--openai-project", "proj_tests")
    assert said.exit_code == 3
    assert "UNKNOWN: OpenAI billed 12 requests and 34,000 tokens" in said.stderr
    assert "2025-03-03  key_stranger  gpt-9-sol  12 requests, 34,000 tokens" in said.stderr


def test_json_has_a_line_for_every_day(desk: Desk) -> None:
    said = desk.type("--api-key-id", KEY, "--json")
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert [line["day"] for line in lines] == ["2025-03-02", "2025-03-03"]
    assert lines[1] == {
        "project": PROJECT,
        "day": "2025-03-03",
        "charged": {"requests": 2, "tokens": 2_250},
        "billed": {"requests": 1, "tokens": 450},
        "late": {"requests": 0, "tokens": 0},
        "unknown": {"requests": 0, "tokens": 0},
        "unbilled": {"requests": 1, "tokens": 1_800},
        "by_key": [{"api_key_id": KEY, "model": MODEL, "requests": 1, "tokens": 450}],
    }


def test_an_empty_bill_leads_to_a_request_about_the_key_id(desk: Desk) -> None:
    assert "is the id of the key or of the project right?" in desk.type("--api-key-id", "key_typo").stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Name the project's key"),
        (("--api-key-id", "sk-proj-abc"), "That is a key itself"),
        (("--api-key-id", KEY, "--to", "2025-03-01"), "the last day must be today"),
        (("--api-key-id", KEY, "--to", "2999-01-01"), "the last day must be today"),
        (("--api-key-id", KEY, "--from", "2023-01-01"), "more than 366 days"),
    ],
)
def test_an_impossible_range_is_refused_before_openai_is_asked(
    desk: Desk, words: tuple[str, ...], sentence: str
) -> None:
    refusal = desk.type(*words).exception
    assert isinstance(refusal, CommandError)
    assert sentence in str(refusal)
    assert "sk-proj-abc" not in str(refusal)
    assert not desk.usage.queries


@pytest.mark.parametrize("key", ["", "  "])
def test_a_missing_admin_key_is_refused_with_where_to_make_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", key)
    refusal = desk.type("--api-key-id", KEY).exception
    assert isinstance(refusal, CommandError)
    assert "settings/organization/admin-keys" in str(refusal)


def test_no_part_of_a_broken_admin_key_is_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-first\nsecond")
    refusal = desk.type("--api-key-id", KEY).exception
    assert "OPENAI_ADMIN_KEY is not a key" in str(refusal)
    assert "second" not in str(refusal)


def test_a_project_without_a_ledger_is_refused(desk: Desk) -> None:
    refusal = desk.type("--api-key-id", KEY, project="djangocom").exception
    assert isinstance(refusal, CommandError)
    assert "knows no project 'djangocom'" in str(refusal)


def test_no_usage_is_compared_if_openai_does_not_answer(desk: Desk) -> None:
    desk.usage.instead = [error(503, None, "Overloaded.", retry_after="600")]
    said = desk.type("--api-key-id", KEY)
    assert isinstance(said.exception, UsageUnavailable)
    assert not said.stdout
