"""The console's manners: sentences instead of tracebacks, help with examples, silent completion.

The commands run in this process, against a fake AWS on loopback whose answers a test sets.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import typer
from tests.functional.conftest import Unhurried
from typer.testing import CliRunner

import titlecard
from titlecard_console import cli as application
from titlecard_console.errors import CloudError
from titlecard_console.local_cloud import cloud

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DENIED = (
    "User: arn:aws:iam::123456789012:user/grace is not authorized to perform: cloudformation:DescribeStacks on "
    "resource: arn:aws:cloudformation:eu-west-1:123456789012:stack/titlecard/*"
)
STACK = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member>
<StackName>other</StackName><StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-01-05T12:00:00Z</CreationTime>
</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""


class Aws(ThreadingHTTPServer):
    """An AWS that gives the same answer to every call."""

    daemon_threads = True
    status, body = 200, STACK

    def refuse(self, code: str, message: str = "as AWS says it") -> None:
        """Refuse every call from now on."""
        self.status = 400
        self.body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"


class _Answer(BaseHTTPRequestHandler):
    server: Aws

    def do_POST(self) -> None:
        """Answer any call."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.server.status)
        self.send_header("content-type", "text/xml")
        self.end_headers()
        self.wfile.write(self.server.body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class named it
        """Log nothing."""


@contextmanager
def serving() -> Iterator[Aws]:
    with Aws(("127.0.0.1", 0), _Answer) as aws:
        thread = threading.Thread(target=aws.serve_forever)
        thread.start()
        try:
            yield aws
        finally:
            aws.shutdown()
            thread.join()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Aws]:
    """Return an AWS, with credentials set for it and without delays between retries."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    nowhere = str(tmp_path / "nothing")
    with serving() as there:
        settings = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{there.server_address[1]}",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIEXAMPLEKEY",
            "AWS_REGION": "eu-west-1",
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("botocore.endpoint.time", Unhurried)
        yield there


def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *command: str, code: int) -> str:
    """Run a command that ends with this exit code; return its messages, and check that it prints no data."""
    monkeypatch.setattr("sys.argv", ["titlecard", *command])
    with pytest.raises(SystemExit) as ended:
        application.main()
    seen = capsys.readouterr()
    assert (ended.value.code, seen.out) == (code, "")
    assert "Traceback" not in seen.err
    assert "EXAMPLE" not in seen.err
    return " ".join(seen.err.translate(_BOX).split())


_BOX = dict.fromkeys(map(ord, "│╭╮╰╯─"), " ")
"""The box that Typer draws around a usage error."""


# ----------------------------------------------------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (("AccessDenied", DENIED), "user/grace may not do cloudformation:DescribeStacks on arn:aws:cloudformation"),
        (("ExpiredToken", "It is expired"), "The AWS credentials have expired. Sign in"),
        (("InvalidClientTokenId", "It is invalid"), "AWS does not know these credentials. Sign in"),
        (("Throttling", "Rate exceeded"), "AWS is throttling DescribeStacks. Wait a minute"),
        (("SignatureDoesNotMatch", "x-amz-security-token=EXAMPLE"), "the secret key does not belong to the access key"),
    ],
)
def test_a_refusal_by_aws_is_explained_in_a_sentence(
    aws: Aws,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    refusal: tuple[str, str],
    words: str,
) -> None:
    aws.refuse(*refusal)
    assert words in told(capsys, monkeypatch, "dlq", "--stack", "titlecard", code=1)


def test_a_missing_stack_is_refused_with_the_region(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.refuse("ValidationError", "Stack with id titlecard does not exist")
    said = told(capsys, monkeypatch, "dlq", "--stack", "titlecard", code=2)
    assert "There is no stack 'titlecard' in the region eu-west-1. Set AWS_REGION" in said


@pytest.mark.usefixtures("aws")
def test_a_stack_that_is_not_titlecards_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = told(capsys, monkeypatch, "dlq", "--stack", "other", code=2)
    assert "The stack 'other' (CREATE_COMPLETE) has no output UploadsBucket: it is not a stack of Titlecard" in said


def test_an_arn_names_its_own_region(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.refuse("ValidationError")
    monkeypatch.delenv("AWS_REGION")
    arn = "arn:aws:cloudformation:ap-south-1:123456789012:stack/titlecard/0f3a"
    assert "in the region ap-south-1" in told(capsys, monkeypatch, "dlq", "--stack", arn, code=2)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "There are no AWS credentials. Sign in"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "There are no AWS credentials. Sign in"),
        ({"AWS_PROFILE": "prod"}, "(prod) could not be found. Set AWS_PROFILE"),
        ({"AWS_REGION": None}, "No AWS region is set. Set AWS_REGION"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS cannot be reached"),
    ],
)
def test_an_error_of_this_machine_is_explained_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], words: str
) -> None:
    for name, value in changed.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    assert words in told(capsys, monkeypatch, "dlq", "--stack", "titlecard", code=1)


def test_a_missing_local_cloud_is_refused_with_the_command_that_starts_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = told(capsys, monkeypatch, "dlq", "list", "--state", str(tmp_path), code=2)
    assert "start one with `titlecard up`, or name a stack with --stack" in said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("dlq", "redrive"), "Choose dead letters: --cause, --id, --batch, --older-than, or --all"),
        (
            ("dlq", "redrive", "--all", "--cause", "bad_request"),
            "--all means all dead letters: leave out --all, or --cause",
        ),
        (("dlq", "discard"), "Choose dead letters: "),
        (("dlq", "redrive", "--older-than", "soon"), "write a number and s, m, h or d, as in --older-than 12h"),
        (("dlq", "--json", "list"), "Put the options after the command: titlecard dlq list"),
        (("review", "--stack", "x", "accept", "a"), "Put the options after the command: titlecard review accept"),
        (("dlq", "list", "--older-than", "999999d"), "No local cloud is running"),
        (("dlq", "discard", "--all", "--copy", "nowhere/copy.jsonl"), "there is no folder 'nowhere': make it first"),
        (
            ("export", "--project", "pycon", "--output", "nowhere/talks.csv"),
            "there is no folder 'nowhere': make it first",
        ),
        (("parse", __file__, "--output", "nowhere/talks.jsonl"), "there is no folder 'nowhere': make it first"),
        (("batches", "--stack", ""), "--stack is empty: give the name or the ARN of a stack"),
        (("pause", "pycon", "--all"), "pycon and --all contradict each other"),
        (("resume",), "Name a project, or give --all"),
        (("run", __file__, "--tier", "local", "--set", "TierPolicy=auto"), "--tier and --set TierPolicy contradict"),
        (("limit", "pycon-2019-0f3a", "--tokens", "1e5"), "Invalid value for '--tokens'"),
        (("spend", "--by", "week"), "Invalid value for '--by': 'week' is not one of 'day', 'batch', 'model'. See"),
        (("completion",), "Missing argument 'SHELL'. Choose from: bash, zsh, fish. See `titlecard completion --help`."),
        (("review", "--output", "nowhere/review.csv"), "there is no folder 'nowhere': make it first"),
        (("report", "--output", "nowhere/page.html"), "there is no folder 'nowhere': make it first"),
        (("pares", "x"), "Did you mean 'parse', 'pause'? See `titlecard --help`."),
        (("up", "--set", "Model=bogus"), "The model 'bogus' has no price"),
        (("up", "--set", "OpenAIBaseUrl=sk-EXAMPLE1234"), "OpenAIBaseUrl cannot be '[key]': it must match"),
        (("show", "-dQw4w9WgXcQ"), "Put `--` before an id that begins with a dash."),
        (("batches", "--project", ""), "'' cannot be a project's name"),
        (("budget", "set", "../other", "--daily", "5usd"), "'../other' cannot be a project's name"),
        (("review", "set", "a", "--title", " "), "--title is empty"),
        (("review", "--interactive", "--json"), "Choose one of --interactive, --json, --output and --apply."),
    ],
)
def test_bad_usage_is_refused_before_any_call_to_aws(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # a local cloud may be running in the checkout
    assert words in told(capsys, monkeypatch, *command, code=2)


@pytest.mark.parametrize(("words", "policy"), [(["--set", "TierPolicy=model"], "model"), ([], "auto")])
def test_a_parameter_given_with_set_takes_precedence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    policy: str,
) -> None:
    asked: dict[str, str] = {}

    def start(_state: Path, overrides: Mapping[str, str], *_: object, **__: object) -> None:
        asked.update(overrides)
        raise CloudError("that is all that is wanted")

    monkeypatch.setattr(cloud, "start", start)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback")
    told(capsys, monkeypatch, "up", "--state", str(tmp_path), *words, code=1)
    assert asked == {"TierPolicy": policy}


# ------------------------------------------------------------------------------------------------- help and completion


def commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- typer keeps its kinds to itself
    """Yield every command and every group, with the words that a person types."""
    if path:
        yield " ".join(path), command
    for name, it in getattr(command, "commands", {}).items():
        yield from commands(it, *(path or ("titlecard",)), name)


COMMANDS = dict(commands(typer.main.get_command(application.app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example(name: str) -> None:
    assert name in COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_that_commands_share_come_last_and_in_one_order(name: str) -> None:
    names = [it.opts[0] for it in COMMANDS[name].params if it.param_type_name == "option"]
    shared = [it for it in ("--yes", "--json", "--stack", "--state") if it in names]
    assert names[len(names) - len(shared) :] == shared


@pytest.mark.parametrize("name", COMMANDS)
def test_the_usage_line_brackets_each_argument_once(name: str) -> None:
    shown = CliRunner().invoke(application.app, [*name.split()[1:], "--help"]).output
    assert not re.search(r"\[\[|\.\.\.\}|\.\.\.\.", shown)


def test_help_groups_every_command() -> None:
    shown = CliRunner().invoke(application.app, ["--help"]).output
    headings = [shown.index(f"─ {heading} ─") for heading in application.COMMANDS]
    assert headings == sorted(headings)
    assert all(f"│ {name} " in shown for name in typer.main.get_command(application.app).commands)  # type: ignore[attr-defined]


def test_no_arguments_print_the_help() -> None:
    runner = CliRunner()
    assert (
        runner.invoke(application.app, []).output.strip() == runner.invoke(application.app, ["--help"]).output.strip()
    )


@pytest.mark.parametrize("name", ["titlecard", *COMMANDS])
def test_summaries_fit_a_line_of_80_columns(name: str) -> None:
    shown = CliRunner().invoke(application.app, [*name.split()[1:], "--help"]).output
    _, _, commands = shown.partition("─ Commands ─" if name != "titlecard" else "─ Start here ─")
    assert all(line[2] != " " for line in commands.splitlines() if line.startswith("│"))  # no summary wraps


def test_the_version_is_that_of_the_project() -> None:
    assert CliRunner().invoke(application.app, ["--version"]).output == f"titlecard {titlecard.__version__}\n"


def test_exit_codes_are_in_the_help() -> None:
    shown = " ".join(CliRunner().invoke(application.app, ["--help"]).output.split())
    assert "Exit codes: 0 success; 1 something went wrong; 2 bad usage" in shown


@pytest.mark.parametrize(("shell", "words"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --com")])
def test_each_shell_gets_its_own_completion(shell: str, words: str) -> None:
    script = CliRunner().invoke(application.app, ["completion", shell]).output
    assert words in script
    assert f"_TITLECARD_COMPLETE=complete_{shell}" in script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_commands_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("_TITLECARD_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "titlecard dlq red")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "titlecard dlq red")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    monkeypatch.setattr("sys.argv", ["titlecard"])
    with pytest.raises(SystemExit):
        application.app(prog_name="titlecard")
    seen = capsys.readouterr()
    assert "redrive" in seen.out
    assert ("list" in seen.out, seen.err) == (False, "")


def test_ctrl_c_while_the_program_is_loaded_gives_no_traceback() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "titlecard_console", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stderr
        assert any("titlecard.domain" in line for line in process.stderr)  # the first of its own modules is loaded
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate()
    # Where the interrupt met an `exec` of source text, CPython ends by the signal itself; a shell shows 130 for both.
    assert process.returncode in {130, -signal.SIGINT}
    assert (printed, "Traceback" in said) == ("", False)


def test_data_are_utf_8_whatever_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talks.jsonl").write_text('{"id": "1", "title": "Łukasz"}\n', encoding="utf-8")
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", output)
    monkeypatch.setattr("sys.argv", ["titlecard", "convert", str(tmp_path / "talks.jsonl")])
    with pytest.raises(SystemExit, match="0"):
        application.main()
    output.seek(0)
    assert output.read() == '{"id":"1","title":"Łukasz"}\n'


@pytest.mark.parametrize(
    ("target", "code", "words"), [("a pipe", 0, ""), ("/dev/full", 1, "Standard output: No space left on device.")]
)
def test_output_that_cannot_be_written_at_the_end_gives_no_traceback(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    target: str,
    code: int,
    words: str,
) -> None:
    reader, writer = os.pipe() if target == "a pipe" else (os.open(target, os.O_WRONLY), os.open(target, os.O_WRONLY))
    os.close(reader)
    manifest = tmp_path / "talks.csv"
    manifest.write_text("id,title\na,A\n")
    monkeypatch.setattr("sys.argv", ["titlecard", "convert", str(manifest)])
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        with pytest.raises(SystemExit) as ended:
            application.main()
    assert (ended.value.code, capsys.readouterr().err.strip()) == (code, words)


def test_a_closed_standard_output_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert "Standard output is closed" in told(capsys, monkeypatch, "doctor", code=2)


def test_short_lines_of_text_are_reported_as_a_list_of_titles(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Notes\n\nHow to test | Grace Hopper\n", encoding="utf-8")
    (tmp_path / "talks.jsonl").write_text('{"id": "1", "title": "How to test | Grace Hopper"}\n', encoding="utf-8")
    for name, said in (
        ("notes.md", f"{tmp_path / 'notes.md'}: read as a list of titles, one per line.\n"),
        ("talks.jsonl", ""),
    ):
        assert CliRunner().invoke(application.app, ["parse", str(tmp_path / name)]).stderr == said


def test_convert_names_the_command_that_explains_rejected_rows(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad one.csv"
    good.write_text("id,title\na,A\n")
    bad.write_text("id,title\nb,\n")
    done = CliRunner().invoke(application.app, ["convert", str(bad), str(good)])
    assert (done.exit_code, done.stdout) == (3, '{"id":"a","title":"A"}\n')
    assert done.stderr == f"{bad}: 1 row is rejected: `titlecard check '{bad}'` says why.\n"
