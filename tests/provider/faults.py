"""The faults, by name, with which a provider or the connection to it can fail an attempt.

A fault defines the traffic on the wire and the bill. If the model worked and the answer was lost, the bill is the
highest possible: one token for every byte, and all the allowed output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Bill(StrEnum):
    """What the provider bills for a request."""

    NOTHING = "nothing"
    FAIR = "fair"
    MOST = "most"


class Way(StrEnum):
    """How the response is transferred."""

    WHOLE = "whole"
    SILENT_CLOSE = "silent_close"
    HALF_BODY = "half_body"
    RESET = "reset"
    HANG = "hang"
    TRICKLE = "trickle"


@dataclass(frozen=True)
class Fault:
    """One fault: a status and a body, or a change of the good answer, with its transfer and its bill.

    `error` is the body of a response that is not an answer (an object is sent as JSON, a text as HTML). `edit` changes
    the good answer in place.
    """

    bill: Bill = Bill.FAIR
    way: Way = Way.WHOLE
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | str | None = None
    edit: Callable[[dict[str, Any]], None] | None = None


def _said(
    status: int, code: str | None, kind: str = "invalid_request_error", *, param: str | None = None, **headers: str
) -> Fault:
    """Return an error response in OpenAI's form. A request refused at once is not billed; a later failure may be."""
    bill = Bill.MOST if status in {408, 409} or status >= 500 else Bill.NOTHING
    error = {"message": f"The loopback provider says {status}.", "type": kind, "param": param, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(bill=bill, status=status, headers=named, error={"error": error})


def _quoted(code: str, message: str) -> dict[str, Any]:
    """Return an error in LiteLLM's form, whose message quotes the provider's error."""
    return {"error": {"message": f"litellm.Error: {message}", "type": None, "param": None, "code": code}}


def _answer(text: str) -> Callable[[dict[str, Any]], None]:
    def edit(body: dict[str, Any]) -> None:
        body["output"][0]["content"][0]["text"] = text

    return edit


def _replaced(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.update(values)


def _usage(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["usage"].update(values)


def _refused(body: dict[str, Any]) -> None:
    body["output"][0]["content"] = [{"type": "refusal", "refusal": "I would rather not."}]


def _without_status(body: dict[str, Any]) -> None:
    del body["status"]


def _bare(body: dict[str, Any]) -> None:
    text = body["output"][0]["content"][0]["text"]
    kept = {"usage": body["usage"], "output": [{"content": [{"type": "output_text", "text": text}]}]}
    body.clear()
    body.update(kept)


def _without_usage(body: dict[str, Any]) -> None:
    del body["usage"]


def _half_an_answer(body: dict[str, Any]) -> None:
    body.update(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    body["output"][0].update(status="incomplete")
    body["output"][0]["content"][0]["text"] = '{"title":"Half of an ans'


_HTML = "<!doctype html><title>Bad gateway</title><h1>It is not us</h1>"
_FAILED = {"status": "failed", "error": {"code": "server_error", "message": "The model fell over."}, "output": []}
_FILTERED = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}


def _failed_above_bound(body: dict[str, Any]) -> None:
    body.update(_FAILED)
    body["usage"].update(input_tokens=2_000_000)


FAULTS: dict[str, Fault] = {
    "ok": Fault(),
    # A rate limit: nothing is billed.
    "rate_limit": _said(429, "rate_limit_exceeded", "requests", retry_after="7"),
    "rate_limit_in_milliseconds": _said(429, "rate_limit_exceeded", "tokens", retry_after_ms="1500"),
    "rate_limit_until_no_date": _said(
        429, "rate_limit_exceeded", "requests", retry_after="Mon, 01 Jan 99999999999 00:00:00 GMT"
    ),
    # A fault of the account: nothing is billed.
    "unauthorized": _said(401, "invalid_api_key"),
    "payment_required": _said(402, None),
    "forbidden": _said(403, "unsupported_country_region_territory"),
    "not_found": _said(404, "model_not_found"),
    "insufficient_quota": _said(429, "insufficient_quota", "insufficient_quota"),
    "credit_balance_exhausted": _said(429, "credit_balance_exhausted", "insufficient_quota"),
    "spend_limit": _said(429, "project_spend_limit_exceeded"),
    "usage_limit": _said(429, "organization_usage_limit_exceeded"),
    "billing_not_active": _said(429, "billing_not_active", "billing_not_active"),
    "billing_hard_limit": _said(400, "billing_hard_limit_reached"),
    "deactivated": _said(401, "account_deactivated"),
    "no_quota_behind_a_gateway": Fault(bill=Bill.NOTHING, status=503, error=_quoted("503", "code: insufficient_quota")),
    "budget_of_a_gateway": _said(400, "400", "budget_exceeded"),
    "no_credit_behind_success": Fault(bill=Bill.NOTHING, error={"error": {"code": 402, "message": "No credits."}}),
    # A fault in every row's request: nothing is billed.
    "unsupported_parameter": _said(400, "unsupported_parameter"),
    "unsupported_behind_a_gateway": Fault(
        bill=Bill.NOTHING,
        status=400,
        error=_quoted("400", "OpenAIException - {'code': 'unsupported_parameter', 'param': 'text'}"),
    ),
    "unknown_model": _said(400, "model_not_found"),
    "bad_tier": _said(400, None, param="service_tier"),
    "bad_schema": _said(400, "invalid_json_schema", param="text.format.schema"),
    "unverified": _said(400, "unsupported_value", param="stream"),
    # A fault in this row's request: the bill is unknown, so the bound is charged.
    "invalid_prompt": _said(400, "invalid_prompt"),
    "filtered_prompt": _said(400, "content_filter", param="prompt"),
    "context_too_long": _said(400, "context_length_exceeded", param="input"),
    "too_long_without_a_code": Fault(
        bill=Bill.NOTHING,
        status=400,
        error={"object": "error", "message": "This model's maximum context length is 9 tokens.", "code": 400},
    ),
    "bad_request": _said(400, None),
    "unprocessable": _said(422, None),
    # Requests that may have been billed.
    "request_timeout": _said(408, None),
    "conflict": _said(409, None),
    "server_error": _said(500, "server_error", "server_error"),
    "bad_gateway": Fault(bill=Bill.MOST, status=502, error=_HTML),
    "unavailable": _said(503, None, "server_error", retry_after="30"),
    "silent_close": Fault(bill=Bill.MOST, way=Way.SILENT_CLOSE),
    "half_body": Fault(bill=Bill.MOST, way=Way.HALF_BODY),
    "reset": Fault(bill=Bill.MOST, way=Way.RESET),
    "hang": Fault(bill=Bill.MOST, way=Way.HANG),
    "trickle": Fault(bill=Bill.MOST, way=Way.TRICKLE),
    "html": Fault(bill=Bill.MOST, error=_HTML),
    "a_list": Fault(bill=Bill.MOST, error="[1, 2, 3]"),
    "redirect_loop": Fault(bill=Bill.MOST, status=307, headers={"location": "/v1/responses"}, error=_HTML),
    "redirect_to_get": Fault(bill=Bill.MOST, status=302, headers={"location": "/v1/responses"}, error=_HTML),
    "failed": Fault(edit=_replaced(**_FAILED)),
    "failed_without_usage": Fault(bill=Bill.MOST, edit=_replaced(**_FAILED, usage=None)),
    "failed_above_bound": Fault(edit=_failed_above_bound),
    # Answers that are not a talk.
    "refusal": Fault(edit=_refused),
    "content_filter": Fault(edit=_replaced(**_FILTERED)),
    "truncated": Fault(edit=_half_an_answer),
    "wrong_schema": Fault(edit=_answer('{"name":"A talk","speakers":[]}')),
    "prose": Fault(edit=_answer("The title is: A talk.")),
    "no_output": Fault(edit=_replaced(output=[])),
    "null_output": Fault(edit=_replaced(output=None)),
    # Answers that are a talk, with an odd field.
    "no_usage": Fault(bill=Bill.MOST, edit=_without_usage),
    "null_usage": Fault(bill=Bill.MOST, edit=_replaced(usage=None)),
    "text_for_usage": Fault(bill=Bill.MOST, edit=_replaced(usage="a lot")),
    "texts_in_usage": Fault(bill=Bill.MOST, edit=_usage(input_tokens="12", output_tokens="3")),
    "fractions_in_usage": Fault(bill=Bill.MOST, edit=_usage(input_tokens=1.5)),
    "negative_usage": Fault(bill=Bill.MOST, edit=_usage(output_tokens=-5)),
    "forty_digits_in_usage": Fault(bill=Bill.MOST, edit=_usage(input_tokens=int("1234567890" * 4))),
    "unpriced_tier": Fault(bill=Bill.MOST, edit=_replaced(service_tier="platinum")),
    "dearer_tier": Fault(edit=_replaced(service_tier="priority")),
    "created": Fault(status=201),
    "no_status": Fault(edit=_without_status),
    "null_status": Fault(edit=_replaced(status=None)),
    "another_word_for_status": Fault(edit=_replaced(status="stop")),
    "list_for_status": Fault(edit=_replaced(status=["completed"])),
    "object_for_status": Fault(edit=_replaced(status={"name": "completed"})),
    "incomplete_without_reason": Fault(edit=_replaced(status="incomplete")),
    "error_beside_an_answer": Fault(edit=_replaced(error={"message": "It is nothing."})),
    "bare_answer": Fault(edit=_bare),
    "list_for_tier": Fault(bill=Bill.MOST, edit=_replaced(service_tier=["default"])),
    "object_for_tier": Fault(bill=Bill.MOST, edit=_replaced(service_tier={"name": "default"})),
    "ungrounded": Fault(edit=_answer('{"title":"Something Invented","presenters":["Nobody Atall"]}')),
    "usage_above_bound": Fault(edit=_usage(input_tokens=2_000_000)),
}
