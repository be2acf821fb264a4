"""MiniStack as a child process: an AWS on a free port of the loopback interface, with IAM enforced.

It ends when the pipe to its standard input closes, so it never outlives this process.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING

from titlecard_console.errors import CloudError
from titlecard_console.local_cloud import ministack_main
from titlecard_console.local_cloud.cloud import Cloud
from titlecard_console.local_cloud.environment import PACKAGES, PYTHON, set_up

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REGION = "us-east-1"
START_SECONDS = 300
POLL_SECONDS = 0.05

PASSED_ON = (
    *("OPENAI_API_KEY", "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"),
)
"""The only variables of the caller's environment that MiniStack and the functions see: the model's key and endpoint,
proxies and certificates."""

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens a URL without the proxy that HTTP_PROXY names, which cannot reach this machine's loopback interface."""


class MiniStack:
    """A running MiniStack; `close` stops it and every function that it started.

    Args:
        folder: an empty folder for the home and the temporary files of MiniStack and the functions.
        log: the log file of MiniStack and the functions.
        environment: the caller's environment; only `PASSED_ON` is passed on.

    Raises:
        CloudError: it does not start.
    """

    def __init__(self, folder: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        set_up()
        port = _free_port()
        credentials = f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(20)  # no other cloud shares them
        self.cloud = Cloud(f"http://127.0.0.1:{port}", REGION, *credentials, logs=str(log), supervisor=os.getpid())
        command = [str(PYTHON), "-P", ministack_main.__file__, str(PACKAGES)]  # -P: do not import from its folder
        with log.open("ab") as logged:
            self._process = subprocess.Popen(  # noqa: S603 -- our own launcher
                command,
                env=_environment(self.cloud, port, folder, environment),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=logged,
                start_new_session=True,  # a process group of its own, so that all of it can be killed at once
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Check that MiniStack is running.

        Raises:
            CloudError: it has stopped.
        """
        if self._process.poll() is not None:
            raise CloudError(f"MiniStack has stopped by itself; its log is {self._log}")

    def under_way(self, function: str) -> int:
        """Return how many invocations of a function are running."""
        stdin, stdout = self._pipes()
        stdin.write(f"{function}\n".encode())
        stdin.flush()
        return int(stdout.readline() or b"0")

    def close(self) -> None:
        """Kill MiniStack and everything that it started."""
        for pipe in self._pipes():
            pipe.close()
        self._process.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise AssertionError("the process was started with both pipes")
        return stdin, stdout

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            try:
                with _DIRECTLY.open(f"{self.cloud.endpoint_url}/_ministack/ready", timeout=1):
                    return
            except urllib.error.HTTPError as not_ready:
                not_ready.close()
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                pass
            time.sleep(POLL_SECONDS)
        raise CloudError(f"MiniStack does not answer after {START_SECONDS} seconds; its log is {self._log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(cloud: Cloud, port: int, folder: Path, callers: Mapping[str, str]) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    no_proxy = ",".join(filter(None, ("127.0.0.1", callers.get("no_proxy") or callers.get("NO_PROXY"))))
    return {
        **{name: callers[name] for name in PASSED_ON if name in callers},
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(folder),  # hides the caller's AWS configuration
        "TMPDIR": str(temporary),
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",  # the host in the queues' addresses
        "GATEWAY_PORT": str(port),
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": cloud.access_key,
        "AWS_SECRET_ACCESS_KEY": cloud.secret_key,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MINISTACK_REGION": cloud.region,
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{folder}/no-docker",  # otherwise it looks for its own containers
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
