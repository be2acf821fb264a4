"""The speed of reading and counting manifests, and the memory that it takes.

    python tests/benchmarks/manifest.py [--rows 1000000] [--folder FOLDER] [FORM ...]

It writes manifests of so many rows into FOLDER (default: a temporary folder), then reads each in a separate process:
pass 1 (validation, duplicates, sample) and pass 2 (the accepted rows again). It prints rows per second of processor
time and the peak resident memory of the process, with boto3 imported as in the ingest function. FORM is the name of a
file, such as `table.csv`; without one, all forms are measured. JSON Lines are measured gzipped as well.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import multiprocessing
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from xml.sax.saxutils import escape

from titlecard import manifests
from titlecard.manifests import validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Writer = Callable[[Iterator[dict[str, str]], TextIO], None]

WORDS = ("async", "caching", "data", "deploying", "django", "forms", "models", "queries", "queues", "teams", "testing")


def main(rows: int, folder: Path, names: list[str]) -> None:
    """Write and measure the named forms."""
    for name in names or WRITERS:
        plain = folder / name
        with plain.open("w", encoding=ENCODINGS.get(name, "utf-8"), newline="") as sink:
            WRITERS[name](videos(rows), sink)
        paths = [plain]
        if name == "lines.jsonl":
            paths.append(folder / f"{name}.gz")
            with plain.open("rb") as source, gzip.open(paths[-1], "wb", compresslevel=6) as target:
                shutil.copyfileobj(source, target)
        for path in paths:
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(path, folder))
            process.start()
            process.join()
            path.unlink()


def measure(path: Path, scratch: Path) -> None:
    """Read one manifest twice; print the processor time and memory."""
    import boto3  # noqa: F401, PLC0415 - the memory that the ingest function has as well

    megabytes = path.stat().st_size / 1e6
    start = time.process_time()
    with path.open("rb") as stream, (scratch / "rejects.jsonl").open("w", encoding="utf-8") as rejects:
        reading = manifests.read(stream, manifests.ReadingLimits())
        counted = validation.validate(reading, scratch=scratch, rejects=rejects, sample_max=2_000)
    first = time.process_time() - start
    start = time.process_time()
    with path.open("rb") as stream:
        again = sum(1 for _ in validation.accepted(manifests.read(stream, manifests.ReadingLimits()), counted.bitmap))
    second = time.process_time() - start
    assert again == counted.accepted
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{path.name:21} {megabytes:7.1f} MB  {counted.accepted:,} accepted, {counted.refused:,} refused, "
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


def write_nested(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write JSON Lines of almost the largest rows, full of empty lists, which take the most memory."""
    lists = ", ".join(["[]"] * 450_000)
    sink.writelines(json.dumps(row)[:-1] + f', "x": [{lists}]}}\n' for row in rows)


def write_titles(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write one title per line."""
    sink.writelines(f"{row['title']}\n" for row in rows)


def write_yaml(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write RubyEvents' YAML."""
    sink.writelines(
        f"- id: {json.dumps(row['id'])}\n  title: {json.dumps(row['title'])}\n  speakers:\n    - Ada Byron\n"
        f"  description: {json.dumps(row['description'])}\n  video_id: x\n  video_provider: youtube\n"
        for row in rows
    )


def table_writer(**columns: str) -> Writer:
    """Return a writer of CSV with these names for the columns."""

    def write(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
        writer = csv.writer(sink)
        writer.writerow(columns.values())
        writer.writerows([row[name] for name in columns] for row in rows)

    return write


def write_flattened(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
    """Write Sessionize's flattened sessions: some talks have two speakers, each in a row."""
    writer = csv.writer(sink)
    writer.writerow(["Session Id", "Title", "Description", "Speaker Id", "FirstName", "LastName"])
    for place, row in enumerate(rows):
        if place % 3 != 1:
            talk = row
        writer.writerow([talk["id"], talk["title"], talk["description"], place, "Ada", f"Byron {place}"])


def markup_writer(before: str, row: str, after: str) -> Writer:
    """Return a writer of XML in which `row` is the format of a row."""

    def write(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
        sink.write(before)
        sink.writelines(row.format_map({name: escape(text) for name, text in it.items()}) + "\n" for it in rows)
        sink.write(after)

    return write


def json_writer(before: str, row: Callable[[int, dict[str, str]], Iterable[object]], after: str) -> Writer:
    """Return a writer of JSON: `before`, what `row` makes of each row by its place, and `after`."""

    def write(rows: Iterator[dict[str, str]], sink: TextIO) -> None:
        sink.write(before)
        for place, it in enumerate(rows):
            sink.writelines(
                (",\n" if place or inner else "") + json.dumps(one) for inner, one in enumerate(row(place, it))
            )
        sink.write(after)

    return write


def talk_with_a_tie(place: int, row: dict[str, str]) -> Iterable[object]:
    """Yield a talk of Django's `dumpdata`, and the record of a through model that links it to a speaker."""
    yield {"model": "talks.talk", "pk": place, "fields": row}
    yield {"model": "talks.talkspeaker", "pk": place, "fields": {"talk": place, "speaker": f"s{place % PEOPLE}"}}


PEOPLE = 50_000
SPEAKERS = ", ".join(
    json.dumps({"id": f"s{it}", "code": f"s{it}", "fullName": f"Ada Byron {it}"}) for it in range(PEOPLE)
)
RECORDS = ",\n".join(
    json.dumps({"model": "talks.speaker", "pk": f"s{it}", "fields": {"name": f"Ada Byron {it}"}})
    for it in range(PEOPLE)
)

ENCODINGS = {"utf-16.csv": "utf-16"}

WRITERS: Mapping[str, Writer] = {
    "lines.jsonl": write_lines,
    "nested.jsonl": write_nested,
    "array.json": json_writer("[", lambda _, row: [row], "]"),
    "envelope.json": json_writer('{"data": {"search": {"edges": [', lambda _, row: [{"node": row}], "]}}}"),
    "table.csv": table_writer(id="id", title="title", description="description", url="url"),
    "utf-16.csv": table_writer(id="id", title="title", description="description", url="url"),
    "flattened.csv": write_flattened,
    "takeout-fr.csv": table_writer(
        id="ID de la vidéo", title="Titre de la vidéo (original)", description="Description de la vidéo (original)"
    ),
    "titles.txt": write_titles,
    "videos.yml": write_yaml,
    "schedule.xml": markup_writer(
        "<schedule><day><room>",
        '<event id="{id}"><title>{title}</title><abstract>{description}</abstract><persons><person id="1">Ada Byron'
        "</person></persons></event>",
        "</room></day></schedule>",
    ),
    "atom.xml": markup_writer(
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        "<entry><id>yt:video:{id}</id><title>{title}</title><summary>{description}</summary></entry>",
        "</feed>",
    ),
    "rss.xml": markup_writer(
        "<rss><channel>",
        "<item><guid>{id}</guid><title>{title}</title><description>{description}</description></item>",
        "</channel></rss>",
    ),
    "schedule.json": json_writer(
        '{"schedule": {"conference": {"title": "X", "days": [{"index": 1, "rooms": {"Main": [',
        lambda _, row: [{**row, "persons": [{"id": 1, "public_name": "Ada Byron"}]}],
        "]}}]}}}",
    ),
    "sessionize.json": json_writer(
        '{"sessions": [',
        lambda place, row: [{**row, "isServiceSession": False, "speakers": [f"s{place % PEOPLE}"]}],
        f'], "speakers": [{SPEAKERS}]}}',
    ),
    "pretalx.json": json_writer(
        '{"talks": [',
        lambda place, row: [{**row, "code": row["id"], "fav_count": 1, "speakers": [f"s{place % PEOPLE}"]}],
        f'], "speakers": [{SPEAKERS}]}}',
    ),
    "vimeo.json": json_writer(
        '{"total": 1, "data": [',
        lambda place, row: [{"uri": f"/videos/{place}", "name": row["title"], "description": row["description"]}],
        "]}",
    ),
    "peertube.json": json_writer(
        '{"total": 1, "data": [',
        lambda _, row: [{"uuid": row["id"], "name": row["title"], "description": row["description"], "account": {}}],
        "]}",
    ),
    "media-ccc-de.json": json_writer(
        '{"acronym": "x", "slug": "x", "events": [',
        lambda _, row: [{**row, "guid": row["id"], "persons": ["Ada Byron"]}],
        "]}",
    ),
    "oembed.json": json_writer(
        "[", lambda _, row: [{"title": row["title"], "provider_name": "X", "version": "1.0", "url": row["url"]}], "]"
    ),
    "dumpdata.json": json_writer(
        "[", lambda _, row: [{"model": "talks.talk", "pk": row["id"], "fields": {"title": row["title"]}}], "]"
    ),
    "dumpdata-through.json": json_writer("[", talk_with_a_tie, f",\n{RECORDS}]"),
}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--folder", type=Path)
    options.add_argument("forms", nargs="*", choices=[[], *WRITERS])
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        main(given.rows, given.folder or Path(temporary), given.forms)
