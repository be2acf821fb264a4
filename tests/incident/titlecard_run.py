"""Titlecard's part of the replay: the command `titlecard run`, and the ledger during the run and at its end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from titlecard.aws.dynamodb.catalog import Catalog
from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.aws.dynamodb.ledger import Ledger
from titlecard.aws.errors import LedgerUnavailable
from titlecard_console.local_cloud import cloud

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.incident.provider import SlowProvider

    from titlecard.domain.money import Amount, Total

POLL_SECONDS = 0.5

TIMES = {
    "RequestDeadlineSeconds": 30,
    "RetryBackoffSeconds": 60,
    "ParserTimeoutSeconds": 210,
    "VisibilitySeconds": 1275,
}
"""Seconds of the scaled clock. The deadline and the back-off are the template's. The parser's timeout exceeds the
template's 90, and the visibility follows it: a new worker loads its packages in real time, not in scaled time.
"""

UNSCALED = {"SettleMarginSeconds": 1, "BatchingWindowSeconds": 0, "MaxConcurrency": 2}
"""Unscaled parameters: real seconds, whole and the least possible; and the fewest parsers that AWS allows, each asking
about up to ten videos side by side."""


@dataclass(frozen=True)
class Left:
    """The end of a run.

    Attributes:
        rows: the number of rows in each state, with the reason for those that are not parsed.
        charged: the ledger's charge.
        limits: the batch's limits.
        told: the total tokens in the run's output lines.
    """

    rows: Mapping[str, int]
    charged: Amount
    limits: Total
    told: int


def parameters(changed: Mapping[str, int], scale: int) -> dict[str, int]:
    """Return the template's parameters for the scaled clock.

    Args:
        changed: scaled seconds that differ from `TIMES`.
        scale: see `__main__.SCALE`.
    """
    scaled = {name: max(1, seconds // scale) for name, seconds in (TIMES | dict(changed)).items()}
    return scaled | UNSCALED


def run(manifest: Path, provider: SlowProvider, folder: Path, *, changed: Mapping[str, int], scale: int) -> Left:
    """Run a manifest through the stack on the local cloud, with the model alone, until nothing more happens by itself.

    Args:
        manifest: the manifest.
        provider: the provider, already serving.
        folder: the run's own folder, which is created anew.
        changed: see `parameters`.
        scale: see `parameters`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command: list[str | Path] = [Path(sys.executable).with_name("titlecard"), "run", manifest, "--yes"]
    command += ["--tier", "model", "--state", folder / "state", "--output", folder / "talks.jsonl"]
    for name, value in parameters(changed, scale).items():
        command += ["--set", f"{name}={value}"]
    surroundings = {**os.environ, "OPENAI_API_KEY": "sk-of-the-incident", "OPENAI_BASE_URL": provider.base_url}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=surroundings, stdout=log, stderr=log) as process,  # noqa: S603 -- our own command
    ):
        accounts = _watch(process, folder / "state")
    if accounts is None:
        raise RuntimeError(f"titlecard has ended without a batch: see {folder / 'log'}")
    lines = [json.loads(line) for line in (folder / "talks.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = Counter(": ".join(filter(None, (line["state"], (line["reason"] or "").partition(":")[0]))) for line in lines)
    told = sum(line["tokens"]["input"] + line["tokens"]["output"] for line in lines)
    return Left(dict(rows), *accounts, told)


def _watch(process: subprocess.Popen[bytes], state: Path) -> tuple[Amount, Total] | None:
    """Poll the ledger until the run has ended; return its last figures, and the batch's limits."""
    account: _Account | None = None
    says: tuple[Amount, Total] | None = None
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        with suppress(BotoCoreError, ClientError, LedgerUnavailable):  # the cloud is stopping
            account = account or _Account.found(state)
            says = account.says() if account else says
    return says


@dataclass(frozen=True)
class _Account:
    """The only batch of a cloud, as the ledger has it."""

    ledger: Ledger
    catalog: Catalog
    batch: str

    @classmethod
    def found(cls, state: Path) -> _Account | None:
        """Find the batch; return None if the cloud is not up yet, or ingest has not begun."""
        there = cloud.find(state)
        if there is None:
            return None
        tables = there.outputs
        client: Any = convert_values(
            there.client("dynamodb", retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
        )
        found = client.scan(
            TableName=tables["CatalogTable"],
            FilterExpression="sk = :batch",
            ExpressionAttributeValues={":batch": "batch"},
            ConsistentRead=True,
        )
        for item in found["Items"]:
            name = item["pk"].removeprefix("batch#")
            return cls(Ledger(client, tables["LedgerTable"]), Catalog(client, tables["CatalogTable"]), name)
        return None

    def says(self) -> tuple[Amount, Total]:
        """Return the batch's charge so far and its limits, which ingest sets once it has counted the rows."""
        return self.ledger.spent(self.batch), self.catalog.batch(self.batch).limits
