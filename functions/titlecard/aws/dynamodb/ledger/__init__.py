"""The ledger: budgets, charges, pauses and breakers, in one DynamoDB table.

======================  =====================  ==================================================================
partition key           sort key               content
======================  =====================  ==================================================================
``batch#BATCH``         ``spend``              the batch's charges; whether it is cancelled
``project#PROJECT``     ``month#2026-11``      the project's charges in the month, for each model, and for two days
``project#PROJECT``     ``days#2026-11``       its charges on the days before these two
``budgets``             ``PROJECT``            the most per day and per month, in tokens and in micro-dollars
``pauses``              ``PROJECT`` or ``*``   a pause, of a project or of all projects
``breakers``            ``PROJECT``            whether the project's requests are stopped, since when and why
======================  =====================  ==================================================================

Day and month share one item so that ONE conditional write claims both. An item that this package did not write (with a
string, a negative number, or parts missing) raises `LedgerItemInvalid`: no request is sent until a person repairs it.
"""

from __future__ import annotations

from titlecard.aws.dynamodb.ledger.accounts import EVERY_PROJECT, Account, Accounts, UnreadableAccount
from titlecard.aws.dynamodb.ledger.breakers import Breaker, Breakers
from titlecard.aws.dynamodb.ledger.items import LEDGER_CONFIG, Spent
from titlecard.aws.dynamodb.ledger.reservations import Month, Refusal, Reservation, Spending

__all__ = (
    "EVERY_PROJECT",
    "LEDGER_CONFIG",
    "Account",
    "Breaker",
    "Ledger",
    "Month",
    "Refusal",
    "Reservation",
    "Spent",
    "UnreadableAccount",
)


class Ledger(Spending, Accounts, Breakers):
    """The ledger's table: reservations and settlements, budgets and pauses, breakers."""
