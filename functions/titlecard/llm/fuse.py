"""The fuse: one paid request per attempt, whatever the layers above it try.

The OpenAI client repeats failed requests, Pydantic AI repeats requests whose answer is invalid, HTTP clients follow
redirects, and each repetition would cost money. Settings turn all this off, but a setting can be forgotten or change
its meaning. So the transport below them enforces the rule: a fuse passes ONE request, only to the agreed address, and
only if its cost cannot exceed the reserved bound. After that it refuses every other request.

The fuse also records the traffic. It reads the usage from the raw body of the response, before a layer above can fail.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import httpx2

from titlecard.llm.body import as_openai, json_object, read_response
from titlecard.llm.errors import RequestRefused
from titlecard.llm.exchange import Allowance, Exchange, read_usage

RESPONSE_MAX_BYTES = 1_048_576
"""The largest response, in bytes: over a hundred times the size of a normal answer. A larger one means a fault."""

_BODY_KEYS = frozenset(
    {
        "input",
        "instructions",
        "max_output_tokens",
        "model",
        "reasoning",
        "service_tier",
        "store",
        "stream",
        "text",
    }
)
"""The keys that a request's body may have. Others, such as tools, stored conversations and files, cost more than their
bytes."""

_NOT_SENT = (
    *(httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout),
    *(httpx2.ProxyError, httpx2.UnsupportedProtocol),
)
"""The exceptions raised before the first byte of the request: there was no connection (name not found, refused, no TLS,
no way through a proxy)."""


class Fuse(httpx2.AsyncBaseTransport):
    """The transport of one attempt.

    Args:
        network: the transport that sends. It outlives the fuse, which does not close it.
    """

    def __init__(self, network: httpx2.AsyncBaseTransport, allowance: Allowance) -> None:
        self.exchange = Exchange()
        self._is_blown = False
        self._network = network
        self._allowance = allowance

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the one request and read its response.

        Raises:
            RequestRefused: the request is not the allowed one.
            httpx2.TransportError: there is no connection, no response, or only a part of one.
        """
        exchange = self.exchange
        if refusal := self._refusal(request, await request.aread()):
            exchange.refusals.append(refusal)
            raise RequestRefused(refusal)
        self._is_blown = exchange.sent = True
        try:
            response = await self._network.handle_async_request(request)
            response.request = request  # errors while reading name the request
            exchange.status = response.status_code
            exchange.headers = response.headers
            content = await _read(response)
        except _NOT_SENT:
            exchange.sent, exchange.unreachable = False, True
            raise
        except (httpx2.TimeoutException, asyncio.CancelledError):  # only a deadline cancels a request
            exchange.timed_out = True
            raise
        exchange.complete = True
        body = exchange.body = read_response(content)
        if body is not None:
            exchange.usage = read_usage(body.get("usage"))
            if response.status_code < HTTPStatus.MULTIPLE_CHOICES:
                # An answer is paid for, whatever else the response holds: the client above sees only the answer.
                return httpx2.Response(HTTPStatus.OK, json=as_openai(body, self._allowance.model), request=request)
        return httpx2.Response(response.status_code, headers=_passed_on(response), content=content, request=request)

    def _refusal(self, request: httpx2.Request, content: bytes) -> str | None:
        """Return why a request is not the allowed one, as a sentence; None if it is."""
        allowed = self._allowance
        body = json_object(content) or {}
        unknown = sorted(body.keys() - _BODY_KEYS)
        cap = body.get("max_output_tokens")
        conditions = (
            (not self._is_blown, "A second request in one attempt."),
            (request.method == "POST", f"A {request.method}."),
            (request.url == httpx2.URL(allowed.url), f"An address other than {allowed.url}."),
            (len(content) <= allowed.max_body_bytes, f"A body of more than {allowed.max_body_bytes} bytes."),
            (not unknown, f"A body with keys that may cost more: {', '.join(unknown)}."),
            (body.get("model") == allowed.model, f"A model other than {allowed.model}."),
            (body.get("service_tier") == allowed.service_tier, f"A service tier other than {allowed.service_tier}."),
            (type(cap) is int and 0 < cap <= allowed.max_output_tokens, "No cap on output tokens, or a higher one."),
            (body.get("store") is False, "A response that would be stored."),
            (body.get("stream", False) is False, "A response that would be streamed."),
            (_is_plain_text(body.get("input")), "An input that is more than text."),
        )
        return next((refusal for holds, refusal in conditions if not holds), None)


def _is_plain_text(value: object) -> bool:
    """Return whether every input message is text: a picture or file costs more tokens than its URL has bytes."""
    return isinstance(value, list) and all(
        isinstance(message, dict)
        and message.keys() <= {"role", "content", "type"}
        and isinstance(message.get("content"), str)
        for message in value
    )


async def _read(response: httpx2.Response) -> bytes:
    """Return the whole body, decoded.

    Raises:
        httpx2.TransportError: the body broke off, or is larger than `RESPONSE_MAX_BYTES`.
        httpx2.DecodingError: the body is not in its declared encoding.
    """
    content = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > RESPONSE_MAX_BYTES:
                raise httpx2.ReadError(f"A response of more than {RESPONSE_MAX_BYTES} bytes.", request=response.request)
    finally:
        await response.aclose()
    return bytes(content)


def _passed_on(response: httpx2.Response) -> list[tuple[str, str]]:
    """Return the response's headers without those that describe the transfer."""
    over = {"content-length", "content-encoding", "transfer-encoding"}
    return [(name, value) for name, value in response.headers.items() if name.lower() not in over]
