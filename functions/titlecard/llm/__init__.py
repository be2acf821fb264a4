"""The model tier: at most one paid request about one video, with a bound known beforehand.

The import is cheap: Pydantic AI and the OpenAI client are loaded when the first request is sent.
"""

from __future__ import annotations

from titlecard.llm.prompt import PROMPT_VERSION
from titlecard.llm.request import Answer, Request
from titlecard.llm.tier import OPENAI, ModelTier

__all__ = ["OPENAI", "PROMPT_VERSION", "Answer", "ModelTier", "Request"]
