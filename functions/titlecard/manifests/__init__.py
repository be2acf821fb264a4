"""Manifests: lists of videos in the formats that people have, read as a stream.

    for row in read(stream, Limits()):
        ...  # Accepted(number, video), Refused(number, reason, excerpt) or LeftOut(number, reason)

A manifest is recognised by its content, never by its name. Reading takes the memory of one row. Each bad row is
rejected with a sentence; only a file that is not a manifest at all raises `NotAManifest`.
"""

from titlecard.manifests.errors import NotAManifest
from titlecard.manifests.reading import Reading, read
from titlecard.manifests.recognition import LIST_OF_TITLES
from titlecard.manifests.rows import EXCERPT_CHARACTERS, Accepted, LeftOut, ReadingLimits, Refused, Row

__all__ = [
    "EXCERPT_CHARACTERS",
    "LIST_OF_TITLES",
    "Accepted",
    "LeftOut",
    "NotAManifest",
    "Reading",
    "ReadingLimits",
    "Refused",
    "Row",
    "read",
]
