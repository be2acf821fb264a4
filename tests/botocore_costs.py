"""Shortcuts past work that botocore repeats for each session: it reads, parses and searches its data again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from botocore.loaders import JSONFileLoader, Loader

if TYPE_CHECKING:
    import pytest

_services = Loader.list_available_services
_found_services: dict[tuple[str, ...], list[str]] = {}


def save(patch: pytest.MonkeyPatch) -> None:
    """Install the shortcuts until the patches are undone."""
    read = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
    patch.setattr(JSONFileLoader, "load_file", lambda _self, path: read(path))
    patch.setattr(Loader, "list_available_services", _known_services)


def _known_services(loader: Loader, type_name: str) -> list[str]:
    key = (*loader.search_paths, type_name)
    if key not in _found_services:
        _found_services[key] = _services(loader, type_name)
    return _found_services[key]
