"""The local cloud itself: what it refuses, what it keeps, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.end_to_end.stack import PATIENCE_SECONDS, processes, until

from titlecard.aws.dynamodb.conversion import convert_values
from titlecard_console.errors import CloudError, CommandError
from titlecard_console.local_cloud import cloud, template
from titlecard_console.local_cloud.build import pack
from titlecard_console.local_cloud.deploy import deploy
from titlecard_console.local_cloud.journal import Journal
from titlecard_console.local_cloud.ministack import MiniStack
from titlecard_console.local_cloud.ministack_main import PACKAGES_OF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.conftest import Start

CONSOLE = """
import os, sys, time
from pathlib import Path
from titlecard_console.local_cloud import cloud
with cloud.start(Path(sys.argv[1]), {}, {"PATH": os.environ["PATH"]}, artefacts=Path(sys.argv[2])) as there:
    time.sleep(3600)
"""
"""A console that a test can kill."""

SLOW_PARSER = """
import os, time
import boto3
catalog = boto3.resource("dynamodb").Table(os.environ["CATALOG_TABLE"])
def handler(event, context):
    for record in event["Records"]:
        catalog.put_item(Item={"pk": "video#asked", "sk": record["messageId"]})
        time.sleep(4)  # the answer is on its way, and billed
        catalog.put_item(Item={"pk": "video#answered", "sk": record["messageId"]})
    return {"batchItemFailures": []}
"""

SEEING_RESUME = """
import os
def handler(event, context):
    return dict(os.environ)
"""


@dataclass(frozen=True)
class Running:
    """A cloud that several tests share, and its state folder."""

    cloud: cloud.Cloud
    state: Path


@pytest.fixture(scope="module")
def shared(artefacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    state = tmp_path_factory.mktemp("shared") / "state"
    with cloud.start(state, {}, {"PATH": os.environ["PATH"]}, artefacts=artefacts) as there:
        yield Running(there, state)


# --------------------------------------------------------------------------------------------------------- it refuses


def test_a_package_that_is_missing_from_an_artefact_is_named(start: Start, artefacts: Path, tmp_path: Path) -> None:
    missing = {
        "IngestFunction": "pydantic_settings",
        "ParserFunction": "aws_lambda_powertools",
        "SweeperFunction": "jmespath",  # MiniStack has its own copy, which must not stand in
    }
    for function, package in missing.items():
        _change(artefacts, tmp_path, function, remove=package)
    with pytest.raises(CloudError) as refusal:
        start(artefacts=tmp_path / "changed")
    told = str(refusal.value).splitlines()
    unnamed = [
        line
        for (function, package), line in zip(missing.items(), told, strict=True)
        if not re.search(rf"{function} .* does not start: No module named '{package}", line)
    ]
    assert unnamed == []


def test_the_stack_itself_refuses_numbers_that_clash(artefacts: Path, tmp_path: Path) -> None:
    ministack = MiniStack(tmp_path, tmp_path / "log", {"PATH": os.environ["PATH"]})
    try:
        there = ministack.cloud
        clashing = template.load().values(cloud.local_parameters({})) | {"VisibilitySeconds": "100"}
        with pytest.raises(CloudError, match=r"VisibilitySeconds \(100\) is below 6 x ParserTimeoutSeconds \(90\)"):
            deploy(there, template.load(), clashing, artefacts)
        assert not there.client("sqs").list_queues().get("QueueUrls")
    finally:
        ministack.close()


def test_clashing_numbers_are_refused_before_anything_is_started(start: Start, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="VisibilitySeconds"):
        start({"VisibilitySeconds": "100"}, state=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_state_folder_that_cannot_be_written_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(CloudError, match=rf"File exists: '{tmp_path}/log'"):
        start(state=tmp_path)


def test_one_state_folder_has_one_cloud_and_others_find_it(shared: Running, start: Start, tmp_path: Path) -> None:
    assert cloud.find(tmp_path) is None
    assert cloud.find(shared.state) == shared.cloud
    with pytest.raises(CloudError, match=r"A cloud is already running on .*state"):
        start(state=shared.state)


def test_the_functions_see_only_the_model_settings_of_the_callers_environment(
    start: Start, artefacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-the-caller")  # it does not exist, and must not be read
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret of the caller")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # no proxy reaches this machine's loopback interface
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise AssertionError('a file of the caller was imported')")
    callers = {"OPENAI_API_KEY": "key", "GITHUB_TOKEN": "secret of the caller", "AWS_SESSION_TOKEN": "secret too"}
    seeing = _change(artefacts, tmp_path, "SweeperFunction", replace={"sweeper/app.py": SEEING_RESUME})
    there = start({}, callers, artefacts=seeing)
    answer = there.client("lambda").invoke(FunctionName=there.outputs["SweeperFunction"])
    seen = json.load(answer["Payload"])
    assert seen["OPENAI_API_KEY"] == "key"
    assert "secret" not in " ".join(seen[name] for name in seen if not name.startswith("WORK"))
    assert there.secret_key not in seen.values()


# --------------------------------------------------------------------------------------------------------- it keeps


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_ends_leaves_no_process_and_loses_no_answer(
    artefacts: Path, tmp_path: Path, end: signal.Signals
) -> None:
    """Not even an answer in flight; `test_run_interrupted` shows that the next cloud starts with what was kept."""
    state = tmp_path / "state"
    slow = _change(artefacts, tmp_path, "ParserFunction", replace={"parser/app.py": SLOW_PARSER})
    with _console(state, slow) as console:
        there = _found(state)
        _put(there, pk="video#p#1", sk="fp#1", talk="paid for")
        _put(there, pk="batch#b", sk="batch")
        there.client("sqs").send_message(QueueUrl=there.outputs["WorkQueueUrl"], MessageBody="{}")
        until(lambda: _asked(there), "the parser is at work")
        console.send_signal(end)
    until(lambda: cloud.find(state) is None and not _alive(there.supervisor), "the cloud has ended")
    assert not _processes_in(state)
    assert _kept(state) == {"video#asked", "video#answered", "video#p#1"}


def test_a_cloud_whose_disk_is_full_stops_and_says_so(artefacts: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with (  # noqa: PT012 -- the end of the inner block raises
        pytest.raises(CloudError, match=r"talks\.jsonl could not be written \(No space left on device\)"),
        cloud.start(state, {}, {"PATH": os.environ["PATH"]}, artefacts=artefacts) as there,
    ):
        (state / "talks.jsonl").unlink(missing_ok=True)
        (state / "talks.jsonl").symlink_to("/dev/full")
        _put(there, pk="video#p#1", sk="fp#1")
        until(lambda: cloud.find(state) is None, "the cloud stops by itself")


def test_a_removed_item_stays_removed(shared: Running) -> None:
    there, state = shared.cloud, shared.state
    _put(there, pk="video#p#1", sk="fp#1")
    _put(there, pk="video#p#2", sk="fp#1")
    until(lambda: _kept(state) == {"video#p#1", "video#p#2"}, "both are written down", saw=lambda: _kept(state))
    key = {"pk": "video#p#1", "sk": "fp#1"}
    convert_values(there.client("dynamodb")).delete_item(TableName=there.outputs["CatalogTable"], Key=key)
    until(lambda: _kept(state) == {"video#p#2"}, "the removal is written down", saw=lambda: _kept(state))


def test_ministack_does_not_outlive_its_supervisor(artefacts: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with (  # noqa: PT012 -- the end of the inner block raises
        pytest.raises(CloudError, match="supervisor was killed"),
        cloud.start(state, {}, {"PATH": os.environ["PATH"]}, artefacts=artefacts) as there,
    ):
        os.kill(there.supervisor, signal.SIGKILL)
        until(
            lambda: cloud.find(state) is None and not _processes_in(state),
            "MiniStack has ended",
            saw=lambda: _processes_in(state),
        )


# ---------------------------------------------------------------------------------------------------------- pieces


def _change(
    artefacts: Path, tmp_path: Path, function: str, *, remove: str = "", replace: dict[str, str] | None = None
) -> Path:
    """Change one more function in this test's artefacts: remove a package, or replace files."""
    changed = tmp_path / "changed"
    if not changed.exists():
        shutil.copytree(artefacts, changed)
    code, packages = tmp_path / f"{function}-code", tmp_path / f"{function}-packages"
    with zipfile.ZipFile(artefacts / f"{function}.zip") as packed:
        packed.extractall(code)
    packages.mkdir()
    for package in Path((code / PACKAGES_OF).read_text("utf-8")).iterdir():
        if package.name != remove:
            (packages / package.name).symlink_to(package)
    for name, text in (replace or {}).items():
        (code / name).write_text(text, encoding="utf-8")
        shutil.rmtree((code / name).parent / "__pycache__")  # bytecode is loaded without a check against its source
    pack(changed / f"{function}.zip", code, packages)
    return changed


@contextmanager
def _console(state: Path, artefacts: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", CONSOLE, str(state), str(artefacts)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as console:  # noqa: S603 -- the script above
        try:
            yield console
            console.wait(PATIENCE_SECONDS)
        finally:
            console.kill()


def _found(state: Path) -> cloud.Cloud:
    return until(lambda: cloud.find(state), "the cloud is up")


def _asked(there: cloud.Cloud) -> bool:
    table = there.outputs["CatalogTable"]
    found = there.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
    return any(item["pk"]["S"] == "video#asked" for item in found)


def _put(there: cloud.Cloud, **item: str) -> None:
    convert_values(there.client("dynamodb")).put_item(TableName=there.outputs["CatalogTable"], Item=item)


def _kept(state: Path) -> set[str]:
    """Return the partition keys that the next cloud would start with, from a copy: the file belongs to its cloud."""
    copy = state / "copy.jsonl"
    if (state / "talks.jsonl").exists():
        shutil.copy(state / "talks.jsonl", copy)
    return {change.key["pk"]["S"] for change in Journal(copy).load()}


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _processes_in(state: Path) -> list[str]:
    """Return the command lines of all processes that were started from a state folder."""
    return [command for _, command in processes() if f"{state}/run" in command]
