"""The sweeper's lease, as it is stored; `pipeline.lease` says how it is taken and renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog.keys import sweep_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable, stamp

if TYPE_CHECKING:
    from datetime import datetime


class SweepLease(CatalogTable):
    """Who sweeps. `lease_until` is another one each time that it is renewed; nobody compares it with a clock."""

    def sweep_lease(self) -> str:
        """What the one who sweeps wrote last; empty where nobody does."""
        return str((self._get(sweep_key()) or {}).get("lease_until", ""))

    def take_sweep(self, holder: str, *, seen: str, until: datetime) -> bool:
        """Become the one who sweeps, where the lease is as it was seen; False where it is not.

        Args:
            holder: a random name; who asks again under the same name has the lease still.
            seen: what `sweep_lease` gave.
        """
        as_seen = "lease_until = :seen" if seen else "attribute_not_exists(lease_until)"
        return self._accepted(
            sweep_key(),
            "SET holder = :holder, lease_until = :until",
            f"{as_seen} OR holder = :holder",
            {":holder": holder, ":until": stamp(until), **({":seen": seen} if seen else {})},
        )

    def renew_sweep(self, holder: str, *, until: datetime) -> bool:
        """Write that the one who sweeps is alive; False where the lease is somebody else's by now."""
        return self._accepted(
            sweep_key(), "SET lease_until = :until", "holder = :holder", {":until": stamp(until), ":holder": holder}
        )

    def leave_sweep(self, holder: str) -> None:
        """Let the next one sweep; nothing happens where the lease is somebody else's by now."""
        self._accepted(sweep_key(), "REMOVE lease_until", "holder = :holder", {":holder": holder})
