"""Bodies of responses in the shapes of many gateways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from titlecard.domain.money import Usage
from titlecard.llm.body import as_openai, read_response
from titlecard.llm.exchange import read_usage

TALK = {"title": "Queues", "presenters": ["Ada Brightwater"]}
TEXT = json.dumps(TALK)
OTHER = '{"title": "No", "presenters": []}'
USAGE = {"input_tokens": 7, "output_tokens": 3}


def message(*texts: object) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text} for text in texts]}


def talk_of(content: bytes) -> object:
    """Return the talk that the client is given, None if it is given none."""
    parts = [part for item in as_openai(read_response(content) or {}, "model")["output"] for part in item["content"]]
    return json.loads(parts[0]["text"]) if len(parts) == 1 else None


@pytest.mark.parametrize(
    "body",
    [
        {"output": [message(TEXT)]},
        {"output": message(TEXT)},
        {"output": TEXT},
        {"output": [], "output_text": TEXT},
        {"output": [message(TEXT[:9], TEXT[9:])]},
        {"output": [message("Let me see: {x}"), message(TEXT)]},
        {"output": [message("{" * 21), message('{"title": "No", "presenters": []}'), message(TEXT)]},
        {"output": [message({"value": TEXT})]},
        {"output": [message(f"```json\n{TEXT}\n```")]},
        {"output": [message(f'<think>{{"title": "No", "presenters": []}}</think> {TEXT}')]},
        {"output": [message(json.dumps({"talk": TALK}))]},
        {"output": [message(json.dumps(TALK | {"confidence": 0.9}))]},
        {"output": [message("{" + TEXT)]},
        {"output": ["text", None, message(TEXT)]},
        {"output": [message(TEXT), {"type": "reasoning", "content": [{"type": "output_text", "text": OTHER}]}]},
        {"output": [{"content": [{"text": TEXT}, "text", None, {"type": "refusal", "text": OTHER}]}]},
        {"choices": [], "output": [message(TEXT)]},
        {"choices": ["text"], "output": [message(TEXT)]},
        {"data": {"output": [message(TEXT)]}},
        {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}]},
    ],
)
def test_a_talk_is_found_wherever_a_body_holds_it(body: dict[str, Any]) -> None:
    assert talk_of(json.dumps(body).encode()) == TALK


def test_the_last_response_of_a_stream_is_its_answer() -> None:
    events = [{"response": {"status": "in_progress"}}, {"response": {"output": [message(TEXT)], "usage": USAGE}}]
    content = "".join(f"event: x\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    assert talk_of(content) == TALK
    assert read_usage((read_response(content) or {})["usage"]) == Usage(7, 3)


def test_a_response_is_found_before_other_lines_of_its_stream() -> None:
    response = json.dumps({"response": {"output": [message(TEXT)]}})
    content = f'data: {response}\n\nevent: "response"\ndata: {{"usage": null}}\n\ndata: [DONE]\n'.encode()
    assert talk_of(content) == TALK


@pytest.mark.parametrize("talks", [1, 2, 3, 5])
def test_the_last_of_several_talks_is_the_answer(talks: int) -> None:
    texts = [*(json.dumps(TALK | {"title": f"No {number}"}) for number in range(talks - 1)), TEXT]
    assert talk_of(json.dumps({"output": [message(" then ".join(texts))]}).encode()) == TALK


@pytest.mark.parametrize("braces", [1, 2, 10])
def test_a_talk_after_text_in_braces_is_found(braces: int) -> None:
    assert talk_of(json.dumps({"output": [message("so {far " * braces + TEXT)]}).encode()) == TALK


def test_an_error_in_a_list_is_read() -> None:
    assert read_response(b'[{"error": {"code": 400}}]') == {"error": {"code": 400}}


def test_an_error_beside_an_answer_is_read() -> None:
    body = {"error": {"code": "insufficient_quota"}, "response": {"status": "completed", "output": []}}
    assert read_response(json.dumps(body).encode()) == body


def test_a_talk_after_a_text_of_any_depth_is_found() -> None:
    assert talk_of(json.dumps({"output": [message('{"a":' * 100_000), message(TEXT)]}).encode()) == TALK


def test_presenters_of_null_mean_no_presenters() -> None:
    assert talk_of(json.dumps({"output_text": '{"title": "Queues", "presenters": null}'}).encode()) == {
        "title": "Queues",
        "presenters": [],
    }


def test_a_talk_without_presenters_is_left_for_the_schema_to_refuse() -> None:
    assert talk_of(json.dumps({"output_text": '{"title": "Queues"}'}).encode()) == {"title": "Queues"}


def test_a_chat_completion_is_read_with_its_usage_and_its_end() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    choice = {"finish_reason": "length", "message": {"content": "{", "refusal": "No."}}
    body = read_response(json.dumps({"choices": [choice], "usage": usage}).encode()) or {}
    assert read_usage(body["usage"]) == Usage(7, 3)
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert {"type": "refusal", "refusal": "No."} in body["output"][0]["content"]


def test_a_chat_completion_may_name_its_usage_as_a_response_does() -> None:
    body = read_response(json.dumps({"choices": [{"message": {"content": TEXT}}], "usage": USAGE}).encode()) or {}
    assert read_usage(body["usage"]) == Usage(7, 3)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"<html>", b"data: x", b"[1]", b"[" * 100_000, b'{"a":' * 100_000, b"\xff"]
)
def test_an_unreadable_body_gives_none(content: bytes) -> None:
    assert read_response(content) is None
