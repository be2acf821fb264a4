"""OpenAI's organization usage API on loopback: real HTTP, daily buckets, pages, and faults.

It is as strict as the API's reference: it refuses any parameter or value that is not in it, so that a client that
passes here conforms to the API.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

ADMIN_KEY = "sk-admin-of-the-tests"

PARAMETERS = {
    "start_time",
    "end_time",
    "bucket_width",
    "limit",
    "group_by",
    "api_key_ids",
    "project_ids",
    "models",
    "user_ids",
    "batch",
    "page",
}
GROUPS = {"project_id", "user_id", "api_key_id", "model", "batch", "service_tier"}
DAYS_A_PAGE, MOST_DAYS_A_PAGE = 7, 31
"""The default and the maximum of `limit` for daily buckets, in days."""


@dataclass(frozen=True)
class Used:
    """The bill for one key and one model on one day."""

    day: date
    api_key_id: str
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    project_id: str = "proj_tests"


@dataclass(frozen=True)
class Response:
    """A response of the API."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


def error(status: int, code: str | None, message: str, **headers: str) -> Response:
    """Return an error in OpenAI's form."""
    said = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return Response(status, json.dumps(said), {name.replace("_", "-"): value for name, value in headers.items()})


class LoopbackUsage:
    """The usage API on 127.0.0.1, for the length of a `with` block.

    Args:
        used: the usage that it reports.
    """

    def __init__(self, *used: Used) -> None:
        self.used = list(used)
        self.instead: list[Response] = []
        """The responses to the next requests, before true ones."""
        self.queries: list[Mapping[str, list[str]]] = []
        """The queries so far."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.usage = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        """Start the server."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The base of the API."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def answer(self, path: str, key: str) -> Response:
        """Answer one GET."""
        where = urlsplit(path)
        sent = parse_qs(where.query, strict_parsing=bool(where.query))
        query = {name.removesuffix("[]"): values for name, values in sent.items()}  # OpenAI's client adds [] to lists
        self.queries.append(query)
        if self.instead:
            return self.instead.pop(0)
        if key != ADMIN_KEY:
            if key.startswith("sk-admin-"):
                return error(401, "invalid_api_key", f"Incorrect API key provided: {key[:12]}****{key[-4:]}.")
            return error(403, None, f"You have insufficient permissions: {key} lacks the scope api.usage.read.")
        if where.path != "/v1/organization/usage/completions":
            return error(404, None, "Unknown request URL.")
        try:
            return self._page(query)
        except (KeyError, ValueError) as refusal:
            return error(400, None, f"Invalid parameter: {refusal}")

    def _page(self, query: Mapping[str, list[str]]) -> Response:
        if unknown := set(query) - PARAMETERS | set(query.get("group_by", ())) - GROUPS:
            raise ValueError(sorted(unknown))
        if query.get("bucket_width", ["1d"]) != ["1d"]:
            raise ValueError("bucket_width")
        first = datetime.fromtimestamp(int(query["start_time"][0]), UTC)
        end = datetime.fromtimestamp(int(query["end_time"][0]), UTC)
        limit = int(query.get("limit", [str(DAYS_A_PAGE)])[0])
        if not first < end or not 1 <= limit <= MOST_DAYS_A_PAGE:
            raise ValueError("a range or a limit")
        days = [first.date() + timedelta(days=number) for number in range(-(-(end - first) // timedelta(days=1)))]
        begin = int(query.get("page", ["page_0"])[0].removeprefix("page_"))
        left = len(days) > begin + limit
        page = {
            "object": "page",
            "data": [self._bucket(day, query) for day in days[begin : begin + limit]],
            "has_more": left,
            "next_page": f"page_{begin + limit}" if left else None,
        }
        return Response(200, json.dumps(page))

    def _bucket(self, day: date, query: Mapping[str, list[str]]) -> dict[str, Any]:
        start = int(datetime.combine(day, datetime.min.time(), UTC).timestamp())
        results = list(self._results(day, query, query.get("group_by", [])))
        return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": results}

    def _results(self, day: date, query: Mapping[str, list[str]], groups: Sequence[str]) -> Iterator[dict[str, Any]]:
        grouped: dict[tuple[str, ...], list[Used]] = defaultdict(list)
        for used in self.used:
            if (
                used.day == day
                and used.api_key_id in query.get("api_key_ids", [used.api_key_id])
                and used.project_id in query.get("project_ids", [used.project_id])
            ):
                grouped[tuple(getattr(used, name) for name in groups)].append(used)
        for values, members in grouped.items():
            yield {
                "object": "organization.usage.completions.result",
                "input_tokens": sum(used.input_tokens for used in members),
                "output_tokens": sum(used.output_tokens for used in members),
                "input_cached_tokens": 0,
                "num_model_requests": sum(used.requests for used in members),
                **dict.fromkeys(sorted(GROUPS)),
                **dict(zip(groups, values, strict=True)),
            }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    usage: LoopbackUsage


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Serve the API."""
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        response = self.server.usage.answer(self.path, key)
        self.send_response(response.status)
        for name, value in {"content-type": "application/json", **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        """Log nothing: `queries` holds the queries."""
