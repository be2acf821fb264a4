"""The fuse, alone: what it lets through, what it refuses, what it reads."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.money import Usage
from titlecard.llm.exchange import Allowance, Exchange, read_usage
from titlecard.llm.fuse import RESPONSE_MAX_BYTES, Fuse, RequestRefused

URL = "http://provider.test/v1/responses"
ALLOWANCE = Allowance(URL, "gpt-6-luna", "default", max_output_tokens=400, max_body_bytes=2_000)
BODY: dict[str, Any] = {
    "model": "gpt-6-luna",
    "service_tier": "default",
    "input": [{"role": "user", "content": "a video"}],
    "instructions": "clean it",
    "max_output_tokens": 400,
    "store": False,
    "stream": False,
    "text": {"format": {"type": "json_schema"}},
}
USAGE = {"input_tokens": 7, "output_tokens": 3}


class Network(httpx2.MockTransport):
    """Answers everything with one response, and counts."""

    def __init__(self, response: httpx2.Response | None = None) -> None:
        super().__init__(self._answer)
        self.requests = 0
        self._response = response or httpx2.Response(200, json={"status": "completed", "usage": USAGE})

    def _answer(self, _: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        return self._response


def post(fuse: Fuse, body: object = BODY, url: str = URL, method: str = "POST") -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def send() -> httpx2.Response:
        return await fuse.handle_async_request(httpx2.Request(method, url, content=content))

    return asyncio.run(send())


def test_the_one_allowed_request_goes_through() -> None:
    network = Network()
    fuse = Fuse(network, ALLOWANCE)
    post(fuse)
    assert (network.requests, fuse.exchange.refusals) == (1, [])


def test_a_second_request_is_refused() -> None:
    network = Network()
    fuse = Fuse(network, ALLOWANCE)
    post(fuse)
    with pytest.raises(RequestRefused, match="second request"):
        post(fuse)
    assert network.requests == 1


REFUSED: dict[str, dict[str, Any]] = {
    "A GET": {"method": "GET"},
    "Another address": {"url": "http://provider.test/v1/chat/completions"},
    "more than 2000 bytes": {"body": BODY | {"instructions": "x" * 2_000}},
    "Another model": {"body": BODY | {"model": "gpt-5-pro"}},
    "Another service tier than": {"body": BODY | {"service_tier": "priority"}},
    "Another service tier": {"body": {key: BODY[key] for key in BODY.keys() - {"service_tier"}}},
    "keys that may cost more: tools": {"body": BODY | {"tools": [{"type": "web_search"}]}},
    "keys that may cost more: previous_response_id": {"body": BODY | {"previous_response_id": "resp_1"}},
    "No cap on output tokens": {"body": {key: BODY[key] for key in BODY.keys() - {"max_output_tokens"}}},
    "No cap on output tokens, or a higher one": {"body": BODY | {"max_output_tokens": 401}},
    "No cap on output": {"body": BODY | {"max_output_tokens": True}},
    "stored": {"body": BODY | {"store": True}},
    "streamed": {"body": BODY | {"stream": True}},
    "more than text": {"body": BODY | {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}},
    "more than tex": {"body": BODY | {"input": [{"type": "item_reference", "id": "msg_1"}]}},
    "Another mode": {"body": b"not json"},
}


@pytest.mark.parametrize("said", sorted(REFUSED))
def test_a_request_that_could_cost_more_than_the_bound_is_not_sent(said: str) -> None:
    network = Network()
    fuse = Fuse(network, ALLOWANCE)
    with pytest.raises(RequestRefused, match=said):
        post(fuse, **REFUSED[said])
    assert (network.requests, fuse.exchange.sent) == (0, False)


def test_the_usage_is_read_from_the_raw_body() -> None:
    fuse = Fuse(Network(), ALLOWANCE)
    post(fuse)
    assert fuse.exchange.usage == Usage(7, 3)


def test_the_usage_is_read_from_a_compressed_body() -> None:
    content = gzip.compress(json.dumps({"usage": USAGE}).encode())
    fuse = Fuse(Network(httpx2.Response(200, headers={"content-encoding": "gzip"}, content=content)), ALLOWANCE)
    post(fuse)
    assert fuse.exchange.usage == Usage(7, 3)


MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "{}"}]}

BODIES: dict[str, dict[str, Any]] = {
    "as OpenAI writes it": {"status": "completed", "output": [{"type": "reasoning", "content": []}, MESSAGE]},
    "with an odd usage": {"status": "completed", "output": [MESSAGE], "usage": "a lot"},
    "with odd fields": {"status": ["x"], "id": 7, "model": None, "tools": {}, "service_tier": [], "output": [MESSAGE]},
    "bare": {"output": [{"content": [{"text": "{}"}]}]},
    "with a text for its content": {"output": [{"content": "{}"}]},
    "with odd items": {"output": [None, "x", {"type": "message", "content": [None, {"text": 5}, {"text": "{}"}]}]},
}


@pytest.mark.parametrize("how", sorted(BODIES))
def test_the_client_is_given_an_answers_text_and_nothing_odd(how: str) -> None:
    passed = post(Fuse(Network(httpx2.Response(200, json=BODIES[how])), ALLOWANCE)).json()
    assert [part["text"] for part in passed["output"][0]["content"]] == ["{}"]
    assert (passed["status"], passed["model"], "usage" in passed) == ("completed", ALLOWANCE.model, False)


def test_reasoning_of_a_model_is_no_part_of_its_answer() -> None:
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Well, well."}]}
    passed = post(Fuse(Network(httpx2.Response(200, json={"output": [thought]})), ALLOWANCE)).json()
    assert passed["output"] == []


def test_an_error_reaches_the_client_as_it_came() -> None:
    body = {"error": {"message": "no", "code": 7}}
    response = post(Fuse(Network(httpx2.Response(400, json=body)), ALLOWANCE))
    assert (response.status_code, response.json()) == (400, body)


def test_a_response_without_end_is_not_read_to_its_end() -> None:
    fuse = Fuse(Network(httpx2.Response(200, content=b"x" * (RESPONSE_MAX_BYTES + 1))), ALLOWANCE)
    with pytest.raises(httpx2.ReadError):
        post(fuse)
    assert (fuse.exchange.sent, fuse.exchange.complete) == (True, False)


def test_a_connection_that_never_was_has_sent_nothing() -> None:
    class Nowhere(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("refused", request=request)

    fuse = Fuse(Nowhere(), ALLOWANCE)
    with pytest.raises(httpx2.ConnectError):
        post(fuse)
    assert fuse.exchange == Exchange(unreachable=True)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "12",
        [],
        {},
        {"input_tokens": 1},
        {"input_tokens": "1", "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": 1.0, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": -1},
        {"input_tokens": 1, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 2}},
    ],
)
def test_a_usage_that_is_not_made_of_integers_or_cannot_be_true_is_unknown(usage: object) -> None:
    assert read_usage(usage) is None


def test_the_parts_of_the_input_are_read() -> None:
    details = {"cached_tokens": 2, "cache_write_tokens": 3}
    assert read_usage({"input_tokens": 9, "output_tokens": 1, "input_tokens_details": details}) == Usage(9, 1, 2, 3)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists)
    | st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "input_tokens_details"]),
        st.none() | st.integers() | st.text() | st.dictionaries(st.just("cached_tokens"), st.none() | st.integers()),
    )
)
def test_no_usage_whatever_raises(usage: object) -> None:
    read_usage(usage)
