"""What a project may do at this moment: its budget, the hand brake, its breaker; and how a person changes them.

Read together, consistently, before each question to the model: what a person says holds for the next message. The hand
brake without this program (and back: `delete-item` with the same key):

    aws dynamodb put-item --table-name LEDGER --item '{"pk": {"S": "pauses"}, "sk": {"S": "PROJECT"}}'

The item brakes by being there, whatever else it holds. With `*` for PROJECT it stops every project.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.table import stamp
from titlecard.aws.dynamodb.ledger.breakers import Breaker, breaker_of
from titlecard.aws.dynamodb.ledger.items import LedgerItemInvalid, LedgerTable, item_invalid
from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.money import Budget, Cap, NotABudget

if TYPE_CHECKING:
    from collections.abc import Mapping

BUDGETS, PAUSES, BREAKERS = "budgets", "pauses", "breakers"

EVERY_PROJECT = "*"
"""In the place of a project's name, which it cannot be."""

CLOCKS_DIFFER = timedelta(minutes=5)
"""Two machines' clocks, at most: AWS itself refuses requests that are signed with one that is further off (IAM user
guide, "Elements of an AWS API request signature")."""

_CAPS = ("daily_tokens", "daily_micro_usd", "monthly_tokens", "monthly_micro_usd")


@dataclass(frozen=True, slots=True)
class Account:
    """What a project may do: no budget, no request.

    `paused_at` is None where it is not paused. Where it is, it is a stamp, or whatever a person wrote there by hand;
    empty where they wrote nothing. `all_paused` says that every project is paused, and this one with them.
    """

    project: str
    budget: Budget | None
    paused_at: str | None
    breaker: Breaker
    all_paused: bool = False

    @property
    def paused(self) -> bool:
        """Whether a person has pulled the hand brake."""
        return self.paused_at is not None


class Accounts(LedgerTable):
    """The projects' budgets and pauses."""

    def account(self, project: str, *, now: datetime) -> Account:
        """What a project may do, by one consistent read.

        Raises:
            LedgerUnavailable: it cannot be read.
            LedgerItemInvalid: somebody has edited it, or the clock is behind the day on which the budget was set.
        """
        keys = [
            {"pk": BUDGETS, "sk": project},
            {"pk": PAUSES, "sk": project},
            {"pk": PAUSES, "sk": EVERY_PROJECT},
            {"pk": BREAKERS, "sk": project},
        ]
        with self._asking():
            answer = self._db.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
        if answer.get("UnprocessedKeys"):
            raise LedgerUnavailable("the ledger did not answer: it is asked too often")
        items = {(str(it["pk"]), str(it["sk"])): it for it in answer["Responses"].get(self._table, [])}
        nothing: Mapping[str, Any] = {}
        budget, pause, pause_of_all, breaker = (items.get((key["pk"], key["sk"]), nothing) for key in keys)
        if budget and (set_at := _moment(budget, "set_at")) > now + CLOCKS_DIFFER:
            message = (
                f"this machine's clock says {now:%Y-%m-%d %H:%M}, but the budget was set at {set_at:%Y-%m-%d %H:%M}"
            )
            raise LedgerItemInvalid(message)
        return Account(
            project,
            budget_of(budget) if budget else None,
            _paused_at(pause_of_all or pause),
            breaker_of(breaker),
            all_paused=bool(pause_of_all),
        )

    def accounts(self) -> dict[str, Account]:
        """Every project that has a budget, a pause or a breaker, by name; `EVERY_PROJECT` among them if all are paused.

        Raises:
            LedgerUnavailable: they cannot be read.
        """
        budgets, pauses, breakers = (
            {str(item["sk"]): item for item in self._items(partition)} for partition in (BUDGETS, PAUSES, BREAKERS)
        )
        return {
            name: Account(
                name,
                budget_of(budgets[name]) if name in budgets else None,
                _paused_at(pauses.get(name, {})),
                breaker_of(breakers.get(name, {})),
            )
            for name in sorted({*budgets, *pauses, *breakers})
        }

    def set_budget(self, project: str, budget: Budget, *, by: str, now: datetime) -> None:
        """Give a project a budget, in the place of the one it has.

        Args:
            by: who: "person", or "run" for what was agreed on at the start of a local run.
        """
        caps = {
            "daily_tokens": budget.daily.tokens,
            "daily_micro_usd": budget.daily.micro_usd,
            "monthly_tokens": budget.monthly.tokens,
            "monthly_micro_usd": budget.monthly.micro_usd,
        }
        with self._asking():
            self._db.put_item(
                TableName=self._table,
                Item={"pk": BUDGETS, "sk": project, "set_at": stamp(now), "set_by": by, **caps},
            )

    def budget_is_a_persons(self, project: str) -> bool:
        """Whether a person gave the project its budget."""
        return self._item({"pk": BUDGETS, "sk": project}).get("set_by") == "person"

    def pause(self, project: str, *, now: datetime) -> None:
        """Pull the hand brake of a project, or of `EVERY_PROJECT`."""
        with self._asking():
            self._db.update_item(
                TableName=self._table,
                Key={"pk": PAUSES, "sk": project},
                UpdateExpression="SET paused_at = :now",
                ExpressionAttributeValues={":now": stamp(now)},
            )

    def unpause(self, project: str) -> None:
        """Let the hand brake of a project, or of `EVERY_PROJECT`, go."""
        with self._asking():
            self._db.delete_item(TableName=self._table, Key={"pk": PAUSES, "sk": project})


def budget_of(item: Mapping[str, Any]) -> Budget:
    """A budget, from its item.

    Raises:
        LedgerItemInvalid: it is not as `set_budget` writes it.
    """
    caps: dict[str, int | None] = {}
    for name in _CAPS:
        value = item.get(name, "missing")
        if value is None:
            caps[name] = None
        elif isinstance(value, Decimal) and value == int(value):
            caps[name] = int(value)
        else:
            raise item_invalid(item, f"holds {name} = {value!r}, which is no limit")
    try:
        return Budget(
            Cap(caps["daily_tokens"], caps["daily_micro_usd"]), Cap(caps["monthly_tokens"], caps["monthly_micro_usd"])
        )
    except NotABudget as error:
        raise item_invalid(item, f"is no budget ({error})") from error


def _paused_at(item: Mapping[str, Any]) -> str | None:
    return str(item.get("paused_at", "")) if item else None


def _moment(item: Mapping[str, Any], name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(str(item[name]))
    except (KeyError, ValueError) as error:
        raise item_invalid(item, f"has no date in {name}") from error
    if moment.tzinfo is None:
        raise item_invalid(item, f"has no time zone in {name}")
    return moment
