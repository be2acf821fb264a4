"""The sweeper's lease: of several sweepers that are called at once, one works; a killed one stops none for long.

::

    holder      take ── renew ── renew ── renew ── killed
    another                        └ reads the lease, waits: it has changed, and is left alone
    a third                                          └ reads the lease, waits: it has not changed, and is taken over

Nobody compares clocks, which may be minutes apart: who finds a lease waits by its own clock for as long as a lease
lasts, and takes over what is still as it was read. Who could not renew in that time stops by itself. A step that it is
in the middle of goes on; what two sweepers send twice ends once.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from titlecard.aws.dynamodb.catalog import Catalog

RENEW_SECONDS = 3

LOOKS = 5
"""A lease that is the same for so many times `RENEW_SECONDS` is a dead sweeper's."""

LEASE = timedelta(seconds=RENEW_SECONDS * LOOKS)


class Lease:
    """One sweeper's lease."""

    def __init__(self, catalog: Catalog, now: Callable[[], datetime], log: Logger) -> None:
        self._catalog = catalog
        self._now = now
        self._log = log
        self._holder = uuid4().hex
        self._renewed = now()
        self._over = Event()

    def take(self) -> bool:
        """Become the one who sweeps, once the one before is gone; False where it is not."""
        seen = self._catalog.sweep_lease()
        for _ in range(LOOKS if seen else 0):
            time.sleep(RENEW_SECONDS)
            if self._catalog.sweep_lease() != seen:
                return False
        self._renewed = self._now()
        return self._catalog.take_sweep(self._holder, seen=seen, until=self._until())

    @property
    def lasts(self) -> bool:
        """Whether nobody else can have taken over."""
        return self._now() < self._until()

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease in the background, and give it back at the end."""
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="lease") as pool:
                pool.submit(self._renew)
                try:
                    yield
                finally:
                    self._over.set()
        finally:
            with self._trouble_told():
                self._catalog.leave_sweep(self._holder)

    def _renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            began = self._now()
            with self._trouble_told():
                if not self._catalog.renew_sweep(self._holder, until=began + LEASE):
                    return  # it was taken over, and does not last
                self._renewed = began

    @contextmanager
    def _trouble_told(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as trouble:  # then the lease runs out by itself
            self._log.warning("the lease could not be written", error=type(trouble).__name__)

    def _until(self) -> datetime:
        return self._renewed + LEASE
