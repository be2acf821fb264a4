"""Standard input and pipes in place of a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from titlecard_console import cli, input_file
from titlecard_console.errors import CommandError

FORMS = Path(__file__).parents[2] / "events" / "forms"

READ_TWICE = "dumpdata.json"
"""A manifest that is read twice for its rows alone, since they name people by keys."""


@pytest.mark.parametrize("command", ["parse", "check", "convert", "estimate"])
def test_standard_input_is_read_like_a_file(command: str) -> None:
    path = FORMS / READ_TWICE
    by_name = CliRunner().invoke(cli.app, [command, str(path)])
    piped = CliRunner().invoke(cli.app, [command, "-"], input=path.read_bytes())
    assert (piped.exit_code, piped.stdout.replace("-: ", f"{path}: ", 1)) == (0, by_name.stdout)


@pytest.mark.parametrize("command", ["parse", "check", "convert", "estimate"])
def test_a_named_pipe_is_read_like_a_file(command: str, tmp_path: Path) -> None:
    path, pipe = FORMS / READ_TWICE, tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    writer.start()
    piped = CliRunner().invoke(cli.app, [command, str(pipe)])
    writer.join()
    by_name = CliRunner().invoke(cli.app, [command, str(path)])
    assert (piped.exit_code, piped.stdout.replace(str(pipe), str(path))) == (0, by_name.stdout)


def test_a_data_set_is_read_from_standard_input(tmp_path: Path) -> None:
    case = {"id": "1", "title": "Linkers", "event": "x", "expected": {"title": "Linkers", "presenters": []}}
    (tmp_path / "talks.jsonl").write_text(json.dumps(case))
    by_name = CliRunner().invoke(cli.app, ["eval", str(tmp_path / "talks.jsonl"), "--json"])
    piped = CliRunner().invoke(cli.app, ["eval", "-", "--json"], input=json.dumps(case))
    assert (piped.exit_code, piped.stdout) == (0, by_name.stdout)


def test_faults_of_standard_input_are_reported_under_its_name() -> None:
    done = CliRunner().invoke(cli.app, ["check", "-"], input=(FORMS / "with-mistakes.jsonl").read_bytes())
    assert (done.exit_code, done.stdout.startswith("-: JSON Lines\n")) == (3, True)


def test_the_copy_of_standard_input_is_deleted_at_the_end(tmp_path: Path) -> None:
    with (FORMS / READ_TWICE).open("rb") as stream:
        command = [sys.executable, "-m", "titlecard_console", "parse", "-"]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        done = subprocess.run(command, stdin=stream, capture_output=True, check=True, env=environment)  # noqa: S603
    assert (done.stdout.count(b"\n"), list(tmp_path.iterdir())) == (4, [])


def test_a_pipe_is_copied_up_to_the_largest_manifest_and_one_byte(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"x" * 1000))
    writer.start()
    assert input_file.readable_again(pipe, 1000 - 1).read_bytes() == b"x" * 1000
    writer.join()


def test_a_file_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    path.write_bytes(b"{}")
    assert input_file.readable_again(path, 1) == path


def test_a_closed_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CommandError, match="Standard input is closed"):
        input_file.readable_again(Path("-"), 1)
