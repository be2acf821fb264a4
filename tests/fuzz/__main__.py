"""Searches for files that the readers of manifests cannot handle.

    .venv/bin/python -m tests.fuzz [--seconds 60] [--seed 1]

It changes the samples of `events/`, and the cases found before, as people and attackers do, and checks the result with
`verdict.ills`. A file that takes much longer than its size allows is a finding as well. Findings are reduced and kept
in `tests/fuzz/cases`, which `tests/unit/test_manifest_cases.py` reads on every run. The same seed does the same.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import random
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.verdict import ills

from titlecard import manifests
from titlecard.manifests.errors import NotAManifest

HERE = Path(__file__).parent
CASES = HERE / "cases"
EVENTS = HERE.parents[1] / "events"

LARGEST_BYTES = 60_000
"""The largest file tried, in bytes; whatever is slow at this size is far too slow for larger files."""

SECONDS_ALLOWED = 1.0
"""The most processor time for reading one such file; it normally takes some hundredths of a second."""

SECONDS_MADE_SMALLER = 120
"""The most seconds spent on reducing a finding."""

WORDS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b"\r", b"\r\n", b"\t", b";", b"|", b"\0", b" "),
    *(b'"id"', b'"title"', b'"name"', b'"url"', b'"entries"', b'"items"', b'"videos"', b'"snippet"', b'"x"', b"null"),
    *(b'{"id":"a","title":"b"}', b'{"entries":[{"title":"', b'"\\ud800"', b"\\u0000", b"NaN", b"1e999", b"-0", b"true"),
    *(b"id,title\n", b"id;title;url\n", b"sep=;\n", b'a,"b\n', b"https://youtu.be/dQw4w9WgXcQ", b"[Private video]"),
    *(b"<schedule>", b"<event id='1'>", b"</event>", b"<title>", b"</title>", b"<!ENTITY a 'b'>", b"&a;", b"<![CDATA["),
    *(
        b"id,title,Speaker Id,FirstName,LastName\n",
        b"Video ID,Video Title Text Segments 1,Video Title Text Segments 2\n",
    ),
    *(b'"days":[{"talks":[', b'"2020":{"talks":[', b",]", b",}", b"title: x\nid: y\n"),
    *(b"---\n", b"- title: x\n", b"  id: y\n", b"  speakers:\n    - z\n", b"&a ", b"*a", b"|-\n", b"!!python/none "),
    *(b'"schedule":{"conference":{"days":[{"rooms":{"a":[', b'"persons"', b'"speakers"', b'"isServiceSession"'),
    *(b'"model":"a.b","pk":1,"fields":{', b'"uri":"/videos/1"', b'"uuid"', b'"code"', b'"_type":"playlist"'),
    *(
        b'"schedule":{"events":[',
        b'"participants":[',
        b'"video":{',
        b"- model: a.b\n",
        b"#\n",
        b"<!--",
        b"<?",
        b"1 ",
        b". ",
        b"Ab3dEfGh1Jk\t",
        b" [Ab3dEfGh1Jk]\n",
        b"https://youtu.be/Ab3dEfGh1Jk, ",
        b"\xef\xbb\xbf",
        b"\x1a",
        b'"resourceId":{"videoId":',
        b'"contentDetails":{',
        b'"user":',
        b'"talk":[',
        b'"values":[[',
        b'"error":{',
    ),
    *(b'"data":{"items":[', b'"node":{', b'"attributes":{', b'"2023":[', b'{"talk":1,"speaker":1}', b'"talks":[1]'),
    *(b'=HYPERLINK("https://youtu.be/x")', b'="-a"', b'\\"', b"speaker 1,speaker 2\n", b"[(<", b" and ", b", Jr., PhD"),
    *(b"WARNING: x\n", b"[youtube] a: b\n", b"#NAME?", b"1.23E+10", b"&amp;", b"&#0;", b"&#xd800;", b"\xc3\x83\xc2"),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xed\xa0\x80",
        b"\xef\xbf\xbf",
        b"\xc3",
        b"\xe9",
        b"\x1f\x8b",
        b"\x85",
    ),
)
"""The elements of a manifest's forms, and the bytes that break them."""


def main() -> None:
    """Search for this many seconds; exit with 1 if something was found."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    chance = random.Random(given.seed)  # noqa: S311 -- repeatable on purpose
    seeds = [path.read_bytes() for folder in (EVENTS, EVENTS / "forms", CASES) for path in sorted(folder.glob("*.*"))]
    end = time.monotonic() + given.seconds
    tried, found = 0, set[str]()
    while time.monotonic() < end:
        data = changed(chance, seeds)[:LARGEST_BYTES]
        tried += 1
        fault = fault_of(data)
        if fault and fault not in found:
            found.add(fault)
            small = smaller(data, fault)
            name = f"{hashlib.sha256(small).hexdigest()[:12]}.bin"
            (CASES / name).write_bytes(small)
            sys.stdout.write(f"{name} ({len(small)} bytes): {fault}\n")
    sys.stdout.write(f"{tried} files tried, {len(found)} findings\n")
    sys.exit(bool(found))


def fault_of(data: bytes) -> str:
    """Describe what is wrong with reading a file, in a line that is equal for equal faults; empty if nothing is."""
    began = time.process_time()
    try:
        with contextlib.suppress(NotAManifest):
            list(manifests.read(io.BytesIO(data), manifests.ReadingLimits()))
        if time.process_time() - began > SECONDS_ALLOWED:
            return "it takes too long"
        found = ills(data)
    except Exception as error:  # noqa: BLE001 -- any exception is a finding
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(place.filename).name}:{place.name}"
    return "".join(letter for letter in found[0] if not letter.isdigit()) if found else ""


def changed(chance: random.Random, seeds: list[bytes]) -> bytes:
    """Return one of the seeds, changed in some ways."""
    data = chance.choice(seeds)
    if data[:2] == b"\x1f\x8b" and chance.random() < 0.5:
        data = gzip.decompress(data)
    if len(data) > 1_000 and chance.random() < 0.7:  # small files are faster to try
        start = chance.randrange(len(data))
        data = data[: chance.randrange(300)] + data[start : start + chance.randrange(600)]
    for _ in range(chance.randint(1, 6)):
        data = _once_more(chance, data, seeds)
    return data


def _once_more(chance: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    start = chance.randint(0, len(data))
    end = min(len(data), start + chance.choice((1, 2, 8, 64, 512)))
    before, piece, after = data[:start], data[start:end], data[end:]
    match chance.randrange(9):
        case 0:
            piece = chance.randbytes(chance.choice((1, 1, 2, 4)))
        case 1 | 2 | 3:
            piece = b"".join(chance.choices(WORDS, k=chance.choice((1, 1, 2, 5)))) + piece
        case 4:
            piece = b""
        case 5:
            piece *= chance.choice((2, 3, 50, LARGEST_BYTES // max(len(piece), 1)))
        case 6:
            other = chance.choice(seeds)
            place = chance.randint(0, len(other))
            piece = other[place : place + chance.choice((20, 200, 2_000))] + piece
        case 7:
            return chance.choice((before, after, data.replace(b"\n", b"\r"), data.replace(b'"', b"'")))
        case _:
            packed = gzip.compress(data)
            wide = data.decode("utf-8", "replace").encode("utf-16")
            return chance.choice((packed, packed, wide, packed[: len(packed) // 2], packed + data, data + packed))
    return before + piece + after


def smaller(data: bytes, fault: str) -> bytes:
    """Return a smaller file with the same fault, found by removing parts that are not needed."""
    size, end = len(data) // 2, time.monotonic() + SECONDS_MADE_SMALLER
    while size:
        start = 0
        while start < len(data) and time.monotonic() < end:
            less = data[:start] + data[start + size :]
            if fault_of(less) == fault:
                data = less
            else:
                start += size
        size //= 2
    return data


if __name__ == "__main__":
    main()
