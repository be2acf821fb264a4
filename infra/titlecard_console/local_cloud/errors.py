"""The local cloud's errors; each message is a sentence for people."""

from __future__ import annotations


class LocalCloudError(Exception):
    """The local cloud cannot do what was asked."""


class CloudError(LocalCloudError):
    """The local cloud does not start or has stopped."""


class EnvironmentUnavailable(LocalCloudError):
    """The embedded AWS cannot be set up; the message says why and what to do."""


class DeployError(LocalCloudError):
    """The stack was refused or a function does not start; the message says which and why."""


class MiniStackError(LocalCloudError):
    """MiniStack does not start or has died; the message says where its log is."""


class BuildError(LocalCloudError):
    """An artefact could not be built; the message says why."""


class JournalUnreadable(LocalCloudError):
    """The journal is damaged; the message names the line."""


class BadParameterError(LocalCloudError, ValueError):
    """The template refuses a parameter; the message says why, for the person who set it."""
