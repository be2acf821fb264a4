"""`titlecard up`: keep the local cloud running. `titlecard run` starts the same cloud for one run."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from titlecard.aws.errors import LedgerUnavailable
from titlecard.domain.video import Policy
from titlecard_console.commands import options
from titlecard_console.errors import CloudError, CommandError
from titlecard_console.estimate import model_tier
from titlecard_console.local_cloud import cloud, template
from titlecard_console.output import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


def up(*, settings: options.Settings = None, state: options.State = options.DEFAULT_STATE) -> None:
    """Run a local cloud until Ctrl-C, for commands that use a stack.

    `titlecard up`

    `titlecard up --set MaxConcurrency=2`

    Every AWS client works with it, for instance `aws --endpoint-url ... s3 cp`.
    """
    with local_cloud(state, overrides_of(settings, Policy.AUTO, None), None) as stack:
        say(f"The local cloud is at {stack.endpoint_url} (region {stack.region}).")
        say("In another terminal, `titlecard run MANIFEST` and the other commands use it; so does any AWS client:\n")
        credentials = f"AWS_ACCESS_KEY_ID={stack.access_key} AWS_SECRET_ACCESS_KEY={stack.secret_key}"
        command = f"aws --endpoint-url {stack.endpoint_url} --region {stack.region} s3 cp events/sample.jsonl"
        say(f"  {credentials} {command} s3://{stack.outputs['UploadsBucket']}/uploads/default/\n")
        say("Ctrl-C stops it. It keeps the answers that were paid for.")
        while cloud.find(state):
            time.sleep(1)
        raise CloudError(f"The local cloud has stopped by itself; its log is in {state}.")


def overrides_of(settings: Sequence[str] | None, tier: Policy, model: str | None) -> dict[str, str]:
    """Return the parameters that --set, --tier, --model and the presence of a key imply; --set takes precedence."""
    overrides = options.overrides(settings, model=model, tier=None if tier is Policy.AUTO else tier)
    if tier is not Policy.AUTO or "TierPolicy" not in overrides:
        overrides["TierPolicy"] = _policy(tier)
    return overrides


def _policy(tier: Policy) -> Policy:
    """Return the tier policy that --tier and the presence of a key imply."""
    if os.environ.get("OPENAI_API_KEY"):
        return tier
    if tier is Policy.MODEL:
        raise CommandError("--tier model needs a key: set OPENAI_API_KEY, or leave the option out.")
    if tier is Policy.AUTO:
        _say_local_only("is not set")
    return Policy.LOCAL


def _say_local_only(why: str) -> None:
    say(f"OPENAI_API_KEY {why}: only the local tier answers, and nothing is spent.")


def parameters_of(overrides: Mapping[str, str], running: cloud.Cloud | None) -> Mapping[str, str]:
    """Return the parameters of the running cloud, or of the one that will be started."""
    if running:
        if Policy(running.parameters["TierPolicy"]) is Policy.LOCAL:
            has_key = bool(os.environ.get("OPENAI_API_KEY"))
            _say_local_only("was not set when this cloud was started" if has_key else "is not set")
        return running.parameters
    return template.load().values(cloud.local_parameters(os.environ) | dict(overrides))


@contextmanager
def local_cloud(state: Path, overrides: Mapping[str, str], running: cloud.Cloud | None) -> Iterator[cloud.Cloud]:
    """Yield the running cloud, or start one for the length of the block and of every command that has joined it.

    Raises:
        CloudError: the running cloud has stopped, or the new one does not start.
    """
    if running:
        with cloud.State(state).join() as joined:
            try:
                yield joined
            except (BotoCoreError, LedgerUnavailable) as error:
                if cloud.find(state):
                    raise
                reason = "the command that started it has ended. Run the same command again"
                raise CloudError(f"The local cloud has stopped: {reason}.") from error
        return
    model_tier(parameters_of(overrides, None))  # refuses a model without a price before anything is started
    started = time.monotonic()
    with ExitStack() as left, cloud.start(state, overrides, os.environ, say=lambda step: say(f"{step} …")) as stack:
        say(f"the local cloud is up after {time.monotonic() - started:.0f} s")
        yield stack
        left.enter_context(cloud.State(state).leave(say))
