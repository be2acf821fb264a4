"""Titlecard: clean titles and presenters' names for conference videos, at a bounded cost.

The functions and the console share this library. `domain`, `manifests` and `extraction` are pure, `llm` asks the model,
`pipeline` holds the functions' use cases, and `aws` calls AWS. A site that runs the local tier in its own process needs
only `parse`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from titlecard.domain.video import Talk, Video

__version__ = "0.1.0"
"""The version, defined only here; the wheel, the artefacts, the reports and `titlecard --version` read it."""


def parse(videos: Iterable[Video | Mapping[str, Any]]) -> Iterator[Talk]:
    """Parse videos with the local tier, in this process, without a key and without a cloud.

    What videos have in common helps to tell titles from names, so pass those of one conference or channel together.

    >>> from titlecard import parse
    >>> videos = [
    ...     {"id": 1, "title": "PyCon 2019 - Ada Byron - Compilers for people in a hurry"},
    ...     {"id": 2, "title": "PyCon 2019 - Grace Hopper - What a nanosecond looks like"},
    ... ]
    >>> for video, talk in zip(videos, parse(videos)):
    ...     print(video["id"], talk.title, "|", ", ".join(talk.presenters))
    1 Compilers for people in a hurry | Ada Byron
    2 What a nanosecond looks like | Grace Hopper

    Args:
        videos: `Video`s, or dictionaries with their fields: `id` and `title`, and optionally `description`, `url`,
            `channel`, `event`, `published_at` and `presenters`. None counts as absent. They are held in memory.

    Returns:
        One talk for each video, in the same order. `talk.review` is None if the local tier is sure.

    Raises:
        TypeError: one of the videos is neither a dictionary nor a `Video`.
        ValueError: a dictionary is not a video. The message gives its index, from 0, and what is wrong with it.
    """
    from titlecard.library import talks  # noqa: PLC0415 -- loads Pydantic, which `titlecard.extraction` does not need

    return talks(videos)
