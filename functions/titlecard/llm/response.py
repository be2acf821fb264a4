"""The outcome of an attempt: the fault table, in one place.

It judges the traffic on the wire, not the results of the layers above, which repeat, wrap and lose things. If the
billed amount is unknown, the bound is charged.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

from titlecard.domain.errors import excerpt
from titlecard.domain.money import Amount, Billing, Measured, Total, Unbilled, Unmeasured, measured
from titlecard.domain.money.budget import NUMBER_MAX
from titlecard.domain.reasons import Reason
from titlecard.domain.text import one_line
from titlecard.llm.errors import DeadLetter, Defer, Rejected, Retry, Unusable
from titlecard.llm.request import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from titlecard.domain.money import Rates
    from titlecard.llm.exchange import Exchange
    from titlecard.llm.prompt import Cleaned

_ACCOUNT_STATUS = frozenset(
    {
        *(HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
        *(HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.GONE),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    }
)
_BILLING_CODE = re.compile(
    r"insufficient_quota|credit_balance_exhausted|\w+_spend_limit_exceeded|\w+_usage_limit_exceeded"
    r"|billing_not_active|billing_hard_limit_reached|account_deactivated|insufficient_funds|budget_exceeded"
)
"""The error codes of an account that may not spend; waiting does not help, whatever the status."""

_ACCOUNT_CODE = re.compile(
    r"unsupported_(?:parameter|value|model)|unknown_parameter|invalid_parameter|missing_required_parameter"
    r"|invalid_json_schema|invalid_schema|invalid_service_tier|model_(?!context)\w+|invalid_model"
    r"|DeploymentNotFound|OperationNotSupported|UnsupportedParamsError|invalid_api_key|blocked_api_access|\w*organization\w*|\w*project_(?:archived|not_found)",
    re.IGNORECASE,
)
"""The error codes of a request that would be rejected for every row, for its model, tier, schema or settings."""

_BILLING_MESSAGE = re.compile(
    r"exceeded your (?:current )?(?:quota|credits)|(?:credit )?balance is too low|spend(?:ing)? limit"
    r"|insufficient (?:credits?|balance|funds|quota)",
    re.IGNORECASE,
)
_ACCOUNT_MESSAGE = re.compile(
    r"organization must be verified|account\b.{0,60}\b(?:suspended|deactivated|disabled|not active)"
    r"|api.key (?:not valid|is invalid|expired)|api.version|provider not provided"
    r"|\bmodel\b.{0,80}(?:does not exist|decommissioned|deprecated|requires terms|not (?:support|loaded|found)"
    r"|is not (?:a )?(?:valid|available|supported)|is (?:invalid|unavailable))"
    r"|(?:invalid|unknown|unsupported|unable to access|no such|not a valid) model|(?:invalid|unsupported) schema",
    re.IGNORECASE,
)
"""What gateways and servers say, without a code, about an account that may not spend, and about its model."""

_ACCOUNT_PARAMETERS = ("model", "service_tier", "text", "reasoning", "store", "stream", "max_output_tokens")
"""The keys of our request whose values are the same for every row."""

_QUOTED_PARAMETER = re.compile(rf"""["'`](?:{"|".join(_ACCOUNT_PARAMETERS)})(?:[.\[][\w.\[\]]+)?["'`](?! ?:)""")
"""One of these keys in an error's message: the parameter that a server rejects."""

_REFUSAL_CODE = re.compile(
    r"invalid_prompt|content_filter|content_policy_violation|ResponsibleAIPolicyViolation|ContentPolicyViolationError",
    re.IGNORECASE,
)
_REFUSAL_MESSAGE = re.compile(r"\binput was flagged|content management policy", re.IGNORECASE)
_TOO_LONG_CODE = re.compile(r"context_length_exceeded|string_above_max_length|ContextWindowExceededError")
"""The error codes of a request that is rejected because this row's text is too long."""

_TOO_LONG_MESSAGE = re.compile(r"maximum context length|context window|prompt is too long", re.IGNORECASE)
"""How servers without error codes say the same."""

_BROKEN_ANSWER_CODE = re.compile("json_validate_failed")
"""The error code of an answer that failed the provider's own check of the schema."""

_TRANSIENT_STATUS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT})

RETRY_AFTER_MAX = 86_400.0
"""The longest `Retry-After` that is obeyed, in seconds: one day."""

_NUMBERS_MAX = Total(NUMBER_MAX, NUMBER_MAX, NUMBER_MAX)
"""The largest numbers that the ledger compares, far above the cost of any request."""


@dataclass(frozen=True)
class ResponseContext:
    """The terms of an attempt, fixed before its request is sent."""

    bound: Amount
    service_tier: str
    tiers: Mapping[str, Rates]
    key: str


def interpret(exchange: Exchange, cleaned: Cleaned | None, terms: ResponseContext) -> Answer:
    """Return the answer of an attempt.

    Args:
        cleaned: the talk that Pydantic AI found in the response; None if it found none.

    Raises:
        Fault: there is no answer; the exception says what is charged and what to do next.
    """
    if not exchange.sent:
        _raise_unsent(exchange)
    if exchange.status is None or not exchange.complete:
        _raise_lost(exchange)
    status, body = exchange.status, exchange.body
    if status >= HTTPStatus.BAD_REQUEST:
        _raise_http_error(exchange, status, terms)
    if body is None or status >= HTTPStatus.MULTIPLE_CHOICES:
        raise Retry(Reason.UNREADABLE_BODY, f"The provider answered {status} with something other than an answer.")
    billing = _billing(exchange, body, terms)
    status_said = body.get("status")  # may have any type, and many gateways omit it: only a declared failure counts
    if status_said in ("failed", "cancelled") or (_error(body) and cleaned is None):
        _raise_failed(exchange, body, billing, terms)
    if (refusal := _refusal(body)) is not None:
        sentence = f"The model refused to answer: {excerpt(refusal, terms.key)}"
        raise Unusable(Reason.REFUSED, sentence, billing=billing)
    if status_said == "incomplete" and (cleaned is None or _incomplete_reason(body) is not None):
        sentence = "The answer was cut off at the cap on output tokens."
        raise Unusable(Reason.TRUNCATED, sentence, billing=billing)
    if cleaned is None:
        sentence = "The answer is not what the schema asks for."
        raise Unusable(Reason.WRONG_SCHEMA, sentence, billing=billing)
    return Answer(one_line(cleaned.title), tuple(map(one_line, cleaned.presenters)), billing)


def _raise_unsent(exchange: Exchange) -> NoReturn:
    """Raise the fault of a request that was not sent, so that nothing was billed."""
    if exchange.unreachable:
        raise Defer(Reason.PROVIDER_UNREACHABLE, "There is no connection to the provider.")
    if exchange.refusals:
        # As with a bad request, every try would fail in the same way.
        raise DeadLetter(
            Reason.REFUSED_AT_THE_WIRE, f"The request was not sent: {exchange.refusals[0]}", billing=Unbilled()
        )
    raise Defer(Reason.NOT_SENT_IN_TIME, "The deadline passed before the request was sent.")


def _raise_lost(exchange: Exchange) -> NoReturn:
    """Raise the fault of a sent request without a complete response: it may have been billed."""
    if exchange.timed_out:
        raise Retry(Reason.TIMED_OUT, "The provider did not answer before the deadline.")
    raise Retry(Reason.CONNECTION_LOST, "The connection to the provider broke off before the answer was complete.")


def _raise_http_error(exchange: Exchange, status: int, terms: ResponseContext) -> NoReturn:
    """Raise the fault of a response with an error status, by status and error code."""
    codes = [*_names(exchange.body), *_names_in_message(exchange.body)]
    sentence = f"The provider said {status}: {_message(exchange.body, terms.key)}"
    message = _quoted(exchange.body)
    wait = retry_after(exchange.headers, datetime.now(UTC))
    if _any(_BILLING_CODE, codes) or (wait is None and _BILLING_MESSAGE.search(message)):
        raise Defer(Reason.ACCOUNT_FAULT, sentence, retry_after=wait)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Defer(Reason.RATE_LIMITED, sentence, retry_after=wait)
    if status in _TRANSIENT_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Retry(Reason.PROVIDER_ERROR, sentence, retry_after=wait)
    if _any(_REFUSAL_CODE, codes) or _REFUSAL_MESSAGE.search(message):
        raise Unusable(Reason.REFUSED, sentence)
    if _any(_TOO_LONG_CODE, codes) or _TOO_LONG_MESSAGE.search(message):
        raise Unusable(Reason.CONTEXT_TOO_LONG, sentence)
    if _any(_BROKEN_ANSWER_CODE, codes):
        raise Unusable(Reason.WRONG_SCHEMA, sentence)
    if status in _ACCOUNT_STATUS or _any(_ACCOUNT_CODE, codes) or _for_every_row(exchange.body, message):
        raise Defer(Reason.ACCOUNT_FAULT, sentence, retry_after=wait)
    named = (name for name in _names(exchange.body) if name != "invalid_request_error")  # the type of every rejection
    raise Rejected(Reason.BAD_REQUEST, sentence, code=excerpt(next(named, str(status)), terms.key))


def _raise_failed(exchange: Exchange, body: Mapping[str, Any], billing: Billing, terms: ResponseContext) -> NoReturn:
    """Raise the fault of a response with status 200 that declares a failure; its code may be the true status."""
    code = str(_error(body).get("code"))
    if re.fullmatch(r"[45]\d\d", code) and isinstance(billing, Unmeasured):
        _raise_http_error(exchange, int(code), terms)
    sentence = f"The provider failed after it had begun: {_message(body, terms.key)}"
    if _any(_BILLING_CODE, _names(body)) and isinstance(billing, Unmeasured):
        raise Defer(Reason.ACCOUNT_FAULT, sentence)
    if _any(_REFUSAL_CODE, _names(body)):
        raise Unusable(Reason.REFUSED, sentence, billing=billing)
    raise Retry(Reason.PROVIDER_ERROR, sentence, billing=billing)


def _names(body: Mapping[str, Any] | None) -> list[str]:
    """Return the provider's names for its error, the most specific first."""
    error = _error(body)
    inner = error.get("innererror")
    names = [inner.get("code") if isinstance(inner, dict) else None, error.get("code"), error.get("type")]
    return [name for name in names if isinstance(name, str) and name not in {"", "None"} and not name.isdecimal()]


def _names_in_message(body: Mapping[str, Any] | None) -> list[str]:
    """Return the error names quoted in the message of a gateway that gives the HTTP status as its code."""
    if not str(_error(body).get("code")).isdecimal():
        return []
    return [word for word in re.findall(r"\w+", _quoted(body)) if "_" in word or word.endswith("Error")]


def _quoted(body: Mapping[str, Any] | None) -> str:
    """Return all that an error says, with the provider's own words that a gateway quotes beside it."""
    said = body or {}
    error = _error(body)
    beside = error.get("metadata")
    raw = beside.get("raw") if isinstance(beside, dict) else None
    texts = (error.get("message"), raw, said.get("message"), said.get("detail"))
    return " ".join(it if isinstance(it, str) else json.dumps(it) for it in texts if it)


def _any(pattern: re.Pattern[str], codes: Iterable[str]) -> bool:
    return any(pattern.fullmatch(code) for code in codes)


def _for_every_row(body: Mapping[str, Any] | None, message: str) -> bool:
    """Return whether an error is about a value that is the same in every request."""
    parameter = _error(body).get("param")
    if isinstance(parameter, str) and re.split(r"[.\[]", parameter)[0] in _ACCOUNT_PARAMETERS:
        return True
    return bool(_ACCOUNT_MESSAGE.search(message) or _QUOTED_PARAMETER.search(message))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait that the provider requests, in seconds; None if the header is missing or unreadable.

    `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3); OpenAI also sends `Retry-After-Ms`.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), RETRY_AFTER_MAX)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, OverflowError):  # OverflowError: a year or a time zone of too many digits
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max((date - now).total_seconds(), 0.0), RETRY_AFTER_MAX)


def _billing(exchange: Exchange, body: Mapping[str, Any], terms: ResponseContext) -> Billing:
    """Return the billing that the usage implies.

    The response names the service tier that the provider used. If it is dearer than the requested one, its price is
    charged. The cost is unknown if that tier has no price, if the ledger cannot hold the number, or if a response with
    output reports no tokens of output.
    """
    usage, tier = exchange.usage, body.get("service_tier")
    if tier is None:
        tier = terms.service_tier
    if usage is None or not isinstance(tier, str) or tier not in terms.tiers:
        return Unmeasured()
    if not usage.output_tokens and body.get("output"):
        return Unmeasured()
    charges = [measured(usage, terms.tiers[name]) for name in (terms.service_tier, tier)]
    charge = max(charges, key=lambda charge: charge.micro_usd)
    return Unmeasured() if charge.total.exceeds(_NUMBERS_MAX) else Measured(charge)


def _refusal(body: Mapping[str, Any]) -> str | None:
    """Return the model's refusal; None if it did not refuse."""
    if _incomplete_reason(body) == "content_filter":
        return "its content filter stopped it."
    output = body.get("output")
    for item in output if isinstance(output, list) else ():
        content = item.get("content") if isinstance(item, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") == "refusal":
                return str(part.get("refusal"))
    return None


def _incomplete_reason(body: Mapping[str, Any]) -> str | None:
    details = body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return reason if isinstance(reason, str) else None


def _error(body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    said = body or {}
    error = said if said.get("object") == "error" else said.get("error")
    if isinstance(error, str) and error:
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _message(body: Mapping[str, Any] | None, key: str) -> str:
    said = body or {}
    messages = (_error(body).get("message"), said.get("error"), said.get("message"), said.get("detail"))
    return next((excerpt(it, key) for it in messages if isinstance(it, str) and it), "no message.")
