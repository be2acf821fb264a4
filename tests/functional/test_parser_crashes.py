"""Every AWS call of the parser fails once, in every way, and the invariants hold.

For a row that needs the model, the first call fails, then (with a fresh row) the second, and so on until the parser
makes no further call. After each failure the message is delivered again, as SQS does, until its row has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.functional.conftest import MODEL
from tests.functional.world import LIMITS, NUMBERS, Cut, Killed, World, received, videos

from titlecard.domain.batch import RowState
from titlecard.domain.money import Amount, PriceList, Usage, measured
from titlecard.domain.video import fingerprint
from titlecard.pipeline.outcome_types import Done, Replaced
from titlecard.pipeline.requeue import TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.functional.world import Wire
    from tests.provider import LoopbackProvider

    from titlecard.aws.dynamodb.catalog import VideoRecord
    from titlecard.bootstrap import AwsClients
    from titlecard.domain.batch import Message
    from titlecard.llm import ModelTier

pytestmark = pytest.mark.usefixtures("local_tier")

RECEIVES = NUMBERS["MaxReceiveCount"]
CALLS = 60
"""More calls than any run has."""

BEFORE_THE_REQUEST = 2
"""The writes with which every run begins: a crash at one of these is the same for all plans."""

RATES = PriceList.packaged().rates(MODEL, "default")


@dataclass
class Way:
    """The run of one row, and its cost."""

    world: World
    provider: LoopbackProvider
    tier: ModelTier
    message: Message
    plan: Plan

    def walk(self, how: Cut, at: int) -> bool:
        """Run it with one failure; return False if it ended before the failure."""
        self.provider.reset()
        self.provider.fail(*self.plan.faults)
        self.world.wire.cut(how, at, besides={"Query"})
        receives = 0
        while receives < RECEIVES:
            receives += 1
            outcome = self._receive(receives)
            struck = self.world.wire.struck
            if struck:
                self.world.wire.mend()
            if outcome == Done(RowState.DEFERRED):
                receives = 0 if self._put_back() else receives
            elif isinstance(outcome, Replaced):
                receives = 0
            elif isinstance(outcome, Done):
                break
            self.world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
        self.world.wire.mend()
        return self.world.wire.struck

    def _receive(self, receives: int) -> object:
        # By a new worker, since the last one may have been killed.
        parser = self.world.parser(self.tier, attempt_cap=self.plan.cap)
        try:
            return parser.work([received(self.message, receives)], lambda: 90)[f"message-{self.message.row}"]
        except (Killed, BotoCoreError, ClientError):
            return None

    def _put_back(self) -> bool:
        """Let time pass until the row is due, and sweep; return whether its message was sent."""
        self.world.clock.forward(NUMBERS["VisibilitySeconds"] + 1)
        try:
            self.world.sweeper().run()
        except (Killed, BotoCoreError, ClientError):
            self.world.wire.mend()
            self.world.clock.forward(TIMEOUT_SECONDS)
            self.world.sweeper().run()
        with self.world.wire.spared():
            sent = self.world.sent()
        self.message = sent[-1] if sent else self.message
        return bool(sent)

    @property
    def billed(self) -> Amount:
        """The cost on the provider's own bill."""
        posts = [Usage(it.input_tokens, it.output_tokens, 0, 0) for it in self.provider.posts if it.input_tokens]
        return sum((measured(it, RATES) for it in posts), Amount())

    @property
    def charged(self) -> Amount:
        """The charge in the ledger."""
        return self.world.ledger.spent(self.message.batch)

    @property
    def entry(self) -> VideoRecord:
        """The catalog's record of the video."""
        mark = fingerprint(self.message.video, model=MODEL, prompt_version=self.tier.prompt_version)
        return self.world.catalog.look_up([(self.message, mark)])[0].entry

    @property
    def state(self) -> RowState | None:
        """The state of its row."""
        return self.world.catalog.look_up([(self.message, "")])[0].row

    def check(self) -> None:
        """Check the invariants."""
        entry, billed, charged = self.entry, self.billed, self.charged
        claims = [event for event in entry.history if event["event"] == "claimed"]
        answers = [i for i, event in enumerate(entry.history) if event["event"] == "answered"]
        assert self.state in self.plan.end, "nothing is lost"
        assert not billed.exceeds(charged), "billed <= charged"
        assert not billed.exceeds(entry.charged(self.message.batch)), "billed <= charged, by the history"
        assert charged.requests <= LIMITS.requests, "charged <= limit"
        assert entry.attempts <= self.plan.cap, "attempts are capped"
        paid = [post for post in self.provider.posts if post.input_tokens]  # only billed attempts leave a trace
        assert len(paid) <= len(claims), "one attempt, one request"
        assert len(answers) <= 1, "an answer is stored once"
        assert answers in ([], [len(entry.history) - 1]), "an answered video is not claimed"
        assert (entry.talk is not None) is bool(answers), "an answer is a talk"


@dataclass(frozen=True)
class Plan:
    """The provider's faults during a run, and the end that it reaches whatever happens to the calls."""

    faults: tuple[str, ...]
    end: tuple[RowState, ...] = (RowState.PARSED,)
    cap: int = NUMBERS["AttemptCap"]


PLANS = {
    "of no use": Plan(("refusal",)),
    "failed, then answered": Plan(("server_error",)),
    "deferred, then answered": Plan(("rate_limit",)),
    "refused": Plan(("invalid_prompt",)),
    "rejected, then answered": Plan(("bad_request",)),
    "rejected twice": Plan(("bad_request", "bad_request")),
    "failed in every attempt": Plan(("server_error",), (RowState.DEAD,), cap=1),
}


@pytest.mark.parametrize("how", [how for how in Cut if how is not Cut.KILLED_BEFORE])
def test_a_failure_at_any_call_keeps_the_invariants(sweep: Sweep, how: Cut) -> None:
    for way in sweep(Plan(()), how):
        way.check()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_crash_at_any_call_keeps_the_invariants_on_every_path(sweep: Sweep, plan: Plan) -> None:
    for way in sweep(plan, Cut.KILLED_AFTER):
        way.check()


Sweep: TypeAlias = "Callable[[Plan, Cut], Iterator[Way]]"


@pytest.fixture
def sweep(clients: AwsClients, wire: Wire, provider: LoopbackProvider, tier: ModelTier) -> Sweep:
    """Return a function that runs a plan with a failure at its first call, its second, and so on, in new worlds."""

    def ways(plan: Plan, how: Cut) -> Iterator[Way]:
        for at in range(BEFORE_THE_REQUEST + 1 if plan.faults else 1, CALLS):
            world = World(clients, wire)
            _, (message,) = world.batch(*videos(1), limits=LIMITS)
            way = Way(world, provider, tier, message, plan)
            struck = way.walk(how, at)
            yield way
            if not struck:
                assert at > BEFORE_THE_REQUEST, "there was a way"
                return
        pytest.fail(f"a way of more than {CALLS} calls")

    return ways
