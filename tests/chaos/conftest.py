"""A storm takes minutes: it comes when all other tests have said what they have to say."""

from __future__ import annotations

import pytest

HERE = "tests/chaos/"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder behind all others."""
    items.sort(key=lambda item: item.nodeid.startswith(HERE))
