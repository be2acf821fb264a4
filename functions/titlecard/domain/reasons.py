"""The codes of reasons: why a request has no answer, why none may be sent, and why a person should check a talk.

They are stored, counted and shown. The catalog stores a reason as `code: sentence`.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The code of the reason for a fault; it never changes."""

    RATE_LIMITED = "rate_limited"
    PROVIDER_UNREACHABLE = "provider_unreachable"
    NOT_SENT_IN_TIME = "not_sent_in_time"
    ACCOUNT_FAULT = "account_fault"
    PROVIDER_ERROR = "provider_error"
    TIMED_OUT = "timed_out"
    CONNECTION_LOST = "connection_lost"
    UNREADABLE_BODY = "unreadable_body"
    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    REFUSED_AT_THE_WIRE = "refused_at_the_wire"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    WRONG_SCHEMA = "wrong_schema"


class Review(StrEnum):
    """The code of the reason why a person should check a talk.

    If the model's answer could not be used, the code is that of its `Reason` instead.
    """

    LOW_CONFIDENCE = "low_confidence"
    """No tier was sure."""
    UNGROUNDED = "ungrounded"
    """The answer has words that are not in the video's text."""
    TIERS_DISAGREE = "tiers_disagree"
    """The model and a confident local tier named different people."""
    PRESENTERS_DISAGREE = "presenters_disagree"
    """The text and the row's own presenters name different people."""
    GARBLED = "garbled"
    """The text was decoded wrongly, or lost characters, before it was uploaded."""


class Hold(StrEnum):
    """The code of our own reason for not asking the model now."""

    NO_BUDGET = "no_budget"
    BUDGET_DAY = "budget_day"
    BUDGET_MONTH = "budget_month"
    BATCH_LIMIT = "batch_limit"
    PAUSED = "paused"
    BREAKER_OPEN = "breaker_open"
    CANCELLED = "cancelled"
    LEDGER_UNREACHABLE = "ledger_unreachable"
    KEY_UNREADABLE = "key_unreadable"
    NOT_REACHED = "not_reached"


CANCELLED = "cancelled by hand"
"""The reason shown for the rows of a cancelled batch."""

DISCARDED = "discarded: a person discarded its dead letter"
"""The reason shown for a row that had not ended when its dead letter was discarded."""


def code_of(reason: str | None) -> str:
    """Return the code of a stored reason; empty if there is no reason."""
    return (reason or "").partition(":")[0]
