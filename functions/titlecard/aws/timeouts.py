"""How long a call to AWS may take, beside the tables' own limits (`CATALOG_CONFIG`, `LEDGER_CONFIG`).

botocore waits a minute for a connection and another for an answer, and tries up to five times: that is longer than an
invocation lasts. A unit test holds these limits against the functions' timeouts and margins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping


def _limits(*, connect: int, read: int, tries: int) -> Config:
    """Return the configuration of a client; `connect` and `read` in seconds, for each try."""
    retries: Any = {"mode": "standard", "total_max_attempts": tries}
    return Config(connect_timeout=connect, read_timeout=read, retries=retries)


LAMBDA = _limits(connect=1, read=2, tries=1)
"""The request to finish a batch at once: without it, the sweeper's schedule finishes the batch within a minute."""

SQS = _limits(connect=1, read=3, tries=2)
"""Messages, and the delays of redeliveries, which are set at the very end of an invocation."""

SECRETS = _limits(connect=1, read=2, tries=2)
"""Keys: a worker may read those of ten projects, one after the other, before it starts."""

EVENTS = _limits(connect=1, read=5, tries=3)
"""The event of a finished batch."""

S3 = _limits(connect=2, read=15, tries=3)
"""Manifests, reports and results; `read` is the longest pause within an answer."""


def longest_call(config: Config) -> float:
    """Return the most seconds that one call takes, with the pauses between its tries.

    A pause is at most 1 second after the first try, and twice as long each time (boto3 guide, "Retries").
    """
    limits = cast("Mapping[str, Any]", vars(config))
    tries = limits["retries"]["total_max_attempts"]
    return float(tries * (limits["connect_timeout"] + limits["read_timeout"]) + 2 ** (tries - 1) - 1)
