"""`python -m tests.simulation --schedules 1000000 [--seed 0] [--failures 1]`: run schedules until one fails.

It prints the number of schedules, steps and injected faults; for a failure, the seed, the shrunk choices and the trace.
`--seed N --schedules 1` repeats one schedule.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation import production
from tests.simulation.running import Tally, through
from tests.simulation.shrinking import told

BLOCK = 1000
"""The number of schedules between two lines of progress."""


def main() -> int:
    """Run the schedules; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="the first schedule")
    parser.add_argument("--failures", type=int, default=1, help="stop after this many failures")
    asked = parser.parse_args()
    code = production.as_it_is()
    whole = Tally()
    end = asked.seed + asked.schedules
    for start in range(asked.seed, end, BLOCK):
        part = through(code, range(start, min(start + BLOCK, end)), most_failures=asked.failures - len(whole.failed))
        whole.add(part)
        sys.stderr.write(f"\r{whole.schedules:,} schedules, {len(whole.failed)} failed ")
        if len(whole.failed) >= asked.failures:
            break
    sys.stderr.write("\n")
    sys.stdout.write(f"{whole}\n")
    for failed in whole.failed:
        sys.stdout.write(f"\n{told(code, failed)}\n")
    return bool(whole.failed)


if __name__ == "__main__":
    sys.exit(main())
