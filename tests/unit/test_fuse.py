"""The fuse alone: the requests that it allows, those that it refuses, and its reading of responses."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.money import Usage
from titlecard.llm.errors import RequestRefused
from titlecard.llm.exchange import Allowance, Exchange, read_usage
from titlecard.llm.fuse import RESPONSE_MAX_BYTES, Fuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    """Answers every request with one response, and counts the requests."""

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


def test_a_body_of_exactly_the_allowed_size_goes_through() -> None:
    body = json.dumps(BODY).encode()
    network = Network()
    post(Fuse(network, replace(ALLOWANCE, max_body_bytes=len(body))), body)
    with pytest.raises(RequestRefused, match="bytes"):
        post(Fuse(network, replace(ALLOWANCE, max_body_bytes=len(body) - 1)), body)
    assert network.requests == 1


def test_the_size_of_a_body_is_counted_in_bytes() -> None:
    body = json.dumps(BODY | {"instructions": "王" * 10}, ensure_ascii=False)
    allowance = replace(ALLOWANCE, max_body_bytes=len(body.encode()))
    network = Network()
    post(Fuse(network, allowance), body.encode())
    with pytest.raises(RequestRefused, match="bytes"):
        post(Fuse(network, replace(allowance, max_body_bytes=len(body.encode()) - 1)), body.encode())
    assert network.requests == 1


@pytest.mark.parametrize("cap", [1, 399])
def test_a_lower_cap_on_output_tokens_goes_through(cap: int) -> None:
    network = Network()
    post(Fuse(network, ALLOWANCE), BODY | {"max_output_tokens": cap})
    assert network.requests == 1


def test_a_body_without_the_key_stream_goes_through() -> None:
    network = Network()
    post(Fuse(network, ALLOWANCE), {key: BODY[key] for key in BODY.keys() - {"stream"}})
    assert network.requests == 1


def test_an_input_of_several_texts_goes_through() -> None:
    network = Network()
    messages = [{"type": "message", "role": role, "content": "a text"} for role in ("system", "user")]
    post(Fuse(network, ALLOWANCE), BODY | {"input": messages})
    assert network.requests == 1


@pytest.mark.parametrize(
    "odd",
    [
        "a text",
        {"role": "user", "content": "x"},
        [{"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "input_file"}]}],
        [{"role": "user", "content": "x", "file_id": "file_1"}],
        ["x"],
        None,
    ],
)
def test_an_input_that_is_not_a_list_of_texts_is_refused(odd: object) -> None:
    network = Network()
    with pytest.raises(RequestRefused, match="more than text"):
        post(Fuse(network, ALLOWANCE), BODY | {"input": odd})
    assert network.requests == 0


def test_a_second_request_is_refused() -> None:
    network = Network()
    fuse = Fuse(network, ALLOWANCE)
    post(fuse)
    with pytest.raises(RequestRefused, match="second request"):
        post(fuse)
    assert network.requests == 1


REFUSED: dict[str, dict[str, Any]] = {
    "A GET": {"method": "GET"},
    "An address other": {"url": "http://provider.test/v1/chat/completions"},
    "An address other than": {"url": "http://eu.provider.test/v1/responses"},
    "An address other than http": {"url": "https://provider.test/v1/responses"},
    "An address other than http:": {"url": "http://provider.test/v1/responses?background=true"},
    "more than 2000 bytes": {"body": BODY | {"instructions": "x" * 2_000}},
    "A model other": {"body": BODY | {"model": "gpt-5-pro"}},
    "A service tier other than": {"body": BODY | {"service_tier": "priority"}},
    "A service tier other": {"body": {key: BODY[key] for key in BODY.keys() - {"service_tier"}}},
    "keys that may cost more: tools": {"body": BODY | {"tools": [{"type": "web_search"}]}},
    "keys that may cost more: previous_response_id": {"body": BODY | {"previous_response_id": "resp_1"}},
    "No cap on output tokens": {"body": {key: BODY[key] for key in BODY.keys() - {"max_output_tokens"}}},
    "No cap on output tokens, or a higher one": {"body": BODY | {"max_output_tokens": 401}},
    "No cap on output": {"body": BODY | {"max_output_tokens": True}},
    "No cap on outpu": {"body": BODY | {"max_output_tokens": 0}},
    "store": {"body": {key: BODY[key] for key in BODY.keys() - {"store"}}},
    "stored": {"body": BODY | {"store": True}},
    "streamed": {"body": BODY | {"stream": True}},
    "more than text": {"body": BODY | {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}},
    "more than tex": {"body": BODY | {"input": [{"type": "item_reference", "id": "msg_1"}]}},
    "A model othe": {"body": b"not json"},
}


@pytest.mark.parametrize("said", sorted(REFUSED))
def test_a_request_that_could_cost_more_than_the_bound_is_not_sent(said: str) -> None:
    network = Network()
    fuse = Fuse(network, ALLOWANCE)
    with pytest.raises(RequestRefused, match=said):
        post(fuse, **REFUSED[said])
    assert (network.requests, fuse.exchange.sent) == (0, False)
    assert [said in refusal for refusal in fuse.exchange.refusals] == [True]


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
def test_the_client_gets_only_the_text_of_an_odd_answer(how: str) -> None:
    passed = post(Fuse(Network(httpx2.Response(200, json=BODIES[how])), ALLOWANCE)).json()
    assert [part["text"] for part in passed["output"][0]["content"]] == ["{}"]
    assert (passed["status"], passed["model"], "usage" in passed) == ("completed", ALLOWANCE.model, False)


def test_reasoning_is_not_part_of_the_answer() -> None:
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Well, well."}]}
    passed = post(Fuse(Network(httpx2.Response(200, json={"output": [thought]})), ALLOWANCE)).json()
    assert passed["output"] == []


def test_an_error_reaches_the_client_as_it_came() -> None:
    body = {"error": {"message": "no", "code": 7}}
    response = post(Fuse(Network(httpx2.Response(400, json=body)), ALLOWANCE))
    assert (response.status_code, response.json()) == (400, body)


@pytest.mark.parametrize(("status", "passed_on"), [(201, 200), (299, 200), (300, 300)])
def test_only_a_status_below_300_is_a_success(status: int, passed_on: int) -> None:
    response = post(Fuse(Network(httpx2.Response(status, json=BODIES["bare"])), ALLOWANCE))
    assert response.status_code == passed_on


def test_a_response_above_the_size_limit_is_incomplete() -> None:
    fuse = Fuse(Network(httpx2.Response(200, content=b"x" * (RESPONSE_MAX_BYTES + 1))), ALLOWANCE)
    with pytest.raises(httpx2.ReadError):
        post(fuse)
    assert (fuse.exchange.sent, fuse.exchange.complete) == (True, False)


def test_a_response_without_end_is_not_read_to_its_end() -> None:
    read = 0

    class Endless(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal read
            while read <= 2 * RESPONSE_MAX_BYTES:
                read += 65_536
                yield b"x" * 65_536

    fuse = Fuse(Network(httpx2.Response(200, stream=Endless())), ALLOWANCE)
    with pytest.raises(httpx2.ReadError):
        post(fuse)
    assert RESPONSE_MAX_BYTES < read <= RESPONSE_MAX_BYTES + 65_536
    assert (fuse.exchange.sent, fuse.exchange.complete) == (True, False)


@pytest.mark.parametrize("size", [2, RESPONSE_MAX_BYTES + 1])
def test_a_response_is_closed_whether_or_not_it_is_read_to_its_end(size: int) -> None:
    closed: list[int] = []

    class Closed(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x" * size

        async def aclose(self) -> None:
            closed.append(size)

    async def send() -> list[int]:
        fuse = Fuse(Network(httpx2.Response(200, stream=Closed())), ALLOWANCE)
        with contextlib.suppress(httpx2.ReadError):
            await fuse.handle_async_request(httpx2.Request("POST", URL, content=json.dumps(BODY).encode()))
        return closed.copy()

    assert asyncio.run(send()) == [size]


def test_a_response_of_exactly_the_size_limit_is_read_in_full() -> None:
    answer = json.dumps({"usage": USAGE}).encode()
    fuse = Fuse(Network(httpx2.Response(200, content=answer + b" " * (RESPONSE_MAX_BYTES - len(answer)))), ALLOWANCE)
    post(fuse)
    assert (fuse.exchange.complete, fuse.exchange.usage) == (True, Usage(7, 3))


def test_a_response_that_comes_in_pieces_is_put_together() -> None:
    class Pieces(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for byte in json.dumps({"usage": USAGE}).encode():
                yield bytes([byte])

    fuse = Fuse(Network(httpx2.Response(200, stream=Pieces())), ALLOWANCE)
    post(fuse)
    assert fuse.exchange.usage == Usage(7, 3)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_response_keeps_its_headers_except_those_about_the_transfer(status: int) -> None:
    content = gzip.compress(b"<html>")
    headers = {"content-encoding": "gzip", "retry-after": "7"}
    fuse = Fuse(Network(httpx2.Response(status, headers=headers, content=content)), ALLOWANCE)
    response = post(fuse)
    assert (response.status_code, response.content, response.headers.get("retry-after")) == (status, b"<html>", "7")
    assert "content-encoding" not in response.headers
    assert (fuse.exchange.status, fuse.exchange.complete, fuse.exchange.body) == (status, True, None)


@pytest.mark.parametrize("trouble", [httpx2.ReadTimeout("slow"), asyncio.CancelledError()])
def test_a_request_that_was_given_up_was_sent_and_timed_out(trouble: BaseException) -> None:
    class Slow(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:  # noqa: ARG002 -- as in the base class
            raise trouble

    fuse = Fuse(Slow(), ALLOWANCE)
    with pytest.raises(type(trouble)):
        post(fuse)
    assert fuse.exchange == Exchange(sent=True, timed_out=True)


class Broken(httpx2.AsyncBaseTransport):
    """Raises instead of sending."""

    def __init__(self, trouble: type[httpx2.TransportError]) -> None:
        self._trouble = trouble

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raise."""
        raise self._trouble("no", request=request)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.PoolTimeout,
        httpx2.ProxyError,
        httpx2.UnsupportedProtocol,
    ],
)
def test_a_connection_that_failed_has_sent_nothing(trouble: type[httpx2.TransportError]) -> None:
    fuse = Fuse(Broken(trouble), ALLOWANCE)
    with pytest.raises(trouble):
        post(fuse)
    assert fuse.exchange == Exchange(unreachable=True)


@pytest.mark.parametrize(
    ("trouble", "timed_out"),
    [
        (httpx2.WriteTimeout, True),
        (httpx2.WriteError, False),
        (httpx2.ReadError, False),
        (httpx2.CloseError, False),
        (httpx2.RemoteProtocolError, False),
        (httpx2.LocalProtocolError, False),
    ],
)
def test_a_connection_that_broke_off_may_have_sent_everything(
    trouble: type[httpx2.TransportError], *, timed_out: bool
) -> None:
    fuse = Fuse(Broken(trouble), ALLOWANCE)
    with pytest.raises(trouble):
        post(fuse)
    assert fuse.exchange == Exchange(sent=True, timed_out=timed_out)


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
        {"input_tokens": 0, "output_tokens": 0},
        {"input_tokens": 0, "output_tokens": 1, "total_tokens": 1},
        {"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 2}},
    ],
)
def test_a_usage_that_is_not_made_of_integers_or_cannot_be_true_is_unknown(usage: object) -> None:
    assert read_usage(usage) is None


def test_the_parts_of_the_input_are_read() -> None:
    details = {"cached_tokens": 2, "cache_write_tokens": 3}
    assert read_usage({"input_tokens": 9, "output_tokens": 1, "input_tokens_details": details}) == Usage(9, 1, 2, 3)
    assert read_usage({"input_tokens": 5, "output_tokens": 0, "input_tokens_details": details}) == Usage(5, 0, 2, 3)


@pytest.mark.parametrize("part", ["cached_tokens", "cache_write_tokens"])
def test_a_part_of_the_input_may_equal_the_input_and_not_exceed_it(part: str) -> None:
    usage = {"output_tokens": 1, "input_tokens_details": {part: 3}}
    assert read_usage(usage | {"input_tokens": 3}) is not None
    assert read_usage(usage | {"input_tokens": 2}) is None


@pytest.mark.parametrize(("total", "output"), [(None, 4), ("99", 4), (-1, 4), (13, 4), (14, 4), (15, 5), (64, 54)])
def test_reasoning_that_only_the_total_counts_is_output(total: object, output: int) -> None:
    details = {"reasoning_tokens": output}
    usage = {"input_tokens": 10, "output_tokens": 4, "total_tokens": total, "output_tokens_details": details}
    assert read_usage(usage) == Usage(10, output)


def test_a_usage_without_output_is_a_usage() -> None:
    assert read_usage({"input_tokens": 1, "output_tokens": 0}) == Usage(1, 0, None, None)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists)
    | st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "total_tokens", "input_tokens_details"]),
        st.none() | st.integers() | st.text() | st.dictionaries(st.just("cached_tokens"), st.none() | st.integers()),
    )
)
def test_reading_any_usage_raises_nothing(usage: object) -> None:
    read_usage(usage)
