"""No partition of the tables becomes hot: the write units per partition of a million rows, computed from the keys.

DynamoDB gives one partition key, of a table or of an index, 1,000 write units a second (developer guide, "Best
practices for designing and using partition keys effectively"). A write of up to 1 KB takes one unit.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from titlecard.aws.dynamodb.catalog.keys import (
    SHARDS,
    TALLIES,
    UNSHARDED_ROWS,
    dated_list,
    row_key,
    row_shards,
    waiting_list,
    waiting_lists,
)

LIMIT = 1_000
"""Write units per second of one partition key."""

ALLOWED = 0.7 * LIMIT

ROWS = 1_000_000
CONCURRENCY, MESSAGES = 50, 10
"""The most concurrent parsers, and the most messages of one invocation."""

LOCAL_SECONDS = 0.06
"""The shortest invocation in which all rows are sure: ten parses and ten rows' calls take 27 ms of processor time with
1,024 MB, its four calls to DynamoDB 5 ms each, and Lambda 10 ms between two invocations."""

MODEL_SECONDS = 1.0
"""The shortest invocation that asks the model, in seconds."""

DEFERRED_SECONDS = 0.1
"""The shortest invocation that defers ten rows, in seconds: each reads its account and prepares its request."""

DEFERRED_UNITS = 2
"""Write units of a deferral in the table, and as many in the index: a usual row's compressed message, and its state."""

UNSURE = 0.14
"""The share of rows that the local tier is not sure of."""

LOCAL_RATE = CONCURRENCY * MESSAGES / LOCAL_SECONDS
DEFERRED_RATE = CONCURRENCY * MESSAGES / DEFERRED_SECONDS


def busiest(keys: list[str], rate: float, units: float = 1) -> float:
    """Return the most write units per second of any key, if these keys are written at a rate for one second."""
    window = min(int(rate), len(keys))
    seen = Counter(keys[:window])
    most = max(seen.values())
    for start in range(len(keys) - window):
        seen[keys[start]] -= 1
        seen[keys[start + window]] += 1
        most = max(most, seen[keys[start + window]])
    return most * rate / window * units


ROW_NUMBERS = range(UNSHARDED_ROWS + 1, 60_000)
"""Rows of a large batch after its first thousand. The pattern of shards repeats, so these rows stand for all."""


def test_rows_that_end_leave_every_partition_room() -> None:
    partitions = [row_key("talks-0123456789ab", number)["pk"] for number in ROW_NUMBERS]
    assert busiest(partitions, LOCAL_RATE) < ALLOWED


@pytest.mark.parametrize("dated", [True, False])
def test_rows_that_are_deferred_leave_every_partition_of_the_index_room(dated: bool) -> None:
    batch = "talks-0123456789ab"
    lists = [dated_list("pycon", batch, it) if dated else waiting_list(batch, it) for it in ROW_NUMBERS]
    assert busiest(lists, DEFERRED_RATE, DEFERRED_UNITS) < ALLOWED


def test_the_first_thousand_rows_of_a_batch_are_a_seconds_worth_of_one_partition() -> None:
    """They may be written in less than a second: a partition can burst with five minutes of unused units."""
    assert UNSHARDED_ROWS <= LIMIT


def test_tallies_leave_their_partitions_room() -> None:
    assert CONCURRENCY / LOCAL_SECONDS / TALLIES < ALLOWED


def test_the_items_of_money_leave_their_partitions_room() -> None:
    """A project has one item per month, below 1 KB, in which each request is reserved and settled.

    If the model is asked about every row (`TierPolicy` is `model`), one project's item takes 350 requests a second at
    70 %. Above that DynamoDB throttles a reservation, and its row is deferred for a moment.
    """
    asked_in = 1 - (1 - UNSURE) ** MESSAGES
    seconds = asked_in * MODEL_SECONDS + (1 - asked_in) * LOCAL_SECONDS
    requests = CONCURRENCY * MESSAGES * UNSURE / seconds
    assert requests * 2 < ALLOWED


def test_a_batchs_size_bounds_its_shards() -> None:
    sizes = [1, UNSHARDED_ROWS, UNSHARDED_ROWS + 1, ROWS]
    shards = [len(row_shards(size)) for size in sizes]
    assert shards == [1, 1, SHARDS, SHARDS]
    assert all(few <= many for few, many in pairwise(shards))


@pytest.mark.parametrize("rows", [1, UNSHARDED_ROWS, UNSHARDED_ROWS + 40, 5_000])
def test_every_row_is_in_a_shard_that_its_batch_reads(rows: int) -> None:
    read = {f"rows#b#{shard:02d}" for shard in row_shards(rows)}
    assert {row_key("b", number)["pk"] for number in range(1, rows + 1)} == read
    assert {waiting_list("b", number) for number in range(1, rows + 1)} == set(waiting_lists("b", rows))
