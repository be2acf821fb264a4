"""The relations between the deployment's numbers that keep the pipeline from losing a video or paying for it twice.

The console checks them before a local deploy, and the stack before AWS creates anything (`functions/preflight`);
CloudFormation's own `Rules` have no arithmetic. This module and its imports use only the standard library, so that the
check is deployed without any package.

`build_violations` also checks that the stack runs the Python and the processor that the artefact was built for.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from titlecard.domain.endpoints import Prices, prices_at, unknown_prices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VISIBILITY_PER_TIMEOUT = 6
"""The least ratio of a queue's visibility timeout to its function's timeout, by AWS's rule (Lambda developer guide,
"Using Lambda with Amazon SQS")."""

LEAST_RECEIVES = 5
"""The least `maxReceiveCount` of a queue that drives a function, by AWS's rule (the same page): throttled receives
count as well."""


OTHER_FUNCTIONS = 2
"""The number of functions that run beside parsers and ingests: one sweeper, and one for the operator."""

COUNTED_BYTES_PER_SECOND, MEASURED_MEMORY, MEMORY_OF_A_CORE = 2 * 1024 * 1024, 1_024, 1_769
"""The speed at which ingest counts the slowest form of manifest (`tests/benchmarks/manifest.py`); the function's memory
at which it reaches that speed, in MB; and the memory, in MB, that comes with a whole core. With less memory, Lambda
gives a function that share of a core (Lambda developer guide, "Configure Lambda function memory")."""

BUILT = Path(__file__).with_name("built.json")
"""The file that names the artefact's Python and processor; `functions/build` writes it."""

PRICES = Path(__file__).parent / "domain" / "money" / "prices.toml"

_DAY_SECONDS = 86_400

_NUMBER = re.compile(r"[+-]?[0-9.]+(?:e[+-]?[0-9]+)?", re.IGNORECASE)
"""A number in any form that CloudFormation accepts for a parameter, fractions and exponents included."""


FLEX_DEADLINE_SECONDS = 600
"""The timeout of OpenAI's own clients, in seconds. For the flex tier OpenAI advises 15 minutes, longer than a function
can run (developers.openai.com/api/docs/guides/flex-processing)."""


def violations(parameters: Mapping[str, str]) -> list[str]:
    """Return the relations that these parameters break, each as a sentence that says what to change.

    Args:
        parameters: the parameters of `template.yaml` by name, in seconds if the name ends in `Seconds`.

    Raises:
        AttributeError, KeyError: a parameter is missing.
    """
    if sentences := [*_number_violations(parameters)]:
        return sentences
    numbers = {name: int(value) for name, value in parameters.items() if value.isdecimal()}
    number = SimpleNamespace(**numbers)
    text = SimpleNamespace(**{name: f"{name} ({value})" for name, value in numbers.items()})
    return [
        *_price_violations(parameters["Model"], parameters["ServiceTier"]),
        *_model_violations(
            parameters["OpenAIBaseUrl"], parameters["PriceFactor"], parameters["ServiceTier"], number, text
        ),
        *_timeout_violations(number, text),
        *_receive_violations(number, text),
        *_retention_violations(number, text),
        *_alarm_and_account_violations(number, text),
    ]


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
        return ["The build does not say for which Python and processor it was made: build again with `sam build`."]
    wanted = {"runtime": runtime, "architecture": architecture}
    if made_for == wanted:
        return []
    sentence = (
        f"The functions were built for {made_for['runtime']} on {made_for['architecture']}, and the stack runs "
        f"{runtime} on {architecture}: build them with `RUNTIME={runtime} ARCHITECTURE={architecture} sam build`, or "
        f"deploy with Runtime={made_for['runtime']} Architecture={made_for['architecture']}."
    )
    return [sentence]


def _number_violations(parameters: Mapping[str, str]) -> Iterator[str]:
    # The functions' settings are whole numbers; with any other number, no function would start.
    for name, value in parameters.items():
        if name != "PriceFactor" and not value.isdecimal() and _NUMBER.fullmatch(value):
            yield f"{name} cannot be {value}: make it a whole number without a sign or an exponent."


def _price_violations(model: str, tier: str) -> Iterator[str]:
    # With a model that has no price, the parser would not start, and not even the local tier would parse a row.
    models = tomllib.loads(PRICES.read_text(encoding="utf-8"))["models"]
    if model not in models:
        yield (
            f"The model {model!r} has no price, so Titlecard does not ask it. Models with a price: {', '.join(models)}."
        )
    elif tier not in models[model]["tiers"]:
        tiers = ", ".join(models[model]["tiers"])
        yield f"The model {model!r} has no price in the service tier {tier!r}, only in: {tiers}."


def _model_violations(
    base_url: str, price_factor: str, tier: str, number: SimpleNamespace, text: SimpleNamespace
) -> Iterator[str]:
    # A request to an endpoint with unknown prices would have no bound.
    if prices_at(base_url) is Prices.UNKNOWN and not price_factor:
        yield unknown_prices(base_url)
    # The key would travel as plain text.
    if prices_at(base_url) in {Prices.OPENAI, Prices.DATA_RESIDENCY} and not base_url.startswith("https://"):
        yield f"OpenAIBaseUrl ({base_url}) would send the projects' keys unencrypted: begin it with https://."
    # Flex answers come late, and one after the deadline is paid for and lost.
    if tier == "flex" and number.RequestDeadlineSeconds < FLEX_DEADLINE_SECONDS:
        yield (
            f"{text.RequestDeadlineSeconds} is below {FLEX_DEADLINE_SECONDS}, too short for ServiceTier flex: "
            f"make it {FLEX_DEADLINE_SECONDS}, with ParserTimeoutSeconds and VisibilitySeconds to match, or choose "
            "another tier."
        )


def _timeout_violations(number: SimpleNamespace, text: SimpleNamespace) -> Iterator[str]:
    # A message stays invisible while a function may still work on it.
    least = VISIBILITY_PER_TIMEOUT * number.ParserTimeoutSeconds + number.BatchingWindowSeconds
    if number.VisibilitySeconds < least:
        yield (
            f"{text.VisibilitySeconds} is below {VISIBILITY_PER_TIMEOUT} x {text.ParserTimeoutSeconds} + "
            f"{text.BatchingWindowSeconds}: make it {least} or more, or lower ParserTimeoutSeconds."
        )
    least = VISIBILITY_PER_TIMEOUT * number.IngestTimeoutSeconds
    if number.IngestVisibilitySeconds < least:
        yield (
            f"{text.IngestVisibilitySeconds} is below {VISIBILITY_PER_TIMEOUT} x {text.IngestTimeoutSeconds}: make it "
            f"{least} or more, or lower IngestTimeoutSeconds."
        )
    # There is time to end a request and to save and settle its answer before Lambda kills the function.
    taken = number.RequestDeadlineSeconds + number.SettleMarginSeconds
    if number.ParserTimeoutSeconds <= taken:
        yield (
            f"{text.ParserTimeoutSeconds} is not above {text.RequestDeadlineSeconds} + {text.SettleMarginSeconds}: "
            f"make it {taken + 1} or more, or lower one of these."
        )
    # The queue's visibility timeout would cut a longer back-off.
    if number.RetryBackoffSeconds > number.VisibilitySeconds:
        yield (
            f"{text.RetryBackoffSeconds} is above {text.VisibilitySeconds}, which caps it: make it "
            f"{number.VisibilitySeconds} or less."
        )
    # The largest manifest is counted in one invocation; only the sending can continue in another.
    memory = min(number.FunctionMemory, MEMORY_OF_A_CORE)
    most = number.IngestTimeoutSeconds * COUNTED_BYTES_PER_SECOND * memory // MEASURED_MEMORY
    if number.ManifestMaxBytes > most:
        yield (
            f"{text.ManifestMaxBytes} is more than ingest can count in {text.IngestTimeoutSeconds} with "
            f"{text.FunctionMemory}: make it {most} or less, or raise one of the others."
        )


def _receive_violations(number: SimpleNamespace, text: SimpleNamespace) -> Iterator[str]:
    # Receives that a throttled or crashing neighbour uses up must not kill a message.
    for receives in ("MaxReceiveCount", "IngestMaxReceiveCount"):
        if vars(number)[receives] < LEAST_RECEIVES:
            yield f"{vars(text)[receives]} is below {LEAST_RECEIVES}: make it {LEAST_RECEIVES} or more."
    # The attempt cap comes first: the last receive does no work.
    if number.MaxReceiveCount <= number.AttemptCap:
        yield (
            f"{text.MaxReceiveCount} is not above {text.AttemptCap}: make it {number.AttemptCap + 1} or more, or lower "
            "AttemptCap."
        )
    # The audit must not give up a row whose message is only invisible.
    needed = number.MaxReceiveCount * number.VisibilitySeconds
    if number.AuditRounds * number.AuditAfterSeconds < needed:
        yield (
            f"{text.AuditRounds} x {text.AuditAfterSeconds} is below {text.MaxReceiveCount} x "
            f"{text.VisibilitySeconds}: make AuditAfterSeconds {-(-needed // number.AuditRounds)} or more."
        )


def _retention_violations(number: SimpleNamespace, text: SimpleNamespace) -> Iterator[str]:
    # A dead letter keeps its age, and could expire on arrival.
    if number.DeadLetterRetentionSeconds <= number.RetentionSeconds:
        yield f"{text.DeadLetterRetentionSeconds} is not above {text.RetentionSeconds}: lower RetentionSeconds."
    # A message that always fails reaches the dead-letter queue before it expires.
    for receives, visibility in (
        ("MaxReceiveCount", "VisibilitySeconds"),
        ("IngestMaxReceiveCount", "IngestVisibilitySeconds"),
    ):
        needed = vars(number)[receives] * vars(number)[visibility]
        if number.RetentionSeconds <= needed:
            yield (
                f"{text.RetentionSeconds} is not above {vars(text)[receives]} x {vars(text)[visibility]}: make it "
                f"{needed + 1} or more, or lower one of these."
            )
    # S3 keeps replaced manifests as long as their batches are open: the audit reads them again.
    needed = number.RetentionSeconds + (number.AuditRounds + 1) * number.AuditAfterSeconds
    if number.NoncurrentVersionDays * _DAY_SECONDS <= needed:
        yield (
            f"{text.NoncurrentVersionDays} is not above {text.RetentionSeconds} + ({text.AuditRounds} + 1) x "
            f"{text.AuditAfterSeconds}: make it {needed // _DAY_SECONDS + 1} or more."
        )


def _alarm_and_account_violations(number: SimpleNamespace, text: SimpleNamespace) -> Iterator[str]:
    # The alarm about a message that no worker takes must be raised before the message expires.
    if number.OldestMessageAlarmSeconds >= number.RetentionSeconds:
        yield (
            f"{text.OldestMessageAlarmSeconds} is not below {text.RetentionSeconds}: no alarm would come before "
            "messages are lost."
        )
    # The age of a dead letter counts from its first send, up to RetentionSeconds ago.
    most = number.DeadLetterRetentionSeconds - number.RetentionSeconds
    if number.DeadLetterAgeAlarmSeconds >= most:
        yield (
            f"{text.DeadLetterAgeAlarmSeconds} is not below {text.DeadLetterRetentionSeconds} - "
            f"{text.RetentionSeconds}: make it less than {most}."
        )
    # Without free concurrency beside parsers and ingests, the sweeper cannot start.
    if number.MaxConcurrency + number.IngestMaxConcurrency + OTHER_FUNCTIONS > number.AccountConcurrency:
        yield (
            f"{text.MaxConcurrency} + {text.IngestMaxConcurrency} + {OTHER_FUNCTIONS} is above "
            f"{text.AccountConcurrency}: lower one of them, or set AccountConcurrency to what `aws lambda "
            "get-account-settings` says."
        )
