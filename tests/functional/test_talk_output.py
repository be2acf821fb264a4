"""The table that `parse` prints on a terminal, and the JSON Lines that it prints elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from titlecard_console import talk_output
from titlecard_console.cli import app

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "talks.jsonl"
    rows = [{"id": "a", "title": "Compilers [bold] - Grace Hopper"}, {"id": "b", "title": "Engines - Ada Lovelace"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_output, "is_terminal", lambda: True)


def parse(*words: str) -> Result:
    done = CliRunner().invoke(app, ["parse", *words])
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.usefixtures("on_a_terminal")
def test_a_terminal_shows_a_table_and_how_to_get_json_lines(manifest: Path) -> None:
    done = parse(str(manifest))
    heading, first, _ = done.stdout.splitlines()
    assert heading.split() == ["title", "as", "uploaded", "title", "presenters", "tier", "confidence", "review"]
    assert first.startswith("Compilers [bold] - Grace Hopper  Compilers")
    assert "Grace Hopper  local" in first
    assert "For JSON Lines use --json, --output FILE or a pipe." in done.stderr


@pytest.mark.usefixtures("on_a_terminal")
def test_json_lines_on_a_terminal_are_an_option(manifest: Path) -> None:
    assert [json.loads(line)["id"] for line in parse(str(manifest), "--json").stdout.splitlines()] == ["a", "b"]


@pytest.mark.usefixtures("on_a_terminal")
def test_a_terminal_shows_which_file_has_the_json_lines(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert f"{output} holds 2 talks as JSON Lines." in parse(str(manifest), "--output", str(output)).stderr
    assert len(output.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.usefixtures("on_a_terminal")
def test_a_long_table_is_cut_and_says_so(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_output, "SHOWN_ROWS", 1)
    done = parse(str(manifest))
    assert len(done.stdout.splitlines()) == 2
    assert "These are the first 1 of 2 talks." in done.stderr


def test_a_pipe_gets_json_lines(manifest: Path) -> None:
    done = parse(str(manifest))
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["a", "b"]
    assert done.stderr == ""


def test_output_to_a_device_does_not_replace_it(manifest: Path) -> None:
    assert parse(str(manifest), "--output", "/dev/null").stdout == ""
