"""The quality of a tier on a data set with known answers: its results, their scores, and the changes since a baseline.

A title is right if it equals the known one after normalisation, presenters are right if the sets are equal, and `both`
is right if both are. The normalisation is the data set's own: it applies NFKD, removes combining marks, casefolds, and
replaces every run of non-word characters with a space.

A data set has no project, batch, budget or ledger, but its cost is still bounded: every request is sent at most once
and costs at most its bound, and `Plan.bound` is their sum. Nothing is sent before `ask`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from titlecard import extraction
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Tier, Video
from titlecard.extraction.surveying import take_survey
from titlecard.llm.errors import Fault
from titlecard.pipeline import talks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from titlecard.domain.money import Billing
    from titlecard.domain.video import Talk
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import Survey
    from titlecard.llm import ModelTier, Request

PRECISIONS = (0.99, 0.98, 0.95, 0.90)
"""The precisions for which the table shows the share of rows that could be kept."""

TOLERANCE = 0.003
"""The largest fall of a share below its baseline that passes: ten rows of three thousand."""

NOT_ASKED = "not_asked"
"""The reason for a local answer to a request that was not sent because asking had stopped."""

_WORD = re.compile(r"\w+")


class _Answer(BaseModel):
    """The right answer in a data set."""

    title: str
    presenters: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A video of a data set with its right answer. `event` names its batch, `kind` the group that it is scored in."""

    video: Video
    event: str
    kind: str
    title: str
    presenters: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Case:
        """Return the case in one line of a data set.

        Raises:
            KeyError: a field of the format is missing.
            pydantic.ValidationError: the video has no id or no title, or the right answer is not text.
        """
        video = Video(
            id=row["id"], title=row["title"], description=row.get("description") or "", url=row.get("url") or None
        )
        right = _Answer.model_validate(row["expected"])
        return cls(video, str(row["event"]), str(row.get("kind", "all")), right.title, right.presenters)


@dataclass(frozen=True)
class Result:
    """A tier's answer to a case: `sure` if it needs no model; tokens and cost are of this answer alone."""

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
    """The score of some rows, in shares (0 to 1) of these rows."""

    rows: int
    title: float
    presenters: float
    both: float
    presenter_precision: float
    presenter_recall: float
    invented: float


@dataclass(frozen=True)
class Scores:
    """The score table: all rows and each kind, coverage at each precision, the kept rows, the cost."""

    groups: dict[str, Group]
    coverage: dict[str, float]
    kept: float
    kept_precision: float
    sent_to_model: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int

    def figures(self) -> dict[str, float]:
        """Return the figures of a baseline, by name: more is better, except for `invented`."""
        found = {"kept": self.kept, "kept_precision": self.kept_precision}
        for name, group in self.groups.items():
            for figure in ("title", "presenters", "both", "invented"):
                found[f"{name}.{figure}"] = getattr(group, figure)
        return {name: round(value, 4) for name, value in found.items()}


def norm(text: str) -> str:
    """Normalise a text for comparison."""
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join(_WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)).casefold()))


def is_right(title: str, presenters: Iterable[str], want_title: str, want_presenters: Iterable[str]) -> bool:
    """Return whether title and presenters are both right."""
    return norm(title) == norm(want_title) and _norms(presenters) == _norms(want_presenters)


def by_local_tier(video: Video, survey: Survey) -> Result:
    """Answer with the local tier; an answerer for `run`."""
    answer = extraction.parse(video, survey)
    return Result(answer.title, answer.presenters, answer.confidence, answer.sure)


def run(cases: Sequence[Case], answer: Callable[[Video, Survey], Result]) -> list[Result]:
    """Answer all cases, in order; each event is surveyed as one batch."""
    surveys = _surveys(cases)
    return [answer(case.video, surveys[case.event]) for case in cases]


def score(cases: Sequence[Case], results: Sequence[Result]) -> Scores:
    """Score results.

    Raises:
        ValueError: there are no cases, or the number of results differs.
    """
    if not cases:
        raise ValueError("The data set has no rows, so there is nothing to score.")
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    ranked = []
    for case, result in zip(cases, results, strict=True):
        want, have = _norms(case.presenters), _norms(result.presenters)
        title, names = norm(result.title) == norm(case.title), want == have
        found = Counter(rows=1, title=title, presenters=names, both=title and names, invented=bool(have - want))
        found += Counter(hit=len(want & have), want=len(want), have=len(have))
        for kind in {"all", case.kind}:
            tallies[kind] += found
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
    """Return a sentence for each figure that is below the baseline by more than the tolerance."""
    figures = scores.figures()
    found = []
    for name, before in sorted(baseline.items()):
        now = figures.get(name)
        worse = now is None or (now - before if name.endswith("invented") else before - now) > TOLERANCE
        if worse:
            found.append(f"{name} was {before:.4f} and is {'missing' if now is None else f'{now:.4f}'}.")
    return found


def table(scores: Scores) -> str:
    """Return the score table for people: one line for each group, then the kept rows and the cost."""
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


# --------------------------------------------------------------------------------------------------- the model tier


@dataclass(frozen=True)
class Plan:
    """The local answers to all cases, and the requests for the model by their places in the data set."""

    cases: Sequence[Case]
    parses: Sequence[LocalParse]
    requests: dict[int, Request]

    @property
    def bound(self) -> Amount:
        """The most that sending all requests can cost."""
        return sum((request.bound for request in self.requests.values()), Amount())


@dataclass(frozen=True)
class ModelRun:
    """The answers to all cases, in order, and the number of local answers in place of the model's, by reason."""

    results: list[Result]
    faults: Counter[str] = field(default_factory=Counter)


def plan(cases: Sequence[Case], tier: ModelTier, policy: Policy) -> Plan:
    """Parse every case locally, each event as one batch, and prepare the requests for the model."""
    surveys = _surveys(cases)
    parses = [extraction.parse(case.video, surveys[case.event]) for case in cases]
    requests = {
        place: tier.prepare(case.video, local, surveys[case.event].hint())
        for place, (case, local) in enumerate(zip(cases, parses, strict=True))
        if not local.is_final(policy)
    }
    return Plan(cases, parses, requests)


def ask(
    planned: Plan,
    tier: ModelTier,
    *,
    key: str,
    deadline: float,
    at_once: int,
    on_progress: Callable[[int, Amount], None] = lambda _done, _charge: None,
) -> ModelRun:
    """Send every request once; use the local answer where the model gives none, as the stack does.

    An account fault or a cost above its bound stops the asking: no further request is sent.

    Args:
        deadline: the time limit of one request, in seconds.
        at_once: the most concurrent requests.
        on_progress: called with the number of finished requests, and their charge.
    """
    tier.load()  # loading takes seconds, which must not count against a request
    stopped = Event()
    faults: Counter[str] = Counter()
    charged = Amount()
    local_talks = [talks.by_local_tier(case.video, it) for case, it in zip(planned.cases, planned.parses, strict=True)]
    results = [_result(talk, it) for talk, it in zip(local_talks, planned.parses, strict=True)]

    def charge(billing: Billing, request: Request) -> Amount:
        """Return what a request is charged; a charge above its bound stops the asking."""
        if billing.charged(request.bound).exceeds(request.bound):
            stopped.set()
        return billing.charged(request.bound)

    def ask_one(place: int) -> tuple[int, Talk | None, Amount, str | None]:
        """Ask about one case; return its place, the talk, its charge, and the reason if the talk is not the model's."""
        case, local, request = planned.cases[place], planned.parses[place], planned.requests[place]
        if stopped.is_set():
            return place, None, Amount(), NOT_ASKED
        try:
            answer = tier.ask(request, key=key, deadline_seconds=deadline)
        except Fault as fault:
            if fault.opens_breaker:
                stopped.set()
            return place, None, charge(fault.billing, request), fault.reason
        amount = charge(answer.billing, request)
        talk = talks.by_model(case.video, local, answer, tier.model, charged=amount)
        return place, talk, amount, None if talk.tier is Tier.MODEL else talk.review

    with ThreadPoolExecutor(at_once, thread_name_prefix="ask") as pool:
        try:
            for done, (place, talk, amount, reason) in enumerate(pool.map(ask_one, planned.requests), 1):
                charged += amount
                if reason:
                    faults[reason] += 1
                asked = reason != NOT_ASKED
                results[place] = _result(talk or local_talks[place], planned.parses[place], asked=asked, charge=amount)
                on_progress(done, charged)
        finally:  # after Ctrl-C, send no further request
            stopped.set()
    return ModelRun(results, faults)


def _surveys(cases: Sequence[Case]) -> dict[str, Survey]:
    """Return the survey of each event."""
    batches: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        batches[case.event].append(case)
    return {event: take_survey(case.video for case in batch) for event, batch in batches.items()}


def _result(talk: Talk, local: LocalParse, *, asked: bool = False, charge: Amount | None = None) -> Result:
    """Return a talk as a result; its tier is the one that was asked, even if the other one answered."""
    charge = charge or Amount()
    return Result(
        talk.title,
        talk.presenters,
        talk.confidence,
        local.sure,
        Tier.MODEL if asked else Tier.LOCAL,
        charge.input_tokens,
        charge.output_tokens,
        charge.micro_usd,
    )


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
    """Return for each precision the share of rows that could be kept, taking the most confident first."""
    ranked.sort(key=lambda pair: -pair[0])
    best = dict.fromkeys(PRECISIONS, 0)
    right = 0
    for count, (confidence, is_correct) in enumerate(ranked, 1):
        right += is_correct
        if count < len(ranked) and ranked[count][0] == confidence:
            continue  # rows with the same confidence are kept together or not at all
        for wanted in best:
            if right >= wanted * count:
                best[wanted] = count
    return {str(wanted): count / len(ranked) for wanted, count in best.items()}
