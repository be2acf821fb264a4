"""Clouds for the tests: the real template on the local cloud, with times of seconds where a test waits for them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest
from tests import botocore_costs
from tests.end_to_end.witness import Witness

from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import cloud

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SECONDS = {
    "ParserTimeoutSeconds": "3",
    "RequestDeadlineSeconds": "1",
    "SettleMarginSeconds": "1",
    "BatchingWindowSeconds": "0",
    "VisibilitySeconds": "18",
    "RetryBackoffSeconds": "1",
}
"""The shortest times that agree, for tests that wait for a timeout or for a redelivered message."""


class Start(Protocol):
    """Starts a cloud that lives as long as the test."""

    def __call__(
        self,
        overrides: Mapping[str, str] = {},
        environment: Mapping[str, str] = {},
        *,
        state: Path | None = None,
        artefacts: Path | None = None,
    ) -> cloud.Cloud:
        """Start a cloud as `cloud.start` does; `artefacts` None means the project's own."""
        ...


@pytest.fixture(scope="session", autouse=True)
def _quick_sessions() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        botocore_costs.save(patch)
        yield


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Return the functions as built for this machine."""
    return artefact.build()


@pytest.fixture(scope="module")
def provider() -> Iterator[Witness]:
    """Return the provider of a file's tests, which remembers what it was asked."""
    with Witness() as witness:
        yield witness


@pytest.fixture
def start(tmp_path: Path, artefacts: Path) -> Iterator[Start]:
    """Start clouds, each on a state folder of this test; without a key unless the test gives one."""
    with ExitStack() as running:

        def begin(
            overrides: Mapping[str, str] = {},
            environment: Mapping[str, str] = {},
            *,
            state: Path | None = None,
            artefacts: Path | None = artefacts,
        ) -> cloud.Cloud:
            surroundings = {"PATH": os.environ["PATH"], **environment}
            here = cloud.start(state or tmp_path / "state", overrides, surroundings, artefacts=artefacts)
            return running.enter_context(here)

        yield begin
