"""The implementation of `titlecard.parse`: the local tier on videos in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from titlecard import extraction
from titlecard.domain.video import Video
from titlecard.extraction.surveying import survey_batch
from titlecard.pipeline.talks import by_local_tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from titlecard.domain.video import Talk

SAMPLE = 5_000
"""The most videos that are surveyed, as in a deployed stack by default."""


def talks(videos: Iterable[Video | Mapping[str, Any]]) -> Iterator[Talk]:
    """Return one talk for each video; see `titlecard.parse`."""
    given = [video if isinstance(video, Video) else _video(place, video) for place, video in enumerate(videos)]
    rows = list(enumerate(given))
    survey = survey_batch(rows[:: len(rows) // SAMPLE + 1])  # from the whole list, since a channel changes its style
    return (by_local_tier(video, extraction.parse(video, survey.of(row, video))) for row, video in rows)


def _video(place: int, fields: Mapping[str, Any]) -> Video:
    """Return a dictionary as a video; its `id` may be a number, as in a database."""
    try:
        return Video.model_validate({**fields, "id": str(fields["id"])} if "id" in fields else dict(fields))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"videos[{place}]: {field}: {first['msg']}") from error
