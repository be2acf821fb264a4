"""The sweeper's entry point. A schedule calls it every minute, and the console calls it on demand.

It ignores its event and returns what it did: `{"put back": 3, "finished": 1}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from titlecard import bootstrap, telemetry
from titlecard.settings import SweeperSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings, clients = SweeperSettings(), bootstrap.AwsClients()
sweeper = bootstrap.sweeper(settings, clients)
gauges = bootstrap.gauges(settings, clients)


@telemetry.invocation
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001 -- Lambda's signature
    """Put back due rows, audit open batches and publish finished ones."""
    gauges.report()
    done = sweeper.run(lambda: context.get_remaining_time_in_millis() / 1000)
    telemetry.swept(done)
    return dict(done)
