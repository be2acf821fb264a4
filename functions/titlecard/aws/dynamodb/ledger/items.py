"""The ledger's items: how its table is called, and when a number in it is believed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.money import Amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

ONE_TRY = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=2, read_timeout=5)
"""For the ledger's client. Seconds: a single call that hangs must not use up a message's time."""

COUNTERS = ("requests", "input_tokens", "output_tokens", "tokens", "micro_usd")
"""What is counted of every charge."""

PARTS = ("requests", "tokens", "micro_usd")
"""What is counted of a day, of a model, and of what is not measured."""

OPEN, LOST = "open_", "lost_"
"""Prefixes: of what is reserved and not settled, and of bounds that stay charged because an answer was lost."""


class LedgerItemInvalid(LedgerUnavailable):
    """The ledger answered, but not with what this package writes: no request may be sent until it is mended by hand."""


@dataclass(frozen=True, slots=True)
class Part:
    """Requests, tokens together and micro-dollars of a part of what was charged."""

    requests: int = 0
    tokens: int = 0
    micro_usd: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """What was charged, and how much of it is no measurement.

    `open` is reserved and not settled: requests under way, and those whose worker was killed. `lost` are the bounds of
    answers that were lost. Everything else was measured by the provider. `reserved_at` is when the last reservation was
    made, as a stamp, empty where none was.
    """

    charged: Amount
    open: Part
    lost: Part
    reserved_at: str = ""

    @property
    def measured(self) -> Part:
        """What the provider's own counts say."""
        return Part(
            **{
                name: max(getattr(self.charged, name) - getattr(self.open, name) - getattr(self.lost, name), 0)
                for name in PARTS
            }
        )


class LedgerTable:
    """The ledger's table, one try a call.

    Args:
        client: of a DynamoDB resource, made with `ONE_TRY`.
        table: the table's name.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._db = client
        self._table = table

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Raise `LedgerUnavailable` for every failed call but a refused condition."""
        try:
            yield
        except self._db.exceptions.ConditionalCheckFailedException:
            raise
        except (BotoCoreError, ClientError) as error:
            what = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else type(error).__name__
            message = f"the ledger did not answer: {what}"
            raise LedgerUnavailable(message) from error

    def _item(self, key: Mapping[str, str]) -> Mapping[str, Any]:
        with self._asking():
            return self._db.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})

    def _items(self, partition: str) -> Iterator[Mapping[str, Any]]:
        """All items of a partition, by their sort keys."""
        with self._asking():
            for page in self._db.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": partition},
                ConsistentRead=True,
            ):
                yield from page["Items"]


def charge_of(item: Mapping[str, Any]) -> Amount:
    """The charge that an item holds.

    Raises:
        LedgerItemInvalid: one of its numbers is none, or is below nothing.
    """
    return Amount(**{field.name: count(item, field.name) for field in fields(Amount)})


def part_of(item: Mapping[str, Any], prefix: str) -> Part:
    """The part of a charge that an item holds under a prefix.

    Raises:
        LedgerItemInvalid: as for `charge_of`.
    """
    return Part(**{name: count(item, f"{prefix}{name}") for name in PARTS})


def spent_of(item: Mapping[str, Any]) -> Spent:
    """What an item says was charged.

    Raises:
        LedgerItemInvalid: as for `charge_of`.
    """
    return Spent(charge_of(item), part_of(item, OPEN), part_of(item, LOST), str(item.get("reserved_at", "")))


def count(item: Mapping[str, Any], name: str) -> int:
    """A counter of an item, 0 where it is missing.

    Raises:
        LedgerItemInvalid: it is no whole number, or below nothing.
    """
    value = item.get(name, 0)
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool) and value == int(value) and value >= 0:
        return int(value)
    raise item_invalid(item, f"holds {name} = {value!r}, which is no count")


def item_invalid(item: Mapping[str, Any], trouble: str) -> LedgerItemInvalid:
    """The error about an item that somebody has edited; the sentence names it."""
    return LedgerItemInvalid(f"the ledger's item {item.get('pk')!r}, {item.get('sk')!r} {trouble}: mend it by hand")
