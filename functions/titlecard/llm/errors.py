"""The model tier's exceptions: the faults of a request, named for what the caller does next.

======================  ==========================  ===========  =====================================================
exception               charged                     the attempt  what the caller does next
======================  ==========================  ===========  =====================================================
:class:`Defer`          nothing                     given back   waits until `retry_after`; see also `opens_breaker`
:class:`Retry`          the bound, or the usage     kept         waits for redelivery; at the cap the row is dead
:class:`DeadLetter`     nothing                     kept         ends the row as dead: a bug of ours, to fix and redrive
:class:`Unusable`       the usage, or the bound     kept         keeps the local answer, flagged for review
:class:`Rejected`       depends                     depends      finds out whether every row would be rejected
======================  ==========================  ===========  =====================================================
"""

from __future__ import annotations

from titlecard.domain.money import Billing, Unbilled, Unmeasured
from titlecard.domain.reasons import Reason


class RequestRefused(Exception):
    """The fuse refused a request; nothing was sent."""


class Fault(Exception):
    """A request without an answer. `str(fault)` is a sentence for people, without keys or long quotations.

    Args:
        billing: what the provider billed, as far as is known.
        retry_after: the provider's requested wait before the next request, in seconds; None if it requests none.
    """

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
        """Whether all requests of the project must stop at once."""
        return self.reason is Reason.ACCOUNT_FAULT


class Defer(Fault):
    """Nothing was billed, and a later try may succeed: the attempt is given back."""

    def __init__(self, reason: Reason, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason, sentence, billing=Unbilled(), retry_after=retry_after)


class Retry(Fault):
    """The request may have been billed, and the next one may succeed."""


class DeadLetter(Fault):
    """Every try would fail until a developer fixes the cause."""


class Unusable(Fault):
    """The model's answer is not a talk. There is no second request: the local answer stays, flagged for review."""


class Rejected(Fault):
    """The provider rejected the request without saying whether the row or the account is at fault.

    If the provider has just rejected another row with the same code, it would reject every row: the fault becomes a
    `Defer` for an account fault. Otherwise the row is tried once more, and the second rejection becomes `Unusable`.

    Args:
        code: the provider's error code; the HTTP status if it has none.
    """

    def __init__(self, reason: Reason, sentence: str, *, code: str) -> None:
        super().__init__(reason, sentence)
        self.code = code
