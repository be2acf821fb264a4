"""What became of a question that got no answer, named for what the caller does next.

======================  ==========================  ===========  =====================================================
exception               charged                     the attempt  what the caller does next
======================  ==========================  ===========  =====================================================
:class:`Defer`          nothing                     given back   waits until `retry_after`; see also `opens_breaker`
:class:`Retry`          the bound, or the usage     kept         lets the queue bring it again; at the cap it is dead
:class:`DeadLetter`     nothing                     kept         buries it: a fault of ours, to be mended and redriven
:class:`Unusable`       the usage, or the bound     kept         keeps the local answer, flagged for review
:class:`Rejected`       see there                   see there    finds out whether every row would be rejected
======================  ==========================  ===========  =====================================================
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import ClassVar

from titlecard.domain.money import Billing, Unbilled, Unmeasured

EXCERPT_MAX = 200
"""Characters of a stranger's text that a sentence may carry."""

_KEY = re.compile(r"\b(?:sk|key)-[\w*.-]{4,}")
"""What a provider's keys look like, also with stars in the middle, as in its message about a wrong one."""


class Reason(StrEnum):
    """Why, as a word for machines: it is stored, counted and shown, so it does not change."""

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


class Hold(StrEnum):
    """Why nothing is asked for now, though the provider had no part in it; stored and shown like a `Reason`."""

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
"""Why a row of a cancelled batch has ended, for people."""


class Fault(Exception):
    """A question that got no answer. `str(fault)` is a sentence for people, without keys or long quotations.

    Args:
        reason: why.
        sentence: the same for people.
        billing: what it was billed, as far as is known.
        retry_after: seconds after which the provider wants to be asked again, where it said so.
    """

    attempt_given_back: ClassVar[bool] = False

    def __init__(
        self,
        reason: Reason,
        sentence: str,
        *,
        billing: Billing = Unmeasured(),  # noqa: B008 -- immutable
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.billing = billing
        self.retry_after = retry_after

    @property
    def opens_breaker(self) -> bool:
        """Whether all model calls of the project are to stop at once."""
        return self.reason is Reason.ACCOUNT_FAULT


class Defer(Fault):
    """Nothing was billed, and now is not the time: later, without the loss of an attempt."""

    attempt_given_back = True

    def __init__(self, reason: Reason, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason, sentence, billing=Unbilled(), retry_after=retry_after)


class Retry(Fault):
    """It may have been billed, and may go well the next time."""


class DeadLetter(Fault):
    """It would go wrong every time: somebody has to mend something."""


class Unusable(Fault):
    """The model did answer, but not with a talk. No second request: the local answer stands, flagged for review."""


class Rejected(Fault):
    """The provider rejected the request, and does not say whether for this row or for the account.

    If another row was just rejected with the same code, every row would be: it becomes a `Defer` for the account's
    fault. If not, it is tried once more, and becomes `Unusable` the second time.

    Args:
        code: what the provider calls it; its status where it has no name for it.
    """

    def __init__(self, reason: Reason, sentence: str, *, code: str) -> None:
        super().__init__(reason, sentence)
        self.code = code


def excerpt(text: str, key: str = "") -> str:
    """A stranger's text, fit for a sentence of ours: one line, without the key, at most `EXCERPT_MAX` characters."""
    if key:
        text = text.replace(key, "[key]")
    text = " ".join(_KEY.sub("[key]", text).split())
    return text if len(text) <= EXCERPT_MAX else text[: EXCERPT_MAX - 1] + "…"
