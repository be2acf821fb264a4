"""The sweeper's lease: of several concurrent sweepers, one works.

The lease only saves work: two sweepers would read and send every row twice, but a row that is sent twice ends once. So
a lease that expires early or late, because a clock is wrong, does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog.keys import sweep_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable, stamp

if TYPE_CHECKING:
    from datetime import datetime


class SweepLease(CatalogTable):
    """The sweeper's lease."""

    def take_sweep(self, holder: str, *, until: datetime, now: datetime) -> bool:
        """Take the sweeper's lease until `until`; return False if another sweeper holds it.

        Args:
            holder: a random name; its holder may take the lease again.
        """
        return self._accepted(
            sweep_key(),
            "SET holder = :holder, lease_until = :until",
            "attribute_not_exists(lease_until) OR lease_until <= :now OR holder = :holder",
            {":holder": holder, ":until": stamp(until), ":now": stamp(now)},
        )

    def leave_sweep(self, holder: str) -> None:
        """Release the sweeper's lease, unless another sweeper has taken it."""
        self._accepted(sweep_key(), "REMOVE lease_until", "holder = :holder", {":holder": holder})
