"""The sweeper's measurements for the alarms: how full the budgets are, and the expected cost of open batches.

Each run reads each project with a budget and each open batch once. Nothing here decides anything: if the ledger does
not answer, the metrics are missing for that minute; if one project's items cannot be read, only its own are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from titlecard import telemetry
from titlecard.aws.dynamodb.catalog import Batch
from titlecard.aws.dynamodb.ledger import UnreadableAccount
from titlecard.aws.errors import UNAVAILABLE, LedgerItemInvalid, LedgerUnavailable
from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Catalog
    from titlecard.aws.dynamodb.ledger import Ledger
    from titlecard.domain.money import Amount, Budget, Cap, Total

TOKENS_PER_ROW = 1_000
"""More than the average tokens charged per row: a request has at most about 340 tokens of input and an answer at most
about 150, and the local tier answers most rows without tokens (README, "Figures")."""


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """Measures the ledger and the open batches.

    Args:
        now: returns the current time, timezone-aware.
    """

    catalog: Catalog
    ledger: Ledger
    now: Callable[[], datetime]

    def report(self) -> None:
        """Report the metrics."""
        try:
            self._report_budgets()
            batches = (it for it in self.catalog.open_batches() if isinstance(it, Batch))
            limits = ((batch.accepted, batch.limits.tokens) for batch in batches)
            telemetry.tokens_expected(sum(min(limit, rows * TOKENS_PER_ROW) for rows, limit in limits))
        except (LedgerUnavailable, *UNAVAILABLE) as error:
            logger.warning(_NOT_MEASURED, error=type(error).__name__)
        except Exception:  # noqa: BLE001 -- whatever it is, the sweep follows
            logger.exception(_NOT_MEASURED)

    def _report_budgets(self) -> None:
        for project, account in self.ledger.accounts().items():
            if isinstance(account, UnreadableAccount):
                logger.error(_UNREADABLE, project=project, error=account.error)
            elif account.budget is not None:
                self._report_budget(project, account.budget)

    def _report_budget(self, project: str, budget: Budget) -> None:
        try:
            day, month = self.ledger.window(project, self.now())
        except LedgerItemInvalid as error:
            logger.error(_UNREADABLE, project=project, error=str(error))
            return
        percents = [*_percents(day, budget.daily), *_percents(month, budget.monthly)]
        telemetry.budget_used(max(percents, default=0.0))


_NOT_MEASURED = "the budgets could not be measured"
_UNREADABLE = "a project's budget could not be measured"


def _percents(spent: Amount | Total, cap: Cap) -> Iterator[float]:
    """Yield the used percentage of each limit of a cap; a limit of zero is used up."""
    for limit, used in ((cap.tokens, spent.tokens), (cap.micro_usd, spent.micro_usd)):
        if limit is not None:
            yield 100.0 * used / limit if limit else 100.0
