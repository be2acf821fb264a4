"""What stops a request: budgets, pauses, the breaker, a cancelled batch, a failing ledger.

Everything is real except the local tier's confidence, as in `test_parser`.
"""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from tests.functional.conftest import MODEL
from tests.functional.world import LIMITS, NUMBERS, PROJECT, Cut, KeysOfATest, World, received, replaced, videos

from titlecard import extraction
from titlecard.aws.dynamodb.catalog import NEVER, Catalog, Row, VideoRecord, stamp
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.aws.dynamodb.ledger.breakers import ACCOUNT_PROBE_SECONDS
from titlecard.aws.errors import KeyUnreadable, LedgerUnavailable
from titlecard.aws.sqs import WorkQueue
from titlecard.domain.batch import BatchState, Message, RowState
from titlecard.domain.money import Amount, Budget, Cap, PriceList, Total, Unbilled, Usage, measured
from titlecard.domain.reasons import Reason
from titlecard.domain.video import Policy, Tier, fingerprint
from titlecard.llm import ModelTier
from titlecard.llm.errors import DeadLetter, Defer
from titlecard.pipeline.canary import CanaryGate
from titlecard.pipeline.job import Received
from titlecard.pipeline.outcome_types import Done, Outcome, Redeliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.provider import LoopbackProvider

    from titlecard.llm import Answer, Request
    from titlecard.llm.errors import Fault
    from titlecard.pipeline.parse import Parser

pytestmark = pytest.mark.usefixtures("local_tier")

PARSED_BY_MODEL = Done(RowState.PARSED, Tier.MODEL)
PARSED_LOCALLY = Done(RowState.PARSED, Tier.LOCAL)
DEFERRED = Done(RowState.DEFERRED)
CANCELLED = Done(RowState.CANCELLED)
THRESHOLD = 2
BACKOFF = NUMBERS["RetryBackoffSeconds"]
RATES = PriceList.packaged().rates(MODEL, "default")


class Project:
    """A project with rows that need the model, and the worker that asks."""

    def __init__(self, world: World, tier: ModelTier, provider: LoopbackProvider, name: str = PROJECT) -> None:
        self.world, self.tier, self.provider, self.name = world, tier, provider, name
        self.worker = self.parser()

    def parser(self, key: KeysOfATest | None = None, **rules: Any) -> Parser:  # noqa: ANN401 -- each is of its field's kind
        """Return a new worker."""
        return self.world.parser(self.tier, keys=key, **{"breaker_threshold": THRESHOLD, **rules})

    def rows(self, number: int, start: str = "v", **limits: int) -> list[Message]:
        """Return the rows of a new batch; `limits` are the batch's own."""
        batch = replace(LIMITS, **limits)
        return self.world.batch(*videos(number, start), project=self.name, limits=batch)[1]

    def work(self, message: Message, receives: int = 1, **rules: Any) -> Outcome:  # noqa: ANN401 -- likewise
        """Work on one message and return its outcome; a deferred row's message arrives as the sweeper sends it."""
        worker = self.parser(**rules) if rules else self.worker
        return worker.work([received(self.sent_again(message), receives)], lambda: 90)[f"message-{message.row}"]

    def sent_again(self, message: Message) -> Message:
        """Return a row's message as the sweeper sends it, with the number of its deferrals."""
        standing = self.world.catalog.look_up([(message, self.mark(message))])[0]
        return message.model_copy(update={"deferrals": max(message.deferrals, standing.deferrals)})

    @staticmethod
    def mark(message: Message) -> str:
        """Return the fingerprint of a row's video."""
        return fingerprint(message.video, model=MODEL, prompt_version=ModelTier.prompt_version)

    def budget(self, daily: Cap = Cap(), monthly: Cap = Cap()) -> None:  # noqa: B008 -- caps do not change
        """Set the project's budget."""
        self.world.ledger.set_budget(self.name, Budget(daily, monthly), by="person", now=self.world.clock())

    def row(self, message: Message) -> Row:
        """Return a row in its current state."""
        (found,) = (
            it for it in self.world.catalog.rows(self.world.catalog.batch(message.batch)) if it.number == message.row
        )
        return found

    def why(self, message: Message) -> str:
        """Return the word for why a row waits or how it ended."""
        return (self.row(message).reason or "").partition(":")[0]

    def entry(self, message: Message) -> VideoRecord:
        """Return the catalog's record of a row's video."""
        return self.world.catalog.look_up([(message, self.mark(message))])[0].entry

    @property
    def breaker(self) -> Any:  # noqa: ANN401 -- a breaker
        """The project's breaker."""
        return self.world.ledger.account(self.name, now=self.world.clock()).breaker

    @property
    def charged(self) -> Amount:
        """The project's charge in the month."""
        return self.world.ledger.window(self.name, self.world.clock())[1]

    @property
    def billed(self) -> Amount:
        """The provider's own bill."""
        paid = [Usage(it.input_tokens, it.output_tokens, 0, 0) for it in self.provider.posts if it.input_tokens]
        return sum((measured(it, RATES) for it in paid), Amount())

    def bound(self, message: Message) -> Amount:
        """Return the bound of the request about a row, without sending it."""
        survey = self.world.catalog.survey(message.batch).of(message.row, message.video)
        return self.tier.prepare(message.video, extraction.parse(message.video, survey), survey.hint()).bound


@pytest.fixture
def project(world: World, tier: ModelTier, provider: LoopbackProvider) -> Project:
    return Project(world, tier, provider)


# --------------------------------------------------------------------------------------------------------- no budget


@pytest.fixture
def poor(world: World, tier: ModelTier, provider: LoopbackProvider) -> Project:
    """Return a project with a key but without a budget."""
    return Project(world, tier, provider, "pycon")


def test_without_a_budget_no_request_is_sent_and_the_row_names_the_command_that_helps(poor: Project) -> None:
    (message,) = poor.rows(1)
    assert poor.work(message) == DEFERRED
    row = poor.row(message)
    assert (poor.why(message), row.due) == ("no_budget", NEVER)
    assert "titlecard budget set pycon" in (row.reason or "")
    assert (poor.provider.posts, poor.entry(message).history) == ([], ())


def test_without_a_budget_the_local_tier_answers_what_it_is_sure_of(poor: Project) -> None:
    (message,) = poor.rows(1, "sure")
    assert poor.work(message) == PARSED_LOCALLY


def test_with_a_budget_the_row_is_answered_when_it_comes_back(poor: Project) -> None:
    (message,) = poor.rows(1)
    poor.work(message)
    poor.budget(monthly=Cap(None, 1_000_000))
    assert poor.world.sweeper().run() == {"put back": 1}
    assert [poor.work(it) for it in poor.world.sent()] == [PARSED_BY_MODEL]


# ---------------------------------------------------------------------------------------------------- day and month


def test_rows_beyond_the_daily_budget_wait_for_the_next_day(project: Project) -> None:
    one, two = project.rows(2)
    project.budget(daily=Cap(None, project.bound(one).micro_usd))
    assert [project.work(one), project.work(two)] == [PARSED_BY_MODEL, DEFERRED]
    assert (project.why(two), project.row(two).due) == ("budget_day", stamp(datetime(2026, 1, 6, tzinfo=UTC)))
    assert project.entry(two).attempts == 0


def test_rows_beyond_the_monthly_budget_wait_for_the_next_month(project: Project) -> None:
    one, two = project.rows(2)
    project.budget(monthly=Cap(project.bound(one).tokens, None))
    assert [project.work(one), project.work(two)] == [PARSED_BY_MODEL, DEFERRED]
    assert (project.why(two), project.row(two).due) == ("budget_month", stamp(datetime(2026, 2, 1, tzinfo=UTC)))


@pytest.mark.parametrize("tight", ["daily", "monthly"])
def test_a_budget_below_one_request_lets_nothing_through_and_waits_for_a_person(project: Project, tight: str) -> None:
    (message,) = project.rows(1)
    project.budget(**{tight: Cap(None, project.bound(message).micro_usd - 1)})
    assert project.work(message) == DEFERRED
    assert (project.row(message).due, project.provider.posts) == (NEVER, [])
    assert project.charged == Amount()
    assert "raise it" in (project.row(message).reason or "")
    assert project.entry(message).attempts == 0


def test_ten_at_once_stay_within_the_budget(project: Project) -> None:
    messages = project.rows(10)
    room = 4 * project.bound(messages[0]).micro_usd
    project.budget(daily=Cap(None, room))
    project.worker.work([received(message) for message in messages], lambda: 90)
    assert project.billed.micro_usd == project.charged.micro_usd <= room
    assert 4 <= len(project.provider.posts) < 10


def test_a_charge_from_before_midnight_is_settled_before_midnight(project: Project) -> None:
    (message,) = project.rows(1)
    clock = project.world.clock
    clock.now = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)

    class Slow(ModelTier):
        def ask(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- as the tier's
            clock.forward(2)
            return project.tier.ask(*args, **kwargs)

    slow = Slow(MODEL, max_output_tokens=400, prices=PriceList.packaged())
    project.world.parser(slow).work([received(message)], lambda: 90)
    january, february = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    assert project.world.ledger.window(PROJECT, january)[1] == project.billed
    assert project.world.ledger.window(PROJECT, february) == (Total(), Amount())


# ------------------------------------------------------------------------------------------------------------- pause


@pytest.mark.parametrize("whom", [PROJECT, "*"])
def test_a_paused_project_sends_no_request_from_the_next_message_on(project: Project, whom: str) -> None:
    one, two = project.rows(2)
    assert project.work(one) == PARSED_BY_MODEL
    project.world.ledger.pause(whom, now=project.world.clock())
    assert project.work(two) == DEFERRED
    assert (project.why(two), project.row(two).due, len(project.provider.posts)) == ("paused", NEVER, 1)
    named = "--all" if whom == "*" else PROJECT
    assert f"`titlecard resume {named}`" in (project.row(two).reason or "")


def test_a_paused_project_still_has_the_local_tier(project: Project) -> None:
    (message,) = project.rows(1, "sure")
    project.world.ledger.pause(PROJECT, now=project.world.clock())
    assert project.work(message) == PARSED_LOCALLY


def test_a_row_that_waited_for_the_end_of_a_pause_continues(project: Project) -> None:
    (message,) = project.rows(1)
    project.world.ledger.pause(PROJECT, now=project.world.clock())
    project.work(message)
    assert project.world.sweeper().run() == {}
    project.world.ledger.unpause(PROJECT)
    for _ in range(2):
        project.world.sweeper().run()
    assert [project.work(it) for it in project.world.sent()] == [PARSED_BY_MODEL]


def test_a_pause_costs_neither_attempt_nor_money(project: Project) -> None:
    (message,) = project.rows(1)
    project.world.ledger.pause(PROJECT, now=project.world.clock())
    project.work(message)
    assert (project.entry(message).history, project.charged) == ((), Amount())


# ------------------------------------------------------------------------------------------------------- the breaker


def test_an_account_fault_opens_the_breaker_at_once(project: Project) -> None:
    one, two = project.rows(2)
    project.provider.fail("unauthorized")
    assert [project.work(one), project.work(two)] == [DEFERRED, DEFERRED]
    assert (project.breaker.open, "401" in project.breaker.why) == (True, True)
    assert (project.why(one), project.why(two), len(project.provider.posts)) == ("account_fault", "breaker_open", 1)
    assert project.row(two).due == stamp(project.world.clock.after(ACCOUNT_PROBE_SECONDS))
    assert project.row(two).reason == f"breaker_open: no requests for now: {project.breaker.why}"


def test_an_open_breaker_does_not_stop_other_projects(project: Project) -> None:
    (one,) = project.rows(1)
    project.provider.fail("unauthorized")
    project.work(one)
    other = Project(project.world, project.tier, project.provider, "pycon")
    other.budget(monthly=Cap(None, 1_000_000))
    assert other.work(other.rows(1, "w")[0]) == PARSED_BY_MODEL


def test_the_local_tier_works_while_the_breaker_is_open(project: Project) -> None:
    project.provider.fail("unauthorized")
    project.work(project.rows(1)[0])
    assert project.work(project.rows(1, "sure")[0]) == PARSED_LOCALLY


def test_enough_transient_faults_in_a_row_open_the_breaker(project: Project) -> None:
    one, two, three = project.rows(3)
    project.provider.fail("server_error", "reset")
    assert isinstance(project.work(one), Redeliver)
    assert not project.breaker.open
    assert isinstance(project.work(two), Redeliver)
    assert (project.breaker.open, project.breaker.failures) == (True, THRESHOLD)
    assert project.work(three) == DEFERRED
    assert project.row(three).due == stamp(project.world.clock.after(BACKOFF))


def test_an_answer_in_between_resets_the_count_of_faults(project: Project) -> None:
    messages = project.rows(4)
    project.provider.fail("server_error", "ok", "server_error")
    for message in messages[:3]:
        project.work(message)
    assert (project.breaker.open, project.breaker.failures) == (False, 1)


@pytest.mark.parametrize("fault", ["refusal", "invalid_prompt", "rate_limit"])
def test_a_fault_that_shows_a_working_provider_and_account_resets_the_count_of_faults(
    project: Project, fault: str
) -> None:
    one, two = project.rows(2)
    project.provider.fail("server_error", fault)
    project.work(one)
    project.work(two)
    assert project.breaker.failures == 0


def opened(project: Project, fault: str = "unauthorized") -> Message:
    """Open the breaker and wait until its probe is due; return the message of the probe."""
    (message,) = project.rows(1, "opened")
    project.provider.fail(fault)
    project.work(message)
    project.world.clock.forward(ACCOUNT_PROBE_SECONDS + 1)
    return message


def test_after_fifteen_minutes_one_request_is_let_through_and_its_answer_closes_the_breaker(
    project: Project,
) -> None:
    message = opened(project)
    assert project.work(message) == PARSED_BY_MODEL
    assert (project.breaker.open, project.breaker.failures) == (False, 0)


def test_no_request_is_let_through_before_the_probe_is_due(project: Project) -> None:
    opened(project)
    project.world.clock.forward(-5)
    (other,) = project.rows(1, "other")
    assert project.work(other) == DEFERRED
    assert len(project.provider.posts) == 1


def test_while_a_probe_is_in_flight_no_other_request_is_let_through(project: Project) -> None:
    message = opened(project)
    (other,) = project.rows(1, "other")
    seen: list[Outcome] = []

    probing = Meanwhile(project, lambda: seen.append(project.work(other)))
    outcome = project.world.parser(probing).work([received(project.sent_again(message))], lambda: 90)
    assert (outcome, seen, project.why(other)) == ({"message-1": PARSED_BY_MODEL}, [DEFERRED], "breaker_open")


def test_a_probe_that_was_not_billed_costs_no_attempt_and_is_followed_by_the_next_a_quarter_later(
    project: Project,
) -> None:
    message = opened(project)
    project.provider.fail("insufficient_quota")
    assert project.work(message) == DEFERRED
    assert (project.entry(message).attempts, project.charged, project.breaker.open) == (0, Amount(), True)
    assert project.breaker.probe_at == stamp(project.world.clock.after(ACCOUNT_PROBE_SECONDS))


def test_a_probe_that_may_have_been_billed_counts_so_that_no_video_is_billed_beyond_its_cap(project: Project) -> None:
    message = opened(project)
    project.provider.fail(always="server_error")
    for number in range(1, NUMBERS["AttemptCap"] + 1):
        project.work(message, number)
        assert project.entry(message).attempts == number
        project.world.clock.now = datetime.fromisoformat(project.breaker.probe_at) + timedelta(seconds=1)
    assert project.work(message, NUMBERS["AttemptCap"] + 1) == Done(RowState.DEAD)
    asked = [it for it in project.provider.posts if it.fault == "server_error"]
    assert len(asked) == NUMBERS["AttemptCap"]


def test_a_probe_whose_worker_was_killed_makes_way_for_another(project: Project) -> None:
    message = opened(project)
    now = project.world.clock()
    assert project.world.ledger.take_probe(PROJECT, token="dead", until=now + timedelta(seconds=120), now=now)  # noqa: S106 -- no password
    assert project.work(message) == DEFERRED
    project.world.clock.forward(121)
    assert project.work(message) == PARSED_BY_MODEL


def test_a_probe_that_has_no_room_makes_way_for_another_at_once(project: Project) -> None:
    message = opened(project)
    (limited,) = project.rows(1, "limited", requests=0)
    assert project.work(limited) == DEFERRED
    assert project.work(message) == PARSED_BY_MODEL


def test_a_probe_asks_with_a_key_that_is_read_afresh(project: Project) -> None:
    message = opened(project)
    asked: list[bool] = []

    class Fresh(KeysOfATest):
        def of(self, project: str, *, fresh: bool = False) -> str | None:
            asked.append(fresh)
            return super().of(project)

    fresh = Fresh("sk-proj-loopback-0123456789")
    project.parser(fresh).work([received(project.sent_again(message))], lambda: 90)
    assert asked == [False, True]


def test_probes_after_transient_faults_are_further_and_further_apart(project: Project) -> None:
    one, two = project.rows(2)
    project.provider.fail(always="server_error")
    project.work(one)
    project.work(two)
    waits = []
    for number in range(3):
        start = project.world.clock()
        project.world.clock.now = datetime.fromisoformat(project.breaker.probe_at) + timedelta(seconds=1)
        waits.append((project.world.clock() - start).total_seconds() - 1)
        project.work(project.rows(1, f"probe{number}")[0])
    assert waits == [BACKOFF, 2 * BACKOFF, 4 * BACKOFF]


def test_a_usage_above_its_bound_opens_the_breaker_until_a_person_closes_it(project: Project) -> None:
    one, two = project.rows(2)
    project.provider.fail("usage_above_bound")
    assert project.work(one) == PARSED_BY_MODEL
    project.world.clock.forward(30 * 86_400)
    assert project.work(two) == DEFERRED
    assert project.row(two).due == NEVER
    project.world.ledger.close_breaker(PROJECT)
    for _ in range(2):
        project.world.sweeper().run()
    assert [project.work(it) for it in project.world.sent()] == [PARSED_BY_MODEL]


class Meanwhile(ModelTier):
    """Does something else between the reservation and the sending of a request."""

    def __init__(self, project: Project, meanwhile: Callable[[], object]) -> None:
        super().__init__(MODEL, max_output_tokens=400, prices=PriceList.packaged())
        self.project, self.meanwhile = project, meanwhile

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:
        """Do the other thing, then ask."""
        self.meanwhile()
        return self.project.tier.ask(request, key=key, deadline_seconds=deadline_seconds)


@pytest.mark.parametrize("other", ["unauthorized", "server_error", "billing_hard_limit", "silent_close"])
def test_a_breaker_that_a_person_must_close_gets_no_date_from_requests_in_flight(project: Project, other: str) -> None:
    one, late, after = project.rows(3)

    def meanwhile() -> None:
        project.provider.fail("usage_above_bound")
        assert project.work(one) == PARSED_BY_MODEL
        project.provider.fail(other)

    worker = project.world.parser(Meanwhile(project, meanwhile), breaker_threshold=1)
    worker.work([received(late)], lambda: 90)
    assert (project.breaker.due, project.breaker.why.startswith("a usage above its bound")) == (None, True)
    project.provider.fail()
    project.world.clock.forward(2 * ACCOUNT_PROBE_SECONDS)
    assert (project.work(after), project.why(after), project.row(after).due) == (DEFERRED, "breaker_open", NEVER)


def test_a_transient_fault_in_flight_does_not_shorten_the_wait_for_the_account(project: Project) -> None:
    one, late = project.rows(2)

    def meanwhile() -> None:
        project.provider.fail("unauthorized")
        assert project.work(one) == DEFERRED
        project.provider.fail("server_error")

    project.world.parser(Meanwhile(project, meanwhile), breaker_threshold=1).work([received(late)], lambda: 90)
    assert project.breaker.probe_at == stamp(project.world.clock.after(ACCOUNT_PROBE_SECONDS))
    assert "401" in project.breaker.why


def test_a_usage_above_its_bound_is_charged_in_full_to_the_project(project: Project) -> None:
    (message,) = project.rows(1)
    project.provider.fail("usage_above_bound")
    bound = project.bound(message)
    project.work(message)
    assert project.charged == project.billed
    assert project.billed.exceeds(bound)


# ------------------------------------------------------------------------------------------ outcomes for the breaker


def test_a_usage_above_its_bound_with_a_fault_opens_the_breaker_until_a_person_closes_it(project: Project) -> None:
    (message,) = project.rows(1)
    project.provider.fail("failed_above_bound")
    assert isinstance(project.work(message), Redeliver)
    assert (project.breaker.open, project.breaker.due, project.charged) == (True, None, project.billed)


def test_a_provider_that_cannot_be_reached_counts_towards_the_threshold(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with closing(ModelTier(MODEL, max_output_tokens=400, prices=PriceList.packaged(), base_url=nowhere)) as tier:
        worker = project.world.parser(tier, breaker_threshold=2)
        for message in project.rows(2):
            assert worker.work([received(message)], lambda: 90) == {f"message-{message.row}": DEFERRED}
    assert (project.breaker.open, project.breaker.failures, project.charged) == (True, 2, Amount())


def test_a_probe_that_another_worker_took_in_between_is_not_let_through(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = opened(project)
    monkeypatch.setattr(Ledger, "take_probe", lambda *_args, **_kwargs: False)
    before = len(project.provider.posts)
    assert (project.work(message), project.why(message)) == (DEFERRED, "breaker_open")
    assert len(project.provider.posts) == before
    assert stamp(project.world.clock()) < (project.row(message).due or "") < NEVER


def test_an_answer_without_a_usage_is_in_the_ledger_as_lost(project: Project) -> None:
    (message,) = project.rows(1)
    bound = project.bound(message)
    project.provider.fail("no_usage")
    assert project.work(message) == PARSED_BY_MODEL
    spent = project.world.ledger.spending(message.batch)
    assert (spent.charged, spent.lost.requests, spent.lost.micro_usd) == (bound, 1, bound.micro_usd)


@pytest.mark.parametrize(
    ("fault", "outcome"), [("rate_limit_until_no_date", DEFERRED), ("forty_digits_in_usage", PARSED_BY_MODEL)]
)
def test_a_number_that_python_or_dynamodb_cannot_hold_concerns_its_row_alone(
    project: Project, fault: str, outcome: Done
) -> None:
    messages = project.rows(3)
    project.provider.fail(fault)
    outcomes = list(project.worker.work([received(it) for it in messages], lambda: 90).values())
    assert (outcomes.count(outcome), outcomes.count(PARSED_BY_MODEL)) in {(1, 2), (3, 3)}
    assert project.charged.requests == outcomes.count(PARSED_BY_MODEL)
    assert not project.billed.exceeds(project.charged)


class Failing(ModelTier):
    """Fails in one way, without any request."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(MODEL, max_output_tokens=400, prices=PriceList.packaged())
        self.fault = fault

    def load(self) -> None:
        """Load nothing."""

    def ask(self, request: Request, *, key: str, deadline_seconds: float) -> Answer:  # noqa: ARG002 -- as the tier's
        """Fail."""
        raise self.fault


NOT_SENT = [
    Defer(Reason.NOT_SENT_IN_TIME, "there was no time"),
    DeadLetter(Reason.REFUSED_AT_THE_WIRE, "another model", billing=Unbilled()),
]


@pytest.mark.parametrize("fault", NOT_SENT, ids=lambda fault: fault.reason)
def test_a_probe_that_was_not_sent_leaves_the_breaker_open_and_makes_way(project: Project, fault: Fault) -> None:
    message = project.sent_again(opened(project))
    project.world.parser(Failing(fault)).work([received(message)], lambda: 90)
    assert project.breaker.open
    assert project.work(project.rows(1, "other")[0]) == PARSED_BY_MODEL


@pytest.mark.parametrize("fault", NOT_SENT, ids=lambda fault: fault.reason)
def test_a_request_that_was_not_sent_says_nothing_about_the_provider(project: Project, fault: Fault) -> None:
    one, two = project.rows(2)
    project.provider.fail("server_error")
    project.work(one)
    project.world.parser(Failing(fault)).work([received(two)], lambda: 90)
    assert (project.breaker.failures, project.breaker.open) == (1, False)


def test_a_request_that_the_fuse_refuses_is_dead_at_once_and_costs_nothing(project: Project) -> None:
    (message,) = project.rows(1)
    outcome = project.world.parser(Failing(NOT_SENT[1])).work([received(message)], lambda: 90)
    assert outcome == {"message-1": Done(RowState.DEAD)}
    assert (project.entry(message).attempts, project.charged) == (1, Amount())
    assert [(body, why.partition(":")[0]) for body, why in project.world.dead()] == [
        (message.model_dump_json(), "refused_at_the_wire")
    ]


def test_a_probe_whose_video_another_worker_has_makes_way(project: Project) -> None:
    message = opened(project)
    now = project.world.clock()
    project.world.catalog.claim(
        message,
        project.mark(message),
        token="another's",  # noqa: S106 -- no password
        cap=NUMBERS["AttemptCap"],
        policy=Policy.AUTO,
        bound=Amount(1, 1, 1, 1),
        until=now + timedelta(seconds=60),
        now=now,
    )
    assert project.work(message) == Redeliver()
    assert project.work(project.rows(1, "other")[0]) == PARSED_BY_MODEL


def test_a_probe_that_there_is_no_time_to_send_is_undone_and_makes_way(project: Project) -> None:
    message = project.sent_again(opened(project))
    left = [NUMBERS["RequestDeadlineSeconds"] + NUMBERS["SettleMarginSeconds"] + 5.0]

    class Slow(KeysOfATest):
        def of(self, project: str, *, fresh: bool = False) -> str | None:
            left[0] -= 20 * fresh
            return super().of(project)

    worker = project.parser(Slow("sk-proj-loopback-0123456789"))
    assert worker.work([received(message)], lambda: left[0]) == {"message-1": Redeliver(0)}
    assert (project.entry(message).attempts, project.charged) == (0, Amount())
    assert project.work(project.rows(1, "other")[0]) == PARSED_BY_MODEL


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_probe_without_a_readable_key_leaves_no_trace_but_the_reason(project: Project, *, is_lost: bool) -> None:
    message = project.sent_again(opened(project))
    before = project.breaker

    class Gone(KeysOfATest):
        def of(self, project: str, *, fresh: bool = False) -> str | None:
            if fresh and is_lost:
                raise KeyUnreadable("denied")
            return None if fresh else super().of(project)

    worker = project.parser(Gone("sk-proj-loopback-0123456789"))
    assert worker.work([received(message)], lambda: 90) == {"message-1": DEFERRED}
    said = "denied" if is_lost else f"the key of {PROJECT} was removed"
    assert (project.row(message).reason, project.breaker) == (f"key_unreadable: {said}", before)
    assert (project.entry(message).attempts, project.charged, len(project.provider.posts)) == (0, Amount(), 1)
    assert project.work(project.rows(1, "other")[0]) == PARSED_BY_MODEL


def test_an_answer_is_kept_if_the_breaker_cannot_be_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = project.rows(2)
    project.provider.fail("server_error")
    project.work(one)
    monkeypatch.setattr(Ledger, "count_answer", _unavailable)
    assert project.work(two) == PARSED_BY_MODEL


def test_an_answer_that_cannot_be_settled_stands_and_stays_charged_at_its_bound(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = project.rows(1)
    monkeypatch.setattr(Ledger, "settle", _unavailable)
    assert project.work(message) == PARSED_BY_MODEL
    assert project.charged == project.bound(message)


def _unavailable(*_args: object, **_kwargs: object) -> None:
    raise LedgerUnavailable("the ledger did not answer: a test")


@pytest.mark.parametrize("is_held", [True, False])
def test_a_row_that_waits_keeps_what_its_request_can_cost(project: Project, *, is_held: bool) -> None:
    (message,) = project.rows(1)
    if is_held:
        project.world.ledger.pause(PROJECT, now=project.world.clock())
    project.provider.fail("rate_limit")
    assert project.work(message) == DEFERRED
    assert project.row(message).need == project.bound(message)


def test_a_request_is_charged_to_the_model_that_is_asked(project: Project) -> None:
    project.work(project.rows(1)[0])
    (month,) = project.world.ledger.months(PROJECT)
    assert month.models.keys() == {MODEL}


@pytest.mark.parametrize("is_ours", [True, False])
def test_the_wait_doubles_from_deferral_to_deferral(
    project: Project, monkeypatch: pytest.MonkeyPatch, *, is_ours: bool
) -> None:
    (message,) = project.rows(1)
    now = project.world.clock()
    for _ in range(3):
        project.world.catalog.defer(message, project.mark(message), reason="later", due=now, now=now)
    if is_ours:
        monkeypatch.setattr(Ledger, "account", _unavailable)
    worker = project.world.parser(Failing(Defer(Reason.PROVIDER_UNREACHABLE, "nobody there")))
    assert worker.work([received(project.sent_again(message))], lambda: 90) == {"message-1": DEFERRED}
    earliest, latest = (stamp(now + timedelta(seconds=BACKOFF * times)) for times in (4, 8))
    assert earliest <= (project.row(message).due or "") <= latest


def test_the_breaker_is_written_even_if_the_catalog_does_not_answer(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = project.rows(1)
    project.provider.fail("unauthorized")

    def unanswered(*_args: object, **_kwargs: object) -> bool:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(Catalog, "give_back", unanswered)
    assert isinstance(project.work(message), Redeliver)
    assert project.breaker.open


# --------------------------------------------------------------------------------------------- rejected, and for whom


ACCOUNT_WIDE = ["unsupported_parameter", "unknown_model", "bad_tier", "bad_schema", "billing_hard_limit", "not_found"]


@pytest.mark.parametrize("fault", ACCOUNT_WIDE)
def test_a_rejection_that_would_meet_every_row_opens_the_breaker_and_costs_nothing(
    project: Project, fault: str
) -> None:
    one, two = project.rows(2)
    project.provider.fail(always=fault)
    assert [project.work(one), project.work(two)] == [DEFERRED, DEFERRED]
    assert (len(project.provider.posts), project.charged, project.entry(one).attempts) == (1, Amount(), 0)
    assert (project.breaker.open, project.why(one), project.why(two)) == (True, "account_fault", "breaker_open")
    assert "loopback provider says" in project.breaker.why
    assert project.world.dead() == []


@pytest.mark.parametrize("fault", ["unauthorized", "insufficient_quota", "unsupported_parameter"])
def test_one_of_ten_concurrent_requests_finds_the_accounts_fault(project: Project, fault: str) -> None:
    messages = project.rows(10)
    project.provider.fail(always=fault)
    outcomes = project.worker.work([received(it) for it in messages], lambda: 90)
    assert set(outcomes.values()) == {DEFERRED}
    assert (len(project.provider.posts), project.charged, project.world.dead()) == (1, Amount(), [])


def test_one_request_of_a_new_batch_finds_the_fault_of_an_account_that_has_just_worked(project: Project) -> None:
    worker = project.worker
    assert set(worker.work([received(it) for it in project.rows(2)], lambda: 90).values()) == {PARSED_BY_MODEL}
    project.provider.fail(always="unauthorized")
    outcomes = worker.work([received(it) for it in project.rows(10, "w")], lambda: 90)
    assert (set(outcomes.values()), len(project.provider.posts)) == ({DEFERRED}, 2 + 1)


def test_two_of_ten_concurrent_requests_find_a_rejection_without_a_reason(project: Project) -> None:
    messages = project.rows(10)
    project.provider.fail(always="bad_request")
    project.worker.work([received(it) for it in messages], lambda: 90)
    assert (len(project.provider.posts), project.breaker.open) == (2, True)


def test_a_worker_asks_concurrently_after_its_first_answer(project: Project) -> None:
    first, *others = project.rows(4)
    together = threading.Barrier(len(others))
    waits: list[Callable[[], object]] = []
    worker = project.world.parser(Meanwhile(project, lambda: [wait() for wait in waits]))
    worker.work([received(first)], lambda: 90)
    waits.append(lambda: together.wait(60))  # the barrier breaks if they are asked one by one
    outcomes = worker.work([received(it) for it in others], lambda: 90)
    assert set(outcomes.values()) == {PARSED_BY_MODEL}


def test_a_rejection_without_a_reason_is_the_accounts_fault_once_two_videos_have_met_it(project: Project) -> None:
    one, two, three = project.rows(3)
    project.provider.fail(always="bad_request")
    assert isinstance(project.work(one), Redeliver)
    assert [project.work(two), project.work(three)] == [DEFERRED, DEFERRED]
    assert (project.breaker.open, len(project.provider.posts)) == (True, 2)
    assert (project.entry(two).attempts, project.world.dead()) == (0, [])


def test_a_rejection_without_a_reason_of_one_video_alone_leaves_its_local_answer_for_review(project: Project) -> None:
    odd, fair = project.rows(2)
    project.provider.fail("bad_request", "ok", "bad_request")
    assert isinstance(project.work(odd), Redeliver)
    assert [project.work(fair), project.work(odd, 2)] == [PARSED_BY_MODEL, PARSED_LOCALLY]
    talk = project.entry(odd).talk
    assert talk
    assert (talk.review, project.breaker.open) == ("bad_request", False)


def test_two_rejections_by_other_codes_are_no_fault_of_the_account(project: Project) -> None:
    one, two = project.rows(2)
    project.provider.fail("bad_request", "unprocessable")
    project.work(one)
    project.work(two)
    assert (project.breaker.open, project.breaker.rejected) == (False, True)


def test_an_answer_between_two_rejections_keeps_the_breaker_closed(project: Project) -> None:
    one, two, three = project.rows(3)
    project.provider.fail("bad_request", "ok", "bad_request")
    for message in (one, two, three):
        project.work(message)
    assert not project.breaker.open


def test_the_last_attempt_of_a_rejected_video_does_not_end_it_as_dead(project: Project) -> None:
    (odd,) = project.rows(1)
    project.provider.fail("bad_request")
    assert project.work(odd, attempt_cap=1) == PARSED_LOCALLY


def test_a_rejection_does_not_close_an_open_breaker(project: Project) -> None:
    message = opened(project)
    project.provider.fail("bad_request")
    assert project.work(message) == DEFERRED
    assert (project.breaker.open, project.entry(message).attempts) == (True, 0)


# ------------------------------------------------------------------------------------------------ the time that is left


@pytest.mark.parametrize("table", ["claim", "reserve"])
def test_a_request_that_could_not_end_is_not_sent_after_a_slow_table(
    project: Project, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    (message,) = project.rows(1)
    left = [NUMBERS["RequestDeadlineSeconds"] + NUMBERS["SettleMarginSeconds"] + 5.0]
    owner = Catalog if table == "claim" else Ledger
    fast = getattr(owner, table)

    def slow(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- as the table's
        left[0] -= 20
        return fast(*args, **kwargs)

    monkeypatch.setattr(owner, table, slow)
    assert project.worker.work([received(message)], lambda: left[0]) == {"message-1": Redeliver(0)}
    entry = project.entry(message)
    assert (project.provider.posts, project.charged) == ([], Amount())
    assert (entry.attempts, entry.lease_until, entry.history) == (0, "", ())


def test_a_worker_that_was_overtaken_before_it_sent_releases_no_reservation(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = project.rows(1)
    bound = project.bound(message)
    left = [NUMBERS["RequestDeadlineSeconds"] + NUMBERS["SettleMarginSeconds"] + 5.0]
    fast = Ledger.reserve

    def slow(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- as the ledger's
        left[0] -= 20
        return fast(*args, **kwargs)

    monkeypatch.setattr(Ledger, "reserve", slow)
    monkeypatch.setattr(Catalog, "give_back", lambda *_: False)
    project.worker.work([received(message)], lambda: left[0])
    assert (project.provider.posts, project.charged) == ([], bound)


def test_a_request_that_waits_too_long_for_the_canary_claims_and_reserves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = project.rows(1)
    left = [90.0]

    @contextmanager
    def late(*_: object) -> Iterator[None]:
        left[0] = 5.0
        yield

    monkeypatch.setattr(CanaryGate, "enter", late)
    before = len(project.world.wire.calls)
    assert project.worker.work([received(message)], lambda: left[0]) == {"message-1": Redeliver(0)}
    assert "UpdateItem" not in project.world.wire.calls[before:]


# ------------------------------------------------------------------------------------------------------------ cancel


def cancel(world: World, message: Message) -> None:
    world.ledger.cancel(message.batch, now=world.clock())
    world.catalog.cancel(world.catalog.batch(message.batch), now=world.clock())


def test_a_message_of_a_cancelled_batch_is_acknowledged_as_cancelled(project: Project) -> None:
    one, two = project.rows(2)
    assert project.work(one) == PARSED_BY_MODEL
    cancel(project.world, one)
    assert project.work(two, tier_policy=Policy.AUTO) == CANCELLED
    assert (project.row(two).state, len(project.provider.posts)) == (RowState.CANCELLED, 1)


def test_a_cancelled_batch_is_not_even_parsed_locally(project: Project) -> None:
    (message,) = project.rows(1, "sure")
    cancel(project.world, message)
    assert project.work(message) == CANCELLED


def test_a_worker_notices_a_cancellation_within_half_a_minute(project: Project) -> None:
    one, two = project.rows(2, "sure")
    assert project.work(one) == PARSED_LOCALLY
    cancel(project.world, one)
    project.world.clock.forward(31)
    assert project.work(two) == CANCELLED


def test_a_worker_whose_clock_was_ahead_notices_a_cancellation_as_soon_as_the_clock_is_set_back(
    project: Project,
) -> None:
    one, two = project.rows(2, "sure")
    project.world.clock.forward(86_400)
    assert project.work(one) == PARSED_LOCALLY
    project.world.clock.forward(-86_400)
    cancel(project.world, one)
    assert project.work(two) == CANCELLED


def test_a_stray_message_ends_the_deferred_row_of_a_cancelled_batch(project: Project) -> None:
    (message,) = project.rows(1)
    project.provider.fail("unauthorized")
    assert project.work(message) == DEFERRED
    cancel(project.world, message)
    assert project.parser().work([received(message)], lambda: 90) == {"message-1": CANCELLED}


def test_a_worker_that_read_the_batch_before_its_cancellation_spends_nothing(project: Project) -> None:
    one, two = project.rows(2)
    project.work(one)  # from here on the worker knows the batch
    cancel(project.world, one)
    assert project.work(two) == CANCELLED
    assert len(project.provider.posts) == 1
    assert project.charged == project.billed


def test_a_cancelled_batch_finishes(project: Project) -> None:
    one, two = project.rows(2)
    project.work(one)
    project.world.ledger.pause(PROJECT, now=project.world.clock())
    project.work(two)
    cancel(project.world, one)
    for _ in range(2):
        project.world.sweeper().run()
    outcomes = [project.work(it, tier_policy=Policy.AUTO) for it in project.world.sent()]
    project.world.sweeper().run()
    assert outcomes == [CANCELLED]
    assert project.world.catalog.batch(one.batch).state is BatchState.FINISHED


# ------------------------------------------------------------------------------------------- the ledger is in trouble


@pytest.mark.parametrize("how", [Cut.LOST_REQUEST, Cut.LOST_ANSWER])
@pytest.mark.parametrize("at", [1, 2])
def test_a_reservation_that_fails_lets_nothing_through_and_uses_no_receive(project: Project, how: Cut, at: int) -> None:
    (message,) = project.rows(1)
    need = project.bound(message)
    worker = project.world.parser(
        project.tier, clients=replaced(project.world.clients, ledger=Losing(project.world, how, at))
    )
    assert worker.work([received(message)], lambda: 90) == {"message-1": DEFERRED}
    assert (project.why(message), project.provider.posts) == ("ledger_unreachable", [])
    assert stamp(project.world.clock()) < (project.row(message).due or "") < NEVER
    assert project.entry(message).attempts == 0
    assert project.charged in (Amount(), need)


class Losing:
    """The ledger's client, which loses the `at`-th reserving write or its answer, and nothing else."""

    def __init__(self, world: World, how: Cut, at: int) -> None:
        self._client = world.clients.ledger
        self._wire, self._how, self._left = world.wire, how, at

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- as the client's
        return getattr(self._client, name)

    def update_item(self, **call: Any) -> Any:  # noqa: ANN401 -- as the client's
        """Write the update, or lose it."""
        self._left -= "reserved_at" in call["UpdateExpression"]
        if not self._left:
            self._wire.cut(self._how)
        return self._client.update_item(**call)


def test_an_account_that_cannot_be_read_lets_nothing_through(project: Project) -> None:
    (message,) = project.rows(1)
    table = project.world.names["LedgerTable"]
    project.world.db.put_item(TableName=table, Item={"pk": "budgets", "sk": PROJECT, "daily_micro_usd": "5usd"})
    assert project.work(message) == DEFERRED
    assert (project.row(message).reason or "").startswith("ledger_unreachable: the ledger's item 'budgets'")
    assert "repair it by hand" in (project.row(message).reason or "")
    assert stamp(project.world.clock()) < (project.row(message).due or "") < NEVER
    assert project.provider.posts == []


def test_deferrals_never_make_a_videos_item_grow(project: Project) -> None:
    (message,) = project.rows(1)
    project.provider.fail(*["rate_limit"] * 5)
    for _ in range(5):
        project.work(message)
    assert project.entry(message).history == ()
    project.world.clock.forward(60)
    assert project.work(message) == PARSED_BY_MODEL
    assert [it["event"] for it in project.entry(message).history] == ["claimed", "answered"]


# ----------------------------------------------------------------------------------------------------- stray messages


def test_a_stray_message_of_a_deferred_row_is_acknowledged_without_a_request(project: Project) -> None:
    (message,) = project.rows(1)
    project.provider.fail("unauthorized")
    project.work(message)
    project.world.ledger.close_breaker(PROJECT)
    copy = received(message)  # a copy that says its row has never been deferred
    assert project.worker.work([copy], lambda: 90) == {"message-1": DEFERRED}
    assert len(project.provider.posts) == 1


def test_a_message_that_the_sweeper_sent_is_worked_whatever_its_clock_said(project: Project) -> None:
    (message,) = project.rows(1)
    project.provider.fail("rate_limit")
    project.work(message)
    project.world.clock.forward(5)
    assert project.work(message) == PARSED_BY_MODEL


# -------------------------------------------------------------------------------------------------- a clock that jumps


@pytest.mark.parametrize("off", [-86_400, -400, -301, 1_021, 3_600, 40 * 86_400])
def test_a_worker_whose_clock_contradicts_the_queue_sends_no_request(project: Project, off: float) -> None:
    (message,) = project.rows(1)
    first = project.world.clock.after(-off)
    one = Received("message-1", "receipt", 1, message.model_dump_json(), first)
    assert project.worker.work([one], lambda: 90) == {"message-1": Redeliver()}
    assert (project.provider.posts, project.charged) == ([], Amount())


@pytest.mark.parametrize(("off", "receives"), [(-300, 1), (-20, 1), (0, 1), (500, 1), (1_020, 1), (86_400, 3)])
def test_a_worker_whose_clock_may_be_right_sends_its_request(project: Project, off: float, receives: int) -> None:
    (message,) = project.rows(1)
    first = project.world.clock.after(-off)
    one = Received("message-1", "receipt", receives, message.model_dump_json(), first)
    assert project.worker.work([one], lambda: 90) == {"message-1": PARSED_BY_MODEL}


def allow(project: Project, message: Message, allowed: int) -> None:
    """Let a person allow this many attempts in all."""
    project.world.db.update_item(
        TableName=project.world.names["CatalogTable"],
        Key={"pk": f"video#{PROJECT}#{message.video.id}", "sk": f"fp#{project.mark(message)}"},
        UpdateExpression="SET allowed = :allowed",
        ExpressionAttributeValues={":allowed": allowed},
    )


def used_up(project: Project, message: Message, allowed: int) -> None:
    """Use up a video's attempts, and let a person allow this many in all."""
    project.provider.fail(*["server_error"] * NUMBERS["AttemptCap"])
    for receives in range(1, NUMBERS["AttemptCap"] + 1):
        project.work(message, receives, breaker_threshold=100)
    allow(project, message, allowed)
    project.world.ledger.close_breaker(PROJECT)


def test_the_attempts_that_a_person_allowed_are_made(project: Project) -> None:
    (message,) = project.rows(1)
    used_up(project, message, NUMBERS["AttemptCap"] + 1)
    (again,) = project.world.batch(message.video)[1]
    assert project.work(again) == PARSED_BY_MODEL


def test_a_person_who_allowed_fewer_attempts_than_the_cap_took_none_away(project: Project) -> None:
    (message,) = project.rows(1)
    allow(project, message, 1)
    project.provider.fail("server_error")
    assert isinstance(project.work(message), Redeliver)
    assert project.work(message, 2) == PARSED_BY_MODEL


def test_a_video_that_has_attempts_left_by_a_person_is_not_dead_after_a_fault(project: Project) -> None:
    (message,) = project.rows(1)
    used_up(project, message, NUMBERS["AttemptCap"] + 2)
    (again,) = project.world.batch(message.video)[1]
    project.provider.fail("server_error", "server_error")
    outcomes = [project.work(again, receives, breaker_threshold=100) for receives in (1, 2)]
    assert [type(it) for it in outcomes] == [Redeliver, Done]
    assert project.row(again).state is RowState.DEAD


# ------------------------------------------------------------------------------ attempts for which nothing was sent


TABLE_DOES_NOT_ANSWER = [
    EndpointConnectionError(endpoint_url="dynamodb"),
    ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, "UpdateItem"),
]


def spoilt(
    project: Project, message: Message, monkeypatch: pytest.MonkeyPatch, trouble: Exception = TABLE_DOES_NOT_ANSWER[0]
) -> Message:
    """Claim a video, lose the answer of that call, and return the copy of its message that the worker sends."""
    claim, copies = Catalog.claim, list[str]()

    def lost(catalog: Catalog, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 -- the claim's
        claim(catalog, *arguments, **more)
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(WorkQueue, "send_again", lambda _queue, body, _seconds: copies.append(body))
        patch.setattr(Catalog, "claim", lost)
        project.work(message, attempt_cap=1)
    (copy,) = map(Message.model_validate_json, copies)
    return copy


@pytest.mark.parametrize("trouble", TABLE_DOES_NOT_ANSWER, ids=lambda it: type(it).__name__)
def test_an_attempt_that_a_table_spoils_before_anything_is_sent_is_given_back(
    project: Project, provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    (message,) = project.rows(1)
    copy = spoilt(project, message, monkeypatch, trouble)
    assert (project.entry(message).attempts, provider.posts) == (1, [])
    assert (copy.row, copy.unsent) == (message.row, project.entry(message).token)
    assert project.work(copy, attempt_cap=1) == PARSED_BY_MODEL
    assert (project.entry(message).attempts, len(provider.posts)) == (1, 1)


def test_a_row_whose_attempt_is_given_back_is_no_suspect_after_its_lease(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, neighbour = project.rows(2)
    copy, marks = spoilt(project, message, monkeypatch), list[str]()
    project.world.clock.forward(NUMBERS["VisibilitySeconds"])
    monkeypatch.setattr(Catalog, "mark_started", lambda *_, alone, **__: marks.append(alone))
    outcomes = project.worker.work([received(copy), received(neighbour)], lambda: 90)
    assert (list(outcomes.values()), marks) == ([PARSED_BY_MODEL, PARSED_BY_MODEL], [])


def test_an_attempt_is_given_back_even_if_the_key_cannot_be_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreadable(KeysOfATest):
        def of(self, _project: str, *, fresh: bool = False) -> str | None:  # noqa: ARG002 -- as `Keys`
            raise KeyUnreadable("denied")

    (message,) = project.rows(1)
    copy = spoilt(project, message, monkeypatch)
    worker = project.parser(Unreadable(None))
    assert worker.work([received(copy)], lambda: 90) == {"message-1": DEFERRED}
    assert (project.entry(message).attempts, project.row(message).deferrals) == (0, 1)
    assert worker.work([received(message, 2)], lambda: 90) == {"message-1": DEFERRED}  # a stray copy changes nothing
    assert project.row(message).deferrals == 1


def test_an_attempt_that_sent_nothing_is_not_counted_after_another_copys_attempt(
    project: Project, provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = project.rows(1)
    copy = spoilt(project, message, monkeypatch)
    project.world.clock.forward(NUMBERS["VisibilitySeconds"])
    provider.fail("server_error")
    project.work(message, attempt_cap=3)
    assert project.entry(message).attempts == 2
    assert project.work(copy, attempt_cap=3) == PARSED_BY_MODEL
    assert (project.entry(message).attempts, len(provider.posts)) == (2, 2)


def test_an_attempt_that_was_sent_is_not_given_back_by_an_old_copy(
    project: Project, provider: LoopbackProvider
) -> None:
    (message,) = project.rows(1)
    provider.fail("server_error")
    project.work(message)
    old = message.model_copy(update={"unsent": project.entry(message).token})
    project.work(old, attempt_cap=1)
    assert (project.entry(message).attempts, project.row(message).state) == (1, RowState.DEAD)
