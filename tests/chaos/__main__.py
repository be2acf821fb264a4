"""`python -m tests.chaos --minutes 10 [--seed 0]`: a storm of this length, and a table with its verdict."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.stress import chaos
from tests.chaos.verdict import judge, table

from titlecard_console.local_cloud import build as artefact


def main() -> int:
    """Run a storm; return 1 if a promise was broken, otherwise 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the storm lasts")
    parser.add_argument("--seed", type=int, default=0, help="of uploads, kills and the provider's faults")
    asked = parser.parse_args()

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    with (
        tempfile.TemporaryDirectory(prefix="titlecard-chaos-") as folder,
        chaos(asked.minutes, Path(folder), artefact.build(), seed=asked.seed, say=say) as run,
    ):
        sys.stdout.write(f"{table(run)}\n\n")
        findings = judge(run)
    for finding in findings:
        sys.stdout.write(f"{'broken' if finding.against else 'kept  '}  {finding.promise}\n")
        sys.stdout.writelines(f"          {line}\n" for line in finding.against[:20])
    return int(any(finding.against for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
