"""The model tier on a data set: what asking can cost at most, then its answers. Nothing is sent before `ask`.

A data set is no project: it has no batch, no budget and no ledger. What bounds its bill is that every question is asked
once at most, and none costs more than its bound, of which `Plan.bound` is the sum.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from titlecard import extraction as local
from titlecard.domain.errors import Fault
from titlecard.domain.money import Amount
from titlecard.domain.video import Policy, Tier
from titlecard.extraction.survey import Survey
from titlecard.pipeline.talks import by_local_tier, by_model
from titlecard_console.evaluation import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from titlecard.domain.money import Billing
    from titlecard.domain.video import Talk
    from titlecard.extraction import LocalParse
    from titlecard.llm import ModelTier, Question
    from titlecard_console.evaluation import Case

NOT_ASKED = "not_asked"
"""Why there is no answer of the model's to what had not been sent when the asking ended."""


@dataclass(frozen=True)
class Plan:
    """What the local tier says of every case, and the questions, by their cases' places in the data set."""

    cases: Sequence[Case]
    answers: Sequence[LocalParse]
    questions: dict[int, Question]

    @property
    def bound(self) -> Amount:
        """The most that asking all of them can cost."""
        return sum((question.bound for question in self.questions.values()), Amount())


@dataclass(frozen=True)
class ModelRun:
    """The answers to all cases, in order, and how often there was none of the model's for which reason."""

    results: list[Result]
    faults: Counter[str] = field(default_factory=Counter)


def plan(cases: Sequence[Case], tier: ModelTier, policy: Policy) -> Plan:
    """Parse every case locally, each event as one batch, and prepare a question for those that the model is for."""
    batches: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        batches[case.event].append(case)
    surveys = {event: Survey.learn(case.video for case in batch) for event, batch in batches.items()}
    answers = [local.parse(case.video, surveys[case.event]) for case in cases]
    questions = {
        place: tier.prepare(case.video, answer, surveys[case.event].hint())
        for place, (case, answer) in enumerate(zip(cases, answers, strict=True))
        if policy is Policy.MODEL or (policy is Policy.AUTO and not answer.sure)
    }
    return Plan(cases, answers, questions)


def ask(
    planned: Plan,
    tier: ModelTier,
    *,
    key: str,
    deadline: float,
    at_once: int,
    say: Callable[[int, Amount], None] = lambda _done, _charge: None,
) -> ModelRun:
    """Ask every question once; where there is no answer, the local one stands, as in the stack.

    A fault of the account's, or a cost above its bound, ends the asking: what has not been sent by then is not sent.

    Args:
        key: of the provider's account.
        deadline: seconds for one request.
        at_once: so many requests are under way side by side.
        say: is told how many questions are done, and what they were charged.
    """
    tier.load()  # it takes seconds, which are no request's
    stopped = Event()
    faults: Counter[str] = Counter()
    charged = Amount()
    results = [
        _result(by_local_tier(case.video, it), it) for case, it in zip(planned.cases, planned.answers, strict=True)
    ]

    def settled(billing: Billing, question: Question) -> Amount:
        """What a question is charged; one above its bound ends the asking."""
        if billing.exceeds(question.bound):
            stopped.set()
        return billing.charged(question.bound)

    def one(place: int) -> tuple[int, Talk | None, Amount, str | None]:
        """Ask about one case: its talk, what that was charged, and why it is not the model's."""
        case, answer, question = planned.cases[place], planned.answers[place], planned.questions[place]
        if stopped.is_set():
            return place, None, Amount(), NOT_ASKED
        try:
            said = tier.ask(question, key=key, deadline_seconds=deadline)
        except Fault as fault:
            if fault.opens_breaker:
                stopped.set()
            return place, None, settled(fault.billing, question), fault.reason
        charge = settled(said.billing, question)
        talk = by_model(case.video, answer, said, tier.model, charged=charge)
        return place, talk, charge, None if talk.tier is Tier.MODEL else talk.review

    with ThreadPoolExecutor(at_once, thread_name_prefix="ask") as pool:
        try:
            for done, (place, talk, charge, reason) in enumerate(pool.map(one, planned.questions), 1):
                charged += charge
                if reason:
                    faults[reason] += 1
                stands = talk or by_local_tier(planned.cases[place].video, planned.answers[place])
                results[place] = _result(stands, planned.answers[place], asked=reason != NOT_ASKED, charge=charge)
                say(done, charged)
        finally:  # whoever interrupts this does not want to pay for the rest
            stopped.set()
    return ModelRun(results, faults)


def _result(talk: Talk, answer: LocalParse, *, asked: bool = False, charge: Amount | None = None) -> Result:
    """A talk as the score table takes it; its tier is who was asked, whatever came of it."""
    charge = charge or Amount()
    return Result(
        talk.title,
        talk.presenters,
        talk.confidence,
        answer.sure,
        Tier.MODEL if asked else Tier.LOCAL,
        charge.input_tokens,
        charge.output_tokens,
        charge.micro_usd,
    )
