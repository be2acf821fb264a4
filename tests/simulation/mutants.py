"""Known mistakes, each as a patch to the production source; the simulation must find every one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.production import Patch
from tests.simulation.plan import AMPLE, DAYS_END


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Args:
        patches: the old and the new text, by module.
        breaks: the beginning of the promise that it breaks.
        like: the fixed parts of the schedules' plans, so that few schedules suffice.
        seed: the seed of the first schedule, for a mistake that the first hundred do not find.
    """

    patches: dict[str, tuple[Patch, ...]]
    breaks: str
    like: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def seeds(self, number: int) -> range:
        """Return the seeds of this many schedules."""
        return range(self.seed, self.seed + number)


_CALM = {"chance": 0.0, "deadly": 0.0, "asked_badly": 0.0, "daily": AMPLE, "monthly": AMPLE, "budgeted": True}

_RECORDS = "            recorded, decision = self._record(job, reserved, outcome)\n"
_SETTLES = "                self._settle(job, reserved, outcome.billing)\n"
_SETTLES_WHAT_IS_RECORDED = f"            if recorded:\n{_SETTLES}"
_FAILS = "        except Fault as fault:\n            return fault\n"
_SENDS = "                self._queue.send(chunk)\n"
_MARKS = (
    "                marked = pool.map(self._catalog.mark_requeued, [sent.pop((it.batch, it.row)) for it in chunk])\n"
    '                self.done["put back"] += sum(marked)\n'
)
_HOPELESS = "        if refusal := _refusal_for_good(need, limits, budget, window):\n"
_IMPORTS = "from titlecard.llm.request import Answer\n"
_NOT_NEWER = '"attribute_not_exists(#order) OR #order <= :order'

MUTANTS = {
    "settle before save": Mutant(
        {"pipeline.ask": ((f"{_RECORDS}{_SETTLES_WHAT_IS_RECORDED}", f"{_SETTLES.removeprefix('    ')}{_RECORDS}"),)},
        "2 spend is bounded",
    ),
    "release on time-out": Mutant(
        {
            "pipeline.ask": (
                (
                    _SETTLES,
                    _SETTLES.replace(
                        "outcome.billing",
                        'Unbilled() if getattr(outcome, "reason", "") == "timed_out" else outcome.billing',
                    ),
                ),
                (_IMPORTS, f"{_IMPORTS}from titlecard.domain.money import Unbilled\n"),
            )
        },
        "2 spend is bounded",
        seed=142,
    ),
    "check then write": Mutant(
        {
            "aws.dynamodb.ledger.reservations": (
                (
                    "        not_cancelled =",
                    (
                        "        there = _counters(charge_of(self._item(_batch_key(reservation.batch))))\n"
                        "        if any(there[name] > room[f':room_{name}'] for name in PARTS):\n"
                        "            return Refusal.of_batch()\n"
                        "        not_cancelled ="
                    ),
                ),
                ('f"{has_room} AND', 'f"({has_room} OR attribute_exists(pk)) AND'),
            )
        },
        "2 spend is bounded",
        {**_CALM, "rows": ("unsure",) * 4, "room": 1},
    ),
    "attempts counted on results only": Mutant(
        {
            "aws.dynamodb.catalog.attempts": (
                (
                    "SET attempts = if_not_exists(attempts, :zero) + :one, lease_until",
                    "SET attempts = if_not_exists(attempts, :zero), last_number = :one, lease_until",
                ),
                (
                    'return self._conclude(attempt, reason, charged, now, "SET", {})',
                    (
                        'return self._conclude(attempt, reason, charged, now, "SET attempts = attempts + :one,", '
                        '{":one": 1})'
                    ),
                ),
            )
        },
        "3 attempts are capped",
        {**_CALM, "rows": ("unsure",), "room": 100, "cap": 1, "deadly": 0.15, "busy": 500},
    ),
    "SDK retries on at the provider": Mutant(
        {
            "pipeline.ask": (
                (_FAILS, f"        except Retry:\n            return self._outcome(reserved, key)\n{_FAILS}"),
            )
        },
        "4 one attempt, one request",
    ),
    "boto retries on at the ledger": Mutant(
        {"aws.dynamodb.ledger.items": (('"total_max_attempts": 1', '"total_max_attempts": 3'),)},
        "2 spend is bounded",
        seed=171,
    ),
    "reservation skipped when the price is unknown": Mutant(
        {
            "aws.dynamodb.ledger.reservations": (
                (_HOPELESS, f"        if not need.micro_usd:\n            return reservation\n{_HOPELESS}"),
            )
        },
        "2 spend is bounded",
    ),
    "the sweeper marks before it sends": Mutant(
        {"pipeline.requeue": ((f"{_SENDS}{_MARKS}", f"{_MARKS}{_SENDS}"),)}, "1 nothing is lost"
    ),
    "what is due and meets a limit keeps its date": Mutant(
        {
            "pipeline.requeue": (
                (
                    "isinstance(verdict, Refusal):\n                self._postpone",
                    "verdict is Verdict.GO:\n                self._postpone",
                ),
            )
        },
        "a date is kept",
        {**_CALM, "rows": ("unsure",) * 4, "room": 1, "asked_badly": 0.6},
    ),
    "the newest window used at settle": Mutant(
        {
            "pipeline.ask": (
                (
                    "self._ledger.settle(reserved.reservation,",
                    "self._ledger.settle(replace(reserved.reservation, window=Window.at(self._now())),",
                ),
                (
                    _IMPORTS,
                    f"{_IMPORTS}from dataclasses import replace\nfrom titlecard.domain.money import Window\n",
                ),
            )
        },
        "2 spend is bounded",
        {"start": DAYS_END, "rows": ("unsure",) * 3},
        seed=165,
    ),
    "rows are given up while their messages are in the queue": Mutant(
        {"pipeline.audit": (("0 if rounds > self.settings.audit_rounds else ", ""),)},
        "no death without a cause",
        {**_CALM, "off_until": 20_000.0, "purged_at": 0.0, "removed_at": 0.0},
    ),
    "rows of a replaced manifest are given up while their messages are in the queue": Mutant(
        {"pipeline.audit": (('"" if self.queue.size() else str(error)', "str(error)"),)},
        "no death without a cause",
        {**_CALM, "off_until": 20_000.0, "unversioned": True, "newer": ("same",), "newer_after": 5.0},
    ),
    "a pointer that moves backwards": Mutant(
        {"aws.dynamodb.catalog.rows": ((_NOT_NEWER, f"{_NOT_NEWER} OR #order > :order"),)}, "a pointer never moves"
    ),
}
