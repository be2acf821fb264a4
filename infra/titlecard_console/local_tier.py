"""What can be known of a manifest on this machine, without a cloud and without a key.

`answers` is `titlecard parse`: the local tier alone. `plan` is what `titlecard run` shows before anything is sent: how
many rows there are, for how many the local tier is not sure, and the most that asking the model for those can cost.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard import extraction as local
from titlecard import manifests as manifest
from titlecard.domain.batch import RowState
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy
from titlecard.extraction.survey import Survey
from titlecard.manifests import validation as census
from titlecard.pipeline.lines import line
from titlecard.pipeline.talks import by_local_tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard.domain.video import Video
    from titlecard.extraction import LocalParse
    from titlecard.llm import ModelTier


@dataclass(frozen=True)
class Counted:
    """One manifest after pass 1: its census, and its refused rows as JSON lines."""

    path: Path
    limits: manifest.ReadingLimits
    census: census.ValidationReport
    survey: Survey
    rejects: str

    def answers(self) -> Iterator[tuple[Video, LocalParse]]:
        """What the local tier makes of each accepted row, in order."""
        with self.path.open("rb") as file:
            for row in census.accepted(manifest.read(file, self.limits), self.census.bitmap):
                yield row.video, local.parse(row.video, self.survey)

    def lines(self) -> Iterator[str]:
        """The same as output lines."""
        for video, answer in self.answers():
            yield line(video.id, RowState.PARSED, talk=by_local_tier(video, answer))


@dataclass(frozen=True)
class Plan:
    """What a batch is charged when every row that the local tier leaves is asked about once: at most, and likely."""

    asked: int
    bound: Amount
    expected: Amount


def count(path: Path, limits: manifest.ReadingLimits, sample: int) -> Counted:
    """Read a manifest as ingest does.

    Args:
        sample: from how many rows the survey is learnt.

    Raises:
        NotAManifest: the file is none; the sentence says what is taken.
        OSError: it cannot be read.
    """
    rejects = io.StringIO()
    with path.open("rb") as file, tempfile.TemporaryDirectory() as scratch:
        found = census.validate(manifest.read(file, limits), scratch=Path(scratch), rejects=rejects, sample_max=sample)
    return Counted(path, limits, found, Survey.learn(found.sample), rejects.getvalue())


def plan(counted: Counted, model: ModelTier, policy: Policy) -> Plan:
    """What asking the model can cost at most, by the very request that would be sent for each row."""
    asked, bound, expected = 0, Amount(), Amount()
    hint = counted.survey.hint()
    if policy is not Policy.LOCAL:
        for video, answer in counted.answers():
            if policy is Policy.MODEL or not answer.sure:
                asked += 1
                question = model.prepare(video, answer, hint)
                bound += question.bound
                expected += model.expected(question)
    return Plan(asked, bound, expected)
