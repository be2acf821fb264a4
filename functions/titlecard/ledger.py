"""The ledger: what may still be spent, and what was.

========================  =============  ====================================================================
partition key             sort key       what it holds
========================  =============  ====================================================================
``batch#BATCH``           ``spend``      what the batch was charged: requests, input and output tokens, micro-dollars
========================  =============  ====================================================================

A worst case is *reserved* before a request is sent, and *settled* when it is known what was billed. In between, and for
ever where an answer is lost, the worst case stays charged: every crash errs on that side.

::

    reserve ──► send ──► save ──► settle
       │          │        │         └ a lost answer: charged too much, never too little
       │          │        └ a crash: the bound stays charged
       │          └ a crash: the bound stays charged
       └ a lost answer: the bound may stay charged for a request that was never sent

So the client makes ONE try per call. boto3's default retries were seen to apply one `ADD` three times when answers were
lost: on a counter that is lowered, that would be money given back that was never there.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from titlecard.money import Charge

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from titlecard.batch import Limits

ONE_TRY = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=2, read_timeout=5)
"""For the ledger's client. Seconds: a single call that hangs must not use up a message's time."""


class NoAnswer(Exception):
    """The ledger could not be read or written: no request may be sent."""


class Ledger:
    """The ledger's table.

    Args:
        client: of a DynamoDB resource, made with `ONE_TRY`.
        table: the table's name.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._db = client
        self._table = table

    def reserve(self, batch: str, need: Charge, limits: Limits) -> bool:
        """Put the worst case of one request aside; False where the batch has no room for it.

        DynamoDB's conditions have no arithmetic, so the room is worked out first. A need above the whole limit is
        refused before the write: `attribute_not_exists` would let it through.

        Raises:
            NoAnswer: it is unknown whether the reservation was written. If it was, it stays: too much is charged.
        """
        counters = _counters(need)
        room = {name: limit - counters[name] for name, limit in limits.model_dump().items()}
        if min(room.values()) < 0:
            return False
        fits = " AND ".join(f"(attribute_not_exists({name}) OR {name} <= :room_{name})" for name in room)
        try:
            self._add(batch, counters, fits, {f":room_{name}": value for name, value in room.items()})
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        except (BotoCoreError, ClientError) as error:
            message = f"the ledger did not answer: {type(error).__name__}"
            raise NoAnswer(message) from error
        return True

    def settle(self, batch: str, reserved: Charge, actual: Charge) -> None:
        """Replace a reservation by what was billed. Only the worker whose save was accepted may call it, and only once.

        Raises:
            NoAnswer: it is unknown whether it was written. It must not be repeated; the reservation stays charged.
        """
        try:
            before = _counters(reserved)
            change = {name: value - before[name] for name, value in _counters(actual).items()}
            self._add(batch, change, "attribute_exists(requests)", {})
        except (BotoCoreError, ClientError) as error:
            message = f"the ledger did not answer: {type(error).__name__}"
            raise NoAnswer(message) from error

    def spent(self, batch: str) -> Charge:
        """What a batch has been charged so far, reservations included."""
        item = self._db.get_item(TableName=self._table, Key=_spend_key(batch), ConsistentRead=True).get("Item", {})
        return Charge(**{field.name: int(str(item.get(field.name, 0))) for field in fields(Charge)})

    def _add(self, batch: str, change: dict[str, int], condition: str, values: dict[str, Any]) -> None:
        self._db.update_item(
            TableName=self._table,
            Key=_spend_key(batch),
            UpdateExpression="ADD " + ", ".join(f"{name} :{name}" for name in change),
            ConditionExpression=condition,
            ExpressionAttributeValues={f":{name}": value for name, value in change.items()} | values,
        )


def _counters(charge: Charge) -> dict[str, int]:
    return {**charge.as_map(), "tokens": charge.tokens}


def _spend_key(batch: str) -> dict[str, str]:
    return {"pk": f"batch#{batch}", "sk": "spend"}
