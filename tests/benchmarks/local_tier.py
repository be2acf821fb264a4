"""The size and the time of the local tier, and the number of tokens of a request to the model.

    python tests/benchmarks/local_tier.py DATASET.jsonl [--runs 7]

Imports are timed in separate processes: `titlecard.extraction` alone, and with the weights, which are read at the first
video. The time of a video is the mean over all rows of its kind, with caches as warm as the batch makes them. All times
are processor times, the lowest of the runs, so that other processes do not count. Tokens are those of OpenAI's
`o200k_base`, counted by `bpe-openai` if it is installed, for the instructions, the schema and the video as sent. What
the provider adds to them is unknown.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard.domain.money import PriceList
from titlecard.domain.video import Video
from titlecard.extraction import parse
from titlecard.extraction.model import WEIGHTS
from titlecard.extraction.surveying import take_survey
from titlecard.llm import ModelTier
from titlecard.llm.prompt import INSTRUCTIONS, Cleaned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from titlecard.extraction.survey import Survey

MODEL = "gpt-6-luna"

IMPORTS = {
    "import titlecard.extraction": "import titlecard.extraction",
    "the same, and the weights": "import titlecard.extraction.model; titlecard.extraction.model.shipped()",
}

TIMED = """
import time
began = time.process_time()
{statement}
print(time.process_time() - began)
"""


def main() -> None:
    """Measure and print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("dataset", type=Path)
    cli.add_argument("--runs", type=int, default=7)
    options = cli.parse_args()
    print(f"weights: {Path(WEIGHTS).stat().st_size / 1e6:.2f} MB compressed")
    for name, statement in IMPORTS.items():
        print(f"{name}: {min(import_seconds(statement) for _ in range(options.runs)) * 1000:.0f} ms")
    rows = surveyed(options.dataset)
    described = [(video, survey) for video, survey in rows if video.description]
    bare = [(video, survey) for video, survey in rows if not video.description]
    for name, some in (("with a description", described), ("without one", bare)):
        least = min(seconds(some) for _ in range(options.runs))
        print(f"a video {name}: {least / len(some) * 1000:.2f} ms ({len(some)} rows)")
    if importlib.util.find_spec("bpe_openai") is None:
        print("tokens: not counted, bpe-openai is not installed")
        return
    encode = importlib.import_module("bpe_openai").get_encoding("o200k_base").encode
    tokens = sorted(input_tokens(rows, lambda text: len(encode(text))))
    half, most = tokens[len(tokens) // 2], tokens[len(tokens) * 9 // 10]
    print(f"input tokens of a request: half of the rows take at most {half}, nine in ten at most {most}")


def import_seconds(statement: str) -> float:
    """Return how long a statement takes in a new interpreter, in seconds."""
    command = [sys.executable, "-c", TIMED.format(statement=statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def surveyed(dataset: Path) -> list[tuple[Video, Survey]]:
    """Return the videos of a data set, each with the survey of its event."""
    batches: dict[str, list[Video]] = defaultdict(list)
    with dataset.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            video = Video(id=row["id"], title=row["title"], description=row["description"] or "")
            batches[row["event"]].append(video)
    surveys = {event: take_survey(videos) for event, videos in batches.items()}
    return [(video, surveys[event]) for event, videos in batches.items() for video in videos]


def seconds(rows: Sequence[tuple[Video, Survey]]) -> float:
    """Return the processor time for all rows, in seconds."""
    began = time.process_time()
    for video, survey in rows:
        parse(video, survey)
    return time.process_time() - began


def input_tokens(rows: Sequence[tuple[Video, Survey]], count: Callable[[str], int]) -> list[int]:
    """Return the tokens of each row's request."""
    tier = ModelTier(MODEL, prices=PriceList.packaged(), max_output_tokens=400)
    same = count(INSTRUCTIONS) + count(json.dumps(Cleaned.model_json_schema(), separators=(",", ":")))
    return [same + count(tier.prepare(video, parse(video, survey), survey.hint()).prompt) for video, survey in rows]


if __name__ == "__main__":
    main()
