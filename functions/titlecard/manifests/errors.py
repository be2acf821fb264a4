"""The errors of the readers of manifests."""

from __future__ import annotations


class ManifestError(Exception):
    """A manifest, or one of its rows, cannot be used; the message says why."""


class NotAManifest(ManifestError):
    """The whole file cannot be read. The message says what the file looks like, what is accepted and what to do."""


class Broken(ManifestError):
    """The manifest cannot be read any further; the message is the reason. It never leaves this package."""


class Unreadable(ManifestError):
    """A row cannot be made into a video; the message is the reason. It never leaves this package."""


class NoTalk(ManifestError):
    """A row is not meant to be a talk; the message says why. It never leaves this package."""
