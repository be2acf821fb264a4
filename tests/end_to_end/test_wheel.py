"""The wheel, installed in an empty environment: every command works without a checkout.

The commands find neither the tests' folder on their path nor the checkout as their working directory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.end_to_end.manifests import answers, lines, videos
from tests.end_to_end.person import Ran
from tests.end_to_end.stack import PATIENCE_SECONDS, until

import titlecard
from titlecard_console.installation import LOCKS, ROOT
from titlecard_console.local_cloud import cloud
from titlecard_console.local_cloud.deploy import STACK
from titlecard_console.local_cloud.environment import find_uv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Installed:
    """The command as installed from the wheel, and a folder with a manifest to run it in."""

    command: Path
    folder: Path
    environment: Mapping[str, str]

    def ran(self, *arguments: str, **environment: str) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(  # noqa: S603 -- our own command
            [self.command, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def up(self) -> Iterator[cloud.Cloud]:
        """Run the local cloud of `titlecard up` for the length of a block."""
        log = self.folder / "up.log"
        with (
            log.open("w") as told,
            subprocess.Popen([self.command, "up"], cwd=self.folder, env=self.environment, stderr=told) as process,  # noqa: S603 -- ours
        ):
            try:
                state = self.folder / ".titlecard"
                until(lambda: cloud.find(state) or process.poll() is not None, "`titlecard up` has a cloud")
                found = cloud.find(state)
                assert found, log.read_text()
                yield found
            finally:
                process.send_signal(signal.SIGINT)  # it waits until its cloud has stopped


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    _do(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    (wheel,) = folder.glob("*.whl")
    uv, python = find_uv(), folder / "empty" / "bin" / "python"
    _do(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder / "empty"))
    locked = ("--constraint", str(LOCKS / "console.txt"))  # the versions that the other tests use
    _do(uv, "pip", "install", "--quiet", "--python", str(python), *locked, str(wheel))
    (folder / "work").mkdir()
    (folder / "work" / "list.jsonl").write_bytes(lines(videos(5)))
    ours = ("PYTHON", "VIRTUAL_ENV", "AWS_", "OPENAI_")  # the rest, such as the registry, is the person's own
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "PATH": f"{SYSTEM_PATH}:{Path(uv).parent}",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "UV_CACHE_DIR": subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip(),  # noqa: S603 -- uv
    }
    return Installed(python.with_name("titlecard"), folder / "work", environment)


def test_version_is_that_of_the_library(installed: Installed) -> None:
    assert installed.ran("--version").data == f"titlecard {titlecard.__version__}\n"


def test_parse_gives_the_talks(installed: Installed) -> None:
    done = installed.ran("parse", "list.jsonl")
    assert {it["id"]: (it["title"], tuple(it["presenters"])) for it in done.lines} == answers(lines(videos(5)))


@pytest.mark.parametrize("command", ["check", "estimate"])
def test_manifest_is_checked_without_a_cloud(installed: Installed, command: str) -> None:
    done = installed.ran(command, "list.jsonl", "--json")
    assert (done.code, len(done.lines)) == (0, 1), done.told


def test_eval_scores_a_dataset(installed: Installed) -> None:
    expected = answers(lines(videos(5)))
    rows = [
        video | {"event": "series", "expected": dict(zip(("title", "presenters"), expected[video["id"]], strict=True))}
        for video in videos(5)
    ]
    (installed.folder / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = installed.ran("eval", "talks.jsonl", "--json")
    assert (done.code, json.loads(done.data)["all.both"]) == (0, 1.0), done.told


def test_run_says_in_a_sentence_that_it_needs_uv(installed: Installed) -> None:
    done = installed.ran("run", "list.jsonl", "--state", "none", PATH=SYSTEM_PATH)
    assert (done.code, done.data, "needs uv" in done.told) == (1, "", True)
    assert "Traceback" not in done.told


def test_stack_in_aws_and_the_local_cloud_are_reached(installed: Installed) -> None:
    with installed.up() as there:
        done = installed.ran("run", "list.jsonl")
        assert (done.code, [line["state"] for line in done.lines]) == (0, ["parsed"] * 5), done.told
        account = {
            "AWS_ENDPOINT_URL": there.endpoint_url,
            "AWS_REGION": there.region,
            "AWS_ACCESS_KEY_ID": there.access_key,
            "AWS_SECRET_ACCESS_KEY": there.secret_key,
        }
        commands = ("batches --json", "spend --json", "dlq --json", "export --project default", "estimate list.jsonl")
        ran = {it: installed.ran(*it.split(), "--stack", STACK, **account) for it in commands}
        assert {command: done.told for command, done in ran.items() if done.code} == {}
        report = there.client("s3").get_object(
            Bucket=there.outputs["UploadsBucket"], Key=f"reports/{ran['batches --json'].lines[0]['batch']}/report.json"
        )
        assert json.load(report["Body"])["titlecard"] == titlecard.__version__


def _do(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 -- hatchling or uv
    assert not done.returncode, done.stderr
