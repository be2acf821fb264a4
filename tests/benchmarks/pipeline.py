"""Videos per second through the whole stack on this machine, compared with handlers that do nothing.

    .venv/bin/python -m tests.benchmarks.pipeline [--rows 10000] [--pairs 5]
    .venv/bin/python -m tests.benchmarks.pipeline --provider-seconds 0.2 [--rows 3000] [--pairs 5]

Both run on the same local cloud from the same template, driven by the same event sources. The empty ingest sends as
many messages of the same size, and the empty parser acknowledges them. The time runs from the upload to the last talk
in the catalog, or to the last acknowledged message, with all workers warm. Quote the median ratio of the pairs: a
machine's speed drifts, but both sides of a pair drift alike.

With `--provider-seconds` the model is asked about every row, each answer takes the provider that long, and the run is
compared with the ideal: rows times seconds, divided by the number of concurrent requests that the template allows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from titlecard.aws.dynamodb.catalog import Catalog
from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.domain.money import Total
from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import cloud, template
from titlecard_console.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from titlecard_console.local_cloud.cloud import Cloud

EMPTY = {
    "ingest": """
import json, os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
import boto3

sqs = boto3.client("sqs")
s3 = boto3.client("s3")

def send(lines):
    entries = [{"Id": str(i), "MessageBody": line} for i, line in enumerate(lines)]
    sqs.send_message_batch(QueueUrl=os.environ["WORK_QUEUE_URL"], Entries=entries)

def handler(event, context):
    for record in event["Records"]:
        for upload in json.loads(record["body"]).get("Records", ()):
            where = upload["s3"]
            body = s3.get_object(Bucket=where["bucket"]["name"], Key=where["object"]["key"])["Body"]
            lines = (line.decode() for line in body.iter_lines())
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(send, iter(lambda: list(islice(lines, 10)), [])))
    return {"batchItemFailures": []}
""",
    "parser": """
def handler(event, context):
    return {"batchItemFailures": []}
""",
    "sweeper": """
def handler(event, context):
    return {}
""",
}

WARM_UP_ROWS = 500
"""Rows parsed before the measurement: the local cloud unpacks an artefact for each worker, which must not count."""

POLL_SECONDS = 0.2


def main() -> None:
    """Measure pairs of runs and print them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--provider-seconds", type=float, metavar="SECONDS")
    options.add_argument("--set", action="append", default=[], metavar="PARAMETER=VALUE")
    given = options.parse_args()
    overrides = dict(setting.split("=", 1) for setting in given.set)
    built = artefact.build()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        manifest = scratch / "manifest.jsonl"
        manifest.write_text("".join(row(i) for i in range(given.rows)), encoding="utf-8")
        if given.provider_seconds is None:
            overrides["TierPolicy"] = "local"
            ratios = [_pair(scratch / f"{pair}", manifest, built, overrides, given.rows) for pair in range(given.pairs)]
        else:
            overrides |= {"TierPolicy": "model", "BatchRequestLimit": str(3 * given.rows)}
            overrides |= {"BatchTokenLimit": str(10**9), "BatchMicroUsdLimit": str(10**9)}
            ideal = _requests_at_once(overrides) / given.provider_seconds
            print(f"ideal: {ideal:.0f} videos/s")
            with _provider(given.provider_seconds) as url:
                environment = os.environ | {"OPENAI_API_KEY": "sk-loopback", "OPENAI_BASE_URL": url}
                measure = partial(_measure, rows=given.rows, environment=environment)
                runs = [measure(scratch / f"{run}", manifest, built, overrides) for run in range(given.pairs)]
                ratios = [run / ideal for run in runs]
    spread = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
    print(f"median ratio {statistics.median(ratios):.2f} ({spread}), {given.rows:,} rows, {overrides}")


def _pair(state: Path, manifest: Path, built: Path, overrides: dict[str, str], rows: int) -> float:
    """Return the ratio of one pair of runs."""
    state.mkdir()
    real = _measure(state / "real", manifest, built, overrides, rows=rows)
    nothing = _measure(state / "none", manifest, _empty(built, state / "empty"), overrides, rows=rows)
    print(f"titlecard {real:.1f} videos/s, empty handlers {nothing:.1f} messages/s: {real / nothing:.2f}", flush=True)
    return real / nothing


def _requests_at_once(overrides: dict[str, str]) -> int:
    """Return how many concurrent requests the template allows: messages of a parser, times parsers."""
    stack = template.load()
    parser = stack.resources("AWS::Serverless::Function")["ParserFunction"]
    (source,) = (it["Properties"] for it in parser["Events"].values() if it["Type"] == "SQS")
    return int(source["BatchSize"]) * int(stack.values(overrides)["MaxConcurrency"])


@contextmanager
def _provider(seconds: float) -> Iterator[str]:
    """Run the loopback provider in a separate process with this delay in seconds; yield its base URL."""
    command = [sys.executable, "-m", "tests.provider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            urls = json.loads(process.stdout.readline())
            late = json.dumps({"sequence": [], "delay": seconds}).encode()
            urllib.request.urlopen(f"{urls['control_url']}/faults", data=late, timeout=10).close()  # noqa: S310 -- ours
            yield urls["base_url"]
        finally:
            process.terminate()


def row(number: int) -> str:
    """Return a row of a conference: half are sure, some name nobody, all have a description of the usual length."""
    title = (
        f"Speaker{number % 977} Surname{number % 1013} - What we learnt from building part {number} - ExampleConf 2019"
    )
    description = "A talk about building things, and what comes after it. " * 12
    return json.dumps({"id": f"v{number}", "title": title, "description": description}) + "\n"


def _empty(built: Path, folder: Path) -> Path:
    """Return the same artefacts with handlers that do nothing."""
    folder.mkdir()
    for name, function in artefact.FUNCTIONS.items():
        if function not in EMPTY:
            shutil.copy(built / f"{name}.zip", folder)
            continue
        with zipfile.ZipFile(built / f"{name}.zip") as old, zipfile.ZipFile(folder / f"{name}.zip", "w") as new:
            for entry in old.infolist():
                if entry.filename != f"{function}/app.py" and not entry.filename.startswith(f"{function}/__pycache__"):
                    new.writestr(entry, old.read(entry))
            new.writestr(f"{function}/app.py", EMPTY[function])
    return folder


def _measure(
    state: Path,
    manifest: Path,
    artefacts: Path,
    overrides: dict[str, str],
    *,
    rows: int,
    environment: Mapping[str, str] = os.environ,
) -> float:
    """Return videos per second from the upload to the last one's end, once every worker has started."""
    first = state.with_suffix(".jsonl")
    first.write_text("".join(row(number) for number in range(rows, rows + WARM_UP_ROWS)))
    with cloud.start(state, overrides, environment, artefacts=artefacts) as there:
        took = _empty_takes if artefacts.name == "empty" else _titlecard_takes
        took(there, first, WARM_UP_ROWS)
        return rows / took(there, manifest, rows)


def _empty_takes(there: Cloud, manifest: Path, rows: int) -> float:
    """Return the seconds until all messages are acknowledged."""
    work, began = Run(there), time.monotonic()
    work.upload(manifest, "benchmark", manifest.name, None)
    _wait_for_the_queue(there, rows)
    return time.monotonic() - began


def _titlecard_takes(there: Cloud, manifest: Path, rows: int) -> float:
    """Return the seconds until the last talk is in the catalog."""
    work = Run(there)
    catalog = Catalog(convert_values(there.client("dynamodb")), there.outputs["CatalogTable"])
    limits = Total(requests=3 * rows, tokens=10**10, micro_usd=10**10)
    work.allow("benchmark", [limits])
    began = time.monotonic()
    sent = work.upload(manifest, "benchmark", manifest.name, limits)
    with ThreadPoolExecutor(1) as beside:  # `follow` waits for the sweeper now and then
        last = beside.submit(_wait_for_the_talks, catalog, sent.upload.batch, rows)
        work.follow([sent], lambda _name, _status: None, sys.exit)
        took, whole = last.result() - began, time.monotonic() - began
    print(f"  {rows:,} talks after {took:.1f} s; the batch was finished and its results written after {whole:.1f} s")
    ended = sum(1 for _ in catalog.rows(catalog.batch(sent.upload.batch)))
    if ended != rows:
        sys.exit(f"{ended} rows of {rows} ended")
    return took


def _wait_for_the_talks(catalog: Catalog, name: str, rows: int) -> float:
    """Wait until all rows have ended by the batch's counters; return the time."""
    while True:
        time.sleep(POLL_SECONDS)
        with suppress(KeyError):  # ingest has not been notified yet
            batch = catalog.batch(name)
            if batch.accepted >= rows and batch.left <= 0:
                return time.monotonic()


def _wait_for_the_queue(there: Cloud, rows: int) -> None:
    """Wait until all messages are acknowledged."""
    sqs = there.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    urls = (there.outputs["WorkQueueUrl"], there.outputs["IngestQueueUrl"])
    seen = 0
    while True:
        time.sleep(POLL_SECONDS)
        left = 0
        for url in urls:
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            left += sum(int(attributes[name]) for name in names)
        seen = max(seen, left)
        if seen > rows / 20 and not left:
            return


if __name__ == "__main__":
    main()
