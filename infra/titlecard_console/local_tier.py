"""The local tier over a whole manifest, on every core that this process may use.

The surveys are taken first and sent to each worker process. Rows and answers travel in chunks, so memory stays bounded
for a manifest of any length. This process parses small manifests itself, which is faster than starting a worker.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from titlecard import extraction
from titlecard.extraction.surveying import survey_batch
from titlecard_console.errors import ConsoleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from titlecard.domain.video import Video
    from titlecard.extraction import LocalParse
    from titlecard.extraction.survey import BatchSurvey, Survey

    Row = tuple[int, Video]

CHUNK_ROWS = 50
"""Rows in a chunk for a worker: some 50 ms of work."""

PARALLEL_ROWS = 1_000
"""The fewest rows that workers are started for: one process takes longer for them than a worker takes to start."""

CHUNKS_AHEAD = 4
"""Chunks for each worker that are read before the first of them is answered."""


def survey(rows: Sequence[Row]) -> BatchSurvey:
    """Return the surveys of a sample of a manifest's rows.

    Raises:
        ConsoleError: a worker process was killed.
    """
    workers = _workers(len(rows))
    if workers == 1:
        return survey_batch(rows)
    with ProcessPoolExecutor(workers, initializer=_end_with_the_parent) as pool:

        def each(take: Callable[[Sequence[Row]], Survey], parts: Iterable[Sequence[Row]]) -> Iterable[Survey]:
            with _without_interrupts():
                return pool.map(take, parts)

        try:
            return survey_batch(rows, each=each)
        except BrokenProcessPool as error:
            raise ConsoleError(f"A worker process was killed before a row was parsed, {_PERHAPS}") from error
        finally:
            pool.shutdown(cancel_futures=True)


def parses(rows: Iterable[Row], survey: BatchSurvey, total: int) -> Iterator[tuple[Row, LocalParse]]:
    """Yield each row with the local tier's answer, in the order of `rows`.

    Args:
        rows: the numbers and the videos of rows, read only as needed.
        survey: what the rows have in common.
        total: the number of rows.

    Raises:
        ConsoleError: a worker process was killed.
    """
    workers = _workers(total)
    if workers == 1:
        for row, video in rows:
            yield (row, video), extraction.parse(video, survey.of(row, video))
        return
    stream, answered = iter(rows), 0
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(survey,)) as pool:
        waiting = deque((chunk, _submit(pool, chunk)) for chunk in _chunks(stream, CHUNKS_AHEAD * workers))
        try:
            while waiting:
                chunk, answers = waiting.popleft()
                yield from zip(chunk, answers.result(), strict=True)
                answered += len(chunk)
                waiting.extend((chunk, _submit(pool, chunk)) for chunk in _chunks(stream, 1))
        except BrokenProcessPool as error:
            raise ConsoleError(
                f"A worker process was killed after {answered:,} of {total:,} rows were parsed, {_PERHAPS}"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_PERHAPS = "perhaps because the machine has too little memory. Run the command again."


def _workers(rows: int) -> int:
    return min(cores(), rows // CHUNK_ROWS) if rows >= PARALLEL_ROWS else 1


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(stream: Iterator[Row], most: int) -> Iterator[list[Row]]:
    for _ in range(most):
        if chunk := list(islice(stream, CHUNK_ROWS)):
            yield chunk


def _submit(pool: ProcessPoolExecutor, chunk: list[Row]) -> Future[list[LocalParse]]:
    with _without_interrupts():
        return pool.submit(_parse, chunk)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start workers that ignore Ctrl-C: this process handles it and ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a new process inherits the mask
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ------------------------------------------------------------------------------------------------- in a worker process

_survey: BatchSurvey


def _start(survey: BatchSurvey) -> None:
    """Prepare a worker that parses."""
    global _survey  # noqa: PLW0603 -- an initializer has no other way to pass something on
    _survey = survey
    _end_with_the_parent()


def _end_with_the_parent() -> None:
    """Have a worker end by itself if its parent is killed."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _parse(rows: list[Row]) -> list[LocalParse]:
    return [extraction.parse(video, _survey.of(row, video)) for row, video in rows]
