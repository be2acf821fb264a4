"""The implementation of `titlecard.parse`: the local tier on videos in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from titlecard import extraction
from titlecard.domain.video import Video
from titlecard.extraction.surveying import survey_batch
from titlecard.pipeline.talks import by_local_tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from titlecard.domain.video import Talk

SAMPLE = 5_000
"""The most videos that are surveyed, as in a deployed stack by default."""


def talks(videos: Iterable[Video | Mapping[str, Any]]) -> Iterator[Talk]:
    """Return one talk for each video; see `titlecard.parse`."""
    given = [video if isinstance(video, Video) else _video(place, video) for place, video in enumerate(videos)]
    rows = list(enumerate(given))
    survey = survey_batch(rows[:: len(rows) // SAMPLE + 1])  # spread over the list: a channel's style changes
    return (by_local_tier(video, extraction.parse(video, survey.of(row, video))) for row, video in rows)


def _video(place: int, fields: Mapping[str, Any]) -> Video:
    """Return the video in a dictionary, whose values may come from a database: None, a number as the id, a date."""
    if not isinstance(fields, Mapping):
        raise TypeError(f"videos[{place}]: a {type(fields).__name__} is neither a dictionary nor a Video.")
    given = {name: value for name, value in fields.items() if value is not None}
    if "id" in given:
        given["id"] = str(given["id"])
    if isinstance(published := given.get("published_at"), date):
        given["published_at"] = published.isoformat()
    try:
        return Video.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"videos[{place}]: {field}: {first['msg']}") from error
