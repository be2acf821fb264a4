"""The provider: it keeps its own bill, and fails in every way of the fault table.

This module makes responses as the JSON on the wire, from which production reads the usage and the outcome. The
provider's own tables define what it bills and what the breaker must be told.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation import bill
from tests.simulation.bill import GRATIS, PRICES, Bill, Price, Tokens

from titlecard.domain.money import Amount, PriceList, Rates, worst_case
from titlecard.domain.reasons import Reason
from titlecard.llm import PROMPT_VERSION, Answer, Request
from titlecard.llm.errors import Defer
from titlecard.llm.exchange import Exchange, read_usage
from titlecard.llm.prompt import Cleaned
from titlecard.llm.response import ResponseContext, interpret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.wire import Wire

    from titlecard.domain.video import Video
    from titlecard.extraction import LocalParse

MODEL = "gpt-6-luna"
TIERS = dict(PriceList.packaged().model(MODEL).tiers)
FREE = {name: Rates(input=0, cached_input=0, cache_write=0, output=0) for name in TIERS}

BODY_BYTES = 400
OUTPUT_TOKENS = 60

BOUND = bill.bound(BODY_BYTES, OUTPUT_TOKENS, PRICES["default"])
"""The bound of every request: all are equal, so that a limit can be a few bounds and a bit."""

WELL, TRANSIENT, ACCOUNT, UNSENT, UNKNOWN = "well", "transient", "account", "unsent", "unknown"
"""What a request shows about the provider and the account: both are well, the provider is at fault, the account is at
fault, nothing because it was never sent, or nothing by itself because it was rejected without a reason."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One way of failing.

    Args:
        exchange: makes the traffic on the wire from a healthy provider's response.
        billed: whether the provider bills the request.
        sent: whether the request leaves at all.
        hangs: whether the deadline passes.
        above: whether the usage is above the bound.
        measured: whether the response reports the bill, which is then charged instead of the bound.
        tells: what the breaker must be told.
        exact: whether the usage determines the price of every token.
        tier: the service tier that the response names.
    """

    exchange: Callable[[Body], Exchange]
    billed: bool = True
    sent: bool = True
    hangs: bool = False
    above: bool = False
    cleaned: bool = True
    ungrounded: bool = False
    measured: bool = False
    tells: str = WELL
    exact: bool = True
    tier: str = "default"

    @property
    def settles(self) -> str:
        """The settled charge: the "bill", the "bound" if the bill is unknown, or "nothing".

        A request that was rejected without a reason is settled at "either" of the last two, by earlier rejections.
        """
        if self.tells == UNKNOWN:
            return "either"
        if self.measured:
            return "bill"
        return "nothing" if not self.sent or (not self.billed and self.tells in {WELL, ACCOUNT}) else "bound"


def _response(body: Body, **changes: object) -> Exchange:
    """Return a whole response with some fields changed, after a round trip through JSON."""
    content = json.dumps(body | changes)
    read: Body = json.loads(content)
    return Exchange(sent=True, status=200, complete=True, body=read, usage=read_usage(read.get("usage")))


def _said_no(status: int, code: object = "", **headers: str) -> Callable[[Body], Exchange]:
    body = {"error": {"code": code, "message": "simulated"}}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _body: Exchange(sent=True, status=status, complete=True, body=body, headers=names)


def _lost(*, timed_out: bool = False) -> Callable[[Body], Exchange]:
    return lambda _body: Exchange(sent=True, timed_out=timed_out)


def _changed(**changes: object) -> Callable[[Body], Exchange]:
    return lambda body: _response(body, **changes)


_REFUSAL = [{"content": [{"type": "refusal", "refusal": "no"}]}]

FAULTS: dict[str, Fault] = {
    "answered": Fault(_response, measured=True),
    "rate_limited": Fault(_said_no(429), billed=False),
    "rate_limited_for_long": Fault(_said_no(429, retry_after="4000"), billed=False),
    "unreachable": Fault(lambda _body: Exchange(unreachable=True), billed=False, sent=False, tells=TRANSIENT),
    "not_sent_in_time": Fault(
        lambda _body: Exchange(timed_out=True), billed=False, sent=False, hangs=True, tells=UNSENT
    ),
    "refused_at_the_wire": Fault(
        lambda _body: Exchange(refusals=["too large"]), billed=False, sent=False, tells=UNSENT
    ),
    "wrong_key": Fault(_said_no(401), billed=False, tells=ACCOUNT),
    "not_found": Fault(_said_no(404), billed=False, tells=ACCOUNT),
    "no_quota": Fault(_said_no(429, "insufficient_quota"), billed=False, tells=ACCOUNT),
    "server_error": Fault(_said_no(500), billed=False, tells=TRANSIENT),
    "server_error_billed": Fault(_said_no(503), tells=TRANSIENT),
    "conflict": Fault(_said_no(409), billed=False, tells=TRANSIENT),
    "dropped": Fault(_lost(), billed=False, tells=TRANSIENT),
    "dropped_billed": Fault(_lost(), tells=TRANSIENT),
    "timed_out": Fault(_lost(timed_out=True), billed=False, hangs=True, tells=TRANSIENT),
    "timed_out_billed": Fault(_lost(timed_out=True), hangs=True, tells=TRANSIENT),
    "html": Fault(lambda _body: Exchange(sent=True, status=200, complete=True), tells=TRANSIENT),
    "failed": Fault(_changed(status="failed"), measured=True, tells=TRANSIENT),
    "failed_without_usage": Fault(_changed(status="failed", usage=None), tells=TRANSIENT),
    "rejected": Fault(_said_no(400), billed=False, tells=UNKNOWN),
    "unsupported_parameter": Fault(_said_no(400, "unsupported_parameter"), billed=False, tells=ACCOUNT),
    "invalid_prompt": Fault(_said_no(400, "invalid_prompt")),
    "context_too_long": Fault(_said_no(400, "context_length_exceeded")),
    "refused": Fault(_changed(output=_REFUSAL), measured=True),
    "truncated": Fault(_changed(status="incomplete"), measured=True),
    "wrong_schema": Fault(_response, cleaned=False, measured=True),
    "ungrounded": Fault(_response, ungrounded=True, measured=True),
    "without_usage": Fault(_changed(usage=None)),
    "above_bound": Fault(_response, above=True, measured=True),
    "above_bound_refused": Fault(_changed(output=_REFUSAL), above=True, measured=True),
    "above_bound_failed": Fault(_changed(status="failed"), above=True, measured=True, tells=TRANSIENT),
    "says_cheaper_tier": Fault(_response, measured=True, tier="flex"),
    "says_unpriced_tier": Fault(_response, tier="gold"),
    "bills_dearer_tier": Fault(_response, measured=True, tier="priority", above=True),
}
"""The faults by name. A response that names a cheaper tier still bills the requested tier."""

ODD: tuple[object, ...] = (None, [], ["x"], {}, {"x": 1}, "x", "", -1, True, 1.5)
"""Values that the provider's reference allows for no field of a response."""


def _odd() -> Iterator[tuple[str, Fault]]:
    """Yield a response for each field and each of its odd values."""
    for number, value in enumerate(ODD):
        for name in ("status", "error", "service_tier", "output", "incomplete_details", "model", "usage"):
            known = name != "usage" and (name != "service_tier" or value is None)
            yield f"odd {name} {number}", Fault(_changed(**{name: value}), measured=known)
        for name in ("input_tokens", "output_tokens"):
            yield f"odd {name} {number}", Fault(_with_usage(name, value))
        for name in ("input_tokens_details", "output_tokens_details", "total_tokens"):
            yield f"odd {name} {number}", Fault(_with_usage(name, value), measured=True, exact=name[0] != "i")
        for name in ("cached_tokens", "cache_write_tokens"):
            yield f"odd {name} {number}", Fault(_with_details(name, value), measured=True, exact=False)
        yield f"odd error code {number}", Fault(_said_no(429, value), billed=False)
    yield "no tokens at all", Fault(lambda body: _response(body, usage=dict.fromkeys(body["usage"], 0)))
    yield "no tokens of output", Fault(_changed_usage(output_tokens=0, total_tokens=None))
    yield "reasoning only in the total", Fault(_changed_usage(output_tokens=0), measured=True)
    for name in ("input_tokens", "output_tokens"):
        yield f"forty digits in {name}", Fault(_with_usage(name, 10**39))
    too_late = "Mon, 01 Jan 99999999999 00:00:00 GMT"
    for number, header in enumerate(("soon", "-5", "nan", "inf", "1e9", "Thu, 99 Nov 2026", too_late, "")):
        yield f"odd retry-after {number}", Fault(_said_no(429, retry_after=header), billed=False)


def _with_usage(name: str, value: object) -> Callable[[Body], Exchange]:
    return _changed_usage(**{name: value})


def _changed_usage(**changes: object) -> Callable[[Body], Exchange]:
    return lambda body: _response(body, usage=body["usage"] | changes)


def _with_details(name: str, value: object) -> Callable[[Body], Exchange]:
    def exchange(body: Body) -> Exchange:
        details = body["usage"]["input_tokens_details"] | {name: value}
        return _response(body, usage=body["usage"] | {"input_tokens_details": details})

    return exchange


ODD_FAULTS = dict(_odd())
"""The faults of odd responses by name; a schedule draws them as one fault, "odd"."""

_NAMES = (*FAULTS, "odd")
_ODD_NAMES = tuple(ODD_FAULTS)


@dataclass
class Provider:
    """The model tier with the provider behind it.

    Args:
        chance: the probability of a fault.
        free: whether the model has a price of 0.
        declared: whether usage above the bound, the declared exception, may happen.
        sending: called with the key before a request leaves; its exception ends the schedule.
        billing: called with each bill of the provider.
        answered: called with the outcome of each request.
    """

    wire: Wire
    chance: float
    free: bool
    declared: bool
    sending: Callable[[str], None]
    billing: Callable[[Bill], None]
    answered: Callable[[Fault], None]
    faults: Counter[str] = field(default_factory=Counter)
    prompt_version: str = PROMPT_VERSION
    rejects: bool = False
    """Whether the provider rejected the last request without a reason; then it often rejects the next one too."""

    def load(self) -> None:
        """Do nothing: there is no client to load."""

    @property
    def bound(self) -> Bill:
        """The most that a request may be billed."""
        return bill.bound(BODY_BYTES, OUTPUT_TOKENS, self._price("default"))

    def dearest(self, billed: Bill) -> Bill:
        """Return the bill with every input token at the highest price."""
        price = self._price("default")
        cost = billed.input_tokens * price.dearest_input + billed.output_tokens * price.output
        return Bill(billed.requests, billed.input_tokens, billed.output_tokens, cost)

    @property
    def worst_case(self) -> Amount:
        """The bound as production computes it."""
        return worst_case(BODY_BYTES, OUTPUT_TOKENS, self._tiers["default"])

    @property
    def _tiers(self) -> dict[str, Rates]:
        return FREE if self.free else TIERS

    def _price(self, tier: str) -> Price:
        return GRATIS if self.free else PRICES[tier]

    def prepare(self, video: Video, answer: LocalParse, hint: str) -> Request:  # noqa: ARG002 -- as the original takes them
        """Return the request with its bound."""
        return Request(video.title, BODY_BYTES, self.worst_case)

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Send the request."""
        scheduler, wire = self.wire.scheduler, self.wire
        me = scheduler.current.name
        if not key:  # as the original does
            self.answered(NO_KEY)
            raise Defer(Reason.ACCOUNT_FAULT, "The project's key is empty.")
        scheduler.step()
        wire.steps += 1
        name, fault = self._drawn(me)
        wire.tell(f"asks: {request.prompt}", "" if name == "answered" else name)
        tokens = self._tokens(me, fault)
        if scheduler.choices(me, wire.deadly):
            wire.fates["provider: killed before"] += 1
            scheduler.die()
        if fault.sent:
            self.sending(key)
            if fault.billed:
                self.billing(tokens.bill(self._price("priority" if fault.tier == "priority" else "default")))
        scheduler.sleep(
            deadline_seconds if fault.hangs else (1.0, 12.0, deadline_seconds - 0.5)[scheduler.choices(me, 0.2, 3)]
        )
        if scheduler.choices(me, wire.deadly):
            wire.fates["provider: killed after"] += 1
            scheduler.die()
        self.answered(fault)
        return self._interpreted(fault, tokens, request, key)

    def _drawn(self, me: str) -> tuple[str, Fault]:
        choices = self.wire.scheduler.choices
        name = _NAMES[choices(me, self.chance, len(_NAMES))]
        if self.rejects and choices(f"{me} is rejected as well", 0.5):
            name = "rejected"
        self.rejects = name == "rejected"
        if name == "odd":
            name = _ODD_NAMES[choices(f"{me} odd", 1.0, len(_ODD_NAMES))]
            self.faults["odd"] += 1
            return name, ODD_FAULTS[name]
        if FAULTS[name].above and not self.declared:
            name = "answered"
        self.faults[name] += 1
        return name, FAULTS[name]

    def _interpreted(self, fault: Fault, tokens: Tokens, request: Request, key: str) -> Answer:
        title = "Something else altogether" if fault.ungrounded else request.prompt
        cleaned = Cleaned(title=title, presenters=[]) if fault.cleaned else None
        terms = ResponseContext(request.bound, "default", self._tiers, key)
        return interpret(fault.exchange(_body(fault, tokens)), cleaned, terms)

    def _tokens(self, me: str, fault: Fault) -> Tokens:
        """Return the tokens that the provider counts: a part of the bound, or more than the bound."""
        choices = self.wire.scheduler.choices
        part = (0.3, 1.0, 0.05)[choices(me, 0.3, 3)]
        all_input = BODY_BYTES + bill.FRAMING
        if fault.above and fault.tier == "default":
            return Tokens(all_input + 50, OUTPUT_TOKENS + 7)
        tokens = max(int(all_input * part), 1)
        cached, written = ((0, 0), (tokens // 2, 0), (0, tokens), (tokens // 3, tokens // 3))[choices(me, 0.3, 4)]
        return Tokens(tokens, max(int(OUTPUT_TOKENS * part), 1), cached, written)


NO_KEY = Fault(lambda _body: Exchange(), billed=False, sent=False, tells=ACCOUNT)
"""The outcome of an empty key, with which nothing is sent."""


def _body(fault: Fault, tokens: Tokens) -> Body:
    """Return a response as the provider's reference describes it."""
    return {
        "id": "resp_simulated",
        "object": "response",
        "model": MODEL,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "{}"}]}],
        "service_tier": fault.tier,
        "usage": {
            "input_tokens": tokens.input,
            "output_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
            "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }
