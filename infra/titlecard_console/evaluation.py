"""How good a tier is: a data set run batch by batch, a score table, and what changed since a baseline.

The normalisation is the data set's own: NFKD, combining marks dropped, casefolded, runs of non-word characters folded
into a space. A title is right where it is equal after that, presenters are right where the sets are, `both` where
both are. Everything here is pure: it reads no file and asks no model.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titlecard.domain.video import Tier, Video
from titlecard.extraction import parse
from titlecard.extraction.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PRECISIONS = (0.99, 0.98, 0.95, 0.90)
"""Wanted precisions for which the table says how many rows could be kept."""

TOLERANCE = 0.003
"""A share may fall by this much below its baseline: ten rows of three thousand."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Case:
    """A video of a data set with the right answer. `event` is its batch, `kind` the group it is counted in."""

    video: Video
    event: str
    kind: str
    title: str
    presenters: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Case:
        """The case in one line of a data set.

        Raises:
            KeyError: a field of the format is missing.
            pydantic.ValidationError: the video is none (no id, no title).
        """
        video = Video(
            id=row["id"], title=row["title"], description=row.get("description") or "", url=row.get("url") or None
        )
        expected = row["expected"]
        return cls(video, row["event"], row.get("kind", "all"), expected["title"], tuple(expected["presenters"]))


@dataclass(frozen=True)
class Result:
    """What a tier answered. `sure` says that no model would be asked; tokens and cost are those of this answer."""

    title: str
    presenters: tuple[str, ...]
    confidence: float
    sure: bool = True
    tier: Tier = Tier.LOCAL
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0


@dataclass(frozen=True)
class Group:
    """The score of some rows, as shares (0 to 1) of them."""

    rows: int
    title: float
    presenters: float
    both: float
    presenter_precision: float
    presenter_recall: float
    invented: float


@dataclass(frozen=True)
class Scores:
    """The score table: all rows and each kind, what could be kept at which precision, what was kept, what it cost."""

    groups: dict[str, Group]
    coverage: dict[str, float]
    kept: float
    kept_precision: float
    sent_to_model: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int

    def figures(self) -> dict[str, float]:
        """The figures that a baseline holds, by name: for all of them but `invented`, more is better."""
        found = {"kept": self.kept, "kept_precision": self.kept_precision}
        for name, group in self.groups.items():
            for figure in ("title", "presenters", "both", "invented"):
                found[f"{name}.{figure}"] = getattr(group, figure)
        return {name: round(value, 4) for name, value in found.items()}


def norm(text: str) -> str:
    """A text as it is compared."""
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join(_WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)).casefold()))


def is_right(title: str, presenters: Iterable[str], want_title: str, want_presenters: Iterable[str]) -> bool:
    """Whether title and presenters are both right."""
    return norm(title) == norm(want_title) and _norms(presenters) == _norms(want_presenters)


def by_local_tier(video: Video, survey: Survey) -> Result:
    """The local tier as an answerer for `run`."""
    answer = parse(video, survey)
    return Result(answer.title, answer.presenters, answer.confidence, answer.sure)


def run(cases: Sequence[Case], answer: Callable[[Video, Survey], Result]) -> list[Result]:
    """The answers to all cases, in order; each event is surveyed as one batch."""
    batches: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        batches[case.event].append(case)
    surveys = {event: Survey.learn(case.video for case in batch) for event, batch in batches.items()}
    return [answer(case.video, surveys[case.event]) for case in cases]


def score(cases: Sequence[Case], results: Sequence[Result]) -> Scores:
    """The score table of some answers.

    Raises:
        ValueError: there are no cases, or not as many results.
    """
    if not cases:
        raise ValueError("A data set without rows has no score.")
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    ranked = []
    for case, result in zip(cases, results, strict=True):
        want, have = _norms(case.presenters), _norms(result.presenters)
        title, names = norm(result.title) == norm(case.title), want == have
        found = Counter(rows=1, title=title, presenters=names, both=title and names, invented=bool(have - want))
        found += Counter(hit=len(want & have), want=len(want), have=len(have))
        tallies["all"] += found
        tallies[case.kind] += found
        ranked.append((result, title and names))
    kept = [right for result, right in ranked if result.sure]
    return Scores(
        groups={name: _group(tally) for name, tally in sorted(tallies.items())},
        coverage=_coverage([(result.confidence, right) for result, right in ranked]),
        kept=len(kept) / len(cases),
        kept_precision=sum(kept) / len(kept) if kept else 1.0,
        sent_to_model=sum(result.tier is Tier.MODEL for result in results),
        input_tokens=sum(result.input_tokens for result in results),
        output_tokens=sum(result.output_tokens for result in results),
        cost_micro_usd=sum(result.cost_micro_usd for result in results),
    )


def drops(scores: Scores, baseline: Mapping[str, float]) -> list[str]:
    """What is worse than the baseline by more than the tolerance, a sentence each."""
    figures = scores.figures()
    found = []
    for name, before in sorted(baseline.items()):
        now = figures.get(name)
        worse = now is None or (now - before if name.endswith("invented") else before - now) > TOLERANCE
        if worse:
            found.append(f"{name} was {before:.4f} and is {'missing' if now is None else f'{now:.4f}'}.")
    return found


def table(scores: Scores) -> str:
    """The score table for people: a line a group, then what is kept and what it cost."""
    lines = [f"{'':22}{'rows':>6}{'title':>8}{'names':>8}{'both':>8}{'invented':>10}{'precision':>11}{'recall':>8}"]
    for name, group in scores.groups.items():
        shares = f"{group.title:8.3f}{group.presenters:8.3f}{group.both:8.3f}{group.invented:10.3f}"
        lines.append(f"{name:22}{group.rows:6}{shares}{group.presenter_precision:11.3f}{group.presenter_recall:8.3f}")
    wanted = ", ".join(f"{share:.3f} at {precision}" for precision, share in scores.coverage.items())
    lines += [
        f"coverage at precision: {wanted}",
        f"kept at the thresholds: {scores.kept:.3f} of the rows, {scores.kept_precision:.4f} of them right",
        f"sent to the model: {scores.sent_to_model} rows, {scores.input_tokens} + {scores.output_tokens} tokens",
        f"cost: ${scores.cost_micro_usd / 1_000_000:.4f}",
    ]
    return "\n".join(lines)


def _norms(names: Iterable[str]) -> set[str]:
    return {norm(name) for name in names} - {""}


def _group(tally: Counter[str]) -> Group:
    rows = tally["rows"]
    return Group(
        rows=rows,
        title=tally["title"] / rows,
        presenters=tally["presenters"] / rows,
        both=tally["both"] / rows,
        presenter_precision=tally["hit"] / tally["have"] if tally["have"] else 1.0,
        presenter_recall=tally["hit"] / tally["want"] if tally["want"] else 1.0,
        invented=tally["invented"] / rows,
    )


def _coverage(ranked: list[tuple[float, bool]]) -> dict[str, float]:
    """For each wanted precision, the share of rows that could be kept, the most confident first."""
    ranked.sort(key=lambda pair: -pair[0])
    best = dict.fromkeys(PRECISIONS, 0)
    right = 0
    for count, (confidence, is_correct) in enumerate(ranked, 1):
        right += is_correct
        if count < len(ranked) and ranked[count][0] == confidence:
            continue  # rows of one confidence stand or fall together
        for wanted in best:
            if right >= wanted * count:
                best[wanted] = count
    return {str(wanted): count / len(ranked) for wanted, count in best.items()}
