"""Manifests: the lists of videos that people really have, read as a stream, whatever they hold.

    for row in read(stream, Limits()):
        ...  # Accepted(number, video), Refused(number, reason, excerpt) or LeftOut(number, reason)

A manifest is recognised by its content, never by its name. Reading it takes the memory of one row. Bad rows are refused
one by one with a sentence; only a file that is no manifest at all raises, `NotAManifest`.
"""

from titlecard.manifests.errors import NotAManifest
from titlecard.manifests.reading import Reading, read
from titlecard.manifests.rows import EXCERPT_CHARACTERS, Accepted, LeftOut, ReadingLimits, Refused, Row

__all__ = [
    "EXCERPT_CHARACTERS",
    "Accepted",
    "LeftOut",
    "NotAManifest",
    "Reading",
    "ReadingLimits",
    "Refused",
    "Row",
    "read",
]
