"""Checks whether this machine can run Titlecard and a stack can keep every upload; each finding names a remedy."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError

from titlecard.domain.clock import CLOCK_ERROR_SECONDS
from titlecard_console import stacks
from titlecard_console.local_cloud.environment import CACHE_REMEDY, ENVIRONMENT, PYTHON, UV

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from titlecard_console.stacks import Stack

NEEDED_BYTES = 1_000_000_000
"""Disk space for the environments, the artefacts and the state of a local cloud, in bytes."""

TIME_SOURCE = "https://sts.amazonaws.com"
"""An AWS endpoint whose responses carry AWS's time and need no credentials."""

NETWORK_SECONDS = 5

PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")


class Level(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    """Something that not everybody needs does not work."""

    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """The result of one check; `remedy` is empty if all is well."""

    check: str
    level: Level
    found: str
    remedy: str = ""


def examine(environment: Mapping[str, str], state: Path) -> Iterator[Finding]:
    """Examine this machine.

    Args:
        environment: the person's environment variables.
        state: the folder of the local cloud, which need not exist.
    """
    yield Finding("Python", Level.OK, f"{platform.python_version()}, {sys.executable}")
    yield _ministack()
    yield _disk(state)
    yield _loopback()
    yield _clock(environment.get("AWS_ENDPOINT_URL") or TIME_SOURCE)
    yield _proxies(environment)
    yield from _aws(environment)
    yield _program("sam", "SAM CLI", "`sam deploy` needs it: `uv tool install aws-sam-cli`, or see AWS's guide.")
    yield _program("uv", "uv", "builds of the functions need it: `pip install uv`.", also=UV / "bin" / "uv")


def examine_stack(stack: Stack) -> Iterator[Finding]:
    """Examine a deployed stack."""
    bucket, status = stack.outputs["UploadsBucket"], stacks.versioning(stack)
    if status == stacks.VERSIONED:
        yield Finding("versioning", Level.OK, f"enabled on {bucket}")
        return
    problem = f"{status} on {bucket}: an upload may overwrite an earlier one that is not finished"
    yield Finding("versioning", Level.FAILED, problem, f"enable it: `{stacks.versioning_command(stack)}`.")


def _ministack() -> Finding:
    if PYTHON.exists():
        return Finding("MiniStack", Level.OK, str(ENVIRONMENT))
    if not os.access(folder := _existing(ENVIRONMENT), os.W_OK):
        return Finding("MiniStack", Level.FAILED, f"cannot be set up: {folder} is not writable", CACHE_REMEDY)
    return Finding("MiniStack", Level.OK, "not set up yet: the first `titlecard run` does it")


def _existing(path: Path) -> Path:
    """Return the folder itself, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def _disk(state: Path) -> Finding:
    folder = _existing(state)
    if not os.access(folder, os.W_OK):
        return Finding("disk", Level.FAILED, f"{folder} is not writable", "choose a folder with --state.")
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:,.1f} GB free at {folder}"
    if free >= NEEDED_BYTES:
        return Finding("disk", Level.OK, found)
    return Finding("disk", Level.FAILED, found, f"free {NEEDED_BYTES / 1e9:.0f} GB, or choose a folder with --state.")


def _loopback() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=NETWORK_SECONDS):
                return Finding("loopback", Level.OK, f"127.0.0.1 accepts connections (tried port {port})")
    except OSError as error:
        remedy = "the local cloud needs a port of 127.0.0.1: check the firewall and the sandbox."
        return Finding("loopback", Level.FAILED, str(error), remedy)


def _clock(source: str) -> Finding:
    try:
        with urllib.request.urlopen(urllib.request.Request(source, method="HEAD"), timeout=NETWORK_SECONDS) as answer:  # noqa: S310 -- AWS, or the endpoint that the person has set
            told = answer.headers["Date"]
    except urllib.error.HTTPError as error:  # an error response carries the time too
        with error:
            told = error.headers["Date"]
    except (OSError, ValueError, HTTPException):
        told = None
    try:
        time = parsedate_to_datetime(told or "")
    except ValueError:
        remedy = "check the connection and the proxy, if you use AWS or a model."
        address = source.rpartition("@")[2]  # without a password
        return Finding("clock", Level.WARNING, f"not checked: {address} did not report the time", remedy)
    off = datetime.now(UTC) - (time if time.tzinfo else time.replace(tzinfo=UTC))  # `-0000` is UTC too (RFC 5322)
    found = (
        f"{abs(off.total_seconds()):.0f} s {'behind' if off < timedelta() else 'ahead of'} {urlsplit(source).hostname}"
    )
    if abs(off).total_seconds() <= CLOCK_ERROR_SECONDS:
        return Finding("clock", Level.OK, found)
    return Finding("clock", Level.FAILED, found, "set the clock (NTP): AWS refuses requests that are 5 minutes off.")


def _proxies(environment: Mapping[str, str]) -> Finding:
    found = {name: environment[name] for name in PROXIES if environment.get(name)}
    for name, value in found.items():
        try:
            is_address = urlsplit(value).scheme in {"http", "https"} and urlsplit(value).hostname
        except ValueError:  # half an IPv6 address
            is_address = False
        if not is_address:
            remedy = f"write {name} as http://HOST:PORT, or unset it."
            return Finding("proxy", Level.FAILED, f"{name} is not the address of an HTTP proxy", remedy)
    certificates = environment.get("SSL_CERT_FILE")
    if certificates and not Path(certificates).is_file():
        return Finding("proxy", Level.FAILED, f"SSL_CERT_FILE: there is no file {certificates}", "correct or unset it.")
    if not found:
        return Finding("proxy", Level.OK, "none set")
    hosts = ", ".join(f"{name}={urlsplit(value).hostname}" for name, value in found.items())  # without passwords
    return Finding("proxy", Level.OK, f"{hosts}; the local cloud is reached without it")


def _aws(environment: Mapping[str, str]) -> Iterator[Finding]:
    try:
        session = boto3.Session()
        credentials = session.get_credentials()
    except BotoCoreError as error:  # the profile does not exist, or its file cannot be read
        remedy = "set AWS_PROFILE to one of those that `aws configure list-profiles` shows."
        yield Finding("AWS profile", Level.WARNING, str(error), remedy)
        return
    if credentials is None:
        remedy = "--stack needs them: `aws configure`, `aws sso login`, or AWS_PROFILE."
        yield Finding("AWS profile", Level.WARNING, f"{session.profile_name}: no credentials", remedy)
    else:
        yield Finding("AWS profile", Level.OK, f"{session.profile_name}, credentials from {credentials.method}")
    if region := environment.get("AWS_REGION") or session.region_name:
        yield Finding("AWS region", Level.OK, region)
    else:
        yield Finding("AWS region", Level.WARNING, "not set", "--stack needs one: set AWS_REGION.")


def _program(name: str, title: str, need: str, *, also: Path | None = None) -> Finding:
    found = shutil.which(name) or (str(also) if also and also.exists() else None)
    return Finding(title, Level.OK, found) if found else Finding(title, Level.WARNING, "not on the PATH", need)
