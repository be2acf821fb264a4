"""The provider of all contenders: a fixed latency, known answers, the same faults for all, and a bill for each row.

It serves the Responses API and Chat Completions, and answers in the form that a request asks for. The seed and the row
alone decide whether a row's answer is the truth, whether the row is poison, and what happens to its first, second and
third request, so all contenders of a round meet the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.incident.provider import process_at
from tests.provider import FAULTS, Fault, LoopbackProvider
from tests.provider.faults import Bill

from titlecard.domain.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.peers.dataset import Row
    from tests.benchmarks.peers.workloads import Workload

PASSING = ("server_error", "bad_gateway", "silent_close", "half_body", "reset")
"""Transient faults: two errors, and three ways to lose an answer that was billed."""

POISON = ("prose", "server_error", "context_too_long")
"""The faults of poisoned rows, the same for a row every time: an answer that is not a talk, an error, a refusal."""

RETRY_AFTER_SECONDS = 2
BYTES_PER_TOKEN = 4
LOOKS = 4

_STORM = replace(FAULTS["rate_limit"], headers={"retry-after": str(RETRY_AFTER_SECONDS)})
_PROSE = "The title is: A talk."
_STRANGER = "Jordan Avery"


@dataclass(frozen=True)
class Sums:
    """The totals of a bill.

    Attributes:
        requests: the number of requests.
        billed: the number of billed requests.
        tokens: the billed tokens, input and output.
        worst: the most requests for one row.
        again: rows that were billed more than once.
        again_after_an_answer: rows that were billed again after a complete answer had reached the contender.
        vanished: complete answers that were billed and reached nobody.
        kills: the number of killed workers.
        unknown: requests about no known row; they invalidate the run.
        capped: whether the cap on requests was reached.
    """

    requests: int
    billed: int
    tokens: int
    worst: int
    again: int
    again_after_an_answer: int
    vanished: int
    kills: int
    unknown: int
    capped: bool


class RaceProvider(LoopbackProvider):
    """A provider for one contender and one workload.

    Args:
        rows: the rows whose answers it knows.
        workload: its faults.
        truth: the share of rows whose answer is the truth.
        seed: the seed of all random decisions.
        cap: the most requests that it serves; it refuses the others.
    """

    paths = ("/v1/responses", "/v1/chat/completions")

    def __init__(self, rows: Sequence[Row], workload: Workload, *, truth: float, seed: int, cap: int) -> None:
        super().__init__()
        self.delay = workload.latency
        self._rows = {row.key: row for row in rows}
        self._workload, self._truth, self._seed, self._cap = workload, truth, seed, cap
        self._poison = self._poisoned(rows)
        self._asked = Counter({row.id: 0 for row in rows})  # a copy: other threads count while these are summed
        self._billed: Counter[str] = Counter()
        self._delivered: Counter[str] = Counter()
        self._again_after: set[str] = set()
        self._tokens = self._vanished = self._kills = self._unknown = self._tick = 0
        self._first = 0.0
        self._book = threading.Lock()
        self._this = threading.local()

    @property
    def capped(self) -> bool:
        """Whether the cap on requests was reached."""
        return self._asked.total() >= self._cap

    @property
    def sums(self) -> Sums:
        """The totals so far."""
        with self._book:
            return Sums(
                requests=self._asked.total(),
                billed=self._billed.total(),
                tokens=self._tokens,
                worst=max(self._asked.values(), default=0),
                again=sum(times > 1 for times in self._billed.values()),
                again_after_an_answer=len(self._again_after),
                vanished=self._vanished,
                kills=self._kills,
                unknown=self._unknown,
                capped=self.capped,
            )

    def serve(self, content: bytes, key: str) -> tuple[Fault, bytes, str]:
        """Answer a request, and bill it if the model worked."""
        del key
        request = json.loads(content)
        row = self._rows.get(_title(request))
        self._this.row = None
        if row is None:
            self._unknown += 1
            return _sent(FAULTS["bad_request"])
        with self._book:
            self._first = self._first or time.monotonic()
            self._asked[row.id] += 1
            number = self._asked[row.id]
        fate = self._fate(row, number)
        fault = _STORM if fate == "storm" else FAULTS[fate]
        if fault.error is not None:  # an error: nothing is billed
            return _sent(fault)
        text = _PROSE if fate == "prose" else None
        title, names = self._answer(row)
        answer = _spoken(request, title, names, text)
        tokens = (len(content) // BYTES_PER_TOKEN, len(text or title + "".join(names)) // BYTES_PER_TOKEN + 10)
        answer["usage"] = _usage(request, *tokens)
        with self._book:
            self._tokens += sum(tokens)
            self._billed[row.id] += 1
            if self._delivered[row.id]:
                self._again_after.add(row.id)
        self._this.row = row.id if fate == "ok" else None
        return replace(fault, edit=None, bill=Bill.FAIR), json.dumps(answer).encode(), "application/json"

    def before_answer(self, content: bytes, port: int) -> None:
        """Kill the asking process if a kill is due; record whether the answer reaches anybody."""
        del content
        self._kill(port)
        row = self._this.row
        if row is None:
            return
        reaches = _is_open(port)
        with self._book:
            self._delivered[row] += reaches
            self._vanished += not reaches

    def _kill(self, port: int) -> None:
        """Kill the asking process if a tick came during its request."""
        every = self._workload.kill_every
        if not every:
            return
        with self._book:
            elapsed = time.monotonic() - self._first
            tick = int(elapsed // every)
            if tick <= self._tick or elapsed - tick * every > self.delay:
                return
            self._tick = tick
            with suppress(ProcessLookupError):
                asker = process_at(port)
                if asker != os.getpid():
                    os.kill(asker, signal.SIGKILL)
                    self._kills += 1

    def _fate(self, row: Row, number: int) -> str:
        if self.capped:
            return "bad_request"
        if time.monotonic() - self._first < self._workload.storm:
            return "storm"
        if row.id in self._poison:
            return self._poison[row.id]
        if self._chance("fault", row.id, number) < self._workload.passing:
            return PASSING[int(self._chance("kind", row.id, number) * len(PASSING))]
        return "ok"

    def _answer(self, row: Row) -> tuple[str, list[str]]:
        """Return the truth, or a plausible mistake: a title left whole, a presenter missed, one invented."""
        names = list(row.expected_presenters)
        if self._chance("truth", row.id) < self._truth:
            return row.expected_title, names
        wrongs = [(row.expected_title, [*names, _STRANGER])]
        if names:
            wrongs.append((row.expected_title, names[:-1]))
        if not row.is_right(whole := one_line(row.title), names):
            wrongs.append((whole, names))
        return wrongs[int(self._chance("wrong", row.id) * len(wrongs))]

    def _poisoned(self, rows: Sequence[Row]) -> dict[str, str]:
        number = round(self._workload.poison * len(rows))
        drawn = sorted(rows, key=lambda row: self._chance("poison", row.id))[:number]
        return {row.id: POISON[place % len(POISON)] for place, row in enumerate(drawn)}

    def _chance(self, *what: object) -> float:
        """Return a number from 0 up to 1 that is the same for every contender and every request."""
        digest = hashlib.sha256(repr((self._seed, *what)).encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


def _title(request: dict[str, Any]) -> str:
    """Return the title of the row that a request is about."""
    said: Any = request.get("input", request.get("messages"))
    texts = [said] if isinstance(said, str) else [text for turn in said for text in _texts(turn)]
    for text in reversed(texts):
        with suppress(ValueError, TypeError, KeyError):
            return str(json.loads(text)["title"])
        document = text.rpartition("Q: Title: ")[2]
        if document != text:
            return str(document.partition("\n")[0])
    return ""


def _texts(turn: dict[str, Any]) -> list[str]:
    """Return the texts of one turn of a conversation."""
    content = turn.get("content")
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or () if isinstance(part, dict) and "text" in part]


def _spoken(request: dict[str, Any], title: str, names: list[str], instead: str | None) -> dict[str, Any]:
    """Return an answer in the form that the request asks for.

    Args:
        instead: prose to send instead of the answer.
    """
    plain = json.dumps({"title": title, "presenters": names}, ensure_ascii=False)
    if "messages" not in request:
        item = {"type": "message", "id": "msg_race", "status": "completed", "role": "assistant"}
        said: dict[str, Any] = {"type": "output_text", "text": instead or plain, "annotations": []}
        output: dict[str, Any] = {**item, "content": [said]}
        if request.get("tools") and instead is None:
            call = {"type": "function_call", "id": "fc_race", "call_id": "call_race", "status": "completed"}
            output = {**call, "name": request["tools"][0]["name"], "arguments": plain}
        return {
            "id": "resp_race",
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "model": request["model"],
            "service_tier": request.get("service_tier", "default"),
            "output": [output],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
    message: dict[str, Any] = {"role": "assistant", "content": instead or plain, "refusal": None}
    if instead is None and request.get("tools"):
        function = {"name": request["tools"][0]["function"]["name"], "arguments": plain}
        message |= {"content": None, "tool_calls": [{"id": "call_race", "type": "function", "function": function}]}
    elif instead is None:  # the request gives a document and asks for extractions
        found = [
            {"title": title, "title_attributes": {}},
            *({"presenter": it, "presenter_attributes": {}} for it in names),
        ]
        message["content"] = json.dumps({"extractions": found}, ensure_ascii=False)
    reason = "tool_calls" if "tool_calls" in message else "stop"
    return {
        "id": "chatcmpl-race",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
    }


def _usage(request: dict[str, Any], input_tokens: int, output_tokens: int) -> dict[str, Any]:
    total = {"total_tokens": input_tokens + output_tokens}
    if "messages" in request:
        return {"prompt_tokens": input_tokens, "completion_tokens": output_tokens, **total}
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        **total,
    }


def _sent(fault: Fault) -> tuple[Fault, bytes, str]:
    """Return an error as it is sent."""
    if isinstance(fault.error, str):
        return fault, fault.error.encode(), "text/html"
    return fault, json.dumps(fault.error).encode(), "application/json"


def _is_open(port: int) -> bool:
    """Return whether a process still holds the local end of a connection on 127.0.0.1.

    The kernel's table may miss a row while others change, so a missing row is looked up again.
    """
    for _ in range(LOOKS):
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1] == f"0100007F:{port:04X}":
                return fields[9] != "0"
    return False
