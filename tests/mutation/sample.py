"""A fixed sample: mistakes that would cost money or lose rows, each with the test that notices it.

`python -m tests.mutation --sample` makes them, and so does a test. If the code or a test's name changes, adapt the
sample.
"""

from __future__ import annotations

from typing import NamedTuple

_ACCOUNTS = "aws.dynamodb.ledger.accounts"
_ADMISSION = "pipeline.admission"
_ASK = "pipeline.ask"
_ATTEMPTS = "aws.dynamodb.catalog.attempts"
_BREAKERS = "aws.dynamodb.ledger.breakers"
_CLIENT = "llm.client"
_EXCHANGE = "llm.exchange"
_FUSE = "llm.fuse"
_LEASE = "pipeline.lease"
_PARSE = "pipeline.parse"
_REQUEUE = "pipeline.requeue"
_RESERVATIONS = "aws.dynamodb.ledger.reservations"
_RESPONSE = "llm.response"
_ROWS = "aws.dynamodb.catalog.rows"
_TIER = "llm.tier"


class Sampled(NamedTuple):
    """A mistake: what is wrong with the changed code, the text and its replacement, and the test that notices it."""

    claim: str
    module: str
    before: str
    after: str
    test: str


def _by(file: str, test: str) -> str:
    return f"tests/{file}.py::test_{test}"


SAMPLE = (
    Sampled(
        "a probe is let through before its time",
        _BREAKERS,
        "{is_open} AND {its_time} AND {alone}",
        "{is_open} AND {alone} AND :now <> :until",
        _by("functional/test_breakers", "a_breaker_gives_no_probe_before_its_time"),
    ),
    Sampled(
        "two probes are in flight",
        _BREAKERS,
        "{is_open} AND {its_time} AND {alone}",
        "{is_open} AND {its_time}",
        _by("functional/test_breakers", "an_open_breaker_takes_one_probe_at_a_time"),
    ),
    Sampled(
        "a request that did not become the probe is let through",
        _ADMISSION,
        "if self._ledger.take_probe(project, token=token, until=until, now=now):",
        "if self._ledger.take_probe(project, token=token, until=until, now=now) or True:",
        _by("unit/test_admission", "a_worker_without_the_probe_waits_until_it_has_ended"),
    ),
    Sampled(
        "a probe that was not sent stays in flight",
        _ADMISSION,
        "        if permit.probe:\n            self._write(lambda: self._ledger.release_probe",
        "        if not permit:\n            self._write(lambda: self._ledger.release_probe",
        _by("unit/test_admission", "only_a_probe_is_given_back"),
    ),
    Sampled(
        "another request's probe is released",
        _BREAKERS,
        '"REMOVE probe, probe_until", "probe = :token"',
        '"REMOVE probe, probe_until", "attribute_exists(probe) OR probe = :token"',
        _by("functional/test_breakers", "a_probe_is_not_given_up_by_another_token"),
    ),
    Sampled(
        "an old answer closes an open breaker",
        _BREAKERS,
        'not_open = "(attribute_not_exists(#state) OR #state <> :open)"\n        values',
        'not_open = "(attribute_not_exists(#state) OR #state <> :none OR #state = :open)"\n        values',
        _by("functional/test_breakers", "an_answer_that_is_not_the_probes_does_not_close_the_breaker[None]"),
    ),
    Sampled(
        "an answer does not reset the count of faults",
        _BREAKERS,
        'change = "SET failures = :none, #state = :closed REMOVE',
        'change = "SET unused = :none, #state = :closed REMOVE',
        _by("functional/test_breakers", "an_answer_ends_the_count_of_faults_of_a_closed_breaker"),
    ),
    Sampled(
        "a usage above its bound that came with a fault does not open the breaker",
        _ADMISSION,
        "        if above_bound:\n",
        "        if above_bound and fault is None:\n",
        _by(
            "unit/test_admission",
            "a_usage_above_its_bound_with_any_outcome_opens_the_breaker_until_a_person_closes_it",
        ),
    ),
    Sampled(
        "an unreachable provider does not count towards the threshold",
        _ADMISSION,
        "isinstance(fault, Retry) or (fault is not None and fault.reason is Reason.PROVIDER_UNREACHABLE)",
        "isinstance(fault, Retry)",
        _by(
            "unit/test_admission",
            "a_provider_fault_is_counted_and_opens_the_breaker_after_a_probe_or_at_the_threshold",
        ),
    ),
    Sampled(
        "a cheaper service tier in the answer lowers the charge",
        _RESPONSE,
        "charge = max(charges, key=lambda charge: charge.micro_usd)",
        "charge = charges[-1]",
        _by("unit/test_response", "the_dearer_of_the_requested_and_the_actual_service_tier_is_charged[flex-30]"),
    ),
    Sampled(
        "an answer from a service tier without a price counts as measured",
        _RESPONSE,
        "tier not in terms.tiers:\n        return Unmeasured()",
        "tier not in terms.tiers:\n        return Measured(charge)",
        _by("unit/test_response", "an_answer_from_a_tier_without_a_price_is_charged_its_bound"),
    ),
    Sampled(
        "a bound whose usage is unknown is settled as if it had been measured",
        _RESERVATIONS,
        "    if isinstance(billing, Unmeasured):\n",
        "    if billing is None:\n",
        _by("functional/test_ledger", "the_bound_of_a_lost_answer_is_counted_apart_from_open_and_measured_charges"),
    ),
    Sampled(
        "instructions are counted in characters",
        _TIER,
        "_json_bytes(INSTRUCTIONS)",
        "len(INSTRUCTIONS)",
        _by("unit/test_model_prompt", "instructions_are_counted_in_the_bytes_that_they_have_in_the_body"),
    ),
    Sampled(
        "the prompt is counted without its JSON",
        _TIER,
        "_json_bytes(text)\n",
        "len(text.encode())\n",
        _by("unit/test_model_prompt", "the_body_that_is_sent_is_just_below_the_computed_size[gpt-6-luna]"),
    ),
    Sampled(
        "cached and written tokens above the input are accepted",
        _EXCHANGE,
        "(cached or 0) + (written or 0) > input_tokens",
        "max(cached or 0, written or 0) > input_tokens",
        _by("unit/test_response", "cached_and_written_tokens_above_the_input_make_a_usage_unknown"),
    ),
    Sampled(
        "a ledger that cannot be reached is a refusal without a date",
        _ASK,
        "Refusal(Hold.LEDGER_UNREACHABLE, str(error), due)",
        "Refusal(Hold.LEDGER_UNREACHABLE, str(error), None)",
        _by("unit/test_ask", "a_request_without_a_permit_waits_and_claims_nothing"),
    ),
    Sampled(
        "the SDK repeats requests",
        _CLIENT,
        "max_retries=SDK_RETRIES",
        "max_retries=2",
        _by("unit/test_model_tier", "no_layer_above_the_fuse_tries_a_second_request[server_error]"),
    ),
    Sampled(
        "a probe asks with the cached key",
        _ASK,
        "self._keys.of(project, fresh=True)",
        "self._keys.of(project)",
        _by("unit/test_ask", "a_probe_asks_with_the_key_that_is_stored_now"),
    ),
    Sampled(
        "the remaining time is not checked again",
        _ASK,
        "if not self._has_time(remaining):  # the tables",
        "if remaining is None:  # the tables",
        _by("unit/test_ask", "the_remaining_time_is_checked_before_each_step_that_costs_something"),
    ),
    Sampled(
        "a live lease does not refuse a claim",
        _ATTEMPTS,
        "{free} AND {below} AND {unanswered}",
        "({free} OR :now <> :until) AND {below} AND {unanswered}",
        _by("functional/test_catalog_attempts", "a_live_lease_refuses_a_claim"),
    ),
    Sampled(
        "attempts that a person allowed are refused",
        _ATTEMPTS,
        " OR attempts < allowed)",
        ")",
        _by("functional/test_parser_money", "the_attempts_that_a_person_allowed_are_made"),
    ),
    Sampled(
        "a reservation that the project refuses stays charged to its batch",
        _RESERVATIONS,
        "        if refusal:\n            self._release(reservation)\n",
        "        if refusal:\n",
        _by("functional/test_ledger", "a_reservation_that_the_budget_refuses_is_taken_back_from_the_batch"),
    ),
    Sampled(
        "a need above a whole budget is reserved if nothing has been spent",
        _RESERVATIONS,
        "if refusal := _refusal_for_good(need, limits, budget, window):",
        "if refusal := None:",
        _by("functional/test_ledger", "a_need_above_the_whole_budget_is_refused_before_any_write"),
    ),
    Sampled(
        "an account that was read only in part counts as complete",
        _ACCOUNTS,
        'if answer.get("UnprocessedKeys"):',
        "if not answer:",
        _by("functional/test_ledger", "an_account_that_was_read_only_in_part_is_unknown[pauses]"),
    ),
    Sampled(
        "a closed breaker keeps the time at which it opened",
        _BREAKERS,
        '" REMOVE since, why, probe_at, probe,',
        '" REMOVE why, probe_at, probe,',
        _by("functional/test_breakers", "a_breaker_that_opens_again_after_it_was_closed_opens_at_that_time"),
    ),
    Sampled(
        "a request that was not sent closes the breaker",
        _ADMISSION,
        "fault is not None and fault.reason in _NOT_SENT:",
        "fault is not None and fault.reason is Reason.NOT_SENT_IN_TIME:",
        _by("unit/test_admission", "an_unsent_request_only_gives_its_probe_back"),
    ),
    Sampled(
        "a probe whose video another worker has stays in flight",
        _ASK,
        "            self.admission.withdraw(permit)\n            return self._not_claimed(job, attempt)",
        "            return self._not_claimed(job, attempt)",
        _by("unit/test_ask", "a_refused_claim_gives_the_permit_back_and_reserves_nothing"),
    ),
    Sampled(
        "a worker that was overtaken releases its reservation",
        _ASK,
        "if self._catalog.give_back(reserved.attempt):\n            self._settle",
        "if self._catalog.give_back(reserved.attempt) or True:\n            self._settle",
        _by("unit/test_ask", "an_attempt_without_time_to_send_is_undone"),
    ),
    Sampled(
        "a mark outlives its row's deferral",
        _ROWS,
        '" REMOVE began, alone",',
        '"",',
        _by("functional/test_catalog_rows", "the_mark_is_removed_when_the_row_is_deferred"),
    ),
    Sampled(
        "one attempt more than a person allowed is made",
        _ATTEMPTS,
        "attempts < allowed",
        "attempts <= allowed",
        _by("functional/test_grants", "a_grant_allows_as_many_attempts_as_it_says"),
    ),
    Sampled(
        "a failed connection counts as a sent request",
        _FUSE,
        "except _NOT_SENT:",
        "except httpx2.ConnectError:",
        _by("unit/test_fuse", "a_connection_that_failed_has_sent_nothing[ConnectTimeout]"),
    ),
    Sampled(
        "a message is acknowledged although its copy was not sent",
        _PARSE,
        "        except (BotoCoreError, ClientError):\n            return Redeliver(seconds)",
        "        except (BotoCoreError, ClientError):\n            return Replaced()",
        _by("functional/test_parser", "a_message_whose_copy_cannot_be_sent_stays_in_the_queue"),
    ),
    Sampled(
        "the copy that reports an unsent attempt is not sent",
        _PARSE,
        "return self._redeliver(job.received, message, marked=True)",
        "return self._redeliver(job.received, message, marked=False)",
        _by("functional/test_parser_money", "an_attempt_is_given_back_even_if_the_key_cannot_be_read"),
    ),
    Sampled(
        "a lease that was given back makes a suspect of its row",
        _PARSE,
        "        if any(given_back):\n",
        "        if False:\n",
        _by("functional/test_parser_money", "a_row_whose_attempt_is_given_back_is_no_suspect_after_its_lease"),
    ),
    Sampled(
        "a batch that was read with a clock ahead of time stays cached",
        _PARSE,
        "not known[0] <= self._now() <= known[0] + fresh",
        "not self._now() <= known[0] + fresh",
        _by(
            "functional/test_parser_money",
            "a_worker_whose_clock_was_ahead_notices_a_cancellation_as_soon_as_the_clock_is_set_back",
        ),
    ),
    Sampled(
        "a row that may kill its worker is parsed before its neighbours are counted",
        _PARSE,
        "        self._count(outcomes, remaining)  # before any row that may kill this worker\n",
        "",
        _by(
            "functional/test_parser_errors",
            "a_row_that_may_kill_its_worker_is_parsed_after_its_neighbours_are_asked_about_saved_and_counted",
        ),
    ),
    Sampled(
        "yesterday's charges count for today",
        _REQUEUE,
        "_Remaining(Refusal.of_day(window), budget.daily, day)",
        "_Remaining(Refusal.of_day(window), budget.daily, month.total)",
        _by("unit/test_requeue", "charges_before_today_count_only_for_the_month"),
    ),
    Sampled(
        "a probe that failed lets the next request through",
        _ADMISSION,
        "if permit.probe or failures >= self._threshold:",
        "if failures >= self._threshold:",
        _by(
            "unit/test_admission",
            "a_provider_fault_is_counted_and_opens_the_breaker_after_a_probe_or_at_the_threshold",
        ),
    ),
    Sampled(
        "a request to another host passes the fuse",
        _FUSE,
        "(request.url == httpx2.URL(allowed.url),",
        "(request.url.path == httpx2.URL(allowed.url).path,",
        _by("unit/test_fuse", "a_request_that_could_cost_more_than_the_bound_is_not_sent"),
    ),
    Sampled(
        "a bound has the price of another service tier",
        _TIER,
        "prices.rates(model, service_tier)",
        'prices.rates(model, "default")',
        _by("unit/test_model_tier", "a_request_is_reserved_sent_and_billed_in_the_service_tier_that_was_chosen[flex]"),
    ),
    Sampled(
        "a sweeper that lost its lease keeps renewing it",
        _LEASE,
        "return  # another sweeper took over",
        "pass  # another sweeper took over",
        _by("unit/test_lease", "a_lost_lease_is_neither_renewed_again_nor_held_for_longer"),
    ),
)
