"""A deployment as a person does it: `sam build` and `sam deploy` into the local cloud, from nothing, and again.

The SAM CLI is the real one, from PyPI, in its own environment. Only the account is not AWS's.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.end_to_end.person import Operator, Ran
from tests.end_to_end.stack import Stack, until
from tests.tools import program

from titlecard.domain.batch import BatchState
from titlecard_console.installation import ROOT
from titlecard_console.local_cloud import build, environment
from titlecard_console.local_cloud.ministack import MiniStack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not shutil.which("make"), reason="make is not installed, so the SAM CLI could not build the functions"
)

STACK = "from-sam"
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
MANIFEST = b'{"id": "v1", "title": "Pickles are for Delis, not Software - Alex Gaynor"}\n'


@dataclass
class Account:
    """An empty MiniStack, and the SAM CLI that deploys to it."""

    ministack: MiniStack
    sam: Path
    built: Path
    packaged: Path | None = None
    """The template whose functions are in S3 already, as the first deployment left it; zipping them takes longest."""

    @property
    def surroundings(self) -> dict[str, str]:
        """The environment of a person who works with this account."""
        there = self.ministack.cloud
        return {
            "PATH": environment.search_path(),
            "HOME": str(self.built.parent),
            "NO_PROXY": "127.0.0.1",
            "AWS_ENDPOINT_URL": there.endpoint_url,
            "AWS_DEFAULT_REGION": there.region,
            "AWS_ACCESS_KEY_ID": there.access_key,
            "AWS_SECRET_ACCESS_KEY": there.secret_key,
            "SAM_CLI_TELEMETRY": "0",
        }

    def build(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `sam build` for this machine."""
        chosen = {"RUNTIME": RUNTIME, "ARCHITECTURE": "host", "PYTHON": str(environment.PYTHON)} | variables
        whose = dict(os.environ) | {"PATH": environment.search_path(), "SAM_CLI_TELEMETRY": "0"}  # with its registries
        return self.run(str(self.sam), "build", "--build-dir", str(self.built), **(whose | chosen))

    def deploy(self, stack: str = STACK, **parameters: str) -> subprocess.CompletedProcess[str]:
        """Run `sam deploy` without confirmation."""
        chosen = {"Runtime": RUNTIME, "Architecture": ARCHITECTURE, "TierPolicy": "local"} | parameters
        overrides = [f"{name}={value}" for name, value in chosen.items()]
        template = self.packaged or self.built / "template.yaml"
        built = ("--config-file", str(ROOT / "samconfig.toml"), "--template-file", str(template))
        return self.run(str(self.sam), "deploy", *built, "--stack-name", stack, "--parameter-overrides", *overrides)

    def titlecard(self, *command: str) -> Ran:
        """Run a command of the console on the stack."""
        return Operator(self.surroundings, STACK).ran(*command)

    def client(self, service: str) -> Any:  # noqa: ANN401 -- a client's type depends on the name
        """Return a boto3 client of the account's root user."""
        return self.ministack.cloud.client(service)

    def template(self) -> str:
        """Return the template that the stack was deployed from."""
        body = self.client("cloudformation").get_template(StackName=STACK, TemplateStage="Original")["TemplateBody"]
        return body if isinstance(body, str) else json.dumps(body)

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs."""
        (found,) = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return {it["OutputKey"]: it["OutputValue"] for it in found["Outputs"]}

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program as a person who works with this account does."""
        return subprocess.run(  # noqa: S603 -- sam, or infra/adopt.py
            command, env=self.surroundings | variables, cwd=ROOT, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Return an account with the project built for it and deployed into it once."""
    folder = tmp_path_factory.mktemp("account")
    environment.set_up()
    sam = program("sam")
    (folder / "run").mkdir()
    with closing(MiniStack(folder / "run", folder / "log", {"PATH": os.environ["PATH"]})) as ministack:
        there = Account(ministack, sam, folder / "built")
        built = there.build()
        assert built.returncode == 0, built.stderr
        deployed = there.deploy()
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        there.packaged = folder / "packaged.yaml"
        there.packaged.write_text(there.template(), encoding="utf-8")
        yield there


@pytest.fixture(scope="module")
def stack(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Return the deployed stack."""
    return Stack(replace(account.ministack.cloud, outputs=account.outputs()), tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def batch(stack: Stack) -> str:
    """Return a batch with finished talks."""
    upload = stack.put("sam/talks.jsonl", MANIFEST)
    return stack.finished(upload).id


def test_an_artefact_has_bytecode_and_says_what_it_was_built_for(account: Account) -> None:
    for function in build.FUNCTIONS:
        folder = account.built / function
        made_for = json.loads((folder / "titlecard" / "built.json").read_text(encoding="utf-8"))
        assert made_for == {"runtime": RUNTIME, "architecture": ARCHITECTURE}
        assert list((folder / "titlecard" / "__pycache__").glob("settings.*.pyc"))


def test_a_build_without_an_interpreter_for_the_bytecode_fails(account: Account, tmp_path: Path) -> None:
    elsewhere = Account(account.ministack, account.sam, tmp_path / "built")
    built = elsewhere.build(PYTHON="", RUNTIME="python3.99")
    assert built.returncode != 0
    assert "building needs Python 3.99, for the bytecode" in built.stdout + built.stderr


def test_a_checkout_whose_path_has_a_space_is_built(tmp_path: Path) -> None:
    checkout = tmp_path / "my checkout"
    shutil.copytree(ROOT / "functions", checkout / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "template.yaml", checkout)
    into = tmp_path / "built here"
    make = ("make", "--makefile", str(checkout / "functions" / "Makefile"), "build-PreflightFunction")
    chosen = {"ARTIFACTS_DIR": str(into), "RUNTIME": RUNTIME, "ARCHITECTURE": "host", "PYTHON": sys.executable}
    whose = dict(os.environ) | {"PATH": environment.search_path()} | chosen
    built = subprocess.run(make, cwd=tmp_path, env=whose, capture_output=True, text=True, check=False)  # noqa: S603 -- ours
    assert built.returncode == 0, built.stderr
    assert (into / "preflight" / "app.py").exists()


def test_an_upload_becomes_talks(account: Account, batch: str) -> None:
    exported = account.titlecard("export", "--batch", batch)
    assert exported.code == 0, exported.told
    (talk,) = exported.lines
    assert (talk["title"], talk["presenters"]) == ("Pickles are for Delis, not Software", ["Alex Gaynor"])


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize("command", ["batches", "spend", "dlq", "budget show", "doctor"])
def test_the_commands_read_the_stack(account: Account, command: str) -> None:
    ran = account.titlecard(*command.split())
    assert ran.code == 0, ran.told


def test_a_second_deployment_changes_a_parameter_and_keeps_the_data(account: Account, stack: Stack, batch: str) -> None:
    before = stack.ledger.accounts()
    deployed = account.deploy(AttemptCap="2")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    functions = account.client("lambda")
    parser = functions.get_function_configuration(FunctionName=account.outputs()["ParserFunction"])
    assert parser["Environment"]["Variables"]["ATTEMPT_CAP"] == "2"
    assert stack.catalog.batch(batch).state is BatchState.FINISHED
    assert stack.ledger.accounts() == before
    again = stack.put("sam/more.jsonl", MANIFEST.replace(b"v1", b"v2"))
    assert until(lambda: stack.finished(again), "the second upload is finished").accepted == 1


def test_a_deployment_that_cannot_work_is_refused_before_anything_is_made(account: Account) -> None:
    other = "python3.13" if RUNTIME == "python3.14" else "python3.14"
    before = account.client("sqs").list_queues().get("QueueUrls", [])
    deployed = account.deploy(stack="refused", Runtime=other)
    assert deployed.returncode != 0
    events = account.client("cloudformation").describe_stack_events(StackName="refused")["StackEvents"]
    assert any(f"the stack runs {other}" in it.get("ResourceStatusReason", "") for it in events)
    assert account.client("sqs").list_queues().get("QueueUrls", []) == before
    account.client("cloudformation").delete_stack(StackName="refused")


def test_a_second_deployment_for_another_machine_is_refused_and_changes_nothing(account: Account, stack: Stack) -> None:
    deployed = account.deploy(Architecture="x86_64" if ARCHITECTURE == "arm64" else "arm64")
    assert deployed.returncode != 0
    functions = account.client("lambda")
    parser = functions.get_function_configuration(FunctionName=stack.outputs["ParserFunction"])
    assert parser["Architectures"] == [ARCHITECTURE]


def test_a_new_stack_adopts_what_a_deleted_one_left(account: Account, stack: Stack, batch: str) -> None:
    """This test must be the last: it deletes the stack of the others."""
    left = account.outputs()
    formation = account.client("cloudformation")
    formation.delete_stack(StackName=STACK)
    formation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    names = ("--catalog", left["CatalogTable"], "--ledger", left["LedgerTable"], "--bucket", left["UploadsBucket"])
    adopted = account.run(sys.executable, str(ROOT / "infra" / "adopt.py"), STACK, *names)
    assert adopted.returncode == 0, adopted.stderr
    deployed = account.deploy()
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    now = account.outputs()
    kept = ("CatalogTable", "LedgerTable", "UploadsBucket")
    assert [now[name] for name in kept] == [left[name] for name in kept]
    assert stack.catalog.batch(batch).state is BatchState.FINISHED
    assert stack.ledger.account("sam", now=datetime.now(UTC)).budget
