"""Runs the storm last, because it takes minutes."""

from __future__ import annotations

import pytest

HERE = "tests/chaos/"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of this folder after all others."""
    items.sort(key=lambda item: item.nodeid.startswith(HERE))
