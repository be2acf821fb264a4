"""The ledger: what may still be spent, what was, and who must not spend now; in one DynamoDB table.

======================  =====================  ==================================================================
partition key           sort key               what it holds
======================  =====================  ==================================================================
``batch#BATCH``         ``spend``              what the batch was charged; whether it was cancelled
``project#PROJECT``     ``month#2026-11``      what the project was charged in the month, for each model, on two days
``project#PROJECT``     ``days#2026-11``       what it was charged on the days before these two
``budgets``             ``PROJECT``            the most of a day and of a month, in tokens and in micro-dollars
``pauses``              ``PROJECT`` or ``*``   the hand brake, of a project or of all
``breakers``            ``PROJECT``            whether the project's model calls are stopped, since when and why
======================  =====================  ==================================================================

Day and month stand in one item so that both are claimed by ONE conditional write. Anything that this package
did not write (a string, a negative number, half an item) is `LedgerItemInvalid`: no request is sent until it is mended.
"""

from __future__ import annotations

from titlecard.aws.dynamodb.ledger.accounts import EVERY_PROJECT, Account, Accounts
from titlecard.aws.dynamodb.ledger.breakers import Breaker, Breakers
from titlecard.aws.dynamodb.ledger.items import ONE_TRY, LedgerItemInvalid, Spent
from titlecard.aws.dynamodb.ledger.reservations import Month, Refusal, Reservation, Spending
from titlecard.aws.errors import LedgerUnavailable

__all__ = (
    "EVERY_PROJECT",
    "ONE_TRY",
    "Account",
    "Breaker",
    "Ledger",
    "LedgerItemInvalid",
    "LedgerUnavailable",
    "Month",
    "Refusal",
    "Reservation",
    "Spent",
)


class Ledger(Spending, Accounts, Breakers):
    """The ledger's table: reservations and settlements, budgets and pauses, breakers.

    Args:
        client: of a DynamoDB resource, made with `ONE_TRY`.
        table: the table's name.
    """
