"""A project's account: its budget, its pause and its breaker, and how a person changes them.

One consistent read before each request to the model fetches all three, so a person's change applies to the next
message. A pause can be set without this program (and lifted with `delete-item` and the same key):

    aws dynamodb put-item --table-name LEDGER --item '{"pk": {"S": "pauses"}, "sk": {"S": "PROJECT"}}'

The item's existence is the pause, whatever else it holds. With `*` as PROJECT it pauses every project.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.ledger.breakers import Breaker, breaker_of
from titlecard.aws.dynamodb.ledger.items import LedgerTable, item_invalid
from titlecard.aws.dynamodb.values import stamp
from titlecard.aws.errors import LedgerItemInvalid, LedgerUnavailable
from titlecard.domain.clock import CLOCKS_APART_SECONDS
from titlecard.domain.errors import NotABudget
from titlecard.domain.money import Budget, Cap

if TYPE_CHECKING:
    from collections.abc import Mapping

BUDGETS, PAUSES, BREAKERS = "budgets", "pauses", "breakers"

EVERY_PROJECT = "*"
"""Stands for all projects; no project can have this name."""

RUN = "run"
"""The `set_by` of a budget that a local run has set; with any other value, a person has set it."""

_CAPS = ("daily_tokens", "daily_micro_usd", "monthly_tokens", "monthly_micro_usd")


@dataclass(frozen=True, slots=True)
class Account:
    """What a project may do; a project without a budget may ask nothing.

    `paused_at` is None if the project is not paused. Otherwise it is a stamp, or the text that a person wrote by hand,
    which may be empty. `all_paused` says that a pause of all projects applies.
    """

    project: str
    budget: Budget | None
    paused_at: str | None
    breaker: Breaker
    all_paused: bool = False

    @property
    def paused(self) -> bool:
        """Whether a person has paused the project."""
        return self.paused_at is not None


@dataclass(frozen=True, slots=True)
class UnreadableAccount:
    """An account with an item that somebody has edited; `error` names the item."""

    project: str
    error: str


class Accounts(LedgerTable):
    """The projects' budgets and pauses."""

    def account(self, project: str, *, now: datetime) -> Account:
        """Return what a project may do, from one consistent read.

        Raises:
            LedgerUnavailable: the account cannot be read.
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
            raise LedgerUnavailable("the ledger did not answer: it is throttled")
        items = {(str(it["pk"]), str(it["sk"])): it for it in answer["Responses"].get(self._table, [])}
        nothing: Mapping[str, Any] = {}
        budget, pause, pause_of_all, breaker = (items.get((key["pk"], key["sk"]), nothing) for key in keys)
        if budget and (set_at := _moment(budget, "set_at")) > now + timedelta(seconds=CLOCKS_APART_SECONDS):
            raise LedgerItemInvalid(
                f"this machine's clock says {now:%Y-%m-%d %H:%M}, but the budget was set at {set_at:%Y-%m-%d %H:%M}"
            )
        return Account(
            project,
            budget_of(budget) if budget else None,
            _paused_at(pause_of_all or pause),
            breaker_of(breaker),
            all_paused=bool(pause_of_all),
        )

    def accounts(self) -> dict[str, Account | UnreadableAccount]:
        """Return every project with a budget, a pause or a breaker, by name; `EVERY_PROJECT` too if all are paused.

        Raises:
            LedgerUnavailable: the accounts cannot be read.
        """
        budgets, pauses, breakers = (
            {str(item["sk"]): item for item in self._items(partition)} for partition in (BUDGETS, PAUSES, BREAKERS)
        )
        names = sorted({*budgets, *pauses, *breakers})
        nothing: Mapping[str, Any] = {}
        return {it: _account(it, *(items.get(it, nothing) for items in (budgets, pauses, breakers))) for it in names}

    def set_budget(self, project: str, budget: Budget, *, by: str, now: datetime) -> bool:
        """Give a project a budget, which replaces its present one; return False if a run would replace a person's.

        Args:
            by: "person", or `RUN` for the budget that a local run sets at its start.
        """
        of_no_person = "attribute_not_exists(pk) OR set_by = :run"
        condition: dict[str, Any] = {}
        if by == RUN:
            condition = {"ConditionExpression": of_no_person, "ExpressionAttributeValues": {":run": RUN}}
        caps = {
            "daily_tokens": budget.daily.tokens,
            "daily_micro_usd": budget.daily.micro_usd,
            "monthly_tokens": budget.monthly.tokens,
            "monthly_micro_usd": budget.monthly.micro_usd,
        }
        item: dict[str, Any] = {"pk": BUDGETS, "sk": project, "set_at": stamp(now), "set_by": by, **caps}
        try:
            with self._asking():
                self._db.put_item(TableName=self._table, Item=item, **condition)
        except self._db.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def budget_is_a_persons(self, project: str) -> bool:
        """Return whether the project has a budget that no local run gave it."""
        item = self._item({"pk": BUDGETS, "sk": project})
        return bool(item) and item.get("set_by") != RUN

    def pause(self, project: str, *, now: datetime) -> None:
        """Pause a project, or `EVERY_PROJECT`."""
        with self._asking():
            self._db.update_item(
                TableName=self._table,
                Key={"pk": PAUSES, "sk": project},
                UpdateExpression="SET paused_at = :now",
                ExpressionAttributeValues={":now": stamp(now)},
            )

    def unpause(self, project: str) -> None:
        """Lift the pause of a project, or of `EVERY_PROJECT`."""
        with self._asking():
            self._db.delete_item(TableName=self._table, Key={"pk": PAUSES, "sk": project})


def _account(
    project: str, budget: Mapping[str, Any], pause: Mapping[str, Any], breaker: Mapping[str, Any]
) -> Account | UnreadableAccount:
    """Return the account that three items hold; one bad item does not stop the others."""
    try:
        return Account(project, budget_of(budget) if budget else None, _paused_at(pause), breaker_of(breaker))
    except LedgerItemInvalid as error:
        return UnreadableAccount(project, str(error))


def budget_of(item: Mapping[str, Any]) -> Budget:
    """Return the budget in an item.

    Raises:
        LedgerItemInvalid: the item differs from what `set_budget` writes.
    """
    caps: dict[str, int | None] = {}
    for name in _CAPS:
        value = item.get(name, "missing")
        if value is None:
            caps[name] = None
        elif isinstance(value, Decimal) and value == int(value):
            caps[name] = int(value)
        else:
            raise item_invalid(item, f"holds {name} = {value!r}, which is not a limit")
    try:
        return Budget(
            Cap(caps["daily_tokens"], caps["daily_micro_usd"]), Cap(caps["monthly_tokens"], caps["monthly_micro_usd"])
        )
    except NotABudget as error:
        raise item_invalid(item, f"is not a budget ({error})") from error


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
