"""The wire between production code and a simulated service: a call succeeds, or it or its answer is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.scheduler import Scheduler

Answer = TypeVar("Answer")


class Fate(IntEnum):
    """The fate of one try of a call; traces show the names."""

    GOES_THROUGH = 0
    KILLED = 1
    THROTTLED = 2
    REQUEST_LOST = 3
    ANSWER_LOST = 4
    DONE_LATE = 5
    HANGS = 6
    HANGS_LONG = 7


_SLEEPS = {Fate.HANGS: 4.0, Fate.HANGS_LONG: 40.0}
"""The delays of late answers, in seconds. An answer after a client's time-out is the same to it as none."""

_READS = {"get_item", "batch_get_item", "query", "get_object", "get_queue_attributes"}
"""The operations that a trace omits unless they fail."""

SLOW_SECONDS = 10.0
"""The delay of a slow call, in seconds."""

STUCK = 0.4
"""The probability that the try after a failed one fails too."""


@dataclass
class Wire:
    """The calls of all workers to all services.

    `fates` counts the calls by service and fate, `steps` counts tries. `trace` collects a line for each call, None for
    no trace. `doing` holds the notes of the fiber whose call a service executes, also for one executed late; then
    `late` holds too. `slow` is the probability that a call that succeeds is slow.
    """

    scheduler: Scheduler
    chance: float
    deadly: float
    trace: list[str] | None = None
    fates: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    busy_steps: int = 200
    most_steps: int = 12_000
    doing: Any = None
    late: bool = False
    slow: float = 0.0

    def call(
        self,
        service: str,
        operation: str,
        apply: Callable[[], Answer],
        *,
        about: object = "",
        tries: int = 1,
        patience: float = 60.0,
        once: bool = False,
    ) -> Answer:
        """Make one call of a client as its SDK does.

        Args:
            apply: executes the call in the service.
            about: a description for the trace, or a function that makes it.
            tries: the number of times that the SDK sends the call.
            patience: the SDK's time-out for an answer, in seconds.
            once: whether the service recognises a repeated call by its token, and gives it the first answer.
        """
        if self.scheduler.current.worker.unsigned:
            raise _refused("InvalidSignatureException", operation)
        done: list[Answer] = []
        notes = self.scheduler.current.notes

        def applied() -> Answer:
            self.doing = notes
            if not (once and done):
                done.append(apply())
            return done[-1]

        stuck = False
        while True:
            tries -= 1
            fate = self._fate(service, operation, stuck, about)
            if fate in _SLEEPS and _SLEEPS[fate] < patience:
                self.scheduler.sleep(_SLEEPS[fate])
                fate = Fate.GOES_THROUGH
            if fate is Fate.GOES_THROUGH:
                if self.slow and self.scheduler.choices(self.scheduler.current.name, self.slow):
                    self.scheduler.sleep(SLOW_SECONDS)
                return applied()
            error = self._wrong(fate, operation, applied, patience)
            if not tries:
                raise error
            stuck = True
            self.scheduler.sleep(0.1)

    def _fate(self, service: str, operation: str, stuck: bool, about: object) -> Fate:
        scheduler = self.scheduler
        scheduler.step()
        self.steps += 1
        if self.steps > self.busy_steps:  # no faults from now on
            scheduler.choices.quiet = True
        if self.steps > self.most_steps:
            message = f"no end after {self.steps} steps"
            raise NoEnd(message)
        me = scheduler.current.name
        if scheduler.choices(me, self.deadly):
            fate = Fate.KILLED
        else:
            wrong = scheduler.choices(me, STUCK if stuck else self.chance, len(Fate) - 1)
            fate = Fate(wrong + 1) if wrong else Fate.GOES_THROUGH
        if fate:
            self.fates[f"{service}: {fate.name.lower()}"] += 1
        if self.trace is not None and (fate or operation not in _READS):
            told = about() if callable(about) else about
            self.tell(f"{service}.{operation} {told}", fate.name.lower() if fate else "")
        if fate is Fate.KILLED:
            scheduler.die()
        return fate

    def _wrong(self, fate: Fate, operation: str, apply: Callable[[], Any], patience: float) -> Exception:
        """Make a call fail; return the exception that the SDK raises after the last try."""
        if fate is Fate.THROTTLED:
            return _refused("ThrottlingException", operation)
        if fate is Fate.REQUEST_LOST:
            return ConnectTimeoutError(endpoint_url=operation)
        if fate is Fate.DONE_LATE and operation in _READS:
            return ReadTimeoutError(endpoint_url=operation)
        if fate is Fate.DONE_LATE:
            self.scheduler.at(self.scheduler.now + 3.0, lambda: self._do_late(apply))
        else:  # the answer is lost, or comes after the time-out
            _quietly(apply)
            if fate is not Fate.ANSWER_LOST:
                self.scheduler.sleep(patience)
        return ReadTimeoutError(endpoint_url=operation)

    def _do_late(self, apply: Callable[[], Any]) -> None:
        self.late = True
        _quietly(apply)
        self.late = False

    def tell(self, what: str, fate: str = "") -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            me = self.scheduler.current
            self.trace.append(
                f"{self.scheduler.now:10.2f}s  {me.name:<18} {what[:150]}{f'   << {fate}' if fate else ''}"
            )


class NoEnd(AssertionError):
    """The schedule does not end."""


def _refused(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "simulated"}}, operation)


def _quietly(apply: Callable[[], Any]) -> None:
    """Execute a call whose answer is lost."""
    try:
        apply()
    except ClientError:
        return
