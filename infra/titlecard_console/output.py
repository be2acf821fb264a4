"""How numbers, sums of money and strangers' texts are written for people."""

from __future__ import annotations

_A_CENT = 10_000
"""In micro-dollars."""


def pluralize(number: int, one: str, several: str = "") -> str:
    """A number with its noun: `1 video`, `2,000 videos`; `several` is the plural where it is not made with an s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def format_usd(micro_usd: int) -> str:
    """Micro-dollars; rounded up, so that no bound is shown below what it is."""
    if 0 < micro_usd < _A_CENT:
        return f"${micro_usd / 1_000_000:.6f}"
    return f"${-(-micro_usd // _A_CENT) / 100:,.2f}"


def format_amounts(requests: int, tokens: int, micro_usd: int) -> str:
    """What is charged, or can be: `3 requests, 2,000 tokens and $0.02`."""
    return f"{pluralize(requests, 'request')}, {pluralize(tokens, 'token')} and {format_usd(micro_usd)}"


def truncate(text: str, most: int) -> str:
    """A text of so many characters at most; one that is longer ends with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
