"""The stored lease of the sweeper; `pipeline.lease` takes and renews it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog.keys import sweep_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable
from titlecard.aws.dynamodb.values import stamp

if TYPE_CHECKING:
    from datetime import datetime


class SweepLease(CatalogTable):
    """The sweeper's lease. Each renewal changes `lease_until`, which is never compared with a clock."""

    def sweep_lease(self) -> str:
        """Return the `lease_until` of the current sweeper; empty if there is none."""
        return str(self._get(sweep_key()).get("lease_until", ""))

    def take_sweep(self, holder: str, *, seen: str, until: datetime) -> bool:
        """Take the lease if it has not changed since it was read; return False if it has.

        Args:
            holder: a random name; its holder may take the lease again.
            seen: the value that `sweep_lease` returned.
        """
        as_seen = "lease_until = :seen" if seen else "attribute_not_exists(lease_until)"
        return self._update(
            sweep_key(),
            "SET holder = :holder, lease_until = :until",
            f"{as_seen} OR holder = :holder",
            {":holder": holder, ":until": stamp(until), **({":seen": seen} if seen else {})},
        )

    def renew_sweep(self, holder: str, *, until: datetime) -> bool:
        """Renew the lease of a live sweeper; return False if another sweeper has taken it.

        A renewal never lowers `lease_until`: otherwise a late copy of an older call would look like a live sweeper.
        """
        return self._update(
            sweep_key(),
            "SET lease_until = :until",
            "holder = :holder AND lease_until <= :until",
            {":until": stamp(until), ":holder": holder},
        )

    def release_sweep(self, holder: str) -> None:
        """Release the lease, unless another sweeper has taken it."""
        self._update(sweep_key(), "REMOVE lease_until", "holder = :holder", {":holder": holder})
