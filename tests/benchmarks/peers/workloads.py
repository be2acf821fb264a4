"""The workloads of the race: a healthy provider, faults, killed workers, a storm of 429."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Workload:
    """One workload.

    Attributes:
        name: its name for people.
        latency: the seconds that every response takes.
        passing: the chance that a request meets a transient fault.
        poison: the share of rows whose requests all fail.
        kill_every: seconds between two killed workers; 0 means none.
        storm: seconds from the first request during which every request is refused with 429.
        deadline: seconds after which a contender is stopped, counted from its readiness.
    """

    name: str
    latency: float = 0.5
    passing: float = 0.0
    poison: float = 0.0
    kill_every: float = 0.0
    storm: float = 0.0
    deadline: float = 150.0

    def quick(self) -> Workload:
        """Return a shorter version, for a trial."""
        return replace(self, latency=self.latency / 2, storm=self.storm / 2, kill_every=self.kill_every * 0.8)


HEALTHY = Workload("healthy")
FAULTS = Workload("faults", passing=0.10, poison=0.02)
KILLS = Workload("kills", latency=1.5, kill_every=5.0, deadline=300.0)
STORM = Workload("storm", storm=12.0)

WORKLOADS = (HEALTHY, FAULTS, KILLS, STORM)

TITLES = {
    "healthy": "A healthy provider",
    "faults": "10 % transient faults, 2 % poison",
    "kills": "A worker killed every 5 s",
    "storm": "12 s of nothing but 429",
}
"""What a workload is called on the page."""
