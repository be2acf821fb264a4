"""The invariants of the design, checked at every write, request and bill.

A violation begins with the number and the name of the broken promise.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tests.simulation.bill import Bill
from tests.simulation.provider import ACCOUNT, TRANSIENT, UNKNOWN, UNSENT, WELL

from titlecard.aws.dynamodb.catalog import NEVER
from titlecard.aws.dynamodb.catalog.keys import batch_of_row, number_of_row
from titlecard.domain.batch import END_STATES
from titlecard.domain.clock import CLOCK_ERROR_SECONDS
from titlecard.domain.grounding import ungrounded
from titlecard.domain.reasons import Hold
from titlecard.pipeline.lease import LEASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulation.dynamo import Key
    from tests.simulation.edits import Edited
    from tests.simulation.expressions import Item
    from tests.simulation.provider import Fault
    from tests.simulation.queues import Letter
    from tests.simulation.scheduler import Worker
    from tests.simulation.world import World

    from titlecard.domain.video import Video

USED_UP = {str(hold) for hold in (Hold.BATCH_LIMIT, Hold.BUDGET_DAY, Hold.BUDGET_MONTH)}
"""The holds that give a row another due date."""

ENDED = {str(state) for state in END_STATES}

PARTS = ("requests", "tokens", "micro_usd")
"""The parts of a charge that the ledger counts as open or lost."""

SWEEP = 60.0
"""The longest sweep, in seconds."""


class Violation(AssertionError):
    """A promise is broken."""


@dataclass
class Tried:
    """One attempt, by its token: its charges in the ledger, by counter, and the provider's bill.

    `noted` is the part of the charge that the ledger calls open or lost. `fault` is the outcome of the request, None
    until its worker knows it. `told` counts the attempt's calls to the breaker, `heard` those that were answered,
    `told_before` those made before the worker knew the outcome. `late` says that the claim was executed late.
    """

    token: str
    worker: Worker
    began: float
    key: Key | None = None
    batch: str = ""
    sent: int = 0
    billed: Bill = field(default_factory=Bill)
    above: bool = False
    concluded: str = ""
    charged: dict[tuple[Key, str], int] = field(default_factory=lambda: defaultdict(int))
    noted: dict[tuple[Key, str], int] = field(default_factory=lambda: defaultdict(int))
    fault: Fault | None = None
    told: int = 0
    told_before: int = 0
    heard: int = 0
    failures: int = 0
    late: bool = False

    @property
    def project(self) -> str:
        """The project of the video."""
        return self.key[0].split("#")[1] if self.key else ""


class Invariants:
    """Watches a world and checks its promises."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.tried: dict[str, Tried] = {}
        self.checks = 0
        self._paused: dict[str, float] = {}
        self._marked_late: set[Key] = set()
        self._opened: dict[str, float] = {}
        self._probes: set[str] = set()
        self._swept = 0.0
        self._excess: dict[tuple[Key, str], int] = defaultdict(int)

    # ---------------------------------------------------------------------------------------------------- the events

    def begin(self, token: str) -> Tried:
        """Record that a worker is about to claim."""
        self.tried[token] = Tried(token, self._world.scheduler.current.worker, self._world.scheduler.now)
        return self.tried[token]

    def wrote(self, table: str, key: Key, old: Item | None, new: Item | None) -> None:
        """Check a write."""
        self.checks += 1
        sort = key[1]
        if table == "ledger":
            if key[0] in {"breakers", "pauses"}:
                self._stopped(key, old or {}, new or {})
            elif key[0] != "budgets" and not key[1].startswith("days#"):  # `_moved` checks the past days
                self._charged(key, old or {}, new or {})
        elif new is None:
            self._broken("1 nothing is lost", f"{key} was deleted")
        elif sort.startswith("fp#"):
            self._entry(key, old or {}, new)
        elif sort == "current":
            self._pointer(key, old, new)
        elif sort.startswith("row#"):
            self._row(key, old or {}, new)
        elif sort == "batch":
            self._batch(key, old or {}, new)
        elif key[0] == "sweeper":
            self._sweeps(old or {}, new)

    def sending(self, key: str) -> None:
        """Check a request that is about to leave, with a project's key."""
        tried: Tried = self._world.scheduler.current.notes
        if tried.key is None:
            self._broken("4 one attempt, one request", "a request without a claim")
            return
        if key != f"sk-{tried.project}":
            self._broken("projects are apart", f"{tried.key} is asked about with {key}")
        if {of[0] for of, _ in tried.charged} - {f"project#{tried.project}", f"batch#{tried.batch}"}:
            self._broken("projects are apart", f"{tried.key} is charged to {sorted({of for of, _ in tried.charged})}")
        self._is_one_probe(tried)
        tried.sent += 1
        if tried.sent > 1:
            self._broken("4 one attempt, one request", f"{tried.sent} requests for {tried.token}")
        entry = self._world.store.tables["catalog"][tried.key]
        if entry.get("token") != tried.token or tried.concluded:
            self._broken("4 one attempt, one request", f"a request after its claim was over: {tried.key}")
        if any(event["event"] == "answered" for event in entry["history"]):
            self._broken("5 no saved answer is paid for again", f"{tried.key}")
        kept = sum(it.sent for it in self.tried.values() if it.key == tried.key and it.concluded != "given back")
        if kept > self._world.cap_of(entry):
            self._broken("3 attempts are capped", f"{kept} requests for {tried.key}")
        if not any(key[0].startswith("batch#") for key, _ in tried.charged):
            self._broken("2 spend is bounded", f"a request without a reservation: {tried.key}")
        if not any(key[0].startswith("project#") for key, _ in tried.charged):
            self._broken("8 unknown is refused", f"a request that no budget was charged for: {tried.key}")
        self._may_ask(tried)
        self._reserved(tried)

    def _is_one_probe(self, tried: Tried) -> None:
        """Check that a probe is the only one of its project."""
        probes = [it for it in self.tried.values() if it.token in self._probes and it.project == tried.project]
        if tried in probes and any(it.sent and not it.fault and it.worker.fibers for it in probes if it is not tried):
            self._broken("the breaker", f"two probes are under way: {tried.key}")

    def _may_ask(self, tried: Tried) -> None:
        """Check that nothing forbids the request that a worker must look up before it asks."""
        if any(self._paused.get(whom, tried.began) < tried.began for whom in (tried.project, "*")):
            self._broken("the hand brake", f"a request after a pause: {tried.key}")
        if self._opened.get(tried.project, tried.began) < tried.began and tried.token not in self._probes:
            self._broken("the breaker", f"a request that is no probe, after it opened: {tried.key}")
        if abs(tried.worker.skew) > CLOCK_ERROR_SECONDS:
            self._broken("8 unknown is refused", f"a request by a worker whose clock is wrong: {tried.key}")
        edited = self._world.edited
        if edited and edited.since < tried.began and self._needed(edited, tried):
            self._broken("8 unknown is refused", f"a request although {edited.name} of {edited.key} was edited by hand")

    def billing(self, billed: Bill) -> None:
        """Record and check a bill of the provider."""
        tried: Tried = self._world.scheduler.current.notes
        tried.billed += billed
        tried.above = billed.exceeds(self._world.provider.bound)
        self._covered(tried)

    def answered(self, fault: Fault) -> None:
        """Record that a worker learns the outcome of its request."""
        tried: Tried = self._world.scheduler.current.notes
        tried.fault, tried.told_before = fault, tried.told

    def finished(self, worker: Worker) -> None:
        """Check that an invocation that has ended by itself has reported all outcomes to the breaker."""
        for tried in [it for it in self.tried.values() if it.worker is worker and it.fault]:
            calls = tried.told - tried.told_before
            tells = ACCOUNT if tried.above else tried.fault.tells if tried.fault else WELL
            if not calls and (tells in {ACCOUNT, TRANSIENT} or tried.token in self._probes):
                self._broken("the breaker", f"it was not told how a request went: {tells} {tried.key}")
            if (
                tells is TRANSIENT
                and calls == 1
                and tried.told == tried.heard
                and tried.failures >= self._world.plan.threshold
            ):
                self._broken("the breaker", f"it does not open after {tried.failures} faults in a row: {tried.key}")

    def acknowledged(self, body: str) -> None:
        """Check a message of the work queue that is deleted because a worker has finished it."""
        world = self._world
        try:
            message = json.loads(body)
            row = world.row(f"batch#{message['batch']}", message["row"])
        except (ValueError, KeyError, TypeError):
            message = row = None
        state = (row or {}).get("state", "queued")
        copies = world.letters() if message else [*world.letters(), *world.queues["work"].letters]
        if state in ENDED or state == "deferred" or any(it.body == body for it in copies):
            return
        # The message's copy may be gone if a person has purged the queue since: then the audit sends the row again.
        if message and (world.purged or self._has_message(message["batch"], message["row"])):
            return
        self._broken("1 nothing is lost", f"acknowledged, but its row is {state}: {body[:120]}")

    def swept(self, overdue: Mapping[Key, set[str]], done: Mapping[str, int], most: int) -> None:
        """Check that a sweep without faults has left no row with a past date, except for a good reason.

        Args:
            overdue: the rows that were due when the sweep began, with what was in their way.
            done: the work that the sweep reports.
            most: the most rows that one sweep puts back or postpones.
        """
        if done.get("put back", 0) or done.get("left to another sweep", 0) or done.get("postponed", 0) >= most:
            return  # the others may wait for money promised to these, or for the next call
        now = self._world.overdue() if overdue else {}
        for key, why in overdue.items():
            if now.get(key) == why and not why - USED_UP:
                row = self._world.store.tables["catalog"][key]
                self._broken(
                    "a date is kept", f"{key} is due since {row['due']} ({row['reason']}), and {why} is in its way"
                )

    def at_rest(self) -> None:
        """Check the final state, after the faults have stopped and all events have happened."""
        world = self._world
        for batch in world.batches():
            for number in world.accepted[batch["pk"]] if batch["state"] != "refused" else ():
                row = world.row(batch["pk"], number) or {}
                state = row.get("state")
                spoilt = (row.get("pk"), row.get("sk")) in world.spoilt  # unreadable: it waits for a person
                if state == "deferred" and not spoilt and not world.waits_for_a_person(batch, row):
                    self._broken(
                        "1 nothing is lost",
                        f"still deferred until {row['due']}, {row['reason']}: {number} of {batch['pk']}; "
                        f"in its way: {world.in_the_way(batch, row)}",
                    )
                if state not in ENDED and state != "deferred" and not batch.get("reason"):
                    self._broken("1 nothing is lost", f"row {number} of {batch['pk']} ({batch['state']}) is {state}")
                lost = world.purged  # by a person: with the message that would have sent the letter of a killed worker
                if state == "dead" and not lost and not world.has_letter(batch["pk"], number):
                    self._broken("1 nothing is lost", f"row {number} of {batch['pk']} is dead without a dead letter")
            ended = all(
                (world.row(batch["pk"], number) or {}).get("state") in ENDED for number in world.accepted[batch["pk"]]
            )
            if ended and batch["state"] not in {"finished", "refused"} and not batch.get("reason"):
                self._broken("1 nothing is lost", f"{batch['pk']} is {batch['state']}, and all its rows have ended")
        for tried in self.tried.values():
            self._covered(tried)
            self._accounted(tried)
        self._sums()

    # ----------------------------------------------------------------------------------------------------- the money

    def _charged(self, key: Key, old: Item, new: Item) -> None:
        self._moved(key, old, new)
        tried: Tried | None = self._world.wire.doing
        for name, change in _changes(old, new):
            if _is_noted(name):
                if tried is not None:
                    tried.noted[key, name] += change
                continue
            if tried is not None:
                tried.charged[key, name] += change
                if change < 0 and tried.sent and not tried.concluded:
                    self._broken(
                        "2 spend is bounded", f"{name} of {key} lowered by {-change} before its attempt was concluded"
                    )
            if _number(new, name) < 0:
                self._broken("2 spend is bounded", f"{name} of {key} is below nothing")
            if change > 0 and tried is not None and tried.concluded:
                self._excess[key, name] += change  # the declared exception: its usage was above the bound
            limit = self._world.limit_of(key, name, tried.began if tried else self._world.scheduler.now)
            if change > 0 and limit is not None and _number(new, name) > limit + self._excess[key, name]:
                self._broken("2 spend is bounded", f"{name} of {key} is {_number(new, name)}, its limit {limit}")
        if tried is not None:
            self._covered(tried)

    def _moved(self, key: Key, old: Item, new: Item) -> None:
        """Check that only past days leave a month's item, and that their own item holds the same numbers."""
        beside = self._beside(key)
        for name in filter(_counts, old.keys() - new.keys()):
            if beside.get(name) != old[name] or not name[1:3] < self._world.stamp()[8:10]:
                self._broken("2 spend is bounded", f"{name} of {key} was taken away: {old[name]}")

    def _beside(self, key: Key) -> Item:
        """Return the item that holds the past days of a month's item."""
        return self._world.store.peek("ledger", (key[0], key[1].replace("month#", "days#"))) or {}

    @staticmethod
    def _needed(edited: Edited, tried: Tried) -> bool:
        """Return whether the edited attribute decides about the request."""
        return (
            edited.key in {("budgets", tried.project), ("breakers", tried.project)}
            or (edited.key, edited.name) in tried.charged
        )

    def _reserved(self, tried: Tried) -> None:
        bound = self._world.provider.bound
        for (key, name), charged in tried.charged.items():
            if charged < bound.part(name):
                self._broken("2 spend is bounded", f"{name} of {key} holds {charged} of a bound of {bound.part(name)}")

    def _covered(self, tried: Tried) -> None:
        """Check that an attempt's charge is not below its bill or, for a bill above the bound, not below the bound."""
        for (key, name), charged in tried.charged.items():
            billed = tried.billed.part(name)
            if tried.above:
                billed = min(billed, self._world.provider.bound.part(name))
            if charged < billed:
                self._broken("2 spend is bounded", f"billed {billed} {name}, charged {charged}: {key} {tried.token}")

    def _accounted(self, tried: Tried) -> None:
        """Check the parts of a charge that the ledger calls open or lost, and that the settled amount is the cost."""
        for key in {key for key, _ in tried.charged}:
            bound = self._world.provider.bound
            opened, lost = ({part: tried.noted[key, f"{kind}_{part}"] for part in PARTS} for kind in ("open", "lost"))
            if any(opened.values()):
                if any(opened[part] != bound.part(part) for part in PARTS) or any(lost.values()):
                    self._broken("the account", f"{key} is partly settled: open {opened}, lost {lost}")
            elif tried.fault is None or tried.fault.settles == "nothing":
                if any(tried.charged[key, part] or lost[part] for part in PARTS):
                    self._broken("the account", f"{key} was charged for what was not billed: {tried.token}")
            elif tried.fault.settles == "either" and not any(lost.values()):
                if any(tried.charged[key, part] for part in PARTS):
                    self._broken("the account", f"{key} was charged for what was given back: {tried.token}")
            elif tried.fault.settles in {"bound", "either"}:
                if any(not tried.charged[key, part] == lost[part] == bound.part(part) for part in PARTS):
                    self._broken("the account", f"the bill is unknown, and lost is {lost} of {key}: {tried.token}")
            else:
                self._measured(key, tried, lost)

    def _measured(self, key: Key, tried: Tried, lost: Mapping[str, int]) -> None:
        """Check that a measured attempt was settled at its bill, rounded up; unknown parts at the highest price."""
        assert tried.fault is not None, "it was answered"
        if any(lost.values()):
            self._broken("the account", f"the bill is known, and lost is {lost} of {key}: {tried.token}")
        for (of, name), charged in tried.charged.items():
            least = math.ceil(tried.billed.part(name))
            most = math.ceil(self._world.provider.dearest(tried.billed).part(name))
            if of == key and not tried.above and not least <= charged <= (least if tried.fault.exact else most):
                self._broken("the account", f"{name} of {key} was settled at {charged}, billed at {least}")

    def _sums(self) -> None:
        """Check that the ledger's counters are the sums of the attempts' charges."""
        sums: dict[tuple[Key, str], int] = defaultdict(int)
        for tried in self.tried.values():
            for counter, charged in tried.charged.items():
                sums[counter] += charged
        for (key, name), charged in sums.items():
            there = _number({**self._beside(key), **(self._world.store.peek("ledger", key) or {})}, name)
            if there != charged:
                self._broken("2 spend is bounded", f"{name} of {key} is {there}, the sum of its attempts {charged}")

    # ------------------------------------------------------------------------------------------------- the catalog

    def _entry(self, key: Key, old: Item, new: Item) -> None:
        history, before = new.get("history", []), old.get("history", [])
        if len(history) < len(before):
            self._given_back(key, old, new)
        elif len(history) == len(before) and new.get("attempts", 0) < old.get("attempts", 0):
            self._uncounted(key, old, new)
        if len(history) > len(before):
            self._happened(key, old, new, history[-1])
        if new.get("attempts", 0) > self._world.cap_of(new):
            self._broken("3 attempts are capped", f"{new['attempts']} for {key}")
        if new.get("talk") != old.get("talk"):
            if old.get("talk", {}).get("tier") == "model":
                self._broken("5 no saved answer is paid for again", f"the model's talk of {key} was overwritten")
            self._grounded(key, new["talk"])

    def _given_back(self, key: Key, old: Item, new: Item) -> None:
        """Check that giving an attempt back removes its claim and nothing else, and that it was not billed."""
        tried = self.tried[old["token"]]
        tried.concluded = "given back"
        left = [event for event in old["history"] if event["token"] != tried.token]
        if left != new["history"] or new["attempts"] != old["attempts"] - 1 or "lease_until" not in old:
            self._broken("2 spend is bounded", f"the history of {key} has lost something")
        if tried.billed != Bill():
            self._broken("3 attempts are capped", f"an attempt of {key} was billed, and given back")

    def _uncounted(self, key: Key, old: Item, new: Item) -> None:
        """Check that uncounting an attempt after another claim marks its claim and changes nothing else."""
        ((was, now),) = [pair for pair in zip(old["history"], new["history"], strict=True) if pair[0] != pair[1]]
        tried = self.tried[was["token"]]
        tried.concluded = "given back"
        kept = {name: value for name, value in old.items() if name not in {"attempts", "history"}}
        if {**new, **kept} != new or new["attempts"] != old["attempts"] - 1 or now["event"] != "unsent":
            self._broken("2 spend is bounded", f"the record of {key} has lost something")
        if tried.sent or was["event"] != "claimed" or old["token"] == tried.token:
            self._broken("3 attempts are capped", f"an attempt of {key} was sent, and uncounted")

    def _stopped(self, key: Key, old: Item, new: Item) -> None:
        """Check a change of a pause or a breaker."""
        if key[0] == "pauses":
            self._paused.pop(key[1], None)
            if new:
                self._paused[key[1]] = self._world.scheduler.now
            return
        was_open, is_open = old.get("state") == "open", new.get("state") == "open"
        if not is_open:
            self._opened.pop(key[1], None)
        elif not was_open:
            self._opened[key[1]] = self._world.scheduler.now
        if "probe" in new:
            self._probes.add(new["probe"])
        by: Tried | None = self._world.wire.doing
        if by is not None:  # a person may do anything
            by.failures = max(by.failures, _number(new, "failures"))
            self._breaker_opens(by, old, new)
            self._breaker_probes(by, old, new)

    def _breaker_opens(self, by: Tried, old: Item, new: Item) -> None:
        """Check that a worker changes a breaker only for a reason, and never one that waits for a person."""
        was_open, is_open = old.get("state") == "open", new.get("state") == "open"
        tells = by.fault.tells if by.fault else UNSENT
        must = tells is ACCOUNT or by.above
        if must and not is_open:
            self._broken("the breaker", f"the account is at fault, and it does not open: {by.key}")
        if by.above and is_open and new["probe_at"] < NEVER:
            self._broken("the breaker", f"a usage above its bound, and it lets a probe through: {by.key}")
        enough = tells is TRANSIENT and by.failures >= self._world.plan.threshold  # when it counted its own
        if was_open and is_open and old["probe_at"] >= NEVER > new["probe_at"]:
            self._broken("the breaker", f"opened until a person says so, and now until {new['probe_at']}: {new['why']}")
        if is_open and not was_open and not must and not enough and tells != UNKNOWN:
            self._broken("the breaker", f"it opens without a reason: {by.key} {tells}")
        if was_open and not is_open and not (old.get("probe") == by.token and by.sent and tells is WELL):
            self._broken("the breaker", f"it is closed by a request that is not its probe's answer: {by.key} {tells}")
        if was_open and not is_open and _number(new, "failures"):
            self._broken("the breaker", f"it is closed, and still counts {new['failures']} faults")

    def _breaker_probes(self, by: Tried, old: Item, new: Item) -> None:
        """Check that probes run one at a time, when due, and that no worker ends another's probe."""
        there, probe = old.get("probe"), new.get("probe")
        if probe == there:
            return
        if probe is None:
            later = new.get("probe_at", "") > old.get("probe_at", "")
            if there != by.token and new.get("state") == "open" and not later:
                self._broken("the breaker", f"a probe is ended that is not its own: {there} by {by.token}")
            return
        now = self._world.stamp_of(by.worker)
        if probe != by.token or old.get("state") != "open":
            self._broken("the breaker", f"a probe of a breaker that is not open: {by.key}")
        if old.get("probe_at", NEVER) > now:
            self._broken("the breaker", f"a probe at {now}, due at {old.get('probe_at')}")
        if old.get("probe_until", "") >= now:
            self._broken("the breaker", f"a second probe at {now}, while one is under way until {old['probe_until']}")

    def _happened(self, key: Key, old: Item, new: Item, event: Mapping[str, Any]) -> None:
        tried = self.tried[event["token"]]
        if event["event"] != "claimed":
            tried.concluded = event["event"]
            return
        tried.key, tried.batch, tried.late = key, event["batch"], self._world.wire.late
        if tried.concluded == "given back":  # a late copy of the claim counts it again
            tried.concluded = ""
        owner = self.tried[old["token"]].worker if "lease_until" in old else None
        if owner is not None and owner is not tried.worker and owner.fibers and not owner.dead:
            self._broken("4 one attempt, one request", f"{key} was claimed while its worker is alive")
        if "talk" in old and not self._world.improvable(old["talk"]):
            self._broken("5 no saved answer is paid for again", f"{key} was claimed, although it is answered")
        if len([it for it in new["history"] if it["token"] == event["token"]]) > 1 and not tried.concluded:
            self._broken("4 one attempt, one request", f"{key} was claimed twice with one token")

    def _grounded(self, key: Key, talk: Mapping[str, Any]) -> None:
        video = self._world.video_of(key)
        why = _ungrounded(talk["title"], tuple(talk["presenters"]), video)
        if why and talk["title"] != video.title:
            self._broken("6 grounded", f"{talk['title']!r} of {key}: {why}")

    def _pointer(self, key: Key, old: Item | None, new: Item) -> None:
        if old is not None and new["order"] < old["order"]:
            self._broken(
                "a pointer never moves from a newer batch to an older", f"{key}: {old['order']} to {new['order']}"
            )

    def _row(self, key: Key, old: Item, new: Item) -> None:
        before, state = old.get("state"), new.get("state")
        if new.get("alone") and self._world.wire.late:
            self._marked_late.add(key)
        if before in ENDED and state != before and "redriven_at" not in new:
            self._broken("1 nothing is lost", f"{key} had ended as {before} and is {state}")
        if state == "dead" and before != "dead":
            self._died(key, new)
        if state == "deferred" and not all(new.get("reason", "").partition(": ")):
            self._broken("1 nothing is lost", f"{key} is deferred without a reason: {new.get('reason')}")
        if state == "deferred" and not (new.get("due") and new.get("body") and new.get("agenda")):
            self._broken("1 nothing is lost", f"{key} is deferred without a date, or off the agenda")
        purged = self._world.purged  # by a person: it has no message, and the audit sends it again
        if before == "deferred" and state == "queued" and not purged and not self._has_message(*_row_of(key)):
            self._broken("1 nothing is lost", f"{key} is marked as queued, but no message of it was sent")
        if state == "parsed" and before != "parsed":
            project = self._world.batch_of(key)["project"]
            video = f"video#{project}#{new['video']}"
            entry = self._world.store.peek("catalog", (video, f"fp#{new['fingerprint']}"))
            if entry is None or "talk" not in entry or self._world.store.peek("catalog", (video, "current")) is None:
                self._broken("1 nothing is lost", f"{key} is parsed without a talk")

    def _died(self, key: Key, new: Item) -> None:
        """Check that a row's death has a cause: a killed worker, sent requests, or a removed message.

        A throttle, a conflict, or a lost answer of a table is not a cause. A queue that a person purges is one: it may
        have held the message that says of an attempt that nothing was sent. A claim that the table executes after its
        worker was told that it has no attempt is one too, and so is a mark of a row that is written then: nobody can
        know of it, as after a crash. So is an attempt of which another copy of the message says that nothing was sent,
        as long as that copy is in the queue, or if SQS refused it while the table was silent: nobody could be told.
        """
        world, why = self._world, str(new.get("reason", "")).partition(":")[0]
        crashed = _row_of(key) in world.died_with
        if why == "receives_used_up":
            caused = crashed or key in self._marked_late
        elif why == "never_answered":
            expired = world.plan.off_until > world.queues["work"].retention
            gone = crashed or world.purged or world.overwritten or expired
            caused = gone and not self._has_old_message(*_row_of(key))
        else:
            video = f"video#{world.batch_of(key)['project']}#{new['video']}", f"fp#{new['fingerprint']}"
            tries = [it for it in self.tried.values() if it.key == video and it.concluded != "given back"]
            lost = world.purged
            known = [it for it in tries if not (it.fault or it.sent or it.worker.dead or it.late or lost)]
            caused = bool(tries) and all(self._is_said_unsent(it.token) for it in known)
        if not caused:
            self._broken("no death without a cause", f"{key} died: {new.get('reason')}")

    def _batch(self, key: Key, old: Item, new: Item) -> None:
        state = new["state"]
        if state in {"counting", "sending", "open"} and new.get("agenda") != "open":
            self._broken("1 nothing is lost", f"{key} is {state} and not on the agenda")
        if state == "finished" and old.get("state") != "finished":
            name = key[0].removeprefix("batch#")
            if not self._world.s3.was_written(f"results/{new['project']}/{name}.jsonl"):
                self._broken("1 nothing is lost", f"{key} was finished without its results")
            if not any(f'"batch": "{name}"' in told for told in self._world.bus.told):
                self._broken("1 nothing is lost", f"{key} was finished, and no event announced it")
        if state == "finished" and old.get("state") != "finished" and new.get("reason") is None:
            missing = [
                number
                for number in self._world.accepted[key[0]]
                if (self._world.row(key[0], number) or {}).get("state") not in ENDED
            ]
            if missing:
                self._broken("1 nothing is lost", f"{key} was finished, but rows {missing} have not ended")

    def _sweeps(self, old: Item, new: Item) -> None:
        """Check that a sweeper takes over only a lease that was not renewed for as long as it lasts."""
        since = self._world.scheduler.now - self._swept
        if "lease_until" in old and old["holder"] != new["holder"] and since < LEASE.total_seconds():
            self._broken("one sweeper", f"a lease was taken over {since:.2f} s after it was renewed")
        is_renewed = "lease_until" in new and new["lease_until"] != old.get("lease_until")
        if is_renewed and not self._world.wire.late:  # its sweeper may have ended before a late write
            self._swept = self._world.scheduler.now

    def _is_said_unsent(self, token: str) -> bool:
        """Return whether a message in the queue, or one that SQS refused, says that an attempt sent nothing."""
        queue = self._world.queues["work"]
        bodies = (*(letter.body for letter in queue.letters), *queue.refused)
        return any(f'"unsent":"{token}"' in body for body in bodies)

    def _has_message(self, batch: str, row: int) -> bool:
        letters = [*self._world.queues["work"].letters, *self._world.queues["work-dead"].letters]
        return any(_is_about(letter, batch, row) for letter in letters)

    def _has_old_message(self, batch: str, row: int) -> bool:
        """Return whether a message of a row has been in the queue since before the current sweep began."""
        letters, before = self._world.queues["work"].letters, self._world.scheduler.now - SWEEP
        return any(_is_about(letter, batch, row) and letter.sent < before for letter in letters)

    def _broken(self, promise: str, how: str) -> None:
        self._world.wire.tell(f"!! {promise}: {how}")
        self._world.scheduler.fail(Violation(f"{promise}: {how}"))


def _is_about(letter: Letter, batch: str, row: int) -> bool:
    return f'"batch":"{batch}","project":' in letter.body and f'"row":{row},' in letter.body


def _row_of(key: Key) -> tuple[str, int]:
    item = {"pk": key[0], "sk": key[1]}
    return batch_of_row(item), number_of_row(item)


def _changes(old: Item, new: Item) -> Iterator[tuple[str, int]]:
    for name, value in new.items():
        if isinstance(value, Decimal) and value != old.get(name, 0) and _counts(name):
            yield name, int(value - old.get(name, Decimal(0)))


def _counts(name: str) -> bool:
    return name.endswith(PARTS)


def _is_noted(name: str) -> bool:
    """Return whether a counter counts charges that are not measured."""
    return name.startswith(("open_", "lost_"))


def _number(item: Mapping[str, Any], name: str) -> int:
    value = item.get(name, 0)
    return int(value) if isinstance(value, int | Decimal) else 0  # a manual edit counts as 0


@lru_cache(maxsize=10_000)
def _ungrounded(title: str, presenters: tuple[str, ...], video: Video) -> str | None:
    return ungrounded(title, presenters, video)
