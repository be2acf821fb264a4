"""The cost of another attempt at a dead letter, from the stack's parameters and the parser's own code."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from titlecard import extraction
from titlecard.aws.dynamodb.catalog import VideoRecord
from titlecard.aws.errors import BatchItemInvalid
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Video, fingerprint
from titlecard_console.dead_letters.letter import DeadLetter, Kind
from titlecard_console.estimate import model_tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.bootstrap import Stores


class RetryCosts:
    """Adds each video's history to its dead letter, and the most that another attempt can cost."""

    def __init__(self, stores: Stores, parameters: Mapping[str, str]) -> None:
        self._grants = stores.grants
        self._policy = Policy(parameters["TierPolicy"])
        self._cap = int(parameters["AttemptCap"])
        self._model = model_tier(parameters)
        self._survey = cache(stores.catalog.survey)

    def added_to(self, letters: Sequence[DeadLetter], more: int) -> list[DeadLetter]:
        """Return the dead letters with their videos' histories and the cost of `more` attempts each."""
        keys = [
            (letter.batch.project, letter.id, fingerprint)
            for letter in letters
            if letter.batch and letter.seen
            for fingerprint in (self._fingerprint(letter.video), letter.seen.fingerprint)
            if fingerprint
        ]
        entries = self._grants.video_records(dict.fromkeys(keys))
        newest = self._grants.newest(dict.fromkeys((project, video) for project, video, _ in keys))
        costed = []
        for letter in letters:
            if letter.batch is None or letter.seen is None:
                costed.append(letter)
                continue
            project, died_with = letter.batch.project, letter.seen.fingerprint
            current = self._fingerprint(letter.video) or died_with
            entry = entries.get((project, letter.id, current), VideoRecord())
            found = replace(
                letter,
                entry=entries.get((project, letter.id, died_with), entry),
                fingerprint=current,
                attempts=entry.attempts,
                closed=self._closed(letter.batch, entry, newest.get((project, letter.id), "")),
                error=letter.error or entry.error,
            )
            costed.append(self._with_worst(found, letter.batch, more))
        return costed

    def _fingerprint(self, video: Video | None) -> str:
        """Return the fingerprint that the next attempt would use; empty if the video is unknown."""
        if video is None:
            return ""
        model = None if self._policy is Policy.LOCAL else self._model.model
        return fingerprint(video, model=model, prompt_version=self._model.prompt_version)

    def _closed(self, batch: Batch, entry: VideoRecord, newest: str) -> str:
        """Return why a row would end without a request; empty if a request would be sent."""
        if batch.cancelled:
            return "the batch was cancelled"
        if newest > batch.upload.order:
            return "a newer manifest has this video"
        return "the video has been parsed in the meantime" if entry.answers(self._policy) else ""

    def _with_worst(self, letter: DeadLetter, batch: Batch, more: int) -> DeadLetter:
        """Return the dead letter with the most requests that can be sent for it, and their greatest total cost."""
        is_asked = letter.kind in (Kind.DEAD, Kind.STRAYED) and not (letter.closed or letter.error)
        if not is_asked or self._policy is Policy.LOCAL:
            return letter
        try:
            bound = self._bound(letter.video, batch, letter.seen.number if letter.seen else 0)
        except BatchItemInvalid as error:
            return replace(letter, error=str(error))
        return replace(letter, worst=bound * (max(self._cap, letter.attempts + more) - letter.attempts))

    def _bound(self, video: Video | None, batch: Batch, row: int) -> Amount:
        """Return the most that one request about a row's video can cost; nothing if the local tier answers."""
        if video is None:
            return self._model.worst_case
        survey = self._survey(batch.id).of(row, video)
        answer = extraction.parse(video, survey)
        if answer.is_final(self._policy):
            return Amount()
        return self._model.prepare(video, answer, survey.hint()).bound
