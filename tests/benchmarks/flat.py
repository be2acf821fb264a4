"""Time and memory per video, from a hundred rows to a hundred thousand: are they flat, or do they grow?

    .venv/bin/python -m tests.benchmarks.flat [DATASET.jsonl] [--rows 100 1000 10000 100000]

It measures two programs, each in a separate process: the local tier as the parser uses it (decode a row, parse it, make
a talk), and `titlecard parse` on a manifest. The rows repeat those of DATASET or are made up; each has its own id. It
prints the processor time per video in milliseconds, workers included, without the start (measured with a manifest of
one row), and the peak resident memory of the largest process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks.pipeline import row

if TYPE_CHECKING:
    from collections.abc import Iterable

LOCAL_TIER = """
import sys
from itertools import islice
from titlecard import extraction
from titlecard.domain.video import Video
from titlecard.extraction.surveying import SAMPLE, take_survey
from titlecard.pipeline.talks import by_local_tier

with open(sys.argv[1], encoding="utf-8") as lines:
    survey = take_survey(map(Video.model_validate_json, islice(lines, SAMPLE)))
    lines.seek(0)
    for line in lines:
        video = Video.model_validate_json(line)
        by_local_tier(video, extraction.parse(video, survey))
"""

COMMAND = "import sys; from titlecard_console.cli import main; sys.argv[1:1] = ['parse']; main()"

WAYS = {"the local tier": LOCAL_TIER, "titlecard parse": COMMAND}


class Took(NamedTuple):
    """The processor time of a process and its children in seconds, and the memory of the largest of them in MiB."""

    seconds: float
    mebibytes: float


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("dataset", type=Path, nargs="?")
    options.add_argument("--rows", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch, "manifest.jsonl")
        for title, program in WAYS.items():
            _write(manifest, 1, given.dataset)
            start = _run(program, manifest)
            print(f"{title}: the start takes {start.seconds:.2f} s and {start.mebibytes:.0f} MiB")
            for rows in given.rows:
                _write(manifest, rows, given.dataset)
                took = _run(program, manifest)
                each = (took.seconds - start.seconds) / rows * 1000
                print(f"  {rows:>9,} rows: {each:.2f} ms a video, {took.mebibytes:.0f} MiB", flush=True)


def _write(manifest: Path, rows: int, dataset: Path | None) -> None:
    with manifest.open("w", encoding="utf-8") as lines:
        lines.writelines(itertools.islice(_lines(dataset), rows))


def _lines(dataset: Path | None) -> Iterable[str]:
    if dataset is None:
        yield from map(row, itertools.count())
        return
    with dataset.open(encoding="utf-8") as rows:
        given = [json.loads(line) for line in rows]
    for number, fields in enumerate(itertools.cycle(given)):
        video = {"id": f"{number}", "title": fields["title"], "description": fields.get("description") or ""}
        yield json.dumps(video) + "\n"


def _run(program: str, manifest: Path) -> Took:
    """Run a program with the manifest as its argument; wait for it and for its children."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    command = [sys.executable, "-c", program, str(manifest)]
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=quiet)
    _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"it ended with {os.waitstatus_to_exitcode(status)}")
    return Took(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
