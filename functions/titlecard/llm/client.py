"""Pydantic AI and the OpenAI client, set up to ask once. This slow import waits for the first request."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from titlecard.domain.endpoints import Prices, prices_at
from titlecard.llm.fuse import Fuse
from titlecard.llm.prompt import INSTRUCTIONS, Cleaned

if TYPE_CHECKING:
    from openai.types.shared import ReasoningEffort

    from titlecard.llm.exchange import Allowance, Exchange

# Each of these would pay again for the same attempt. The fuse prevents it even if they are enabled.
SDK_RETRIES = 0
OUTPUT_RETRIES = 0
FOLLOW_REDIRECTS = False

CONNECT_SECONDS = 5.0
"""Seconds after which an unreachable provider is given up: well before the deadline, and before anything is sent."""

READING_SECONDS, READING_SHARE = 3.0, 0.3
"""How long after the deadline a complete answer is still read, because it is paid for: this many seconds, but at most
this share of the settle margin, most of which is for saving and settling. To allow that, `_send` enforces the deadline,
and no layer below it limits the whole request."""

OVERTIME_SECONDS, OVERTIME_SHARE = 2.0, 0.2
"""How long after that a caller waits for an unresponsive event loop, in seconds and as a share of the settle margin."""

_LEAN = OpenAIModelProfile(
    openai_supports_encrypted_reasoning_content=False,
    openai_responses_supports_reasoning_context=False,
)
"""Disables Pydantic AI's additions to a conversation with a reasoning model, which cost money in our single turn."""


def proxy_for(base_url: str) -> str | None:
    """Return the proxy for an endpoint from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; None if there is none.

    MODEL_PROXY, which the template sets, takes precedence, since boto3 would send calls to AWS through the others as
    well. httpx2 reads them only for its own transport, and ours is a fuse. Its transport itself reads the certificates
    named by SSL_CERT_FILE or SSL_CERT_DIR. A server on this machine is never behind a proxy.
    """
    parts = urlsplit(base_url)
    if prices_at(base_url) is Prices.LOOPBACK or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    proxy = os.environ.get("MODEL_PROXY") or proxies.get(parts.scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


class Client:
    """One client per model and process; thread-safe. Its event loop runs in its own thread until `close`.

    Args:
        base_url: the endpoint, without a trailing slash.
        reasoning_effort: the effort that every request asks for; None if the model does not have this setting.
        settle_margin: seconds after the deadline that the caller has to save and settle.
    """

    def __init__(self, base_url: str, reasoning_effort: str | None, settle_margin: float) -> None:
        self._reading = min(READING_SECONDS, READING_SHARE * settle_margin)
        self._overtime = min(OVERTIME_SECONDS, OVERTIME_SHARE * settle_margin)
        self._base_url = base_url
        self._reasoning_effort = cast("ReasoningEffort", reasoning_effort)
        self._agent = Agent(
            output_type=NativeOutput(Cleaned, name="talk", strict=True),
            instructions=INSTRUCTIONS,
            retries=OUTPUT_RETRIES,
        )
        # No connection is kept: one that is closed while Lambda freezes the process looks open, and costs a bound.
        self._network = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_keepalive_connections=0), proxy=proxy_for(base_url)
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-client", daemon=True)
        self._thread.start()

    def send(self, prompt: str, allowance: Allowance, *, key: str, seconds: float) -> tuple[Exchange, Cleaned | None]:
        """Send a request; return the exchange on the wire, and the talk that Pydantic AI found in it, or None.

        Args:
            prompt: the video, as the model sees it.
            key: the key of the account that pays.
            seconds: the deadline for the whole request.
        """
        fuse = Fuse(self._network, allowance)
        future = asyncio.run_coroutine_threadsafe(self._send(prompt, fuse, allowance, key, seconds), self._loop)
        try:
            return fuse.exchange, future.result(seconds + self._reading + self._overtime)
        except TimeoutError:
            future.cancel()
            fuse.exchange.sent = fuse.exchange.timed_out = True  # must be assumed, because the loop does not answer
            return fuse.exchange, None

    def close(self) -> None:
        """End the thread."""
        asyncio.run_coroutine_threadsafe(self._network.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _send(self, prompt: str, fuse: Fuse, allowance: Allowance, key: str, seconds: float) -> Cleaned | None:
        run = asyncio.create_task(self._run(prompt, fuse, allowance, key, seconds))
        try:
            await asyncio.wait({run}, timeout=seconds)
            if not run.done() and fuse.exchange.complete:
                await asyncio.wait({run}, timeout=self._reading)
        finally:  # also if the caller has given up: otherwise the request could leave later, without a deadline
            run.cancel()
        await asyncio.wait({run})
        if run.cancelled():
            return None
        error = run.exception()
        if error is None:
            return run.result()
        # Once a request was tried, the exchange on the wire decides its outcome, whatever error the client raises.
        exchange = fuse.exchange
        if exchange.sent or exchange.unreachable or exchange.refusals:
            return None
        raise error

    async def _run(self, prompt: str, fuse: Fuse, allowance: Allowance, key: str, seconds: float) -> Cleaned:
        timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        async with httpx2.AsyncClient(transport=fuse, follow_redirects=FOLLOW_REDIRECTS, timeout=timeout) as http:
            client = AsyncOpenAI(
                api_key=key, base_url=self._base_url, http_client=http, max_retries=SDK_RETRIES, timeout=timeout
            )
            model = OpenAIResponsesModel(allowance.model, provider=OpenAIProvider(openai_client=client), profile=_LEAN)
            settings = OpenAIResponsesModelSettings(
                max_tokens=allowance.max_output_tokens,
                openai_service_tier=cast("Literal['default', 'flex', 'priority']", allowance.service_tier),
                openai_store=False,
            )
            if self._reasoning_effort is not None:
                settings["openai_reasoning_effort"] = self._reasoning_effort
            return (await self._agent.run(prompt, model=model, model_settings=settings)).output
