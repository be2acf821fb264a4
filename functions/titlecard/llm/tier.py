"""The model tier, as the parser sees it.

Asking takes two steps, so that the caller can claim and reserve in between:

::

    prepare(video, answer, hint) ─► Request, with its bound     nothing is sent
    ask(request, key, deadline) ─► Answer                       at most one paid request
                                 └► or a fault that says what is charged and what to do next

Many threads may call `ask` at once. All requests run in one event loop, on its own thread, which lives as long as the
process: a client whose event loop ends loses answers that are already billed.
"""

from __future__ import annotations

import gc
import json
import threading
import time
from typing import TYPE_CHECKING

from titlecard.domain.endpoints import may_be_key
from titlecard.domain.money import Usage, measured, worst_case
from titlecard.domain.reasons import Reason
from titlecard.domain.video import Video
from titlecard.extraction import LocalParse
from titlecard.llm.errors import Defer
from titlecard.llm.exchange import Allowance
from titlecard.llm.prompt import (
    DESCRIPTION_MAX_BYTES,
    GUESS_MAX_NAMES,
    HINT_MAX_BYTES,
    INSTRUCTIONS,
    NAME_MAX_BYTES,
    OTHER_MAX_BYTES,
    OTHERS_MAX_NAMES,
    PROMPT_VERSION,
    TITLE_MAX_BYTES,
    prompt,
)
from titlecard.llm.request import Request
from titlecard.llm.response import ResponseContext, interpret

if TYPE_CHECKING:
    from decimal import Decimal

    from titlecard.domain.money import Amount, PriceList
    from titlecard.llm.client import Client
    from titlecard.llm.request import Answer

OPENAI = "https://api.openai.com/v1"

ENVELOPE_BYTES = 512
"""The allowance for a body's keys, settings and schema, without instructions, video and model name, in bytes; a request
uses 429."""


BYTES_PER_TOKEN = 4
"""The usual bytes per token of English text (OpenAI help centre, "What are tokens and how to count them?")."""

USUAL_OUTPUT_TOKENS = 80
"""The usual output of a request, in tokens; answers take 20 to 150."""


class ModelTier:
    """One model at one endpoint.

    Args:
        model: the model's name, which must be in the price list.
        service_tier: the service tier sent with every request, because the price depends on it.
        base_url: an endpoint that serves the Responses API with strict JSON schemas.
        price_factor: the endpoint's prices as a multiple of the list prices; see `PriceList.at`.
        max_output_tokens: the cap on the answer in tokens, reasoning included.
        settle_margin: the caller's time after a request's deadline, in seconds. Part of it may go into reading an
            answer that has arrived in full.

    Raises:
        Unpriced: the model has no price in this service tier, or the endpoint's prices are unknown.
        ValueError: the endpoint's address is not an HTTP URL.
    """

    prompt_version = PROMPT_VERSION

    def __init__(
        self,
        model: str,
        *,
        prices: PriceList,
        service_tier: str = "default",
        base_url: str = OPENAI,
        price_factor: Decimal | None = None,
        max_output_tokens: int,
        settle_margin: float = 10.0,
    ) -> None:
        if not base_url.startswith(("https://", "http://")):
            raise ValueError(f"The model's endpoint must begin with https:// or http://, unlike {base_url!r}.")
        self.model = model
        prices = prices.at(base_url, price_factor)
        self._row = prices.model(model)
        self._rates = prices.rates(model, service_tier)
        self._service_tier = service_tier
        self._base_url = base_url.rstrip("/")
        self._max_output_tokens = max_output_tokens
        self._settle_margin = settle_margin
        self._lock = threading.Lock()
        self._client: Client | None = None

    def prepare(self, video: Video, answer: LocalParse, hint: str) -> Request:
        """Return the one request about a video, and the most that it can cost. Pure.

        Args:
            answer: the local tier's answer, which the model corrects.
            hint: the layout of the batch's titles and what they share, in a few words.
        """
        text = prompt(video, answer, hint)
        size = ENVELOPE_BYTES + len(self.model.encode()) + _json_bytes(INSTRUCTIONS) + _json_bytes(text)
        return Request(text, size, worst_case(size, self._max_output_tokens, self._rates))

    @property
    def worst_case(self) -> Amount:
        """The most that a request about any video can cost: a budget below it may admit no request."""
        quote = '"'  # no byte takes more space: it becomes two bytes in the video's JSON, and four in the body's
        video = Video(id="worst", title=quote * TITLE_MAX_BYTES, description=quote * DESCRIPTION_MAX_BYTES)
        names = (quote * NAME_MAX_BYTES,) * GUESS_MAX_NAMES
        answer = LocalParse(
            title=video.title,
            presenters=names,
            confidence=0.99,
            sure=False,
            source="title",
            candidates=(quote * OTHER_MAX_BYTES,) * OTHERS_MAX_NAMES,
        )
        return self.prepare(video, answer, quote * HINT_MAX_BYTES).bound

    def expected(self, request: Request) -> Amount:
        """Return an estimate of a request's cost, for people only: no limit relies on it."""
        usage = Usage(request.max_body_bytes // BYTES_PER_TOKEN, USUAL_OUTPUT_TOKENS)
        return measured(usage, self._rates)

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Send a request, and load the client first if necessary, within the deadline. Thread-safe.

        Args:
            deadline_seconds: seconds until the request is given up; its bound is then charged.

        Raises:
            Fault: there is no answer. The exception says what is charged, and what to do next.
        """
        ends = time.monotonic() + deadline_seconds
        if not may_be_key(key):
            raise Defer(
                Reason.ACCOUNT_FAULT, "The project's key is empty or contains characters that a key cannot have."
            )
        client = self._loaded()
        left = ends - time.monotonic()
        if left <= 0:
            raise Defer(Reason.NOT_SENT_IN_TIME, "The deadline passed while the client was being loaded.")
        allowance = Allowance(
            url=f"{self._base_url}/responses",
            model=self.model,
            service_tier=self._service_tier,
            max_output_tokens=self._max_output_tokens,
            max_body_bytes=request.max_body_bytes,
        )
        exchange, cleaned = client.send(request.prompt, allowance, key=key, seconds=left)
        return interpret(exchange, cleaned, ResponseContext(request.bound, self._service_tier, self._row.tiers, key))

    def load(self) -> None:
        """Load the client now. If this fails before the claim and the reservation, nothing is charged."""
        self._loaded()

    def close(self) -> None:
        """End the client's thread, if there is one. A caller that still waits for an answer loses it."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _loaded(self) -> Client:
        with self._lock:
            if self._client is None:
                gc.disable()  # an import makes hardly any garbage; looking for it would take a third of the time
                try:
                    from titlecard.llm.client import Client  # noqa: PLC0415 - 0.6 s and 90 MB that most batches never need
                finally:
                    gc.enable()
                gc.freeze()
                self._client = Client(self._base_url, self._row.reasoning_effort, self._settle_margin)
            return self._client


def _json_bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
