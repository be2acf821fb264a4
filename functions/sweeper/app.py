"""The sweeper's entry point. A schedule calls it every minute, and the console calls it on demand.

The worker that ends a batch's last row calls it with `{"batch": "…"}`: it then finishes this batch and does nothing
else. It ignores any other event. It returns what it did: `{"put back": 3, "finished": 1}`.
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
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Requeue due rows, audit open batches and publish finished ones; or finish one batch."""

    def remaining() -> float:
        return context.get_remaining_time_in_millis() / 1000

    if batch := event.get("batch"):
        done = sweeper.finish(batch, remaining)
    else:
        gauges.report()
        done = sweeper.run(remaining)
        telemetry.swept()
    telemetry.worked(done)
    return dict(done)
