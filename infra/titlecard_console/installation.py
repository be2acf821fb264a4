"""The location of Titlecard's own files: the checkout that it was installed from, or the wheel.

A wheel carries template.yaml, the functions' sources and the locks inside this package, so `titlecard run` needs no
checkout. From these files the console builds MiniStack's environment and the functions' artefacts, in the
checkout or in the user's cache folder.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs

import titlecard

_CHECKOUT = Path(__file__).resolve().parents[2]
_WHEEL = Path(__file__).resolve().parent / "project"

INSTALLED = _WHEEL.is_dir()
"""Whether this console comes from a wheel; `infra/wheel.py` puts the folder there."""

ROOT = _WHEEL if INSTALLED else _CHECKOUT
"""The folder that holds template.yaml, `functions/` and `infra/requirements/`."""

LOCKS = ROOT / "infra" / "requirements"

LIBRARY = Path(titlecard.__file__).resolve().parent
"""The library's sources, which every artefact contains."""


def cache_folder(name: str) -> Path:
    """Return the folder for something that the console builds once and keeps."""
    if INSTALLED:
        return platformdirs.user_cache_path("titlecard") / titlecard.__version__ / name
    return ROOT / f".{name}"
