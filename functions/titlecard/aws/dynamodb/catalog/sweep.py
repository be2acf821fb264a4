"""The sweeper's lease: of several sweepers that are called at once, one works.

Two at once would lose nothing: what is sent twice ends once. They would send every row twice, though, and read it
twice. So a lease that ends a little early or late, by a clock that is wrong, does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog.keys import sweep_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable, stamp

if TYPE_CHECKING:
    from datetime import datetime


class SweepLease(CatalogTable):
    """Who sweeps."""

    def take_sweep(self, holder: str, *, until: datetime, now: datetime) -> bool:
        """Become the one who sweeps, until a moment at the latest; False where somebody else is.

        Args:
            holder: a random name; who asks again under the same name has the lease still.
        """
        return self._accepted(
            sweep_key(),
            "SET holder = :holder, lease_until = :until",
            "attribute_not_exists(lease_until) OR lease_until <= :now OR holder = :holder",
            {":holder": holder, ":until": stamp(until), ":now": stamp(now)},
        )

    def leave_sweep(self, holder: str) -> None:
        """Let the next one sweep; nothing happens where the lease is somebody else's by now."""
        self._accepted(sweep_key(), "REMOVE lease_until", "holder = :holder", {":holder": holder})
