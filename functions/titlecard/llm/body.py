"""The body of a provider's response, in any shape in which gateways pass it on.

An answer that is paid for is used wherever the body holds it: in a list of messages, in `output_text`, in the choices
of a chat completion, in the last event of a stream, in a code block of Markdown or after a preamble.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OBJECTS_MAX = 20
"""The most places in a text at which to look for a talk."""

_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""The reasons for which a chat completion ends early, and their names in a response."""


def json_object(content: bytes) -> dict[str, Any] | None:
    """Parse a text as a JSON object; return None if it is not one."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):  # ValueError: not JSON, or not UTF-8
        return None
    return value if isinstance(value, dict) else None


def read_response(content: bytes) -> dict[str, Any] | None:
    """Return a response's body in the shape of the Responses API, as far as possible; None if it is not an object."""
    body = json_object(content) or json_object(content.strip()[1:-1]) or _streamed(content)  # [{...}], by Gemini
    if body is None:
        return None
    inner = next((it for name in ("response", "data") if isinstance(it := body.get(name), dict)), {})
    if not inner.keys().isdisjoint({"output", "choices", "status"}) and "error" not in body:
        body = inner
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _of_completion(body, choices[0])
    output, text = body.get("output"), body.get("output_text")
    if isinstance(output, dict):
        return body | {"output": [output]}
    if isinstance(output, str) or (not output and isinstance(text, str)):
        return body | {"output": [{"content": output or text}]}
    return body


def as_openai(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return a response in OpenAI's form that holds only the talk of another, or its texts if there is no talk.

    Gateways omit fields or fill them with other types, and the client above would fail on any of this. Whatever else
    the provider reports (a failure, a refusal, the usage) is read from the raw body.
    """
    texts = list(_texts(body))
    talk = next(filter(None, map(_talk, ["".join(texts), *reversed(texts)])), None)
    parts = [{"type": "output_text", "text": it, "annotations": []} for it in ([talk] if talk else texts)]
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


def _of_completion(body: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    """Return a chat completion as a response."""
    message, usage = choice.get("message"), body.get("usage")
    message, usage = (it if isinstance(it, dict) else {} for it in (message, usage))
    parts = [{"text": text} for text in [message.get("content")] if isinstance(text, str)]
    if isinstance(message.get("refusal"), str):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    reason = _CUT.get(str(choice.get("finish_reason")))
    ended = {"status": "incomplete", "incomplete_details": {"reason": reason}} if reason else {}
    counts = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "input_tokens_details": usage.get("prompt_tokens_details"),
        "output_tokens_details": usage.get("completion_tokens_details"),
    }
    return {**body, "output": [{"content": parts}], "usage": counts | usage, **ended}


def _streamed(content: bytes) -> dict[str, Any] | None:
    """Return the last event of a stream that holds a response: the complete one."""
    events = (it for it in reversed(content.splitlines()) if it.startswith(b"data:") and b'"response"' in it)
    return json_object(next(events, b"").removeprefix(b"data:"))


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of a response's messages."""
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
                text = text.get("value") if isinstance(text, dict) else text
                if isinstance(text, str):
                    yield text


def _talk(text: str) -> str | None:
    """Return the last talk in a text, as JSON with only the schema's keys; None if there is none."""
    decoder, found, at = json.JSONDecoder(), None, 0
    for _ in range(_OBJECTS_MAX):
        at = text.find("{", at)
        if at < 0:
            break
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        if len(value) == 1:  # an object that holds the talk under its only key
            value = next(iter(value.values()))
        match value:
            case {"title": str() as title, "presenters": list() | None as presenters}:
                found = json.dumps({"title": title, "presenters": presenters or []})
    return found
