"""Settings of every test: the longest files first, rare garbage collection, and Ctrl-C for commands."""

from __future__ import annotations

import gc
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

LONGEST = (
    "chaos/test_chaos",
    "end_to_end/test_pipeline_poison",
    "end_to_end/test_pipeline_accidents",
    "end_to_end/test_permissions",
    "end_to_end/test_deploy",
    "end_to_end/test_programs",  # a short one, which the worker of the only test of `chaos` takes at once
    "end_to_end/test_run_interrupted",
    "end_to_end/test_wheel",
    "mutation/test_sample",
    "simulation/test_schedules",
)
"""The files that begin a run, in this order, so that no worker is left alone with one of them at the end."""

gc.set_threshold(100_000, 20, 100)  # the packages alone are a million objects, which each collection would look through

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, which its child processes inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order of arguments does not, where one argument holds another."""

    def place(item: pytest.Item) -> int:
        return next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(f"tests/{name}.py")), len(LONGEST))

    items.sort(key=place)
