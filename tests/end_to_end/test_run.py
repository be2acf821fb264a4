"""`titlecard` as a person runs it, without a key: refused commands, outputs, and a cloud that stays up."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import boto3
import pytest
from tests.end_to_end.manifests import answers, array, lines, videos
from tests.end_to_end.person import FIELDS, ended, interrupt, left_behind, ran, ran_here, started
from tests.end_to_end.stack import Stack, until

from titlecard.domain.batch import RowState, Upload
from titlecard_console.installation import ROOT
from titlecard_console.local_cloud import cloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAMPLE = ROOT / "events" / "sample.jsonl"
MISTAKES = ROOT / "events" / "forms" / "with-mistakes.jsonl"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "list.jsonl"
    path.write_bytes(lines(videos(5)))
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200))
    return path


# --------------------------------------------------------------------------------------------------------- bad usage


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--set", "MaxRecieveCount=6"], r"no parameter 'MaxRecieveCount'.*MaxReceiveCount"),
        (["--set", "VisibilitySeconds=100"], r"VisibilitySeconds \(100\) is below"),
        (["--set", "AttemptCap"], r"PARAMETER=VALUE"),
        (["--project", "no/folder"], r"'no/folder' cannot be a project's name"),
        (["--tier", "model"], r"needs a key"),
        (["--tier", "best"], r"--tier"),
    ],
)
def test_bad_usage_is_refused_before_anything_is_started(
    manifest: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    state = tmp_path / "state"
    done = ran_here("run", manifest, "--state", state, *options)
    assert (done.code, done.data) == (2, "")
    assert re.search(sentence, " ".join(done.told.split()))
    assert not state.exists()


def test_a_file_that_is_not_a_manifest_is_refused_before_anything_starts(picture: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = ran_here("run", picture, "--state", state)
    assert (done.code, done.data) == (2, "")
    assert "picture.jpg" in done.told
    assert "JSON Lines" in done.told
    assert not state.exists()


def test_a_file_that_is_missing_is_bad_usage(tmp_path: Path) -> None:
    done = ran_here("run", tmp_path / "nothing.jsonl", "--state", tmp_path / "state")
    assert (done.code, done.data) == (2, "")
    assert "nothing.jsonl" in done.told


def test_declining_the_shown_amount_starts_nothing(manifest: Path, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    os.write(ours, b"n\n")
    done = ran(
        "run", manifest, "--tier", "model", "--state", tmp_path / "state", base_url="http://[::1]:9", stdin=theirs
    )
    os.close(ours)
    os.close(theirs)
    assert (done.code, done.data) == (1, "")
    assert "Continue?" in done.told
    assert not (tmp_path / "state").exists()


# ------------------------------------------------------------------------------------------------------------- parse


def test_parse_writes_a_line_for_every_row_of_the_sample() -> None:
    done = ran("parse", SAMPLE)
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    assert (done.code, done.told) == (0, "")
    assert [line["id"] for line in done.lines] == [row["id"] for row in rows]
    assert all(list(line) == FIELDS for line in done.lines)


def test_parse_writes_the_good_rows_and_reports_the_others() -> None:
    done = ran_here("parse", MISTAKES)
    assert done.code == 0
    assert [line["id"] for line in done.lines] == list(answers(MISTAKES.read_bytes()))
    assert [f"with-mistakes.jsonl:{row}: " in done.told for row in (3, 4, 6)] == [True] * 3


def test_parse_of_no_manifest_is_bad_usage(picture: Path) -> None:
    done = ran_here("parse", picture)
    assert (done.code, done.data) == (2, "")
    assert "picture.jpg" in done.told


def test_parse_writes_to_a_file_what_it_would_write_to_standard_output(tmp_path: Path) -> None:
    done = ran_here("parse", SAMPLE, "--output", tmp_path / "talks.jsonl")
    assert (done.code, done.data) == (0, "")
    assert (tmp_path / "talks.jsonl").read_text(encoding="utf-8") == ran_here("parse", SAMPLE).data


# ------------------------------------------------------------------------------------------- a cloud that is kept up


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "state"


@pytest.fixture(scope="module")
def told(state: Path) -> Path:
    """Return the messages of `up`."""
    return state.with_name("told")


@pytest.fixture(scope="module")
def stack(artefacts: Path, state: Path, told: Path) -> Iterator[Stack]:  # noqa: ARG001 -- built, so that `up` need not
    """Run `titlecard up` in another process; end it with Ctrl-C, and check that it leaves nothing behind."""
    with told.open("w") as stderr, started("up", "--state", state, stderr=stderr) as process:
        until(lambda: "Ctrl-C stops it" in told.read_text() or process.poll() is not None, "the cloud is up")
        found = cloud.find(state)
        assert found, told.read_text()
        yield Stack(found, state)
        interrupt(process, signal.SIGINT)
        stopped = ended(process)
    assert stopped.code == 130
    assert "Traceback" not in told.read_text()
    assert not left_behind(state)


def test_run_writes_lines_with_the_documented_fields_in_the_manifests_order_and_nothing_else(
    stack: Stack, state: Path, tmp_path: Path
) -> None:
    content = lines(reversed(videos(25)))
    (tmp_path / "backwards.jsonl").write_bytes(content)
    done = ran("run", tmp_path / "backwards.jsonl", "--state", state, "--project", "order")
    assert done.code == 0
    assert [line["id"] for line in done.lines] == [f"v{number}" for number in range(25, 0, -1)]
    assert all(list(line) == FIELDS for line in done.lines)
    assert {line["id"]: (line["title"], tuple(line["presenters"])) for line in done.lines} == answers(content)
    assert stack.batches("order")


def test_run_and_parse_write_the_same_lines_without_a_key(stack: Stack, state: Path) -> None:
    done = ran_here("run", SAMPLE, "--state", state, "--project", "sample")
    assert done.data == ran_here("parse", SAMPLE).data
    assert stack.batches("sample")


@pytest.mark.usefixtures("stack")
def test_without_a_key_run_says_so_once(manifest: Path, state: Path) -> None:
    done = ran_here("run", manifest, "--state", state)
    assert done.told.count("OPENAI_API_KEY is not set") == 1


@pytest.mark.usefixtures("stack")
def test_several_manifests_are_written_in_order_even_under_one_name(state: Path, tmp_path: Path) -> None:
    paths, name = [], os.fsdecode(b"caf\xe9.json")  # in Latin-1, so it cannot be printed as it is
    for folder, write in (("a", lines), ("b", array)):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / name)
        paths[-1].write_bytes(write(videos(3, folder.upper(), first=len(paths) * 10)))
    done = ran_here("run", *paths, "--state", state, "--project", "several")
    assert [line["id"] for line in done.lines] == ["v10", "v11", "v12", "v20", "v21", "v22"]


@pytest.mark.usefixtures("stack")
def test_run_writes_to_a_file_if_one_is_named(manifest: Path, state: Path, tmp_path: Path) -> None:
    done = ran_here("run", manifest, "--state", state, "--output", tmp_path / "talks.jsonl")
    written = (tmp_path / "talks.jsonl").read_text(encoding="utf-8").splitlines()
    assert (done.code, done.data) == (0, "")
    assert [json.loads(line)["id"] for line in written] == ["v1", "v2", "v3", "v4", "v5"]


@pytest.mark.usefixtures("stack")
def test_run_continues_with_the_good_rows_of_a_file_with_mistakes(state: Path) -> None:
    done = ran_here("run", MISTAKES, "--state", state, "--project", "mistakes")
    assert done.code == 0
    assert [line["id"] for line in done.lines] == list(answers(MISTAKES.read_bytes()))
    assert [f"with-mistakes.jsonl:{row}: " in done.told for row in (3, 4, 6)] == [True] * 3


@pytest.mark.usefixtures("stack")
def test_a_running_cloud_keeps_its_parameters(manifest: Path, state: Path) -> None:
    done = ran_here("run", manifest, "--state", state, "--set", "MaxReceiveCount=7")
    assert (done.code, done.data) == (2, "")
    assert "with its own settings" in done.told


def test_the_command_that_up_prints_uploads_a_manifest(stack: Stack, manifest: Path, state: Path, told: Path) -> None:
    command = next(line for line in told.read_text().splitlines() if " s3 cp " in line)
    words = shlex.split(command)
    given = dict(word.split("=") for word in words[:2])
    uploading = boto3.client(
        "s3",
        endpoint_url=words[words.index("--endpoint-url") + 1],
        region_name=words[words.index("--region") + 1],
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
    )
    bucket, _, folder = words[-1].removeprefix("s3://").partition("/")
    version = uploading.put_object(Bucket=bucket, Key=f"{folder}by-hand.jsonl", Body=manifest.read_bytes())["VersionId"]
    upload = Upload(bucket, f"{folder}by-hand.jsonl", version, order="")
    assert stack.finished(upload).project == "default"
    done = ran_here("run", manifest, "--state", state)
    assert [(line["id"], line["state"]) for line in done.lines] == [(f"v{number}", "parsed") for number in range(1, 6)]
    assert stack.states(upload) == {RowState.PARSED: 5}


def test_a_run_waits_for_the_uploads_and_for_the_end_of_another(manifest: Path, tmp_path: Path) -> None:
    state, told = tmp_path / "state", tmp_path / "told"
    state.mkdir()

    def says(words: str) -> bool:
        return words in " ".join(told.read_text().split())

    with told.open("w") as stderr, ExitStack() as uploading:
        uploading.enter_context(cloud.State(state).upload_alone(print))
        with started("run", manifest, "--state", state, stderr=stderr) as owner:
            until(lambda: says("another run uploads"), "it waits before it agrees on a budget", saw=told.read_text)
            with cloud.State(state).join() as joined:
                uploading.close()
                until(lambda: says("waiting for its end"), "it waits when it is done", saw=told.read_text)
                assert cloud.find(state) == joined
            done = ended(owner)
    assert (done.code, len(done.lines)) == (0, 5), told.read_text()
