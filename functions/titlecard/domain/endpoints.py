"""The prices and the keys of a model's endpoint. Imports only the standard library, so a deployment can check them.

At its data-residency hosts, OpenAI charges 10 % more for models released on or after 5 March 2026
(developers.openai.com/api/docs/guides/data-residency). A gateway or another cloud has its own prices. Only its owner
knows them, and states them as a factor of the list prices.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

OPENAI_HOST = "api.openai.com"
DATA_RESIDENCY_HOSTS = frozenset(f"{region}.{OPENAI_HOST}" for region in ("eu", "us", "au", "in", "jp"))


class Prices(StrEnum):
    """The prices that apply at an endpoint."""

    OPENAI = "openai"
    """The list prices."""
    DATA_RESIDENCY = "data_residency"
    """The list prices plus OpenAI's surcharge for a region."""
    LOOPBACK = "loopback"
    """The list prices, unless the owner states a factor: a server on this machine bills nothing."""
    UNKNOWN = "unknown"
    """Unknown prices: the owner must state a factor."""


def prices_at(base_url: str) -> Prices:
    """Return which prices apply at an endpoint, by the host of its address."""
    host = _host(base_url)
    if host == OPENAI_HOST:
        return Prices.OPENAI
    if host in DATA_RESIDENCY_HOSTS:
        return Prices.DATA_RESIDENCY
    return Prices.LOOPBACK if _is_loopback(host) else Prices.UNKNOWN


def unknown_prices(base_url: str) -> str:
    """Return the sentence that refuses an endpoint with unknown prices; it has no key that the address may contain."""
    return (
        f"The prices at {_host(base_url) or 'that address'} are not known, so Titlecard sends no request there: set "
        "PriceFactor to its prices as a factor of OpenAI's list prices (1 if they are equal, 0 if requests are free)."
    )


def may_be_key(text: str) -> bool:
    """Return whether a text can be a provider's key. HTTP clients refuse others, and quote them in their errors."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _host(base_url: str) -> str:
    try:
        return urlsplit(base_url).hostname or ""
    except ValueError:  # half an IPv6 address
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
