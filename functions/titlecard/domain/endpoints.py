"""Which prices hold at a model's endpoint. Nothing here but the standard library, so that a deployment can check it.

OpenAI charges its data-residency hosts 10 % more for models released on or after 5 March 2026
(developers.openai.com/api/docs/guides/data-residency). A gateway or another cloud has prices of its own: nobody but the
owner knows them, so the owner states them as a factor of the list prices.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

OPENAI_HOST = "api.openai.com"
DATA_RESIDENCY_HOSTS = frozenset(f"{region}.{OPENAI_HOST}" for region in ("eu", "us", "au", "in", "jp"))


class Prices(StrEnum):
    """Which prices hold at an endpoint."""

    OPENAI = "openai"
    """Those of the list."""
    DATA_RESIDENCY = "data_residency"
    """Those of the list, with what OpenAI adds for a region."""
    LOOPBACK = "loopback"
    """Those of the list, unless the owner states a factor: nobody pays for a server on this machine."""
    UNKNOWN = "unknown"
    """The owner has to state a factor."""


def prices_at(base_url: str) -> Prices:
    """Which prices hold at an endpoint, by the host of its address."""
    try:
        host = (urlsplit(base_url).hostname or "").lower()
    except ValueError:  # half an IPv6 address
        return Prices.UNKNOWN
    if host == OPENAI_HOST:
        return Prices.OPENAI
    if host in DATA_RESIDENCY_HOSTS:
        return Prices.DATA_RESIDENCY
    return Prices.LOOPBACK if _is_loopback(host) else Prices.UNKNOWN


def unknown_prices(base_url: str) -> str:
    """The sentence that refuses an endpoint whose prices nobody knows."""
    return (
        f"The prices at {base_url} are not known, so nothing is asked there: set PriceFactor to what its prices are, "
        "times OpenAI's list prices (1 where they are the same, 0 where nobody pays)."
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
