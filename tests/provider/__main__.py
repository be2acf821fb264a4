"""`python -m tests.provider [--port PORT]`: the loopback provider as a separate process.

It prints one line of JSON, `{"base_url": "http://127.0.0.1:…/v1", "control_url": "http://127.0.0.1:…/control"}`, and
serves until it is interrupted or terminated. The base URL is the value for OPENAI_BASE_URL. Control:

    GET  /control/bill     every POST so far, and the sums
    POST /control/faults   {"sequence": ["reset", "ok"], "always": null, "by_text": {"Django": "refusal"}, "delay": 0}
    POST /control/reset    an empty bill, no faults

`FAULTS` in tests/provider/faults.py names the faults.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading

from tests.provider.server import LoopbackProvider


def main() -> None:
    """Serve until the process is interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="python -m tests.provider")
    parser.add_argument("--port", type=int, default=0, help="a free one by default")
    port = parser.parse_args().port
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with LoopbackProvider(port) as provider, contextlib.suppress(KeyboardInterrupt):
        urls = {"base_url": provider.base_url, "control_url": provider.control_url}
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
