"""The time of a cold start, and of its imports: the functions' artefacts under AWS's own runtime client.

    .venv/bin/python -m tests.benchmarks.cold_start [--runs 5] [--modules 8]

Each start is a separate process: the artefact as built for the local cloud, the runtime client (awslambdaric) from an
environment made for this benchmark, and a Runtime API on loopback in front of it. A start ends when the runtime client
asks for its first event. "The first request" ends when an event is answered for which the model has been asked; a
provider on loopback answers at once.

The benchmark prints medians in seconds: wall-clock time, and processor time, which other processes affect less. The
table of imports comes from another start under `-X importtime`, which slows everything down: only its shares matter.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO, Self

import psutil
from tests.provider import LoopbackProvider

from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import template
from titlecard_console.local_cloud.environment import PYTHON, find_uv
from titlecard_console.local_cloud.ministack_main import link_packages

RUNTIME_CLIENT = "awslambdaric==4.2.2"

FIRST_QUESTION = """
from parser import app

from titlecard import bootstrap, extraction
from titlecard.domain.video import Video
from titlecard.extraction.survey import Survey

def handler(event, context):
    video, survey = Video(id="first", title="Ada Byron and friends: compilers, an evening"), Survey()
    tier = bootstrap.model_tier(app.settings)
    request = tier.prepare(video, extraction.parse(video, survey), survey.hint())
    return tier.ask(request, key="sk-loopback", deadline_seconds=60).title
"""
"""A handler beside the parser's, which does what the parser does for the first video that needs the model."""

STARTS = {
    "ingest": ("IngestFunction", "ingest.app.handler"),
    "parser": ("ParserFunction", "parser.app.handler"),
    "parser, the first request": ("ParserFunction", "first_request.handler"),
    "sweeper": ("SweeperFunction", "sweeper.app.handler"),
}

PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Start:
    """One cold start in seconds of wall-clock time and of processor time."""

    clock: float
    processor: float


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--modules", type=int, default=8, help="the number of packages in the table of imports")
    given = options.parse_args()
    built = artefact.build()
    with tempfile.TemporaryDirectory() as folder, LoopbackProvider() as provider:
        scratch = Path(folder)
        client = _runtime_client(scratch / "runtime")
        for name in artefact.FUNCTIONS:
            shutil.unpack_archive(built / f"{name}.zip", scratch / name)
            link_packages(scratch / name)
            print(f"{name}: {_sizes(scratch / name, scratch / 'zipped')}")
        (scratch / "ParserFunction" / "first_request.py").write_text(FIRST_QUESTION)
        for title, (name, handler) in STARTS.items():
            environment = _environment(name) | {"OPENAI_BASE_URL": provider.base_url, "PYTHONPATH": str(client)}
            asks = handler.startswith("first_request")
            starts = [_start(scratch / name, handler, environment, asks=asks) for _ in range(given.runs + 1)][1:]
            clock = statistics.median(it.clock for it in starts)
            processor = statistics.median(it.processor for it in starts)
            print(f"\n{title}: {clock:.2f} s, {processor:.2f} s of processor time; imports in ms:")
            with tempfile.TemporaryFile("w+") as log:
                _start(scratch / name, handler, environment, asks=asks, imports=log)
                for package, microseconds in _imports(log).most_common(given.modules):
                    print(f"  {microseconds / 1000:7.0f} {package}")


def _sizes(code: Path, squeezed: Path) -> str:
    files = [Path(folder, file) for folder, _, names in os.walk(code, followlinks=True) for file in names]
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in files:
            zipped.write(file, file.relative_to(code))
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB, {squeezed.stat().st_size / 1e6:.1f} MB zipped"


def _runtime_client(target: Path) -> Path:
    """Return a folder with the runtime client and its dependencies, compiled as in Lambda's image."""
    install = [find_uv(), "pip", "install", "--quiet", "--python", str(PYTHON), "--target", str(target)]
    subprocess.run([*install, "--compile-bytecode", RUNTIME_CLIENT], check=True)
    return target


def _environment(function: str) -> dict[str, str]:
    """Return the environment that the template gives a function with default parameters."""
    stack = template.load()
    values = stack.values({})
    given = stack.resources("AWS::Serverless::Function")[function]["Environment"]["Variables"]
    environment = {"AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in given.items():
        wanted = value.get("Ref", "") if isinstance(value, dict) else value
        environment[name] = values.get(wanted, wanted or "anything")
    return environment


def _start(
    code: Path, handler: str, environment: dict[str, str], *, asks: bool, imports: IO[str] | None = None
) -> Start:
    """Start a function; return when it asks for its first event, or has answered it if it `asks` the model."""
    with RuntimeApi() as runtime:
        told = environment | {"AWS_LAMBDA_RUNTIME_API": runtime.address, "LAMBDA_TASK_ROOT": str(code)}
        timing = ["-X", "importtime"] if imports else []
        began = time.perf_counter()
        with subprocess.Popen(
            [str(PYTHON), *timing, "-m", "awslambdaric", handler], cwd=code, env=told, stderr=imports or sys.stderr
        ) as process:
            runtime.wait(runtime.ready)
            if asks:
                runtime.event.set()
                runtime.wait(runtime.answered)
            clock = time.perf_counter() - began
            used = psutil.Process(process.pid).cpu_times()
            process.kill()
    return Start(clock, used.user + used.system)


def _imports(log: IO[str]) -> Counter[str]:
    """Return microseconds by package from the output of `-X importtime`; by subpackage for our library and the SDK."""
    spent: Counter[str] = Counter()
    log.seek(0)
    for line in log:
        if found := re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line):
            parts = found[2].split(".")
            depth = 2 if parts[0] in {"titlecard", "openai", "pydantic_ai"} else 1
            spent[".".join(parts[:depth])] += int(found[1])
    return spent


class RuntimeApi:
    """Lambda's Runtime API for one function. It gives one event once `event` is set; an error ends the benchmark."""

    def __init__(self) -> None:
        self.ready, self.event, self.answered = threading.Event(), threading.Event(), threading.Event()
        self.over, self._error = False, ""
        self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.event.set()
        self._server.shutdown()
        self._server.server_close()

    def wait(self, for_what: threading.Event) -> None:
        """Wait until a function has reached this point."""
        if not for_what.wait(PATIENCE_SECONDS) or self._error:
            sys.exit(f"the function failed: {self._error or 'it did not answer in time'}")

    def _handler(api) -> type[BaseHTTPRequestHandler]:  # noqa: N805 -- `self` is the request's
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.ready.set()
                api.event.wait()
                if api.over:
                    return
                deadline = str(int((time.time() + PATIENCE_SECONDS) * 1000))
                self._answer(200, {"Lambda-Runtime-Aws-Request-Id": "first", "Lambda-Runtime-Deadline-Ms": deadline})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
                if self.path.endswith("/error"):
                    api._error = json.loads(body).get("errorMessage", body)
                    api.ready.set()
                api.answered.set()
                api.event.clear()
                self._answer(202, {})

            def _answer(self, status: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        return Handler


if __name__ == "__main__":
    main()
