"""The model tier: one question about one video, at most one paid request, and a bound known beforehand.

The import is cheap: Pydantic AI and the OpenAI client are loaded when the first question is asked.
"""

from __future__ import annotations

from titlecard.llm.prompt import PROMPT_VERSION
from titlecard.llm.question import Answer, Question
from titlecard.llm.tier import OPENAI, ModelTier

__all__ = ["OPENAI", "PROMPT_VERSION", "Answer", "ModelTier", "Question"]
