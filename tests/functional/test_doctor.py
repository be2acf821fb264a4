"""`titlecard doctor`: its findings on a machine and in a stack."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal

import pytest
from tests.functional.finished import Console

from titlecard_console import doctor
from titlecard_console.doctor import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.functional.world import World


format_gmt = partial(format_datetime, usegmt=True)


@contextmanager
def clock(offset: timedelta, written: Callable[[datetime], str] = format_gmt) -> Iterator[str]:
    """Run a server whose clock differs from the machine's by this offset."""

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(400)
            self.send_header("Date", written(datetime.now(UTC) + offset))
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def finding(check: str, state: Path, **environment: str) -> Finding:
    found = {it.check: it for it in doctor.examine({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", **environment}, state)}
    assert len(found) == 10
    return found[check]


@pytest.mark.parametrize(
    ("offset", "level"),
    [(timedelta(seconds=20), Level.OK), (timedelta(minutes=6), Level.FAILED), (timedelta(minutes=-6), Level.FAILED)],
)
def test_a_clock_that_aws_would_refuse_fails(tmp_path: Path, offset: timedelta, level: Level) -> None:
    with clock(offset) as source:
        assert finding("clock", tmp_path, AWS_ENDPOINT_URL=source).level is level


@pytest.mark.parametrize(
    ("written", "level"),
    [("%a, %d %b %Y %H:%M:%S -0000", Level.OK), ("yesterday", Level.WARNING), ("", Level.WARNING)],
)
def test_a_date_in_any_form_is_no_traceback(tmp_path: Path, written: str, level: Level) -> None:
    with clock(timedelta(), lambda now: now.strftime(written)) as source:
        assert finding("clock", tmp_path, AWS_ENDPOINT_URL=source).level is level


def test_a_clock_that_cannot_be_compared_is_a_warning(tmp_path: Path) -> None:
    found = finding("clock", tmp_path, AWS_ENDPOINT_URL="http://grace:secret@127.0.0.1:9")
    assert (found.level, "secret" in found.found) == (Level.WARNING, False)


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        ({}, Level.OK),
        ({"HTTPS_PROXY": "http://grace:secret@proxy.example:3128"}, Level.OK),
        ({"HTTPS_PROXY": "proxy.example:3128"}, Level.FAILED),
        ({"HTTPS_PROXY": "http://[::1"}, Level.FAILED),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, Level.FAILED),
    ],
)
def test_a_proxy_that_cannot_work_fails_and_no_password_is_shown(
    tmp_path: Path, environment: dict[str, str], level: Level
) -> None:
    found = finding("proxy", tmp_path, **environment)
    assert (found.level, "secret" in found.found) == (level, False)


def test_the_disk_is_that_of_a_folder_that_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path) in finding("disk", tmp_path / "not" / "yet").found
    monkeypatch.setattr(doctor, "NEEDED_BYTES", 10**18)
    assert finding("disk", tmp_path).level is Level.FAILED


def test_folders_that_are_not_writable_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    monkeypatch.setattr(doctor, "PYTHON", tmp_path / "none")
    for check in ("disk", "MiniStack"):
        assert (found := finding(check, tmp_path)).level is Level.FAILED
        assert "not writable" in found.found


def test_the_region_comes_from_the_environment(tmp_path: Path) -> None:
    assert finding("AWS region", tmp_path, AWS_REGION="eu-north-1").found == "eu-north-1"


def test_every_problem_has_a_remedy(tmp_path: Path) -> None:
    found = list(doctor.examine({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "HTTP_PROXY": "x"}, tmp_path))
    assert all(it.remedy for it in found if it.level is not Level.OK)


@pytest.mark.parametrize(("status", "level"), [("Enabled", Level.OK), ("Suspended", Level.FAILED)])
def test_suspended_versioning_fails_with_the_command_that_enables_it(
    world: World, monkeypatch: pytest.MonkeyPatch, status: Literal["Enabled", "Suspended"], level: Level
) -> None:
    world.s3.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": status})
    try:
        done = Console(world, monkeypatch).type("doctor", "--stack", "titlecard")
    finally:
        world.s3.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": "Enabled"})
    (line,) = [it for it in done.stdout.splitlines() if " versioning " in it]
    assert line.startswith(level)
    assert ("put-bucket-versioning" in line, done.exit_code) == (level is Level.FAILED, int(level is Level.FAILED))
