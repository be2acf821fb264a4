"""The format of numbers, amounts of money and tables for people."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

import pytest

from titlecard_console import __main__
from titlecard_console.output import can_ask, format_usd, open_output, pluralize, print_table, say, truncate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 videos"), (1, "1 video"), (2, "2 videos"), (12_345, "12,345 videos")]
)
def test_one_is_singular_and_all_else_is_plural(number: int, said: str) -> None:
    assert pluralize(number, "video") == said


def test_a_noun_may_have_a_plural_of_its_own() -> None:
    assert [pluralize(number, "video is", "videos are") for number in (1, 2)] == ["1 video is", "2 videos are"]


@pytest.mark.parametrize(
    ("micro_usd", "said"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (9_999, "$0.009999"),
        (10_000, "$0.01"),
        (14_900, "$0.02"),
        (10**10, "$10,000.00"),
    ],
)
def test_no_sum_is_rounded_down(micro_usd: int, said: str) -> None:
    assert format_usd(micro_usd) == said


def test_a_sentence_is_printed_as_it_is_and_controls_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("talks.csv:100: “[bold]” is no title.", "\x1b]0;renamed\x07")
    assert capsys.readouterr().err == "talks.csv:100: “[bold]” is no title.\n\ufffd]0;renamed\ufffd\n"


def test_a_cut_text_ends_in_an_ellipsis() -> None:
    assert [truncate("abcdef", most) for most in (6, 5)] == ["abcdef", "abcd…"]


# -------------------------------------------------------------------------------------------------------------- tables


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def printed(stream: io.StringIO, headings: tuple[str, ...], *rows: tuple[str, ...]) -> list[str]:
    print_table(headings, rows, stream=stream)
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()]


def test_a_narrow_terminal_folds_sentences_and_keeps_ids_and_numbers_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    row = ("pycon-us-2019-0f3a", "1,234", "the provider answered with an error")
    assert printed(Terminal(), ("batch", "rows>", "reason"), row) == [
        "batch                rows  reason",
        "pycon-us-2019-0f3a  1,234  the provider",
        "                           answered with",
        "                           an error",
    ]


def test_a_row_that_no_terminal_line_can_hold_becomes_a_block_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    rows = [("pycon-us-2019-0f3a", "1,234", "default"), ("b", "5", "")]
    assert printed(Terminal(), ("batch", "rows>", "project"), *rows) == [
        "batch    pycon-us-2019-0f3a",
        "rows     1,234",
        "project  default",
        "",
        "batch    b",
        "rows     5",
    ]


def test_a_table_in_a_pipe_has_one_line_for_each_row() -> None:
    assert len(printed(io.StringIO(), ("id", "text"), ("a", "word " * 200), ("b", "x" * 500))) == 3


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_command_that_fails_leaves_the_previous_output_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "talks.jsonl"
    path.write_text("previous")

    def fail() -> None:
        with open_output(path) as sink:
            sink.write("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert [(it.name, it.read_text()) for it in tmp_path.iterdir()] == [("talks.jsonl", "previous")]


def test_two_commands_that_write_one_file_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    with open_output(path) as slow:
        slow.write("a" * 100_000)
        with open_output(path) as quick:
            quick.write("b")
        assert path.read_text() == "b"
    assert path.read_text() == "a" * 100_000


def test_a_command_runs_with_its_standard_streams_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    __main__.open_closed_streams()
    with sys.stderr as people:
        people.write("for nobody")
    assert not can_ask()
