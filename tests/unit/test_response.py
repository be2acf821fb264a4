"""The outcome of an attempt, for any response of a provider."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.errors import EXCERPT_MAX
from titlecard.domain.money import Amount, Measured, PriceList, Unbilled, Unmeasured, Usage
from titlecard.domain.money.budget import NUMBER_MAX
from titlecard.domain.reasons import Reason
from titlecard.llm import Answer
from titlecard.llm.errors import DeadLetter, Defer, Fault, Rejected, Retry, Unusable
from titlecard.llm.exchange import Exchange, read_usage
from titlecard.llm.fuse import RESPONSE_MAX_BYTES
from titlecard.llm.prompt import Cleaned
from titlecard.llm.response import ResponseContext, interpret

BOUND = Amount(1, 2_000, 400, 500)
TERMS = ResponseContext(BOUND, "default", PriceList.packaged().model("gpt-6-luna").tiers, "sk-proj-0123456789abcdef")
TALK = Cleaned(title="A talk", presenters=["Grace Hopper"])
USAGE = {"input_tokens": 200, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 0}}


def came_to(body: object, cleaned: Cleaned | None = TALK, status: int = 200, **headers: str) -> Answer | Fault:
    """Return the outcome of a complete response."""
    read = body if isinstance(body, dict) else None
    usage = read_usage(read.get("usage")) if read else None
    exchange = Exchange(sent=True, status=status, headers=headers, complete=True, body=read, usage=usage)
    try:
        return interpret(exchange, cleaned, TERMS)
    except Fault as fault:
        return fault


WHOLE = Exchange(sent=True, status=200, complete=True)

UNANSWERED = [
    (Exchange(), Defer, Reason.NOT_SENT_IN_TIME),
    (Exchange(unreachable=True), Defer, Reason.PROVIDER_UNREACHABLE),
    (Exchange(refusals=["A GET."]), DeadLetter, Reason.REFUSED_AT_THE_WIRE),
    (Exchange(sent=True), Retry, Reason.CONNECTION_LOST),
    (Exchange(sent=True, timed_out=True), Retry, Reason.TIMED_OUT),
    (Exchange(sent=True, status=200), Retry, Reason.CONNECTION_LOST),
    (WHOLE, Retry, Reason.UNREADABLE_BODY),
    (replace(WHOLE, status=300, body={}), Retry, Reason.UNREADABLE_BODY),
    (replace(WHOLE, status=399, body={}), Retry, Reason.UNREADABLE_BODY),
]


@pytest.mark.parametrize(("exchange", "kind", "reason"), UNANSWERED)
def test_a_request_without_an_answer_is_judged_by_how_much_was_sent(
    exchange: Exchange, kind: type[Fault], reason: Reason
) -> None:
    with pytest.raises(kind) as caught:
        interpret(exchange, None, TERMS)
    assert caught.value.reason is reason
    assert caught.value.billing == (Unmeasured() if exchange.sent else Unbilled())


@pytest.mark.parametrize("status", [408, 409, 500, 503, 599])
def test_a_transient_error_may_have_been_billed_and_says_when_to_retry(status: int) -> None:
    outcome = came_to(None, None, status, **{"retry-after": "7"})
    assert isinstance(outcome, Retry)
    assert (outcome.reason, outcome.billing, outcome.retry_after) == (Reason.PROVIDER_ERROR, Unmeasured(), 7.0)


def test_a_429_costs_nothing_and_says_when_to_retry() -> None:
    outcome = came_to(None, None, 429, **{"retry-after": "7"})
    assert isinstance(outcome, Defer)
    assert (outcome.reason, outcome.retry_after) == (Reason.RATE_LIMITED, 7.0)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_refused_account_says_when_to_retry(status: int) -> None:
    outcome = came_to({"error": {"code": "mystery"}}, None, status, **{"retry-after": "7"})
    assert isinstance(outcome, Defer)
    assert (outcome.reason, outcome.retry_after) == (Reason.ACCOUNT_FAULT, 7.0)


def test_a_refusal_among_other_parts_is_found_and_quoted() -> None:
    parts = [None, {"type": "output_text", "text": "{}"}, {"type": "refusal", "refusal": "I do not clean titles."}]
    outcome = came_to({"output": [None, {"content": None}, {"content": parts}], "usage": USAGE})
    assert isinstance(outcome, Unusable)
    assert (outcome.reason, isinstance(outcome.billing, Measured)) == (Reason.REFUSED, True)
    assert str(outcome) == "The model refused to answer: I do not clean titles."


def test_a_part_is_a_refusal_by_its_type_alone() -> None:
    outcome = came_to({"output": [{"content": [{"type": "refusal", "refusal": ""}]}], "usage": USAGE})
    assert isinstance(outcome, Unusable)
    assert outcome.reason is Reason.REFUSED
    beside = {"type": "output_text", "text": "{}", "refusal": "none"}
    assert isinstance(came_to({"output": [{"content": [beside]}], "usage": USAGE}), Answer)


def test_a_refusal_is_quoted_in_one_short_line_without_the_key() -> None:
    parts = [{"type": "refusal", "refusal": f"Your key is\n{TERMS.key}. " + "I refuse. " * 1_000}]
    outcome = came_to({"output": [{"content": parts}], "usage": USAGE})
    assert str(outcome).startswith("The model refused to answer: Your key is [key]. I refuse. ")
    assert len(str(outcome)) < 500


@pytest.mark.parametrize("code", ["not_insufficient_quota", "content_filter_off", "context_length_exceeded_never"])
def test_a_code_that_only_contains_a_known_one_is_unknown(code: str) -> None:
    assert isinstance(came_to({"error": {"code": code, "message": "No."}}, None, 400), Rejected)


def test_an_answer_that_a_content_filter_stopped_is_a_refusal() -> None:
    outcome = came_to({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "usage": USAGE})
    assert isinstance(outcome, Unusable)
    assert outcome.reason is Reason.REFUSED
    assert "its content filter stopped it" in str(outcome)


@pytest.mark.parametrize(
    ("status", "details", "cleaned", "reason"),
    [
        ("incomplete", None, None, Reason.TRUNCATED),
        ("incomplete", {"reason": "max_output_tokens"}, TALK, Reason.TRUNCATED),
        ("incomplete", None, TALK, None),
        ("completed", {"reason": "max_output_tokens"}, TALK, None),
        ("completed", None, None, Reason.WRONG_SCHEMA),
    ],
)
def test_an_answer_counts_as_truncated_if_the_provider_says_so_and_it_has_no_talk(
    status: str, details: object, cleaned: Cleaned | None, reason: Reason | None
) -> None:
    outcome = came_to({"status": status, "incomplete_details": details, "usage": USAGE}, cleaned)
    assert getattr(outcome, "reason", None) is reason
    assert isinstance(outcome.billing, Measured)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("status", "error", "service_tier", "output", "incomplete_details", "usage", "message", "detail")
bodies = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, anything))
errors = st.fixed_dictionaries({}, optional=dict.fromkeys(("code", "type", "param", "message", "innererror"), anything))


@given(bodies, st.sampled_from([TALK, None]))
def test_any_body_of_a_response_gives_an_answer_or_a_fault(body: dict[str, Any], cleaned: Cleaned | None) -> None:
    came_to(body, cleaned)


@given(bodies | st.fixed_dictionaries({"error": errors}) | st.none(), st.integers(201, 599), st.text(max_size=40))
def test_any_error_of_a_provider_gives_a_fault(body: object, status: int, wait: str) -> None:
    outcome = came_to(body, None, status, **{"retry-after": wait, "retry-after-ms": wait})
    assert isinstance(outcome, Fault)


ODD = "odd\ud800\x00 \x1b[31mtext\x1b[0m\u200b\u202e\uffff"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"message": ODD}}),
        (429, {"message": ODD}),
        (500, {"detail": ODD}),
        (200, {"status": "failed", "error": ODD}),
        (200, {"output": [{"content": [{"type": "refusal", "refusal": ODD}]}]}),
    ],
)
def test_a_quotation_of_a_provider_can_be_stored_and_shown(status: int, body: dict[str, Any]) -> None:
    sentence = str(came_to(body, None, status))
    assert sentence.isprintable()
    assert sentence.endswith(": odd? text")
    assert sentence.encode()


def test_the_code_of_a_rejection_can_be_stored_and_is_short() -> None:
    rejected = came_to({"error": {"code": ODD + "x" * 100_000}}, None, 400)
    assert isinstance(rejected, Rejected)
    assert rejected.code.isprintable()
    assert len(rejected.code) <= EXCERPT_MAX


def test_a_models_talk_is_stored_without_invisible_characters() -> None:
    answer = came_to({"usage": USAGE}, Cleaned(title="A\u200b\x00talk\n", presenters=["Grace\u00ad\x07Hopper", "\x00"]))
    assert isinstance(answer, Answer)
    assert (answer.title, answer.presenters) == ("A talk", ("Grace Hopper", ""))


@given(bodies)
def test_a_complete_answer_is_used_unless_the_provider_declares_a_failure(body: dict[str, Any]) -> None:
    outcome = came_to(body | {"status": "stop", "incomplete_details": None, "output": []})
    assert isinstance(outcome, Answer)


@given(
    st.just(200) | st.integers(400, 599),
    st.sampled_from(["billing_not_active", "billing_hard_limit_reached"]),
    anything,
)
def test_a_billing_code_is_the_accounts_fault_on_any_status_of_an_error(
    status: int, code: str, message: object
) -> None:
    body = {"error": {"code": code, "message": message}, "status": "failed"}
    outcome = came_to(body, None, status)
    assert isinstance(outcome, Defer)
    assert outcome.reason is Reason.ACCOUNT_FAULT


def test_a_server_that_puts_its_error_at_the_top_is_understood() -> None:
    message = "This model's maximum context length is 8192 tokens."
    outcome = came_to({"object": "error", "message": message, "type": "BadRequestError", "code": 400}, None, 400)
    assert isinstance(outcome, Unusable)
    assert outcome.reason is Reason.CONTEXT_TOO_LONG


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (399, Reason.PROVIDER_ERROR),
        (400, Reason.BAD_REQUEST),
        (401, Reason.ACCOUNT_FAULT),
        (402, Reason.ACCOUNT_FAULT),
        (429, Reason.RATE_LIMITED),
        (502, Reason.PROVIDER_ERROR),
        ("429", Reason.RATE_LIMITED),
        ("server_error", Reason.PROVIDER_ERROR),
        ("invalid_prompt", Reason.REFUSED),
    ],
)
def test_an_error_with_status_200_counts_by_the_status_that_it_names(code: int | str, reason: Reason) -> None:
    outcome = came_to({"error": {"code": code, "message": "No."}}, None)
    assert isinstance(outcome, Fault)
    assert outcome.reason is reason


@pytest.mark.parametrize("code", ["429", "401", "500", "400"])
def test_a_failure_that_came_with_a_usage_is_charged_by_it_whatever_status_it_names(code: str) -> None:
    outcome = came_to({"status": "failed", "error": {"code": code, "message": "No."}, "usage": USAGE}, None)
    assert isinstance(outcome, Retry)
    assert (outcome.reason, isinstance(outcome.billing, Measured)) == (Reason.PROVIDER_ERROR, True)


@pytest.mark.parametrize(("usage", "billing"), [(USAGE, Measured), (None, Unmeasured)])
def test_a_refusal_after_the_beginning_is_charged_by_its_usage(usage: object, billing: type) -> None:
    outcome = came_to({"status": "failed", "error": {"code": "content_filter"}, "usage": usage}, None)
    assert isinstance(outcome, Unusable)
    assert (outcome.reason, type(outcome.billing)) == (Reason.REFUSED, billing)


@pytest.mark.parametrize(
    ("number", "billing"),
    [(10**12, Measured), (NUMBER_MAX, Measured), (NUMBER_MAX + 1, Unmeasured), (10**40, Unmeasured)],
)
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_a_usage_beyond_every_number_of_the_ledger_is_unknown(name: str, number: int, billing: type) -> None:
    free = replace(TERMS, tiers={"default": TERMS.tiers["default"].times(Decimal(0))})
    other, others = ("output_tokens", 0) if name == "input_tokens" else ("input_tokens", 1)
    usage = {name: number - others, other: others}
    outcome = interpret(replace(WHOLE, body={"usage": usage}, usage=read_usage(usage)), TALK, free)
    assert isinstance(outcome.billing, billing)


def test_a_cost_beyond_every_number_of_the_ledger_is_unknown() -> None:
    usage = {"input_tokens": 1, "output_tokens": NUMBER_MAX // 1_000}
    exchange = replace(WHOLE, body={"usage": usage}, usage=read_usage(usage))
    dear = replace(TERMS, tiers={"default": TERMS.tiers["default"].times(Decimal(10_000))})
    assert isinstance(interpret(exchange, TALK, TERMS).billing, Measured)
    assert isinstance(interpret(exchange, TALK, dear).billing, Unmeasured)


@pytest.mark.parametrize("text", ["a", "_", "organization", "model ", "account ", "sk-", '"model"'])
def test_the_longest_message_is_judged_in_linear_time(text: str) -> None:
    message = text * (RESPONSE_MAX_BYTES // len(text))
    # With a number as its code, the names in the message are searched for as well.
    outcome = came_to({"error": {"code": 400, "message": message}}, None, 400)
    assert isinstance(outcome, Fault), "after hours, if a pattern were quadratic"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("litellm.ContextWindowExceededError: too many", Reason.CONTEXT_TOO_LONG),
        ("OpenAIException - {'code': 'unsupported_value'}", Reason.ACCOUNT_FAULT),
        ("The organization said no.", Reason.BAD_REQUEST),
    ],
)
def test_a_gateways_message_names_the_error(message: str, reason: Reason) -> None:
    outcome = came_to({"error": {"code": "400", "message": message}}, None, 400)
    assert isinstance(outcome, Fault)
    assert outcome.reason is reason


def test_an_error_given_as_text_is_recognised() -> None:
    outcome = came_to({"error": "overloaded"}, None)
    assert isinstance(outcome, Retry)
    assert "overloaded" in str(outcome)


@pytest.mark.parametrize("status", [405, 407, 410, 415])
def test_a_status_that_every_row_would_meet_is_the_accounts_fault(status: int) -> None:
    outcome = came_to(None, None, status)
    assert isinstance(outcome, Defer)
    assert outcome.reason is Reason.ACCOUNT_FAULT


@pytest.mark.parametrize(
    "detail",
    [
        [{"type": "extra_forbidden", "loc": ["body", "service_tier"], "msg": "Extra inputs are not permitted"}],
        "property 'reasoning' is unsupported",
    ],
)
def test_a_server_that_rejects_a_key_of_every_request_names_it_in_its_detail(detail: object) -> None:
    outcome = came_to({"detail": detail}, None, 422)
    assert isinstance(outcome, Defer)
    assert outcome.reason is Reason.ACCOUNT_FAULT


@pytest.mark.parametrize(
    ("headers", "reason"), [({}, Reason.ACCOUNT_FAULT), ({"retry-after": "5"}, Reason.RATE_LIMITED)]
)
def test_a_used_up_quota_without_a_code_is_the_accounts_fault_unless_it_comes_back_soon(
    headers: dict[str, str], reason: Reason
) -> None:
    outcome = came_to({"error": {"message": "You exceeded your current quota."}}, None, 429, **headers)
    assert isinstance(outcome, Defer)
    assert outcome.reason is reason


@pytest.mark.parametrize("status", [200, 201, 203])
def test_every_2xx_status_is_a_success(status: int) -> None:
    assert isinstance(came_to({"usage": USAGE}, TALK, status), Answer)


def test_a_billing_code_beside_a_usage_leaves_the_usage_charged() -> None:
    outcome = came_to({"status": "failed", "error": {"code": "insufficient_quota"}, "usage": USAGE}, None)
    assert isinstance(outcome, Retry)
    assert isinstance(outcome.billing, Measured)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_declared_failure_counts_whatever_else_the_response_contains(status: str) -> None:
    assert isinstance(came_to({"status": status, "usage": USAGE}), Retry)


def test_an_incomplete_answer_is_unusable_and_keeps_its_reason() -> None:
    outcome = came_to({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": USAGE})
    assert isinstance(outcome, Unusable)
    assert (outcome.reason, isinstance(outcome.billing, Measured)) == (Reason.TRUNCATED, True)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
@pytest.mark.parametrize(
    "error",
    [
        {"code": "unsupported_parameter", "param": "reasoning.effort"},
        {"code": "unsupported_value", "param": "stream", "message": "Your organization must be verified"},
        {"code": None, "param": "text.format.schema"},
        {"code": None, "param": "service_tier"},
        {"code": "model_not_found"},
        {"code": "invalid_organization"},
        {"code": "DeploymentNotFound"},
        {"code": "400", "message": "litellm.BadRequestError: OpenAIException - unsupported_parameter"},
        {
            "code": "400",
            "message": 'litellm.BadRequestError: {"message": "No.", "param": "service_tier", "code": null}',
        },
        {"code": "400", "type": "budget_exceeded", "message": "Budget has been exceeded!"},
        {"code": None, "message": "You exceeded your current quota, please check your plan and billing details."},
        {"code": None, "message": "Your organization must be verified to use this model."},
        {"code": 400, "message": "Provider returned error", "metadata": {"raw": '{"code": "model_not_found"}'}},
        {"code": "model_decommissioned"},
        {"code": 400, "message": "acme/luna is not a valid model ID"},
        {"code": "400", "message": "litellm.UnsupportedParamsError: no support for: ['service_tier']", "type": "None"},
        {"type": "BadRequestError", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'store')}]"},
        {"type": "invalid_request_error", "message": "Your credit balance is too low."},
        {"code": "PRECONDITION_FAILED", "message": "Account acme is suspended."},
    ],
)
def test_a_rejection_of_every_row_is_the_accounts_fault(status: int, error: dict[str, Any]) -> None:
    outcome = came_to({"error": error}, None, status)
    assert isinstance(outcome, Defer)
    assert outcome.reason is Reason.ACCOUNT_FAULT


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": "invalid_prompt"}, Reason.REFUSED),
        ({"code": "content_filter"}, Reason.REFUSED),
        ({"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, Reason.REFUSED),
        ({"code": "400", "message": "litellm.ContentPolicyViolationError: no"}, Reason.REFUSED),
        ({"code": "context_length_exceeded", "param": "input"}, Reason.CONTEXT_TOO_LONG),
        ({"code": "string_above_max_length", "param": "input[0].content"}, Reason.CONTEXT_TOO_LONG),
        ({"code": 400, "message": "This model's maximum context length is 8192 tokens."}, Reason.CONTEXT_TOO_LONG),
        ({"code": 403, "message": "It requires moderation. Your input was flagged for “x”."}, Reason.REFUSED),
        ({"code": "json_validate_failed"}, Reason.WRONG_SCHEMA),
    ],
)
def test_a_rejection_of_this_rows_text_is_charged_its_bound(error: dict[str, Any], reason: Reason) -> None:
    outcome = came_to({"error": error}, None, 400)
    assert isinstance(outcome, Unusable)
    assert (outcome.reason, outcome.billing) == (reason, Unmeasured())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "400"),
        ({"error": "no"}, "400"),
        ({"error": {"code": None, "type": "invalid_request_error", "param": "input"}}, "400"),
        ({"error": {"code": "mystery", "type": "invalid_request_error"}}, "mystery"),
        ({"detail": "no such thing"}, "400"),
        ({"error": {"code": "400", "message": 5}}, "400"),
        ({"error": {"code": "", "type": "mystery"}}, "mystery"),
        ({"error": {"code": "400", "type": "None", "param": "None"}}, "400"),
        ({"error": {"code": "mystery", "message": "This is no context_length_exceeded."}}, "mystery"),
    ],
)
def test_a_rejection_without_a_reason_keeps_its_code(body: object, code: str) -> None:
    outcome = came_to(body, None, 400)
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.billing) == (code, Unmeasured())


def test_the_sentence_of_a_fault_quotes_the_provider_without_the_key() -> None:
    for body in (
        {"error": {"message": f"no {TERMS.key}"}},
        {"error": f"no {TERMS.key}"},
        {"detail": f"no {TERMS.key}"},
    ):
        assert str(came_to(body, None, 500)) == "The provider said 500: no [key]"


@pytest.mark.parametrize(("tier", "micro_usd"), [("default", 30), ("flex", 30), ("priority", 60), (None, 30)])
def test_the_dearer_of_the_requested_and_the_actual_service_tier_is_charged(tier: str | None, micro_usd: int) -> None:
    exact = {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    outcome = came_to({"service_tier": tier, "usage": USAGE | exact})
    assert outcome.billing == Measured(Amount(1, 200, 20, micro_usd))


def test_an_answer_from_a_tier_without_a_price_is_charged_its_bound() -> None:
    assert came_to({"service_tier": "gold", "usage": USAGE}).billing == Unmeasured()


@pytest.mark.parametrize(
    ("body", "cleaned", "billing"),
    [({"output": [{}]}, TALK, Unmeasured), ({"status": "failed", "output": []}, None, Measured)],
)
def test_an_answer_of_no_tokens_is_charged_its_bound_and_a_failure_before_the_answer_is_not(
    body: dict[str, Any], cleaned: Cleaned | None, billing: type
) -> None:
    outcome = came_to(body | {"usage": USAGE | {"output_tokens": 0}}, cleaned)
    assert isinstance(outcome.billing, billing)


def test_cached_and_written_tokens_above_the_input_make_a_usage_unknown() -> None:
    details = {"cached_tokens": 5, "cache_write_tokens": 5}
    numbers = {"input_tokens": 9, "output_tokens": 1, "input_tokens_details": details}
    assert read_usage(numbers) is None
    assert read_usage(numbers | {"input_tokens": 10}) == Usage(10, 1, 5, 5)
