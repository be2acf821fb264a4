"""What a cold start loads: the size of each function's artefact, and the time that its imports take.

    .venv/bin/python tests/benchmarks/cold_start.py [--runs 5]

Each import is timed in a process of its own, with the interpreter and the artefact that the functions have on the local
cloud; the median of the runs is printed. "the first question" is what the parser loads when a video needs the model.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import zipfile
from pathlib import Path

from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import template
from titlecard_console.local_cloud.environment import PYTHON

PATHS = {
    "ingest": ("IngestFunction", "import ingest.app"),
    "parser": ("ParserFunction", "import parser.app"),
    "parser, the first question": ("ParserFunction", "import parser.app; parser.app.parser._model.load()"),
    "parser, the local tier alone": ("ParserFunction", "import titlecard.extraction"),
    "sweeper": ("SweeperFunction", "import sweeper.app"),
}

TIMED = """
import sys, time
sys.path.insert(0, {folder!r})
began = time.perf_counter()
{statement}
print(time.perf_counter() - began)
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    runs = options.parse_args().runs
    built = artefact.build()
    with tempfile.TemporaryDirectory() as scratch:
        for name in artefact.FUNCTIONS:
            code = Path(scratch, name)
            artefact.unpack(built / f"{name}.zip", code)
            files = [Path(folder, file) for folder, _, names in os.walk(code, followlinks=True) for file in names]
            size = sum(file.stat().st_size for file in files)
            squeezed = Path(scratch, f"{name}.zip")
            with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as zipped:
                for file in files:
                    zipped.write(file, file.relative_to(code))
            print(f"{name}: {size / 1e6:.1f} MB, {squeezed.stat().st_size / 1e6:.1f} MB zipped")
        for title, (name, statement) in PATHS.items():
            program = TIMED.format(folder=str(Path(scratch, name)), statement=statement)
            command = [str(PYTHON), "-c", program]
            environment = _environment(name)
            seconds = [
                float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
                for _ in range(runs + 1)
            ][1:]
            print(f"{title}: {statistics.median(seconds) * 1000:.0f} ms")


def _environment(function: str) -> dict[str, str]:
    """The environment that the template gives a function, its parameters at their defaults."""
    stack = template.load()
    values = stack.values({})
    given = stack.resources("AWS::Serverless::Function")[function]["Environment"]["Variables"]
    environment = {"AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in given.items():
        wanted = value.get("Ref", "") if isinstance(value, dict) else value
        environment[name] = values.get(wanted, wanted or "anything")
    return environment


if __name__ == "__main__":
    main()
