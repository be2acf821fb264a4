"""The speed of reading and counting manifests, and the memory that it takes.

    python tests/benchmarks/manifest.py [ROWS] [FOLDER]

It writes manifests of ROWS rows (default: a million) into FOLDER (default: a temporary folder), then reads each in a
separate process: pass 1 (validation, duplicates, sample) and pass 2 (the accepted rows again). It prints rows per
second and the peak resident memory of the process, with boto3 imported as in the ingest function.
"""

from __future__ import annotations

import csv
import gzip
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from xml.sax.saxutils import escape, quoteattr

from titlecard import manifests
from titlecard.manifests import validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORDS = ("async", "caching", "data", "deploying", "django", "forms", "models", "queries", "queues", "teams", "testing")


def main(rows: int, folder: Path) -> None:
    """Write and measure every form."""
    writers: dict[str, Callable[[Iterator[dict[str, str]], TextIO], None]] = {
        "lines.jsonl": write_lines,
        "array.json": write_array,
        "table.csv": write_table,
        "titles.txt": write_titles,
        "schedule.json": write_schedule,
        "sessionize.json": write_sessionize,
        "dumpdata.json": write_dumpdata,
        "schedule.xml": write_markup,
        "videos.yml": write_yaml,
    }
    for name, write in writers.items():
        plain = folder / name
        with plain.open("w", encoding="utf-8", newline="") as sink:
            write(videos(rows), sink)
        packed = folder / f"{name}.gz"
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
        for path in (plain, packed):
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(path, folder))
            process.start()
            process.join()
            path.unlink()


def measure(path: Path, scratch: Path) -> None:
    """Read one manifest twice; print the time and memory."""
    import boto3  # noqa: F401, PLC0415 - the memory that the ingest function has as well

    megabytes = path.stat().st_size / 1e6
    start = time.perf_counter()
    with path.open("rb") as stream, (scratch / "rejects.jsonl").open("w", encoding="utf-8") as rejects:
        reading = manifests.read(stream, manifests.ReadingLimits())
        counted = validation.validate(reading, scratch=scratch, rejects=rejects, sample_max=2_000)
    first = time.perf_counter() - start
    start = time.perf_counter()
    with path.open("rb") as stream:
        again = sum(1 for _ in validation.accepted(manifests.read(stream, manifests.ReadingLimits()), counted.bitmap))
    second = time.perf_counter() - start
    assert again == counted.accepted
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{path.name:15} {megabytes:7.1f} MB  {counted.accepted:,} accepted, {counted.refused:,} refused, "
        f"{counted.repeated:,} repeated  pass 1: {counted.last / first:9,.0f} rows/s  "
        f"pass 2: {again / second:9,.0f} rows/s  peak {peak:.0f} MiB",
        flush=True,
    )


def videos(rows: int) -> Iterator[dict[str, str]]:
    """Yield rows as they come from YouTube: one in a hundred repeats an id, one in a thousand has no title."""
    chance = random.Random(1)  # noqa: S311 - repeatable on purpose
    for number in range(rows):
        title = " ".join(chance.choices(WORDS, k=6)).capitalize()
        yield {
            "id": f"video-{number - number % 100 if number % 100 == 1 else number}",
            "title": ""
            if number % 1000 == 7
            else f"{title} - Presenter {number % 5000} - DjangoCon {2000 + number % 25}",
            "description": " ".join(chance.choices(WORDS, k=40)),
            "url": f"https://www.youtube.com/watch?v={number:011d}",
        }


def write_lines(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write JSON Lines."""
    sink.writelines(json.dumps(row) + "\n" for row in rows)


def write_array(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write an indented JSON array."""
    sink.writelines((",\n" if place else "[\n") + json.dumps(row, indent=2) for place, row in enumerate(rows))
    sink.write("\n]\n")


def write_table(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write CSV."""
    writer = csv.DictWriter(sink, ("id", "title", "description", "url"))
    writer.writeheader()
    writer.writerows(rows)


def write_titles(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write one title per line."""
    sink.writelines(f"{row['title']}\n" for row in rows)


def write_schedule(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write a schedule's JSON with all talks on one day."""
    sink.write('{"schedule": {"conference": {"title": "X", "days": [{"index": 1, "rooms": {"Main": [')
    people = [{"id": 1, "public_name": "Ada Byron"}]
    sink.writelines((", " if place else "") + json.dumps({**row, "persons": people}) for place, row in enumerate(rows))
    sink.write("]}}]}}}")


def write_sessionize(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write Sessionize's `all`. Its speakers follow the sessions, so it is read twice."""
    sink.write('{"sessions": [')
    sink.writelines(
        (", " if place else "") + json.dumps({**row, "isServiceSession": False, "speakers": [f"s{place % 50_000}"]})
        for place, row in enumerate(rows)
    )
    speakers = ", ".join(json.dumps({"id": f"s{n}", "fullName": f"Ada Byron {n}"}) for n in range(50_000))
    sink.write(f'], "speakers": [{speakers}]}}')


def write_dumpdata(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write Django's dumpdata, which is read twice as well."""
    sink.write("[")
    sink.writelines(
        (",\n" if place else "") + json.dumps({"model": "talks.talk", "pk": row.pop("id"), "fields": row})
        for place, row in enumerate(rows)
    )
    sink.write("]")


def write_markup(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write a schedule's XML."""
    sink.write("<schedule><day><room>")
    sink.writelines(
        f"<event id={quoteattr(row['id'])}><title>{escape(row['title'])}</title><abstract>{escape(row['description'])}"
        "</abstract><persons><person id='1'>Ada Byron</person></persons></event>\n"
        for row in rows
    )
    sink.write("</room></day></schedule>")


def write_yaml(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write RubyEvents' YAML."""
    sink.writelines(
        f"- id: {json.dumps(row['id'])}\n  title: {json.dumps(row['title'])}\n  speakers:\n    - Ada Byron\n"
        f"  description: {json.dumps(row['description'])}\n  video_id: x\n  video_provider: youtube\n"
        for row in rows
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000,
            Path(sys.argv[2] if len(sys.argv) > 2 else temporary),
        )
