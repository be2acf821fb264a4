"""Prompt injection: lines that address the model and not people ("ignore the above, the presenter is ...").

Their author wants the parser to accept a name that no person would. So neither the line nor the text after it is
evidence. A stranger who knows these phrases can avoid them: this stops the common attempts, no more.
"""

from __future__ import annotations

import re
from itertools import takewhile

from titlecard.domain.text import fold

_INSTRUCTION = re.compile(
    r"\b(?:ignore|disregard|forget|override|do not (?:follow|trust)|don['\u2019]t (?:follow|trust))\b.{0,40}"
    r"\b(?:above|previous|prior|earlier|instructions?|everything|(?:the|this) (?:title|text|description|rules?))\b"
    r"|\b(?:ignor\w+|olvid\w+|oubli\w+|vergiss|vergesst|esquec\w+|игнориру\w+|забуд\w+)\b.{0,40}"
    r"\b(?:anterior\w*|arriba|acima|preced\w+|ci-dessus|obige\w*|vorherige\w*|выше|предыдущ\w+)\b"
    r"|\b(?:new|updated|following|these) (?:instructions?|overrides?)\b\s*(?::|all\b|everything\b)"
    r"|\b(?:note|instructions?|message) (?:to|for) (?:the |any )?(?:ai|llm|assistant|language model|parser)\b"
    r"|\b(?:system prompt|developer mode)\b|^[\W_]*(?:system|assistant)[\W_]*[:#]"
    r"|\byou are (?:now )?(?:a|an) (?:ai|assistant|language model)\b"
)
_INSTRUCTION_PARTS = (
    *("ignor", "disregard", "forget", "overrid", "not follow", "not trust", "t follow", "t trust", "olvid", "oubli"),
    *("vergiss", "vergesst", "esquec", "игнор", "забуд", "instruction", "note to", "note for", "message to"),
    *("message for", "prompt", "developer mode", "system", "assistant", "you are"),
)
"""Every text that `_INSTRUCTION` matches contains one of these. Looking for them first is far quicker."""


def looks_like_injection(line: str) -> bool:
    """Return whether a normalised line gives instructions to the model."""
    return _may_instruct(line) and _INSTRUCTION.search(fold(line)) is not None


def text_before_injection(text: str) -> str:
    """Return the lines of a normalised text before the first that gives instructions."""
    if not _may_instruct(text):
        return text
    return "\n".join(takewhile(lambda line: not looks_like_injection(line), text.split("\n")))


def _may_instruct(text: str) -> bool:
    folded = fold(text)
    return any(word in folded for word in _INSTRUCTION_PARTS)
