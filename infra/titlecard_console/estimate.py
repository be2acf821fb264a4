"""What a manifest can cost: read as ingest reads it, parsed locally, and priced by the requests that would be sent.

An estimate uploads nothing and asks no model. Its bound becomes the limit of the batch.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard.domain.batch import RowState
from titlecard.domain.money import Amount, Cap, PriceList, Total
from titlecard.domain.video import Policy
from titlecard.extraction.surveying import take_survey
from titlecard.llm import OPENAI, ModelTier
from titlecard.manifests import ReadingLimits, read, validation
from titlecard.manifests.errors import NotAManifest
from titlecard.pipeline.lines import line
from titlecard.pipeline.talks import by_local_tier
from titlecard_console import local_tier
from titlecard_console.limits import batch_limits
from titlecard_console.output import format_amounts, pluralize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from titlecard.domain.video import Talk, Video
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import Survey


@dataclass(frozen=True)
class Manifest:
    """A manifest that has been read to its end.

    Attributes:
        limits: the reading limits that were applied.
        report: the result of validation.
        survey: what its rows have in common.
        rejects: its refused rows as JSON Lines.
    """

    path: Path
    limits: ReadingLimits
    report: validation.ValidationReport
    survey: Survey
    rejects: str

    def videos(self) -> Iterator[tuple[int, Video]]:
        """Yield the accepted rows with their numbers, in order."""
        with self.path.open("rb") as file:
            for row in validation.accepted(read(file, self.limits), self.report.bitmap):
                yield row.number, row.video

    def parses(self) -> Iterator[tuple[Video, LocalParse]]:
        """Yield each accepted row with the local tier's answer, in order."""
        return local_tier.parses((video for _, video in self.videos()), self.survey, self.report.accepted)

    def talks(self) -> Iterator[tuple[Video, Talk]]:
        """Yield each accepted row with the talk that the local tier alone gives it, in order."""
        for video, parse in self.parses():
            yield video, by_local_tier(video, parse)


@dataclass(frozen=True)
class Estimate:
    """What one manifest can cost.

    Attributes:
        asked: the number of rows that need the model.
        expected: a guess, from the usual length of texts and answers.
        bound: the most it can cost, if each of these rows takes one request.
        limits: the limits of its batch.
    """

    manifest: Manifest
    asked: int
    expected: Amount
    bound: Amount
    limits: Total


def talk_line(video: Video, talk: Talk) -> str:
    """Return the output line of a talk that was made without a stack."""
    return line(video.id, RowState.PARSED, talk=talk)


def read_manifest(path: Path, parameters: Mapping[str, str]) -> Manifest:
    """Read a manifest as a stack's ingest does.

    Args:
        path: the file.
        parameters: the stack's parameters.

    Raises:
        NotAManifest: the file is not a manifest; the message names it.
        OSError: the file cannot be read.
    """
    limits, rejects = reading_limits(parameters), io.StringIO()
    with named(path), path.open("rb") as file, tempfile.TemporaryDirectory() as scratch:
        report = validation.validate(
            read(file, limits), scratch=Path(scratch), rejects=rejects, sample_max=int(parameters["SurveySampleRows"])
        )
    return Manifest(path, limits, report, take_survey(report.sample), rejects.getvalue())


def reading_limits(parameters: Mapping[str, str]) -> ReadingLimits:
    """Return the reading limits of a stack, from its parameters."""
    return ReadingLimits(
        row_max_bytes=int(parameters["RowMaxBytes"]),
        total_max_bytes=int(parameters["ManifestMaxBytes"]),
        max_ratio=int(parameters["ManifestMaxRatio"]),
    )


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Prefix NotAManifest errors with the file's path."""
    try:
        yield
    except NotAManifest as refusal:
        raise NotAManifest(f"{path}: {refusal}") from refusal


def model_tier(parameters: Mapping[str, str]) -> ModelTier:
    """Return the model tier of a stack, from its parameters.

    Raises:
        Unpriced: its model has no price, or the prices at its endpoint are unknown.
    """
    factor = parameters.get("PriceFactor")  # a stack may be older than this parameter
    return ModelTier(
        parameters["Model"],
        prices=PriceList.packaged(),
        service_tier=parameters["ServiceTier"],
        base_url=parameters.get("OpenAIBaseUrl", OPENAI),
        price_factor=Decimal(factor) if factor else None,
        max_output_tokens=int(parameters["MaxOutputTokens"]),
    )


def estimate(manifests: Sequence[Manifest], parameters: Mapping[str, str], most: Cap) -> list[Estimate]:
    """Estimate what manifests cost on a stack, from the exact requests that would be sent.

    Args:
        manifests: the manifests, which share `most`.
        parameters: the stack's parameters.
        most: the most that a person wants to spend on all of them together.
    """
    tier, policy, stack = model_tier(parameters), Policy(parameters["TierPolicy"]), batch_limits(parameters)
    estimates, promised = [], Amount()
    for manifest in manifests:
        asked, expected, bound = 0, Amount(), Amount()
        hint = manifest.survey.hint()
        for video, parse in manifest.parses() if policy is not Policy.LOCAL else ():
            if not parse.is_final(policy):
                question = tier.prepare(video, parse, hint)
                asked += 1
                expected += tier.expected(question)
                bound += question.bound
        limits = stack.lowered_by(
            requests=asked * int(parameters["AttemptCap"]), tokens=bound.tokens, micro_usd=bound.micro_usd
        ).lowered_by(**most.room(promised).as_map())
        promised += Amount(0, limits.tokens, 0, limits.micro_usd)
        estimates.append(Estimate(manifest, asked, expected, bound, limits))
    return estimates


def summary(estimates: Sequence[Estimate], model: str) -> str:
    """Describe in a sentence the most that can be charged."""
    rows = sum(it.manifest.report.accepted for it in estimates)
    asked = sum(it.asked for it in estimates)
    most = format_amounts(**sum((it.limits for it in estimates), Total()).as_map())
    tiers = f"{rows - asked:,} sure locally, {asked:,} for {model}"
    return f"{pluralize(rows, 'video')}: {tiers}. At most {most} can be charged."
