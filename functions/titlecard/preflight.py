"""How the deployment's numbers must agree, so that no setting makes a queue lose a video or pay for it twice.

The one place of these relations: the console refuses with them before a local deploy, and the stack refuses with them
before AWS makes anything (`functions/relations`). CloudFormation's own `Rules` have no arithmetic. Nothing here but the
standard library, so that the check is deployed without any package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VISIBILITY_PER_TIMEOUT = 6
"""AWS's rule for a queue that drives a function (Lambda developer guide, "Using Lambda with Amazon SQS")."""

LEAST_RECEIVES = 5
"""AWS's rule for the redrive policy of such a queue (the same page): throttled receives count as well."""


def violations(numbers: Mapping[str, int]) -> list[str]:
    """The relations that these numbers break, each as a sentence that says what to change; none where all agree.

    Args:
        numbers: parameters of `template.yaml` by name; seconds where the name ends so.

    Raises:
        KeyError: a number is missing.
    """
    relations = (
        _hidden_long_enough(numbers, "VisibilitySeconds", "ParserTimeoutSeconds", numbers["BatchingWindowSeconds"]),
        _hidden_long_enough(numbers, "IngestVisibilitySeconds", "IngestTimeoutSeconds", 0),
        _a_request_fits(numbers),
        _enough_receives(numbers, "MaxReceiveCount"),
        _enough_receives(numbers, "IngestMaxReceiveCount"),
        _more_receives_than_attempts(numbers),
        _dead_letters_last(numbers),
    )
    return [sentence for sentence in relations if sentence]


def _hidden_long_enough(numbers: Mapping[str, int], visibility: str, timeout: str, window: int) -> str | None:
    """A message must not show again while the function that took it may still be working on it."""
    least = VISIBILITY_PER_TIMEOUT * numbers[timeout] + window
    if numbers[visibility] >= least:
        return None
    sum_ = f"{VISIBILITY_PER_TIMEOUT} x {timeout} ({numbers[timeout]})" + (
        f" + BatchingWindowSeconds ({window})" if window else ""
    )
    return f"{visibility} ({numbers[visibility]}) is below {sum_}: make it {least} or more, or lower {timeout}."


def _a_request_fits(numbers: Mapping[str, int]) -> str | None:
    """A request that has been begun can end, and its answer be saved and settled, before the function is killed."""
    taken = numbers["RequestDeadlineSeconds"] + numbers["SettleMarginSeconds"]
    if numbers["ParserTimeoutSeconds"] > taken:
        return None
    return (
        f"ParserTimeoutSeconds ({numbers['ParserTimeoutSeconds']}) is not above RequestDeadlineSeconds "
        f"({numbers['RequestDeadlineSeconds']}) + SettleMarginSeconds ({numbers['SettleMarginSeconds']}): make it "
        f"{taken + 1} or more, or lower one of these."
    )


def _enough_receives(numbers: Mapping[str, int], receives: str) -> str | None:
    """Receives that a throttled or crashing neighbour burns must not make a message a dead letter."""
    if numbers[receives] >= LEAST_RECEIVES:
        return None
    return f"{receives} ({numbers[receives]}) is below {LEAST_RECEIVES}: make it {LEAST_RECEIVES} or more."


def _more_receives_than_attempts(numbers: Mapping[str, int]) -> str | None:
    """The cap on attempts must be reached before the queue gives a message up: the last receive does no work."""
    if numbers["MaxReceiveCount"] > numbers["AttemptCap"]:
        return None
    return (
        f"MaxReceiveCount ({numbers['MaxReceiveCount']}) is not above AttemptCap ({numbers['AttemptCap']}): make it "
        f"{numbers['AttemptCap'] + 1} or more, or lower AttemptCap."
    )


def _dead_letters_last(numbers: Mapping[str, int]) -> str | None:
    """A dead letter keeps the age it had in the queue: with no longer retention it may vanish as it arrives."""
    if numbers["DeadLetterRetentionSeconds"] > numbers["RetentionSeconds"]:
        return None
    return (
        f"DeadLetterRetentionSeconds ({numbers['DeadLetterRetentionSeconds']}) is not above RetentionSeconds "
        f"({numbers['RetentionSeconds']}): lower RetentionSeconds."
    )
