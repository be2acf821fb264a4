"""One request to the Responses API, sent once with the standard library alone, for contenders that are queues.

They have a process for every concurrent request. The OpenAI client would need a second of a core in each process before
its first request, which would be unfair to them.
"""

# It runs in the contenders' environments.

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 8.0
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "presenters": {"type": "array", "items": {"type": "string"}}},
    "required": ["title", "presenters"],
    "additionalProperties": False,
}


class TransientFaultError(Exception):
    """A fault that may pass: no connection, no complete answer, 429 or a server's error."""


def ask(order: dict[str, Any], prompt: str) -> dict[str, Any]:
    """Ask about a row, and return its talk.

    Raises:
        TransientFaultError: a retry may succeed.
        ValueError: the answer is not a talk, or the request was rejected.
    """
    body = {
        "model": order["model"],
        "instructions": order["instructions"],
        "input": [{"role": "user", "content": prompt}],
        "text": {"format": {"type": "json_schema", "name": "talk", "strict": True, "schema": SCHEMA}},
    }
    request = urllib.request.Request(  # noqa: S310 -- the loopback provider's
        f"{order['base_url']}/responses",
        data=json.dumps(body, ensure_ascii=False).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {order['key']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 -- likewise
            said = json.load(answer)["output"][0]["content"][0]["text"]
    except urllib.error.HTTPError as error:
        with error:
            told = error.read().decode()
        if error.code == http.client.TOO_MANY_REQUESTS or error.code >= http.client.INTERNAL_SERVER_ERROR:
            raise TransientFaultError(f"{error.code}: {told}") from error
        raise ValueError(f"{error.code}: {told}") from error
    except (OSError, http.client.HTTPException) as error:
        raise TransientFaultError(repr(error)) from error
    talk = json.loads(said)
    return {"title": str(talk["title"]), "presenters": [str(name) for name in talk["presenters"]]}
