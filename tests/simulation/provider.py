"""Who is asked: a provider that bills in a book of its own and fails in every way of the fault table.

What crossed the wire is made up here; what it comes to is said by the production verdict.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from titlecard.domain.errors import Defer, Reason
from titlecard.domain.money import Amount, PriceList, Rates, Usage, measured, worst_case
from titlecard.llm import PROMPT_VERSION, Answer, Question
from titlecard.llm.exchange import Exchange
from titlecard.llm.prompt import Cleaned
from titlecard.llm.response import ResponseContext, interpret

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.wire import Wire

    from titlecard.domain.video import Video
    from titlecard.extraction import LocalParse

MODEL = "gpt-6-luna"
PRICED = PriceList.packaged().rates(MODEL, "default")
FREE = Rates(input=0, cached_input=0, cache_write=0, output=0)

BODY_BYTES = 400
OUTPUT_TOKENS = 60

BOUND = worst_case(BODY_BYTES, OUTPUT_TOKENS, PRICED)
"""Of every question: one bound, so that limits can be set to a few of them and a bit."""


@dataclass(frozen=True)
class Fault:
    """One way of failing.

    Args:
        exchange: what crosses the wire, from the usage that is billed.
        billed: whether the provider bills it.
        sent: whether the request leaves at all.
        hangs: whether the deadline passes.
    """

    exchange: Callable[[Usage], Exchange]
    billed: bool = True
    sent: bool = True
    hangs: bool = False
    above: bool = False
    cleaned: bool = True
    ungrounded: bool = False


def _response(usage: Usage | None, **body: Any) -> Exchange:  # noqa: ANN401 -- of the response
    return Exchange(sent=True, status=200, complete=True, body={"status": "completed", **body}, usage=usage)


def _said_no(status: int, code: str = "", **headers: str) -> Callable[[Usage], Exchange]:
    body = {"error": {"code": code, "message": "simulated"}}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _usage: Exchange(sent=True, status=status, complete=True, body=body, headers=names)


def _lost(*, timed_out: bool = False) -> Callable[[Usage], Exchange]:
    return lambda _usage: Exchange(sent=True, timed_out=timed_out)


_REFUSAL = [{"content": [{"type": "refusal", "refusal": "no"}]}]

FAULTS: dict[str, Fault] = {
    "answered": Fault(_response),
    "rate_limited": Fault(_said_no(429), billed=False),
    "rate_limited_for_long": Fault(_said_no(429, retry_after="4000"), billed=False),
    "unreachable": Fault(lambda _usage: Exchange(unreachable=True), billed=False, sent=False),
    "not_sent_in_time": Fault(lambda _usage: Exchange(timed_out=True), billed=False, sent=False, hangs=True),
    "refused_at_the_wire": Fault(lambda _usage: Exchange(refusals=["too large"]), billed=False, sent=False),
    "wrong_key": Fault(_said_no(401), billed=False),
    "not_found": Fault(_said_no(404), billed=False),
    "no_quota": Fault(_said_no(429, "insufficient_quota"), billed=False),
    "server_error": Fault(_said_no(500), billed=False),
    "server_error_billed": Fault(_said_no(503)),
    "conflict": Fault(_said_no(409), billed=False),
    "dropped": Fault(_lost(), billed=False),
    "dropped_billed": Fault(_lost()),
    "timed_out": Fault(_lost(timed_out=True), billed=False, hangs=True),
    "timed_out_billed": Fault(_lost(timed_out=True), hangs=True),
    "html": Fault(lambda _usage: Exchange(sent=True, status=200, complete=True)),
    "failed": Fault(lambda usage: _response(usage, status="failed")),
    "failed_without_usage": Fault(lambda _usage: _response(None, status="failed")),
    "bad_request": Fault(_said_no(400)),
    "context_too_long": Fault(_said_no(400, "context_length_exceeded")),
    "refused": Fault(lambda usage: _response(usage, output=_REFUSAL)),
    "truncated": Fault(lambda usage: _response(usage, status="incomplete")),
    "wrong_schema": Fault(_response, cleaned=False),
    "ungrounded": Fault(_response, ungrounded=True),
    "without_usage": Fault(lambda _usage: _response(None)),
    "above_bound": Fault(_response, above=True),
    "above_bound_refused": Fault(lambda usage: _response(usage, output=_REFUSAL), above=True),
    "above_bound_failed": Fault(lambda usage: _response(usage, status="failed"), above=True),
}

_NAMES = tuple(FAULTS)


@dataclass
class Provider:
    """The model tier, and behind it the provider.

    Args:
        chance: of a fault.
        declared: whether usage above the bound, the declared exception, may happen.
        sending: is told before a request leaves; what it raises ends the schedule.
        billing: is told what the provider bills, with the bound.
    """

    wire: Wire
    chance: float
    rates: Rates
    declared: bool
    sending: Callable[[], None]
    billing: Callable[[Amount, Amount], None]
    faults: Counter[str] = field(default_factory=Counter)
    prompt_version: str = PROMPT_VERSION

    def load(self) -> None:
        """Nothing is to be loaded."""

    @property
    def worst_case(self) -> Amount:
        """The most that a question can cost."""
        return worst_case(BODY_BYTES, OUTPUT_TOKENS, self.rates)

    def prepare(self, video: Video, answer: LocalParse, hint: str) -> Question:  # noqa: ARG002 -- as the original takes them
        """Make the question, and its bound."""
        return Question(video.title, BODY_BYTES, self.worst_case)

    def ask(self, question: Question, *, key: str, deadline_seconds: float) -> Answer:
        """Send it."""
        baton, wire = self.wire.baton, self.wire
        me = baton.current.name
        if not key:  # as the original does
            raise Defer(Reason.ACCOUNT_FAULT, "The project's key is empty.")
        baton.step()
        wire.steps += 1
        name = _NAMES[baton.choices(me, self.chance, len(_NAMES))]
        if FAULTS[name].above and not self.declared:
            name = "answered"
        fault = FAULTS[name]
        self.faults[name] += 1
        wire.tell(f"asks: {question.prompt}", "" if name == "answered" else name)
        usage = self._usage(question.bound, (0.3, 1.0, 0.05)[baton.choices(me, 0.3, 3)], fault)
        if baton.choices(me, wire.deadly):
            wire.fates["provider: killed before"] += 1
            baton.die()
        if fault.sent:
            self.sending()
            if fault.billed:
                self.billing(measured(usage, self.rates), question.bound)
        baton.sleep(deadline_seconds if fault.hangs else (1.0, 12.0, deadline_seconds - 0.5)[baton.choices(me, 0.2, 3)])
        if baton.choices(me, wire.deadly):
            wire.fates["provider: killed after"] += 1
            baton.die()
        return self._judged(fault, usage, question)

    def _judged(self, fault: Fault, usage: Usage, question: Question) -> Answer:
        title = "Something else altogether" if fault.ungrounded else question.prompt
        cleaned = Cleaned(title=title, presenters=[]) if fault.cleaned else None
        terms = ResponseContext(question.bound, "default", {"default": self.rates}, "sk-simulated")
        return interpret(fault.exchange(usage), cleaned, terms)

    @staticmethod
    def _usage(bound: Amount, part: float, fault: Fault) -> Usage:
        if fault.above:
            return Usage(bound.input_tokens + 50, bound.output_tokens + 7, 0, 0)
        return Usage(max(int(bound.input_tokens * part), 1), max(int(bound.output_tokens * part), 1), 0, 0)
