"""The HTTP server of the loopback provider."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from tests.provider.faults import FAULTS, Bill, Fault, Way

if TYPE_CHECKING:
    from types import TracebackType

HANG_SECONDS = 120.0
"""The longest time that a request hangs, in seconds; it also ends with the provider."""


@dataclass(frozen=True)
class Post:
    """One POST to the Responses API, and its bill."""

    time: str
    key: str
    model: str
    service_tier: str
    fault: str
    body_bytes: int
    input_tokens: int
    output_tokens: int


class LoopbackProvider:
    """A provider on 127.0.0.1, for the length of a `with` block.

    It answers with the guess in the prompt, which is right as often as the local tier is. `fail` makes it fail.

    Args:
        port: the port to listen on; 0 for a free one.
    """

    paths: tuple[str, ...] = ("/v1/responses",)
    """The paths at which it answers requests."""

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._posts: list[Post] = []
        self._sequence: list[str] = []
        self._always: str | None = None
        self._by_text: dict[str, str] = {}
        self.delay = 0.0
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.provider = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        """Start the server."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server and every hanging request."""
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        """The value for OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def control_url(self) -> str:
        """The URL of the control endpoint, for other processes."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/control"

    @property
    def posts(self) -> list[Post]:
        """Every POST so far, in order."""
        with self._lock:
            return list(self._posts)

    def fail(
        self, *sequence: str, always: str | None = None, by_text: dict[str, str] | None = None, delay: float = 0.0
    ) -> None:
        """Set the faults of the next requests, by names in `FAULTS`; this replaces the previous setting.

        Args:
            sequence: one fault per request, in order.
            always: the fault of all requests after the sequence.
            by_text: faults by a text in the request's body; they do not use up the sequence.
            delay: the delay of every response, in seconds.

        Raises:
            KeyError: a fault is unknown.
        """
        by_text = by_text or {}
        for name in (*sequence, *([always] if always else []), *by_text.values()):
            FAULTS[name]
        with self._lock:
            self._sequence, self._always, self._by_text, self.delay = list(sequence), always, dict(by_text), delay

    def reset(self) -> None:
        """Clear the bill and the faults."""
        self.fail()
        with self._lock:
            self._posts.clear()

    def bill(self) -> dict[str, Any]:
        """Return the bill as the control endpoint shows it."""
        posts = self.posts
        return {
            "posts": [asdict(post) for post in posts],
            "requests": len(posts),
            "input_tokens": sum(post.input_tokens for post in posts),
            "output_tokens": sum(post.output_tokens for post in posts),
        }

    def serve(self, content: bytes, key: str) -> tuple[Fault, bytes, str]:
        """Bill a request; return its fault, the body of its response, and the body's type."""
        name = self._next_fault(content)
        try:
            request = json.loads(content)
            answer = _answer(request)
        except (ValueError, KeyError, TypeError):
            name, request, answer = "bad_request", {}, {}
        fault = FAULTS[name]
        cap = request.get("max_output_tokens", 0)
        match fault.bill:
            case Bill.NOTHING:
                tokens = (0, 0)
            case Bill.FAIR:
                tokens = (len(content) // 4, min(cap, len(json.dumps(answer["output"])) // 8))
            case Bill.MOST:
                tokens = (len(content), cap)
        if answer:
            answer["usage"] = _usage(*tokens)
        if fault.edit is not None:
            fault.edit(answer)
            if fault.bill is Bill.FAIR:  # the bill is the reported usage
                tokens = (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"])
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        model, tier = str(request.get("model", "")), str(answer.get("service_tier", ""))
        with self._lock:
            self._posts.append(Post(datetime.now(UTC).isoformat(), digest, model, tier, name, len(content), *tokens))
        if isinstance(fault.error, str):
            return fault, fault.error.encode(), "text/html"
        return fault, json.dumps(answer if fault.error is None else fault.error).encode(), "application/json"

    def before_answer(self, content: bytes, port: int) -> None:
        """Do nothing before a response is sent whose request is already billed; a subclass may act here.

        Args:
            content: the body of the request.
            port: the client's port.
        """

    def _next_fault(self, content: bytes) -> str:
        with self._lock:
            for text, name in self._by_text.items():
                if text.encode() in content:
                    return name
            return self._sequence.pop(0) if self._sequence else self._always or "ok"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    provider: LoopbackProvider


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Serve the Responses API and the control endpoint."""
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        provider = self.server.provider
        if self.path in provider.paths:
            fault, body, kind = provider.serve(content, self.headers.get("authorization", "").removeprefix("Bearer "))
            provider.stopped.wait(provider.delay)
            provider.before_answer(content, self.client_address[1])
            self._respond(fault, body, kind)
        elif self.path == "/control/faults":
            order = json.loads(content)
            provider.fail(*order.pop("sequence", ()), **order)
            self._send(200, b"{}")
        elif self.path == "/control/reset":
            provider.reset()
            self._send(200, b"{}")
        else:
            self._send(404, b"{}")

    def do_GET(self) -> None:
        """Serve the bill."""
        if self.path == "/control/bill":
            self._send(200, json.dumps(self.server.provider.bill()).encode())
        else:
            self._send(404, b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        """Log nothing: the bill is the log."""

    def _respond(self, fault: Fault, body: bytes, kind: str) -> None:
        stopped = self.server.provider.stopped
        match fault.way:
            case Way.WHOLE:
                self._send(fault.status, body, kind, fault.headers)
            case Way.SILENT_CLOSE:
                self.close_connection = True
            case Way.HALF_BODY:
                self._send(fault.status, body, kind, sent=len(body) // 2)
            case Way.RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            case Way.HANG:
                stopped.wait(HANG_SECONDS)
                self.close_connection = True
            case Way.TRICKLE:
                self._send(fault.status, body, kind, sent=0)
                for i in range(len(body)):
                    if stopped.wait(0.2):
                        return
                    try:
                        self.wfile.write(body[i : i + 1])
                    except OSError:  # the other side has given up
                        return

    def _send(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        *,
        sent: int | None = None,
    ) -> None:
        self.close_connection = True
        try:
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(body[:sent])
        except OSError:  # the other side has given up
            return


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the good answer: the guess in the prompt, in the form of the Responses API.

    Raises:
        KeyError, TypeError, ValueError: the real provider would refuse the request.
    """
    if request["text"]["format"]["type"] != "json_schema" or request["text"]["format"]["strict"] is not True:
        raise ValueError("not a strict schema")
    guess = json.loads(request["input"][-1]["content"])["guess"]
    text = json.dumps({"title": guess["title"], "presenters": guess["presenters"]}, ensure_ascii=False)
    return {
        "id": "resp_loopback",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": request["model"],
        "service_tier": request["service_tier"],
        "output": [
            {
                "type": "message",
                "id": "msg_loopback",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }
