"""The machine's headless Chromium, driven by its chromedriver over WebDriver (W3C); nothing is downloaded."""

from __future__ import annotations

import base64
import json
import re
import shutil
import urllib.request
from contextlib import ExitStack
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

SWITCHES = ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run")

PATIENCE_SECONDS = 300


class NoBrowser(Exception):
    """The machine has no Chromium or no chromedriver."""


class Browser:
    """A running browser with one window; leaving the `with` block ends it.

    Args:
        switches: more of Chromium's switches, without their dashes.

    Raises:
        NoBrowser: a program is missing.
    """

    def __init__(self, *switches: str) -> None:
        program, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if not program or not driver:
            raise NoBrowser("install chromium and chromedriver first (on Debian: apt install chromium chromium-driver)")
        chrome = {"binary": program, "args": [f"--{switch}" for switch in (*SWITCHES, *switches)]}
        wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        with ExitStack() as running:
            process = running.enter_context(Popen([driver, "--port=0"], stdout=PIPE, stderr=DEVNULL, text=True))  # noqa: S603 -- found above
            running.callback(process.terminate)  # before its pipe is closed
            self._url = f"http://127.0.0.1:{_port(process)}/session"
            session = self._call("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            running.callback(self._call, "", method="DELETE")
            self._url += f"/{session}"
            self._running = running.pop_all()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the browser and its driver."""
        self._running.close()

    def open(self, page: Path) -> None:
        """Load a page from a file, and wait until it is loaded."""
        self._call("/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *arguments: str) -> Any:  # noqa: ANN401 -- JSON
        """Run a script as a function's body in the page; return its result."""
        return self._call("/execute/sync", {"script": script, "args": arguments})

    def log(self) -> list[dict[str, Any]]:
        """Return the entries of the console since the last call."""
        entries: list[dict[str, Any]] = self._call("/se/log", {"type": "browser"})
        return entries

    def picture(self) -> bytes:
        """Return the window's content as a PNG."""
        return base64.b64decode(self._call("/screenshot", method="GET"))

    def _call(self, path: str, body: dict[str, Any] | None = None, *, method: str = "POST") -> Any:  # noqa: ANN401 -- JSON
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 -- loopback
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE_SECONDS) as it:
            return json.load(it)["value"]


def _port(driver: Popen[str]) -> str:
    for line in driver.stdout or ():
        if found := re.search(r"started successfully on port (\d+)", line):
            return found[1]
    raise RuntimeError("chromedriver has ended without opening its port")
