"""The ledger's items: the client of its table, and the checks of its numbers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from titlecard.aws.errors import LedgerItemInvalid, LedgerUnavailable
from titlecard.domain.money import Amount, Total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

LEDGER_CONFIG = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=2, read_timeout=5)
"""The configuration of the ledger's client, in seconds: one hanging call must not use up a message's time."""

COUNTERS = ("requests", "input_tokens", "output_tokens", "tokens", "micro_usd")
"""The counters of every charge."""

PARTS = ("requests", "tokens", "micro_usd")
"""The counters of a day, of a model, and of unmeasured charges."""

OPEN, LOST = "open_", "lost_"
"""Prefixes of unmeasured charges: reservations that are not settled, and the bounds of lost answers."""


@dataclass(frozen=True, slots=True)
class Spent:
    """A charge, and its unmeasured parts.

    `open` is reserved and not settled: requests in flight, and those whose worker was killed. `lost` is the sum of the
    bounds of lost answers. The provider measured everything else. `reserved_at` is the stamp of the last reservation,
    empty if there was none.
    """

    charged: Amount
    open: Total
    lost: Total
    reserved_at: str = ""

    def __add__(self, other: Spent) -> Spent:
        """Return the sum of two charges."""
        latest = max(self.reserved_at, other.reserved_at)
        return Spent(self.charged + other.charged, self.open + other.open, self.lost + other.lost, latest)

    @property
    def measured(self) -> Total:
        """The part that the provider's own counts measured."""
        return Total(
            **{
                name: max(getattr(self.charged, name) - getattr(self.open, name) - getattr(self.lost, name), 0)
                for name in PARTS
            }
        )


class LedgerTable:
    """The ledger's table, with one try per call.

    Args:
        client: a client that takes and returns Python values (`convert_values`), made with `LEDGER_CONFIG`.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._db = client
        self._table = table

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Raise `LedgerUnavailable` for every failed call except a refused condition."""
        try:
            yield
        except self._db.exceptions.ConditionalCheckFailedException:
            raise
        except (BotoCoreError, ClientError) as error:
            what = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else type(error).__name__
            raise LedgerUnavailable(f"the ledger did not answer: {what}") from error

    def _item(self, key: Mapping[str, str]) -> Mapping[str, Any]:
        with self._asking():
            return self._db.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})

    def _items(self, partition: str) -> Iterator[Mapping[str, Any]]:
        """Yield all items of a partition, by their sort keys."""
        with self._asking():
            for page in self._db.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": partition},
                ConsistentRead=True,
            ):
                yield from page["Items"]


def charge_of(item: Mapping[str, Any]) -> Amount:
    """Return the charge in an item.

    Raises:
        LedgerItemInvalid: one of its numbers is not a number, or is negative.
    """
    return Amount(**{field.name: count(item, field.name) for field in fields(Amount)})


def part_of(item: Mapping[str, Any], prefix: str) -> Total:
    """Return the part of a charge that an item holds under a prefix.

    Raises:
        LedgerItemInvalid: as for `charge_of`.
    """
    return Total(**{name: count(item, f"{prefix}{name}") for name in PARTS})


def spent_of(item: Mapping[str, Any]) -> Spent:
    """Return the charge in an item with its parts.

    Raises:
        LedgerItemInvalid: as for `charge_of`.
    """
    return Spent(charge_of(item), part_of(item, OPEN), part_of(item, LOST), str(item.get("reserved_at", "")))


def count(item: Mapping[str, Any], name: str) -> int:
    """Return a counter of an item, 0 if it is missing.

    Raises:
        LedgerItemInvalid: it is not a whole number, or is negative.
    """
    value = item.get(name, 0)
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool) and value == int(value) and value >= 0:
        return int(value)
    raise item_invalid(item, f"holds {name} = {value!r}, which is not a count")


def item_invalid(item: Mapping[str, Any], error: str) -> LedgerItemInvalid:
    """Return the error about an item that somebody has edited; the sentence names it."""
    return LedgerItemInvalid(f"the ledger's item {item.get('pk')!r}, {item.get('sk')!r} {error}: repair it by hand")
