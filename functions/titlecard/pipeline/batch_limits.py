"""A batch's limits: those of the stack, lowered by the metadata of the upload."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from titlecard.pipeline.errors import InvalidLimit

if TYPE_CHECKING:
    from titlecard.domain.money import Total

LIMIT_METADATA = {"requests": "limit-requests", "tokens": "limit-tokens", "micro_usd": "limit-micro-usd"}
"""The user-defined object metadata that lower a batch's limits: `aws s3 cp --metadata limit-requests=100 …`."""

LIMIT_USD = "limit-usd"
"""The metadata that lower a batch's limit in dollars: `limit-usd=0.50`."""


def own_limits(limits: Total, metadata: dict[str, str]) -> Total:
    """Return the stack's limits, lowered by the upload's own (`LIMIT_METADATA`, `LIMIT_USD`).

    Every metadata name that begins with `limit` is taken as a limit. An unknown or unreadable one refuses the upload:
    a misspelt limit must not mean no limit.

    Raises:
        InvalidLimit: a limit has an unknown name or an invalid number; the message is a sentence for the report.
    """
    known = (*LIMIT_METADATA.values(), LIMIT_USD)
    own = {name.strip().lower(): value for name, value in metadata.items() if name.strip().lower().startswith("limit")}
    if unknown := sorted(own.keys() - set(known)):
        raise InvalidLimit(f"the upload's metadata {unknown[0][:40]!r} is not a known limit: use {', '.join(known)}")
    found = {name: _whole_number(key, own[key]) for name, key in LIMIT_METADATA.items() if key in own}
    if LIMIT_USD in own:
        dollars = _micro_usd(own[LIMIT_USD])
        found["micro_usd"] = min(dollars, found.get("micro_usd", dollars))
    return limits.lowered_by(**found)


def _whole_number(key: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise InvalidLimit(f"the upload's {key} is {value[:40]!r}: it must be a whole number")
    return int(value)


def _micro_usd(value: str) -> int:
    """Convert dollars to micro-dollars, rounded down."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,18})?", value):
        raise InvalidLimit(f"the upload's {LIMIT_USD} is {value[:40]!r}: it must be dollars, as in 0.50")
    return int(Decimal(value) * 1_000_000)
