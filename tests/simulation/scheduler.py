"""Fibers on a virtual clock: exactly one of the threads runs at a time, until it yields at a simulated call.

Production code is synchronous, so every worker has its own thread. Two threads never run at once: the schedule chooses
which fiber runs next. A worker stands for a process: when it dies, an exception that no production code catches ends
all its fibers at their current line.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from tests.simulation.choices import Choices

FOREVER = float("inf")


class Died(BaseException):
    """This worker's process has died."""


class Worker:
    """One process. The platform kills it at `ends`; `skew` is the error of its clock, in seconds.

    `unsigned` is true if AWS refuses the requests that it signs with this clock.
    """

    def __init__(self, name: str, ends: float, skew: float = 0.0) -> None:
        self.name = name
        self.ends = ends
        self.skew = skew
        self.unsigned = False
        self.dead = False
        self.fibers: list[Fiber] = []


class Fiber:
    """One thread of a worker. `notes` belongs to the code that watches it."""

    def __init__(self, name: str, worker: Worker, task: Callable[[], object], thread: _Thread) -> None:
        self.name = name
        self.worker = worker
        self.task = task
        self.wake = 0.0
        self.thread = thread
        self.children = itertools.count(1)
        self.notes: Any = None


class Scheduler:
    """Chooses the fiber that runs, and keeps the time, in seconds since the schedule began."""

    def __init__(self, choices: Choices, *, switching: float = 0.25) -> None:
        self.now = 0.0
        self.failure: BaseException | None = None
        self.choices = choices
        self._switching = switching
        self._fibers: list[Fiber] = []
        self._dying: list[Fiber] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._in_event = False
        self._main = Fiber("main", Worker("main", FOREVER), lambda: None, _Thread(start=False))
        self.current = self._main

    # ------------------------------------------------------------------------------------------ the schedule's side

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Call `event` at a time; it must make no simulated call."""
        heapq.heappush(self._events, (max(when, self.now), next(self._number), event))

    def spawn(self, name: str, worker: Worker, task: Callable[[], object]) -> Fiber:
        """Make a fiber that begins when its turn comes."""
        fiber = Fiber(name, worker, task, _free.pop() if _free else _Thread())
        fiber.thread.serves = self, fiber
        worker.fibers.append(fiber)
        self._fibers.append(fiber)
        return fiber

    def kill(self, worker: Worker) -> None:
        """Kill a worker; a running fiber ends at its next call."""
        if not worker.dead:
            worker.dead = True
            self._dying += worker.fibers

    def run(self) -> None:
        """Run all fibers and events to their end.

        Raises:
            BaseException: the exception that ended a fiber, unless its worker died.
        """
        self._switch(self._main)
        for worker in {fiber.worker for fiber in self._fibers}:  # after a failure: end all fibers
            self.kill(worker)
        if self._dying:
            self._switch(self._main)
        if self.failure is not None:
            raise self.failure

    # -------------------------------------------------------------------------------------------- the fibers' side

    def step(self, seconds: float = 0.01) -> None:
        """Advance the clock; other fibers may run meanwhile. During an event the clock does not move.

        Raises:
            Died: the worker is dead.
        """
        if self._in_event:
            return
        me = self.current
        if not me.worker.dead:
            self.now += seconds
            self._switch(me)
        if me.worker.dead:
            raise Died

    def sleep(self, seconds: float) -> None:
        """Pause this fiber.

        Raises:
            Died: the worker is dead.
        """
        self.current.wake = self.now + seconds
        self.step(0.0)

    def die(self) -> None:
        """Kill the running worker.

        Raises:
            Died: always.
        """
        self.kill(self.current.worker)
        raise Died

    def fail(self, failure: BaseException) -> None:
        """End the whole schedule with this failure."""
        self.failure = self.failure or failure

    def _switch(self, me: Fiber) -> None:
        following = self._next(me)
        if following is not me:
            self.current = following
            following.thread.lock.release()
            me.thread.lock.acquire()

    def _ended(self, fiber: Fiber) -> None:
        self._fibers.remove(fiber)
        fiber.worker.fibers.remove(fiber)
        if fiber in self._dying:
            self._dying.remove(fiber)
        following = self._next(None)
        self.current = following
        following.thread.lock.release()

    def _next(self, me: Fiber | None) -> Fiber:
        while True:
            if self._dying:
                return self._dying[0]
            if self.failure is not None:
                return self._main
            events = self._events
            while events and events[0][0] <= self.now:
                self._happen(heapq.heappop(events)[2])
            if self._dying:
                continue
            ready = [fiber for fiber in self._fibers if fiber.wake <= self.now]
            if ready:
                return self._chosen(me, ready)
            coming = [fiber.wake for fiber in self._fibers]
            if events:
                coming.append(events[0][0])
            first = min(coming, default=FOREVER)
            if first == FOREVER:
                return self._main
            self.now = first

    def _happen(self, event: Callable[[], None]) -> None:
        self._in_event = True
        try:
            event()
        except BaseException as failure:  # noqa: BLE001 -- told by the thread that runs the schedule
            self.fail(failure)
        finally:
            self._in_event = False

    def _chosen(self, me: Fiber | None, ready: list[Fiber]) -> Fiber:
        if len(ready) == 1:
            return ready[0]
        if me in ready:
            others = [fiber for fiber in ready if fiber is not me]
            turn = self.choices(f"{me.name} yields" if me else "", self._switching, len(ready))
            return others[turn - 1] if turn else me
        return ready[self.choices("who goes on", 0.5, len(ready))]


class _Thread:
    """A thread that serves one fiber after another."""

    def __init__(self, *, start: bool = True) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.serves: tuple[Scheduler, Fiber] | None = None
        if start:
            threading.Thread(target=self._serve, daemon=True, name="fiber").start()

    def _serve(self) -> None:
        while True:
            self.lock.acquire()
            scheduler, fiber = self.serves  # type: ignore[misc]  # it is set before the thread wakes
            try:
                if not fiber.worker.dead:
                    fiber.task()
            except Died:
                pass
            except BaseException as failure:  # noqa: BLE001 -- told by the thread that runs the schedule
                scheduler.fail(failure)
            _free.append(self)
            scheduler._ended(fiber)  # noqa: SLF001 -- one piece with it


_free: list[_Thread] = []


class Pool:
    """Replaces `ThreadPoolExecutor`: its tasks are fibers of the worker that made it."""

    scheduler: Scheduler

    def __init__(self, _most: int = 0, thread_name_prefix: str = "") -> None:  # noqa: ARG002 -- as the original takes it
        self._futures: list[Future] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not Died:
            for future in self._futures:
                future.wait()

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future:  # noqa: ANN401 -- as the original takes them
        """Start a task."""
        future = Future(self.scheduler, task, arguments)
        self._futures.append(future)
        return future

    def map(self, task: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """Start a task for each argument; yield their results in order."""
        futures = [self.submit(task, argument) for argument in arguments]
        return (future.result() for future in futures)


class Future:
    """A started task."""

    def __init__(self, scheduler: Scheduler, task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._baton = scheduler
        self._done = False
        self._error: BaseException | None = None
        self._value: Any = None
        self._waits: Fiber | None = None
        self._work = task, arguments
        me = scheduler.current
        fiber = scheduler.spawn(f"{me.name}.{next(me.children)}", me.worker, self._run)
        fiber.wake = scheduler.now

    def result(self) -> Any:  # noqa: ANN401 -- the task's result
        """Wait for the task; return its result, or raise its exception."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self) -> None:
        """Wait until the task is done."""
        while not self._done:
            self._waits = self._baton.current
            self._baton.sleep(FOREVER)

    def _run(self) -> None:
        task, arguments = self._work
        try:
            self._value = task(*arguments)
        except Exception as error:  # noqa: BLE001 -- `result` raises it again
            self._error = error
        self._done = True
        if self._waits is not None:
            self._waits.wake = self._baton.now


class Event:
    """Replaces `threading.Event`; only one fiber may wait for it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._baton = scheduler
        self._is_set = False
        self._waits: Fiber | None = None

    def set(self) -> None:
        """Set the event and wake the waiting fiber."""
        self._is_set = True
        if self._waits is not None:
            self._waits.wake = self._baton.now

    def wait(self, seconds: float) -> bool:
        """Wait until the event is set, for `seconds` at most; return whether it is set."""
        if not self._is_set:
            self._waits = self._baton.current
            self._baton.sleep(seconds)
        return self._is_set
