"""What the readers of manifests raise."""

from __future__ import annotations


class ManifestError(Exception):
    """A manifest, or a row of one, cannot be used; the message says why."""


class NotAManifest(ManifestError):
    """The file as a whole cannot be read. Its text says what it looks like, what is accepted and what to do."""


class Broken(ManifestError):
    """The manifest cannot be read any further; the text is the reason. It never leaves this package."""


class Unreadable(ManifestError):
    """One row cannot be made into a video; the text is the reason. It never leaves this package."""


class NoTalk(ManifestError):
    """A row that is not meant to be a talk; the text says why. It never leaves this package."""
