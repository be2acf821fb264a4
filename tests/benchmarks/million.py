"""A million rows through the deployed ingest, which is killed at random while it works, in a small function's memory.

    .venv/bin/python tests/benchmarks/million.py [--rows 1000000] [--form jsonl|jsonl.gz|json|json.gz|csv|csv.gz]
        [--kills 3] [--timeout 200] [--seed 1] [--parser]

The local cloud runs the template with a timeout that is too short for the manifest, so ingest needs several
continuations; its process is killed several times at random moments. At the end the benchmark checks that

- every accepted row was sent at least once: ingest records what SQS acknowledges, and SQS holds as many messages;
- every rejected row is in the report exactly once;
- the survey and the bitmap of the accepted rows equal those of an undisturbed run;
- with `--parser`, every accepted row has ended, is counted once by the batch, and is in the catalog with its talk.
  Without it the parser is switched off, and the messages stay in their queue.

With `--parser`, sending waits while the work queue is long: MiniStack's SQS scans all messages for each one that it
delivers, so a queue of a million would take days instead of SQS's hour. The figure for sending is then the parser's.
The sweeper, which would write the results, is off, because each page of a Query there reads every row of the batch.

It prints the peak resident memory of ingest's processes (VmHWM in /proc/PID/status), rows per second for validation
(pass 1: reading, checking, duplicates, reports) and for sending (pass 2), and the kills.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from titlecard import manifests
from titlecard.aws.dynamodb.catalog import Catalog, stamp
from titlecard.aws.dynamodb.catalog.grants import Grants
from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.aws.s3 import UploadsBucket
from titlecard.domain.batch import END_STATES, BatchState
from titlecard.extraction.surveying import survey_batch
from titlecard.manifests import validation
from titlecard.preflight import COUNTED_BYTES_PER_SECOND
from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import cloud
from titlecard_console.local_cloud.template import load
from titlecard_console.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.batch import Upload
    from titlecard.extraction.survey import BatchSurvey
    from titlecard.manifests.validation import ValidationReport
    from titlecard_console.local_cloud.cloud import Cloud

NOTES = """

import array as _array
import json as _json
import os as _os
import time as _time

_count, _send, _sent = Ingest._count, Ingest._send, WorkQueue.send


def _noted(name, line):
    with open("{notes}/" + name, "ab") as file:
        file.write(line)


def _timed(which, work):
    def timed(self, batch, *args):
        began = _time.monotonic()
        answer = work(self, batch, *args)
        row = self._catalog.batch(batch.id).sent_row
        _noted("passes.jsonl", _json.dumps([which, _time.monotonic() - began, batch.sent_row, row]).encode() + b"\\n")
        return answer
    return timed


def _send_and_note(self, chunk):
    while _os.path.exists("{notes}/wait"):
        _time.sleep(0.05)
    _sent(self, chunk)
    _noted("sent.bin", _array.array("Q", [message.row for message in chunk]).tobytes())


Ingest._count, Ingest._send, WorkQueue.send = _timed(1, _count), _timed(2, _send), _send_and_note
"""
"""Code appended to ingest's entry point. It records the rows that SQS acknowledges and the time of each pass, and sends
nothing while the file `wait` exists."""

QUEUE_MOST = 1_000
"""Sending waits while more messages than this wait for the parser."""

ROWS_PER_LOOK = 10_000

WORDS = ("async", "caching", "data", "deploying", "django", "forms", "models", "queries", "queues", "teams", "testing")

SECONDS_PER_LINE = 10

QUIET_SECONDS = 600
"""The run fails after this long without any change, in seconds."""


def main() -> None:
    """Run the benchmark once and print the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--form", choices=[f"{form}{gz}" for form in WRITERS for gz in ("", ".gz")], default="jsonl")
    options.add_argument("--kills", type=int, default=3)
    options.add_argument("--timeout", type=int, default=200, help="ingest's timeout in seconds; pass 1 must fit")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--parser", action="store_true", help="run the real parser too; use fewer rows")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="million-") as folder:
        try:
            Trial(Path(folder), given).run()
        except BotoCoreError:
            for log in Path(folder).glob("state/log/*.log"):
                say(f"the end of {log.name}:\n{log.read_text('utf-8', 'replace')[-5000:]}")
            raise


class Trial:
    """One manifest in one cloud."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self._folder = folder
        self._given = given
        self._chance = random.Random(given.seed)  # noqa: S311 -- repeatable on purpose
        self._notes = folder / "notes"
        self._notes.mkdir()
        self._killed: list[str] = []
        self._kill_at: float | None = None
        self._reached: tuple[BatchState, int] | None = None
        self._peaks: dict[int, int] = {}

    def run(self) -> None:
        """Write the manifest, send it through the cloud, and compare the result with the expected one."""
        given = self._given
        path = self._folder / f"manifest.{given.form}"
        WRITERS[given.form.removesuffix(".gz")](path, videos(given.rows, self._chance))
        say(f"{path.name}: {given.rows:,} rows, {path.stat().st_size / 1e6:,.1f} MB")
        undisturbed, rejects = self._undisturbed(path)
        say(f"{undisturbed.accepted:,} accepted, {undisturbed.refused:,} refused, {undisturbed.repeated:,} repeated")
        instrumented = self._instrumented(artefact.build())
        with cloud.start(self._folder / "state", self._parameters(), os.environ, artefacts=instrumented) as there:
            stack = Stack(there)
            stack.hide_for(given.timeout + 60)
            if given.parser:
                stack.switch_resume_off()
            else:
                stack.switch_parser_off()
            began = time.monotonic()
            upload = Run(there).upload(path, "benchmark", path.name, None).upload
            with self._watched(there):
                batch = self._follow(stack, upload)
            say(f"ingest finished after {time.monotonic() - began:,.0f} s")
            self._check_reports(stack, upload, undisturbed, rejects)
            self._check_sent(stack, undisturbed)
            if given.parser:
                self._check_catalog(stack, batch, undisturbed)
        self._print_figures()

    def _parameters(self) -> dict[str, str]:
        timeout = self._given.timeout
        return {
            "TierPolicy": "local",
            "ManifestMaxBytes": str(timeout * COUNTED_BYTES_PER_SECOND),
            "IngestTimeoutSeconds": str(timeout),
            "IngestVisibilitySeconds": str(6 * timeout),
            "IngestMaxReceiveCount": "100",
        }

    def _undisturbed(self, path: Path) -> tuple[ValidationReport, list[int]]:
        """Return the result of an undisturbed run."""
        numbers = _Numbers()
        limits = manifests.ReadingLimits(row_max_bytes=int(load().values({})["RowMaxBytes"]), total_max_bytes=1 << 30)
        with path.open("rb") as stream:
            sample_max = int(load().values({})["SurveySampleRows"])
            counted = validation.validate(
                manifests.read(stream, limits), scratch=self._folder, rejects=numbers, sample_max=sample_max
            )
        return counted, numbers.rows

    def _instrumented(self, built: Path) -> Path:
        """Return the artefacts, with the recording code in ingest's."""
        folder = self._folder / "artefacts"
        shutil.copytree(built, folder)
        notes = NOTES.replace("{notes}", str(self._notes))
        with (
            zipfile.ZipFile(built / "IngestFunction.zip") as old,
            zipfile.ZipFile(folder / "IngestFunction.zip", "w") as new,
        ):
            for entry in old.infolist():
                if not entry.filename.startswith("ingest/__pycache__/"):
                    ours = notes if entry.filename == "ingest/app.py" else ""
                    new.writestr(entry, old.read(entry) + ours.encode())
        return folder

    # ------------------------------------------------------------------------------------------------- during the run

    def _follow(self, stack: Stack, upload: Upload) -> Batch:
        """Wait until all rows are sent (with a parser: have ended), and kill ingest while it works."""
        moved, before, told = time.monotonic(), "", 0.0
        while True:
            time.sleep(0.5)
            batch = stack.batch(upload)
            if batch is None:
                continue
            if batch.state is BatchState.REFUSED:
                sys.exit(f"refused: {batch.reason}")
            ended = batch.counted(*END_STATES)
            if batch.state is BatchState.OPEN and (not self._given.parser or ended == batch.accepted):
                return batch
            now = f"{batch.state}, sent up to row {batch.sent_row:,}, {ended:,} ended"
            if now != before:
                moved, before = time.monotonic(), now
                if moved > told + SECONDS_PER_LINE:
                    told = moved
                    say(now)
            if time.monotonic() - moved > QUIET_SECONDS + self._given.timeout:
                sys.exit("nothing moves any more")
            if len(self._killed) < self._given.kills and self._is_to_be_killed(batch):
                for process in stack.workers():  # including those that wait for work
                    os.kill(process, signal.SIGKILL)
                self._killed.append(now)
                say(f"killed: {now}")

    def _is_to_be_killed(self, batch: Batch) -> bool:
        """Return whether ingest has made progress since the last kill and the pause is over."""
        if (batch.state, batch.sent_row) != self._reached:
            self._reached = batch.state, batch.sent_row
            self._kill_at = self._kill_at or time.monotonic() + self._pause()
        leased = batch.lease_until > stamp(datetime.now(UTC)) and batch.state is not BatchState.OPEN
        if not leased or self._kill_at is None or time.monotonic() < self._kill_at:
            return False
        self._kill_at = None
        return True

    def _pause(self) -> float:
        """Return the seconds from the first sign of work to the next kill."""
        return self._chance.uniform(5, self._given.timeout)

    @contextlib.contextmanager
    def _watched(self, there: Cloud) -> Iterator[None]:
        """Watch the peak memory of ingest's processes, and the queue if the parser works."""
        stack, over, wait = Stack(there), threading.Event(), self._notes / "wait"

        def look() -> None:
            while not over.wait(0.1):
                for process in stack.workers():
                    with contextlib.suppress(OSError):
                        status = Path(f"/proc/{process}/status").read_text("utf-8")
                        peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
                        self._peaks[process] = max(int(peaks[0]) if peaks else 0, self._peaks.get(process, 0))
                if self._given.parser and stack.messages() > QUEUE_MOST:
                    wait.touch()
                else:
                    wait.unlink(missing_ok=True)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    # ---------------------------------------------------------------------------------------------------- the results

    def _check_reports(self, stack: Stack, upload: Upload, undisturbed: ValidationReport, rejects: list[int]) -> None:
        reported = [json.loads(line)["row"] for line in stack.report(upload, "rejects.jsonl").splitlines()]
        check("every rejected row is in the report exactly once", reported == rejects)
        accepted = stack.report(upload, "accepted.bin")
        check("the accepted rows are those of an undisturbed run", accepted == undisturbed.bitmap.to_bytes())
        survey = survey_batch(undisturbed.sample)
        check("the survey is that of an undisturbed run", stack.survey(upload) == survey)

    def _check_sent(self, stack: Stack, undisturbed: ValidationReport) -> None:
        rows = array.array("Q")
        rows.frombytes((self._notes / "sent.bin").read_bytes())
        check("every accepted row was sent at least once", set(rows) == set(undisturbed.bitmap))
        say(f"{len(rows):,} messages were sent, {len(rows) - undisturbed.accepted:,} of them again")
        if not self._given.parser:
            held = stack.messages()
            check(f"SQS holds as many messages, or a few more that were not recorded ({held:,})", held >= len(rows))

    def _check_catalog(self, stack: Stack, batch: Batch, undisturbed: ValidationReport) -> None:
        states: Counter[str] = Counter()
        accepted = iter(undisturbed.bitmap)
        while some := list(islice(accepted, ROWS_PER_LOOK)):
            rows = stack.grants.rows((batch.id, row) for row in some)
            talks = stack.grants.video_records((batch.project, it.video, it.fingerprint) for it in rows.values())
            states.update(str(it.state) for it in rows.values())
            states["talks"] += sum(1 for entry in talks.values() if entry.talk)
        say(f"{dict(states)}, counted {dict(batch.counts)}")
        check("every accepted row is in the catalog, and parsed", states["parsed"] == undisturbed.accepted)
        check("every row has its own talk", states["talks"] == undisturbed.accepted)
        check("every one was counted once", batch.counted(*END_STATES) == undisturbed.accepted)

    def _print_figures(self) -> None:
        lines = (self._notes / "passes.jsonl").read_text("utf-8").splitlines()
        passes = [json.loads(line) for line in lines]
        first = [seconds for which, seconds, _, _ in passes if which == 1]
        second = [(seconds, after - before) for which, seconds, before, after in passes if which == 2]
        seconds, sent = sum(it[0] for it in second), sum(it[1] for it in second)
        say(f"killed {len(self._killed)} times: {'; '.join(self._killed)}")
        say(f"validation: {self._given.rows / first[-1]:,.0f} rows/s ({first[-1]:.1f} s)")
        say(f"sending: {sent / seconds:,.0f} rows/s, in {len(second)} completed invocations")
        peak = max(self._peaks.values()) / 1024
        say(f"peak memory of {len(self._peaks)} ingest processes: {peak:.0f} MiB")


class Stack:
    """The parts of the cloud that the benchmark reads and changes."""

    def __init__(self, there: Cloud) -> None:
        self._outputs = there.outputs
        self._lambda = there.client("lambda")
        self._sqs = there.client("sqs")
        self._events = there.client("events")
        self._uploads = UploadsBucket(there.client("s3"))
        database, table = convert_values(there.client("dynamodb")), there.outputs["CatalogTable"]
        self.catalog = Catalog(database, table)
        self.grants = Grants(database, table)

    def batch(self, upload: Upload) -> Batch | None:
        """Return the batch of an upload; None until ingest begins."""
        try:
            return self.catalog.batch(upload.batch)
        except KeyError:
            return None

    def survey(self, upload: Upload) -> BatchSurvey:
        """Return the survey."""
        return self.catalog.survey(upload.batch)

    def report(self, upload: Upload, name: str) -> bytes:
        """Return one of the reports."""
        return self._uploads.read_report(upload, name)

    def messages(self) -> int:
        """Return the number of messages in the work queue."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        asked = self._sqs.get_queue_attributes(QueueUrl=self._outputs["WorkQueueUrl"], AttributeNames=names)
        return sum(int(number) for number in asked["Attributes"].values())

    def hide_for(self, seconds: int) -> None:
        """Shorten the ingest queue's visibility, so that a notification comes again soon after a kill."""
        attributes = {"VisibilityTimeout": str(seconds)}
        self._sqs.set_queue_attributes(QueueUrl=self._outputs["IngestQueueUrl"], Attributes=attributes)

    def switch_parser_off(self) -> None:
        """Switch the parser off, so that the messages stay in their queue."""
        sources = self._lambda.list_event_source_mappings(FunctionName=self._outputs["ParserFunction"])
        for source in sources["EventSourceMappings"]:
            self._lambda.update_event_source_mapping(UUID=source["UUID"], Enabled=False)

    def switch_resume_off(self) -> None:
        """Switch the sweeper off, so that no batch is finished."""
        for rule in self._events.list_rules()["Rules"]:
            self._events.disable_rule(Name=rule["Name"])

    def workers(self) -> list[int]:
        """Return the ids of ingest's processes."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    if f"lambda-{self._outputs['IngestFunction']}-".encode() in (folder / "cmdline").read_bytes():
                        found.append(int(folder.name))
        return found


class _Numbers:
    """Receives the lines of the rejects report and keeps their row numbers."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def write(self, line: str, /) -> None:
        self.rows.append(json.loads(line)["row"])


def videos(rows: int, chance: random.Random) -> Iterator[dict[str, str]]:
    """Yield rows as they come from YouTube. Of a hundred, one has no title, one repeats a row, one has another's id."""
    row: dict[str, str] = {}
    for number in range(rows):
        title = " ".join(chance.choices(WORDS, k=6)).capitalize()
        title = f"{title} - Presenter {number % 5000} - DjangoCon {2000 + number % 25}"
        video = hashlib.blake2b(str(number).encode(), digest_size=8).hexdigest()[:11]
        match number % 100:
            case 7:
                title = ""
            case 11:
                video = row["id"]
        if number % 100 != 17:
            row = {"id": video, "title": title, "description": " ".join(chance.choices(WORDS, k=25))}
        yield row


def write_lines(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """Write JSON Lines."""
    _write(path, (json.dumps(row) + "\n" for row in rows))


def write_array(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """Write an indented JSON array."""
    _write(path, ((",\n" if place else "[\n") + json.dumps(row, indent=2) for place, row in enumerate(rows)), "\n]\n")


def write_table(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """Write CSV; nothing in these rows needs a quote."""
    _write(path, (f"{row['id']},{row['title']},{row['description']}\n" for row in rows), first="id,title,description\n")


def _write(path: Path, parts: Iterator[str], last: str = "", first: str = "") -> None:
    with gzip.open(path, "wb", compresslevel=6) if path.suffix == ".gz" else path.open("wb") as sink:
        sink.write(first.encode())
        for part in parts:
            sink.write(part.encode())
        sink.write(last.encode())


WRITERS: dict[str, Callable[[Path, Iterator[dict[str, str]]], None]] = {
    "jsonl": write_lines,
    "json": write_array,
    "csv": write_table,
}


def check(claim: str, holds: bool) -> None:
    """Print that a claim holds, or exit with the claim that does not."""
    if not holds:
        sys.exit(f"NOT TRUE: {claim}")
    say(f"true: {claim}")


def say(text: str) -> None:
    """Print a line without buffering."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()
