"""The sweeper's function, as the other functions call it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient


class SweeperFunction:
    """The sweeper's function.

    Args:
        client: returns Lambda's client. It is called only when needed, because few workers end a batch.
    """

    def __init__(self, client: Callable[[], LambdaClient], name: str) -> None:
        self._client = client
        self._name = name

    def finish(self, batch: str) -> None:
        """Ask the sweeper to finish a batch now, without waiting for its answer."""
        payload = json.dumps({"batch": batch}).encode()
        self._client().invoke(FunctionName=self._name, InvocationType="Event", Payload=payload)
