"""The catalog's table alone: what it retries, how often, and after how long. A test sets the client's answers."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from titlecard.aws.dynamodb.catalog import table as module
from titlecard.aws.dynamodb.catalog.table import (
    BACKOFF_SECONDS,
    KEYS_PER_GET,
    READ_THREADS,
    RETRYABLE,
    STATEMENTS_PER_CALL,
    TRIES,
    CatalogTable,
    batched,
    read_ahead,
)
from titlecard.aws.errors import CatalogBusy

if TYPE_CHECKING:
    from collections.abc import Sequence

WAITS = [BACKOFF_SECONDS * 2**tries for tries in range(TRIES - 1)]
"""The longest waits between all tries."""


class Cancelled(Exception):
    """A transaction was cancelled for these reasons."""

    def __init__(self, *codes: str) -> None:
        super().__init__(codes)
        self.response = {"CancellationReasons": [{"Code": code} if code else {} for code in codes]}


class Refused(Exception):
    """A condition does not hold."""


class Client:
    """A client that leaves work undone as often as a test says."""

    exceptions = SimpleNamespace(TransactionCanceledException=Cancelled, ConditionalCheckFailedException=Refused)

    def __init__(self) -> None:
        self.codes: dict[str, list[str]] = {}
        """The codes with which the statements on an item fail, by its key; then they succeed."""
        self.unread: list[int] = []
        """The number of keys that each call leaves unread; then none."""
        self.cancelled: list[Sequence[str]] = []
        """The reasons for which transactions are cancelled; then they succeed."""
        self.calls: list[Any] = []
        """The keys of each call, or the transactions."""

    def batch_execute_statement(self, *, Statements: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """Insert the items."""
        keys = [str(it["Parameters"][0]) for it in Statements]
        self.calls.append(keys)
        codes = [self.codes[key].pop(0) if self.codes.get(key) else "" for key in keys]
        return {"Responses": [{"Error": {"Code": code}} if code else {} for code in codes]}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """Return the items, except the last ones."""
        assert RequestItems["t"]["ConsistentRead"]
        keys = RequestItems["t"]["Keys"]
        self.calls.append([it["pk"] for it in keys])
        read = len(keys) - (self.unread.pop(0) if self.unread else 0)
        left = {"t": {"Keys": keys[read:]}} if keys[read:] else {}
        return {"Responses": {"t": keys[:read]} if read else {}, "UnprocessedKeys": left}

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> None:  # noqa: N803 -- boto3's
        """Write, or cancel."""
        self.calls.append(TransactItems)
        if self.cancelled:
            raise Cancelled(*self.cancelled.pop(0))

    def put_item(self, **_: object) -> None:
        """Refuse."""
        raise Refused


class Stage:
    """A table, its client, and the longest waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = Client()
        client: Any = self.client
        self.table = CatalogTable(client, "t")
        self.waits: list[float] = []
        monkeypatch.setattr(random, "uniform", self._longest)
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=self.waits.append))

    @staticmethod
    def _longest(low: float, high: float) -> float:
        assert low == 0
        return high

    def insert(self, *keys: str) -> list[bool]:
        """Insert items with these keys."""
        return self.table._insert([{"pk": key, "sk": "row"} for key in keys])  # noqa: SLF001 -- all writers use it

    def get(self, number: int) -> int:
        """Get this many items; return the number of those found."""
        return len(self.table._get_all([{"pk": f"{it}", "sk": "row"} for it in range(number)]))  # noqa: SLF001 -- likewise

    def transact(self) -> bool:
        """Write two items."""
        return self.table._transact([{"Key": "a"}, {"Key": "b"}])  # noqa: SLF001 -- likewise


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


# -------------------------------------------------------------------------------------------------------------- insert


def test_items_are_inserted_in_as_few_calls_as_they_fit_into(stage: Stage) -> None:
    keys = [f"{number}" for number in range(2 * STATEMENTS_PER_CALL + 1)]
    assert stage.insert(*keys) == [True] * len(keys)
    assert [len(call) for call in stage.client.calls] == [STATEMENTS_PER_CALL, STATEMENTS_PER_CALL, 1]
    assert stage.waits == []


def test_the_first_of_several_items_with_one_key_is_inserted(stage: Stage) -> None:
    assert stage.insert("a", "b", "a") == [True, True, False]
    assert stage.client.calls == [["a", "b"]]


@pytest.mark.parametrize("code", sorted(RETRYABLE))
def test_an_item_that_was_throttled_is_tried_again_alone_after_longer_and_longer_waits(stage: Stage, code: str) -> None:
    stage.client.codes = {"b": [code] * (TRIES - 1), "c": ["DuplicateItem"]}
    assert stage.insert("a", "b", "c") == [True, True, False]
    assert stage.client.calls == [["a", "b", "c"], *[["b"]] * (TRIES - 1)]
    assert stage.waits == WAITS


def test_an_item_that_is_always_throttled_is_given_up_after_all_tries(stage: Stage) -> None:
    stage.client.codes = {"b": ["ThrottlingError"] * TRIES}
    with pytest.raises(CatalogBusy, match="1 of 2 items"):
        stage.insert("a", "b")
    assert len(stage.client.calls) == TRIES


def test_an_item_that_dynamodb_refuses_is_an_error_at_once(stage: Stage) -> None:
    stage.client.codes = {"a": ["ValidationError"]}
    with pytest.raises(ClientError, match="ValidationError"):
        stage.insert("a", "b")
    assert len(stage.client.calls) == 1


def test_a_put_whose_condition_does_not_hold_returns_false(stage: Stage) -> None:
    assert stage.table._put({"pk": "a", "sk": "row"}, "a = :b", {":b": 1}) is False  # noqa: SLF001 -- all writers use it


# ----------------------------------------------------------------------------------------------------------------- get


def test_items_are_read_in_as_few_calls_as_they_fit_into(stage: Stage) -> None:
    assert stage.get(2 * KEYS_PER_GET + 1) == 2 * KEYS_PER_GET + 1
    assert [len(call) for call in stage.client.calls] == [KEYS_PER_GET, KEYS_PER_GET, 1]
    assert stage.waits == []


def test_unprocessed_keys_are_read_again_with_the_others(stage: Stage) -> None:
    stage.client.unread = [30]
    assert stage.get(KEYS_PER_GET + 1) == KEYS_PER_GET + 1
    assert [len(call) for call in stage.client.calls] == [KEYS_PER_GET, 31]
    assert stage.waits == WAITS[:1]


def test_keys_that_stay_unprocessed_are_given_up_after_all_tries(stage: Stage) -> None:
    stage.client.unread = [2, *[2] * (TRIES - 1)]
    with pytest.raises(CatalogBusy, match="2 keys"):
        stage.get(3)
    assert (len(stage.client.calls), stage.waits) == (TRIES, WAITS)


def test_a_call_without_unprocessed_keys_resets_the_count_of_tries(stage: Stage) -> None:
    stage.client.unread = [1] * (TRIES - 1) + [0] + [1] * (TRIES - 1)
    assert stage.get(KEYS_PER_GET * TRIES) == KEYS_PER_GET * TRIES
    assert stage.waits[: TRIES - 1] == WAITS
    assert stage.waits[TRIES - 1 :] == WAITS[: len(stage.waits) - TRIES + 1]


# ------------------------------------------------------------------------------------------------------- transactions


@pytest.mark.parametrize("code", sorted(RETRYABLE))
def test_a_transaction_that_conflicts_is_retried_after_longer_and_longer_waits(stage: Stage, code: str) -> None:
    stage.client.cancelled = [["None", code]] * (TRIES - 1)
    assert stage.transact() is True
    assert (len(stage.client.calls), stage.waits) == (TRIES, WAITS)
    assert stage.client.calls[-1] == [{"Update": {"Key": "a"}}, {"Update": {"Key": "b"}}]


def test_a_transaction_whose_condition_does_not_hold_is_not_tried_again(stage: Stage) -> None:
    stage.client.cancelled = [["", "ConditionalCheckFailed"]]
    assert stage.transact() is False
    assert (len(stage.client.calls), stage.waits) == (1, [])


def test_a_transaction_that_always_conflicts_is_given_up(stage: Stage) -> None:
    stage.client.cancelled = [["TransactionConflict"]] * TRIES
    with pytest.raises(CatalogBusy):
        stage.transact()
    assert (len(stage.client.calls), stage.waits) == (TRIES, WAITS)


# ---------------------------------------------------------------------------------------------------------- many reads


@pytest.mark.parametrize(("number", "sizes"), [(0, []), (3, [3]), (4, [3, 1]), (6, [3, 3])])
def test_a_stream_is_split_into_lists_of_a_size(number: int, sizes: list[int]) -> None:
    lists = list(batched(range(number), 3))
    assert [len(it) for it in lists] == sizes
    assert [it for one in lists for it in one] == list(range(number))


def test_reads_run_ahead_of_their_answers_by_the_number_of_threads() -> None:
    wanted = iter(range(20))
    answers = read_ahead(lambda number: number * 2, wanted)
    assert next(answers) == 0
    assert next(wanted) == READ_THREADS + 1
    assert list(answers) == [2 * number for number in range(1, 20) if number != READ_THREADS + 1]
