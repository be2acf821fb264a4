"""The sweeper's lease: of several concurrent sweepers one works, and a killed one delays the next only briefly.

::

    holder      take ── renew ── renew ── renew ── killed
    another                        └ reads the lease, waits: it has changed, so it is left alone
    a third                                          └ reads the lease, waits: it has not changed, so it is taken over

The sweepers do not compare clocks, which may differ by minutes. A sweeper that finds a lease waits by its own clock for
the length of a lease, and takes the lease over if it is unchanged. A holder that could not renew in that time stops by
itself, after its current step. A row that two sweepers send twice ends once.
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

from titlecard.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from titlecard.aws.dynamodb.catalog import Catalog

RENEW_SECONDS = 3

POLLS = 5
"""A lease that stays unchanged for this many times `RENEW_SECONDS` belongs to a dead sweeper."""

LEASE = timedelta(seconds=RENEW_SECONDS * POLLS)


class Lease:
    """One sweeper's lease."""

    def __init__(self, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._now = now
        self._holder = uuid4().hex
        self._renewed = now()
        self._over = Event()

    def take(self) -> bool:
        """Take the lease, waiting for a dead holder's to expire; return False if another sweeper holds it."""
        seen = self._catalog.sweep_lease()
        for _ in range(POLLS if seen else 0):
            time.sleep(RENEW_SECONDS)
            if self._catalog.sweep_lease() != seen:
                return False
        self._renewed = self._now()
        return self._catalog.take_sweep(self._holder, seen=seen, until=self._until())

    @property
    def is_held(self) -> bool:
        """Whether no other sweeper can have taken over."""
        return self._now() < self._until()

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease in the background, and release it at the end."""
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="lease") as pool:
                pool.submit(self._renew)
                try:
                    yield
                finally:
                    self._over.set()
        finally:
            with self._errors_logged():
                self._catalog.release_sweep(self._holder)

    def _renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            began = self._now()
            with self._errors_logged():
                if not self._catalog.renew_sweep(self._holder, until=began + LEASE):
                    return  # another sweeper took over, so it no longer lasts
                self._renewed = began

    @contextmanager
    def _errors_logged(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:  # the lease then expires by itself
            logger.warning("the lease could not be written", error=type(error).__name__)

    def _until(self) -> datetime:
        return self._renewed + LEASE
