"""The local cloud: an AWS on this machine, with Titlecard deployed in it.

`start` runs one for the length of a `with` block; `find` returns the running one. A separate process,
`supervisor`, starts MiniStack, deploys the stack into it, and keeps everything that was paid for, even if this process
is killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

from titlecard_console.errors import CloudError, CommandError
from titlecard_console.local_cloud import build as artefact
from titlecard_console.local_cloud import template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime


@dataclass(frozen=True)
class Cloud:
    """A running cloud: its address, its root user's credentials, and its stack, once that is deployed.

    `supervisor` is the process id of the supervisor. `logs` is the file that the functions log to.
    """

    endpoint_url: str
    region: str
    access_key: str
    secret_key: str
    logs: str
    supervisor: int
    outputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    def client(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- a client's type depends on the name
        """Return a boto3 client that ignores the caller's AWS configuration. `config` goes to botocore's `Config`."""
        return _session().client(service, **self._where(config))

    def log(self, _function: str, _start: datetime, _end: datetime) -> str:
        """Return the log file, which holds every function's lines."""
        return self.logs

    def _where(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "config": Config(proxies={}, **config),
        }


@dataclass(frozen=True)
class CloudRequest:
    """The cloud that a supervisor starts. `environment` is never written to disk."""

    state: str
    artefacts: str
    parameters: Mapping[str, str]
    environment: Mapping[str, str]


class State:
    """A state directory: the data that outlives a cloud, and the cloud that uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "talks.jsonl"
        self.scratch = folder / "run"
        self.logs = folder / "log"
        self._cloud = folder / "cloud.json"
        self._lock = folder / "lock"
        self._users = folder / "users"
        self._uploads = folder / "uploads"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the directory; wait for a cloud that is stopping.

        Raises:
            CloudError: another cloud is running on it, or does not stop in time.
        """
        asked = time.monotonic()
        with self._lock.open("a") as lock:
            while not _locked(lock.fileno()):
                waited = time.monotonic() - asked
                if waited > (LOOK_SECONDS if self._cloud.exists() else LEAVE_SECONDS):
                    raise CloudError(
                        f"A cloud is already running on {self.folder} (`titlecard up`, or another run): stop it first, "
                        "or name another folder with --state."
                    )
                time.sleep(0.1)
            self.forget()  # left by a cloud that was killed
            yield

    def announce(self, cloud: Cloud) -> None:
        """Publish the cloud, so that other commands find it."""
        new_file = self._cloud.with_suffix(".new")
        new_file.unlink(missing_ok=True)
        new_file.touch(0o600)  # it holds credentials
        new_file.write_text(json.dumps(asdict(cloud), indent=2), encoding="utf-8")
        new_file.replace(self._cloud)

    def forget(self) -> None:
        """Withdraw the cloud, so that no command finds it."""
        self._cloud.unlink(missing_ok=True)

    @contextmanager
    def join(self) -> Iterator[Cloud]:
        """Use the cloud that another command has started; `leave` waits for the end of the block.

        Raises:
            CloudError: it is stopping, or has stopped.
        """
        with self._users.open("a") as users:
            cloud = self.cloud() if _locked(users.fileno(), fcntl.LOCK_SH) else None
            if cloud is None:
                raise CloudError("The local cloud is stopping: run the same command again.")
            yield cloud

    @contextmanager
    def leave(self, say: Callable[[str], None]) -> Iterator[None]:
        """Wait until no other command uses the cloud, and let none begin to before the end of the block."""
        why = "another command uses the local cloud: waiting for its end (Ctrl-C stops both)"
        with _held(self._users, lambda: say(why)):
            yield

    @contextmanager
    def upload_alone(self, say: Callable[[str], None]) -> Iterator[None]:
        """Let one run at a time set a budget and upload, so that the next one knows what its batches need."""
        with _held(self._uploads, lambda: say("another run uploads to the local cloud: waiting for it")):
            yield

    def cloud(self) -> Cloud | None:
        """Return the cloud that is running on it; None if there is none.

        Raises:
            CloudError: another version of Titlecard has started it.
        """
        with suppress(FileNotFoundError), self._lock.open("a") as lock:
            if not _locked(lock.fileno(), fcntl.LOCK_SH):  # a shared lock: others may look at the same time
                try:
                    return Cloud(**json.loads(self._cloud.read_text(encoding="utf-8")))
                except TypeError as error:
                    raise CloudError(
                        f"Another version of Titlecard has started the local cloud in {self.folder}: stop it first, or "
                        "name another folder with --state."
                    ) from error
        return None


LEAVE_SECONDS = 120
"""Seconds that a new cloud waits for the previous one to finish its requests."""

LOOK_SECONDS = 1
"""Seconds that a new cloud waits if the previous one is not stopping; `find` holds the lock for a moment."""


def find(state: Path) -> Cloud | None:
    """Return the cloud that is running on a state directory, or None."""
    return State(state).cloud()


@contextmanager
def start(
    state: Path,
    overrides: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    artefacts: Path | None = None,
    say: Callable[[str], None] = lambda _step: None,
) -> Iterator[Cloud]:
    """Start a cloud on a state directory and deploy template.yaml into it; stop it at the end of the block.

    It starts with every talk, attempt and charge of the previous clouds on the same directory. At its end it waits for
    the requests in progress, so that no answer is paid for and lost. If this process is killed, the supervisor does the
    same.

    Args:
        state: the folder; it is created if it is missing.
        overrides: parameters of template.yaml. They take precedence over `local_parameters`.
        environment: the caller's environment; see `ministack.PASSED_ON` and `local_parameters`.
        artefacts: the folder that `build` returned; None calls it.
        say: takes a sentence for people about each step.

    Raises:
        CommandError: the template refuses the overrides.
        CloudError: the functions cannot be built, MiniStack cannot be set up, or the cloud or one of its
            functions does not start; the message says which and why. At the end: it could not record what was paid for.
    """
    parameters = template.load().values(local_parameters(environment) | dict(overrides))
    state = state.resolve()
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise CommandError(f"{state} cannot be created: {fault.strerror}. Name another folder with --state.") from fault
    if artefacts is None:
        artefacts = artefact.build(say)
    request = CloudRequest(str(state), str(artefacts), parameters, dict(environment))
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "titlecard_console.local_cloud.supervisor"],  # -P: no import from this folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the supervisor outlives Ctrl-C at the terminal, to finish requests in progress
    ) as supervisor:
        try:
            yield _started(supervisor, request, say)
        finally:
            say("stopping the local cloud")
            told, _ = supervisor.communicate()  # closes its standard input, which stops it; waits after Ctrl-C too
            for line in told.splitlines():
                if error := json.loads(line).get("error"):
                    raise CloudError(error)
            if supervisor.returncode < 0:
                raise CloudError("The local cloud's supervisor was killed. Run the same command again.")


def local_parameters(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that a local deployment sets differently from template.yaml.

    They set this machine's Python and processor, and the caller's model endpoint, if any. Without a key no parser waits
    for a model, so one more parser than there are cores is enough: more would only take longer to start.
    """
    parameters = {
        "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Architecture": "x86_64",
        "AccountConcurrency": "1000",  # MiniStack has no such limit
    }
    if os.uname().machine in {"arm64", "aarch64"}:
        parameters["Architecture"] = "arm64"
    if environment.get("OPENAI_BASE_URL"):
        parameters["OpenAIBaseUrl"] = environment["OPENAI_BASE_URL"]
    if not environment.get("OPENAI_API_KEY"):
        parameters["MaxConcurrency"] = str((os.cpu_count() or 1) + 1)
    return parameters


def _started(supervisor: subprocess.Popen[str], request: CloudRequest, say: Callable[[str], None]) -> Cloud:
    if supervisor.stdin is None or supervisor.stdout is None:
        raise AssertionError("the supervisor was started with both pipes")
    supervisor.stdin.write(json.dumps(asdict(request)) + "\n")
    supervisor.stdin.flush()
    for line in supervisor.stdout:
        told = json.loads(line)
        if "step" in told:
            say(told["step"])
        elif "error" in told:
            raise CloudError(told["error"])
        else:
            return Cloud(**told["cloud"])
    raise CloudError(f"the local cloud's supervisor has stopped; its log is in {State(Path(request.state)).logs}")


@contextmanager
def _held(path: Path, say_that_we_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a file's lock for the length of the block, and wait for it if another process holds it."""
    with path.open("a") as file:
        if not _locked(file.fileno()):
            say_that_we_wait()
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


def _locked(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@cache
def _session() -> boto3.Session:
    """Return the one session, whose clients share what it loads. It ignores AWS profiles, which may not even exist."""
    nothing = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
    core = botocore.session.Session(session_vars={name: (None, None, it, None) for name, it in nothing.items()})
    return boto3.Session(botocore_session=core)
