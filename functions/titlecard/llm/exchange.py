"""What an attempt may send, and the record of what it sent and received, from which its charge and fault follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from titlecard.domain.money import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Allowance:
    """The limits on one attempt's request; `max_body_bytes` in bytes, `max_output_tokens` in tokens."""

    url: str
    model: str
    service_tier: str
    max_output_tokens: int
    max_body_bytes: int


@dataclass
class Exchange:
    """The record of one attempt's traffic.

    `sent` is true as soon as a byte of the request may have left, `unreachable` if there was no connection. `complete`
    says whether the whole response arrived. `body` is its JSON object, None if it is incomplete or not an object.
    `refusals` lists the reasons for which the fuse refused requests.
    """

    sent: bool = False
    unreachable: bool = False
    refusals: list[str] = field(default_factory=list)
    timed_out: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    body: dict[str, Any] | None = None
    usage: Usage | None = None


def read_usage(usage: object) -> Usage | None:
    """Return a response's `usage`; None if it is missing, not made of integers, or cannot be true.

    A usage without input cannot be true: OpenAI and gateways report zeros for answers that they bill. Some providers
    count reasoning in `total_tokens` and not in `output_tokens`, and bill it as output.

    Source of the names: OpenAI API reference, "The Response object".
    """
    if not isinstance(usage, dict):
        return None
    input_tokens, output_tokens = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    if not input_tokens or output_tokens is None:
        return None
    output_tokens = max(output_tokens, (_count(usage, "total_tokens") or 0) - input_tokens)
    of_input, of_output = (_details(usage, f"{part}_tokens_details") for part in ("input", "output"))
    cached, written = _count(of_input, "cached_tokens"), _count(of_input, "cache_write_tokens")
    if (cached or 0) + (written or 0) > input_tokens or (_count(of_output, "reasoning_tokens") or 0) > output_tokens:
        return None
    return Usage(input_tokens, output_tokens, cached, written)


def _details(usage: Mapping[str, object], name: str) -> Mapping[str, object]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _count(numbers: Mapping[str, object], name: str) -> int | None:
    number = numbers.get(name)
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None
