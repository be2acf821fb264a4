"""The fuse: one paid request per attempt, whatever the layers above it try.

The OpenAI client repeats requests that failed, Pydantic AI repeats those whose answer it does not like, HTTP follows
redirects, and each would pay again. They are told not to; but a setting can be forgotten or change its meaning, so the
promise is kept here, by the transport under all of them. A fuse lets ONE request through, only to the agreed address,
and only one whose cost cannot be above the bound that was reserved for it. Then it is blown.

It also keeps the account. What was billed is read from the raw body of the response, before anybody can fail over it.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2

from titlecard.llm.exchange import Allowance, Exchange, read_usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RESPONSE_MAX_BYTES = 1_048_576
"""More than a hundred times what an answer of ours takes; a provider that sends more is broken."""

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
"""What a request may say. Tools, stored conversations, files and the like are billed beyond the bytes of the body."""

_NOT_SENT = (
    *(httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout),
    *(httpx2.ProxyError, httpx2.UnsupportedProtocol),
)
"""Failures before the first byte of the request: there was no connection (name not found, refused, no TLS, no way
through a proxy)."""


class RequestRefused(Exception):
    """The fuse did not let a request through; nothing was sent."""


class Fuse(httpx2.AsyncBaseTransport):
    """The transport of one attempt.

    Args:
        network: what really sends. It outlives the fuse, which does not close it.
        allowance: what may be sent.
    """

    def __init__(self, network: httpx2.AsyncBaseTransport, allowance: Allowance) -> None:
        self.exchange = Exchange()
        self._burnt = False
        self._network = network
        self._allowance = allowance

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the one request and read its response.

        Raises:
            RequestRefused: it is not the one that is allowed.
            httpx2.TransportError: no connection, no response, or half of one.
        """
        exchange = self.exchange
        if refusal := self._refusal(request, await request.aread()):
            exchange.refusals.append(refusal)
            raise RequestRefused(refusal)
        self._burnt = exchange.sent = True
        try:
            response = await self._network.handle_async_request(request)
            response.request = request  # reading needs it, to name it in its errors
            exchange.status = response.status_code
            exchange.headers = response.headers
            content = await _read(response)
        except _NOT_SENT:
            exchange.sent, exchange.unreachable = False, True
            raise
        except (httpx2.TimeoutException, asyncio.CancelledError):  # nothing but a deadline cancels a request
            exchange.timed_out = True
            raise
        exchange.complete = True
        exchange.body = _json_object(content)
        if exchange.body is None:
            return httpx2.Response(response.status_code, headers=_passed_on(response), content=content, request=request)
        exchange.usage = read_usage(exchange.body.get("usage"))
        if response.status_code == HTTPStatus.OK:
            # An answer is paid for, whatever else the response holds: the client above sees the answer and nothing odd.
            return httpx2.Response(HTTPStatus.OK, json=_answer(exchange.body, self._allowance.model), request=request)
        return httpx2.Response(response.status_code, headers=_passed_on(response), content=content, request=request)

    def _refusal(self, request: httpx2.Request, content: bytes) -> str | None:
        """Why a request is not the one that is allowed, as a sentence; None where it is."""
        allowed = self._allowance
        body = _json_object(content) or {}
        unknown = sorted(body.keys() - _BODY_KEYS)
        cap = body.get("max_output_tokens")
        conditions = (
            (not self._burnt, "A second request in one attempt."),
            (request.method == "POST", f"A {request.method}."),
            (request.url == httpx2.URL(allowed.url), f"Another address than {allowed.url}."),
            (len(content) <= allowed.max_body_bytes, f"A body of more than {allowed.max_body_bytes} bytes."),
            (not unknown, f"A body with keys that may cost more: {', '.join(unknown)}."),
            (body.get("model") == allowed.model, f"Another model than {allowed.model}."),
            (body.get("service_tier") == allowed.service_tier, f"Another service tier than {allowed.service_tier}."),
            (type(cap) is int and 0 < cap <= allowed.max_output_tokens, "No cap on output tokens, or a higher one."),
            (body.get("store") is False, "A response that would be stored."),
            (body.get("stream", False) is False, "A response that would be streamed."),
            (_is_plain_text(body.get("input")), "An input that is more than text."),
        )
        return next((refusal for holds, refusal in conditions if not holds), None)


def _is_plain_text(value: object) -> bool:
    """Whether every message of an input is a text: a picture or a file costs more tokens than its address has bytes."""
    return isinstance(value, list) and all(
        isinstance(message, dict)
        and message.keys() <= {"role", "content", "type"}
        and isinstance(message.get("content"), str)
        for message in value
    )


async def _read(response: httpx2.Response) -> bytes:
    """The whole body, decoded.

    Raises:
        httpx2.TransportError: it broke off, or is larger than `RESPONSE_MAX_BYTES`.
        httpx2.DecodingError: it is not compressed as it says.
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


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):  # ValueError: not JSON, or not UTF-8
        return None
    return value if isinstance(value, dict) else None


def _answer(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A response with the texts of another, in the form in which OpenAI gives it, and nothing else.

    Gateways leave fields out, or fill them with things of another kind, and the client above would fail over each of
    them. What the provider declares (a failure, a refusal, the usage) is judged by the raw body.
    """
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in _texts(body)]
    message = {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": parts}
    return {
        "id": "resp",
        "object": "response",
        "created_at": 0,
        "model": model,
        "status": "completed",
        "output": [message] if parts else [],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
    }


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a response's messages."""
    output = body.get("output")
    for item in output if isinstance(output, list) else ():
        if not isinstance(item, dict) or item.get("type", "message") != "message":
            continue
        content = item.get("content")
        if isinstance(content, str):
            yield content
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type", "output_text") in ("output_text", "text"):
                text = part.get("text")
                if isinstance(text, str):
                    yield text


def _passed_on(response: httpx2.Response) -> list[tuple[str, str]]:
    """The response's headers without those about a transfer that is over."""
    over = {"content-length", "content-encoding", "transfer-encoding"}
    return [(name, value) for name, value in response.headers.items() if name.lower() not in over]
