"""The relations between the deployment's numbers that keep the pipeline from losing a video or paying for it twice.

The console checks them before a local deploy, and the stack before AWS creates anything (`functions/preflight`);
CloudFormation's own `Rules` have no arithmetic. This module and its imports use only the standard library, so that the
check is deployed without any package.

`build_violations` also checks that the stack runs the Python and the processor that the artefact was built for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard.domain.endpoints import Prices, prices_at, unknown_prices

if TYPE_CHECKING:
    from collections.abc import Mapping

VISIBILITY_PER_TIMEOUT = 6
"""The least ratio of a queue's visibility timeout to its function's timeout, by AWS's rule (Lambda developer guide,
"Using Lambda with Amazon SQS")."""

LEAST_RECEIVES = 5
"""The least `maxReceiveCount` of a queue that drives a function, by AWS's rule (the same page): throttled receives
count as well."""


OTHER_FUNCTIONS = 2
"""The number of functions that run beside parsers and ingests: one sweeper, and one that an operator calls."""

COUNTED_BYTES_PER_SECOND = 2 * 1024 * 1024
"""The lowest speed at which ingest counts a manifest: the slowest form, on the share of a core that comes with 1,024 MB
of memory. `tests/benchmarks/manifest.py` measures a whole core."""

BUILT = Path(__file__).with_name("built.json")
"""The file that names the artefact's Python and processor; `functions/build` writes it."""

_DAY_SECONDS = 86_400


FLEX_DEADLINE_SECONDS = 600
"""The timeout of OpenAI's own clients, in seconds. For the flex tier OpenAI advises 15 minutes, longer than a function
can run (developers.openai.com/api/docs/guides/flex-processing)."""


def violations(parameters: Mapping[str, str]) -> list[str]:
    """Return the relations that these parameters break, each as a sentence that says what to change.

    Args:
        parameters: the parameters of `template.yaml` by name, in seconds if the name ends in `Seconds`.

    Raises:
        KeyError: a parameter is missing.
    """
    numbers = {name: int(value) for name, value in parameters.items() if value.isdecimal()}
    relations = (
        _prices_known(parameters),
        _flex_is_waited_for(parameters["ServiceTier"], numbers),
        _hidden_long_enough(numbers, "VisibilitySeconds", "ParserTimeoutSeconds", numbers["BatchingWindowSeconds"]),
        _hidden_long_enough(numbers, "IngestVisibilitySeconds", "IngestTimeoutSeconds", 0),
        _a_request_fits(numbers),
        _enough_receives(numbers, "MaxReceiveCount"),
        _enough_receives(numbers, "IngestMaxReceiveCount"),
        _more_receives_than_attempts(numbers),
        _dead_letters_last(numbers),
        _receives_before_expiry(numbers, "MaxReceiveCount", "VisibilitySeconds"),
        _receives_before_expiry(numbers, "IngestMaxReceiveCount", "IngestVisibilitySeconds"),
        _receives_before_the_audit_gives_up(numbers),
        _backoff_within_visibility(numbers),
        _counting_fits(numbers),
        _manifests_outlive_their_batches(numbers),
        _alarm_before_messages_expire(numbers),
        _alarm_before_dead_letters_expire(numbers),
        _functions_fit_the_account(numbers),
    )
    return [sentence for sentence in relations if sentence]


def build_violations(runtime: str, architecture: str, built: Path = BUILT) -> list[str]:
    """Return the reasons why an artefact cannot run in a stack, as sentences.

    Args:
        runtime: the stack's runtime, as Lambda writes it (`python3.13`).
        architecture: the stack's architecture (`arm64`, `x86_64`).
        built: the file that names what the artefact was built for.
    """
    try:
        made_for = json.loads(built.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ["The functions do not say what they were built for: build them with `sam build`."]
    wanted = {"runtime": runtime, "architecture": architecture}
    if made_for == wanted:
        return []
    sentence = (
        f"The functions were built for {made_for['runtime']} on {made_for['architecture']}, and the stack runs "
        f"{runtime} on {architecture}: build them with `RUNTIME={runtime} ARCHITECTURE={architecture} sam build`, or "
        f"deploy with Runtime={made_for['runtime']} Architecture={made_for['architecture']}."
    )
    return [sentence]


def _prices_known(parameters: Mapping[str, str]) -> str | None:
    """Require known prices: a request to an endpoint with unknown prices would have no bound."""
    base_url = parameters["OpenAIBaseUrl"]
    unknown = prices_at(base_url) is Prices.UNKNOWN and not parameters["PriceFactor"]
    return unknown_prices(base_url) if unknown else None


def _flex_is_waited_for(tier: str, numbers: Mapping[str, int]) -> str | None:
    """Require a long deadline for flex: its answers come late, and one after the deadline is paid for and lost."""
    if tier != "flex" or numbers["RequestDeadlineSeconds"] >= FLEX_DEADLINE_SECONDS:
        return None
    return (
        f"RequestDeadlineSeconds ({numbers['RequestDeadlineSeconds']}) is below {FLEX_DEADLINE_SECONDS}, too short for "
        f"ServiceTier flex: make it {FLEX_DEADLINE_SECONDS}, with ParserTimeoutSeconds and VisibilitySeconds to match, "
        "or choose another tier."
    )


def _hidden_long_enough(numbers: Mapping[str, int], visibility: str, timeout: str, window: int) -> str | None:
    """Require that a message stays invisible while a function may still work on it."""
    least = VISIBILITY_PER_TIMEOUT * numbers[timeout] + window
    if numbers[visibility] >= least:
        return None
    sum_ = f"{VISIBILITY_PER_TIMEOUT} x {timeout} ({numbers[timeout]})" + (
        f" + BatchingWindowSeconds ({window})" if window else ""
    )
    return f"{visibility} ({numbers[visibility]}) is below {sum_}: make it {least} or more, or lower {timeout}."


def _a_request_fits(numbers: Mapping[str, int]) -> str | None:
    """Require time to end a request and to save and settle its answer before Lambda kills the function."""
    taken = numbers["RequestDeadlineSeconds"] + numbers["SettleMarginSeconds"]
    if numbers["ParserTimeoutSeconds"] > taken:
        return None
    return (
        f"ParserTimeoutSeconds ({numbers['ParserTimeoutSeconds']}) is not above RequestDeadlineSeconds "
        f"({numbers['RequestDeadlineSeconds']}) + SettleMarginSeconds ({numbers['SettleMarginSeconds']}): make it "
        f"{taken + 1} or more, or lower one of these."
    )


def _enough_receives(numbers: Mapping[str, int], receives: str) -> str | None:
    """Require spare receives: those that a throttled or crashing neighbour uses up must not kill a message."""
    if numbers[receives] >= LEAST_RECEIVES:
        return None
    return f"{receives} ({numbers[receives]}) is below {LEAST_RECEIVES}: make it {LEAST_RECEIVES} or more."


def _more_receives_than_attempts(numbers: Mapping[str, int]) -> str | None:
    """Require more receives than attempts, so that the attempt cap comes first: the last receive does no work."""
    if numbers["MaxReceiveCount"] > numbers["AttemptCap"]:
        return None
    return (
        f"MaxReceiveCount ({numbers['MaxReceiveCount']}) is not above AttemptCap ({numbers['AttemptCap']}): make it "
        f"{numbers['AttemptCap'] + 1} or more, or lower AttemptCap."
    )


def _dead_letters_last(numbers: Mapping[str, int]) -> str | None:
    """Require a longer retention of dead letters: a dead letter keeps its age, and could expire on arrival."""
    if numbers["DeadLetterRetentionSeconds"] > numbers["RetentionSeconds"]:
        return None
    return (
        f"DeadLetterRetentionSeconds ({numbers['DeadLetterRetentionSeconds']}) is not above RetentionSeconds "
        f"({numbers['RetentionSeconds']}): lower RetentionSeconds."
    )


def _receives_before_expiry(numbers: Mapping[str, int], receives: str, visibility: str) -> str | None:
    """Require that a message that always fails reaches the dead-letter queue before it expires."""
    needed = numbers[receives] * numbers[visibility]
    if numbers["RetentionSeconds"] > needed:
        return None
    return (
        f"RetentionSeconds ({numbers['RetentionSeconds']}) is not above {receives} ({numbers[receives]}) x "
        f"{visibility} ({numbers[visibility]}): make it {needed + 1} or more, or lower one of these."
    )


def _receives_before_the_audit_gives_up(numbers: Mapping[str, int]) -> str | None:
    """Require that the audit outlasts the receives: it must not give up a row whose message is only invisible."""
    needed = numbers["MaxReceiveCount"] * numbers["VisibilitySeconds"]
    waited = numbers["AuditRounds"] * numbers["AuditAfterSeconds"]
    if waited >= needed:
        return None
    least = -(-needed // numbers["AuditRounds"])
    return (
        f"AuditRounds ({numbers['AuditRounds']}) x AuditAfterSeconds ({numbers['AuditAfterSeconds']}) is below "
        f"MaxReceiveCount ({numbers['MaxReceiveCount']}) x VisibilitySeconds ({numbers['VisibilitySeconds']}): make "
        f"AuditAfterSeconds {least} or more."
    )


def _backoff_within_visibility(numbers: Mapping[str, int]) -> str | None:
    """Require a back-off within the queue's visibility timeout, which would cut a longer one."""
    if numbers["RetryBackoffSeconds"] <= numbers["VisibilitySeconds"]:
        return None
    return (
        f"RetryBackoffSeconds ({numbers['RetryBackoffSeconds']}) is above VisibilitySeconds "
        f"({numbers['VisibilitySeconds']}), which caps it: make it {numbers['VisibilitySeconds']} or less."
    )


def _counting_fits(numbers: Mapping[str, int]) -> str | None:
    """Require time to count the largest manifest in one invocation; only the sending can continue in another."""
    most = numbers["IngestTimeoutSeconds"] * COUNTED_BYTES_PER_SECOND
    if numbers["ManifestMaxBytes"] <= most:
        return None
    return (
        f"ManifestMaxBytes ({numbers['ManifestMaxBytes']}) is more than ingest can count in IngestTimeoutSeconds "
        f"({numbers['IngestTimeoutSeconds']}): make it {most} or less, or raise IngestTimeoutSeconds."
    )


def _manifests_outlive_their_batches(numbers: Mapping[str, int]) -> str | None:
    """Require that S3 keeps replaced manifests as long as their batches are open: the audit reads them again."""
    needed = numbers["RetentionSeconds"] + (numbers["AuditRounds"] + 1) * numbers["AuditAfterSeconds"]
    if numbers["NoncurrentVersionDays"] * _DAY_SECONDS > needed:
        return None
    return (
        f"NoncurrentVersionDays ({numbers['NoncurrentVersionDays']}) is not above RetentionSeconds "
        f"({numbers['RetentionSeconds']}) + (AuditRounds ({numbers['AuditRounds']}) + 1) x AuditAfterSeconds "
        f"({numbers['AuditAfterSeconds']}): make it {needed // _DAY_SECONDS + 1} or more."
    )


def _alarm_before_messages_expire(numbers: Mapping[str, int]) -> str | None:
    """Require an alarm for a message that no worker takes before the message expires."""
    if numbers["OldestMessageAlarmSeconds"] < numbers["RetentionSeconds"]:
        return None
    return (
        f"OldestMessageAlarmSeconds ({numbers['OldestMessageAlarmSeconds']}) is not below RetentionSeconds "
        f"({numbers['RetentionSeconds']}): no alarm would come before messages are lost."
    )


def _alarm_before_dead_letters_expire(numbers: Mapping[str, int]) -> str | None:
    """Require an alarm before dead letters expire: their age counts from the first send, up to RetentionSeconds ago."""
    most = numbers["DeadLetterRetentionSeconds"] - numbers["RetentionSeconds"]
    if numbers["DeadLetterAgeAlarmSeconds"] < most:
        return None
    return (
        f"DeadLetterAgeAlarmSeconds ({numbers['DeadLetterAgeAlarmSeconds']}) is not below DeadLetterRetentionSeconds "
        f"({numbers['DeadLetterRetentionSeconds']}) - RetentionSeconds ({numbers['RetentionSeconds']}): make it "
        f"less than {most}."
    )


def _functions_fit_the_account(numbers: Mapping[str, int]) -> str | None:
    """Require free concurrency beside parsers and ingests: otherwise the sweeper cannot start."""
    needed = numbers["MaxConcurrency"] + numbers["IngestMaxConcurrency"] + OTHER_FUNCTIONS
    if needed <= numbers["AccountConcurrency"]:
        return None
    return (
        f"MaxConcurrency ({numbers['MaxConcurrency']}) + IngestMaxConcurrency ({numbers['IngestMaxConcurrency']}) + "
        f"{OTHER_FUNCTIONS} is above AccountConcurrency ({numbers['AccountConcurrency']}): lower one of them, or set "
        "AccountConcurrency to what `aws lambda get-account-settings` says."
    )
